//! Time and randomness as parameters.
//!
//! Guards: nothing else in the program reads the wall clock or the system's randomness (clippy's
//! `disallowed-methods` sees to it), so that a test can hold the time still and replay a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::model::time::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Fills with unpredictable bytes.
pub trait Entropy: Send + Sync {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's randomness.
#[derive(Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// # Panics
    /// When the operating system has no randomness: going on would hand out guessable tokens.
    #[expect(clippy::expect_used, reason = "without randomness nothing may go on")]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system has no randomness");
    }
}

/// Mints ids and tokens.
pub struct Ids {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    counter: AtomicU16,
}

impl Ids {
    /// Ids from this clock and this randomness.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, counter: AtomicU16::new(0) }
    }

    /// A `UUIDv7` (RFC 9562 §5.7). Ids of one process sort by the order in which they were minted,
    /// within the 4,096 of a millisecond.
    pub fn mint(&self) -> String {
        let mut random = [0_u8; 10];
        self.entropy.fill(&mut random);
        let counter = self.counter.fetch_add(1, Ordering::Relaxed) & 0x0FFF;
        if let Some(head) = random.get_mut(..2) {
            head.copy_from_slice(&counter.to_be_bytes());
        }
        let millis = u64::try_from(self.clock.now().0).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string()
    }

    /// An unguessable token: 256 bits, base64url, 43 characters.
    pub fn token(&self) -> String {
        let mut random = [0_u8; 32];
        self.entropy.fill(&mut random);
        URL_SAFE_NO_PAD.encode(random)
    }

    /// Random bytes, for salts and secrets.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut random = [0_u8; N];
        self.entropy.fill(&mut random);
        random
    }
}

/// How a token is kept: the SHA-256 of its text, in base64url. Tokens have 256 random bits, so that
/// no salt is needed and a look-up by hash leaks nothing useful by its timing.
pub fn hash_token(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_age() {
        let ids = Ids::new(Arc::new(SystemClock), Arc::new(SystemEntropy));
        let minted: Vec<_> = (0..100).map(|_| ids.mint()).collect();
        let mut sorted = minted.clone();
        sorted.sort();
        assert_eq!(minted, sorted);
        assert_eq!(ids.token().len(), 43);
    }
}
