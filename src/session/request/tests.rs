use super::*;
use crate::session::driver::{drive, now};
use crate::transport::Probe;
use std::convert::Infallible;
use tokio::io::{AsyncWriteExt, duplex};

/// What a server does about an event; each connection gets its own copy.
trait Behaviour: FnMut(&mut Connection, Event, Instant) + Clone + Send + 'static {}
impl<F: FnMut(&mut Connection, Event, Instant) + Clone + Send + 'static> Behaviour for F {}

struct Server<F>(F);

impl<F: Behaviour> Handler for Server<F> {
    type Message = Infallible;

    fn event(&mut self, connection: &mut Connection, event: Event, now: Instant) {
        (self.0)(connection, event, now);
    }

    fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<Infallible> {
        Poll::Pending
    }

    fn message(&mut self, _: &mut Connection, message: Infallible, _: Instant) {
        match message {}
    }
}

/// Asks a server that speaks only this dialect.
async fn ask_in(
    dialect: Dialect,
    request: &Request,
    behaviour: impl Behaviour,
) -> Result<Answer, RequestError> {
    let mut refuse = dialect == Dialect::G3;
    let open = async || {
        let (ours, mut theirs) = duplex(1 << 12);
        if std::mem::take(&mut refuse) {
            theirs
                .write_all(b"disconnect: connection failed, failed to parse bencode packet\n")
                .await
                .unwrap();
            return Ok(opened(ours));
        }
        let behaviour = behaviour.clone();
        tokio::spawn(async move {
            let mut connection = Connection::server(&ConnectionConfig::default(), now());
            drive(theirs, &mut connection, &mut Server(behaviour)).await;
        });
        Ok::<_, Infallible>(opened(ours))
    };
    let Ok(answer) = ask(open, request, Asker::default()).await;
    answer
}

fn opened<S>(stream: S) -> Opened<S> {
    Opened {
        stream,
        is_private: true,
        probe: Probe::default(),
    }
}

/// Both dialects must give the same.
async fn ask_fake(request: &Request, behaviour: impl Behaviour) -> Result<Answer, RequestError> {
    let modern = ask_in(Dialect::G6, request, behaviour.clone()).await;
    let old = ask_in(Dialect::G3, request, behaviour).await;
    assert_eq!(as_text(&modern), as_text(&old));
    modern
}

/// One of the dialects has no text, only bytes.
fn as_text(answer: &Result<Answer, RequestError>) -> String {
    match answer {
        Ok(Answer::Id(value) | Answer::Info(value)) => {
            let pairs = value.as_map().unwrap().iter();
            let pairs = pairs.map(|(k, v)| {
                (
                    k.as_text().unwrap().into_owned(),
                    v.as_text().unwrap().into_owned(),
                )
            });
            format!("{:?}", pairs.collect::<Vec<_>>())
        }
        answer => format!("{answer:?}"),
    }
}

/// A server whose hello is these capabilities, made from those of the client.
fn hello(answer: impl Fn(&Capabilities, &mut Capabilities) + Clone + Send + 'static) -> impl Behaviour {
    move |connection: &mut Connection, event, _| {
        if let Event::Hello(caps) = event {
            let mut hello = Capabilities::default();
            answer(&caps, &mut hello);
            connection.answer(Packet::Hello(hello));
        }
    }
}

fn goodbye(reason: &'static str, details: &str) -> Result<Answer, RequestError> {
    Ok(Answer::Goodbye {
        reason: reason.into(),
        details: details.split_terminator('|').map(CompactString::from).collect(),
    })
}

#[tokio::test]
async fn questions_are_answered() {
    let version = hello(|asked, answer| {
        assert!(asked.is("version_request") && asked.text("request").unwrap() == "version");
        assert_eq!(
            (asked.bool("windows"), asked.bool("ui_client")),
            (Some(false), Some(false))
        );
        answer.set("version", "9.9");
    });
    assert_eq!(
        ask_fake(&Request::Version, version).await,
        Ok(Answer::Version("9.9".into()))
    );

    let id = hello(|asked, answer| {
        assert_eq!(asked.text("request").unwrap(), "id");
        answer.set("display", ":7");
    });
    let Ok(Answer::Id(id)) = ask_fake(&Request::Id, id).await else {
        panic!("no id");
    };
    assert_eq!(id.get("display").unwrap().as_text().unwrap(), ":7");

    let request = Request::Info {
        subsystems: vec!["network".into()],
    };
    let info = hello(|asked, answer| {
        assert!(asked.is("info_request") && asked.is("info-namespace"));
        answer.set("subsystem", asked.texts("subsystems").remove(0));
    });
    let Ok(Answer::Info(info)) = ask_fake(&request, info).await else {
        panic!("no info");
    };
    assert_eq!(info.get("subsystem").unwrap().as_text().unwrap(), "network");

    let echo = hello(|asked, answer| {
        answer.set(
            "connect_test_response",
            asked.text("connect_test_request").unwrap(),
        );
    });
    assert_eq!(ask_fake(&Request::ConnectTest, echo).await, Ok(Answer::Connected));
}

