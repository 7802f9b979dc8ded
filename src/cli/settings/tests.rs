//! Tests of the precedence of settings.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn environment(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> + 'static {
    |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

/// Settings with a file that was found, not named.
fn found(content: &str, pairs: &'static [(&'static str, &'static str)], typed: bool) -> Settings {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), ".env", content, 0o600);
    let mut settings = Settings {
        process: Box::new(environment(pairs)),
        overlay: BTreeMap::new(),
        file: Some(path),
        named: false,
        typed,
        problem: None,
        open: false,
    };
    settings.problem = settings.read().err();
    settings
}

fn refused(path: &Path) -> String {
    let error = Settings::load(Some(path), false, |_| None).unwrap_err();
    assert_eq!(error.kind(), sen_core::error::ErrorKind::Usage);
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    error.to_string()
}

#[test]
fn the_environment_wins_over_a_named_file_and_only_our_names_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let content = "# comment\nexport DATABASE_URL='sqlite:a b'\nPGUSER=file\nPGUSER=late\nPGTZ=Asia/Tokyo\nSEN_SPOOL_DIR=/x\n\
                   PATH=/evil\nPGHOST=h # x\nPGPORT=1\nPGPORT=2\nPGAPPNAME=${APP}-${PGUSER}\n";
    let path = write(dir.path(), ".env", content, 0o640);
    let env = environment(&[("PGUSER", "process"), ("APP", "a")]);
    let settings = Settings::load(Some(&path), false, env).unwrap();
    let get = |name: &str| settings.get(name).unwrap();
    assert_eq!(get("DATABASE_URL").as_deref(), Some("sqlite:a b"));
    assert_eq!(get("PGUSER").as_deref(), Some("process"));
    assert_eq!((get("PGHOST").as_deref(), get("PGPORT").as_deref()), (Some("h"), Some("2")));
    assert_eq!(get("PGAPPNAME").as_deref(), Some("a-process"));
    assert_eq!(get("SEN_SPOOL_DIR").as_deref(), Some("/x"));
    assert_eq!((get("PATH"), get("PGTZ")), (None, None));
    assert!(std::env::var("SEN_SPOOL_DIR").is_err());
    assert!(!format!("{settings:?}").contains("a b"));
    assert!(matches!(settings.target(None).unwrap(), Target::Sqlite(_)));
    let none = Settings::load(Some(Path::new(NO_FILE)), false, |_| None).unwrap();
    assert!(none.file.is_none() && none.target(None).is_err());
}

#[test]
fn files_that_are_not_to_be_trusted_or_read() {
    let dir = tempfile::tempdir().unwrap();
    let line = "PGPASSWORD=hunter2\n";
    assert!(refused(&write(dir.path(), "group", line, 0o620)).contains("its group can write"));
    assert!(refused(&write(dir.path(), "others", line, 0o602)).contains("other users can write"));
    assert!(refused(&dir.path().join("absent")).contains("does not exist"));
    assert!(refused(dir.path()).contains("not a plain file"));
    let text = "PGUSER=a\n# PGPASSWORD=x hunter2\nPGPASSWORD hunter2\n";
    let broken = refused(&write(dir.path(), "broken", text, 0o600));
    assert!(broken.ends_with("broken, line 3: PGPASSWORD is not given as NAME=value"), "{broken}");
    let open = refused(&write(dir.path(), "open", "PGUSER=a\n\nPGPASSWORD='hunter2\nmore\n", 0o600));
    assert!(open.ends_with("open, line 3: PGPASSWORD is not given as NAME=value"), "{open}");
    let bytes = write(dir.path(), "bytes", b"A=b\nPGPASSWORD=hunter2\xff\n", 0o600);
    assert!(refused(&bytes).ends_with("line 2: this is not UTF-8"));
    let others = b"APP_NAME=My Shop\nexport PATH\n[prod]\nA=\xff\nPGUSER=me\n";
    let settings = Settings::load(Some(&write(dir.path(), "theirs", others, 0o600)), false, |_| None).unwrap();
    assert_eq!(settings.get("PGUSER").unwrap().as_deref(), Some("me"));
}

#[test]
fn the_search_stays_in_the_repository() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("repo/a/b");
    std::fs::create_dir_all(&deep).unwrap();
    write(dir.path(), ".env", "", 0o600);
    assert_eq!(file::nearest(&deep, ".env"), None);
    assert_eq!(file::nearest(dir.path(), ".env"), Some(dir.path().join(".env")));
    std::fs::create_dir(dir.path().join("repo/.git")).unwrap();
    assert_eq!(file::nearest(&deep, ".env"), None);
    let root = write(&dir.path().join("repo"), ".env", "", 0o600);
    assert_eq!(file::nearest(&deep, ".env"), Some(root));
    let near = write(&dir.path().join("repo/a"), ".env", "", 0o600);
    assert_eq!(file::nearest(&deep, ".env"), Some(near));
}

