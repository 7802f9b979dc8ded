//! The rows that acts change, for an undo, and putting them back.

use tokio_postgres::types::Type;

use super::reading::{absent, shape};
use crate::acts::port::TakenBack;
use crate::shape::Shape;
use crate::undo::KEPT;
use sen_model::error::Result;
use sen_model::journal::Changes;
use sen_model::permit::WritePermit;
use sen_model::rows::{KeptTable, RowChange};
use sen_model::undo::Standing;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::outcome::{Proof, Written};
use sen_stores::postgres::read::Query;
use sen_stores::postgres::restore::{self, Batch};
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::postgres::write::{Changed, Keep};
use sen_stores::sql::Sql;

/// The rows that a replay of these letters changes, for an undo: letter, execution, task. $1 ids, $2 times of death, $3 ids of the
/// tasks. What another transaction holds is left out, as the replay leaves it.
pub(super) static REPLAY_ROWS: Sql = Sql::new(
    "WITH w AS MATERIALIZED (SELECT u.place - 1 AS place, u.id, u.moved_at, u.fresh
            FROM unnest($1::text[], $2::timestamp[], $3::text[]) WITH ORDINALITY AS u (id, moved_at, fresh, place)),
        letters AS MATERIALIZED (SELECT w.place, row_to_json(d)::text AS kept FROM w
            JOIN dead_tasks AS d ON d.id = w.id AND d.moved_at IS NOT DISTINCT FROM w.moved_at),
        opened AS MATERIALIZED (SELECT w.place, row_to_json(e)::text AS kept FROM w
            JOIN tasks AS t ON t.id = coalesce((SELECT o.id FROM tasks AS o WHERE o.id = w.id), w.fresh)
            JOIN executions AS e ON e.id = t.execution_id WHERE t.kind = 'orchestrator' FOR UPDATE OF e SKIP LOCKED),
        made AS (SELECT w.place, row_to_json(t)::text AS kept FROM w JOIN tasks AS t ON t.id = w.fresh)
    SELECT place::int8, 'dead_tasks', kept FROM letters UNION ALL SELECT place::int8, 'executions', kept FROM opened
        UNION ALL SELECT place::int8, 'tasks', kept FROM made",
);

/// The same of a removal: $1 ids, $2 times of death.
pub(super) static REMOVAL_ROWS: Sql = Sql::new(
    "SELECT (w.place - 1)::int8, 'dead_tasks', row_to_json(d)::text
    FROM unnest($1::text[], $2::timestamp[]) WITH ORDINALITY AS w (id, moved_at, place)
        JOIN dead_tasks AS d ON d.id = w.id AND d.moved_at IS NOT DISTINCT FROM w.moved_at",
);

/// An execution and its tasks, for an undo, locked in the order of the cancel. $1 execution.
pub(super) static CANCEL_ROWS: Sql = Sql::new(
    "WITH held AS MATERIALIZED (SELECT row_to_json(e)::text AS kept FROM executions AS e WHERE e.id = $1 FOR UPDATE),
        theirs AS MATERIALIZED (SELECT row_to_json(t)::text AS kept FROM tasks AS t
            WHERE t.execution_id = $1 AND EXISTS (SELECT 1 FROM held) ORDER BY t.id FOR UPDATE)
    SELECT 0::int8, 'executions', kept FROM held UNION ALL SELECT 0::int8, 'tasks', kept FROM theirs",
);

/// An execution, for an undo. $1 execution.
pub(super) static EXECUTION_ROW: Sql =
    Sql::new("SELECT 0::int8, 'executions', row_to_json(e)::text FROM executions AS e WHERE e.id = $1 FOR UPDATE");

/// A signal, for an undo. $1 execution, $2 name.
pub(super) static SIGNAL_ROW: Sql = Sql::new(
    "SELECT 0::int8, 'signals', row_to_json(s)::text FROM signals AS s WHERE s.execution_id = $1 AND s.name = $2 FOR UPDATE",
);

/// The record of what was taken back: in the execution's progress.
const BACK_RECORD: &str = ", noted AS (INSERT INTO execution_progress (execution_id, step, status, detail)
    SELECT coalesce(f.note::jsonb ->> 'execution', t.execution_id), coalesce(f.note::jsonb ->> 'step', t.step_name),
        f.note::jsonb ->> 'status', (f.note::jsonb ->> 'detail') || ', database role ' || session_user
    FROM fit AS f LEFT JOIN tasks AS t ON t.id = f.note::jsonb ->> 'letter'
    WHERE coalesce(f.note::jsonb ->> 'execution', t.execution_id) IS NOT NULL)";

