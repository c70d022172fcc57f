//! xpra servers and clients, ours and real ones, each with a private place for sockets and configuration.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::display::Display;
use crate::process::{self, Process, until};

/// How long a server may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(40);

/// How long a command that asks a server something may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// What a server says once it accepts clients.
const READY: &str = "xpra is ready.";

/// One implementation of xpra.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The binary of this package.
    Ours,
    /// Debian 12's xpra 3.1.3: rencode and zlib.
    Xpra3,
    /// xpra 6.5: rencodeplus and lz4.
    Xpra6,
}

/// How a client reaches a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// Loopback TCP, pixels in the stream.
    Tcp,
    /// A unix socket, pixels in the stream.
    Unix,
    /// A unix socket, pixels in shared memory.
    Mmap,
    /// TLS, with a password.
    Ssl,
    /// WebSocket, with a password.
    Ws,
    /// WebSocket over TLS, with a password.
    Wss,
    /// TCP with encrypted packets, and a password.
    Aes,
}

impl Via {
    /// Those of a [guarded](Server::start_guarded) server.
    pub(crate) const GUARDED: [Self; 4] = [Self::Ssl, Self::Ws, Self::Wss, Self::Aes];

    pub(crate) const fn is_guarded(self) -> bool {
        matches!(self, Self::Ssl | Self::Ws | Self::Wss | Self::Aes)
    }

    const fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::Wss)
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::Tcp | Self::Aes => "tcp",
            Self::Ssl => "ssl",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Unix | Self::Mmap => "socket",
        }
    }
}

/// What a server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The whole screen of a display.
    Shadow,
    /// Each window of a display on its own.
    Seamless,
}

impl Peer {
    /// Where its program is, if it is installed.
    pub(crate) fn program(self) -> Option<PathBuf> {
        let path = match self {
            // Another build may be put in its place, to compare two.
            Self::Ours => {
                std::env::var_os("XPRA_RS").map_or_else(|| env!("CARGO_BIN_EXE_xpra-rs").into(), Into::into)
            }
            Self::Xpra3 => PathBuf::from("/usr/bin/xpra"),
            Self::Xpra6 => match std::env::var_os("XPRA6") {
                Some(path) => path.into(),
                None => {
                    PathBuf::from(std::env::var_os("HOME")?).join(".cache/xpra-peers/xpra-6.5.5/bin/xpra")
                }
            },
        };
        path.exists().then_some(path)
    }

    /// The options that keep it from doing more than is tested.
    pub(crate) fn quiet(self, room: &Room) -> Vec<String> {
        let sockets = room.sockets();
        let mut options = vec![
            format!("--socket-dir={}", sockets.display()),
            "--mdns=no".to_owned(),
            // into a home of its own, without being asked
            "--file-transfer=yes".to_owned(),
        ];
        if self != Self::Ours {
            options.push(format!("--socket-dirs={}", sockets.display()));
            let off = ["pulseaudio", "speaker", "microphone", "webcam", "printing"];
            let off = off.into_iter().chain(["notifications", "systemd-run", "bell"]);
            options.extend(off.map(|name| format!("--{name}=no")));
        }
        options
    }

    pub(crate) fn server_options(self) -> &'static [&'static str] {
        match self {
            Self::Ours => &[],
            Self::Xpra3 => &[
                "--html=off",
                "--dbus-launch=",
                "--dbus-proxy=no",
                "--dbus-control=no",
            ],
            // Xvfb tells no refresh rate: left to itself 6.5 then sends about five pictures a second.
            Self::Xpra6 => &[
                "--html=off",
                "--dbus=no",
                "--dbus-control=no",
                "--refresh-rate=60",
            ],
        }
    }

    pub(crate) fn client_options(self, via: Via) -> Vec<&'static str> {
        let mut options = match self {
            Self::Ours => vec!["--reconnect=no"],
            Self::Xpra3 => vec!["--opengl=no", "--tray=no"],
            Self::Xpra6 => vec!["--opengl=no", "--tray=no", "--splash=no"],
        };
        options.push(if via == Via::Mmap {
            "--mmap=yes"
        } else {
            "--mmap=no"
        });
        options
    }
}

/// A private place: runtime folder, home, sockets, logs. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    dir: TempDir,
}

impl Room {
    pub(crate) fn new() -> Result<Self> {
        let room = Self {
            dir: tempfile::Builder::new().prefix("xpra-").tempdir()?,
        };
        for name in ["run", "sd", "conf", "home", "logs"] {
            let dir = room.path(name);
            fs::create_dir(&dir)?;
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        }
        // Debian's default starts an X session of its own.
        fs::write(room.path("conf/xpra.conf"), "start =\n")?;
        Ok(room)
    }

