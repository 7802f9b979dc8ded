//! Tests of how the sources of connection parameters are merged.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

fn with(text: &str, env: &[(&str, &str)]) -> Result<Conninfo> {
    let mut map: HashMap<&str, &str> = HashMap::from([("HOME", "/nonexistent"), ("PGSYSCONFDIR", "/nonexistent")]);
    map.extend(env.iter().copied());
    Conninfo::resolve(Some(text), &|name| map.get(name).map(|value| (*value).to_owned()))
}

fn usage(text: &str, env: &[(&str, &str)]) -> String {
    let error = with(text, env).unwrap_err();
    assert_eq!(error.kind(), sen_model::error::ErrorKind::Usage);
    error.to_string()
}

#[cfg(unix)]
fn private(dir: &tempfile::TempDir, name: &str, content: &str, mode: u32) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn defaults() {
    let info = with("", &[("PGUSER", "me")]).unwrap();
    let places: Vec<_> = info.hosts.iter().map(|host| (host.place.clone(), host.port)).collect();
    assert_eq!(places, [(Place::Socket("/var/run/postgresql".into()), 5432), (Place::Socket("/tmp".into()), 5432)]);
    assert_eq!((info.user.as_str(), info.dbname.as_str(), info.application_name.as_str()), ("me", "me", "sen"));
    assert_eq!(info.connect_timeout, Some(Duration::from_secs(10)));
    assert_eq!(info.tls.mode, SslMode::Prefer);
    assert_eq!(info.options, None);
    assert!(!with("", &[]).unwrap().user.is_empty());
}

#[test]
fn explicit_beats_environment_and_hosts_pair_up_with_ports() {
    let info = with(
        "postgresql://u:p@h1:1,[::1],10.0.0.1:3/d?connect_timeout=0",
        &[("PGUSER", "x"), ("PGSSLMODE", "disable")],
    )
    .unwrap();
    let places: Vec<_> = info.hosts.iter().map(|host| (host.place.clone(), host.port)).collect();
    assert_eq!(
        places,
        [
            (Place::Name("h1".into()), 1),
            (Place::Address("::1".parse().unwrap(), None), 5432),
            (Place::Address("10.0.0.1".parse().unwrap(), None), 3)
        ]
    );
    assert_eq!((info.user.as_str(), info.connect_timeout, info.tls.mode), ("u", None, SslMode::Disable));
    assert_eq!(info.describe(), "postgresql://u@h1:1,[::1]:5432,10.0.0.1:3/d");
    assert_eq!(info.hosts[2].password.as_ref().unwrap().reveal(), "p");
    let info = with("host=db hostaddr=10.1.1.1 port=7", &[("PGUSER", "u/x")]).unwrap();
    assert_eq!(info.hosts[0].place, Place::Address("10.1.1.1".parse().unwrap(), Some("db".into())));
    assert_eq!(info.describe(), "postgresql://u%2Fx@db:7/u%2Fx");
    assert!(usage("host=a,b port=1,2,3", &[]).contains("3 ports"));
    assert!(usage("host=a,b hostaddr=10.0.0.1", &[]).contains("2 hosts"));
    assert!(usage("host=a port=0", &[]).contains("a port"));
    assert!(usage("host=a port=65536", &[]).contains("a port"));
}

#[test]
fn modes_and_their_limits() {
    assert_eq!(with("sslrootcert=system", &[]).unwrap().tls.mode, SslMode::VerifyFull);
    assert!(usage("sslrootcert=system sslmode=verify-ca", &[]).contains("weaker"));
    assert!(usage("sslrootcert=system", &[("PGSSLMODE", "require")]).contains("weaker"));
    assert!(usage("sslmode=on", &[]).contains("sslmode"));
    assert_eq!(with("", &[("PGREQUIRESSL", "1")]).unwrap().tls.mode, SslMode::Require);
    assert_eq!(with("", &[("PGSSLCRL", "/crl")]).unwrap().tls.revoked.file.unwrap().path, Path::new("/crl"));
    let usual = with("", &[]).unwrap().tls.revoked;
    assert_eq!(usual.file.unwrap(), NamedFile { path: "/nonexistent/.postgresql/root.crl".into(), named: false });
    assert!(with("sslcrldir=/x", &[]).unwrap().tls.revoked.file.is_none());
    assert!(usage("", &[("PGREQUIREAUTH", "scram")]).contains("require_auth"));
    for empty in ["sslmode=", "target_session_attrs=''", "postgresql://h/d?sslmode=", "connect_timeout='' port=1"] {
        assert!(usage(empty, &[("PGSSLMODE", "require")]).contains("without a value"), "{empty}");
    }
    assert!(usage("", &[("PGSSLMODE", "")]).contains("PGSSLMODE"));
    assert!(usage("", &[("PGSERVICE", "")]).contains("service \"\""));
    assert_eq!(with("user=''", &[("PGUSER", "x")]).unwrap().user, with("", &[]).unwrap().user);
    assert!(usage("sslnegotiation=direct", &[]).contains("direct"));
    assert!(usage("options='-c TimeZone=UTC'", &[]).contains("TimeZone"));
    assert!(usage("", &[("PGOPTIONS", "--timezone=UTC")]).contains("TimeZone"));
    assert!(with("", &[("PGTZ", "Asia/Tokyo")]).unwrap().options.is_none());
}

