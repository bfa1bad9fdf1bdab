//! Ending a connection: at the EHR where it can be, and here always.

use super::{Caller, retire};
use crate::model::connection::Receipt;
use crate::model::id::ProviderId;
use crate::model::problem::Code;
use crate::model::role::Permission;
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::store::{StoreError, audit, connection, receipt};

/// Revokes the tokens at the EHR (refresh token first: with it the grant goes), deletes them here,
/// and says honestly what the EHR confirmed.
///
/// # Errors
/// `not_found` without a connection, `forbidden`.
pub async fn disconnect(app: &App, caller: &Caller, provider: &ProviderId) -> Outcome<Receipt> {
    caller.require(Permission::Connect)?;
    let found = connection::find(app.db.pool(), &caller.practice, provider).await?;
    let connection = found.ok_or(Code::NotFound)?;
    let receipt = retire::connection(app, &connection).await.revoke(app).await;
    let outcome = receipt.summary().outcome();
    let mut tx = app.db.begin_write().await?;
    connection::remove(&mut tx, &caller.practice, provider).await?;
    receipt::put(&mut *tx, &caller.practice, provider, &receipt).await?;
    audit::add(&mut *tx, &caller.event(app, "connection.disconnected", provider.as_str(), outcome)).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(receipt)
}
