//! Hosts that are down, silent or of the wrong kind, and the choice among several.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use sen_core::error::ErrorKind;

use crate::server::{Options, Server, free_port};
use crate::{connect, open, runtime, told};

#[test]
fn nobody_there() {
    let port = free_port();
    let refused = connect(&format!("postgresql://u:hunter2@127.0.0.1:{port}/d")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Connect);
    assert_eq!(refused.to_string(), format!("cannot connect to 127.0.0.1:{port}: connection refused"));
    assert!(refused.hint().unwrap().contains("running") && !told(&refused).contains("hunter2"));
    let socket = connect("host=/nonexistent user=u").unwrap_err();
    assert_eq!(socket.to_string(), "cannot connect to /nonexistent/.s.PGSQL.5432: there is no such socket");
    let name = connect("postgresql://u@no-such-host.invalid/d").unwrap_err();
    assert!(name.to_string().contains("no-such-host.invalid:5432") && name.to_string().contains("looked up"), "{name}");
}

#[test]
fn a_host_that_accepts_and_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let started = Instant::now();
    let error = connect(&format!("postgresql://u@127.0.0.1:{port}/d?connect_timeout=1")).unwrap_err();
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(60), "{took:?}");
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("no answer within 1s"), "{error}");
}

#[test]
fn a_host_that_is_no_database() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            drop(stream);
        }
    });
    let error = connect(&format!("postgresql://u@127.0.0.1:{port}/d")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.hint().is_some(), "{error:?}");
}

#[test]
fn several_hosts() {
    let server = Server::start(&Options::default());
    let (dead, port) = (free_port(), server.port);
    let both = |tail: &str| format!("postgresql://postgres:s3cret@127.0.0.1:{dead},localhost:{port}/postgres?{tail}");
    let session = connect(&both("")).unwrap();
    assert_eq!(session.describe(), format!("postgresql://postgres@localhost:{port}/postgres"));
    assert!(connect(&both("load_balance_hosts=random")).is_ok());

    for (wanted, fits) in [
        ("any", true),
        ("read-write", true),
        ("read-only", false),
        ("primary", true),
        ("standby", false),
        ("prefer-standby", true),
    ] {
        let result = connect(&both(&format!("target_session_attrs={wanted}")));
        match result {
            Ok(_) => assert!(fits, "{wanted}"),
            Err(error) => {
                assert!(!fits, "{wanted}: {error}");
                assert!(error.to_string().contains(&format!("127.0.0.1:{dead}: connection refused")), "{error}");
                assert!(error.to_string().contains(&format!("target_session_attrs={wanted}")), "{error}");
            }
        }
    }
    server.run("ALTER DATABASE postgres SET default_transaction_read_only = on");
    assert!(connect(&both("target_session_attrs=read-only")).is_ok());
    assert!(connect(&both("target_session_attrs=read-write")).is_err());
    assert!(connect(&both("target_session_attrs=primary")).is_ok());

    // A server that answers "no" ends the search, as in libpq.
    let wrong =
        connect(&format!("postgresql://postgres:wrong@localhost:{port},127.0.0.1:{dead}/postgres")).unwrap_err();
    assert!(!wrong.to_string().contains("refused"), "{wrong}");
}

#[test]
fn a_primary_and_its_standby() {
    let hba = "local all all trust\nlocal replication all trust\n";
    let primary = Server::start(&Options { hba, ..Options::default() });
    let standby = primary.standby();
    let both = |wanted: &str| {
        let (first, second) = (primary.folder().display(), standby.folder().display());
        let ports = format!("{},{}", primary.port, standby.port);
        format!("host={first},{second} port={ports} user=postgres dbname=postgres target_session_attrs={wanted}")
    };
    for (wanted, on_standby) in [
        ("any", false),
        ("primary", false),
        ("read-write", false),
        ("read-only", true),
        ("standby", true),
        ("prefer-standby", true),
    ] {
        assert_eq!(connect(&both(wanted)).unwrap().is_standby(), Some(on_standby), "{wanted}");
    }
    runtime().block_on(async {
        let session = open(&standby.socket_url("postgres"), &[]).await.unwrap();
        let refused = session.client().batch_execute("CREATE TABLE t ()").await.unwrap_err();
        let refused = session.explain(refused).await;
        // The state of the server, not a refusal of the operator: its primary would take the write.
        assert_eq!((refused.kind(), refused.sqlstate()), (ErrorKind::Changed, Some("25006")));
        assert!(refused.to_string().contains("this server is a standby"), "{refused:?}");
    });
}
