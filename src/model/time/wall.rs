//! Wall-clock times without a zone, as workers write them that call `datetime.now()`, and the zone they are read in.
//!
//! The zone is not in the data: it must be given (`--worker-timezone`); nothing here guesses.

use std::fmt;
use std::time::Duration;

use jiff::tz::{Offset, TimeZone};

use super::Timestamp;
use crate::error::{Error, Result};

/// What a clock on a wall showed: microseconds since its 1970-01-01T00:00:00, in no zone.
///
/// Kept as stored, so that a guarded change can name exactly what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(i64);

impl Wall {
    /// Later than everything (PostgreSQL's `infinity`).
    pub const INFINITY: Self = Self(i64::MAX);
    /// Earlier than everything.
    pub const NEG_INFINITY: Self = Self(i64::MIN);

    /// From microseconds since the wall clock's own 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the wall clock's own 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whether this is a real moment rather than one of the infinities.
    pub const fn is_finite(self) -> bool {
        self.0 != i64::MAX && self.0 != i64::MIN
    }

    /// The same wall clock so much earlier, saturating.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Python's `datetime.isoformat()`: `2026-11-20T20:16:00.123456`, the fraction absent when it is zero. Texts of this
    /// form sort as their times do.
    pub fn isoformat(self) -> String {
        let mut text = Timestamp::from_micros(self.0).to_string();
        if self.is_finite() {
            text.pop();
            if let Some(whole) = text.strip_suffix(".000000") {
                text.truncate(whole.len());
            }
        }
        text
    }

    /// Reads what `isoformat()` and PostgreSQL write: `T` or a blank in the middle, up to nine digits of fraction (those
    /// after the sixth are dropped). `None` for anything else, also for a text with a zone.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = bytes.get(from..to)?;
            digits
                .iter()
                .try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
        };
        let mark = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
        if !(mark(4, b"-") && mark(7, b"-") && mark(10, b"T ") && mark(13, b":") && mark(16, b":")) {
            return None;
        }
        let small = |from: usize| number(from, from + 2).and_then(|value| i8::try_from(value).ok());
        let year = i16::try_from(number(0, 4)?).ok()?;
        let whole =
            jiff::civil::DateTime::new(year, small(5)?, small(8)?, small(11)?, small(14)?, small(17)?, 0).ok()?;
        let micros = match bytes.len() {
            19 => 0,
            length @ 21..=29 if mark(19, b".") => {
                let digits = length.min(26) - 20;
                number(20, length)?;
                number(20, 20 + digits)? * 10_i64.pow(u32::try_from(6 - digits).ok()?)
            }
            _ => return None,
        };
        const START: jiff::civil::DateTime = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
        Some(Self(whole.duration_since(START).as_secs() * 1_000_000 + micros))
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.isoformat())
    }
}

/// The zone whose wall clock the workers read.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// Always this many microseconds ahead of UTC.
    Fixed(i64),
    /// By the rules of a place.
    Place(TimeZone),
}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl Zone {
    /// UTC, what most servers run in.
    pub fn utc() -> Self {
        Self { name: "UTC".into(), kind: Kind::Fixed(0) }
    }

    /// The zone of this machine: `TZ`, else what the system is set to, else UTC.
    pub fn here() -> Self {
        match TimeZone::try_system() {
            Ok(zone) => Self { name: zone.iana_name().unwrap_or("local").to_owned(), kind: Kind::Place(zone) },
            Err(_) => Self::utc(),
        }
    }

    /// What people there call it at `moment`: `CET`, or the offset where it has no letters for it.
    pub fn abbreviation(&self, moment: Timestamp) -> String {
        if let (Kind::Place(zone), Ok(moment)) = (&self.kind, jiff::Timestamp::from_microsecond(moment.as_micros())) {
            let info = zone.to_offset_info(moment);
            if info.abbreviation().starts_with(|c: char| c.is_ascii_alphabetic()) {
                return info.abbreviation().to_owned();
            }
        }
        match self.ahead_at(moment) {
            0 => "UTC".to_owned(),
            ahead => format!("UTC{}", offset_name(ahead)),
        }
    }

    /// Reads `UTC`, an offset (`+02:00`, `-0530`, `+9`) or the name of a place (`Europe/Berlin`).
    ///
    /// # Errors
    /// `Usage` for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if ["UTC", "Z", "GMT"].iter().any(|name| text.eq_ignore_ascii_case(name)) {
            return Ok(Self::utc());
        }
        let kind = if text.starts_with(['+', '-']) {
            offset(text).map(Kind::Fixed)
        } else {
            TimeZone::get(text).ok().map(Kind::Place)
        };
        match kind {
            Some(kind) => Ok(Self { name: text.to_owned(), kind }),
            None => Err(Error::usage(format!("{text:?} is no time zone"))
                .with_hint("write UTC, an offset (+02:00), or the name of a place (Europe/Berlin)")),
        }
    }

    /// As it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The moment at which the workers' clock shows `wall`. Where the clock was set back, so that it shows it twice, the
    /// first; where it was set forward over it, what it would have been without.
    pub fn moment(&self, wall: Wall) -> Timestamp {
        if !wall.is_finite() {
            return Timestamp::from_micros(wall.0);
        }
        let read = Timestamp::from_micros(wall.0.saturating_sub(self.ahead_on(wall)));
        if read.is_finite() { read } else { Timestamp::from_micros(wall.0) }
    }

    /// What the workers' clock shows at `moment`.
    pub fn wall(&self, moment: Timestamp) -> Wall {
        if !moment.is_finite() {
            return Wall(moment.as_micros());
        }
        Wall(moment.as_micros().saturating_add(self.ahead_at(moment)))
    }

    /// By how many microseconds the workers' clock is ahead of UTC at `moment`.
    pub fn ahead_at(&self, moment: Timestamp) -> i64 {
        match &self.kind {
            Kind::Fixed(ahead) => *ahead,
            Kind::Place(zone) => jiff::Timestamp::from_microsecond(moment.as_micros())
                .map_or(0, |moment| i64::from(zone.to_offset(moment).seconds()) * 1_000_000),
        }
    }

    fn ahead_on(&self, wall: Wall) -> i64 {
        match &self.kind {
            Kind::Fixed(ahead) => *ahead,
            Kind::Place(zone) => {
                let shown = jiff::Timestamp::from_microsecond(wall.0).map(|shown| Offset::UTC.to_datetime(shown));
                let moment = shown.and_then(|shown| zone.to_ambiguous_timestamp(shown).compatible());
                moment.map_or(0, |moment| wall.0 - moment.as_microsecond())
            }
        }
    }
}

