//! Reaching a Redis: sockets, passwords, access lists, TLS, databases by number, and servers that say nothing.

use std::time::Duration;

use rustix::process::Signal;
use sen_core::error::{Error, ErrorKind};
use sen_core::stores::redis::{Batch, Redis, Reply};
use sen_core::stores::url::Target;

use crate::certificates::Authority;
use crate::harness::patience::PATIENCE;
use crate::harness::redis::{Options, Redis as Server};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn connect(url: &str) -> Result<Redis, Error> {
    let Target::Redis(info) = Target::resolve(Some(url), &|_| None)? else { panic!("{url} is not Redis") };
    Redis::connect(&info, Some(PATIENCE)).await
}

/// What a connection says when it is used, or why there is none.
fn outcome(url: &str) -> String {
    block_on(async {
        match connect(url).await {
            Err(error) => {
                let told = format!("{:?}: {error} {:?}", error.kind(), error.hint());
                assert!(!told.contains("s3cret"), "{told}");
                told
            }
            Ok(redis) => match redis.call(&[b"PING"]).await {
                Ok(reply) => format!("{} over {}", reply.text().unwrap(), redis.encryption().await),
                Err(error) => format!("{:?}: {error}", error.kind()),
            },
        }
    })
}

#[test]
fn passwords_and_access_lists() {
    let server = Options::new()
        .tcp()
        .conf("requirepass s3cret")
        .conf("user reader on >s3cret2 ~* +ping +get")
        .conf("user nobody on >s3cret3")
        .start();
    let port = server.port();
    assert_eq!(outcome(&format!("redis://:s3cret@127.0.0.1:{port}/0")), "PONG over not encrypted, on this machine");
    assert_eq!(outcome(&format!("redis+unix://:s3cret@{}", server.socket().display())), "PONG over Unix socket");
    assert_eq!(
        outcome(&format!("redis://reader:s3cret2@127.0.0.1:{port}")),
        "PONG over not encrypted, on this machine"
    );
    let told = outcome(&format!("redis://127.0.0.1:{port}"));
    assert!(
        told.starts_with("Connect: cannot connect to redis://127.0.0.1:") && told.contains("wants a password"),
        "{told}"
    );
    let told = outcome(&format!("redis://:s3cret9@127.0.0.1:{port}"));
    assert!(told.starts_with("Connect: ") && told.contains("refuses the user or the password"), "{told}");
    let told = outcome(&format!("redis://reader:s3cret2@127.0.0.1:{port}/1"));
    assert!(told.starts_with("Connect: ") && told.contains("may not do that"), "{told}");
    let told = outcome(&format!("redis://nobody:s3cret3@127.0.0.1:{port}"));
    assert!(told.starts_with("Denied: this Redis user may not do that"), "{told}");
}

#[test]
fn tls() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path(), "authority");
    let foreign = Authority::new(dir.path(), "foreign");
    authority.sign("server", "localhost", "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n");
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let server = Options::new()
        .tls()
        .file("server.crt", &read("server.crt"))
        .file("server.key", &read("server.key"))
        .conf("tls-cert-file server.crt")
        .conf("tls-key-file server.key")
        .conf("tls-ca-cert-file server.crt");
    let server = server.start();
    let port = server.tls_port();
    let ca = authority.certificate().display().to_string();
    let good = "PONG over TLS, certificate verified";
    assert_eq!(outcome(&format!("rediss://localhost:{port}?ssl_ca_certs={ca}")), good);
    let named = outcome(&format!("rediss://127.0.0.1:{port}?ssl_ca_certs={ca}"));
    assert!(named.starts_with("Connect: ") && named.contains("127.0.0.1"), "{named}");
    let other = foreign.certificate().display().to_string();
    let told = outcome(&format!("rediss://localhost:{port}?ssl_ca_certs={other}"));
    assert!(told.starts_with("Connect: "), "{told}");
    let loose = format!("rediss://127.0.0.1:{port}?ssl_ca_certs={ca}&ssl_check_hostname=false");
    assert_eq!(outcome(&loose), "PONG over TLS, certificate verified, name not");
    let blind = outcome(&format!("rediss://127.0.0.1:{port}?ssl_cert_reqs=none"));
    assert_eq!(blind, "PONG over TLS, certificate not verified");
    // Each kind of client at the other kind of port.
    let told = outcome(&format!("redis://localhost:{port}"));
    assert!(told.starts_with("Connect: ") && told.contains("rediss://"), "{told}");
    let plain = Options::new().tcp().start();
    let told = outcome(&format!("rediss://localhost:{}?ssl_ca_certs={ca}", plain.port()));
    assert!(told.starts_with("Connect: ") && told.contains("redis:// instead of rediss://"), "{told}");
}

#[test]
fn databases_sockets_and_nobody_there() {
    let server = Server::start();
    let socket = server.socket();
    block_on(async {
        let third = connect(&format!("{}?db=3", server.url())).await.unwrap();
        third.call(&[b"SET", b"a", b"b"]).await.unwrap();
        assert_eq!(connect(&server.url()).await.unwrap().call(&[b"GET", b"a"]).await.unwrap(), Reply::Nil);
        assert_eq!(third.call(&[b"GET", b"a"]).await.unwrap(), Reply::Bulk(b"b".to_vec()));
        assert_eq!(third.describe(), format!("redis+unix://{}?db=3", socket.display()));
    });
    let told = outcome(&format!("{}?db=99", server.url()));
    assert!(told.contains("no Redis database of that number"), "{told}");
    let told = outcome("redis+unix:///nonexistent/r.sock");
    assert!(told.contains("there is no such socket"), "{told}");
    let told = outcome("redis://127.0.0.1:1");
    assert!(told.starts_with("Connect: ") && told.contains("is the server running there"), "{told}");
}

