//! `/settings/ehr-integrations/:provider`: settings, connection and registration of one provider.

mod connection;
mod flags;
mod form;
mod registration;
mod scopes;
mod tested;

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

use crate::api;
use crate::model::draft::Draft;
use crate::model::id::ProviderId;
use crate::model::provider::{ProviderPage, ProviderWarning};
use crate::ui::browser::Answer;
use crate::ui::part::badge::status_badge;
use crate::ui::part::frame::Unsaved;
use crate::ui::part::icon::icon;
use crate::ui::part::loading::{Loaded, load, use_draft, with_data};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::panel::PageHeader;
use crate::ui::part::provider_switch::provider_switch;
use crate::ui::text::Notice;

/// What lives as long as the page does, while its data comes anew after every change.
#[derive(Clone, Copy)]
struct State {
    data: Loaded<ProviderPage>,
    messages: Messages,
    unsaved: Unsaved,
    /// Whether an address or tenant in the form differs from the saved one.
    moved: RwSignal<bool>,
    /// The revision that the form shows: with another one, the form takes the saved values.
    revision: StoredValue<Option<i64>>,
    /// Whether the form was saved since the page was opened: a draft that it came with is out of date.
    saved: StoredValue<bool>,
    /// The answer of the last test, as JSON.
    tested: RwSignal<Option<String>>,
}

impl State {
    /// What to do with the answer of a form: say it, and get the page's data anew.
    fn answered(self, done: impl Fn(&str) -> Notice + Send + Sync + 'static) -> Callback<Answer> {
        Callback::new(move |answer: Answer| match answer {
            Ok(text) => {
                self.messages.notice(done(&text));
                self.data.refetch();
            }
            Err(problem) => self.messages.refuse(problem),
        })
    }
}

/// The page.
pub fn provider() -> AnyView {
    let params = use_params_map();
    let id = move || params.with(|params| params.get("provider").unwrap_or_default());
    let data = load(id, |id| api::integrations::provider_page(ProviderId::new(id)));
    let state = State {
        data,
        messages: Messages::from_query(),
        unsaved: Unsaved::of_page(),
        moved: RwSignal::new(false),
        revision: StoredValue::new(None),
        saved: StoredValue::new(false),
        tested: RwSignal::new(None),
    };
    with_data(data, use_draft(), move |page, draft| body(&page, draft.as_ref(), state))
}

fn body(page: &ProviderPage, draft: Option<&Draft>, state: State) -> AnyView {
    state.messages.seed(draft);
    let labels = page.form.fields.iter().map(|field| (field.key.clone(), field.label.clone())).collect();
    let switched = state.answered(|_| Notice::Saved);
    let card = &page.card;
    let beside = view! {
        {status_badge(card.status)}
        <span class="ml-auto flex items-center gap-3">
            <span class="small muted" aria-hidden="true">{if card.enabled { "In use" } else { "Switched off" }}</span>
            {provider_switch(card, page.may_write, switched)}
        </span>
    }
    .into_any();
    view! {
        <Title text=card.name.clone()/>
        <PageHeader
            title=card.name.clone()
            text=card.summary.clone()
            up=("EHR integrations", "/settings/ehr-integrations")
        >
            {beside}
        </PageHeader>
        {message_area(state.messages, labels)}
        {page.warning.map(warning)}
        <div class="space-y-6">
            {connection::panel(page, draft, state)}
            {form::panel(page, draft, state)}
            {registration::panel(page.registration.clone())}
            {activation(page)}
        </div>
    }
    .into_any()
}

fn warning(warning: ProviderWarning) -> AnyView {
    let (title, text) = match warning {
        ProviderWarning::NoSigningKey => (
            "No signing key is configured",
            "This provider expects signed requests. Ask the operator to set EHR_JWT_PRIVATE_KEY, or enter a client secret; until then these settings cannot be saved.",
        ),
        ProviderWarning::KeyNotApproved => (
            "The signing key is not approved for this practice yet",
            "The operator approves each use of the installation's key with: ehr-integrations approve.",
        ),
    };
    view! {
        <div class="note note-warning mb-6" role="note" id="warning">
            {icon(icondata::LuTriangleAlert, "size-5")}
            <div><p class="font-semibold">{title}</p> <p class="mt-1">{text}</p></div>
        </div>
    }
    .into_any()
}

/// What the practice does in the EHR, and where the vendor says so.
fn activation(page: &ProviderPage) -> AnyView {
    let steps: Vec<_> =
        page.activation_steps.iter().map(|step| view! { <li><span>{step.clone()}</span></li> }).collect();
    let docs: Vec<_> = page
        .docs
        .iter()
        .map(|link| {
            view! {
                <li>
                    <a class="text-link" href=link.url.clone() target="_blank" rel="noreferrer">
                        {link.label.clone()}
                        <span class="sr-only">" (opens in a new tab)"</span>
                    </a>
                </li>
            }
        })
        .collect();
    view! {
        <div class="grid gap-6 lg:grid-cols-[minmax(0,3fr)_minmax(0,2fr)]">
            {(!steps.is_empty())
                .then(|| {
                    view! {
                        <section class="panel" id="activation" aria-labelledby="activation-heading">
                            <div class="panel-head"><h2 class="title-2" id="activation-heading">"Activate it in the EHR"</h2></div>
                            <div class="panel-body"><ol class="steps-list">{steps}</ol></div>
                        </section>
                    }
                })}
            <section class="panel" id="docs" aria-labelledby="docs-heading">
                <div class="panel-head"><h2 class="title-2" id="docs-heading">"Documentation"</h2></div>
                <div class="panel-body">
                    <ul class="space-y-2">
                        {docs}
                        <li><a class="text-link" rel="external" href="/troubleshooting">"Troubleshooting: every error and what to do"</a></li>
                    </ul>
                </div>
            </section>
        </div>
    }
    .into_any()
}
