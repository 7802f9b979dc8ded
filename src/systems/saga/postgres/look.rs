//! Sagas in depth, with their steps and messages: all questions in one snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::messages;
use super::sql::{CLOCK, Param, clock, saga, select, table, wanted};
use crate::message::{Mailbox, Message};
use crate::port::{Look, Observed, SagaSelector};
use crate::record::{Entry, uuid};
use crate::shape::{Model, Models, Table};
use sen_model::error::Result;
use sen_model::time::Timestamp;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::read::Query;
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::sql::Sql;

/// The steps of the wanted sagas: the newest $4 of each, with how many there are and whether one rolled back.
fn steps(model: &Model, history: &Table) -> Result<Sql> {
    let skipped = if history.has("skipped") { "h.skipped" } else { "false" };
    let sql = Sql::new(
        "SELECT w.saga, w.recorded, w.compensated, w.at, w.phase, w.status, w.step_id, w.step_name, w.attempt, w.token,
            w.input, w.output, w.error, w.skipped
        FROM (SELECT h.saga_id::text AS saga, h.id, count(*) OVER (PARTITION BY h.saga_id) AS recorded,
            bool_or(h.phase::text = 'COMPENSATE') OVER (PARTITION BY h.saga_id) AS compensated,
            row_number() OVER (PARTITION BY h.saga_id ORDER BY h.id DESC) AS newest,
            h.\"timestamp\"::timestamptz AS at, h.phase::text, h.status::text, h.step_id::text, h.step_name::text,
            h.attempt::int8, h.token::text, h.input::text, h.output::text, h.error::text, ",
    )
    .then(skipped)
    .then(" AS skipped FROM ");
    let sql = table(sql, history)?.then(" AS h WHERE h.saga_id IN (SELECT s.id");
    Ok(wanted(sql, model)?.then(")) AS w WHERE w.newest <= $4 OR w.newest = 1 ORDER BY w.saga, w.id"))
}

fn entry(cells: &mut Cells<'_>) -> Entry {
    // Python's None in a JSON column is the JSON null.
    let mut json = |at| cells.text(at).filter(|text| text != "null");
    let (input, output) = (json(10), json(11));
    Entry {
        at: cells.time(3),
        phase: cells.text(4).unwrap_or_default(),
        status: cells.text(5).unwrap_or_default(),
        step_id: cells.text(6).unwrap_or_default(),
        step_name: cells.text(7).unwrap_or_default(),
        attempt: cells.int(8).unwrap_or_default(),
        token: cells.text(9),
        input,
        output,
        error: cells.text(12),
        skipped: cells.flag(13).unwrap_or_default(),
    }
}

/// Which question an answer of [`look`] is to.
enum About<'a> {
    Clock,
    Sagas(&'a Model),
    Steps,
    Messages(Mailbox, &'a Table),
}

fn seen(row: &Row, model: &Model) -> Observed {
    let mut saga = saga(row, &model.state.shown());
    let mut steps = Vec::new();
    if model.keeps_history() {
        match Cells::new(row).text(20).as_deref().and_then(Entry::list) {
            Some(all) => steps = all,
            None => saga.unreadable.push("column step_history is no list".into()),
        }
        saga.compensated = Some(steps.iter().any(Entry::compensates));
    } else {
        saga.compensated = model.history.as_ref().map(|_| false);
    }
    let recorded = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    Observed { saga, model: model.state.number, steps, recorded, messages: Vec::new(), holders: Vec::new() }
}

fn add_steps(sagas: &mut [Observed], rows: &[Row]) {
    let at: HashMap<String, usize> = sagas.iter().enumerate().map(|(at, seen)| (seen.saga.id.clone(), at)).collect();
    for row in rows {
        let mut cells = Cells::new(row);
        let Some(at) = cells.text(0).and_then(|id| at.get(&id).copied()) else { continue };
        let seen = &mut sagas[at];
        seen.recorded = cells.int(1).unwrap_or_default();
        seen.saga.compensated = cells.flag(2);
        seen.steps.push(entry(&mut cells));
        seen.saga.unreadable.extend(cells.unreadable);
    }
}

/// Where a message belongs: to its saga, or to the newest of its aggregation.
fn add_message(sagas: &mut [Observed], message: Message) {
    let own = sagas.iter().position(|seen| message.saga.as_ref() == Some(&seen.saga.id));
    let about = || {
        let same = |seen: &Observed| message.aggregation.as_ref() == Some(&seen.saga.aggregation);
        if message.saga.is_some() { None } else { sagas.iter().position(same) }
    };
    if let Some(at) = own.or_else(about)
        && !sagas[at].messages.iter().any(|known| known.id == message.id && known.table == message.table)
    {
        sagas[at].messages.push(message);
    }
}

/// The messages, newest change first.
pub(super) async fn look(link: &Arc<SharedConnection>, models: &Models, what: &SagaSelector<'_>) -> Result<Look> {
    let mut questions = vec![(About::Clock, CLOCK.clone())];
    for model in &models.models {
        let context = if model.keeps_history() { "s.context::text, s.step_history::text" } else { "s.context::text" };
        let sql = wanted(select(model, false, context)?, model)?;
        questions.push((About::Sagas(model), sql));
        if let Some(history) = &model.history {
            questions.push((About::Steps, steps(model, history)?));
        }
        if what.messages {
            for (kind, table) in models.mailboxes() {
                questions.push((About::Messages(kind, table), messages::of_sagas(kind, table, model)?));
            }
        }
    }
    let id = uuid(what.id);
    let params: [Param<'_>; 4] =
        [(&id, Type::TEXT), (&what.id, Type::TEXT), (&what.exact, Type::BOOL), (&what.steps, Type::INT8)];
    let asks = questions.iter().map(|(about, sql)| {
        let used = match about {
            About::Clock => 0,
            About::Sagas(_) | About::Messages(..) => 3,
            About::Steps => 4,
        };
        Query::new(sql, params[..used].iter().cloned())
    });
    let answers = link.snapshot(&asks.collect::<Vec<_>>()).await?;
    let mut look = Look { now: Timestamp::NEG_INFINITY, sagas: Vec::new() };
    for ((about, _), answer) in questions.iter().zip(answers) {
        let rows = answer?;
        match about {
            About::Clock => look.now = clock(&rows),
            About::Sagas(model) => look.sagas.extend(rows.iter().map(|row| seen(row, model))),
            About::Steps => add_steps(&mut look.sagas, &rows),
            About::Messages(kind, table) => {
                for message in rows.iter().map(|row| messages::message(row, *kind, &table.shown())) {
                    add_message(&mut look.sagas, message);
                }
            }
        }
    }
    look.sagas.sort_by_key(|seen| std::cmp::Reverse(seen.saga.updated));
    Ok(look)
}
