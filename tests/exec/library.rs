//! What sen tells of executions and tasks is what the real library says of them, and what it cannot say is judged rightly.

use serde_json::{Value, json};

use crate::Place;
use crate::harness::peers::{self, Peer, SENPUKI_011, SENPUKI_020, SENPUKI_030, STENT_112};
use crate::harness::python::Environment;

/// The verdict a person should get for each execution that `make.py` makes.
fn verdict(name: &str) -> &'static str {
    match name {
        "failing" | "declined" => "failed",
        "timed-out" => "timed_out",
        "cancelled" => "cancelled",
        "scheduled" => "scheduled",
        "queued-0" | "queued-1" | "queued-2" | "signalled" => "pending",
        "stranded" => "stranded",
        "lost" => "lost",
        "waiting" => "waiting",
        "sleeping" => "sleeping",
        "running" => "running",
        _ => "completed",
    }
}

/// The library's time as sen prints it, the zone being UTC.
fn moment(wall: &Value) -> Value {
    wall.as_str().map_or(Value::Null, |text| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "000000"));
        json!(format!("{whole}.{fraction}Z"))
    })
}

/// A payload as the library decoded it, in the words sen uses for the parts JSON has no notion of.
fn payload(value: &Value) -> Value {
    match value {
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("bytes") => {
            let hex = fields["bytes"].as_str().unwrap();
            let bytes: Vec<u8> =
                (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
            json!({"__type__": "bytes", "data": sen_core::systems::stent::codec::base64(&bytes)})
        }
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), payload(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(payload).collect()),
        other => other.clone(),
    }
}

/// `{"ok", "value", "error"}` of a `Result`, or a plain value, as sen's fields have them.
fn outcome(value: &Value) -> (Value, Value) {
    match value {
        Value::Null => (Value::Null, Value::Null),
        Value::Object(fields) if fields.contains_key("ok") && fields.contains_key("value") => match fields["ok"] {
            Value::Bool(true) => (json!("ok"), payload(&fields["value"])),
            _ => (json!("error"), payload(&fields["error"])),
        },
        other => (json!("value"), payload(other)),
    }
}

fn same_execution(place: &Place<'_>, name: &str, id: &str, truth: &Value) -> Value {
    let shown = place.json(&["exec", "show", "--events", "1000", id]);
    let at = |field: &str| format!("{name}: {field}: {:#}", shown[field]);
    for field in ["root_function", "tags", "priority", "queue"] {
        assert_eq!(shown[field], truth[field], "{}", at(field));
    }
    assert_eq!(shown["status"], truth["state"], "{}", at("status"));
    assert_eq!(shown["expires_at"], moment(&truth["expiry_at"]), "{}", at("expires_at"));
    for field in ["created_at", "started_at", "completed_at"] {
        assert_eq!(shown[field], moment(&truth[field]), "{}", at(field));
    }
    for field in ["args", "kwargs"] {
        assert_eq!(shown[field], payload(&truth[field]), "{}", at(field));
    }
    let (kind, result) = outcome(&truth["result"]);
    if truth["result"] != Value::Null {
        assert_eq!((&shown["outcome"], &shown["result"]), (&kind, &result), "{}", at("result"));
    }
    if let Some(message) = truth["error"]["message"].as_str() {
        // The class the library wraps what it cannot make again in says nothing.
        let message = message.trim_start_matches("DeserializedException: ");
        let error = shown["error"].as_str().unwrap();
        assert!(error.contains(message), "{name}: {error} lacks {message}");
    } else {
        assert_eq!(shown["error"], Value::Null, "{}", at("error"));
    }
    let counters = truth["counters"].as_object().unwrap();
    for (counter, value) in counters {
        assert_eq!(shown["counters"][counter].as_f64(), value.as_f64(), "{}", at("counters"));
    }
    for (key, value) in truth["custom_state"].as_object().unwrap() {
        assert_eq!(shown["custom_state"][key], payload(value), "{}", at("custom_state"));
    }
    let steps = truth["progress"].as_array().unwrap();
    let told = shown["progress"].as_array().unwrap();
    assert_eq!(told.len(), steps.len(), "{}", at("progress"));
    for (told, step) in told.iter().zip(steps) {
        for field in ["step", "status", "detail"] {
            assert_eq!(told[field], step[field], "{}", at("progress"));
        }
        assert_eq!(told["completed_at"], moment(&step["completed_at"]), "{}", at("progress"));
    }
    shown
}

