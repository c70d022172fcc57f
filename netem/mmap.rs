//! Pixels through shared memory: with real peers of both generations, between users, over TCP, and after kills.
//!
//! That the memory is in use is told by the server's `info`, and by how little goes through the socket.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xpra::types::Size;

use crate::display::{Display, Shown};
use crate::grid::{CARD, ended_well, sees};
use crate::peer::{Mode, Peer, Room, Server, Via, attach, free_port};
use crate::picture::Picture;
use crate::process::{self, Process, until};
use crate::with;

const SOURCE: Size = Size::new(640, 480);
const CLIENT: Size = Size::new(800, 600);

/// Bytes of the smallest update the tests wait for.
const PIXELS: u64 = CARD.area() * 3;

/// How long a server may take to tell what it sent.
const INFO_LIMIT: Duration = Duration::from_secs(10);

#[test]
fn harness_sees_real_xpra_mmap() -> Result<()> {
    pair(Peer::Xpra3, Peer::Xpra3)
}

#[test]
fn our_client_our_server_mmap() -> Result<()> {
    pair(Peer::Ours, Peer::Ours)
}

#[test]
fn our_client_xpra3_server_mmap() -> Result<()> {
    pair(Peer::Ours, Peer::Xpra3)
}

#[test]
fn xpra3_client_our_server_mmap() -> Result<()> {
    pair(Peer::Xpra3, Peer::Ours)
}

#[test]
fn our_client_xpra6_server_mmap() -> Result<()> {
    pair(Peer::Ours, Peer::Xpra6)
}

#[test]
fn xpra6_client_our_server_mmap() -> Result<()> {
    pair(Peer::Xpra6, Peer::Ours)
}

/// Pictures arrive exactly, through memory, and no file is left.
fn pair(client: Peer, server: Peer) -> Result<()> {
    with(&[client, server], |room| {
        let source = Display::start(SOURCE, &room.logs())?;
        let screen = Display::start(CLIENT, &room.logs())?;
        let shown = Shown::open(&source, "card", 60, 40, &Picture::card(CARD, 1))?;
        let mut running = Server::start(room, server, Mode::Shadow, &source)?;
        let mut viewer = attach(room, client, &running, Via::Mmap, &screen)?;
        sees(&screen, 1)?;
        for seed in [2, 3] {
            shown.show(&Picture::card(CARD, seed))?;
            sees(&screen, seed)?;
        }
        // an xpra 6.5 answers its own kind only, a 3.1 too
        let asker = if server == Peer::Ours { Peer::Ours } else { server };
        in_use(|| running.ask(room, asker, Via::Unix, &["info"]))?;
        ensure!(left_over(room)?.is_empty(), "left: {:?}", left_over(room)?);
        running.ask(room, asker, Via::Unix, &["detach"])?;
        ended_well(&mut viewer)?;
        running.ask(room, asker, Via::Unix, &["stop"])?;
        ended_well(running.process())
    })
}

/// Waits until `info` tells that pictures went through memory, and checks that they did not go through the socket.
fn in_use(info: impl Fn() -> Result<String>) -> Result<()> {
    let told = until(INFO_LIMIT, || {
        let info = info()?;
        let bytes = number(&info, "connection.mmap_bytecount").unwrap_or(0);
        Ok((bytes >= 2 * PIXELS).then_some((info, bytes)))
    })?;
    let (info, bytes) = told.context("info does not tell of pictures in shared memory")?;
    ensure!(
        number(&info, "decode_errors") == Some(0),
        "there were errors: {info}"
    );
    if let Some(socket) = number(&info, "connection.output.bytecount") {
        ensure!(
            socket < PIXELS / 4,
            "{socket} bytes through the socket, {bytes} beside it"
        );
    }
    let raw = info
        .lines()
        .filter_map(|line| line.split_once(".total_frames.")?.1.split_once('='))
        .filter(|(name, _)| !name.starts_with("mmap") && !name.starts_with("scroll"));
    let raw: Vec<_> = raw.collect();
    ensure!(raw.is_empty(), "pictures went through the socket: {raw:?}");
    Ok(())
}

