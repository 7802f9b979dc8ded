//! A proxy between a client and PostgreSQL: counts round trips, names messages, adds latency, stalls and cuts.
//!
//! A *flight* begins when the client sends after it was sent something: that is a round trip it had to wait for. Messages a
//! client sends ahead without waiting are one flight only if they reach the proxy before the answer to the first leaves it,
//! so tests that count should set a latency of some milliseconds. A lone `Terminate` awaits nothing and is no flight.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::patience::{PATIENCE, shown};
use super::postgres::{Server, USER};
use super::wire::{Splitter, client_message};

mod trap;

use trap::Set;
pub use trap::Trap;

/// One end of a connection, of either family.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn twin(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    fn close(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }
}

/// Where the server listens.
#[derive(Debug, Clone)]
pub enum Target {
    /// On a TCP address.
    Tcp(SocketAddr),
    /// On a unix socket.
    Unix(PathBuf),
}

impl Target {
    fn connect(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            Self::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
        })
    }
}

/// What was seen on one connection.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Round trips before the first ReadyForQuery (all of them when the connection is encrypted).
    pub start_up_flights: usize,
    /// Round trips after it.
    pub flights: usize,
    /// Start-up packets, in order.
    pub start_up: Vec<&'static str>,
    /// What the client sent after the first ReadyForQuery, in order.
    pub messages: Vec<&'static str>,
    /// The first words of what it sent as plain text: `BEGIN`, `COMMIT`.
    pub plain: Vec<String>,
    /// Whether the server agreed to encryption, which ends the reading of messages.
    pub encrypted: bool,
}

/// The proxy's view of one connection.
#[derive(Debug)]
struct Link {
    client: Stream,
    server: Stream,
    seen: Seen,
    from_client: Splitter,
    from_server: Splitter,
    started: bool,
    ready: bool,
    awaits_encryption_answer: bool,
    /// Whether the client got something since it last sent (true at first: the first packet starts a flight).
    answered: bool,
    withhold: bool,
    mute: bool,
    /// How many bytes of answers still pass, where that is bounded.
    passes: Option<usize>,
    client_gone: bool,
    /// How many answers the client has asked for since it logged in, and how many have come.
    asked: usize,
    came: usize,
    /// What came and is held back until the client has said all.
    held: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether answers are held back until the client has asked for a transaction's end and all are there.
    whole: bool,
    links: Vec<Link>,
    latency: Duration,
    stalled: bool,
    refusing: bool,
    /// Whether a trap that is sprung also closes the door.
    refuses_when_sprung: bool,
    traps: Vec<Set>,
    target: Option<Target>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    closing: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A listening proxy; dropping it cuts its connections.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    /// The folder of its socket, when it listens on one.
    folder: Option<tempfile::TempDir>,
}

