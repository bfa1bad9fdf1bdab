//! Tokens at rest.
//!
//! Guards: a grant's tokens open only in the row, and beside the issuer and the token-endpoint origin,
//! that they were sealed for.

use secrecy::SecretString;
use url::Url;

use crate::model::id::PracticeId;
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::smart::token::TokenAnswer;
use crate::server::store::connection::{Connection, SealedTokens, Terms};
use crate::server::store::launch::LaunchSession;
use crate::server::vault::Place;

/// A grant whose tokens are kept: whose, in which row, on which terms.
#[derive(Clone, Copy)]
pub(super) struct Holder<'a> {
    /// Whose.
    pub practice: &'a PracticeId,
    /// The table that has the row.
    pub table: &'static str,
    /// The row's key.
    pub row: &'a str,
    /// What was agreed.
    pub terms: &'a Terms,
}

impl<'a> Holder<'a> {
    /// A connection.
    pub fn connection(connection: &'a Connection) -> Self {
        let Connection { practice, id, terms, .. } = connection;
        Self { practice, table: "connections", row: id.as_str(), terms }
    }

    /// A launch.
    pub fn launch(session: &'a LaunchSession) -> Self {
        let LaunchSession { practice, id, terms, .. } = session;
        Self { practice, table: "launch_sessions", row: id.as_str(), terms }
    }

    /// Seals the tokens of an answer.
    pub fn seal(&self, app: &App, tokens: &TokenAnswer) -> Outcome<SealedTokens> {
        let bound_to = self.bound_to();
        let seal = |column, token| app.vault.seal(self.place(column, &bound_to), token);
        let now = app.clock.now();
        Ok(SealedTokens {
            access_token: seal("access_token", &tokens.access_token)?,
            refresh_token: tokens.refresh_token.as_ref().map(|token| seal("refresh_token", token)).transpose()?,
            expires_at: tokens.expires_in.map(|seconds| now.plus_seconds(seconds)),
            scopes_granted: tokens.scope.clone(),
            patient: tokens.patient.clone(),
        })
    }

    /// Opens the token of a column.
    pub fn open(&self, app: &App, column: &'static str, sealed: &[u8]) -> Outcome<SecretString> {
        Ok(app.vault.open(self.place(column, &self.bound_to()), sealed)?)
    }

    /// The issuer, and the origin that may see the refresh token.
    fn bound_to(&self) -> String {
        let endpoint = Url::parse(&self.terms.token_endpoint);
        let origin = endpoint.map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        format!("{} {origin}", self.terms.issuer)
    }

    fn place<'b>(&'b self, column: &'b str, bound_to: &'b str) -> Place<'b> {
        Place { practice: self.practice.as_str(), table: self.table, row: self.row, column, bound_to }
    }
}
