//! Instants, spans and what people type for them. The only file that reads a clock of this machine.

pub mod wall;

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};

/// A moment in microseconds since 1970-01-01T00:00:00Z.
///
/// PostgreSQL's `infinity` and `-infinity` are [`Timestamp::INFINITY`] and [`Timestamp::NEG_INFINITY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

impl Timestamp {
    /// Later than everything.
    pub const INFINITY: Self = Self(i64::MAX);
    /// Earlier than everything.
    pub const NEG_INFINITY: Self = Self(i64::MIN);

    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whether this is a real moment rather than one of the infinities.
    pub const fn is_finite(self) -> bool {
        self.0 != i64::MAX && self.0 != i64::MIN
    }

    /// The clock of this machine. For spans on this machine only: what is alive or expired is the database's to say.
    #[expect(clippy::disallowed_methods, reason = "the one place that may read the wall clock")]
    pub fn here() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// The time from `earlier` to `self` in microseconds, saturating; negative when `self` is earlier.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment moved back by `span`, saturating.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This moment moved forward by `span`, saturating.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Appends the RFC 3339 form in UTC with six fractional digits (`2026-11-20T20:16:00.123456Z`) to `out`.
    /// The infinities become `infinity` and `-infinity`; years outside 0–9999 use the expanded form of ISO 8601.
    pub fn write_rfc3339(self, out: &mut Vec<u8>) {
        if !self.is_finite() {
            out.extend_from_slice(if self.0 > 0 { b"infinity" } else { b"-infinity" });
            return;
        }
        let seconds = self.0.div_euclid(MICROS_PER_SECOND);
        let micros = self.0.rem_euclid(MICROS_PER_SECOND) as u32;
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let clock = seconds.rem_euclid(SECONDS_PER_DAY) as u32;
        let digits = year.unsigned_abs();
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        pair(&mut text, 0, digits / 100 % 100);
        pair(&mut text, 2, digits % 100);
        pair(&mut text, 5, month);
        pair(&mut text, 8, day);
        pair(&mut text, 11, clock / 3600);
        pair(&mut text, 14, clock / 60 % 60);
        pair(&mut text, 17, clock % 60);
        pair(&mut text, 20, micros / 10_000);
        pair(&mut text, 22, micros / 100 % 100);
        pair(&mut text, 24, micros % 100);
        if !(0..=9999).contains(&year) {
            let mut high = *b"+00";
            high[0] = if year < 0 { b'-' } else { b'+' };
            pair(&mut high, 1, digits / 10_000);
            out.extend_from_slice(&high);
        }
        out.extend_from_slice(&text);
    }
}

/// Puts the two digits of `value` (below 100) at `at`.
fn pair<const N: usize>(text: &mut [u8; N], at: usize, value: u32) {
    const DIGITS: [[u8; 2]; 100] = {
        let mut digits = [[b'0'; 2]; 100];
        let mut value = 0;
        while value < 100 {
            digits[value] = [b'0' + value as u8 / 10, b'0' + value as u8 % 10];
            value += 1;
        }
        digits
    };
    text[at..at + 2].copy_from_slice(&DIGITS[value as usize % 100]);
}

