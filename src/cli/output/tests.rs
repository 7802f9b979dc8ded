//! Every format with the same hostile values, and the layout of tables and details.

use proptest::prelude::*;
use sen_core::model::record::Age;
use sen_core::model::subject::{Kind, Subject};
use sen_core::model::value::{Column, Row, Show, Value};
use sen_core::model::verdict::{NextCommand, Severity, Verdict};
use sen_core::time::Timestamp;

use super::*;
use crate::clean::{hidden, width};
use crate::times::Times;
use crate::views::{Block, Detail, Headline};

const NOW: Timestamp = Timestamp::from_micros(1_795_205_760_000_000);
const COLUMNS: &[Column] = &[
    Column { name: "key", heading: "KEY", show: Show::Whole },
    Column { name: "state", heading: "STATE", show: Show::Whole },
    Column { name: "owner", heading: "OWNER", show: Show::Short },
    Column { name: "result", heading: "RESULT", show: Show::Short },
    Column { name: "updated_at", heading: "UPDATED", show: Show::Wide },
    Column { name: "token", heading: "TOKEN", show: Show::Asked },
];

fn severity(state: &str) -> Severity {
    if state == "uncertain" { Severity::Critical } else { Severity::Ok }
}

fn look(width: Option<usize>) -> Look {
    let times = if width.is_some() { Times::Short } else { Times::Rfc3339 };
    Look { color: false, terminal: width.is_some(), times, width, now: NOW }
}

fn options(format: Format, fields: &[&str]) -> Options {
    Options { format, fields: fields.iter().map(|name| (*name).to_owned()).collect(), ..Options::default() }
}

fn list(rows: &[Row], look: Look, options: &Options) -> String {
    let mut writer = super::rows(COLUMNS, Some(("state", severity)), look, options).unwrap();
    let mut out = Vec::new();
    rows.iter().for_each(|row| writer.row(row, &mut out));
    writer.finish(&mut out);
    String::from_utf8(out).unwrap()
}

