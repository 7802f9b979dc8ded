//! How the time of each reading command grows with the rows, beside the database's own scan: a table, and a plot in growth.svg.

use std::fmt::Write as _;
use std::process::Command;

use crate::harness::redis::Redis;
use crate::meter::{self, human, median, peak, psql, sen, setting, sqlite, time, title};

/// One curve: what is measured, and seconds by size.
struct Curve {
    name: String,
    seconds: Vec<f64>,
    memory: f64,
}

/// One place and its curves; the first is the scan of the place's own program.
struct Chart {
    name: &'static str,
    sizes: Vec<u64>,
    curves: Vec<Curve>,
}

const LEASES: &[&[&str]] = &[
    &["inspect", "payments:order-5000"],
    &["history", "payments:order-5000"],
    &["why", "payments:order-5000"],
    &["list"],
    &["status"],
    &["stats"],
    &["doctor"],
    &["list", "-o", "jsonl", "--limit", "0"],
];

const EXECUTIONS: &[&[&str]] = &[
    &["why", "order-5000"],
    &["exec", "list"],
    &["task", "list"],
    &["dlq", "list"],
    &["dlq", "groups"],
    &["status"],
    &["stats"],
    &["doctor"],
    &["exec", "list", "-o", "jsonl", "--limit", "0"],
];

const TASKS: &[&[&str]] = &[
    &["agent", "show", "task_000000000007"],
    &["agent", "stats"],
    &["agent", "list"],
    &["agent", "costs"],
    &["status"],
];

