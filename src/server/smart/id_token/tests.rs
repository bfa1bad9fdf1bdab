//! Tokens that are good, and every way in which one can be bad.

use super::*;
use crate::model::key::KeyAlgorithm;
use crate::server::smart::keys::{PublicJwk, SigningKey, generate_pem};
use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;

const EXPECTED: Expected<'_> = Expected {
    issuer: None,
    jwks_uri: None,
    own_urls: ["https://ehr.example/fhir", "https://auth.example/token"],
    client_id: "app",
    nonce: Some("n"),
};
const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn identity() -> Identity {
    Identity {
        iss: "https://auth.example".into(),
        sub: "u".into(),
        fhir_user: Some("Practitioner/1".into()),
        profile: None,
        nonce: Some("n".into()),
        azp: None,
        aud: Audience::One("app".into()),
        exp: 1_000_000_300,
        iat: Some(1_000_000_000),
        nbf: None,
    }
}

fn refused(change: impl FnOnce(&mut Identity)) -> Option<IdTokenError> {
    let mut identity = identity();
    change(&mut identity);
    identity.check("https://auth.example", &EXPECTED, NOW).err()
}

#[test]
fn claims() {
    use IdTokenError::{Claim, Nonce};
    assert_eq!(refused(|_| ()), None);
    assert_eq!(refused(|id| id.nonce = None), None);
    assert_eq!(refused(|id| id.nonce = Some("other".into())), Some(Nonce));
    assert_eq!(refused(|id| id.aud = Audience::One("other".into())), Some(Claim("aud")));
    assert_eq!(refused(|id| id.aud = Audience::Many(vec!["app".into(), "b".into()])), None);
    assert_eq!(
        refused(|id| {
            id.aud = Audience::Many(vec!["app".into(), "b".into()]);
            id.azp = Some("b".into());
        }),
        Some(Claim("azp"))
    );
    assert_eq!(refused(|id| id.exp = 999_999_000), Some(Claim("exp")));
    assert_eq!(refused(|id| id.iat = Some(1_000_001_000)), Some(Claim("iat")));
    assert_eq!(refused(|id| id.iss = "https://other.example".into()), Some(Claim("iss")));
    assert_eq!(refused(|id| id.sub = String::new()), Some(Claim("sub")));
}

#[test]
fn issuers() {
    assert!(check_issuer("https://auth.example/oauth2", &EXPECTED).is_ok());
    assert!(check_issuer("https://evil.example", &EXPECTED).is_err());
    let named = Expected { issuer: Some("https://i.example/"), ..EXPECTED };
    assert!(check_issuer("https://i.example", &named).is_ok());
    assert!(check_issuer("https://auth.example", &named).is_err());
}

#[test]
fn shared_secrets_are_not_accepted() {
    assert!(!accepted(Algorithm::HS256));
    assert!(jsonwebtoken::decode_header("eyJhbGciOiJub25lIn0.e30.").is_err());
}

const KEYS: &str = "https://auth.example/jwks";
const SIGNED: Expected<'_> = Expected { issuer: Some("https://auth.example"), jwks_uri: Some(KEYS), ..EXPECTED };

/// An issuer with one published key, and that key.
struct Issuer {
    keys: KeySets,
    http: Http,
    private: EncodingKey,
    public: String,
}

impl Issuer {
    async fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let pem = generate_pem(KeyAlgorithm::Rs384).unwrap();
        let private = EncodingKey::from_rsa_pem(pem.expose_secret().as_bytes()).unwrap();
        let key = SigningKey::from_pem(&pem, Some("k1")).unwrap();
        let public = PublicJwk::new("k1".into(), KeyAlgorithm::Rs384, key.material().clone());
        let public = serde_json::to_value(public).unwrap();
        let mut published = public.clone();
        // The key signs with whatever an EHR signs with.
        published.as_object_mut().unwrap().remove("alg");
        let set = read_keys(serde_json::json!({"keys": [published]}).to_string().as_bytes()).unwrap();
        let keys = KeySets::default();
        keys.sets.insert(KEYS.into(), Arc::new(set)).await;
        // Asked a moment ago: an unknown key is not asked for again.
        keys.asked.insert(KEYS.into(), ()).await;
        let http = Http::new(false, Duration::from_secs(1)).ok().unwrap();
        Self { keys, http, private, public: public["n"].as_str().unwrap().to_owned() }
    }

    async fn validate(&self, token: String) -> Result<Identity, IdTokenError> {
        self.keys.validate(&self.http, &token.into(), &SIGNED, NOW).await
    }

    fn signed(&self, kid: Option<&str>, change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut claims = claims_of_a_good_token();
        change(&mut claims);
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, &claims, &self.private).unwrap()
    }
}

