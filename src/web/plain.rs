//! Pages that stand alone: complete HTML from the server, their style inside, no wasm.
//!
//! Guards: every text passes leptos's escaping; the page's policy allows its own style, forms to where
//! it says, and frames by whom it says, and nothing else.

use axum::http::header::{CONTENT_SECURITY_POLICY, REFRESH};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use leptos::prelude::*;

use crate::model::problem::Problem;
use crate::server::App;
use crate::server::smart::style::SmartStyle;
use crate::ui::text;

const CSS: &str = include_str!("../../style/plain.css");

/// Who may frame a page.
pub(super) enum Framed<'a> {
    /// Nobody.
    Never,
    /// These origins.
    By(&'a [String]),
    /// Any site over https: for pages without data.
    ByAnyone,
}

/// A page.
pub(super) struct Page<'a> {
    /// The status.
    pub status: StatusCode,
    /// The title.
    pub title: String,
    /// What is in the body.
    pub body: AnyView,
    /// Who may frame it.
    pub framed: Framed<'a>,
    /// The EHR's colours.
    pub style: Option<&'a SmartStyle>,
    /// After how many seconds it is over, and loaded again to say so.
    pub ends_after: Option<i64>,
    /// Where its forms may go.
    pub form_action: String,
    /// A script of ours.
    pub script: Option<&'static str>,
}

impl<'a> Page<'a> {
    /// A page without anything special.
    pub fn new(title: impl Into<String>, body: AnyView, framed: Framed<'a>) -> Self {
        Self {
            status: StatusCode::OK,
            title: title.into(),
            body,
            framed,
            style: None,
            ends_after: None,
            form_action: "'self'".into(),
            script: None,
        }
    }

    /// The page as an answer.
    pub fn respond(self, app: &App) -> Response {
        let nonce = app.ids.token();
        let policy = self.policy(app, &nonce);
        let css = format!("{CSS}{}", self.style.map(colours).unwrap_or_default());
        let script = self.script.map(|script| view! { <script nonce=nonce.clone()>{script}</script> });
        let html = view! {
            <!DOCTYPE html>
            <html lang="en" data-ehr=self.style.map(|_| "")>
                <head>
                    <meta charset="utf-8"/>
                    <meta name="viewport" content="width=device-width, initial-scale=1"/>
                    <title>{format!("{} · {}", self.title, text::PRODUCT)}</title>
                    <style nonce=nonce.clone()>{css}</style>
                </head>
                <body>{self.body} {script}</body>
            </html>
        };
        let mut response = (self.status, Html(without_markers(&html.to_html()))).into_response();
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        }
        if let Some(value) = self.ends_after.and_then(|seconds| seconds.max(1).to_string().parse().ok()) {
            response.headers_mut().insert(REFRESH, value);
        }
        response
    }

    fn policy(&self, app: &App, nonce: &str) -> String {
        let script = if self.script.is_some() { format!("script-src 'nonce-{nonce}'; ") } else { String::new() };
        let ancestors = match &self.framed {
            Framed::Never | Framed::By([]) => "'none'".to_owned(),
            Framed::By(origins) => origins.join(" "),
            // A rehearsal has its EHR on this machine, without TLS.
            Framed::ByAnyone if app.config.allow_private_network => {
                "https: http://localhost:* http://127.0.0.1:*".to_owned()
            }
            Framed::ByAnyone => "https:".to_owned(),
        };
        format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; {script}form-action {}; base-uri 'none'; \
             frame-ancestors {ancestors}",
            self.form_action
        )
    }
}

/// Without the empty comments that a browser half would look for: nothing takes these pages over. Text
/// cannot have one, its `<` is escaped.
fn without_markers(html: &str) -> String {
    html.replace("<!>", "")
}

/// The EHR's colours in the place of ours. Lines and muted text are mixed from them or are the text's own.
fn colours(style: &SmartStyle) -> String {
    let SmartStyle { background, text, highlight, on_highlight } = style;
    format!(
        ":root{{--page:{background};--panel:{background};--text:{text};--muted:{text};\
         --line:color-mix(in srgb,{text} 25%,{background});--accent:{highlight};--on-accent:{on_highlight};\
         --warn-bg:{background};--warn:{text};--bad-bg:{background};--bad:{text};--good:{text}}}"
    )
}

/// A page that says one thing.
pub(super) fn card(title: &'static str, content: AnyView) -> AnyView {
    view! {
        <div class="alone">
            <main class="card">
                <p class="brand">{text::PRODUCT}</p>
                <h1>{title}</h1>
                {content}
            </main>
        </div>
    }
    .into_any()
}

/// Why something did not work, what to do next, and what else there is to say about it.
pub(super) fn problem(problem: &Problem, next: &'static str, more: AnyView) -> AnyView {
    let entry = problem.code.entry();
    let request = problem.request_id.clone().map(|id| view! { ", request " <code>{id}</code> });
    let content = view! {
        <p>{entry.cause}</p>
        <p class="next">{next}</p>
        {more}
        <p class="fine" data-problem=entry.name>"Code " <code>{entry.name}</code> {request}</p>
    };
    card(entry.message, content.into_any())
}
