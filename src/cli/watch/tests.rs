//! The dashboard drawn into memory: every size, every pane, hostile text, no colour.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use sen_core::model::activity::Activity;
use sen_core::model::letter::LetterGroup;
use sen_core::model::record::Section;
use sen_core::model::summary::{Attention, Count, Summary};
use sen_core::model::value::{Column, Show, Value};
use sen_core::model::verdict::{NextCommand, Severity};
use sen_core::ops::snapshot::Snapshot;
use sen_core::ops::summary::Front;
use sen_core::time::Timestamp;

use super::board::{Board, KeyAction, Then, Trouble};
use super::draw::draw;
use super::pace::Pace;
use super::page::Page;
use super::picture::{Pane, sparkline};

const NOW: i64 = 1_795_205_760_000_000;
const DEPTHS: &[Column] = &[
    Column { name: "queue", heading: "QUEUE", show: Show::Whole },
    Column { name: "pending", heading: "PENDING", show: Show::Whole },
];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(NOW + seconds * 1_000_000)
}

fn running(id: &str, since: i64, until: Option<i64>) -> Activity {
    Activity {
        system: "sentinel",
        id: id.into(),
        state: "alive",
        what: None,
        worker: Some("host:1-1".into()),
        since: Some(at(since)),
        until: until.map(at),
        begun: true,
    }
}

