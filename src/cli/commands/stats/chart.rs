//! Counts as bars, and beside them ages or rates, in at most 80 columns. Pure.

use sen_core::model::record::Section;
use sen_core::model::value::{Row, Value};
use sen_core::time::{Timestamp, age};

use crate::clean::{clean, shorten, width};
use crate::output::text::about;

/// How wide a label and a bar may be; with the figures it is less than 80 columns.
const LABEL: usize = 26;
const BAR: usize = 26;

/// What bars are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// Eighths of a block.
    Unicode,
    /// For a terminal that knows ASCII alone.
    Ascii,
}

impl Blocks {
    /// What the locale can show: the first of these variables that is set decides, as everywhere.
    pub fn of_locale(env: impl Fn(&str) -> Option<String>) -> Self {
        let named = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| env(name).filter(|text| !text.is_empty()));
        let utf8 = named.is_some_and(|name| {
            let name = name.to_ascii_lowercase();
            name.contains("utf-8") || name.contains("utf8")
        });
        if utf8 { Self::Unicode } else { Self::Ascii }
    }

    /// A bar of this share of its whole length; what is not nothing is seen.
    fn bar(self, share: f64) -> String {
        const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        match self {
            Self::Unicode => {
                let eighths = ((share * (BAR * 8) as f64).round() as usize).max(1);
                format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
            }
            Self::Ascii => "#".repeat(((share * BAR as f64).round() as usize).max(1)),
        }
    }
}

/// `12/min`, or by the hour or the day where that would be less than one.
fn rate(per_minute: f64) -> String {
    match per_minute {
        many if many >= 9.95 => format!("{many:.0}/min"),
        some if some >= 0.995 => format!("{some:.1}/min"),
        few if few * 60.0 >= 0.995 => format!("{:.1}/h", few * 60.0),
        rare => format!("{:.1}/d", rare * 1440.0),
    }
}

/// How often what a row counts happens, where it says so.
fn often(section: &Section, row: &Row) -> Option<String> {
    let at = section.columns.iter().position(|column| column.name == "per_minute")?;
    match row.get(at)? {
        Value::Json(number) => number.parse().ok().map(rate),
        _ => None,
    }
}

