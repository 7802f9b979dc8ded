//! Without a KEY on a terminal what needs attention is offered; without one it is wrong usage.

use std::fs;

use crate::harness::pty::{Terminal, terminal};
use crate::harness::sen::{Sen, sen};

struct Demo {
    folder: tempfile::TempDir,
}

impl Demo {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        sen(["demo"]).cwd(folder.path()).run().expect_code(0);
        Self { folder }
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("sen-demo.db").display())
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.folder.path().join("sen-demo.db")).unwrap()
    }

    fn sen(&self, args: &[&str]) -> Sen {
        sen(args).database(&self.url())
    }

    fn on_terminal(&self, args: &[&str]) -> Terminal {
        terminal(args).database(&self.url()).env("SEN_PAGER", "")
    }

    fn state(&self, key: &str) -> String {
        let shown = self.sen(&["inspect", "-o", "json", key]).run().expect_code(0).json();
        shown["verdict"]["state"].as_str().unwrap().to_owned()
    }
}

const LEAVE: &str = "> Leave everything as it is";
const DOWN: &str = "\u{1b}[B";

#[test]
fn what_needs_attention_is_offered_the_gravest_first() {
    let demo = Demo::make();
    for (command, shown) in [("inspect", "UNCERTAIN"), ("why", "UNCERTAIN")] {
        let mut asked = demo.on_terminal(&[command]).start();
        asked.wait_for(LEAVE);
        asked.wait_for("outbox message");
        let screen = asked.screen();
        assert!(screen.contains("(the gravest 20; `sen status` counts all)"), "{screen}");
        let lines: Vec<&str> = screen.lines().skip_while(|line| !line.contains(LEAVE)).skip(1).collect();
        assert_eq!(lines.len(), 20, "{screen}");
        let states = ["uncertain", "uncertain", "uncertain", "stranded", "partly compensated", "stuck", "stalled"];
        for (line, state) in lines.iter().zip(states) {
            assert!(line.trim_start().starts_with(state) && line.contains(" ago  "), "{line}\n{screen}");
        }
        assert!(lines.iter().any(|line| line.contains("lost") && line.contains("ago  execution")), "{screen}");
        assert!(lines.iter().any(|line| line.contains("dead, replayable")), "{screen}");
        // A whole key is told, however much of an id is shown.
        asked.type_keys(&format!("{DOWN}{DOWN}\r"));
        let chosen = asked.finish();
        assert_eq!(chosen.code, 0, "{}", chosen.screen);
        let raw = String::from_utf8_lossy(&chosen.raw).into_owned();
        assert!(raw.contains(shown) && raw.contains("sen reconcile payments:order-77"), "{raw}");
    }
    let mut execution = demo.on_terminal(&["inspect"]).start();
    execution.wait_for("outbox message");
    execution.type_keys(&format!("{}\r", DOWN.repeat(4)));
    let raw = String::from_utf8_lossy(&execution.finish().raw).into_owned();
    assert!(raw.contains("execution 77290000-c4a6-4000-8000-000000000000"), "{raw}");
}

/// A result that rows of related work state is offered with its source, and none is chosen by Enter.
#[test]
fn a_stated_result_is_offered_and_not_chosen_by_itself() {
    let demo = Demo::make();
    let before = demo.bytes();
    let reconcile = ["reconcile", "payments:order-7729", "--token", "117"];
    let mut asked = demo.on_terminal(&reconcile).size(40, 120).start();
    asked.wait_for("What really happened");
    let screen = asked.screen();
    assert!(screen.contains("that of payments:order-7718: {\"charge\": \"ch_7718\""), "{screen}");
    asked.type_keys(&format!("{DOWN}\r"));
    asked.wait_for("> Type it");
    asked.wait_for("as of task 77290000-c4a6-4000-8000-000000000001 (shop:checkout)");
    asked.type_keys(&format!("{DOWN}\r"));
    asked.wait_for("Reason");
    asked.type_keys("\r");
    asked.wait_for("with the result {\"charge\":\"ch_7729\",\"receipt\":\"sent\"}");
    asked.type_keys("n\r");
    assert_eq!(asked.finish().code, 7);
    assert_eq!(demo.bytes(), before);
}

#[test]
fn nothing_is_chosen_by_leaving() {
    let demo = Demo::make();
    let before = demo.bytes();
    for command in ["inspect", "why", "reconcile"] {
        for keys in ["\r", "\u{1b}"] {
            let mut left = demo.on_terminal(&[command]).start();
            left.wait_for(LEAVE);
            left.type_keys(keys);
            let shown = left.finish();
            assert_eq!(shown.code, 7, "{command}: {}", shown.screen);
            assert!(shown.screen.contains("nothing was chosen, and nothing was changed"), "{}", shown.screen);
        }
    }
    let mut interrupted = demo.on_terminal(&["reconcile"]).start();
    interrupted.wait_for(LEAVE);
    interrupted.type_keys("\u{3}");
    assert_eq!(interrupted.finish().code, 130);
    assert_eq!(demo.bytes(), before);
}

