//! [`Session`]: a client that is in, and the pictures it gets.

use super::bandwidth::Bandwidth;
use super::clipboard::Clipboard;
use super::counts::Counts;
use super::hello::{self, SCREEN_WINDOW};
use super::line::Line;
use super::load::Load;
use super::pace::Pace;
use super::pulse::Pulse;
use crate::codec::{Dialect, Value};
use crate::delivery::{Network, Window};
use crate::display::{Cursor, Input, Keymap};
use crate::mmap::RingWriter;
use crate::packet::{Capabilities, Draw, DrawAck, KeyAction, Packet, PointerState};
use crate::picture::{Client, LinkSpeed, LinkUse, Payload};
use crate::protocol::{Connection, Keepalive};
use crate::session::files::Files;
use crate::session::painter::{Painter, Piece};
use crate::session::screen::ScreenCommand;
use crate::transport::Probe;
use crate::types::{Encoding, Point, Rect, Size};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A client that is in.
pub(super) struct Session {
    pub(super) caps: Capabilities,
    pub(super) takes: Option<Client>,
    pub(super) scroll: bool,
    /// As the hello said, to come back to after `encoding auto`.
    pub(super) listed: Vec<Encoding>,
    pub(super) screen_size: Size,
    /// Where the client shows the window, `None` while it does not.
    pub(super) mapped: Option<Rect>,
    pub(super) attached: bool,
    /// The screen thread was asked for a picture and has not answered.
    pub(super) wanting: bool,
    pub(super) suspended: bool,
    /// The screen thread has nothing to show.
    pub(super) calm: bool,
    pub(super) window: Window,
    /// Bytes the kernel was told to hold at most; 0 before it was told.
    pub(super) lowat: u32,
    /// Bytes a second it was told not to exceed.
    pub(super) kernel_pace: u64,
    /// The echo of a ping that the window heard of last.
    pub(super) echoed: Option<Instant>,
    pub(super) pulse: Pulse,
    /// The last piece that the client is known to have.
    pub(super) confirmed: u64,
    /// What the client has, while there is no screen for it.
    pub(super) painter: Option<oneshot::Receiver<Painter>>,
    /// The rest of the update that is being sent, so that what is small need not wait for all of it.
    pub(super) pieces: VecDeque<Piece>,
    pub(super) cursor: Option<Cursor>,
    pub(super) pointer: Option<Point>,
    /// When the client itself moved it last: it need not hear of that.
    pub(super) pointed: Option<Instant>,
    pub(super) cursors: bool,
    pub(super) bell: bool,
    pub(super) clipboard: Option<Clipboard>,
    pub(super) last_input: Instant,
    pub(super) bandwidth_limit: u64,
    /// Pictures are made for what the path is seen to carry, not for the limit alone.
    pub(super) detects: bool,
    pub(super) pace: Pace,
    /// When the pictures began that the limit is applied to, and their bytes.
    pub(super) budget: (Instant, u64),
    /// When the limit allows the next piece of a picture.
    pub(super) paused: Option<Instant>,
    /// When asking for a picture, which something forbids now, should be tried again.
    pub(super) retry: Option<Instant>,
    /// When the oldest pixels were captured that the stream has not taken yet.
    pub(super) sending: Option<Instant>,
    /// Thousandths of a step the wheel turned, for buttons 4 to 7.
    pub(super) wheel: [u64; 4],
    pub(super) counts: Counts,
    pub(super) bandwidth: Bandwidth,
    /// Memory shared with the client, until the screen thread has it.
    pub(super) area: Option<RingWriter>,
    /// What `info` says about it.
    pub(super) area_facts: Option<Value>,
    /// The client's keyboard.
    pub(super) keymap: Option<Box<Keymap>>,
    pub(super) files: Files,
    /// What fills its path, and whether something did before.
    pub(super) load: Option<Load>,
    pub(super) was_loaded: bool,
}

impl Session {
    /// How long after the client moved the pointer its place is no news to the client.
    const OWN_POINTER: Duration = Duration::from_millis(500);
    /// Steps of the wheel that one packet may make.
    const MAX_STEPS: u64 = 10;

    /// The connection is lost: what the screen thread should keep of it.
    pub(super) fn lost(&mut self) -> Option<(u64, oneshot::Sender<Painter>)> {
        if !self.attached {
            return None;
        }
        let (keeper, painter) = oneshot::channel();
        self.painter = Some(painter);
        Some((self.confirmed, keeper))
    }

