//! Tokens at rest.
//!
//! Guards: a connection's tokens open only beside the issuer and the token-endpoint origin that they
//! were sealed with.

use url::Url;

use crate::model::id::{ConnectionId, PracticeId};
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::smart::token::TokenAnswer;
use crate::server::store::connection::{SealedTokens, Terms};
use crate::server::vault::Place;

/// Seals the tokens of an answer for a connection.
pub(super) fn seal(
    app: &App,
    practice: &PracticeId,
    id: &ConnectionId,
    terms: &Terms,
    tokens: &TokenAnswer,
) -> Outcome<SealedTokens> {
    let bound_to = token_binding(terms);
    let place = |column| token_place(practice, id, column, &bound_to);
    let now = app.clock.now();
    let refresh = tokens.refresh_token.as_ref().map(|token| app.vault.seal(place("refresh_token"), token));
    Ok(SealedTokens {
        access_token: app.vault.seal(place("access_token"), &tokens.access_token)?,
        refresh_token: refresh.transpose()?,
        expires_at: tokens.expires_in.map(|seconds| now.plus_seconds(seconds)),
        scopes_granted: tokens.scope.clone(),
        patient: tokens.patient.clone(),
    })
}

/// What tokens are bound to: the issuer, and the origin that may see the refresh token.
pub(super) fn token_binding(terms: &Terms) -> String {
    let origin = Url::parse(&terms.token_endpoint).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    format!("{} {origin}", terms.issuer)
}

/// The place of a connection's token.
pub(super) fn token_place<'a>(
    practice: &'a PracticeId,
    id: &'a ConnectionId,
    column: &'a str,
    bound_to: &'a str,
) -> Place<'a> {
    Place { practice: practice.as_str(), table: "connections", row: id.as_str(), column, bound_to }
}
