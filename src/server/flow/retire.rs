//! Revoking a grant's tokens at the EHR (RFC 7009).
//!
//! Guards: what is needed for it is taken out while the grant and the configuration that it was made
//! with are still there, so that the grant may go from the database first and the EHR be told after.

use secrecy::SecretString;

use super::client::{configured, credential};
use super::sealed::Holder;
use crate::model::connection::Revocation;
use crate::model::id::ProviderId;
use crate::model::problem::Code;
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::smart::client_auth::Credential;
use crate::server::smart::revoke::{Kind, Revoked, revoke};
use crate::server::smart::token::TokenClient;
use crate::server::store::connection::{Connection, Terms};

/// A grant's tokens, with what proves us to the EHR.
pub(super) struct Retiring {
    terms: Terms,
    client_id_in_body: bool,
    tokens: Vec<(Kind, SecretString, Credential)>,
}

/// Takes out what revoking a connection needs.
pub(super) async fn connection(app: &App, connection: &Connection) -> Outcome<Retiring> {
    let Connection { provider, access_token, refresh_token, .. } = connection;
    grant(app, provider, Holder::connection(connection), access_token.as_deref(), refresh_token.as_deref()).await
}

/// Takes out what revoking a grant needs; `conflict` when the registration is another one by now. The refresh token comes first: with it the grant goes.
pub(super) async fn grant(
    app: &App,
    provider: &ProviderId,
    holder: Holder<'_>,
    access_token: Option<&[u8]>,
    refresh_token: Option<&[u8]>,
) -> Outcome<Retiring> {
    let terms = holder.terms.clone();
    let ready = configured(app, holder.practice, provider).await?;
    if !ready.is_of(&terms) {
        return Err(Code::Conflict.into());
    }
    let client_id_in_body = ready.plugin.quirks().client_id_in_body;
    let mut tokens = Vec::new();
    if terms.revocation_endpoint.is_some() {
        let sealed = [(Kind::Refresh, "refresh_token", refresh_token), (Kind::Access, "access_token", access_token)];
        for (kind, column, sealed) in sealed {
            let Some(sealed) = sealed else { continue };
            // An assertion is good for one request.
            tokens.push((kind, holder.open(app, column, sealed)?, credential(app, &ready, &terms)?));
        }
    }
    Ok(Retiring { terms, client_id_in_body, tokens })
}

impl Retiring {
    /// Tells the EHR. The answer says honestly what the EHR confirmed.
    pub async fn revoke(&self, app: &App) -> Revocation {
        let Some(endpoint) = &self.terms.revocation_endpoint else { return Revocation::NotOffered };
        let mut revocation = Revocation::NotOffered;
        for (kind, token, credential) in &self.tokens {
            let client = TokenClient {
                http: &app.http,
                endpoint,
                client_id: &self.terms.client_id,
                credential,
                client_id_in_body: self.client_id_in_body,
            };
            match revoke(&client, token, *kind).await {
                Ok(Revoked::Yes) => revocation = Revocation::Confirmed,
                // With the refresh token the grant is gone; a signed access token may end by age.
                Ok(Revoked::Unsupported) => {}
                Err(error) => {
                    tracing::info!(error = %error, "revocation failed");
                    return Revocation::Failed;
                }
            }
        }
        revocation
    }
}