    /// The session goes on over another connection: what is known of the old one is not true of it, and what was on
    /// its way is lost.
    pub(super) fn moved(&mut self, assumed: LinkSpeed, now: Instant) {
        self.attached = false;
        self.wanting = false;
        self.confirmed = 0;
        self.pieces.clear();
        self.files.moved();
        // all that changed comes first, maybe a whole picture: it had better not be larger than what the old path would
        // have taken
        self.window = Window::new(assumed.min(self.window.rate()), now);
        self.lowat = 0;
        self.kernel_pace = u64::MAX;
        self.echoed = None;
        self.pulse = Pulse::new(now);
        self.last_input = now;
        self.sending = None;
        self.bandwidth = Bandwidth::new(now);
        self.limit(self.bandwidth_limit);
    }

    pub(super) fn attach(&mut self, screen: &mut Line) {
        let Some(takes) = self.takes.clone().filter(|_| !self.attached) else {
            return;
        };
        self.attached = true;
        let (scroll, sink) = (self.scroll, screen.sink());
        let (area, painter) = (self.area.take(), self.painter.take());
        screen.send(ScreenCommand::Attach {
            client: screen.client,
            takes,
            scroll,
            area,
            painter,
            sink,
        });
    }

    /// Asks for a picture when one may be sent.
    fn want(&mut self, screen: &mut Line, now: Instant) {
        self.retry = None;
        if !self.attached || self.mapped.is_none() || self.suspended || self.wanting {
            return;
        }
        self.retry = self.paused.max(self.pace.wait(now));
        if self.retry.is_some() {
            return;
        }
        if !self.window.is_open(now) {
            self.retry = self.window.opens_at(now);
            return;
        }
        let most = match self.bandwidth_limit {
            0 => LinkSpeed::LOCAL,
            bits => LinkSpeed((bits / 8).max(1)),
        };
        let speed = self.window.rate().min(most);
        let detail = if self.detects { speed } else { most };
        self.calm = false;
        self.wanting = screen.send(ScreenCommand::Want {
            client: screen.client,
            link: LinkUse { speed, detail },
            settle: self.pace.settle(now),
            confirmed: self.confirmed,
            report: self.files.is_sending(),
        });
    }

    /// A packet about files.
    pub(super) fn file(&mut self, packet: Packet, connection: &mut Connection, now: Instant) {
        let was_sending = self.files.is_sending();
        self.files.packet(packet, connection, &mut self.window, now);
        if self.files.is_sending() && !was_sending {
            // asked again, the screen thread tells when there is nothing to show
            self.wanting = false;
        }
    }

    /// Sends a chunk of a file, if nothing else is to be sent.
    pub(super) fn send_files(&mut self, connection: &mut Connection, now: Instant) {
        if let Some(at) = self.paused.filter(|at| now < *at && self.files.is_sending()) {
            return self.files.wait_until(at);
        }
        let shows = self.attached && self.mapped.is_some() && !self.suspended;
        let calm = self.calm || !shows;
        let bytes = self.files.go_on(connection, &mut self.window, calm, now);
        if bytes > 0 {
            self.spend(bytes, now);
        }
    }

    /// Goes on filling the path, if that was asked for: nothing else waits to be sent.
    pub(super) fn load(&mut self, connection: &mut Connection, probe: &Probe, now: Instant) {
        let Some(load) = self.load.as_mut().filter(|_| connection.wants_picture()) else {
            return;
        };
        if let Some(packet) = load.packet(probe, now) {
            if matches!(packet, Packet::LoadReport(_)) {
                self.load = None;
            }
            connection.send(packet);
        }
    }

    /// Everything sent so far is with the kernel.
    fn sent(&mut self, now: Instant) {
        if let Some(captured) = self.sending.take() {
            self.counts.sent(captured, now);
        }
    }

    /// Limits pictures to this many bits per second; 0 is no limit.
    pub(super) fn limit(&mut self, bits: u64) {
        self.bandwidth_limit = bits;
        self.paused = None;
    }

    /// Counts what was sent against the limit.
    fn spend(&mut self, bytes: usize, now: Instant) {
        if self.bandwidth_limit == 0 {
            return;
        }
        if self.paused.is_none() {
            self.budget = (now, 0);
        }
        let (since, spent) = &mut self.budget;
        *spent = spent.saturating_add(bytes as u64);
        let milliseconds = spent.saturating_mul(8000) / self.bandwidth_limit;
        self.paused = Some(*since + Duration::from_millis(milliseconds.min(3_600_000)));
    }

    /// A piece of the update that was wanted.
    pub(super) fn piece(&mut self, piece: Piece) {
        self.calm = false;
        if piece.flush == 0 {
            self.wanting = false;
            self.pace.taken(piece.captured);
        }
        self.pieces.push_back(piece);
    }

