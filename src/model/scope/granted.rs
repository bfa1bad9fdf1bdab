//! What was asked for beside what the EHR offers and what it granted.
//!
//! SMART App Launch 2.2, "Scopes and Launch Context". Guards: a grant that the EHR tells in words of its own is
//! not taken for a refusal, and one that it does not tell is unknown.

use serde::{Deserialize, Serialize};

use super::{Scope, resource};

/// A requested scope, and what the EHR says to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeState {
    /// The scope.
    pub scope: String,
    /// What it allows.
    pub meaning: String,
    /// Whether the EHR lists it; absent when it lists none. The list need not be complete.
    pub offered: Option<bool>,
    /// Whether it was granted; absent when the EHR did not say.
    pub granted: Option<bool>,
    /// What does not work, where it is not granted.
    pub without: Option<String>,
}

/// What a token answer tells of the grant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    /// Its `scope`; `None` when it had none: unknown, not "as requested".
    pub scope: Option<&'a str>,
    /// Whether a refresh token came.
    pub has_refresh_token: bool,
}

/// Sets what was asked beside what the EHR offers (`scopes_supported`) and what it granted. Granted scopes that
/// nobody asked for come last.
pub fn compare(requested: &str, offered: Option<&str>, told: Told<'_>) -> Vec<ScopeState> {
    let requested = Scope::parse_list(requested);
    let offered = offered.map(Scope::parse_list);
    let granted = told.scope.map(Scope::parse_list);
    let meant: Option<Vec<_>> = granted.as_ref().map(|all| all.iter().flat_map(meaning).collect());
    let covered = |scope: &Scope, by: &Option<Vec<Scope>>| by.as_ref().map(|all| scope.is_covered_by(all));
    let state = |scope: &Scope, granted: Option<bool>| ScopeState {
        scope: scope.to_string(),
        meaning: scope.describe(),
        offered: covered(scope, &offered),
        granted,
        without: (granted == Some(false)).then(|| scope.without().to_owned()),
    };
    // A refresh token says it, too, where the scope does not: some EHRs leave `offline_access` out of the grant.
    let renewal = |scope: &Scope| matches!(scope, Scope::Flow(name) if RENEWAL.contains(&name.as_str()));
    let silent = told.has_refresh_token && !granted.iter().flatten().any(renewal);
    let is_granted = |scope: &Scope| if silent && renewal(scope) { Some(true) } else { covered(scope, &meant) };
    let mut states: Vec<_> = requested.iter().map(|scope| state(scope, is_granted(scope))).collect();
    let asked_for = |extra: &Scope| {
        let within = |asked: &Scope, scope: &Scope| matches!(extra, Scope::Vendor(_)) && asked.covers(scope);
        let meant = meaning(extra);
        requested.iter().any(|asked| meant.iter().any(|scope| scope.covers(asked) || within(asked, scope)))
    };
    for extra in granted.iter().flatten().filter(|scope| !asked_for(scope)) {
        states.push(state(extra, Some(true)));
    }
    states
}

/// The scopes that ask for a refresh token (SMART "Scopes for requesting a refresh token").
const RENEWAL: [&str; 2] = ["offline_access", "online_access"];