#[cfg(unix)]
#[test]
fn service_sits_between_explicit_and_environment() {
    let dir = tempfile::tempdir().unwrap();
    let file = private(&dir, "services", "[prod]\nhost=fromservice\nuser=svc\nport=6\n", 0o644);
    let env = [("PGSERVICEFILE", file.as_str()), ("PGHOST", "fromenv"), ("PGPORT", "9"), ("PGDATABASE", "envdb")];
    let info = with("service=prod user=explicit", &env).unwrap();
    assert_eq!(info.describe(), "postgresql://explicit@fromservice:6/envdb");
    let info = with("", &[&env[..], &[("PGSERVICE", "prod")]].concat()).unwrap();
    assert_eq!(info.user, "svc");
    let empty = private(&dir, "empty", "[prod]\nhost=h\nsslmode=\n", 0o644);
    assert!(usage("service=prod", &[("PGSERVICEFILE", &empty)]).contains("sslmode is given without a value"));
    let error = with("service=absent", &env).unwrap_err();
    assert!(error.to_string().contains("absent") && error.hint().unwrap().contains(&file));
}

#[cfg(unix)]
#[test]
fn password_files_count_only_when_private() {
    let dir = tempfile::tempdir().unwrap();
    let line = "db:5432:d:u:hunter2\nlocalhost:*:*:*:sock\n/custom:*:*:*:custom\n";
    let file = private(&dir, "pass", line, 0o600);
    let password = |text: &str, file: &str| {
        let info = with(text, &[("PGPASSFILE", file)]).unwrap();
        let found = info.hosts[0].password.as_ref().map(|secret| secret.reveal().to_owned());
        (found, info.warnings)
    };
    assert_eq!(password("host=db user=u dbname=d", &file).0.as_deref(), Some("hunter2"));
    assert_eq!(password("host=db user=other dbname=d", &file).0, None);
    assert_eq!(password("user=u", &file).0.as_deref(), Some("sock"));
    assert_eq!(password("host=/custom user=u", &file).0.as_deref(), Some("custom"));
    assert_eq!(password("host=db user=u dbname=d password=given", &file).0.as_deref(), Some("given"));
    let open = private(&dir, "open", line, 0o640);
    let (found, warnings) = password("host=db user=u dbname=d", &open);
    assert!(found.is_none() && warnings[0].contains("chmod 0600"), "{warnings:?}");
    assert!(password("host=db user=u dbname=d password=x", &open).1.is_empty());
    assert_eq!(password("host=db user=u", "/nonexistent/file"), (None, vec![]));
    assert!(password("host=db user=u", "/").1[0].contains("not a plain file"));
    std::fs::copy(&file, dir.path().join(".pgpass")).unwrap();
    let home = dir.path().to_str().unwrap();
    let info = with("host=db user=u dbname=d", &[("HOME", home)]).unwrap();
    assert_eq!(info.hosts[0].password.as_ref().unwrap().reveal(), "hunter2");
}

fn says_nothing_of(outcome: Result<Conninfo>, secret: &str) {
    match outcome {
        Ok(info) => {
            let told = format!("{info:?}");
            // Only what the text itself put outside of the password may be shown.
            assert!(info.hosts.iter().all(|host| host.password.is_none()) || !told.contains(secret), "{told}");
        }
        Err(error) => {
            let told = format!("{error} {error:?} {:?} {:?}", error.hint(), error.causes());
            assert!(!told.contains(secret), "{told}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "(?s).{0,80}", env in "\\PC{0,20}") {
        let _ = with(&text, &[]);
        let _ = with(&format!("postgresql://{text}"), &[]);
        let _ = with("", &[("PGHOST", &env), ("PGPORT", &env), ("PGOPTIONS", &env)]);
    }

    #[test]
    fn errors_do_not_tell_passwords(before in "[ -~]{0,6}", after in "[ -~]{0,6}", tail in "[a-z:/?=&%]{0,8}") {
        let secret = "S3KR1T";
        for text in [
            format!("postgresql://u:{before}{secret}{after}@h:5432/d{tail}"),
            format!("postgresql://u:{secret}{after}"),
            format!("postgresql://u:{before}{secret}/d?{tail}"),
            format!("postgresql://u:x@h/d?password={before}{secret}&{tail}"),
            format!("host=h password='{before}{secret}{after}' {tail}"),
            format!("host=h password={before}{secret}{after} {tail}"),
        ] {
            if let Err(error) = with(&text, &[]) {
                says_nothing_of(Err(error), secret);
            }
        }
        let escaped: String = format!("{before}{secret}{after}").bytes().map(|byte| format!("%{byte:02x}")).collect();
        says_nothing_of(with(&format!("postgresql://u:{escaped}@h/d?{tail}"), &[]), secret);
    }
}
