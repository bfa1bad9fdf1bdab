//! Use cases, one verb a file: they own transactions, audit and error mapping.
//!
//! HTTP, jobs and the command line all call the same flow. Guards: a flow first asks what the
//! [`Caller`] may do; what it changes and the audit line of it are one transaction.

use crate::model::id::{ClinicianId, MemberId, PracticeId, SessionId, TokenId};
use crate::model::problem::Code;
use crate::model::role::{Permission, Role, TokenScope};

use super::App;
use super::failure::{Failure, Outcome};
use super::store::audit::Event;

pub mod account;
pub mod audit;
pub mod authorization;
pub mod backend;
pub mod calendar;
pub mod client;
pub mod connect;
pub mod disconnect;
pub mod draft;
pub mod embed;
pub mod export;
pub mod keys;
pub mod launch;
pub mod launches;
mod limit;
pub mod members;
pub mod preflight;
pub mod recorder;
pub mod refresh;
mod retire;
mod sealed;
pub mod settings;
pub mod sign_in;
pub mod tokens;

/// Who asks, for which practice, under which request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The practice; every look-up is bound to it.
    pub practice: PracticeId,
    /// Who.
    pub actor: Actor,
    /// The request's id, for audit and log.
    pub request_id: String,
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Actor {
    /// A signed-in member.
    Member {
        /// Who.
        id: MemberId,
        /// The e-mail address.
        email: String,
        /// The role.
        role: Role,
        /// The signed-in browser.
        session: SessionId,
    },
    /// An application with an API token.
    Token {
        /// The token's record.
        id: TokenId,
        /// Its name.
        name: String,
        /// What it may do.
        scopes: Vec<TokenScope>,
    },
    /// Whoever has the machine: the command line.
    Operator,
    /// The engine that works on exports. What it does, somebody with the permission has asked for.
    Engine,
    /// A browser that an EHR sent, before or without an identity. It may do nothing by itself.
    Browser,
    /// Somebody whom an EHR vouches for, within a launch. They see what the launch gives, and no more.
    Clinician {
        /// Who.
        id: ClinicianId,
        /// How the EHR names them.
        name: String,
    },
}

impl Caller {
    /// The command line, acting for a practice.
    pub fn operator(app: &App, practice: PracticeId) -> Self {
        Self { practice, actor: Actor::Operator, request_id: app.ids.mint() }
    }

    /// Whether the caller has the permission.
    pub fn may(&self, permission: Permission) -> bool {
        match &self.actor {
            Actor::Member { role, .. } => role.may(permission),
            Actor::Token { scopes, .. } => scopes.iter().any(|scope| scope.permissions().contains(&permission)),
            Actor::Operator => true,
            Actor::Engine | Actor::Browser | Actor::Clinician { .. } => false,
        }
    }

    /// Refuses a caller without the permission.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn require(&self, permission: Permission) -> Outcome<()> {
        if self.may(permission) { Ok(()) } else { Err(Code::Forbidden.into()) }
    }

    /// The member behind the call.
    ///
    /// # Errors
    /// `forbidden` for tokens and the command line: they have no account of their own.
    pub fn member(&self) -> Outcome<(&MemberId, &SessionId)> {
        match &self.actor {
            Actor::Member { id, session, .. } => Ok((id, session)),
            _ => Err(Failure::from(Code::Forbidden)),
        }
    }

    /// How the audit trail names the caller.
    pub fn actor_name(&self) -> String {
        match &self.actor {
            Actor::Member { email, .. } => email.clone(),
            Actor::Token { name, .. } => format!("token {name}"),
            Actor::Operator => "operator".into(),
            Actor::Engine => "engine".into(),
            Actor::Browser => "browser".into(),
            Actor::Clinician { name, .. } => format!("clinician {name}"),
        }
    }

    /// An audit line of what this caller did.
    pub fn event(&self, app: &App, action: &str, target: &str, outcome: &str) -> Event {
        Event {
            id: app.ids.mint(),
            practice: Some(self.practice.clone()),
            at: app.clock.now(),
            actor: self.actor_name(),
            action: action.into(),
            target: target.into(),
            outcome: outcome.into(),
            request_id: self.request_id.clone(),
        }
    }
}