    /// Nothing waits to be written: the next piece of an update may be sent, or another update asked for.
    pub(super) fn go_on(&mut self, connection: &mut Connection, screen: &mut Line, now: Instant) {
        self.paused = self.paused.filter(|at| now < *at);
        if self.paused.is_some() && !self.pieces.is_empty() {
            self.retry = self.paused;
            return;
        }
        if let Some(piece) = self.pieces.pop_front() {
            return self.send_piece(connection, piece, now);
        }
        self.sent(now);
        self.want(screen, now);
    }

    fn send_piece(&mut self, connection: &mut Connection, piece: Piece, now: Instant) {
        let (sequence, rect, encoding) = (piece.sequence, piece.rect, piece.coded.encoding);
        let shared = match &piece.coded.data {
            Payload::Shared(spans) => spans.iter().map(|span| span.len as usize).sum(),
            _ => 0,
        };
        let bytes = connection.send_draw(Draw {
            id: SCREEN_WINDOW,
            rect,
            coded: Ok(piece.coded),
            sequence,
            flush: piece.flush,
            paint: true,
            speed: Some(piece.speed),
        });
        self.window.sent(sequence, bytes + shared, now);
        self.counts.shared(shared as u64, piece.copied);
        self.sending.get_or_insert(piece.captured);
        self.spend(bytes, now);
        self.counts.drawn(encoding, rect.size(), bytes);
        if let Some(damaged) = piece.damaged.filter(|_| piece.flush == 0) {
            self.counts
                .timed(sequence, damaged, piece.captured, piece.encoded);
        }
    }

    /// Tells the window what pings and the kernel say of the path, and the kernel how much to hold.
    pub(super) fn observe(&mut self, keepalive: &Keepalive, probe: &Probe, now: Instant) {
        if keepalive.last_echo() != self.echoed {
            self.echoed = keepalive.last_echo();
            let taken = keepalive.latencies().last().unwrap_or(0.0);
            let taken = Duration::try_from_secs_f64(taken / 1e3).unwrap_or_default();
            self.window.pinged(taken, now);
        }
        let Some(info) = probe.kernel_info() else {
            return;
        };
        if let Some(min_rtt) = info.min_rtt {
            self.window.observe(
                Network {
                    rtt: info.rtt,
                    min_rtt,
                    retransmits: info.retransmits,
                },
                now,
            );
        }
        let lowat = self.window.lowat();
        if lowat.abs_diff(self.lowat) > self.lowat / 4 && probe.set_notsent_lowat(lowat).is_ok() {
            self.lowat = lowat;
        }
        let pace = self.window.pace(now);
        if pace.abs_diff(self.kernel_pace) > self.kernel_pace / 4 && probe.set_pace(pace).is_ok() {
            self.kernel_pace = pace;
        }
    }

    pub(super) fn acknowledged(&mut self, ack: &DrawAck, screen: &mut Line, dialect: Dialect, now: Instant) {
        let decode = Duration::from_micros(u64::try_from(ack.decode_time).unwrap_or(0));
        let Some(acked) = self.window.acknowledged(ack.sequence, decode, now) else {
            return;
        };
        self.confirmed = self.confirmed.max(ack.sequence);
        self.counts.acknowledged(ack, acked, &self.window, now);
        let failed = match dialect {
            Dialect::G3 => ack.decode_time < 0,
            Dialect::G6 => ack.decode_time == -1,
        };
        if failed {
            self.counts.errors += 1;
            tracing::warn!(client = screen.client.0, message = %ack.message, "the client could not paint a picture");
            // everything again, at a pace that leaves a client in trouble room (`session.md` 1.4)
            let wait = (250 + 100 * self.counts.errors).min(1000);
            if self.counts.errors < 100 {
                screen.send(ScreenCommand::Refresh {
                    client: screen.client,
                    after: Duration::from_millis(wait),
                });
            }
        }
    }

    /// Where on the screen a client's pointer is: clients tell root coordinates of their own, and where their
    /// window is (`session.md` 1.5).
    pub(super) fn place(&self, pointer: &PointerState) -> Point {
        let origin = self.mapped.unwrap_or_default();
        let at = pointer.relative.unwrap_or_else(|| Point {
            x: pointer.position.x.saturating_sub(origin.x),
            y: pointer.position.y.saturating_sub(origin.y),
        });
        let limit = |v: i32, side: u32| {
            v.clamp(
                0,
                i32::try_from(side).unwrap_or(i32::MAX).saturating_sub(1).max(0),
            )
        };
        Point {
            x: limit(at.x, self.screen_size.w),
            y: limit(at.y, self.screen_size.h),
        }
    }

