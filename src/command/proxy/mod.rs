//! `_proxy`: what runs at the other end of an SSH connection. It finds the session as `attach` does and copies bytes
//! between it and its own standard streams (`endpoints.md` e.2). Nothing else is ever written to standard output.

#[cfg_attr(windows, path = "stdio/windows.rs")]
mod stdio;

use self::stdio::Standard;
use super::exit::{ExitCode, Failure};
use super::server::{Sockets, connect_options, find};
use crate::address::TransportKind;
use crate::discovery::Environment;
use crate::transport::connect;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, copy_buf};

/// Bytes copied at once: more than a socket holds by default.
const BUFFER: usize = 256 << 10;

/// Which session to lead to.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct ProxyArgs {
    /// Display (:10), session name, socket path or address; default: the only session
    #[arg(default_value = "", hide_default_value = true)]
    session: String,
    #[command(flatten)]
    sockets: Sockets,
}

/// What an older client asks for before anything else, and a start that is not possible: words that lead nowhere.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct IgnoredArgs {
    /// Whatever follows
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _words: Vec<String>,
}

/// Connects standard input and output to the session until it ends.
pub(super) async fn run(args: &ProxyArgs, environment: &Environment) -> Result<ExitCode, Failure> {
    let options = connect_options(environment);
    let address = find(
        &args.session,
        &args.sockets.places(environment),
        &options,
        environment,
    )
    .await?;
    if address.kind() == Some(TransportKind::Ssh) {
        let message = format!("'{address}' is on yet another machine: use it as a jump host instead");
        return Err(Failure::new(ExitCode::Unsupported, message));
    }
    let link = connect(&address, &options).await?;
    let input = Standard::input()?;
    let output = Standard::output()?;
    join(link.stream, input, output).await?;
    Ok(ExitCode::Ok)
}

/// `_proxy_start` and its kin. The status is that of success: a remote shell shall not try the next program.
pub(super) fn start(name: &str) -> ExitCode {
    tracing::error!(
        "'{name}' is not available: start the session on this machine first, with xpra or `xpra-rs shadow`, then attach"
    );
    ExitCode::Ok
}

/// Copies both ways until `session` ends. The end of `input` is passed on, and what `session` still says to it is too.
async fn join<S, I, O>(session: S, input: I, mut output: O) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite,
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
{
    let (read, mut write) = tokio::io::split(session);
    let mut input = BufReader::with_capacity(BUFFER, input);
    let mut read = BufReader::with_capacity(BUFFER, read);
    let down = async {
        copy_buf(&mut read, &mut output).await?;
        output.shutdown().await
    };
    let up = async {
        // a session that takes no more may still have something to say
        let _ended = copy_buf(&mut input, &mut write).await;
        let _gone = write.shutdown().await;
        std::future::pending().await
    };
    let result = tokio::select! {
        biased;
        result = down => result,
        () = up => Ok(()),
    };
    match result {
        // nobody reads any more: that is how clients leave
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, duplex};

    #[tokio::test]
    async fn bytes_go_both_ways_and_ends_are_passed_on() {
        let (session, mut server) = duplex(64);
        let (mut client, standard) = duplex(64);
        let (input, output) = tokio::io::split(standard);
        let proxy = tokio::spawn(join(session, input, output));
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "question");
        assert!(!proxy.is_finished());
        server.write_all(b"answer").await.unwrap();
        drop(server);
        text.clear();
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "answer");
        proxy.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_end_of_the_session_is_the_end() {
        let (session, server) = duplex(64);
        let (_client, standard) = duplex(64);
        let (input, output) = tokio::io::split(standard);
        drop(server);
        join(session, input, output).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_is_gone_is_no_failure() {
        let (session, mut server) = duplex(64);
        let (client, standard) = duplex(64);
        let (input, output) = tokio::io::split(standard);
        drop(client);
        server.write_all(b"anybody there?").await.unwrap();
        join(session, input, output).await.unwrap();
    }
}