pub fn run() {
    let sizes: String = setting("SEN_BENCH_SIZES", "10000,100000,1000000".to_owned());
    let sizes: Vec<u64> = sizes.split(',').map(|size| size.parse().expect("sizes are numbers")).collect();
    title("Growth");
    let mut charts = Vec::new();
    {
        let server = crate::leases::server();
        let fill = |size| crate::leases::filled(&server, size);
        charts.push(chart("leases, PostgreSQL", &sizes, LEASES, |size, measure| {
            let database = fill(size);
            let scan = "SELECT status, count(*), min(lease_updated_at) FROM sentinel_leases GROUP BY 1";
            measure(psql(&database.url(), scan), &database.url());
            meter::remove(database);
        }));
        charts.push(chart("executions, PostgreSQL", &sizes, EXECUTIONS, |size, measure| {
            let database = crate::executions::filled(&server, size);
            measure(psql(&database.url(), crate::executions::COUNTS), &database.url());
            meter::remove(database);
        }));
    }
    charts.push(chart("executions, SQLite", &sizes, EXECUTIONS, |size, measure| {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = crate::executions::file(&folder, size);
        measure(sqlite(&file, crate::executions::COUNTS), &format!("sqlite:{file}"));
    }));
    // A task takes a kilobyte and a half of memory.
    let tenths: Vec<u64> = sizes.iter().map(|size| size / 10).collect();
    charts.push(chart("agent tasks, Redis", &tenths, TASKS, |size, measure| {
        let server = Redis::start();
        crate::agents::fill(&mut server.client(), usize::try_from(size).expect("it is small"));
        measure(crate::agents::scan(&server), &server.url());
    }));
    for chart in &charts {
        print(chart);
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/growth.svg");
    std::fs::write(file, picture(&charts)).expect("the picture can be written");
    println!("\nThe picture: benches/growth.svg");
}

/// Measures the scan and each command at each size.
fn chart(
    name: &'static str,
    sizes: &[u64],
    commands: &[&[&str]],
    with: impl Fn(u64, &mut dyn FnMut(Command, &str)),
) -> Chart {
    let names = commands.iter().map(|words| format!("sen {}", words.join(" ")));
    let mut curves: Vec<Curve> = std::iter::once("the scan".to_owned())
        .chain(names)
        .map(|name| Curve { name, seconds: Vec::new(), memory: 0.0 })
        .collect();
    let runs: usize = setting("SEN_BENCH_GROWTH_RUNS", 5);
    for size in sizes {
        with(*size, &mut |scan, url| {
            let all = std::iter::once(scan).chain(commands.iter().map(|words| sen(url, words)));
            for (mut command, curve) in all.zip(&mut curves) {
                time(&mut command);
                curve.seconds.push(median((0..runs).map(|_| time(&mut command)).collect()));
                curve.memory = curve.memory.max(peak(&mut command).1);
            }
        });
    }
    Chart { name, sizes: sizes.to_vec(), curves }
}

fn print(chart: &Chart) {
    println!("\n### {}\n", chart.name);
    let sizes: Vec<String> = chart.sizes.iter().map(|size| rows(*size)).collect();
    println!("| | {} | peak memory |", sizes.join(" | "));
    println!("|---{}|---|", "|---".repeat(sizes.len()));
    for curve in &chart.curves {
        let seconds: Vec<String> = curve.seconds.iter().map(|seconds| human(*seconds)).collect();
        println!("| {} | {} | {:.1} MiB |", curve.name, seconds.join(" | "), curve.memory);
    }
}

/// `10k`, `1M`.
fn rows(size: u64) -> String {
    match size {
        1_000_000.. => format!("{}M", size as f64 / 1e6),
        1000.. => format!("{}k", size / 1000),
        _ => size.to_string(),
    }
}

/// The charts below each other, both axes logarithmic.
fn picture(charts: &[Chart]) -> String {
    const WIDTH: f64 = 520.0;
    const HEIGHT: f64 = 260.0;
    const LEFT: f64 = 70.0;
    const TOP: f64 = 40.0;
    const COLOURS: [&str; 10] =
        ["#000", "#e41a1c", "#377eb8", "#4daf4a", "#984ea3", "#ff7f00", "#a65628", "#f781bf", "#17becf", "#bcbd22"];
    let whole = (HEIGHT + 80.0) * charts.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"{whole}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"900\" height=\"{whole}\" fill=\"#fff\"/>\n"
    );
    for (at, chart) in charts.iter().enumerate() {
        let top = at as f64 * (HEIGHT + 80.0) + TOP;
        let all = || chart.curves.iter().flat_map(|curve| curve.seconds.iter().copied());
        let (low, high) = (all().fold(f64::MAX, f64::min).log10().floor(), all().fold(0.0, f64::max).log10().ceil());
        let (first, last) = (chart.sizes[0] as f64, chart.sizes[chart.sizes.len() - 1] as f64);
        let x = |size: f64| LEFT + (size / first).log10() / (last / first).log10().max(0.01) * WIDTH;
        let y = |seconds: f64| top + HEIGHT - (seconds.log10() - low) / (high - low).max(0.01) * HEIGHT;
        let mut line = |text: String| {
            svg.push_str(&text);
            svg.push('\n');
        };
        line(format!("<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{}</text>", top - 12.0, chart.name));
        for power in low as i32..=high as i32 {
            let (at, text) = (y(10_f64.powi(power)), human(10_f64.powi(power)));
            line(format!("<path d=\"M{LEFT} {at:.1}h{WIDTH}\" stroke=\"#ddd\"/>"));
            line(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 6.0, at + 4.0));
        }
        for size in &chart.sizes {
            let at = x(*size as f64);
            line(format!(
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                top + HEIGHT + 18.0,
                rows(*size)
            ));
        }
        for (number, curve) in chart.curves.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let points: Vec<String> = chart
                .sizes
                .iter()
                .zip(&curve.seconds)
                .map(|(size, seconds)| format!("{:.1},{:.1}", x(*size as f64), y(*seconds)))
                .collect();
            let dash = if number == 0 { " stroke-dasharray=\"5 4\"" } else { "" };
            let points = points.join(" ");
            line(format!("<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>"));
            let at = top + 14.0 + number as f64 * 18.0;
            let left = LEFT + WIDTH + 30.0;
            line(format!("<path d=\"M{left} {at:.1}h20\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>"));
            line(format!("<text x=\"{}\" y=\"{:.1}\">{}</text>", left + 26.0, at + 4.0, curve.name));
        }
    }
    let _ = writeln!(svg, "</svg>");
    svg
}
