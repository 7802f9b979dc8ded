//! A real PostgreSQL in a folder of its own: one shared by the tests of a process, others on request.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use super::INSTALL;
use super::daemon::{self, Daemon};
use super::psql::{self, Session};

/// The superuser of every server here.
pub const USER: &str = "postgres";

/// The folder with `postgres` and `initdb`.
///
/// `SEN_TEST_PG_BIN` if set; else where `postgres` in PATH really lies; else the highest version in the usual places.
pub fn bin_dir() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let complete = |dir: &PathBuf| ["postgres", "initdb"].iter().all(|name| dir.join(name).is_file());
        if let Some(dir) = std::env::var_os("SEN_TEST_PG_BIN").map(PathBuf::from) {
            assert!(complete(&dir), "SEN_TEST_PG_BIN={} lacks postgres or initdb", dir.display());
            return dir;
        }
        in_path("postgres").chain(installed()).find(complete).unwrap_or_else(|| {
            panic!(
                "PostgreSQL's server is not installed (`apt-get install postgresql`): {INSTALL}, or set SEN_TEST_PG_BIN to the \
                 folder with postgres and initdb"
            )
        })
    })
}

/// The real `psql` (Debian's `/usr/bin/psql` is a Perl wrapper): the server's own, or that of another version where the server
/// came without.
pub fn psql() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let folders = [bin_dir().to_owned()].into_iter().chain(installed()).chain(in_path("psql"));
        let found = folders.map(|dir| dir.join("psql")).find(|program| program.is_file());
        found.unwrap_or_else(|| panic!("psql is not installed: {INSTALL}"))
    })
}

/// The folders in which a program of this name really lies, by PATH.
fn in_path(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.into_iter().filter_map(move |dir| dir.join(name).canonicalize().ok()?.parent().map(Path::to_owned))
}

/// The version folders of the usual packages, highest first.
fn installed() -> Vec<PathBuf> {
    let bases = [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
    ];
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (base, prefix) in bases {
        for entry in fs::read_dir(base).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(version) = name.strip_prefix(prefix).and_then(|rest| rest.parse().ok()) {
                found.push((version, entry.path().join("bin")));
            }
        }
    }
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// How a server is to be.
#[derive(Debug, Default, Clone)]
pub struct Options {
    tcp: bool,
    locale: Option<String>,
    encoding: Option<String>,
    conf: Vec<String>,
    hba: Vec<String>,
    files: Vec<(String, String)>,
}

impl Options {
    /// Trust, unix socket only, UTF-8, `C.UTF-8`, no fsync.
    pub fn new() -> Self {
        Self::default()
    }

    /// As a server that keeps what it commits, whatever happens to it; slower.
    pub fn durable(self) -> Self {
        self.conf("fsync = on").conf("synchronous_commit = on").conf("full_page_writes = on")
    }

    /// Also listens on a free port of 127.0.0.1 and ::1.
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// The server's default zone, as a worker without a setting of its own sees it.
    pub fn timezone(self, zone: &str) -> Self {
        self.conf(&format!("timezone = '{zone}'"))
    }

    /// Another locale than `C.UTF-8`.
    pub fn locale(mut self, locale: &str) -> Self {
        self.locale = Some(locale.to_owned());
        self
    }

    /// Another encoding than UTF-8.
    pub fn encoding(mut self, encoding: &str) -> Self {
        self.encoding = Some(encoding.to_owned());
        self
    }

    /// A further line of postgresql.conf.
    pub fn conf(mut self, line: &str) -> Self {
        self.conf.push(line.to_owned());
        self
    }

    /// A line of pg_hba.conf, before the default ones (trust for everybody everywhere).
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.to_owned());
        self
    }

    /// A further file in the data folder, readable by the server only; conf lines may name it.
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// TLS with this certificate chain and key (PEM); `client_ca` is who may sign client certificates.
    pub fn ssl(self, cert_pem: &str, key_pem: &str, client_ca_pem: Option<&str>) -> Self {
        let with = self
            .file("server.crt", cert_pem)
            .file("server.key", key_pem)
            .conf("ssl = on")
            .conf("ssl_cert_file = 'server.crt'")
            .conf("ssl_key_file = 'server.key'");
        match client_ca_pem {
            Some(ca) => with.file("client-ca.crt", ca).conf("ssl_ca_file = 'client-ca.crt'"),
            None => with,
        }
    }
}

/// A running server; dropping it ends it and removes its data.
pub struct Server {
    daemon: Option<Daemon>,
    home: PathBuf,
    port: u16,
    tcp: bool,
}

