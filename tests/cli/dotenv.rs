//! A `.env` file that somebody else wrote: in a repository that was cloned, in a folder of another project.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::fake::{CLEARTEXT, Fake};
use crate::harness::patience::until;
use crate::harness::sen::{Output, Sen, sen};

const SECRET: &str = "s3cr3t-hunter2";

fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A repository with this `.env`, in which the operator stands.
fn repository(content: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(".git")).unwrap();
    write(&folder.path().join(".env"), content, 0o600);
    folder
}

/// The operator's home, with a password for every database and services.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join(".pgpass"), format!("*:*:*:*:{SECRET}\n"), 0o600);
    write(&home.path().join(".pg_service.conf"), format!("[prod]\nuser=me\npassword={SECRET}\n"), 0o600);
    home
}

fn silent(output: Output) -> Output {
    assert!(!output.stderr.contains(SECRET) && !output.stdout.contains(SECRET), "{output:?}");
    output
}

/// Every way in which the operator may keep a password, on every kind of command.
fn with_secrets<'a>(home: &'a Path, args: &'a [&'a str]) -> impl Iterator<Item = Sen> + 'a {
    [("PGPASSWORD", SECRET), ("HOME", ""), ("PGPASSFILE", "pass"), ("PGSERVICEFILE", "services")].into_iter().map(
        move |(name, value)| {
            let run = sen(args).env("HOME", home).env("PGUSER", "me");
            match name {
                "HOME" => run,
                "PGPASSFILE" => run.env(name, home.join(".pgpass")).env("HOME", "/nonexistent"),
                "PGSERVICEFILE" => run.env(name, home.join(".pg_service.conf")),
                _ => run.env(name, value),
            }
        },
    )
}

#[test]
fn a_host_that_a_found_file_names_gets_no_password() {
    let (fake, home) = (Fake::start(CLEARTEXT), home());
    let port = fake.port;
    for content in [
        format!("PGHOST=127.0.0.1\nPGPORT={port}\nPGDATABASE=d\n"),
        format!("DATABASE_URL=postgresql://127.0.0.1:{port}/d\n"),
        format!("DATABASE_URL=postgresql://me@127.0.0.1:{port}/d?service=prod\n"),
        format!("DATABASE_URL=postgresql://127.0.0.1:{port}/d\nPGSERVICE=prod\n"),
        format!("DATABASE_URL=postgresql://me@127.0.0.1:{port}/d?passfile={}/.pgpass\n", home.path().display()),
        format!("DATABASE_URL=postgresql://me:${{PGPASSWORD}}@127.0.0.1:{port}/d\n"),
        format!("DATABASE_URL=host=127.0.0.1 port={port} service=prod\n"),
    ] {
        let folder = repository(&content);
        for run in with_secrets(home.path(), &["status"]) {
            let output = silent(run.cwd(folder.path()).run());
            assert!([2, 6].contains(&output.code), "{content}: {output:?}");
        }
    }
    let heard = fake.heard();
    assert!(heard.contains("connected") && !heard.contains(SECRET), "{heard}");
    // Whoever names the file trusts it: then the fake hears it, so the test would have seen it.
    let folder = repository(&format!("PGHOST=127.0.0.1\nPGPORT={port}\nPGDATABASE=d\n"));
    let said = sen(["status"]).env("PGPASSWORD", SECRET).cwd(folder.path()).run().expect_code(6);
    assert!(said.stderr.contains("--env-file"), "{}", said.stderr);
    assert!(!fake.heard().contains(SECRET));
    silent(sen(["status", "--env-file", ".env"]).env("PGPASSWORD", SECRET).cwd(folder.path()).run().expect_code(6));
    assert_eq!(fake.heard().matches(SECRET).count(), 1);
    // Its own password is its own affair.
    let folder = repository(&format!("PGHOST=127.0.0.1\nPGPORT={port}\nPGPASSWORD=theirs\n"));
    sen(["status"]).env("PGPASSWORD", SECRET).cwd(folder.path()).run().expect_code(6);
    let heard = fake.heard();
    assert!(heard.contains("theirs") && heard.matches(SECRET).count() == 1, "{heard}");
}

