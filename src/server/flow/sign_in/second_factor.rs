//! The second factor: RFC 6238 codes (SHA-1, six digits, 30 seconds, one step of skew) and recovery
//! codes.
//!
//! Guards: the secret is sealed for its member's row; a code and a recovery code work once. Recovery
//! codes have 80 random bits, so that their hashes need no salt.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use totp_rs::{Builder, Secret, Totp};

use crate::model::account::TotpSetup;
use crate::model::problem::Code;
use crate::server::App;
use crate::server::clock::hash_token;
use crate::server::failure::{Failure, Outcome};
use crate::server::store::member::Member;
use crate::server::store::{Tx, totp};
use crate::server::vault::Place;

const ISSUER: &str = "EHR Integrations";
const STEP_SECONDS: u64 = 30;
const RECOVERY_CODES: usize = 10;
/// Crockford's base 32: no letter that looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// By what a member proved the second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// The authenticator.
    Authenticator,
    /// A recovery code.
    RecoveryCode,
}

/// A new secret, sealed for the member.
///
/// # Errors
/// When the vault fails.
pub fn new_sealed(app: &App, member: &Member) -> Outcome<Vec<u8>> {
    let secret = SecretString::from(Secret::new_stack(app.ids.bytes()).to_base32());
    Ok(app.vault.seal(place(member), &secret)?)
}

/// What the member types or scans into an authenticator.
///
/// # Errors
/// When there is no secret, or it does not open.
pub fn setup(app: &App, member: &Member) -> Outcome<TotpSetup> {
    let totp = open(app, member)?;
    let url = totp.to_url().map_err(|_| Failure::Corrupt("members.totp_sealed"))?;
    let qr = qr_code(&url).ok_or(Failure::Corrupt("members.totp_sealed"))?;
    Ok(TotpSetup { secret: totp.secret().to_base32(), url, qr })
}

/// Black on white in every theme: scanners want the contrast.
fn qr_code(text: &str) -> Option<String> {
    let code = qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::M).ok()?;
    let svg = code.render::<qrcode::render::svg::Color<'_>>().min_dimensions(180, 180).build();
    Some(format!("data:image/svg+xml;base64,{}", STANDARD.encode(svg)))
}

/// Uses up what a member typed: the authenticator's code, or a recovery code.
///
/// # Errors
/// When the database fails, or the secret does not open.
pub async fn accept(app: &App, tx: &mut Tx, member: &Member, typed: &str) -> Outcome<Option<Means>> {
    let code = normalised(typed);
    if is_authenticator_code(&code) {
        let accepted = accept_authenticator(app, tx, member, &code).await?;
        return Ok(accepted.then_some(Means::Authenticator));
    }
    let used = totp::use_code(tx, &member.id, &hash_token(&code), app.clock.now()).await?;
    Ok(used.then_some(Means::RecoveryCode))
}

/// Uses up a code of the authenticator.
///
/// # Errors
/// When the database fails, or the secret does not open.
pub async fn accept_authenticator(app: &App, tx: &mut Tx, member: &Member, typed: &str) -> Outcome<bool> {
    let now = u64::try_from(app.clock.now().as_seconds()).unwrap_or_default();
    let Some(step) = open(app, member)?.check(&normalised(typed), now) else { return Ok(false) };
    Ok(totp::use_step(tx, &member.practice, &member.id, i64::try_from(step).unwrap_or(i64::MAX)).await?)
}

/// Replaces the member's recovery codes; answers the new ones, which nobody can read again.
///
/// # Errors
/// When the database fails.
pub async fn new_recovery_codes(app: &App, tx: &mut Tx, member: &Member) -> Outcome<Vec<String>> {
    let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| spell(app.ids.bytes())).collect();
    let hashes: Vec<_> = codes.iter().map(|code| hash_token(&normalised(code))).collect();
    totp::replace_codes(tx, &member.id, &hashes).await?;
    Ok(codes)
}

fn open(app: &App, member: &Member) -> Outcome<Totp> {
    let wrong = Failure::Corrupt("members.totp_sealed");
    let Some(sealed) = &member.totp_sealed else { return Err(wrong) };
    let secret = app.vault.open(place(member), sealed)?;
    authenticator(&secret, &member.email).map_err(|_| Failure::Corrupt("members.totp_sealed"))
}

fn authenticator(secret: &SecretString, email: &str) -> Outcome<Totp> {
    let wrong = || Failure::from(Code::Internal);
    Builder::new()
        .with_secret(Secret::try_from_base32(secret.expose_secret()).map_err(|_| wrong())?)
        .with_digits(6)
        .with_skew(1)
        .with_step_duration(STEP_SECONDS)
        .with_issuer(Some(ISSUER))
        .with_account_name(email)
        .build()
        .map_err(|_| wrong())
}

fn place(member: &Member) -> Place<'_> {
    let (practice, row) = (member.practice.as_str(), member.id.as_str());
    Place { practice, table: "members", row, column: "totp_sealed", bound_to: "" }
}

fn is_authenticator_code(code: &str) -> bool {
    code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit())
}

/// Sixteen letters in groups of four; five random bits of each byte are used.
fn spell(random: [u8; 16]) -> String {
    let letters: Vec<_> = random
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte & 31)))
        .map(|letter| char::from(*letter))
        .collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// As people type it: spaces, dashes and capitals do not matter, nor letters that look like digits.
fn normalised(typed: &str) -> String {
    let letters = typed.chars().filter(|letter| !letter.is_whitespace() && *letter != '-');
    letters
        .flat_map(char::to_lowercase)
        .map(|letter| match letter {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, the SHA-1 rows, cut to six digits.
    #[test]
    fn codes_of_the_rfc() {
        let secret = SecretString::from(Secret::new_stack(*b"12345678901234567890").to_base32());
        let totp = authenticator(&secret, "ada@clinic.example").unwrap();
        for (time, code) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            assert_eq!(totp.check(code, time), Some(time / 30));
            assert_eq!(totp.check(code, time + 30), Some(time / 30));
            assert_eq!(totp.check(code, time + 90), None);
        }
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        let label = "EHR%20Integrations:ada%40clinic.example";
        let url = format!("otpauth://totp/{label}?secret={secret}&issuer=EHR%20Integrations");
        assert_eq!(totp.to_url().unwrap(), url);
    }

    #[test]
    fn recovery_codes_survive_typing() {
        let code = spell([0, 1, 31, 255, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]);
        assert_eq!(code, "01zz-789a-bcde-fghj");
        assert_eq!(normalised(" OLzz 789A bcdefghj "), normalised(&code));
        assert!(is_authenticator_code(&normalised("123 456")) && !is_authenticator_code("1234567"));
    }
}