/// What a granted scope stands for: itself, or, where an EHR has words of its own, the standard's. Epic leaves
/// the context out (`Patient.read`, which is then whichever was asked for), and writes capitals; eClinicalWorks
/// has a permission for each interaction (`user/Patient.search`).
fn meaning(scope: &Scope) -> Vec<Scope> {
    let Scope::Vendor(text) = scope else { return vec![scope.clone()] };
    let (contexts, rest) = match text.split_once('/') {
        Some((context, rest)) => (vec![context], rest),
        None => (vec!["patient", "user", "system"], text.as_str()),
    };
    let Some((kind, permission)) = rest.split_once('.') else { return vec![scope.clone()] };
    let permission = match permission.to_ascii_lowercase().as_str() {
        "create" => "c".to_owned(),
        "update" => "u".to_owned(),
        "delete" => "d".to_owned(),
        "search" => "s".to_owned(),
        other => other.to_owned(),
    };
    let words = contexts.iter().map(|context| format!("{}/{kind}.{permission}", context.to_ascii_lowercase()));
    let meant: Vec<_> = words.filter_map(|word| resource(&word)).collect();
    if meant.is_empty() { vec![scope.clone()] } else { meant }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(scope: &str) -> Told<'_> {
        Told { scope: Some(scope), has_refresh_token: false }
    }

    fn granted(requested: &str, told: Told<'_>) -> Vec<(String, Option<bool>)> {
        compare(requested, None, told).into_iter().map(|state| (state.scope, state.granted)).collect()
    }

    fn states(all: &[(&str, Option<bool>)]) -> Vec<(String, Option<bool>)> {
        all.iter().map(|(scope, granted)| ((*scope).to_owned(), *granted)).collect()
    }

    #[test]
    fn coverage() {
        let found = granted("openid patient/Patient.rs user/Encounter.c", told("openid patient/*.read extra"));
        let expected = [
            ("openid", Some(true)),
            ("patient/Patient.rs", Some(true)),
            ("user/Encounter.c", Some(false)),
            ("extra", Some(true)),
        ];
        assert_eq!(found, states(&expected));
        assert_eq!(granted("openid", Told::default()), states(&[("openid", None)]));
    }

    #[test]
    fn offered_and_missed() {
        let states = compare("openid user/Binary.rs", Some("openid user/*.read"), told("openid"));
        assert_eq!(states[0].offered, Some(true));
        assert_eq!((states[1].offered, states[1].granted), (Some(true), Some(false)));
        assert_eq!(states[1].without.as_deref(), Some("Documents cannot be opened."));
        assert_eq!(compare("launch", Some("openid"), Told::default())[0].offered, Some(false));
    }

    #[test]
    fn a_refresh_token_says_what_the_scope_does_not() {
        let told = |scope, has_refresh_token| Told { scope: Some(scope), has_refresh_token };
        let asked = "openid offline_access";
        assert_eq!(granted(asked, told("openid", true))[1].1, Some(true));
        assert_eq!(granted(asked, told("openid", false))[1].1, Some(false));
        assert_eq!(granted(asked, Told { scope: None, has_refresh_token: true })[1].1, Some(true));
        // It renews while the user is there, and that is what the EHR says.
        assert_eq!(granted(asked, told("openid online_access", true))[1].1, Some(false));
    }

    /// As Epic and eClinicalWorks tell grants.
    #[test]
    fn words_of_the_ehrs_own() {
        let asked = "user/Patient.rs user/Binary.rs user/Patient.c";
        let echoes = [
            ("Patient.read Patient.search", [Some(true), Some(false), Some(false)]),
            ("Patient.Read Patient.Create", [Some(true), Some(false), Some(true)]),
            ("user/Patient.read user/Patient.search user/Patient.create", [Some(true), Some(false), Some(true)]),
            ("patient/Patient.search", [Some(false), Some(false), Some(false)]),
            ("Binary.write Binary.read", [Some(false), Some(true), Some(false)]),
            ("Patient.delete Patient.anything Patient.", [Some(false), Some(false), Some(false)]),
        ];
        for (echo, expected) in echoes {
            let found: Vec<_> = granted(asked, told(echo)).into_iter().take(3).map(|(_, granted)| granted).collect();
            assert_eq!(found, expected, "{echo}");
        }
        // What was asked for, in other words, is nothing more.
        assert_eq!(granted(asked, told("Patient.read Patient.search Patient.create Binary.read")).len(), 3);
        assert_eq!(granted(asked, told("Patient.read Observation.read")).last().unwrap().0, "Observation.read");
    }

    #[test]
    fn letters_may_come_from_several_grants() {
        assert_eq!(granted("user/Patient.crs", told("user/Patient.rs user/Patient.c"))[0].1, Some(true));
    }
}
