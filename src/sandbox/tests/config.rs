//! What a sandbox refuses to start with, and what it says about itself.

use super::*;

fn try_new(base_url: &str, clients: Vec<Client>) -> Result<Sandbox, super::super::SandboxError> {
    Sandbox::new(SandboxConfig {
        base_url: base_url.to_owned(),
        clients,
        now: Arc::new(|| START),
        patients: 1,
        access_token_seconds: 3600,
        personality: Personality::default(),
    })
}

#[test]
fn refuses_base_urls_that_are_no_origin() {
    for bad in ["", "http://h/", "http://h/x", "ftp://h", "h:80", "http://H", "http://h?x"] {
        assert!(try_new(bad, vec![]).is_err(), "{bad}");
    }
    for good in ["http://127.0.0.1:4000", "https://ehr.example.org"] {
        assert!(try_new(good, vec![]).is_ok(), "{good}");
    }
}

#[test]
fn refuses_unusable_clients() {
    let twice = vec![client("a", ClientAuth::Public), client("a", ClientAuth::Public)];
    assert!(try_new(ORIGIN, twice).unwrap_err().to_string().contains("twice"));
    let mut fragment = client("a", ClientAuth::Public);
    fragment.redirect_uris = vec!["http://app.test/#x".to_owned()];
    assert!(try_new(ORIGIN, vec![fragment]).is_err());
    let mut relative = client("a", ClientAuth::Public);
    relative.redirect_uris = vec!["/callback".to_owned()];
    assert!(try_new(ORIGIN, vec![relative]).is_err());
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let shown = format!("{:?}", client("a", ClientAuth::Secret("hush".to_owned())));
    assert!(!shown.contains("hush"));
}

#[tokio::test]
async fn every_base_has_discovery_and_metadata() {
    let bed = Bed::new();
    for base in ["/fhir", "/fhir/r4/DEMO", "/fhir/R4/demo-tenant", "/interconnect-fhir-oauth/api/FHIR/R4"] {
        let reply = bed.get(&format!("{base}/.well-known/smart-configuration")).await;
        assert_eq!(reply.status, StatusCode::OK, "{base}");
        let json = reply.json();
        assert_eq!(json["authorization_endpoint"], "http://sandbox.test/auth/authorize");
        assert_eq!(json["token_endpoint"], "http://sandbox.test/auth/token");
        assert_eq!(json["issuer"], ORIGIN);
        assert_eq!(json["code_challenge_methods_supported"], serde_json::json!(["S256"]));
        assert_eq!(json["authorization_response_iss_parameter_supported"], true);
        let statement = bed.get(&format!("{base}/metadata")).await.json();
        assert_eq!(statement["resourceType"], "CapabilityStatement");
        assert_eq!(statement["fhirVersion"], "4.0.1");
        assert_eq!(statement["implementation"]["url"], format!("{ORIGIN}{base}"));
        let uris = statement["rest"][0]["security"]["extension"][0]["extension"].as_array().unwrap();
        let named: Vec<_> = uris.iter().map(|uri| uri["url"].as_str().unwrap()).collect();
        assert_eq!(named, ["authorize", "token", "introspect", "revoke"]);
    }
    assert_eq!(bed.sandbox.stats().discovery, 4);
}

#[tokio::test]
async fn the_capability_statement_names_creates_and_search_parameters() {
    let statement = Bed::new().get("/fhir/metadata").await.json();
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    let of = |kind: &str| resources.iter().find(|resource| resource["type"] == kind).unwrap();
    let codes = |kind: &str| -> Vec<String> {
        let list = of(kind)["interaction"].as_array().unwrap();
        list.iter().map(|one| one["code"].as_str().unwrap().to_owned()).collect()
    };
    assert!(codes("Patient").contains(&"create".to_owned()));
    assert!(codes("DocumentReference").contains(&"create".to_owned()));
    assert!(!codes("Encounter").contains(&"create".to_owned()));
    assert_eq!(codes("Binary"), ["read", "vread"]);
    let params = of("Patient")["searchParam"].as_array().unwrap();
    assert!(params.iter().any(|param| param["name"] == "birthdate" && param["type"] == "date"));
}

#[tokio::test]
async fn the_openid_configuration_leads_to_the_keys() {
    let bed = Bed::new();
    let json = bed.get("/.well-known/openid-configuration").await.json();
    assert_eq!(json["issuer"], ORIGIN);
    assert_eq!(json["jwks_uri"], "http://sandbox.test/auth/jwks");
    let keys = bed.get("/auth/jwks").await.json();
    assert_eq!(keys["keys"][0]["alg"], "RS256");
    assert!(keys["keys"][0].get("d").is_none());
}

#[tokio::test]
async fn serves_on_a_listener_until_told_to_stop() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let config = SandboxConfig {
        base_url: origin.clone(),
        clients: vec![],
        now: Arc::new(|| START),
        patients: 2,
        access_token_seconds: 3600,
        personality: Personality::default(),
    };
    let server = tokio::spawn(super::super::serve(config, listener, async {
        let _ = stopped.await;
    }));
    let http = reqwest::Client::builder().build().unwrap();
    let reply = http.get(format!("{origin}/fhir/metadata")).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.headers()["content-type"], "application/fhir+json");
    drop((reply, http));
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
}
