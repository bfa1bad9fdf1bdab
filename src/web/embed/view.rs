//! The markup of the embedded view.

use leptos::prelude::*;

use crate::model::connection::PatientSummary;
use crate::model::problem::Code;
use crate::model::scope::{self, Told};
use crate::model::time::Timestamp;
use crate::server::fhir::document_reference::DocumentSummary;
use crate::server::fhir::encounter::EncounterSummary;
use crate::server::flow::embed::{Opened, Part, Shown};
use crate::server::store::clinician::Clinician;
use crate::ui::text;

/// A part of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Documents,
    Notes,
    About,
}

impl Tab {
    const ALL: [Self; 3] = [Self::Documents, Self::Notes, Self::About];

    pub const fn title(self) -> &'static str {
        match self {
            Self::Documents => "Documents",
            Self::Notes => "Notes",
            Self::About => "About this connection",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Documents => "",
            Self::Notes => "/notes",
            Self::About => "/about",
        }
    }
}

/// The view.
pub(super) fn body(opened: &Opened, shown: &Shown, tab: Tab, other_patient: bool, now: Timestamp) -> AnyView {
    let content = match tab {
        Tab::Documents => documents(shown),
        Tab::Notes => notes(opened, shown),
        Tab::About => about(opened, now),
    };
    view! {
        <a class="skip" href="#main">"Skip to content"</a>
        {banner(opened, shown)}
        {tabs(opened, tab)}
        <main class="view" id="main">
            {other_patient.then(guard)}
            {content}
        </main>
        {footer(opened)}
    }
    .into_any()
}

/// Somebody who came for the first time.
pub(super) fn waiting(opened: &Opened) -> AnyView {
    let entry = Code::ApprovalPending.entry();
    let who = opened.clinician.as_ref().and_then(|person| person.name.clone());
    let content = view! {
        {who.map(|name| view! { <p>"The EHR says that you are " <strong>{name}</strong> "."</p> })}
        <p>{entry.cause}</p>
        <p class="next">
            "Ask an administrator of " {opened.practice_name.clone()} " to approve you, then look again."
        </p>
        <p><a class="button primary" id="look-again" href=format!("/embed/{}", opened.session.id)>"Look again"</a></p>
        <p class="fine" data-problem=entry.name>"Code " <code>{entry.name}</code></p>
    };
    super::plain::card(entry.message, content.into_any())
}

/// Whose records these are. In full, unless the EHR shows it itself.
fn banner(opened: &Opened, shown: &Shown) -> AnyView {
    let full = opened.session.context.need_patient_banner;
    let whose = match &shown.patient {
        Some(Ok(patient)) => patient_line(patient, full),
        Some(Err(_)) => view! { <h1>"The patient's record could not be read"</h1> }.into_any(),
        None => view! { <h1>"No patient is open"</h1> }.into_any(),
    };
    let class = if full { "banner full" } else { "banner" };
    view! {
        <header class=class data-banner=if full { "full" } else { "slim" }>
            {whose}
            {shown.encounter.as_ref().and_then(encounter_line)}
        </header>
    }
    .into_any()
}

fn patient_line(patient: &PatientSummary, full: bool) -> AnyView {
    let unknown = || "not given".to_owned();
    let fact = |name: &'static str, value: Option<&String>| {
        view! {
            <div>
                <dt>{name}</dt>
                <dd>{value.cloned().unwrap_or_else(unknown)}</dd>
            </div>
        }
    };
    let sex = patient.gender.as_deref().map(text::humanise);
    let facts = full.then(|| {
        view! {
            <dl class="facts">
                {fact("Born", patient.birth_date.as_ref())}
                {fact("Sex", sex.as_ref())}
                {fact("MRN", patient.mrn.as_ref())}
            </dl>
        }
    });
    view! {
        <h1 data-patient="">{patient.name.clone()}</h1>
        {facts}
    }
    .into_any()
}

fn encounter_line(encounter: &Part<EncounterSummary>) -> Option<AnyView> {
    let encounter = encounter.as_ref().ok()?;
    let kind = encounter.kind.clone().unwrap_or_else(|| "Visit".into());
    let start = encounter.start.as_deref().map(|start| format!(", {}", day(start)));
    let status = encounter.status.as_deref().map(|status| format!(", {}", status.replace('-', " ")));
    Some(view! { <p class="fine" data-encounter="">{kind} {start} {status}</p> }.into_any())
}

fn tabs(opened: &Opened, current: Tab) -> AnyView {
    let links: Vec<_> = Tab::ALL
        .into_iter()
        .map(|tab| {
            let href = format!("/embed/{}{}", opened.session.id, tab.path());
            view! { <a href=href aria-current=(tab == current).then_some("page")>{tab.title()}</a> }
        })
        .collect();
    view! { <nav class="tabs" aria-label="Parts">{links}</nav> }.into_any()
}

fn guard() -> AnyView {
    view! {
        <div class="note warn" role="alert" id="other-patient">
            <p><strong>"Another patient is open in this browser."</strong></p>
            <p>"Check the name above before you read or write anything here."</p>
        </div>
    }
    .into_any()
}

fn documents(shown: &Shown) -> AnyView {
    match &shown.documents {
        None => no_patient(),
        Some(Err(code)) => unread("documents", *code),
        Some(Ok((documents, _))) if documents.is_empty() => {
            empty("No documents", "The EHR has no documents of this patient that you may see.")
        }
        Some(Ok((documents, more))) => view! {
            {list(documents.iter())}
            {more
                .then(|| {
                    view! { <p class="fine">"These are the first ones. The EHR has more."</p> }
                })}
        }
        .into_any(),
    }
}

