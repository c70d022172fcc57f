//! Sessions over SSH: our clients against sshd, and the clients of others against our server.

mod grid;

use std::fs;
use std::future::Future;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::UnixStream;
use tokio::time::timeout;
use xpra::address::{Bind, Secret, TransportKind};
use xpra::session::{Answer, Asker, Opened, Request, ask};
use xpra::transport::ssh::{Backend, PasswordCheck, SshOptions, SshServer, SshServerOptions, serve};
use xpra::transport::{ConnectError, ConnectOptions, Link, ListenOptions, connect, listen};
use xpra::types::Size;

use crate::display::Display;
use crate::peer::{Mode, Peer, Room, Server, Via, free_port};
use crate::process::{self, Process, until};
use crate::{absent, with};

const SCREEN: Size = Size::new(640, 480);
const LIMIT: Duration = Duration::from_secs(60);
const ECHO: usize = 64 << 20;
const PASSWORD: &str = "open sesame";

/// The two that speak SSH for our client.
const BACKENDS: [&str; 2] = ["program", "builtin"];

#[test]
fn sessions_through_sshd() -> Result<()> {
    with_tools(
        &["/usr/sbin/sshd", "/usr/bin/ssh"],
        &[Peer::Ours, Peer::Xpra3],
        |room| {
            let source = Display::start(SCREEN, &room.logs())?;
            let _server = Server::start(room, Peer::Ours, Mode::Shadow, &source)?;
            let sshd = Sshd::start(room, &[])?;
            let display = source.number().to_string();
            for backend in BACKENDS {
                // our proxy, and xpra's
                for remote in ["xpra-rs", "/usr/bin/xpra"] {
                    let options = sshd.options(room, backend, Some(remote));
                    let version = block_on(version(&sshd.url(&display), &options))?;
                    ensure!(version == "6.5.5", "{backend} {remote}: {version}");
                }
                // what is found without being named
                block_on(version(&sshd.url(""), &sshd.options(room, backend, None)))?;
            }
            Ok(())
        },
    )
}

#[test]
fn sessions_of_xpra_through_sshd() -> Result<()> {
    with_tools(
        &["/usr/sbin/sshd", "/usr/bin/ssh"],
        &[Peer::Ours, Peer::Xpra3],
        |room| {
            let source = Display::start(SCREEN, &room.logs())?;
            let _server = Server::start(room, Peer::Xpra3, Mode::Shadow, &source)?;
            let sshd = Sshd::start(room, &[])?;
            let display = source.number().to_string();
            for backend in BACKENDS {
                let version = block_on(version(&sshd.url(&display), &sshd.options(room, backend, None)))?;
                ensure!(version.starts_with("3.1"), "{backend}: {version}");
            }
            Ok(())
        },
    )
}

#[test]
fn noise_of_the_remote_shell_is_skipped() -> Result<()> {
    with_tools(&["/usr/sbin/sshd", "/usr/bin/ssh"], &[Peer::Ours], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let _server = Server::start(room, Peer::Ours, Mode::Shadow, &source)?;
        let noisy = "ForceCommand echo 'Welcome to P'; head -c 9000 /dev/urandom | od; echo; eval \"$SSH_ORIGINAL_COMMAND\"";
        let sshd = Sshd::start(room, &[noisy, "Banner /etc/hostname"])?;
        let url = sshd.url(&source.number().to_string());
        for backend in BACKENDS {
            block_on(version(&url, &sshd.options(room, backend, None))).context(backend)?;
        }
        Ok(())
    })
}

