//! The terminal this process may read from.

use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use std::fs::{File, OpenOptions};

/// For answers, and for questions; `None` without one, and in the background, where reading would stop the process.
pub(super) fn open() -> Option<(File, File)> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    let is_ours = tcgetpgrp(&file) == Ok(getpgrp());
    let other = file.try_clone().ok()?;
    is_ours.then_some((file, other))
}
