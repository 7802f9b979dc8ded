//! What people see: the screens of the demo at three sizes, without colour and in a pipe, kept as snapshots with their styles.
//!
//! A line of letters under a line of text says how it is drawn: [`STYLES`].

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{LazyLock, Mutex};

use regex::{Captures, Regex};
use vt100::{Cell, Color, Parser};

use crate::harness::clock;
use crate::harness::pty::{Live, Terminal, terminal};
use crate::harness::sen::sen;
use crate::harness::snapshot::assert_snapshot;

/// Columns and rows.
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 50)];
/// More rows than any of these commands prints.
const ALL: u16 = 600;

/// A way to draw letters, and its own letter: foreground and background (the terminal's own where none is given), bold, dim,
/// reversed. There are no others: each was looked at on light and on dark.
type Style = (char, Option<u8>, Option<u8>, bool, bool, bool);
const STYLES: [Style; 9] = [
    (' ', None, None, false, false, false),
    ('b', None, None, true, false, false),
    ('d', None, None, false, true, false),
    ('v', None, None, false, false, true),
    ('g', Some(2), None, false, false, false),
    // What needs a person: critical, warning, and a warning that is selected.
    ('R', Some(1), None, true, false, false),
    ('Y', Some(0), Some(3), false, false, false),
    ('Z', Some(0), Some(3), true, false, false),
    ('V', Some(1), None, true, false, true),
];

/// Those with colour.
const COLORED: [char; 5] = ['g', 'R', 'Y', 'Z', 'V'];

/// What stands above every snapshot.
const LEGEND: &str = "Letters under a line: b bold, d dim, v reversed, g green, R red, Y black on yellow (a warning), Z the same in bold,
V red reversed. The colours are the same on light and on dark.
";

/// The commands of the demo, in the order of the story, each with its arguments.
const COMMANDS: [(&str, &str); 20] = [
    ("status", "status"),
    ("list", "list"),
    ("inspect", "inspect payments:order-7731"),
    ("why", "why payments:order-7731"),
    ("history", "history payments:order-7731"),
    ("timeline", "timeline payments:order-7731"),
    ("dlq-list", "dlq list"),
    ("dlq-groups", "dlq groups"),
    ("dlq-show", "dlq show 77310000-c4a6-4000-8000-000000000001"),
    ("exec-list", "exec list"),
    ("exec-show", "exec show 77310000-c4a6-4000-8000-000000000000"),
    ("task-list", "task list"),
    ("saga-list", "saga list"),
    ("saga-show", "saga show order-7731"),
    ("stats", "stats"),
    ("stats-chart", "stats --chart"),
    ("doctor", "doctor"),
    // Without the name of whoever runs the tests, and of their machine.
    ("op-list", "op list --fields operation,at,state,applied,targets,what,reason"),
    ("error", "exec show 77310000-c4a6-4000-8000-00000000000x"),
    ("exit-codes", "help exit-codes"),
];

/// The demo with one act done, under a clock that stands still.
struct Stage {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Stage {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state").to_str().unwrap().to_owned();
        let more =
            [("XDG_STATE_HOME", state), ("LANG", "C.UTF-8".into()), ("TZ", "UTC".into()), ("SEN_PAGER", String::new())];
        let variables = clock::standing(folder.path()).into_iter().chain(more).collect();
        let stage = Self { folder, variables };
        stage.run("demo");
        stage.run("release webhooks:evt_1Qm7aa --yes --reason INC-7");
        stage
    }

    /// What goes into a pipe, both streams.
    fn run(&self, line: &str) -> String {
        let command = self.variables.iter().fold(sen(line.split(' ')), |sen, (name, value)| sen.env(name, value));
        let output = command.cwd(self.folder.path()).database("sqlite:sen-demo.db").run();
        output.stdout + &output.stderr
    }

    fn terminal(&self, line: &str, (columns, rows): (u16, u16)) -> Terminal {
        let made = self.variables.iter().fold(terminal(line.split(' ')), |made, (name, value)| made.env(name, value));
        made.cwd(self.folder.path()).database("sqlite:sen-demo.db").size(rows, columns)
    }
}