#[test]
fn reconcile_offers_what_it_may_settle_and_asks_on() {
    let demo = Demo::make();
    let mut asked = demo.on_terminal(&["reconcile"]).size(40, 120).start();
    asked.wait_for(LEAVE);
    asked.wait_for("payments:order-7735");
    let screen = asked.screen();
    assert!(!screen.contains("stalled") && !screen.contains("reconciling") && !screen.contains("saga"), "{screen}");
    asked.type_keys(&format!("{DOWN}\r"));
    asked.wait_for("What really happened");
    assert!(asked.screen().contains("payments:order-7736: UNCERTAIN"), "{}", asked.screen());
    asked.type_keys(&format!("{}\r", DOWN.repeat(3)));
    asked.wait_for("Reason, kept in the history");
    asked.type_keys("INC-482\r");
    asked.wait_until("its end or a question", |screen| screen.contains("Proceed?") || screen.contains("fencing token"));
    if asked.screen().contains("Proceed?") {
        asked.type_keys("y\r");
    }
    assert_eq!(asked.finish().code, 0);
    assert_eq!(demo.state("payments:order-7736"), "reconciling");

    let mut stalled = demo.on_terminal(&["reconcile", "--before-hard-ttl", "--reason", "INC-483"]).start();
    stalled.wait_for("reports:daily-settlement");
    stalled.type_keys("\r");
    assert_eq!(stalled.finish().code, 7);
}

#[test]
fn a_namespace_narrows_what_is_offered() {
    let demo = Demo::make();
    for command in ["inspect", "why"] {
        let mut asked = demo.on_terminal(&[command, "-n", "reports"]).start();
        asked.wait_for("reports:daily-settlement");
        assert!(!asked.screen().contains("payments:") && !asked.screen().contains("execution"), "{}", asked.screen());
        asked.type_keys(&format!("{DOWN}\r"));
        let shown = asked.finish();
        assert_eq!(shown.code, 0, "{}", shown.screen);
        let none = demo.on_terminal(&[command, "-n", "nope"]).run();
        assert_eq!(none.code, 4);
        assert!(none.screen.contains("no key of namespace \"nope\" needs attention"), "{}", none.screen);
    }
    let none = demo.on_terminal(&["reconcile", "-n", "reports"]).run();
    assert_eq!(none.code, 4);
    assert!(none.screen.contains("no key of namespace \"reports\" is uncertain"), "{}", none.screen);
}

/// More than a page of what is only stalled, and stands before it in the order of the list, does not hide what is uncertain.
#[test]
fn what_is_critical_is_not_crowded_out() {
    let demo = Demo::make();
    let file = rusqlite::Connection::open(demo.folder.path().join("sen-demo.db")).unwrap();
    let columns: Vec<String> = {
        let mut names =
            file.prepare("SELECT name FROM pragma_table_info('sentinel_leases') WHERE name <> 'key'").unwrap();
        names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let values: Vec<String> = columns
        .iter()
        .map(|name| if name == "lease_expires_at" { format!("{name} + 600000000 + n") } else { name.clone() })
        .collect();
    let added = file
        .execute(
            &format!(
                "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 40)
                 INSERT INTO sentinel_leases (key, {}) SELECT 'reports:more-' || n, {} FROM sentinel_leases, many
                 WHERE key = 'reports:daily-settlement'",
                columns.join(", "),
                values.join(", ")
            ),
            [],
        )
        .unwrap();
    assert_eq!(added, 40);
    drop(file);
    let mut asked = demo.on_terminal(&["inspect"]).start();
    asked.wait_for("reports:more-");
    for key in ["payments:order-7731", "payments:order-7735", "payments:order-7736", "77290000-"] {
        assert!(asked.screen().contains(key), "{}", asked.screen());
    }
    asked.type_keys("\r");
    assert_eq!(asked.finish().code, 7);
}

#[test]
fn without_a_terminal_it_is_wrong_usage() {
    let demo = Demo::make();
    for args in
        [&["inspect"][..], &["why"], &["reconcile"], &["reconcile", "--reset", "--yes"], &["inspect", "-o", "json"]]
    {
        let wrong = demo.sen(args).run().expect_code(2);
        assert!(
            wrong.stderr.contains("is given") && wrong.stderr.contains("`sen status`"),
            "{args:?}: {}",
            wrong.stderr
        );
    }
    for args in [
        &["inspect", "-o", "json"][..],
        &["why", "--no-input"],
        &["inspect", "--watch"],
        &["reconcile", "--no-input"],
        &["reconcile", "--yes"],
        &["reconcile", "--token", "115"],
    ] {
        let wrong = demo.on_terminal(args).run();
        assert_eq!(wrong.code, 2, "{args:?}: {}", wrong.screen);
        assert!(wrong.screen.contains("sen status"), "{args:?}: {}", wrong.screen);
    }
}
