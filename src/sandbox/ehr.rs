//! The EHR's own side: a front page, a chart that launches applications, and a door for tests.
//!
//! Imports nothing of ours outside the sandbox. Invariant: a launch goes only to the launch URL
//! that the client registered, with `iss` and an opaque `launch` (SMART App Launch "Launch App:
//! EHR Launch").

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::base::{BASES, Base};
use super::grants::{Context, Launch};
use super::pages::{concat, escape, layout, message, mrn};
use super::params::{Params, random};
use super::patients::{name, text};
use super::people::{USERS, User};
use super::records::{ENCOUNTER, PATIENT};
use super::{Client, Sandbox};

/// `GET /`: where to find what.
pub(super) async fn index(State(sandbox): State<Sandbox>) -> Response {
    let bases = concat(BASES.into_iter().map(|base| {
        let url = escape(&base.url(&sandbox.inner.base_url));
        format!("<li><code>{url}</code> · <a href=\"{url}/metadata\">metadata</a></li>")
    }));
    let users = concat(USERS.iter().map(|user| {
        format!(
            "<tr><td>{}</td><td><code>{}</code></td><td><code>{}</code></td></tr>",
            escape(&user.display()),
            user.login,
            user.password
        )
    }));
    let clients =
        concat(sandbox.clients().iter().map(|client| format!("<li><code>{}</code></li>", escape(&client.id))));
    let main = format!(
        "<div class=\"card\"><h1>Sandbox EHR</h1>\
         <p>A stand-in EHR for rehearsals. Nobody in it is real.</p>\
         <p><a href=\"/ehr\">Open a chart and launch an application</a></p>\
         <h2>FHIR bases</h2><ul>{bases}</ul>\
         <h2>Users</h2><table><thead><tr><th scope=\"col\">Name</th><th scope=\"col\">User name</th>\
         <th scope=\"col\">Password</th></tr></thead><tbody>{users}</tbody></table>\
         <h2>Registered applications</h2><ul>{clients}</ul></div>"
    );
    layout(StatusCode::OK, "Home", false, &main)
}

fn options(items: impl Iterator<Item = (String, String)>) -> String {
    concat(items.map(|(value, words)| format!("<option value=\"{}\">{}</option>", escape(&value), escape(&words))))
}

/// `GET /ehr`: choose a patient, an application and a base.
pub(super) async fn chart(State(sandbox): State<Sandbox>) -> Response {
    let clients = options(
        sandbox
            .clients()
            .iter()
            .filter(|client| client.launch_url.is_some())
            .map(|client| (client.id.clone(), client.id.clone())),
    );
    if clients.is_empty() {
        return message(StatusCode::OK, "Nothing to launch", "No registered application has a launch URL.");
    }
    let patients = options(sandbox.records().all(PATIENT).map(|row| {
        let words = format!("{}, born {}, MRN {}", name(&row.body), text(&row.body, "/birthDate"), mrn(&row.body));
        (text(&row.body, "/id").to_owned(), words)
    }));
    let users = options(USERS.iter().map(|user| (user.login.to_owned(), user.display())));
    let bases = options(BASES.into_iter().map(|base| {
        let url = base.url(&sandbox.inner.base_url);
        (url.clone(), url)
    }));
    let main = format!(
        "<div class=\"card\"><h1>Open a chart</h1>\
         <p class=\"soft\">The application starts with this user, patient and visit in context.</p>\
         <form method=\"post\" action=\"/ehr/open\">\
         <label for=\"patient\">Patient</label><select id=\"patient\" name=\"patient\">{patients}</select>\
         <label for=\"client\">Application</label><select id=\"client\" name=\"client_id\">{clients}</select>\
         <label for=\"user\">Signed in as</label><select id=\"user\" name=\"user\">{users}</select>\
         <label for=\"base\">FHIR base</label><select id=\"base\" name=\"base\">{bases}</select>\
         <div class=\"row\"><button type=\"submit\" id=\"open\">Open in this frame</button></div>\
         </form></div>"
    );
    layout(StatusCode::OK, "Chart", false, &main)
}

