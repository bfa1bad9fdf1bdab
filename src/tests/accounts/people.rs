//! Members, invitations, roles, API tokens, the audit trail.

use ehr_integrations::model::field::Rule;
use ehr_integrations::model::problem::Code;
use ehr_integrations::model::role::{Permission, Role, TokenScope};
use ehr_integrations::server::failure::Failure;
use ehr_integrations::server::flow::sign_in;
use ehr_integrations::server::flow::{Caller, account, audit, members, tokens};
use rstest::rstest;

use super::{PASSWORD, actions, browser, caller_of, code, create, enter, is_signed_in, member, rule, token_of};
use crate::support::{Db, TestApp};

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn an_invitation_is_accepted_once(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let owner = member(&test, "North", "ada@north.example", Role::Owner).await;
    let first = members::invite(&test.app, &owner, "Bob@north.example", "clinician").await.unwrap();
    let link = members::invite(&test.app, &owner, "bob@north.example", "auditor").await.unwrap();
    assert_eq!(members::list(&test.app, &owner).await.unwrap().invites.len(), 1, "the second replaced the first");
    let accept = async |link: &str, password: &str| {
        members::accept_invite(&test.app, &browser(), token_of(link), "Bob", password).await
    };
    assert_eq!(code(accept(&first, PASSWORD).await), Code::LinkInvalid);
    assert_eq!(rule(accept(&link, "short").await, "password"), Some(Rule::PasswordTooShort));
    let bob = caller_of(&test, &accept(&link, PASSWORD).await.unwrap().token).await;
    assert_eq!(bob.practice, owner.practice);
    assert!(bob.may(Permission::ReadAudit) && !bob.may(Permission::WriteSettings));
    assert_eq!(code(accept(&link, PASSWORD).await), Code::LinkInvalid);

    let everyone = members::list(&test.app, &bob).await.unwrap();
    assert_eq!((everyone.members.len(), everyone.invites.len()), (2, 0));
    let again = members::invite(&test.app, &owner, "bob@north.example", "admin").await;
    assert_eq!(rule(again, "email"), Some(Rule::Taken));
    let nonsense = members::invite(&test.app, &owner, "nobody", "king").await;
    let Some(Failure::Problem(problem)) = nonsense.err() else { panic!("a problem") };
    assert_eq!((problem.rule_of("email"), problem.rule_of("role")), (Some(Rule::NotAnEmail), Some(Rule::UnknownRole)));

    let late = members::invite(&test.app, &owner, "late@north.example", "clinician").await.unwrap();
    test.clock.advance_seconds(7 * 86_400);
    assert_eq!(code(accept(&late, PASSWORD).await), Code::LinkInvalid);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn only_owners_touch_owners(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let owner = member(&test, "North", "ada@north.example", Role::Owner).await;
    let admin = member(&test, "North", "bob@north.example", Role::Admin).await;
    let clinician = member(&test, "North", "cy@north.example", Role::Clinician).await;
    let (ada, cy) = (owner.member().unwrap().0.clone(), clinician.member().unwrap().0.clone());
    let app = &test.app;

    assert_eq!(code(members::list(app, &clinician).await), Code::Forbidden);
    assert_eq!(code(members::invite(app, &clinician, "d@north.example", "clinician").await), Code::Forbidden);
    assert_eq!(code(members::invite(app, &admin, "d@north.example", "owner").await), Code::Forbidden);
    assert_eq!(code(members::set_role(app, &admin, &ada, "clinician").await), Code::Forbidden);
    assert_eq!(code(members::set_role(app, &admin, &cy, "owner").await), Code::Forbidden);
    assert_eq!(code(members::remove(app, &admin, &ada).await), Code::Forbidden);
    members::invite(app, &owner, "d@north.example", "owner").await.unwrap();
    let invite = members::list(app, &admin).await.unwrap().invites[0].id.clone();
    assert_eq!(code(members::revoke_invite(app, &admin, &invite).await), Code::Forbidden);
    members::revoke_invite(app, &owner, &invite).await.unwrap();
    assert_eq!(code(members::revoke_invite(app, &owner, &invite).await), Code::NotFound);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_practice_keeps_an_owner(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let ada = member(&test, "North", "ada@north.example", Role::Owner).await;
    let ada_id = ada.member().unwrap().0.clone();
    assert_eq!(code(members::set_role(&test.app, &ada, &ada_id, "admin").await), Code::Conflict);
    assert_eq!(code(members::remove(&test.app, &ada, &ada_id).await), Code::Conflict);

    let bob = member(&test, "North", "bob@north.example", Role::Owner).await;
    let bob_id = bob.member().unwrap().0.clone();
    let operator = Caller::operator(&test.app, ada.practice.clone());
    // Several rounds: the first may be serialised by opening a connection.
    for _ in 0..5 {
        let (one, other) = tokio::join!(
            members::set_role(&test.app, &ada, &bob_id, "admin"),
            members::set_role(&test.app, &bob, &ada_id, "admin"),
        );
        let outcomes = [one.map_err(|error| error.code()), other.map_err(|error| error.code())];
        assert!(outcomes.contains(&Ok(())) && outcomes.contains(&Err(Code::Conflict)), "{outcomes:?}");
        for id in [&ada_id, &bob_id] {
            members::set_role(&test.app, &operator, id, "owner").await.unwrap();
        }
    }
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn role_changes_and_removals_sign_out_and_end_invitations(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let owner = member(&test, "North", "ada@north.example", Role::Owner).await;
    let (_, bob) = create(&test, "North", "bob@north.example", Role::Admin).await;
    let token = enter(&test, "bob@north.example").await.token;
    let as_bob = caller_of(&test, &token).await;
    members::invite(&test.app, &as_bob, "friend@north.example", "admin").await.unwrap();
    members::set_role(&test.app, &owner, &bob, "clinician").await.unwrap();
    assert!(!is_signed_in(&test, &token).await);
    assert!(members::list(&test.app, &owner).await.unwrap().invites.is_empty());

    members::set_role(&test.app, &owner, &bob, "admin").await.unwrap();
    let token = enter(&test, "bob@north.example").await.token;
    let as_bob = caller_of(&test, &token).await;
    let link = members::invite(&test.app, &as_bob, "friend@north.example", "admin").await.unwrap();
    members::remove(&test.app, &owner, &bob).await.unwrap();
    assert!(!is_signed_in(&test, &token).await);
    let accepted = members::accept_invite(&test.app, &browser(), token_of(&link), "Friend", PASSWORD).await;
    assert_eq!(code(accepted), Code::LinkInvalid);
    assert_eq!(code(members::remove(&test.app, &owner, &bob).await), Code::NotFound);
    let trail = actions(&test, &owner.practice).await;
    assert!(trail.iter().any(|(action, _)| action == "member.removed"));
    assert!(trail.iter().any(|(action, _)| action == "member.role_changed"));
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn practices_do_not_see_each_other(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let north = member(&test, "North", "ada@north.example", Role::Owner).await;
    let south = member(&test, "South", "eve@south.example", Role::Owner).await;
    let ada = north.member().unwrap().0.clone();
    members::invite(&test.app, &north, "bob@north.example", "admin").await.unwrap();
    let invite = members::list(&test.app, &north).await.unwrap().invites[0].id.clone();
    tokens::create(&test.app, &north, "reader", &[TokenScope::Read], None).await.unwrap();
    let token = tokens::list(&test.app, &north).await.unwrap()[0].id.clone();

    let seen = members::list(&test.app, &south).await.unwrap();
    assert_eq!((seen.members.len(), seen.invites.len()), (1, 0));
    assert_eq!(code(members::set_role(&test.app, &south, &ada, "auditor").await), Code::NotFound);
    assert_eq!(code(members::remove(&test.app, &south, &ada).await), Code::NotFound);
    assert_eq!(code(members::revoke_invite(&test.app, &south, &invite).await), Code::NotFound);
    assert_eq!(code(tokens::revoke(&test.app, &south, &token).await), Code::NotFound);
    assert!(tokens::list(&test.app, &south).await.unwrap().is_empty());
    let theirs = audit::page(&test.app, &south, "").await.unwrap().events;
    assert!(theirs.iter().all(|event| !event.actor.contains("north")), "{theirs:?}");
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn the_command_line_makes_accounts(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let make = async |practice: &str, email: &str| {
        members::create_by_operator(&test.app, practice, email, PASSWORD, None).await
    };
    let first = make("North", "ada@north.example").await.unwrap();
    let second = make(" North ", "bob@north.example").await.unwrap();
    assert_eq!((first.role, first.new_practice), (Role::Owner, true));
    assert_eq!((second.role, second.new_practice), (Role::Admin, false));
    assert_eq!(first.practice, second.practice);
    assert_eq!(rule(make("South", "Ada@north.example").await, "email"), Some(Rule::Taken));
    assert_eq!(code(members::reset_link(&test.app, "nobody@north.example").await), Code::NotFound);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn tokens_carry_their_scopes_until_they_end(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let owner = member(&test, "North", "ada@north.example", Role::Owner).await;
    let clinician = member(&test, "North", "cy@north.example", Role::Clinician).await;
    let scopes = [TokenScope::Read, TokenScope::Connect];
    assert_eq!(code(tokens::create(&test.app, &clinician, "x", &scopes, None).await), Code::Forbidden);
    assert_eq!(rule(tokens::create(&test.app, &owner, " ", &scopes, None).await, "name"), Some(Rule::Required));
    assert_eq!(rule(tokens::create(&test.app, &owner, "x", &[], None).await, "scopes"), Some(Rule::Required));
    assert!(rule(tokens::create(&test.app, &owner, "x", &scopes, Some(0)).await, "expires_days").is_some());

    let token = tokens::create(&test.app, &owner, "reader", &scopes, Some(1)).await.unwrap();
    assert!(token.starts_with("ehri_") && token.len() == 48);
    let caller = tokens::authenticate(&test.app, &token, "r").await.unwrap().unwrap();
    assert_eq!((caller.actor_name().as_str(), &caller.practice), ("token reader", &owner.practice));
    assert!(caller.may(Permission::Connect) && !caller.may(Permission::WriteSettings));
    assert!(!caller.may(Permission::ManageTokens) && !caller.may(Permission::ReadMembers));
    assert_eq!(code(account::me(&test.app, &caller).await), Code::Forbidden);
    assert!(tokens::list(&test.app, &owner).await.unwrap()[0].last_used_at.is_some());
    for wrong in ["", "ehri_", &token[5..], &format!("{token}x"), &format!("ehri_{}", "A".repeat(43))] {
        assert!(tokens::authenticate(&test.app, wrong, "r").await.unwrap().is_none(), "{wrong}");
    }
    test.clock.advance_seconds(86_400);
    assert!(tokens::authenticate(&test.app, &token, "r").await.unwrap().is_none(), "over");

    let token = tokens::create(&test.app, &owner, "forever", &scopes, None).await.unwrap();
    let id = tokens::list(&test.app, &owner).await.unwrap()[0].id.clone();
    tokens::revoke(&test.app, &owner, &id).await.unwrap();
    assert!(tokens::authenticate(&test.app, &token, "r").await.unwrap().is_none(), "revoked");
    assert_eq!(code(tokens::revoke(&test.app, &owner, &id).await), Code::NotFound);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn the_audit_trail_is_paged_and_not_for_everyone(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let auditor = member(&test, "North", "olga@north.example", Role::Auditor).await;
    let clinician = member(&test, "North", "cy@north.example", Role::Clinician).await;
    assert_eq!(code(audit::page(&test.app, &clinician, "").await), Code::Forbidden);
    for _ in 0..55 {
        sign_in::sign_out(&test.app, &auditor).await.unwrap();
    }
    let first = audit::page(&test.app, &auditor, "").await.unwrap();
    assert_eq!(first.events.len(), 50);
    let second = audit::page(&test.app, &auditor, first.next.as_deref().unwrap()).await.unwrap();
    assert_eq!(second.next, None);
    assert!(second.events.iter().all(|older| older.id < first.events[49].id));
}
