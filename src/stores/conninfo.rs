//! Where a PostgreSQL server is and how to speak to it: libpq's parameters, merged by libpq's rules and checked.
//! Pure but for reading the service and password files; connecting is `postgres`, TLS is `tls`.

mod choices;
mod found;
mod keyvalue;
mod parameters;
mod passfile;
mod person;
mod requirement;
mod service;
mod startup;
mod uri;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use choices::{ChannelBinding, SslMode, TargetSessionAttrs, TlsVersion};
use parameters::Values;
pub(crate) use parameters::canonical;
pub use parameters::environment_names;
#[cfg(feature = "postgres")]
pub(crate) use requirement::Method;
pub use requirement::Requirement;
pub(crate) use uri::{is_plain_word, percent_decode};

use crate::password::PasswordCommand;
use sen_model::error::{Error, Result};
use sen_model::secret::{Secret, remember};

/// Where sockets lie when no host is given: Debian's and Red Hat's directory, then PostgreSQL's own default.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];
const DEFAULT_PORT: u16 = 5432;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach a PostgreSQL database. `Debug` shows no password.
#[derive(Debug, Clone)]
pub struct Conninfo {
    /// The servers to try, in this order.
    pub hosts: Vec<Endpoint>,
    /// The role.
    pub user: String,
    /// The database.
    pub dbname: String,
    /// TLS.
    pub tls: TlsChoice,
    /// The time one host may take from the first packet to the end of authentication; `None` is for ever.
    pub connect_timeout: Option<Duration>,
    /// How long a server that cannot be reached, or takes no connections yet, is tried again. Not one of libpq's.
    pub connect_retry: Duration,
    /// What the session must be able to do.
    pub target_session_attrs: TargetSessionAttrs,
    /// The name shown in `pg_stat_activity`.
    pub application_name: String,
    /// Server settings for the start-up packet, only when the operator gave some: PgBouncer refuses the field.
    pub options: Option<String>,
    /// Whether SCRAM must be tied to the TLS session.
    pub channel_binding: ChannelBinding,
    /// By which methods the server may have us log in; `None` is by any.
    pub require_auth: Option<Requirement>,
    /// TCP keepalives.
    pub keepalives: Keepalives,
    /// How long sent data may stay unacknowledged.
    pub tcp_user_timeout: Option<Duration>,
    /// A program that prints the password, in place of those of the hosts.
    pub password_command: Option<PasswordCommand>,
    /// Whether the URL itself (or the connection string) holds a password.
    pub has_own_password: bool,
    /// Whether the hosts are tried in random order.
    pub shuffle_hosts: bool,
    /// What the operator should know though it stops nothing.
    pub warnings: Vec<String>,
}

/// One server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where it is.
    pub place: Place,
    /// Its port, which names the socket file too.
    pub port: u16,
    /// The password for it: given, or from the password file.
    pub password: Option<Secret>,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The directory of a Unix socket.
    Socket(PathBuf),
    /// A host to look up.
    Name(String),
    /// An address (`hostaddr`, or a host written as one), and the name the certificate is checked against.
    Address(IpAddr, Option<String>),
}

/// TCP keepalives; what is `None` is left to the operating system.
#[derive(Debug, Clone, Copy)]
pub struct Keepalives {
    /// Whether there are any.
    pub on: bool,
    /// Silence before the first.
    pub idle: Option<Duration>,
    /// Time between two.
    pub interval: Option<Duration>,
    /// How many may stay unanswered.
    pub count: Option<u32>,
}

/// Everything said about TLS. Files are named here and read when a handshake needs them.
#[derive(Debug, Clone)]
pub struct TlsChoice {
    /// The mode.
    pub mode: SslMode,
    /// Whom to trust.
    pub roots: Roots,
    /// The client certificate.
    pub certificate: Option<NamedFile>,
    /// Its key.
    pub key: Option<NamedFile>,
    /// What lists the certificates that no longer count.
    pub revoked: Revoked,
    /// Whether the host's name is told to the server in the clear.
    pub sni: bool,
    /// The lowest version.
    pub min: TlsVersion,
    /// The highest version.
    pub max: TlsVersion,
    /// Whether TLS starts without asking first (PostgreSQL 17).
    pub direct: bool,
}

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// The authorities of the operating system.
    System,
    /// Those in this file.
    File(NamedFile),
    /// Nobody: there is neither a setting nor a home directory.
    Nobody,
}

/// Where certificates are listed that were revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    /// A file of such lists.
    pub file: Option<NamedFile>,
    /// A directory of them, named by OpenSSL's hashes.
    pub dir: Option<PathBuf>,
}