fn postgres(settings: &Settings, typed: Option<&str>) -> sen_core::stores::conninfo::Conninfo {
    match settings.target(typed).unwrap() {
        Target::Postgres(info) => *info,
        other => panic!("{other:?}"),
    }
}

/// Everything that a file could lay under a connection chosen elsewhere.
const HOSTILE: &str = "DATABASE_URL=postgresql://evil.example/x\nPGHOST=evil.example\nPGHOSTADDR=192.0.2.1\nPGPORT=6666\nPGUSER=evil\n\
    PGDATABASE=evil\nPGPASSWORD=evil\nPGSSLMODE=disable\nPGSSLROOTCERT=/evil.crt\nPGPASSFILE=/evil\nPGSERVICEFILE=/evil\nPGSERVICE=evil\n\
    PGOPTIONS=-cgeqo=off\nPGCONNECT_TIMEOUT=7\nPGAPPNAME=evil\nSEN_REDIS_URL=redis://evil.example\nSEN_WORKER_TIMEZONE=Asia/Tokyo\n\
    SEN_SPOOL_DIR=/evil\nSEN_NOTIFY_URL=redis://evil.example\nSEN_PAGER=evil\nSEN_NEXT_YEARS=evil\n";

#[test]
fn nothing_of_a_found_file_joins_a_database_that_is_named_elsewhere() {
    const PAIRS: &[&[(&str, &str)]] = &[
        &[("DATABASE_URL", "postgresql://u:pw@db.internal/d?sslmode=verify-full"), ("HOME", "/none")],
        &[
            ("PGHOST", "db.internal"),
            ("PGUSER", "u"),
            ("PGPASSWORD", "pw"),
            ("PGDATABASE", "d"),
            ("PGSSLMODE", "verify-full"),
            ("HOME", "/none"),
        ],
    ];
    let without = |pairs| found("", pairs, false);
    for pairs in PAIRS {
        let (with, without) = (found(HOSTILE, pairs, false), without(pairs));
        let shown = |settings: &Settings| format!("{:?}", settings.target(None).unwrap());
        assert_eq!(shown(&with), shown(&without));
        for line in HOSTILE.lines() {
            let name = line.split('=').next().unwrap();
            assert_eq!(with.get(name).unwrap(), without.get(name).unwrap(), "{name}");
        }
        assert!(with.withheld().is_none());
    }
    let typed = "postgresql://db.internal?sslmode=verify-full";
    let pairs: &[(&str, &str)] = &[("PGPASSWORD", "pw"), ("HOME", "/none")];
    let shown = |content: &str| format!("{:?}", found(content, pairs, true).target(Some(typed)).unwrap());
    assert_eq!(shown(HOSTILE), shown(""));
    // A variable that is set but empty still counts as set by the operator.
    assert!(found(HOSTILE, &[("DATABASE_URL", "")], false).target(None).is_err());
    // A broken or unreadable file matters only where its settings are needed.
    let broken = found("DATABASE_URL 'x", PAIRS[0], false);
    assert!(broken.target(None).is_ok() && broken.warnings()[0].contains("line 1"), "{:?}", broken.warnings());
    assert!(found("DATABASE_URL 'x", &[], false).target(None).is_err());
}

