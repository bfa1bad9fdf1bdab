//! `/launches`: whom EHRs sent, what they have open, and what the practice allows.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_meta::Title;

use super::typed;
use crate::api;
use crate::api::launches::{DecideClinician, RevokeLaunch, SaveLaunchSettings};
use crate::model::draft::Draft;
use crate::model::launch::{ClinicianStatus, ClinicianView, LaunchView, LaunchesPage};
use crate::model::time::Timestamp;
use crate::ui::part::badge::{Tone, badge};
use crate::ui::part::checkbox::checkbox;
use crate::ui::part::empty::Empty;
use crate::ui::part::field::Field;
use crate::ui::part::loading::{load_once, use_draft, with_data};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::panel::{PageHeader, Panel};
use crate::ui::part::time::ago;

/// The page.
pub fn launches() -> AnyView {
    let messages = Messages::from_query();
    let data = load_once(api::launches::launches);
    let body = with_data(data, use_draft(), move |page, draft| body(&page, draft.as_ref(), messages));
    view! { <Title text="EHR launches"/> {body} }.into_any()
}

fn body(page: &LaunchesPage, draft: Option<&Draft>, messages: Messages) -> AnyView {
    messages.seed(draft);
    view! {
        <PageHeader title="EHR launches" text="People who open this application from inside the EHR, and what they have open."/>
        {message_area(messages, vec![("frame_origins".into(), "Further EHR addresses".into())])}
        <div class="space-y-6">{people(page)} {open(page)} {rules(page, draft, messages)}</div>
    }
    .into_any()
}

fn people(page: &LaunchesPage) -> AnyView {
    if page.clinicians.is_empty() {
        return view! {
            <section class="panel" aria-label="People">
                <Empty
                    icon=icondata::LuUsers
                    title="Nobody has come yet"
                    text="Give the launch URL of a provider's registration sheet to the EHR. Whoever then opens the application from a chart is listed here, and waits for your approval."
                >
                    <a class="btn" href="/settings/ehr-integrations">"EHR integrations"</a>
                </Empty>
            </section>
        }
        .into_any();
    }
    let rows: Vec<_> = page.clinicians.iter().map(|person| person_row(person, page.may_manage, page.now)).collect();
    view! {
        <section class="panel" aria-label="People">
            <table class="grid-table">
                <thead>
                    <tr>
                        <th scope="col">"Person, as the EHR names them"</th>
                        <th scope="col">"Approval"</th>
                        <th scope="col">"Last came"</th>
                        <th scope="col"><span class="sr-only">"Actions"</span></th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </section>
    }
    .into_any()
}

fn person_row(person: &ClinicianView, may_manage: bool, now: Timestamp) -> AnyView {
    let (tone, word) = match person.status {
        ClinicianStatus::Pending => (Tone::Attention, "Waits for approval"),
        ClinicianStatus::Approved => (Tone::Good, "Approved"),
        ClinicianStatus::Refused => (Tone::Bad, "Refused"),
    };
    let name = person.name.clone().unwrap_or_else(|| "Name not given".into());
    let decide = |status: ClinicianStatus, label: &'static str| {
        let about = format!("{label} {name}");
        (may_manage && person.status != status).then(|| {
            let id = person.id.to_string();
            view! {
                <form method="post" action=DecideClinician::PATH>
                    <input type="hidden" name="clinician" value=id/>
                    <input type="hidden" name="decision" value=status.as_str()/>
                    <button class="btn btn-sm" aria-label=about>{label}</button>
                </form>
            }
        })
    };
    view! {
        <tr data-clinician=name.clone()>
            <td>
                <span class="font-medium">{name.clone()}</span>
                <code class="muted small block break-all" title=person.issuer.clone()>{record(person)}</code>
            </td>
            <td data-label="Approval">{badge(tone, word)}</td>
            <td class="whitespace-nowrap" data-label="Last came">{ago(person.last_seen_at, now)}</td>
            <td>
                <div class="flex gap-2 md:justify-end">
                    {decide(ClinicianStatus::Approved, "Approve")} {decide(ClinicianStatus::Refused, "Refuse")}
                </div>
            </td>
        </tr>
    }
    .into_any()
}

