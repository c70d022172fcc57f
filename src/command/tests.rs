//! Command lines, and commands against a server of our own on a unix socket.

use super::*;
use crate::codec::Value;
use crate::packet::{Capabilities, Packet};
use crate::protocol::{Connection, ConnectionConfig, Event, reason};
use crate::session::{Handler, drive, now};
use crate::types::Size;
use bytes::Bytes;
use std::convert::Infallible;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Instant;
use tempfile::TempDir;
use tokio::net::UnixListener;

fn parse(line: &str) -> Result<Option<Program>, Failure> {
    Program::parse(
        line.split_whitespace().map(OsString::from),
        &Settings::default(),
        &mut Vec::new(),
    )
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn each_subcommand_is_in_one_group() {
    let command = Cli::command();
    for subcommand in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        let name = subcommand.get_name();
        let groups = GROUPS.iter().filter(|(_, names)| names.contains(&name));
        assert_eq!(groups.count(), 1, "{name}");
    }
}

#[test]
fn command_lines() {
    for line in [
        "x version",
        "x version tcp://h:1/ --json --mdns=no",
        "x info :1 network clients",
        "x screenshot f.png :1",
        "x stop all",
        "x diagnose :1 --json --no-load",
        "x echo --bind-ws=127.0.0.1:0",
        "x detach :1 :2 --socket-dir=/a",
        "x --socket-dirs=/a list",
        "x control :1 key --bogus -1",
        "x wire decode - --payload=rencode",
        "x version :1 --socket-dir=/a --socket-dir=/b",
    ] {
        assert!(parse(line).unwrap().is_some(), "{line}");
    }
    assert!(parse("x --help").unwrap().is_none());
    assert!(parse("x info --help").unwrap().is_none());
    assert!(parse("x --version").unwrap().is_none());
}

#[test]
fn nonsense_is_named() {
    let failure = parse("x verson").unwrap_err();
    assert!(
        failure
            .message
            .starts_with("Invalid subcommand 'verson'\n did you mean `xpra-rs version`?")
    );
    assert_eq!(failure.code.number(), 1);
    assert!(parse("x").unwrap_err().message.contains("Usage:"));
    assert!(parse("x control :1").is_err());
    assert!(parse("x screenshot").is_err());
}

/// A server that answers every kind of request.
struct Server;

impl Server {
    /// Listens on a socket that it removes when told to end.
    fn start() -> (TempDir, String) {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let socket = path.to_str().unwrap().to_owned();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut connection = Connection::server(&ConnectionConfig::default(), now());
                if drive(stream, &mut connection, &mut Self).await.to_string() == reason::SERVER_SHUTDOWN {
                    return std::fs::remove_file(path).unwrap();
                }
            }
        });
        (directory, socket)
    }

    fn answer(asked: &Capabilities) -> Packet {
        let mut answer = Capabilities::default();
        match &*asked.text("request").unwrap() {
            "connect_test" => answer.set(
                "connect_test_response",
                asked.text("connect_test_request").unwrap(),
            ),
            "command" => {
                let code = i32::from(asked.texts("command_request")[0] != "hello");
                answer.set(
                    "command_response",
                    vec![Value::from(code), "hello yourself".into()],
                )
            }
            "id" => answer
                .set("version", [6, 5])
                .set("display", ":7")
                .set("session-name", "named"),
            "info" => {
                let mut inner = Value::map();
                inner.insert("10", "ten");
                inner.insert("9", [1, 2]);
                answer.set("windows", inner)
            }
            "screenshot" => {
                return Packet::Screenshot {
                    size: Size::new(2, 1),
                    encoding: "png".into(),
                    rowstride: 0,
                    data: Bytes::from_static(b"picture"),
                };
            }
            "version" => answer.set("version", "6.5"),
            _ => &mut answer,
        };
        Packet::Hello(answer)
    }
}

impl Handler for Server {
    type Message = Infallible;

    fn event(&mut self, connection: &mut Connection, event: Event, _: Instant) {
        match event {
            Event::Hello(asked) if asked.text("request").as_deref() == Some("stop") => {
                connection.close(reason::SERVER_SHUTDOWN, "");
            }
            Event::Hello(asked) if asked.text("request").as_deref() == Some("detach") => {
                connection.close(reason::DONE, "0 clients have been disconnected");
            }
            Event::Hello(asked) => connection.answer(Self::answer(&asked)),
            _ => {}
        }
    }

    fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<Infallible> {
        Poll::Pending
    }

