//! The pages of `--meter`, `--calibrate` and `--media`: where they come from, and where they go.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::report;

/// Kernel and sources that are measured.
pub(crate) fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("On Linux {}, commit {}", kernel.trim(), report::commit())
}

/// Prints a page and writes it into `out` by that name.
pub(crate) fn publish(text: &str, out: Option<&Path>, name: &str) -> Result<()> {
    println!("{text}");
    if let Some(folder) = out {
        fs::create_dir_all(folder)?;
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}
