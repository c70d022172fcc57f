//! Who gets in, who has to go, and what they are told.

use super::world::{World, hello, within};
use crate::codec::Dialect;
use crate::packet::{Capabilities, Packet};
use crate::protocol::Event;
use crate::session::driver::now;
use crate::session::server::{ServerConfig, ServerEnd};
use crate::types::WindowId;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn farewell(world: &World, dialect: Dialect, caps: Capabilities) -> String {
    world.connect(dialect, caps).await.closed().await
}

#[tokio::test]
async fn unusable_clients_are_told_why() {
    let world = World::new(ServerConfig::default()).await;
    let none = "client failed to specify any supported encodings";
    for list in [&[][..], &["h264", "av1"], &["png/L"], &["scroll"]] {
        let why = farewell(&world, Dialect::G6, hello(list)).await;
        assert_eq!(why, format!("connection error, {none}"));
        let why = farewell(&world, Dialect::G3, hello(list)).await;
        assert_eq!(why, format!("server error, {none}"));
    }
    // somebody who speaks something else
    let mut link = world.stream().await;
    link.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut text = String::new();
    within(link.stream.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
}

#[tokio::test]
async fn a_newcomer_takes_over_unless_it_may_not() {
    let world = World::new(ServerConfig::default()).await;
    let first = world.attach(hello(&["rgb24"])).await;
    let mut polite = hello(&["rgb24"]);
    polite.set("steal", false);
    assert_eq!(
        farewell(&world, Dialect::G6, polite).await,
        "session busy, this session is already active"
    );
    let second = world.attach(hello(&["rgb24"])).await;
    assert_eq!(first.closed().await, "new client, this session has a new client");
    second.send(Packet::LockToggle(true));
    let mut refused = String::new();
    // the lock travels beside the hello of the next
    for _ in 0..50 {
        let mut asker = world.connect(Dialect::G6, request("info")).await;
        let info = asker.hello().await;
        if info.get("client.uuid").is_some() {
            refused = farewell(&world, Dialect::G6, hello(&["rgb24"])).await;
            break;
        }
    }
    assert_eq!(refused, "session busy, this session is locked");
    second.send(Packet::LockToggle(false));
    second.send(Packet::CloseWindow(WindowId(1)));
    assert_eq!(second.closed().await, "client request, window closed");
}

fn request(name: &str) -> Capabilities {
    let mut caps = Capabilities::default();
    caps.set("request", name)
        .set("ui_client", false)
        .set("windows", false)
        .set("info-namespace", true);
    caps
}

#[tokio::test]
async fn those_who_share_stay_until_one_no_longer_does() {
    let world = World::new(ServerConfig::default()).await;
    let sharing = || {
        let mut caps = hello(&["rgb24"]);
        caps.set("share", true);
        caps
    };
    let first = world.attach(sharing()).await;
    let second = world.attach(sharing()).await;
    first.shows(&world.puppet).await;
    second.shows(&world.puppet).await;
    first.send(Packet::SharingToggle(false));
    assert_eq!(second.closed().await, "detach request");
    first.shows(&world.puppet).await;
}

#[tokio::test]
async fn who_only_asks_disturbs_nobody() {
    let world = World::new(ServerConfig {
        exit_with_client: true,
        ..ServerConfig::default()
    })
    .await;
    let user = world.attach(hello(&["rgb24"])).await;
    let mut top = world.connect(Dialect::G6, request("event")).await;
    top.hello().await;
    top.send(Packet::InfoRequest {
        categories: Vec::new(),
    });
    let info = top
        .packet(|packet| match packet {
            Packet::InfoResponse(info) => Some(info),
            _ => None,
        })
        .await;
    assert!(info.get("client").is_some());
    user.shows(&world.puppet).await;
    user.send(Packet::CloseWindow(WindowId(1)));
    assert_eq!(world.ended().await, ServerEnd::Idle);
}

#[tokio::test]
async fn silent_connections_do_not_keep_clients_out() {
    let world = World::new(ServerConfig::default()).await;
    let mut silent = Vec::new();
    for _ in 0..99 {
        silent.push(world.stream().await);
    }
    let client = world.attach(hello(&["rgb24"])).await;
    client.shows(&world.puppet).await;
    // one too many is cut off
    let mut last = world.stream().await;
    let mut more = world.stream().await;
    let (mut one, mut other) = ([0], [0]);
    let cut = async {
        tokio::select! {
            read = last.stream.read(&mut one) => read,
            read = more.stream.read(&mut other) => read,
        }
    };
    assert_eq!(within(cut).await.unwrap(), 0);
}

#[tokio::test]
async fn idle_clients_and_servers_end() {
    let world = World::new(ServerConfig {
        idle_timeout: Duration::from_millis(100),
        server_idle_timeout: Duration::from_millis(50),
        ..ServerConfig::default()
    })
    .await;
    let start = now();
    let client = world.attach(hello(&["rgb24"])).await;
    assert_eq!(client.closed().await, "idle timeout");
    assert!(now() - start >= Duration::from_millis(100));
    assert_eq!(world.ended().await, ServerEnd::Idle);
}

#[tokio::test]
async fn everybody_hears_of_the_end() {
    let mut world = World::new(ServerConfig::default()).await;
    let client = world.attach(hello(&["rgb24"])).await;
    drop(world.stop.take());
    assert_eq!(client.closed().await, "server shutdown");
    assert_eq!(world.ended().await, ServerEnd::Asked);

    let world = World::new(ServerConfig::default()).await;
    let client = world.attach(hello(&["rgb24"])).await;
    world.puppet.lose();
    let why = client.closed().await;
    assert!(why.starts_with("server error, lost the connection"), "{why}");
    assert!(matches!(world.ended().await, ServerEnd::DisplayLost(_)));

    // also when nobody is there
    let world = World::new(ServerConfig::default()).await;
    world.puppet.lose();
    assert!(matches!(world.ended().await, ServerEnd::DisplayLost(_)));
}

#[tokio::test]
async fn a_second_hello_is_one_too_many() {
    let world = World::new(ServerConfig::default()).await;
    let client = world.attach(hello(&["rgb24"])).await;
    client.send(Packet::Hello(Capabilities::default()));
    assert_eq!(client.closed().await, "protocol error, a second hello");
    let mut seen = world.connect(Dialect::G6, hello(&["rgb24"])).await;
    let caps = seen
        .wait(|event| match event {
            Event::Hello(caps) => Some(caps),
            _ => None,
        })
        .await;
    assert_eq!(caps.pair("desktop_size"), Some((320, 200)));
}
