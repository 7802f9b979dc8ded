//! Where a Redis (or Valkey) server is and how to speak to it: URLs as redis-py and redis-cli read them, checked.
//! Pure; connecting is `stores::redis`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::conninfo::{NamedFile, Revoked, Roots, SslMode, TlsChoice, TlsVersion, is_plain_word, percent_decode};
use crate::password::PasswordCommand;
use sen_model::error::{Error, Result};
use sen_model::secret::{Secret, remember};

const DEFAULT_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const EXAMPLES: &str = "write redis://[user:password@]host[:port][/db], rediss://… for TLS, redis+unix:///path?db=0, or redis+sentinel://host:26379,host:26379/name/0";

/// How to reach a Redis database. `Debug` shows no password.
#[derive(Debug, Clone)]
pub struct RedisInfo {
    /// Where the server is.
    pub place: RedisPlace,
    /// The user of its access list; the default one when `None`.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// A program that prints the password, in place of one that is given.
    pub password_command: Option<PasswordCommand>,
    /// The number of the database.
    pub db: u32,
    /// TLS, where it is wanted.
    pub tls: Option<TlsChoice>,
    /// The time that connecting may take, from the first packet to the end of authentication.
    pub connect_timeout: Duration,
    /// How long a server that cannot be reached, or takes no connections yet, is tried again.
    pub connect_retry: Duration,
    /// Whether what is read may come from a replica.
    pub prefer_replica: bool,
    /// What the operator should know though it stops nothing.
    pub warnings: Vec<String>,
}

/// Where a Redis server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisPlace {
    /// A Unix socket.
    Socket(PathBuf),
    /// A host and a port.
    Host(String, u16),
    /// Wherever the sentinels say that the primary is.
    Sentinels(Sentinels),
}

/// The sentinels that watch over a primary and its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentinels {
    /// Where they are.
    pub hosts: Vec<(String, u16)>,
    /// What they call the primary.
    pub name: String,
    /// The user they want, of their own access list.
    pub user: Option<String>,
    /// The password they want.
    pub password: Option<Secret>,
}

/// Parameters of redis-py's URLs that change nothing here.
const IGNORED: &[&str] = &[
    "client_name",
    "decode_responses",
    "encoding",
    "encoding_errors",
    "health_check_interval",
    "max_connections",
    "protocol",
    "retry_on_timeout",
    "socket_keepalive",
    "socket_timeout",
    "timeout",
    "virtual_host",
];

