//! The connection of a provider: where it stands, connect, test, disconnect.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use super::{State, scopes, tested};
use crate::api::integrations::{Disconnect, TestConnection};
use crate::model::connection::{ConnectionStatus, ConnectionView, Receipt, Revocation};
use crate::model::draft::Draft;
use crate::model::key::ChosenAuth;
use crate::model::provider::ProviderPage;
use crate::model::time::Timestamp;
use crate::ui::browser::Answer;
use crate::ui::page::shown_once;
use crate::ui::part::confirm::Confirm;
use crate::ui::part::icon::icon;
use crate::ui::part::panel::{Panel, fact};
use crate::ui::part::post_form::PostForm;
use crate::ui::part::time::ago;
use crate::ui::text::{self, Notice};

/// The panel.
pub fn panel(page: &ProviderPage, draft: Option<&Draft>, state: State) -> AnyView {
    let status = page.card.status;
    let live = page.connection.as_ref().filter(|_| status != ConnectionStatus::NotConnected);
    let facts = live.map(|connection| facts(connection, page.now));
    let scopes =
        live.filter(|connection| !connection.scopes.is_empty()).map(|connection| scopes::table(&connection.scopes));
    let lead = match status {
        ConnectionStatus::NotConnected => {
            "Standalone connect takes you to the EHR, where you sign in and approve the access. You come back here."
        }
        ConnectionStatus::Connected => "The EHR has granted access. Tokens stay on the server, encrypted.",
        ConnectionStatus::NeedsReconnect => "The EHR does not accept the connection any more. Connect again to go on.",
    };
    let draft_test = shown_once(draft, "test_connection");
    let test_answer = move || state.tested.get().or_else(|| draft_test.clone()).map(|json| tested::result(&json));
    let ended = live.and_then(|connection| ended(status, connection));
    let receipt = page.receipt.filter(|_| live.is_none()).map(|receipt| receipt_view(&receipt, page.now));
    let connect = connect_button(page);
    let actions = live.is_some().then(|| live_actions(page, state));
    view! {
        <Panel id="connection" title="Connection" text=lead>
            <div class="space-y-6">
                {ended}
                {facts}
                <div class="flex flex-wrap items-start gap-3">
                    {connect}
                    {actions}
                </div>
                {receipt}
                {test_answer}
                {scopes}
            </div>
        </Panel>
    }
    .into_any()
}

/// Why a connection ended.
fn ended(status: ConnectionStatus, connection: &ConnectionView) -> Option<AnyView> {
    let entry = connection.last_problem.filter(|_| status == ConnectionStatus::NeedsReconnect)?.entry();
    Some(
        view! {
            <div class="note note-warning" data-problem=entry.name>
                {icon(icondata::LuTriangleAlert, "size-5")}
                <div>
                    <p class="font-semibold">{entry.message}</p>
                    <p class="mt-1">{entry.cause}</p>
                    <p class="small mt-2">
                        <a class="text-link" rel="external" href=format!("/troubleshooting#{}", entry.name)>"More about this"</a>
                    </p>
                </div>
            </div>
        }
        .into_any(),
    )
}

fn facts(connection: &ConnectionView, now: Timestamp) -> AnyView {
    let access = match (connection.expires_at, connection.renews) {
        (_, true) if connection.online_only => "Renews itself while the user is signed in at the EHR".into_any(),
        (Some(at), true) => view! { "Renews itself; this token ends " {ago(at, now)} }.into_any(),
        (Some(at), false) => view! { "Ends " {ago(at, now)} ", then connect again" }.into_any(),
        (None, true) => "Renews itself".into_any(),
        (None, false) => "The EHR did not say how long".into_any(),
    };
    view! {
        <dl class="facts facts-2">
            {fact("Connected", ago(connection.connected_at, now))}
            {fact("Access", access)}
            {connection.refreshed_at.map(|at| fact("Last renewed", ago(at, now)))}
            {fact("We identify ourselves by", identity(connection))}
            {fact("Issuer", view! { <code>{connection.issuer.clone()}</code> })}
            {fact("FHIR base URL", view! { <code>{connection.fhir_base_url.clone()}</code> })}
            {connection.patient.clone().map(|id| fact("Patient chosen at the EHR", view! { <code>{id}</code> }))}
            {connection.fhir_user.clone().map(|user| fact("Granted by", view! { <code>{user}</code> }))}
        </dl>
    }
    .into_any()
}