    /// A path below the place.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where logs go.
    pub(crate) fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    fn sockets(&self) -> PathBuf {
        self.path("sd")
    }

    /// The last lines of each log, for a failure's report.
    pub(crate) fn print_logs(&self) {
        let mut logs: Vec<_> = fs::read_dir(self.logs())
            .into_iter()
            .flatten()
            .flatten()
            .map(|log| log.path())
            .collect();
        logs.sort();
        for log in logs {
            let text = fs::read(&log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            eprintln!("---- {} ----", log.file_name().unwrap_or_default().display());
            lines
                .iter()
                .skip(lines.len().saturating_sub(25))
                .for_each(|line| eprintln!("{line}"));
        }
    }

    /// `peer`'s program with its environment set.
    pub(crate) fn command(&self, peer: Peer, display: Option<&Display>) -> Result<Command> {
        let program = peer
            .program()
            .with_context(|| format!("{peer:?} is not installed"))?;
        let beside = program.parent().map(Path::to_owned).unwrap_or_default();
        self.enclosed(process::command(program), beside, display)
    }

    /// A shell for `script`, in which `xpra-rs` is the program under test.
    pub(crate) fn shell(&self, script: &str, display: Option<&Display>) -> Result<Command> {
        let bin = self.path("bin");
        if !bin.exists() {
            let program = Peer::Ours.program().context("xpra-rs is not built")?;
            fs::create_dir(&bin)?;
            std::os::unix::fs::symlink(fs::canonicalize(program)?, bin.join("xpra-rs"))?;
        }
        let mut command = process::command("sh");
        command.args(["-ec", script]).current_dir(self.path("home"));
        self.enclosed(command, bin, display)
    }

    /// `command` with this place for an environment; programs are looked for in `first` before `PATH`.
    fn enclosed(&self, mut command: Command, first: PathBuf, display: Option<&Display>) -> Result<Command> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([first].into_iter().chain(std::env::split_paths(&path)))?;
        command
            .env("PATH", path)
            .env("HOME", self.path("home"))
            .env("XDG_CONFIG_HOME", self.path("home/.config"))
            .env("XDG_CACHE_HOME", self.path("home/.cache"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("XPRA_SYSTEM_CONF_DIRS", self.path("conf"))
            .env("XPRA_SSL_CERT_PATHS", self.path("ssl"))
            // Without one, xpra starts a session bus that outlives it.
            .env("DBUS_SESSION_BUS_ADDRESS", "disabled:")
            .env_remove("XAUTHORITY")
            .env_remove("WAYLAND_DISPLAY");
        match display {
            Some(display) => command.env("DISPLAY", display.name()),
            None => command.env_remove("DISPLAY"),
        };
        Ok(command)
    }

    /// Runs a command of `peer` to its end.
    pub(crate) fn run(&self, peer: Peer, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(peer, None)?;
        command.args(arguments).args(peer.quiet(self));
        let name = format!("{peer:?} {}", arguments.first().copied().unwrap_or_default());
        let (out, err) = (
            tempfile::NamedTempFile::new_in(self.logs())?,
            tempfile::NamedTempFile::new_in(self.logs())?,
        );
        command
            .stdout(Stdio::from(out.reopen()?))
            .stderr(Stdio::from(err.reopen()?));
        let mut child = command.spawn()?;
        let status = until(COMMAND_LIMIT, || Ok(child.try_wait()?))?;
        if status.is_none() {
            child.kill()?;
            child.wait()?;
        }
        let (stdout, stderr) = (fs::read(out.path())?, fs::read(err.path())?);
        let status = status.with_context(|| {
            format!(
                "{name} did not end within {COMMAND_LIMIT:?}: {}",
                String::from_utf8_lossy(&stderr)
            )
        })?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }

    /// As [`Room::run`], with status 0 demanded; gives the standard output.
    pub(crate) fn ask(&self, peer: Peer, arguments: &[&str]) -> Result<String> {
        let output = self.run(peer, arguments)?;
        ensure!(
            output.status.success(),
            "{peer:?} {arguments:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The password of guarded servers.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// What a guarded server and its clients know: certificate, password, key.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Certificate and key of `127.0.0.1`.
    pub(crate) certificate: PathBuf,
    pub(crate) password: PathBuf,
    key: PathBuf,
}

impl Keys {
    /// New ones in `room`.
    pub(crate) fn new(room: &Room) -> Result<Self> {
        let keys = Self {
            certificate: room.path("cert.pem"),
            password: room.path("password"),
            key: room.path("key"),
        };
        fs::write(&keys.password, PASSWORD)?;
        fs::write(&keys.key, "a key for packets")?;
        let (secret, public) = (room.path("secret.pem"), room.path("public.pem"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "30",
                "-subj",
                "/CN=localhost",
            ])
            .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
            .arg("-keyout")
            .arg(&secret)
            .arg("-out")
            .arg(&public)
            .output()
            .context("openssl is not installed")?;
        ensure!(
            made.status.success(),
            "openssl: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let both = [fs::read(&secret)?, fs::read(&public)?].concat();
        fs::write(&keys.certificate, both)?;
        fs::set_permissions(&keys.certificate, fs::Permissions::from_mode(0o600))?;
        Ok(keys)
    }

    /// What a server of that kind is told to listen on.
    fn server_options(&self, peer: Peer, via: Via, port: u16) -> Vec<String> {
        let (password, key) = (self.password.display(), self.key.display());
        let scheme = via.scheme();
        let mut options = match peer {
            // per-socket options came after 3.1
            Peer::Xpra3 => vec![
                format!("--bind-{scheme}=127.0.0.1:{port}"),
                format!("--{scheme}-auth=file:filename={password}"),
            ],
            Peer::Ours | Peer::Xpra6 => {
                vec![format!(
                    "--bind-{scheme}=127.0.0.1:{port},auth=file(filename={password})"
                )]
            }
        };
        if via == Via::Aes {
            options.push("--tcp-encryption=AES".to_owned());
            options.push(format!("--tcp-encryption-keyfile={key}"));
        }
        if via == Via::Wss && peer == Peer::Xpra3 {
            // without its pages it takes no WebSocket inside TLS
            options.push("--html=on".to_owned());
        }
        if via.is_tls() {
            options.push(format!("--ssl-cert={}", self.certificate.display()));
        }
        options
    }

    /// What a client is told to be let in.
    fn client_options(&self, peer: Peer, via: Via) -> Vec<String> {
        let mut options = vec![format!("--password-file={}", self.password.display())];
        if via.is_tls() {
            match peer {
                Peer::Ours => options.push(format!("--ssl-ca-certs={}", self.certificate.display())),
                Peer::Xpra3 => options.push("--ssl-server-verify-mode=none".to_owned()),
                Peer::Xpra6 => options
                    .extend(["--ssl-server-verify-mode=none", "--ssl-check-hostname=no"].map(str::to_owned)),
            }
        }
        if via == Via::Aes {
            options.push("--encryption=AES".to_owned());
            options.push(format!("--encryption-keyfile={}", self.key.display()));
        }
        options
    }
}

/// A running server and how to reach it.
#[derive(Debug)]
pub(crate) struct Server {
    peer: Peer,
    process: Process,
    port: u16,
    socket: PathBuf,
    keys: Option<Keys>,
}

impl Server {
    /// Starts `peer` on `display`, on a TCP port and the default unix socket, and waits until it is ready.
    pub(crate) fn start(room: &Room, peer: Peer, mode: Mode, display: &Display) -> Result<Self> {
        Self::start_also(room, peer, mode, display, &[])
    }

    /// As [`Server::start`], with more options.
    pub(crate) fn start_also(
        room: &Room,
        peer: Peer,
        mode: Mode,
        display: &Display,
        also: &[String],
    ) -> Result<Self> {
        let mut server = Self::launch(room, peer, mode, display, also)?;
        server.process.wait_for_log(READY, READY_LIMIT)?;
        server.socket = server.find_socket(room, display)?;
        Ok(server)
    }

    /// Starts `peer` on `display`, on one port that asks for a password and is encrypted as `via` says, and waits until
    /// it is ready.
    pub(crate) fn start_guarded(
        room: &Room,
        peer: Peer,
        mode: Mode,
        display: &Display,
        via: Via,
    ) -> Result<Self> {
        let port = free_port()?;
        let keys = Keys::new(room)?;
        let mut options = keys.server_options(peer, via, port);
        options.push("--bind=auto".to_owned());
        let process = Self::spawn(room, peer, mode, display, &options)?;
        let mut server = Self {
            peer,
            process,
            port,
            socket: PathBuf::new(),
            keys: Some(keys),
        };
        server.process.wait_for_log(READY, READY_LIMIT)?;
        Ok(server)
    }

    /// Starts `peer` on `display`, listening where the options say, and waits until it is ready.
    pub(crate) fn start_with(
        room: &Room,
        peer: Peer,
        mode: Mode,
        display: &Display,
        options: &[String],
    ) -> Result<Process> {
        let mut process = Self::spawn(room, peer, mode, display, options)?;
        process.wait_for_log(READY, READY_LIMIT)?;
        Ok(process)
    }

    /// As [`Server::start_also`], without waiting: the unix socket is not known yet.
    pub(crate) fn launch(
        room: &Room,
        peer: Peer,
        mode: Mode,
        display: &Display,
        also: &[String],
    ) -> Result<Self> {
        let port = free_port()?;
        let mut options = vec!["--bind=auto".to_owned(), format!("--bind-tcp=127.0.0.1:{port}")];
        options.extend_from_slice(also);
        let process = Self::spawn(room, peer, mode, display, &options)?;
        Ok(Self {
            peer,
            process,
            port,
            socket: PathBuf::new(),
            keys: None,
        })
    }

    fn spawn(room: &Room, peer: Peer, mode: Mode, display: &Display, options: &[String]) -> Result<Process> {
        let mut command = room.command(peer, Some(display))?;
        match mode {
            Mode::Shadow => command.arg("shadow").arg(display.name()),
            Mode::Seamless => command.arg("start").arg(display.name()).arg("--use-display=yes"),
        };
        command
            .arg("--daemon=no")
            .args(peer.server_options())
            .args(options)
            .args(peer.quiet(room));
        let log = room
            .logs()
            .join(format!("server-{peer:?}-{}.log", display.number()));
        Process::start(&format!("{peer:?} server"), command, &log)
    }

    fn find_socket(&self, room: &Room, display: &Display) -> Result<PathBuf> {
        let end = format!("-{}", display.number());
        let found = until(Duration::from_secs(2), || {
            let names = fs::read_dir(room.sockets())?.collect::<Result<Vec<_>, _>>()?;
            let names = names
                .into_iter()
                .filter(|entry| entry.file_name().to_string_lossy().ends_with(&end));
            Ok(names.map(|entry| entry.path()).next())
        })?;
        found.with_context(|| format!("{} has no socket for {}", self.process.name(), display.name()))
    }

    /// Its address, spelled for `client`.
    pub(crate) fn url(&self, client: Peer, via: Via) -> String {
        match (via, client) {
            (via, _) if via == Via::Tcp || via.is_guarded() => {
                format!("{}://127.0.0.1:{}/", via.scheme(), self.port)
            }
            (_, Peer::Xpra3) => format!("socket:{}", self.socket.display()),
            (_, Peer::Ours | Peer::Xpra6) => format!("socket://{}", self.socket.display()),
        }
    }

    /// What `client` has to be told, beside the address, to be let in.
    pub(crate) fn client_options(&self, client: Peer, via: Via) -> Vec<String> {
        let keys = self.keys.as_ref().filter(|_| via.is_guarded());
        keys.map(|keys| keys.client_options(client, via))
            .unwrap_or_default()
    }

    /// Runs a command of `client` about this server, and gives what it printed.
    pub(crate) fn ask(&self, room: &Room, client: Peer, via: Via, command: &[&str]) -> Result<String> {
        let (url, options) = (self.url(client, via), self.client_options(client, via));
        let about = [url.as_str()]
            .into_iter()
            .chain(options.iter().map(String::as_str));
        room.ask(client, &command.iter().copied().chain(about).collect::<Vec<_>>())
    }

    /// Its TCP port on the loopback address.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Which one it is.
    pub(crate) const fn peer(&self) -> Peer {
        self.peer
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its process.
    pub(crate) const fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Starts `peer`'s client for `server`, its windows on `display`.
pub(crate) fn attach(
    room: &Room,
    peer: Peer,
    server: &Server,
    via: Via,
    display: &Display,
) -> Result<Process> {
    let mut command = room.command(peer, Some(display))?;
    command
        .arg("attach")
        .arg(server.url(peer, via))
        .args(peer.client_options(via))
        .args(server.client_options(peer, via))
        .args(peer.quiet(room));
    let log = room
        .logs()
        .join(format!("client-{peer:?}-{via:?}-{}.log", display.number()));
    Process::start(&format!("{peer:?} client"), command, &log)
}

/// Starts our client without a display.
pub(crate) fn attach_headless(room: &Room, server: &Server, via: Via) -> Result<Process> {
    let peer = Peer::Ours;
    let mut command = room.command(peer, None)?;
    command
        .args(["attach", &server.url(peer, via), "--headless", "--reconnect=no"])
        .args(peer.quiet(room));
    Process::start(
        "headless client",
        command,
        &room.logs().join("client-headless.log"),
    )
}

/// A TCP port nobody uses right now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
