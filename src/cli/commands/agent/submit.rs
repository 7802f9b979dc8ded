//! `sen agent submit`.

use sen_core::error::{Error, Result};
use sen_core::systems::node::request::{AgentRequest, Submission};

use crate::commands::act::{ActionOptions, apply};
use crate::commands::reconcile::read_json;
use crate::session::Session;
use crate::views::CommandOutput;

/// Queue a new agent task, as the controller does
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen agent submit --tenant acme --type research --params '{\"query\":\"what is new\"}'
  sen agent submit --tenant acme --type research --params @task.json --id task_nightly20261120
  sen agent submit --tenant acme --type research -o json | jq -r '.results[0].subject'

With --id the same submission can be tried again: it is never queued twice under one id (exit code 5).")]
pub struct Args {
    /// Whose task it is
    #[arg(long, value_name = "NAME")]
    pub tenant: String,

    /// What it does
    #[arg(long = "type", value_name = "TYPE")]
    pub task_type: String,

    /// Which kind of agent does it
    #[arg(long, default_value = "prompt-based", value_name = "KIND")]
    pub agent: String,

    /// Its parameters, a JSON object (or @FILE, or - for stdin)
    #[arg(long, default_value = "{}", value_name = "JSON", allow_hyphen_values = true)]
    pub params: String,

    /// What it may cost, in US dollars; 0 for no limit
    #[arg(long, default_value_t = 10.0, value_name = "USD")]
    pub cost_limit: f64,

    /// How often it may be tried
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_attempts: u32,

    /// Its id, instead of a random one
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,

    #[command(flatten)]
    options: ActionOptions,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let limit = serde_json::Number::from_f64(args.cost_limit).filter(|_| args.cost_limit >= 0.0);
    let limit = limit.ok_or_else(|| Error::usage("--cost-limit is an amount of US dollars, 0 or more"))?;
    if args.tenant.is_empty() || args.task_type.is_empty() {
        return Err(Error::usage("a task needs a tenant and a type"));
    }
    let submission = Submission {
        id: args.id.map(crate::keys::checked_key).transpose()?,
        tenant: args.tenant,
        task_type: args.task_type,
        agent_type: args.agent,
        params: read_json(&args.params, "parameters")?,
        cost_limit: Some(limit).filter(|_| args.cost_limit > 0.0),
        max_attempts: args.max_attempts,
    };
    let request = AgentRequest::Submit(Box::new(submission));
    let database = args.options.agents(session).await?;
    apply(database.agents()?.plan(&request).await?, &args.options, session).await
}