/// How we prove ourselves, and why so.
fn identity(connection: &ConnectionView) -> AnyView {
    let ChosenAuth { method, algorithm, reason } = connection.auth;
    let algorithm = algorithm.map(|algorithm| format!(", {}", algorithm.as_str()));
    let reason = reason.map(|reason| view! { <span class="muted small block">{reason.describe()}</span> });
    view! { {text::auth_method(method)} {algorithm} {reason} }.into_any()
}

/// What the EHR said to the end of the last connection.
fn receipt_view(receipt: &Receipt, now: Timestamp) -> AnyView {
    let line =
        |token: &'static str, answer: Option<Revocation>| answer.map(|answer| fact(token, text::revocation(answer)));
    view! {
        <dl class="facts facts-2" id="receipt">
            {fact("Last disconnected", ago(receipt.at, now))}
            {line("Refresh token", receipt.refresh_token)}
            {line("Access token", receipt.access_token)}
        </dl>
    }
    .into_any()
}

/// Why a connect cannot be started now, if so.
fn obstacle(page: &ProviderPage) -> Option<&'static str> {
    if !page.may_connect {
        Some("Your role may not connect. Ask an administrator of your practice.")
    } else if !page.card.configured {
        Some("Fill in and save the settings below first.")
    } else if !page.card.enabled {
        Some("This provider is switched off. Switch it on at the top of this page first.")
    } else {
        None
    }
}

fn connect_button(page: &ProviderPage) -> AnyView {
    if let Some(obstacle) = obstacle(page) {
        return view! {
            <div class="space-y-2">
                <button type="button" class="btn btn-primary" id="connect" disabled=true aria-describedby="connect-obstacle">
                    "Standalone connect"
                </button>
                <p class="muted small flex items-start gap-1.5" id="connect-obstacle">
                    {icon(icondata::LuInfo, "size-4 mt-0.5 flex-none")}
                    {obstacle}
                </p>
            </div>
        }
        .into_any();
    }
    let connected = page.card.status == ConnectionStatus::Connected;
    let (class, label) = if connected { ("btn", "Connect again") } else { ("btn btn-primary", "Standalone connect") };
    view! {
        <a
            class=class
            id="connect"
            rel="external"
            href=format!("/api/integrations/ehr/login?providerId={}", page.card.id)
        >
            {icon(icondata::LuLink, "size-4")}
            {label}
        </a>
    }
    .into_any()
}

/// Test and disconnect.
fn live_actions(page: &ProviderPage, state: State) -> AnyView {
    let tested = Callback::new(move |answer: Answer| match answer {
        Ok(json) => {
            state.messages.clear();
            state.tested.set(Some(json));
        }
        Err(problem) => {
            state.tested.set(None);
            state.messages.refuse(problem);
            // A test can find out that the grant has ended.
            state.data.refetch();
        }
    });
    let disconnected = state.answered(move |json| {
        state.tested.set(None);
        let revocation = serde_json::from_str(json).unwrap_or(Revocation::Failed);
        Notice::of_revocation(revocation)
    });
    let may = page.may_connect;
    let provider = page.card.id.to_string();
    let question = "We revoke the access at the EHR where it offers that, and delete the tokens here. Settings stay. To use the EHR again, somebody has to connect again.";
    let also = provider.clone();
    view! {
        <PostForm action=TestConnection::PATH on_answer=tested>
            <input type="hidden" name="provider" value=provider/>
            <button class="btn" id="test-connection" disabled=!may>
                {icon(icondata::LuActivity, "size-4")}
                "Test connection"
            </button>
        </PostForm>
        {may
            .then(|| {
                view! {
                    <Confirm
                        id="disconnect-confirm"
                        label=view! { {icon(icondata::LuUnplug, "size-4")} "Disconnect" }.into_any()
                        question
                    >
                        <PostForm action=Disconnect::PATH on_answer=disconnected>
                            <input type="hidden" name="provider" value=also/>
                            <button class="btn btn-sm btn-error" id="disconnect">"Disconnect now"</button>
                        </PostForm>
                    </Confirm>
                }
            })}
    }
    .into_any()
}