#[tokio::test]
async fn control_commands_have_a_result() {
    let request = Request::Control(vec!["key".into(), "b".into()]);
    let run = hello(|asked, answer| {
        let words = asked.texts("command_request").join(" ");
        answer.set("command_response", vec![Value::from(6), words.into()]);
    });
    let answer = Answer::Command {
        code: 6,
        text: "key b".into(),
    };
    assert_eq!(ask_fake(&request, run).await, Ok(answer));
    assert_eq!(
        ask_fake(&request, hello(|_, _| {})).await,
        Err(RequestError::Unsupported("control commands"))
    );
}

#[tokio::test]
async fn screenshots_come_without_a_hello() {
    let picture = Packet::Screenshot {
        size: Size::new(3, 2),
        encoding: "png".into(),
        rowstride: -1,
        data: Bytes::from(vec![7; 100_000]),
    };
    let shoot = move |connection: &mut Connection, event, _| {
        if matches!(event, Event::Hello(_)) {
            connection.answer(picture.clone());
        }
    };
    let answer = Answer::Screenshot {
        size: Size::new(3, 2),
        encoding: "png".into(),
        data: Bytes::from(vec![7; 100_000]),
    };
    assert_eq!(ask_fake(&Request::Screenshot, shoot).await, Ok(answer));
}

#[tokio::test]
async fn servers_end_at_the_hello_or_at_the_packet_that_follows() {
    let at_once = |connection: &mut Connection, event, _| {
        if let Event::Hello(caps) = event {
            match &*caps.text("request").unwrap() {
                "stop" => connection.close(reason::SERVER_SHUTDOWN, ""),
                "exit" => connection.close(reason::SERVER_EXIT, ""),
                _ => connection.close(reason::DONE, "2 clients have been disconnected"),
            }
        }
    };
    let later = |connection: &mut Connection, event, now| match event {
        Event::Hello(_) => connection.accept(Capabilities::default(), now),
        Event::Packet(Packet::ShutdownServer) => connection.close(reason::SERVER_SHUTDOWN, ""),
        Event::Packet(Packet::ExitServer) => connection.close(reason::SERVER_EXIT, ""),
        _ => {}
    };
    assert_eq!(
        ask_fake(&Request::Stop, at_once).await,
        goodbye(reason::SERVER_SHUTDOWN, "")
    );
    assert_eq!(
        ask_fake(&Request::Exit, at_once).await,
        goodbye(reason::SERVER_EXIT, "")
    );
    assert_eq!(
        ask_fake(&Request::Detach, at_once).await,
        goodbye(reason::DONE, "2 clients have been disconnected")
    );
    assert_eq!(
        ask_fake(&Request::Stop, later).await,
        goodbye(reason::SERVER_SHUTDOWN, "")
    );
    assert_eq!(
        ask_fake(&Request::Exit, later).await,
        goodbye(reason::SERVER_EXIT, "")
    );
}

#[tokio::test]
async fn a_server_may_end_without_a_word_or_refuse_to() {
    let vanish = |connection: &mut Connection, event, now| match event {
        Event::Hello(_) => connection.accept(Capabilities::default(), now),
        Event::Packet(Packet::ShutdownServer) => connection.failed(&std::io::ErrorKind::Other.into()),
        _ => {}
    };
    assert_eq!(ask_fake(&Request::Stop, vanish).await, goodbye("", ""));
    let refuse = hello(|_, answer| {
        answer.set("client-shutdown", false);
    });
    assert!(matches!(
        ask_fake(&Request::Stop, refuse).await,
        Err(RequestError::Unsupported(_))
    ));
}

#[tokio::test]
async fn wrong_answers_are_told_apart() {
    assert_eq!(
        ask_fake(&Request::Version, hello(|_, _| {})).await,
        Err(RequestError::Missing("the version"))
    );
    let parrot = hello(|_, answer| {
        answer.set("connect_test_response", "polly");
    });
    assert_eq!(
        ask_fake(&Request::ConnectTest, parrot).await,
        Err(RequestError::WrongEcho)
    );
    let challenge = |connection: &mut Connection, event, _| {
        if matches!(event, Event::Hello(_)) {
            connection.answer(Packet::Challenge {
                salt: Bytes::from_static(b"salt"),
                capabilities: Value::map(),
                digest: "hmac".into(),
                salt_digest: "hmac".into(),
                prompt: "password".into(),
            });
        }
    };
    assert!(matches!(
        ask_fake(&Request::Id, challenge).await,
        Err(RequestError::Login(_))
    ));
    let busy = |connection: &mut Connection, event, _| {
        if matches!(event, Event::Hello(_)) {
            connection.close(reason::PERMISSION_ERROR, "info is not allowed");
        }
    };
    for request in [Request::Info { subsystems: vec![] }, Request::Detach] {
        let Err(RequestError::Ended { reason, connected }) = ask_fake(&request, busy).await else {
            panic!("answered");
        };
        assert_eq!(
            (reason.to_string().as_str(), connected),
            ("permission error, info is not allowed", false)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn silence_has_an_end() {
    let start = now();
    let silent = |_: &mut Connection, _, _: Instant| {};
    assert_eq!(
        ask_in(Dialect::G6, &Request::Version, silent).await,
        Err(RequestError::NoReply)
    );
    assert!(now() - start <= TIMEOUT + Duration::from_secs(3));
    let start = now();
    let stubborn = hello(|_, _| {});
    assert_eq!(
        ask_in(Dialect::G6, &Request::Stop, stubborn).await,
        Err(RequestError::NoReply)
    );
    assert!(now() - start <= TIMEOUT + Duration::from_secs(3));
}
