//! `exec`: a program decides, by its exit status (`endpoints.md` h.4).

use std::collections::BTreeMap;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::super::chain::Context;
use super::super::error::AuthError;
use super::super::module::{Case, Demand, Denial, Judgement, Module};
use super::super::settings::Settings;
use crate::system;

/// How much of what a command prints is logged.
const MAX_OUTPUT: usize = 4096;

/// What may stand in a command as `${NAME}`.
const VARIABLES: [&str; 7] = [
    "display",
    "http_headers",
    "info",
    "password",
    "prompt",
    "timeout",
    "username",
];

#[derive(Debug)]
struct Exec {
    /// Program and arguments, with variables in them.
    words: Vec<String>,
    timeout: Duration,
    asks: bool,
    display: Option<String>,
    prompt: String,
}

pub(crate) fn build(settings: &Settings, context: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let command = settings.need(
        "command",
        "as in exec:command=PROGRAM, which lets in by its exit status 0",
    )?;
    let words = words(command).filter(|words| !words.is_empty());
    let words = words
        .ok_or_else(|| settings.bad("command", command, "write a program and arguments, quotes closed"))?;
    let mut used = words.iter().flat_map(|word| word.split("${").skip(1));
    let unknown = used.find(|rest| {
        !rest
            .split_once('}')
            .is_some_and(|(name, _)| VARIABLES.contains(&name))
    });
    if let Some(unknown) = unknown {
        let name = unknown.split('}').next().unwrap_or_default();
        let expected = format!("there are the variables {}", VARIABLES.join(", "));
        return Err(settings.bad("command", &format!("${{{name}}}"), &expected));
    }
    let display = match settings.get("display") {
        None | Some("auto") => context.variables.get("DISPLAY").cloned(),
        Some(display) => Some(display.to_owned()),
    };
    Ok(Arc::new(Exec {
        words,
        timeout: Duration::from_secs(settings.number("timeout", 600, 1, 86400)?.into()),
        asks: settings.flag("require-challenge")?.unwrap_or(false),
        display,
        prompt: settings.get("prompt").unwrap_or_default().to_owned(),
    }))
}

impl Module for Exec {
    fn demand(&self) -> Demand {
        match self.asks {
            true => Demand::Password,
            false => Demand::Nothing,
        }
    }

    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement> {
        Box::pin(async move {
            let mut command = self.command(&case)?;
            let mut child = Group::spawn(&mut command)
                .map_err(|error| Denial::new(format!("cannot run the command: {error}")))?;
            let Ok(status) = timeout(self.timeout, child.wait()).await else {
                let reason = format!("the command took longer than {:?}", self.timeout);
                return Err(Denial::new(reason));
            };
            match status {
                Ok(status) if status.success() => Ok(None),
                Ok(status) => Err(Denial::new(format!("the command says no ({status})"))),
                Err(error) => Err(Denial::new(format!("the command was lost: {error}"))),
            }
        })
    }
}

impl Exec {
    fn command(&self, case: &Case) -> Result<Command, Denial> {
        let values = self.values(case);
        let mut words = self.words.iter().map(|word| substitute(word, &values));
        let program = words.next().unwrap_or_default();
        let arguments: Vec<String> = words.collect();
        if arguments.iter().any(|argument| argument.contains('\0')) {
            return Err(Denial::new("what the peer sent cannot be an argument"));
        }
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        system::lead_group(command.as_std_mut());
        if let Some(display) = &self.display {
            command.env("DISPLAY", display);
        }
        Ok(command)
    }

    fn values(&self, case: &Case) -> BTreeMap<&'static str, String> {
        let info = &case.peer.info;
        let headers = case
            .peer
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"));
        let password = case.proof.password();
        BTreeMap::from([
            ("display", self.display.clone().unwrap_or_default()),
            ("http_headers", headers.collect::<Vec<_>>().join("\n")),
            ("info", format!("{} connection from {}", info.kind, info.peer)),
            (
                "password",
                password
                    .map(|password| password.expose_text().into_owned())
                    .unwrap_or_default(),
            ),
            ("prompt", self.prompt.clone()),
            ("timeout", self.timeout.as_secs().to_string()),
            ("username", case.username.clone()),
        ])
    }
}

/// A process and all it started, which are killed unless it ended by itself.
struct Group {
    child: Child,
    id: Option<u32>,
}

impl Group {
    fn spawn(command: &mut Command) -> std::io::Result<Self> {
        let child = command.spawn()?;
        let id = child.id();
        Ok(Self { child, id })
    }

