//! Signing in and out, one's own account, and the links that make or repair one.

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::api::json::Json;
use crate::model::account::{Account, Me, SignInStep, TotpSetup};
use crate::model::body::Body;
use crate::model::id::SessionId;
use crate::model::problem::Problem;

/// Signs a member in. Answers the session cookie; with a second factor, one that only
/// [`sign_in_totp`] accepts.
///
/// # Errors
/// `invalid_credentials`, `rate_limited`.
#[server(endpoint = "sign_in")]
pub async fn sign_in(email: String, password: String, #[server(default)] next: String) -> Result<SignInStep, Problem> {
    use crate::model::draft::Draft;
    use crate::server::{flow::sign_in, request};
    let draft = Draft::of("sign_in", [("email", email.clone()), ("next", next.clone())]);
    let result = sign_in::with_password(&request::app(), &request::origin(), &email, &password).await;
    request::signed_in(result, draft, "/sign-in", &next).await
}

/// The second step of a sign-in: a code of the authenticator, or a recovery code.
///
/// # Errors
/// `invalid_credentials`, `rate_limited`, `unauthenticated` when the first step is too old.
#[server(endpoint = "sign_in_totp")]
pub async fn sign_in_totp(code: String, #[server(default)] next: String) -> Result<SignInStep, Problem> {
    use crate::model::draft::Draft;
    use crate::server::{flow::sign_in, request};
    let draft = Draft::of("sign_in_totp", [("next", next.clone())]);
    let result = sign_in::with_code(&request::app(), &request::origin(), &code).await;
    request::signed_in(result, draft, "/sign-in/code", &next).await
}

/// Ends this session.
///
/// # Errors
/// `unauthenticated`.
#[server(endpoint = "sign_out")]
pub async fn sign_out() -> Result<(), Problem> {
    use crate::server::{flow::sign_in, request};
    let result = sign_in::sign_out(&request::app(), &request::caller()?).await;
    request::signed_out(result)
}

/// Makes the first practice and its owner, with the link that the first start printed.
///
/// # Errors
/// `link_invalid`, `invalid_input`.
#[server(endpoint = "setup")]
pub async fn setup(
    token: String,
    practice: String,
    name: String,
    email: String,
    password: String,
) -> Result<SignInStep, Problem> {
    use crate::model::draft::Draft;
    use crate::server::{flow::members, request};
    let draft = Draft::of("setup", [("practice", practice.clone()), ("name", name.clone()), ("email", email.clone())]);
    let result =
        members::set_up(&request::app(), &request::origin(), &token, &practice, &name, &email, &password).await;
    request::signed_in(result, draft, &format!("/setup?token={token}"), "").await
}

/// Makes the account of an invited member.
///
/// # Errors
/// `link_invalid`, `invalid_input`.
#[server(endpoint = "accept_invite")]
pub async fn accept_invite(token: String, name: String, password: String) -> Result<SignInStep, Problem> {
    use crate::model::draft::Draft;
    use crate::server::{flow::members, request};
    let draft = Draft::of("accept_invite", [("name", name.clone())]);
    let result = members::accept_invite(&request::app(), &request::origin(), &token, &name, &password).await;
    request::signed_in(result, draft, &format!("/invite?token={token}"), "").await
}

/// Sets a new password with the link that `ehr-integrations admin reset-password` printed.
///
/// # Errors
/// `link_invalid`, `invalid_input`.
#[server(endpoint = "reset_password")]
pub async fn reset_password(token: String, password: String) -> Result<SignInStep, Problem> {
    use crate::model::draft::Draft;
    use crate::server::{flow::members, request};
    let result = members::reset_password(&request::app(), &request::origin(), &token, &password).await;
    request::signed_in(result, Draft::of("reset_password", []), &format!("/reset?token={token}"), "").await
}

/// Who is signed in.
///
/// # Errors
/// `unauthenticated`.
#[server(name = ReadMe, endpoint = "me", input = GetUrl, output = Json)]
pub async fn me() -> Result<Body<Me>, Problem> {
    use crate::server::{flow::account, request};
    request::read(account::me(&request::app(), &request::caller()?).await)
}

/// The account page: the member and the signed-in browsers.
///
/// # Errors
/// `unauthenticated`.
#[server(name = ReadAccount, endpoint = "account", input = GetUrl, output = Json)]
pub async fn account() -> Result<Body<Account>, Problem> {
    use crate::server::{flow::account, request};
    request::read(account::overview(&request::app(), &request::caller()?).await)
}

/// Signs another browser of the same member out.
///
/// # Errors
/// `not_found`.
#[server(endpoint = "revoke_session")]
pub async fn revoke_session(session: SessionId) -> Result<(), Problem> {
    use crate::server::{flow::account, request};
    let result = account::revoke_session(&request::app(), &request::caller()?, &session).await;
    request::done(result, "/account?notice=session_revoked")
}

/// Signs every other browser of the same member out.
///
/// # Errors
/// `unauthenticated`.
#[server(endpoint = "revoke_other_sessions")]
pub async fn revoke_other_sessions() -> Result<(), Problem> {
    use crate::server::{flow::account, request};
    let result = account::revoke_other_sessions(&request::app(), &request::caller()?).await;
    request::done(result, "/account?notice=session_revoked")
}

/// Changes one's own password, and signs every other browser out.
///
/// # Errors
/// `invalid_input` with field `current` or `password`; `rate_limited`.
#[server(endpoint = "change_password")]
pub async fn change_password(current: String, password: String) -> Result<(), Problem> {
    use crate::model::draft::Draft;
    use crate::server::{flow::account, request};
    let result = account::change_password(&request::app(), &request::caller()?, &current, &password).await;
    request::form(result, Draft::of("change_password", []), "/account", "password_changed").await
}

/// The second factor that waits for its first code; makes one if there is none.
///
/// # Errors
/// `conflict` when a second factor is already set up.
#[server(name = BeginTotp, endpoint = "totp_setup", output = Json)]
pub async fn totp_setup() -> Result<Body<TotpSetup>, Problem> {
    use crate::server::{flow::account, request};
    request::read(account::totp_setup(&request::app(), &request::caller()?).await)
}

/// Switches the second factor on, with a first code that proves it works.
///
/// # Errors
/// `invalid_input` with field `code`; `rate_limited`.
#[server(endpoint = "totp_confirm")]
pub async fn totp_confirm(code: String) -> Result<Vec<String>, Problem> {
    use crate::model::draft::Draft;
    use crate::server::{flow::account, request};
    let result = account::totp_confirm(&request::app(), &request::caller()?, &code).await;
    request::form_shown_once(result, Draft::of("totp_confirm", []), "/account/two-factor", "/account/recovery-codes")
        .await
}

/// Switches the second factor off.
///
/// # Errors
/// `invalid_input` with field `password`; `rate_limited`.
#[server(endpoint = "totp_disable")]
pub async fn totp_disable(password: String) -> Result<(), Problem> {
    use crate::model::draft::Draft;
    use crate::server::{flow::account, request};
    let result = account::totp_disable(&request::app(), &request::caller()?, &password).await;
    request::form(result, Draft::of("totp_disable", []), "/account", "totp_disabled").await
}
