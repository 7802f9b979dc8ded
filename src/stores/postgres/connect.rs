//! The search for a server: hosts in turn, their addresses in turn, with and without TLS as `sslmode` says, until one
//! answers and has the right session attributes. What every one of them said is in the error.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::config::{self, Config, SslNegotiation};

use super::bounds::{Bounded, Gauge};
use super::socket::Socket;
use super::{Postgres, Wire, errors, socket};
use crate::conninfo::{ChannelBinding, Conninfo, Endpoint, Place, SslMode, TargetSessionAttrs};
use crate::password::Purpose;
use crate::tls::Tls;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::secret::Secret;
use sen_model::time::Uptime;

/// Why one server was not taken.
struct Failure {
    place: String,
    error: Error,
    /// Whether asking the next server is pointless: this one did answer, and said no.
    decisive: bool,
}

/// Between two attempts, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

impl Postgres {
    /// Connects to the first host of `info` that answers and has the session attributes asked for.
    ///
    /// Must be called within a tokio runtime: a task is spawned that drives the connection.
    ///
    /// # Errors
    /// `Connect` with what every host said, or `Usage` when the files of TLS are unfit.
    pub async fn connect(info: &Conninfo) -> Result<Self> {
        connect(info).await
    }
}

/// Searches once, and again for as long as the settings say.
async fn connect(info: &Conninfo) -> Result<Postgres> {
    let end = Uptime::now().plus(info.connect_retry);
    let mut pause = PAUSES.0;
    loop {
        match search(info).await {
            Err(error) if may_pass(&error) && !Uptime::now().until(end).is_zero() => {
                tokio::time::sleep(pause.min(Uptime::now().until(end))).await;
                pause = (pause * 2).min(PAUSES.1);
            }
            answer => return answer,
        }
    }
}

/// Whether another attempt can go otherwise: nothing answers, the server starts up or shuts down, it has no room, it is a
/// standby that may be promoted, or a pooler has no server. A server that has judged (a wrong password, no such database) will
/// judge so again.
fn may_pass(error: &Error) -> bool {
    let passing = |code: &str| errors::passes(code, &error.to_string());
    error.kind() == ErrorKind::Connect && error.sqlstate().is_none_or(passing)
}

async fn search(info: &Conninfo) -> Result<Postgres> {
    let mut hosts: Vec<&Endpoint> = info.hosts.iter().collect();
    if info.shuffle_hosts {
        hosts.sort_by_cached_key(|_| uuid::Uuid::new_v4());
    }
    let mut attempt = Attempt { info, tls: None, printed: None, socket: None, warnings: info.warnings.clone() };
    let mut failures = Vec::new();
    let mut second_best = None;
    for host in hosts {
        match attempt.host(host, &mut failures).await? {
            Some(mut found) => {
                let answer = within(info, suits(&mut found, info.target_session_attrs)).await;
                match answer {
                    Ok(None) => return Ok(attempt.finish(found)),
                    Ok(Some(_)) if info.target_session_attrs == TargetSessionAttrs::PreferStandby => {
                        second_best.get_or_insert(found);
                    }
                    Ok(Some(why)) => {
                        let error = Error::new(ErrorKind::Connect, why);
                        failures.push(Failure { place: place(host, None), error, decisive: false });
                    }
                    Err(error) => failures.push(Failure { place: place(host, None), error, decisive: false }),
                }
            }
            None if failures.last().is_some_and(|failure| failure.decisive) => break,
            None => {}
        }
    }
    match second_best {
        Some(found) => Ok(attempt.finish(found)),
        None => Err(report(failures)),
    }
}

/// Why the session does not have the attributes, or `None` when it does.
async fn suits(found: &mut Postgres, wanted: TargetSessionAttrs) -> Result<Option<&'static str>> {
    if wanted == TargetSessionAttrs::Any {
        return Ok(None);
    }
    found.ask_state().await?;
    let standby = found.standby == Some(true);
    let read_only = standby || found.read_only == Some(true);
    Ok(match wanted {
        TargetSessionAttrs::ReadWrite if read_only => {
            Some("the session is read-only, and target_session_attrs=read-write")
        }
        TargetSessionAttrs::ReadOnly if !read_only => Some("the session can write, and target_session_attrs=read-only"),
        TargetSessionAttrs::Primary if standby => Some("the server is a standby, and target_session_attrs=primary"),
        TargetSessionAttrs::Standby | TargetSessionAttrs::PreferStandby if !standby => {
            Some("the server is not a standby, and target_session_attrs=standby")
        }
        _ => None,
    })
}

/// Runs one step of connecting within `connect_timeout`. The driver's own limit covers the socket only, and a server
/// that accepts and then says nothing is as dead as one that does not accept.
async fn within<T>(info: &Conninfo, step: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(limit) = info.connect_timeout else { return step.await };
    tokio::time::timeout(limit, step).await.unwrap_or_else(|_| {
        let limit = sen_model::time::humane(i64::try_from(limit.as_micros()).unwrap_or(i64::MAX));
        Err(Error::new(ErrorKind::Connect, format!("no answer within {limit}")).with_hint(
            "is the host right, and does a firewall drop packets? connect_timeout and --timeout set the limit",
        ))
    })
}

