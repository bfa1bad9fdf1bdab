//! The installation's signing key: what is published of it, and assertions made with it.
//!
//! SMART App Launch 2.2, "Asymmetric Client Authentication". Guards: only public members ever leave
//! ([`SigningKey::public_jwk`] builds them one by one).

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::model::time::Timestamp;
use crate::server::config::{ConfigError, PrivateKey};

const VARIABLE: &str = "EHR_JWT_PRIVATE_KEY";

/// A private RSA key that signs with RS384.
pub struct SigningKey {
    key: EncodingKey,
    kid: String,
    modulus: String,
    exponent: String,
}

/// A public key as the JWKS has it (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicJwk {
    kty: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    kid: String,
    key_ops: [&'static str; 1],
    n: String,
    e: String,
}

/// A set of public keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PublicJwks {
    /// The keys.
    pub keys: Vec<PublicJwk>,
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
    /// Reads the key.
    ///
    /// # Errors
    /// When the PEM text holds no RSA private key.
    pub fn from_pem(private: &PrivateKey) -> Result<Self, ConfigError> {
        let wrong = || {
            ConfigError::invalid(
                VARIABLE,
                "it is no RSA private key in PEM; make one with `ehr-integrations keys generate`",
            )
        };
        let key = EncodingKey::from_rsa_pem(private.pem.expose_secret().as_bytes()).map_err(|_| wrong())?;
        let jwk = Jwk::from_encoding_key(&key, Algorithm::RS384).map_err(|_| wrong())?;
        let AlgorithmParameters::RSA(parameters) = &jwk.algorithm else { return Err(wrong()) };
        let kid = match &private.kid {
            Some(kid) => kid.clone(),
            None => jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| wrong())?,
        };
        Ok(Self { kid, modulus: parameters.n.clone(), exponent: parameters.e.clone(), key })
    }

    /// The public half.
    pub fn public_jwk(&self) -> PublicJwk {
        PublicJwk {
            kty: "RSA",
            usage: "sig",
            alg: "RS384",
            kid: self.kid.clone(),
            key_ops: ["verify"],
            n: self.modulus.clone(),
            e: self.exponent.clone(),
        }
    }

    /// A client assertion: `iss` = `sub` = client id, `aud` = token endpoint, four minutes of life
    /// (the standard allows five), a `jti` that the caller mints.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn assertion(
        &self,
        client_id: &str,
        audience: &str,
        jti: &str,
        now: Timestamp,
    ) -> Result<SecretString, jsonwebtoken::errors::Error> {
        let seconds = now.as_seconds();
        let claims = Claims {
            iss: client_id,
            sub: client_id,
            aud: audience,
            jti,
            iat: seconds,
            nbf: seconds,
            exp: seconds + 240,
        };
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::RS384) };
        jsonwebtoken::encode(&header, &claims, &self.key).map(SecretString::from)
    }
}

/// A new RSA key of 3072 bits, as PKCS #8 PEM.
///
/// # Errors
/// When the cryptographic library fails.
pub fn generate_pem() -> Result<SecretString, aws_lc_rs::error::Unspecified> {
    let pair = KeyPair::generate(KeySize::Rsa3072)?;
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair)?;
    let text = STANDARD.encode(der.as_ref());
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(pem.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_members_are_published() {
        let pem = generate_pem().unwrap();
        let key = SigningKey::from_pem(&PrivateKey { pem, kid: Some("k1".into()) }).ok().unwrap();
        let json = serde_json::to_value(key.public_jwk()).unwrap();
        let mut members: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        members.sort();
        assert_eq!(members, ["alg", "e", "key_ops", "kid", "kty", "n", "use"]);
    }

    #[test]
    fn refuses_what_is_no_key() {
        let private =
            PrivateKey { pem: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".into(), kid: None };
        assert!(SigningKey::from_pem(&private).is_err());
    }
}
