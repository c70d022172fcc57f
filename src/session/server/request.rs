//! One-shot requests: asked in a hello, answered, and that was it.

use super::client::{ServerSession, Stage};
use super::{HubRequest, hello};
use crate::codec::{Dialect, Value};
use crate::packet::{Capabilities, Packet};
use crate::protocol::{Connection, reason};
use crate::session::screen::ScreenCommand;
use compact_str::CompactString;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a requester may keep the connection after its answer (`session.md` e).
const AFTER_ANSWER: Duration = Duration::from_secs(5);

impl ServerSession {
    /// One-shot requests (`wire.md` 5.3, `session.md` e).
    pub(super) fn request(
        &mut self,
        connection: &mut Connection,
        request: &str,
        caps: &Capabilities,
        now: Instant,
    ) {
        self.stage = Stage::Request;
        self.cut = Some(now + AFTER_ANSWER);
        let dialect = connection.dialect();
        match request {
            "version" => answer_hello(connection, Capabilities::default()),
            "connect_test" => {
                let mut answer = Capabilities::default();
                answer.set(
                    "connect_test_response",
                    caps.get("connect_test_request").cloned().unwrap_or_default(),
                );
                answer_hello(connection, answer);
            }
            "id" => connection.answer(Packet::Hello(hello::id(&self.facts, &self.session_name))),
            "info" => {
                let nested = dialect == Dialect::G6 || caps.is("info-namespace");
                let (sender, receiver) = oneshot::channel();
                self.answer = Some(self.ask_hub(HubRequest::Info(sender), receiver, move |info| {
                    Packet::Hello(Capabilities::from_value(if nested {
                        info
                    } else {
                        super::info::flatten(&info)
                    }))
                }));
            }
            "screenshot" => {
                let (sender, receiver) = oneshot::channel();
                self.screen.send(ScreenCommand::Screenshot(sender));
                self.answer = Some(map(receiver, |shot| match shot {
                    Ok((size, data)) => Packet::Screenshot {
                        size,
                        encoding: "png".into(),
                        rowstride: 0,
                        data,
                    },
                    Err(error) => Packet::Disconnect {
                        reason: reason::SERVER_ERROR.into(),
                        details: vec![error.into()],
                    },
                }));
            }
            "command" => {
                let words = caps
                    .get("command_request")
                    .and_then(Value::as_list)
                    .unwrap_or_default();
                let words = words
                    .iter()
                    .take(64)
                    .filter_map(|v| v.as_text().map(CompactString::from))
                    .collect();
                let (sender, receiver) = oneshot::channel();
                self.answer = Some(self.ask_hub(
                    HubRequest::Control(words, sender),
                    receiver,
                    move |(code, text)| {
                        let mut answer = Capabilities::default();
                        answer.set("command_response", vec![Value::from(code), text.into()]);
                        Packet::Hello(answer)
                    },
                ));
            }
            "detach" => {
                let (sender, receiver) = oneshot::channel();
                let _ended = self.hub.send(HubRequest::Detach(self.id, sender));
                self.count = Some(receiver);
            }
            "stop" | "exit" => {
                let exit = request == "exit";
                answer_hello(connection, Capabilities::default());
                connection.close(
                    if exit {
                        reason::SERVER_EXIT
                    } else {
                        reason::SERVER_SHUTDOWN
                    },
                    "",
                );
                self.end_server(exit);
            }
            _ => connection.close(
                reason::PERMISSION_ERROR,
                format!("request {request:?} is not supported here"),
            ),
        }
    }

    pub(super) fn ask_hub<T: Send + 'static>(
        &self,
        request: HubRequest,
        receiver: oneshot::Receiver<T>,
        packet: impl FnOnce(T) -> Packet + Send + 'static,
    ) -> oneshot::Receiver<Packet> {
        let _ended = self.hub.send(request);
        map(receiver, packet)
    }
}

/// The request of a hello in either spelling; names that mean an ordinary connection give nothing.
pub(super) fn request_of(caps: &Capabilities) -> Option<&'static str> {
    const REQUESTS: [(&str, &str); 10] = [
        ("version", "version_request"),
        ("connect_test", "connect_test_request"),
        ("id", "id_request"),
        ("info", "info_request"),
        ("screenshot", "screenshot_request"),
        ("command", "command_request"),
        ("detach", "detach_request"),
        ("stop", "stop_request"),
        ("exit", "exit_request"),
        ("resume", "resume_request"),
    ];
    let named = caps.text("request").unwrap_or_default();
    let said = |key: &str| match caps.get(key) {
        None | Some(Value::Null) => false,
        Some(value) => value.as_bool().unwrap_or(true),
    };
    REQUESTS
        .iter()
        .find(|(name, key)| named == *name || said(key))
        .map(|(name, _)| *name)
}

fn answer_hello(connection: &mut Connection, mut caps: Capabilities) {
    crate::protocol::network_capabilities(&mut caps, connection.dialect());
    connection.answer(Packet::Hello(caps));
}

/// The packet that will be made of what `receiver` gets.
fn map<T: Send + 'static>(
    receiver: oneshot::Receiver<T>,
    packet: impl FnOnce(T) -> Packet + Send + 'static,
) -> oneshot::Receiver<Packet> {
    let (sender, mapped) = oneshot::channel();
    tokio::spawn(async move {
        if let Ok(value) = receiver.await {
            let _gone = sender.send(packet(value));
        }
    });
    mapped
}
