//! The README is true: its shell examples are run one after the other, and what they should show is looked for.
//!
//! All lines of all `sh` blocks are run, except of blocks below a comment `<!-- not run: REASON -->`. A server or a
//! client stays, as in a reader's terminal, until the next one takes its place. Only what must be private is written
//! differently: the display, the ports, the abstract socket, and `cargo run --release --`, which is the program.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xpra::types::Size;

use crate::display::{Display, Shown};
use crate::grid::{CARD, ended_well, sees};
use crate::peer::{Peer, Room, free_port};
use crate::picture::{EXACT, Picture};
use crate::process::{Process, until};
use crate::{absent, with};

/// How long a server may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(40);

/// How long a command that ends by itself may take.
const END_LIMIT: Duration = Duration::from_secs(60);

/// What begins the comment above a block that is not run.
const NOT_RUN: &str = "<!-- not run: ";

#[test]
fn readme_examples() -> Result<()> {
    with(&[Peer::Ours], |room| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))?;
        let examples = examples(&text)?;
        let mut reader = Reader::new(room)?;
        let (mut ran, mut not_run) = (0, 0);
        for example in &examples {
            if let Some(reason) = &example.not_run {
                eprintln!("not run: {}: {reason}", example.command);
                not_run += 1;
            } else if example.command.starts_with("xpra ") && Peer::Xpra3.program().is_none() {
                absent(&format!("xpra, for {},", example.command))?;
            } else {
                let Example { line, command, .. } = example;
                reader
                    .run(*line, command)
                    .with_context(|| format!("README.md:{line}: {command}"))?;
                ran += 1;
            }
        }
        eprintln!("README.md: {ran} commands ran, {not_run} are marked as not run");
        ensure!(ran >= 20, "only {ran} examples were found");
        Ok(())
    })
}

/// One command of the README.
#[derive(Debug)]
struct Example {
    line: usize,
    command: String,
    /// Why it is not run.
    not_run: Option<String>,
}

/// The commands of the `sh` blocks of a Markdown text.
fn examples(text: &str) -> Result<Vec<Example>> {
    let mut found = Vec::new();
    let (mut inside, mut not_run) = (false, None);
    for (index, line) in text.lines().enumerate() {
        match line {
            "```sh" => inside = true,
            "```" if inside => (inside, not_run) = (false, None),
            _ if inside => found.push(Example {
                line: index + 1,
                command: line.to_owned(),
                not_run: not_run.clone(),
            }),
            _ => {
                if let Some(reason) = line.strip_prefix(NOT_RUN) {
                    not_run = Some(reason.trim_end_matches(" -->").to_owned());
                }
            }
        }
    }
    ensure!(!inside, "a block of README.md has no end");
    Ok(found)
}

/// Somebody who tries everything.
struct Reader<'a> {
    room: &'a Room,
    /// What is written in the README, and what is private in its place.
    private: [(&'static str, String); 4],
    /// How many cards were shown: each is a new one.
    seed: u32,
    client: Option<Process>,
    server: Option<Process>,
    shown: Shown,
    source: Display,
    screen: Display,
}

impl<'a> Reader<'a> {
    fn new(room: &'a Room) -> Result<Self> {
        let source = Display::start(Size::new(640, 480), &room.logs())?;
        let screen = Display::start(Size::new(800, 600), &room.logs())?;
        let conf = "start =\nmdns = no\npulseaudio = no\nopengl = no\ntray = no\nsplash = no\nhtml = off\n\
                    webcam = no\nprinting = no\ndbus-launch =\nsystemd-run = no\n";
        fs::write(
            room.path("conf/xpra.conf"),
            format!("{conf}socket-dirs = {}\n", sockets(room)),
        )?;
        Ok(Self {
            room,
            private: [
                ("cargo run --release --", "xpra-rs".to_owned()),
                (" :20", format!(" {}", source.name())),
                ("14500", free_port()?.to_string()),
                ("@desk", format!("@desk-{}", std::process::id())),
            ],
            seed: 1,
            client: None,
            server: None,
            shown: Shown::open(&source, "card", 60, 40, &Picture::card(CARD, 1))?,
            source,
            screen,
        })
    }

    fn run(&mut self, line: usize, command: &str) -> Result<()> {
        let private = self
            .private
            .iter()
            .fold(command.to_owned(), |text, (public, private)| {
                text.replace(public, private)
            });
        let log = self.room.logs().join(format!("readme-{line:03}.log"));
        let start = |script: &str, display: Option<&Display>| {
            let mut shell = self.room.shell(script, display)?;
            shell
                .env("XPRA_SOCKET_DIRS", sockets(self.room))
                .env("USER", "reader");
            Process::start(command, shell, &log)
        };
        match command.split(' ').nth(1) {
            Some("shadow") => {
                self.client = None;
                self.server = None;
                let mut server = start(&format!("exec {private}"), Some(&self.source))?;
                server.wait_for_log("xpra is ready.", READY_LIMIT)?;
                self.server = Some(server);
            }
            Some("attach") => {
                self.client = None;
                let mut client = start(&format!("exec {private}"), Some(&self.screen))?;
                self.seed += 1;
                self.shown.show(&Picture::card(CARD, self.seed))?;
                if command.ends_with("--headless") {
                    client.wait_for_log("connected", READY_LIMIT)?;
                    let question = private.replace(" attach ", " info ");
                    let received = until(READY_LIMIT, || {
                        let mut info = start(&question, None)?;
                        ended_well(&mut info)?;
                        Ok(was_acknowledged(&info.log()).then_some(()))
                    })?;
                    received.context("no picture was acknowledged")?;
                } else {
                    sees(&self.screen, self.seed)?;
                }
                self.client = Some(client);
            }
            verb => {
                let mut process = start(&private, None)?;
                let status = process.wait(END_LIMIT)?;
                ensure!(status.success(), "{status}: {}", process.log());
                match verb {
                    Some("detach") => ended_well(self.client.as_mut().context("nobody is attached")?)?,
                    Some("exit" | "stop") => ended_well(self.server.as_mut().context("no server runs")?)?,
                    Some("screenshot") => self.is_screenshot(&self.room.path("home/shot.png"))?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn is_screenshot(&self, file: &Path) -> Result<()> {
        let found = Picture::load_png(file)?.find_card(&Picture::card(CARD, self.seed), self.seed);
        ensure!(
            found.is_some_and(|found| found.psnr == EXACT),
            "the screenshot shows {found:?}"
        );
        Ok(())
    }
}

/// Where sessions have their sockets: not in the directory all users of the machine share.
fn sockets(room: &Room) -> String {
    room.path("run/xpra").display().to_string()
}

/// Whether the client's acknowledgements are among the packets a server has counted.
fn was_acknowledged(info: &str) -> bool {
    info.lines()
        .filter_map(|line| line.strip_prefix("client.connection.input.count.damage-sequence="))
        .any(|count| count != "0")
}
