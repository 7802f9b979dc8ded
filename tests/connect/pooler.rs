//! PgBouncer in transaction mode: start-up without refused fields, state asked for where it is not announced.

use sen_core::error::ErrorKind;

use crate::server::{Bouncer, Options, Server};
use crate::{connect, open, runtime};

#[test]
fn behind_pgbouncer() {
    let server = Server::start(&Options::default());
    let bouncer = Bouncer::start(&server);
    let url = |tail: &str| format!("postgresql://postgres@127.0.0.1:{}/postgres?{tail}", bouncer.port);
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
