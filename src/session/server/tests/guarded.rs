//! Doors that ask who comes in.

use super::world::{World, hello, within};
use crate::address::Secret;
use crate::auth::client::Sources;
use crate::auth::{Chain, Context, Handlers};
use crate::codec::Dialect;
use crate::packet::Packet;
use crate::protocol::{CloseReason, reason};
use crate::session::server::{Door, ServerConfig};
use crate::session::{Answer, Asker, Request, RequestError, ask, now};
use crate::transport::Nobody;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn door(modules: &[&str]) -> Door {
    let values: Vec<String> = modules.iter().map(|module| (*module).to_owned()).collect();
    let context = Context {
        username: "user".into(),
        ..Context::default()
    };
    Door {
        auth: Arc::new(Chain::parse(&values, &context).unwrap()),
        ..Door::default()
    }
}

async fn world(modules: &[&str]) -> World {
    World::behind(door(modules), ServerConfig::default()).await
}

/// Asks with the passwords given, one for each challenge.
async fn asked(world: &World, request: &Request, passwords: &[&str]) -> Result<Answer, RequestError> {
    let directory = tempfile::tempdir().unwrap();
    let files = passwords.iter().enumerate().map(|(index, password)| {
        let path = directory.path().join(index.to_string());
        std::fs::write(&path, password).unwrap();
        path
    });
    let sources = Sources {
        password: None::<Secret>,
        password_files: files.collect(),
        variables: BTreeMap::new(),
        prompt: Arc::new(Nobody),
        allow_unencrypted: false,
    };
    let asker = Asker {
        username: "user".into(),
        handlers: Handlers::parse(&[], &sources).unwrap(),
        ..Asker::default()
    };
    let open = async || Ok::<_, std::convert::Infallible>(world.stream().await.into());
    let Ok(answer) = within(ask(open, request, asker)).await;
    answer
}

fn refusal(answer: Result<Answer, RequestError>) -> String {
    match answer {
        Err(RequestError::Ended {
            reason: CloseReason::Disconnected { reason, details },
            ..
        }) => format!("{reason} {}", details.join(" ")).trim().to_owned(),
        other => panic!("{other:?}"),
    }
}

const INFO: Request = Request::Info {
    subsystems: Vec::new(),
};

#[tokio::test]
async fn only_the_right_password_opens() {
    let world = world(&["password:value=sesame"]).await;
    assert!(matches!(
        asked(&world, &INFO, &["sesame"]).await,
        Ok(Answer::Info(_))
    ));
    let began = now();
    assert_eq!(
        refusal(asked(&world, &INFO, &["simsim"]).await),
        reason::AUTHENTICATION_FAILED
    );
    // guessing is slow
    assert!(now() - began >= Duration::from_secs(1));
    assert!(matches!(
        asked(&world, &INFO, &[]).await,
        Err(RequestError::Login(_))
    ));
}

#[tokio::test]
async fn every_module_wants_its_own() {
    let world = world(&["password:value=one", "none", "password:value=two"]).await;
    assert!(matches!(
        asked(&world, &INFO, &["one", "two"]).await,
        Ok(Answer::Info(_))
    ));
    assert_eq!(
        refusal(asked(&world, &INFO, &["two", "one"]).await),
        reason::AUTHENTICATION_FAILED
    );
    assert!(matches!(
        asked(&world, &INFO, &["one"]).await,
        Err(RequestError::Login(_))
    ));
}

#[tokio::test]
async fn what_is_no_secret_needs_no_password() {
    let world = world(&["reject"]).await;
    assert!(matches!(
        asked(&world, &Request::Version, &[]).await,
        Ok(Answer::Version(_))
    ));
    assert!(matches!(
        asked(&world, &Request::Id, &[]).await,
        Ok(Answer::Id(_))
    ));
    assert_eq!(
        refusal(asked(&world, &Request::Stop, &["any"]).await),
        reason::AUTHENTICATION_FAILED
    );
    assert!(!world.server.is_finished());
}

/// What is answered without a password opens no way to what is not.
#[tokio::test]
async fn strangers_end_no_server() {
    for request in ["version", "id", "connect_test"] {
        for end in [Packet::ShutdownServer, Packet::ExitServer] {
            let world = world(&["reject"]).await;
            let mut caps = hello(&["rgb24"]);
            caps.set("request", request);
            let mut client = world.connect(Dialect::G6, caps).await;
            client.hello().await;
            client.send(end);
            for _ in 0..5 {
                let answer = asked(&world, &Request::Version, &[]).await;
                assert!(matches!(answer, Ok(Answer::Version(_))), "{request}");
            }
        }
    }
}

#[tokio::test]
async fn clients_are_asked_in_both_dialects() {
    let world = world(&["allow"]).await;
    for dialect in [Dialect::G3, Dialect::G6] {
        let mut caps = hello(&["rgb24"]);
        caps.set("digest", ["hmac+sha512"])
            .set("salt-digest", ["hmac+sha512"]);
        let mut client = world.connect(dialect, caps).await;
        let asked = client.packet(|packet| match packet {
            Packet::Challenge { salt, digest, .. } => Some((salt.len(), digest)),
            _ => None,
        });
        assert_eq!(asked.await, (64, "hmac+sha512".into()));
    }
}

#[tokio::test]
async fn a_client_without_digests_is_refused() {
    let world = world(&["password:value=x"]).await;
    let client = world.connect(Dialect::G6, hello(&["rgb24"])).await;
    assert_eq!(client.closed().await, reason::AUTHENTICATION_FAILED);
}

#[tokio::test]
async fn a_socket_may_forbid_requests() {
    let world = World::without("info").await;
    assert!(refusal(asked(&world, &INFO, &[]).await).starts_with(reason::PERMISSION_ERROR));
    assert!(matches!(
        asked(&world, &Request::Id, &[]).await,
        Ok(Answer::Id(_))
    ));
}