/// Days since 1970-01-01 to (year, month, day) of the proleptic Gregorian calendar, for every day a [`Timestamp`] can
/// hold. Hand-written because a million-row stream formats three of these per row: the method of Neri and Schneider
/// ("Euclidean affine functions and applications to calendar algorithms", 2022), whose years start on 1 March.
fn civil_from_days(days: i64) -> (i32, u32, u32) {
    // Whole eras of 400 years, so that every day there can be has a positive number.
    const ERAS: i64 = 735;
    let shifted = (days + 719_468 + 146_097 * ERAS) as u32;
    let quarters = 4 * shifted + 3;
    let century = quarters / 146_097;
    let day_of_century = quarters % 146_097 / 4;
    let scaled = 2_939_745 * u64::from(4 * day_of_century + 3);
    let day_of_year = scaled as u32 / 2_939_745 / 4;
    let months = 2141 * day_of_year + 197_913;
    let (month, day) = (months >> 16, (months & 0xffff) / 2141 + 1);
    let next_year = day_of_year >= 306;
    let year = (100 * century + (scaled >> 32) as u32 + u32::from(next_year)) as i32 - 400 * ERAS as i32;
    (year, if next_year { month - 12 } else { month }, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(32);
        self.write_rfc3339(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A reading of this machine's steady clock, which also counts while the machine sleeps: a lease's remaining life
/// is measured with it. Never set back, never comparable between machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(Duration);

impl Uptime {
    /// The clock now.
    #[cfg(unix)]
    pub fn now() -> Self {
        // Linux stops CLOCK_MONOTONIC in suspend; elsewhere it goes on.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
        let now = rustix::time::clock_gettime(CLOCK);
        Self(Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0)))
    }

    /// The clock now.
    #[cfg(not(unix))]
    pub fn now() -> Self {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        Self(START.get_or_init(std::time::Instant::now).elapsed())
    }

    /// This reading moved forward by `span`.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// The time from this reading to `later`; zero when `later` is not later.
    pub fn until(self, later: Self) -> Duration {
        later.0.saturating_sub(self.0)
    }
}

/// A span as people read it: `45s`, `3m 20s`, `2h 5m`, `6d 4h`; at most two units, below one second `400ms`.
///
/// By hand, as jiff prints every unit of a span and has no "at most two".
pub fn humane(micros: i64) -> String {
    let total = micros.unsigned_abs();
    let seconds = total / 1_000_000;
    match seconds {
        0 if total == 0 => "0s".into(),
        0 if total < 1000 => format!("{total}µs"),
        0 => format!("{}ms", total / 1000),
        1..60 => format!("{seconds}s"),
        60..3600 => two(seconds, 60, "m", 1, "s"),
        3600..86_400 => two(seconds, 3600, "h", 60, "m"),
        _ => two(seconds, 86_400, "d", 3600, "h"),
    }
}

/// An age or what is left of a time, as people read it: as [`humane`], and from ten of the larger unit on without the smaller
/// one: `9m 20s`, `18m`, `2h 5m`, `21h`.
pub fn age(micros: i64) -> String {
    let whole = humane(micros);
    match whole.split_once(' ') {
        Some((large, _)) if large.bytes().filter(u8::is_ascii_digit).count() > 1 => large.to_owned(),
        _ => whole,
    }
}

/// An age in a list or a count, where its larger unit is enough: `9m`, `2h`.
pub fn coarse_age(micros: i64) -> String {
    let whole = humane(micros);
    whole.split(' ').next().unwrap_or(&whole).to_owned()
}

fn two(seconds: u64, unit: u64, name: &str, smaller: u64, smaller_name: &str) -> String {
    let rest = seconds % unit / smaller;
    if rest == 0 {
        format!("{}{name}", seconds / unit)
    } else {
        format!("{}{name} {rest}{smaller_name}", seconds / unit)
    }
}

/// Reads a span such as `90s`, `1h30m`, `250ms` or `7d`.
///
/// By hand, as jiff's reader takes what is refused here (`5 m`, `-5s`, `1h ago`) and its type for spans of a fixed length has no
/// days and weeks.
///
/// # Errors
/// `Usage` for a bare number (seconds or minutes? it does not say), an unknown unit, or a span past 100 years.
pub fn parse_span(text: &str) -> Result<Duration> {
    let bad = |why: &str| {
        Error::usage(format!("{text:?} is not a duration: {why}")).with_hint("write it like 90s, 15m, 1h30m or 7d")
    };
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(bad("it is empty"));
    }
    if trimmed.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad("a unit is missing"));
    }
    let mut rest = trimmed;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return Err(bad("a number was expected"));
        }
        let amount: u128 = rest[..digits].parse().map_err(|_| bad("the number is too large"))?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let millis = match &rest[..letters] {
            "ms" => 1,
            "s" | "sec" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "" => return Err(bad("a unit is missing")),
            _ => return Err(bad("known units are ms, s, m, h, d and w")),
        };
        total =
            amount.checked_mul(millis).and_then(|span| total.checked_add(span)).ok_or_else(|| bad("it is too long"))?;
        rest = &rest[letters..];
    }
    match u64::try_from(total) {
        Ok(millis) if millis <= 100 * 366 * 86_400_000 => Ok(Duration::from_millis(millis)),
        _ => Err(bad("it is longer than 100 years")),
    }
}

/// A point in time as people give it to `--since` and `--until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// An absolute moment.
    At(Timestamp),
    /// This long before the database's now.
    Ago(Duration),
}