#[test]
fn what_is_missing_or_not_trusted_is_said() -> Result<()> {
    with_tools(&["/usr/sbin/sshd", "/usr/bin/ssh"], &[Peer::Ours], |room| {
        let sshd = Sshd::start(room, &[])?;
        for backend in BACKENDS {
            let options = sshd.options(room, backend, Some("no-such-xpra"));
            let missing = failure(&sshd.url(""), &options)?;
            ensure!(
                missing.to_string().contains("install xpra"),
                "{backend}: {missing}"
            );
            ensure!(
                matches!(missing, ConnectError::Ssh { .. }),
                "{backend}: {missing:?}"
            );

            let nobody = sshd.url("").replace(&user()?, "nosuchuser");
            let refused = failure(&nobody, &sshd.options(room, backend, None))?;
            ensure!(
                matches!(refused, ConnectError::Ssh { .. }),
                "{backend}: {refused:?}"
            );
        }
        // another machine's key under this one's name
        let known = room.path("home/.ssh/known_hosts");
        let name = format!("[127.0.0.1]:{}", sshd.port);
        fs::write(
            &known,
            format!(
                "{name} {}",
                fs::read_to_string(room.path("home/.ssh/id_ed25519.pub"))?
            ),
        )?;
        for backend in BACKENDS {
            let changed = failure(&sshd.url(""), &sshd.options(room, backend, None))?;
            ensure!(
                matches!(changed, ConnectError::SshHostKey { .. }),
                "{backend}: {changed:?}"
            );
        }
        fs::write(&known, "")?;
        for backend in BACKENDS {
            let unknown = failure(&sshd.url(""), &sshd.options(room, backend, None))?;
            ensure!(
                matches!(unknown, ConnectError::SshHostKey { .. }),
                "{backend}: {unknown:?}"
            );
        }
        Ok(())
    })
}

#[test]
fn jump_hosts_lead_on() -> Result<()> {
    with_tools(&["/usr/sbin/sshd", "/usr/bin/ssh"], &[Peer::Ours], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let _server = Server::start(room, Peer::Ours, Mode::Shadow, &source)?;
        let jump = Sshd::start(room, &["AllowTcpForwarding yes"])?;
        let known = fs::read_to_string(room.path("home/.ssh/known_hosts"))?;
        let sshd = Sshd::start(room, &[])?;
        let both = known + &fs::read_to_string(room.path("home/.ssh/known_hosts"))?;
        fs::write(room.path("home/.ssh/known_hosts"), both)?;
        for backend in BACKENDS {
            let url = format!(
                "{}?proxy={}@127.0.0.1:{}",
                sshd.url(&source.number().to_string()),
                user()?,
                jump.port
            );
            block_on(version(&url, &sshd.options(room, backend, None)))
                .with_context(|| format!("{backend} through a jump host"))?;
        }
        Ok(())
    })
}

#[test]
fn bulk_goes_both_ways_and_a_dead_sshd_is_noticed() -> Result<()> {
    with_tools(&["/usr/sbin/sshd", "/usr/bin/ssh"], &[Peer::Ours], |room| {
        let echoing = room.path("home/echoing");
        script(&echoing, "exec cat")?;
        for backend in BACKENDS {
            let sshd = Sshd::start(room, &[])?;
            let options = sshd.options(room, backend, echoing.to_str());
            block_on(async {
                let link = connect(&sshd.url("").parse()?, &options).await?;
                ensure!(
                    link.info.kind == TransportKind::Ssh && link.info.is_private,
                    "{link:?}"
                );
                let mut link = timeout(LIMIT, echo(link)).await.context("a stall")??;
                link.stream.write_all(b"still there?").await?;
                let mut answer = [0; 12];
                link.stream.read_exact(&mut answer).await?;
                drop(sshd);
                let end = timeout(LIMIT, link.stream.read(&mut answer))
                    .await
                    .context("nobody notices")?;
                ensure!(!matches!(end, Ok(1..)), "{end:?}");
                Ok(())
            })
            .with_context(|| backend)?;
        }
        Ok(())
    })
}

