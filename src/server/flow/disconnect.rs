//! Ending a connection: at the EHR where it can be, and here always.

use super::Caller;
use super::client::{configured, credential, token_client};
use super::sealed::{token_binding, token_place};
use crate::model::connection::Revocation;
use crate::model::id::ProviderId;
use crate::model::problem::Code;
use crate::model::role::Permission;
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::smart::revoke::{Kind, revoke};
use crate::server::smart::token::TokenClient;
use crate::server::store::connection::{self, Connection};
use crate::server::store::{StoreError, audit};

/// Revokes the tokens at the EHR (refresh token first: with it the grant goes), deletes them here,
/// and says honestly what the EHR confirmed.
///
/// # Errors
/// `not_found` without a connection, `forbidden`.
pub async fn disconnect(app: &App, caller: &Caller, provider: &ProviderId) -> Outcome<Revocation> {
    caller.require(Permission::Connect)?;
    let found = connection::find(app.db.pool(), &caller.practice, provider).await?;
    let connection = found.ok_or(Code::NotFound)?;
    let revocation = revoke_at_ehr(app, caller, &connection).await;
    let outcome = match revocation {
        Revocation::Confirmed => "ok",
        Revocation::NotOffered => "not_offered",
        Revocation::Failed => "revocation_failed",
    };
    let mut tx = app.db.begin_write().await?;
    connection::remove(&mut tx, &caller.practice, provider).await?;
    audit::add(&mut *tx, &caller.event(app, "connection.disconnected", provider.as_str(), outcome)).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(revocation)
}

async fn revoke_at_ehr(app: &App, caller: &Caller, connection: &Connection) -> Revocation {
    let Some(endpoint) = &connection.terms.revocation_endpoint else { return Revocation::NotOffered };
    match revoke_tokens(app, caller, connection, endpoint).await {
        Ok(()) => Revocation::Confirmed,
        Err(failure) => {
            tracing::info!(connection.id = %connection.id, error = %failure, "revocation failed");
            Revocation::Failed
        }
    }
}

async fn revoke_tokens(app: &App, caller: &Caller, connection: &Connection, endpoint: &str) -> Outcome<()> {
    use crate::server::failure::Failure;
    let ready = configured(app, &caller.practice, &connection.provider).await?;
    let bound_to = token_binding(&connection.terms);
    let tokens = [
        (connection.refresh_token.as_ref(), "refresh_token", Kind::Refresh),
        (connection.access_token.as_ref(), "access_token", Kind::Access),
    ];
    for (sealed, column, kind) in tokens {
        let Some(sealed) = sealed else { continue };
        let token = app.vault.open(token_place(&connection.practice, &connection.id, column, &bound_to), sealed)?;
        // An assertion is good for one request.
        let credential = credential(app, &ready, &connection.terms)?;
        let client = TokenClient { endpoint, ..token_client(app, &ready, &connection.terms, &credential) };
        revoke(&client, &token, kind)
            .await
            .map_err(|error| Failure::explained(Code::EhrUnavailable, error.to_string()))?;
    }
    Ok(())
}