/// What differs from run to run, replaced by as much of something else.
fn fixed(text: &str) -> String {
    static IDS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f…-]{12,27}").unwrap());
    static VERSION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"SQLite [0-9]+\.[0-9]+\.[0-9]+").unwrap());
    let id = |found: &Captures<'_>| match &found[0] {
        // Those of the demo are always the same.
        id if id.starts_with("77") || id.starts_with("00001e") => id.to_owned(),
        id => "x".repeat(id.chars().count()),
    };
    VERSION.replace_all(&IDS.replace_all(text, id), "SQLite 3.x.x").into_owned()
}

/// The letter of a cell's style.
fn letter(cell: &Cell) -> char {
    let color = |color: Color| match color {
        Color::Default => None,
        Color::Idx(number) => Some(number),
        Color::Rgb(..) => panic!("colours are the terminal's own"),
    };
    let style = (color(cell.fgcolor()), color(cell.bgcolor()), cell.bold(), cell.dim(), cell.inverse());
    assert!(!cell.underline() && !cell.italic(), "{:?} is underlined or italic", cell.contents());
    let known =
        STYLES.iter().find(|(_, front, back, bold, dim, reversed)| style == (*front, *back, *bold, *dim, *reversed));
    known.unwrap_or_else(|| panic!("{:?} is drawn as nobody has looked at: {style:?}", cell.contents())).0
}

/// The lines of a screen, each followed by the letters of its styles where it has any; a rule where the first screen ends.
fn drawn(raw: &[u8], columns: u16, rows: u16, fold: Option<u16>) -> String {
    let mut parser = Parser::new(rows, columns, 0);
    parser.process(raw);
    let screen = parser.screen();
    let text = screen.contents();
    let used = u16::try_from(text.trim_end().lines().count()).unwrap();
    let mut lines: Vec<(String, String)> = (0..used)
        .map(|row| {
            let (mut text, mut letters) = (String::new(), String::new());
            for column in 0..columns {
                let Some(cell) = screen.cell(row, column).filter(|cell| !cell.is_wide_continuation()) else { continue };
                text += if cell.has_contents() { cell.contents() } else { " " };
                letters.push(letter(cell));
            }
            (fixed(text.trim_end()), letters.trim_end().to_owned())
        })
        .collect();
    while lines.last().is_some_and(|(text, letters)| text.is_empty() && letters.is_empty()) {
        lines.pop();
    }
    let mut shown = String::new();
    for (at, (text, letters)) in lines.iter().enumerate() {
        if at > 0 && fold.is_some_and(|fold| at == usize::from(fold) - 1) {
            shown += "- - - the first screen ends here\n";
        }
        writeln!(shown, "|{text}").unwrap();
        if !letters.is_empty() {
            writeln!(shown, " {letters}").unwrap();
        }
    }
    shown
}

/// The same without its styles.
fn bare(drawn: &str) -> String {
    drawn.lines().filter(|line| !line.starts_with(' ')).map(|line| format!("{line}\n")).collect()
}

/// One command at every size, and its text where nothing of a terminal is known.
fn sheet(stage: &Stage, line: &str) -> String {
    let mut sheet = format!("{LEGEND}\n$ sen {line}\n");
    let mut before = String::new();
    for size @ (columns, rows) in SIZES {
        let shown = stage.terminal(line, size).run();
        let now = drawn(&shown.raw, columns, ALL, Some(rows));
        let without = |text: &str| text.replace("- - - the first screen ends here\n", "");
        let same = without(&now) == without(&before);
        writeln!(sheet, "\n== {columns}×{rows}").unwrap();
        sheet += if same { "as above\n" } else { &now };
        if columns == 80 {
            let plain = stage.terminal(line, size).env("NO_COLOR", "1").run();
            let plain = drawn(&plain.raw, columns, ALL, Some(rows));
            assert_eq!(plain, bare(&now), "sen {line}: the same words without colour, and no style");
        }
        before = now;
    }
    let lines: String = fixed(&stage.run(line)).lines().map(|line| format!("|{line}\n")).collect();
    writeln!(sheet, "\n== piped").unwrap();
    sheet += if bare(&before) == lines { "as above\n" } else { &lines };
    sheet
}

#[test]
fn every_command_at_every_size() {
    let stage = Stage::make();
    let left = Mutex::new(COMMANDS.iter());
    std::thread::scope(|scope| {
        let work = || {
            while let Some((name, line)) = { left.lock().unwrap().next() } {
                assert_snapshot(&format!("screens/{name}"), &sheet(&stage, line));
            }
        };
        for worker in [(); 4].map(|()| scope.spawn(work)) {
            worker.join().unwrap();
        }
    });
}