impl Proxy {
    /// Listens on a free TCP port, in front of the server's TCP port.
    pub fn tcp(server: &Server) -> Self {
        Self::tcp_to(Target::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()))))
    }

    /// Listens on a unix socket, in front of the server's.
    pub fn unix(server: &Server) -> Self {
        Self::unix_to(Target::Unix(server.socket()))
    }

    /// Listens on a free TCP port in front of anything.
    pub fn tcp_to(target: Target) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be bound");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let accept = move || {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        };
        Self { shared: serve(accept, target), port, folder: None }
    }

    /// Listens on a unix socket in front of anything.
    pub fn unix_to(target: Target) -> Self {
        let port = 5432;
        let folder = tempfile::Builder::new().prefix("sen-proxy-").tempdir().expect("a folder can be made");
        let listener =
            UnixListener::bind(folder.path().join(format!(".s.PGSQL.{port}"))).expect("a socket can be bound");
        let accept = move || Ok(Stream::Unix(listener.accept()?.0));
        Self { shared: serve(accept, target), port, folder: Some(folder) }
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its socket.
    pub fn socket_dir(&self) -> &Path {
        self.folder.as_ref().expect("this proxy listens on TCP").path()
    }

    /// The URL of a database through the proxy.
    pub fn url_of(&self, database: &str) -> String {
        match &self.folder {
            Some(folder) => {
                format!("postgresql:///{database}?host={}&port={}&user={USER}", folder.path().display(), self.port)
            }
            None => format!("postgresql://{USER}@127.0.0.1:{}/{database}", self.port),
        }
    }

    /// Delays everything the server says by this much: the length of a round trip.
    pub fn latency(&self, latency: Duration) {
        self.shared.lock().latency = latency;
    }

    /// From now on gives the client nothing of an answer before it has ended its transactions and the server has answered all:
    /// then round trips are counted alike however slow the client is to say all, and however the answers arrive.
    pub fn whole_answers(&self) {
        self.shared.lock().whole = true;
    }

    /// Holds all traffic back, or lets it go again; connections stay open.
    pub fn stall(&self, stalled: bool) {
        self.shared.lock().stalled = stalled;
        self.shared.changed.notify_all();
    }

    /// Closes at once what new clients open, or stops doing so.
    pub fn refuse(&self, refusing: bool) {
        self.shared.lock().refusing = refusing;
    }

    /// Closes at once what new clients open, from the moment on in which the next trap is sprung.
    pub fn refuse_when_sprung(&self) {
        self.shared.lock().refuses_when_sprung = true;
    }

    /// Leads new connections to another server.
    pub fn lead_to(&self, target: Target) {
        self.shared.lock().target = Some(target);
    }

    /// Cuts every connection there is.
    pub fn cut(&self) {
        for link in &self.shared.lock().links {
            link.client.close();
            link.server.close();
        }
    }

    /// Sets a trap, sprung once.
    pub fn trap(&self, trap: Trap) {
        self.shared.lock().traps.push(Set { after: None, trap });
    }

    /// Sets a trap that is armed once a client has sent `after`: for bytes that also occur earlier.
    pub fn trap_after(&self, after: &str, trap: Trap) {
        self.shared.lock().traps.push(Set { after: Some(after.as_bytes().to_vec()), trap });
    }

    /// Whether traffic is held back now.
    pub fn is_stalled(&self) -> bool {
        self.shared.lock().stalled
    }

    /// Waits until a [`Trap::Hold`] has stalled the traffic.
    pub fn wait_for_hold(&self) {
        let mut state = self.shared.lock();
        while !state.stalled {
            let (next, waited) =
                self.shared.changed.wait_timeout(state, PATIENCE).unwrap_or_else(std::sync::PoisonError::into_inner);
            assert!(!waited.timed_out(), "nothing was held within {PATIENCE:?}");
            state = next;
        }
    }

    /// Forgets what was seen so far on connections that stay.
    pub fn forget(&self) {
        for link in &mut self.shared.lock().links {
            link.seen = Seen::default();
        }
    }

    /// What was seen once every client has gone: a client may end before its last words have come through.
    pub fn seen_to_the_end(&self) -> Vec<Seen> {
        let mut state = self.shared.lock();
        while !state.links.iter().all(|link| link.client_gone) {
            let (next, waited) =
                self.shared.changed.wait_timeout(state, PATIENCE).unwrap_or_else(std::sync::PoisonError::into_inner);
            assert!(!waited.timed_out(), "a client stayed connected to the proxy for {PATIENCE:?}");
            state = next;
        }
        drop(state);
        self.seen()
    }

    /// What was seen so far, per connection, in the order they were opened.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().links.iter().map(|link| link.seen.clone()).collect()
    }
}

/// What was seen of a command that makes so many round trips after its log-in, on one connection.
///
/// What leaves it in several writes looks like further flights when it was held up between them; one run with as few is enough.
#[track_caller]
pub fn round_trips(server: &Server, wanted: usize, run: impl Fn(&Proxy)) -> Seen {
    shown(&format!("{wanted} round trips on one connection"), |number| {
        let proxy = Proxy::unix(server);
        proxy.latency(Duration::from_millis(100 + 200 * u64::from(number)));
        run(&proxy);
        let mut seen = proxy.seen_to_the_end();
        assert_eq!(seen.len(), 1, "one connection: {seen:?}");
        seen.pop().filter(|seen| seen.flights == wanted)
    })
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.stall(false);
        self.cut();
        // Wakes the accepting thread, which then sees that it is over.
        let _ = match &self.folder {
            Some(folder) => UnixStream::connect(folder.path().join(format!(".s.PGSQL.{}", self.port))).map(drop),
            None => TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).map(drop),
        };
    }
}

fn serve(accept: impl Fn() -> io::Result<Stream> + Send + 'static, target: Target) -> Arc<Shared> {
    let shared = Arc::new(Shared::default());
    shared.lock().target = Some(target);
    let mine = Arc::clone(&shared);
    thread::spawn(move || {
        while let Ok(client) = accept() {
            if mine.closing.load(Ordering::SeqCst) {
                return;
            }
            let refusing = mine.lock().refusing;
            if refusing || open(&mine, &client).is_err() {
                client.close();
            }
        }
    });
    shared
}

