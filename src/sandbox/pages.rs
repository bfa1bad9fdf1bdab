//! The pages that a person sees: plain HTML and forms, no script, no cookie.
//!
//! Imports nothing of ours outside the sandbox. Invariants: whatever came from outside is escaped;
//! every page says that its data are synthetic; every page works in a frame of another site.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::params::hash;
use super::patients::{name, text};
use super::people::{USERS, User};
use super::records::{PATIENT, Records};
use super::scope::Scope;
use super::search::fold_case;
use super::steps::FIELD;

/// How many patients a list shows at once.
const SHOWN: usize = 50;

const CSS: &str = "
:root{color-scheme:light dark;--bg:#eef3f2;--card:#fff;--text:#172322;--soft:#51625f;--line:#cfdad7;--key:#1f6f64;--on:#fff;--bad:#a3262a;--note:#fff4d6;--note-text:#5a4300}
@media (prefers-color-scheme:dark){:root{--bg:#0f1716;--card:#182322;--text:#e5eeec;--soft:#9fb1ad;--line:#31413e;--key:#6cc7b7;--on:#06211d;--bad:#ff9c9c;--note:#3a2f10;--note-text:#ffe2a0}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:1rem/1.5 system-ui,sans-serif}
header{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;padding:.75rem 1.25rem;background:var(--card);border-bottom:1px solid var(--line)}
header strong{font-size:1.05rem;letter-spacing:.01em}
.badge{padding:.1rem .6rem;border-radius:1rem;background:var(--note);color:var(--note-text);font-size:.85rem}
main{max-width:34rem;margin:1.5rem auto;padding:0 1rem}
main.wide{max-width:72rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.5rem}
a{color:var(--key)}
h1{margin:0 0 .5rem;font-size:1.35rem}
h2{margin:1.5rem 0 .5rem;font-size:1.05rem}
p{margin:.5rem 0}
.soft{color:var(--soft)}
label{display:block;margin:.9rem 0 .25rem;font-weight:600}
input[type=text],input[type=password],input[type=search],select{width:100%;padding:.6rem .7rem;border:1px solid var(--line);border-radius:.5rem;background:var(--bg);color:inherit;font:inherit}
button{padding:.6rem 1.1rem;border:1px solid var(--key);border-radius:.5rem;background:var(--key);color:var(--on);font:inherit;font-weight:600;cursor:pointer}
button.quiet{background:transparent;color:var(--key)}
:focus-visible{outline:3px solid var(--key);outline-offset:2px}
.row{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.25rem}
.find{display:flex;gap:.5rem;align-items:end;margin-bottom:1rem}
.find div{flex:1}
.find label{margin-top:0}
.error{color:var(--bad);font-weight:600}
ul.plain{list-style:none;margin:0;padding:0}
ul.plain li{margin:.4rem 0}
button.patient{display:flex;flex-wrap:wrap;justify-content:space-between;gap:.25rem 1rem;width:100%;text-align:left;background:transparent;color:inherit;border-color:var(--line);font-weight:400}
button.patient:hover{border-color:var(--key)}
.scope{display:flex;gap:.7rem;align-items:baseline;margin:.5rem 0;font-weight:400}
.scope code{display:block;color:var(--soft);font-size:.85rem;overflow-wrap:anywhere}
table{width:100%;border-collapse:collapse}
th,td{padding:.4rem .5rem;border-bottom:1px solid var(--line);text-align:left}
iframe{display:block;width:100%;height:75vh;border:1px solid var(--line);border-radius:.75rem;background:var(--card)}
.banner{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;margin-bottom:1rem;padding:.75rem 1rem;border-left:.3rem solid var(--key);background:var(--card)}
";

/// Escapes text for HTML and XML, in content and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Puts pieces of HTML together.
pub(super) fn concat(pieces: impl Iterator<Item = String>) -> String {
    pieces.fold(String::new(), |whole, piece| whole + &piece)
}

/// A whole page around a `main` that is HTML already.
pub(super) fn layout(status: StatusCode, title: &str, wide: bool, main: &str) -> Response {
    let title = escape(title);
    let class = if wide { " class=\"wide\"" } else { "" };
    let page = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title} · Sandbox EHR</title><style>{CSS}</style></head>\
         <body><header><strong>Sandbox EHR</strong>\
         <span class=\"badge\">Synthetic data only</span></header>\
         <main{class}>{main}</main></body></html>"
    );
    let mut response = (status, Html(page)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // No `form-action`: Chromium applies it to where a form's answer redirects, which is the
    // application. No `frame-ancestors`: an EHR launch runs in a frame.
    let policy =
        format!("default-src 'none'; style-src 'sha256-{}'; frame-src *; base-uri 'none'", STANDARD.encode(hash(CSS)));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// A page that says one thing.
pub(super) fn message(status: StatusCode, title: &str, text: &str) -> Response {
    let main = format!("<div class=\"card\"><h1>{}</h1><p>{}</p></div>", escape(title), escape(text));
    layout(status, title, false, &main)
}

fn hidden(id: &str) -> String {
    format!("<input type=\"hidden\" name=\"{FIELD}\" value=\"{}\">", escape(id))
}

/// Step 1. `wrong` is the login of a failed attempt.
pub(super) fn sign_in(id: &str, client: &str, wrong: Option<&str>) -> Response {
    let first = User::default_user();
    let (error, described) = if wrong.is_some() {
        (
            "<p class=\"error\" id=\"error\" role=\"alert\">That user name and password do not match.</p>",
            " aria-describedby=\"error\"",
        )
    } else {
        ("", "")
    };
    let users: Vec<String> =
        USERS.iter().map(|user| format!("<code>{}</code> ({})", user.login, escape(&user.display()))).collect();
    let main = format!(
        "<div class=\"card\"><h1>Sign in</h1>\
         <p class=\"soft\">to continue to <strong>{client}</strong></p>{error}\
         <form method=\"post\" action=\"/auth/sign-in\">{hidden}\
         <label for=\"username\">User name</label>\
         <input type=\"text\" id=\"username\" name=\"username\" value=\"{login}\" autocomplete=\"username\" required{described}>\
         <label for=\"password\">Password</label>\
         <input type=\"password\" id=\"password\" name=\"password\" value=\"{password}\" autocomplete=\"current-password\" required{described}>\
         <div class=\"row\"><button type=\"submit\" id=\"sign-in\">Sign in</button></div></form>\
         <h2>Who can sign in</h2><p class=\"soft\">{users}; the password is always \
         <code>{password}</code>.</p></div>",
        client = escape(client),
        hidden = hidden(id),
        login = escape(wrong.unwrap_or(first.login)),
        password = first.password,
        users = users.join(", "),
    );
    layout(StatusCode::OK, "Sign in", false, &main)
}

/// The medical record number of a patient.
pub(super) fn mrn(patient: &Value) -> &str {
    text(patient, "/identifier/0/value")
}

fn matching<'a>(records: &'a Records, query: &str) -> Vec<&'a Value> {
    let words: Vec<String> = query.split_whitespace().map(fold_case).collect();
    records
        .all(PATIENT)
        .map(|row| &row.body)
        .filter(|patient| {
            let line = fold_case(&format!("{} {} {}", name(patient), text(patient, "/birthDate"), mrn(patient)));
            words.iter().all(|word| line.contains(word.as_str()))
        })
        .collect()
}

/// Step 2: a list of patients to choose from, narrowed by `query`.
pub(super) fn picker(id: &str, user: &User, records: &Records, query: &str) -> Response {
    let found = matching(records, query);
    let items = concat(found.iter().take(SHOWN).map(|patient| {
        format!(
            "<li><button type=\"submit\" class=\"patient\" name=\"patient\" value=\"{id}\">\
                 <span><strong>{name}</strong></span>\
                 <span class=\"soft\">born {born} · MRN {mrn}</span></button></li>",
            id = escape(text(patient, "/id")),
            name = escape(&name(patient)),
            born = escape(text(patient, "/birthDate")),
            mrn = escape(mrn(patient)),
        )
    }));
    let summary = match found.len() {
        0 => "No patient matches.".to_owned(),
        1 => "1 patient.".to_owned(),
        count if count > SHOWN => {
            format!("{count} patients match; the first {SHOWN} are shown. Type more to narrow.")
        }
        count => format!("{count} patients."),
    };
    let main = format!(
        "<div class=\"card\"><h1>Choose a patient</h1>\
         <p class=\"soft\">Signed in as {user}</p>\
         <form class=\"find\" method=\"get\" action=\"/auth/patient\" role=\"search\">{hidden}\
         <div><label for=\"q\">Name, birth date or record number</label>\
         <input type=\"search\" id=\"q\" name=\"q\" value=\"{query}\"></div>\
         <button type=\"submit\" class=\"quiet\" id=\"search\">Search</button></form>\
         <p class=\"soft\" id=\"summary\" role=\"status\">{summary}</p>\
         <form method=\"post\" action=\"/auth/patient\">{hidden}\
         <ul class=\"plain\" aria-label=\"Patients\">{items}</ul></form></div>",
        user = escape(&user.display()),
        hidden = hidden(id),
        query = escape(query),
    );
    layout(StatusCode::OK, "Choose a patient", false, &main)
}

/// Step 3: what the application asks for, to allow in whole, in part, or not.
pub(super) fn consent(id: &str, client: &str, user: &User, patient: Option<&Value>, scopes: &[Scope]) -> Response {
    let items = concat(scopes.iter().map(|scope| {
        format!(
            "<li><label class=\"scope\"><input type=\"checkbox\" name=\"scope\" value=\"{text}\" checked>\
                 <span>{words}<code>{text}</code></span></label></li>",
            text = escape(&scope.text),
            words = escape(&scope.describe()),
        )
    }));
    let about = patient.map_or_else(String::new, |patient| {
        format!(
            "<p>Patient: <strong>{}</strong>, born {}, MRN {}</p>",
            escape(&name(patient)),
            escape(text(patient, "/birthDate")),
            escape(mrn(patient))
        )
    });
    let main = format!(
        "<div class=\"card\"><h1>Allow access?</h1>\
         <p class=\"soft\">Signed in as {user}</p>{about}\
         <p><strong>{client}</strong> would like to:</p>\
         <form method=\"post\" action=\"/auth/consent\">{hidden}\
         <ul class=\"plain\" aria-label=\"Permissions\">{items}</ul>\
         <p class=\"soft\">Untick what you do not want to allow.</p>\
         <div class=\"row\">\
         <button type=\"submit\" id=\"allow\" name=\"decision\" value=\"allow\">Allow</button>\
         <button type=\"submit\" class=\"quiet\" id=\"deny\" name=\"decision\" value=\"deny\">Deny</button>\
         </div></form></div>",
        user = escape(&user.display()),
        client = escape(client),
        hidden = hidden(id),
    );
    layout(StatusCode::OK, "Allow access", false, &main)
}
