//! Points in time: milliseconds since the Unix epoch, RFC 3339 on the wire.
//!
//! Guards: one representation everywhere, without a calendar library in the browser.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

const DAY_MS: i64 = 86_400_000;

impl Timestamp {
    /// This point plus a number of seconds.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Parses the RFC 3339 form that [`fmt::Display`] writes (`Z` only, milliseconds optional).
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_once('T')?;
        let clock = rest.strip_suffix('Z')?;
        let mut date = date.splitn(3, '-').map(str::parse::<i64>);
        let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
        let (clock, millis) = clock.split_once('.').unwrap_or((clock, "0"));
        let mut clock = clock.splitn(3, ':').map(str::parse::<i64>);
        let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
        let millis = format!("{millis:0<3}").get(..3)?.parse::<i64>().ok()?;
        let in_range = (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second)
            && (0..=9999).contains(&year);
        in_range.then(|| {
            Self(days_from_civil(year, month, day) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + millis)
        })
    }

    /// Parses a FHIR `instant` (R4 §2.24.0.1): a fraction of any length, `Z` or an offset. Digits beyond the
    /// millisecond are dropped.
    pub fn parse_instant(text: &str) -> Option<Self> {
        let (date, rest) = text.as_bytes().split_at_checked(19)?;
        let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1] = date else {
            return None;
        };
        let digits = |digits: &[&u8]| {
            let digit = |sum: i64, digit: &&u8| digit.is_ascii_digit().then(|| sum * 10 + i64::from(**digit - b'0'));
            digits.iter().try_fold(0, digit)
        };
        let (year, month, day) = (digits(&[y0, y1, y2, y3])?, digits(&[m0, m1])?, digits(&[d0, d1])?);
        let (hour, minute, second) = (digits(&[h0, h1])?, digits(&[n0, n1])?, digits(&[s0, s1])?);
        let fraction = match rest {
            [b'.', rest @ ..] => rest.iter().take_while(|byte| byte.is_ascii_digit()).count() + 1,
            _ => 0,
        };
        let (fraction, zone) = rest.split_at_checked(fraction)?;
        let millis = match fraction {
            [] => 0,
            [_] => return None,
            [_, a] => digits(&[a])? * 100,
            [_, a, b] => digits(&[a, b])? * 10,
            [_, a, b, c, ..] => digits(&[a, b, c])?,
        };
        let offset = match zone {
            b"Z" => 0,
            [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
                let minutes = digits(&[h0, h1])? * 60 + digits(&[m0, m1])?;
                if *sign == b'-' { -minutes } else { minutes }
            }
            _ => return None,
        };
        // A leap second is the last one of its minute here.
        let in_range = (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60
            && offset.abs() <= 14 * 60;
        let seconds = (hour * 60 + minute - offset) * 60 + second.min(59);
        in_range.then(|| Self(days_from_civil(year, month, day) * DAY_MS + seconds * 1000 + millis))
    }

    /// The beginning of a day of the calendar, `YYYY-MM-DD`, in UTC.
    pub fn of_day(text: &str) -> Option<Self> {
        // A day that a month does not have comes out as one of the next.
        Self::parse(&format!("{text}T00:00:00Z")).filter(|day| day.to_string().starts_with(text) && text.len() == 10)
    }

    /// "just now", "3 minutes ago", "in 2 hours": the distance to `now` in plain words.
    pub fn relative_to(self, now: Self) -> String {
        let delta = now.0.saturating_sub(self.0);
        let seconds = delta.abs() / 1000;
        let (count, unit) = match seconds {
            0..45 => return if delta >= 0 { "just now".into() } else { "in a moment".into() },
            45..5_400 => (((seconds + 30) / 60).max(1), "minute"),
            5_400..129_600 => ((seconds + 1_800) / 3_600, "hour"),
            _ => ((seconds + 43_200) / 86_400, "day"),
        };
        let plural = if count == 1 { "" } else { "s" };
        if delta >= 0 { format!("{count} {unit}{plural} ago") } else { format!("in {count} {unit}{plural}") }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY_MS));
        let ms = self.0.rem_euclid(DAY_MS);
        let (h, m, s, milli) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{milli:03}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not an RFC 3339 time in UTC"))
    }
}

/// Days since the epoch of a proleptic Gregorian date, counted in 400-year eras from 1 March.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(951_782_400_000).to_string(), "2000-02-29T00:00:00.000Z");
        assert_eq!(Timestamp::parse("2026-11-23T21:19:00Z"), Some(Timestamp(1_795_468_740_000)));
        assert_eq!(Timestamp::parse("2026-13-01T00:00:00Z"), None);
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn instants() {
        let parse = |text| Timestamp::parse_instant(text).map(|time| time.to_string());
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(parse("2026-11-23T21:19:00Z"), is("2026-11-23T21:19:00.000Z"));
        assert_eq!(parse("2026-11-23T21:19:00.123456789Z"), is("2026-11-23T21:19:00.123Z"));
        assert_eq!(parse("2026-11-23T21:19:00.5+02:00"), is("2026-11-23T19:19:00.500Z"));
        assert_eq!(parse("2026-01-01T00:00:00-05:30"), is("2026-01-01T05:30:00.000Z"));
        assert_eq!(parse("2016-12-31T23:59:60Z"), is("2016-12-31T23:59:59.000Z"));
        for bad in [
            "",
            "2026-11-23",
            "2026-11-23T21:19:00",
            "2026-11-23T21:19:00.Z",
            "2026-11-23T21:19:00+2:00",
            "2026-13-23T21:19:00Z",
            "2026-11-23 21:19:00Z",
            "2026-11-23T21:19:00Zulu",
            "２026-11-23T21:19:00Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn words() {
        let now = Timestamp(1_000_000_000_000);
        let words = |seconds| now.plus_seconds(seconds).relative_to(now);
        assert_eq!(words(-3), "just now");
        assert_eq!(words(-60), "1 minute ago");
        assert_eq!(words(-3 * 86_400), "3 days ago");
        assert_eq!(words(7_200), "in 2 hours");
    }

    proptest! {
        #[test]
        fn round_trip(ms in 0_i64..253_402_300_799_000) {
            let time = Timestamp(ms);
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
            prop_assert_eq!(Timestamp::parse_instant(&time.to_string()), Some(time));
        }
    }
}
