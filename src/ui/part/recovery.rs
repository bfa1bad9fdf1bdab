//! Recovery codes, shown once.

use leptos::prelude::*;

use super::copy::copy_value;
use super::icon::icon;

/// The codes, with what to do with them.
pub fn recovery_codes(codes: Vec<String>) -> AnyView {
    let all = codes.join(" ");
    let codes: Vec<_> = codes.into_iter().map(|code| view! { <li><code>{code}</code></li> }).collect();
    view! {
        <section class="panel" aria-labelledby="recovery-heading" id="recovery-codes">
            <div class="panel-head">
                <p class="mb-3 flex items-center gap-2 font-medium text-success" role="status">
                    {icon(icondata::LuCircleCheck, "size-5")}
                    "Two-factor sign-in is on."
                </p>
                <h2 class="title-2" id="recovery-heading">"Keep your recovery codes"</h2>
                <p class="muted small mt-1 max-w-prose">
                    "Each signs you in once when your phone is lost. Print them or put them into a password manager: they are shown only now."
                </p>
            </div>
            <div class="panel-body space-y-5">
                <ul class="grid gap-2 sm:grid-cols-2">{codes}</ul>
                {copy_value("recovery codes", all)}
                <a class="btn btn-primary" href="/account">"I have kept them"</a>
            </div>
        </section>
    }
    .into_any()
}
