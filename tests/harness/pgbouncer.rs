//! PgBouncer in front of a server, pooling by transaction unless told otherwise.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::INSTALL;
use super::daemon::{self, Daemon};
use super::postgres::{Server, USER, free_port};

/// A running PgBouncer; dropping it ends it.
pub struct PgBouncer {
    daemon: Daemon,
    home: PathBuf,
    port: u16,
}

impl PgBouncer {
    /// In transaction mode.
    pub fn start(server: &Server) -> Self {
        Self::start_with(server, &[])
    }

    /// The same with further lines of its `[pgbouncer]` section; a later line wins over an earlier one.
    pub fn start_with(server: &Server, lines: &[&str]) -> Self {
        Self::before(&server.socket_dir().to_string_lossy(), server.port(), lines)
    }

    /// In front of what listens on this port of a host, or in a folder for sockets.
    pub fn before(host: &str, server_port: u16, lines: &[&str]) -> Self {
        let program = find();
        let home = daemon::home("pgb");
        let port = free_port();
        let dir = home.display();
        let conf = format!(
            "[databases]\n* = host={host} port={server_port} user={USER}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir = {dir}\nauth_type = trust\nauth_file = {dir}/users.txt\npool_mode = transaction\n\
             default_pool_size = 2\nserver_lifetime = 3600\n{}\n",
            lines.join("\n"),
        );
        daemon::write_private(&home.join("pgbouncer.ini"), &conf);
        daemon::write_private(&home.join("users.txt"), &format!("\"{USER}\" \"\"\n"));
        let ini = home.join("pgbouncer.ini");
        // It keeps nothing, and what SIGTERM and SIGQUIT mean differs between its versions.
        let daemon = Daemon::start(&home, "KILL", &[&program.to_string_lossy(), &ini.to_string_lossy()]);
        let socket = home.join(format!(".s.PGSQL.{port}"));
        daemon.wait_until("PgBouncer", || UnixStream::connect(&socket).is_ok());
        Self { daemon, home, port }
    }

    /// The URL of a database through the pooler's unix socket.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&port={}&user={USER}", self.home.display(), self.port)
    }

    /// The URL of a database through the pooler's TCP port.
    pub fn tcp_url_of(&self, database: &str) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The folder of its unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.home
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}

fn find() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian puts it where a plain user's PATH does not look.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|dir| dir.join("pgbouncer"))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("PgBouncer is not installed (`apt-get install pgbouncer`): {INSTALL}"))
}
