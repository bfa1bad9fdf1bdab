//! What the authorization server remembers: transactions, launches, codes, grants, tokens.
//!
//! Imports nothing of ours outside the sandbox. Invariants: secrets are kept as SHA-256 digests; a
//! code and a refresh token work once, and a second use ends the whole grant (RFC 6749 §4.1.2,
//! RFC 9700 §4.14.2).

use std::collections::HashMap;

use serde_json::Value;

use super::base::Base;
use super::params::{Hash, Params, hash, same};
use super::people::User;
use super::scope::Scope;

/// How long a person may take to sign in and decide.
const TRANSACTION_MS: i64 = 10 * 60 * 1000;
/// SMART App Launch "Obtain authorization code": about one minute.
const CODE_MS: i64 = 60 * 1000;
/// A launch may be used again (a reloaded frame), but not for ever.
const LAUNCH_MS: i64 = 10 * 60 * 1000;
const OFFLINE_MS: i64 = 90 * 24 * 3600 * 1000;
const ONLINE_MS: i64 = 12 * 3600 * 1000;

/// Launch context (SMART "Scopes and Launch Context", "Launch context arrives with your
/// `access_token`").
#[derive(Clone, Debug, Default)]
pub(super) struct Context {
    /// The patient in context.
    pub(super) patient: Option<String>,
    /// The encounter in context.
    pub(super) encounter: Option<String>,
    /// Whether the application must show whose data it shows.
    pub(super) need_patient_banner: bool,
    /// What the user wants to do.
    pub(super) intent: Option<String>,
    /// Further references in context.
    pub(super) references: Option<Value>,
}

/// What an EHR launch stands for.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    /// The application that was launched.
    pub(super) client: String,
    /// The base it was launched for.
    pub(super) base: Base,
    /// Who is signed in at the EHR.
    pub(super) user: &'static User,
    /// What is open there.
    pub(super) context: Context,
    /// Whether the user will press Deny.
    pub(super) denied: bool,
}

/// A validated authorization request that waits for a person.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    /// The application.
    pub(super) client: String,
    /// Where the answer goes.
    pub(super) redirect_uri: String,
    /// The client's `state`.
    pub(super) state: String,
    /// The PKCE challenge.
    pub(super) challenge: String,
    /// The OIDC nonce, if any.
    pub(super) nonce: Option<String>,
    /// The base that `aud` named.
    pub(super) base: Base,
    /// The scopes asked for.
    pub(super) scopes: Vec<Scope>,
    /// Who has signed in, once someone has.
    pub(super) user: Option<&'static User>,
    /// What has been chosen so far.
    pub(super) context: Context,
}

/// What was granted, to whom, for which base.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// The client.
    pub(super) client: String,
    /// The base its tokens work at; none for backend services, which name no `aud`.
    pub(super) base: Option<Base>,
    /// The user; none for backend services.
    pub(super) user: Option<&'static User>,
    /// The granted scopes.
    pub(super) scopes: Vec<Scope>,
    /// The launch context.
    pub(super) context: Context,
    /// The nonce for the id token.
    pub(super) nonce: Option<String>,
    /// Set when a code or refresh token was used twice, or on revocation.
    revoked: bool,
}

impl Grant {
    /// A live grant.
    pub(super) fn new(client: &str, scopes: Vec<Scope>) -> Self {
        Self {
            client: client.to_owned(),
            base: None,
            user: None,
            scopes,
            context: Context::default(),
            nonce: None,
            revoked: false,
        }
    }
}

/// The next page of a search, for the holder of one grant.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    /// Whose search it is.
    pub(super) grant: u64,
    /// The type searched.
    pub(super) kind: &'static str,
    /// The search as it was asked.
    pub(super) params: Params,
    /// How many matches went before.
    pub(super) offset: usize,
}

struct Expiring<T> {
    expires: i64,
    value: T,
}

struct Code {
    grant: u64,
    redirect_uri: String,
    challenge: String,
    used: bool,
}

struct Access {
    grant: u64,
    scopes: Vec<Scope>,
}

struct Refresh {
    grant: u64,
    used: bool,
}

/// A token that is good now.
#[derive(Clone, Debug)]
pub(super) struct Live {
    /// The number of its grant.
    pub(super) grant_id: u64,
    /// Its grant.
    pub(super) grant: Grant,
    /// Its scopes, perhaps narrower than the grant's.
    pub(super) scopes: Vec<Scope>,
    /// When it ends, in Unix milliseconds.
    pub(super) expires: i64,
}

