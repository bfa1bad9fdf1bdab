//! Signing keys: what is published of them, and assertions made with them.
//!
//! SMART App Launch 2.2, "Client Authentication: Asymmetric". Guards: only public members ever leave
//! ([`PublicJwk`] has no place for others).

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::model::key::KeyAlgorithm;
use crate::model::time::Timestamp;

/// How long an assertion is good, in seconds; the standard allows five minutes.
const ASSERTION_LIFE: i64 = 240;

/// A private key that signs assertions.
pub struct SigningKey {
    key: EncodingKey,
    kid: String,
    algorithm: KeyAlgorithm,
    material: KeyMaterial,
}

/// Text that holds no key that can sign RS384 or ES384.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no RSA or P-384 private key in PEM (PKCS #8)")]
pub struct NoKey;

/// The public numbers of a key (RFC 7518 §6.2.1, §6.3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
pub enum KeyMaterial {
    /// RSA.
    #[serde(rename = "RSA")]
    Rsa {
        /// The modulus.
        n: String,
        /// The exponent.
        e: String,
    },
    /// An elliptic curve.
    #[serde(rename = "EC")]
    Ec {
        /// The curve: `P-384`.
        crv: String,
        /// The point's first coordinate.
        x: String,
        /// The point's second coordinate.
        y: String,
    },
}

/// A public key as the JWKS has it (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicJwk {
    #[serde(rename = "use")]
    usage: &'static str,
    alg: KeyAlgorithm,
    kid: String,
    key_ops: [&'static str; 1],
    #[serde(flatten)]
    material: KeyMaterial,
}

impl PublicJwk {
    /// A key that verifies signatures.
    pub const fn new(kid: String, alg: KeyAlgorithm, material: KeyMaterial) -> Self {
        Self { usage: "sig", alg, kid, key_ops: ["verify"], material }
    }
}

/// A set of public keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PublicJwks {
    /// The keys.
    pub keys: Vec<PublicJwk>,
}

/// What an assertion says.
#[derive(Clone, Copy, Debug)]
pub struct Assertion<'a> {
    /// As whom: `iss` and `sub`.
    pub client_id: &'a str,
    /// For whom: `aud`.
    pub audience: &'a str,
    /// Unique: `jti`.
    pub id: &'a str,
    /// Where the key is published, for EHRs that want to be told: `jku`.
    pub jwks_url: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl SigningKey {
    /// Reads a key, of whichever kind it is. Without a `kid` it is called by its thumbprint (RFC 7638).
    ///
    /// # Errors
    /// When the PEM text holds none that can sign RS384 or ES384.
    pub fn from_pem(pem: &SecretString, kid: Option<&str>) -> Result<Self, NoKey> {
        let text = pem.expose_secret().as_bytes();
        let rsa = EncodingKey::from_rsa_pem(text).ok().and_then(|key| Self::of(key, KeyAlgorithm::Rs384, kid));
        let any =
            rsa.or_else(|| EncodingKey::from_ec_pem(text).ok().and_then(|key| Self::of(key, KeyAlgorithm::Es384, kid)));
        any.ok_or(NoKey)
    }

    fn of(key: EncodingKey, algorithm: KeyAlgorithm, kid: Option<&str>) -> Option<Self> {
        let jwk = Jwk::from_encoding_key(&key, jose(algorithm)).ok()?;
        let material = match &jwk.algorithm {
            AlgorithmParameters::RSA(rsa) => KeyMaterial::Rsa { n: rsa.n.clone(), e: rsa.e.clone() },
            AlgorithmParameters::EllipticCurve(ec) => {
                KeyMaterial::Ec { crv: "P-384".into(), x: ec.x.clone(), y: ec.y.clone() }
            }
            _ => return None,
        };
        let kid = match kid {
            Some(kid) => kid.to_owned(),
            None => jwk.thumbprint(ThumbprintHash::SHA256).ok()?,
        };
        Some(Self { key, kid, algorithm, material })
    }

    /// What it is called in the JWKS and in assertions.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it signs with.
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The public half.
    pub const fn material(&self) -> &KeyMaterial {
        &self.material
    }

    /// A client assertion, good for [`ASSERTION_LIFE`].
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn assertion(&self, of: Assertion<'_>, now: Timestamp) -> Result<SecretString, jsonwebtoken::errors::Error> {
        let seconds = now.as_seconds();
        let claims = Claims {
            iss: of.client_id,
            sub: of.client_id,
            aud: of.audience,
            jti: of.id,
            iat: seconds,
            nbf: seconds,
            exp: seconds + ASSERTION_LIFE,
        };
        let header = Header {
            kid: Some(self.kid.clone()),
            jku: of.jwks_url.map(str::to_owned),
            ..Header::new(jose(self.algorithm))
        };
        jsonwebtoken::encode(&header, &claims, &self.key).map(SecretString::from)
    }
}

