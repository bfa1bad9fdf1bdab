//! AES-256-GCM envelopes for everything that must not be readable in the database.
//!
//! An envelope is `version (1) | key id (4) | nonce (12) | ciphertext and tag`. Guards: a sealed value
//! opens only in the place that it was sealed for — the associated data names practice, table, row
//! and column, and for credentials also the issuer and the origin of the token endpoint, so that a
//! value moved to another row or pointed at another host does not open.

use std::sync::Arc;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::clock::Entropy;
use super::config::EncryptionKey;

const VERSION: u8 = 1;
const KEY_ID: usize = 4;
const NONCE: usize = 12;

/// Seals and opens.
pub struct Vault {
    key_id: [u8; KEY_ID],
    cipher: Aes256Gcm,
    entropy: Arc<dyn Entropy>,
}

/// The place that a value is sealed for.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The practice, or empty where there is none.
    pub practice: &'a str,
    /// The table.
    pub table: &'a str,
    /// The row's key.
    pub row: &'a str,
    /// The column.
    pub column: &'a str,
    /// What else it is bound to: issuer and token-endpoint origin, or empty.
    pub bound_to: &'a str,
}

/// Why a value does not open.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Too short, or of an unknown version.
    #[error("not an envelope")]
    Malformed,
    /// Sealed with a key that is not configured.
    #[error("sealed with an unknown key")]
    UnknownKey,
    /// Changed, or moved from its place.
    #[error("does not open here")]
    Refused,
    /// The cipher failed, or the content is no text.
    #[error("cannot be sealed or read")]
    Unusable,
}

impl Vault {
    /// A vault with one key.
    pub fn new(key: &EncryptionKey, entropy: Arc<dyn Entropy>) -> Self {
        let digest = Sha256::digest(key.bytes());
        let mut key_id = [0; KEY_ID];
        key_id.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key.bytes()));
        Self { key_id, cipher, entropy }
    }

    /// Seals text for a place.
    ///
    /// # Errors
    /// [`VaultError::Unusable`] when the cipher refuses (a plaintext over 64 GiB).
    pub fn seal(&self, place: Place<'_>, plain: &SecretString) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0_u8; NONCE];
        self.entropy.fill(&mut nonce);
        let aad = place.associated_data();
        let payload = Payload { msg: plain.expose_secret().as_bytes(), aad: &aad };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| VaultError::Unusable)?;
        let mut envelope = Vec::with_capacity(1 + KEY_ID + NONCE + sealed.len());
        envelope.push(VERSION);
        envelope.extend_from_slice(&self.key_id);
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(&sealed);
        Ok(envelope)
    }

    /// Opens an envelope in its place.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub fn open(&self, place: Place<'_>, envelope: &[u8]) -> Result<SecretString, VaultError> {
        let (&version, rest) = envelope.split_first().ok_or(VaultError::Malformed)?;
        let (key_id, rest) = rest.split_first_chunk::<KEY_ID>().ok_or(VaultError::Malformed)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(VaultError::Malformed)?;
        if version != VERSION {
            return Err(VaultError::Malformed);
        }
        if *key_id != self.key_id {
            return Err(VaultError::UnknownKey);
        }
        let aad = place.associated_data();
        let payload = Payload { msg: sealed, aad: &aad };
        let plain = self.cipher.decrypt(&Nonce::from(*nonce), payload).map_err(|_| VaultError::Refused)?;
        let plain = Zeroizing::new(plain);
        let text = std::str::from_utf8(&plain).map_err(|_| VaultError::Unusable)?;
        Ok(SecretString::from(text))
    }
}

impl Place<'_> {
    /// Each part with its length before it, so that no two places have the same bytes.
    fn associated_data(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [self.practice, self.table, self.row, self.column, self.bound_to] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::clock::SystemEntropy;
    use proptest::prelude::*;

    fn vault(byte: u8) -> Vault {
        Vault::new(&EncryptionKey::from_bytes([byte; 32]), Arc::new(SystemEntropy))
    }

    const PLACE: Place<'_> = Place { practice: "p", table: "t", row: "r", column: "c", bound_to: "b" };

    #[test]
    fn opens_only_in_its_place() {
        let vault = vault(1);
        let sealed = vault.seal(PLACE, &"secret".into()).unwrap();
        assert_eq!(vault.open(PLACE, &sealed).unwrap().expose_secret(), "secret");
        for elsewhere in [
            Place { practice: "q", ..PLACE },
            Place { table: "u", ..PLACE },
            Place { row: "s", ..PLACE },
            Place { column: "d", ..PLACE },
            Place { bound_to: "https://evil.example", ..PLACE },
            Place { practice: "pt", table: "", ..PLACE },
        ] {
            assert!(matches!(vault.open(elsewhere, &sealed), Err(VaultError::Refused)));
        }
    }

    #[test]
    fn names_an_unknown_key() {
        let sealed = vault(1).seal(PLACE, &"secret".into()).unwrap();
        assert!(matches!(vault(2).open(PLACE, &sealed), Err(VaultError::UnknownKey)));
        assert!(matches!(vault(1).open(PLACE, b"x"), Err(VaultError::Malformed)));
    }

    proptest! {
        #[test]
        fn any_change_is_noticed(text in ".{0,40}", at in 0_usize..200, bit in 0_u8..8) {
            let vault = vault(1);
            let mut sealed = vault.seal(PLACE, &text.clone().into()).unwrap();
            prop_assert!(!text.is_empty() || sealed.len() == 1 + KEY_ID + NONCE + 16);
            let at = at % sealed.len();
            sealed[at] ^= 1 << bit;
            prop_assert!(vault.open(PLACE, &sealed).is_err());
        }
    }
}