/// Why a code or refresh token is worth nothing; said in `error_description`.
pub(super) type Worthless = &'static str;

/// The memory of the authorization server.
#[derive(Default)]
pub(super) struct Grants {
    transactions: HashMap<Hash, Expiring<Transaction>>,
    launches: HashMap<Hash, Expiring<Launch>>,
    codes: HashMap<Hash, Expiring<Code>>,
    access: HashMap<Hash, Expiring<Access>>,
    refresh: HashMap<Hash, Expiring<Refresh>>,
    granted: HashMap<u64, Grant>,
    assertions: HashMap<Hash, Expiring<()>>,
    cursors: HashMap<Hash, Expiring<Cursor>>,
    last_grant: u64,
}

fn live<'a, T>(map: &'a HashMap<Hash, Expiring<T>>, secret: &str, now: i64) -> Option<(i64, &'a T)> {
    map.get(&hash(secret)).filter(|entry| now < entry.expires).map(|entry| (entry.expires, &entry.value))
}

impl Grants {
    /// Remembers an authorization request under its transaction id.
    pub(super) fn open_transaction(&mut self, id: &str, value: Transaction, now: i64) {
        self.transactions.retain(|_, entry| now < entry.expires);
        let expires = now + TRANSACTION_MS;
        self.transactions.insert(hash(id), Expiring { expires, value });
    }

    /// The transaction that a form names.
    pub(super) fn transaction(&self, id: &str, now: i64) -> Option<Transaction> {
        live(&self.transactions, id, now).map(|(_, value)| value.clone())
    }

    /// Changes a transaction that is still open.
    pub(super) fn update_transaction(&mut self, id: &str, change: impl FnOnce(&mut Transaction)) {
        if let Some(entry) = self.transactions.get_mut(&hash(id)) {
            change(&mut entry.value);
        }
    }

    /// Ends a transaction: its form works once.
    pub(super) fn close_transaction(&mut self, id: &str, now: i64) -> Option<Transaction> {
        self.transactions.remove(&hash(id)).filter(|entry| now < entry.expires).map(|entry| entry.value)
    }

    /// Remembers an EHR launch under its opaque handle.
    pub(super) fn open_launch(&mut self, handle: &str, value: Launch, now: i64) {
        self.launches.retain(|_, entry| now < entry.expires);
        let expires = now + LAUNCH_MS;
        self.launches.insert(hash(handle), Expiring { expires, value });
    }

    /// The launch that a handle stands for.
    pub(super) fn launch(&self, handle: &str, now: i64) -> Option<Launch> {
        live(&self.launches, handle, now).map(|(_, value)| value.clone())
    }

    /// Remembers a grant.
    pub(super) fn open_grant(&mut self, grant: Grant) -> u64 {
        self.last_grant += 1;
        self.granted.insert(self.last_grant, grant);
        self.last_grant
    }

    /// A grant that has not been revoked.
    pub(super) fn grant(&self, id: u64) -> Option<&Grant> {
        self.granted.get(&id).filter(|grant| !grant.revoked)
    }

    fn revoke_grant(&mut self, id: u64) {
        if let Some(grant) = self.granted.get_mut(&id) {
            grant.revoked = true;
        }
    }

    /// Remembers a code and what it was issued for.
    pub(super) fn issue_code(&mut self, code: &str, grant: u64, redirect_uri: &str, challenge: &str, now: i64) {
        let value = Code { grant, redirect_uri: redirect_uri.to_owned(), challenge: challenge.to_owned(), used: false };
        let expires = now + CODE_MS;
        self.codes.insert(hash(code), Expiring { expires, value });
    }

    /// Redeems a code. Whatever comes of it, an attempt by its own client uses the code up.
    pub(super) fn redeem_code(
        &mut self,
        code: &str,
        client: &str,
        redirect_uri: &str,
        challenge: &str,
        now: i64,
    ) -> Result<u64, Worthless> {
        let Some(entry) = self.codes.get_mut(&hash(code)) else {
            return Err("unknown code");
        };
        let id = entry.value.grant;
        let owner = self.granted.get(&id);
        if owner.is_none_or(|grant| grant.client != client) {
            return Err("the code was issued to another client");
        }
        if entry.value.used {
            self.revoke_grant(id);
            return Err("the code was used before; its grant is revoked");
        }
        entry.value.used = true;
        if now >= entry.expires {
            return Err("the code has expired");
        }
        if entry.value.redirect_uri != redirect_uri {
            return Err("redirect_uri differs from the authorization request");
        }
        if !same(&entry.value.challenge, challenge) {
            return Err("code_verifier does not match the code_challenge");
        }
        Ok(id)
    }