impl RedisInfo {
    /// Reads what follows `scheme:`; `scheme` is one of `redis`, `rediss`, `valkey`, `valkeys`, with or without `+unix`,
    /// or `unix`; or with `+sentinel`.
    ///
    /// # Errors
    /// `Usage`; what is said never holds a password, nor a text that could be part of one.
    pub fn parse(scheme: &str, rest: &str) -> Result<Self> {
        let (base, driver) = scheme.split_once('+').map_or((scheme, None), |(base, driver)| (base, Some(driver)));
        let (mut socket, mut watched) = (false, false);
        match (base, driver) {
            ("unix", None) | (_, Some("unix" | "socket")) => socket = true,
            (_, Some("sentinel")) => watched = true,
            (_, None) => {}
            (_, Some("tls" | "ssl")) => return Err(bad("TLS is asked for with rediss://")),
            (_, Some(_)) => return Err(bad("the URL's scheme has a suffix that is not known here")),
        }
        let rest = rest.strip_prefix("//").ok_or_else(|| bad("the Redis URL lacks // after its scheme"))?;
        let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(rest, mark)| (rest, Some(mark)));
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if path.contains('@') || query.contains('@') && !query.contains('=') {
            return Err(bad("an unescaped @, / or ? is left over").with_hint("in a password write them %40, %2F, %3F"));
        }
        let (who, host) = authority.rsplit_once('@').map_or(("", authority), |(who, host)| (who, host));
        let (place, db) = match path.trim_matches('/') {
            _ if socket => (RedisPlace::Socket(socket_path(host, path)?), ""),
            path if watched => sentinels(host, path)?,
            path => (a_host(host)?, path),
        };
        let mut info = Self {
            place,
            user: None,
            password: None,
            password_command: None,
            db: 0,
            tls: matches!(base, "rediss" | "valkeys").then(verified),
            connect_timeout: DEFAULT_TIMEOUT,
            connect_retry: Duration::ZERO,
            prefer_replica: false,
            warnings: Vec::new(),
        };
        info.credentials(who)?;
        if !db.is_empty() {
            info.db = number(db)?;
        }
        let mut secret_near = false;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = percent_decode(name, "name of a parameter")?;
            info.parameter(&name, value, secret_near)?;
            secret_near |= name == "password";
        }
        match fragment {
            None | Some("") => {}
            Some("insecure") if info.tls.is_some() => info.unverified(),
            Some(_) => return Err(bad("what follows # is not known here").with_hint("a # in a password is %23")),
        }
        // Without a colon a password was meant, most likely: then it must not go on as a name.
        if !who.is_empty() && !who.contains(':') && info.password.is_none() {
            return Err(user_alone());
        }
        if socket && info.tls.is_some() {
            return Err(bad("a Unix socket carries no TLS"));
        }
        Ok(info)
    }

    /// Refuses a user for whom there is neither a password nor a program that prints one.
    ///
    /// # Errors
    /// `Usage`.
    pub fn refuse_user_alone(&self) -> Result<()> {
        match self.user.is_some() && self.password.is_none() && self.password_command.is_none() {
            true => Err(user_alone()),
            false => Ok(()),
        }
    }

    fn credentials(&mut self, who: &str) -> Result<()> {
        let (user, password) = who.split_once(':').map_or((who, None), |(user, password)| (user, Some(password)));
        if !user.is_empty() {
            self.user = Some(percent_decode(user, "user name")?);
        }
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            self.password = Some(a_password(password)?);
        }
        Ok(())
    }

    /// Takes one parameter. `secret_near`: a password stood before it, whose rest, cut off by a bare `&`, it may be.
    fn parameter(&mut self, name: &str, value: &str, secret_near: bool) -> Result<()> {
        let decoded = || percent_decode(value, "value of a parameter");
        match name {
            "db" => self.db = number(value)?,
            "username" => self.user = Some(decoded()?).filter(|user| !user.is_empty()),
            "password" => self.password = Some(a_password(value)?),
            "socket_connect_timeout" => {
                let seconds = value.parse::<f64>().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
                let seconds = seconds.ok_or_else(|| bad("socket_connect_timeout is a number of seconds"))?;
                self.connect_timeout = Duration::from_secs_f64(seconds.max(0.001));
            }
            "ssl_cert_reqs" | "ssl_check_hostname" | "ssl_ca_certs" | "ssl_certfile" | "ssl_keyfile" => {
                let value = decoded()?;
                self.tls_parameter(name, &value)?;
            }
            "sentinel_username" | "sentinel_password" => {
                let RedisPlace::Sentinels(sentinels) = &mut self.place else {
                    return Err(bad(&format!("{name} is about sentinels, which are asked with redis+sentinel://")));
                };
                match name {
                    "sentinel_username" => sentinels.user = Some(decoded()?).filter(|user| !user.is_empty()),
                    _ => sentinels.password = Some(a_password(value)?),
                }
            }
            name if IGNORED.contains(&name) => {}
            name => {
                let told = if secret_near || !is_plain_word(name) {
                    "a parameter of the Redis URL is not known here".to_owned()
                } else {
                    format!("{name:?} is no parameter of a Redis URL known here")
                };
                return Err(bad(&told).with_hint(
                    "known: db, username, password, socket_connect_timeout, ssl_cert_reqs, ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_check_hostname, sentinel_username, sentinel_password",
                ));
            }
        }
        Ok(())
    }

    fn tls_parameter(&mut self, name: &str, value: &str) -> Result<()> {
        let Some(tls) = &mut self.tls else {
            return Err(bad(&format!("{name} is about TLS, which redis:// does not use")).with_hint("write rediss://"));
        };
        let named = || Some(NamedFile { path: value.into(), named: true });
        match (name, value.to_ascii_lowercase().as_str()) {
            ("ssl_cert_reqs", "none" | "cert_none") => self.unverified(),
            ("ssl_cert_reqs", "required" | "cert_required" | "optional" | "cert_optional") => {}
            ("ssl_check_hostname", "false" | "no" | "0") if tls.mode == SslMode::VerifyFull => {
                tls.mode = SslMode::VerifyCa;
            }
            ("ssl_check_hostname", "true" | "yes" | "1" | "false" | "no" | "0") => {}
            ("ssl_cert_reqs", _) => return Err(bad("ssl_cert_reqs is none or required")),
            ("ssl_check_hostname", _) => return Err(bad("ssl_check_hostname is true or false")),
            ("ssl_ca_certs", _) if tls.mode == SslMode::Require => {}
            ("ssl_ca_certs", _) => tls.roots = Roots::File(NamedFile { path: value.into(), named: true }),
            ("ssl_certfile", _) => tls.certificate = named(),
            _ => tls.key = named(),
        }
        Ok(())
    }

    fn unverified(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.mode = SslMode::Require;
            tls.roots = Roots::Nobody;
        }
        self.warnings.push("the Redis server's certificate is not verified: it could be anybody".into());
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "rediss" } else { "redis" }
    }

    /// The database as a URL without secrets.
    pub fn describe(&self) -> String {
        let mut out = String::new();
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        match &self.place {
            RedisPlace::Socket(path) => {
                let _ = write!(out, "redis+unix://{user}{}?db={}", path.display(), self.db);
            }
            RedisPlace::Host(host, port) => {
                let _ = write!(out, "{}://{user}{}/{}", self.scheme(), shown(host, *port), self.db);
            }
            RedisPlace::Sentinels(Sentinels { hosts, name, .. }) => {
                let hosts: Vec<String> = hosts.iter().map(|(host, port)| shown(host, *port)).collect();
                let _ = write!(out, "{}+sentinel://{user}{}/{name}/{}", self.scheme(), hosts.join(","), self.db);
            }
        }
        out
    }
}

