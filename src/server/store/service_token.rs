//! `service_tokens`: access tokens of backend services, one for each provider and set of scopes.
//!
//! Guards: tokens are sealed before they come here; a new one is written only by the holder of the lease,
//! under its fence, so that many downloads in many processes ask for one token.

use sqlx::Row;

use super::{Database, Stored, Tx, hit_one};
use crate::model::id::{PracticeId, ProviderId};
use crate::model::time::Timestamp;

/// Which token.
#[derive(Clone, Debug)]
pub struct ServiceKey {
    /// Whose.
    pub practice: PracticeId,
    /// At which provider.
    pub provider: ProviderId,
    /// For what, as it was asked.
    pub scopes: String,
}

/// A token and what it was agreed on.
#[derive(Clone)]
pub struct ServiceToken {
    /// The EHR's issuer.
    pub issuer: String,
    /// Where it came from.
    pub token_endpoint: String,
    /// As whom.
    pub client_id: String,
    /// Sealed; `None` before the first one came.
    pub access_token: Option<Vec<u8>>,
    /// When it came.
    pub obtained_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A token that came.
pub struct NewToken {
    /// Sealed.
    pub access_token: Vec<u8>,
    /// As the answer says.
    pub scopes_granted: Option<String>,
    /// When it came.
    pub obtained_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// The token, if there is a row of it.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &Database, key: &ServiceKey) -> Stored<Option<ServiceToken>> {
    let row = sqlx::query(
        "SELECT issuer, token_endpoint, client_id, access_token, obtained_at, expires_at FROM service_tokens \
         WHERE practice_id = $1 AND provider_id = $2 AND scopes = $3",
    )
    .bind(key.practice.to_string())
    .bind(key.provider.to_string())
    .bind(key.scopes.clone())
    .fetch_optional(db.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(ServiceToken {
        issuer: row.try_get("issuer")?,
        token_endpoint: row.try_get("token_endpoint")?,
        client_id: row.try_get("client_id")?,
        access_token: row.try_get("access_token")?,
        obtained_at: Timestamp(row.try_get("obtained_at")?),
        expires_at: Timestamp(row.try_get("expires_at")?),
    }))
}

/// Takes the lease until `until`, if nobody holds it, and makes the row that holds it. Answers the fence.
///
/// # Errors
/// When the database fails.
pub async fn take_lease(
    db: &Database,
    key: &ServiceKey,
    agreed: &ServiceToken,
    now: Timestamp,
    until: Timestamp,
) -> Stored<Option<i64>> {
    let row = sqlx::query(
        "INSERT INTO service_tokens (practice_id, provider_id, scopes, issuer, token_endpoint, client_id, \
         lease_until, lease_fence) VALUES ($1, $2, $3, $4, $5, $6, $8, 1) \
         ON CONFLICT (practice_id, provider_id, scopes) DO UPDATE SET lease_until = excluded.lease_until, \
         lease_fence = service_tokens.lease_fence + 1 WHERE service_tokens.lease_until <= $7 RETURNING lease_fence",
    )
    .bind(key.practice.to_string())
    .bind(key.provider.to_string())
    .bind(key.scopes.clone())
    .bind(agreed.issuer.clone())
    .bind(agreed.token_endpoint.clone())
    .bind(agreed.client_id.clone())
    .bind(now.0)
    .bind(until.0)
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|row| row.try_get("lease_fence")).transpose()?)
}

/// Keeps a new token with what it was agreed on, and gives the lease back.
///
/// # Errors
/// [`StoreError::NotOne`](super::StoreError::NotOne) when the fence is not ours any more.
pub async fn save(tx: &mut Tx, key: &ServiceKey, agreed: &ServiceToken, token: &NewToken, fence: i64) -> Stored<()> {
    let result = sqlx::query(
        "UPDATE service_tokens SET issuer = $5, token_endpoint = $6, client_id = $7, access_token = $8, \
         scopes_granted = $9, obtained_at = $10, expires_at = $11, lease_until = 0 \
         WHERE practice_id = $1 AND provider_id = $2 AND scopes = $3 AND lease_fence = $4",
    )
    .bind(key.practice.to_string())
    .bind(key.provider.to_string())
    .bind(key.scopes.clone())
    .bind(fence)
    .bind(agreed.issuer.clone())
    .bind(agreed.token_endpoint.clone())
    .bind(agreed.client_id.clone())
    .bind(token.access_token.clone())
    .bind(token.scopes_granted.clone())
    .bind(token.obtained_at.0)
    .bind(token.expires_at.0)
    .execute(&mut **tx)
    .await?;
    hit_one(&result, "service token")
}

/// Gives the lease back without a token.
///
/// # Errors
/// When the database fails.
pub async fn release_lease(db: &Database, key: &ServiceKey, fence: i64) -> Stored<()> {
    sqlx::query(
        "UPDATE service_tokens SET lease_until = 0 \
         WHERE practice_id = $1 AND provider_id = $2 AND scopes = $3 AND lease_fence = $4",
    )
    .bind(key.practice.to_string())
    .bind(key.provider.to_string())
    .bind(key.scopes.clone())
    .bind(fence)
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Drops every token of a provider.
///
/// # Errors
/// When the database fails.
pub async fn forget(tx: &mut Tx, practice: &PracticeId, provider: &ProviderId) -> Stored<()> {
    sqlx::query("DELETE FROM service_tokens WHERE practice_id = $1 AND provider_id = $2")
        .bind(practice.to_string())
        .bind(provider.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
