//! A child process in its own group, its output in a file, gone when its owner is.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often a condition is looked at again.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// How long a process may take to end after a polite request.
const GRACE: Duration = Duration::from_secs(4);

/// Looks until `look` finds something; `None` when `limit` has passed before.
pub(crate) fn until<T>(limit: Duration, look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    until_every(POLL, limit, look)
}

/// The same with another pause between looks.
pub(crate) fn until_every<T>(
    pause: Duration,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        thread::sleep(pause);
    }
}

/// A command that dies with the thread that starts it, even when that is killed.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .arg("--pdeathsig=TERM")
        .arg("--")
        .arg(program)
        .stdin(Stdio::null());
    command
}

/// A running child and where its output goes.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, both outputs into the file `log`.
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        command.stdout(out.try_clone()?).stderr(out);
        Self::spawn(name, command, log)
    }

    /// Starts `command` with its standard output readable here and its errors in the file `log`.
    pub(crate) fn start_piped(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(File::create(log)?);
        Self::spawn(name, command, log)
    }

    fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// What was started.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process's id, which is its group's too.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The writing end of a piped standard input, once.
    pub(crate) fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// The reading end of a piped standard output, once.
    pub(crate) fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Everything written so far.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits for a line with `text`; an error when the process ends or `limit` passes first.
    pub(crate) fn wait_for_log(&mut self, text: &str, limit: Duration) -> Result<()> {
        let found = until(limit, || {
            if self.log().contains(text) {
                return Ok(Some(()));
            }
            match self.child.try_wait()? {
                Some(status) => bail!("{} ended ({status}) before it said {text:?}", self.name),
                None => Ok(None),
            }
        })?;
        found.with_context(|| format!("{} did not say {text:?} within {limit:?}", self.name))
    }

    /// The exit status, waiting for it up to `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let status = until(limit, || Ok(self.child.try_wait()?))?;
        status.with_context(|| format!("{} still runs after {limit:?}", self.name))
    }

    /// Ends it at once, whatever it is doing.
    pub(crate) fn kill(&self) {
        self.signal_group(Signal::KILL);
    }

    /// True while it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn signal_group(&self, signal: Signal) {
        self.signaller()(signal);
    }

    /// Sends signals to its group, while it runs.
    pub(crate) fn signaller(&self) -> impl Fn(Signal) + Send + 'static {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        move |signal| {
            if let Some(group) = group {
                kill_process_group(group, signal).ok();
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.signal_group(Signal::TERM);
            self.wait(GRACE).ok();
        }
        // What the process started may outlive it: the group is ended in any case.
        self.signal_group(Signal::KILL);
        self.child.wait().ok();
    }
}