/// The notes of the visit that is open.
fn notes(opened: &Opened, shown: &Shown) -> AnyView {
    let Some(documents) = &shown.documents else { return no_patient() };
    let Some(encounter) = opened.session.context.encounter.as_deref() else {
        return empty(
            "No visit is open",
            "The EHR did not say which visit this is about. All documents are under Documents.",
        );
    };
    match documents {
        Err(code) => unread("notes", *code),
        Ok((documents, _)) => {
            let of_visit: Vec<_> = documents.iter().filter(|document| document.is_of_encounter(encounter)).collect();
            if of_visit.is_empty() {
                return empty("No notes yet", "Nothing has been filed for this visit.");
            }
            view! { <h2>"Filed for this visit"</h2> {list(of_visit.into_iter())} }.into_any()
        }
    }
}

fn list<'a>(documents: impl Iterator<Item = &'a DocumentSummary>) -> AnyView {
    let rows: Vec<_> = documents.map(document).collect();
    view! { <ul class="list">{rows}</ul> }.into_any()
}

fn document(document: &DocumentSummary) -> AnyView {
    let title = document.title.clone().unwrap_or_else(|| "Untitled document".into());
    let kind = document.kind.clone().filter(|kind| *kind != title);
    let line: Vec<_> = [document.date.as_deref().map(day), kind, document.content_type.as_deref().map(format)]
        .into_iter()
        .flatten()
        .collect();
    let status = document.status.as_deref().map(text::humanise);
    view! {
        <li>
            <p class="title">{title} " " {status.map(|status| view! { <span class="tag">{status}</span> })}</p>
            <p class="fine">{line.join(" · ")}</p>
        </li>
    }
    .into_any()
}

/// A MIME type in a word.
fn format(mime: &str) -> String {
    match mime.split(';').next().unwrap_or_default().trim() {
        "application/pdf" => "PDF".into(),
        "text/plain" => "Text".into(),
        "text/html" | "application/xhtml+xml" => "Web page".into(),
        "application/rtf" | "text/rtf" => "Rich text".into(),
        "application/xml" | "text/xml" | "application/hl7-v3+xml" | "application/hl7-cda+xml" => {
            "Clinical document".into()
        }
        other if other.starts_with("image/") => "Picture".into(),
        other => other.into(),
    }
}

/// The day of a FHIR `dateTime`, which may be less than a day.
fn day(date_time: &str) -> String {
    date_time.split('T').next().unwrap_or_default().to_owned()
}

fn about(opened: &Opened, now: Timestamp) -> AnyView {
    let session = &opened.session;
    let who = opened.clinician.as_ref().map_or("The EHR did not say", Clinician::label).to_owned();
    let context = &session.context;
    let optional = |name: &'static str, value: Option<String>| {
        value.map(|value| {
            view! {
                <dt>{name}</dt>
                <dd>{value}</dd>
            }
        })
    };
    let told = Told { scope: session.scopes_granted.as_deref(), has_refresh_token: session.refresh_token.is_some() };
    let scopes: Vec<_> =
        scope::compare(&session.terms.scopes_requested, None, told).into_iter().map(scope_row).collect();
    view! {
        <h2>"This connection"</h2>
        <dl class="pairs">
            <dt>"Signed in as"</dt>
            <dd data-clinician="">{who}</dd>
            <dt>"Practice"</dt>
            <dd>{opened.practice_name.clone()}</dd>
            <dt>"EHR"</dt>
            <dd>{opened.provider_name()} ", " <code>{session.terms.fhir_base.clone()}</code></dd>
            <dt>"Opened"</dt>
            <dd>{text::date_time(session.started_at)}</dd>
            <dt>"Ends"</dt>
            <dd data-expiry="">{session.expires_at.relative_to(now)} ", at " {text::date_time(session.expires_at)}</dd>
            {optional("Intent", context.intent.clone())}
            {optional("Tenant", context.tenant.clone())}
        </dl>
        <h2>"What the EHR allows"</h2>
        <ul class="list">{scopes}</ul>
    }
    .into_any()
}

fn scope_row(state: scope::ScopeState) -> AnyView {
    let (class, word) = match state.granted {
        Some(true) => ("tag good", "Granted"),
        Some(false) => ("tag bad", "Not granted"),
        None => ("tag", "Not said"),
    };
    view! {
        <li>
            <p class="title">{state.meaning} " " <span class=class>{word}</span></p>
            <p class="fine"><code>{state.scope}</code></p>
        </li>
    }
    .into_any()
}

fn no_patient() -> AnyView {
    empty("No patient is open", "Open a patient's chart in the EHR, and start the application from there.")
}

fn empty(title: &'static str, text: &'static str) -> AnyView {
    view! {
        <div class="empty">
            <h2>{title}</h2>
            <p>{text}</p>
        </div>
    }
    .into_any()
}

/// A part that the EHR did not give.
fn unread(what: &'static str, code: Code) -> AnyView {
    let entry = code.entry();
    view! {
        <div class="note bad" role="alert" data-problem=entry.name>
            <p><strong>"The " {what} " could not be read. "</strong> {entry.message}</p>
            <p>{entry.cause} " Code " <code>{entry.name}</code> "."</p>
        </div>
    }
    .into_any()
}

fn footer(opened: &Opened) -> AnyView {
    let action = format!("/embed/{}/sign-out", opened.session.id);
    view! {
        <footer>
            <p class="fine">{opened.practice_name.clone()} " · from " {opened.provider_name()}</p>
            <form method="post" action=action>
                <button class="button" id="sign-out">"Sign out"</button>
            </form>
        </footer>
    }
    .into_any()
}
