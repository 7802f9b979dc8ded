//! `sen why` on the demo's incident.

use crate::harness::sen::sen;

#[test]
fn each_key_of_the_incident_is_told_its_cause_and_healthy_ones_have_none() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let why = |args: &[&str]| {
        let args: Vec<&str> = ["why"].iter().chain(args).copied().collect();
        sen(args).cwd(folder.path()).database("sqlite:sen-demo.db").run()
    };
    for (key, rules, command) in [
        ("payments:order-7731", &["holder_gone"][..], "sen reconcile payments:order-7731"),
        ("reports:daily-settlement", &["async_holder"], "sen wait reports:daily-settlement"),
        ("emails:receipt-7701", &[], ""),
    ] {
        let told = why(&["-o", "json", key]).expect_code(0).json();
        let found: Vec<&str> = told["chain"][0]["causes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cause| cause["rule"].as_str().unwrap())
            .collect();
        assert_eq!(found, rules, "{told}");
        assert_eq!(told["next"][0].as_str().unwrap_or_default(), command, "{told}");
        why(&["--check", key]).expect_code(if rules.is_empty() { 0 } else { 10 });
    }
    let healthy = why(&["emails:receipt-7701"]).expect_code(0).stdout;
    assert!(healthy.contains("nothing is wrong with it"), "{healthy}");
    let missing = why(&["payments:order-7732x"]).expect_code(4).stderr;
    assert!(missing.contains("did you mean"), "{missing}");
    assert_eq!(why(&["-n", "payments", "order-7731"]).expect_code(0).stdout, why(&["payments:order-7731"]).stdout);
}
