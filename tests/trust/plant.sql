-- As a role that may do nothing but create in `public`: a function for every function, an operator for every operator that
-- `sen` uses, over every combination of types that it could fit. Each says so in the server's log when it is called. (The path is set, or it would call them itself.)
CREATE FUNCTION public.zz_plant(wanted text[], operators text[], own text[]) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog AS $plant$
DECLARE
    kinds text[] := ARRAY['text', 'varchar', 'name', 'int4', 'int8', 'float8', 'numeric', 'bool', 'timestamptz', 'timestamp',
        'interval', 'jsonb', 'json', 'bytea', 'oid', 'regclass', 'uuid', '"char"', 'text[]', 'int8[]', 'timestamp[]', 'xid',
        'name[]', 'int2', 'int4[]'] || own;
    few text[] := ARRAY['text', 'name', 'jsonb'];
    body text := ' LANGUAGE plpgsql AS $f$ BEGIN RAISE LOG ''PLANTED %%'', %L; RETURN%s; END $f$';
    f record; base text[]; args text; given int; place int; kind text; l text; r text; op text; back text; made text[];
BEGIN
    FOR f IN SELECT p.* FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (wanted) LOOP
        SELECT coalesce(array_agg(format_type(t, NULL) ORDER BY n), '{}'::text[]) INTO base
            FROM unnest(f.proargtypes::oid[]) WITH ORDINALITY AS a (t, n);
        back := CASE WHEN f.proretset AND f.prorettype = 'record'::regtype THEN 'SETOF record' WHEN f.proretset THEN 'SETOF text'
            WHEN (SELECT typtype FROM pg_type WHERE oid = f.prorettype) = 'p' THEN 'text'
            ELSE format_type(f.prorettype, NULL) END;
        made := '{}';
        FOR given IN f.pronargs - f.pronargdefaults .. f.pronargs LOOP
            IF given = 0 THEN made := made || ''::text; END IF;
            FOR place IN 1 .. given LOOP
                FOREACH kind IN ARRAY kinds LOOP
                    SELECT string_agg(CASE WHEN n = place OR t LIKE 'any%' THEN
                        CASE WHEN t = 'anyarray' AND kind NOT LIKE '%[]' THEN kind || '[]' ELSE kind END
                        ELSE t END, ', ' ORDER BY n) INTO args FROM unnest(base[1:given]) WITH ORDINALITY AS a (t, n);
                    made := made || args;
                END LOOP;
            END LOOP;
        END LOOP;
        IF f.provariadic <> 0 THEN
            made := made || few || ARRAY(SELECT concat_ws(', ', a, b) FROM unnest(few) a, unnest(few) b)
                || ARRAY(SELECT concat_ws(', ', a, b, c) FROM unnest(few) a, unnest(few) b, unnest(few) c)
                || ARRAY(SELECT concat_ws(', ', a, b, c, d) FROM unnest(few) a, unnest(few) b, unnest(few) c, unnest(few) d);
        END IF;
        FOREACH args IN ARRAY ARRAY(SELECT DISTINCT m FROM unnest(made) AS m) LOOP
            BEGIN
                EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s', f.proname, args, back)
                    || format(body, f.proname || '(' || args || ')', CASE WHEN f.proretset THEN '' ELSE ' NULL' END);
            EXCEPTION WHEN OTHERS THEN NULL;
            END;
        END LOOP;
    END LOOP;
    FOREACH l IN ARRAY kinds LOOP
        FOREACH r IN ARRAY kinds LOOP
            FOREACH back IN ARRAY ARRAY['bool', 'text'] LOOP
                EXECUTE format('CREATE FUNCTION public.zz_%s(%s, %s) RETURNS %s', back, l, r, back)
                    || format(body, 'operator (' || l || ', ' || r || ')', ' NULL');
            END LOOP;
            FOREACH op IN ARRAY operators LOOP
                EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.zz_%s)', op, l, r,
                    CASE WHEN op IN ('+', '-', '*', '/', '||', '->', '->>') THEN 'text' ELSE 'bool' END);
            END LOOP;
        END LOOP;
    END LOOP;
END $plant$;
