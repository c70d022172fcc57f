//! A server on a unix socket, and hand-made clients.

use crate::address::{Address, Bind, DEFAULT_MIN_PORT, Options, TransportKind};
use crate::codec::{Dialect, Value};
use crate::packet::{Capabilities, Draw, DrawAck, Packet, WindowPlace};
use crate::picture::Decoder;
use crate::protocol::{CloseReason, Connection, ConnectionConfig, Event};
use crate::session::driver::{Handler, drive, now};
use crate::session::fake_screen::Puppet;
use crate::session::server::{Door, ServerConfig, ServerEnd, run};
use crate::transport::{ConnectOptions, ListenOptions, connect, listen};
use crate::types::{Canvas, PixelFormat, Rect, Size};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

pub(super) const SCREEN: Size = Size::new(320, 200);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct World {
    pub(super) puppet: Puppet,
    pub(super) address: Address,
    pub(super) server: JoinHandle<ServerEnd>,
    pub(super) stop: Option<oneshot::Sender<()>>,
    _directory: tempfile::TempDir,
}

impl World {
    pub(super) async fn new(config: ServerConfig) -> Self {
        Self::behind(Door::default(), config).await
    }

    /// One where that request is forbidden.
    pub(super) async fn without(request: &str) -> Self {
        let mut options = Options::new();
        options.push(request, "no");
        let door = Door {
            options,
            ..Door::default()
        };
        Self::behind(door, ServerConfig::default()).await
    }

    /// One that is entered through that door.
    pub(super) async fn behind(door: Door, config: ServerConfig) -> Self {
        let door = Arc::new(door);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let bind = Bind::parse(TransportKind::Socket, path.to_str().unwrap(), DEFAULT_MIN_PORT).unwrap();
        let listeners = listen(&bind, &ListenOptions::default()).await.unwrap();
        let (puppet, screen) = Puppet::new(SCREEN);
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            let shutdown = async {
                let _stopped = stopped.await;
            };
            let listeners = listeners
                .into_iter()
                .map(|listener| (listener, Arc::clone(&door)))
                .collect();
            run(listeners, Box::new(screen), config, shutdown).await.unwrap()
        });
        Self {
            puppet,
            address: format!("socket://{}", path.display()).parse().unwrap(),
            server,
            stop: Some(stop),
            _directory: directory,
        }
    }

    pub(super) async fn stream(&self) -> crate::transport::Link {
        connect(&self.address, &ConnectOptions::default()).await.unwrap()
    }

    /// A client that says this and does nothing more by itself.
    pub(super) async fn connect(&self, dialect: Dialect, hello: Capabilities) -> Client {
        self.connect_showing(dialect, hello, Arc::new(Shown::new(SCREEN)))
            .await
    }

    /// One that shows something already.
    pub(super) async fn connect_showing(
        &self,
        dialect: Dialect,
        hello: Capabilities,
        shown: Arc<Shown>,
    ) -> Client {
        let link = self.stream().await;
        let (orders, inbox) = mpsc::unbounded_channel();
        let (outbox, seen) = mpsc::unbounded_channel();
        let mut viewer = Viewer {
            orders: inbox,
            seen: outbox,
            shown: Arc::clone(&shown),
            decoder: Decoder::new(),
            acknowledge: Acknowledge::Truly,
        };
        let task = tokio::spawn(async move {
            let mut connection = Connection::client(&ConnectionConfig::default(), dialect, hello, now());
            drive(link.stream, &mut connection, &mut viewer).await
        });
        Client {
            orders,
            seen,
            shown,
            task,
        }
    }

    /// A client that is in and shows the screen.
    pub(super) async fn attach(&self, hello: Capabilities) -> Client {
        let mut client = self.connect(Dialect::G6, hello).await;
        client.map().await;
        client
    }

    pub(super) async fn ended(self) -> ServerEnd {
        within(self.server).await.unwrap()
    }
}

pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("nothing came")
}

/// What a client that takes these encodings says.
pub(super) fn hello(encodings: &[&str]) -> Capabilities {
    let mut caps = Capabilities::default();
    let list = || Value::List(encodings.iter().map(|e| (*e).into()).collect());
    caps.set("windows", true)
        .set("encodings", list())
        .set("encodings.core", list())
        .set("encodings.rgb_formats", ["BGRX", "RGB"])
        .set("lz4", true)
        .set("cursors", true)
        .set("bell", true)
        .set("clipboard", true);
    caps
}

/// What a client has on its screen.
pub(super) struct Shown {
    pub(super) pixels: Mutex<(Size, Vec<u8>)>,
    pub(super) draws: Mutex<Vec<(Instant, Draw)>>,
    news: Notify,
}

impl Shown {
    pub(super) fn new(size: Size) -> Self {
        Self {
            pixels: Mutex::new((size, vec![0; size.area() as usize * 4])),
            draws: Mutex::default(),
            news: Notify::new(),
        }
    }
}

/// How draws are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledge {
    Truly,
    Never,
    /// Of a draw that never was, twice the true one, and with a lie about the time.
    Wildly,
    Failing,
}

pub(super) enum Order {
    Send(Packet),
    Acknowledge(Acknowledge),
}

pub(super) struct Client {
    orders: mpsc::UnboundedSender<Order>,
    pub(super) seen: mpsc::UnboundedReceiver<Event>,
    pub(super) shown: Arc<Shown>,
    pub(super) task: JoinHandle<CloseReason>,
}

impl Client {
    pub(super) fn send(&self, packet: Packet) {
        self.order(Order::Send(packet));
    }

