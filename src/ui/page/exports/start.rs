//! The form that starts an export. What was typed before it was refused is in it again.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use crate::api::exports::StartExport;
use crate::model::draft::Draft;
use crate::model::export::ExportsPage;
use crate::model::export::form::SINCE_TIME;
use crate::model::export::request::SINCE_LAST;
use crate::ui::page::typed;
use crate::ui::part::field::{Choices, Field, Lines};
use crate::ui::part::icon::icon;
use crate::ui::part::message::Messages;
use crate::ui::part::options::{Choice, options};

const LEVELS: [Choice; 3] = [
    Choice { value: "patient", label: "All patients", text: "Every patient whom the EHR lets us see." },
    Choice { value: "group", label: "A group", text: "The patients of a list that the EHR keeps." },
    Choice { value: "system", label: "Everything", text: "Also what belongs to no patient. Few EHRs offer it." },
];

const SINCE: [Choice; 3] = [
    Choice { value: "", label: "All records", text: "However old they are." },
    Choice { value: SINCE_LAST, label: "What is new", text: "Changed since the last complete export of the same." },
    Choice { value: SINCE_TIME, label: "Since a time", text: "Changed since a day of your choice." },
];

/// The labels of the fields that can be refused.
pub(super) fn labels() -> Vec<(String, String)> {
    let labels = [
        ("groupId", "Group id"),
        ("types", "Record types"),
        ("since", "Changed since"),
        ("typeFilters", "Filters"),
        ("elements", "Elements"),
        ("patients", "Patients"),
    ];
    labels.map(|(key, label)| (key.to_owned(), label.to_owned())).into()
}

/// The panel: open where there is nothing else to look at, or where the form was refused.
pub(super) fn panel(page: &ExportsPage, draft: Option<&Draft>, messages: Messages) -> AnyView {
    let refused = draft.filter(|draft| draft.form == "start_export");
    let open = refused.is_some() || page.exports.is_empty();
    view! {
        <details class="panel group/start" id="start" open=open>
            <summary class="flex items-center gap-4 rounded-box p-5 sm:px-6">
                <span class="icon-tile">{icon(icondata::LuDatabaseBackup, "size-5")}</span>
                <span class="min-w-0 flex-1">
                    <h2 class="title-2">"Start an export"</h2>
                    <span class="muted small block">"Choose whose records you want, and which. One export at a time with each EHR."</span>
                </span>
                <span class="muted transition-transform group-open/start:rotate-180">{icon(icondata::LuChevronDown, "size-5")}</span>
            </summary>
            <div class="border-t border-base-300 p-5 sm:p-6">{form(page, refused, messages)}</div>
        </details>
    }
    .into_any()
}

fn form(page: &ExportsPage, refused: Option<&Draft>, messages: Messages) -> AnyView {
    let typed = |key: &str| typed(refused, key);
    let providers = page.providers.iter().map(|provider| (provider.id.to_string(), provider.name.clone())).collect();
    let level = Some(typed("level")).filter(|level| !level.is_empty()).unwrap_or_else(|| "patient".into());
    view! {
        <form method="post" action=StartExport::PATH class="space-y-6" novalidate=true>
            <Choices key="provider" label="From" value=typed("provider") options=providers messages=messages/>
            <div class="group/level space-y-4">
                {options("wanted[level]", "Whose records", &level, &LEVELS)}
                <div class="hidden group-has-[[value=group]:checked]/level:block">
                    <Field
                        key="groupId"
                        name="wanted[group_id]"
                        label="Group id"
                        help="The id of the Group resource. Ask the EHR's administrator or vendor which groups there are."
                        value=typed("group_id")
                        messages=messages
                    />
                </div>
            </div>
            <div class="group/since space-y-4">
                {options("wanted[since]", "Which of them", &typed("since"), &SINCE)}
                <div class="hidden group-has-[[value=time]:checked]/since:block">
                    <Field
                        key="since"
                        name="wanted[since_at]"
                        label="Changed since"
                        help="A day, or a time with its zone, for example 2026-06-30T08:00:00Z."
                        placeholder="2026-06-30"
                        value=typed("since_at")
                        messages=messages
                    />
                </div>
            </div>
            <Field
                key="types"
                name="wanted[types]"
                label="Record types"
                help="FHIR resource types as FHIR spells them, separated by commas or spaces. Leave it empty for all that the EHR gives."
                placeholder="Patient, Observation, DocumentReference"
                value=typed("types")
                optional=true
                messages=messages
            />
            {more(refused, messages)}
            <button class="btn btn-primary" id="start-export">{icon(icondata::LuPlay, "size-4")} "Start export"</button>
        </form>
    }
    .into_any()
}

fn more(refused: Option<&Draft>, messages: Messages) -> AnyView {
    let typed = |key: &str| typed(refused, key);
    let open = ["type_filters", "elements", "patients"].iter().any(|key| !typed(key).is_empty());
    view! {
        <details class="group/more" open=open id="more-options">
            <summary class="inline-flex items-center gap-2 font-medium">
                <span class="transition-transform group-open/more:rotate-90">{icon(icondata::LuChevronRight, "size-4")}</span>
                "More options"
            </summary>
            <div class="mt-4 space-y-5 border-l-2 border-base-300 pl-4 sm:pl-6">
                <Lines
                    key="typeFilters"
                    name="wanted[type_filters]"
                    label="Filters"
                    help="Searches that narrow a type, one a line. Many EHRs ignore them or refuse them."
                    placeholder="Observation?category=laboratory"
                    value=typed("type_filters")
                    messages=messages
                />
                <Field
                    key="elements"
                    name="wanted[elements]"
                    label="Elements"
                    help="Only these elements of each record, separated by commas or spaces. The records are then incomplete, and marked so."
                    placeholder="id, Patient.birthDate"
                    value=typed("elements")
                    optional=true
                    messages=messages
                />
                <Field
                    key="patients"
                    name="wanted[patients]"
                    label="Patients"
                    help="Only these patients, by their FHIR ids, separated by commas or spaces."
                    value=typed("patients")
                    optional=true
                    messages=messages
                />
            </div>
        </details>
    }
    .into_any()
}
