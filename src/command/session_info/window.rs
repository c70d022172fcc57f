//! [`InfoWindow`]: `session-info` in a terminal of its own, for a key of `attach`.

use std::ffi::OsString;
use std::io;
use std::process::{Child, Command, Stdio};

/// Terminals that take `-e PROGRAM ARGUMENTS`, the system's choice first.
const TERMINALS: [&str; 6] = [
    "x-terminal-emulator",
    "xterm",
    "konsole",
    "alacritty",
    "urxvt",
    "st",
];

/// A terminal that shows `session-info`, one at a time.
#[derive(Debug)]
pub(in crate::command) struct InfoWindow {
    /// What `session-info` is told.
    arguments: Vec<OsString>,
    shown: Option<Child>,
}

impl InfoWindow {
    /// For the session which `attach` was told of with these words, the program's name first.
    pub(in crate::command) fn new(attach: &[OsString]) -> Self {
        let mut arguments: Vec<OsString> = attach.iter().skip(1).cloned().collect();
        // what only `attach` reads, `session-info` passes over
        if let Some(word) = arguments.iter_mut().find(|word| *word == "attach") {
            *word = "session-info".into();
        }
        Self {
            arguments,
            shown: None,
        }
    }

    /// Opens it, if it is not open.
    pub(in crate::command) fn open(&mut self) {
        let is_open = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        if self.shown.as_mut().is_some_and(is_open) {
            return;
        }
        match self.start() {
            Ok(child) => self.shown = Some(child),
            Err(error) => tracing::warn!("cannot show the session info in a terminal: {error}"),
        }
    }

    fn start(&self) -> io::Result<Child> {
        let program = std::env::current_exe()?;
        for terminal in TERMINALS {
            let started = Command::new(terminal)
                .arg("-e")
                .arg(&program)
                .args(&self.arguments)
                .stdin(Stdio::null())
                .spawn();
            match started {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                started => return started,
            }
        }
        let names = TERMINALS.join(", ");
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is none of {names}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_attach_was_told_is_told_on() {
        let words = [
            "xpra-rs",
            "--debug",
            "attach",
            "tcp://attach/",
            "--password-file=attach",
        ];
        let window = InfoWindow::new(&words.map(OsString::from));
        let expected = [
            "--debug",
            "session-info",
            "tcp://attach/",
            "--password-file=attach",
        ];
        assert_eq!(window.arguments, expected.map(OsString::from));
    }
}
