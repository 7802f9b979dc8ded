//! Secrets that are typed, kept and stored, from end to end: none is on a screen that did not ask for it. And what a
//! spreadsheet, a dumb terminal and a pipe make of what is shown.

use crate::harness::postgres::Server;
use crate::harness::pty::terminal;
use crate::harness::redis;
use crate::harness::sen::sen;

const SECRET: &str = "s3cr3t-hunter2";

fn contains(raw: &[u8], text: &str) -> bool {
    raw.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn the_title_of_what_is_repeated_names_no_secret() {
    let database = Server::shared().fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    let redis = redis::Options::new().tcp().conf(&format!("requirepass {SECRET}")).start();
    let mut client = redis.client();
    client.run(&["AUTH", SECRET]);
    client.run(&["XADD", "stream:events", "*", "event", "x"]);
    let cache = format!("redis://:{SECRET}@127.0.0.1:{}/0", redis.port());
    let url = format!("{}&password={SECRET}", database.url());
    let (joined, other) = (format!("--redis-url={cache}"), format!("--database-url={url}"));
    for words in [
        &["status", "--watch=200ms", "--redis-url", &cache][..],
        &["--redis-url", &cache, "--watch", "status"],
        &["status", &joined, "--watch=200ms", "--database-url", &url],
        &[&other, &joined, "--watch=200ms", "-v", "status"],
    ] {
        let mut live = terminal(words).database(&url).size(40, 200).start();
        live.wait_for("   every ");
        live.wait_for("node");
        assert!(live.screen().contains("sen status") || live.screen().contains("sen -v status"), "{}", live.screen());
        live.type_keys("\x03");
        let shown = live.finish();
        assert_eq!(shown.code, 130);
        assert!(!contains(&shown.raw, SECRET), "{words:?}:\n{}", shown.screen);
    }
}

/// What the parser of the arguments refuses is repeated in its message.
#[test]
fn a_url_in_the_wrong_place_is_not_repeated_with_its_password() {
    for url in [
        format!("postgresql://me:{SECRET}@db.invalid/orders"),
        format!("redis://:{SECRET}@cache.invalid:6379/0"),
        format!("rediss://worker:{SECRET}@cache.invalid"),
        format!("host=db.invalid user=me password={SECRET}"),
        format!("postgresql://db.invalid/orders?user=me&password={SECRET}"),
    ] {
        for words in [
            vec!["list", &url],
            vec!["status", &url],
            vec![&url],
            vec![&url, "list"],
            vec!["list", "--limit", &url],
            vec!["list", "--sort", "--", &url],
            vec!["dlq", &url],
            vec!["status", "--timeout", &url],
            vec!["--output", &url, "list"],
            vec!["list", "--since", &url],
            vec!["--database", &url, "list"],
            vec!["once", "--ttl", &url, "k", "--", "true"],
        ] {
            for format in [&[][..], &["-o", "json"]] {
                let output = sen(format.iter().chain(&words)).run();
                assert!([2, 125].contains(&output.code), "{words:?}: {output:?}");
                let told = format!("{}{}", output.stdout, output.stderr);
                assert!(!told.contains(SECRET), "{words:?}: {told}");
                assert!(told.contains("error"), "{words:?}: {told}");
            }
        }
    }
}

#[test]
fn what_looks_like_a_secret_is_shown_to_who_asks_to_see_it() {
    let database = Server::shared().fresh_database();
    let url = database.url();
    sen(["init"]).database(&url).run().expect_code(0);
    database.psql(&format!(
        r#"INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, status, execution_result) VALUES
            ('payments:1', 'h:1-1', now(), 'completed', '{{"amount": 7, "api_key": "{SECRET}", "nested": {{"password": "{SECRET}"}}}}')"#
    ));
    for words in [
        &["inspect", "payments:1"][..],
        &["inspect", "payments:1", "-o", "json"],
        &["list", "-o", "json"],
        &["list", "-o", "jsonl", "--fields", "key,execution_result"],
        &["list", "-o", "csv", "--fields", "key,execution_result"],
        &["list", "--fields", "key,execution_result"],
    ] {
        let masked = sen(words).database(&url).run().expect_code(0).stdout;
        assert!(!masked.contains(SECRET) && masked.contains("***") && masked.contains("amount"), "{words:?}: {masked}");
        let plain = sen(words.iter().chain(&["--reveal"])).database(&url).run().expect_code(0).stdout;
        assert_eq!((plain.matches(SECRET).count(), plain.contains("***")), (2, false), "{words:?}: {plain}");
    }
    // A password of this connection's own stays hidden all the same.
    let odd = format!("postgresql://me:{SECRET}@127.0.0.1:1/d");
    let told = sen(["list", "--reveal", "-v"]).database(&odd).run().expect_code(6);
    assert!(!told.stderr.contains(SECRET), "{}", told.stderr);
}

#[test]
fn no_cell_is_a_formula_to_a_spreadsheet() {
    let database = Server::shared().fresh_database();
    let url = database.url();
    sen(["init"]).database(&url).run().expect_code(0);
    let keys = [
        "\n=1+1",
        "\r=1+1",
        "\t=1+1",
        "\u{a0}=1+1",
        "\u{a0}\u{2007}+1",
        "\u{3000}@x",
        "＝1+1",
        "＋1",
        "－1",
        "＠x",
        " =1",
        "\u{feff}=1",
        "=1",
        "-1",
        "+1",
        "@x",
        "\n＝1",
    ];
    let harmless = ["a=1", "1-1", "payments:order-1", "\u{a0}a", "＃1"];
    for key in keys.iter().chain(&harmless) {
        database.psql(&format!(
            "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, status) VALUES ('{key}', 'h:1-1', now(), 'completed')"
        ));
    }
    let text = sen(["list", "-o", "csv", "--fields", "key"]).database(&url).run().expect_code(0).stdout;
    let cells: Vec<String> =
        csv::Reader::from_reader(text.as_bytes()).records().map(|row| row.unwrap()[0].into()).collect();
    assert_eq!(cells.len(), keys.len() + harmless.len(), "{text:?}");
    for key in keys {
        assert!(cells.iter().any(|cell| *cell == format!("'{key}")), "{key:?}: {cells:?}");
    }
    for key in harmless {
        assert!(cells.iter().any(|cell| cell == key), "{key:?}: {cells:?}");
    }
}

/// A terminal that cannot move its cursor gets no pager, which would ask it to.
#[test]
fn a_dumb_terminal_gets_no_pager() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let url = format!("sqlite:{}", folder.path().join("sen-demo.db").display());
    for (term, pages) in [("xterm-256color", true), ("dumb", false), ("", false)] {
        let marker = folder.path().join("paged");
        let pager = format!("tee {}", marker.display());
        let run = terminal(["list", "--limit", "0"]).database(&url).env("SEN_PAGER", &pager).env("TERM", term);
        let shown = run.size(4, 120).run();
        assert_eq!((shown.code, marker.exists()), (0, pages), "{term:?}: {}", shown.screen);
        assert!(contains(&shown.raw, "payments:"), "{term:?}: {}", shown.screen);
        let _ = std::fs::remove_file(marker);
    }
}
