//! The system's `ssh` (or `plink`, or what the user names) as a child process whose standard input and output are the
//! stream (`endpoints.md` e.1, e.3, e.4).
//!
//! Both are one end of a socket pair, so the link has a real socket: half-closing works, and the kernel tells how much
//! the program has not read yet. Its prompts go to the terminal or to `SSH_ASKPASS`, past us; what it prints on
//! standard error is logged line by line.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, Type};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, BufReader, ReadBuf};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::SshOptions;
use super::destination::{Destination, Hop};
use super::preamble::Preamble;
use super::remote::{self, printable};
use crate::transport::socket::Socket;
use crate::transport::{ConnectError, Link, LinkInfo, TransportKind};

/// How long the other side may take to say that the proxy starts: the user may have to type a password first. Servers
/// that only act as if they had a shell never say it, so afterwards it is taken for granted.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the program may take to end by itself, once nobody wants it any more.
const LINGER: Duration = Duration::from_secs(2);

/// How long it may still be heard once it has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Lines of standard error that are kept to explain a failure, and how long one may be.
const KEPT_LINES: usize = 5;
const MAX_LINE: u64 = 1000;

/// What `sshpass` ends with: ssh asked again, or asked whether to trust the host.
const SSHPASS_WRONG: i32 = 5;
const SSHPASS_UNKNOWN_HOST: i32 = 6;

/// What is to be done about a program that is missing.
pub(super) const MISSING: &str = "is not installed: install it, or use --ssh=builtin";

/// Why there is no link.
#[derive(Debug)]
pub(super) enum Failure {
    /// The program is not installed.
    Missing(String),
    /// It is, and it failed.
    Failed(ConnectError),
}

/// Runs the program `words` names.
pub(super) async fn connect(
    words: &[String],
    destination: &Destination,
    options: &SshOptions,
) -> Result<Link, Failure> {
    let failed = |reason: String| {
        Failure::Failed(ConnectError::Ssh {
            target: destination.target.clone(),
            reason,
        })
    };
    let arguments = arguments(words, destination).map_err(failed)?;
    let (socket, mut child) = start(&arguments, destination, options)?;
    let (leash, released) = oneshot::channel();
    let info = info(&socket, destination);
    let mut stream = Preamble::new(Tunnel {
        socket,
        _leash: leash,
    });
    let stderr = child.stderr.take();
    let running = tokio::spawn(supervise(child, stderr, released, options.exit));
    match timeout(PATIENCE, stream.begun()).await {
        Ok(Ok(true)) => {}
        Err(_) => tracing::debug!("nothing heard from the remote side yet, going on"),
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Ok(Ok(false)) => {
            let noise = stream.noise();
            drop(stream);
            let (status, lines) = running.await.unwrap_or_default();
            return Err(Failure::Failed(explain(destination, status, lines, &noise)));
        }
    }
    Ok(Link::new(stream, info))
}

/// The argument vector, program first.
fn arguments(words: &[String], destination: &Destination) -> Result<Vec<String>, String> {
    let program = words.first().map(String::as_str).unwrap_or_default();
    let is_plink = name_of(program).starts_with("plink");
    let mut arguments = words.to_vec();
    push_hop(&mut arguments, &destination.hop, is_plink);
    if let Some(jump) = &destination.jump {
        if jump.password.is_some() {
            return Err(
                "the password of a jump host cannot be given to ssh: use a key, or --ssh=builtin".to_owned(),
            );
        }
        arguments.extend(through(words, jump, is_plink));
    }
    if let Some(strict) = destination.strict.filter(|_| !is_plink) {
        let value = if strict { "yes" } else { "no" };
        arguments.extend(["-o".to_owned(), format!("StrictHostKeyChecking={value}")]);
    }
    arguments.extend([
        "-T".to_owned(),
        destination.hop.host.clone(),
        destination.command.clone(),
    ]);
    Ok(arguments)
}

fn push_hop(arguments: &mut Vec<String>, hop: &Hop, is_plink: bool) {
    if let Some(user) = &hop.user {
        arguments.extend(["-l".to_owned(), user.clone()]);
    }
    if hop.port != 22 {
        let option = if is_plink { "-P" } else { "-p" };
        arguments.extend([option.to_owned(), hop.port.to_string()]);
    }
    if let Some(key) = &hop.key {
        arguments.extend(["-i".to_owned(), key.display().to_string()]);
    }
}

