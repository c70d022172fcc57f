//! Keys and the pointer go the other way: typed at the client, read by a program on the server's display.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xpra::types::Size;

use crate::display::{Display, WindowFacts};
use crate::peer::{Mode, Peer, Room, Server, Via, attach};
use crate::process::{self, Process, until};
use crate::with;

const SCREEN: Size = Size::new(640, 480);
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn harness_types_into_real_xpra() -> Result<()> {
    typing(Peer::Xpra3, Peer::Xpra3, Mode::Shadow)?;
    typing(Peer::Xpra3, Peer::Xpra3, Mode::Seamless)
}

#[test]
fn harness_types_into_real_xpra6() -> Result<()> {
    typing(Peer::Xpra6, Peer::Xpra6, Mode::Shadow)?;
    typing(Peer::Xpra6, Peer::Xpra6, Mode::Seamless)
}

#[test]
fn our_client_our_server() -> Result<()> {
    typing(Peer::Ours, Peer::Ours, Mode::Shadow)
}

#[test]
fn our_client_xpra3_server() -> Result<()> {
    typing(Peer::Ours, Peer::Xpra3, Mode::Shadow)?;
    typing(Peer::Ours, Peer::Xpra3, Mode::Seamless)
}

#[test]
fn our_client_xpra6_server() -> Result<()> {
    typing(Peer::Ours, Peer::Xpra6, Mode::Shadow)?;
    typing(Peer::Ours, Peer::Xpra6, Mode::Seamless)
}

#[test]
fn xpra3_client_our_server() -> Result<()> {
    typing(Peer::Xpra3, Peer::Ours, Mode::Shadow)
}

#[test]
fn xpra6_client_our_server() -> Result<()> {
    typing(Peer::Xpra6, Peer::Ours, Mode::Shadow)
}

/// Alt and Shift with F11 open the session info at the client, and nothing of F11 gets to the terminal; Alt and Shift with
/// F4 end the client.
#[test]
fn shortcuts_are_the_clients() -> Result<()> {
    let [alt, shift, f4, f11] = [0xffe9, 0xffe1, 0xffc1, 0xffc8];
    with(&[Peer::Ours], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let screen = Display::start(SCREEN, &room.logs())?;
        let server = Server::start(room, Peer::Ours, Mode::Shadow, &source)?;
        let typed = room.path("typed");
        let mut viewer = attach(room, Peer::Ours, &server, Via::Tcp, &screen)?;
        let _terminal = terminal(room, &source, &format!("cat > {}", typed.display()))?;
        source.focus(window(&source, |window| window.title == "terminal")?.id)?;
        let area = window(&screen, |window| window.rect.size() == SCREEN)?;
        let escapes = || -> Result<Option<usize>> {
            let read = until(LIMIT, || {
                screen.focus(area.id)?;
                screen.type_text("line\n")?;
                until(Duration::from_secs(2), || {
                    let text = std::fs::read_to_string(&typed).unwrap_or_default();
                    let escapes = text.matches('\x1b').count();
                    Ok(text.ends_with("line\n").then_some(escapes))
                })
            })?;
            std::fs::write(&typed, "")?;
            Ok(read)
        };
        escapes()?.context("nothing is typed")?;
        // the key alone is the session's
        screen.press(&[f11])?;
        ensure!(escapes()? == Some(1), "F11 does not get there");
        screen.press(&[alt, shift, f11])?;
        ensure!(escapes()? == Some(0), "the shortcut got there");
        window(&screen, |window| window.toplevel && window.id != area.id)?;
        let watched = until(LIMIT, || {
            let info = server.ask(room, Peer::Ours, Via::Unix, &["info"])?;
            Ok(info
                .lines()
                .any(|line| line == "clients.observers=1")
                .then_some(()))
        })?;
        watched.context("nobody watches")?;
        screen.focus(area.id)?;
        screen.press(&[alt, shift, f4])?;
        ensure!(viewer.wait(LIMIT)?.success(), "{}", viewer.log());
        Ok(())
    })
}

/// Types a line at the client and waits for a terminal on the server's display to have read it.
fn typing(client: Peer, server: Peer, mode: Mode) -> Result<()> {
    with(&[client, server], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let screen = Display::start(SCREEN, &room.logs())?;
        let server = Server::start(room, server, mode, &source)?;
        let typed = room.path("typed");
        let _viewer = attach(room, client, &server, Via::Tcp, &screen)?;
        let _terminal = terminal(room, &source, &format!("cat > {}", typed.display()))?;
        if mode == Mode::Shadow {
            let terminal = window(&source, |window| window.title == "terminal")?;
            source.focus(terminal.id)?;
        }
        let area = || {
            window(&screen, |window| match mode {
                Mode::Shadow => window.rect.size() == SCREEN,
                Mode::Seamless => window.title.contains("terminal"),
            })
        };
        screen.focus(area()?.id)?;

        // The window may still find its place when the pointer moves for the first time: repeat until it is followed.
        let followed = until(LIMIT, || {
            let area = area()?;
            screen.point_at(area.rect.x + 40, area.rect.y + 60)?;
            screen.point_at(area.rect.x + 45, area.rect.y + 67)?;
            let shown = window(&source, |window| window.title.contains("terminal"))?;
            let place = match mode {
                Mode::Shadow => (45, 67),
                Mode::Seamless => (shown.rect.x + 45, shown.rect.y + 67),
            };
            until(Duration::from_secs(2), || {
                Ok((source.pointer()? == place).then_some(()))
            })
        })?;
        followed.with_context(|| format!("the pointer stays at {:?}", source.pointer()))?;

        // A line may be typed before the client's window has the focus: repeat until one arrives whole.
        let line = "hello xpra 42\n";
        let read = until(LIMIT, || {
            screen.type_text(line)?;
            let read = || {
                Ok(std::fs::read_to_string(&typed)
                    .ok()
                    .filter(|text| text.contains(line)))
            };
            until(Duration::from_secs(2), read)
        })?;
        read.with_context(|| format!("read {:?}", std::fs::read_to_string(&typed)))?;
        Ok(())
    })
}

/// A terminal titled "terminal" on `display` that runs a shell command.
pub(crate) fn terminal(room: &Room, display: &Display, script: &str) -> Result<Process> {
    let mut command = process::command("xterm");
    command.args([
        "-T",
        "terminal",
        "-geometry",
        "60x15+0+0",
        "-e",
        "sh",
        "-c",
        script,
    ]);
    command.env("DISPLAY", display.name()).env_remove("XAUTHORITY");
    Process::start("xterm", command, &room.logs().join("xterm.log"))
}

/// Waits for a visible window that `is` likes; the outermost one.
pub(crate) fn window(display: &Display, is: impl Fn(&WindowFacts) -> bool) -> Result<WindowFacts> {
    let found = until(LIMIT, || {
        Ok(display
            .windows()?
            .into_iter()
            .find(|window| window.viewable && is(window)))
    })?;
    found.with_context(|| format!("no such window among {:?}", display.windows()))
}
