//! Every sslmode against good, foreign and misnamed certificates; client certificates; channel binding.

use std::path::Path;

use sen_core::error::ErrorKind;
use sen_core::stores::postgres::{Postgres, Wire};
use sen_core::stores::tls::Trust;
use sen_core::stores::url::Target;

use crate::certificates::{Authority, private};
use crate::server::{Options, Server};
use crate::{connect, connect_with, told};

const NAMED: &str = "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n";

struct World {
    dir: tempfile::TempDir,
    authority: Authority,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new(dir.path(), "authority");
        Self { dir, authority }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// A server that shows the certificate `file`.
    fn server(&self, file: &str, hba: &str) -> Server {
        let install = |data: &Path| {
            for (from, to) in [
                (format!("{file}.crt"), "server.crt"),
                (format!("{file}.key"), "server.key"),
                ("authority.crt".into(), "ca.crt"),
            ] {
                std::fs::copy(self.dir.path().join(from), data.join(to)).unwrap();
            }
            private(&data.join("server.key"));
        };
        let conf = "ssl=on\nssl_ca_file='ca.crt'\n";
        Server::start(&Options { hba, conf, prepare: Some(&install) })
    }
}

/// What came of a connection: how it travels, or a piece of the error.
fn outcome(server: &Server, parameters: &str) -> Result<Wire, String> {
    connect(&server.tcp_url(parameters)).map(|session| session.wire()).map_err(|error| {
        assert!(!told(&error).contains("s3cret"), "{}", told(&error));
        told(&error)
    })
}

const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

#[test]
fn every_mode_with_a_good_certificate() {
    let world = World::new();
    world.authority.sign("good", "localhost", NAMED);
    let other = Authority::new(world.dir.path(), "stranger");
    let server = world.server("good", "");
    let (right, wrong) = (world.authority.certificate(), other.certificate());

    let expected = [
        Wire::Plain,
        Wire::Plain,
        Wire::Tls(Trust::Authority),
        Wire::Tls(Trust::Authority),
        Wire::Tls(Trust::Authority),
        Wire::Tls(Trust::Full),
    ];
    for (mode, expected) in MODES.iter().zip(expected) {
        assert_eq!(
            outcome(&server, &format!("sslmode={mode}&sslrootcert={}", right.display())),
            Ok(expected),
            "{mode}"
        );
    }
    // A foreign authority: whatever may do without TLS does, the rest refuses.
    for (mode, plain) in MODES.iter().zip([true, true, true, false, false, false]) {
        let result = outcome(&server, &format!("sslmode={mode}&sslrootcert={}", wrong.display()));
        if plain {
            assert_eq!(result, Ok(Wire::Plain), "{mode}");
        } else {
            assert!(result.unwrap_err().contains("not signed by an authority in"), "{mode}");
        }
    }
    // No root file at all.
    let bare = [
        Some(Wire::Plain),
        Some(Wire::Plain),
        Some(Wire::Tls(Trust::Unverified)),
        Some(Wire::Tls(Trust::Unverified)),
        None,
        None,
    ];
    for (mode, expected) in MODES.iter().zip(bare) {
        let result = outcome(&server, &format!("sslmode={mode}"));
        match expected {
            Some(wire) => assert_eq!(result, Ok(wire), "{mode}"),
            None => assert!(result.unwrap_err().contains("root certificate"), "{mode}"),
        }
    }
    assert!(outcome(&server, "sslrootcert=system").unwrap_err().contains("operating system's list"));
    let fallback = connect(&server.tcp_url(&format!("sslmode=prefer&sslrootcert={}", wrong.display()))).unwrap();
    assert!(fallback.warnings()[0].contains("not encrypted"), "{:?}", fallback.warnings());
    let missing = connect(&server.tcp_url("sslmode=require&sslrootcert=/nonexistent/x")).unwrap();
    assert!(missing.warnings()[0].contains("not verified"), "{:?}", missing.warnings());

    // The default place of the root file, versions, SNI, channel binding.
    std::fs::create_dir(world.dir.path().join(".postgresql")).unwrap();
    std::fs::copy(&right, world.dir.path().join(".postgresql/root.crt")).unwrap();
    let home = world.path("");
    let session = connect_with(&server.tcp_url("sslmode=require"), &[("HOME", &home)]).unwrap();
    assert_eq!(session.wire(), Wire::Tls(Trust::Authority));
    for parameters in
        ["ssl_max_protocol_version=TLSv1.2", "ssl_min_protocol_version=TLSv1.3", "sslsni=0", "channel_binding=require"]
    {
        let result = outcome(&server, &format!("sslmode=require&{parameters}"));
        assert_eq!(result, Ok(Wire::Tls(Trust::Unverified)), "{parameters}");
    }
    assert!(outcome(&server, "sslmode=disable&channel_binding=require").unwrap_err().contains("channel binding"));
    // Sockets have no TLS, and no mode minds.
    let session = connect(&format!("{} sslmode=verify-full", server.socket_url("postgres"))).unwrap();
    assert_eq!(session.wire(), Wire::Socket);
}

