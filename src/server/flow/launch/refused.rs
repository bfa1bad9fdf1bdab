//! Recording launches that end before the EHR is asked anything.
//!
//! Guards: only where the launch URL names a practice that there is; of the issuer it is told how it differs
//! from the configured one, not what it is; and each counts as a launch of its address, so that nobody fills a
//! practice's recordings without end.

use super::Asked;
use crate::model::address::Address;
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::flow::recorder::Recorder;
use crate::server::flow::sign_in::Origin;
use crate::server::flow::{Actor, Caller, client, limit};
use crate::server::provider;
use crate::server::store::flow::FlowKind;
use crate::server::store::practice;

/// Records a failure with the practice that the launch is for, and passes the result on.
pub(super) async fn record<T>(app: &App, asked: &Asked<'_>, origin: &Origin, result: Outcome<T>) -> Outcome<T> {
    let Err(failure) = &result else { return result };
    let (Some(practice), Some(id)) = (&asked.practice, &asked.provider) else { return result };
    let is_known = provider::by_id(id).is_some()
        && practice::get(app.db.pool(), practice).await.is_ok_and(|practice| practice.is_some());
    if !is_known || limit::launch_starts(app, origin.ip).await.is_err() {
        return result;
    }
    let caller = Caller { practice: practice.clone(), actor: Actor::Browser, request_id: origin.request_id.clone() };
    let configured = client::configured(app, practice, id).await.ok();
    let expected = configured.map(|ready| ready.plugin.launch_issuers(&ready.config)).unwrap_or_default();
    let facts = [
        ("Issuer", compared(asked.iss, &expected)),
        ("Launch handle", if asked.launch.is_empty() { "not given" } else { "given" }),
    ];
    Recorder::refused(app, &caller, id, FlowKind::Launch, (failure.code(), &facts)).await;
    result
}

/// How the issuer of a launch differs from those that the practice configured.
fn compared(iss: &str, expected: &[Address]) -> &'static str {
    let Ok(iss) = Address::parse(iss) else { return "no address" };
    if expected.is_empty() {
        "the provider is not filled, or not allowed"
    } else if expected.contains(&iss) {
        "as configured"
    } else if expected.iter().any(|address| address.origin() == iss.origin()) {
        "of the configured host, with another path"
    } else {
        "of another host than configured"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_told_by_its_difference() {
        let expected = [Address::parse("https://ehr.example/fhir").unwrap()];
        assert_eq!(compared("https://ehr.example/fhir/", &expected), "as configured");
        assert_eq!(compared("https://ehr.example/other", &expected), "of the configured host, with another path");
        assert_eq!(compared("https://elsewhere.example/fhir", &expected), "of another host than configured");
        assert_eq!(compared("javascript:x", &expected), "no address");
        assert_eq!(compared("https://ehr.example/fhir", &[]), "the provider is not filled, or not allowed");
    }
}