#[test]
fn openssh_client_our_server() -> Result<()> {
    with_tools(&["/usr/bin/ssh"], &[Peer::Ours], |room| {
        ours(room, |gate| {
            for (login, more) in [("key", "-o PreferredAuthentications=publickey"), ("password", "")] {
                if login == "password" && !Path::new("/usr/bin/sshpass").exists() {
                    absent("sshpass")?;
                    continue;
                }
                let mut options = gate.options(room, "program");
                if let Backend::Program(words) = &mut options.ssh.backend {
                    words.extend(more.split_whitespace().map(str::to_owned));
                    if login == "password" {
                        words.retain(|word| word != "BatchMode=yes");
                        words.extend(["BatchMode=no", "-o", "PubkeyAuthentication=no"].map(str::to_owned));
                    }
                }
                let url = match login {
                    "password" => gate.url().replace('@', &format!(":{PASSWORD}@")),
                    _ => gate.url(),
                };
                block_on(version(&url, &options)).with_context(|| login)?;
            }
            let refused = gate.run(room, &["uname", "-a"])?;
            ensure!(refused.contains("runs no commands"), "{refused}");
            Ok(())
        })
    })
}

#[test]
fn plink_and_dropbear_our_server() -> Result<()> {
    with_tools(&["/usr/bin/plink", "/usr/bin/dbclient"], &[Peer::Ours], |room| {
        ours(room, |gate| {
            let fingerprint = gate.fingerprint(room)?;
            let plink =
                format!("/usr/bin/plink -batch -no-antispoof -hostkey {fingerprint} -pw '{PASSWORD}'");
            let dropbear = format!(
                "/usr/bin/env HOME={} DROPBEAR_PASSWORD='{PASSWORD}' /usr/bin/dbclient -y -y",
                room.path("home").display()
            );
            for program in [plink, dropbear] {
                let mut options = gate.options(room, "program");
                options.ssh.backend = program.parse().map_err(anyhow::Error::msg)?;
                block_on(version(&gate.url(), &options)).with_context(|| program)?;
            }
            Ok(())
        })
    })
}

#[test]
fn xpra3_clients_our_server() -> Result<()> {
    with_tools(&["/usr/bin/ssh"], &[Peer::Ours, Peer::Xpra3], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let server = Server::start(room, Peer::Xpra3, Mode::Shadow, &source)?;
        let socket = server.url(Peer::Ours, Via::Unix);
        let socket = socket.trim_start_matches("socket://");
        let gate = Gate::open(room, socket, false)?;
        let ssh = gate.ssh(room).join(" ");
        let url = |gate: &Gate| format!("{}{}", gate.url(), source.number());
        let answer = room.ask(Peer::Xpra3, &["version", &url(&gate), &format!("--ssh={ssh}")])?;
        ensure!(answer.starts_with("3.1"), "{answer}");
        // its first attempt, with nothing, has to do
        let gate = Gate::open(room, socket, true)?;
        let mut paramiko = room.command(Peer::Xpra3, None)?;
        // it would ask in a window
        paramiko.env("XPRA_SSH_VERIFY_HOSTKEY", "0");
        paramiko.args(["version", &url(&gate), "--ssh=paramiko"]);
        let output = paramiko.output()?;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(out.starts_with("3.1"), "with paramiko: {out}\n{err}");
        Ok(())
    })
}

/// It says nothing before it knows that it speaks to an SSH server.
#[test]
fn ssh_keyscan_finds_our_key() -> Result<()> {
    with_tools(&["/usr/bin/ssh-keyscan"], &[Peer::Ours], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let (port, key) = (free_port()?.to_string(), room.path("host_key"));
        keygen(&key)?;
        let bind = format!("--bind-ssh=127.0.0.1:{port},ssh-host-key={}", key.display());
        let _server = Server::start_with(room, Peer::Ours, Mode::Shadow, &source, &[bind])?;
        let scan = Command::new("/usr/bin/ssh-keyscan")
            .args(["-t", "ed25519", "-p", &port, "127.0.0.1"])
            .output()?;
        let public = fs::read_to_string(key.with_extension("pub"))?;
        let words: Vec<_> = public.split_whitespace().take(2).collect();
        let found = String::from_utf8(scan.stdout)?;
        ensure!(
            found.trim() == format!("[127.0.0.1]:{port} {}", words.join(" ")),
            "{found:?} is not {public:?}, {}",
            String::from_utf8_lossy(&scan.stderr)
        );
        Ok(())
    })
}

