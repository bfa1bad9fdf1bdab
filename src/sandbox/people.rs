//! Who works at the synthetic practice: the users who can sign in, as FHIR practitioners too.
//!
//! Imports nothing of ours outside the sandbox. Invariant: every user has a `Practitioner` of the
//! same id, so that `fhirUser` can be read.

use serde_json::{Value, json};

use super::patients::test_tag;

/// A person who can sign in.
#[derive(Debug)]
pub(super) struct User {
    /// The name typed at sign-in.
    pub(super) login: &'static str,
    /// The password typed at sign-in; synthetic, and shown on the page.
    pub(super) password: &'static str,
    /// The id of the practitioner resource.
    pub(super) practitioner: &'static str,
    /// Given and family name.
    pub(super) name: (&'static str, &'static str),
    /// What `sub` says in an id token: never the login (OIDC Core §8).
    pub(super) subject: &'static str,
    specialty: (&'static str, &'static str),
}

/// Everyone who can sign in; the first one is prefilled.
pub(super) const USERS: [User; 3] = [
    User {
        login: "dr.river",
        password: "sandbox",
        practitioner: "prac-river",
        name: ("Jordan", "River"),
        subject: "5b1f3c2e-river",
        specialty: ("207Q00000X", "Family Medicine"),
    },
    User {
        login: "dr.stone",
        password: "sandbox",
        practitioner: "prac-stone",
        name: ("Amara", "Stone"),
        subject: "9d07a4f8-stone",
        specialty: ("207R00000X", "Internal Medicine"),
    },
    User {
        login: "nurse.lake",
        password: "sandbox",
        practitioner: "prac-lake",
        name: ("Mateo", "Lake"),
        subject: "c3e8812b-lake",
        specialty: ("363L00000X", "Nurse Practitioner"),
    },
];

impl User {
    /// The name as the pages show it.
    pub(super) fn display(&self) -> String {
        format!("{} {}", self.name.0, self.name.1)
    }

    /// The user who is signed in at the EHR when it launches an application.
    pub(super) fn default_user() -> &'static Self {
        let [first, ..] = &USERS;
        first
    }
}

/// The id of the one organization.
pub(super) const ORGANIZATION: &str = "org-sandbox";

/// The organization that everyone works for.
pub(super) fn organization() -> Value {
    json!({
        "resourceType": "Organization",
        "id": ORGANIZATION,
        "meta": test_tag(),
        "active": true,
        "name": "Sandbox Family Practice (synthetic)"
    })
}

/// A user as a practitioner.
pub(super) fn practitioner(index: usize, user: &User) -> Value {
    json!({
        "resourceType": "Practitioner",
        "id": user.practitioner,
        "meta": test_tag(),
        "active": true,
        "identifier": [{
            "system": "http://hl7.org/fhir/sid/us-npi",
            "value": format!("999999{index:04}")
        }],
        "name": [{
            "use": "official",
            "family": user.name.1,
            "given": [user.name.0],
            "text": user.display()
        }]
    })
}

/// What a user does at the organization.
pub(super) fn role(user: &User) -> Value {
    json!({
        "resourceType": "PractitionerRole",
        "id": format!("role-{}", user.practitioner),
        "meta": test_tag(),
        "active": true,
        "practitioner": {
            "reference": format!("Practitioner/{}", user.practitioner),
            "display": user.display()
        },
        "organization": { "reference": format!("Organization/{ORGANIZATION}") },
        "specialty": [{
            "coding": [{
                "system": "http://nucc.org/provider-taxonomy",
                "code": user.specialty.0,
                "display": user.specialty.1
            }],
            "text": user.specialty.1
        }]
    })
}