/// A host and its port, for people.
pub(crate) fn shown(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A password as written in the URL, which is kept from every output in this form, too.
fn a_password(raw: &str) -> Result<Secret> {
    remember(raw);
    let password = percent_decode(raw, "password")?;
    remember(&password);
    Ok(Secret::new(password))
}

fn user_alone() -> Error {
    bad("the Redis URL names a user and no password").with_hint(
        "a password alone is written after a colon: redis://:password@host; a user whose password a program prints before one: redis://user:@host",
    )
}

fn bad(message: &str) -> Error {
    Error::usage(message).with_hint(EXAMPLES)
}

/// As redis-py: who answers must have a certificate for the host from an authority of the operating system.
fn verified() -> TlsChoice {
    TlsChoice {
        mode: SslMode::VerifyFull,
        roots: Roots::System,
        certificate: None,
        key: None,
        revoked: Revoked::default(),
        sni: true,
        min: TlsVersion::V12,
        max: TlsVersion::V13,
        direct: false,
    }
}

fn number(text: &str) -> Result<u32> {
    text.parse().map_err(|_| bad("the number of the Redis database is not a whole number"))
}

fn socket_path(host: &str, path: &str) -> Result<PathBuf> {
    let path = percent_decode(&format!("{host}{path}"), "path of the socket")?;
    if path.is_empty() {
        return Err(bad("the path of the Redis socket is missing"));
    }
    Ok(path.into())
}

fn a_host(text: &str) -> Result<RedisPlace> {
    if text.contains(',') {
        return Err(bad("several hosts are only taken with sentinels: name the primary, or write redis+sentinel://"));
    }
    host_and_port(text, DEFAULT_PORT).map(|(host, port)| RedisPlace::Host(host, port))
}

/// The sentinels, and what is left of the path: the number of the database.
fn sentinels<'a>(hosts: &str, path: &'a str) -> Result<(RedisPlace, &'a str)> {
    let (name, db) = path.split_once('/').unwrap_or((path, ""));
    let name = percent_decode(name, "name of the primary")?;
    if name.is_empty() {
        return Err(bad("the URL lacks the name that the sentinels know the primary by"));
    }
    let hosts = hosts.split(',').map(|host| host_and_port(host, SENTINEL_PORT)).collect::<Result<_>>()?;
    Ok((RedisPlace::Sentinels(Sentinels { hosts, name, user: None, password: None }), db))
}