fn row(key: &str, owner: &str) -> Row {
    vec![
        Value::Text(key.into()),
        Value::Name("uncertain"),
        Value::Text(owner.into()),
        Value::Json(r#"{"token":"t","n":1e400}"#.into()),
        Value::time(Some(Timestamp::from_micros(NOW.as_micros() - 200_000_000))),
        Value::Big(7),
    ]
}

#[test]
fn list_formats() {
    let rows = [row("a", "worker-1"), row("payment-order-789", "=cmd()")];
    assert_eq!(
        list(&rows, look(None), &options(Format::Table, &[])),
        "KEY                STATE      OWNER     RESULT                     UPDATED\n\
         a                  uncertain  worker-1  {\"token\":\"***\",\"n\":1e400}  3m ago\n\
         payment-order-789  uncertain  =cmd()    {\"token\":\"***\",\"n\":1e400}  3m ago\n"
    );
    assert_eq!(
        list(&rows[..1], look(None), &options(Format::Json, &[])),
        "[\n {\"key\":\"a\",\"state\":\"uncertain\",\"owner\":\"worker-1\",\"result\":{\"token\":\"***\",\"n\":1e400},\
         \"updated_at\":\"2026-11-20T20:12:40.000000Z\",\"token\":\"7\"}\n]\n"
    );
    assert_eq!(list(&[], look(None), &options(Format::Json, &[])), "[]\n");
    assert_eq!(
        list(&rows, look(None), &options(Format::Jsonl, &["token", "key"])),
        "{\"token\":\"7\",\"key\":\"a\"}\n{\"token\":\"7\",\"key\":\"payment-order-789\"}\n"
    );
    assert_eq!(
        list(&rows, look(None), &options(Format::Csv, &["key", "owner", "result", "token"])),
        "key,owner,result,token\na,worker-1,\"{\"\"token\"\":\"\"***\"\",\"\"n\"\":1e400}\",7\n\
         payment-order-789,'=cmd(),\"{\"\"token\"\":\"\"***\"\",\"\"n\"\":1e400}\",7\n"
    );
    assert_eq!(list(&[], look(None), &options(Format::Csv, &["key", "owner"])), "key,owner\n");
    assert_eq!(list(&[], look(None), &options(Format::Table, &[])), "");
    let revealed = Options { reveal: true, ..options(Format::Jsonl, &["result"]) };
    assert_eq!(list(&rows[..1], look(None), &revealed), "{\"result\":{\"token\":\"t\",\"n\":1e400}}\n");
}

#[test]
fn tables_fit_the_terminal() {
    let rows = [row("payment-order-789", "a-rather-long-owner-name-0123456789"), row("注文-1", "🚚 worker")];
    for room in [20, 40, 55, 60, 70, 80, 120] {
        let text = list(&rows, look(Some(room)), &options(Format::Table, &[]));
        // Where texts would have less than 12 columns, ids are cut in their middle.
        let whole = text.contains("payment-order-789  uncertain");
        assert!(whole || room < 60 && text.contains("\npaym"), "an id was cut at {room}:\n{text}");
        assert!(room < 47 || text.lines().all(|line| width(line) <= room), "does not fit {room}:\n{text}");
        assert_eq!(text.contains("UPDATED"), room == 120, "at {room}:\n{text}");
        let starts: Vec<usize> =
            text.lines().map(|line| width(&line[..line.find("uncertain").or(line.find("STATE")).unwrap()])).collect();
        assert!(starts.iter().all(|start| *start == starts[0]), "columns are not aligned at {room}:\n{text}");
    }
    let asked = list(&rows, look(Some(80)), &options(Format::Table, &["token", "key"]));
    assert!(asked.starts_with("TOKEN  KEY\n    7  payment-order-789\n"), "{asked}");
}

#[test]
fn long_lists_keep_the_first_widths() {
    let rows: Vec<Row> = (0..2500)
        .map(|at| row(&format!("key-{at}"), if at == 2000 { "an-owner-that-came-late" } else { "w" }))
        .collect();
    let text = list(&rows, look(None), &options(Format::Table, &["key", "state"]));
    assert_eq!(text.lines().count(), 2501);
    let text = list(&rows, look(Some(60)), &options(Format::Table, &[]));
    assert_eq!(text.lines().nth(2001).unwrap().split_whitespace().nth(2), Some("an-o…"));
}

#[test]
fn colour_is_only_where_asked() {
    let rows = [row("a", "w")];
    let text = list(&rows, Look { color: true, ..look(Some(80)) }, &options(Format::Table, &["key", "state"]));
    assert_eq!(text, "\u{1b}[1mKEY\u{1b}[0m  \u{1b}[1mSTATE\u{1b}[0m\na    \u{1b}[31;1muncertain\u{1b}[0m\n");
}

fn detail() -> DetailsView {
    let next = vec![
        NextCommand::new(&["sen", "reconcile", "order 1"], "take over"),
        NextCommand::new(&["sen", "history", "x"], ""),
    ];
    let verdict = Verdict {
        state: "uncertain",
        severity: Severity::Critical,
        summary: "the owner vanished while executing, and whether the side effect happened cannot be known from here"
            .into(),
        evidence: vec!["lease expired 3m ago".into(), "no result\u{1b}[2J".into()],
        next,
    };
    let value = Value::Map(vec![
        ("key", Value::Text("order 1".into())),
        ("verdict", Value::Map(vec![("state", Value::Name("uncertain"))])),
    ]);
    let payload = format!("{{\"password\":\"x\",\"items\":[{}1]}}", "1.10,".repeat(100));
    let headline = Headline {
        state: "partly_done",
        severity: Severity::Critical,
        age: Age::of("last change", Some(Timestamp::from_micros(NOW.as_micros() - 200_000_000))),
        now: NOW,
        subject: Subject::new("sentinel", Kind::Lease, "order 1"),
    };
    let blocks = vec![
        Block::Headline(headline),
        Block::Verdict(verdict),
        Block::Field("status", Value::Name("executing")),
        Block::Field("lease_alive", Value::Bool(false)),
        Block::Field("owner_id", Value::Null),
        Block::Field("lease_expires_at", Value::Time(NOW)),
        Block::Field("took", Value::Millis(26_000)),
        Block::Field("ended", Value::Time(NOW)),
        Block::Field("complete", Value::Bool(true)),
        Block::Field("execution_result", Value::Json(payload)),
        Block::Hint("(2 more fields: --all-fields)".into()),
        Block::Heading("steps".into()),
        Block::Table(COLUMNS, vec![row("a", "w")]),
        Block::Note("fine".into()),
    ];
    DetailsView { details: vec![Detail { value, blocks }], single: true, now: NOW }
}

fn details_text(look: Look, options: &Options) -> String {
    let mut out = Vec::new();
    details(&detail(), look, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn no_cell_is_altered() {
    let long = format!("{}注", "no blank is a break ".repeat(5000));
    let mut rows: Vec<Row> = (0..1500).map(|at| row(&format!("k{at}"), "🚚 w")).collect();
    rows[7] = row(&long, " o ");
    rows[1400] = row(&long, " o ");
    rows[1401][1] = Value::Text("\u{301}".into());
    rows[1402][1] = Value::Text("注文 a late and long state".into());
    let picked = options(Format::Table, &["key", "state", "owner"]);
    let escapes = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    for room in [None, Some(60)] {
        let text = list(&rows, look(room), &picked);
        for at in [8, 1401] {
            let line = text.lines().nth(at).unwrap();
            match room {
                None => assert_eq!(line, format!("{long}  uncertain   o ")),
                // A terminal has an edge.
                Some(_) => assert!(line.starts_with("no bl") && line.ends_with("注  uncertain   o "), "{line:.300}"),
            }
        }
        assert!(text.lines().nth(1403).unwrap().ends_with("  注文 a late and long state  🚚 w"));
        let color = list(&rows, Look { color: true, ..look(room) }, &picked);
        assert!(color.lines().nth(1).unwrap().contains("  \u{1b}[31;1muncertain\u{1b}[0m  🚚 w"), "{color:.3000}");
        let bare = escapes.replace_all(&color, "").into_owned();
        assert!(bare == text, "colour moves columns at {room:?}");
    }
}

#[test]
fn details_for_people() {
    let text = details_text(look(Some(60)), &options(Format::Table, &[]));
    let start = "PARTLY DONE, last change 3m 20s ago — lease order 1\n\
        why:\n  the owner vanished while executing, and whether the side\n  effect happened cannot be known from here\n\
        \x20 - lease expired 3m ago\n  - no result\\u{1b}[2J\n\
        next:\n  sen reconcile 'order 1'   # take over\n  sen history x\n\n\
        status:           executing\nlease_alive:      False\nowner_id:         None\n\
        lease_expires_at: 20:16:00 UTC (now)\ntook:             26s\nended:            20:16:00 (now)\n\
        complete:         yes\nexecution_result:\n  {\n    \"password\": \"***\",\n    \"items\": [\n      1.10,\n";
    assert!(text.starts_with(start), "{text}");
    let rest = "  … (530 bytes in all; -o json shows everything)\n\
        (2 more fields: --all-fields)\n\nsteps\n  KEY  STATE";
    assert!(text.contains(rest), "{text}");
    let piped = details_text(look(None), &options(Format::Table, &[]));
    assert!(
        piped.lines().any(|line| line.starts_with("execution_result: {\"password\":\"***\"") && line.ends_with("1]}")),
        "{piped}"
    );
    // What the original has is spelled as it did, also the times; what only sen has is not.
    for line in [
        "lease_expires_at: 2026-11-20T20:16:00.000000Z (now)",
        "ended:            2026-11-20T20:16:00Z (now)",
        "owner_id:         None",
    ] {
        assert!(piped.lines().any(|shown| shown == line), "{line}: {piped}");
    }
    assert!(!piped.contains("more fields"), "{piped}");
    let narrow = details_text(look(Some(30)), &options(Format::Table, &[]));
    assert!(narrow.contains("  # take over\n  sen reconcile 'order 1'\n"), "{narrow}");
}

#[test]
fn details_for_programs() {
    assert_eq!(
        details_text(look(None), &options(Format::Json, &[])),
        "{\n  \"key\": \"order 1\",\n  \"verdict\": {\n    \"state\": \"uncertain\"\n  }\n}\n"
    );
    assert_eq!(
        details_text(look(None), &options(Format::Jsonl, &["verdict.state"])),
        "{\"verdict.state\":\"uncertain\"}\n"
    );
    assert_eq!(
        details_text(look(None), &options(Format::Table, &["verdict.state", "key"])),
        "verdict.state:    uncertain\nkey:              order 1\n"
    );
    let many = DetailsView { single: false, ..detail() };
    let mut out = Vec::new();
    details(&many, look(None), &options(Format::Json, &["key"]), &mut out).unwrap();
    assert_eq!(out, b"[\n  {\n    \"key\": \"order 1\"\n  }\n]\n");
}

#[test]
fn csv_cells_are_no_formulas() {
    let starts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"];
    for start in starts {
        let text = list(&[row(start, start)], look(None), &options(Format::Csv, &["key", "owner"]));
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let record = reader.records().next().unwrap().unwrap();
        assert_eq!(&record[0], format!("'{start}"));
    }
    let mut numbers = row("a", "b");
    numbers[5] = Value::Big(-5);
    assert_eq!(list(&[numbers], look(None), &options(Format::Csv, &["token"])), "token\n-5\n");
}

#[test]
fn large_and_deep_values_pass() {
    let mut large = row("k", &"x\u{1b}".repeat(1 << 19));
    large[3] = Value::Json("[".repeat(100_000) + &"]".repeat(100_000));
    for format in [Format::Table, Format::Json, Format::Jsonl, Format::Csv] {
        for room in [None, Some(80)] {
            let text = list(std::slice::from_ref(&large), look(room), &options(format, &[]));
            assert!(format != Format::Table || text.len() < 2000);
        }
    }
}

proptest! {
    #[test]
    fn no_control_character_reaches_a_terminal(texts in prop::collection::vec(crate::clean::hostile(), 4), room in 1_usize..200) {
        let json = serde_json::to_string(&serde_json::json!({ "a": texts[2].as_str() })).unwrap();
        let mut hostile = row(&texts[0], &texts[1]);
        hostile[3] = Value::Json(json);
        hostile[1] = Value::Text(texts[3].clone());
        let next = vec![NextCommand::new(&[texts[0].as_str()], texts[1].as_str())];
        let verdict = Verdict { state: "x", severity: Severity::Ok, summary: texts[0].clone(), evidence: vec![texts[1].clone()], next };
        let mut blocks: Vec<Block> = hostile.iter().map(|value| Block::Field("label", value.clone())).collect();
        blocks.extend([Block::Verdict(verdict), Block::Heading(texts[2].clone()), Block::Note(texts[3].clone()), Block::Table(COLUMNS, vec![hostile.clone()])]);
        let value = Value::Map(vec![("text", Value::Text(texts[0].clone())), ("list", Value::List(hostile.clone()))]);
        let view = DetailsView { details: vec![Detail { value, blocks }], single: true, now: NOW };
        for format in [Format::Table, Format::Json, Format::Jsonl, Format::Csv] {
            let mut out = Vec::new();
            // Details are nested, which CSV is not.
            let shown = details(&view, look(Some(room)), &options(format, &[]), &mut out);
            prop_assert_eq!(shown.is_ok(), format != Format::Csv);
            let text = list(std::slice::from_ref(&hostile), look(Some(room)), &options(format, &[])) + &String::from_utf8(out).unwrap();
            let raw = text.contains(|c| hidden(c) && c != '\n');
            prop_assert!(!raw, "{:?}: {:?}", format, text);
        }
        let line = list(std::slice::from_ref(&hostile), look(None), &options(Format::Jsonl, &[]));
        prop_assert_eq!(line.lines().count(), 1);
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(&parsed["key"], &texts[0]);
        prop_assert_eq!(&parsed["result"]["a"], &texts[2]);
        let array: serde_json::Value = serde_json::from_str(&list(&[hostile.clone(), hostile.clone()], look(None), &options(Format::Json, &[]))).unwrap();
        prop_assert_eq!(&array[1], &parsed);
        let csv = list(&[hostile], look(None), &options(Format::Csv, &["key"]));
        let mut reader = ::csv::Reader::from_reader(csv.as_bytes());
        let record = reader.records().next().unwrap().unwrap();
        let same = record[0] == texts[0] || record[0].strip_prefix('\'') == Some(texts[0].as_str());
        prop_assert!(same);
    }
}

/// Work is counted, not time: how many bytes the mask looked at.
#[test]
fn people_are_shown_the_beginning_of_a_large_value_and_no_more_is_masked() {
    let large = r#"a b=c \""#.repeat(4 << 20);
    let secret = format!("{}password=hunter2hunter2", " x".repeat((64 << 9) - 6));
    for (value, terminal) in [
        (Value::Text(large.clone()), true),
        (Value::Lines(large.clone()), true),
        (Value::Json(format!("{{\"a\":\"{large}\"}}")), true),
        (Value::List(vec![Value::Json(format!("\"{large}\""))]), true),
        (Value::Text(large.clone()), false),
    ] {
        let detail = Detail { value: Value::Null, blocks: vec![Block::Field("result", value.clone())] };
        crate::mask::LOOKED.set(0);
        let mut out = Vec::new();
        super::detail::details(&[detail], look(terminal.then_some(80)), false, &mut out);
        let most = if terminal { 1 << 20 } else { 4 << 20 };
        assert!(crate::mask::LOOKED.get() < most && out.len() < 2 << 20, "{}", crate::mask::LOOKED.get());
        assert!(String::from_utf8(out).unwrap().contains("-o json shows everything"));
        crate::mask::LOOKED.set(0);
        assert!(text::cell(&value, NOW, false, 100).len() < 200);
        assert!(crate::mask::LOOKED.get() < 1 << 20);
    }
    // A secret at the cut is recognized.
    let detail = Detail { value: Value::Null, blocks: vec![Block::Field("result", Value::Text(secret.repeat(9)))] };
    let mut out = Vec::new();
    super::detail::details(&[detail], look(Some(80)), false, &mut out);
    assert!(!String::from_utf8(out).unwrap().contains("hunter"));
    // Sentences can quote values of any size.
    crate::mask::LOOKED.set(0);
    assert!(crate::mask::message(&large).len() <= 64 << 10);
    assert!(crate::mask::LOOKED.get() <= 64 << 10);
}

const THINGS: &[Column] = &[
    Column { name: "id", heading: "ID", show: Show::Whole },
    Column { name: "count", heading: "COUNT", show: Show::Whole },
    Column { name: "error", heading: "ERROR", show: Show::Short },
    Column { name: "at", heading: "TIME", show: Show::Moment },
];

fn things(look: Look) -> String {
    let row = |at: i64| {
        let id = Value::Text(format!("77420000-c4a6-4000-8000-{at:012}"));
        vec![id, Value::Int(at), Value::Text("card declined: do_not_honor".into()), Value::Time(NOW)]
    };
    let mut writer = rows(THINGS, None, look, &options(Format::Table, &[])).unwrap();
    let mut out = Vec::new();
    for at in [1, 1000] {
        writer.row(&row(at), &mut out);
    }
    writer.finish(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn numbers_stand_at_the_right_and_ids_are_cut_in_the_middle_where_a_terminal_is_narrow() {
    assert_eq!(
        things(look(Some(100))),
        "ID                                    COUNT  ERROR                        TIME (UTC)\n\
         77420000-c4a6-4000-8000-000000000001      1  card declined: do_not_honor  20:16:00.000\n\
         77420000-c4a6-4000-8000-000000001000   1000  card declined: do_not_honor  20:16:00.000\n"
    );
    let narrow = things(look(Some(64)));
    assert!(narrow.lines().all(|line| width(line) <= 64), "{narrow}");
    assert!(narrow.contains("\n77420000-c…0000000001  ") && narrow.contains("\n77420000-c…0000001000  "), "{narrow}");
    // A pipe has no edge, and scripts need whole ids.
    let piped = things(Look { width: Some(64), ..look(None) });
    assert!(
        piped.contains("77420000-c4a6-4000-8000-000000001000") && piped.contains("2026-11-20T20:16:00.000Z"),
        "{piped}"
    );
}

#[test]
fn keys_with_blanks_and_very_long_ones_fit_a_terminal_too() {
    let rows = [row("a key with blanks", "w"), row(&format!("begins {} ends", "so ".repeat(90)), "worker")];
    for room in [80, 120] {
        let text = list(&rows, look(Some(room)), &options(Format::Table, &[]));
        assert!(text.lines().all(|line| width(line) <= room), "{text}");
        assert!(text.contains("\nbegins ") && text.contains("so  ends  ") && text.contains('…'), "{text}");
    }
}
