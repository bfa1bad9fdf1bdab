//! Points in time: how long ago, with the exact time at hand.

use leptos::prelude::*;

use crate::model::time::Timestamp;
use crate::ui::text;

/// "3 days ago", with the date as its title.
pub fn ago(at: Timestamp, now: Timestamp) -> AnyView {
    view! { <time datetime=at.to_string() title=text::date_time(at)>{at.relative_to(now)}</time> }.into_any()
}
