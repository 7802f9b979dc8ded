-- The same as executions.postgres.sql; ids are scattered by a multiplication, and times are texts as the library writes them.
PRAGMA synchronous = OFF;
BEGIN;
INSERT INTO executions WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows}),
    timed (n, t, e) AS (SELECT n, strftime('%Y-%m-%dT%H:%M:%f000', 'now', '-' || ({rows} - n) || ' seconds'),
        strftime('%Y-%m-%dT%H:%M:%f000', 'now', '-' || ({rows} - n - 2) || ' seconds') FROM numbers)
SELECT printf('e-%010d-%d', n * 48271 % 2147483647, n), 'flows:order', CASE WHEN n % 200 = 0 THEN 'running' WHEN n % 100 = 0 THEN 'pending'
        WHEN n % 1000 = 1 THEN 'cancelled' ELSE 'completed' END, '["order-' || n || '"]', '{}',
    CASE WHEN n % 100 > 1 THEN '{"charge": "ch_' || n || '"}' END, NULL, 0, t, t, CASE WHEN n % 100 > 0 THEN e END, NULL, '["shop"]', 0, 'main'
    FROM timed;
INSERT INTO tasks WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows}),
    timed (n, t, e) AS (SELECT n, strftime('%Y-%m-%dT%H:%M:%f000', 'now', '-' || ({rows} - n) || ' seconds'),
        strftime('%Y-%m-%dT%H:%M:%f000', 'now', '-' || ({rows} - n - 2) || ' seconds') FROM numbers)
SELECT printf('t-%010d-%d', n * 48271 % 2147483647, n), printf('e-%010d-%d', n * 48271 % 2147483647, n), 'flows:order', 'orchestrator', NULL,
    CASE WHEN n % 200 = 0 THEN 'running' WHEN n % 100 = 0 THEN 'pending' WHEN n % 1000 = 1 THEN 'failed' ELSE 'completed' END,
    '["order-' || n || '"]', '{}', CASE WHEN n % 100 > 1 THEN '{"charge": "ch_' || n || '"}' END, NULL, 0, t,
    CASE WHEN n % 200 <> 100 THEN t END, CASE WHEN n % 100 > 0 THEN e END, CASE WHEN n % 200 <> 100 THEN 'worker-' || n % 20 END,
    CASE WHEN n % 200 = 0 THEN strftime('%Y-%m-%dT%H:%M:%f000', 'now', '1 day') END, '["shop"]', 0, 'main', NULL, NULL, NULL
    FROM timed;
INSERT INTO executions WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {letters} / 2),
    timed (n, t) AS (SELECT n, strftime('%Y-%m-%dT%H:%M:%f000', 'now', '-' || ({letters} - n) * 7 || ' seconds') FROM numbers)
SELECT printf('f-%010d-%d', n * 48271 % 2147483647, n), 'flows:failing', 'failed', '["order-' || n || '"]', '{}', NULL,
    printf('%.600c', 'x'), 0, t, t, t, NULL, '["bulk"]', 0, 'main' FROM timed;
INSERT INTO tasks WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {letters} / 2),
    timed (n, t) AS (SELECT n, strftime('%Y-%m-%dT%H:%M:%f000', 'now', '-' || ({letters} - n) * 7 || ' seconds') FROM numbers),
    kinds (kind) AS (VALUES ('orchestrator'), ('activity'))
SELECT printf('%s-%010d-%d', kind, n * 48271 % 2147483647, n), printf('f-%010d-%d', n * 48271 % 2147483647, n),
    iif(kind = 'activity', 'flows:charge', 'flows:failing'), kind,
    iif(kind = 'activity', printf('orchestrator-%010d-%d', n * 48271 % 2147483647, n), NULL), 'failed', '["order-' || n || '"]', '{}', NULL,
    printf('%.600c', 'x'), 1, t, t, t, 'worker-1', NULL, '["bulk"]', 0, 'main', NULL, '{"max_attempts": 2}', NULL FROM timed CROSS JOIN kinds;
INSERT INTO dead_tasks SELECT id, 'provider ' || rowid % 7 || ' unreachable for order-' || rowid || ' after 3000 ms', completed_at,
    '{"id": "' || id || '", "execution_id": "' || execution_id || '", "step_name": "' || step_name || '", "kind": "' || kind ||
    '", "parent_task_id": ' || iif(parent_task_id IS NULL, 'null', '"' || parent_task_id || '"') || ', "state": "failed", "args": "WyJvcmRlci0wIl0=", '
    || '"kwargs": "e30=", "result": null, "error": "' || printf('%.800c', 'e') || '", "retries": 1, "created_at": "' || created_at ||
    '", "started_at": "' || created_at || '", "completed_at": "' || created_at || '", "worker_id": "worker-1", "lease_expires_at": null, ' ||
    '"tags": ["bulk"], "priority": 0, "queue": "main", "retry_policy": {"max_attempts": 2, "backoff_factor": 2.0, "initial_delay": 0.01, ' ||
    '"max_delay": 60.0, "jitter": 0.0, "retry_for": ["Exception"]}, "idempotency_key": null, "scheduled_for": null}'
    FROM tasks WHERE execution_id LIKE 'f-%';
COMMIT;