#[test]
fn a_database_that_is_named_elsewhere_is_not_led_astray() {
    let (fake, home) = (Fake::start(CLEARTEXT), home());
    let folder = repository(&format!(
        "PGHOSTADDR=127.0.0.1\nPGPORT={}\nPGSSLROOTCERT=/evil.crt\nPGSSLMODE=disable\nPGHOST=127.0.0.1\nPGSERVICE=prod\n\
         PGOPTIONS=-crole=x\nSEN_REDIS_URL=redis://127.0.0.1:{}\nDATABASE_URL=postgresql://127.0.0.1:{}/d\n",
        fake.port, fake.port, fake.port
    ));
    for (text, tail) in
        [("postgresql://me:s3cr3t-hunter2@db.invalid/d", "?sslmode=verify-full"), ("postgresql://db.invalid/d", "")]
    {
        let url = format!("{text}{tail}");
        for run in with_secrets(home.path(), &["status"]) {
            silent(run.database(&url).cwd(folder.path()).run().expect_code(6));
        }
        for run in with_secrets(home.path(), &["doctor", "--database-url", &url]) {
            silent(run.cwd(folder.path()).run().expect_code(6));
        }
    }
    for run in with_secrets(home.path(), &["status"]) {
        silent(run.env("PGHOST", "db.invalid").env("PGSSLMODE", "verify-full").cwd(folder.path()).run().expect_code(6));
    }
    assert_eq!(fake.heard(), "");
}

#[test]
fn completion_goes_nowhere_a_file_leads_to() {
    let (fake, home) = (Fake::start(CLEARTEXT), home());
    let port = fake.port;
    for content in [
        format!("DATABASE_URL=postgresql://me:theirs@127.0.0.1:{port}/d\n"),
        format!("PGHOST=127.0.0.1\nPGPORT={port}\n"),
        format!("PGHOSTADDR=127.0.0.1\nPGPORT={port}\nSEN_REDIS_URL=redis://127.0.0.1:{port}\n"),
    ] {
        let folder = repository(&content);
        for shell in ["bash", "zsh", "fish"] {
            for words in [&["sen", "inspect", "p"][..], &["sen", "exec", "show", ""], &["sen", "agent", "show", "t"]] {
                let index = (words.len() - 1).to_string();
                let args = [&["__complete", shell, &index, "--"], words].concat();
                for run in with_secrets(home.path(), &args) {
                    assert_eq!(run.cwd(folder.path()).run().expect_code(0).stderr, "");
                }
            }
        }
    }
    assert_eq!(fake.heard(), "");
    // Where the database is named, it is asked.
    let url = format!("postgresql://127.0.0.1:{port}/d");
    // On a busy machine it may give up before it has connected.
    let asked = || {
        sen(["__complete", "zsh", "2", "--", "sen", "inspect", "p"])
            .database(&url)
            .env("SEN_DEBUG_PATIENCE", "1")
            .run()
            .expect_code(0);
        fake.heard().contains("connected")
    };
    until("it is asked", asked);
}

/// Whoever names a file on the line that is being typed means the database in it.
#[test]
fn completion_follows_a_file_that_is_named() {
    let fake = Fake::start(CLEARTEXT);
    let folder = repository(&format!("DATABASE_URL=postgresql://me:theirs@127.0.0.1:{}/d\n", fake.port));
    // On a busy machine it may give up before it has connected.
    let asked = || {
        let line = ["__complete", "zsh", "4", "--", "sen", "--env-file", ".env", "inspect", "p"];
        assert_eq!(sen(line).cwd(folder.path()).env("SEN_DEBUG_PATIENCE", "1").run().expect_code(0).stderr, "");
        fake.heard().contains("connected")
    };
    until("it is asked", asked);
}

