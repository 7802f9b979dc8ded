//! PostgreSQL as people run it who cannot do without: three servers under Patroni, etcd beside them, and HAProxy in front.
//!
//! Commits wait for a standby that Patroni may promote (`synchronous_mode`), so that no failover takes back what was confirmed.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::daemon::{self, Daemon};
use super::patience::until;
use super::postgres::{USER, bin_dir, free_port};
use super::psql;

/// How many servers there are.
const NODES: usize = 3;

/// One server: Patroni, and the PostgreSQL that it starts and ends.
struct Node {
    patroni: Option<Daemon>,
    home: PathBuf,
    /// Where Patroni answers.
    rest: u16,
    port: u16,
}

/// What happens to the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fall {
    /// It hands over as an operator asks it to.
    Switchover,
    /// PostgreSQL is killed with all its processes, and Patroni sees it.
    Crash,
    /// The whole machine goes: nobody tells, and the others wait until its word has run out.
    Loss,
}

/// A running cluster; dropping it ends all of it.
pub struct Cluster {
    nodes: Vec<Node>,
    // Dropped after the servers, which leave their places there.
    _etcd: Daemon,
    _haproxy: Daemon,
    /// The port of HAProxy that leads to the primary.
    pub port: u16,
}

impl Cluster {
    /// Three servers of which one is the primary and one a synchronous standby; `conf` are further settings of PostgreSQL.
    pub fn start(conf: &[(&str, &str)]) -> Self {
        let (etcd, client) = start_etcd();
        let nodes: Vec<Node> = (0..NODES)
            .map(|_| Node { patroni: None, home: daemon::home("pg"), rest: free_port(), port: free_port() })
            .collect();
        let (haproxy, port) = start_haproxy(&nodes);
        let mut cluster = Self { nodes, _etcd: etcd, _haproxy: haproxy, port };
        for at in 0..NODES {
            let node = &cluster.nodes[at];
            daemon::write_private(&node.home.join("patroni.yml"), &node.configuration(at, client, conf));
            cluster.nodes[at].launch();
        }
        cluster.settle();
        cluster
    }

    /// The URL of a database at whichever server is the primary, by HAProxy.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgresql:///{database}?host=127.0.0.1&port={}&user={USER}", self.port)
    }

    /// The URL of a database that names all servers and lets the client find the primary.
    pub fn hosts_url_of(&self, database: &str) -> String {
        let ports: Vec<String> = self.nodes.iter().map(|node| node.port.to_string()).collect();
        format!(
            "postgresql:///{database}?host=127.0.0.1,127.0.0.1,127.0.0.1&port={}&user={USER}&target_session_attrs=read-write",
            ports.join(",")
        )
    }

    /// The ports of the servers themselves.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.port).collect()
    }

    /// Lets the primary fall; what it was comes back as soon as it can, but for a machine that was lost ([`Self::settle`]).
    pub fn fall(&mut self, how: Fall) {
        let primary = self.primary().expect("there is a primary");
        let name = name(primary);
        match how {
            Fall::Switchover => {
                let order = format!("{{\"leader\": \"{name}\"}}");
                let (status, answer) =
                    ask(self.nodes[primary].rest, "POST", "/switchover", &order).expect("it answers");
                assert_eq!(status, 200, "{answer}");
            }
            Fall::Crash => self.nodes[primary].kill_postgres(),
            Fall::Loss => {
                let patroni = self.nodes[primary].patroni.take().expect("it runs");
                patroni.signal(Signal::STOP);
                self.nodes[primary].kill_postgres();
                patroni.signal(Signal::KILL);
                patroni.stop_keeping_home();
            }
        }
        until("another server is the primary", || self.primary().is_some_and(|other| other != primary));
    }

    /// Waits until all servers are there again and HAProxy leads to the primary, which has a synchronous standby.
    pub fn settle(&mut self) {
        for node in &mut self.nodes {
            if node.patroni.is_none() {
                node.launch();
            }
        }
        let url = self.url_of("postgres");
        until("the cluster is whole", || {
            let members = self.members();
            let role = |role: &str| members.iter().filter(|member| member["role"] == role).count();
            let at_work = members.iter().all(|member| member["state"] == "running" || member["state"] == "streaming");
            // A line of the primary's own, because Patroni's word on a standby is as old as its last round.
            let streaming =
                "SELECT count(*) FILTER (WHERE state = 'streaming'), count(*) FILTER (WHERE sync_state = 'sync')
                FROM pg_stat_replication WHERE application_name LIKE 'node%'";
            at_work
                && (role("leader"), role("sync_standby"), role("replica")) == (1, 1, 1)
                && psql::try_run(&url, streaming).is_ok_and(|rows| rows == "2|1")
        });
    }

    /// Which server says that it is the primary and runs.
    fn primary(&self) -> Option<usize> {
        let asked =
            |node: &Node| node.patroni.is_some() && matches!(ask(node.rest, "GET", "/primary", ""), Some((200, _)));
        self.nodes.iter().position(asked)
    }

    /// The servers as one of them sees them.
    fn members(&self) -> Vec<Value> {
        let answer = self.nodes.iter().find_map(|node| ask(node.rest, "GET", "/cluster", ""));
        let told: Value = answer.and_then(|(_, text)| serde_json::from_str(&text).ok()).unwrap_or_default();
        told["members"].as_array().cloned().unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // One that was lost has no watchdog that would remove its folder.
            if node.patroni.take().is_none() {
                let _ = fs::remove_dir_all(&node.home);
            }
        }
    }
}

