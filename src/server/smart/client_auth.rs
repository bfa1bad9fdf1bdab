//! How we prove ourselves at the token endpoint: which way, and the parameters of it.
//!
//! SMART App Launch 2.2, "Client Authentication"; RFC 6749 §2.3.1. Guards: the choice is made from
//! what the practice configured, what the EHR offers and what is known of the vendor, in one place.

use secrecy::{ExposeSecret, SecretString};

use crate::model::connection::AuthMethod;
use crate::model::key::{AuthReason, ChosenAuth, KeyAlgorithm};

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
    /// The algorithm of the key that can sign, if one can.
    pub key: Option<KeyAlgorithm>,
    /// What the EHR offers; `None` when it does not say.
    pub offered: Option<&'a [String]>,
    /// Whether the vendor takes signed assertions even where discovery does not say so.
    pub vendor_takes_key: bool,
}

/// Chooses: what the EHR offers, of what is configured, of what the vendor takes. A secret that the practice
/// entered wins over a key: it says how the application is registered. Only where the EHR lists the key and no
/// way to send a secret, it cannot be so. `None` when the practice wants what is not there.
pub fn choose(offer: Offer<'_>) -> Option<ChosenAuth> {
    let offers = |method: AuthMethod| offer.offered.is_some_and(|all| all.iter().any(|one| one == method.as_str()));
    let offers_key = offers(AuthMethod::PrivateKeyJwt);
    let offers_secret = offers(AuthMethod::ClientSecretBasic) || offers(AuthMethod::ClientSecretPost);
    let chosen = |method, reason| ChosenAuth { method, algorithm: None, reason: Some(reason) };
    let secret = |reason| {
        let in_form = offers(AuthMethod::ClientSecretPost) && !offers(AuthMethod::ClientSecretBasic);
        match (in_form, reason) {
            (true, AuthReason::SecretEntered) => chosen(AuthMethod::ClientSecretPost, AuthReason::SecretFormOnly),
            (true, reason) => chosen(AuthMethod::ClientSecretPost, reason),
            (false, reason) => chosen(AuthMethod::ClientSecretBasic, reason),
        }
    };
    let signed = |reason| {
        move |algorithm| ChosenAuth {
            method: AuthMethod::PrivateKeyJwt,
            algorithm: Some(algorithm),
            reason: Some(reason),
        }
    };
    match offer.preference {
        Preference::Secret => offer.has_secret.then(|| secret(AuthReason::Configured)),
        Preference::Key => offer.key.map(signed(AuthReason::Configured)),
        Preference::Public => Some(chosen(AuthMethod::None, AuthReason::Configured)),
        Preference::Auto if offer.has_secret => match offer.key {
            Some(algorithm) if offers_key && !offers_secret => Some(signed(AuthReason::KeyOnly)(algorithm)),
            _ => Some(secret(AuthReason::SecretEntered)),
        },
        Preference::Auto => {
            let reason = match (offers_key, offer.vendor_takes_key) {
                (true, _) => Some(AuthReason::KeyOffered),
                (false, true) => Some(AuthReason::KeyByVendor),
                (false, false) => None,
            };
            let by_key = reason.zip(offer.key).map(|(reason, algorithm)| signed(reason)(algorithm));
            Some(by_key.unwrap_or_else(|| chosen(AuthMethod::None, AuthReason::NothingToProve)))
        }
    }
}

