//! Signed client assertions: both algorithms, every rule, and key rotation.

use std::sync::Mutex;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKey, KeySize};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA384};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;

const TOKEN_URL: &str = "http://sandbox.test/auth/token";

enum Key {
    Rsa(RsaKey),
    Ec(EcdsaKeyPair),
}

impl Key {
    fn rsa() -> Self {
        Self::Rsa(RsaKey::generate(KeySize::Rsa2048).unwrap())
    }

    fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
    }

    fn alg(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS384",
            Self::Ec(_) => "ES384",
        }
    }

    fn jwk(&self, kid: &str) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(key) => {
                let n = encode(key.public_key().modulus().big_endian_without_leading_zero());
                let e = encode(key.public_key().exponent().big_endian_without_leading_zero());
                json!({ "kty": "RSA", "kid": kid, "n": n, "e": e })
            }
            Self::Ec(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (encode(&point[1..49]), encode(&point[49..]));
                json!({ "kty": "EC", "crv": "P-384", "kid": kid, "x": x, "y": y, "use": "sig", "alg": "ES384" })
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(header), part(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(key) => {
                let mut out = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA384, &random, input.as_bytes(), &mut out).unwrap();
                out
            }
            Self::Ec(key) => key.sign(&random, input.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A published key set that tests can change.
struct Jwks {
    url: String,
    keys: Arc<Mutex<Value>>,
    fetched: Arc<AtomicI64>,
}

impl Jwks {
    async fn publish(keys: Value) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new(keys));
        let fetched = Arc::new(AtomicI64::new(0));
        let (served, counted) = (Arc::clone(&keys), Arc::clone(&fetched));
        let router = axum::Router::new().route(
            "/jwks",
            axum::routing::get(move || async move {
                counted.fetch_add(1, Ordering::SeqCst);
                axum::Json(json!({ "keys": served.lock().unwrap().clone() }))
            }),
        );
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, keys, fetched }
    }
}

fn header(key: &Key, kid: &str) -> Value {
    json!({ "alg": key.alg(), "typ": "JWT", "kid": kid })
}

fn claims(jti: &str) -> Value {
    json!({ "iss": "jwt", "sub": "jwt", "aud": TOKEN_URL, "exp": START / 1000 + 300, "jti": jti })
}

async fn credentials(bed: &Bed, assertion: &str, scope: &str) -> Reply {
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", scope),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
    ];
    bed.form("/auth/token", &form).await
}

#[tokio::test]
async fn both_algorithms_redeem_a_code() {
    for key in [Key::rsa(), Key::ec()] {
        let jwks = Jwks::publish(json!([key.jwk("k1")])).await;
        let bed = Bed::with_jwks(&jwks.url);
        let code = bed.code("jwt", "openid launch/patient patient/*.rs").await;
        let assertion = key.sign(&header(&key, "k1"), &claims("one"));
        let extra = [
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion.as_str()),
        ];
        let reply = bed.redeem(&code, &extra, None).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
}

#[tokio::test]
async fn backend_services_get_short_tokens_for_every_base() {
    let key = Key::ec();
    let jwks = Jwks::publish(json!([key.jwk("k1")])).await;
    let bed = Bed::with_jwks(&jwks.url);
    let assertion = key.sign(&header(&key, "k1"), &claims("one"));
    let reply = credentials(&bed, &assertion, "system/Patient.rs system/DocumentReference.rs").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let json = reply.json();
    assert_eq!(json["expires_in"], 300);
    assert!(json.get("refresh_token").is_none());
    assert!(json.get("patient").is_none());
    let token = json["access_token"].as_str().unwrap();
    for base in ["/fhir", "/fhir/r4/DEMO"] {
        assert_eq!(bed.fhir_at(base, token, "Patient").await.json()["total"], 40);
    }
    assert_eq!(bed.fhir(token, "Encounter").await.status, StatusCode::FORBIDDEN);
    bed.forward(300);
    assert_eq!(bed.fhir(token, "Patient").await.status, StatusCode::UNAUTHORIZED);
    for scope in ["patient/Patient.rs", "openid", "nonsense", ""] {
        let mut later = claims(&format!("scope {scope}"));
        later["exp"] = json!(START / 1000 + 500);
        let assertion = key.sign(&header(&key, "k1"), &later);
        assert_eq!(credentials(&bed, &assertion, scope).await.error(), "invalid_scope", "{scope}");
    }
    let form = [("grant_type", "client_credentials"), ("scope", "system/*.rs")];
    let reply = bed.form_with("/auth/token", &form, Some(&basic("basic", "basic-secret"))).await;
    assert_eq!(reply.error(), "unauthorized_client");
    assert_eq!(bed.sandbox.stats().token_client_credentials, 6);
}

