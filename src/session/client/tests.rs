//! A client with windows in memory and a scripted server at the other end of a stream.

use super::*;
use crate::auth::Handlers;
use crate::display::headless::Headless;
use crate::packet::{Draw, DrawAck, PointerState, WindowCreate, WindowKind};
use crate::picture::{Coded, Payload};
use crate::protocol::{CloseReason, ConnectionConfig};
use crate::session::drive;
use crate::types::{PixelFormat, Point, Rect, Size, WindowId};
use bytes::Bytes;
use std::time::Duration;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;

const ID: WindowId = WindowId(1);
const SCREEN: Size = Size::new(640, 480);

/// Accepts the client, then sends what it is told and reports what comes.
struct Script {
    hello: Capabilities,
    accepted: bool,
    orders: UnboundedReceiver<Packet>,
    seen: UnboundedSender<Packet>,
}

impl Handler for Script {
    type Message = Packet;

    fn event(&mut self, connection: &mut Connection, event: Event, now: Instant) {
        match event {
            Event::Hello(_) => {
                connection.accept(self.hello.clone(), now);
                self.accepted = true;
            }
            Event::Packet(packet) => drop(self.seen.send(packet)),
            Event::Silent | Event::Heard | Event::Closed(_) => {}
        }
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Packet> {
        if !self.accepted {
            return Poll::Pending;
        }
        match self.orders.poll_recv(context) {
            Poll::Ready(Some(packet)) => Poll::Ready(packet),
            _ => Poll::Pending,
        }
    }

    fn message(&mut self, connection: &mut Connection, packet: Packet, _: Instant) {
        connection.send(packet);
    }
}

/// A session under test.
struct World {
    orders: UnboundedSender<Packet>,
    seen: UnboundedReceiver<Packet>,
    leave: UnboundedSender<ToSession>,
    presented: std::sync::mpsc::Receiver<(WindowId, Vec<Rect>)>,
    client: JoinHandle<(CloseReason, Option<Departure>)>,
}

impl World {
    fn new(dialect: Dialect, hello: Capabilities) -> Self {
        let options = ClientOptions::default();
        let (near, far) = duplex(1 << 16);
        let (orders, inbox) = unbounded_channel();
        let (outbox, seen) = unbounded_channel();
        let script = Script {
            hello,
            accepted: false,
            orders: inbox,
            seen: outbox,
        };
        tokio::spawn(serve(far, script));
        let (shown, presented) = std::sync::mpsc::channel();
        let windows = Headless::new(SCREEN).on_present(move |id, rects, _| {
            let _unread = shown.send((id, rects.to_vec()));
        });
        let asked = options.clone();
        let hello = move |dialect| client_hello(dialect, &Identity::default(), &Desktop::default(), &asked);
        let login = Login::new(ConnectionConfig::default(), Handlers::default(), hello);
        let (mut session, seat, leave) = ClientSession::new(&options, login).unwrap();
        let viewer = Viewer::new(Box::new(windows), options.clone(), seat);
        std::thread::spawn(move || viewer.run());
        let client = tokio::spawn(async move {
            let mut connection = session.begin(dialect, true, crate::session::now());
            let reason = drive(near, &mut connection, &mut session).await;
            (reason, session.departure().cloned())
        });
        Self {
            orders,
            seen,
            leave,
            presented,
            client,
        }
    }

    fn send(&self, packet: Packet) {
        self.orders.send(packet).unwrap();
    }

    /// The next packet of the client.
    async fn next(&mut self) -> Packet {
        let next = tokio::time::timeout(Duration::from_secs(10), self.seen.recv());
        next.await
            .expect("the client is silent")
            .expect("the client left")
    }

    /// A window, up to the point where the client has shown it.
    async fn window(&mut self, rect: Rect) -> Packet {
        self.send(Packet::NewWindow(WindowCreate {
            id: ID,
            rect,
            kind: WindowKind::Normal,
            metadata: Value::map(),
            properties: Value::map(),
        }));
        let map = self.next().await;
        assert_eq!(self.next().await, Packet::Focus(Some(ID)));
        map
    }

