//! Certificates made by openssl for one test run. Nothing here connects.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority, and certificates it signed.
pub(crate) struct Authority {
    dir: PathBuf,
    name: String,
}

fn openssl(dir: &Path, args: &[&str]) {
    let status =
        Command::new("openssl").args(args).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("openssl does not run ({error}): install the package openssl"));
    assert!(status.success(), "openssl {args:?} failed");
}

impl Authority {
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let subject = format!("/CN={name}");
        let (key, crt) = (format!("{name}.key"), format!("{name}.crt"));
        openssl(
            dir,
            &[
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &subject, "-keyout", &key,
                "-out", &crt,
            ],
        );
        Self { dir: dir.to_owned(), name: name.to_owned() }
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.join(format!("{}.crt", self.name))
    }

    /// Signs a certificate `file.crt` with key `file.key` for common name `cn` and, unless empty, these `extensions`.
    /// Without extensions the certificate is of version 1 or has only its common name, as openssl pleases.
    pub(crate) fn sign(&self, file: &str, cn: &str, extensions: &str) {
        let (key, csr, crt, ext) =
            (format!("{file}.key"), format!("{file}.csr"), format!("{file}.crt"), format!("{file}.ext"));
        let subject = format!("/CN={cn}");
        openssl(&self.dir, &["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &key, "-out", &csr]);
        std::fs::write(self.dir.join(&ext), extensions).unwrap();
        let (ca, ca_key) = (format!("{}.crt", self.name), format!("{}.key", self.name));
        let mut args = vec![
            "x509",
            "-req",
            "-in",
            &csr,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-days",
            "2",
            "-out",
            &crt,
        ];
        if !extensions.is_empty() {
            args.extend(["-extfile", &ext]);
        }
        openssl(&self.dir, &args);
        private(&self.dir.join(&key));
    }
}

/// Makes a file 0600.
pub(crate) fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