/// `+02:00`, `+0200`, `+2` in microseconds ahead of UTC.
fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = text.strip_prefix('-').map_or_else(|| (1, text.strip_prefix('+')), |rest| (-1, Some(rest)));
    let rest = rest?;
    let (hours, minutes) = match rest.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        Some(_) => return None,
        None if rest.len() > 2 => rest.split_at_checked(rest.len() - 2)?,
        None => (rest, "00"),
    };
    if hours.is_empty()
        || hours.len() > 2
        || ![hours, minutes].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()))
    {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 18 && minutes < 60).then(|| sign * (hours * 60 + minutes) * 60_000_000)
}

/// An offset in microseconds as `Zone::parse` takes it: `+09:00`.
pub fn offset_name(micros: i64) -> String {
    let minutes = micros.unsigned_abs() / 60_000_000;
    format!("{}{:02}:{:02}", if micros < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn python_texts_are_read_and_written_back() {
        for text in
            ["2026-11-20T20:16:00.123456", "2026-11-20T20:16:00", "0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"]
        {
            assert_eq!(Wall::parse(text).map(Wall::isoformat).as_deref(), Some(text));
        }
        assert_eq!(Wall::parse("2026-11-20 20:16:00.5").unwrap().isoformat(), "2026-11-20T20:16:00.500000");
        assert_eq!(Wall::parse("2026-11-20T20:16:00.123456789").unwrap().isoformat(), "2026-11-20T20:16:00.123456");
        for text in [
            "",
            "2026-11-20",
            "2026-11-20T20:16:00Z",
            "2026-11-20T20:16:00+01:00",
            "2026-13-20T20:16:00",
            "2026-11-20T20:16:00.",
            "x026-11-20T20:16:00",
        ] {
            assert_eq!(Wall::parse(text), None, "{text}");
        }
    }

    #[test]
    fn zones() {
        let noon = Wall::parse("2026-07-01T12:00:00").unwrap();
        let read = |zone: &str| Zone::parse(zone).unwrap().moment(noon).to_string();
        assert_eq!(read("utc"), "2026-07-01T12:00:00.000000Z");
        assert_eq!(read("+09:00"), "2026-07-01T03:00:00.000000Z");
        assert_eq!(read("-0530"), "2026-07-01T17:30:00.000000Z");
        assert_eq!(read("+9"), "2026-07-01T03:00:00.000000Z");
        assert_eq!(read("Europe/Berlin"), "2026-07-01T10:00:00.000000Z");
        let winter = Wall::parse("2026-01-01T12:00:00").unwrap();
        assert_eq!(Zone::parse("Europe/Berlin").unwrap().moment(winter).to_string(), "2026-01-01T11:00:00.000000Z");
        for bad in ["", "+", "+1:2", "+99:00", "Mars/Olympus", "+09:00:00", "+0x:00", "2"] {
            assert!(Zone::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(offset_name(-19_800_000_000), "-05:30");
    }

    #[test]
    fn clocks_set_forward_and_back() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let twice = berlin.moment(Wall::parse("2026-10-25T02:30:00").unwrap());
        assert_eq!(twice.to_string(), "2026-10-25T00:30:00.000000Z");
        let never = berlin.moment(Wall::parse("2026-03-29T02:30:00").unwrap());
        assert_eq!(never.to_string(), "2026-03-29T01:30:00.000000Z");
        assert_eq!(berlin.moment(Wall::INFINITY), Timestamp::INFINITY);
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_none(text in "\\PC{0,30}") {
            let _ = Wall::parse(&text);
            drop(Zone::parse(&text));
        }

        #[test]
        fn texts_sort_as_times(left in 0_i64..4_000_000_000_000_000, right in 0_i64..4_000_000_000_000_000) {
            let (left, right) = (Wall(left / 3 * 3), Wall(right));
            prop_assert_eq!(left.cmp(&right), left.isoformat().cmp(&right.isoformat()));
            prop_assert_eq!(Wall::parse(&left.isoformat()), Some(left));
        }

        #[test]
        fn there_and_back(micros in 0_i64..4_000_000_000_000_000, hours in -12_i64..=14) {
            let zone = Zone { name: String::new(), kind: Kind::Fixed(hours * 3_600_000_000) };
            let moment = Timestamp::from_micros(micros);
            prop_assert_eq!(zone.moment(zone.wall(moment)), moment);
        }
    }
}