#[test]
fn a_certificate_for_another_name() {
    let world = World::new();
    world.authority.sign("other", "other", "subjectAltName=DNS:other.example\n");
    let server = world.server("other", "");
    let root = world.authority.certificate();
    for (mode, expected) in MODES.iter().zip([
        Wire::Plain,
        Wire::Plain,
        Wire::Tls(Trust::Authority),
        Wire::Tls(Trust::Authority),
        Wire::Tls(Trust::Authority),
    ]) {
        assert_eq!(outcome(&server, &format!("sslmode={mode}&sslrootcert={}", root.display())), Ok(expected), "{mode}");
    }
    let refused = outcome(&server, &format!("sslmode=verify-full&sslrootcert={}", root.display())).unwrap_err();
    assert!(refused.contains("is for other.example, not for localhost"), "{refused}");
}

#[test]
fn certificates_as_the_manual_makes_them() {
    let world = World::new();
    // Only a common name, and of version 1 where openssl still makes those.
    world.authority.sign("bare", "localhost", "");
    let server = world.server("bare", "");
    let root = world.authority.certificate().display().to_string();
    for parameters in [
        "sslmode=require",
        "sslmode=require&channel_binding=require",
        "sslmode=require&ssl_max_protocol_version=TLSv1.2&channel_binding=require",
    ] {
        assert_eq!(outcome(&server, parameters), Ok(Wire::Tls(Trust::Unverified)), "{parameters}");
    }
    let refused = outcome(&server, &format!("sslmode=verify-full&sslrootcert={root}")).unwrap_err();
    assert!(refused.contains("common name") || refused.contains("version 1"), "{refused}");
    drop(server);

    world.authority.sign("named", "localhost", "basicConstraints=CA:FALSE\n");
    let server = world.server("named", "");
    assert_eq!(outcome(&server, &format!("sslmode=verify-ca&sslrootcert={root}")), Ok(Wire::Tls(Trust::Authority)));
    let refused = outcome(&server, &format!("sslmode=verify-full&sslrootcert={root}")).unwrap_err();
    assert!(refused.contains("only as a common name"), "{refused}");
    drop(server);

    // The server's own, self-signed, listed as the root.
    let own = Authority::new(world.dir.path(), "own");
    let server = world.server("own", "");
    let root = own.certificate().display().to_string();
    assert_eq!(outcome(&server, &format!("sslmode=verify-ca&sslrootcert={root}")), Ok(Wire::Tls(Trust::Authority)));
    assert!(outcome(&server, &format!("sslmode=verify-full&sslrootcert={root}")).unwrap_err().contains("CN=\"own\""));
}

