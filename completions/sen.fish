# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sen_global_optspecs
    string join \n database-url= redis-url= env-file= o/output= fields= q/quiet v/verbose color= no-input no-pager read-only reveal timeout= worker-timezone= h/help V/version
end

function __fish_sen_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_sen_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_sen_using_subcommand
    set -l cmd (__fish_sen_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c sen -n "__fish_sen_needs_command" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_needs_command" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_needs_command" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_needs_command" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_needs_command" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_needs_command" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_needs_command" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_needs_command" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_needs_command" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_needs_command" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_needs_command" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_needs_command" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_needs_command" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_needs_command" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_needs_command" -s V -l version -d 'Print version'
complete -c sen -n "__fish_sen_needs_command" -f -a "status" -d 'Show what needs attention, and what is in this database: systems, counts by state'
complete -c sen -n "__fish_sen_needs_command" -f -a "watch" -d 'Watch what needs attention, counts, running work and dead letters, live'
complete -c sen -n "__fish_sen_needs_command" -f -a "inspect" -d 'Show everything known of a key or id, with a verdict and the next command'
complete -c sen -n "__fish_sen_needs_command" -f -a "why" -d 'Tell why a key or id is as it is, across all systems, and what to type next'
complete -c sen -n "__fish_sen_needs_command" -f -a "list" -d 'List leases'
complete -c sen -n "__fish_sen_needs_command" -f -a "history" -d 'Show what happened to a key: its newest events, in time order'
complete -c sen -n "__fish_sen_needs_command" -f -a "reconcile" -d 'Settle an uncertain execution: take it over, and say what really happened'
complete -c sen -n "__fish_sen_needs_command" -f -a "release" -d 'Remove a claim whose lease is over and whose function never began'
complete -c sen -n "__fish_sen_needs_command" -f -a "forget" -d 'Erase a cached result, so that the key can run again'
complete -c sen -n "__fish_sen_needs_command" -f -a "wait" -d 'Wait until a key is completed, settled or free'
complete -c sen -n "__fish_sen_needs_command" -f -a "once" -d 'Run a command at most once per key, across machines'
complete -c sen -n "__fish_sen_needs_command" -f -a "doctor" -d 'Examine the database: server, clock, TLS, pooler, locks, privileges, indexes, orphans'
complete -c sen -n "__fish_sen_needs_command" -f -a "grants" -d 'Print the SQL that lets a role use sen, and no more'
complete -c sen -n "__fish_sen_needs_command" -f -a "metrics" -d 'Print counts, ages and dead letters in Prometheus\' text format'
complete -c sen -n "__fish_sen_needs_command" -f -a "agent" -d 'Agent tasks of Sentinel-Node-Orchestrator, kept in Redis'
complete -c sen -n "__fish_sen_needs_command" -f -a "init" -d 'Create the Sentinel tables (as version 0.5.0 does) where they are missing'
complete -c sen -n "__fish_sen_needs_command" -f -a "demo" -d 'Make a small database with an incident in it, and look at it'
complete -c sen -n "__fish_sen_needs_command" -f -a "completions" -d 'Print the completion script of a shell'
complete -c sen -n "__fish_sen_needs_command" -f -a "man" -d 'Print a manual page: `sen man | man -l -`'
complete -c sen -n "__fish_sen_needs_command" -f -a "help" -d 'Show help: of a command, or on `exit-codes`'
complete -c sen -n "__fish_sen_using_subcommand status" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand status" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand status" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand status" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand status" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand status" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand status" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand status" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand status" -l check -d 'End with exit code 10 when something needs attention'
complete -c sen -n "__fish_sen_using_subcommand status" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand status" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand status" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand status" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand status" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand status" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand watch" -l interval -d 'From one look to the next, at least' -r
complete -c sen -n "__fish_sen_using_subcommand watch" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand watch" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand watch" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand watch" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand watch" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand watch" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand watch" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand watch" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand watch" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand watch" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand watch" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand watch" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand watch" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand watch" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand inspect" -s n -l namespace -d 'Put this namespace before every key, as the library does' -r
complete -c sen -n "__fish_sen_using_subcommand inspect" -l events -d 'How many of the newest events to show' -r
complete -c sen -n "__fish_sen_using_subcommand inspect" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand inspect" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand inspect" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand inspect" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand inspect" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand inspect" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand inspect" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand inspect" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand inspect" -l check -d 'Turn the verdict into the exit code'
complete -c sen -n "__fish_sen_using_subcommand inspect" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand inspect" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand inspect" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand inspect" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand inspect" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand inspect" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand why" -s n -l namespace -d 'Put this namespace before the key, as the library does' -r
complete -c sen -n "__fish_sen_using_subcommand why" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand why" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand why" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand why" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand why" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand why" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand why" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand why" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand why" -l check -d 'End with exit code 10 when a cause needs attention'
complete -c sen -n "__fish_sen_using_subcommand why" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand why" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand why" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand why" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand why" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand why" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand why" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand list" -l state -d 'Only these states: claimed, executing, reconciling, completed (stored), free, held, alive, stalled, uncertain (judged)' -r
complete -c sen -n "__fish_sen_using_subcommand list" -s n -l namespace -d 'Only keys of this namespace' -r
complete -c sen -n "__fish_sen_using_subcommand list" -l owner -d 'Only owners that begin so: a host, or host:pid' -r
complete -c sen -n "__fish_sen_using_subcommand list" -l older-than -d 'Only leases unchanged for longer than this' -r
complete -c sen -n "__fish_sen_using_subcommand list" -l since -d 'Only leases changed at or after this: 2026-11-20T20:16:00Z, 2026-11-20, or 2h for two hours ago' -r
complete -c sen -n "__fish_sen_using_subcommand list" -l until -d 'Only leases changed before this' -r
complete -c sen -n "__fish_sen_using_subcommand list" -l sort -d 'Order: expires, updated, token (newest or largest first) or key [default: expires; stored order with --limit 0]' -r
complete -c sen -n "__fish_sen_using_subcommand list" -l limit -d 'At most so many; 0 for all, streamed' -r
complete -c sen -n "__fish_sen_using_subcommand list" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand list" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand list" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand list" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand list" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand list" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand list" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand list" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand list" -l expired -d 'Only leases that have expired'
complete -c sen -n "__fish_sen_using_subcommand list" -l uncertain -d 'Short for --state uncertain'
complete -c sen -n "__fish_sen_using_subcommand list" -l reverse -d 'The order reversed'
complete -c sen -n "__fish_sen_using_subcommand list" -l fail-if-empty -d 'End with exit code 4 when nothing matches'
complete -c sen -n "__fish_sen_using_subcommand list" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand list" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand list" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand list" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand list" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand list" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand history" -s n -l namespace -d 'Put this namespace before the key, as the library does' -r
complete -c sen -n "__fish_sen_using_subcommand history" -l limit -d 'The newest so many; 0 for all' -r
complete -c sen -n "__fish_sen_using_subcommand history" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand history" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand history" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand history" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand history" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand history" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand history" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand history" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand history" -s f -l follow -d 'Go on and print new events as they are committed, until interrupted'
complete -c sen -n "__fish_sen_using_subcommand history" -l fail-if-empty -d 'End with exit code 4 when the lease exists and has no events'
complete -c sen -n "__fish_sen_using_subcommand history" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand history" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand history" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand history" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand history" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand history" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l complete -d 'It completed: cache this result (JSON, @FILE, or - for stdin)' -r
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l token -d 'The token that was seen; needed for a key that is taken over already' -r
complete -c sen -n "__fish_sen_using_subcommand reconcile" -s n -l namespace -d 'Put this namespace before every key; with --all: only keys of this namespace' -r
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l uncertain-for -d 'With --all: only keys unchanged for longer than this' -r
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l owner -d 'With --all: only owners that begin so' -r
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l limit -d 'With --all: at most so many, those unchanged longest first' -r
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l reason -d 'Why, for the record kept beside the rows' -r
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l expect -d 'Do nothing unless exactly so many would be changed' -r
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand reconcile" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l reset -d 'It never happened: let the next caller run it'
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l before-hard-ttl -d 'Also where the hard limit is still ahead and the worker may be alive'
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l all -d 'Every uncertain key that matches the filters'
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l dry-run -d 'Say what would be done, and do nothing'
complete -c sen -n "__fish_sen_using_subcommand reconcile" -s y -l yes -d 'Consent in advance to what would be asked'
complete -c sen -n "__fish_sen_using_subcommand reconcile" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand reconcile" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand reconcile" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand reconcile" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand release" -s n -l namespace -d 'Put this namespace before every key, as the library does' -r
complete -c sen -n "__fish_sen_using_subcommand release" -l reason -d 'Why, for the record kept beside the rows' -r
complete -c sen -n "__fish_sen_using_subcommand release" -l expect -d 'Do nothing unless exactly so many would be changed' -r
complete -c sen -n "__fish_sen_using_subcommand release" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand release" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand release" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand release" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand release" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand release" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand release" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand release" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand release" -l dry-run -d 'Say what would be done, and do nothing'
complete -c sen -n "__fish_sen_using_subcommand release" -s y -l yes -d 'Consent in advance to what would be asked'
complete -c sen -n "__fish_sen_using_subcommand release" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand release" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand release" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand release" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand release" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand release" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand release" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand forget" -s n -l namespace -d 'Put this namespace before every key, as the library does' -r
complete -c sen -n "__fish_sen_using_subcommand forget" -l reason -d 'Why, for the record kept beside the rows' -r
complete -c sen -n "__fish_sen_using_subcommand forget" -l expect -d 'Do nothing unless exactly so many would be changed' -r
complete -c sen -n "__fish_sen_using_subcommand forget" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand forget" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand forget" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand forget" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand forget" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand forget" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand forget" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand forget" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand forget" -l dry-run -d 'Say what would be done, and do nothing'
complete -c sen -n "__fish_sen_using_subcommand forget" -s y -l yes -d 'Consent in advance to what would be asked'
complete -c sen -n "__fish_sen_using_subcommand forget" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand forget" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand forget" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand forget" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand forget" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand forget" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand wait" -l for -d 'What to wait for' -r -f -a "completed\t'The result is cached'
settled\t'Completed, free, or gone'
free\t'Nobody holds it, or there is no such key'"
complete -c sen -n "__fish_sen_using_subcommand wait" -s n -l namespace -d 'Put this namespace before the key, as the library does' -r
complete -c sen -n "__fish_sen_using_subcommand wait" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand wait" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand wait" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand wait" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand wait" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand wait" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand wait" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand wait" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand wait" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand wait" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand wait" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand wait" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand wait" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand wait" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand once" -l ttl -d 'How long the lease lasts without a heartbeat (at least 1s)' -r
complete -c sen -n "__fish_sen_using_subcommand once" -l hard-ttl -d 'How long heartbeats can extend the lease; a command that takes longer is ended' -r
complete -c sen -n "__fish_sen_using_subcommand once" -s n -l namespace -d 'Put this namespace before the key, as the library does' -r
complete -c sen -n "__fish_sen_using_subcommand once" -l on-failure -d 'What a failed command makes of the key' -r -f -a "uncertain\t'A person must look: the effect may have happened'
complete\t'Its failure is its result: later callers get it'
release\t'The key is free again: the next caller runs it'"
complete -c sen -n "__fish_sen_using_subcommand once" -l wait -d 'Wait so long while somebody else holds the key' -r
complete -c sen -n "__fish_sen_using_subcommand once" -s E -l conflict-exit-code -d 'Exit code when the key is held elsewhere, instead of 75' -r
complete -c sen -n "__fish_sen_using_subcommand once" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand once" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand once" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand once" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand once" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand once" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand once" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand once" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand once" -l print-cached -d 'When the command ran earlier, print what it printed'
complete -c sen -n "__fish_sen_using_subcommand once" -l describe -d 'Say what would happen, and do nothing'
complete -c sen -n "__fish_sen_using_subcommand once" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand once" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand once" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand once" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand once" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand once" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand once" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand doctor" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand doctor" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand doctor" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand doctor" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand doctor" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand doctor" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand doctor" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand doctor" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand doctor" -l check -d 'End with exit code 10 when something is worth a warning'
complete -c sen -n "__fish_sen_using_subcommand doctor" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand doctor" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand doctor" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand doctor" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand doctor" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand doctor" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand grants" -l role -d 'What the role is to be able to do: ro (every reading command) or operator (every act, too)' -r -f -a "ro\t'Every reading command'
operator\t'Every act, too'"
complete -c sen -n "__fish_sen_using_subcommand grants" -l to -d 'The role\'s name' -r
complete -c sen -n "__fish_sen_using_subcommand grants" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand grants" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand grants" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand grants" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand grants" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand grants" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand grants" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand grants" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand grants" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand grants" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand grants" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand grants" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand grants" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand grants" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand grants" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand metrics" -l textfile -d 'Replace this file atomically instead of printing' -r -F
complete -c sen -n "__fish_sen_using_subcommand metrics" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand metrics" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand metrics" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand metrics" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand metrics" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand metrics" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand metrics" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand metrics" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand metrics" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand metrics" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand metrics" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand metrics" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand metrics" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand metrics" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand metrics" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -f -a "list" -d 'List agent tasks'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -f -a "show" -d 'Show everything known of an agent task or a worker, with a verdict'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -f -a "submit" -d 'Queue a new agent task, as the controller does'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -f -a "cancel" -d 'Give up agent tasks that are not over: they become failed, as with the controller'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -f -a "requeue" -d 'Give agent tasks whose worker is gone back to the queue, as the watcher does'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -f -a "stats" -d 'Count agent tasks: by verdict, by stored status as the controller does, by tenant'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -f -a "costs" -d 'Show what agent tasks have cost, per tenant and day, with totals'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -f -a "workers" -d 'List workers: those with a heartbeat, and those that hold tasks without one'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -f -a "events" -d 'Show the newest events of all agent tasks, or of one, in time order'
complete -c sen -n "__fish_sen_using_subcommand agent; and not __fish_seen_subcommand_from list show submit cancel requeue stats costs workers events rate-limit" -f -a "rate-limit" -d 'Show, set or reset the rate limits of tenants'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l state -d 'Only these states: queued, leased, in_progress, completed, failed, retrying (stored); running, worker_gone, lease_expired, out_of_attempts, over_cost_limit, cancelled, unreadable (judged)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l tenant -d 'Only tasks of this tenant' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l owner -d 'Only tasks that this worker has or had' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l type -d 'Only tasks of this type' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l where-error -d 'Only tasks whose error contains this text' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l older-than -d 'Only tasks unchanged for longer than this' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l since -d 'Only tasks changed at or after this: 2026-11-20T20:16:00Z, 2026-11-20, or 2h for two hours ago' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l until -d 'Only tasks changed before this' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l sort -d 'Order: created, updated, lease, attempts or cost, the largest first [default: created; stored order with --limit 0]' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l limit -d 'At most so many; 0 for all, streamed' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l expired -d 'Only tasks held beyond their lease'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l dead-owner -d 'Only tasks held by a worker whose heartbeat is gone'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l reverse -d 'The order reversed'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l fail-if-empty -d 'End with exit code 4 when nothing matches'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -l events -d 'How many of the newest events to show' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -l check -d 'Turn the verdict into the exit code'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l tenant -d 'Whose task it is' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l type -d 'What it does' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l agent -d 'Which kind of agent does it' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l params -d 'Its parameters, a JSON object (or @FILE, or - for stdin)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l cost-limit -d 'What it may cost, in US dollars; 0 for no limit' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l max-attempts -d 'How often it may be tried' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l id -d 'Its id, instead of a random one' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l reason -d 'Why, for the record kept beside the rows' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l expect -d 'Do nothing unless exactly so many would be changed' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l dry-run -d 'Say what would be done, and do nothing'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -s y -l yes -d 'Consent in advance to what would be asked'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from submit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l state -d 'Only these states: queued, leased, in_progress, completed, failed, retrying (stored); running, worker_gone, lease_expired, out_of_attempts, over_cost_limit, cancelled, unreadable (judged)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l tenant -d 'Only tasks of this tenant' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l owner -d 'Only tasks that this worker has or had' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l type -d 'Only tasks of this type' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l where-error -d 'Only tasks whose error contains this text' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l older-than -d 'Only tasks unchanged for longer than this' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l since -d 'Only tasks changed at or after this: 2026-11-20T20:16:00Z, 2026-11-20, or 2h for two hours ago' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l until -d 'Only tasks changed before this' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l limit -d 'With --all: at most so many, those submitted first' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l verify -d 'Keep watching for so long that no worker undoes it' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l reason -d 'Why, for the record kept beside the rows' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l expect -d 'Do nothing unless exactly so many would be changed' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l all -d 'Every task that matches the filters'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l expired -d 'Only tasks held beyond their lease'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l dead-owner -d 'Only tasks held by a worker whose heartbeat is gone'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l dry-run -d 'Say what would be done, and do nothing'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -s y -l yes -d 'Consent in advance to what would be asked'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l state -d 'Only these states: queued, leased, in_progress, completed, failed, retrying (stored); running, worker_gone, lease_expired, out_of_attempts, over_cost_limit, cancelled, unreadable (judged)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l tenant -d 'Only tasks of this tenant' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l owner -d 'Only tasks that this worker has or had' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l type -d 'Only tasks of this type' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l where-error -d 'Only tasks whose error contains this text' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l older-than -d 'Only tasks unchanged for longer than this' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l since -d 'Only tasks changed at or after this: 2026-11-20T20:16:00Z, 2026-11-20, or 2h for two hours ago' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l until -d 'Only tasks changed before this' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l limit -d 'With --all: at most so many, those submitted first' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l verify -d 'Keep watching for so long that no worker undoes it' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l reason -d 'Why, for the record kept beside the rows' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l expect -d 'Do nothing unless exactly so many would be changed' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l all -d 'Every task that matches the filters'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l expired -d 'Only tasks held beyond their lease'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l dead-owner -d 'Only tasks held by a worker whose heartbeat is gone'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l dry-run -d 'Say what would be done, and do nothing'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -s y -l yes -d 'Consent in advance to what would be asked'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from requeue" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from stats" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -l tenant -d 'Only this tenant' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -l fail-if-empty -d 'End with exit code 4 when there are no tasks'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from costs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -l fail-if-empty -d 'End with exit code 4 when there are none'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from workers" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -l limit -d 'The newest so many; 0 for all' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -s f -l follow -d 'Go on and print new events as they are written, until interrupted'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -l fail-if-empty -d 'End with exit code 4 when there are none'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from events" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -f -a "get" -d 'Show how many tokens a tenant has, as the controller reckons; all tenants without a name'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -f -a "set" -d 'Fill a tenant\'s bucket with so many tokens, as the controller does'
complete -c sen -n "__fish_sen_using_subcommand agent; and __fish_seen_subcommand_from rate-limit" -f -a "reset" -d 'Remove a tenant\'s bucket, which fills it'
complete -c sen -n "__fish_sen_using_subcommand init" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand init" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand init" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand init" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand init" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand init" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand init" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand init" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand init" -l dry-run -d 'Say what would be created, and create nothing'
complete -c sen -n "__fish_sen_using_subcommand init" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand init" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand init" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand init" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand init" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand init" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand demo" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand demo" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand demo" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand demo" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand demo" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand demo" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand demo" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand demo" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand demo" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand demo" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand demo" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand demo" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand demo" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand demo" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand completions" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand completions" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand completions" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand completions" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand completions" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand completions" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand completions" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand completions" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand completions" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand completions" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand completions" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand completions" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand completions" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand completions" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand man" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand man" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand man" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand man" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand man" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand man" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand man" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand man" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand man" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand man" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand man" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand man" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand man" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand man" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sen -n "__fish_sen_using_subcommand help" -l database-url -d 'Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string' -r
complete -c sen -n "__fish_sen_using_subcommand help" -l redis-url -d 'Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH' -r
complete -c sen -n "__fish_sen_using_subcommand help" -l env-file -d 'Read settings from this file instead of the nearest .env' -r -F
complete -c sen -n "__fish_sen_using_subcommand help" -s o -l output -d 'How to print what is found' -r -f -a "table\t'Aligned columns, or labelled lines for a single thing; for people'
json\t'One JSON document'
jsonl\t'One JSON object per line'
csv\t'Comma-separated values with a header'"
complete -c sen -n "__fish_sen_using_subcommand help" -l fields -d 'Print only these fields, in this order' -r
complete -c sen -n "__fish_sen_using_subcommand help" -l color -d 'When to use colour' -r -f -a "auto\t'Where a terminal can show it'
always\t'Everywhere'
never\t'Nowhere'"
complete -c sen -n "__fish_sen_using_subcommand help" -l timeout -d 'Time limit: of one database statement (30s if not given; streamed lists have none), of `wait` as a whole' -r
complete -c sen -n "__fish_sen_using_subcommand help" -l worker-timezone -d 'Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)' -r
complete -c sen -n "__fish_sen_using_subcommand help" -s q -l quiet -d 'Print data and errors only'
complete -c sen -n "__fish_sen_using_subcommand help" -s v -l verbose -d 'Say on stderr what was connected to, and how'
complete -c sen -n "__fish_sen_using_subcommand help" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c sen -n "__fish_sen_using_subcommand help" -l no-pager -d 'Never page long output'
complete -c sen -n "__fish_sen_using_subcommand help" -l read-only -d 'Refuse every command that writes'
complete -c sen -n "__fish_sen_using_subcommand help" -l reveal -d 'Show values under secret-looking names instead of ***'
complete -c sen -n "__fish_sen_using_subcommand help" -s h -l help -d 'Print help (see more with \'--help\')'