/// `POST /ehr/open`: the chart with the application in a frame.
pub(super) async fn open(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let form = Params::parse(&body);
    let field = |name: &str| form.first(name).map(str::to_owned);
    let order = Order {
        client_id: field("client_id").unwrap_or_default(),
        patient: field("patient").unwrap_or_default(),
        base: field("base"),
        user: field("user"),
        need_patient_banner: Some(false),
        ..Order::default()
    };
    let launched = match start(&sandbox, &order) {
        Ok(launched) => launched,
        Err(why) => return message(StatusCode::BAD_REQUEST, "Cannot launch", why),
    };
    let patient = sandbox.records().get(PATIENT, &order.patient).map(|row| row.body.clone()).unwrap_or_default();
    let main = format!(
        "<div class=\"banner\"><strong>{name}</strong><span>born {born}</span><span>{gender}</span>\
         <span>MRN {mrn}</span></div>\
         <iframe id=\"app\" title=\"{client}\" src=\"{url}\"></iframe>\
         <div class=\"row\"><a href=\"/ehr\">Close the application</a></div>",
        name = escape(&name(&patient)),
        born = escape(text(&patient, "/birthDate")),
        gender = escape(text(&patient, "/gender")),
        mrn = escape(mrn(&patient)),
        client = escape(&order.client_id),
        url = escape(&launched.url),
    );
    layout(StatusCode::OK, "Chart", true, &main)
}

/// What to launch, as tests say it in JSON.
#[derive(Default, Deserialize)]
pub(super) struct Order {
    client_id: String,
    patient: String,
    base: Option<String>,
    user: Option<String>,
    encounter: Option<String>,
    intent: Option<String>,
    need_patient_banner: Option<bool>,
    #[serde(rename = "fhirContext")]
    fhir_context: Option<Value>,
    /// Whether the user will press Deny; nobody is asked in a launch.
    #[serde(default)]
    deny: bool,
}

struct Launched {
    handle: String,
    url: String,
}

/// `POST /ehr/launch`: the same for tests, as JSON.
pub(super) async fn launch(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let result = serde_json::from_slice::<Order>(&body)
        .map_err(|_| "the body is not a launch order")
        .and_then(|order| start(&sandbox, &order));
    match result {
        Ok(launched) => Json(json!({ "launch": launched.handle, "url": launched.url })).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, Json(json!({ "error": why }))).into_response(),
    }
}

fn start(sandbox: &Sandbox, order: &Order) -> Result<Launched, &'static str> {
    let client = sandbox.client(&order.client_id).ok_or("unknown client_id")?;
    let base = match order.base.as_deref() {
        None => Base::default(),
        Some(path) if path.starts_with('/') => Base::named("", path, true).ok_or("unknown base")?,
        Some(url) => Base::named(&sandbox.inner.base_url, url, true).ok_or("unknown base")?,
    };
    let user = match order.user.as_deref() {
        None => User::default_user(),
        Some(login) => USERS.iter().find(|user| user.login == login).ok_or("unknown user")?,
    };
    let encounter = {
        let records = sandbox.records();
        records.get(PATIENT, &order.patient).ok_or("unknown patient")?;
        match order.encounter.as_deref() {
            None => records.latest_encounter(&order.patient),
            Some(id) => Some(
                records
                    .get(ENCOUNTER, id)
                    .filter(|row| row.patient.as_deref() == Some(order.patient.as_str()))
                    .map(|_| id.to_owned())
                    .ok_or("unknown encounter of this patient")?,
            ),
        }
    };
    let handle = random().map_err(|_| "no random bytes")?;
    let url = launch_url(&client, &base.url(&sandbox.inner.base_url), &handle).ok_or("the client has no launch URL")?;
    let launch = Launch {
        client: client.id.clone(),
        base,
        user,
        context: Context {
            patient: Some(order.patient.clone()),
            encounter,
            need_patient_banner: order.need_patient_banner.unwrap_or(false),
            intent: order.intent.clone(),
            references: order.fhir_context.clone(),
        },
        denied: order.deny,
    };
    let now = sandbox.now();
    sandbox.grants().open_launch(&handle, launch, now);
    Ok(Launched { handle, url })
}

fn launch_url(client: &Client, iss: &str, handle: &str) -> Option<String> {
    let mut url = url::Url::parse(client.launch_url.as_deref()?).ok()?;
    url.query_pairs_mut().append_pair("iss", iss).append_pair("launch", handle);
    Some(url.into())
}
