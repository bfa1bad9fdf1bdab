//! The practice's members and invitations.

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::api::json::Json;
use crate::model::account::Members;
use crate::model::body::Body;
use crate::model::id::MemberId;
use crate::model::problem::Problem;

/// Everyone in the practice, and open invitations.
///
/// # Errors
/// `forbidden`.
#[server(name = ReadMembers, endpoint = "members", input = GetUrl, output = Json)]
pub async fn members() -> Result<Body<Members>, Problem> {
    use crate::server::{flow::members, request};
    request::read(members::list(&request::app(), &request::caller()?).await)
}

/// Invites a person; answers the link to hand over, once. `role` is a role's name.
///
/// # Errors
/// `invalid_input`, `forbidden`.
#[server(endpoint = "invite_member")]
pub async fn invite_member(email: String, role: String) -> Result<String, Problem> {
    use crate::model::draft::Draft;
    use crate::server::{flow::members, request};
    let draft = Draft::of("invite_member", [("email", email.clone()), ("role", role.clone())]);
    let result = members::invite(&request::app(), &request::caller()?, &email, &role).await;
    request::form_shown_once(result, draft, "/members", "/members").await
}

/// Takes an invitation back.
///
/// # Errors
/// `not_found`, `forbidden`.
#[server(endpoint = "revoke_invite")]
pub async fn revoke_invite(invite: String) -> Result<(), Problem> {
    use crate::server::{flow::members, request};
    let result = members::revoke_invite(&request::app(), &request::caller()?, &invite).await;
    request::done(result, "/members?notice=invite_revoked")
}

/// Gives a member another role.
///
/// # Errors
/// `not_found`, `forbidden`, `conflict` when the practice would lose its last owner.
#[server(endpoint = "set_member_role")]
pub async fn set_member_role(member: MemberId, role: String) -> Result<(), Problem> {
    use crate::server::{flow::members, request};
    let result = members::set_role(&request::app(), &request::caller()?, &member, &role).await;
    request::done(result, "/members?notice=role_changed")
}

/// Removes a member and signs them out everywhere.
///
/// # Errors
/// `not_found`, `forbidden`, `conflict` when the practice would lose its last owner.
#[server(endpoint = "remove_member")]
pub async fn remove_member(member: MemberId) -> Result<(), Problem> {
    use crate::server::{flow::members, request};
    let result = members::remove(&request::app(), &request::caller()?, &member).await;
    request::done(result, "/members?notice=member_removed")
}
