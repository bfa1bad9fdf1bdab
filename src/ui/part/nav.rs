//! Navigation: the links that a role may use, the member, the theme.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

use super::icon::{icon, logo};
use crate::api::account::SignOut;
use crate::model::account::Me;
use crate::model::role::Permission;
use crate::ui::text;
use leptos::server_fn::ServerFn;

/// A page of the navigation: address, label, icon, and what a role needs for it.
type Entry = (&'static str, &'static str, icondata::Icon, Option<Permission>);

const ENTRIES: [Entry; 9] = [
    ("/", "Overview", icondata::LuLayoutDashboard, None),
    ("/settings/ehr-integrations", "EHR integrations", icondata::LuPlug, Some(Permission::ReadSettings)),
    ("/settings/keys", "Signing keys", icondata::LuKeyRound, Some(Permission::ReadSettings)),
    ("/exports", "Bulk exports", icondata::LuDatabaseBackup, Some(Permission::Export)),
    ("/members", "Members", icondata::LuUsers, Some(Permission::ReadMembers)),
    ("/launches", "EHR launches", icondata::LuAppWindow, Some(Permission::ReadMembers)),
    ("/audit", "Audit trail", icondata::LuScrollText, Some(Permission::ReadAudit)),
    ("/account", "Your account", icondata::LuUser, None),
    ("/troubleshooting", "Troubleshooting", icondata::LuLifeBuoy, None),
];

/// The pages of a session that are rendered on the server only, because they show or ask little.
pub const PLAIN: [&str; 8] = [
    "/settings/calendar",
    "/settings/keys",
    "/exports",
    "/launches",
    "/account/recovery-codes",
    "/audit",
    "/recordings",
    "/troubleshooting",
];

/// The `rel` of a link to a page: the router must not take over links to plain pages.
pub fn rel(href: &str) -> Option<&'static str> {
    PLAIN.contains(&href).then_some("external")
}

/// The first link of a page: past the navigation.
pub fn skip_link() -> AnyView {
    view! { <a class="skip-link" href="#main" rel="external">"Skip to content"</a> }.into_any()
}

/// The product's name, as a way home.
pub fn brand() -> AnyView {
    view! { <a href="/" class="flex items-center gap-3 font-semibold">{logo()} {text::PRODUCT}</a> }.into_any()
}

/// Light, dark, or as the system has it. `ui/boot.js` does the work; not shown without JavaScript.
pub fn theme_switch() -> AnyView {
    let button = |word: &'static str, label: &'static str, sign| {
        view! {
            <button type="button" data-set-theme=word aria-pressed="false" aria-label=label title=label>
                {icon(sign, "size-4")}
            </button>
        }
    };
    view! {
        <div class="segment hidden js:inline-flex" role="group" aria-label="Theme">
            {button("light", "Light", icondata::LuSun)}
            {button("dark", "Dark", icondata::LuMoon)}
            {button("system", "Same as system", icondata::LuMonitor)}
        </div>
    }
    .into_any()
}

/// Links, practice and member. It stands on the page twice (sidebar and small menu, of which one is
/// shown), so `prefix` keeps its ids apart.
pub fn navigation(me: &Me, prefix: &'static str) -> AnyView {
    let links: Vec<_> =
        ENTRIES.iter().filter(|(.., need)| need.is_none_or(|need| me.role.may(need))).map(nav_link).collect();
    let name = if me.name.is_empty() { me.email.clone() } else { me.name.clone() };
    view! {
        <p class="mb-2 px-3">
            <span class="muted small block">"Practice"</span>
            <span class="font-semibold" data-practice="">{me.practice_name.clone()}</span>
        </p>
        <nav aria-label="Main" class="flex-1">
            <ul class="space-y-1">{links}</ul>
        </nav>
        <div class="mt-6 space-y-4 border-t border-base-300 px-3 pt-4">
            <p>
                <span class="block truncate font-medium" data-me="">{name}</span>
                <span class="muted small">{text::role(me.role)}</span>
            </p>
            <div class="flex flex-wrap items-center justify-between gap-2">
                {theme_switch()}
                <form method="post" action=SignOut::PATH>
                    <button class="btn btn-sm btn-ghost" id=format!("{prefix}sign-out")>
                        {icon(icondata::LuLogOut, "size-4")}
                        "Sign out"
                    </button>
                </form>
            </div>
        </div>
    }
    .into_any()
}

/// What the anonymous see in its place.
pub fn anonymous_navigation() -> AnyView {
    view! {
        <nav aria-label="Main" class="flex-1">
            <ul class="space-y-1">
                <li>
                    <a class="nav-link" href="/sign-in" rel="external">
                        {icon(icondata::LuLogIn, "size-4.5")}
                        "Sign in"
                    </a>
                </li>
            </ul>
        </nav>
        <div class="px-3">{theme_switch()}</div>
    }
    .into_any()
}

fn nav_link(entry: &'static Entry) -> AnyView {
    let (href, label, sign, _) = *entry;
    let path = use_location().pathname;
    let here = move || {
        let here = path.with(|path| {
            path == href || (href != "/" && path.strip_prefix(href).is_some_and(|rest| rest.starts_with('/')))
        });
        here.then_some("page")
    };
    view! { <li><a class="nav-link" href=href rel=rel(href) aria-current=here>{icon(sign, "size-4.5")} {label}</a></li> }.into_any()
}
