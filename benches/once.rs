//! How many distinct keys per second `sen_core::once` runs, one after the other on one connection, in turns with the Python library.
//! See once.md.

use std::io;
use std::process::Command;
use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use sen_core::once::{Client, Once, Outcome};
use sen_core::stores::url::Target;

use crate::harness::peers::SENTINEL_050;
use crate::harness::postgres::{Options, Server};
use crate::meter::{median, sen, setting, time, title};

pub fn run() {
    let (keys, turns): (u32, u32) = (setting("SEN_BENCH_ONCE_KEYS", 1000), setting("SEN_BENCH_TURNS", 9));
    title(&format!("`sen_core::once` beside Python's `once()`: {keys} distinct keys on one connection, {turns} turns"));
    println!(
        "| server | keys | Rust, keys a second | Python, keys a second | ratio: median of the turns (lowest, highest) |\n|---|---|---|---|"
    );
    for (name, options) in [("fsync on", Options::new().durable()), ("fsync off", Options::new())] {
        let server = Server::start(&options);
        let database = server.fresh_database();
        time(&mut sen(&database.url(), &["init", "-q"]));
        let mut rates: [Vec<f64>; 3] = Default::default();
        for turn in 0..turns {
            for (rate, together) in rates.iter_mut().zip([1, TOGETHER]) {
                rate.push(f64::from(keys) / rust(&database.url(), &format!("{together}-{turn}"), keys, together));
            }
            rates[2].push(python(&database.url(), keys));
        }
        for (ours, how) in rates[..2].iter().zip(["one after the other".to_owned(), format!("{TOGETHER} at a time")]) {
            let mut ratios: Vec<f64> = ours.iter().zip(&rates[2]).map(|(ours, theirs)| ours / theirs).collect();
            ratios.sort_by(f64::total_cmp);
            println!(
                "| {name} | {how} | {:.0} | {:.0} | **{:.1}** ({:.1}, {:.1}) |",
                median(ours.clone()),
                median(rates[2].clone()),
                median(ratios.clone()),
                ratios[0],
                ratios[ratios.len() - 1]
            );
        }
    }
}

/// So many tasks share the connection, on which their statements are pipelined.
const TOGETHER: usize = 32;

/// Seconds for so many keys, of which some are run at the same time.
fn rust(url: &str, name: &str, keys: u32, together: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let target = Target::resolve(Some(url), &|_| None).expect("the URL can be read");
        let client = Client::connect(target).await.expect("the server answers");
        let start = Instant::now();
        let client = &client;
        stream::iter(0..keys)
            .for_each_concurrent(together, async |number| {
                let once = Once::new(client, format!("rust-{name}-{number}"));
                let outcome = once.run(async |_| Ok::<_, io::Error>(number)).await.expect("the key can be run");
                assert_eq!(outcome, Outcome::Ran(number), "a key was not fresh");
            })
            .await;
        start.elapsed().as_secs_f64()
    })
}

/// Keys a second, as the script counts them: without the start of the interpreter.
fn python(url: &str, keys: u32) -> f64 {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/once.py");
    let output = Command::new(SENTINEL_050.python()).args([script, url, &keys.to_string()]).output();
    let output = output.expect("Python can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.trim().rsplit(" = ").next().and_then(|rest| rest.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("once.py printed {text:?}\n{}", String::from_utf8_lossy(&output.stderr)))
}
