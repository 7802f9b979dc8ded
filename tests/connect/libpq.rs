//! The same connection strings, password files and service files given to the real libpq: who is asked, as whom, with which
//! password must be the same.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use sen_core::stores::conninfo::{Conninfo, Place};
use sen_core::stores::url::Target;
use serde_json::{Value, json};

use crate::certificates::private;

struct Case {
    text: String,
    env: BTreeMap<String, String>,
}

impl Case {
    fn new(text: &str, env: &[(&str, &str)]) -> Self {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            text: text.to_owned(),
            env: [("HOME".to_owned(), "/nonexistent".to_owned())].into_iter().chain(env).collect(),
        }
    }

    fn ours(&self) -> sen_core::error::Result<Conninfo> {
        match Target::resolve(Some(&self.text).filter(|text| !text.is_empty()).map(String::as_str), &|name| {
            self.env.get(name).cloned()
        })? {
            Target::Postgres(info) => Ok(*info),
            other => panic!("{other:?}"),
        }
    }
}

fn libpq(how: &str, cases: &[Case]) -> Vec<Value> {
    let asked: Vec<Value> = cases.iter().map(|case| json!({"how": how, "text": case.text, "env": case.env})).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/connect/libpq.py");
    let mut child = Command::new("python3")
        .arg("-B")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 can be started");
    child.stdin.take().unwrap().write_all(json!(asked).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "libpq (package libpq5) and python3 are needed");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn place(place: &Place) -> String {
    match place {
        Place::Socket(path) => path.display().to_string(),
        Place::Name(name) | Place::Address(_, Some(name)) => name.clone(),
        Place::Address(address, None) => address.to_string(),
    }
}

fn me() -> String {
    Conninfo::resolve(None, &|_| None).unwrap().user
}

/// The words of a list as libpq means them for so many hosts.
fn spread(text: &str, count: usize, default: &str) -> Vec<String> {
    let list: Vec<&str> = text.split(',').collect();
    (0..count)
        .map(|at| list.get(at).or(list.first().filter(|_| list.len() == 1)).copied().unwrap_or_default())
        .map(|one| if one.is_empty() { default.to_owned() } else { one.to_owned() })
        .collect()
}

/// Differences, one a line; and how many texts both took, and both refused.
fn compare(cases: &[Case], theirs: &[Value], listed: bool) -> (Vec<String>, usize, usize) {
    let (mut differences, mut taken, mut refused) = (Vec::new(), 0, 0);
    for (case, theirs) in cases.iter().zip(theirs) {
        let ours = case.ours();
        let of = |name: &str| theirs[name].as_str().unwrap_or_default();
        let (ours, ok) = (ours.map_err(|error| error.to_string()), theirs["ok"] == true);
        let info = match (ours, ok) {
            (Err(_), false) => {
                refused += 1;
                continue;
            }
            (Ok(info), true) => info,
            (ours, _) => {
                let ours = ours.map(|info| info.describe());
                differences.push(format!("{:?} {:?}: {ours:?}, libpq {theirs}", case.text, case.env));
                continue;
            }
        };
        taken += 1;
        let password = info.hosts[0].password.as_ref().map_or("", |password| password.reveal());
        let user = if of("user").is_empty() { me() } else { of("user").to_owned() };
        let dbname = if of("dbname").is_empty() { &user } else { of("dbname") };
        let (mut hosts, mut ports): (Vec<String>, Vec<String>) =
            info.hosts.iter().map(|host| (place(&host.place), host.port.to_string())).unzip();
        // Where no host is given, two usual places of the socket are tried.
        if (listed && of("host").is_empty()) || hosts.starts_with(&["/var/run/postgresql".into(), "/tmp".into()]) {
            hosts.truncate(1);
            ports.truncate(1);
        }
        let count = if listed { of("host").split(',').count() } else { 1 };
        let their_hosts = spread(of("host"), count, "/var/run/postgresql");
        let their_ports = spread(of("port"), count, "5432");
        hosts.truncate(if listed { usize::MAX } else { 1 });
        ports.truncate(if listed { usize::MAX } else { 1 });
        let mine = (hosts, ports, info.user.as_str(), info.dbname.as_str(), password);
        let libpq = (their_hosts, their_ports, user.as_str(), dbname, of("password"));
        if mine != libpq {
            differences.push(format!("{:?} {:?}: {mine:?}, libpq {libpq:?}", case.text, case.env));
        }
    }
    (differences, taken, refused)
}

#[test]
fn urls_mean_what_they_mean_to_libpq() {
    let users = ["", "u@", "u:p@", ":p@", "u:@", "us%65r:p%40s%3As@", "u:p?#w@", "u:p%zz@", "u:%00@", "u:ü@"];
    let hosts = [
        "",
        "h",
        "h:1",
        "h1:1,h2:2",
        "h1,h2:2",
        "h1,h2",
        "[::1]",
        "[::1]:7",
        "[::1",
        "[]",
        "%2Frun%2Fpg",
        "10.0.0.1:",
        "h1,[::1]:3,10.0.0.1",
    ];
    let paths = [
        "",
        "/",
        "/d",
        "/d%20b",
        "/d?sslmode=require",
        "/d?user=x&password=y%26z",
        "/?host=/run/pg&port=5433",
        "?dbname=q",
        "/d?",
        "/d?a",
        "/d?sslmode=a=b",
        "/d?nosuch=x",
        "/d?ssl=true",
        "/d?port=&host=",
    ];
    let mut cases = Vec::new();
    for scheme in ["postgresql", "postgres"] {
        for user in users {
            for host in hosts {
                for path in paths {
                    // The second scheme is only another word for the first.
                    if scheme == "postgresql" || user == "u:p@" {
                        cases.push(Case::new(&format!("{scheme}://{user}{host}{path}"), &[]));
                    }
                }
            }
        }
    }
    let (differences, taken, refused) = compare(&cases, &libpq("parse", &cases), true);
    assert!(cases.len() > 1_482 && taken > 700 && refused > 300, "{} {taken} {refused}", cases.len());
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn connection_strings_mean_what_they_mean_to_libpq() {
    let mut cases = Vec::new();
    for host in ["", "host=127.0.0.1", "host = '127.0.0.1'", "host='h 1'", "host=h1,h2 port=1,2", "host=a host=b"] {
        for user in ["", "user=u", r"user='it\'s'", r"user=a\ b", "user=''", "user='open", "user"] {
            for tail in [
                "",
                "password=p",
                r"password='a \\ b' dbname=d",
                "dbname=",
                "nosuch=x",
                "port=7 sslmode=require",
                "dbname = x y",
            ] {
                cases.push(Case::new(format!("{host} {user} {tail}").trim(), &[]));
            }
        }
    }
    cases.retain(|case| case.text.contains('='));
    let (differences, taken, refused) = compare(&cases, &libpq("parse", &cases), true);
    assert!(taken > 80 && refused > 50, "{} {taken} {refused}", cases.len());
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn settings_and_empty_values_are_taken_and_refused_as_libpq_does() {
    let names = [
        ("sslmode", "PGSSLMODE", "require"),
        ("target_session_attrs", "PGTARGETSESSIONATTRS", "read-write"),
        ("channel_binding", "PGCHANNELBINDING", "prefer"),
        ("gssencmode", "PGGSSENCMODE", "disable"),
        ("connect_timeout", "PGCONNECT_TIMEOUT", "3"),
        ("service", "PGSERVICE", "none"),
        ("user", "PGUSER", "someone"),
        ("dbname", "PGDATABASE", "somewhere"),
        ("password", "PGPASSWORD", "something"),
        ("port", "PGPORT", "2"),
        ("hostaddr", "PGHOSTADDR", "127.0.0.2"),
        ("passfile", "PGPASSFILE", "/nonexistent"),
        ("options", "PGOPTIONS", "-cgeqo=off"),
        ("application_name", "PGAPPNAME", "x"),
        ("sslrootcert", "PGSSLROOTCERT", "/nonexistent"),
        ("sslcrl", "PGSSLCRL", "/nonexistent"),
        ("sslcrldir", "PGSSLCRLDIR", "/nonexistent"),
        ("sslcert", "PGSSLCERT", "/nonexistent"),
        ("requirepeer", "PGREQUIREPEER", ""),
        ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", "TLSv1.2"),
    ];
    let mut cases = Vec::new();
    for (name, variable, value) in names {
        for given in [value, "", "nonsense value"] {
            // What these are good for is decided later than libpq looks at them, or is any text.
            let any =
                ["user", "dbname", "password", "application_name", "options", "requirepeer", "service"].contains(&name);
            if given == "nonsense value"
                && (any
                    || name.starts_with("ssl") && name != "sslmode"
                    || name == "passfile"
                    || name == "hostaddr"
                    || name == "port")
            {
                continue;
            }
            cases.push(Case::new("host=127.0.0.1 port=1", &[(variable, given)]));
            cases.push(Case::new(&format!("host=127.0.0.1 {name}='{given}'"), &[]));
            cases.push(Case::new(
                &format!("postgresql://127.0.0.1?{name}={}", given.replace(' ', "%20")),
                &[(variable, value)],
            ));
        }
    }
    for name in ["keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"] {
        for given in ["", "1", "x"] {
            cases.push(Case::new(&format!("host=127.0.0.1 port=1 {name}='{given}'"), &[]));
        }
    }
    let (differences, taken, refused) = compare(&cases, &libpq("start", &cases), false);
    assert!(taken > 60 && refused > 20, "{} {taken} {refused}", cases.len());
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn password_files_answer_as_libpq_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        "127.0.0.1:1:d:u:one\n",
        "*:*:*:*:any\n",
        "# comment\n\n127.0.0.1:*:d:u:one\n*:*:*:*:any\n",
        "127.0.0.1:2:d:u:two\n127.0.0.1:1:*:*:one\n",
        "127.0.0.1:1:d:other:no\n",
        "127.0.0.1:1:d:u:a\\:b\\\\c\n",
        "127.0.0.1:1:d:u:a:b\n",
        "127.0.0.1:1:d:u:\n*:*:*:*:any\n",
        "127.0.0.1:1:d:u\n*:*:*:*:any\n",
        "127.0.0.1:1:d:u:crlf\r\n",
        "127.0.0.1:1:d:u:no end",
        " 127.0.0.1:1:d:u:blank\n",
        "localhost:1:d:u:local\n/nonexistent:1:d:u:path\n",
        "\\*:1:d:u:star\n*:1:d:\\u:escaped\n",
        "127.0.0.1:1:d:u:trailing \t\n",
        "127.0.0.1:1:d\\:e:u:colon\n127.0.0.1:1:d:u:plain\n",
        "127.0.0.1:1:d:u:ü\n",
        "::1:1:d:u:six\n\\:\\:1:1:d:u:escaped\n",
        "",
        "\n\n\n",
    ];
    let texts = [
        "host=127.0.0.1 port=1 user=u dbname=d",
        "host=127.0.0.1 port=2 user=u dbname=d",
        "host=/nonexistent port=1 user=u dbname=d",
        "host=127.0.0.1 port=1 user=u dbname=d:e",
        "host=::1 port=1 user=u dbname=d",
        "host=127.0.0.1 port=1 user=u dbname=d password=given",
    ];
    let mut cases = Vec::new();
    for (number, content) in files.iter().enumerate() {
        for mode in [0o600, 0o640] {
            let path = dir.path().join(format!("{number}-{mode}"));
            std::fs::write(&path, content).unwrap();
            private(&path);
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            for text in texts {
                cases.push(Case::new(text, &[("PGPASSFILE", path.to_str().unwrap())]));
            }
        }
    }
    let (differences, taken, _) = compare(&cases, &libpq("start", &cases), false);
    assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), cases.len(), differences.join("\n"));
    assert_eq!(taken, cases.len());
}

