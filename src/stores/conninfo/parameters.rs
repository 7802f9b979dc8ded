//! libpq's connection parameters: their names, their environment variables, and what `sen` does with each.
//! Reading the texts they come in is left to the neighbours; their meaning to `conninfo`.

use std::collections::BTreeMap;

use sen_model::error::{Error, Result};
use sen_model::secret::remember;

/// Values by parameter name, from one source.
pub(super) type Values = BTreeMap<&'static str, String>;

/// What happens to a parameter that was given.
enum Policy {
    /// It has its effect.
    Used,
    /// It has no effect here and need not: nothing is weakened by that.
    Ignored,
    /// Only these values have an effect we can honour. Anything else is refused: dropping it in silence would
    /// weaken what the operator asked for.
    Only(&'static [&'static str]),
}

struct Known {
    name: &'static str,
    variable: Option<&'static str>,
    policy: Policy,
}

const fn used(name: &'static str, variable: &'static str) -> Known {
    Known { name, variable: Some(variable), policy: Policy::Used }
}

const fn bare(name: &'static str) -> Known {
    Known { name, variable: None, policy: Policy::Used }
}

const fn ignored(name: &'static str, variable: Option<&'static str>) -> Known {
    Known { name, variable, policy: Policy::Ignored }
}

const fn only(name: &'static str, variable: Option<&'static str>, values: &'static [&'static str]) -> Known {
    Known { name, variable, policy: Policy::Only(values) }
}

const KNOWN: &[Known] = &[
    used("host", "PGHOST"),
    used("hostaddr", "PGHOSTADDR"),
    used("port", "PGPORT"),
    used("dbname", "PGDATABASE"),
    used("user", "PGUSER"),
    used("password", "PGPASSWORD"),
    used("passfile", "PGPASSFILE"),
    used("service", "PGSERVICE"),
    used("servicefile", "PGSERVICEFILE"),
    used("options", "PGOPTIONS"),
    used("application_name", "PGAPPNAME"),
    bare("fallback_application_name"),
    used("connect_timeout", "PGCONNECT_TIMEOUT"),
    used("target_session_attrs", "PGTARGETSESSIONATTRS"),
    used("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    used("channel_binding", "PGCHANNELBINDING"),
    bare("keepalives"),
    bare("keepalives_idle"),
    bare("keepalives_interval"),
    bare("keepalives_count"),
    bare("tcp_user_timeout"),
    used("sslmode", "PGSSLMODE"),
    used("sslnegotiation", "PGSSLNEGOTIATION"),
    used("sslcert", "PGSSLCERT"),
    used("sslkey", "PGSSLKEY"),
    used("sslrootcert", "PGSSLROOTCERT"),
    used("sslsni", "PGSSLSNI"),
    used("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    used("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    only("sslcertmode", Some("PGSSLCERTMODE"), &["allow", "disable"]),
    used("sslcrl", "PGSSLCRL"),
    used("sslcrldir", "PGSSLCRLDIR"),
    only("requirepeer", Some("PGREQUIREPEER"), &[]),
    used("require_auth", "PGREQUIREAUTH"),
    only("gssencmode", Some("PGGSSENCMODE"), &["disable", "prefer"]),
    only("replication", None, &["false", "off", "no", "0"]),
    only("min_protocol_version", Some("PGMINPROTOCOLVERSION"), &["3.0"]),
    only("scram_client_key", None, &[]),
    only("scram_server_key", None, &[]),
    only("oauth_issuer", None, &[]),
    only("oauth_client_id", None, &[]),
    only("oauth_client_secret", None, &[]),
    only("oauth_scope", None, &[]),
    only("sslkeylogfile", None, &[]),
    ignored("max_protocol_version", Some("PGMAXPROTOCOLVERSION")),
    ignored("sslpassword", None),
    ignored("sslcompression", Some("PGSSLCOMPRESSION")),
    ignored("client_encoding", Some("PGCLIENTENCODING")),
    ignored("krbsrvname", Some("PGKRBSRVNAME")),
    ignored("gsslib", Some("PGGSSLIB")),
    ignored("gssdelegation", Some("PGGSSDELEGATION")),
];

/// The environment variables of libpq that have a say here, beside `DATABASE_URL`.
///
/// `PGTZ`, `PGDATESTYLE` and `PGGEQO` are left out on purpose: libpq turns them into session settings, and the
/// workers whose rows are read rely on the server's own. A zone of the operator's would shift what `now()` means
/// next to their zone-less columns.
pub fn environment_names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().filter_map(|known| known.variable).chain(["PGREQUIRESSL", "PGSYSCONFDIR"])
}

/// The parameter's own spelling of `name`, if there is such a parameter.
pub(crate) fn canonical(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.name == name).map(|known| known.name)
}

