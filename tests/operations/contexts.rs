//! Contexts: databases by name, what acts on them have to heed, and whose file says so.

use std::path::Path;

use super::machine::letters;
use super::place::Place;
use crate::harness::pty::terminal;
use crate::harness::sen::{Sen, sen};

/// An operator's home and a project's folder, with files of contexts.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["config/sen", "state", "project"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn own(&self, text: &str) {
        std::fs::write(self.path("config/sen/config.toml"), text).unwrap();
    }

    fn project(&self, text: &str) {
        std::fs::write(self.path("project/.sen.toml"), text).unwrap();
    }

    fn sen(&self, words: &[&str]) -> Sen {
        sen(words)
            .cwd(self.path("project"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
    }
}

/// A replay of everything, in a context.
fn with<'a>(context: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--context", context][..], &REPLAY, more].concat()
}

fn without_password(url: &str) -> String {
    url.replace(":secret@", "@")
}

const REPLAY: [&str; 5] = ["dlq", "replay", "--all", "--reason", "INC-7"];

#[test]
fn acts_heed_the_rules_of_their_context() {
    for place in Place::both() {
        letters(&place, 3);
        let (home, url) = (Home::new(), without_password(&place.url()));
        home.own(&format!(
            "[context.prod]\ndatabase_url = '{url}'\nproduction = true\nrequire_reason = true\nmax_targets = 2\n
            [context.look]\ndatabase_url = '{url}'\nread_only = true\n[context.free]\ndatabase_url = '{url}'\n"
        ));
        let refused = |words: &[&str], told: &str| {
            let error = home.sen(words).run().expect_code(7).stderr;
            assert!(error.contains(told), "{words:?}: {error}");
            assert_eq!(place.count("dead_tasks"), 3);
        };
        refused(&with("look", &["--yes"]), "context look is for reading only");
        refused(&["--context", "prod", "dlq", "replay", "--all", "--yes"], "wants a reason");
        refused(&with("prod", &["--confirm", "prod"]), "allows 2 targets at most, and this is 3");
        // One whole id is consent in a script, but not for production.
        let one = ["--context", "prod", "dlq", "replay", "t-1", "--reason", "INC-7"];
        refused(&one, "--confirm prod");
        refused(&[&one[..], &["--yes"]].concat(), "--confirm prod");
        refused(&[&one[..], &["--confirm", "staging"]].concat(), "the production database is \"prod\"");
        home.sen(&[&one[..], &["--confirm", "prod"]].concat()).run().expect_code(0);
        assert_eq!(place.count("dead_tasks"), 2);
        // What only looks is not asked.
        home.sen(&["dlq", "list"]).env("SEN_CONTEXT", "prod").run().expect_code(0);
        home.sen(&with("free", &["--yes"])).run().expect_code(0);
        assert_eq!(place.count("dead_tasks"), 0);
    }
}

#[test]
fn on_a_terminal_production_is_confirmed_by_its_name() {
    let [_, place] = Place::both();
    letters(&place, 1);
    let home = Home::new();
    home.own(&format!("[context.prod]\ndatabase_url = '{}'\nproduction = true\n", place.url()));
    for (typed, code, left) in [("y\r", 7, 1), ("\r", 7, 1), ("prod\r", 0, 0)] {
        let mut asked = terminal([&["--context", "prod"][..], &REPLAY, &["--yes"]].concat())
            .env("XDG_CONFIG_HOME", home.path("config").to_str().unwrap())
            .env("XDG_STATE_HOME", home.path("state").to_str().unwrap())
            .start();
        asked.wait_for("This is production. Type prod to proceed");
        asked.type_keys(typed);
        assert_eq!(asked.finish().code, code, "{typed:?}");
        assert_eq!(place.count("dead_tasks"), left);
    }
}

