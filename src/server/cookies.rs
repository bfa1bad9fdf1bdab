//! The text of our cookies.
//!
//! Guards: every cookie of ours is `__Host-` (Secure, `Path=/`, no Domain: RFC 6265bis §4.1.3.2) and out of
//! reach of scripts; only what an EHR may show in a frame goes to other sites, and then partitioned by
//! the site that frames it (CHIPS).

use cookie::time::Duration;
use cookie::{Cookie, SameSite};

/// Where a cookie comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// On our own pages, and when another site links to us.
    Own,
    /// In a frame of another site, too; in another cookie jar for each.
    Framed,
}

/// A `Set-Cookie` header. No value with no age removes it, if `reach` is the one that it was set with.
pub fn set_cookie(name: &str, value: &str, reach: Reach, seconds: i64) -> String {
    let cookie =
        Cookie::build((name, value)).path("/").secure(true).http_only(true).max_age(Duration::seconds(seconds));
    match reach {
        Reach::Own => cookie.same_site(SameSite::Lax),
        Reach::Framed => cookie.same_site(SameSite::None).partitioned(true),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes() {
        insta::assert_snapshot!(set_cookie("__Host-a", "b", Reach::Own, 600), @"__Host-a=b; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600");
        insta::assert_snapshot!(set_cookie("__Host-a", "", Reach::Framed, 0), @"__Host-a=; HttpOnly; SameSite=None; Partitioned; Secure; Path=/; Max-Age=0");
    }
}
