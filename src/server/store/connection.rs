//! `connections`: the grants that EHRs gave to practices, one per practice and provider.
//!
//! Guards: tokens are sealed before they come here; a renewed token is written only by the holder of
//! the lease, under its fence, so that two replicas never use one refresh token twice.

use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

use super::{Database, StoreError, Stored, Tx, hit_one};
use crate::model::connection::{AuthMethod, ConnectionStatus};
use crate::model::id::{ConnectionId, PracticeId, ProviderId};
use crate::model::key::{AuthReason, ChosenAuth, KeyAlgorithm};
use crate::model::problem::Code;
use crate::model::time::Timestamp;

/// A connection.
#[derive(Clone)]
pub struct Connection {
    /// Which.
    pub id: ConnectionId,
    /// Whose.
    pub practice: PracticeId,
    /// With which provider.
    pub provider: ProviderId,
    /// Where it stands.
    pub status: ConnectionStatus,
    /// What was agreed when it was made.
    pub terms: Terms,
    /// What the EHR granted, as its token answer says; `None` when it did not say.
    pub scopes_granted: Option<String>,
    /// What the EHR lists as its scopes; `None` when it lists none.
    pub scopes_offered: Option<String>,
    /// The patient of the grant.
    pub patient: Option<String>,
    /// The user who granted it.
    pub fhir_user: Option<String>,
    /// Sealed.
    pub access_token: Option<Vec<u8>>,
    /// Sealed.
    pub refresh_token: Option<Vec<u8>>,
    /// Since when we have the refresh token, if there is one.
    pub refresh_token_at: Option<Timestamp>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// When the connection was made.
    pub connected_at: Timestamp,
    /// When the access token was last renewed.
    pub refreshed_at: Option<Timestamp>,
    /// Why it ended.
    pub last_problem: Option<Code>,
    /// A summary of the CapabilityStatement as it was last read, in JSON.
    pub capabilities: Option<String>,
    /// When it was read.
    pub capabilities_at: Option<Timestamp>,
    /// The taker's number of the renewal lease.
    pub lease_fence: i64,
}

/// What was agreed when a connection was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The EHR's issuer.
    pub issuer: String,
    /// The FHIR base URL.
    pub fhir_base: String,
    /// Where tokens come from.
    pub token_endpoint: String,
    /// Where tokens are revoked, if anywhere.
    pub revocation_endpoint: Option<String>,
    /// As whom.
    pub client_id: String,
    /// How we prove ourselves, and why so.
    pub auth: ChosenAuth,
    /// What was asked for.
    pub scopes_requested: String,
}

impl Terms {
    /// Whether this scope was asked for.
    pub fn asked_for(&self, scope: &str) -> bool {
        self.scopes_requested.split_ascii_whitespace().any(|asked| asked == scope)
    }
}

/// Tokens, sealed, and what came with them.
#[derive(Clone)]
pub struct SealedTokens {
    /// Sealed.
    pub access_token: Vec<u8>,
    /// Sealed.
    pub refresh_token: Option<Vec<u8>>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// As the token answer says.
    pub scopes_granted: Option<String>,
    /// As the token answer says.
    pub patient: Option<String>,
}

/// The one list of columns: a macro, because SQL text has to be a literal.
macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, practice_id, provider_id, status, issuer, fhir_base, token_endpoint, revocation_endpoint, \
             client_id, auth_method, signing_algorithm, auth_reason, scopes_requested, scopes_granted, \
             scopes_offered, patient, fhir_user, access_token, refresh_token, refresh_token_at, expires_at, connected_at, refreshed_at, last_problem, \
             capabilities, capabilities_at, lease_fence FROM connections ",
            $tail
        )
    };
}

