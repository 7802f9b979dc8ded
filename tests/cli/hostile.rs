//! A thousand hostile keys and payloads in a real terminal: no panic, no raw control byte, in every format.

use crate::harness::postgres::Server;
use crate::harness::pty::terminal;
use crate::harness::sen::sen;

/// Pieces that act on terminals, hide text, break parsers, or look like formulas and options.
const PIECES: &[&str] = &[
    "\u{1b}[2J\u{1b}[H",
    "\u{1b}]0;title\u{7}",
    "\u{1b}]8;;http://evil\u{1b}\\",
    "\u{9b}31m",
    "\u{90}q",
    "\u{85}",
    "\u{7f}",
    "\u{8}\u{8}\u{8}",
    "\r",
    "\n",
    "\t",
    "\u{b}",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{feff}",
    "\u{2028}",
    "\u{e0041}",
    "=cmd|' /C calc'!A0",
    "+1",
    "-rf",
    "@SUM(A1)",
    "'; DROP TABLE sentinel_leases; --",
    "%s%n",
    "\\x1b",
    "日本語",
    "🔥",
    "é",
    "e\u{301}\u{301}\u{301}",
    "{}",
    "[\"",
    "\"",
    "\\",
    "null",
    "~",
    "$(reboot)",
    "`id`",
    "../../etc/passwd",
];

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[test]
fn nothing_from_the_database_acts_on_a_terminal() {
    let database = Server::shared().fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    let mut sql = String::new();
    let mut keys = Vec::new();
    for number in 0..1000_usize {
        let piece =
            |shift: usize| PIECES[(number / PIECES.len().pow(shift as u32 % 2) + number * shift) % PIECES.len()];
        let key = format!("{}{number}{}", piece(0), piece(3));
        let payload = match number {
            0 => serde_json::json!({ "big": "x\u{1b}[31m".repeat(150_000) }).to_string(),
            1 => format!("{}1{}", "[".repeat(900), "]".repeat(900)),
            2 => r#"{"n": 1e400, "m": -0.0, "k": 123456789012345678901234567890}"#.to_owned(),
            _ => serde_json::json!({ piece(1): [piece(2), { piece(4): piece(5) }] }).to_string(),
        };
        let owner = format!("{}:{number}-1", piece(5));
        sql += &format!(
            "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, status, execution_result) VALUES ({}, {}, now(), 'completed', {});\n
             INSERT INTO sentinel_events (key, event, owner_id, metadata) VALUES ({}, 'completed', {}, {});\n",
            quoted(&key), quoted(&owner), quoted(&payload), quoted(&key), quoted(&owner), quoted(&payload),
        );
        keys.push(key);
    }
    database.psql(&format!("BEGIN; {sql} COMMIT"));
    for format in ["table", "json", "jsonl", "csv"] {
        for args in [
            vec!["list", "--limit", "0", "-o", format],
            vec!["list", "--limit", "0", "-o", format, "--fields", "owner_id,key,execution_result"],
            vec!["status", "-o", format],
        ] {
            if args[0] != "status" || format != "csv" {
                examine(&args, &database.url());
            }
        }
        for key in keys.iter().step_by(37).chain(&keys[..3]) {
            if format != "csv" {
                examine(&["inspect", "-o", format, "--", key], &database.url());
            }
            examine(&["history", "-o", format, "--", key], &database.url());
        }
    }
    // What is not there is echoed in the error, and no more trusted.
    for piece in PIECES {
        let shown = terminal(["inspect", "--", &format!("no such {piece}")])
            .database(&database.url())
            .env("NO_COLOR", "1")
            .env("SEN_PAGER", "")
            .run();
        assert_eq!(shown.code, 4);
        no_control_byte(&shown.raw, piece);
    }
}

fn examine(args: &[&str], url: &str) {
    let shown = terminal(args).database(url).env("NO_COLOR", "1").env("SEN_PAGER", "").size(50, 120).run();
    assert_eq!(shown.code, 0, "{args:?}: {}", String::from_utf8_lossy(&shown.raw));
    no_control_byte(&shown.raw, &format!("{args:?}"));
}

fn no_control_byte(raw: &[u8], what: &str) {
    // The terminal driver turns every line feed of the program into CR LF; any other CR is the program's own.
    let text = String::from_utf8(raw.to_vec()).unwrap_or_else(|error| panic!("{what}: {error}")).replace("\r\n", "\n");
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if let Some(at) = text.find(hidden) {
        let around: String = text[at..].chars().take(40).collect();
        panic!("{what}: {around:?}");
    }
}
