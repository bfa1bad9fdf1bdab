//! How often one may try: ten times for an account, fifty from an address, in fifteen minutes; and how many
//! launches may be under way from an address.
//!
//! Guards: an attempt counts before it is judged, so that parallel guesses and other replicas cannot
//! slip through; an address or account is kept as a hash; a success gives its attempt back.

use std::net::{IpAddr, Ipv6Addr};

use crate::model::id::MemberId;
use crate::model::problem::Code;
use crate::server::App;
use crate::server::clock::hash_token;
use crate::server::failure::Outcome;
use crate::server::store::attempt;

const WINDOW_SECONDS: i64 = 15 * 60;
const PER_ACCOUNT: i64 = 10;
const PER_ADDRESS: i64 = 50;
/// Launches from an address that have not come to their end: a clinic has one address for everybody, but
/// its launches do end.
const LAUNCHES: i64 = 200;

/// What is guessed at.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// The password of whoever has this e-mail address, known or not.
    Account(&'a str),
    /// The second factor of a member.
    SecondFactor(&'a MemberId),
    /// The password of a member who is signed in.
    CurrentPassword(&'a MemberId),
}

/// An attempt that was counted.
#[must_use = "an attempt that succeeds is given back"]
pub struct Attempt {
    subject: String,
    address: Option<String>,
}

/// Counts an attempt. A blocked address does not use up an account's attempts.
///
/// # Errors
/// `rate_limited`.
pub async fn count(app: &App, subject: Subject<'_>, ip: Option<IpAddr>) -> Outcome<Attempt> {
    let attempt = Attempt { subject: subject.key(), address: ip.map(address_key) };
    if let Some(address) = &attempt.address {
        within(app, address, PER_ADDRESS).await?;
    }
    within(app, &attempt.subject, PER_ACCOUNT).await?;
    Ok(attempt)
}

/// Forgets the failures of an account: its password was set anew.
///
/// # Errors
/// When the database fails.
pub async fn forget(app: &App, subject: Subject<'_>) -> Outcome<()> {
    Ok(attempt::forget(&app.db, &subject.key()).await?)
}

/// Counts a launch that starts: each leaves rows behind, and nobody has signed in yet.
///
/// # Errors
/// `rate_limited`.
pub async fn launch_starts(app: &App, ip: Option<IpAddr>) -> Outcome<()> {
    match ip {
        Some(ip) => within(app, &launch_key(ip), LAUNCHES).await,
        None => Ok(()),
    }
}

/// Gives the start of a launch back: it has come to its end.
///
/// # Errors
/// When the database fails.
pub async fn launch_opened(app: &App, ip: Option<IpAddr>) -> Outcome<()> {
    if let Some(ip) = ip {
        attempt::take_back(&app.db, &launch_key(ip)).await?;
    }
    Ok(())
}

impl Attempt {
    /// It was no failure: forgets the account's failures and gives the address its attempt back (all
    /// of them would let one good account pay for guesses at others). Drops windows that are over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn succeeded(self, app: &App) -> Outcome<()> {
        attempt::forget(&app.db, &self.subject).await?;
        if let Some(address) = &self.address {
            attempt::take_back(&app.db, address).await?;
        }
        Ok(attempt::forget_before(&app.db, app.clock.now().plus_seconds(-WINDOW_SECONDS)).await?)
    }
}

impl Subject<'_> {
    fn key(self) -> String {
        match self {
            Self::Account(email) => hash_token(&format!("account {email}")),
            Self::SecondFactor(member) => hash_token(&format!("second factor {member}")),
            Self::CurrentPassword(member) => hash_token(&format!("current password {member}")),
        }
    }
}

async fn within(app: &App, key: &str, limit: i64) -> Outcome<()> {
    let tries = attempt::count(&app.db, key, app.clock.now(), WINDOW_SECONDS).await?;
    if tries > limit { Err(Code::RateLimited.into()) } else { Ok(()) }
}

fn launch_key(ip: IpAddr) -> String {
    hash_token(&format!("launch {}", neighbourhood(ip)))
}

fn address_key(ip: IpAddr) -> String {
    hash_token(&format!("address {}", neighbourhood(ip)))
}

/// A household or host has a whole IPv6 /64, so that counting single addresses would count nothing.
fn neighbourhood(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours() {
        let near = |text: &str| neighbourhood(text.parse().unwrap()).to_string();
        assert_eq!(near("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(near("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(near("192.0.2.7"), "192.0.2.7");
    }

    #[test]
    fn subjects_do_not_meet() {
        let member = MemberId::new("x");
        let keys = [Subject::Account("x"), Subject::SecondFactor(&member), Subject::CurrentPassword(&member)];
        let keys: std::collections::BTreeSet<_> = keys.into_iter().map(Subject::key).collect();
        assert_eq!(keys.len(), 3);
    }
}
