//! A real Redis in a folder of its own, on a unix socket and, on request, on free ports.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::INSTALL;
use super::daemon::{self, Daemon};
use super::postgres::free_port;

/// Where `redis-server` (or Valkey's) is: `SEN_TEST_REDIS_SERVER`, else in PATH or where Debian puts servers.
fn server_program() -> PathBuf {
    if let Some(path) = std::env::var_os("SEN_TEST_REDIS_SERVER").map(PathBuf::from) {
        return path;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(PathBuf::from));
    let names = ["redis-server", "valkey-server"];
    folders
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("redis-server is not installed: {INSTALL}, or set SEN_TEST_REDIS_SERVER"))
}

/// How a server is to be.
#[derive(Debug, Default, Clone)]
pub struct Options {
    tcp: bool,
    tls: bool,
    conf: Vec<String>,
    files: Vec<(String, String)>,
    sentinel: bool,
}

impl Options {
    /// A unix socket only, nothing saved to disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also listens on a free port of 127.0.0.1.
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Also listens with TLS on a free port of 127.0.0.1; the certificate files come with [`Self::file`].
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// A further line of redis.conf.
    pub fn conf(mut self, line: &str) -> Self {
        self.conf.push(line.to_owned());
        self
    }

    /// As a sentinel; what it watches over comes with [`Self::conf`].
    pub fn sentinel(mut self) -> Self {
        self.sentinel = true;
        self
    }

    /// A further file in the server's folder.
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// Starts it.
    pub fn start(self) -> Redis {
        let home = daemon::home("rd");
        for (name, content) in &self.files {
            daemon::write_private(&home.join(name), content);
        }
        let port = self.tcp.then(free_port);
        let tls_port = self.tls.then(free_port);
        let mut conf = format!(
            "port {}\nbind 127.0.0.1\nunixsocket {}\ndir {}\nsave \"\"\nappendonly no\ndaemonize no\n",
            port.unwrap_or(0),
            home.join("r.sock").display(),
            home.display(),
        );
        if let Some(port) = tls_port {
            let _ = write!(conf, "tls-port {port}\ntls-auth-clients no\n");
        }
        for line in &self.conf {
            let _ = writeln!(conf, "{line}");
        }
        daemon::write_private(&home.join("redis.conf"), &conf);
        let program = server_program();
        let config = home.join("redis.conf");
        let mut command = vec![program.to_str().expect("a readable path"), config.to_str().expect("a readable path")];
        command.extend(self.sentinel.then_some("--sentinel"));
        let daemon = Daemon::start(&home, "TERM", &command);
        let socket = home.join("r.sock");
        daemon.wait_until("redis-server", || UnixStream::connect(&socket).is_ok());
        Redis { daemon, home, port, tls_port }
    }
}

/// A running Redis.
pub struct Redis {
    daemon: Daemon,
    home: PathBuf,
    port: Option<u16>,
    tls_port: Option<u16>,
}

impl Redis {
    /// A server on a unix socket only.
    pub fn start() -> Self {
        Options::new().start()
    }

    /// Its URL over the unix socket.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.home.join("r.sock")
    }

    /// Its folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Its plain port.
    pub fn port(&self) -> u16 {
        self.port.expect("the server was started with tcp()")
    }

    /// Its port with TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port.expect("the server was started with tls()")
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.daemon.pid()
    }

    /// Sends a signal to it: `STOP` makes it silent without closing anything.
    pub fn signal(&self, signal: Signal) {
        self.daemon.signal(signal);
    }

    /// A connection of the test's own.
    pub fn client(&self) -> Client {
        Client { stream: UnixStream::connect(self.socket()).expect("the server's socket accepts"), buffer: Vec::new() }
    }

    /// Carries out one command and returns its answer; an error reply panics.
    pub fn run(&self, words: &[&str]) -> Answer {
        self.client().run(words)
    }
}

/// A reply of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing there.
    Nil,
    /// A number.
    Int(i64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Answer>),
    /// An error reply.
    Error(String),
}

impl Answer {
    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }

    /// Its items.
    pub fn list(self) -> Vec<Self> {
        match self {
            Self::List(items) => items,
            other => panic!("{other:?} is no list"),
        }
    }

    /// Its number.
    pub fn int(&self) -> i64 {
        match self {
            Self::Int(number) => *number,
            other => panic!("{other:?} is no number"),
        }
    }

    /// A hash, from the flat list that HGETALL returns.
    pub fn map(self) -> std::collections::BTreeMap<String, String> {
        let items = self.list();
        items.chunks(2).map(|pair| (pair[0].text().to_owned(), pair[1].text().to_owned())).collect()
    }
}

/// The test's own connection: small, blocking, independent of the code under test.
pub struct Client {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Carries out one command; an error reply panics.
    pub fn run(&mut self, words: &[&str]) -> Answer {
        match self.try_run(words) {
            Answer::Error(text) => panic!("{words:?}: {text}"),
            answer => answer,
        }
    }

    /// Carries out one command.
    pub fn try_run(&mut self, words: &[&str]) -> Answer {
        self.send(words);
        self.answer()
    }

    /// Sends a command without waiting for its answer.
    pub fn send(&mut self, words: &[&str]) {
        let mut out = Vec::new();
        let _ = write!(out, "*{}\r\n", words.len());
        for word in words {
            let _ = write!(out, "${}\r\n{word}\r\n", word.len());
        }
        self.stream.write_all(&out).expect("the server reads");
    }

    /// Reads the next answer.
    pub fn answer(&mut self) -> Answer {
        let line = self.line();
        let (kind, rest) = line.split_at(1);
        let number = || rest.parse::<i64>().expect("a number");
        match kind {
            "+" => Answer::Text(rest.to_owned()),
            "-" => Answer::Error(rest.to_owned()),
            ":" => Answer::Int(number()),
            "$" if number() < 0 => Answer::Nil,
            "$" => {
                let size = usize::try_from(number()).expect("a size");
                self.fill(size + 2);
                let text = String::from_utf8_lossy(&self.buffer[..size]).into_owned();
                self.buffer.drain(..size + 2);
                Answer::Text(text)
            }
            "*" if number() < 0 => Answer::Nil,
            "*" => Answer::List((0..number()).map(|_| self.answer()).collect()),
            _ => panic!("{line:?} is no answer of Redis"),
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.drain(..at + 2);
                return line;
            }
            self.fill(self.buffer.len() + 1);
        }
    }

    fn fill(&mut self, size: usize) {
        let mut chunk = [0; 65536];
        while self.buffer.len() < size {
            let read = self.stream.read(&mut chunk).expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }
}
