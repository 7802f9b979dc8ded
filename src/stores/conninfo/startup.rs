//! The `options` of the start-up packet: the command line of the server process, looked through for settings that
//! would make `sen` misread what it sees.

use sen_model::error::{Error, Result};

/// Refuses a `TimeZone` of the operator's.
///
/// The time zone of a session decides what `now()` is when it meets a column without a zone, and some workers
/// keep such columns, filled by the server's own zone. With another zone every "expired" and "overdue" is off by
/// hours. A warning would scroll by above a wrong verdict, so this is an error, while `PGTZ`, which is commonly set
/// for interactive use, is left unread.
pub(super) fn refuse_time_zone(options: &str) -> Result<()> {
    let mut words = split(options).into_iter().peekable();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c").filter(|rest| !rest.is_empty()))
        {
            Some(setting) => setting.to_owned(),
            None if word == "-c" => words.next().unwrap_or_default(),
            None => continue,
        };
        let name = setting.split('=').next().unwrap_or_default().trim().replace('-', "_");
        if name.eq_ignore_ascii_case("timezone") {
            return Err(Error::usage(
                "the connection options set TimeZone, which would shift the times workers wrote without a zone",
            )
            .with_hint("remove it from options or PGOPTIONS; sen prints every time in UTC anyway"));
        }
    }
    Ok(())
}

/// Words as the server splits them: at blanks, with `\` before a blank or another `\` taking it literally.
fn split(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_found_however_it_is_written() {
        for bad in [
            "-c timezone=UTC",
            "-ctimezone=UTC",
            "--TimeZone=UTC",
            "-c geqo=off  -c  TIMEZONE=x",
            r"-c time\zone=x",
            "--time-zone=x -ctimezone=y",
        ] {
            assert!(refuse_time_zone(bad).is_err(), "{bad} was accepted");
        }
        for good in [
            "",
            "-c search_path=timezone",
            "-c statement_timeout=5min",
            "-c log_timezone=UTC",
            r"-c search_path=a,\ timezone",
            "-c",
        ] {
            assert!(refuse_time_zone(good).is_ok(), "{good} was refused");
        }
    }
}
