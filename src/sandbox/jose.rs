//! JSON Web Signatures by hand on aws-lc-rs: sign RS256, verify RS384 and ES384.
//!
//! Imports nothing of ours outside the sandbox, and no JWT library either, so that it is a second
//! reading of RFC 7515. Invariant: a signature verifies only under the algorithm its header names,
//! with a key of that kind.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED, KeyPair as _, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_SHA256, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::SandboxError;
use super::params::s256;

/// The key that signs id tokens.
pub(super) struct Signer {
    key: KeyPair,
    kid: String,
    jwk: Value,
}

impl Signer {
    /// A new RSA key of 2048 bits; its `kid` is its thumbprint (RFC 7638).
    pub(super) fn generate() -> Result<Self, SandboxError> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| SandboxError::Key)?;
        let public = key.public_key();
        let n = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
        let e = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
        let kid = s256(&format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#));
        let jwk = json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": n, "e": e });
        Ok(Self { key, kid, jwk })
    }

    /// The public half.
    pub(super) fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// A compact JWS over claims, signed RS256; it may name another key than the one that signs.
    pub(super) fn sign(&self, claims: &Value, kid: Option<&str>) -> Option<String> {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": kid.unwrap_or(&self.kid) });
        let input = signing_input(&header, claims);
        let mut signature = vec![0_u8; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).ok()?;
        Some(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// An unsecured JWS (RFC 7515 appendix A.5), which no client may accept.
pub(super) fn unsigned(claims: &Value) -> String {
    let header = json!({ "alg": "none", "typ": "JWT" });
    format!("{}.", signing_input(&header, claims))
}

fn signing_input(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// A compact JWS, taken apart but not yet verified.
pub(super) struct Jws<'a> {
    /// The protected header.
    pub(super) header: Map<String, Value>,
    /// The claims.
    pub(super) claims: Map<String, Value>,
    input: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a compact serialization apart.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (input, signature) = text.rsplit_once('.')?;
        let (header, claims) = input.split_once('.')?;
        let object = |part: &str| -> Option<Map<String, Value>> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        };
        Some(Self {
            header: object(header)?,
            claims: object(claims)?,
            input,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// A string of the header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    /// A string of the claims.
    pub(super) fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// Verifies under one public key: RS384 or ES384, the two of SMART "Client Authentication:
    /// Asymmetric", "Protocol details".
    pub(super) fn verify(&self, algorithm: &str, jwk: &Value) -> bool {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| text(name).and_then(|value| URL_SAFE_NO_PAD.decode(value).ok());
        let fits = text("alg").is_none_or(|alg| alg == algorithm) && text("use").is_none_or(|usage| usage == "sig");
        let input = self.input.as_bytes();
        match (fits, algorithm, text("kty")) {
            (true, "RS384", Some("RSA")) => {
                let (Some(n), Some(e)) = (bytes("n"), bytes("e")) else {
                    return false;
                };
                PublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA384, input, &self.signature).is_ok()
            }
            (true, "ES384", Some("EC")) if text("crv") == Some("P-384") => {
                let (Some(x), Some(y)) = (bytes("x"), bytes("y")) else {
                    return false;
                };
                if x.len() != 48 || y.len() != 48 {
                    return false;
                }
                // SEC 1 §2.3.3: an uncompressed point.
                let point: Vec<u8> = std::iter::once(4).chain(x).chain(y).collect();
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(input, &self.signature).is_ok()
            }
            _ => false,
        }
    }
}