#[test]
fn a_found_file_names_a_whole_database_and_gets_no_password_of_the_operators() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), ".pgpass", "*:*:*:*:mine\n", 0o600);
    let home = home.path().to_str().unwrap().to_owned();
    let with_home = |mut settings: Settings| {
        let (inner, home) = (std::mem::replace(&mut settings.process, Box::new(|_| None)), home.clone());
        settings.process = Box::new(move |name| if name == "HOME" { Some(home.clone()) } else { inner(name) });
        settings
    };
    let mine: &[(&str, &str)] =
        &[("PGPASSWORD", "mine"), ("PGUSER", "me"), ("PGPASSFILE", "/mine"), ("PGCONNECT_TIMEOUT", "3")];
    for content in ["DATABASE_URL=postgresql://h/d\n", "PGHOST=h\nPGDATABASE=d\n", "DATABASE_URL=host=h dbname=d\n"] {
        let settings = with_home(found(content, mine, false));
        let info = postgres(&settings, None);
        assert_eq!(info.describe(), "postgresql://me@h:5432/d", "{content}");
        assert!(info.hosts.iter().all(|host| host.password.is_none()), "{content}");
        assert_eq!(info.connect_timeout, Some(std::time::Duration::from_secs(3)));
        assert!(settings.withheld().is_some());
    }
    let whole = with_home(found("PGHOST=h\nPGDATABASE=d\nPGUSER=u\nPGPASSWORD=theirs\nPGPORT=7\n", mine, false));
    let info = postgres(&whole, None);
    assert_eq!(info.describe(), "postgresql://u@h:7/d");
    assert_eq!(info.hosts[0].password.as_ref().unwrap().reveal(), "theirs");
    // A file that names only parts of a database names none.
    for part in ["PGUSER=u\n", "PGPASSWORD=p\n", "PGHOSTADDR=192.0.2.1\n", "PGSERVICE=s\n", "SEN_SPOOL_DIR=/x\n"] {
        assert!(found(part, &[], false).target(None).is_err(), "{part}");
    }
    let hint = found("PGSERVICE=s\n", &[], false).target(None).unwrap_err();
    assert!(hint.hint().unwrap().contains("PGSERVICE") && hint.hint().unwrap().contains("--env-file"), "{hint:?}");
    // A setting that would make the connection safer is not ignored silently.
    let strict = found("PGHOST=h\nPGSSLMODE=verify-full\n", &[], false).target(None).unwrap_err();
    assert!(strict.to_string().contains("PGSSLMODE"), "{strict}");
    let lax = found("PGHOST=h\nPGSSLMODE=disable\nPGOPTIONS=x\n", &[], false);
    assert_eq!(postgres(&lax, None).options, None);
    assert!(lax.warnings()[0].contains("PGOPTIONS, PGSSLMODE"), "{:?}", lax.warnings());
    // Its URL may name none of the operator's files, and set no server options.
    for tail in
        ["service=prod", "servicefile=/x", "passfile=/home/me/.pgpass", "options=-c%20session_preload_libraries%3Dx"]
    {
        let error = found(&format!("DATABASE_URL=postgresql://h/d?{tail}\n"), &[], false).target(None).unwrap_err();
        assert!(error.to_string().contains(tail.split('=').next().unwrap()), "{error}");
    }
    let options = found("DATABASE_URL=postgresql://h/d?options=-csearch_path%3Dx%20endpoint%3Da\n", &[], false);
    assert!(postgres(&options, None).options.is_some());
    // Nor is anything from the environment sent there.
    let asks =
        found("DATABASE_URL=postgresql://h/${TOKEN}\n", &[("TOKEN", "hunter2")], false).target(None).unwrap_err();
    assert!(asks.to_string().contains("${TOKEN}") && !format!("{asks:?}").contains("hunter2"), "{asks:?}");
    let own = found("DB=d\nDATABASE_URL=postgresql://h/${DB}${NONE:-x}\n", &[], false);
    assert!(postgres(&own, None).describe().ends_with("h:5432/dx"));
    // Redis and the time zone of the workers may be set, too.
    let both = found(
        "DATABASE_URL=sqlite:x\nSEN_REDIS_URL=redis://r\nSEN_WORKER_TIMEZONE=UTC\nSEN_NOTIFY_URL=redis://r\n",
        &[],
        false,
    );
    assert!(both.get("SEN_REDIS_URL").unwrap().is_some() && both.get("SEN_WORKER_TIMEZONE").unwrap().is_some());
    assert!(both.get("SEN_NOTIFY_URL").unwrap().is_none());
}

#[test]
fn links_and_files_that_others_read() {
    let dir = tempfile::tempdir().unwrap();
    let (shared, home) = (dir.path().join("shared"), dir.path().join("home"));
    std::fs::create_dir(&shared).unwrap();
    std::fs::create_dir(&home).unwrap();
    let target = write(&shared, "real", "PGHOST=h\n", 0o600);
    std::os::unix::fs::symlink(&target, home.join(".env")).unwrap();
    assert!(file::read(&home.join(".env"), true).is_ok());
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = file::read(&home.join(".env"), true).err().unwrap();
    assert!(error.to_string().contains("is not followed"), "{error}");
    assert!(file::read(&home.join(".env"), false).is_ok());
    // Members of a group that may write can replace the file.
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o775)).unwrap();
    let error = file::read(&home.join(".env"), true).err().unwrap();
    assert!(error.to_string().contains("is not followed"), "{error}");
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(file::read(&home.join(".env"), true).is_ok());
    let mut settings = found("DATABASE_URL=postgresql://u:hunter2@h/d\n", &[], false);
    assert!(settings.warnings().is_empty());
    settings.open = true;
    assert!(settings.warnings()[0].contains("holds a password") && !settings.warnings()[0].contains("hunter2"));
    let mut harmless = found("DATABASE_URL=postgresql://u@h/d\n", &[], false);
    harmless.open = true;
    assert!(harmless.warnings().is_empty());
}