#[test]
fn client_certificates() {
    let world = World::new();
    world.authority.sign("good", "localhost", NAMED);
    world.authority.sign("client", "postgres", "basicConstraints=CA:FALSE\n");
    let server = world.server("good", "local all all trust\nhostssl all all all cert\n");
    let (crt, key) = (world.path("client.crt"), world.path("client.key"));
    let wanted = format!("sslmode=require&sslcert={crt}&sslkey={key}");
    assert_eq!(outcome(&server, &wanted), Ok(Wire::Tls(Trust::Unverified)));
    assert!(outcome(&server, "sslmode=require").unwrap_err().contains("client certificate"));
    let disabled = format!("{wanted}&sslcertmode=disable");
    assert!(outcome(&server, &disabled).unwrap_err().contains("client certificate"));
    // `allow` starts without TLS, is refused, and comes back with it.
    let allow = wanted.replace("require", "allow");
    assert_eq!(outcome(&server, &allow), Ok(Wire::Tls(Trust::Unverified)));
    assert!(outcome(&server, "sslmode=disable").unwrap_err().contains("pg_hba.conf"));

    let set_mode = |mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(0o644);
    assert!(outcome(&server, &wanted).unwrap_err().contains("by others"));
    set_mode(0o600);
    assert!(
        outcome(&server, &format!("sslmode=require&sslcert={crt}&sslkey=/nonexistent/k"))
            .unwrap_err()
            .contains("its key")
    );
    let openssl = |args: &[&str]| {
        assert!(std::process::Command::new("openssl").args(args).output().unwrap().status.success(), "{args:?}");
    };
    let (locked, sec1) = (world.path("locked.key"), world.path("pkcs1.key"));
    openssl(&["pkey", "-in", &key, "-aes256", "-passout", "pass:x", "-out", &locked]);
    openssl(&["rsa", "-in", &key, "-traditional", "-out", &sec1]);
    private(Path::new(&locked));
    private(Path::new(&sec1));
    assert!(
        outcome(&server, &format!("sslmode=require&sslcert={crt}&sslkey={locked}"))
            .unwrap_err()
            .contains("is encrypted")
    );
    assert_eq!(
        outcome(&server, &format!("sslmode=require&sslcert={crt}&sslkey={sec1}")),
        Ok(Wire::Tls(Trust::Unverified))
    );
}

#[test]
fn a_server_without_tls() {
    let server = Server::start(&Options::default());
    for (mode, plain) in MODES.iter().zip([true, true, true, false, false, false]) {
        let root = if mode.starts_with("verify") { "&sslrootcert=system&sslmode=verify-full" } else { "" };
        match outcome(&server, &format!("sslmode={mode}{root}")) {
            Ok(wire) => assert!(plain && wire == Wire::Plain, "{mode}"),
            Err(error) => assert!(!plain && error.contains("does not support TLS"), "{mode}: {error}"),
        }
    }
    let error = connect(&server.tcp_url("sslmode=require")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.hint().unwrap().contains("sslmode"));
}

/// A certificate says who the operator is; a host that only a found file names does not hear it, as it hears no password.
#[test]
fn a_host_that_a_found_file_names_is_shown_no_client_certificate() {
    let world = World::new();
    world.authority.sign("good", "localhost", NAMED);
    world.authority.sign("client", "postgres", "basicConstraints=CA:FALSE\n");
    let server = world.server("good", "local all all trust\nhostssl all all all cert\n");
    let folder = world.dir.path().join(".postgresql");
    std::fs::create_dir(&folder).unwrap();
    for (from, to) in [("client.crt", "postgresql.crt"), ("client.key", "postgresql.key")] {
        std::fs::copy(world.dir.path().join(from), folder.join(to)).unwrap();
    }
    private(&folder.join("postgresql.key"));
    let (home, crt, key) = (world.path(""), world.path("client.crt"), world.path("client.key"));
    let url = server.tcp_url("sslmode=require");
    let connect = |env: &[(&str, &str)], found: bool| {
        let find = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let target = if found { Target::resolve_found(Some(&url), &find) } else { Target::resolve(Some(&url), &find) };
        let Target::Postgres(info) = target.unwrap() else { panic!("{url} is not PostgreSQL") };
        crate::runtime().block_on(Postgres::connect(&info)).map(|session| session.wire())
    };
    let named = [("HOME", "/nonexistent"), ("PGSSLCERT", &*crt), ("PGSSLKEY", &*key)];
    for env in [&[("HOME", &*home)][..], &named] {
        assert_eq!(connect(env, false).unwrap(), Wire::Tls(Trust::Unverified));
        let refused = connect(env, true).unwrap_err();
        assert!(told(&refused).contains("client certificate"), "{}", told(&refused));
    }
    // Nor does its own URL lead to the operator's files.
    let url = server.tcp_url(&format!("sslmode=require&sslcert={crt}&sslkey={key}"));
    let refused = Target::resolve_found(Some(&url), &|_| None).unwrap_err();
    assert!(refused.to_string().contains("sslcert is not taken from a file that is only found"), "{refused}");
}
