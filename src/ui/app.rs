//! The document's shell and the router.
//!
//! May import pages and parts. Guards: every route renders in full on the server before anything is
//! sent (`SsrMode::Async`), so a page is complete without JavaScript; scripts carry the nonce.

use leptos::nonce::use_nonce;
use leptos::prelude::*;
use leptos_meta::{HashedStylesheet, MetaTags, Title, provide_meta_context};
use leptos_router::SsrMode;
use leptos_router::components::{ParentRoute, Route, Router, Routes};
use leptos_router::path;

use super::part::frame::Frame;
use super::text;
use super::{browser, page};

/// What runs before the first paint.
const BOOT: &str = include_str!("boot.js");

/// The HTML document around [`App`], which the browser half takes over.
pub fn shell(options: LeptosOptions) -> AnyView {
    let scripts = view! { <HydrationScripts options=options.clone()/> }.into_any();
    document(options, scripts, view! { <App/> }.into_any())
}

/// The HTML document around [`PlainPages`]: the browser half is not even loaded.
pub fn plain_shell(options: LeptosOptions) -> AnyView {
    document(options, ().into_any(), view! { <PlainPages/> }.into_any())
}

fn document(options: LeptosOptions, scripts: AnyView, body: AnyView) -> AnyView {
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <script nonce=use_nonce()>{BOOT}</script>
                <HashedStylesheet id="leptos" options=options.clone()/>
                <link rel="icon" href="/favicon.svg" type="image/svg+xml"/>
                <AutoReload options/>
                {scripts}
                <MetaTags/>
            </head>
            <body>{body}</body>
        </html>
    }
    .into_any()
}

/// The pages that are rendered on the server only: those before a session, and [`PLAIN`](super::part::nav::PLAIN). The
/// browser half has no code of them, so links to them are external.
#[component]
pub fn PlainPages() -> impl IntoView {
    provide_meta_context();
    view! {
        <Title formatter=|title: String| format!("{title} · {}", text::PRODUCT)/>
        <div id="live" class="sr-only" role="status"></div>
        <Router>
            <Routes fallback=page::not_found::not_found>
                <Route path=path!("/sign-in") view=page::sign_in::sign_in ssr=SsrMode::Async/>
                <Route path=path!("/sign-in/code") view=page::sign_in::sign_in_code ssr=SsrMode::Async/>
                <Route path=path!("/setup") view=page::link::setup ssr=SsrMode::Async/>
                <Route path=path!("/invite") view=page::link::invite ssr=SsrMode::Async/>
                <Route path=path!("/reset") view=page::link::reset ssr=SsrMode::Async/>
                <ParentRoute path=path!("") view=Frame ssr=SsrMode::Async>
                    <Route path=path!("/settings/calendar") view=page::calendar::calendar ssr=SsrMode::Async/>
                    <Route path=path!("/settings/keys") view=page::keys::keys ssr=SsrMode::Async/>
                    <Route path=path!("/exports") view=page::exports::exports ssr=SsrMode::Async/>
                    <Route path=path!("/launches") view=page::launches::launches ssr=SsrMode::Async/>
                    <Route path=path!("/account/recovery-codes") view=page::recovery_codes::recovery_codes ssr=SsrMode::Async/>
                    <Route path=path!("/audit") view=page::audit::audit ssr=SsrMode::Async/>
                    <Route path=path!("/recordings") view=page::recordings::recordings ssr=SsrMode::Async/>
                    <Route path=path!("/troubleshooting") view=page::troubleshooting::troubleshooting ssr=SsrMode::Async/>
                </ParentRoute>
            </Routes>
        </Router>
    }
}

/// The pages of a session: title, live region, routes.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    // For tests: from here on the page answers by itself.
    Effect::new(|_| browser::mark_hydrated());
    view! {
        <Title formatter=|title: String| format!("{title} · {}", text::PRODUCT)/>
        <div id="live" class="sr-only" role="status"></div>
        <Router>
            <Routes fallback=page::not_found::not_found>
                <ParentRoute path=path!("") view=Frame ssr=SsrMode::Async>
                    <Route path=path!("/") view=page::overview::overview ssr=SsrMode::Async/>
                    <Route path=path!("/settings/ehr-integrations") view=page::integrations::integrations ssr=SsrMode::Async/>
                    <Route path=path!("/settings/ehr-integrations/:provider") view=page::provider::provider ssr=SsrMode::Async/>
                    <Route path=path!("/members") view=page::members::members ssr=SsrMode::Async/>
                    <Route path=path!("/account") view=page::account::account ssr=SsrMode::Async/>
                    <Route path=path!("/account/two-factor") view=page::two_factor::two_factor ssr=SsrMode::Async/>
                </ParentRoute>
            </Routes>
        </Router>
    }
}