/// Their one attempt to log in is with nothing. It leads to the session, which asks for the password.
#[test]
fn paramiko_clients_are_asked_by_the_session() -> Result<()> {
    with(&[Peer::Ours, Peer::Xpra3, Peer::Xpra6], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let port = free_port()?;
        let [right, wrong] = ["right", "wrong"].map(|name| room.path(name));
        fs::write(&right, PASSWORD)?;
        fs::write(&wrong, "open barley")?;
        let bind = format!(
            "--bind-ssh=127.0.0.1:{port},auth=file(filename={})",
            right.display()
        );
        let _server = Server::start_with(room, Peer::Ours, Mode::Shadow, &source, &[bind])?;
        let info = |client: Peer, password: &Path| -> Result<Output> {
            let mut command = room.command(client, None)?;
            // it would ask in a window
            command.env("XPRA_SSH_VERIFY_HOSTKEY", "0");
            command.args(client.quiet(room)).args(["info", "--ssh=paramiko"]);
            command.arg(format!("--password-file={}", password.display()));
            command.arg(format!("ssh://{}@127.0.0.1:{port}/{}", user()?, source.number()));
            Ok(command.output()?)
        };
        for client in [Peer::Xpra3, Peer::Xpra6] {
            let told = info(client, &right)?;
            let facts = String::from_utf8_lossy(&told.stdout);
            ensure!(
                told.status.success() && facts.contains("elapsed_time="),
                "{client:?}: {told:?}"
            );
            let refused = info(client, &wrong)?;
            ensure!(!refused.status.success(), "{client:?}: {refused:?}");
            ensure!(
                !String::from_utf8_lossy(&refused.stdout).contains('='),
                "{client:?}: {refused:?}"
            );
        }
        Ok(())
    })
}

/// Bytes of a known pattern, there and back at once; gives the link back.
async fn echo(link: Link) -> Result<Link> {
    let Link { stream, info } = link;
    let (mut read, mut write) = tokio::io::split(stream);
    let writer = tokio::spawn(async move {
        let block: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        for _ in 0..ECHO >> 20 {
            write.write_all(&block).await?;
        }
        anyhow::Ok(write)
    });
    let mut buffer = vec![0; 256 << 10];
    let mut received = 0usize;
    while received < ECHO {
        let n = read.read(&mut buffer).await?;
        ensure!(n > 0, "the end after {received} bytes");
        ensure!(
            buffer[..n]
                .iter()
                .zip(received..)
                .all(|(byte, at)| usize::from(*byte) == at & 0xff),
            "other bytes"
        );
        received += n;
    }
    let write = writer.await??;
    Ok(Link {
        stream: read.unsplit(write),
        info,
    })
}

async fn version(url: &str, options: &ConnectOptions) -> Result<String> {
    let address = url.parse()?;
    let open = async || connect(&address, options).await.map(Opened::from);
    match timeout(LIMIT, ask(open, &Request::Version, Asker::default())).await??? {
        Answer::Version(version) => Ok(version.to_string()),
        other => bail!("{other:?}"),
    }
}

fn failure(url: &str, options: &ConnectOptions) -> Result<ConnectError> {
    let address = url.parse()?;
    match block_on(async { Ok(timeout(LIMIT, connect(&address, options)).await?) })? {
        Ok(link) => bail!("{link:?} was connected"),
        Err(error) => Ok(error),
    }
}

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(future)
}

/// As [`with`], if those programs are installed too.
fn with_tools(tools: &[&str], peers: &[Peer], test: impl Fn(&Room) -> Result<()>) -> Result<()> {
    if let Some(missing) = tools.iter().find(|tool| !Path::new(tool).exists()) {
        return absent(missing);
    }
    with(peers, test)
}

