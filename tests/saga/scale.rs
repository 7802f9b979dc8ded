//! Many sagas: a page of the stuck ones costs what psql pays for the same query.
//!
//! The full size is 1,000,000 sagas.

use std::time::{Duration, Instant};

use serde_json::json;

use super::place::{Place, VERSIONS};
use crate::harness::postgres::psql;
use crate::harness::scale::sized;
use crate::harness::sen::SEN;

fn count() -> u64 {
    sized(20_000, 1_000_000) as u64
}

/// The quickest of several runs: everything else is somebody else's load.
fn best(mut run: impl FnMut()) -> Duration {
    let once = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..9).map(|_| once(&mut run)).min().expect("there were runs")
}

#[test]
fn a_page_of_stuck_sagas_among_many() {
    let place = Place::with(VERSIONS[1], json!({}));
    place.psql(&format!(
        "INSERT INTO order_saga (id, aggregation_id, trace_id, saga_name, status, current_step_index, step_execution_token, context,
            deadline_at, retry_counter, last_error, created_at, updated_at)
        SELECT gen_random_uuid(), 'o-' || n, 't-' || n, 'order', (CASE WHEN n % 100 = 0 THEN 'RUNNING' WHEN n % 50 = 1 THEN 'SUSPENDED'
            WHEN n % 20 = 2 THEN 'FAILED' ELSE 'COMPLETED' END)::sagastatus, 1, gen_random_uuid(), '{{}}',
            CASE WHEN n % 100 = 0 AND n % 500 > 0 OR n % 50 = 1 THEN now() + interval '1 hour' END, 0, NULL,
            now() - n * interval '1 second', now() - n * interval '1 second'
        FROM generate_series(1, {}) AS n; ANALYZE order_saga",
        count()
    ));
    let listed = place.act(&["saga", "list", "--stuck"], 0).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(usize::try_from((count() / 500).min(100)).expect("it fits")));
    let query = "SELECT id::text, aggregation_id, trace_id, saga_name, status::text, current_step_index, step_execution_token::text,
        deadline_at, retry_counter, last_error, created_at, updated_at FROM order_saga
        WHERE deadline_at IS NULL AND updated_at < now() - interval '1 minute' AND status IN ('RUNNING', 'COMPENSATING')
        ORDER BY updated_at DESC, id DESC LIMIT 101";
    let url = place.url();
    let psql = best(|| {
        let done = std::process::Command::new(psql())
            .args(["-X", "-q", "-d", &url, "-c", query])
            .output()
            .expect("psql can be started");
        assert!(done.status.success());
    });
    let ours = best(|| {
        let done = std::process::Command::new(SEN)
            .args(["saga", "list", "--stuck", "--database-url", &url])
            .output()
            .expect("sen can be started");
        assert!(done.status.success());
    });
    println!("{} sagas: sen {ours:?}, psql {psql:?}, {:.2} times", count(), ours.as_secs_f64() / psql.as_secs_f64());
}