fn read(row: &AnyRow) -> Stored<Connection> {
    let text = |column: &'static str| row.try_get::<String, _>(column);
    let optional = |column: &'static str| row.try_get::<Option<String>, _>(column);
    let time = |column: &'static str| row.try_get::<Option<i64>, _>(column).map(|time| time.map(Timestamp));
    let corrupt = StoreError::Corrupt;
    Ok(Connection {
        id: ConnectionId::new(text("id")?),
        practice: PracticeId::new(text("practice_id")?),
        provider: ProviderId::new(text("provider_id")?),
        status: ConnectionStatus::parse(&text("status")?).ok_or(corrupt("connections.status"))?,
        terms: Terms {
            issuer: text("issuer")?,
            fhir_base: text("fhir_base")?,
            token_endpoint: text("token_endpoint")?,
            revocation_endpoint: row.try_get("revocation_endpoint")?,
            client_id: text("client_id")?,
            auth: ChosenAuth {
                method: AuthMethod::parse(&text("auth_method")?).ok_or(corrupt("connections.auth_method"))?,
                algorithm: optional("signing_algorithm")?.as_deref().and_then(KeyAlgorithm::parse),
                reason: optional("auth_reason")?.as_deref().and_then(AuthReason::parse),
            },
            scopes_requested: text("scopes_requested")?,
        },
        scopes_granted: row.try_get("scopes_granted")?,
        scopes_offered: optional("scopes_offered")?,
        patient: row.try_get("patient")?,
        fhir_user: row.try_get("fhir_user")?,
        access_token: row.try_get("access_token")?,
        refresh_token: row.try_get("refresh_token")?,
        refresh_token_at: time("refresh_token_at")?,
        expires_at: time("expires_at")?,
        connected_at: time("connected_at")?.ok_or(corrupt("connections.connected_at"))?,
        refreshed_at: time("refreshed_at")?,
        last_problem: row.try_get::<Option<String>, _>("last_problem")?.as_deref().and_then(Code::parse),
        capabilities: row.try_get("capabilities")?,
        capabilities_at: time("capabilities_at")?,
        lease_fence: row.try_get("lease_fence")?,
    })
}

/// The practice's connection with a provider.
///
/// # Errors
/// When the database fails.
pub async fn find<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    provider: &ProviderId,
) -> Stored<Option<Connection>> {
    let row = sqlx::query(select!("WHERE practice_id = $1 AND provider_id = $2"))
        .bind(practice.to_string())
        .bind(provider.to_string())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(read).transpose()
}

/// All connections of a practice.
///
/// # Errors
/// When the database fails.
pub async fn all(db: &Database, practice: &PracticeId) -> Stored<Vec<Connection>> {
    let rows = sqlx::query(select!("WHERE practice_id = $1")).bind(practice.to_string()).fetch_all(db.pool()).await?;
    rows.iter().map(read).collect()
}

/// Puts a new grant in the place of the practice's older one with this provider.
///
/// # Errors
/// When the database fails.
pub async fn replace(tx: &mut Tx, connection: &Connection) -> Stored<()> {
    remove(tx, &connection.practice, &connection.provider).await?;
    sqlx::query(
        "INSERT INTO connections (id, practice_id, provider_id, status, issuer, fhir_base, token_endpoint, \
         revocation_endpoint, client_id, auth_method, scopes_requested, scopes_granted, patient, fhir_user, \
         access_token, refresh_token, expires_at, connected_at, signing_algorithm, auth_reason, scopes_offered, \
         refresh_token_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
         $22)",
    )
    .bind(connection.id.to_string())
    .bind(connection.practice.to_string())
    .bind(connection.provider.to_string())
    .bind(connection.status.as_str().to_owned())
    .bind(connection.terms.issuer.clone())
    .bind(connection.terms.fhir_base.clone())
    .bind(connection.terms.token_endpoint.clone())
    .bind(connection.terms.revocation_endpoint.clone())
    .bind(connection.terms.client_id.clone())
    .bind(connection.terms.auth.method.as_str().to_owned())
    .bind(connection.terms.scopes_requested.clone())
    .bind(connection.scopes_granted.clone())
    .bind(connection.patient.clone())
    .bind(connection.fhir_user.clone())
    .bind(connection.access_token.clone())
    .bind(connection.refresh_token.clone())
    .bind(connection.expires_at.map(|time| time.0))
    .bind(connection.connected_at.0)
    .bind(connection.terms.auth.algorithm.map(|algorithm| algorithm.as_str().to_owned()))
    .bind(connection.terms.auth.reason.map(|reason| reason.as_str().to_owned()))
    .bind(connection.scopes_offered.clone())
    .bind(connection.refresh_token_at.map(|time| time.0))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes a connection with its tokens. `false` when there was none.
///
/// # Errors
/// When the database fails.
pub async fn remove(tx: &mut Tx, practice: &PracticeId, provider: &ProviderId) -> Stored<bool> {
    let result = sqlx::query("DELETE FROM connections WHERE practice_id = $1 AND provider_id = $2")
        .bind(practice.to_string())
        .bind(provider.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(result.rows_affected() > 0)
}

/// Takes the renewal lease until `until`, if nobody holds it. Answers the fence to write under.
///
/// # Errors
/// When the database fails.
pub async fn take_lease(
    db: &Database,
    practice: &PracticeId,
    id: &ConnectionId,
    now: Timestamp,
    until: Timestamp,
) -> Stored<Option<i64>> {
    let row = sqlx::query(
        "UPDATE connections SET lease_until = $4, lease_fence = lease_fence + 1 \
         WHERE practice_id = $1 AND id = $2 AND lease_until <= $3 RETURNING lease_fence",
    )
    .bind(practice.to_string())
    .bind(id.to_string())
    .bind(now.0)
    .bind(until.0)
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|row| row.try_get("lease_fence")).transpose()?)
}

