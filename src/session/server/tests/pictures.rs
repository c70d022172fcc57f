//! What is on the screen is what clients show, to the bit once it is quiet.

use super::world::{Acknowledge, Order, SCREEN, World, hello};
use crate::codec::Dialect;
use crate::packet::Packet;
use crate::session::driver::now;
use crate::session::fake_screen::Puppet;
use crate::session::server::ServerConfig;
use crate::types::{Encoding, Rect, Size};
use std::time::Duration;

/// Random numbers, the same ones each time.
struct Dice(u32);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % sides
    }
}

/// Every pixel another colour.
fn noise(puppet: &Puppet, dice: &mut Dice) {
    puppet.paint(SCREEN.rect(), |_, _| [0; 3].map(|_: u8| dice.roll(256) as u8));
}

/// Flat, text-like and noisy rectangles, and scrolling.
fn change(puppet: &Puppet, dice: &mut Dice) {
    let (x, y) = (dice.roll(SCREEN.w - 1), dice.roll(SCREEN.h - 1));
    let (w, h) = (1 + dice.roll(SCREEN.w - x), 1 + dice.roll(SCREEN.h - y));
    let rect = Rect::new(x as i32, y as i32, w, h);
    let seed = dice.roll(1 << 20);
    let noise = |x: u32, y: u32| (x * 7919 + y * 104_729 + seed).wrapping_mul(2_654_435_761) >> 8;
    match dice.roll(4) {
        0 => puppet.paint(rect, |_, _| [seed as u8, 200, 30]),
        1 => puppet.paint(rect, |x, y| {
            if noise(x / 5, y / 3) % 5 == 0 {
                [0; 3]
            } else {
                [255; 3]
            }
        }),
        2 => puppet.paint(rect, |x, y| {
            let n = noise(x, y);
            [n as u8, (n >> 8) as u8, (n >> 16) as u8]
        }),
        _ => puppet.scroll_up(1 + dice.roll(40)),
    }
}

#[tokio::test]
async fn every_kind_of_client_ends_with_the_same_pixels() {
    let world = World::new(ServerConfig {
        sharing: Some(true),
        ..ServerConfig::default()
    })
    .await;
    let lists: [&[&str]; 7] = [
        &["rgb24"],
        &["rgb32"],
        &["rgb24", "rgb32", "scroll"],
        &["png"],
        &["webp", "scroll"],
        &["jpeg", "png"],
        &[
            "rgb24", "rgb32", "png", "png/P", "png/L", "webp", "jpeg", "scroll",
        ],
    ];
    let mut clients = Vec::new();
    for (i, list) in lists.iter().enumerate() {
        let mut caps = hello(list);
        caps.set("lz4", i % 2 == 0).set("share", true);
        // a slow link makes the server choose the lossy and small ones
        if i >= 5 {
            caps.set("bandwidth-limit", 20_000_000);
        }
        clients.push(world.attach(caps).await);
    }
    let mut dice = Dice(7);
    for _ in 0..3 {
        noise(&world.puppet, &mut dice);
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            change(&world.puppet, &mut dice);
            tokio::task::yield_now().await;
        }
        for client in &clients {
            client.shows(&world.puppet).await;
        }
    }
    let used: Vec<_> = clients[6]
        .shown
        .draws
        .lock()
        .unwrap()
        .iter()
        .map(encoding)
        .collect();
    assert!(used.contains(&Encoding::Jpeg), "{used:?}");
    assert!(
        clients[2]
            .shown
            .draws
            .lock()
            .unwrap()
            .iter()
            .map(encoding)
            .any(|e| e == Encoding::Scroll)
    );
}

fn encoding((_, draw): &(std::time::Instant, crate::packet::Draw)) -> Encoding {
    draw.coded.as_ref().unwrap().encoding
}

#[tokio::test]
async fn a_client_with_lossy_pictures_only_is_refreshed_once() {
    let world = World::new(ServerConfig::default()).await;
    let client = world.attach(hello(&["jpeg"])).await;
    client.shows(&world.puppet).await;
    let mut dice = Dice(3);
    noise(&world.puppet, &mut dice);
    tokio::time::sleep(Duration::from_millis(900)).await;
    let draws = client.shown.draws.lock().unwrap();
    assert!(draws.len() < 12, "{} draws", draws.len());
    let last = draws.last().unwrap().0;
    assert!(now() - last > Duration::from_millis(400), "still refreshing");
}

#[tokio::test]
async fn captures_that_fail_are_tried_again() {
    let world = World::new(ServerConfig::default()).await;
    let client = world.attach(hello(&["rgb32"])).await;
    client.shows(&world.puppet).await;
    world.puppet.state().failing = 2;
    world
        .puppet
        .paint(Rect::new(10, 10, 50, 50), |x, y| [x as u8, y as u8, 9]);
    client.shows(&world.puppet).await;
}

#[tokio::test]
async fn nothing_is_lost_when_the_screen_changes_its_size() {
    let world = World::new(ServerConfig {
        resize_display: true,
        ..ServerConfig::default()
    })
    .await;
    let client = world.attach(hello(&["rgb32", "png"])).await;
    let mut dice = Dice(1);
    for size in [Size::new(400, 300), Size::new(100, 80), SCREEN] {
        for _ in 0..3 {
            world
                .puppet
                .paint(Rect::new(0, 0, 50, 50), |x, y| [x as u8, y as u8, 9]);
        }
        world.puppet.resize(size);
        client.shows(&world.puppet).await;
    }
    // at a client's wish
    client.send(Packet::ClientScreen(Size::new(200, 150), 60));
    while world.puppet.state().size != Size::new(200, 150) {
        tokio::task::yield_now().await;
    }
    client.shows(&world.puppet).await;
    // who comes later is told the present size
    change_small(&world.puppet, &mut dice);
    let later = world.attach(hello(&["rgb32"])).await;
    later.shows(&world.puppet).await;
}

