//! A session over a named pipe: server and clients are the program for Windows, under Wine. `.ci/windows test` builds
//! it and runs this; without the program beside ours, or Wine, there is nothing to run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::picture::Picture;
use crate::process::{Process, command, until};

/// How long one program may take: the first starts Wine.
const LIMIT: Duration = Duration::from_secs(120);

/// Windows' programs and where they leave things.
struct Wine {
    exe: PathBuf,
    folder: tempfile::TempDir,
}

impl Wine {
    /// `None`, and why, without what is needed.
    fn new() -> Result<Option<Self>> {
        let ours = Path::new(env!("CARGO_BIN_EXE_xpra-rs"));
        let target = ours.ancestors().nth(2).context("a target directory")?;
        let exe = target.join("windows/x86_64-pc-windows-gnu/debug/xpra-rs.exe");
        let has_wine = Command::new("wine").arg("--version").output().is_ok();
        if !exe.exists() || !has_wine {
            eprintln!(
                "skipped: xpra-rs.exe is not built, or Wine not installed: .ci/windows install, .ci/windows build"
            );
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        Ok(Some(Self { exe, folder }))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut wine = command("wine");
        wine.arg(&self.exe)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("WINEPREFIX", self.folder.path().join("prefix"))
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=");
        wine
    }

    fn start(&self, name: &str, arguments: &[&str]) -> Result<Process> {
        let log = self.folder.path().join(format!("{name}.log"));
        Process::start(name, self.command(arguments), &log)
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(arguments).output()?)
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{arguments:?}: {}: {said}{errors}",
            output.status
        );
        Ok(said)
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        let _ended = Command::new("wineserver")
            .arg("-k")
            .env("WINEPREFIX", self.folder.path().join("prefix"))
            .status();
    }
}

#[test]
fn a_session_over_a_pipe_of_windows() -> Result<()> {
    const PIPE: &str = "named-pipe://Main";
    let Some(wine) = Wine::new()? else {
        return Ok(());
    };
    let serve = ["shadow", "--test-card", "--bind=Main", "--mdns=no"];
    let mut server = wine.start("server", &serve)?;
    server.wait_for_log("xpra is ready", LIMIT)?;
    ensure!(server.log().contains("listening on named-pipe://Main"));

    let version = wine.ask(&["version", "named-pipe:Main"])?;
    ensure!(version.starts_with("6."), "{version}");
    // a display, and a session's name
    ensure!(wine.ask(&["version", ":Main"])? == version);
    ensure!(wine.ask(&["version", "main"])? == version);
    // Wine 8 has no way to tell which pipes there are, which must be said
    let listed = wine.run(&["list"])?;
    let said = String::from_utf8_lossy(&listed.stdout) + String::from_utf8_lossy(&listed.stderr);
    ensure!(
        match listed.status.code() {
            Some(0) => said.contains("Xpra:\n\tLIVE session at :Main\n"),
            Some(7) => said.contains(r"listing \\.\pipe\ failed: "),
            _ => false,
        },
        "{}: {said}",
        listed.status
    );

    let client = wine.start("client", &["attach", "--headless", PIPE])?;
    // pictures come and are acknowledged
    let acknowledged = until(LIMIT, || {
        let info = wine.ask(&["info", PIPE])?;
        let count = info
            .lines()
            .find_map(|line| line.strip_prefix("client.connection.input.count.damage-sequence="));
        Ok(count
            .and_then(|count| count.trim().parse::<u32>().ok())
            .filter(|count| *count >= 100))
    })?;
    ensure!(acknowledged.is_some(), "no pictures: {}", client.log());

    wine.ask(&["screenshot", "card.png", PIPE])?;
    let picture = Picture::load_png(&wine.folder.path().join("card.png"))?;
    ensure!((picture.size().w, picture.size().h) == (1280, 720));

    // the name is taken
    let second = wine.run(&serve)?;
    let said = String::from_utf8_lossy(&second.stderr);
    ensure!(second.status.code() == Some(21), "{}: {said}", second.status);
    ensure!(said.contains("a server is already listening on"), "{said}");
    let mut absent = wine.command(&["version", "named-pipe:nobody"]);
    let absent = absent.env("XPRA_CONNECT_TIMEOUT", "0").output()?;
    ensure!(absent.status.code() == Some(18), "{absent:?}");

    wine.ask(&["stop", PIPE])?;
    ensure!(server.wait(LIMIT)?.success(), "{}", server.log());
    Ok(())
}