    fn message(&mut self, _: &mut Connection, message: Infallible, _: Instant) {
        match message {}
    }
}

/// Runs a command line; its code, or the failure's code and message, and what it printed.
async fn run(words: &[&str]) -> (u8, String) {
    let words = ["xpra-rs"].iter().chain(words).map(OsString::from);
    let program = Program::parse(words, &Settings::default(), &mut Vec::new())
        .unwrap()
        .unwrap();
    let mut environment = Environment::from_process();
    environment
        .variables
        .insert("XPRA_CONNECT_TIMEOUT".into(), "0".into());
    environment
        .variables
        .insert("XPRA_ZEROCONF_IPV4_LOOPBACK".into(), "1".into());
    let mut out = Vec::new();
    match program.subcommand.run(&environment, &mut out).await {
        Ok(code) => (code.number(), String::from_utf8(out).unwrap()),
        Err(failure) => (failure.code.number(), failure.message),
    }
}

#[tokio::test]
async fn queries_print_what_the_server_answers() {
    let (directory, socket) = Server::start();
    for (words, printed) in [
        (&["version"][..], "6.5\n"),
        (&["version", "--json"], "{\n  \"version\": \"6.5\"\n}\n"),
        (&["id"], "display=:7\nsession-name=named\nversion=6.5\n"),
        (&["info"], "windows.9=(1, 2)\nwindows.10=ten\n"),
        (&["connect-test"], ""),
        (&["detach"], ""),
    ] {
        let words = [words, &[&socket]].concat();
        assert_eq!(run(&words).await, (0, printed.into()), "{words:?}");
    }
    let (code, printed) = run(&["info", "--json", &socket]).await;
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &json["windows"]["9"][1]), (0, &2.into()));

    let file = directory.path().join("shot.png");
    assert_eq!(
        run(&["screenshot", file.to_str().unwrap(), &socket]).await,
        (0, String::new())
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"picture");
    assert_eq!(run(&["screenshot", "-", &socket]).await, (0, "picture".into()));
    assert_eq!(
        run(&["screenshot", "/nonexistent/file", &socket]).await.0,
        ExitCode::IoError.number()
    );
}

#[tokio::test]
async fn control_commands_succeed_or_fail() {
    let (_directory, socket) = Server::start();
    assert_eq!(
        run(&["control", &socket, "hello"]).await,
        (0, "hello yourself\n".into())
    );
    assert_eq!(
        run(&["control", &socket, "bogus", "--x"]).await,
        (13, "server returned error code 1\n hello yourself".into())
    );
}

#[tokio::test]
async fn stop_waits_for_the_socket_to_go() {
    let (_directory, socket) = Server::start();
    assert_eq!(
        run(&["stop", &socket]).await,
        (0, format!("xpra at {socket} has exited.\n"))
    );
    assert!(!Path::new(&socket).exists());
    assert_eq!(
        run(&["version", &socket]).await.0,
        ExitCode::ConnectionFailed.number()
    );
    let (code, printed) = run(&["stop", &socket, &socket]).await;
    assert_eq!(code, ExitCode::ConnectionFailed.number());
    assert!(printed.starts_with("Trying to stop 2 displays:\n"));
}

#[tokio::test]
async fn a_session_is_found_by_its_display_and_its_name() {
    let (directory, socket) = Server::start();
    let environment = Environment::from_process();
    let as_display = directory.path().join(format!("{}7", environment.socket_prefix()));
    std::fs::rename(&socket, as_display).unwrap();
    let places = format!("--socket-dirs={}", directory.path().display());
    for named in [":7", "7", "named"] {
        assert_eq!(
            run(&["version", named, &places]).await,
            (0, "6.5\n".into()),
            "{named}"
        );
    }
    assert_eq!(
        run(&["version", "other", &places]).await.0,
        ExitCode::ServerNotFound.number()
    );
    assert_eq!(
        run(&["version", ":8", &places]).await.0,
        ExitCode::ServerNotFound.number()
    );
}

#[test]
fn the_other_end_of_ssh_is_understood_and_not_shown() {
    for line in [
        "x _proxy",
        "x _proxy :7",
        "x _proxy 7 --socket-dir=/s --env=SSH_AGENT_UUID=u",
        "x _proxy socket:///s",
        "x initenv",
        "x _proxy_start :7 --start=xterm",
        "x _proxy_start_desktop",
        "x _proxy_shadow_start :0 --readonly=yes",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
    assert!(!help(&Cli::command()).contains("_proxy"));
}
