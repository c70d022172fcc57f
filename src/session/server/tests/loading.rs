//! Clients that have their path filled.

use super::world::{Client, World, hello, within};
use crate::codec::{Dialect, Value};
use crate::packet::{Capabilities, Packet};
use crate::session::server::ServerConfig;
use crate::types::Rect;
use compact_str::CompactString;

/// Somebody who only measures, and what the server offers it.
async fn meter(world: &World) -> (Client, Option<i64>) {
    let mut caps = Capabilities::default();
    caps.set("windows", false)
        .set("ui_client", false)
        .set("share", true);
    let mut client = world.connect(Dialect::G6, caps).await;
    let offer = client.hello().await.int("load-test");
    (client, offer)
}

/// Bytes of the load that came until its report, and the report.
async fn loaded(client: &mut Client) -> (u64, Value) {
    let mut bytes = 0;
    loop {
        let packet = client.packet(Some).await;
        match packet {
            Packet::LoadData(data) => bytes += data.len() as u64,
            Packet::LoadReport(report) => return (bytes, report),
            _ => {}
        }
    }
}

fn error(report: &Value) -> String {
    let error = report.get("error").and_then(Value::as_text);
    error.unwrap_or_default().into_owned()
}

#[tokio::test]
async fn a_path_is_filled_once_and_pings_are_answered_meanwhile() {
    let world = World::new(ServerConfig::default()).await;
    let (mut client, offer) = meter(&world).await;
    assert_eq!(offer, Some(10));
    client.send(Packet::LoadTest(300));
    client
        .packet(|packet| matches!(packet, Packet::LoadData(_)).then_some(()))
        .await;
    client.send(Packet::Ping {
        time: 7,
        source: CompactString::default(),
    });
    let echo = |packet| matches!(packet, Packet::PingEcho { time: 7, .. }).then_some(());
    client.packet(echo).await;
    let (bytes, report) = loaded(&mut client).await;
    let sent = report.get("bytes").and_then(Value::as_int).unwrap_or(0);
    assert!(
        bytes > 100_000 && bytes <= sent.unsigned_abs(),
        "{bytes}: {report:?}"
    );
    let took = report.get("milliseconds").and_then(Value::as_int);
    assert!(took >= Some(300), "{report:?}");
    client.send(Packet::LoadTest(300));
    let (bytes, report) = loaded(&mut client).await;
    assert!(
        bytes == 0 && error(&report).contains("one load test"),
        "{report:?}"
    );
}

#[tokio::test]
async fn one_path_is_filled_at_a_time_and_pictures_come_as_ever() {
    let world = World::new(ServerConfig::default()).await;
    let mut user = world.attach(hello(&["rgb24"])).await;
    user.send(Packet::LoadTest(300));
    let (bytes, report) = loaded(&mut user).await;
    assert!(
        bytes == 0 && error(&report).contains("without windows"),
        "{report:?}"
    );
    let (mut first, _) = meter(&world).await;
    // for as long as is allowed
    first.send(Packet::LoadTest(i64::MAX));
    first
        .packet(|packet| matches!(packet, Packet::LoadData(_)).then_some(()))
        .await;
    let (mut second, _) = meter(&world).await;
    second.send(Packet::LoadTest(300));
    let (bytes, report) = loaded(&mut second).await;
    assert!(
        bytes == 0 && error(&report).contains("another client"),
        "{report:?}"
    );
    world.puppet.paint(Rect::new(0, 0, 50, 50), |_, _| [7; 3]);
    user.shows(&world.puppet).await;
    // who goes makes room
    first.task.abort();
    let (bytes, report) = loop {
        let (mut third, _) = meter(&world).await;
        third.send(Packet::LoadTest(100));
        let (bytes, report) = loaded(&mut third).await;
        if !error(&report).contains("another client") {
            break (bytes, report);
        }
    };
    assert!(bytes > 0, "{report:?}");
}

#[tokio::test]
async fn the_limit_of_bandwidth_holds_for_the_load_too() {
    let config = ServerConfig {
        bandwidth_limit: 8_000_000,
        ..ServerConfig::default()
    };
    let world = World::new(config).await;
    let (mut client, _) = meter(&world).await;
    client.send(Packet::LoadTest(400));
    let (bytes, report) = loaded(&mut client).await;
    // a million bytes a second
    let took = report.get("milliseconds").and_then(Value::as_int).unwrap_or(0);
    assert!(
        bytes <= took.unsigned_abs() * 1000 + 1000,
        "{bytes} bytes: {report:?}"
    );
    assert_eq!(report.get("limit").and_then(Value::as_int), Some(1_000_000));
}

#[tokio::test]
async fn where_it_is_forbidden_nothing_is_offered_or_sent() {
    let world = World::without("load-test").await;
    let (mut client, offer) = meter(&world).await;
    assert_eq!(offer, None);
    client.send(Packet::LoadTest(300));
    let (bytes, report) = within(loaded(&mut client)).await;
    assert!(
        bytes == 0 && error(&report).contains("not permitted"),
        "{report:?}"
    );
}