impl Server {
    /// The one server of this test process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&Options::new().tcp()))
    }

    /// A server of one's own.
    pub fn start(options: &Options) -> Self {
        let bin = bin_dir();
        let home = daemon::home("pg");
        let data = home.join("data");
        let initdb = daemon::unprivileged(bin.join("initdb"))
            .args(["-A", "trust", "--no-sync", "-U", USER])
            .args(["-E", options.encoding.as_deref().unwrap_or("UTF8")])
            .args(["--locale", options.locale.as_deref().unwrap_or("C.UTF-8")])
            .arg("-D")
            .arg(&data)
            .current_dir(&home)
            .stdin(Stdio::null())
            .output()
            .expect("initdb can be started");
        assert!(initdb.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&initdb.stderr));

        for (name, content) in &options.files {
            daemon::write_private(&data.join(name), content);
        }
        let port = free_port();
        let mut conf = fs::read_to_string(data.join("postgresql.conf")).expect("initdb wrote postgresql.conf");
        let listen = if options.tcp { "127.0.0.1, ::1" } else { "" };
        for line in [
            format!("listen_addresses = '{listen}'"),
            format!("port = {port}"),
            format!("unix_socket_directories = '{}'", home.display()),
            "fsync = off".to_owned(),
            "synchronous_commit = off".to_owned(),
            "full_page_writes = off".to_owned(),
            "shared_buffers = 16MB".to_owned(),
            "max_connections = 400".to_owned(),
            "autovacuum = off".to_owned(),
        ]
        .iter()
        .chain(&options.conf)
        {
            conf.push_str(line);
            conf.push('\n');
        }
        fs::write(data.join("postgresql.conf"), conf).expect("postgresql.conf can be written");
        let hba = fs::read_to_string(data.join("pg_hba.conf")).expect("initdb wrote pg_hba.conf");
        fs::write(data.join("pg_hba.conf"), format!("{}\n{hba}", options.hba.join("\n")))
            .expect("pg_hba.conf can be written");

        let mut server = Self { daemon: None, home, port, tcp: options.tcp };
        server.launch();
        server
    }

    fn launch(&mut self) {
        let bin = bin_dir().join("postgres");
        let data = self.home.join("data");
        let daemon = Daemon::start(&self.home, "QUIT", &[&bin.to_string_lossy(), "-D", &data.to_string_lossy()]);
        let status = data.join("postmaster.pid");
        // The eighth line of the lock file is the server's own word on whether it takes connections.
        let ours = daemon.pid().to_string();
        daemon.wait_until("PostgreSQL", || {
            fs::read_to_string(&status).is_ok_and(|text| {
                text.lines().next() == Some(&ours)
                    && text.lines().nth(7).is_some_and(|line| ["ready", "standby"].contains(&line.trim()))
            })
        });
        self.daemon = Some(daemon);
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("the server is running")
    }

    /// Stops it at once, as a crash would, until [`Self::resume`].
    pub fn crash(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop_keeping_home();
        }
    }

    /// Kills the server and every process of it, as the loss of the machine would: what was not written is lost.
    pub fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            // Stopped, it starts no further process; and it cannot be started anew before the last one is gone.
            daemon.signal(Signal::STOP);
            let children = daemon::children_of(daemon.pid());
            daemon.signal(Signal::KILL);
            children.iter().for_each(|pid| daemon::send(*pid, Signal::KILL));
            daemon.stop_keeping_home();
            daemon::wait_for_the_end_of(&children);
        }
    }

    /// The process of this server whose title holds `what`: `walreceiver`, `walsender`, `checkpointer`.
    pub fn process(&self, what: &str) -> Option<i32> {
        let titled = |pid: &i32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|title| String::from_utf8_lossy(&title).contains(what))
        };
        daemon::children_of(self.pid()).into_iter().find(titled)
    }

    /// A standby of this server that streams from it, under a name for `synchronous_standby_names`. Copied by the server's own
    /// functions: `pg_basebackup` takes no server that is newer than itself, and not every server comes with one.
    pub fn standby(&self, name: &str) -> Self {
        let home = daemon::home("pg");
        let data = home.join("data");
        let mut session = Session::open(&self.url_of("postgres"));
        let recent = session.run("SELECT current_setting('server_version_num')::int >= 150000") == "t";
        let (start, stop) = if recent {
            ("pg_backup_start('standby', true)", "pg_backup_stop(false)")
        } else {
            ("pg_start_backup('standby', true, false)", "pg_stop_backup(false, false)")
        };
        session.run(&format!("SELECT {start}"));
        // What it writes meanwhile may vanish while it is copied: the log that the standby replays has it.
        let copied = daemon::unprivileged("cp").arg("-a").arg(self.data_dir()).arg(&data).current_dir(&home).output();
        let copied = copied.expect("cp can be started");
        assert!(data.join("global/pg_control").is_file(), "cp: {}", String::from_utf8_lossy(&copied.stderr));
        let label = session.run(&format!("SELECT labelfile FROM {stop}"));
        for of_the_other in ["postmaster.pid", "postmaster.opts"] {
            let _ = fs::remove_file(data.join(of_the_other));
        }
        daemon::write_private(&data.join("backup_label"), &format!("{}\n", label.trim_end()));
        daemon::write_private(&data.join("standby.signal"), "");
        let source = format!("host={} port={} user={USER} application_name={name}", self.home.display(), self.port);
        let port = free_port();
        let mut conf = fs::read_to_string(data.join("postgresql.conf")).expect("the copy has a postgresql.conf");
        for line in [
            format!("port = {port}"),
            format!("unix_socket_directories = '{}'", home.display()),
            "synchronous_standby_names = ''".to_owned(),
            format!("primary_conninfo = '{source}'"),
        ] {
            conf.push_str(&line);
            conf.push('\n');
        }
        fs::write(data.join("postgresql.conf"), conf).expect("postgresql.conf can be written");
        let mut server = Self { daemon: None, home, port, tcp: self.tcp };
        server.launch();
        server
    }

    /// Makes a standby the primary, and waits until it takes writes.
    pub fn promote(&self) {
        let waits = "SELECT pg_promote(true, 60)";
        assert_eq!(psql::run(&self.url_of("postgres"), waits), "t", "the promotion takes too long:\n{}", self.log());
    }

    /// Starts it again on the same data, socket and port.
    pub fn resume(&mut self) {
        if self.daemon.is_none() {
            self.launch();
        }
    }

    /// Starts it again as a hot standby of nobody: as after a fail-over, for clients that still come here.
    pub fn resume_as_standby(&mut self) {
        fs::write(self.data_dir().join("standby.signal"), "").expect("the data folder can be written");
        self.resume();
    }

    /// Makes it read its configuration again.
    pub fn reload(&self) {
        self.daemon().signal(Signal::HUP);
    }

    /// The server's process id.
    pub fn pid(&self) -> i32 {
        self.daemon().pid()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.daemon().log()
    }

    /// The folder of its data (`pg_hba.conf` and so on).
    pub fn data_dir(&self) -> PathBuf {
        self.home.join("data")
    }

    /// The folder of its unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.home
    }

    /// Its port, also part of the socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path of its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.home.join(format!(".s.PGSQL.{}", self.port))
    }

    /// The URL of a database over the unix socket.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&port={}&user={USER}", self.home.display(), self.port)
    }

    /// The URL of a database over TCP.
    pub fn tcp_url_of(&self, database: &str) -> String {
        assert!(self.tcp, "this server was started without Options::tcp()");
        format!("postgresql://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// A new, empty database for one test.
    pub fn fresh_database(&self) -> Database<'_> {
        self.fresh_database_with(&[])
    }

    /// The same with `ALTER DATABASE … SET` settings, such as `timezone = 'Asia/Tokyo'`.
    pub fn fresh_database_with(&self, settings: &[&str]) -> Database<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut sql = format!("CREATE DATABASE {name} TEMPLATE template0;\n");
        for setting in settings {
            sql.push_str(&format!("ALTER DATABASE {name} SET {setting};\n"));
        }
        psql::run(&self.url_of("postgres"), &sql);
        Database { server: self, name }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A crashed server has no watchdog that would remove its folder.
        if self.daemon.take().is_none() {
            let _ = fs::remove_dir_all(&self.home);
        }
    }
}

/// A database of a [`Server`].
pub struct Database<'a> {
    /// Where it is.
    pub server: &'a Server,
    /// Its name.
    pub name: String,
}

impl Database<'_> {
    /// Its URL over the unix socket.
    pub fn url(&self) -> String {
        self.server.url_of(&self.name)
    }

    /// Its URL over TCP.
    pub fn tcp_url(&self) -> String {
        self.server.tcp_url_of(&self.name)
    }

    /// Runs SQL with the real psql: unaligned rows without headers; panics on an error.
    pub fn psql(&self, sql: &str) -> String {
        psql::run(&self.url(), sql)
    }

    /// A psql that stays connected, to hold a transaction or a lock open.
    pub fn session(&self) -> Session {
        Session::open(&self.url())
    }
}

/// A port that was free a moment ago. It lies below those that the system gives to whoever connects somewhere or listens anywhere,
/// and each process begins elsewhere, so that nobody takes it before a slow machine gets round to using it.
pub fn free_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(97).wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(number % 20_000).expect("it is small");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
