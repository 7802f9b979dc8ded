//! How many distinct keys per second `sen_core::once` runs, one after the other on one connection. See `once.md`.

use std::io;
use std::time::Instant;

use sen_core::once::{Client, Once, Outcome};
use sen_core::stores::url::Target;

#[expect(clippy::print_stdout, reason = "a benchmark prints its number")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Ok(url) = std::env::var("DATABASE_URL") else {
        println!("set DATABASE_URL to an empty database with Sentinel's tables (`sen init`); see benches/once.md");
        return Ok(());
    };
    let count: u32 = std::env::var("KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let target = Target::resolve(Some(&url), &|name| std::env::var(name).ok())?;
        let client = Client::connect(target).await?;
        let prefix = std::process::id();
        let start = Instant::now();
        for number in 0..count {
            let once = Once::new(&client, format!("rust-{prefix}-{number}"));
            if once.run(async |_| Ok::<_, io::Error>(number)).await? != Outcome::Ran(number) {
                return Err("a key was not fresh".into());
            }
        }
        let took = start.elapsed().as_secs_f64();
        println!("rust: {count} keys in {took:.3} s = {:.0} per second", f64::from(count) / took);
        Ok(())
    })
}
