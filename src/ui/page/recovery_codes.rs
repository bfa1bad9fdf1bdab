//! `/account/recovery-codes`: where a confirmed second factor leads without JavaScript.

use leptos::prelude::*;
use leptos_meta::Title;

use super::shown_once;
use crate::ui::part::empty::Empty;
use crate::ui::part::loading::{use_draft, with_draft};
use crate::ui::part::panel::PageHeader;
use crate::ui::part::recovery;

/// The page.
pub fn recovery_codes() -> AnyView {
    let body = with_draft(use_draft(), |draft| {
        let codes = shown_once(draft.as_ref(), "totp_confirm").and_then(|json| serde_json::from_str(&json).ok());
        codes.map_or_else(gone, recovery::recovery_codes)
    });
    view! {
        <Title text="Recovery codes"/>
        <PageHeader title="Recovery codes" up=("Your account", "/account")/>
        {body}
    }
    .into_any()
}

fn gone() -> AnyView {
    view! {
        <div class="panel">
            <Empty
                icon=icondata::LuKeyRound
                title="Recovery codes are shown once"
                text="They appear right after two-factor sign-in is switched on. For new ones, switch it off and on again."
            >
                <a class="btn" href="/account">"Your account"</a>
            </Empty>
        </div>
    }
    .into_any()
}
