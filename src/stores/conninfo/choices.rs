//! The closed sets among the connection parameters, and how numbers and switches in them are read.

use std::time::Duration;

use sen_model::error::{Error, Result};

/// `sslmode`, with libpq's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// Without TLS first, with it when the server insists.
    Allow,
    /// With TLS first, without it when that fails.
    Prefer,
    /// TLS, and whoever answers is believed unless a root certificate is at hand.
    Require,
    /// TLS, and the certificate must lead to a trusted root.
    VerifyCa,
    /// As before, and it must be for the host that was asked for.
    VerifyFull,
}

/// `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetSessionAttrs {
    /// Whatever answers.
    Any,
    /// A session that can write.
    ReadWrite,
    /// A session that cannot.
    ReadOnly,
    /// A server that is not in recovery.
    Primary,
    /// A server in recovery.
    Standby,
    /// A standby if there is one, else whatever answers.
    PreferStandby,
}

/// `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where both sides can.
    Prefer,
    /// Or no connection.
    Require,
}

/// A TLS version, for `ssl_min_protocol_version` and `ssl_max_protocol_version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

fn invalid(name: &str, value: &str, accepted: &[&str]) -> Error {
    Error::usage(format!("{value:?} is no value for {name}")).with_hint(format!("accepted: {}", accepted.join(", ")))
}

fn pick<T: Copy>(name: &str, value: &str, choices: &[(&str, T)]) -> Result<T> {
    choices.iter().find(|(text, _)| *text == value).map(|(_, choice)| *choice).ok_or_else(|| {
        let accepted: Vec<&str> = choices.iter().map(|(text, _)| *text).collect();
        invalid(name, value, &accepted)
    })
}

pub(super) fn sslmode(value: &str) -> Result<SslMode> {
    pick(
        "sslmode",
        value,
        &[
            ("disable", SslMode::Disable),
            ("allow", SslMode::Allow),
            ("prefer", SslMode::Prefer),
            ("require", SslMode::Require),
            ("verify-ca", SslMode::VerifyCa),
            ("verify-full", SslMode::VerifyFull),
        ],
    )
}

pub(super) fn target(value: &str) -> Result<TargetSessionAttrs> {
    pick(
        "target_session_attrs",
        value,
        &[
            ("any", TargetSessionAttrs::Any),
            ("read-write", TargetSessionAttrs::ReadWrite),
            ("read-only", TargetSessionAttrs::ReadOnly),
            ("primary", TargetSessionAttrs::Primary),
            ("standby", TargetSessionAttrs::Standby),
            ("prefer-standby", TargetSessionAttrs::PreferStandby),
        ],
    )
}

pub(super) fn channel_binding(value: &str) -> Result<ChannelBinding> {
    pick(
        "channel_binding",
        value,
        &[
            ("disable", ChannelBinding::Disable),
            ("prefer", ChannelBinding::Prefer),
            ("require", ChannelBinding::Require),
        ],
    )
}

/// Versions before 1.2 are accepted as a floor or refused as a ceiling: nothing below 1.2 is ever spoken here.
pub(super) fn tls_version(name: &str, value: &str) -> Result<TlsVersion> {
    let old = if name == "ssl_min_protocol_version" { &["TLSv1", "TLSv1.1"][..] } else { &[] };
    if old.iter().any(|text| text.eq_ignore_ascii_case(value)) {
        return Ok(TlsVersion::V12);
    }
    match value.to_ascii_lowercase().as_str() {
        "tlsv1.2" => Ok(TlsVersion::V12),
        "tlsv1.3" => Ok(TlsVersion::V13),
        _ => Err(invalid(name, value, &["TLSv1.2", "TLSv1.3"])),
    }
}

/// A `0` or `1`, as libpq wants its switches.
pub(super) fn switch(name: &str, value: &str) -> Result<bool> {
    pick(name, value, &[("0", false), ("1", true)])
}

/// One of two words.
pub(super) fn either(name: &str, value: &str, no: &str, yes: &str) -> Result<bool> {
    pick(name, value, &[(no, false), (yes, true)])
}

/// A whole number.
pub(super) fn number(name: &str, value: &str) -> Result<i64> {
    value.trim().parse().map_err(|_| {
        Error::usage(format!("{value:?} is no value for {name}")).with_hint("write a whole number without a unit")
    })
}

/// A whole number; zero and below mean "not set".
pub(super) fn positive(name: &str, value: &str) -> Result<Option<u32>> {
    let number = number(name, value)?;
    Ok(u32::try_from(number.min(i64::from(i32::MAX))).ok().filter(|number| *number > 0))
}

/// Whole seconds; zero and below mean "not set".
pub(super) fn seconds(name: &str, value: &str) -> Result<Option<Duration>> {
    Ok(positive(name, value)?.map(|seconds| Duration::from_secs(u64::from(seconds))))
}