/// The user's record without the server that it is on; else who vouches for them.
fn record(person: &ClinicianView) -> String {
    let mut parts = person.fhir_user.as_deref().unwrap_or_default().rsplitn(3, '/');
    match (parts.next(), parts.next()) {
        (Some(id), Some(kind)) => format!("{kind}/{id}"),
        _ => person.issuer.clone(),
    }
}

fn open(page: &LaunchesPage) -> Option<AnyView> {
    let rows: Vec<_> = page.launches.iter().map(|launch| launch_row(launch, page.may_manage, page.now)).collect();
    (!rows.is_empty()).then(|| {
        view! {
            <Panel id="open" title="Launches" text="Each ends with its access token. Whose chart it was is in the EHR.">
                <table class="grid-table">
                    <thead>
                        <tr>
                            <th scope="col">"Person"</th>
                            <th scope="col">"EHR"</th>
                            <th scope="col">"Opened"</th>
                            <th scope="col">"Ends"</th>
                            <th scope="col"><span class="sr-only">"Actions"</span></th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </Panel>
        }
        .into_any()
    })
}

fn launch_row(launch: &LaunchView, may_manage: bool, now: Timestamp) -> AnyView {
    let live = launch.ended_at.is_none() && launch.expires_at > now;
    let end = (live && may_manage).then(|| {
        let id = launch.id.to_string();
        view! {
            <form method="post" action=RevokeLaunch::PATH>
                <input type="hidden" name="launch" value=id/>
                <button class="btn btn-sm">"End now"</button>
            </form>
        }
    });
    view! {
        <tr data-launch=launch.id.to_string()>
            <td class="font-medium">{launch.clinician.clone().unwrap_or_else(|| "Without a name".into())}</td>
            <td data-label="EHR">{launch.provider.clone()}</td>
            <td data-label="Opened">{ago(launch.started_at, now)}</td>
            <td data-label="Ends">{ago(launch.ended_at.unwrap_or(launch.expires_at), now)}</td>
            <td class="md:text-right">{end}</td>
        </tr>
    }
    .into_any()
}

fn rules(page: &LaunchesPage, draft: Option<&Draft>, messages: Messages) -> AnyView {
    let refused = draft.filter(|draft| draft.form == "save_launch_settings");
    let on = |key: &str, saved: bool| refused.map_or(saved, |_| typed(refused, key) == "true");
    let origins = refused.map_or_else(|| page.settings.frame_origins.join(" "), |_| typed(refused, "frame_origins"));
    let (auto_approve, allow_anonymous) =
        (on("auto_approve", page.settings.auto_approve), on("allow_anonymous", page.settings.allow_anonymous));
    let closed = !page.may_manage;
    view! {
        <Panel id="rules" title="What launches may do">
            <form method="post" action=SaveLaunchSettings::PATH>
                <fieldset class="space-y-5" disabled=closed>
                    <legend class="sr-only">"What launches may do"</legend>
                    {checkbox(
                        "auto_approve",
                        "Approve everyone whom the EHR sends",
                        "Without it, each person waits until you approve them once. They are clinicians, never more.",
                        None,
                        auto_approve,
                    )}
                    {checkbox(
                        "allow_anonymous",
                        "Show the patient to people without a name",
                        "For EHRs that do not say who opened the application. The audit trail then has no name either.",
                        None,
                        allow_anonymous,
                    )}
                    <Field
                        key="frame_origins"
                        label="Further EHR addresses"
                        help="Where the EHR's own pages are, if not at the issuer's address: only they may show us in a frame. Separate them by spaces."
                        placeholder="https://ehr.example.com"
                        value=origins
                        optional=true
                        messages=messages
                    />
                    <button class="btn btn-primary" id="save-rules">"Save"</button>
                </fieldset>
            </form>
        </Panel>
    }
    .into_any()
}
