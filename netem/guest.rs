//! [`Guest`]: another kernel, which may have what this one lacks. A process (User Mode Linux, started by `netem/guest`).

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::link::{Rate, Shape};
use crate::place::Place;
use crate::process::{self, Process};

/// What starts one.
pub(crate) const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/netem/guest");
/// Bits a second it carries without being noticed.
const FASTEST: u64 = 100_000_000;
/// How long it may take to boot, or for a command.
const LIMIT: Duration = Duration::from_secs(20);
/// Seconds after which it ends in any case.
const LIFE: &str = "3600";
/// What it does: what it is told, until the end of its input, which is when we end, however that happens.
const SCRIPT: &str = r#"exec 2>&1; echo "= 0"; while read -r line; do $line; echo "= $?"; done"#;

/// A guest that does what it is told.
#[derive(Debug)]
pub(crate) struct Guest {
    input: ChildStdin,
    lines: Receiver<String>,
    process: Process,
    _logs: tempfile::TempDir,
}

impl Guest {
    /// What this machine lacks for one, if anything.
    pub(crate) fn lacks() -> Result<Option<String>> {
        let output = Command::new(PROGRAM).output().context(PROGRAM)?;
        let said = String::from_utf8_lossy(&output.stderr);
        Ok((!output.status.success()).then(|| said.trim().to_owned()))
    }

    /// Whether it can carry as much as that link.
    pub(crate) fn is_as_fast(shape: &Shape) -> bool {
        let Rate::Steps { steps, .. } = &shape.rate else {
            return false;
        };
        steps.iter().all(|(_, bits)| *bits <= FASTEST)
    }

    /// One that has devices of these names; what is sent there comes out of a TAP device of the same name in `place`.
    pub(crate) fn start(place: &Place, ports: [&str; 2]) -> Result<Self> {
        let mut command = process::command(PROGRAM);
        command.args(["bash", "-c", SCRIPT]);
        let [one, other] = ports;
        let devices = format!("vec0:transport=tap,ifname={one} vec1:transport=tap,ifname={other}");
        let mut command = place.enclose(&command);
        command
            .env("GUEST_DEVICES", devices)
            .env("GUEST_LIMIT", LIFE)
            .stdin(Stdio::piped());
        let logs = tempfile::tempdir()?;
        let mut process = Process::start_piped("guest", command, &logs.path().join("guest.log"))?;
        let (input, output) = (process.stdin(), process.stdout());
        let output = BufReader::new(output.context("the guest has no output")?);
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let guest = Self {
            input: input.context("the guest has no input")?,
            lines,
            process,
            _logs: logs,
        };
        guest.answer("booting")?;
        for (index, port) in ports.iter().enumerate() {
            guest.run(&format!("ip link set vec{index} name {port}"))?;
            // only now it makes the other end
            guest.run(&format!("ip link set {port} up"))?;
        }
        guest.run("ip link set lo up")?;
        Ok(guest)
    }

    /// Runs a command there, whose words have spaces between them; what it printed.
    pub(crate) fn run(&self, line: &str) -> Result<String> {
        writeln!(&self.input, "{line}").with_context(|| self.process.log())?;
        self.answer(line)
    }

    fn answer(&self, line: &str) -> Result<String> {
        let mut said = String::new();
        loop {
            let next = self.lines.recv_timeout(LIMIT);
            let next = next.with_context(|| format!("the guest, {line}: {said}{}", self.process.log()))?;
            match next.strip_prefix("= ") {
                Some("0") => return Ok(said),
                Some(_) => bail!("{line}: {}", said.trim()),
                None => said.extend([&next, "\n"]),
            }
        }
    }
}
