//! Asking the user: on the terminal, or through a program that shows a window.

#[cfg_attr(windows, path = "terminal/console.rs")]
mod tty;

use crate::address::Secret;
use crate::discovery::Environment;
use crate::transport::Prompt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

/// Longest answer that is read.
const MAX_ANSWER: u64 = 4096;

/// How often an answer that is neither yes nor no is asked for again.
const TRIES: u32 = 3;

/// The user at the terminal the program was started from. Without one, and when the program is in its background,
/// `XPRA_ASKPASS` or `SSH_ASKPASS` names a program to ask with; `SSH_ASKPASS_REQUIRE` says when to prefer it, as for
/// ssh: `never`, `prefer` or `force`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    helper: Option<String>,
    when: Helper,
}

/// When a helper is used rather than the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Helper {
    First,
    Last,
    Never,
}

impl Terminal {
    /// The terminal and helper of that environment.
    pub fn new(environment: &Environment) -> Self {
        let named = ["XPRA_ASKPASS", "SSH_ASKPASS"].map(|name| environment.variable(name));
        let is_graphical = ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| environment.variable(name).is_some());
        let when = match environment.variable("SSH_ASKPASS_REQUIRE") {
            Some("force") => Helper::First,
            Some("prefer") if is_graphical => Helper::First,
            Some("never") => Helper::Never,
            _ if is_graphical => Helper::Last,
            _ => Helper::Never,
        };
        Self {
            helper: named.into_iter().flatten().next().map(str::to_owned),
            when,
        }
    }

    /// Asks here or there, in the order of preference, until somebody can be asked.
    fn ask<T>(
        &self,
        on_terminal: impl Fn(Tty) -> Option<T>,
        with_helper: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let helper = self.helper.as_deref().filter(|_| self.when != Helper::Never);
        match (helper, self.when) {
            (Some(helper), Helper::First) => with_helper(helper),
            (helper, _) => match Tty::open() {
                Some(tty) => on_terminal(tty),
                None => helper.and_then(with_helper),
            },
        }
    }
}

impl Prompt for Terminal {
    fn confirm(&self, question: &str) -> Option<bool> {
        let with_helper = |helper: &str| {
            let answer = run(helper, question, Some("confirm"));
            Some(answer.is_some_and(|answer| matches!(answer.expose(), b"" | b"yes")))
        };
        self.ask(|tty| tty.confirm(question), with_helper)
    }

    fn secret(&self, what: &str) -> Option<Secret> {
        let on_terminal = |_: Tty| {
            let typed = rpassword::prompt_password(format!("{what}: "));
            // an error when it was interrupted
            typed.ok().map(Secret::new)
        };
        self.ask(on_terminal, |helper| run(helper, &format!("{what}: "), None))
    }
}

/// The terminal this process may read from.
struct Tty {
    answers: File,
    questions: File,
}

impl Tty {
    /// `None` without one, and in the background, where reading would stop the process.
    fn open() -> Option<Self> {
        let (answers, questions) = tty::open()?;
        Some(Self { answers, questions })
    }

    fn confirm(self, question: &str) -> Option<bool> {
        let mut answers = BufReader::new(self.answers.take(MAX_ANSWER));
        for _ in 0..TRIES {
            write!(&self.questions, "{question} (yes/no) ").ok()?;
            let mut answer = String::new();
            if answers.read_line(&mut answer).ok()? == 0 {
                return None;
            }
            match answer.trim().to_ascii_lowercase().as_str() {
                "yes" => return Some(true),
                "no" => return Some(false),
                _ => {}
            }
        }
        None
    }
}

/// What a helper prints, without the end of the line; `None` when it could not or would not tell.
fn run(helper: &str, question: &str, kind: Option<&str>) -> Option<Secret> {
    let mut command = Command::new(helper);
    command.arg(question).stdin(Stdio::null()).stdout(Stdio::piped());
    if let Some(kind) = kind {
        command.env("SSH_ASKPASS_PROMPT", kind);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            tracing::warn!("cannot ask with '{helper}': {error}");
            return None;
        }
    };
    let mut answer = Zeroizing::new(Vec::new());
    let read = child.stdout.take()?.take(MAX_ANSWER).read_to_end(&mut answer);
    let is_good = child.wait().is_ok_and(|status| status.success()) && read.is_ok();
    let line = answer.split(|byte| matches!(byte, b'\n' | b'\r')).next();
    line.filter(|_| is_good).map(Secret::new)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn terminal(variables: &[(&str, &str)]) -> Terminal {
        let variables = variables
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()));
        Terminal::new(&Environment {
            variables: variables.collect(),
            ..Environment::default()
        })
    }

    #[test]
    fn when_a_helper_is_used() {
        let when = |variables: &[(&str, &str)]| terminal(variables).when;
        let (display, require) = (("DISPLAY", ":0"), "SSH_ASKPASS_REQUIRE");
        assert_eq!(when(&[]), Helper::Never);
        assert_eq!(when(&[display]), Helper::Last);
        assert_eq!(when(&[("WAYLAND_DISPLAY", "x")]), Helper::Last);
        assert_eq!(when(&[(require, "prefer")]), Helper::Never);
        assert_eq!(when(&[display, (require, "prefer")]), Helper::First);
        assert_eq!(when(&[(require, "force")]), Helper::First);
        assert_eq!(when(&[display, (require, "never")]), Helper::Never);
        let both = [("SSH_ASKPASS", "ssh"), ("XPRA_ASKPASS", "xpra")];
        assert_eq!(terminal(&both).helper.as_deref(), Some("xpra"));
    }

    #[test]
    fn a_helper_is_asked() {
        let directory = tempfile::tempdir().unwrap();
        let ask = |script: &str| {
            let path = directory.path().join("ask");
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
            terminal(&[
                ("SSH_ASKPASS", path.to_str().unwrap()),
                ("SSH_ASKPASS_REQUIRE", "force"),
            ])
        };
        assert_eq!(ask("echo \"$1\"").secret("Word"), Some(Secret::new("Word: ")));
        assert_eq!(ask("printf 'a b'").secret("x"), Some(Secret::new("a b")));
        assert_eq!(ask("echo pw; exit 1").secret("x"), None);
        assert_eq!(ask("[ $SSH_ASKPASS_PROMPT = confirm ]").confirm("x"), Some(true));
        assert_eq!(ask("exit 1").confirm("x"), Some(false));
        let endless = ask("while :; do echo xxxxxxxx; done").secret("x");
        assert_eq!(endless, None);
    }

    #[test]
    fn nobody_is_waited_for() {
        let gone = terminal(&[
            ("SSH_ASKPASS", "/does/not/exist"),
            ("SSH_ASKPASS_REQUIRE", "force"),
        ]);
        assert_eq!(gone.secret("x"), None);
    }
}