impl When {
    /// The moment, given the database's clock.
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(moment) => moment,
            Self::Ago(span) => now.minus(span),
        }
    }

    /// Reads an RFC 3339 time (`2026-11-20T20:16:00Z`, any offset), a date (`2026-11-20`, midnight UTC) or a span
    /// meaning that long ago (`2h`).
    ///
    /// # Errors
    /// `Usage` for anything else, among them a time without a zone: whose midnight would it be?
    pub fn parse(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        if let Ok(moment) = trimmed.parse::<jiff::Timestamp>() {
            return Ok(Self::At(Timestamp(moment.as_microsecond())));
        }
        let has_time = trimmed.contains(['T', ':', ' ']);
        if !has_time && let Ok(date) = trimmed.parse::<jiff::civil::Date>() {
            let midnight = format!("{date}T00:00:00Z").parse::<jiff::Timestamp>();
            return midnight
                .map(|moment| Self::At(Timestamp(moment.as_microsecond())))
                .map_err(|error| Error::usage(format!("{text:?} is out of range")).with_source(error));
        }
        if trimmed.parse::<jiff::civil::DateTime>().is_ok() {
            return Err(Error::usage(format!("{text:?} has no time zone"))
                .with_hint("add Z or an offset: 2026-11-20T20:16:00Z"));
        }
        parse_span(trimmed).map(Self::Ago).map_err(|_| {
            Error::usage(format!("{text:?} is neither a time nor a span"))
                .with_hint("write 2026-11-20T20:16:00Z, 2026-11-20, or a span that means so long ago: 2h, 7d")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn formats_known_moments() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_795_205_760_123_456, "2026-11-20T20:16:00.123456Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (253_402_300_800_000_000, "+010000-01-01T00:00:00.000000Z"),
            (i64::MAX - 1, "+294247-01-10T04:00:54.775806Z"),
            (i64::MIN + 1, "-290308-12-21T19:59:05.224193Z"),
        ];
        for (micros, text) in cases {
            assert_eq!(Timestamp(micros).to_string(), text);
        }
        assert_eq!(Timestamp::INFINITY.to_string(), "infinity");
        assert_eq!(Timestamp::NEG_INFINITY.to_string(), "-infinity");
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(micros in -62_000_000_000_000_000_i64..253_000_000_000_000_000) {
            let theirs = jiff::Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(Timestamp(micros).to_string(), format!("{theirs:.6}"));
        }

        #[test]
        fn any_text_is_a_span_or_a_clear_error(text in "\\PC{0,12}") {
            if let Err(error) = parse_span(&text) {
                prop_assert!(error.hint().is_some());
            }
            drop(When::parse(&text));
        }
    }

    #[test]
    fn spans() {
        assert_eq!(parse_span("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse_span("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(parse_span("7d").unwrap(), Duration::from_secs(7 * 86_400));
        for bad in ["", "90", "h", "5 m", "1x", "-5s", "99999999999999999999999d", "200000d"] {
            assert!(parse_span(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn moments() {
        assert_eq!(When::parse("2026-11-20T20:16:00+01:00").unwrap(), When::At(Timestamp(1_795_202_160_000_000)));
        assert_eq!(When::parse("1970-01-02").unwrap(), When::At(Timestamp(86_400_000_000)));
        assert_eq!(When::parse("2h").unwrap(), When::Ago(Duration::from_secs(7200)));
        assert!(When::parse("2026-11-20T20:16:00").unwrap_err().to_string().contains("no time zone"));
        assert!(When::parse("yesterday").is_err());
    }

    #[test]
    fn ages_have_one_unit_from_ten_on() {
        let cases =
            [(9 * 60 + 20, "9m 20s"), (10 * 60 + 20, "10m"), (2 * 3600 + 300, "2h 5m"), (42, "42s"), (600, "10m")];
        for (seconds, text) in cases {
            assert_eq!(age(seconds * 1_000_000), text);
        }
    }

    #[test]
    fn humane_spans() {
        let cases = [
            (0, "0s"),
            (400_000, "400ms"),
            (59_900_000, "59s"),
            (200_000_000, "3m 20s"),
            (7_500_000_000, "2h 5m"),
            (86_400_000_000, "1d"),
        ];
        for (micros, text) in cases {
            assert_eq!(humane(micros), text);
        }
    }
}
