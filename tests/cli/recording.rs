//! The recording of the demo incident and the pictures of the README are made by a script, and the incident is settled in it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::sen::SEN;

#[test]
fn the_demo_incident_is_settled_in_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/record");
    let output =
        Command::new("python3").arg(script).args(["--sen", SEN, "--into"]).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let cast = fs::read_to_string(folder.path().join("incident.cast")).unwrap();
    let mut lines = cast.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let head = lines.next().unwrap();
    assert_eq!((&head["version"], &head["width"]), (&2.into(), &100.into()));
    let events: Vec<(f64, String)> =
        lines.map(|event| (event[0].as_f64().unwrap(), event[2].as_str().unwrap().to_owned())).collect();
    assert!(events.is_sorted_by_key(|(at, _)| *at), "time goes on");
    let shown: String = events.into_iter().map(|(_, text)| text).collect();
    for settled in ["taken over and completed", "due again", "replayed as task"] {
        assert!(shown.contains(settled), "{settled}: {shown}");
    }
    assert!(!shown.contains("error:"), "{shown}");

    for picture in ["status.svg", "inspect.svg"] {
        let picture = fs::read_to_string(folder.path().join(picture)).unwrap();
        assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"), "{picture}");
        assert!(!picture.contains('\u{1b}') && picture.to_lowercase().contains("uncertain"), "{picture}");
    }
}
