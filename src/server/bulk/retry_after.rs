//! `Retry-After`, in both of its forms.
//!
//! RFC 9110 §10.2.3.

use std::time::UNIX_EPOCH;

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::model::time::Timestamp;

/// After how many seconds the EHR wants to be asked again, if it says; a date of the past is zero.
pub fn seconds(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
        return Some(seconds.max(0.0).ceil() as i64).filter(|_| seconds.is_finite());
    }
    date(text).map(|at| (at.as_seconds() - now.as_seconds()).max(0))
}

/// An HTTP date, as in `Retry-After` and `Expires`.
pub fn date(text: &str) -> Option<Timestamp> {
    let at = httpdate::parse_http_date(text.trim()).ok()?;
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp(i64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let now = date("Wed, 25 Nov 2026 08:00:00 GMT").unwrap();
        let wanted = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            seconds(&headers, now)
        };
        assert_eq!(wanted("120"), Some(120));
        assert_eq!(wanted("0.5"), Some(1));
        assert_eq!(wanted("-3"), Some(0));
        assert_eq!(wanted("Wed, 25 Nov 2026 08:02:00 GMT"), Some(120));
        assert_eq!(wanted("Wed, 25 Nov 2026 07:02:00 GMT"), Some(0));
        assert_eq!(wanted("soon"), None);
        assert_eq!(wanted("inf"), None);
        assert_eq!(wanted("1795468740000"), Some(1_795_468_740_000), "epoch milliseconds are for the caller to bound");
    }
}
