//! `sen agent rate-limit`: the tenants' buckets of tokens.

use clap::Subcommand;
use futures_util::stream;
use sen_core::error::{Error, Result};
use sen_core::systems::node::request::AgentRequest;
use sen_core::model::columns;
use sen_core::model::value::Value;
use sen_core::systems::node::limits::{self, TokenBucket};
use sen_core::time::Timestamp;

use crate::commands::act::{ActionOptions, apply};
use crate::session::Session;
use crate::views::{CommandOutput, Batch, ListView, View};

/// Show, set or reset the rate limits of tenants
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  sen agent rate-limit get
  sen agent rate-limit get acme
  sen agent rate-limit set acme --capacity 50
  sen agent rate-limit reset acme"
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    Get(GetArgs),
    Set(SetArgs),
    Reset(ResetArgs),
}

/// Show how many tokens a tenant has, as the controller reckons; all tenants without a name
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen agent rate-limit get
  sen agent rate-limit get acme --capacity 200 --refill-rate 20

Capacity and rate are settings of the workers and not in Redis: these are the ones they have unless DEFAULT_RATE_LIMIT or \
RATE_LIMIT_REFILL_RATE was set. A tenant without a bucket has a full one.")]
pub struct GetArgs {
    /// The tenant
    #[arg(value_name = "TENANT")]
    pub tenant: Option<String>,

    /// The workers' capacity
    #[arg(long, default_value_t = limits::CAPACITY, value_name = "N")]
    pub capacity: f64,

    /// The workers' tokens a second
    #[arg(long, default_value_t = limits::REFILL_RATE, value_name = "N")]
    pub refill_rate: f64,
}

/// Fill a tenant's bucket with so many tokens, as the controller does
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen agent rate-limit set acme --capacity 50
  sen agent rate-limit set acme --capacity 0 --reason 'spends too fast'

The limiter keeps neither capacity nor rate: from this moment on the bucket fills at the workers' own rate up to their own \
capacity. So a number below it slows a tenant down for some seconds, and one above it lasts until the next call.")]
pub struct SetArgs {
    /// The tenant
    #[arg(value_name = "TENANT")]
    pub tenant: String,

    /// The tokens in it
    #[arg(long, value_name = "N")]
    pub capacity: f64,

    /// Stored beside them; no component reads it
    #[arg(long, value_name = "N")]
    pub refill_rate: Option<f64>,

    #[command(flatten)]
    options: ActionOptions,
}

/// Remove a tenant's bucket, which fills it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen agent rate-limit reset acme")]
pub struct ResetArgs {
    /// The tenant
    #[arg(value_name = "TENANT")]
    pub tenant: String,

    #[command(flatten)]
    options: ActionOptions,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    match args.verb {
        Verb::Get(args) => get(args, session).await,
        Verb::Set(args) => {
            let number = |number: f64, name: &str| {
                let found = serde_json::Number::from_f64(number).filter(|_| number >= 0.0);
                found.ok_or_else(|| Error::usage(format!("{name} is a number of tokens, 0 or more")))
            };
            let capacity = number(args.capacity, "--capacity")?;
            let refill_rate = args.refill_rate.map(|rate| number(rate, "--refill-rate")).transpose()?;
            let tenant = crate::keys::checked_key(args.tenant)?;
            act(AgentRequest::FillBucket { tenant, capacity, refill_rate }, &args.options, session).await
        }
        Verb::Reset(args) => {
            let tenant = crate::keys::checked_key(args.tenant)?;
            act(AgentRequest::EmptyBucket { tenant }, &args.options, session).await
        }
    }
}

async fn act(request: AgentRequest, options: &ActionOptions, session: &Session) -> Result<CommandOutput> {
    let database = options.agents(session).await?;
    apply(database.agents()?.plan(&request).await?, options, session).await
}

columns! {
    COLUMNS,
    fn bucket_row(bucket: TokenBucket, now: Timestamp, capacity: f64, rate: f64) {
        let number = |number: f64| serde_json::Number::from_f64(number).map(|number| Value::Json(number.to_string()));
        let stored = |stored: Option<f64>| stored.and_then(number).unwrap_or(Value::Null);
        let rounded = |number: f64| stored(Some((number * 1e6).round() / 1e6));
        let tokens = limits::tokens(bucket.tokens, bucket.last_refill, now, capacity, rate);
        let findings: Vec<Value> = bucket.findings.into_iter().map(Value::Text).collect();
    }
    "tenant_id", "TENANT", Whole => Value::Text(bucket.tenant_id);
    "tokens", "TOKENS", Whole => rounded(tokens);
    "capacity", "CAPACITY", Whole => rounded(capacity);
    "refill_rate", "RATE", Whole => rounded(rate);
    "last_refill", "LAST REFILL", Whole => Value::time(bucket.last_refill);
    "stored_tokens", "STORED", Whole => stored(bucket.tokens);
    "stored_refill_rate", "STORED RATE", Wide => stored(bucket.refill_rate);
    "kept_ms", "KEPT FOR", Wide => bucket.ttl_ms.map_or(Value::Null, Value::Millis);
    "findings", "FINDINGS", Short => if findings.is_empty() { Value::Null } else { Value::List(findings) };
}

async fn get(args: GetArgs, session: &Session) -> Result<CommandOutput> {
    let tenant = args.tenant.map(crate::keys::checked_key).transpose()?;
    let database = session.read_agents().await?;
    let (now, buckets) = database.agents()?.buckets(tenant.as_deref()).await?;
    let row = |bucket| bucket_row(bucket, now, args.capacity, args.refill_rate);
    let rows = buckets.into_iter().map(row).collect();
    Ok(CommandOutput::new(View::List(ListView {
        columns: COLUMNS,
        batches: Box::pin(stream::iter([Ok(Batch { rows, note: None })])),
        now,
        tone: None,
        empty: "no tenant has a bucket yet: all of them are full".into(),
        fail_if_empty: false,
    })))
}
