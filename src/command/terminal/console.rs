//! The console this process may read from.

use std::fs::{File, OpenOptions};

/// For answers, and for questions; `None` without one.
pub(super) fn open() -> Option<(File, File)> {
    let answers = OpenOptions::new().read(true).open("CONIN$").ok()?;
    let questions = OpenOptions::new().write(true).open("CONOUT$").ok()?;
    Some((answers, questions))
}
