//! A hot standby: reading says how far behind it is, and acts are refused before anything is asked or done, with the primary's name.

use crate::harness::patience::until;
use crate::harness::postgres::{Options, Server};
use crate::harness::psql;
use crate::harness::sen::{Output, sen};

#[test]
fn reading_tells_how_far_behind_and_acts_name_the_primary() {
    let mut primary = Server::start(&Options::new());
    let (own, there) = (primary.url_of("postgres"), format!("{}:{}", primary.socket_dir().display(), primary.port()));
    sen(["init"]).database(&own).run().expect_code(0);
    let standby = primary.standby("one");
    let url = standby.url_of("postgres");
    let run = |words: &[&str]| -> Output { sen(words).database(&url).run() };

    sen(["once", "a", "--", "true"]).database(&own).run().expect_code(0);
    until("the standby has the lease", || {
        psql::run(&url, "SELECT count(*) FROM sentinel_leases WHERE status = 'completed'") == "1"
    });
    let list = run(&["list"]).expect_code(0);
    assert!(list.stdout.contains("completed"), "{}", list.stdout);
    if psql::run(&own, "SELECT current_setting('server_version_num')::int < 140000") == "t" {
        // Those do not say at the login what they are: doctor asks, and they refuse what writes by themselves.
        assert_eq!(list.stderr, "");
        let doctor = run(&["doctor"]);
        assert!(doctor.stdout.contains(&format!("a standby of {there}")), "{}", doctor.stdout);
        let refused = run(&["forget", "a", "--yes"]).expect_code(5);
        assert!(refused.stdout.contains("is a standby"), "{refused:?}");
        return;
    }
    assert!(
        list.stderr.contains(&format!("this is a standby of {there}: it shows all that it received")),
        "{}",
        list.stderr
    );
    assert_eq!(run(&["list", "--quiet"]).stderr, "", "a note is silenced as others are");

    for words in [&["forget", "a", "--yes"][..], &["reconcile", "a", "--reset", "--yes"]] {
        let refused = run(words).expect_code(5);
        assert!(refused.stderr.contains(&there) && refused.stderr.contains("nothing was done"), "{}", refused.stderr);
        assert!(refused.stderr.contains("target_session_attrs=primary"), "{}", refused.stderr);
    }
    // What it would do can be looked at anywhere.
    run(&["forget", "a", "--dry-run"]).expect_code(0);
    let once = run(&["once", "b", "--", "true"]).expect_code(125);
    assert!(once.stderr.contains("this server is a standby and takes no writes"), "{}", once.stderr);

    // Behind: it receives, and replays nothing.
    psql::run(&url, "SELECT pg_wal_replay_pause()");
    sen(["once", "c", "--", "true"]).database(&own).run().expect_code(0);
    until("the standby is behind", || run(&["list"]).stderr.contains("and behind: the last change that it shows is"));
    psql::run(&url, "SELECT pg_wal_replay_resume()");

    primary.crash();
    until("the standby receives nothing", || run(&["list"]).stderr.contains("a standby that receives nothing now"));
    let doctor = run(&["doctor"]);
    assert!(
        doctor.stdout.contains("receives nothing now") && doctor.stdout.contains("acts need the primary"),
        "{}",
        doctor.stdout
    );
}