fn claims_of_a_good_token() -> serde_json::Value {
    serde_json::json!({"iss": "https://auth.example", "sub": "u", "aud": "app", "nonce": "n",
        "exp": 1_000_000_300, "iat": 1_000_000_000, "fhirUser": "Practitioner/1"})
}

type Change = fn(&mut serde_json::Value);

#[tokio::test]
async fn signed_tokens() {
    let issuer = Issuer::new().await;
    let good = issuer.signed(Some("k1"), |_| ());
    assert_eq!(issuer.validate(good.clone()).await.map(|identity| identity.sub), Ok("u".into()));
    // One key only: a token that names none is of it.
    assert!(issuer.validate(issuer.signed(None, |_| ())).await.is_ok());
    let claims: [(Change, IdTokenError); 6] = [
        (|claims| claims["aud"] = "other".into(), IdTokenError::Claim("aud")),
        (|claims| claims["iss"] = "https://evil.example".into(), IdTokenError::Claim("iss")),
        (|claims| claims["exp"] = 999_999_000.into(), IdTokenError::Claim("exp")),
        (|claims| claims["iat"] = 1_000_001_000.into(), IdTokenError::Claim("iat")),
        (|claims| claims["nonce"] = "other".into(), IdTokenError::Nonce),
        (|claims| claims["sub"] = "".into(), IdTokenError::Claim("sub")),
    ];
    for (change, expected) in claims {
        assert_eq!(issuer.validate(issuer.signed(Some("k1"), change)).await, Err(expected));
    }
    // Without a nonce: the standard's own test server sends none.
    let without = issuer.signed(Some("k1"), |claims| drop(claims.as_object_mut().unwrap().remove("nonce")));
    assert!(issuer.validate(without).await.is_ok());
    assert_eq!(issuer.validate(issuer.signed(Some("k2"), |_| ())).await, Err(IdTokenError::UnknownKey));
    // Somebody else's key under the right name.
    let other = Issuer::new().await;
    assert_eq!(issuer.validate(other.signed(Some("k1"), |_| ())).await, Err(IdTokenError::Signature));
}

#[tokio::test]
async fn algorithms_that_prove_nothing() {
    use base64::Engine;
    let base64 = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let issuer = Issuer::new().await;
    let payload = base64(&claims_of_a_good_token().to_string());
    for alg in ["none", "None", "nOnE"] {
        let unsigned = format!("{}.{payload}.", base64(&format!("{{\"alg\":\"{alg}\",\"kid\":\"k1\"}}")));
        assert_eq!(issuer.validate(unsigned).await, Err(IdTokenError::Malformed), "{alg}");
    }
    // The public key as a shared secret.
    for alg in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let secret = EncodingKey::from_secret(issuer.public.as_bytes());
        let header = Header { kid: Some("k1".into()), ..Header::new(alg) };
        let token = jsonwebtoken::encode(&header, &claims_of_a_good_token(), &secret).unwrap();
        assert_eq!(issuer.validate(token).await, Err(IdTokenError::Malformed), "{alg:?}");
    }
    // A good signature over something else.
    let good = issuer.signed(Some("k1"), |_| ());
    let parts: Vec<_> = good.split('.').collect();
    let moved = claims_of_a_good_token().to_string().replace("\"u\"", "\"admin\"");
    let forged = format!("{}.{}.{}", parts[0], base64(&moved), parts[2]);
    assert_eq!(issuer.validate(forged).await, Err(IdTokenError::Signature));
    assert!(issuer.validate(format!("{}.{}", parts[0], parts[1])).await.is_err());
}

proptest! {
    #[test]
    fn any_text_is_refused_without_panic(text in "\\PC{0,60}") {
        let _ = unverified_issuer(&text.clone().into());
        let _ = read_keys(text.as_bytes());
    }
}
