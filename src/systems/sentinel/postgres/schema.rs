//! Empty tables, as the library makes them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_postgres::types::Type;

use crate::port::{RELATIONS, TOKENS};
use crate::record::NAME;
use sen_model::error::{ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::report::{Item, Outcome};
use sen_model::subject::{Kind, Subject};
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::outcome::Proof;
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::sql::Sql;

/// The schema of sentinel-coordination 0.5.0 (`schema.py`): the same columns, types, checks, defaults and index names.
const CREATE: [&str; 3] = [
    "CREATE SEQUENCE sentinel_token_seq",
    "CREATE TABLE sentinel_leases (
        key text PRIMARY KEY,
        owner_id text NOT NULL,
        lease_expires_at timestamptz NOT NULL,
        lease_updated_at timestamptz,
        hard_expires_at timestamptz,
        execution_result jsonb,
        status text NOT NULL DEFAULT 'claimed' CHECK (status OPERATOR(pg_catalog.=) ANY ('{claimed,executing,completed,reconciling}')),
        fencing_token bigint NOT NULL DEFAULT 1,
        ttl_ms integer NOT NULL DEFAULT 3000
    );
    CREATE INDEX idx_sentinel_expiry ON sentinel_leases (lease_expires_at)",
    "CREATE TABLE sentinel_events (
        id bigserial PRIMARY KEY,
        key text NOT NULL,
        event text NOT NULL CHECK (event OPERATOR(pg_catalog.=) ANY
            ('{acquired,rejected,executing,completed,expired,reconciling,released,reset}')),
        occurred_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
        fencing_token bigint,
        owner_id text,
        metadata jsonb
    );
    CREATE INDEX idx_sentinel_events ON sentinel_events (key, occurred_at, fencing_token)",
];

/// Serialises concurrent `sen init`: CREATE IF NOT EXISTS alone can collide in the catalogue.
static INIT_LOCK: Sql = Sql::new("SELECT pg_advisory_xact_lock(hashtext('sen init sentinel'))");

/// A new sequence begins above every token in use.
static RAISE: Sql = Sql::new(
    "SELECT setval('sentinel_token_seq', max(fencing_token)) FROM sentinel_leases HAVING max(fencing_token) > 0",
);

/// Which of some relations are there.
static HAVE: Sql = Sql::new("SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL");

/// $4 what was created: the catalogue says by which transaction.
static MADE: Sql = Sql::new(
    "CASE WHEN (SELECT count(*) FROM unnest($4::text[]) AS name JOIN pg_class AS c ON c.oid = to_regclass(name)
            WHERE c.xmin::text::int8 = $1::int8 % 4294967296) = cardinality($4::text[]) THEN 'landed'
        WHEN NOT EXISTS (SELECT 1 FROM unnest($4::text[]) AS name WHERE to_regclass(name) IS NOT NULL) THEN 'absent' END",
);

/// How long one statement of making the tables may take, as its transaction says.
const INIT: Duration = Duration::from_secs(30);

/// Creates what is missing.
pub(super) async fn init(link: &Arc<SharedConnection>, permit: &WritePermit) -> Result<Vec<Item>> {
    let db = link.live().await?;
    let fail = |error| db.explain(error);
    let client = db.client();
    let mark = db.begin(permit.operation()).await?;
    let begin = async {
        client.batch_execute(INIT_LOCK.for_postgres()).await?;
        client.query_typed(HAVE.for_postgres(), &[(&RELATIONS.as_slice(), Type::TEXT_ARRAY)]).await
    };
    let have: Vec<String> = match db.answer(Some(INIT), begin.boxed()).await? {
        Ok(rows) => rows.iter().filter_map(|row| Cells::new(row).text(0)).collect(),
        Err(error) => return Err(fail(error).await),
    };
    let mut items = Vec::new();
    for (name, ddl) in RELATIONS.iter().zip(CREATE) {
        let exists = have.iter().any(|seen| seen == name);
        if !exists && let Err(error) = db.answer(Some(INIT), client.batch_execute(ddl).boxed()).await? {
            return Err(fail(error).await);
        }
        let (outcome, detail) =
            if exists { (Outcome::AlreadyDone, "already there") } else { (Outcome::Applied, "created") };
        items.push(Item::new(Subject::new(NAME, Kind::Relation, *name), outcome, detail));
    }
    if !have.iter().any(|seen| seen == TOKENS)
        && let Err(error) = db.answer(Some(INIT), client.batch_execute(RAISE.for_postgres()).boxed()).await?
    {
        return Err(fail(error).await);
    }
    link.forget_catalogue();
    let made: Vec<String> =
        RELATIONS.iter().filter(|name| !have.iter().any(|seen| seen == *name)).map(|name| (*name).to_owned()).collect();
    let proof = || Proof::new(MADE.clone()).with(made, Type::TEXT_ARRAY);
    db.commit(&mark, link.again(), proof).await.map_err(|error| match error.kind() {
        ErrorKind::OutcomeUnknown => error.with_hint("run `sen init` again: it creates only what is missing"),
        _ => error,
    })?;
    Ok(items)
}
