//! `/account/two-factor`: switches the second factor on.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_meta::Title;

use crate::api;
use crate::api::account::TotpConfirm;
use crate::model::account::TotpSetup;
use crate::model::body::Body;
use crate::model::problem::{Code, Problem};
use crate::ui::browser::Answer;
use crate::ui::part::copy::copy_value;
use crate::ui::part::empty::Empty;
use crate::ui::part::field::Field;
use crate::ui::part::icon::icon;
use crate::ui::part::loading::{load_once, use_draft, with_data};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::panel::PageHeader;
use crate::ui::part::post_form::PostForm;
use crate::ui::part::recovery::recovery_codes;

/// What the page knows: a second factor that waits, or that there is one already.
type Waiting = Option<TotpSetup>;

/// The page.
pub fn two_factor() -> AnyView {
    let messages = Messages::from_query();
    let codes = RwSignal::new(None::<Vec<String>>);
    let waiting = load_once(waiting);
    let body = with_data(waiting, use_draft(), move |waiting: Waiting, draft| {
        messages.seed(draft.as_ref());
        let body = move || match (codes.get(), &waiting) {
            (Some(codes), _) => recovery_codes(codes),
            (None, Some(setup)) => form(setup, codes, messages),
            (None, None) => already_on(),
        };
        view! {
            <PageHeader
                title="Two-factor sign-in"
                text="Besides your password you enter a code from an authenticator app on your phone."
                up=("Your account", "/account")
            />
            {message_area(messages, Vec::new())}
            {body}
        }
        .into_any()
    });
    view! { <Title text="Two-factor sign-in"/> {body} }.into_any()
}

async fn waiting() -> Result<Body<Waiting>, Problem> {
    match api::account::totp_setup().await {
        Ok(setup) => Ok(setup.into_option()),
        Err(problem) if problem.code == Code::Conflict => Ok(Body::none()),
        Err(problem) => Err(problem),
    }
}

fn already_on() -> AnyView {
    view! {
        <div class="panel">
            <Empty
                icon=icondata::LuShieldCheck
                title="Two-factor sign-in is on"
                text="To move it to another phone, switch it off on your account page and set it up again."
            >
                <a class="btn" href="/account">"Your account"</a>
            </Empty>
        </div>
    }
    .into_any()
}

fn form(setup: &TotpSetup, codes: RwSignal<Option<Vec<String>>>, messages: Messages) -> AnyView {
    let confirmed = Callback::new(move |answer: Answer| match answer {
        Ok(json) => {
            messages.clear();
            codes.set(Some(serde_json::from_str(&json).unwrap_or_default()));
        }
        Err(problem) => messages.refuse(problem),
    });
    view! {
        <section class="panel" aria-label="Set up">
            <div class="panel-body">
                <ol class="steps-list gap-y-8">
                    <li>
                        <div class="min-w-0">
                            <h2 class="title-3">"Add the account to your authenticator"</h2>
                            <p class="muted small mb-3">
                                "Scan the picture with the app. On this phone, open the link instead; or type the key: time-based, six digits."
                            </p>
                            <img class="mb-3 rounded-field" src=setup.qr.clone() width="180" height="180" alt="QR code of the key below"/>
                            <a class="btn btn-sm mb-3" href=setup.url.clone() rel="external" id="totp-link">
                                {icon(icondata::LuExternalLink, "size-4")}
                                "Open in an authenticator app"
                            </a>
                            <div id="totp-secret">{copy_value("key", setup.secret.clone())}</div>
                        </div>
                    </li>
                    <li>
                        <div class="min-w-0">
                            <h2 class="title-3 mb-3">"Enter the code that it shows"</h2>
                            <PostForm action=TotpConfirm::PATH on_answer=confirmed class="max-w-xs space-y-4">
                                <Field key="code" label="Code" autocomplete="one-time-code" help="Six digits." messages/>
                                <button class="btn btn-primary" id="totp-confirm">"Switch on"</button>
                            </PostForm>
                        </div>
                    </li>
                </ol>
            </div>
        </section>
    }
    .into_any()
}