/// 1 for a task that is or was at a try which the number of its retries does not count.
fn begun(task: &Value) -> i64 {
    i64::from(task["state"] != "pending")
}

fn same_task(place: &Place<'_>, id: &str, truth: &Value) {
    let shown = place.json(&["task", "show", id]);
    assert_eq!(
        shown["attempts"].as_i64(),
        truth["retries"].as_i64().map(|retries| retries + begun(truth)),
        "task {id}"
    );
    for (ours, theirs) in [("step", "step_name"), ("status", "state"), ("worker", "worker_id")] {
        assert_eq!(shown[ours], truth[theirs], "task {id}: {ours}");
    }
    for field in ["execution_id", "kind", "parent_task_id", "priority", "queue", "idempotency_key"] {
        assert_eq!(shown[field], truth[field], "task {id}: {field}");
    }
    for field in ["created_at", "started_at", "completed_at", "scheduled_for"] {
        assert_eq!(shown[field], moment(&truth[field]), "task {id}: {field}");
    }
    assert_eq!(shown["args"], payload(&truth["args"]), "task {id}: args");
    assert!(shown["verdict"]["state"].is_string());
}

/// Everything on one set of data: the library's making and its truth cost more than all of sen's commands together.
fn everything_is_told(environment: &Environment, place: &Place<'_>, codec: &str) {
    let peer = Peer::start(environment, "stent/make.py", &[&place.for_library(), "--codec", codec]);
    let made = peer.made["executions"].as_object().unwrap();
    assert!(made.len() > 18, "{made:?}");
    // A worker is given a minute to end an execution whose last task has ended: its times are moved.
    let stranded = made["stranded"].as_str().unwrap();
    place.dated("tasks", "completed_at", stranded, 0);
    assert_eq!(place.json(&["exec", "list", "--state", "settling"])[0]["id"], stranded);
    for (table, column) in [("tasks", "created_at"), ("tasks", "completed_at"), ("executions", "created_at")] {
        place.dated(table, column, stranded, 5);
    }
    let truth = place.truth(environment, codec);

    // Lists: every execution and task once, the newest first, with the stored state.
    let listed = place.json(&["exec", "list", "--limit", "1000"]);
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), truth["executions"].as_object().unwrap().len());
    let times: Vec<&str> = listed.iter().map(|row| row["created_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|left, right| left >= right), "{times:?}");
    for row in listed {
        let known = &truth["executions"][row["id"].as_str().unwrap()];
        assert_eq!(row["status"], known["state"]);
        assert_eq!(row["args"], payload(&known["args"]));
    }
    let tasks = place.json(&["task", "list", "--limit", "0"]);
    assert_eq!(tasks.as_array().unwrap().len(), truth["tasks"].as_object().unwrap().len());

    // Details.
    for (name, id) in made {
        let id = id.as_str().unwrap();
        let shown = same_execution(place, name, id, &truth["executions"][id]);
        assert_eq!(shown["verdict"]["state"], json!(verdict(name)), "{name}: {:#}", shown["verdict"]);
        // A list says the same.
        let row = listed.iter().find(|row| row["id"] == id).unwrap();
        assert_eq!(row["state"], verdict(name), "{name}");
        let own = truth["tasks"].as_object().unwrap().values().filter(|task| task["execution_id"] == id).count();
        assert_eq!(shown["tasks"].as_array().unwrap().len(), own, "{name}");
    }
    for (id, task) in truth["tasks"].as_object().unwrap() {
        same_task(place, id, task);
    }

    // The tree: a child stands below the task that waits for it.
    let checkout = place.json(&["exec", "show", made["checkout"].as_str().unwrap()]);
    let tree: Vec<&str> =
        checkout["tasks"].as_array().unwrap().iter().map(|task| task["tree"].as_str().unwrap()).collect();
    assert_eq!(tree, ["flows:checkout", "├─ flows:charge", "└─ flows:send_mail"]);
    let signalled = place.json(&["exec", "show", made["signalled"].as_str().unwrap()]);
    assert_eq!(signalled["signals"][0]["name"], "approve");
    assert_eq!(signalled["signals"][0]["consumed"], false);
    assert_eq!(signalled["signals"][0]["payload"], json!({"by": "early"}));

    // An orchestrator that was killed by its child: the child's error is told, the traceback is readable.
    let failing = place.json(&["exec", "show", made["failing"].as_str().unwrap()]);
    let evidence = failing["verdict"]["evidence"].to_string();
    assert!(evidence.contains("flows:flaky, at try 2") && evidence.contains("provider unreachable"), "{evidence}");
    assert_eq!(failing["dead_letters"].as_array().unwrap().len(), 2);
    if codec == "json" {
        let page = place.sen(&["exec", "show", made["failing"].as_str().unwrap()]).expect_code(0).stdout;
        assert!(page.contains("\ntraceback:\n  Traceback (most recent call last):\n    File "), "{page}");
    }

    // A worker that was killed: its lease is judged, and the verdict is an exit code.
    let lost = peer.made["tasks"]["lost"].as_str().unwrap();
    let shown = place.json(&["task", "show", lost]);
    assert_eq!(shown["verdict"]["state"], "lost");
    assert!(shown["verdict"]["evidence"][0].as_str().unwrap().contains("worker killed-1"));
    place.sen(&["task", "show", "--check", lost]).expect_code(10);
    place.sen(&["exec", "show", "--check", made["waiting"].as_str().unwrap()]).expect_code(8);
    place.sen(&["exec", "show", "--check", made["checkout"].as_str().unwrap()]).expect_code(0);

    filters(place, made);
    found_and_missing(place, &peer.made);
    counted(place, &truth);
    // Not one of these commands wrote: what the library says is what it said.
    if codec == "pickle" {
        assert_eq!(place.truth(environment, codec)["letters"], truth["letters"]);
    }
    crate::why::each_is_told_its_causes(place, &peer);
}

fn filters(place: &Place<'_>, made: &serde_json::Map<String, Value>) {
    let names = |args: &[&str]| {
        let rows = place.json(&[&["exec", "list"], args].concat());
        let name = |row: &Value| made.iter().find(|(_, id)| **id == row["id"]).map_or("?", |(name, _)| name).to_owned();
        let mut names: Vec<String> = rows.as_array().unwrap().iter().map(name).filter(|name| name != "?").collect();
        names.sort();
        names
    };
    assert_eq!(names(&["--state", "cancelled,timed_out"]), ["cancelled", "timed-out"]);
    assert_eq!(names(&["--state", "stranded"]), ["stranded"]);
    assert_eq!(names(&["--state", "settling"]), Vec::<String>::new());
    assert_eq!(names(&["--state", "waiting"]), ["waiting"]);
    assert_eq!(names(&["--state", "sleeping"]), ["sleeping"]);
    assert_eq!(names(&["--stuck"]), ["lost", "stranded"]);
    assert_eq!(names(&["--queue", "held"]), ["running", "sleeping", "waiting"]);
    assert!(names(&["--queue", "default"]).contains(&"squares".to_owned()));
    assert_eq!(names(&["--function", "checkout"]), ["checkout"]);
    assert_eq!(names(&["--function", "flows:reminder"]), ["sleeping"]);
    assert_eq!(names(&["--function", "eckout"]), Vec::<String>::new());
    assert_eq!(names(&["--tag", "vip"]), ["checkout"]);
    assert_eq!(names(&["--tag", "q\"t"]), ["checkout"]);
    assert_eq!(names(&["--tag", "vi"]), Vec::<String>::new());
    assert_eq!(names(&["--tag", "batch-1"]), ["queued-1"]);
    assert_eq!(names(&["--worker", "killed"]), ["lost"]);
    assert_eq!(names(&["--where-error", "card declined"]), ["declined"]);
    assert_eq!(names(&["--where-error", "provider unreachable"]), ["failing"], "the error of a step counts");
    assert_eq!(names(&["--since", "2001-01-01", "--until", "2002-01-01"]), Vec::<String>::new());
    assert_eq!(names(&["--older-than", "1d"]), Vec::<String>::new());
    assert!(names(&["--since", "10m", "--limit", "0"]).len() >= made.len());
    let oldest = place.json(&["exec", "list", "--reverse", "--limit", "2"]);
    assert_eq!((&oldest[0]["id"], &oldest[1]["id"]), (&made["stranded"], &made["checkout"]), "one was moved back");
    place.sen(&["exec", "list", "--state", "nonsense"]).expect_code(2);
    place.sen(&["exec", "list", "--tag", "no such tag"]).expect_code(0);
    place.sen(&["exec", "list", "--tag", "no such tag", "--fail-if-empty"]).expect_code(4);

    let steps = |args: &[&str]| {
        let rows = place.json(&[&["task", "list"], args].concat());
        let mut steps: Vec<String> =
            rows.as_array().unwrap().iter().map(|row| row["step"].as_str().unwrap().to_owned()).collect();
        steps.sort();
        steps
    };
    assert_eq!(steps(&["--state", "waiting"]), ["signal:approve"]);
    assert_eq!(steps(&["--state", "lost"]), ["flows:hang", "flows:live"]);
    assert_eq!(steps(&["--execution", made["squares"].as_str().unwrap(), "--step", "square"]).len(), 4);
    assert_eq!(steps(&["--worker", "killed-1"]), ["flows:hang", "flows:live"]);
    assert_eq!(steps(&["--state", "failed", "--where-error", "card declined"]).len(), 2);
    assert!(steps(&["--state", "scheduled"]).iter().any(|step| step.ends_with(".sleep")));
}

fn found_and_missing(place: &Place<'_>, made: &Value) {
    let execution = made["executions"]["declined"].as_str().unwrap();
    let letter = made["letters"]["declined/orchestrator"].as_str().unwrap();
    assert_eq!(place.json(&["inspect", execution])["subject"], format!("stent:execution:{execution}"));
    let dead = place.json(&["inspect", letter]);
    assert_eq!(dead["subject"], format!("stent:task:{letter}"));
    assert!(dead["dead_letter_error"].as_str().unwrap().contains("card declined"));

    place.sen(&["inspect", "no-such-id"]).expect_code(4);
    let other = place.sen(&["exec", "show", letter]).expect_code(4);
    assert!(other.stderr.contains("it is a task"), "{}", other.stderr);
    // A beginning of it would be the thing itself.
    let mut mistyped = execution.to_owned();
    let last = mistyped.pop();
    mistyped.push(if last == Some('0') { '1' } else { '0' });
    let near = place.sen(&["exec", "show", &mistyped]).expect_code(4);
    assert!(near.stderr.contains(execution), "{}", near.stderr);
}

fn counted(place: &Place<'_>, truth: &Value) {
    let count = |of: &str, wanted: &dyn Fn(&Value) -> bool| {
        truth[of].as_object().unwrap().values().filter(|row| wanted(row)).count() as i64
    };
    let status = place.json(&["status"]);
    let stent = status["systems"].as_array().unwrap().iter().find(|system| system["system"] == "stent").unwrap();
    for row in stent["counts"].as_array().unwrap() {
        let stored = count("executions", &|execution| execution["state"] == row["state"]);
        assert_eq!(row["count"].as_i64(), Some(stored), "{row}");
    }
    let attention = stent["attention"].to_string();
    for text in ["stranded", "lease expired", "dead letters"] {
        assert!(attention.contains(text), "{attention}");
    }
    assert!(!attention.contains("future"), "{attention}");
    place.sen(&["status", "--check"]).expect_code(10);

    let stats = place.json(&["stats"]);
    let stent = &stats["systems"][0];
    assert_eq!(stent["dead_letters"].as_i64(), Some(truth["letters"].as_object().unwrap().len() as i64));
    let ended = count("tasks", &|task| task["completed_at"] != Value::Null && task["state"] == "completed");
    assert_eq!(stent["tasks_completed"].as_i64(), Some(ended));
    let worker = |name: &str| {
        let workers = stent["workers"].as_array().unwrap();
        workers
            .iter()
            .find(|worker| worker["worker"] == name)
            .unwrap_or_else(|| panic!("no {name}: {workers:?}"))
            .clone()
    };
    assert_eq!(worker("killed-1")["lost"], 2);
    assert_eq!((worker("holder-1")["running"].as_i64(), worker("holder-1")["lost"].as_i64()), (Some(3), Some(0)));
    let queue = stent["queues"].as_array().unwrap().iter().find(|queue| queue["queue"] == "nobody").unwrap().clone();
    let ready = count("tasks", &|task| {
        task["queue"] == "nobody" && task["state"] == "pending" && task["scheduled_for"] == Value::Null
    });
    assert_eq!((queue["ready"].as_i64(), queue["scheduled"].as_i64()), (Some(ready), Some(1)));
}

#[test]
fn stent_in_postgres() {
    everything_is_told(&STENT_112, &Place::postgres(), "json");
}

#[test]
fn senpuki_in_postgres_with_pickles() {
    everything_is_told(&SENPUKI_030, &Place::postgres(), "pickle");
}

#[test]
fn stent_in_sqlite_with_pickles() {
    everything_is_told(&STENT_112, &Place::sqlite(), "pickle");
}

#[test]
fn senpuki_in_sqlite() {
    everything_is_told(&SENPUKI_030, &Place::sqlite(), "json");
}

/// Tables are missing and letters are Python's `str(task)`: shown and marked, never an abort.
fn older(environment: &Environment, place: &Place<'_>, version: &str) {
    let made = peers::ask(environment, "stent/old.py", &[&place.for_library()]);
    let (failed, letter) = (made["failed"].as_str().unwrap(), made["letter"].as_str().unwrap());
    let shown = place.json(&["exec", "show", failed]);
    assert_eq!(shown["verdict"]["state"], "failed");
    assert_eq!(shown["args"], json!(["order-1"]));
    assert_eq!((&shown["counters"], &shown["signals"]), (&Value::Null, &json!([])));
    assert!(shown["dead_letters"].to_string().contains(letter), "{:#}", shown["dead_letters"]);
    assert_eq!(place.json(&["inspect", letter])["kind"], "orchestrator");
    assert_eq!(place.json(&["exec", "list"]).as_array().unwrap().len(), 2);
    let status = place.json(&["status"]);
    assert!(status.to_string().contains(version), "{status:#}");
    place.sen(&["stats"]).expect_code(0);
    // What names a key is found from the key, and text within longer text is not.
    let chain = place.json(&["why", "shop:order-1"]);
    assert_eq!(chain["chain"][0]["subject"], format!("stent:execution:{failed}"), "{chain:#}");
    assert_eq!(chain["chain"][0]["relation"], "mentions it in its payload");
    place.sen(&["why", "order"]).expect_code(4);

    // A dead letter that is Python's text is replayed from the row of its task, which still has the arguments.
    let plan = place.json(&["dlq", "replay", letter, "--dry-run"]);
    assert_eq!(plan["planned"], 1, "{plan:#}");
    place.sen(&["dlq", "replay", letter]).expect_code(0);
    let healed = peers::ask(environment, "stent/old.py", &[&place.for_library(), "heal", failed]);
    assert_eq!(healed["state"], "completed");
    assert_eq!(place.json(&["exec", "show", failed])["result"], json!({"order": "order-1"}));

    // A letter whose task is gone is still found.
    let shown = place.json(&["inspect", "orphan-1"]);
    assert_eq!(shown["subject"], "stent:dead_letter:orphan-1");
    assert!(shown["verdict"]["evidence"].to_string().contains("no longer exists"), "{shown:#}");
}

#[test]
fn senpuki_0_1() {
    older(&SENPUKI_011, &Place::postgres(), "senpuki 0.1.x");
    older(&SENPUKI_011, &Place::sqlite(), "senpuki 0.1.x");
}

#[test]
fn senpuki_0_2() {
    older(&SENPUKI_020, &Place::postgres(), "senpuki 0.2.x");
    older(&SENPUKI_020, &Place::sqlite(), "senpuki 0.2.x");
}
