//! How we prove ourselves at the token endpoint: which way, and the parameters of it.
//!
//! SMART App Launch 2.2, "Client Authentication"; RFC 6749 §2.3.1. Guards: the choice is made from
//! what the practice configured, what the EHR offers and what is known of the vendor, in one place.

use secrecy::{ExposeSecret, SecretString};

use crate::model::connection::AuthMethod;

/// What the practice wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// The best that configuration and EHR allow.
    #[default]
    Auto,
    /// Public: PKCE only.
    Public,
    /// The client secret.
    Secret,
    /// The signing key.
    Key,
}

/// What the choice is made from.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// What the practice wants.
    pub preference: Preference,
    /// Whether there is a secret.
    pub has_secret: bool,
    /// Whether the installation has a signing key.
    pub has_key: bool,
    /// What the EHR offers; `None` when it does not say.
    pub offered: Option<&'a [String]>,
    /// Whether the vendor takes signed assertions even where discovery does not say so.
    pub vendor_takes_key: bool,
}

/// Chooses. A secret that the practice entered wins over the installation's key: it says how the
/// application is registered. `None` when the practice wants what is not there.
pub fn choose(offer: Offer<'_>) -> Option<AuthMethod> {
    let offers = |method: AuthMethod| offer.offered.is_some_and(|all| all.iter().any(|one| one == method.as_str()));
    let symmetric = || {
        if offers(AuthMethod::ClientSecretPost) && !offers(AuthMethod::ClientSecretBasic) {
            AuthMethod::ClientSecretPost
        } else {
            AuthMethod::ClientSecretBasic
        }
    };
    match offer.preference {
        Preference::Secret => offer.has_secret.then(symmetric),
        Preference::Key => offer.has_key.then_some(AuthMethod::PrivateKeyJwt),
        Preference::Auto if offer.has_secret => Some(symmetric()),
        Preference::Auto if offer.has_key && (offer.vendor_takes_key || offers(AuthMethod::PrivateKeyJwt)) => {
            Some(AuthMethod::PrivateKeyJwt)
        }
        Preference::Public | Preference::Auto => Some(AuthMethod::None),
    }
}

/// What proves the client in one request.
pub enum Credential {
    /// Nothing: the client id in the form.
    None,
    /// HTTP Basic.
    Basic {
        /// The secret.
        secret: SecretString,
        /// Whether id and secret are form-encoded first (RFC 6749 §2.3.1), or used as they are.
        encoded: bool,
    },
    /// The secret in the form.
    Post(SecretString),
    /// A signed assertion.
    Assertion(SecretString),
}

/// The `Authorization` header and the form parameters of a credential.
pub struct Proof {
    /// `Authorization`, if the credential travels there.
    pub authorization: Option<SecretString>,
    /// Parameters to add to the form.
    pub form: Vec<(&'static str, String)>,
}

impl Credential {
    /// The parts of a request that prove `client_id`. `client_id` stands in the form for public
    /// clients and with a secret in the form; confidential clients leave it out, unless the vendor
    /// wants it there.
    pub fn prove(&self, client_id: &str, client_id_in_body: bool) -> Proof {
        let id = ("client_id", client_id.to_owned());
        let mut form = Vec::new();
        let mut authorization = None;
        match self {
            Self::None => form.push(id),
            Self::Basic { secret, encoded } => {
                authorization = Some(basic(client_id, secret, *encoded));
                form.extend(client_id_in_body.then_some(id));
            }
            Self::Post(secret) => {
                form.push(id);
                form.push(("client_secret", secret.expose_secret().to_owned()));
            }
            Self::Assertion(jwt) => {
                form.push((
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
                ));
                form.push(("client_assertion", jwt.expose_secret().to_owned()));
                form.extend(client_id_in_body.then_some(id));
            }
        }
        Proof { authorization, form }
    }
}

fn basic(client_id: &str, secret: &SecretString, encoded: bool) -> SecretString {
    use base64::Engine;
    let secret = secret.expose_secret();
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair =
        if encoded { format!("{}:{}", encode(client_id), encode(secret)) } else { format!("{client_id}:{secret}") };
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Preference::Auto, false, false, &[], false, Some(AuthMethod::None))]
    #[case(Preference::Auto, true, true, &["private_key_jwt", "client_secret_basic"], false, Some(AuthMethod::ClientSecretBasic))]
    #[case(Preference::Auto, true, false, &["client_secret_post"], false, Some(AuthMethod::ClientSecretPost))]
    #[case(Preference::Auto, true, false, &[], false, Some(AuthMethod::ClientSecretBasic))]
    #[case(Preference::Auto, false, true, &["private_key_jwt"], false, Some(AuthMethod::PrivateKeyJwt))]
    #[case(Preference::Auto, false, true, &["client_secret_basic"], false, Some(AuthMethod::None))]
    #[case(Preference::Auto, false, true, &[], true, Some(AuthMethod::PrivateKeyJwt))]
    #[case(Preference::Public, true, true, &["private_key_jwt"], true, Some(AuthMethod::None))]
    #[case(Preference::Secret, false, true, &[], false, None)]
    #[case(Preference::Key, true, false, &[], false, None)]
    fn the_choice(
        #[case] preference: Preference,
        #[case] has_secret: bool,
        #[case] has_key: bool,
        #[case] offered: &[&str],
        #[case] vendor_takes_key: bool,
        #[case] expected: Option<AuthMethod>,
    ) {
        let offered: Vec<_> = offered.iter().map(ToString::to_string).collect();
        let offered = (!offered.is_empty()).then_some(offered.as_slice());
        assert_eq!(choose(Offer { preference, has_secret, has_key, offered, vendor_takes_key }), expected);
    }

    #[test]
    fn basic_is_encoded_where_the_vendor_wants_it() {
        let proof = |encoded| {
            let proof = Credential::Basic { secret: "a b:c".into(), encoded }.prove("id/1", false);
            assert!(proof.form.is_empty());
            proof.authorization.unwrap().expose_secret().to_owned()
        };
        assert_eq!(proof(false), "Basic aWQvMTphIGI6Yw==");
        assert_eq!(proof(true), "Basic aWQlMkYxOmErYiUzQWM=");
    }
}