#[test]
fn what_a_dba_calls_production_no_setting_lifts() {
    let [place, _] = Place::both();
    letters(&place, 2);
    let home = Home::new();
    let name = place.sql("SELECT current_database()");
    let name = name.trim();
    place.sql(&format!("ALTER DATABASE \"{name}\" SET sen.production = on"));
    home.own(&format!("[context.dev]\ndatabase_url = '{}'\nproduction = false\n", without_password(&place.url())));
    let plan = home.path("replay.plan");
    let plan = plan.to_str().unwrap();
    home.sen(&[&REPLAY[..], &["--plan-out", plan]].concat()).database(&place.url()).run().expect_code(0);
    // Whatever is not plainly no protects.
    for value in ["t", "' on '", "prod"] {
        place.sql(&format!("ALTER DATABASE \"{name}\" SET sen.production = {value}"));
        home.sen(&["--context", "dev", "dlq", "replay", "--all", "--yes"]).run().expect_code(7);
    }
    let acts: [&[&str]; 3] = [
        &["--context", "dev", "dlq", "replay", "t-1", "--yes"],
        &["--context", "dev", "dlq", "replay", "--all", "--yes"],
        &["--context", "dev", "apply", plan, "--yes"],
    ];
    for words in acts {
        // A session of one's own says otherwise; what the database has is looked up where it is kept.
        let error = home.sen(words).env("PGOPTIONS", "-c sen.production=off").run().expect_code(7).stderr;
        assert!(error.contains(&format!("--confirm {name}")), "{error}");
        assert_eq!(place.count("dead_tasks"), 2);
    }
    home.sen(&["--context", "dev", "apply", plan, "--confirm", name]).run().expect_code(0);
    assert_eq!(place.count("dead_tasks"), 0);
    place.sql(&format!("ALTER DATABASE \"{name}\" SET sen.production = f"));
    letters_again(&place);
    home.sen(&["--context", "dev", "dlq", "replay", "--all", "--yes"]).run().expect_code(0);
}

#[test]
fn tables_are_created_in_production_by_its_name_only() {
    let [place, file] = Place::both();
    let name = place.sql("SELECT current_database()");
    let name = name.trim();
    place.sql(&format!("ALTER DATABASE \"{name}\" SET sen.production = on"));
    let home = Home::new();
    let init = |words: &[&str]| home.sen(&[&["init"], words].concat()).database(&place.url()).run();
    let leases = || place.sql("SELECT count(*) FROM pg_class WHERE relname = 'sentinel_leases'");
    init(&["--dry-run"]).expect_code(0);
    for words in [&[][..], &["--yes"], &["--confirm", "another"]] {
        let error = init(words).expect_code(7).stderr;
        assert!(error.contains(name), "{error}");
        assert_eq!(leases(), "0");
    }
    init(&["--confirm", name]).expect_code(0);
    assert_eq!(leases(), "1");
    // Where nothing is created nothing is asked.
    init(&[]).expect_code(0);
    // A context says so of any database, and its rules hold for this act, too.
    home.own(&format!("[context.prod]\ndatabase_url = '{}'\nproduction = true\nrequire_reason = true\n", file.url()));
    let init = |words: &[&str]| home.sen(&[&["--context", "prod", "init"], words].concat()).run();
    init(&["--confirm", "prod"]).expect_code(7);
    init(&["--reason", "INC-7"]).expect_code(7);
    init(&["--reason", "INC-7", "--confirm", "prod"]).expect_code(0);
    // Elsewhere it is done at once.
    let [_, calm] = Place::both();
    home.sen(&["init"]).database(&calm.url()).run().expect_code(0);
}

fn letters_again(place: &Place) {
    place.sql("DELETE FROM tasks; DELETE FROM executions; DELETE FROM execution_progress");
    letters(place, 2);
}

