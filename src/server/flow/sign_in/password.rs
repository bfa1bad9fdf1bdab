//! Password hashes: argon2id as PHC strings, m = 19 MiB, t = 2, p = 1 (OWASP's first choice).
//!
//! Guards: hashing runs off the request threads and at most twice at a time, so that a burst of
//! sign-ins takes 38 MiB and two cores, not everything.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::model::problem::Code;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};

/// A hash of nothing: an unknown account is checked against it, so that it takes as long as a known one.
pub const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// Hashes a new password.
///
/// # Errors
/// `internal` when the hashing fails.
pub async fn hash(app: &App, password: &str) -> Outcome<String> {
    let salt = app.ids.bytes::<16>();
    let password = Zeroizing::new(password.to_owned());
    let hashed = off_thread(move || {
        Argon2::default().hash_password_with_salt(password.as_bytes(), &salt).map(|hash| hash.to_string())
    });
    hashed.await?.map_err(|error| Failure::explained(Code::Internal, format!("password hashing: {error}")))
}

/// Whether the password is the one of the hash.
///
/// # Errors
/// `internal` when the hash is none.
pub async fn verify(password: &str, hash: &str) -> Outcome<bool> {
    let (password, hash) = (Zeroizing::new(password.to_owned()), hash.to_owned());
    let verified = off_thread(move || {
        let hash = PasswordHash::new(&hash).map_err(|_| Error::EncodingInvalid)?;
        Argon2::default().verify_password(password.as_bytes(), &hash)
    });
    match verified.await? {
        Ok(()) => Ok(true),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(_) => Err(Failure::Corrupt("members.password_hash")),
    }
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
    let stopped = || Failure::explained(Code::Internal, "password hashing stopped");
    let _turn = AT_ONCE.acquire().await.map_err(|_| stopped())?;
    tokio::task::spawn_blocking(work).await.map_err(|_| stopped())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_has_a_password_but_costs_the_same() {
        assert!(!verify("", NOBODY).await.unwrap());
        let real =
            Argon2::default().hash_password_with_salt(b"correct horse", b"0123456789abcdef").unwrap().to_string();
        let parameters = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(parameters(&real), parameters(NOBODY));
        assert!(verify("correct horse", &real).await.unwrap());
        assert!(!verify("correct house", &real).await.unwrap());
        assert!(verify("x", "plain").await.is_err());
    }
}