/// The options that lead through another machine, by the same program with the same options.
fn through(words: &[String], jump: &Hop, is_plink: bool) -> Vec<String> {
    let mut proxy = words.to_vec();
    push_hop(&mut proxy, jump, is_plink);
    // the command is read by a shell, and `%` means something to ssh: what is not ours is kept from both
    let quoted: Vec<_> = proxy
        .iter()
        .chain([&jump.host])
        .map(|word| remote::single_quoted(word).replace('%', "%%"))
        .collect();
    let (host, before) = quoted
        .split_last()
        .map(|(host, rest)| (host.as_str(), rest.join(" ")))
        .unwrap_or_default();
    if is_plink {
        vec![
            "-proxycmd".to_owned(),
            format!("{before} -T -nc %host:%port {host}"),
        ]
    } else {
        vec![
            "-o".to_owned(),
            format!("ProxyCommand {before} -T -W %h:%p {host}"),
        ]
    }
}

fn name_of(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Starts the program, through `sshpass` if there is a password for it to type.
fn start(
    arguments: &[String],
    destination: &Destination,
    options: &SshOptions,
) -> Result<(Socket, Child), Failure> {
    if let Some(password) = &destination.hop.password {
        let wrapped: Vec<_> = ["sshpass", "-e"]
            .map(str::to_owned)
            .into_iter()
            .chain(arguments.iter().cloned())
            .collect();
        let secret = OsString::from(password.expose_text().into_owned());
        match spawn(&wrapped, Some(secret), options) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::Missing("sshpass".to_owned()));
            }
            result => return result.map_err(|error| cannot_run("sshpass", destination, &error)),
        }
    }
    let program = arguments.first().map(String::as_str).unwrap_or_default();
    match spawn(arguments, None, options) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::Missing(program.to_owned())),
        result => result.map_err(|error| cannot_run(program, destination, &error)),
    }
}

fn cannot_run(program: &str, destination: &Destination, error: &io::Error) -> Failure {
    Failure::Failed(ConnectError::Ssh {
        target: destination.target.clone(),
        reason: format!("cannot run '{program}': {error}"),
    })
}

fn spawn(words: &[String], password: Option<OsString>, options: &SshOptions) -> io::Result<(Socket, Child)> {
    let (ours, theirs) = socket2::Socket::pair(Domain::UNIX, Type::STREAM, None)?;
    ours.set_nonblocking(true)?;
    let output = theirs.try_clone()?;
    let mut command = Command::new(words.first().map(String::as_str).unwrap_or_default());
    command
        .args(words.get(1..).unwrap_or_default())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(OwnedFd::from(output)))
        // a pipe would break when the program outlives us
        .stderr(if options.exit {
            Stdio::piped()
        } else {
            Stdio::inherit()
        })
        .kill_on_drop(options.exit);
    if let Some(password) = password {
        command.env("SSHPASS", password);
    }
    if !options.exit {
        detach(&mut command);
    }
    let child = command.spawn()?;
    Ok((Socket::new(ours)?, child))
}

/// Keeps the signals of our terminal from the program: it shall outlive us.
#[expect(unsafe_code, reason = "something has to happen between fork and exec")]
fn detach(command: &mut Command) {
    let new_session = || {
        rustix::process::setsid()?;
        Ok(())
    };
    // SAFETY: the closure makes one system call and touches no memory, which is fine after a fork.
    unsafe { command.pre_exec(new_session) };
}

fn info(socket: &Socket, destination: &Destination) -> LinkInfo {
    let Hop { host, port, .. } = &destination.hop;
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    LinkInfo {
        local: "ssh".to_owned(),
        peer: format!("{host}:{port}"),
        // the credentials would be those of the ssh process
        credentials: None,
        is_local: false,
        is_private: true,
        ..socket.info(TransportKind::Ssh, destination.target.clone())
    }
}

/// Logs what the program prints until it ends, and ends it when nobody has its stream any more.
async fn supervise(
    mut child: Child,
    stderr: Option<ChildStderr>,
    released: oneshot::Receiver<()>,
    exit: bool,
) -> (Option<ExitStatus>, Vec<String>) {
    let mut lines = VecDeque::new();
    let status = {
        let mut read = pin!(relay(stderr, &mut lines));
        let mut ending = pin!(ended(&mut child, released, exit));
        tokio::select! {
            biased;
            () = &mut read => ending.await,
            status = &mut ending => {
                // a connection that it shares may keep its standard error open
                let _kept = timeout(LAST_WORDS, read).await;
                status
            }
        }
    };
    (status, lines.into())
}

/// Waits for the end of the program, and sees to it when nobody has its stream any more.
async fn ended(child: &mut Child, released: oneshot::Receiver<()>, exit: bool) -> Option<ExitStatus> {
    let mut released = pin!(released);
    tokio::select! {
        biased;
        status = child.wait() => return status.ok(),
        _ = &mut released => {}
    }
    // it has noticed that its streams are closed, or it hangs
    if exit && timeout(LINGER, child.wait()).await.is_err() {
        terminate(child).await;
    }
    child.wait().await.ok()
}