/// The algorithm to sign with: the first that we have, the vendor takes and the EHR does not leave out of its
/// list.
pub fn algorithm(
    ours: &[KeyAlgorithm],
    vendor_takes: &[KeyAlgorithm],
    offered: Option<&[String]>,
) -> Option<KeyAlgorithm> {
    let is_offered = |algorithm: KeyAlgorithm| match offered {
        Some(list) if !list.is_empty() => list.iter().any(|one| one == algorithm.as_str()),
        _ => true,
    };
    ours.iter().copied().find(|algorithm| vendor_takes.contains(algorithm) && is_offered(*algorithm))
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
    Assertion {
        /// It.
        jwt: SecretString,
        /// The key that signed it.
        kid: String,
    },
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
            Self::Assertion { jwt, .. } => {
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

    use AuthMethod::{ClientSecretBasic, ClientSecretPost, None as Public, PrivateKeyJwt};
    use AuthReason::{Configured, KeyByVendor, KeyOffered, KeyOnly, NothingToProve, SecretEntered, SecretFormOnly};

    #[rstest]
    #[case(Preference::Auto, false, false, &[], false, Some((Public, NothingToProve)))]
    #[case(Preference::Auto, true, true, &["private_key_jwt", "client_secret_basic"], false, Some((ClientSecretBasic, SecretEntered)))]
    #[case(Preference::Auto, true, true, &["private_key_jwt"], false, Some((PrivateKeyJwt, KeyOnly)))]
    #[case(Preference::Auto, true, false, &["private_key_jwt"], false, Some((ClientSecretBasic, SecretEntered)))]
    #[case(Preference::Auto, true, true, &["none"], false, Some((ClientSecretBasic, SecretEntered)))]
    #[case(Preference::Secret, true, true, &["private_key_jwt"], false, Some((ClientSecretBasic, Configured)))]
    #[case(Preference::Auto, true, false, &["client_secret_post"], false, Some((ClientSecretPost, SecretFormOnly)))]
    #[case(Preference::Auto, true, false, &[], false, Some((ClientSecretBasic, SecretEntered)))]
    #[case(Preference::Auto, false, true, &["private_key_jwt"], false, Some((PrivateKeyJwt, KeyOffered)))]
    #[case(Preference::Auto, false, true, &["client_secret_basic"], false, Some((Public, NothingToProve)))]
    #[case(Preference::Auto, false, true, &[], true, Some((PrivateKeyJwt, KeyByVendor)))]
    #[case(Preference::Auto, false, false, &["private_key_jwt"], true, Some((Public, NothingToProve)))]
    #[case(Preference::Public, true, true, &["private_key_jwt"], true, Some((Public, Configured)))]
    #[case(Preference::Secret, true, true, &["client_secret_post"], true, Some((ClientSecretPost, Configured)))]
    #[case(Preference::Key, true, true, &[], false, Some((PrivateKeyJwt, Configured)))]
    #[case(Preference::Secret, false, true, &[], false, None)]
    #[case(Preference::Key, true, false, &[], false, None)]
    fn the_choice(
        #[case] preference: Preference,
        #[case] has_secret: bool,
        #[case] has_key: bool,
        #[case] offered: &[&str],
        #[case] vendor_takes_key: bool,
        #[case] expected: Option<(AuthMethod, AuthReason)>,
    ) {
        let offered: Vec<_> = offered.iter().map(ToString::to_string).collect();
        let offered = (!offered.is_empty()).then_some(offered.as_slice());
        let key = has_key.then_some(KeyAlgorithm::Es384);
        let chosen = choose(Offer { preference, has_secret, key, offered, vendor_takes_key });
        assert_eq!(chosen.map(|chosen| (chosen.method, chosen.reason.unwrap())), expected);
        let signs = chosen.is_some_and(|chosen| chosen.method == PrivateKeyJwt);
        assert_eq!(chosen.and_then(|chosen| chosen.algorithm), key.filter(|_| signs));
    }

    #[rstest]
    #[case(&[KeyAlgorithm::Rs384, KeyAlgorithm::Es384], &KeyAlgorithm::ALL, None, Some(KeyAlgorithm::Rs384))]
    #[case(&[KeyAlgorithm::Rs384, KeyAlgorithm::Es384], &KeyAlgorithm::ALL, Some("ES384"), Some(KeyAlgorithm::Es384))]
    #[case(&[KeyAlgorithm::Es384], &[KeyAlgorithm::Rs384], None, None)]
    #[case(&[KeyAlgorithm::Rs384], &KeyAlgorithm::ALL, Some("ES256"), None)]
    #[case(&[], &KeyAlgorithm::ALL, None, None)]
    fn the_algorithm(
        #[case] ours: &[KeyAlgorithm],
        #[case] vendor_takes: &[KeyAlgorithm],
        #[case] offered: Option<&str>,
        #[case] expected: Option<KeyAlgorithm>,
    ) {
        let offered = offered.map(|one| vec![one.to_owned()]);
        assert_eq!(algorithm(ours, vendor_takes, offered.as_deref()), expected);
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