/// Answers the first client with `bytes`, again and again if `endless`, and then is silent.
fn impostor(bytes: &'static [u8], endless: bool) -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        while stream.write_all(bytes).is_ok() && endless {}
        // Until the client leaves.
        drop(stream.read_to_end(&mut Vec::new()));
    });
    port
}

#[test]
fn servers_that_are_no_redis() {
    for (bytes, endless) in [
        (&b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..], false),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", false),
        (b"220 mail.example ESMTP\r\n", false),
        (b"* OK IMAP4rev1 ready\r\n", false),
        (b"$-1\r\n:1\r\n:1\r\n:1\r\n", false),
        (b"+OK\r\nsomething else\r\n", false),
        (b"\0\0\0\0", true),
        (b"-an error that never ends", true),
        (b"*1\r\n", true),
        (b"*9999\r\n:1\r\n", true),
        (b"$9223372036854775807\r\n", true),
    ] {
        let told = outcome(&format!("redis://127.0.0.1:{}", impostor(bytes, endless)));
        let expected = "Connect: cannot connect to redis://127.0.0.1:";
        assert!(told.starts_with(expected), "{bytes:?}: {told}");
        assert!(told.contains("what answers does not speak the protocol of Redis"), "{bytes:?}: {told}");
        assert!(told.contains("is the port that of a Redis server"), "{bytes:?}: {told}");
    }
    // One that speaks TLS says so.
    let told = outcome(&format!("redis://127.0.0.1:{}", impostor(b"\x15\x03\x01\0\x02\x02\x46", false)));
    assert!(told.contains("this port speaks TLS") && told.contains("rediss://"), "{told}");
}

#[test]
fn what_is_published_is_heard() {
    let server = Server::start();
    let mut listener = server.client();
    listener.run(&["SUBSCRIBE", "stent:task:1"]);
    block_on(async {
        let redis = connect(&server.url()).await.unwrap();
        assert_eq!(redis.publish("stent:task:1", r#"{"state":"pending"}"#).await.unwrap(), 1);
        assert_eq!(redis.publish("nobody", "x").await.unwrap(), 0);
    });
    let heard = listener.answer().list();
    assert_eq!((heard[1].text(), heard[2].text()), ("stent:task:1", r#"{"state":"pending"}"#));
}

#[test]
fn large_batches_and_large_values() {
    let server = Server::start();
    block_on(async {
        let redis = connect(&server.url()).await.unwrap();
        let large = vec![b'x'; 3 << 20];
        let mut batch = Batch::new();
        for number in 0..20_000 {
            batch.add(&[b"SET", format!("k{number}").as_bytes(), b"v"]);
        }
        batch.add(&[b"SET", b"large", &large]);
        for number in 0..20_000 {
            batch.add(&[b"GET", format!("k{number}").as_bytes()]);
        }
        batch.add(&[b"GET", b"large"]);
        batch.add(&[b"HGETALL", b"large"]);
        // One long list of short items and of a long one, which comes in many pieces.
        batch.add(&[
            b"EVAL",
            b"local t = {} for i = 1, 100000 do t[i] = 'x' .. i end t[50000] = redis.call('GET', KEYS[1]) return t",
            b"1",
            b"large",
        ]);
        let replies = redis.exchange(&batch).await.unwrap();
        assert_eq!(replies.len(), batch.count());
        assert_eq!(replies[40_001], Reply::Bulk(large));
        assert!(matches!(&replies[40_002], Reply::Error(text) if text.starts_with("WRONGTYPE")));
        let Reply::Array(items) = &replies[40_003] else { panic!("{:?}", replies[40_003]) };
        assert_eq!((items.len(), &items[99_999]), (100_000, &Reply::Bulk(b"x100000".to_vec())));
        assert_eq!(items[49_999], replies[40_001]);
    });
}

#[test]
fn a_silent_server_and_a_lost_connection() {
    let server = Options::new().tcp().start();
    block_on(async {
        let Target::Redis(info) = Target::resolve(Some(&server.url()), &|_| None).unwrap() else { panic!() };
        // The time bounds the log-in, too, and that may take longer on a slow machine.
        let redis = loop {
            if let Ok(redis) = Redis::connect(&info, Some(Duration::from_millis(200))).await {
                break redis;
            }
        };
        server.signal(Signal::STOP);
        let error = redis.call(&[b"PING"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let url = format!("redis://127.0.0.1:{}?socket_connect_timeout=0.2", server.port());
        let error = connect(&url).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(error.to_string().contains("no answer within 200ms"), "{error}");
        server.signal(Signal::CONT);
        // On a slow machine its answer may come too late once more; what it is it must be.
        let answered = async |words: &[&[u8]]| loop {
            match redis.call(words).await {
                Err(error) if [ErrorKind::Timeout, ErrorKind::Connect].contains(&error.kind()) => {}
                answer => break answer,
            }
        };
        // The answer to the first question must not be taken for that to the second.
        assert_eq!(answered(&[b"ECHO", b"second"]).await.unwrap(), Reply::Bulk(b"second".to_vec()));
        server.run(&["CLIENT", "KILL", "TYPE", "normal"]);
        assert_eq!(redis.call(&[b"PING"]).await.unwrap_err().kind(), ErrorKind::Disconnected);
        assert_eq!(answered(&[b"PING"]).await.unwrap(), Reply::Simple("PONG".into()));
    });
}