/// $4 executions, $5 letters.
static BACK: Sql = Sql::new(
    "CASE WHEN EXISTS (SELECT FROM execution_progress WHERE execution_id = ANY($4::text[]) AND strpos(detail, $2) > 0)
            OR EXISTS (SELECT FROM tasks AS t JOIN execution_progress AS p ON p.execution_id = t.execution_id
                WHERE t.id = ANY($5::text[]) AND strpos(p.detail, $2) > 0) THEN 'landed'
        WHEN EXISTS (SELECT FROM executions WHERE id = ANY($4::text[])) THEN 'absent' END",
);

/// The tables whose rows are put back.
fn tables() -> Vec<restore::Target<'static>> {
    let target = |kept: &KeptTable| restore::Target {
        name: kept.name,
        sql: Sql::new(kept.name),
        key: kept.key,
        shown: kept.name,
    };
    KEPT.iter().map(target).collect()
}

/// Everything that a removal takes, for an undo. $1 ids, $2 ends as seen.
const CLEAN_ROWS_BEGIN: &str = "WITH w AS MATERIALIZED (SELECT u.place - 1 AS place, e.id, row_to_json(e)::text AS kept
        FROM unnest($1::text[], $2::timestamp[]) WITH ORDINALITY AS u (id, completed_at, place)
            JOIN executions AS e ON e.id = u.id AND e.completed_at = u.completed_at)
    SELECT w.place::int8, 'executions', w.kept FROM w";
macro_rules! belongs {
    ($table:literal) => {
        (
            $table,
            concat!(
                " UNION ALL SELECT w.place::int8, '",
                $table,
                "', row_to_json(x)::text FROM w JOIN ",
                $table,
                " AS x ON x.execution_id = w.id"
            ),
        )
    };
}
const CLEAN_ROWS: [(&str, &str); 5] = [
    belongs!("tasks"),
    belongs!("execution_progress"),
    belongs!("signals"),
    belongs!("execution_counters"),
    belongs!("execution_state"),
];

/// The rows that a removal takes from the tables that are there.
pub(super) fn clean_rows(shape: &Shape) -> Sql {
    let rows = CLEAN_ROWS.iter().filter(|(table, _)| shape.has(table, "execution_id"));
    rows.fold(Sql::new(CLEAN_ROWS_BEGIN), |sql, (_, rows)| sql.then(rows))
}

/// The rows of the only target of a change.
pub(super) fn kept(changed: &Changed) -> Changes {
    restore::kept_of_one(&KEPT, changed)
}

pub(super) async fn standings(link: &SharedConnection, targets: &[&[RowChange]]) -> Result<Vec<Standing>> {
    let tables = tables();
    let batch = Batch::new(&tables, targets.iter().map(|rows| (*rows, String::new())))?;
    let rows = link.ask(Query::new(&batch.standing()?, batch.params())).await;
    Ok(restore::standings(&batch, &rows.map_err(|error| absent(link, error))?))
}

pub(super) async fn take_back(
    link: &SharedConnection,
    targets: &[TakenBack<'_>],
    permit: &WritePermit,
) -> Result<Vec<bool>> {
    let records = shape(link).await?.has_progress();
    let note = |target: &TakenBack<'_>| {
        let TakenBack { execution, letter, step, status, detail, .. } = target;
        serde_json::json!({
            "execution": execution, "letter": letter, "step": step, "status": status, "detail": detail,
        })
        .to_string()
    };
    let tables = tables();
    let batch = Batch::new(&tables, targets.iter().map(|target| (target.changes, note(target))))?;
    let sql = batch.statement("", &Sql::new(if records { BACK_RECORD } else { "" }))?;
    let proof = |written: &Written<'_>| {
        let place = |row: &tokio_postgres::Row| usize::try_from(Cells::new(row).int(0)?).ok();
        let done: Vec<&TakenBack<'_>> =
            written.rows.iter().filter_map(place).filter_map(|place| targets.get(place)).collect();
        let executions: Vec<String> = done.iter().filter_map(|target| target.execution.clone()).collect();
        let letters: Vec<String> = done.iter().filter_map(|target| target.letter.map(str::to_owned)).collect();
        if !records {
            return Proof::new(Sql::new("NULL::text"));
        }
        Proof::new(BACK.clone()).with(executions, Type::TEXT_ARRAY).with(letters, Type::TEXT_ARRAY)
    };
    let reversed =
        |changed: &Changed| restore::reversed(changed, |place| targets.get(place).map(|target| target.changes));
    let (change, keep) = (Query::new(&sql, batch.params()), Keep { ask: None, of: &reversed });
    let done = restore::put_back(&link.change_keeping(&change, None, Some(&keep), &proof, permit.operation()).await?);
    Ok((0..targets.len()).map(|place| done.contains(&place)).collect())
}