/// Who says which database is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The operator.
    Operator,
    /// A file that was found where the operator happens to stand.
    Record,
}

/// A file that was named, or that would be looked for anyway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// Where.
    pub path: PathBuf,
    /// Whether somebody named it; a default that is missing is nothing to talk about.
    pub named: bool,
}

impl Conninfo {
    /// Merges what `text` says (a URI, or `name=value` pairs), the service file, the environment and the defaults.
    ///
    /// # Errors
    /// `Usage`, never with a password in it.
    pub fn resolve(text: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        Self::resolve_from(Origin::Operator, text, false, env)
    }

    /// As [`Self::resolve`]. A database that was found gets nothing out of the operator's files. `driver`: the URL is made
    /// for a driver of Python, whose own parameters are passed over.
    pub(crate) fn resolve_from(
        origin: Origin,
        text: Option<&str>,
        driver: bool,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let text = text.unwrap_or_default().trim();
        let given = match text.split_once("://") {
            Some(("postgresql" | "postgres", rest)) => uri::parse(rest, driver),
            _ => keyvalue::parse(text),
        };
        let given = given.and_then(|given| Self::merge(given, origin, env));
        // A password with a bare / or @ shifts the parts of a URI, so that pieces of it turn up as port, database or
        // parameter, and an honest message about those would print them.
        given.map_err(|error| if uri::has_stray_at(text) { uri::stray_at() } else { error })
    }

    fn merge(mut values: Values, origin: Origin, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let environment = parameters::from_environment(env);
        parameters::remember_secrets(&values);
        parameters::remember_secrets(&environment);
        let home = person::home(env);
        let has_own_password = values.get("password").is_some_and(|password| !password.is_empty());
        if origin == Origin::Record {
            found::refuse(&values)?;
        }
        if let Some(name) = values.get("service").or_else(|| environment.get("service")).cloned() {
            let file = values.get("servicefile").or_else(|| environment.get("servicefile"));
            let file = file.filter(|path| !path.is_empty()).map(PathBuf::from);
            let section = service_section(&name, file, home.as_deref(), env)?;
            parameters::remember_secrets(&section);
            for (key, value) in section {
                values.entry(key).or_insert(value);
            }
        }
        for (key, value) in environment {
            values.entry(key).or_insert(value);
        }
        parameters::refuse_empty(&values)?;
        values.retain(|_, value| !value.is_empty());
        parameters::refuse_unsupported(&values)?;
        Ok(Self { has_own_password, ..Self::build(&values, origin, home.as_deref(), env)? })
    }

    fn build(
        values: &Values,
        origin: Origin,
        home: Option<&Path>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let get = |name: &str| values.get(name).map(String::as_str);
        let user = match get("user") {
            Some(user) => user.to_owned(),
            None => person::user(env).ok_or_else(|| {
                Error::usage("no database user is given and the operating system's user has no name")
                    .with_hint("set PGUSER")
            })?,
        };
        let dbname = get("dbname").unwrap_or(&user).to_owned();
        let options = get("options").map(str::to_owned);
        if let Some(options) = &options {
            startup::refuse_time_zone(options)?;
        }
        let seconds = |name: &str| get(name).map_or(Ok(None), |value| choices::seconds(name, value));
        let mut info = Self {
            hosts: endpoints(get("host"), get("hostaddr"), get("port"))?,
            user,
            dbname,
            tls: tls_choice(values, origin, home)?,
            connect_timeout: match get("connect_timeout") {
                Some(value) => choices::seconds("connect_timeout", value)?,
                None => Some(DEFAULT_TIMEOUT),
            },
            connect_retry: Duration::ZERO,
            target_session_attrs: get("target_session_attrs").map_or(Ok(TargetSessionAttrs::Any), choices::target)?,
            application_name: get("application_name").or(get("fallback_application_name")).unwrap_or("sen").to_owned(),
            options,
            channel_binding: get("channel_binding").map_or(Ok(ChannelBinding::Prefer), choices::channel_binding)?,
            require_auth: get("require_auth").map_or(Ok(None), |value| Requirement::parse(value).map(Some))?,
            keepalives: Keepalives {
                on: get("keepalives")
                    .map_or(Ok(true), |value| choices::number("keepalives", value).map(|on| on != 0))?,
                idle: seconds("keepalives_idle")?,
                interval: seconds("keepalives_interval")?,
                count: get("keepalives_count")
                    .map_or(Ok(None), |value| choices::positive("keepalives_count", value))?,
            },
            tcp_user_timeout: get("tcp_user_timeout")
                .map_or(Ok(None), |value| choices::positive("tcp_user_timeout", value))?
                .map(|millis| Duration::from_millis(u64::from(millis))),
            password_command: None,
            has_own_password: false,
            shuffle_hosts: get("load_balance_hosts")
                .map_or(Ok(false), |value| choices::either("load_balance_hosts", value, "disable", "random"))?,
            warnings: Vec::new(),
        };
        let file = get("passfile").map(PathBuf::from).or(home.map(|home| home.join(".pgpass")));
        // Whoever put the file there that names this host would get the operator's password.
        info.passwords(get("password"), file.filter(|_| origin == Origin::Operator));
        Ok(info)
    }