#[test]
fn lines_of_others_do_not_matter_and_what_decides_nothing_only_warns() {
    let folder = repository("");
    let file = folder.path().join(".env");
    sen(["demo", "d.db"]).cwd(folder.path()).run().expect_code(0);
    let theirs: &[u8] = b"APP_NAME=My Shop\nexport PATH\n[prod]\nOWNER=M\xfcller\nQUOTE='open\nPGTZ_NOTE: x\nDATABASE_URL=sqlite:gone.db\nDATABASE_URL='sqlite:d.db'\n";
    write(&file, theirs, 0o600);
    let list = || sen(["list"]).cwd(folder.path());
    let said = list().run().expect_code(0);
    assert!(!said.stderr.contains("warning") && !said.stderr.contains(".env"), "{}", said.stderr);
    // A broken line of ours is an error where it decides, and a warning where it does not.
    write(&file, "A=b\nDATABASE_URL: sqlite:d.db\n", 0o600);
    assert!(list().run().expect_code(2).stderr.contains(".env, line 2"));
    let said = list().database("sqlite:d.db").run().expect_code(0);
    assert!(said.stderr.contains("warning: ") && said.stderr.contains(".env, line 2"), "{}", said.stderr);
    sen(["list", "--database-url", "sqlite:d.db"]).cwd(folder.path()).run().expect_code(0);
    sen(["list", "--env-file", "/dev/null", "--database-url", "sqlite:d.db"]).cwd(folder.path()).run().expect_code(0);
    write(&file, "DATABASE_URL=sqlite:d.db\n", 0o622);
    assert!(list().run().expect_code(2).stderr.contains("is refused: other users can write it"));
    assert!(list().database("sqlite:d.db").run().expect_code(0).stderr.contains("is ignored"));
    write(&file, "DATABASE_URL=sqlite:d.db\n", 0o600);
    list().run().expect_code(0);
    // Switched off.
    let off = sen(["list", "--env-file", "/dev/null"]).cwd(folder.path()).run().expect_code(2);
    assert!(off.stderr.contains("DATABASE_URL is not set"), "{}", off.stderr);
    // A link into a folder that everybody writes.
    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::rename(&file, open.join("env")).unwrap();
    std::os::unix::fs::symlink(open.join("env"), &file).unwrap();
    list().run().expect_code(0);
    for mode in [0o777, 0o775, 0o2770] {
        fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
        assert!(list().run().expect_code(2).stderr.contains("is not followed"), "{mode:o}");
    }
}

#[test]
fn a_password_that_all_can_read_is_warned_about() {
    let folder = repository("");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let url = format!("postgresql://u:{SECRET}@127.0.0.1:1/d");
    write(&folder.path().join(".env"), format!("DATABASE_URL={url}\n"), 0o644);
    let said = silent(sen(["list"]).cwd(folder.path()).run().expect_code(6));
    assert!(said.stderr.contains("every user of this machine can read it"), "{}", said.stderr);
    write(&folder.path().join(".env"), format!("DATABASE_URL={url}\n"), 0o640);
    assert!(!sen(["list"]).cwd(folder.path()).run().stderr.contains("can read it"));
}

#[test]
fn what_libpq_refuses_or_says_is_refused_and_said() {
    let fake = Fake::start(CLEARTEXT);
    let url = |tail: &str| format!("postgresql://me@127.0.0.1:{}/d{tail}", fake.port);
    for tail in ["?sslmode=", "?target_session_attrs=", "?require_auth=scram"] {
        sen(["list"]).database(&url(tail)).run().expect_code(2);
    }
    for name in ["PGSSLMODE", "PGTARGETSESSIONATTRS", "PGCHANNELBINDING", "PGSERVICE"] {
        sen(["list"]).database(&url("")).env(name, "").run().expect_code(2);
    }
    assert_eq!(fake.heard(), "");
    // A password file that others can read is named, also where the log-in fails for want of it.
    let home = home();
    fs::set_permissions(home.path().join(".pgpass"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = silent(sen(["list"]).database(&url("")).env("HOME", home.path()).run().expect_code(6));
    assert!(said.stderr.contains(".pgpass is ignored: it has group or world access"), "{}", said.stderr);
    // Quotes that a shell would have taken away, and SQLAlchemy's parameters.
    let quoted = format!(
        "\"{}\"",
        url("").replace("postgresql:", "postgresql+asyncpg:") + "?ssl=prefer&prepared_statement_cache_size=0"
    );
    silent(sen(["list"]).database(&quoted).env("PGPASSWORD", SECRET).run().expect_code(6));
    assert_eq!(fake.heard().matches(SECRET).count(), 1);
}