struct Attempt<'a> {
    info: &'a Conninfo,
    /// Made when the first handshake is due: certificates take time to load.
    tls: Option<Tls>,
    /// What the program printed for the host under way.
    printed: Option<Secret>,
    /// Opened before the program was run, and not used yet.
    socket: Option<Socket>,
    warnings: Vec<String>,
}

impl Attempt<'_> {
    fn finish(&mut self, mut found: Postgres) -> Postgres {
        found.warnings = std::mem::take(&mut self.warnings);
        found
    }

    /// Tries the addresses of one host.
    async fn host(&mut self, host: &Endpoint, failures: &mut Vec<Failure>) -> Result<Option<Postgres>> {
        (self.printed, self.socket) = (None, None);
        let addresses = match &host.place {
            Place::Socket(_) => vec![None],
            Place::Address(address, _) => vec![Some(*address)],
            Place::Name(name) => match within(self.info, look_up(name, host.port)).await {
                Ok(addresses) => addresses.into_iter().map(Some).collect(),
                Err(error) => {
                    failures.push(Failure { place: place(host, None), error, decisive: false });
                    return Ok(None);
                }
            },
        };
        for address in addresses {
            let info = self.info;
            let answer = match self.ask_password(host, address).await {
                Ok(()) => within(info, async { Ok(self.address(host, address).await) }).await,
                Err(stop) => Ok(Err(stop)),
            };
            let (error, decisive) = match answer {
                Ok(Ok(found)) => return Ok(Some(found)),
                Ok(Err(Stop::Settings(error))) => return Err(error),
                Ok(Err(Stop::Server(error, decisive))) => (error, decisive),
                Err(late) => (late, false),
            };
            failures.push(Failure { place: place(host, address), error, decisive });
            if decisive {
                break;
            }
        }
        Ok(None)
    }

    /// Has the program print the password, where one does, once for a host and only when somebody answers there. The time that
    /// takes is its own: the server is given all of `connect_timeout`.
    async fn ask_password(&mut self, host: &Endpoint, address: Option<IpAddr>) -> std::result::Result<(), Stop> {
        let (Some(command), None) = (&self.info.password_command, &self.printed) else { return Ok(()) };
        let reached = within(self.info, async {
            socket::open(self.info, host, address).await.map_err(|error| errors::unreachable_server(&error))
        });
        self.socket = Some(reached.await.map_err(|error| Stop::Server(error, false))?);
        let purpose = Purpose {
            host: match &host.place {
                Place::Socket(directory) => directory.display().to_string(),
                Place::Name(name) | Place::Address(_, Some(name)) => name.clone(),
                Place::Address(address, None) => address.to_string(),
            },
            port: host.port,
            user: self.info.user.clone(),
            database: self.info.dbname.clone(),
        };
        self.printed = Some(command.ask(purpose).await.map_err(Stop::Settings)?);
        Ok(())
    }

    /// Tries one address with and without TLS, in libpq's order.
    async fn address(&mut self, host: &Endpoint, address: Option<IpAddr>) -> std::result::Result<Postgres, Stop> {
        use config::SslMode as Driver;
        // A socket never carries TLS, whatever the mode: PostgreSQL does not offer it there.
        let (first, second) = match self.info.tls.mode {
            _ if address.is_none() => (Driver::Disable, None),
            SslMode::Disable => (Driver::Disable, None),
            SslMode::Allow => (Driver::Disable, Some(Driver::Require)),
            SslMode::Prefer => (Driver::Prefer, Some(Driver::Disable)),
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => (Driver::Require, None),
        };
        let error = match self.once(host, address, first).await? {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let tls_was_used = self.tls.as_ref().is_some_and(|tls| tls.outcome().is_some());
        let refused = error.code().is_some_and(|code| code.code().starts_with("28"));
        let again = match first {
            Driver::Prefer => errors::is_tls(&error) || (tls_was_used && refused),
            _ => refused,
        };
        let error = match second.filter(|_| again) {
            None => error,
            Some(second) => match self.once(host, address, second).await? {
                Ok(found) => {
                    if first == Driver::Prefer {
                        let why = errors::connecting(error);
                        self.warnings.push(format!("the connection is not encrypted: with TLS it failed ({why})"));
                    }
                    return Ok(found);
                }
                // "No TLS here" after a plain refusal adds nothing; any other second answer is the one to act on.
                Err(later) if errors::is_tls(&later) => error,
                Err(later) => {
                    let decisive = errors::is_decisive(&later);
                    let (first, told) = (errors::connecting(error), errors::connecting(later));
                    let same = first.to_string() == told.to_string();
                    return Err(Stop::Server(if same { told } else { both(&first, &told) }, decisive));
                }
            },
        };
        let decisive = errors::is_decisive(&error);
        Err(Stop::Server(errors::connecting(error), decisive))
    }

    async fn once(
        &mut self,
        host: &Endpoint,
        address: Option<IpAddr>,
        mode: config::SslMode,
    ) -> std::result::Result<std::result::Result<Postgres, tokio_postgres::Error>, Stop> {
        let tls = if mode == config::SslMode::Disable {
            Tls::none()
        } else {
            match &self.tls {
                Some(tls) => tls.clone(),
                None => {
                    let tls = Tls::prepare(&self.info.tls, &mut self.warnings).map_err(Stop::Settings)?;
                    self.tls.insert(tls).clone()
                }
            }
        };
        tls.reset();
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => socket::open(self.info, host, address)
                .await
                .map_err(|error| Stop::Server(errors::unreachable_server(&error), false))?,
        };
        let gauge = Arc::<Gauge>::default();
        let direct = self.info.tls.direct && mode == config::SslMode::Require;
        let (asks, require) = (mode != config::SslMode::Disable && !direct, self.info.require_auth.as_ref());
        let stream = Bounded::new(socket, asks, Arc::clone(&gauge)).guarded(require);
        let handshake = socket::Handshake::new(tls.clone(), host, address, require);
        let connected = socket::log_in(self.driver_config(host, mode), stream, handshake).await;
        Ok(connected.map(|(client, connection)| {
            let wire = match (address, tls.outcome()) {
                (None, _) => Wire::Socket,
                (_, Some(trust)) => Wire::Tls(trust),
                (_, None) => Wire::Plain,
            };
            let mut found = Postgres::open(client, connection, gauge, self.info.describe_host(host), wire);
            found.peer = address;
            found
        }))
    }

    fn driver_config(&self, host: &Endpoint, mode: config::SslMode) -> Config {
        let info = self.info;
        let mut config = Config::new();
        config.user(&info.user).dbname(&info.dbname).application_name(&info.application_name).ssl_mode(mode);
        if let Some(password) = self.printed.as_ref().or(host.password.as_ref()) {
            config.password(password.reveal());
        }
        // PgBouncer refuses the field, so it is there only when somebody asked for it.
        if let Some(options) = &info.options {
            config.options(options);
        }
        if info.tls.direct && mode == config::SslMode::Require {
            config.ssl_negotiation(SslNegotiation::Direct);
        }
        config.channel_binding(match info.channel_binding {
            ChannelBinding::Disable => config::ChannelBinding::Disable,
            ChannelBinding::Prefer => config::ChannelBinding::Prefer,
            ChannelBinding::Require => config::ChannelBinding::Require,
        });
        config
    }
}

