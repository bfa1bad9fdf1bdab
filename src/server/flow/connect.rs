//! Standalone connect: sending a member's browser to the EHR, and keeping what it grants.
//!
//! SMART App Launch 2.2, "Standalone Launch". Guards: tokens go straight into the vault; a connection
//! replaces the provider's earlier one, and nothing else.

use super::authorization::{self, Ask, Granted, Started};
use super::recorder::Recorder;
use super::sealed::Holder;
use super::{Actor, Caller, client};
use crate::model::connection::ConnectionStatus;
use crate::model::id::{ConnectionId, ProviderId};
use crate::model::provider::WriteFlags;
use crate::model::recording::StepName;
use crate::model::role::Permission;
use crate::model::scope::Scope;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::provider::{self, Provider};
use crate::server::smart::authorize::AuthorizationAnswer;
use crate::server::smart::id_token::Identity;
use crate::server::store::connection::{self, Connection};
use crate::server::store::flow::{FlowKind, FlowRow};
use crate::server::store::{StoreError, audit};

/// The scopes of a standalone connect: the flow's own, then the provider's defaults or
/// `SMART_DEFAULT_SCOPES`, then what the write flags add.
pub fn scopes_to_ask(app: &App, plugin: &dyn Provider, flags: WriteFlags) -> Vec<Scope> {
    // `launch` alone belongs to launches that the EHR starts.
    client::scopes(app, plugin, flags, "launch/patient", &["launch"])
}

/// Starts a standalone connect.
///
/// # Errors
/// `forbidden`, `not_found`, `invalid_input` when the provider is off or not filled, `invalid_issuer`,
/// `discovery_failed`, `ehr_unavailable`, `pkce_required`, `client_auth_failed`, `key_not_approved`.
pub async fn start(app: &App, caller: &Caller, id: &ProviderId) -> Outcome<Started> {
    caller.require(Permission::Connect)?;
    let ready = match client::ready(app, &caller.practice, id).await {
        Ok(ready) => ready,
        Err(failure) => {
            if provider::by_id(id).is_some() {
                Recorder::refused(app, caller, id, FlowKind::Connect, (failure.code(), &[])).await;
            }
            return Err(failure);
        }
    };
    let scopes = scopes_to_ask(app, ready.plugin, ready.flags);
    authorization::begin(app, caller, &Ask { ready: &ready, scopes: &scopes, launch: None }).await
}

/// Keeps what the EHR's answer grants.
///
/// # Errors
/// What the EHR answered, `conflict` when the settings changed meanwhile, and everything of the token
/// exchange and the identity token.
pub async fn finish(app: &App, answer: &AuthorizationAnswer, row: &FlowRow, request_id: &str) -> Outcome<()> {
    let caller = Caller { practice: row.practice.clone(), actor: Actor::Browser, request_id: request_id.into() };
    let mut recorder = Recorder::resume(app, row, request_id).await;
    let result = complete(app, answer, row, &caller, &mut recorder).await;
    recorder.end(app, &result).await;
    let outcome = result.as_ref().err().map_or("ok", |failure| failure.code().name());
    let event = caller.event(app, "connection.made", row.provider.as_str(), outcome);
    audit::add(app.db.pool(), &event).await.map_err(Failure::from)?;
    result
}

async fn complete(
    app: &App,
    answer: &AuthorizationAnswer,
    row: &FlowRow,
    caller: &Caller,
    recorder: &mut Recorder,
) -> Outcome<()> {
    let Granted { terms, tokens, identity, scopes_offered, .. } =
        authorization::redeem(app, answer, row, recorder).await?;
    recorder.step(app, StepName::Kept);
    let id = ConnectionId::new(app.ids.mint());
    let holder = Holder { practice: &row.practice, table: "connections", row: id.as_str(), terms: &terms };
    let sealed = holder.seal(app, &tokens)?;
    let connection = Connection {
        id,
        practice: caller.practice.clone(),
        provider: row.provider.clone(),
        status: ConnectionStatus::Connected,
        terms,
        scopes_granted: sealed.scopes_granted,
        scopes_offered,
        patient: sealed.patient,
        fhir_user: identity.as_ref().and_then(Identity::user).map(str::to_owned),
        access_token: Some(sealed.access_token),
        refresh_token_at: sealed.refresh_token.is_some().then(|| app.clock.now()),
        refresh_token: sealed.refresh_token,
        expires_at: sealed.expires_at,
        connected_at: app.clock.now(),
        refreshed_at: None,
        last_problem: None,
        capabilities: None,
        capabilities_at: None,
        lease_fence: 0,
    };
    let mut tx = app.db.begin_write().await?;
    connection::replace(&mut tx, &connection).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}