fn user() -> Result<String> {
    let output = Command::new("id").arg("-un").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

pub(crate) fn keygen(path: &Path) -> Result<()> {
    if !path.exists() {
        let status = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(path)
            .status()?;
        ensure!(status.success(), "ssh-keygen: {status}");
    }
    Ok(())
}

/// The client's key, made once; gives the public half.
fn client_key(room: &Room) -> Result<String> {
    let directory = room.path("home/.ssh");
    fs::create_dir_all(&directory)?;
    keygen(&directory.join("id_ed25519"))?;
    Ok(fs::read_to_string(directory.join("id_ed25519.pub"))?)
}

/// The system's ssh, which shall know nothing but what is in this place.
fn ssh_words(room: &Room) -> Vec<String> {
    let home = room.path("home/.ssh");
    let known = format!("UserKnownHostsFile={}", home.join("known_hosts").display());
    let key = home.join("id_ed25519").display().to_string();
    let words = [
        "ssh",
        "-F",
        "none",
        "-x",
        "-i",
        &key,
        "-o",
        &known,
        "-o",
        "GlobalKnownHostsFile=none",
    ];
    let more = ["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"];
    words.iter().chain(&more).map(|&word| word.to_owned()).collect()
}

fn client_options(room: &Room, backend: &str) -> ConnectOptions {
    ConnectOptions {
        ssh: SshOptions {
            backend: match backend {
                "builtin" => Backend::Builtin,
                _ => Backend::Program(ssh_words(room)),
            },
            home: Some(room.path("home")),
            remote_socket_dir: Some(room.path("sd").display().to_string()),
            ..SshOptions::default()
        },
        ..ConnectOptions::default()
    }
}

/// An sshd with keys of its own, for one user.
struct Sshd {
    process: Process,
    port: u16,
}

impl Sshd {
    fn start(room: &Room, more: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let place = room.path(&format!("sshd-{port}"));
        fs::create_dir_all(place.join("bin"))?;
        let program = Peer::Ours.program().context("xpra-rs is not built")?;
        symlink(fs::canonicalize(program)?, place.join("bin/xpra-rs"))?;
        keygen(&place.join("host_key"))?;
        fs::write(place.join("authorized_keys"), client_key(room)?)?;
        let host = fs::read_to_string(place.join("host_key.pub"))?;
        fs::write(
            room.path("home/.ssh/known_hosts"),
            format!("[127.0.0.1]:{port} {host}"),
        )?;
        // demanded of root's
        let _not_root = fs::create_dir_all("/run/sshd");
        let at = place.display();
        let environment = format!(
            "SetEnv PATH={at}/bin:/usr/bin:/bin XDG_RUNTIME_DIR={run} XPRA_SYSTEM_CONF_DIRS={conf} XPRA_CONNECT_TIMEOUT=5",
            run = room.path("run").display(),
            conf = room.path("conf").display(),
        );
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host_key\nAuthorizedKeysFile {at}/authorized_keys\n\
             StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\n{environment}\n{}\n",
            more.join("\n")
        );
        fs::write(place.join("config"), config)?;
        let mut command = process::command("/usr/sbin/sshd");
        command.arg("-De").arg("-f").arg(place.join("config"));
        let log = room.logs().join(format!("sshd-{port}.log"));
        let mut process = Process::start("sshd", command, &log)?;
        process.wait_for_log("Server listening", LIMIT)?;
        Ok(Self { process, port })
    }

    fn url(&self, display: &str) -> String {
        format!(
            "ssh://{}@127.0.0.1:{}/{display}",
            user().unwrap_or_default(),
            self.port
        )
    }

    fn options(&self, room: &Room, backend: &str, remote: Option<&str>) -> ConnectOptions {
        let mut options = client_options(room, backend);
        options.ssh.remote_xpra = remote.map(str::to_owned).into_iter().collect();
        options
    }
}

