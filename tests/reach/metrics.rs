//! The alert rules and the dashboard that are shipped: they parse, and name only what `sen metrics` prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use regex::Regex;
use serde_json::Value;

use crate::harness::sen::sen;
use crate::programs::Programs;

/// Each metric with its labels and their values.
type Printed = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// What a survey of the demo prints, which has something of every system that SQLite holds.
fn printed() -> Printed {
    let programs = Programs::new();
    let path = programs.path("demo.db");
    sen(["demo", path.to_str().unwrap()]).run().expect_code(0);
    let text = sen(["metrics"]).database(&format!("sqlite:{}", path.display())).run().expect_code(0).stdout;
    let label = Regex::new(r#"(\w+)="([^"]*)""#).unwrap();
    let mut printed = Printed::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            printed.entry(rest.split(' ').next().unwrap().to_owned()).or_default();
        } else if let Some((name, labels)) = line.split_once('{') {
            for found in label.captures_iter(labels) {
                let values = printed.get_mut(name).unwrap().entry(found[1].to_owned()).or_default();
                values.insert(found[2].to_owned());
            }
        }
    }
    assert!(printed.len() >= 7, "{printed:?}");
    printed
}

/// What an expression asks for that is not printed. Prometheus itself adds `instance` and `job`.
fn strange(expression: &str, printed: &Printed) -> Vec<String> {
    let metric = Regex::new(r"\b(sen_\w+)(\{[^}]*\})?").unwrap();
    let matcher = Regex::new(r#"(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)""#).unwrap();
    let grouped = Regex::new(r"\bby \(([^)]*)\)").unwrap();
    let mut found = Vec::new();
    for used in metric.captures_iter(expression) {
        let Some(labels) = printed.get(&used[1]) else {
            found.push(used[1].to_owned());
            continue;
        };
        let known = |label: &str| ["instance", "job"].contains(&label) || labels.contains_key(label);
        for part in matcher.captures_iter(used.get(2).map_or("", |part| part.as_str())) {
            let there = !part[2].eq("=") || labels.get(&part[1]).is_none_or(|values| values.contains(&part[3]));
            if !known(&part[1]) || !there {
                found.push(format!("{}{{{}}}", &used[1], &part[0]));
            }
        }
        for names in grouped.captures_iter(expression) {
            found.extend(names[1].split(',').map(str::trim).filter(|label| !known(label)).map(str::to_owned));
        }
    }
    found
}

fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_yaml_ng::from_str(text).unwrap()
}

#[test]
fn alert_rules_name_only_what_is_printed() {
    let (printed, rules) = (printed(), yaml(&shipped("metrics/alerts.yaml")));
    let mut names = BTreeSet::new();
    let labels = Regex::new(r"\$labels\.(\w+)").unwrap();
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{name} is there twice");
        let expression = rule["expr"].as_str().unwrap();
        assert_eq!(strange(expression, &printed), Vec::<String>::new(), "{name}");
        assert!(["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        let said = format!("{} {}", rule["annotations"]["summary"], rule["annotations"]["description"]);
        assert!(!said.contains("null"), "{name}: {said}");
        // What an alert says of itself is a label that its expression leaves.
        for label in labels.captures_iter(&said) {
            let metric = printed.iter().find(|(metric, _)| expression.contains(metric.as_str()));
            assert!(metric.is_some_and(|(_, labels)| labels.contains_key(&label[1])), "{name}: {}", &label[0]);
        }
    }
    assert!(names.len() >= 6, "{names:?}");
}

#[test]
fn the_dashboard_names_only_what_is_printed() {
    let (printed, dashboard) = (printed(), serde_json::from_str::<Value>(&shipped("metrics/dashboard.json")).unwrap());
    let mut used = BTreeSet::new();
    let labels = Regex::new(r"\{\{(\w+)\}\}").unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            assert_eq!(strange(expression, &printed), Vec::<String>::new(), "{}", panel["title"]);
            used.extend(printed.keys().filter(|metric| expression.contains(metric.as_str())).cloned());
            for label in labels.captures_iter(target["legendFormat"].as_str().unwrap()) {
                assert!(expression.contains(&label[1]), "{}: {}", panel["title"], &label[0]);
            }
        }
    }
    assert_eq!(used, printed.keys().cloned().collect(), "every metric has its place");
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        assert_eq!(strange(variable["query"].as_str().unwrap(), &printed), Vec::<String>::new());
    }
}

/// By Prometheus' own tool: the rules and what is printed are well-formed, and the alerts fire when they should.
#[ignore = "needs promtool: scripts/test --wide"]
#[test]
fn prometheus_takes_them_and_alerts_when_it_should() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for words in [["check", "rules", "docs/metrics/alerts.yaml"], ["test", "rules", "tests/reach/alerts.test.yaml"]] {
        let output = Command::new("promtool").args(words).current_dir(root).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("SUCCESS"), "{words:?}: {said}");
    }
    let programs = Programs::new();
    let path = programs.path("demo.db");
    sen(["demo", path.to_str().unwrap()]).run().expect_code(0);
    let text = sen(["metrics"]).database(&format!("sqlite:{}", path.display())).run().expect_code(0).stdout;
    let mut lint = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    lint.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = lint.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn what_is_not_printed_is_seen() {
    let printed = printed();
    for (expression, wrong) in [
        ("sen_itemz > 0", "sen_itemz"),
        ("sen_items{stat=\"x\"}", "sen_items{stat=\"x\"}"),
        ("sen_items{state=\"uncertian\"}", "sen_items{state=\"uncertian\"}"),
        ("sum by (queue) (sen_dead_letters)", "queue"),
    ] {
        assert_eq!(strange(expression, &printed), [wrong]);
    }
}
