//! What tasks have cost, per tenant and day.
//!
//! The truth is in the checkpoints: each holds its calls of language models with their times. The hash holds the cost of a
//! task only until its worker saves the task as a whole when it ends, and then says 0.0 again: the controller, which sums
//! the hashes, reports too little.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;

use super::checkpoint::Checkpoint;
use super::port::Depth;
use super::record::Task;
use super::view::amount;
use crate::handle::Node;
use sen_model::columns;
use sen_model::error::Result;
use sen_model::time::Timestamp;
use sen_model::value::{Row, Value};

/// What tasks have cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Costs {
    /// The server's clock.
    pub now: Timestamp,
    /// Under [`COST_COLUMNS`].
    pub rows: Vec<Row>,
    /// The sum of the model calls in the checkpoints, in US dollars.
    pub spent: f64,
    /// The sum of the hashes, which is what the controller reports.
    pub reported: f64,
}

/// A sum.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sum {
    tasks: i64,
    calls: i64,
    tokens: i64,
    cost: f64,
    hashes: f64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.tasks += other.tasks;
        self.calls += other.calls;
        self.tokens += other.tokens;
        self.cost += other.cost;
        self.hashes += other.hashes;
    }
}

/// Costs added up as tasks pass.
#[derive(Debug, Default)]
struct Ledger {
    tenants: BTreeMap<String, (Sum, BTreeMap<String, Sum>)>,
}

/// The day of a moment in UTC; what has no time stands under the empty day.
fn day(moment: Option<Timestamp>) -> String {
    moment.map(|moment| moment.to_string().chars().take(10).collect()).unwrap_or_default()
}

impl Ledger {
    /// Adds a task. What a checkpoint says beyond its calls, and a hash without a checkpoint, stand under the task's last
    /// day.
    fn enter(&mut self, task: &Task, checkpoint: Option<&Checkpoint>) {
        let (total, days) = self.tenants.entry(task.tenant_id.clone().unwrap_or_default()).or_default();
        let mut own: BTreeMap<String, Sum> = BTreeMap::new();
        let mut told = 0.0;
        for call in checkpoint.iter().flat_map(|checkpoint| &checkpoint.calls) {
            let tokens = call.total_tokens.unwrap_or(0);
            own.entry(day(call.at)).or_default().add(Sum { calls: 1, tokens, cost: call.cost, ..Sum::default() });
            told += call.cost;
        }
        let cost = checkpoint.map_or(0.0, Checkpoint::cost).max(task.cost);
        let rest = cost - told;
        if rest > 1e-9 {
            let last = checkpoint.and_then(|checkpoint| checkpoint.updated_at).or(task.updated_at);
            own.entry(day(last)).or_default().cost += rest;
        }
        total.add(Sum { tasks: 1, hashes: task.cost, ..Sum::default() });
        for (day, mut sum) in own {
            total.add(sum);
            sum.tasks = 1;
            days.entry(day).or_default().add(sum);
        }
    }

    /// The rows, and the sum of all.
    fn rows(&self, recorded: &BTreeMap<(String, String), BTreeMap<String, String>>) -> (Vec<Row>, Sum) {
        let mut out = Vec::new();
        let mut all = Sum::default();
        for (tenant, (total, days)) in &self.tenants {
            for (day, sum) in days {
                let noted = recorded.get(&(tenant.clone(), day.clone()));
                out.push(row(Some(tenant), Some(day), "day", *sum, noted));
            }
            out.push(row(Some(tenant), None, "tenant", *total, None));
            all.add(*total);
        }
        if !out.is_empty() {
            out.push(row(None, None, "all", all, None));
        }
        (out, all)
    }
}