/// Connects to the server and starts the two pumps of a connection.
fn open(shared: &Arc<Shared>, client: &Stream) -> io::Result<()> {
    let target = shared.lock().target.clone().expect("a proxy has a target");
    let server = target.connect()?;
    let (from_client, to_client) = (client.twin()?, client.twin()?);
    let (from_server, to_server) = (server.twin()?, server.twin()?);
    let mut state = shared.lock();
    let index = state.links.len();
    state.links.push(Link {
        client: client.twin()?,
        server,
        seen: Seen::default(),
        from_client: Splitter::default(),
        from_server: Splitter::default(),
        started: false,
        ready: false,
        awaits_encryption_answer: false,
        answered: true,
        withhold: false,
        mute: false,
        passes: None,
        client_gone: false,
        asked: 0,
        came: 0,
        held: Vec::new(),
    });
    drop(state);
    let (up, down) = (Arc::clone(shared), Arc::clone(shared));
    thread::spawn(move || pump(&up, index, from_client, to_server, Direction::Up));
    thread::spawn(move || pump(&down, index, from_server, to_client, Direction::Down));
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

fn pump(shared: &Shared, index: usize, mut from: Stream, mut to: Stream, direction: Direction) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        let chunk = &buffer[..length];
        let mut guard = shared.lock();
        let state = &mut *guard;
        let link = &mut state.links[index];
        let mut passes = false;
        let delay = match direction {
            Direction::Up => {
                link.client_sent(chunk);
                // All of them are asked, because a chunk that springs one may arm another.
                let sprung: Vec<bool> = state.traps.iter_mut().map(|set| set.springs(chunk)).collect();
                let sprung = sprung.iter().position(|sprung| *sprung);
                state.refusing |= sprung.is_some() && state.refuses_when_sprung;
                match sprung.map(|at| state.traps.remove(at).trap) {
                    Some(Trap::Request(_)) => break,
                    Some(Trap::Answer(_)) => link.withhold = true,
                    Some(Trap::Mute(_)) => link.mute = true,
                    Some(Trap::Stop(_, bytes)) => link.passes = Some(bytes),
                    Some(Trap::Keep(_)) => {
                        (state.stalled, passes) = (true, true);
                        shared.changed.notify_all();
                    }
                    Some(Trap::Hold(_)) => {
                        state.stalled = true;
                        shared.changed.notify_all();
                    }
                    None => {}
                }
                Duration::ZERO
            }
            Direction::Down if link.withhold => break,
            Direction::Down => state.latency,
        };
        let mut length = length;
        if direction == Direction::Down
            && let Some(passes) = &mut link.passes
        {
            length = length.min(*passes);
            *passes -= length;
            link.mute |= length == 0;
        }
        let mut chunk = &buffer[..length];
        let held;
        if direction == Direction::Down && state.whole && link.ready && !link.seen.encrypted {
            link.held.extend_from_slice(chunk);
            link.count_answers(chunk);
            if !link.is_whole() {
                continue;
            }
            held = std::mem::take(&mut link.held);
            chunk = &held;
        }
        // What is read of a mute connection is lost; so is its end, which the other side would otherwise see.
        let mute = link.mute;
        drop(guard);
        thread::sleep(delay);
        if mute {
            continue;
        }
        let mut state = shared.lock();
        while state.stalled && !passes {
            state = shared.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        if direction == Direction::Down {
            // Noted only now, because only now can the client react; earlier would miscount what it sends meanwhile.
            state.links[index].client_gets(chunk);
        }
        drop(state);
        if to.write_all(chunk).is_err() {
            break;
        }
    }
    if direction == Direction::Up || !shared.lock().links[index].mute {
        from.close();
        to.close();
    }
    if direction == Direction::Up {
        shared.lock().links[index].client_gone = true;
        shared.changed.notify_all();
    }
}

impl Link {
    fn client_sent(&mut self, chunk: &[u8]) {
        let mut names = Vec::new();
        if !self.seen.encrypted {
            self.from_client.feed(chunk);
            self.name_messages(&mut names);
        }
        let farewell = self.ready && !names.is_empty() && names.iter().all(|name| *name == "Terminate");
        if self.answered && !farewell {
            if self.ready {
                self.seen.flights += 1;
            } else {
                self.seen.start_up_flights += 1;
            }
            self.answered = false;
        }
        if self.ready {
            self.seen.messages.extend(names);
        }
    }

    fn name_messages(&mut self, names: &mut Vec<&'static str>) {
        while !self.started {
            let Some(name) = self.from_client.start_up() else { return };
            self.seen.start_up.push(name);
            self.awaits_encryption_answer = name == "SSLRequest" || name == "GSSENCRequest";
            self.started = name == "Startup";
        }
        while let Some((kind, carried)) = self.from_client.message() {
            names.push(client_message(kind));
            self.asked += usize::from(self.ready && matches!(kind, b'Q' | b'S'));
            if self.ready && kind == b'Q' {
                let text = String::from_utf8_lossy(&carried);
                let word = text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
                self.seen.plain.push(word.to_owned());
            }
        }
    }

    fn count_answers(&mut self, chunk: &[u8]) {
        self.from_server.feed(chunk);
        while let Some((kind, _)) = self.from_server.message() {
            self.came += usize::from(kind == b'Z');
        }
    }

    /// Whether the client waits: it has ended what it began, and every answer is there.
    fn is_whole(&self) -> bool {
        let ended = self.seen.plain.last().is_none_or(|word| word == "COMMIT");
        ended && self.asked == self.came && !self.from_client.is_amid() && !self.from_server.is_amid()
    }

    fn client_gets(&mut self, chunk: &[u8]) {
        self.answered = true;
        if self.seen.encrypted || self.ready {
            return;
        }
        self.from_server.feed(chunk);
        if self.awaits_encryption_answer {
            let Some(answer) = self.from_server.byte() else { return };
            self.awaits_encryption_answer = false;
            self.seen.encrypted = answer != b'N';
        }
        while !self.seen.encrypted && !self.ready {
            let Some((kind, _)) = self.from_server.message() else { return };
            self.ready = kind == b'Z';
        }
    }
}