fn change_small(puppet: &Puppet, dice: &mut Dice) {
    let colour = dice.roll(255) as u8;
    puppet.paint(Rect::new(3, 3, 20, 20), |_, _| [colour; 3]);
}

#[tokio::test]
async fn wrong_acknowledgements_never_stop_the_pictures() {
    for how in [Acknowledge::Wildly, Acknowledge::Failing] {
        let world = World::new(ServerConfig::default()).await;
        let client = world.attach(hello(&["rgb32", "jpeg"])).await;
        client.order(Order::Acknowledge(how));
        let mut dice = Dice(5);
        for _ in 0..5 {
            change(&world.puppet, &mut dice);
            client.shows(&world.puppet).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_look_gets_nothing_and_later_all() {
    let world = World::new(ServerConfig::default()).await;
    let client = world.attach(hello(&["rgb32"])).await;
    client.shows(&world.puppet).await;
    client.send(Packet::UnmapWindow(crate::types::WindowId(1)));
    client.send(Packet::Suspend(true));
    let mut dice = Dice(9);
    // what was asked for before may still be on its way
    change_small(&world.puppet, &mut dice);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let before = client.shown.draws.lock().unwrap().len();
    for _ in 0..20 {
        change_small(&world.puppet, &mut dice);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(client.shown.draws.lock().unwrap().len() <= before + 1);
    client.place(Packet::MapWindow, SCREEN.rect());
    client.send(Packet::Suspend(false));
    client.shows(&world.puppet).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_keeps_nobody_waiting() {
    let world = World::new(ServerConfig {
        sharing: Some(true),
        ..ServerConfig::default()
    })
    .await;
    let quick = world.attach(hello(&["rgb32"])).await;
    let stuck = world.attach(hello(&["rgb32"])).await;
    stuck.order(Order::Acknowledge(Acknowledge::Never));
    let mut dice = Dice(11);
    for _ in 0..30 {
        change(&world.puppet, &mut dice);
        quick.shows(&world.puppet).await;
    }
    let sent = stuck.shown.draws.lock().unwrap().len();
    let shown = quick.shown.draws.lock().unwrap().len();
    assert!(
        sent < shown,
        "{sent} draws without an acknowledgement, {shown} with"
    );
}

#[tokio::test]
async fn a_limit_of_bandwidth_limits() {
    let world = World::new(ServerConfig {
        bandwidth_limit: 4_000_000,
        ..ServerConfig::default()
    })
    .await;
    let mut caps = hello(&["rgb24"]);
    caps.set("lz4", false);
    let client = world.attach(caps).await;
    client.shows(&world.puppet).await;
    let start = now();
    let mut dice = Dice(2);
    // 192 kB each: at 500 kB/s two pauses of 0.4 s
    for _ in 0..3 {
        noise(&world.puppet, &mut dice);
        client.shows(&world.puppet).await;
    }
    let took = now() - start;
    assert!(took > Duration::from_millis(700), "{took:?}");
    // what the client asks for does not lift what the server sets
    client.send(Packet::BandwidthLimit(0));
    world.puppet.paint(SCREEN.rect(), |_, _| [0; 3]);
    client.shows(&world.puppet).await;
}

/// Updates that a client gets in a second in which the screen changes all the time.
async fn updates(world: &World, client: &super::world::Client) -> usize {
    let mut dice = Dice(6);
    let (begin, before) = (now(), client.shown.draws.lock().unwrap().len());
    while now() - begin < Duration::from_secs(1) {
        change_small(&world.puppet, &mut dice);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let draws = client.shown.draws.lock().unwrap();
    draws[before..].iter().filter(|(_, draw)| draw.flush == 0).count()
}

#[tokio::test]
async fn no_more_pictures_than_the_screen_shows() {
    let world = World::new(ServerConfig {
        refresh_rate: "5-40".parse().unwrap(),
        ..ServerConfig::default()
    })
    .await;
    let mut caps = hello(&["rgb32"]);
    caps.set("vrefresh", 10);
    let client = world.attach(caps).await;
    client.shows(&world.puppet).await;
    // a sixteenth more, and a few, since some may be early and one was late
    let slow = updates(&world, &client).await;
    assert!((5..=14).contains(&slow), "{slow}");
    // the client's window is on another screen now
    client.send(Packet::ClientScreen(SCREEN, 144));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let fast = updates(&world, &client).await;
    assert!((15..=46).contains(&fast), "{fast}");
    // nothing is left out in the end
    client.shows(&world.puppet).await;
}

#[tokio::test]
async fn the_old_dialect_shows_the_same() {
    let world = World::new(ServerConfig::default()).await;
    let mut client = world.connect(Dialect::G3, hello(&["rgb24", "png"])).await;
    client.map().await;
    let mut dice = Dice(4);
    for _ in 0..5 {
        change(&world.puppet, &mut dice);
        client.shows(&world.puppet).await;
    }
    client.send(Packet::BufferRefresh {
        id: None,
        quality: 100,
    });
    client.send(Packet::Quality("quality", 100));
    client.send(Packet::EncodingChoice("png".into()));
    change(&world.puppet, &mut dice);
    client.shows(&world.puppet).await;
}
