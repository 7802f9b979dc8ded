//! Errors as exit code and text: kind → exit code, error → message, causes, hint. Writes nothing.

use owo_colors::Style;
use sen_core::error::{Error, ErrorKind};

use crate::clean::clean;
use crate::exit::Exit;
use crate::mask::message;
use crate::output::text::{styled, wrap};
use crate::output::{Format, encode};

/// The one table from kinds of error to exit codes.
pub fn exit(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Usage | ErrorKind::NoSystem => Exit::Usage,
        // A connection lost while reading counts as none; one lost while committing is `OutcomeUnknown`.
        ErrorKind::Connect | ErrorKind::Disconnected => Exit::Connect,
        ErrorKind::NotFound => Exit::NotFound,
        ErrorKind::Changed | ErrorKind::KeptOut => Exit::Changed,
        ErrorKind::Refused => Exit::Refused,
        ErrorKind::Pending => Exit::Pending,
        ErrorKind::OutcomeUnknown => Exit::Unknown,
        ErrorKind::Interrupted => Exit::Interrupted,
        ErrorKind::Denied
        | ErrorKind::Timeout
        | ErrorKind::Unreadable
        | ErrorKind::Io
        | ErrorKind::Database
        | ErrorKind::Internal => Exit::Error,
        // New kinds can be added in the model; they are a plain error until they get a code here.
        _ => Exit::Error,
    }
}

/// The error as bytes for stderr: lines for people, or with a JSON format one line of JSON.
pub fn render(error: &Error, format: Format, color: bool, room: Option<usize>) -> Vec<u8> {
    if format.is_json() { json(error) } else { prose(error, color, room) }
}

fn prose(error: &Error, color: bool, room: Option<usize>) -> Vec<u8> {
    let style = |style: Style| color.then_some(style);
    let mut out = line("error:", &error.to_string(), style(Style::new().red().bold()), room);
    for cause in error.causes() {
        out.extend_from_slice(b"  ");
        out.extend(line("cause:", &cause, style(Style::new().dimmed()), room.map(|room| room.saturating_sub(2))));
    }
    if let Some(hint) = error.hint() {
        out.extend(line("hint:", hint, style(Style::new().bold()), room));
    }
    out
}

/// `label text` on lines of its own, filtered; broken between words where they must fit into `room` columns.
pub fn line(label: &str, text: &str, style: Option<Style>, room: Option<usize>) -> Vec<u8> {
    clean_line(label, &clean(&message(text)), style, room)
}

/// The same of a text that is clean.
pub fn clean_line(label: &str, text: &str, style: Option<Style>, room: Option<usize>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut hang = 0;
    if !label.is_empty() {
        styled(&mut out, label, style);
        out.push(b' ');
        hang = label.len() + 1;
    }
    let room = room.unwrap_or(usize::MAX).saturating_sub(hang).max(20);
    for (at, part) in wrap(text, room).iter().enumerate() {
        if at > 0 {
            out.push(b'\n');
            out.resize(out.len() + hang, b' ');
        }
        out.extend_from_slice(part.trim_end().as_bytes());
    }
    out.push(b'\n');
    out
}

fn json(error: &Error) -> Vec<u8> {
    let mut out = Vec::new();
    let optional = |out: &mut Vec<u8>, text: Option<&str>| match text {
        Some(text) => encode::string(out, &message(text)),
        None => out.extend_from_slice(b"null"),
    };
    out.extend_from_slice(b"{\"error\":{\"code\":");
    encode::string(&mut out, error.kind().code());
    out.extend_from_slice(b",\"message\":");
    encode::string(&mut out, &message(&error.to_string()));
    out.extend_from_slice(b",\"hint\":");
    optional(&mut out, error.hint());
    out.extend_from_slice(b",\"causes\":[");
    for (at, cause) in error.causes().iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        encode::string(&mut out, &message(cause));
    }
    out.extend_from_slice(b"],\"sqlstate\":");
    optional(&mut out, error.sqlstate());
    out.extend_from_slice(b"}}\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Error {
        Error::new(ErrorKind::Connect, "cannot connect to db\u{1b}[2J")
            .with_source(Error::new(ErrorKind::Io, "refused\r"))
            .with_hint("is it running?")
    }

    #[test]
    fn for_people() {
        let text = String::from_utf8(render(&sample(), Format::Table, false, None)).unwrap();
        assert_eq!(text, "error: cannot connect to db\\u{1b}[2J\n  cause: refused\\r\nhint: is it running?\n");
        assert!(render(&sample(), Format::Csv, true, None).starts_with(b"\x1b[31;1merror:"));
    }

    #[test]
    fn for_programs() {
        let text = render(&sample(), Format::Jsonl, true, None);
        assert_eq!(text.iter().filter(|byte| byte.is_ascii_control()).count(), 1);
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"error": {"code": "connect", "message": "cannot connect to db\u{1b}[2J", "hint": "is it running?", "causes": ["refused\r"], "sqlstate": null}})
        );
    }

    #[test]
    fn exit_codes() {
        let cases = [
            (ErrorKind::Usage, 2),
            (ErrorKind::NoSystem, 2),
            (ErrorKind::Connect, 6),
            (ErrorKind::Disconnected, 6),
            (ErrorKind::NotFound, 4),
            (ErrorKind::Changed, 5),
            (ErrorKind::KeptOut, 5),
            (ErrorKind::Refused, 7),
            (ErrorKind::Pending, 8),
            (ErrorKind::OutcomeUnknown, 9),
            (ErrorKind::Denied, 1),
            (ErrorKind::Timeout, 1),
            (ErrorKind::Unreadable, 1),
            (ErrorKind::Io, 1),
            (ErrorKind::Database, 1),
            (ErrorKind::Internal, 1),
            (ErrorKind::Interrupted, 130),
        ];
        for (kind, code) in cases {
            assert_eq!(exit(kind).code(), code, "{kind:?}");
        }
    }

    #[test]
    fn long_lines_are_broken_between_words_and_indented() {
        let text =
            String::from_utf8(line("hint:", "try the other one of the two, it is better", None, Some(26))).unwrap();
        assert_eq!(text, "hint: try the other one of\n      the two, it is\n      better\n");
    }
}
