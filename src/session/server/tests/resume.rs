//! Clients whose connection is lost, and those who would like to be them.

use super::requests::{answer, info};
use super::world::{Acknowledge, Client, Order, SCREEN, Shown, World, hello, within};
use crate::auth::{Proof, Ticket, TicketRequest};
use crate::codec::{Dialect, Value};
use crate::packet::{Capabilities, Packet};
use crate::protocol::Event;
use crate::session::client::resume_capability;
use crate::session::server::{ServerConfig, ServerEnd};
use crate::session::{Answer, Request};
use crate::types::Rect;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

const REFUSED: &str = "permission error, there is no such session to resume";

fn wants_ticket() -> (Capabilities, TicketRequest) {
    wants_ticket_for(&["rgb24"])
}

fn wants_ticket_for(encodings: &[&str]) -> (Capabilities, TicketRequest) {
    let request = TicketRequest::new().unwrap();
    let mut caps = hello(encodings);
    caps.set("resume", resume_capability(&request));
    (caps, request)
}

/// A client that is in, and its ticket.
async fn guest(world: &World) -> (Client, Ticket) {
    guest_who(world, Acknowledge::Truly).await
}

/// One who answers draws like that.
async fn guest_who(world: &World, acknowledge: Acknowledge) -> (Client, Ticket) {
    let (caps, request) = wants_ticket();
    let mut client = world.connect(Dialect::G6, caps).await;
    client.order(Order::Acknowledge(acknowledge));
    let ticket = ticket_of(&client.hello().await, request);
    client.map().await;
    (client, ticket)
}

/// What a server's hello issues.
fn ticket_of(hello: &Capabilities, request: TicketRequest) -> Ticket {
    let issued = hello.get("resume").expect("a ticket");
    let bytes = |key: &str| issued.get(key).and_then(Value::as_bytes).unwrap().to_vec();
    let id = bytes("id").try_into().unwrap();
    request.accept(id, &bytes("key")).unwrap()
}

/// Somebody who shows that proof, and says that nothing arrived.
async fn shows(world: &World, proof: &Proof) -> Client {
    let nothing = Arc::new(Shown::new(SCREEN));
    comes_back(world, proof, nothing).await
}

/// The same with what was on the screen.
async fn comes_back(world: &World, proof: &Proof, shown: Arc<Shown>) -> Client {
    let mut resume = Value::map();
    resume.insert("id", Bytes::from(proof.id.clone()));
    resume.insert("turn", proof.turn);
    resume.insert("proof", Bytes::from(proof.signature.clone()));
    resume.insert("received", 0);
    let mut caps = Capabilities::default();
    caps.set("request", "resume").set("resume", resume);
    world.connect_showing(Dialect::G6, caps, shown).await
}

/// Nothing arrived there, so it hears of the window once more; where that is shown the server remembers.
async fn told_of_the_window(client: &mut Client) {
    client
        .packet(|packet| matches!(packet, Packet::NewWindow(_)).then_some(()))
        .await;
}

/// The connection is gone without a word, and the server knows.
async fn lose(world: &World, client: Client) {
    client.task.abort();
    let _gone = client.task.await;
    for _ in 0..100 {
        let mut caps = Capabilities::default();
        caps.set("request", "info")
            .set("ui_client", false)
            .set("windows", false);
        let mut asker = world.connect(Dialect::G6, caps).await;
        let info = asker.hello().await;
        let held = info.get("clients").and_then(|clients| clients.get("held"));
        if held.and_then(Value::as_int) == Some(1) {
            return;
        }
    }
    panic!("the server did not notice");
}