#[tokio::test]
async fn every_rule_of_an_assertion_is_kept() {
    let key = Key::rsa();
    let jwks = Jwks::publish(json!([key.jwk("k1")])).await;
    let bed = Bed::with_jwks(&jwks.url);
    let now = START / 1000;
    let head = |name: &str, value: Value| {
        let mut changed = header(&key, "k1");
        changed[name] = value;
        (changed, claims("fresh"))
    };
    let claim = |name: &str, value: Value| {
        let mut changed = claims("fresh");
        changed[name] = value;
        (header(&key, "k1"), changed)
    };
    for (why, (header, claims)) in [
        ("another algorithm", head("alg", json!("RS256"))),
        ("algorithm none", head("alg", json!("none"))),
        ("algorithm of another key type", head("alg", json!("ES384"))),
        ("no typ", head("typ", Value::Null)),
        ("no kid", head("kid", Value::Null)),
        ("unknown kid", head("kid", json!("k2"))),
        ("foreign jku", head("jku", json!("http://evil.test/jwks"))),
        ("crit", head("crit", json!(["x"]))),
        ("unknown iss", claim("iss", json!("nobody"))),
        ("iss of a client with a secret", claim("iss", json!("basic"))),
        ("sub differs", claim("sub", json!("other"))),
        ("aud is the base", claim("aud", json!("http://sandbox.test/fhir"))),
        ("aud with a slash", claim("aud", json!("http://sandbox.test/auth/token/"))),
        ("two auds", claim("aud", json!([TOKEN_URL, "x"]))),
        ("no exp", claim("exp", Value::Null)),
        ("expired", claim("exp", json!(now))),
        ("too far ahead", claim("exp", json!(now + 301))),
        ("nbf ahead", claim("nbf", json!(now + 60))),
        ("no jti", claim("jti", Value::Null)),
    ] {
        let reply = credentials(&bed, &key.sign(&header, &claims), "system/*.rs").await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{why}: {}", reply.text());
        assert_eq!(reply.error(), "invalid_client", "{why}");
    }
    let forged = Key::rsa().sign(&header(&key, "k1"), &claims("fresh"));
    assert_eq!(credentials(&bed, &forged, "system/*.rs").await.error(), "invalid_client");
    assert_eq!(credentials(&bed, "not.a.jwt", "system/*.rs").await.error(), "invalid_client");
    // None of those spent the jti; this one does.
    let good = key.sign(&head("jku", json!(jwks.url)).0, &claims("fresh"));
    assert_eq!(credentials(&bed, &good, "system/*.rs").await.status, StatusCode::OK);
    let replay = credentials(&bed, &good, "system/*.rs").await;
    assert_eq!(replay.error(), "invalid_client");
    assert!(replay.text().contains("jti"));
}

#[tokio::test]
async fn a_rotated_key_works_at_once_and_the_set_is_cached() {
    let (old, new) = (Key::ec(), Key::rsa());
    let jwks = Jwks::publish(json!([old.jwk("old")])).await;
    let bed = Bed::with_jwks(&jwks.url);
    for jti in ["a", "b"] {
        let assertion = old.sign(&header(&old, "old"), &claims(jti));
        assert_eq!(credentials(&bed, &assertion, "system/*.rs").await.status, StatusCode::OK);
    }
    assert_eq!(jwks.fetched.load(Ordering::SeqCst), 1);
    *jwks.keys.lock().unwrap() = json!([old.jwk("old"), new.jwk("new")]);
    let assertion = new.sign(&header(&new, "new"), &claims("c"));
    assert_eq!(credentials(&bed, &assertion, "system/*.rs").await.status, StatusCode::OK);
    assert_eq!(jwks.fetched.load(Ordering::SeqCst), 2);
    *jwks.keys.lock().unwrap() = json!([new.jwk("new")]);
    bed.forward(60);
    let assertion = old.sign(&header(&old, "old"), &claims("d"));
    assert_eq!(credentials(&bed, &assertion, "system/*.rs").await.error(), "invalid_client");
}

#[tokio::test]
async fn an_unreachable_or_private_key_set_is_named() {
    let key = Key::ec();
    let bed = Bed::new();
    let assertion = key.sign(&header(&key, "k1"), &claims("a"));
    let reply = credentials(&bed, &assertion, "system/*.rs").await;
    assert!(reply.text().contains("JWKS URL cannot be read"), "{}", reply.text());
    let mut private = key.jwk("k1");
    private["d"] = json!("c2VjcmV0");
    let jwks = Jwks::publish(json!([private])).await;
    let bed = Bed::with_jwks(&jwks.url);
    let reply = credentials(&bed, &assertion, "system/*.rs").await;
    assert!(reply.text().contains("private key"), "{}", reply.text());
}