    /// Waits for the end of the process, and logs what it prints meanwhile.
    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let mut output = pin!(async { tokio::join!(log(stdout), log(stderr)) });
        let mut is_printing = true;
        loop {
            tokio::select! {
                biased;
                _ = &mut output, if is_printing => is_printing = false,
                status = self.child.wait() => {
                    // what it started may go on
                    self.id = None;
                    return status;
                }
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // it was not waited for yet, so the number is still its own
            system::kill_group(id);
        }
    }
}

/// Logs what comes, up to a limit, and swallows the rest.
async fn log(from: Option<impl AsyncRead + Unpin>) {
    let Some(mut from) = from else {
        return;
    };
    let mut left = MAX_OUTPUT;
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let shown = buffer.get(..read.min(left)).unwrap_or_default();
        left = left.saturating_sub(read);
        if !shown.is_empty() {
            tracing::debug!("the command prints {:?}", String::from_utf8_lossy(shown));
        }
    }
}

/// `text` with the values of variables in it; what they contain is not looked at again.
fn substitute(text: &str, values: &BTreeMap<&'static str, String>) -> String {
    let mut parts = text.split("${");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        result.push_str(values.get(name).map(String::as_str).unwrap_or_default());
        result.push_str(rest);
    }
    result
}

/// Words as a shell reads them: quotes and backslashes, nothing else; `None` when a quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().push(chars.next()?),
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::*;
    use super::*;
    use std::path::Path;
    use std::time::Instant;

    #[test]
    fn commands_are_split_and_variables_put_in() {
        let split = |text: &str| words(text).unwrap();
        assert_eq!(
            split(r#"a 'b c' "d\" e" f\ g ''"#),
            ["a", "b c", "d\" e", "f g", ""]
        );
        assert_eq!(words("a 'b"), None);
        assert_eq!(words("a \\"), None);
        let values = BTreeMap::from([
            ("username", "${password} x".to_owned()),
            ("password", "pw".to_owned()),
        ]);
        assert_eq!(
            substitute("-${username}-${password}", &values),
            "-${password} x-pw"
        );
        for bad in [
            "exec",
            "exec:command=",
            "exec:command=a 'b",
            "exec:command=x ${auth_dialog}",
            "exec:command=${x",
        ] {
            error(bad);
        }
    }

    /// Windows has other commands.
    fn has_shell() -> bool {
        let is_unix = cfg!(unix);
        if !is_unix {
            eprintln!("skipped: /bin/sh and what it runs are Unix's");
        }
        is_unix
    }

    #[tokio::test]
    async fn the_exit_status_decides() {
        if !has_shell() {
            return;
        }
        for (command, expected) in [
            ("/bin/true", true),
            ("/bin/false", false),
            ("/does/not/exist", false),
            ("/bin/sh -c 'test ${username} = fred'", true),
            (
                "/bin/sh -c 'test \"$1\" = \"tcp connection from 192.0.2.1:4000\"' x ${info}",
                true,
            ),
            ("/bin/sh -c 'kill -9 $$'", false),
            (
                "/bin/sh -c 'head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2'",
                true,
            ),
            ("/bin/sh -c 'read line'", false),
        ] {
            let chain = chain(&[&format!("exec(command={command})")]);
            assert_eq!(passes(&chain, remote("eve"), &[]).await, expected, "{command}");
        }
    }

    #[tokio::test]
    async fn a_command_may_want_the_password() {
        if !has_shell() {
            return;
        }
        let command = "exec(command=/bin/sh -c 'test \"$1\" = \"p w\"' x ${password},require-challenge=yes)";
        let chain = chain(&[command]);
        assert!(passes(&chain, private("fred"), &["p w"]).await);
        assert!(!passes(&chain, private("fred"), &["other"]).await);
        let (refused, challenges) = log_in(&chain, remote("fred"), &offered(), &["p w"]).await;
        assert!(refused.is_err() && challenges.is_empty());
    }

    #[tokio::test]
    async fn slow_commands_end_with_all_they_started() {
        if !has_shell() {
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display();
        let command = format!("/bin/sh -c 'sleep 60 & echo $! >{path}; wait'");
        let chain = chain(&[&format!("exec(command={command},timeout=1)")]);
        let begin = Instant::now();
        assert!(!passes(&chain, remote("fred"), &[]).await);
        assert!(begin.elapsed() < Duration::from_secs(30));
        let id = std::fs::read_to_string(file.path()).unwrap();
        let is_gone = || match std::fs::read_to_string(Path::new("/proc").join(id.trim()).join("stat")) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        for _ in 0..100 {
            if is_gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("process {id} goes on");
    }

    #[tokio::test]
    async fn what_a_command_leaves_running_is_not_waited_for() {
        if !has_shell() {
            return;
        }
        let chain = chain(&["exec(command=/bin/sh -c 'sleep 20 & exit 0')"]);
        let begin = Instant::now();
        assert!(passes(&chain, remote("fred"), &[]).await);
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
}