    pub(super) fn order(&self, order: Order) {
        assert!(self.orders.send(order).is_ok(), "the client is gone");
    }

    /// The next event that `pick` wants; others are thrown away.
    pub(super) async fn wait<T>(&mut self, pick: impl Fn(Event) -> Option<T>) -> T {
        within(async {
            loop {
                if let Some(found) = pick(self.seen.recv().await.expect("the client ended")) {
                    return found;
                }
            }
        })
        .await
    }

    pub(super) async fn packet<T>(&mut self, pick: impl Fn(Packet) -> Option<T>) -> T {
        self.wait(|event| match event {
            Event::Packet(packet) => pick(packet),
            _ => None,
        })
        .await
    }

    pub(super) async fn hello(&mut self) -> Capabilities {
        self.wait(|event| match event {
            Event::Hello(caps) => Some(caps),
            Event::Closed(why) => panic!("refused: {why}"),
            _ => None,
        })
        .await
    }

    pub(super) async fn map(&mut self) {
        let size = self
            .packet(|packet| match packet {
                Packet::NewWindow(window) => Some(window.rect.size()),
                _ => None,
            })
            .await;
        *self.shown.pixels.lock().unwrap() = (size, vec![0; size.area() as usize * 4]);
        self.place(Packet::MapWindow, size.rect());
        self.packet(|packet| (packet == Packet::StartupComplete).then_some(()))
            .await;
    }

    pub(super) fn place(&self, packet: fn(WindowPlace) -> Packet, rect: Rect) {
        self.send(packet(WindowPlace {
            id: 1,
            rect,
            properties: Value::map(),
            state: Value::map(),
            ..WindowPlace::default()
        }));
    }

    /// Waits until the client shows what the screen does, and says how long that took.
    pub(super) async fn shows(&self, puppet: &Puppet) -> Duration {
        let start = now();
        let same = async {
            loop {
                let news = self.shown.news.notified();
                if self.is_equal(puppet) {
                    return;
                }
                news.await;
            }
        };
        if tokio::time::timeout(PATIENCE, same).await.is_err() {
            panic!("the client shows something else: {:?}", self.differences(puppet));
        }
        now() - start
    }

    pub(super) fn is_equal(&self, puppet: &Puppet) -> bool {
        self.differences(puppet).is_empty()
    }

    /// Some of the pixels that differ.
    fn differences(&self, puppet: &Puppet) -> Vec<usize> {
        let state = puppet.state();
        let shown = self.shown.pixels.lock().unwrap();
        if shown.0 != state.size {
            return vec![usize::MAX];
        }
        let pairs = shown.1.chunks_exact(4).zip(state.pixels.chunks_exact(4));
        let differs = pairs.enumerate().filter(|(_, (a, b))| a[..3] != b[..3]);
        differs.map(|(i, _)| i).take(5).collect()
    }

    pub(super) async fn closed(self) -> String {
        within(self.task).await.unwrap().to_string()
    }
}

struct Viewer {
    orders: mpsc::UnboundedReceiver<Order>,
    seen: mpsc::UnboundedSender<Event>,
    shown: Arc<Shown>,
    decoder: Decoder,
    acknowledge: Acknowledge,
}

impl Viewer {
    fn draw(&mut self, connection: &mut Connection, draw: Draw, now: Instant) {
        let mut shown = self.shown.pixels.lock().unwrap();
        let (size, pixels) = &mut *shown;
        let mut canvas = Canvas::new(pixels, *size, size.w as usize * 4, PixelFormat::Bgrx).unwrap();
        self.decoder
            .paint(&mut canvas, draw.rect, draw.coded.as_ref().unwrap())
            .unwrap();
        drop(shown);
        let ack = DrawAck {
            sequence: draw.sequence,
            id: draw.id,
            size: draw.rect.size(),
            decode_time: 100,
            message: "".into(),
        };
        match self.acknowledge {
            Acknowledge::Truly => connection.send(Packet::DrawAck(ack)),
            Acknowledge::Never => {}
            Acknowledge::Failing => connection.send(Packet::DrawAck(DrawAck {
                decode_time: -1,
                ..ack
            })),
            Acknowledge::Wildly => {
                let sequence = ack.sequence + 7;
                connection.send(Packet::DrawAck(DrawAck {
                    sequence,
                    ..ack.clone()
                }));
                let decode_time = 1 << 40;
                connection.send(Packet::DrawAck(DrawAck {
                    decode_time,
                    ..ack.clone()
                }));
                connection.send(Packet::DrawAck(ack));
            }
        }
        if draw.flush == 0 {
            self.shown.news.notify_one();
        }
        self.shown.draws.lock().unwrap().push((now, draw));
    }
}

impl Handler for Viewer {
    type Message = Order;

    fn event(&mut self, connection: &mut Connection, event: Event, now: Instant) {
        match event {
            Event::Packet(Packet::Draw(draw)) => self.draw(connection, draw, now),
            event => {
                if let Event::Packet(Packet::WindowResized { size, .. }) = &event {
                    *self.shown.pixels.lock().unwrap() = (*size, vec![0; size.area() as usize * 4]);
                }
                let _unread = self.seen.send(event);
            }
        }
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Order> {
        match self.orders.poll_recv(context) {
            Poll::Ready(Some(order)) => Poll::Ready(order),
            _ => Poll::Pending,
        }
    }

    fn message(&mut self, connection: &mut Connection, order: Order, _: Instant) {
        match order {
            Order::Send(packet) => connection.send(packet),
            Order::Acknowledge(how) => self.acknowledge = how,
        }
    }
}