/// Why an attempt ended.
enum Stop {
    /// The operator's settings are unusable with any server.
    Settings(Error),
    /// This server: the error, and whether it is its last word.
    Server(Error, bool),
}

async fn look_up(name: &str, port: u16) -> Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name, port)).await.map_err(|error| {
        Error::new(ErrorKind::Connect, format!("the host name cannot be looked up: {error}"))
            .with_hint("check its spelling, and this machine's DNS")
    })?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}

/// A server, for people.
fn place(host: &Endpoint, address: Option<IpAddr>) -> String {
    let port = host.port;
    match (&host.place, address) {
        (Place::Socket(directory), _) => Path::new(directory).join(format!(".s.PGSQL.{port}")).display().to_string(),
        (Place::Name(name) | Place::Address(_, Some(name)), Some(address)) => format!("{name}:{port} ({address})"),
        (Place::Name(name) | Place::Address(_, Some(name)), None) => format!("{name}:{port}"),
        (Place::Address(IpAddr::V6(address), None), _) => format!("[{address}]:{port}"),
        (Place::Address(address, None), _) => format!("{address}:{port}"),
    }
}

/// The two answers of a server that was asked with and without TLS.
fn both(first: &Error, second: &Error) -> Error {
    let error = Error::new(ErrorKind::Connect, format!("{second} (and before that: {first})"));
    dress(error, second)
}

/// One error out of all failures.
fn report(mut failures: Vec<Failure>) -> Error {
    if failures.len() <= 1 {
        return match failures.pop() {
            Some(Failure { place, error, .. }) => {
                let message = format!("cannot connect to {place}: {error}");
                dress(Error::new(ErrorKind::Connect, message), &error).with_source(error)
            }
            None => Error::new(ErrorKind::Connect, "there is no server to connect to"),
        };
    }
    let said: Vec<String> = failures.iter().map(|failure| format!("{}: {}", failure.place, failure.error)).collect();
    let error = Error::new(ErrorKind::Connect, format!("cannot connect to any server: {}", said.join("; ")));
    match failures.pop() {
        Some(last) => dress(error, &last.error).with_source(last.error),
        None => error,
    }
}

fn dress(mut error: Error, like: &Error) -> Error {
    if let Some(hint) = like.hint() {
        error = error.with_hint(hint);
    }
    if let Some(code) = like.sqlstate() {
        error = error.with_sqlstate(code);
    }
    error
}