#[test]
fn the_chosen_context_is_for_reading() {
    let [_, place] = Place::both();
    letters(&place, 1);
    let home = Home::new();
    home.own(&format!("[context.dev]\ndatabase_url = '{}'\n", place.url()));
    home.sen(&["dlq", "list"]).run().expect_code(2);
    home.sen(&["context", "use", "prod"]).run().expect_code(4);
    home.sen(&["context", "use", "dev"]).run().expect_code(0);
    assert_eq!(home.sen(&["dlq", "list", "-o", "json"]).run().expect_code(0).json().as_array().unwrap().len(), 1);
    let error = home.sen(&["dlq", "replay", "t-1", "--yes"]).run().expect_code(7).stderr;
    assert!(error.contains("--context dev"), "{error}");
    let shown = home.sen(&["context", "show", "-o", "json"]).run().expect_code(0).json();
    assert_eq!((&shown["context"], &shown["chosen"]), (&"dev".into(), &true.into()));
    // Whatever else names a database goes before it.
    let other = home.path("other.db");
    let error = home.sen(&["dlq", "list"]).env("DATABASE_URL", format!("sqlite:{}", other.display())).run().stderr;
    assert!(error.contains("other.db"), "{error}");
    home.sen(&["--context", "dev", "dlq", "replay", "t-1"]).run().expect_code(0);
    home.sen(&["context", "use", "--none"]).run().expect_code(0);
    home.sen(&["dlq", "list"]).run().expect_code(2);
}

#[test]
fn a_projects_file_gets_no_password_and_lifts_nothing() {
    let [_, place] = Place::both();
    letters(&place, 1);
    let home = Home::new();
    // A host of its choice, which would be told the password of the operator.
    home.project(
        "[context.prod]\ndatabase_url = 'postgresql://u@127.0.0.1:1/d'\nproduction = false\nmax_targets = 0\n",
    );
    let alone = home.sen(&["--context", "prod", "--password-command", "printf hunter2", "status"]).run().expect_code(2);
    assert!(alone.stderr.contains("only found"), "{}", alone.stderr);
    home.own(&format!("[context.prod]\ndatabase_url = '{}'\nproduction = true\n", place.url()));
    let error =
        home.sen(&["--context", "prod", "dlq", "replay", "t-1", "--confirm", "prod"]).run().expect_code(7).stderr;
    assert!(error.contains("allows 0 targets at most"), "{error}");
    home.project("[context.prod]\ndatabase_url = 'sqlite:/nowhere'\nproduction = false\n");
    home.sen(&["--context", "prod", "dlq", "replay", "t-1", "--yes"]).run().expect_code(7);
    home.sen(&["--context", "prod", "dlq", "replay", "t-1", "--confirm", "prod"]).run().expect_code(0);

    home.project("[context.x]\ndatabase_url = 'sqlite:a'\npassword_command = 'touch ran'\n");
    let error = home.sen(&["context", "list"]).run().expect_code(2).stderr;
    assert!(error.contains("may name no program"), "{error}");
    assert!(!Path::new(&home.path("project/ran")).exists());
    set_mode(&home.path("config/sen/config.toml"), 0o666);
    let error = home.sen(&["context", "list"]).run().expect_code(2).stderr;
    assert!(error.contains("other users can write it"), "{error}");
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn two_names_for_a_database_are_one_too_many() {
    let home = Home::new();
    home.own("[context.dev]\ndatabase_url = 'sqlite:a.db'\n");
    let error =
        home.sen(&["status"]).env("SEN_CONTEXT", "dev").env("DATABASE_URL", "sqlite:b.db").run().expect_code(2).stderr;
    assert!(error.contains("name a database each"), "{error}");
    home.sen(&["--context", "dev", "--database-url", "sqlite:b.db", "status"]).run().expect_code(2);
    let error = home.sen(&["--context", "dve", "status"]).run().expect_code(4).stderr;
    assert!(error.contains("there are: dev"), "{error}");
    home.own("[context.dev]\ndatabase_url = 'sqlite:a.db'\nproductoin = true\n");
    let error = home.sen(&["--context", "dev", "status"]).run().expect_code(2).stderr;
    assert!(error.contains("line 3") && error.contains("productoin"), "{error}");
}