/// Everything the environment says.
pub(super) fn from_environment(env: &dyn Fn(&str) -> Option<String>) -> Values {
    let mut values = Values::new();
    for known in KNOWN {
        if let Some(value) = known.variable.and_then(env) {
            values.insert(known.name, value);
        }
    }
    if !values.contains_key("sslmode") && env("PGREQUIRESSL").is_some_and(|value| value.starts_with('1')) {
        values.insert("sslmode", "require".into());
    }
    values
}

/// The parameters whose values nobody may see.
pub(super) const SECRET: [&str; 5] =
    ["password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"];

/// Keeps the secrets among `values` from every output.
pub(super) fn remember_secrets(values: &Values) {
    SECRET.iter().filter_map(|name| values.get(name)).for_each(|secret| remember(secret));
}

/// What libpq does not take without a value.
const NEVER_EMPTY: [&str; 13] = [
    "sslmode",
    "sslnegotiation",
    "sslcertmode",
    "gssencmode",
    "channel_binding",
    "target_session_attrs",
    "load_balance_hosts",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
];

/// Refuses what is given and empty, as libpq does: it may be a variable that was to be filled in, and the default in its
/// place could be weaker than what was meant.
///
/// # Errors
/// `Usage` naming the parameter and its variable.
pub(super) fn refuse_empty(values: &Values) -> Result<()> {
    let empty = |name: &&str| values.get(*name).is_some_and(String::is_empty);
    let Some(name) = NEVER_EMPTY.iter().find(|name| empty(name)) else { return Ok(()) };
    let variable = KNOWN.iter().find(|known| known.name == *name).and_then(|known| known.variable);
    let variable = variable.map(|name| format!(" (in the URL, the service file or {name})")).unwrap_or_default();
    Err(Error::usage(format!("{name} is given without a value{variable}"))
        .with_hint(format!("give {name} a value, or leave it out")))
}

/// Refuses what cannot be honoured.
///
/// # Errors
/// `Usage` naming the parameter and its variable.
pub(super) fn refuse_unsupported(values: &Values) -> Result<()> {
    for known in KNOWN {
        let Some(value) = values.get(known.name).filter(|value| !value.is_empty()) else { continue };
        let Policy::Only(accepted) = known.policy else { continue };
        if accepted.contains(&value.as_str()) {
            continue;
        }
        let variable = known.variable.map(|name| format!(" ({name})")).unwrap_or_default();
        let hint = if accepted.is_empty() {
            format!("remove {} to connect without it", known.name)
        } else {
            format!("accepted: {}", accepted.join(", "))
        };
        let what = if accepted.is_empty() { "" } else { "this value of " };
        return Err(
            Error::usage(format!("{what}{}{variable} is not supported by this version", known.name)).with_hint(hint)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (name, value) in [("oauth_scope", "/x"), ("requirepeer", "postgres"), ("gssencmode", "require")] {
            let values = Values::from([(canonical(name).unwrap(), value.to_owned())]);
            let error = refuse_unsupported(&values).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        let fine = Values::from([("gssencmode", "disable".to_owned()), ("requirepeer", String::new())]);
        assert!(refuse_unsupported(&fine).is_ok() && refuse_empty(&fine).is_ok());
        for name in NEVER_EMPTY {
            let error = refuse_empty(&Values::from([(canonical(name).unwrap(), String::new())])).unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }

    #[test]
    fn the_operators_zone_has_no_say() {
        assert!(environment_names().all(|name| name != "PGTZ"));
        assert!(environment_names().any(|name| name == "PGSERVICE"));
    }
}