    /// Gives every host its password: the one given, else the password file's, which is only then read.
    fn passwords(&mut self, given: Option<&str>, file: Option<PathBuf>) {
        if let Some(password) = given {
            for host in &mut self.hosts {
                host.password = Some(Secret::new(password));
            }
            return;
        }
        let content = match file.map(|path| passfile::read(&path)) {
            Some(Ok(Some(content))) => content,
            Some(Err(why)) => return self.warnings.push(why),
            Some(Ok(None)) | None => return,
        };
        for host in &mut self.hosts {
            let name = match &host.place {
                // Only the usual socket directories answer to the name `localhost`; others go by their path.
                Place::Socket(path) if SOCKET_DIRECTORIES.iter().any(|usual| Path::new(usual) == path) => {
                    "localhost".into()
                }
                Place::Socket(path) => path.to_string_lossy().into_owned(),
                Place::Name(name) | Place::Address(_, Some(name)) => name.clone(),
                Place::Address(address, None) => address.to_string(),
            };
            let found = passfile::find(&content, &name, host.port, &self.dbname, &self.user);
            host.password = found.filter(|password| !password.reveal().is_empty());
            if let Some(password) = &host.password {
                remember(password.reveal());
            }
        }
    }

    /// The connection as a URI without secrets: what is shown to people and in plans.
    pub fn describe(&self) -> String {
        self.describe_hosts(&self.hosts.iter().collect::<Vec<_>>())
    }

    /// As [`Conninfo::describe`], for one of the hosts.
    pub fn describe_host(&self, host: &Endpoint) -> String {
        self.describe_hosts(&[host])
    }

    fn describe_hosts(&self, hosts: &[&Endpoint]) -> String {
        let mut out = format!("postgresql://{}@", escape(&self.user));
        for (index, host) in hosts.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let name = match &host.place {
                Place::Socket(path) => escape(&path.to_string_lossy()),
                Place::Name(name) | Place::Address(_, Some(name)) => escape(name),
                Place::Address(IpAddr::V6(address), None) => format!("[{address}]"),
                Place::Address(IpAddr::V4(address), None) => address.to_string(),
            };
            let _ = write!(out, "{comma}{name}:{}", host.port);
        }
        let _ = write!(out, "/{}", escape(&self.dbname));
        out
    }
}

/// Percent-encodes what would change the meaning of a URI, and control characters.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ':' | '/' | '?' | '#' | '[' | ']' | '@' | ',' | '%' | ' ' | '\0'..='\x1f' | '\x7f' => {
                let _ = write!(out, "%{:02X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

fn service_section(
    name: &str,
    file: Option<PathBuf>,
    home: Option<&Path>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Values> {
    let system = env("PGSYSCONFDIR")
        .filter(|dir| !dir.is_empty())
        .map_or_else(|| "/etc/postgresql-common".into(), PathBuf::from);
    let files = [file.or_else(|| home.map(|home| home.join(".pg_service.conf"))), Some(system.join("pg_service.conf"))];
    let mut looked = Vec::new();
    for path in files.into_iter().flatten() {
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                looked.push(format!("{} (not there)", path.display()));
                continue;
            }
            Err(error) => {
                return Err(Error::usage(format!("cannot read the service file {}", path.display())).with_source(error));
            }
        };
        if let Some(values) = service::find(&String::from_utf8_lossy(&content), name, &path)? {
            return Ok(values);
        }
        looked.push(path.display().to_string());
    }
    Err(Error::usage(format!("service {name:?} is not defined")).with_hint(format!("looked in {}", looked.join(", "))))
}

