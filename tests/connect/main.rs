//! Connecting to real PostgreSQL servers: TLS modes, log-in, several hosts, lost connections, poolers.

#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod certificates;
mod fake;
#[path = "../harness/mod.rs"]
mod harness;
mod hosts;
mod libpq;
mod login;
mod pooler;
mod requirement;
mod revoked;
mod server;
mod tls;

use sen_core::error::{Error, Result};
use sen_core::stores::postgres::Postgres;
use sen_core::stores::url::Target;

/// Resolves `url` with `env` as the whole environment and connects, as the tool does: on one thread.
fn connect_with(url: &str, env: &[(&str, &str)]) -> Result<Postgres> {
    runtime().block_on(open(url, env))
}

async fn open(url: &str, env: &[(&str, &str)]) -> Result<Postgres> {
    let env: Vec<_> = [("HOME", "/nonexistent")].iter().chain(env).copied().collect();
    let find = |name: &str| env.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let Target::Postgres(info) = Target::resolve(Some(url), &find)? else { panic!("{url} is not PostgreSQL") };
    Postgres::connect(&info).await
}

fn connect(url: &str) -> Result<Postgres> {
    connect_with(url, &[])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Everything an error tells anybody, for assertions on what must and must not be in it.
fn told(error: &Error) -> String {
    format!("{error} | {:?} | {:?} | {error:?}", error.hint(), error.causes())
}
