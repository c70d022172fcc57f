//! What an attached pair costs while nothing changes.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use xpra::types::Size;

use crate::pair::{Contender, Pair};
use crate::peer::Via;
use crate::usage::Usage;

/// After the first picture: refreshes are sent, caches are freed.
const SETTLE: Duration = Duration::from_secs(5);

/// Prints wake-ups a second, CPU and memory of every contender's server and client.
pub(crate) fn measure(contenders: &[Contender], ways: &[Via], size: Size, time: Duration) -> Result<()> {
    println!("Still window of {size}, attached, over {} s.\n", time.as_secs());
    println!(
        "| peer | transport | wake-ups/s server | client | CPU ms/s server | client | RSS MiB server | client |\n\
         |---|---|--:|--:|--:|--:|--:|--:|"
    );
    for &via in ways {
        for &contender in contenders.iter().filter(|contender| contender.has(via)) {
            match one(contender, via, size, time) {
                Ok([server, client]) => {
                    let rate = |usage: Usage| {
                        f64::from(u32::try_from(usage.wakeups).unwrap_or(u32::MAX)) / time.as_secs_f64()
                    };
                    let cpu = |usage: Usage| usage.cpu * 1000.0 / time.as_secs_f64();
                    println!(
                        "| {contender} | {via:?} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
                        rate(server),
                        rate(client),
                        cpu(server),
                        cpu(client),
                        server.rss,
                        client.rss
                    );
                }
                Err(error) => eprintln!("skipped: {contender} over {via:?}: {error:#}"),
            }
        }
    }
    Ok(())
}

fn one(contender: Contender, via: Via, size: Size, time: Duration) -> Result<[Usage; 2]> {
    let mut pair = Pair::start(contender, via, size)?;
    pair.attached()?;
    thread::sleep(SETTLE);
    let before = pair.usage()?;
    thread::sleep(time);
    let after = pair.usage()?;
    Ok([0, 1].map(|part| Usage::since(before[part], after[part])))
}
