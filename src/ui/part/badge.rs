//! Badges: a state in one or two words, never by colour alone.

use leptos::prelude::*;

use super::icon::icon;
use crate::model::connection::ConnectionStatus;
use crate::ui::text;

/// How a badge looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing to do.
    Plain,
    /// Under way.
    Busy,
    /// Good.
    Good,
    /// Wants attention.
    Attention,
    /// Wrong.
    Bad,
}

/// A word with a sign.
pub fn badge(tone: Tone, words: &'static str) -> AnyView {
    let (class, sign) = match tone {
        Tone::Plain => ("badge badge-sm badge-soft", icondata::LuMinus),
        Tone::Busy => ("badge badge-sm badge-soft badge-info", icondata::LuLoaderCircle),
        Tone::Good => ("badge badge-sm badge-soft badge-success", icondata::LuCheck),
        Tone::Attention => ("badge badge-sm badge-soft badge-warning", icondata::LuTriangleAlert),
        Tone::Bad => ("badge badge-sm badge-soft badge-error", icondata::LuX),
    };
    let spin = if tone == Tone::Busy { "size-3.5 motion-safe:animate-spin" } else { "size-3.5" };
    view! { <span class=class>{icon(sign, spin)} {words}</span> }.into_any()
}

/// Where a connection stands.
pub fn status_badge(status: ConnectionStatus) -> AnyView {
    let tone = match status {
        ConnectionStatus::NotConnected => Tone::Plain,
        ConnectionStatus::Connected => Tone::Good,
        ConnectionStatus::NeedsReconnect => Tone::Attention,
    };
    view! { <span class="inline-flex" data-status=status.as_str()>{badge(tone, text::status(status))}</span> }
        .into_any()
}
