//! How moments are written for people. On a terminal short, in the zone of this machine (or UTC with `--utc`), which is named once
//! on a page; elsewhere in UTC by RFC 3339, for scripts. Data formats have microseconds and never come here.

use std::sync::OnceLock;

use sen_core::time::Timestamp;
use sen_core::time::wall::Zone;

/// The zone that a terminal is shown.
static ZONE: OnceLock<Zone> = OnceLock::new();

/// Decides the zone, before anything is shown. The first call decides.
pub fn choose(utc: bool) {
    let _ = ZONE.set(if utc { Zone::utc() } else { Zone::here() });
}

/// How moments are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// For people: the clock on their wall, with a date where it is not today's.
    Short,
    /// For scripts: UTC by RFC 3339.
    Rfc3339,
}

/// How much of a second is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Nothing: the distance is given beside it.
    Seconds,
    /// Three digits: events follow one another within a second.
    Millis,
}

impl Times {
    /// The text of `moment`. Cut, not rounded, so that no event seems later than it was.
    pub fn text(self, moment: Timestamp, now: Timestamp, precision: Precision) -> String {
        if !moment.is_finite() {
            return moment.to_string();
        }
        let digits = if precision == Precision::Seconds { 0 } else { 4 };
        match self {
            Self::Rfc3339 => cut(&moment.to_string(), digits) + "Z",
            Self::Short => {
                let zone = zone();
                let shown = |moment: Timestamp| Timestamp::from_micros(zone.wall(moment).as_micros()).to_string();
                let (text, today) = (shown(moment), shown(now));
                let text = cut(&text, digits);
                match text.split_once('T') {
                    Some((day, clock)) if today.starts_with(day) => clock.to_owned(),
                    _ => text.replace('T', " "),
                }
            }
        }
    }

    /// What the zone is called, where it has to be.
    pub fn zone(self, now: Timestamp) -> Option<String> {
        (self == Self::Short).then(|| zone().abbreviation(now))
    }
}

fn zone() -> &'static Zone {
    ZONE.get_or_init(Zone::utc)
}

/// `2026-11-20T20:16:00` and so much of `.123456Z` behind it.
fn cut(text: &str, digits: usize) -> String {
    let whole = text.find('.').unwrap_or(text.len());
    text[..(whole + digits).min(text.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_205_760_123_456);

    #[test]
    fn people_read_a_clock_and_scripts_a_standard() {
        let before = |seconds: i64| Timestamp::from_micros(NOW.as_micros() - seconds * 1_000_000);
        let text = |times: Times, seconds| times.text(before(seconds), NOW, Precision::Seconds);
        assert_eq!(text(Times::Short, 60), "20:15:00");
        assert_eq!(text(Times::Short, 86_400), "2026-11-19 20:16:00");
        assert_eq!(text(Times::Rfc3339, 60), "2026-11-20T20:15:00Z");
        assert_eq!(Times::Rfc3339.text(NOW, NOW, Precision::Millis), "2026-11-20T20:16:00.123Z");
        assert_eq!(Times::Short.text(NOW, NOW, Precision::Millis), "20:16:00.123");
        assert_eq!(Times::Short.text(Timestamp::INFINITY, NOW, Precision::Seconds), "infinity");
        assert_eq!((Times::Short.zone(NOW).as_deref(), Times::Rfc3339.zone(NOW)), (Some("UTC"), None));
    }
}
