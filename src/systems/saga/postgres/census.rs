//! What is in the tables, counted: sagas by judged state, messages by status, and what should have progressed by itself.

use std::sync::Arc;

use super::list::status_literals;
use super::messages;
use super::sql::{CLOCK, cast, clock, judge, table};
use crate::message::{LATE, Mailbox};
use crate::port::{Census, Group};
use crate::shape::{Model, Models, Table};
use crate::state::{OVERDUE, State};
use sen_model::error::Result;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::read::Query;
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::sql::Sql;

/// What a question of the census is about.
enum About<'a> {
    Sagas(&'a Model),
    Messages(Mailbox, &'a Table),
    Ignored,
    Unwritable(&'a Model),
}

/// Sagas that wait for an event which fits by its type or correlation id, came, and was ignored.
fn ignored(model: &Model, inbox: &Table) -> Result<Sql> {
    let mut sql = Sql::new("SELECT count(DISTINCT w.id), min(w.at)::timestamptz FROM (");
    let joins = [
        " AS m ON m.saga_id = s.id WHERE ",
        " AS m ON m.saga_id IS NULL AND m.aggregation_id = s.aggregation_id WHERE ",
    ];
    for (at, join) in joins.into_iter().enumerate() {
        let part = if at == 0 {
            "SELECT s.id, m.updated_at AS at FROM "
        } else {
            " UNION ALL SELECT s.id, m.updated_at FROM "
        };
        sql = table(sql.then(part), &model.state)?;
        sql = table(sql.then(" AS s JOIN "), inbox)?.then(join);
        sql = status_literals(sql, model, &["SUSPENDED", "COMPENSATING_SUSPENDED"])?;
        sql = cast(sql.then(" AND m.status = 'IGNORED'"), inbox, "status")?.then(
            " AND (s.context::jsonb -> 'awaiting_event_types' ? m.event_type::text
                OR s.context::jsonb ->> 'awaiting_correlation_id' = m.correlation_id)",
        );
    }
    Ok(sql.then(") AS w"))
}

const _: () = assert!(OVERDUE == 5 * 60_000_000 && LATE == OVERDUE);

/// Timed-out waits for an event of a type, in tables that cannot hold TIMEOUT. Where only newer versions would write
/// it, only those that a poll should have picked up long ago count.
fn unwritable(model: &Model, surely: bool) -> Result<Sql> {
    let sql =
        table(Sql::new("SELECT count(*), min(s.deadline_at)::timestamptz FROM "), &model.state)?.then(" AS s WHERE ");
    Ok(status_literals(sql, model, &["SUSPENDED"])?
        .then(if surely { " AND s.deadline_at <= now()" } else { " AND s.deadline_at <= now() - interval '5 minutes'" })
        .then(
            " AND jsonb_typeof(s.context::jsonb -> 'awaiting_event_types') = 'array'
            AND s.context::jsonb -> 'awaiting_event_types' <> '[]'",
        ))
}

pub(super) async fn census(link: &Arc<SharedConnection>, models: &Models) -> Result<Census> {
    let mut questions = Vec::new();
    for model in &models.models {
        let sql = judge(Sql::new("SELECT "), model)?
            .then(", count(*), min(s.updated_at)::timestamptz, min(s.deadline_at)::timestamptz FROM ");
        questions.push((About::Sagas(model), table(sql, &model.state)?.then(" AS s GROUP BY 1")));
        let lacks = model.lacks();
        if let Some(lack) = lacks.iter().find(|lack| lack.labels.contains(&"TIMEOUT")) {
            questions.push((About::Unwritable(model), unwritable(model, lack.every)?));
        }
    }
    for (kind, table) in models.mailboxes() {
        questions.push((About::Messages(kind, table), messages::census(table)?));
    }
    for inbox in &models.inboxes {
        for model in models.senders(Mailbox::In, inbox) {
            questions.push((About::Ignored, ignored(model, inbox)?));
        }
    }
    let asks = std::iter::once(Query::new(&CLOCK, [])).chain(questions.iter().map(|(_, sql)| Query::new(sql, [])));
    let mut answers = link.snapshot(&asks.collect::<Vec<_>>()).await?.into_iter();
    let mut census = Census::default();
    if let Some(now) = answers.next() {
        census.now = Some(clock(&now?));
    }
    for ((about, _), answer) in questions.iter().zip(answers) {
        for row in &answer? {
            let mut cells = Cells::new(row);
            match about {
                About::Sagas(model) => {
                    let counted = group(model.state.number, &mut cells);
                    let by_deadline = State::parse(&counted.state).is_some_and(State::since_deadline);
                    let since = cells.time(3).filter(|_| by_deadline);
                    census.sagas.push(Group { oldest: since.or(counted.oldest), ..counted });
                }
                About::Messages(kind, box_) => {
                    census.dead += cells.int(3).unwrap_or_default();
                    census.oldest_dead = [census.oldest_dead, cells.time(4)].into_iter().flatten().min();
                    census.add_late(*kind, cells.int(5).unwrap_or_default(), cells.time(6));
                    census.messages.push(group(box_.number, &mut cells));
                }
                About::Ignored => {
                    let (count, oldest) = census.ignored;
                    let oldest = [oldest, cells.time(1)].into_iter().flatten().min();
                    census.ignored = (count + cells.int(0).unwrap_or_default(), oldest);
                }
                About::Unwritable(model) => {
                    let count = cells.int(0).unwrap_or_default();
                    if count > 0 {
                        census.unwritable.push((model.state.number, count, cells.time(1)));
                    }
                }
            }
        }
    }
    Ok(census)
}

fn group(table: i64, cells: &mut Cells<'_>) -> Group {
    Group {
        table,
        state: cells.text(0).unwrap_or_default(),
        count: cells.int(1).unwrap_or_default(),
        oldest: cells.time(2),
    }
}