#[tokio::test]
async fn a_client_comes_back_once_per_proof() {
    let world = World::new(ServerConfig::default()).await;
    let (client, mut ticket) = guest(&world).await;
    world.puppet.paint(SCREEN.rect(), |_, _| [7, 8, 9]);
    client.shows(&world.puppet).await;
    let shown = Arc::clone(&client.shown);
    lose(&world, client).await;

    let mut thief = Ticket::issue(TicketRequest::new().unwrap().public()).unwrap().0;
    let stolen = Proof {
        id: ticket.id().to_vec(),
        ..thief.prove(0)
    };
    assert_eq!(shows(&world, &stolen).await.closed().await, REFUSED);

    let proof = ticket.prove(0);
    let mut back = comes_back(&world, &proof, shown).await;
    let answer = back.hello().await;
    let received = answer.get("resume").and_then(|resume| resume.get("received"));
    // it said that it shows the window
    assert_eq!(received.and_then(Value::as_int), Some(1));
    told_of_the_window(&mut back).await;
    back.shows(&world.puppet).await;
    world.puppet.paint(SCREEN.rect(), |_, _| [9, 8, 7]);
    back.shows(&world.puppet).await;

    assert_eq!(shows(&world, &proof).await.closed().await, REFUSED, "replayed");
    assert!(!back.task.is_finished());
}

/// Pixels that the client was sent and confirmed are not sent again.
#[tokio::test]
async fn a_client_that_comes_back_is_sent_what_changed() {
    let world = World::new(ServerConfig::default()).await;
    let (mut client, mut ticket) = guest(&world).await;
    world.puppet.paint(SCREEN.rect(), |x, y| [x as u8, y as u8, 9]);
    client.shows(&world.puppet).await;
    // the answer comes after what the client said before
    client.send(Packet::InfoRequest {
        categories: Vec::new(),
    });
    client
        .packet(|packet| matches!(packet, Packet::InfoResponse(_)).then_some(()))
        .await;
    let shown = Arc::clone(&client.shown);
    lose(&world, client).await;
    shown.draws.lock().unwrap().clear();
    let changed = Rect::new(64, 8, 64, 6);
    world.puppet.paint(changed, |_, _| [7, 8, 9]);
    let back = comes_back(&world, &ticket.prove(0), shown).await;
    back.shows(&world.puppet).await;
    let draws = back.shown.draws.lock().unwrap();
    let places: Vec<_> = draws.iter().map(|(_, draw)| draw.rect).collect();
    assert_eq!(places, [changed]);
}

/// Whatever was on its way, in either direction.
#[tokio::test]
async fn a_client_that_comes_back_again_and_again_shows_the_screen() {
    let world = World::new(ServerConfig::default()).await;
    let (caps, request) = wants_ticket_for(&["rgb24", "png", "scroll"]);
    let mut client = world.connect(Dialect::G6, caps).await;
    let mut ticket = ticket_of(&client.hello().await, request);
    client.map().await;
    let mut seed: u32 = 1;
    let mut draw = move |n: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 12) % n
    };
    let noise = |draw: &mut dyn FnMut(u32) -> u32, w, h| {
        let (x, y) = (draw(SCREEN.w - w), draw(SCREEN.h - h));
        let rect = Rect::new(x as i32, y as i32, w, h);
        world
            .puppet
            .paint(rect, |_, _| [draw(256) as u8, draw(256) as u8, 5]);
    };
    for loss in 0..40 {
        noise(&mut draw, 300, 150);
        client.shows(&world.puppet).await;
        for _ in 0..4 {
            noise(&mut draw, 20, 9);
            tokio::time::sleep(Duration::from_micros(draw(1500).into())).await;
        }
        world.puppet.scroll_up(draw(20));
        tokio::time::sleep(Duration::from_micros(draw(1500).into())).await;
        let shown = Arc::clone(&client.shown);
        lose(&world, client).await;
        if loss % 2 == 0 {
            noise(&mut draw, 9, 9);
        }
        client = comes_back(&world, &ticket.prove(0), shown).await;
        client.shows(&world.puppet).await;
    }
}

#[tokio::test]
async fn settings_hold_for_those_who_are_away() {
    let world = World::new(ServerConfig::default()).await;
    let (client, mut ticket) = guest(&world).await;
    lose(&world, client).await;
    for words in [
        &["quality", "40"][..],
        &["quality", "70"],
        &["min-quality", "20"],
        &["speed", "77"],
        &["bandwidth-limit", "5000000"],
        &["name", "another", "name"],
    ] {
        let words = words.iter().map(|word| (*word).into()).collect();
        let Answer::Command { code, text } = answer(&world, &Request::Control(words)).await else {
            panic!("no answer to a command")
        };
        assert_eq!(code, 0);
        assert!(text.ends_with("set for 1 client(s)"), "{text}");
    }
    let mut back = shows(&world, &ticket.prove(0)).await;
    let titled = |packet| match packet {
        Packet::WindowMetadata(_, metadata) => metadata.get("title").cloned(),
        _ => None,
    };
    assert_eq!(
        back.packet(titled).await.as_text().as_deref(),
        Some("another name")
    );
    let caps = info(&world).await;
    for (key, value) in [
        ("encoding.quality.max", 70),
        ("encoding.quality.min", 20),
        ("encoding.speed.cur", 77),
        ("bandwidth-limit.setting", 5_000_000),
    ] {
        assert_eq!(caps.int(&format!("client.{key}")), Some(value), "{key}");
    }
}

