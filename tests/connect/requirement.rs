//! `require_auth`: a server gets no password in a way that the operator ruled out.

use sen_core::error::ErrorKind;

use crate::fake::{CLEARTEXT, Fake};
use crate::server::{Options, Server};
use crate::{connect, connect_with, told};

#[test]
fn a_server_that_asks_otherwise_gets_nothing() {
    for (code, asked) in [(CLEARTEXT, "in the clear"), (5, "MD5"), (0, "prove"), (7, "GSSAPI"), (10, "SCRAM")] {
        let fake = Fake::start(code);
        let url = |tail: &str| format!("postgresql://u:hunter2@127.0.0.1:{}/d?{tail}", fake.port);
        let only = if code == 10 { "password" } else { "scram-sha-256" };
        let error = connect(&url(&format!("require_auth={only}"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(error.to_string().contains(asked) && error.to_string().contains("require_auth"), "{error}");
        assert!(!told(&error).contains("hunter2"));
        let error = connect_with(&url(""), &[("PGREQUIREAUTH", only)]).unwrap_err();
        assert!(error.to_string().contains(asked), "{error}");
        let (heard, begun) = (fake.heard(), fake.heard().matches("connected").count());
        assert!(begun >= 2 && !heard.contains("hunter2"), "{heard}");
        if code == CLEARTEXT {
            // Without the requirement it is told: the test would see it.
            drop(connect(&url("")).unwrap_err());
            drop(connect(&url("require_auth=password,scram-sha-256")).unwrap_err());
            drop(connect(&url("require_auth=!password")).unwrap_err());
            assert_eq!(fake.heard().matches("hunter2").count(), 2);
        }
    }
}

#[test]
fn a_server_that_asks_as_required_is_logged_in_to() {
    let server = Server::start(&Options::default());
    for required in ["scram-sha-256", "!password,!md5", "md5,scram-sha-256"] {
        let session = connect(&server.tcp_url(&format!("require_auth={required}"))).unwrap();
        crate::runtime().block_on(async { drop(session) });
    }
    for required in ["password", "none", "!scram-sha-256"] {
        let error = connect(&server.tcp_url(&format!("require_auth={required}"))).unwrap_err();
        assert!(error.to_string().contains("asked for SCRAM"), "{required}: {error}");
    }
    // On the socket the server asks for nothing.
    let socket = server.socket_url("postgres");
    for (required, fits) in
        [("none", true), ("none,scram-sha-256", true), ("!password", true), ("scram-sha-256", false), ("!none", false)]
    {
        assert_eq!(connect(&format!("{socket} require_auth={required}")).is_ok(), fits, "{required}");
    }
    let absent = connect("host=/nonexistent user=u require_auth=none").unwrap_err();
    assert!(absent.to_string().contains("there is no such socket"), "{absent}");
    crate::runtime().block_on(async {
        let session = crate::open(&format!("{socket} require_auth=none"), &[]).await.unwrap();
        assert_eq!(session.client().query_typed("SELECT 1", &[]).await.unwrap().len(), 1);
        assert!(session.is_direct().await);
        let session = crate::open(&server.tcp_url("require_auth=scram-sha-256"), &[]).await.unwrap();
        assert_eq!(session.client().query_typed("SELECT 1", &[]).await.unwrap().len(), 1);
        assert!(session.is_direct().await);
    });
}