fn endpoints(host: Option<&str>, address: Option<&str>, port: Option<&str>) -> Result<Vec<Endpoint>> {
    let list = |text: Option<&str>| -> Vec<String> {
        text.map(|text| text.split(',').map(|one| one.trim().to_owned()).collect()).unwrap_or_default()
    };
    let (hosts, addresses, ports) = (list(host), list(address), list(port));
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err(Error::usage(format!("{} hosts and {} host addresses are given", hosts.len(), addresses.len())));
    }
    let count = hosts.len().max(addresses.len()).max(1);
    if ports.len() > 1 && ports.len() != count {
        return Err(Error::usage(format!("{} ports are given for {count} hosts", ports.len())));
    }
    let mut out = Vec::new();
    for index in 0..count {
        let port = match ports.get(index).or(ports.first().filter(|_| ports.len() == 1)).filter(|port| !port.is_empty())
        {
            None => DEFAULT_PORT,
            // Not quoted: in `postgresql://user:password`, whose host got lost, it is the password.
            Some(text) => text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| {
                Error::usage("a port of the database is no number from 1 to 65535")
                    .with_hint("write postgresql://user:password@host:port/database")
            })?,
        };
        let host = hosts.get(index).filter(|host| !host.is_empty());
        let address = addresses.get(index).filter(|address| !address.is_empty());
        let place = match (host, address) {
            (host, Some(address)) => {
                let address = address.parse().map_err(|_| Error::usage(format!("{address:?} is no IP address")))?;
                Place::Address(address, host.cloned())
            }
            (Some(host), None) if host.starts_with('/') => Place::Socket(host.into()),
            (Some(host), None) if host.starts_with('@') => {
                return Err(Error::usage("sockets in the abstract namespace are not supported by this version"));
            }
            (Some(host), None) => {
                host.parse().map_or_else(|_| Place::Name(host.clone()), |address| Place::Address(address, None))
            }
            (None, None) => {
                out.extend(SOCKET_DIRECTORIES.map(|dir| Endpoint {
                    place: Place::Socket(dir.into()),
                    port,
                    password: None,
                }));
                continue;
            }
        };
        out.push(Endpoint { place, port, password: None });
    }
    Ok(out)
}

fn tls_choice(values: &Values, origin: Origin, home: Option<&Path>) -> Result<TlsChoice> {
    let get = |name: &str| values.get(name).map(String::as_str);
    let file = |name: &str, default: &str| match get(name) {
        Some(path) => Some(NamedFile { path: path.into(), named: true }),
        None => home.map(|home| NamedFile { path: home.join(".postgresql").join(default), named: false }),
    };
    let system = get("sslrootcert") == Some("system");
    let mode = match get("sslmode") {
        Some(mode) => choices::sslmode(mode)?,
        None if system => SslMode::VerifyFull,
        None => SslMode::Prefer,
    };
    if system && mode != SslMode::VerifyFull {
        return Err(Error::usage("a weaker sslmode than verify-full makes no sense with sslrootcert=system")
            .with_hint("anybody can get a certificate from a public authority, so the name must be checked"));
    }
    if get("sslkey").is_some_and(|key| key.contains(':') && !Path::new(key).exists()) {
        return Err(Error::usage("client keys kept in an OpenSSL engine are not supported by this version"));
    }
    let version = |name: &str, default| get(name).map_or(Ok(default), |value| choices::tls_version(name, value));
    let choice = TlsChoice {
        mode,
        roots: if system { Roots::System } else { file("sslrootcert", "root.crt").map_or(Roots::Nobody, Roots::File) },
        // The certificate says who the operator is, so it is no more for a host that was found than a password.
        certificate: file("sslcert", "postgresql.crt")
            .filter(|_| origin == Origin::Operator && get("sslcertmode") != Some("disable")),
        key: file("sslkey", "postgresql.key"),
        // As libpq: the usual file is looked for where neither a file nor a directory is named.
        revoked: match get("sslcrldir") {
            Some(dir) => Revoked {
                file: get("sslcrl").map(|path| NamedFile { path: path.into(), named: true }),
                dir: Some(dir.into()),
            },
            None => Revoked { file: file("sslcrl", "root.crl"), dir: None },
        },
        sni: get("sslsni").map_or(Ok(true), |value| choices::switch("sslsni", value))?,
        min: version("ssl_min_protocol_version", TlsVersion::V12)?,
        max: version("ssl_max_protocol_version", TlsVersion::V13)?,
        direct: get("sslnegotiation")
            .map_or(Ok(false), |value| choices::either("sslnegotiation", value, "postgres", "direct"))?,
    };
    if choice.min > choice.max {
        return Err(Error::usage("ssl_min_protocol_version is above ssl_max_protocol_version"));
    }
    if choice.direct && choice.mode < SslMode::Require {
        return Err(Error::usage("sslnegotiation=direct needs sslmode=require or stricter"));
    }
    Ok(choice)
}

#[cfg(test)]
mod tests;