    /// Remembers an access token.
    pub(super) fn issue_access(&mut self, token: &str, grant: u64, scopes: Vec<Scope>, expires: i64) {
        let value = Access { grant, scopes };
        self.access.insert(hash(token), Expiring { expires, value });
    }

    /// Ends every access token, and the refresh tokens too where whole grants are taken back.
    pub(super) fn take_back(&mut self, grants: bool) {
        self.access.clear();
        if grants {
            self.refresh.clear();
        }
    }

    /// An access token that is good now.
    pub(super) fn access(&self, token: &str, now: i64) -> Option<Live> {
        let (expires, access) = live(&self.access, token, now)?;
        Some(Live {
            grant_id: access.grant,
            grant: self.grant(access.grant)?.clone(),
            scopes: access.scopes.clone(),
            expires,
        })
    }

    /// Remembers a refresh token.
    pub(super) fn issue_refresh(&mut self, token: &str, grant: u64, offline: bool, now: i64) {
        let expires = now + if offline { OFFLINE_MS } else { ONLINE_MS };
        let value = Refresh { grant, used: false };
        self.refresh.insert(hash(token), Expiring { expires, value });
    }

    /// A refresh token that is good now.
    pub(super) fn refresh(&self, token: &str, now: i64) -> Option<Live> {
        let (expires, refresh) = live(&self.refresh, token, now)?;
        let grant = self.grant(refresh.grant)?.clone();
        (!refresh.used).then(|| Live { grant_id: refresh.grant, scopes: grant.scopes.clone(), grant, expires })
    }

    /// Checks a refresh token of a client; a used one ends its grant.
    pub(super) fn check_refresh(&mut self, token: &str, client: &str, now: i64) -> Result<Live, Worthless> {
        let Some(entry) = self.refresh.get(&hash(token)) else {
            return Err("unknown refresh token");
        };
        let id = entry.value.grant;
        let owner = self.granted.get(&id);
        if owner.is_none_or(|grant| grant.client != client) {
            return Err("the refresh token was issued to another client");
        }
        if entry.value.used {
            self.revoke_grant(id);
            return Err("the refresh token was used before; its grant is revoked");
        }
        self.refresh(token, now).ok_or("the refresh token has expired or is revoked")
    }

    /// Uses a refresh token up.
    pub(super) fn spend_refresh(&mut self, token: &str) {
        if let Some(entry) = self.refresh.get_mut(&hash(token)) {
            entry.value.used = true;
        }
    }

    /// The client that a token of either kind belongs to, good or not.
    pub(super) fn owner(&self, token: &str) -> Option<&str> {
        let key = hash(token);
        let access = self.access.get(&key).map(|entry| entry.value.grant);
        let refresh = self.refresh.get(&key).map(|entry| entry.value.grant);
        let grant = self.granted.get(&access.or(refresh)?)?;
        Some(&grant.client)
    }

    /// Revokes a token: an access token alone, a refresh token with its grant (RFC 7009 §2.1).
    pub(super) fn revoke(&mut self, token: &str) {
        let key = hash(token);
        self.access.remove(&key);
        if let Some(grant) = self.refresh.get(&key).map(|entry| entry.value.grant) {
            self.revoke_grant(grant);
        }
    }

    /// Remembers the next page of a search; its link may be followed more than once.
    pub(super) fn open_cursor(&mut self, token: &str, value: Cursor, now: i64) {
        self.cursors.retain(|_, entry| now < entry.expires);
        let expires = now + TRANSACTION_MS;
        self.cursors.insert(hash(token), Expiring { expires, value });
    }

    /// The page that a link names.
    pub(super) fn cursor(&self, token: &str, now: i64) -> Option<Cursor> {
        live(&self.cursors, token, now).map(|(_, value)| value.clone())
    }

    /// Whether an assertion of a client is seen for the first time (RFC 7523 §3, `jti`).
    pub(super) fn first_use(&mut self, client: &str, jti: &str, expires: i64, now: i64) -> bool {
        self.assertions.retain(|_, entry| now < entry.expires);
        let key = hash(&format!("{client}\n{jti}"));
        self.assertions.insert(key, Expiring { expires, value: () }).is_none()
    }
}
