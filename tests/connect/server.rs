//! A server whose role `postgres` has a password, over the shared harness.

use std::path::Path;

pub(crate) use crate::harness::postgres::free_port;
use crate::harness::{pgbouncer::PgBouncer, postgres, psql};

/// A running server. Role `postgres` may do everything; its password is `s3cret`.
pub(crate) struct Server {
    inner: postgres::Server,
    pub(crate) port: u16,
}

/// What a server is started with.
#[derive(Default)]
pub(crate) struct Options<'a> {
    /// Lines of `pg_hba.conf`, and nobody else gets in; empty: trust on the socket, SCRAM over TCP.
    pub(crate) hba: &'a str,
    /// Extra lines of `postgresql.conf`.
    pub(crate) conf: &'a str,
    /// Puts what the server needs into its data directory before the start.
    pub(crate) prepare: Option<&'a dyn Fn(&Path)>,
}

impl Server {
    pub(crate) fn start(options: &Options<'_>) -> Self {
        let hba =
            if options.hba.is_empty() { "local all all trust\nhost all all all scram-sha-256" } else { options.hba };
        let mut with = postgres::Options::new().tcp().conf(options.conf).conf("password_encryption = 'scram-sha-256'");
        for line in hba.lines().chain(["local all all reject", "host all all all reject"]) {
            with = with.hba(line);
        }
        if let Some(prepare) = options.prepare {
            let folder = tempfile::tempdir().unwrap();
            prepare(folder.path());
            for entry in std::fs::read_dir(folder.path()).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                with = with.file(&name, &std::fs::read_to_string(&path).unwrap());
            }
        }
        let server = Self::of(postgres::Server::start(&with));
        server.run("ALTER USER postgres PASSWORD 's3cret'");
        server
    }

    fn of(inner: postgres::Server) -> Self {
        let port = inner.port();
        Self { inner, port }
    }

    /// A hot standby of this server.
    pub(crate) fn standby(&self) -> Self {
        Self::of(self.inner.standby("standby"))
    }

    /// The folder of its socket.
    pub(crate) fn folder(&self) -> &Path {
        self.inner.socket_dir()
    }

    /// Over the socket, as `user`, without a password.
    pub(crate) fn socket_url(&self, user: &str) -> String {
        format!("host={} port={} user={user} dbname=postgres", self.folder().display(), self.port)
    }

    /// Over TCP, as `postgres` with its password; `parameters` as in a query string.
    pub(crate) fn tcp_url(&self, parameters: &str) -> String {
        format!("postgresql://postgres:s3cret@localhost:{}/postgres?{parameters}", self.port)
    }

    /// Runs statements as `postgres`.
    pub(crate) fn run(&self, sql: &str) {
        psql::run(&self.inner.url_of("postgres"), sql);
    }

    /// A PgBouncer in transaction mode in front of it.
    pub(crate) fn pooled(&self) -> PgBouncer {
        PgBouncer::start(&self.inner)
    }
}