/// Lets an access token end now; another one that came in its place meanwhile stays.
///
/// # Errors
/// When the database fails.
pub async fn expire(
    db: &Database,
    practice: &PracticeId,
    id: &ConnectionId,
    access_token: &[u8],
    now: Timestamp,
) -> Stored<()> {
    sqlx::query("UPDATE connections SET expires_at = $4 WHERE practice_id = $1 AND id = $2 AND access_token = $3")
        .bind(practice.to_string())
        .bind(id.to_string())
        .bind(access_token.to_vec())
        .bind(now.0)
        .execute(db.pool())
        .await?;
    Ok(())
}

/// Keeps renewed tokens and gives the lease back, under the fence.
///
/// # Errors
/// [`StoreError::NotOne`] when the fence is not ours any more, or the connection is gone.
pub async fn save_refreshed(
    tx: &mut Tx,
    connection: &Connection,
    tokens: &SealedTokens,
    fence: i64,
    now: Timestamp,
) -> Stored<()> {
    // No new refresh token, scope or patient in the answer means that the old one stays (RFC 6749 section 6).
    let result = sqlx::query(
        "UPDATE connections SET access_token = $4, refresh_token = COALESCE($5, refresh_token), expires_at = $6, \
         scopes_granted = COALESCE($7, scopes_granted), patient = COALESCE($8, patient), refreshed_at = $9, \
         refresh_token_at = CASE WHEN $5 IS NULL THEN refresh_token_at ELSE $9 END, \
         last_problem = NULL, lease_until = 0 WHERE practice_id = $1 AND id = $2 AND lease_fence = $3",
    )
    .bind(connection.practice.to_string())
    .bind(connection.id.to_string())
    .bind(fence)
    .bind(tokens.access_token.clone())
    .bind(tokens.refresh_token.clone())
    .bind(tokens.expires_at.map(|time| time.0))
    .bind(tokens.scopes_granted.clone())
    .bind(tokens.patient.clone())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    hit_one(&result, "connection")
}

/// Gives the lease back without new tokens.
///
/// # Errors
/// When the database fails.
pub async fn release_lease(db: &Database, connection: &Connection, fence: i64) -> Stored<()> {
    sqlx::query("UPDATE connections SET lease_until = 0 WHERE practice_id = $1 AND id = $2 AND lease_fence = $3")
        .bind(connection.practice.to_string())
        .bind(connection.id.to_string())
        .bind(fence)
        .execute(db.pool())
        .await?;
    Ok(())
}

/// Marks a connection as ended by the EHR, drops its dead tokens, and gives the lease back.
///
/// # Errors
/// [`StoreError::NotOne`] when the fence is not ours any more, or the connection is gone.
pub async fn mark_ended(tx: &mut Tx, connection: &Connection, fence: i64, why: Code) -> Stored<()> {
    let result = sqlx::query(
        "UPDATE connections SET status = $4, last_problem = $5, access_token = NULL, refresh_token = NULL, \
         lease_until = 0 WHERE practice_id = $1 AND id = $2 AND lease_fence = $3",
    )
    .bind(connection.practice.to_string())
    .bind(connection.id.to_string())
    .bind(fence)
    .bind(ConnectionStatus::NeedsReconnect.as_str().to_owned())
    .bind(why.name().to_owned())
    .execute(&mut **tx)
    .await?;
    hit_one(&result, "connection")
}

/// Keeps what the CapabilityStatement said.
///
/// # Errors
/// [`StoreError::NotOne`] when the connection is gone.
pub async fn save_capabilities(db: &Database, connection: &Connection, json: String, now: Timestamp) -> Stored<()> {
    let result = sqlx::query(
        "UPDATE connections SET capabilities = $3, capabilities_at = $4 WHERE practice_id = $1 AND id = $2",
    )
    .bind(connection.practice.to_string())
    .bind(connection.id.to_string())
    .bind(json)
    .bind(now.0)
    .execute(db.pool())
    .await?;
    hit_one(&result, "connection")
}