const fn jose(algorithm: KeyAlgorithm) -> Algorithm {
    match algorithm {
        KeyAlgorithm::Rs384 => Algorithm::RS384,
        KeyAlgorithm::Es384 => Algorithm::ES384,
    }
}

/// A new key, as PKCS #8 PEM.
///
/// # Errors
/// When the cryptographic library fails.
pub fn generate_pem(algorithm: KeyAlgorithm) -> Result<SecretString, aws_lc_rs::error::Unspecified> {
    match algorithm {
        KeyAlgorithm::Rs384 => {
            let pair = KeyPair::generate(KeySize::Rsa3072)?;
            let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair)?;
            Ok(pem(der.as_ref()))
        }
        KeyAlgorithm::Es384 => {
            let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &SystemRandom::new())?;
            Ok(pem(der.as_ref()))
        }
    }
}

fn pem(der: &[u8]) -> SecretString {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn key(algorithm: KeyAlgorithm) -> SigningKey {
        SigningKey::from_pem(&generate_pem(algorithm).unwrap(), Some("k1")).unwrap()
    }

    #[rstest]
    #[case(KeyAlgorithm::Rs384, &["alg", "e", "key_ops", "kid", "kty", "n", "use"])]
    #[case(KeyAlgorithm::Es384, &["alg", "crv", "key_ops", "kid", "kty", "use", "x", "y"])]
    fn only_public_members_are_published(#[case] algorithm: KeyAlgorithm, #[case] expected: &[&str]) {
        let key = key(algorithm);
        let json = serde_json::to_value(PublicJwk::new("k1".into(), algorithm, key.material().clone())).unwrap();
        let mut members: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, expected);
        // A private member that got into what is stored does not get out of it.
        let mut stored = serde_json::to_value(key.material()).unwrap();
        stored["d"] = "secret".into();
        let read: KeyMaterial = serde_json::from_value(stored).unwrap();
        assert_eq!(&read, key.material());
    }

    #[rstest]
    #[case(KeyAlgorithm::Rs384)]
    #[case(KeyAlgorithm::Es384)]
    fn an_assertion(#[case] algorithm: KeyAlgorithm) {
        let key = key(algorithm);
        let of = Assertion { client_id: "app", audience: "https://a/token", id: "j", jwks_url: Some("https://b/jwks") };
        let jwt = key.assertion(of, Timestamp(1_000_000)).unwrap();
        let parts: Vec<_> = jwt.expose_secret().split('.').collect();
        let json = |part: &str| -> serde_json::Value {
            let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
            serde_json::from_slice(&bytes).unwrap()
        };
        let header = serde_json::json!({"alg": algorithm.as_str(), "typ": "JWT", "kid": "k1", "jku": "https://b/jwks"});
        assert_eq!(json(parts[0]), header);
        let claims = serde_json::json!({"iss": "app", "sub": "app", "aud": "https://a/token", "jti": "j",
            "iat": 1_000, "nbf": 1_000, "exp": 1_240});
        assert_eq!(json(parts[1]), claims);
    }

    #[test]
    fn refuses_what_is_no_key() {
        let pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(SigningKey::from_pem(&pem.into(), None).is_err());
        assert!(SigningKey::from_pem(&"no key".into(), None).is_err());
    }

    #[test]
    fn a_key_without_a_name_is_called_by_its_thumbprint() {
        let pem = generate_pem(KeyAlgorithm::Es384).unwrap();
        let kid = |()| SigningKey::from_pem(&pem, None).unwrap().kid().to_owned();
        assert_eq!(kid(()).len(), 43);
        assert_eq!(kid(()), kid(()));
    }
}
