//! A PostgreSQL server (and a PgBouncer) of this test run's own, in a temporary directory, stopped when dropped.
//! To be swapped for the shared harness.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A running server. Role `postgres` may do everything; its password is `s3cret`.
pub(crate) struct Server {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) port: u16,
    child: Child,
}

/// What a server is started with.
#[derive(Default)]
pub(crate) struct Options<'a> {
    /// Lines of `pg_hba.conf`; empty: trust on the socket, SCRAM over TCP.
    pub(crate) hba: &'a str,
    /// Extra lines of `postgresql.conf`.
    pub(crate) conf: &'a str,
    /// Puts what the server needs into its data directory before the start.
    pub(crate) prepare: Option<&'a dyn Fn(&Path)>,
}

/// The newest PostgreSQL on this machine.
fn binaries() -> PathBuf {
    let found =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let mut found: Vec<PathBuf> = found.filter(|bin| bin.join("initdb").exists()).collect();
    found.sort();
    let in_path =
        || std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).find(|dir| dir.join("initdb").exists());
    found
        .pop()
        .or_else(in_path)
        .expect("PostgreSQL's initdb is missing: install the package postgresql (Debian) or postgresql-server")
}

fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// PostgreSQL and PgBouncer refuse to run as root, so root drops to the user `postgres`.
fn command(program: &Path) -> Command {
    if !am_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

fn give_away(path: &Path) {
    if am_root() {
        let status = Command::new("chown").arg("-R").arg("postgres:postgres").arg(path).status().unwrap();
        assert!(status.success(), "chown to the user postgres failed: does the user exist?");
    }
}

/// A port that was free a moment ago, below those that the system gives to whoever connects somewhere or listens anywhere.
pub(crate) fn free_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(97).wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(number % 20_000).unwrap();
        if TcpListener::bind(("localhost", port)).is_ok() {
            return port;
        }
    }
}

impl Server {
    pub(crate) fn start(options: &Options<'_>) -> Self {
        let dir = tempfile::Builder::new().prefix("sen-pg").tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::write(dir.path().join("password"), "s3cret\n").unwrap();
        give_away(dir.path());
        let output = command(&binaries().join("initdb"))
            .args(["-U", "postgres", "--auth=trust", "-N", "-E", "UTF8", "--locale=C", "--pwfile"])
            .arg(dir.path().join("password"))
            .arg("-D")
            .arg(&data)
            .output()
            .unwrap();
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        if let Some(prepare) = options.prepare {
            prepare(&data);
        }
        let hba =
            if options.hba.is_empty() { "local all all trust\nhost all all all scram-sha-256\n" } else { options.hba };
        std::fs::write(data.join("pg_hba.conf"), hba).unwrap();
        Self::run_in(dir, options.conf)
    }

    /// A hot standby of this server.
    pub(crate) fn standby(&self) -> Self {
        let dir = tempfile::Builder::new().prefix("sen-pg").tempdir().unwrap();
        give_away(dir.path());
        let output = command(&binaries().join("pg_basebackup"))
            .args(["-R", "-c", "fast", "-U", "postgres", "-h"])
            .arg(self.dir.path())
            .args(["-p", &self.port.to_string(), "-D"])
            .arg(dir.path().join("data"))
            .output()
            .unwrap();
        assert!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        let follow = format!("primary_conninfo='host={} port={} user=postgres'", self.dir.path().display(), self.port);
        Self::run_in(dir, &follow)
    }

    fn run_in(dir: tempfile::TempDir, extra: &str) -> Self {
        let data = dir.path().join("data");
        let port = free_port();
        let socket = dir.path().display();
        let conf = format!(
            "port={port}\nlisten_addresses='localhost'\nunix_socket_directories='{socket}'\nfsync=off\nlc_messages=C\n{extra}\n"
        );
        std::fs::write(data.join("postgresql.auto.conf"), conf).unwrap();
        give_away(dir.path());
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = command(&binaries().join("postgres"))
            .arg("-D")
            .arg(&data)
            .stderr(log)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { dir, port, child };
        server.wait(|| crate::connect(&server.socket_url("postgres")).is_ok());
        server
    }

    fn wait(&self, ready: impl Fn() -> bool) {
        for _ in 0..3600 {
            if ready() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("not ready: {}", std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
    }

    /// Over the socket, as `user`, without a password.
    pub(crate) fn socket_url(&self, user: &str) -> String {
        format!("host={} port={} user={user} dbname=postgres", self.dir.path().display(), self.port)
    }

    /// Over TCP, as `postgres` with its password; `parameters` as in a query string.
    pub(crate) fn tcp_url(&self, parameters: &str) -> String {
        format!("postgresql://postgres:s3cret@localhost:{}/postgres?{parameters}", self.port)
    }

    /// Runs statements as `postgres`.
    pub(crate) fn run(&self, sql: &str) {
        crate::runtime().block_on(async {
            let session = crate::open(&self.socket_url("postgres"), &[]).await.unwrap();
            session.client().batch_execute(sql).await.unwrap();
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // `pg_ctl` rather than a signal to `setpriv`, which replaced itself by the server: an immediate stop either way.
        let data = self.dir.path().join("data");
        let _ = command(&binaries().join("pg_ctl"))
            .args(["-m", "immediate", "stop", "-D"])
            .arg(data)
            .stdout(Stdio::null())
            .status();
        let _ = self.child.wait();
    }
}

/// A PgBouncer in transaction mode in front of a server.
pub(crate) struct Bouncer {
    pub(crate) port: u16,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Bouncer {
    pub(crate) fn start(server: &Server) -> Self {
        let program =
            ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"].into_iter().map(Path::new);
        let program = program
            .into_iter()
            .find(|path| path.exists())
            .expect("pgbouncer is missing: install the package pgbouncer");
        let dir = tempfile::Builder::new().prefix("sen-pgb").tempdir().unwrap();
        let port = free_port();
        let conf = format!(
            "[databases]\npostgres = host={} port={} user=postgres\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n\
             unix_socket_dir=\npool_mode=transaction\nauth_type=any\n",
            server.dir.path().display(),
            server.port
        );
        std::fs::write(dir.path().join("ini"), conf).unwrap();
        give_away(dir.path());
        let child = command(program)
            .arg("-q")
            .arg(dir.path().join("ini"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let bouncer = Self { port, child, _dir: dir };
        for _ in 0..3600 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return bouncer;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("pgbouncer does not listen");
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