/// The number of the first line whose key ends so.
fn number(info: &str, key: &str) -> Option<u64> {
    let mut lines = info.lines().filter_map(|line| line.split_once('='));
    lines.find(|(found, _)| found.ends_with(key))?.1.parse().ok()
}

/// Files of areas that are still there.
fn left_over(room: &Room) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(room.path("run/xpra")) else {
        return Ok(Vec::new());
    };
    let paths = entries.map(|entry| Ok(entry?.path()));
    let paths = paths.collect::<Result<Vec<_>>>()?;
    Ok(paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "mmap"))
        .collect())
}

/// Our server on a unix socket and a TCP port, with its options.
fn our_server(room: &Room, source: &Display, options: &[String]) -> Result<(Process, u16)> {
    let port = free_port()?;
    let mut all = vec![
        format!("--bind={}", room.path("socket").display()),
        format!("--bind-tcp=127.0.0.1:{port}"),
    ];
    all.extend_from_slice(options);
    Ok((
        Server::start_with(room, Peer::Ours, Mode::Shadow, source, &all)?,
        port,
    ))
}

/// Our client at `url`.
fn our_client(room: &Room, screen: &Display, url: &str, options: &[&str]) -> Result<Process> {
    let mut command = room.command(Peer::Ours, Some(screen))?;
    command.args(["attach", url, "--reconnect=no"]).args(options);
    let log = room.logs().join(format!("client-{}.log", screen.number()));
    Process::start("our client", command, &log)
}

/// A file both ends were told, which is how two machines share memory that their hosts map into both.
#[test]
fn a_given_file_over_tcp() -> Result<()> {
    with(&[], |room| {
        let source = Display::start(SOURCE, &room.logs())?;
        let screen = Display::start(CLIENT, &room.logs())?;
        let _shown = Shown::open(&source, "card", 60, 40, &Picture::card(CARD, 1))?;
        let memory = tempfile::tempdir_in("/dev/shm")?;
        let file = memory.path().join("pixels");
        fs::File::create(&file)?.set_len(80 << 20)?;
        let option = format!("--mmap={}", file.display());
        let (_server, port) = our_server(room, &source, std::slice::from_ref(&option))?;
        let url = format!("tcp://127.0.0.1:{port}/");
        // the second finds what the first left in the file
        for _ in 0..2 {
            let mut viewer = our_client(room, &screen, &url, &[&option])?;
            sees(&screen, 1)?;
            let info = room.ask(Peer::Ours, &["info", &url])?;
            ensure!(
                number(&info, "mmap_bytecount").is_some_and(|bytes| bytes >= PIXELS),
                "not through memory: {info}"
            );
            ensure!(info.contains(&*file.to_string_lossy()), "another file: {info}");
            room.ask(Peer::Ours, &["detach", &url])?;
            ended_well(&mut viewer)?;
            ensure!(file.exists(), "the file is gone");
        }
        Ok(())
    })
}

