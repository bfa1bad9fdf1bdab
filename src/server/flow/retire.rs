//! Revoking a grant's tokens at the EHR (RFC 7009).
//!
//! Guards: what is needed for it is taken out while the grant and the configuration that it was made
//! with are still there, so that the grant may go from the database first and the EHR be told after. What
//! cannot be taken out costs the confirmation, never the end of the grant.

use secrecy::SecretString;

use super::client::{Ready, configured, credential, token_client};
use super::sealed::Holder;
use crate::model::connection::{Receipt, Revocation};
use crate::model::id::ProviderId;
use crate::model::problem::Code;
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::smart::revoke::{Kind, Revoked, revoke};
use crate::server::smart::token::TokenClient;
use crate::server::store::connection::{Connection, Terms};

/// A grant's tokens, and the registration that they belong to.
pub(super) struct Retiring {
    terms: Terms,
    /// `None` when the grant cannot be revoked any more.
    with: Option<(Ready, Vec<(Kind, SecretString)>)>,
}

/// Takes out what revoking a connection needs.
pub(super) async fn connection(app: &App, connection: &Connection) -> Retiring {
    let Connection { provider, access_token, refresh_token, .. } = connection;
    grant(app, provider, Holder::connection(connection), access_token.as_deref(), refresh_token.as_deref()).await
}

/// Takes out what revoking a grant needs. The refresh token comes first: with it the grant goes.
pub(super) async fn grant(
    app: &App,
    provider: &ProviderId,
    holder: Holder<'_>,
    access_token: Option<&[u8]>,
    refresh_token: Option<&[u8]>,
) -> Retiring {
    let tokens = [(Kind::Refresh, refresh_token), (Kind::Access, access_token)];
    let with = take_out(app, provider, holder, tokens).await.inspect_err(|failure| {
        tracing::info!(provider.id = %provider, error = %failure, "cannot be revoked at the EHR");
    });
    Retiring { terms: holder.terms.clone(), with: with.ok() }
}

/// `conflict` when the registration is another one by now.
async fn take_out(
    app: &App,
    provider: &ProviderId,
    holder: Holder<'_>,
    sealed: [(Kind, Option<&[u8]>); 2],
) -> Outcome<(Ready, Vec<(Kind, SecretString)>)> {
    let ready = configured(app, holder.practice, provider).await?;
    if !ready.is_of(holder.terms) {
        return Err(Code::Conflict.into());
    }
    let mut tokens = Vec::new();
    for (kind, sealed) in sealed {
        if let Some(sealed) = sealed {
            tokens.push((kind, holder.open(app, kind.name(), sealed)?));
        }
    }
    Ok((ready, tokens))
}

impl Retiring {
    /// Tells the EHR. The receipt says honestly what the EHR confirmed.
    pub async fn revoke(&self, app: &App) -> Receipt {
        let mut receipt = Receipt { at: app.clock.now(), refresh_token: None, access_token: None };
        let Some((ready, tokens)) = &self.with else {
            receipt.access_token = Some(Revocation::Failed);
            return receipt;
        };
        for (kind, token) in tokens {
            let answer = self.revoke_one(app, ready, *kind, token).await;
            match kind {
                Kind::Refresh => receipt.refresh_token = Some(answer),
                Kind::Access => receipt.access_token = Some(answer),
            }
        }
        receipt
    }

    async fn revoke_one(&self, app: &App, ready: &Ready, kind: Kind, token: &SecretString) -> Revocation {
        let Some(endpoint) = &self.terms.revocation_endpoint else { return Revocation::NotOffered };
        // An assertion is good for one request.
        let credential = match credential(app, ready, &self.terms).await {
            Ok(credential) => credential,
            Err(failure) => {
                tracing::info!(error = %failure, "nothing proves us for a revocation");
                return Revocation::Failed;
            }
        };
        let client = TokenClient { endpoint, ..token_client(app, ready, &self.terms, &credential) };
        match revoke(&client, token, kind).await {
            Ok(Revoked::Yes) => Revocation::Confirmed,
            Ok(Revoked::Unsupported) => Revocation::NotOffered,
            Err(error) => {
                tracing::info!(error = %error, "revocation failed");
                Revocation::Failed
            }
        }
    }
}