    pub(super) fn key(&mut self, screen: &mut Line, action: KeyAction, now: Instant) {
        self.last_input = now;
        let KeyAction {
            key,
            pressed,
            modifiers,
            ..
        } = action;
        screen.send(ScreenCommand::Input(
            screen.client,
            Input::Key {
                key,
                pressed,
                modifiers,
            },
        ));
    }

    /// The pointer is there now.
    pub(super) fn pointer_at(&mut self, position: Point, now: Instant) {
        let own = |at: Instant| now.saturating_duration_since(at) < Self::OWN_POINTER;
        if !self.pointed.is_some_and(own) {
            self.pointer = Some(position);
        }
    }

    /// A wheel turned, maybe by less than a step: gives the whole steps.
    pub(super) fn wheel_steps(&mut self, button: u8, thousandths: i64) -> u64 {
        let Some(turned) = button
            .checked_sub(4)
            .and_then(|i| self.wheel.get_mut(usize::from(i)))
        else {
            return 0;
        };
        *turned = (*turned + thousandths.unsigned_abs()).min(Self::MAX_STEPS * 1000);
        let steps = *turned / 1000;
        *turned %= 1000;
        steps
    }

    pub(super) fn small_news(&mut self, connection: &mut Connection) {
        if let Some(cursor) = self.cursor.take() {
            connection.send(Packet::Cursor(cursor.into()));
        }
        if let Some(position) = self.pointer.take() {
            connection.send(Packet::PointerPosition {
                id: SCREEN_WINDOW.0,
                position,
                relative: Some(position),
            });
        }
    }

    pub(super) fn resized(&mut self, connection: &mut Connection, size: Size) {
        if std::mem::replace(&mut self.screen_size, size) == size {
            return;
        }
        if self.area_facts.is_some() {
            self.window.fix(frame(size));
        }
        let mut metadata = Value::map();
        metadata.insert("size-constraints", hello::size_constraints(size));
        metadata.insert("size-hints", hello::size_constraints(size));
        connection.send(Packet::WindowMetadata(SCREEN_WINDOW, metadata));
        connection.send(Packet::WindowResized {
            id: SCREEN_WINDOW,
            size,
            counter: 0,
        });
        connection.send(Packet::DesktopSize(size));
    }

    pub(super) fn quality(&mut self, name: &str, value: i64, screen: &mut Line) {
        let Some(takes) = &mut self.takes else { return };
        let Ok(value @ 0..=100) = u8::try_from(value) else {
            return;
        };
        match name {
            "quality" => {
                (takes.min_quality, takes.max_quality) = (value.max(1), value.max(1));
                takes.lossless_only = value == 100;
            }
            "min-quality" => {
                takes.min_quality = value.max(1);
                takes.max_quality = takes.max_quality.max(takes.min_quality);
            }
            _ => takes.speed = value,
        }
        screen.send(ScreenCommand::Takes {
            client: screen.client,
            takes: takes.clone(),
        });
    }

    pub(super) fn choose_encoding(&mut self, name: &str, screen: &mut Line) {
        let Some(takes) = &mut self.takes else { return };
        let family: &[Encoding] = match name {
            "rgb" | "rgb24" | "rgb32" => &[Encoding::Rgb32, Encoding::Rgb24],
            "png" => &[Encoding::Png, Encoding::PngP],
            "jpeg" => &[Encoding::Jpeg],
            "webp" => &[Encoding::Webp],
            _ => &[],
        };
        let wanted: Vec<_> = self
            .listed
            .iter()
            .copied()
            .filter(|e| family.contains(e))
            .collect();
        takes.encodings = if wanted.is_empty() {
            self.listed.clone()
        } else {
            wanted
        };
        screen.send(ScreenCommand::Takes {
            client: screen.client,
            takes: takes.clone(),
        });
    }

    pub(super) fn view(&self) -> super::info::SessionView<'_> {
        super::info::SessionView {
            caps: &self.caps,
            window: &self.window,
            counts: &self.counts,
            takes: self.takes.as_ref(),
            screen: self.screen_size,
            mapped: self.mapped.is_some(),
            bandwidth_limit: self.bandwidth_limit,
            detects: self.detects,
            refresh_rate: self.pace.rate(),
            last_input: self.last_input,
            bandwidth: &self.bandwidth,
            wanting: self.wanting,
            area: self.area_facts.as_ref(),
        }
    }
}

/// Bytes of a whole picture: as much of an area may be in use before the next picture has to wait.
pub(super) fn frame(size: Size) -> usize {
    usize::try_from(size.area().saturating_mul(4)).unwrap_or(usize::MAX)
}