#[tokio::test]
async fn a_connection_that_is_not_known_to_be_dead_makes_room() {
    let world = World::new(ServerConfig::default()).await;
    let (old, mut ticket) = guest_who(&world, Acknowledge::Never).await;
    let mut back = shows(&world, &ticket.prove(0)).await;
    told_of_the_window(&mut back).await;
    back.shows(&world.puppet).await;
    // nobody said goodbye; what was left unread makes a reset of it
    assert!(within(old.task).await.unwrap().is_loss());
    // and once more, from there
    let mut again = comes_back(&world, &ticket.prove(0), Arc::clone(&back.shown)).await;
    told_of_the_window(&mut again).await;
    again.shows(&world.puppet).await;
}

#[tokio::test]
async fn nobody_waits_for_a_client_that_was_replaced() {
    let world = World::new(ServerConfig::default()).await;
    let (client, mut ticket) = guest(&world).await;
    lose(&world, client).await;
    let newcomer = world.attach(hello(&["rgb24"])).await;
    assert_eq!(shows(&world, &ticket.prove(0)).await.closed().await, REFUSED);
    newcomer.shows(&world.puppet).await;
}

#[tokio::test]
async fn nobody_waits_forever() {
    let world = World::new(ServerConfig::default()).await;
    let (client, mut ticket) = guest(&world).await;
    lose(&world, client).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(15 * 60 + 1)).await;
    tokio::time::resume();
    assert_eq!(shows(&world, &ticket.prove(0)).await.closed().await, REFUSED);
}

#[tokio::test]
async fn counts_that_cannot_be_are_refused() {
    let world = World::new(ServerConfig::default()).await;
    let (client, mut ticket) = guest(&world).await;
    lose(&world, client).await;
    let mut proof = ticket.prove(u64::MAX);
    // not what was signed
    assert_eq!(shows(&world, &proof).await.closed().await, REFUSED);
    proof.signature.clear();
    assert_eq!(shows(&world, &proof).await.closed().await, REFUSED);
}

#[tokio::test]
async fn some_servers_issue_no_tickets() {
    let forbids = World::without("resume").await;
    let leaves = World::new(ServerConfig {
        exit_with_client: true,
        ..ServerConfig::default()
    })
    .await;
    for world in [forbids, leaves] {
        let mut client = world.connect(Dialect::G6, wants_ticket().0).await;
        assert_eq!(client.hello().await.get("resume"), None);
    }
}

#[tokio::test]
async fn the_way_back_is_not_for_those_who_left() {
    let world = World::new(ServerConfig::default()).await;
    let (mut client, mut ticket) = guest(&world).await;
    client.send(Packet::Disconnect {
        reason: "client exit".into(),
        details: Vec::new(),
    });
    client
        .wait(|event| matches!(event, Event::Closed(_)).then_some(()))
        .await;
    assert_eq!(shows(&world, &ticket.prove(0)).await.closed().await, REFUSED);
}

#[tokio::test]
async fn who_only_watches_keeps_no_server_from_ending() {
    let world = World::new(ServerConfig {
        server_idle_timeout: Duration::from_millis(500),
        ..ServerConfig::default()
    })
    .await;
    let (mut caps, request) = wants_ticket();
    caps.set("windows", false).set("ui_client", false);
    let mut watcher = world.connect(Dialect::G6, caps).await;
    let mut ticket = ticket_of(&watcher.hello().await, request);
    let mut back = shows(&world, &ticket.prove(0)).await;
    back.hello().await;
    assert_eq!(world.ended().await, ServerEnd::Idle);
}