/// A server of one user, clients of another: ours passes memory through the socket, 3.1 makes a file for the group.
#[test]
fn another_user() -> Result<()> {
    const GROUP: &str = "60";
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become other users");
        return Ok(());
    }
    with(&[Peer::Xpra3], |room| {
        let source = Display::start(SOURCE, &room.logs())?;
        let screen = Display::start(CLIENT, &room.logs())?;
        let _shown = Shown::open(&source, "card", 60, 40, &Picture::card(CARD, 1))?;
        let common = tempfile::Builder::new().prefix("xpra-common-").tempdir()?;
        let place = |name: &str, owner: u32, mode: u32| -> Result<PathBuf> {
            let path = common.path().join(name);
            fs::create_dir(&path)?;
            std::os::unix::fs::chown(&path, Some(owner), Some(GROUP.parse()?))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            Ok(path)
        };
        fs::set_permissions(common.path(), fs::Permissions::from_mode(0o755))?;
        let (sockets, areas) = (place("sockets", 65534, 0o2770)?, place("areas", 1, 0o2770)?);
        let program = common.path().join("xpra-rs");
        fs::copy(Peer::Ours.program().context("not built")?, &program)?;

        let as_user = |uid: u32, program: &Path, display: &Display| -> Result<std::process::Command> {
            let home = place(
                &format!("home-{uid}-{}", program.display()).replace('/', "_"),
                uid,
                0o700,
            )?;
            let mut command = process::command("setpriv");
            command
                .args([
                    format!("--reuid={uid}"),
                    format!("--regid={GROUP}"),
                    "--clear-groups".into(),
                ])
                .arg("--")
                .arg(program)
                .current_dir("/")
                .env("HOME", &home)
                .env("XDG_RUNTIME_DIR", &home)
                .env("DISPLAY", display.name())
                .env("XPRA_SYSTEM_CONF_DIRS", common.path())
                .env("DBUS_SESSION_BUS_ADDRESS", "disabled:")
                .env_remove("XAUTHORITY");
            Ok(command)
        };
        let socket = sockets.join("session");
        let mut command = as_user(65534, &program, &source)?;
        command
            .args(["shadow", &source.name(), "--socket-permissions=660"])
            .arg(format!("--bind={}", socket.display()));
        let mut server = Process::start("our server", command, &room.logs().join("server.log"))?;
        server.wait_for_log("xpra is ready.", Duration::from_secs(20))?;
        let info = || room.ask(Peer::Ours, &["info", &format!("socket://{}", socket.display())]);

        let mut command = as_user(1, &program, &screen)?;
        command.args(["attach", &format!("socket://{}", socket.display())]);
        let viewer = Process::start("our client", command, &room.logs().join("client.log"))?;
        sees(&screen, 1)?;
        let told = info()?;
        ensure!(
            number(&told, "mmap_bytecount") >= Some(PIXELS),
            "not through memory: {told}"
        );
        drop(viewer);

        let mut command = as_user(1, Path::new("/usr/bin/xpra"), &screen)?;
        command
            .env("XPRA_MMAP_DIR", &areas)
            .args(["attach", &format!("socket:{}", socket.display())])
            .args(["--mmap=yes", "--mmap-group=SOCKET", "--opengl=no", "--tray=no"])
            .args([
                "--pulseaudio=no",
                "--speaker=no",
                "--microphone=no",
                "--notifications=no",
                "--mdns=no",
            ]);
        let _viewer = Process::start("3.1 client", command, &room.logs().join("client3.log"))?;
        sees(&screen, 1)?;
        let told = info()?;
        ensure!(
            number(&told, "mmap_bytecount") >= Some(PIXELS),
            "not through memory: {told}"
        );
        ensure!(told.contains("areas/"), "another file: {told}");
        Ok(())
    })
}

/// Whoever is killed, whenever: the next start finds no file and shows the right picture.
#[test]
fn kills_leave_nothing_behind() -> Result<()> {
    with(&[], |room| {
        let source = Display::start(SOURCE, &room.logs())?;
        let screen = Display::start(CLIENT, &room.logs())?;
        let shown = Shown::open(&source, "card", 60, 40, &Picture::card(CARD, 1))?;
        let url = format!("socket://{}", room.path("socket").display());
        for step in 0..8u32 {
            let (mut server, port) = our_server(room, &source, &[])?;
            // a socket without descriptors has to do with files
            let url = if step % 2 == 0 {
                url.clone()
            } else {
                format!("tcp://127.0.0.1:{port}/")
            };
            for delay in 0..6u64 {
                let viewer = our_client(room, &screen, &url, &[])?;
                std::thread::sleep(Duration::from_millis(delay * 15 + u64::from(step)));
                viewer.kill();
            }
            let mut viewer = our_client(room, &screen, &url, &[])?;
            let seed = step + 2;
            shown.show(&Picture::card(CARD, seed))?;
            sees(&screen, seed)?;
            ensure!(left_over(room)?.is_empty(), "left: {:?}", left_over(room)?);
            server.kill();
            server.wait(Duration::from_secs(5))?;
            viewer.wait(Duration::from_secs(10))?;
            ensure!(left_over(room)?.is_empty(), "left: {:?}", left_over(room)?);
            fs::remove_file(room.path("socket"))?;
        }
        Ok(())
    })
}