impl Node {
    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn launch(&mut self) {
        let configuration = self.home.join("patroni.yml");
        let patroni = find("patroni").to_string_lossy().into_owned();
        let daemon = Daemon::start(&self.home, "TERM", &[&patroni, &configuration.to_string_lossy()]);
        daemon.wait_until("Patroni", || TcpStream::connect(("127.0.0.1", self.rest)).is_ok());
        self.patroni = Some(daemon);
    }

    /// Kills the server with all its processes.
    fn kill_postgres(&self) {
        let lock = fs::read_to_string(self.data().join("postmaster.pid")).expect("PostgreSQL runs");
        let postmaster =
            lock.lines().next().and_then(|line| line.parse().ok()).expect("its number is in its lock file");
        daemon::send(postmaster, Signal::STOP);
        let children = daemon::children_of(postmaster);
        daemon::send(postmaster, Signal::KILL);
        children.iter().for_each(|pid| daemon::send(*pid, Signal::KILL));
        daemon::wait_for_the_end_of(&children);
    }

    fn configuration(&self, at: usize, etcd: u16, conf: &[(&str, &str)]) -> String {
        let Self { home, rest, port, .. } = self;
        let (name, home, bin) = (name(at), home.display(), bin_dir().display());
        let further: String = conf.iter().map(|(name, value)| format!("        {name}: '{value}'\n")).collect();
        format!(
            "scope: sen
name: {name}
restapi: {{listen: '127.0.0.1:{rest}', connect_address: '127.0.0.1:{rest}'}}
etcd3: {{host: '127.0.0.1:{etcd}'}}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 5
    synchronous_mode: true
    primary_start_timeout: 0
    postgresql:
      use_pg_rewind: true
      parameters:
        max_connections: 100
        max_wal_senders: 10
        shared_buffers: 16MB
        wal_keep_size: 512MB
        full_page_writes: 'on'
        fsync: 'off'
        autovacuum: 'off'
{further}  initdb: [{{encoding: UTF8}}, {{locale: C.UTF-8}}, {{auth: trust}}, no-sync]
postgresql:
  listen: '127.0.0.1:{port}'
  connect_address: '127.0.0.1:{port}'
  data_dir: '{home}/data'
  bin_dir: '{bin}'
  pgpass: '{home}/pgpass'
  authentication:
    superuser: {{username: {USER}}}
    replication: {{username: replicator}}
  pg_hba: ['local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
  parameters: {{unix_socket_directories: '{home}'}}
"
        )
    }
}

fn name(at: usize) -> String {
    format!("node{at}")
}

fn start_etcd() -> (Daemon, u16) {
    let home = daemon::home("pg");
    let (client, peer) = (free_port(), free_port());
    let (client_url, peer_url) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let program = find("etcd").to_string_lossy().into_owned();
    let data = home.join("data").to_string_lossy().into_owned();
    let cluster = format!("one={peer_url}");
    let words = [
        program.as_str(),
        "--name",
        "one",
        "--data-dir",
        &data,
        "--listen-client-urls",
        &client_url,
        "--advertise-client-urls",
        &client_url,
        "--listen-peer-urls",
        &peer_url,
        "--initial-advertise-peer-urls",
        &peer_url,
        "--initial-cluster",
        &cluster,
    ];
    let daemon = Daemon::start(&home, "KILL", &words);
    daemon.wait_until("etcd", || matches!(ask(client, "GET", "/health", ""), Some((200, _))));
    (daemon, client)
}

fn start_haproxy(nodes: &[Node]) -> (Daemon, u16) {
    let home = daemon::home("pg");
    let port = free_port();
    let mut conf = format!(
        "defaults\n  mode tcp\n  retries 2\n  timeout connect 2s\n  timeout check 2s\n  timeout client 30m\n  timeout server 30m\n\
         listen primary\n  bind 127.0.0.1:{port}\n  option httpchk OPTIONS /primary\n  http-check expect status 200\n\
         \x20 default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions\n"
    );
    for (at, node) in nodes.iter().enumerate() {
        conf.push_str(&format!("  server {} 127.0.0.1:{} check port {}\n", name(at), node.port, node.rest));
    }
    let file = home.join("haproxy.cfg");
    daemon::write_private(&file, &conf);
    let program = find("haproxy").to_string_lossy().into_owned();
    let daemon = Daemon::start(&home, "KILL", &[&program, "-db", "-f", &file.to_string_lossy()]);
    daemon.wait_until("HAProxy", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    (daemon, port)
}

/// Status and body of an answer, if one comes.
fn ask(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// A program of the cluster, where Debian puts them.
pub fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder: PathBuf| Path::new(&folder).join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{program} is not installed: `scripts/test --wide` installs it"))
}