/// A screen of `watch` without what depends on how fast the machine is.
fn watched(live: &Live, (columns, rows): (u16, u16)) -> String {
    let text = drawn(&live.raw(), columns, rows, None);
    // The interval and how long the query took stand at the right of the first line.
    let (first, rest) = text.split_once('\n').unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    assert!(first.contains("every 1h"), "{first}");
    format!("| sen watch sqlite:sen-demo.db\n{rest}")
}

#[test]
fn watch_at_every_size() {
    let stage = Stage::make();
    let mut sheet = format!("{LEGEND}\n$ sen watch\n");
    for size @ (columns, rows) in SIZES {
        for colors in [true, false] {
            let mut watching = stage.terminal("watch --interval 1h", size);
            if !colors {
                watching = watching.env("NO_COLOR", "1");
            }
            let mut live = watching.start();
            live.wait_for("dead letters 12 in 9 groups");
            let first = watched(&live, size);
            if colors {
                write!(sheet, "\n== {columns}×{rows}\n{first}").unwrap();
            } else {
                let colored = first.lines().filter(|line| line.starts_with(' ')).any(|line| line.contains(COLORED));
                assert!(!colored, "{first}");
            }
            live.type_keys("\r");
            live.wait_for("┌ list --state uncertain");
            let rows_shown = watched(&live, size);
            live.type_keys("\r");
            live.wait_for("UNCERTAIN");
            let one = watched(&live, size);
            if colors && columns == 80 {
                write!(sheet, "\n== {columns}×{rows}, Enter\n{rows_shown}\n== {columns}×{rows}, Enter, Enter\n{one}")
                    .unwrap();
            }
            live.type_keys("qqq");
            live.finish();
        }
    }
    assert_snapshot("screens/watch", &sheet);
}

#[test]
fn a_plan_and_its_question() {
    let stage = Stage::make();
    let mut sheet = LEGEND.to_owned();
    for (line, question) in [
        ("reconcile payments:order-7731 --reset --reason INC-7", "Proceed?"),
        ("dlq replay --group dc3c1f0aae --reason INC-7", "Proceed?"),
    ] {
        writeln!(sheet, "\n$ sen {line}").unwrap();
        for size @ (columns, rows) in SIZES {
            let mut live = stage.terminal(line, size).start();
            live.wait_for(question);
            live.type_keys("n\r");
            let shown = live.finish();
            assert_eq!(shown.code, 7, "{}", shown.screen);
            write!(sheet, "\n== {columns}×{rows}\n{}", drawn(&shown.raw, columns, ALL, Some(rows))).unwrap();
        }
    }
    assert_snapshot("screens/plan", &sheet);
}

/// How different two colours look, as the WCAG reckon it: 1 is not at all.
fn contrast(left: [u8; 3], right: [u8; 3]) -> f64 {
    let part = |value: u8| {
        let share = f64::from(value) / 255.0;
        if share <= 0.03928 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    };
    let light = |[red, green, blue]: [u8; 3]| 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue) + 0.05;
    let (left, right) = (light(left), light(right));
    left.max(right) / left.min(right)
}

#[test]
fn every_style_can_be_read_on_light_and_on_dark() {
    // The colours of xterm, which are brighter than most, by number; bold letters may be drawn in the bright ones.
    let xterm = [[0, 0, 0], [205, 0, 0], [0, 205, 0], [205, 205, 0]];
    let bright = [[127, 127, 127], [255, 0, 0], [0, 255, 0], [255, 255, 0]];
    let (white, black) = ([255, 255, 255], [0, 0, 0]);
    for (own, paper) in [(black, white), (white, black)] {
        for (name, front, back, bold, ..) in STYLES {
            let behind = back.map_or(paper, |number| xterm[usize::from(number)]);
            let ways = [Some(&xterm), bold.then_some(&bright)];
            for palette in ways.into_iter().flatten() {
                let letters = front.map_or(own, |number| palette[usize::from(number)]);
                assert!(contrast(letters, behind) > 2.0, "{name} on {paper:?}: {}", contrast(letters, behind));
            }
        }
    }
}

#[test]
fn the_folder_of_snapshots_holds_nothing_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/screens");
    let mut kept: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut known: Vec<String> = COMMANDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.extend(["watch".into(), "plan".into()]);
    kept.sort();
    known.sort();
    assert_eq!(kept, known);
}
