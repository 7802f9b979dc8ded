//! Revocation lists: what psql refuses is refused, from the same files.

use std::path::Path;
use std::process::Command;

use sen_core::stores::postgres::Wire;
use sen_core::stores::tls::Trust;

use crate::certificates::{Authority, private};
use crate::server::{Options, Server};
use crate::{connect_with, told};

const NAMED: &str = "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n";

fn openssl(dir: &Path, args: &[&str]) {
    let output = Command::new("openssl").args(args).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes `out`, a list of what was revoked so far, good for `days`.
fn list(dir: &Path, authority: &str, revoke: Option<&str>, out: &str, validity: &[&str]) {
    let name = format!("{authority}.cnf");
    if !dir.join(&name).exists() {
        let conf = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={authority}.txt\ncrlnumber={authority}.number\ndefault_md=sha256\n"
        );
        std::fs::write(dir.join(&name), conf).unwrap();
        std::fs::write(dir.join(format!("{authority}.txt")), "").unwrap();
        std::fs::write(dir.join(format!("{authority}.number")), "01\n").unwrap();
    }
    let (key, crt) = (format!("{authority}.key"), format!("{authority}.crt"));
    let signer = ["ca", "-config", &name, "-keyfile", &key, "-cert", &crt];
    if let Some(revoke) = revoke {
        openssl(dir, &[&signer[..], &["-revoke", revoke]].concat());
    }
    openssl(dir, &[&signer[..], validity, &["-gencrl", "-out", out]].concat());
}

fn server(dir: &Path, file: &str) -> Server {
    let install = |data: &Path| {
        std::fs::copy(dir.join(format!("{file}.crt")), data.join("server.crt")).unwrap();
        std::fs::copy(dir.join(format!("{file}.key")), data.join("server.key")).unwrap();
        private(&data.join("server.key"));
    };
    Server::start(&Options { conf: "ssl=on\n", prepare: Some(&install), ..Options::default() })
}

/// What came of a connection, having seen that psql takes it or refuses it, too.
fn outcome(server: &Server, home: &Path, parameters: &str, env: &[(&str, &str)]) -> Result<Wire, String> {
    let url = server.tcp_url(parameters);
    let home = home.to_str().unwrap();
    let mut psql = Command::new("psql");
    psql.args(["-XAtc", "SELECT 1", &url]).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    let psql = psql.env("HOME", home).envs(env.iter().copied()).output().unwrap();
    let env: Vec<_> = [("HOME", home)].into_iter().chain(env.iter().copied()).collect();
    let ours = connect_with(&url, &env).map(|session| session.wire()).map_err(|error| told(&error));
    assert_eq!(ours.is_ok(), psql.status.success(), "{parameters} {env:?}: {ours:?}, psql {psql:?}");
    ours
}

#[test]
fn revoked_certificates_are_refused_where_psql_refuses_them() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let authority = Authority::new(dir, "authority");
    let _other = Authority::new(dir, "other");
    for file in ["good", "bad"] {
        authority.sign(file, "localhost", NAMED);
    }
    list(dir, "authority", None, "before.crl", &["-crldays", "2"]);
    list(dir, "authority", Some("bad.crt"), "bad.crl", &["-crldays", "2"]);
    list(
        dir,
        "authority",
        None,
        "old.crl",
        &["-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200102000000Z"],
    );
    list(dir, "other", None, "other.crl", &["-crldays", "2"]);
    std::fs::create_dir(dir.join("hashed")).unwrap();
    std::fs::copy(dir.join("bad.crl"), dir.join("hashed/bad.pem")).unwrap();
    openssl(dir, &["rehash", "hashed"]);
    let (good, bad) = (server(dir, "good"), server(dir, "bad"));
    let home = dir.join("home");
    let settings = home.join(".postgresql");
    std::fs::create_dir_all(&settings).unwrap();
    std::fs::copy(authority.certificate(), settings.join("root.crt")).unwrap();
    let path = |name: &str| dir.join(name).display().to_string();
    let full = "sslmode=verify-full";
    let trusted = Ok(Wire::Tls(Trust::Full));

    // No list: nobody asks.
    assert_eq!(outcome(&bad, &home, full, &[]), trusted);
    // The usual place.
    std::fs::copy(dir.join("bad.crl"), settings.join("root.crl")).unwrap();
    assert_eq!(outcome(&good, &home, full, &[]), trusted);
    for mode in ["verify-full", "verify-ca", "require"] {
        let error = outcome(&bad, &home, &format!("sslmode={mode}"), &[]).unwrap_err();
        assert!(error.contains("was revoked"), "{mode}: {error}");
    }
    assert!(outcome(&bad, &home, "sslmode=prefer", &[]).is_ok_and(|wire| wire == Wire::Plain));
    // Named files and folders come in its place, in the URL and in variables.
    assert_eq!(outcome(&bad, &home, &format!("{full}&sslcrl={}", path("before.crl")), &[]), trusted);
    assert!(outcome(&bad, &home, full, &[("PGSSLCRL", &path("bad.crl"))]).unwrap_err().contains("was revoked"));
    assert!(outcome(&bad, &home, full, &[("PGSSLCRLDIR", &path("hashed"))]).unwrap_err().contains("was revoked"));
    assert_eq!(outcome(&good, &home, &format!("{full}&sslcrldir={}", path("hashed")), &[]), trusted);
    // Out of date, of another authority, none at all.
    let old = outcome(&good, &home, &format!("{full}&sslcrl={}", path("old.crl")), &[]).unwrap_err();
    assert!(old.contains("out of date"), "{old}");
    let other = outcome(&good, &home, &format!("{full}&sslcrl={}", path("other.crl")), &[]).unwrap_err();
    assert!(other.contains("no revocation list is of its issuer"), "{other}");
    assert!(outcome(&good, &home, &format!("{full}&sslcrldir={}", path("home")), &[]).is_err());
    assert_eq!(outcome(&bad, &home, &format!("{full}&sslcrl=/nonexistent"), &[]), trusted);
    // The newest of two lists counts.
    let both = [std::fs::read(dir.join("before.crl")).unwrap(), std::fs::read(dir.join("bad.crl")).unwrap()].concat();
    std::fs::write(dir.join("both.crl"), both).unwrap();
    assert!(outcome(&good, &home, &format!("{full}&sslcrl={}", path("both.crl")), &[]).is_ok());
    // A default file that is no list is passed over, as psql does, and a word is said about it.
    std::fs::write(settings.join("root.crl"), "nonsense").unwrap();
    assert_eq!(outcome(&bad, &home, full, &[]), trusted);
    let session = connect_with(&bad.tcp_url(full), &[("HOME", home.to_str().unwrap())]).unwrap();
    assert!(session.warnings()[0].contains("revocations are not looked at"), "{:?}", session.warnings());
}

#[test]
fn a_server_that_signed_its_own_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let own = Authority::new(dir, "localhost");
    list(dir, "localhost", None, "none.crl", &["-crldays", "2"]);
    list(dir, "localhost", Some("localhost.crt"), "own.crl", &["-crldays", "2"]);
    let server = server(dir, "localhost");
    let root = format!("sslmode=verify-ca&sslrootcert={}", own.certificate().display());
    let with = |crl: &str| outcome(&server, dir, &format!("{root}&sslcrl={}", dir.join(crl).display()), &[]);
    assert_eq!(outcome(&server, dir, &root, &[]), Ok(Wire::Tls(Trust::Authority)));
    assert_eq!(with("none.crl"), Ok(Wire::Tls(Trust::Authority)));
    assert!(with("own.crl").unwrap_err().contains("was revoked"));
}
