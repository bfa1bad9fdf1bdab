//! What a person does between the authorization request and the code: sign in, choose, consent.
//!
//! Imports nothing of ours outside the sandbox. Invariant: no cookies; a transaction lives on the
//! server under an unguessable id in the form, so the flow works in a cross-site frame.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::grants::Transaction;
use super::params::{Params, same};
use super::people::USERS;
use super::records::PATIENT;
use super::scope::{self, Meaning, Scope};
use super::{Sandbox, authorize, pages};

/// The field that carries the transaction id.
pub(super) const FIELD: &str = "transaction";

/// The page that a transaction needs next.
pub(super) fn page(sandbox: &Sandbox, id: &str, transaction: &Transaction) -> Response {
    let Some(user) = transaction.user else {
        return pages::sign_in(id, &transaction.client, None);
    };
    if transaction.context.patient.is_none() && needs_patient(transaction) {
        return pages::picker(id, user, &sandbox.records(), "");
    }
    let patient = transaction
        .context
        .patient
        .as_deref()
        .and_then(|patient| sandbox.records().get(PATIENT, patient).map(|row| row.body.clone()));
    pages::consent(id, &transaction.client, user, patient.as_ref(), &transaction.scopes)
}

fn needs_patient(transaction: &Transaction) -> bool {
    scope::has(&transaction.scopes, &Meaning::LaunchPatient)
        || scope::has(&transaction.scopes, &Meaning::LaunchEncounter)
}

/// The transaction of a form, or a page that says it is over.
fn transaction(sandbox: &Sandbox, params: &Params) -> Result<(String, Transaction), Box<Response>> {
    let id = params.first(FIELD).unwrap_or_default();
    let found = sandbox.grants().transaction(id, sandbox.now());
    found.map(|transaction| (id.to_owned(), transaction)).ok_or_else(|| Box::new(over()))
}

fn over() -> Response {
    pages::message(
        StatusCode::BAD_REQUEST,
        "This sign-in is over",
        "It was finished, or it took longer than ten minutes. Start again from the application.",
    )
}

/// `POST /auth/sign-in`.
pub(super) async fn sign_in(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let params = Params::parse(&body);
    let (id, mut transaction) = match transaction(&sandbox, &params) {
        Ok(found) => found,
        Err(page) => return *page,
    };
    let login = params.first("username").unwrap_or_default();
    let password = params.first("password").unwrap_or_default();
    let user = USERS.iter().find(|user| user.login == login && same(user.password, password));
    if user.is_none() {
        return pages::sign_in(&id, &transaction.client, Some(login));
    }
    transaction.user = user;
    sandbox.grants().update_transaction(&id, |stored| stored.user = user);
    page(&sandbox, &id, &transaction)
}

/// `GET /auth/patient?transaction=…&q=…`: searches the list of patients.
pub(super) async fn find(State(sandbox): State<Sandbox>, RawQuery(query): RawQuery) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    match transaction(&sandbox, &params) {
        Ok((id, transaction)) => match transaction.user {
            Some(user) => {
                let query = params.first("q").unwrap_or_default();
                pages::picker(&id, user, &sandbox.records(), query)
            }
            None => page(&sandbox, &id, &transaction),
        },
        Err(page) => *page,
    }
}

/// `POST /auth/patient`.
pub(super) async fn choose(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let params = Params::parse(&body);
    let (id, mut transaction) = match transaction(&sandbox, &params) {
        Ok(found) => found,
        Err(page) => return *page,
    };
    let patient = params.first("patient").unwrap_or_default();
    let encounter = {
        let records = sandbox.records();
        if records.get(PATIENT, patient).is_none() {
            drop(records);
            return page(&sandbox, &id, &transaction);
        }
        records.latest_encounter(patient)
    };
    if transaction.user.is_some() {
        transaction.context.patient = Some(patient.to_owned());
        transaction.context.encounter = encounter;
        transaction.context.need_patient_banner = true;
        let context = transaction.context.clone();
        sandbox.grants().update_transaction(&id, |stored| stored.context = context);
    }
    page(&sandbox, &id, &transaction)
}

/// `POST /auth/consent`.
pub(super) async fn consent(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let params = Params::parse(&body);
    let (id, open) = match transaction(&sandbox, &params) {
        Ok(found) => found,
        Err(page) => return *page,
    };
    // A form that skips a step ends where it should have been.
    if open.user.is_none() || (open.context.patient.is_none() && needs_patient(&open)) {
        return page(&sandbox, &id, &open);
    }
    let now = sandbox.now();
    let Some(transaction) = sandbox.grants().close_transaction(&id, now) else {
        return over();
    };
    if params.first("decision") != Some("allow") {
        return authorize::deny(
            &sandbox,
            &transaction.redirect_uri,
            Some(&transaction.state),
            "access_denied",
            "the user pressed Deny",
        );
    }
    let scopes: Vec<Scope> =
        transaction.scopes.iter().filter(|scope| params.all("scope").any(|kept| kept == scope.text)).cloned().collect();
    authorize::finish(&sandbox, transaction, scopes)
}