    async fn ack(&mut self, draw: Draw) -> DrawAck {
        let (sequence, size) = (draw.sequence, draw.rect.size());
        self.send(Packet::Draw(draw));
        let Packet::DrawAck(ack) = self.next().await else {
            panic!("not an ack");
        };
        assert_eq!((ack.sequence, ack.size), (sequence, size));
        ack
    }
}

async fn serve(stream: DuplexStream, mut script: Script) {
    let mut connection = Connection::server(&ConnectionConfig::default(), crate::session::now());
    drive(stream, &mut connection, &mut script).await;
}

fn draw(id: WindowId, sequence: u64, encoding: Encoding, data: &[u8]) -> Draw {
    Draw {
        id,
        rect: Rect::new(1, 2, 2, 2),
        coded: Ok(Coded {
            encoding,
            data: Payload::Bytes(Bytes::copy_from_slice(data)),
            stride: 8,
            format: Some(PixelFormat::Bgrx),
            compression: None,
            quality: None,
            scaled_size: None,
            has_alpha: false,
        }),
        sequence,
        flush: 0,
        paint: true,
        speed: None,
    }
}

fn rgb(sequence: u64) -> Draw {
    draw(ID, sequence, Encoding::Rgb32, &[7; 16])
}

#[tokio::test]
async fn every_picture_is_acknowledged_whatever_becomes_of_it() {
    for (dialect, no_window) in [(Dialect::G3, -1), (Dialect::G6, -2)] {
        let mut world = World::new(dialect, Capabilities::default());
        let rect = Rect::new(10, 20, 30, 40);
        assert!(matches!(world.window(rect).await, Packet::MapWindow(place) if place.rect == rect));
        assert!(world.ack(rgb(1)).await.decode_time > 0);
        assert_eq!(world.presented.recv().unwrap(), (ID, vec![Rect::new(1, 2, 2, 2)]));
        let unknown = Draw {
            coded: Err("h264".into()),
            ..rgb(2)
        };
        let ack = world.ack(unknown).await;
        assert_eq!(ack.decode_time, -1);
        assert!(ack.message.contains("h264"), "{}", ack.message);
        let broken = draw(ID, 3, Encoding::Png, b"no png");
        assert_eq!(world.ack(broken).await.decode_time, -1);
        let hidden = Draw {
            paint: false,
            ..rgb(4)
        };
        assert_eq!(world.ack(hidden).await.decode_time, 0);
        assert!(world.ack(draw(ID, 5, Encoding::Void, b"")).await.decode_time > 0);
        let elsewhere = draw(WindowId(9), 6, Encoding::Rgb32, &[0; 16]);
        assert_eq!(world.ack(elsewhere).await.decode_time, no_window);
        world.send(Packet::LostWindow(ID));
        assert_eq!(world.ack(rgb(7)).await.decode_time, no_window);
    }
}

#[tokio::test]
async fn an_update_is_shown_with_its_last_picture() {
    let mut world = World::new(Dialect::G6, Capabilities::default());
    world.window(Rect::new(0, 0, 30, 40)).await;
    let first = Draw {
        rect: Rect::new(5, 5, 2, 2),
        flush: 1,
        ..rgb(1)
    };
    world.ack(first).await;
    assert!(world.presented.try_recv().is_err());
    // a failure at the end does not hide what was painted before
    world.ack(draw(ID, 2, Encoding::Jpeg, b"no jpeg")).await;
    assert_eq!(world.presented.recv().unwrap(), (ID, vec![Rect::new(5, 5, 2, 2)]));
}

#[tokio::test]
async fn the_server_resizes_and_hears_its_counter_again() {
    let mut world = World::new(Dialect::G6, Capabilities::default());
    world.window(Rect::new(3, 4, 30, 40)).await;
    world.send(Packet::WindowResized {
        id: ID,
        size: Size::new(50, 60),
        counter: 7,
    });
    let Packet::ConfigureWindow(place) = world.next().await else {
        panic!("not a configure");
    };
    assert_eq!((place.rect, place.resize_counter), (Rect::new(3, 4, 50, 60), 7));
}

#[tokio::test]
async fn a_shared_screen_is_at_the_origin() {
    let mut hello = Capabilities::default();
    hello.set("shadow", true);
    let mut world = World::new(Dialect::G6, hello);
    let map = world.window(Rect::new(10, 20, 30, 40)).await;
    assert!(matches!(map, Packet::MapWindow(place) if place.rect == Rect::new(0, 0, 30, 40)));
}

#[tokio::test]
async fn leaving_says_goodbye() {
    let mut world = World::new(Dialect::G6, Capabilities::default());
    world.window(Rect::new(0, 0, 1, 1)).await;
    let departure = Departure::Signal(15);
    world.leave.send(ToSession::Depart(departure.clone())).unwrap();
    let (reason, left) = world.client.await.unwrap();
    assert!(matches!(reason, CloseReason::Local { reason, .. } if reason == reason::CLIENT_EXIT));
    assert_eq!(left, Some(departure));
}

#[tokio::test]
async fn a_challenge_without_a_password_is_the_end() {
    let (mut session, _seat, _leave) = session();
    let mut connection = client_connection();
    let challenge = Packet::Challenge {
        salt: Bytes::new(),
        capabilities: Value::map(),
        digest: "hmac+sha512".into(),
        salt_digest: "sha512".into(),
        prompt: "password".into(),
    };
    session.event(&mut connection, Event::Packet(challenge), crate::session::now());
    assert!(matches!(session.departure(), Some(Departure::Login(_))));
    assert!(connection.is_ending());
}

#[tokio::test]
async fn of_the_pointer_only_the_newest_place_waits() {
    let (mut session, _seat, _leave) = session();
    // its hello is not written yet, so the stream is busy
    let mut connection = client_connection();
    let at = |x| {
        Packet::Pointer(PointerState {
            position: Point { x, y: 0 },
            ..PointerState::default()
        })
    };
    let now = crate::session::now();
    for x in 0..100 {
        session.message(&mut connection, ToSession::Send(at(x)), now);
    }
    assert_eq!(session.motion, Some(at(99)));
    // nothing overtakes it
    session.message(&mut connection, ToSession::Send(Packet::Focus(None)), now);
    assert_eq!(session.motion, None);
}

#[test]
fn a_slow_viewer_stops_the_reading_and_resumes_it_once() {
    let (mut session, seat, _leave) = session();
    let mut connection = client_connection();
    let large = draw(ID, 1, Encoding::Rgb32, &vec![0; Backlog::MARK / 2]);
    let weight = weight(&Packet::Draw(large.clone()));
    let mut receive = |session: &mut ClientSession| {
        session.packet(
            &mut connection,
            Packet::Draw(large.clone()),
            crate::session::now(),
        );
        session.accepts()
    };
    assert!(receive(&mut session));
    assert!(!receive(&mut session));
    assert!(seat.backlog.remove(weight));
    assert!(session.accepts());
    assert!(!seat.backlog.remove(weight));
}

/// A session of which nobody else has the other parts.
fn session() -> (ClientSession, ViewerSeat, UnboundedSender<ToSession>) {
    let login = Login::new(ConnectionConfig::default(), Handlers::default(), |_| {
        Capabilities::default()
    });
    ClientSession::new(&ClientOptions::default(), login).unwrap()
}

fn client_connection() -> Connection {
    Connection::client(
        &ConnectionConfig::default(),
        Dialect::G6,
        Capabilities::default(),
        crate::session::now(),
    )
}