/// A section as a chart: its first column names a row, each of its numbers is a bar; beside the first of them stands how often
/// that happens where the row says it, else the age of its first time. `None` for one without numbers.
pub fn chart(section: &Section, now: Timestamp, blocks: Blocks) -> Option<Vec<String>> {
    let number = |row: &Row, at: usize| match row.get(at) {
        Some(Value::Int(number) | Value::About(number)) => Some(*number),
        _ => None,
    };
    let there = |at: &usize| section.rows.iter().any(|row| number(row, *at).is_some_and(|number| number > 0));
    let columns: Vec<usize> = (1..section.columns.len()).filter(there).collect();
    let several = columns.len() > 1;
    let bars = section.rows.iter().flat_map(|row| {
        columns.iter().enumerate().filter_map(move |(nth, at)| {
            let name = match row.first() {
                Some(Value::Name(name)) => (*name).to_owned(),
                Some(Value::Text(text)) => clean(text).into_owned(),
                _ => "-".to_owned(),
            };
            let of = if several { format!(" {}", section.columns[*at].heading.to_lowercase()) } else { String::new() };
            let name = shorten(&name, LABEL.saturating_sub(width(&of)).max(8)).into_owned();
            let oldest = row.iter().find_map(|value| if let Value::Time(at) = value { Some(*at) } else { None });
            let oldest = oldest.filter(|at| at.is_finite() && *at <= now);
            let beside = often(section, row).or_else(|| Some(format!("{} ago", age(now.micros_since(oldest?)))));
            let beside = beside.filter(|_| nth == 0).unwrap_or_default();
            let count = number(row, *at)?;
            let figure = if let Some(Value::About(_)) = row.get(*at) { about(count) } else { count.to_string() };
            Some((format!("{name}{of}"), count, figure, beside))
        })
    });
    let bars: Vec<(String, i64, String, String)> = bars.collect();
    let most = bars.iter().map(|(_, count, ..)| *count).max()?;
    let labels = bars.iter().map(|(label, ..)| width(label)).max().unwrap_or(0);
    let digits = bars.iter().map(|(_, _, figure, _)| figure.len()).max().unwrap_or(0);
    let line = |(label, count, figure, beside): &(String, i64, String, String)| {
        let bar = if *count > 0 { blocks.bar(*count as f64 / most as f64) } else { String::new() };
        let blank = " ".repeat(labels - width(label));
        format!("  {label}{blank}  {figure:>digits$}  {beside:<11}  {bar}").trim_end().to_owned()
    };
    Some(bars.iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sen_core::model::value::{Column, Show};

    const COLUMNS: &[Column] = &[
        Column { name: "queue", heading: "QUEUE", show: Show::Whole },
        Column { name: "ready", heading: "READY", show: Show::Whole },
        Column { name: "oldest", heading: "OLDEST", show: Show::Whole },
    ];

    fn section(rows: Vec<Row>) -> Section {
        Section { name: "queues", heading: "queues", columns: COLUMNS, rows }
    }

    #[test]
    fn bars_are_beside_the_largest_and_fit_80_columns() {
        let now = Timestamp::from_micros(600_000_000);
        let long = "a-queue-with-a-name-that-is-much-longer-than-any-column";
        let rows = vec![
            vec![Value::Text("mail".into()), Value::Int(1_000_000), Value::Time(Timestamp::from_micros(0))],
            vec![Value::Text(long.into()), Value::Int(1), Value::Null],
            vec![Value::Null, Value::Int(0), Value::Null],
        ];
        for blocks in [Blocks::Unicode, Blocks::Ascii] {
            let lines = chart(&section(rows.clone()), now, blocks).unwrap();
            assert!(lines.iter().all(|line| width(line) <= 80), "{lines:#?}");
            assert!(lines[0].contains("10m ago") && lines[0].contains(&blocks.bar(1.0)), "{lines:#?}");
            // What is there is seen; what is not has no bar.
            assert!(lines[1].contains('…') && lines[1].ends_with(['▏', '#']), "{lines:#?}");
            assert!(lines[2].ends_with('0'), "{lines:#?}");
        }
        assert_eq!(chart(&section(vec![vec![Value::Text("x".into())]]), now, Blocks::Ascii), None);
        // With several numbers each says what it counts.
        let two = vec![vec![Value::Text("charge".into()), Value::Int(0), Value::Int(4)], vec![
            Value::Text("mail".into()),
            Value::Int(2),
            Value::Int(0),
        ]];
        let lines = chart(&section(two), now, Blocks::Ascii).unwrap();
        let figures: Vec<String> =
            lines.iter().map(|line| line.trim_end_matches('#').split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(figures, ["charge ready 0", "charge oldest 4", "mail ready 2", "mail oldest 0"]);
    }

    #[test]
    fn what_happens_in_a_window_has_its_rate_beside_it() {
        const COLUMNS: &[Column] = &[
            Column { name: "event", heading: "EVENT", show: Show::Whole },
            Column { name: "count", heading: "COUNT", show: Show::Whole },
            Column { name: "per_minute", heading: "PER MINUTE", show: Show::Whole },
        ];
        let row = |name: &str, count: i64, rate: &str| vec![Value::Text(name.into()), Value::Int(count), Value::Json(rate.into())];
        let rows = vec![row("acquired", 720, "12.00"), row("extended", 90, "1.50"), row("rejected", 4, "0.0667"), row("expired", 1, "0.000694")];
        let section = Section { name: "events", heading: "events", columns: COLUMNS, rows };
        let lines = chart(&section, Timestamp::from_micros(0), Blocks::Ascii).unwrap();
        let rates: Vec<&str> = lines.iter().filter_map(|line| line.split_whitespace().nth(2)).collect();
        assert_eq!(rates, ["12/min", "1.5/min", "4.0/h", "1.0/d"]);
    }

    #[test]
    fn the_locale_decides_what_bars_are_made_of() {
        let of = |pairs: &[(&str, &str)]| {
            Blocks::of_locale(|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned()))
        };
        assert_eq!(of(&[("LANG", "de_DE.UTF-8")]), Blocks::Unicode);
        assert_eq!(of(&[("LANG", "C.utf8"), ("LC_ALL", "")]), Blocks::Unicode);
        assert_eq!(of(&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")]), Blocks::Ascii);
        assert_eq!(of(&[]), Blocks::Ascii);
    }
}
