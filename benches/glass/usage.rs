//! What processes take: CPU time, wake-ups and memory, read from `/proc`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

/// Kernel clock ticks a second in `/proc`, the same on every Linux that runs this.
const TICKS: f64 = 100.0;

/// What a process and its descendants have taken so far, or between two looks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time in seconds.
    pub(crate) cpu: f64,
    /// Times a thread went to sleep by itself, and so was woken.
    pub(crate) wakeups: u64,
    /// Resident memory in MiB (as it is, never a difference).
    pub(crate) rss: f64,
}

impl Usage {
    /// Of the process `pid`, its threads and its descendants.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mut usage = Self::default();
        for pid in family(pid)? {
            // One that has just ended took what its parent is told.
            usage.add(pid).ok();
        }
        Ok(usage)
    }

    /// What was taken between two looks.
    pub(crate) fn since(before: Self, after: Self) -> Self {
        Self {
            cpu: after.cpu - before.cpu,
            wakeups: after.wakeups.saturating_sub(before.wakeups),
            rss: after.rss,
        }
    }

    fn add(&mut self, pid: u32) -> Result<()> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // User, system, and both of the children waited for: fields 14 to 17, the name being field 2.
        let fields = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .skip(11)
            .take(4);
        self.cpu += fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS;
        self.rss += field(&format!("/proc/{pid}/status"), "VmRSS:")? / 1024.0;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let status = thread?.path().join("status");
            let switches = field(&status.to_string_lossy(), "voluntary_ctxt_switches:");
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count, small beside 2^53"
            )]
            let switches = switches.unwrap_or_default() as u64;
            self.wakeups += switches;
        }
        Ok(())
    }
}

/// What loopback has carried in this network namespace: everybody's, unless it is a private one.
pub(crate) fn loopback_bytes() -> Result<u64> {
    let devices = fs::read_to_string("/proc/net/dev")?;
    let received = devices.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    let received = received.and_then(|fields| fields.split_whitespace().next()?.parse().ok());
    received.context("no loopback in /proc/net/dev")
}

/// A number from a status file, 0 when it has no such line.
fn field(path: &str, name: &str) -> Result<f64> {
    let status = fs::read_to_string(path)?;
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    Ok(value
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or_default())
}

/// `pid` and all its descendants.
fn family(pid: u32) -> Result<Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else {
            continue;
        };
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        children.entry(parent.unwrap_or_default()).or_default().push(id);
    }
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(children.get(&parent).into_iter().flatten());
        next += 1;
    }
    Ok(found)
}