fn snapshot(seconds: i64, counts: &[(&'static str, Severity, i64)], text: &str) -> Snapshot {
    let counts = counts.iter().map(|(state, severity, count)| Count {
        state,
        severity: *severity,
        count: *count,
        estimated: false,
        oldest: Some(at(-90)),
    });
    let summary = Summary {
        queues: Some(0),
        estimated: false,
        unread: Vec::new(),
        system: "sentinel",
        version: format!("0.5.0 {text}"),
        writable: true,
        now: at(seconds),
        counted: "leases",
        stored_states: false,
        list: &["sen", "list"],
        counts: counts.collect(),
        attention: vec![
            Attention::new(
                Severity::Warning,
                format!("1 key stalled: {text}"),
                NextCommand::new(&["sen", "list", "--state", "stalled"], "which"),
            ),
            Attention::new(
                Severity::Critical,
                "2 keys uncertain: started, no live owner: outcome unknown, oldest 1h",
                NextCommand::new(&["sen", "list", "--state", "uncertain"], "which"),
            ),
        ],
        facts: Vec::new(),
        dead_letters: Some(7),
        sections: vec![Section {
            name: "queues",
            heading: "queues",
            columns: DEPTHS,
            rows: vec![vec![Value::Text(format!("mail{text}")), Value::Int(12)]],
        }],
    };
    let front = Front {
        database: format!("postgresql://somewhere/{text}"),
        now: at(seconds),
        surveys: vec![summary],
        places: Vec::new(),
        unreachable: Vec::new(),
    };
    let ids = [
        running(&format!("payments:order-1{text}"), seconds - 10, Some(seconds + 90)),
        running("reports:a-very-long-name-of-a-report-2026-q3", seconds - 3000, Some(seconds + 10)),
        running("x", seconds - 5, None),
    ];
    Snapshot { front, active: ids.to_vec() }
}

fn group(text: &str) -> LetterGroup {
    LetterGroup {
        system: "stent",
        id: "3f2a91".into(),
        step: format!("send_mail{text}"),
        error: format!("ConnectionError: {text} refused"),
        count: 7,
        first: Some(at(-900)),
        last: Some(at(-60)),
        sample: "l-1".into(),
        replayable: Some(7),
        note: None,
    }
}

const COUNTS: &[(&str, Severity, i64)] =
    &[("uncertain", Severity::Critical, 2), ("alive", Severity::Pending, 3), ("completed", Severity::Ok, 1000)];

fn board(text: &str) -> Board {
    let mut board = Board::new(Pace::new(Duration::from_secs(2), 64), true);
    board.picture.absorb(&snapshot(0, COUNTS, text));
    board.picture.absorb_letters(&[group(text)], at(0));
    board.pace.took(Duration::from_millis(3));
    board
}

fn press(board: &mut Board, code: KeyCode) -> KeyAction {
    board.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn shown(board: &Board, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(board, at(1), frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>() + "\n";
    (0..height).map(line).collect()
}

#[test]
fn the_most_severe_comes_first_with_its_command() {
    let screen = shown(&board(""), 80, 24);
    let lines: Vec<&str> = screen.lines().collect();
    assert!(lines[0].contains("sen watch") && lines[0].contains("query 3ms"), "{screen}");
    assert!(lines[1].contains("1 critical  1 warning  7 dead letters"), "{screen}");
    assert!(lines[3].contains("▸ critical  2 keys uncertain"), "{screen}");
    assert!(lines[5].contains("sen list --state uncertain"), "{screen}");
    for pane in
        ["states 3", "in progress 3", "dead letters 7 in 1 group", "queues 1", "ConnectionError:", "pending: 12"]
    {
        assert!(screen.contains(pane), "{pane}:\n{screen}");
    }
    assert!(lines[23].contains("c: sen list --state uncertain"), "{screen}");
}

#[test]
fn changes_are_per_minute_over_the_last_minute() {
    let mut board = board("");
    board.picture.absorb(&snapshot(30, &[("uncertain", Severity::Critical, 2), ("completed", Severity::Ok, 1005)], ""));
    let change = |board: &Board, state: &str| {
        board.rows(Pane::States).iter().find(|row| row.cells[0] == state).map(|row| row.cells[2].clone()).unwrap()
    };
    assert_eq!(change(&board, "completed"), "+10/min");
    assert_eq!(change(&board, "uncertain"), "");
    // After two minutes without a change the rate is zero.
    for second in [60, 90, 120, 150] {
        board.picture.absorb(&snapshot(
            second,
            &[("uncertain", Severity::Critical, 2), ("completed", Severity::Ok, 1005)],
            "",
        ));
    }
    assert_eq!(change(&board, "completed"), "");
}

#[test]
fn a_lease_nearly_used_up_stands_out_and_the_oldest_comes_first() {
    let board = board("");
    let rows = board.rows(Pane::Running);
    assert_eq!(rows[0].cells[0], "reports:a-very-long-name-of-a-report-2026-q3");
    assert_eq!(rows[0].severity, Severity::Warning);
    assert_eq!(rows[1].severity, Severity::Pending);
    assert!((rows[1].share.unwrap() - 0.1).abs() < 0.001);
    // A long id is cut in its middle, because its end tells it from others.
    assert!(shown(&board, 80, 24).contains("…"), "{}", shown(&board, 80, 24));
    assert!(shown(&board, 80, 24).contains("2026-q3"), "{}", shown(&board, 80, 24));
}

#[test]
fn what_waits_comes_after_what_runs() {
    let mut board = board("");
    let mut look = snapshot(0, COUNTS, "");
    look.active.push(Activity { begun: false, ..running("waiting", -90_000, None) });
    board.picture.absorb(&look);
    assert_eq!(board.rows(Pane::Running).last().unwrap().cells[0], "waiting");
}

#[test]
fn too_many_dead_letters_are_counted_and_not_grouped() {
    let mut board = board("");
    assert_eq!(board.picture.dead(), 7);
    board.picture.too_many_letters(100_004);
    let screen = shown(&board, 160, 40);
    assert!(screen.contains("100004") && screen.contains("too many to be grouped while watching; sen dlq groups"));
    board.pane = Pane::Letters;
    assert_eq!(press(&mut board, KeyCode::Char('c')), KeyAction::Copy("sen dlq groups".into()));
}

#[test]
fn keys_reach_every_pane_and_what_is_in_it() {
    let mut board = board("");
    let mut seen = vec![board.pane];
    for _ in 0..4 {
        press(&mut board, KeyCode::Tab);
        seen.push(board.pane);
    }
    assert_eq!(seen, Pane::ALL);
    press(&mut board, KeyCode::BackTab);
    let read = |words: &[&str], id: &str| KeyAction::Read(NextCommand::new(words, "").id(id), Then::Show);
    let group = NextCommand::new(&["sen", "dlq", "list"], "").option("--group", "3f2a91");
    assert_eq!(press(&mut board, KeyCode::Enter), KeyAction::Read(group, Then::Show));
    assert_eq!(press(&mut board, KeyCode::Char('c')), KeyAction::Copy("sen dlq list --group 3f2a91".into()));
    press(&mut board, KeyCode::BackTab);
    press(&mut board, KeyCode::Char('j'));
    let inspect = read(&["sen", "inspect"], "payments:order-1");
    assert_eq!(press(&mut board, KeyCode::Enter), inspect);
    assert_eq!(press(&mut board, KeyCode::Char('t')), read(&["sen", "timeline"], "payments:order-1"));
    // The selection stays on its row when the order changes.
    press(&mut board, KeyCode::Char('s'));
    assert_eq!(board.order(Pane::Running), "system");
    assert_eq!(press(&mut board, KeyCode::Enter), inspect);
    board.pane = Pane::Attention;
    let list = NextCommand::new(&["sen", "list", "--state", "uncertain"], "which");
    assert_eq!(press(&mut board, KeyCode::Enter), KeyAction::Read(list, Then::Show));
}

#[test]
fn acts_are_offered_and_no_key_alone_does_one() {
    let mut board = board("");
    // What needs attention stands for many records.
    assert_eq!(press(&mut board, KeyCode::Char('a')), KeyAction::Nothing);
    assert!(board.pages.is_empty() && board.message.is_some());
    board.pane = Pane::Running;
    let inspect = NextCommand::new(&["sen", "inspect"], "").id("reports:a-very-long-name-of-a-report-2026-q3");
    assert_eq!(press(&mut board, KeyCode::Char('a')), KeyAction::Read(inspect, Then::Acts));
    board.pane = Pane::Letters;
    assert_eq!(press(&mut board, KeyCode::Char('a')), KeyAction::Nothing);
    let screen = shown(&board, 80, 24);
    assert!(screen.contains("sen dlq replay --group 3f2a91") && screen.contains("shows its plan and asks"), "{screen}");
    press(&mut board, KeyCode::Char('j'));
    let discard = NextCommand::new(&["sen", "dlq", "discard"], "remove all of the group without running them");
    assert_eq!(press(&mut board, KeyCode::Enter), KeyAction::Act(discard.option("--group", "3f2a91")));
    press(&mut board, KeyCode::Esc);
    assert!(board.pages.is_empty());
}

#[test]
fn what_no_pane_shows_is_looked_for_in_the_database() {
    let mut board = board("");
    let mut typed = |text: &str| {
        press(&mut board, KeyCode::Esc);
        press(&mut board, KeyCode::Char('/'));
        text.chars().for_each(|c| drop(press(&mut board, KeyCode::Char(c))));
        press(&mut board, KeyCode::Enter)
    };
    assert_eq!(typed("order-1"), KeyAction::Nothing);
    assert_eq!(typed("order-9"), KeyAction::Search("order-9".into()));
    assert_eq!(typed(" "), KeyAction::Nothing);
}

#[test]
fn rates_are_drawn_beside_the_largest() {
    assert_eq!(sparkline(&[0.0, 1.0, 3.5, 7.0], 12), "▁▂▅█");
    assert_eq!(sparkline(&[9.0, 1.0, 2.0], 2), "▅█");
    assert_eq!(sparkline(&[0.0, 0.0], 12), "");
}

#[test]
fn rows_out_of_sight_are_marked() {
    let mut board = board("");
    let mut look = snapshot(0, COUNTS, "");
    look.active.extend((0..50).map(|n| running(&format!("more-{n}"), -5, None)));
    board.picture.absorb(&look);
    board.pane = Pane::Running;
    assert!(shown(&board, 80, 24).contains('↓'));
    press(&mut board, KeyCode::Char('G'));
    let screen = shown(&board, 80, 24);
    assert!(screen.contains('↑') && !screen.contains('↓'), "{screen}");
}

#[test]
fn a_filter_narrows_every_pane() {
    let mut board = board("");
    press(&mut board, KeyCode::Char('/'));
    "ORDER".chars().for_each(|c| drop(press(&mut board, KeyCode::Char(c))));
    assert_eq!(board.rows(Pane::Running).len(), 1);
    assert_eq!(board.rows(Pane::Letters).len(), 0);
    assert!(shown(&board, 80, 24).contains("/ORDER▏"));
    press(&mut board, KeyCode::Esc);
    assert_eq!(board.rows(Pane::Running).len(), 3);
}

#[test]
fn without_colour_there_is_none() {
    let mut board = board("");
    board.color = false;
    board.trouble = Some(Trouble { since: at(-5), why: "gone".into(), lost: true });
    for pages in [Vec::new(), vec![Page::Help { top: 0 }]] {
        board.pages = pages;
        let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
        terminal.draw(|frame| draw(&board, at(1), frame)).unwrap();
        let cells = &terminal.backend().buffer().content;
        assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    }
}

#[test]
fn trouble_is_told_over_the_last_picture() {
    let mut board = board("");
    board.trouble = Some(Trouble { since: at(-11), why: "cannot connect".into(), lost: true });
    for (width, height) in [(80, 24), (40, 10), (80, 5)] {
        let screen = shown(&board, width, height);
        assert!(screen.contains("disconnected since"), "{screen}");
        assert!(screen.contains("uncertain"), "{screen}");
    }
    assert!(shown(&board, 80, 24).contains("(12s): cannot connect"));
}

#[test]
fn answers_that_take_long_are_told() {
    let mut board = board("");
    board.pace.took(Duration::from_millis(500));
    assert!(shown(&board, 80, 24).contains("every 32s  query 500ms (slow)"));
    board.asking = Some(at(-8));
    assert!(shown(&board, 80, 24).contains("asking for 9s"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_size_and_any_text_are_drawn(width in 0_u16..130, height in 0_u16..50, text in crate::clean::hostile(), keys in "[ajkstw?/q \\t]{0,8}") {
        let mut board = board(&text);
        for key in keys.chars() {
            press(&mut board, match key { '\t' => KeyCode::Tab, ' ' => KeyCode::Enter, key => KeyCode::Char(key) });
        }
        if width > 0 && height > 0 {
            let screen = shown(&board, width, height);
            prop_assert!(!screen.replace('\n', "").contains(crate::clean::hidden), "{screen:?}");
        }
    }
}
