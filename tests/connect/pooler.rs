//! PgBouncer in transaction mode: start-up without refused fields, state asked for where it is not announced.

use sen_core::error::ErrorKind;
use sen_core::sql::Sql;
use sen_core::stores::postgres::Postgres;
use sen_core::stores::postgres::autocommit::CachedStatement;
use tokio_postgres::types::Type;

use crate::server::{Options, Server};
use crate::{connect, open, runtime};

#[test]
fn behind_pgbouncer() {
    let server = Server::start(&Options::default());
    let bouncer = server.pooled();
    let url = |tail: &str| format!("{}?{tail}", bouncer.tcp_url_of("postgres"));
    runtime().block_on(async {
        let session = open(&url(""), &[]).await.unwrap();
        for _ in 0..5 {
            let rows = session.client().query_typed("SELECT 1::text", &[]).await.unwrap();
            assert_eq!(rows[0].get::<_, &str>(0), "1");
        }
    });
    assert_eq!(connect(&url("target_session_attrs=primary")).unwrap().is_standby(), Some(false));
    assert!(connect(&url("target_session_attrs=standby")).is_err());
    let refused = connect(&url("options=-c%20statement_timeout%3D5s")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Connect);
    assert!(refused.hint().unwrap().contains("PGOPTIONS"), "{refused:?}");
}

static ECHO: Sql = Sql::new("SELECT $1::text");

const PREPARED: &str = "SELECT count(*)::text FROM pg_prepared_statements";

/// Sends the statement that comes often, and says how many statements are prepared on the connection afterwards.
async fn echo(session: &Postgres, often: &CachedStatement, text: &str) -> String {
    let rows = session.write_often(often, &[(&text, Type::TEXT)]).await.unwrap();
    assert_eq!(rows[0].get::<_, &str>(0), text);
    session.client().query_typed(PREPARED, &[]).await.unwrap()[0].get(0)
}

#[test]
fn what_comes_often_is_prepared_only_where_one_process_answers() {
    let server = Server::start(&Options::default());
    let bouncer = server.pooled();
    runtime().block_on(async {
        let pooled = bouncer.tcp_url_of("postgres");
        for (name, url, most) in [("server", server.socket_url("postgres"), "1"), ("pooler", pooled, "0")] {
            let session = open(&url, &[]).await.unwrap();
            assert_eq!(session.is_direct().await, name == "server", "{name}");
            let often = CachedStatement::new(&ECHO);
            assert_eq!(echo(&session, &often, "a statement that is used once is not prepared").await, "0", "{name}");
            for _ in 0..10 {
                echo(&session, &often, "again").await;
            }
            assert_eq!(echo(&session, &often, "again").await, most, "{name}");
            // A server that has forgotten the statement ran nothing: it is sent anew, and not prepared again.
            session.client().batch_execute("DEALLOCATE ALL").await.unwrap();
            assert_eq!(echo(&session, &often, "forgotten").await, "0", "{name}");
            assert_eq!(echo(&session, &often, "still").await, "0", "{name}");
        }
    });
}