fn host_and_port(text: &str, default: u16) -> Result<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(|| bad("a [ in the Redis URL is not closed"))?;
            match after {
                "" => (host, None),
                after => (host, Some(after.strip_prefix(':').ok_or_else(|| bad("a : before the port is missing"))?)),
            }
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port.filter(|port| !port.is_empty()) {
        None => default,
        // The text may be a password whose host got lost: it is not repeated.
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| bad("the port of the Redis URL is not a number from 1 to 65535"))?,
    };
    let host = percent_decode(host, "host")?;
    Ok((if host.is_empty() { "localhost".into() } else { host }, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(url: &str) -> Result<RedisInfo> {
        let (scheme, rest) = url.split_once(':').unwrap();
        RedisInfo::parse(scheme, rest)
    }

    #[test]
    fn known_shapes() {
        let cases = [
            ("redis://h", "redis://h:6379/0"),
            ("redis://", "redis://localhost:6379/0"),
            ("valkey://h:1/3", "redis://h:1/3"),
            ("redis://:pw@h/0", "redis://h:6379/0"),
            ("redis://maria:p%40w@h:6380/2", "redis://maria@h:6380/2"),
            ("redis://h?db=4", "redis://h:6379/4"),
            ("redis://[::1]:7/1", "redis://[::1]:7/1"),
            ("rediss://u:p@h", "rediss://u@h:6379/0"),
            ("rediss://:pw@master.cache.amazonaws.example:6379", "rediss://master.cache.amazonaws.example:6379/0"),
            ("rediss://default:pw@eu1-x.upstash.example", "rediss://default@eu1-x.upstash.example:6379/0"),
            (
                "redis+sentinel://u:pw@h1,h2:7,[::1]:8/my%20master/3?sentinel_password=pw2",
                "redis+sentinel://u@h1:26379,h2:7,[::1]:8/my master/3",
            ),
            ("rediss+sentinel://h/m", "rediss+sentinel://h:26379/m/0"),
            ("redis+unix:///run/r.sock?db=2", "redis+unix:///run/r.sock?db=2"),
            ("unix://:pw@/run/r.sock", "redis+unix:///run/r.sock?db=0"),
        ];
        for (url, shown) in cases {
            assert_eq!(parse(url).unwrap().describe(), shown, "{url}");
        }
        let info = parse("redis://maria:p%40w@h").unwrap();
        assert_eq!(info.password.unwrap().reveal(), "p@w");
        assert_eq!(parse("redis://h?username=a&password=b").unwrap().user.as_deref(), Some("a"));
        for alone in ["redis://maria:@h", "redis://h?username=maria"] {
            let mut info = parse(alone).unwrap();
            assert!(info.refuse_user_alone().unwrap_err().to_string().contains("a user and no password"));
            info.password_command = Some(PasswordCommand::parse("true").unwrap());
            assert!(info.refuse_user_alone().is_ok());
        }
    }

    #[test]
    fn tls() {
        let choice = |url: &str| parse(url).unwrap().tls.unwrap();
        assert_eq!(choice("rediss://h").mode, SslMode::VerifyFull);
        assert_eq!(choice("rediss://h?ssl_check_hostname=false").mode, SslMode::VerifyCa);
        assert_eq!(choice("rediss://h?ssl_cert_reqs=none&ssl_ca_certs=/x").mode, SslMode::Require);
        assert_eq!(choice("rediss://h#insecure").mode, SslMode::Require);
        assert_eq!(parse("rediss://h#insecure").unwrap().warnings.len(), 1);
        let roots = Roots::File(NamedFile { path: "/ca.pem".into(), named: true });
        assert_eq!(choice("valkeys://h?ssl_ca_certs=/ca.pem").roots, roots);
        assert!(parse("redis://h").unwrap().tls.is_none());
    }

    #[test]
    fn refusals_name_no_secret() {
        for url in [
            "redis:hunter2@h",
            "redis://hunter2@h",
            "redis://u:p/hunter2@h",
            "redis://u:p?hunter2@h",
            "redis://h:hunter2",
            "redis://h/hunter2",
            "redis://h?sslmode=hunter2",
            "redis://h?password=a&hunter2=1",
            "redis://h?password=a&hunter2",
            "redis://h?p%40hunter2=1",
            "redis://h?hunter2",
            "redis://h?ssl_ca_certs=hunter2",
            "redis://h1,h2",
            "redis+sentinel://h",
            "redis+sentinel://h/m/hunter2",
            "redis+sentinel://h,h:hunter2/m",
            "redis://h?sentinel_password=hunter2",
            "redis+x://h",
            "rediss+unix:///p",
            "redis+unix://",
            "rediss://h#hunter2",
            "redis://[::1",
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind(), sen_model::error::ErrorKind::Usage);
            assert!(!format!("{error:?}").contains("hunter2"), "{url}: {error:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_a_usage_error(text in "(?s).{0,60}") {
            if let Err(error) = RedisInfo::parse("redis", &format!("//{text}")) {
                prop_assert_eq!(error.kind(), sen_model::error::ErrorKind::Usage);
            }
        }
    }
}
