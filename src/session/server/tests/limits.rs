//! What a peer does in excess costs the peer, not the server.

use super::world::{World, hello};
use crate::display::ScreenEvent;
use crate::packet::{Packet, PointerState};
use crate::session::server::ServerConfig;
use crate::types::{Point, Rect};
use compact_str::CompactString;
use std::time::Duration;

#[tokio::test]
async fn input_waits_for_the_display() {
    let world = World::new(ServerConfig::default()).await;
    let client = world.attach(hello(&["rgb24"])).await;
    client.shows(&world.puppet).await;
    world.puppet.state().slow = Duration::from_millis(1);
    for x in 0..3000 {
        let position = Point { x: x % 300, y: 1 };
        client.send(Packet::Pointer(PointerState {
            id: 1,
            position,
            ..PointerState::default()
        }));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let some = world.puppet.state().inputs.len();
    assert!((1..1000).contains(&some), "{some}");
    world.puppet.state().slow = Duration::ZERO;
    for _ in 0..5000 {
        if world.puppet.state().inputs.len() == 3000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(world.puppet.state().inputs.len(), 3000);
}

#[tokio::test]
async fn floods_of_requests_leave_the_pictures_alone() {
    let world = World::new(ServerConfig::default()).await;
    let client = world.attach(hello(&["rgb24"])).await;
    for i in 0..2000 {
        client.send(Packet::InfoRequest {
            categories: Vec::new(),
        });
        client.send(Packet::Ping {
            time: i,
            source: CompactString::default(),
        });
        client.send(Packet::LockToggle(i % 2 == 0));
        client.send(Packet::Unknown("no-such-packet".into()));
        client.send(Packet::BufferRefresh {
            id: None,
            quality: 100,
        });
        world.puppet.emit(ScreenEvent::Bell {
            percent: 50,
            pitch: 400,
            duration: 100,
        });
        world.puppet.emit(ScreenEvent::Pointer(Point { x: 5, y: 5 }));
    }
    world
        .puppet
        .paint(Rect::new(5, 5, 100, 100), |x, y| [x as u8, y as u8, 77]);
    client.shows(&world.puppet).await;
}
