-- What a year of a service leaves: {rows} executions with a task each, one in a hundred of both open (half of the tasks running),
-- the others over; and beside them failed executions, each with an activity and an orchestrator that died: {letters} dead letters.
INSERT INTO executions SELECT 'e-' || md5(n::text), 'flows:order', CASE WHEN n % 200 = 0 THEN 'running' WHEN n % 100 = 0 THEN 'pending'
        WHEN n % 1000 = 1 THEN 'cancelled' ELSE 'completed' END, convert_to('["order-' || n || '"]', 'utf8'), '{}',
    CASE WHEN n % 100 > 1 THEN convert_to('{"charge": "ch_' || n || '"}', 'utf8') END, NULL, 0, t, t,
    CASE WHEN n % 100 > 0 THEN t + interval '2 seconds' END, NULL, '["shop"]', 0, 'main'
    FROM generate_series(1, {rows}) AS n, LATERAL (SELECT now()::timestamp - ({rows} - n) * interval '1 second' AS t) AS at;
INSERT INTO tasks SELECT md5('t' || n)::uuid::text, 'e-' || md5(n::text), 'flows:order', 'orchestrator', NULL,
    CASE WHEN n % 200 = 0 THEN 'running' WHEN n % 100 = 0 THEN 'pending' WHEN n % 1000 = 1 THEN 'failed' ELSE 'completed' END,
    convert_to('["order-' || n || '"]', 'utf8'), '{}', CASE WHEN n % 100 > 1 THEN convert_to('{"charge": "ch_' || n || '"}', 'utf8') END,
    NULL, 0, t, CASE WHEN n % 200 <> 100 THEN t END, CASE WHEN n % 100 > 0 THEN t + interval '2 seconds' END,
    CASE WHEN n % 200 <> 100 THEN 'worker-' || n % 20 END, CASE WHEN n % 200 = 0 THEN now()::timestamp + interval '1 day' END,
    '["shop"]', 0, 'main', NULL, NULL, NULL
    FROM generate_series(1, {rows}) AS n, LATERAL (SELECT now()::timestamp - ({rows} - n) * interval '1 second' AS t) AS at;
INSERT INTO executions SELECT 'f-' || md5(n::text), 'flows:failing', 'failed', convert_to('["order-' || n || '"]', 'utf8'), '{}', NULL,
    convert_to(repeat('x', 600), 'utf8'), 0, t, t, t, NULL, '["bulk"]', 0, 'main'
    FROM generate_series(1, {letters} / 2) AS n, LATERAL (SELECT now()::timestamp - ({letters} - n) * interval '7 seconds' AS t) AS at;
INSERT INTO tasks SELECT md5(kind || n)::uuid::text, 'f-' || md5(n::text), CASE kind WHEN 'activity' THEN 'flows:charge' ELSE 'flows:failing' END,
    kind, CASE kind WHEN 'activity' THEN md5('orchestrator' || n)::uuid::text END, 'failed', convert_to('["order-' || n || '"]', 'utf8'), '{}',
    NULL, convert_to(repeat('x', 600), 'utf8'), 1, t, t, t, 'worker-1', NULL, '["bulk"]', 0, 'main', NULL, '{"max_attempts": 2}', NULL
    FROM generate_series(1, {letters} / 2) AS n, unnest(ARRAY['orchestrator', 'activity']) AS kind,
        LATERAL (SELECT now()::timestamp - ({letters} - n) * interval '7 seconds' AS t) AS at;
INSERT INTO dead_tasks SELECT id, 'provider ' || n % 7 || ' unreachable for order-' || n || ' after 3000 ms', completed_at,
    replace(json_build_object('id', id, 'execution_id', execution_id, 'step_name', step_name, 'kind', kind, 'parent_task_id', parent_task_id,
        'state', state, 'args', translate(encode(args, 'base64'), E'\n', ''), 'kwargs', translate(encode(kwargs, 'base64'), E'\n', ''),
        'result', NULL, 'error', translate(encode(error, 'base64'), E'\n', ''), 'retries', 1, 'created_at', created_at,
        'started_at', started_at, 'completed_at', completed_at, 'worker_id', worker_id, 'lease_expires_at', NULL,
        'tags', json_build_array('bulk'), 'priority', 0, 'queue', queue, 'retry_policy', json_build_object('max_attempts', 2,
        'backoff_factor', 2.0, 'initial_delay', 0.01, 'max_delay', 60.0, 'jitter', 0.0, 'retry_for', json_build_array('Exception')),
        'idempotency_key', NULL, 'scheduled_for', NULL)::text, '" : ', '": ')
    FROM (SELECT *, row_number() OVER (ORDER BY created_at) AS n FROM tasks WHERE execution_id LIKE 'f-%') AS t;
VACUUM (ANALYZE);
CHECKPOINT;