async fn terminate(child: &mut Child) {
    let id = child
        .id()
        .and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    if let Some(id) = id {
        let _gone = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
    if timeout(LINGER, child.wait()).await.is_err() {
        let _gone = child.start_kill();
    }
}

/// Logs each line, and keeps the last ones.
async fn relay(stderr: Option<ChildStderr>, lines: &mut VecDeque<String>) {
    let Some(stderr) = stderr else { return };
    let mut reader = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        let line = printable(&line);
        if line.is_empty() {
            continue;
        }
        tracing::info!("ssh: {}", line.trim_start_matches("ssh: "));
        lines.push_back(line);
        if lines.len() > KEPT_LINES {
            lines.pop_front();
        }
    }
}

/// What it means that the program ended before the protocol began.
fn explain(
    destination: &Destination,
    status: Option<ExitStatus>,
    lines: Vec<String>,
    noise: &str,
) -> ConnectError {
    let target = destination.target.clone();
    let said = |text: &str| lines.iter().any(|line| line.contains(text));
    if said("Host key verification failed") || said("HOST IDENTIFICATION HAS CHANGED") {
        let reason =
            "ssh does not trust the host key: compare it with the server's, then correct known_hosts"
                .to_owned();
        return ConnectError::SshHostKey { target, reason };
    }
    let code = status.and_then(|status| status.code());
    match code.filter(|_| destination.hop.password.is_some()) {
        Some(SSHPASS_WRONG) => {
            let reason = "the password is wrong".to_owned();
            return ConnectError::Ssh { target, reason };
        }
        Some(SSHPASS_UNKNOWN_HOST) => {
            let reason = "the host is not known: connect with ssh once, and confirm its key".to_owned();
            return ConnectError::SshHostKey { target, reason };
        }
        _ => {}
    }
    if code == Some(remote::NOT_FOUND) {
        return ConnectError::no_xpra(target);
    }
    let last = printable(noise.lines().last().unwrap_or_default().as_bytes());
    let words = lines
        .last()
        .cloned()
        .or(Some(last))
        .filter(|words| !words.is_empty());
    let reason = match (words, code) {
        (Some(words), _) => words,
        (None, Some(code)) => format!("ssh ended with status {code}"),
        (None, None) => "ssh was ended by a signal".to_owned(),
    };
    ConnectError::Ssh { target, reason }
}

/// The program's standard input and output. Dropping it lets go of the program.
struct Tunnel {
    socket: Socket,
    _leash: oneshot::Sender<()>,
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Address, Target};

    fn vector(words: &str, url: &str) -> Vec<String> {
        let address: Address = url.parse().unwrap();
        let Target::Remote(remote) = address.target.clone() else {
            panic!("{url}")
        };
        let destination = Destination::new(&address, &remote, &SshOptions::default()).unwrap();
        let words = remote::split_words(words).unwrap();
        let mut arguments = arguments(&words, &destination).unwrap();
        assert_eq!(arguments.pop(), Some(destination.command));
        arguments
    }

    #[test]
    fn argument_vectors() {
        for (words, url, expected) in [
            ("ssh -x", "ssh:host", "ssh -x -T host"),
            ("ssh", "ssh://bob@host:2222/7", "ssh -l bob -p 2222 -T host"),
            ("ssh", "ssh:bob@host:7", "ssh -l bob -T host"),
            (
                "/usr/bin/plink -ssh",
                "ssh://bob@host:2222/",
                "/usr/bin/plink -ssh -l bob -P 2222 -T host",
            ),
            (
                "ssh",
                "ssh://host/?key=/k&strict-host-check=yes",
                "ssh -i /k -o StrictHostKeyChecking=yes -T host",
            ),
        ] {
            assert_eq!(vector(words, url).join(" "), expected);
        }
    }

    #[test]
    fn the_way_through_a_jump_host_is_quoted() {
        let arguments = vector("ssh -F 'a b'", "ssh://host/?proxy=e'v%25l@jump:23");
        assert_eq!(
            arguments.get(3..5).unwrap(),
            [
                "-o",
                "ProxyCommand 'ssh' '-F' 'a b' '-l' 'e'\\''v%%l' '-p' '23' -T -W %h:%p 'jump'"
            ]
        );
        let arguments = vector("plink", "ssh://host/?proxy=jump");
        assert_eq!(
            arguments.get(1..3).unwrap(),
            ["-proxycmd", "'plink' -T -nc %host:%port 'jump'"]
        );
    }
}