impl Drop for Sshd {
    /// Each connection has processes in a session of their own.
    fn drop(&mut self) {
        let children = format!("/proc/{0}/task/{0}/children", self.process.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        for child in children.split_whitespace() {
            let _gone = Command::new("kill")
                .args(["-KILL", child])
                .stderr(Stdio::null())
                .status();
        }
    }
}

#[derive(Debug)]
struct Password;

impl PasswordCheck for Password {
    fn check<'a>(
        &'a self,
        _: &'a str,
        password: Secret,
        _: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move { password == Secret::new(PASSWORD) })
    }
}

/// Our SSH server in front of a session's unix socket.
struct Gate {
    port: u16,
    _runtime: tokio::runtime::Runtime,
}

impl Gate {
    fn open(room: &Room, socket: &str, allow_none: bool) -> Result<Self> {
        let authorized = room.path("authorized_keys");
        fs::write(&authorized, client_key(room)?)?;
        fs::set_permissions(&authorized, fs::Permissions::from_mode(0o600))?;
        let server = Arc::new(SshServer::new(SshServerOptions {
            key_directory: room.path("keys"),
            authorized_keys: Some(authorized),
            passwords: Some(Arc::new(Password)),
            allow_none,
            ..SshServerOptions::default()
        })?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let bind = Bind::parse(TransportKind::Ssh, "127.0.0.1:0", 0)?;
        let listener = runtime
            .block_on(listen(&bind, &ListenOptions::default()))?
            .remove(0);
        let port = listener.address().context("an address")?.port();
        let socket = PathBuf::from(socket);
        runtime.spawn(async move {
            while let Ok(link) = listener.accept().await {
                let (server, socket) = (Arc::clone(&server), socket.clone());
                tokio::spawn(async move {
                    let mut link = serve(link, &server).await?;
                    let mut session = UnixStream::connect(socket).await?;
                    copy_bidirectional(&mut link.stream, &mut session).await?;
                    anyhow::Ok(())
                });
            }
        });
        let public = Command::new("ssh-keygen")
            .arg("-yf")
            .arg(room.path("keys/ssh_host_ed25519_key"))
            .output()?;
        let public = String::from_utf8(public.stdout)?;
        fs::write(
            room.path("home/.ssh/known_hosts"),
            format!("[127.0.0.1]:{port} {public}"),
        )?;
        Ok(Self {
            port,
            _runtime: runtime,
        })
    }

    fn url(&self) -> String {
        format!("ssh://{}@127.0.0.1:{}/", user().unwrap_or_default(), self.port)
    }

    fn ssh(&self, room: &Room) -> Vec<String> {
        ssh_words(room)
    }

    fn options(&self, room: &Room, backend: &str) -> ConnectOptions {
        client_options(room, backend)
    }

    fn fingerprint(&self, room: &Room) -> Result<String> {
        let key = room.path("keys/ssh_host_ed25519_key");
        let output = Command::new("ssh-keygen").arg("-lf").arg(key).output()?;
        let text = String::from_utf8(output.stdout)?;
        Ok(text
            .split_whitespace()
            .nth(1)
            .context("a fingerprint")?
            .to_owned())
    }

    /// What the system's ssh prints when it is told to run that.
    fn run(&self, room: &Room, words: &[&str]) -> Result<String> {
        let ssh = self.ssh(room);
        let mut command = Command::new(&ssh[0]);
        command
            .args(&ssh[1..])
            .args(["-p", &self.port.to_string(), "127.0.0.1"])
            .args(words);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if until(LIMIT, || Ok(child.try_wait()?))?.is_none() {
            child.kill()?;
        }
        let output = child.wait_with_output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    }
}

/// Runs `test` with our SSH server in front of our own session.
fn ours(room: &Room, test: impl Fn(&Gate) -> Result<()>) -> Result<()> {
    let source = Display::start(SCREEN, &room.logs())?;
    let server = Server::start(room, Peer::Ours, Mode::Shadow, &source)?;
    let gate = Gate::open(
        room,
        server.url(Peer::Ours, Via::Unix).trim_start_matches("socket://"),
        false,
    )?;
    test(&gate)
}