#[test]
fn service_files_are_read_as_libpq_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        "[s]\nhost=127.0.0.1\nport=3\nuser=su\ndbname=sd\npassword=sp\n",
        "# c\n\n  [s]\n  port=3\n",
        "[other]\nport=9\n[s]\nport=3\n",
        "[s]\nport=3\n[s]\nport=4\n",
        "[s]\nport=3\nport=4\n",
        "[s]\nport = 3\n",
        "[s]\nport\n",
        "[s]\nnosuch=3\n",
        "[s]\nsslmode=\n",
        "[s]\ntarget_session_attrs=\n",
        "[s]\nuser=\n",
        "[s]\nservice=t\n",
        "[s]\n",
        "[t]\nnonsense\n[s]\nport=3\n",
        "[s]\r\nport=3\r\n",
        "[s]\nuser= blank\n",
        "[s ]\nport=3\n",
        "",
        "port=3\n[s]\nuser=x\n",
        "[s]\nport=3 # no comment\n",
    ];
    let mut cases = Vec::new();
    for (number, content) in files.iter().enumerate() {
        let path = dir.path().join(number.to_string());
        std::fs::write(&path, content).unwrap();
        let file = path.to_str().unwrap();
        for text in
            ["host=127.0.0.1 service=s", "host=127.0.0.1 service=s user=mine", "postgresql://127.0.0.1:1/d?service=s"]
        {
            cases.push(Case::new(text, &[("PGSERVICEFILE", file), ("PGUSER", "env"), ("PGPORT", "1")]));
        }
        cases.push(Case::new("host=127.0.0.1 sslmode=prefer", &[("PGSERVICEFILE", file), ("PGSERVICE", "s")]));
    }
    let (differences, taken, refused) = compare(&cases, &libpq("start", &cases), false);
    assert!(taken > 30 && refused > 20, "{} {taken} {refused}", cases.len());
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
