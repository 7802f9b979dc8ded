//! `sen metrics`: the figures of `sen status` in the text format of Prometheus.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sen_core::error::{Error, Result};
use sen_core::model::summary::Counting;
use sen_core::ops::summary::{Front, summary};
use sen_core::time::Uptime;

use crate::exit::Exit;
use crate::fault;
use crate::session::Session;
use crate::views::{CommandOutput, View};
use crate::files;

/// Print counts, ages and dead letters in Prometheus' text format
///
/// One survey of the database, as `sen status` makes it. Without --textfile it goes to stdout.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen metrics
  sen metrics --textfile /var/lib/node_exporter/textfile/sen.prom      from cron, for node_exporter

When the database cannot be asked, the file says `sen_up 0` and nothing else, and the exit code is that of the failure.")]
pub struct Args {
    /// Replace this file atomically instead of printing
    #[arg(long, value_name = "PATH")]
    pub textfile: Option<PathBuf>,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let start = Uptime::now();
    let answer = async { summary(&session.read().await?, Counting::Exact).await }.await;
    let took = start.until(Uptime::now()).as_secs_f64();
    let text = match &answer {
        Ok(front) => render(front, took),
        Err(_) => up(false),
    };
    let view = match args.textfile {
        Some(path) => {
            replace(&path, &text)?;
            View::Nothing
        }
        None => View::Text(text),
    };
    let unread = answer?.unreachable;
    let exit = unread.first().map_or(Exit::Done, |error| fault::exit(error.kind()));
    Ok(CommandOutput::new(view).ending(exit).with_errors(unread))
}

fn up(up: bool) -> String {
    let mut out = String::new();
    family(&mut out, "sen_up", "Whether the database could be asked.");
    sample(&mut out, "sen_up", &[], f64::from(u8::from(up)));
    out
}

fn render(front: &Front, took: f64) -> String {
    let mut out = up(true);
    family(&mut out, "sen_unread_systems", "Systems that could not be read: what is counted is not all.");
    sample(&mut out, "sen_unread_systems", &[], front.unreachable.len() as f64);
    family(&mut out, "sen_query_seconds", "How long connecting and the survey took.");
    sample(&mut out, "sen_query_seconds", &[], took);
    family(&mut out, "sen_items", "Items by system and state.");
    for summary in &front.surveys {
        for count in &summary.counts {
            let labels = [("system", summary.system), ("kind", summary.counted), ("state", count.state)];
            sample(&mut out, "sen_items", &labels, count.count as f64);
        }
    }
    family(
        &mut out,
        "sen_oldest_change_age_seconds",
        "How long ago the one that changed longest ago did, by system and state.",
    );
    for summary in &front.surveys {
        for count in summary.counts.iter().filter(|count| count.count > 0) {
            let Some(oldest) = count.oldest.filter(|oldest| oldest.is_finite()) else { continue };
            let labels = [("system", summary.system), ("kind", summary.counted), ("state", count.state)];
            let age = summary.now.micros_since(oldest) as f64 / 1e6;
            sample(&mut out, "sen_oldest_change_age_seconds", &labels, age);
        }
    }
    family(&mut out, "sen_dead_letters", "Dead letters, by system.");
    for summary in &front.surveys {
        if let Some(letters) = summary.dead_letters {
            sample(&mut out, "sen_dead_letters", &[("system", summary.system)], letters as f64);
        }
    }
    family(&mut out, "sen_attention", "What needs a person, by system and severity.");
    for summary in &front.surveys {
        for severity in ["warning", "critical"] {
            let count = summary.attention.iter().filter(|item| item.severity.name() == severity).count();
            sample(&mut out, "sen_attention", &[("system", summary.system), ("severity", severity)], count as f64);
        }
    }
    out
}

fn family(out: &mut String, name: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
}

/// One line. Names and labels are this program's own words; only quotes and backslashes would need escaping.
fn sample(out: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    let escaped = |text: &str| text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
    let labels: Vec<String> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(out, "{name}{labels} {value}");
}

/// Writes beside the file and renames: whoever reads it sees the old text or the new one, whole.
fn replace(path: &Path, text: &str) -> Result<()> {
    let failed = files::cannot("write", path);
    let name = path.file_name().ok_or_else(|| Error::usage(format!("{} names no file", path.display())))?;
    // An unpredictable name, and a file that must not exist: no existing file or link is written to.
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{random:016x}"));
    let beside = path.with_file_name(beside);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_prometheus() {
        let mut out = String::new();
        sample(&mut out, "sen_items", &[("state", "a\"b\\c"), ("kind", "x")], 3.0);
        assert_eq!(out, "sen_items{state=\"a\\\"b\\\\c\",kind=\"x\"} 3\n");
        assert!(up(false).ends_with("sen_up 0\n"));
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sen.prom");
        replace(&path, "one\n").unwrap();
        replace(&path, "two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(&folder.path().join("missing/sen.prom"), "x").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, path) = (folder.path().join("victim"), folder.path().join("sen.prom"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        // The temporary name of an earlier version.
        let guessed = folder.path().join(format!(".sen.prom.{}", std::process::id()));
        std::os::unix::fs::symlink(&victim, &guessed).unwrap();
        replace(&path, "metrics\n").unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "metrics\n");
    }
}
