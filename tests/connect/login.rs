//! Log-in: passwords and where they come from, databases that do not exist, what errors say and do not say.

use sen_core::error::ErrorKind;

use crate::certificates::private;
use crate::server::{Options, Server};
use crate::{connect, connect_with, open, runtime, told};

#[test]
fn refusals_are_told_in_the_servers_words() {
    let server = Server::start(&Options::default());
    let port = server.port;
    let wrong = connect(&format!("postgresql://postgres:hunter2@localhost:{port}/postgres")).unwrap_err();
    assert_eq!((wrong.kind(), wrong.sqlstate()), (ErrorKind::Connect, Some("28P01")));
    assert!(wrong.to_string().contains("password authentication failed for user \"postgres\""), "{wrong}");
    assert!(wrong.hint().unwrap().contains(".pgpass") && !told(&wrong).contains("hunter2"), "{}", told(&wrong));

    let none = connect(&format!("postgresql://postgres@localhost:{port}/postgres")).unwrap_err();
    assert!(none.to_string().contains("asks for a password"), "{none}");

    let absent = connect(&server.tcp_url("dbname=absent")).unwrap_err();
    assert_eq!((absent.kind(), absent.sqlstate()), (ErrorKind::Connect, Some("3D000")));
    assert!(absent.to_string().contains("database \"absent\" does not exist"));

    let session = connect(&server.tcp_url("")).unwrap();
    assert_eq!(session.describe(), format!("postgresql://postgres@localhost:{port}/postgres"));
    assert!(session.server_version().is_some());
    assert!(!format!("{session:?}").contains("s3cret"));
}

#[test]
fn statements_fail_with_the_right_kind() {
    let server = Server::start(&Options::default());
    server.run("CREATE ROLE guest LOGIN; CREATE TABLE t (i int PRIMARY KEY CHECK (i > 0))");
    runtime().block_on(async {
        let guest = open(&server.socket_url("guest"), &[]).await.unwrap();
        assert_eq!(guest.is_standby(), Some(false));
        let run = async |sql: &str| guest.explain(guest.client().batch_execute(sql).await.unwrap_err()).await;
        assert_eq!(run("SELECT * FROM t").await.kind(), ErrorKind::Denied);
        assert_eq!(run("SET statement_timeout = 20; SELECT pg_sleep(5)").await.kind(), ErrorKind::Timeout);
        let absent = run("SELECT * FROM absent").await;
        assert_eq!((absent.kind(), absent.sqlstate()), (ErrorKind::Database, Some("42P01")));

        let owner = open(&server.socket_url("postgres"), &[]).await.unwrap();
        let failed = owner.client().batch_execute("INSERT INTO t VALUES (-7)").await.unwrap_err();
        let failed = owner.explain(failed).await;
        assert!(failed.causes().iter().any(|cause| cause.contains("Failing row contains (-7)")), "{failed:?}");
        let refused = owner.client().batch_execute("BEGIN READ ONLY; INSERT INTO t VALUES (1)").await.unwrap_err();
        assert_eq!(owner.explain(refused).await.kind(), ErrorKind::Refused);
        owner.client().batch_execute("ROLLBACK").await.unwrap();

        owner.client().batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
        let other = open(&server.socket_url("postgres"), &[]).await.unwrap();
        let locked = other.client().batch_execute("SET lock_timeout = 20; LOCK TABLE t").await.unwrap_err();
        assert_eq!(other.explain(locked).await.kind(), ErrorKind::Timeout);
    });
}

#[test]
fn the_last_words_of_a_connection_are_kept() {
    let server = Server::start(&Options::default());
    runtime().block_on(async {
        let victim = open(&server.socket_url("postgres"), &[]).await.unwrap();
        let admin = open(&server.socket_url("postgres"), &[]).await.unwrap();
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = 'sen'";
        let end_all = async || {
            admin.client().batch_execute(end).await.unwrap();
            let left = "DO $$ BEGIN WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = 'sen')
                LOOP PERFORM pg_sleep(0.02), pg_stat_clear_snapshot(); END LOOP; END $$";
            admin.client().batch_execute(left).await.unwrap();
        };
        end_all().await;
        let lost = victim.client().batch_execute("SELECT 1").await.unwrap_err();
        let lost = victim.explain(lost).await;
        assert_eq!((lost.kind(), lost.sqlstate()), (ErrorKind::Disconnected, Some("57P01")), "{lost:?}");
        assert!(lost.to_string().contains("terminating connection due to administrator command"), "{lost}");

        let victim = open(&server.socket_url("postgres"), &[]).await.unwrap();
        let (sleeping, _) = tokio::join!(victim.client().batch_execute("SELECT pg_sleep(600)"), async {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            admin.client().batch_execute(end).await.unwrap();
        });
        let lost = victim.explain(sleeping.unwrap_err()).await;
        assert_eq!((lost.kind(), lost.sqlstate()), (ErrorKind::Disconnected, Some("57P01")), "{lost:?}");
    });
}

#[test]
fn password_and_service_files() {
    let server = Server::start(&Options::default());
    let dir = tempfile::tempdir().unwrap();
    let (pass, services) = (dir.path().join("pass"), dir.path().join("services"));
    std::fs::write(&pass, format!("localhost:{}:*:postgres:s3cret\n", server.port)).unwrap();
    std::fs::write(
        &services,
        format!("[here]\nhost=localhost\nport={}\nuser=postgres\ndbname=postgres\n", server.port),
    )
    .unwrap();
    private(&pass);
    let env = [("PGPASSFILE", pass.to_str().unwrap()), ("PGSERVICEFILE", services.to_str().unwrap())];
    let session = connect_with("service=here", &env).unwrap();
    assert_eq!(session.describe(), format!("postgresql://postgres@localhost:{}/postgres", server.port));
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&pass, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = connect_with("service=here", &env).unwrap_err();
    assert!(refused.to_string().contains("asks for a password"), "{refused}");
    let session = connect_with("service=here password=s3cret", &env).unwrap();
    assert!(session.warnings().is_empty());
}