columns! {
    /// The columns of a list of costs: a row per tenant and day, one per tenant, and one for all.
    pub COST_COLUMNS,
    fn row(tenant: Option<&String>, day: Option<&String>, scope: &'static str, sum: Sum, recorded: Option<&BTreeMap<String, String>>) {
        // Sums of floats end in noise that no price has.
        let usd = |amount_: f64| amount((amount_ * 1e9).round() / 1e9);
        let whole = scope != "day";
    }
    "tenant_id", "TENANT", Whole => Value::text(tenant.cloned().filter(|tenant| !tenant.is_empty()));
    "day", "DAY", Whole => Value::text(day.cloned().filter(|day| !day.is_empty()));
    "scope", "OF", Whole => Value::Name(scope);
    "tasks", "TASKS", Whole => Value::Int(sum.tasks);
    "llm_calls", "CALLS", Whole => Value::Int(sum.calls);
    "tokens", "TOKENS", Whole => Value::Int(sum.tokens);
    "cost_usd", "USD", Whole => usd(sum.cost);
    "controller_usd", "CONTROLLER", Whole => if whole { usd(sum.hashes) } else { Value::Null };
    "average_usd", "PER TASK", Wide => if whole && sum.tasks > 0 { usd(sum.cost / sum.tasks as f64) } else { Value::Null };
    "recorded", "RECORDED", Asked => recorded.map_or(Value::Null, |fields| Value::Json(serde_json::json!(fields).to_string()));
}

impl Node {
    /// What the tasks of all tenants, or of one, have cost.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn costs(&self, tenant: Option<&str>) -> Result<Costs> {
        let mut ledger = Ledger::default();
        let mut now = None;
        let mut tasks = self.store.tasks(Depth::Checkpoints).await?;
        while let Some(part) = tasks.next().await {
            let part = part?;
            now = now.or(Some(part.now));
            for (task, checkpoint) in part.tasks.iter().zip(&part.checkpoints) {
                if tenant.is_none() || tenant == task.tenant_id.as_deref() {
                    ledger.enter(task, checkpoint.as_ref());
                }
            }
        }
        let recorded = self.store.recorded_costs().await?;
        let recorded = recorded.into_iter().map(|(tenant, day, fields)| ((tenant, day), fields)).collect();
        let (rows, total) = ledger.rows(&recorded);
        Ok(Costs { now: now.unwrap_or_else(Timestamp::here), rows, spent: total.cost, reported: total.hashes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_add_up_to_tenants_and_tenants_to_all() {
        let fields = |pairs: &[(&str, &str)]| {
            let find = |field: &&str| pairs.iter().find(|(name, _)| name == field).map(|(_, text)| (*text).to_owned());
            crate::record::FIELDS.iter().map(find).collect()
        };
        let one = Task::read("a".into(), fields(&[("tenant_id", "t"), ("cost_so_far", "0.0")]));
        let two = Task::read(
            "b".into(),
            fields(&[("tenant_id", "t"), ("cost_so_far", "0.5"), ("updated_at", "2026-11-19T00:00:00")]),
        );
        let checkpoint = r#"{"current_node":"x","cost_so_far":0.4,"updated_at":"2026-11-21T00:00:00","llm_calls":[
            {"cost_usd":0.1,"total_tokens":5,"timestamp":"2026-11-20T23:59:59"},
            {"cost_usd":0.2,"total_tokens":5,"timestamp":"2026-11-21T00:00:00"}]}"#;
        let checkpoint = Checkpoint::read("a", checkpoint.into(), None);
        let mut ledger = Ledger::default();
        ledger.enter(&one, Some(&checkpoint));
        ledger.enter(&two, None);
        let (rows, _) = ledger.rows(&BTreeMap::new());
        let cost = |row: &Row| row[6].clone();
        let json = |text: &str| Value::Json(text.into());
        assert_eq!(rows.iter().map(cost).collect::<Vec<_>>(), ["0.5", "0.1", "0.3", "0.9", "0.9"].map(json));
        assert_eq!(rows[3][3..8], [Value::Int(2), Value::Int(2), Value::Int(10), json("0.9"), json("0.5")]);
    }
}
