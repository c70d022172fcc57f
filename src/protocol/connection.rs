//! [`Connection`]: bytes in, events out; packets in, bytes out.

mod login;

use super::close::{CloseReason, TimedOut};
use super::encryption::{Encryption, EncryptionError, KeyExchange};
use super::keepalive::Keepalive;
use super::ledger::Ledger;
use super::negotiate::network_capabilities;
use super::reason;
use super::stats::{Queued, Stats};
use crate::codec::{
    Coding, DecodeError, Decoder, Dialect, EncodeError, Encoder, Flags, Limits, Value, ValueRef,
};
use crate::packet::{Capabilities, ClipboardContents, ClipboardToken, Contents, Draw, Names, Packet, Side};
use crate::types::Latencies;
use bytes::{Bytes, BytesMut};
use compact_str::CompactString;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a connection is told when it is made.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// How long the peer may take to answer a challenge, a server's as well as a client's to check the answer
    /// (`endpoints.md` c.2: 120 s).
    pub challenge_timeout: Duration,
    /// Encrypts all packets; a peer that does not is refused. `None` refuses peers that do.
    pub encryption: Option<Encryption>,
    /// How long the peer may take to say hello (`endpoints.md` c.2: 20 s).
    pub login_timeout: Duration,
    /// Time between pings; `None` sends none of our own (peers' are still answered).
    pub ping_interval: Option<Duration>,
    /// How long a ping may go unanswered (`session.md` 3.2: 60 s).
    pub ping_timeout: Duration,
    /// How long a client's hello may go unanswered before the server counts as silent.
    pub hello_silence: Duration,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            challenge_timeout: Duration::from_secs(120),
            encryption: None,
            login_timeout: Duration::from_secs(20),
            ping_interval: Some(Duration::from_secs(5)),
            ping_timeout: Duration::from_secs(60),
            hello_silence: Duration::from_secs(1),
        }
    }
}

/// What a connection tells its owner.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The peer's hello. A server answers with [`Connection::accept`], [`Connection::answer`],
    /// [`Connection::challenge`] or [`Connection::close`]; a client is connected now.
    Hello(Capabilities),
    /// The peer is silent: a client's hello, or a ping, should have been answered by now; or this process slept and
    /// does not know.
    Silent,
    /// The peer is not silent after all.
    Heard,
    /// A packet of the session. A client answers [`Packet::Challenge`] with [`Connection::respond`] or
    /// [`Connection::close`].
    Packet(Packet),
    /// The end; nothing follows.
    Closed(CloseReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waiting for the peer's hello.
    Hello,
    /// Our owner has to answer: a server the peer's hello, a client the peer's challenge.
    Deciding,
    /// Server: waiting for the hello that answers our challenge.
    Challenged,
    /// The session runs.
    Established,
    /// A goodbye is queued; nothing more is read.
    Closing,
    /// Over.
    Closed,
}

/// One end of one connection.
///
/// The driver reads the stream into [`read_buf`](Self::read_buf) and calls [`received`](Self::received), takes
/// events until there are none, writes what [`transmit`](Self::transmit) holds, and calls
/// [`handle_timeout`](Self::handle_timeout) when [`deadline`](Self::deadline) passed.
///
/// # Logging in
///
/// A server gets [`Event::Hello`] and may answer it with [`challenge`](Self::challenge) instead of
/// [`accept`](Self::accept). The client gets [`Packet::Challenge`] and calls [`respond`](Self::respond), which sends
/// another hello; the server finds `challenge_response` and `challenge_client_salt` in the capabilities of another
/// [`Event::Hello`], and so on until it accepts (`wire.md` 5.1, 5.2). While either owner has to answer, nothing the
/// peer sends reaches it but the end.
///
/// # Encryption
///
/// With [`ConnectionConfig::encryption`] both ends agree on keys with every hello and challenge, unseen by the owner.
/// Nothing but a client's first hello and a server's refusal leaves in plain, and nothing but the one is read. What
/// goes wrong with it ends the connection with [`CloseReason::Encryption`].
#[derive(Debug)]
pub struct Connection {
    side: Side,
    dialect: Dialect,
    state: State,
    decoder: Decoder,
    encoder: Encoder,
    exchange: Option<KeyExchange>,
    /// True until a packet was decrypted with the key in use.
    is_unproven: bool,
    names: Names,
    keepalive: Keepalive,
    /// When the peer has to have said what we wait for, before the session.
    login_deadline: Option<Instant>,
    challenge_timeout: Duration,
    /// Challenges sent or received.
    challenges: u32,
    /// A plain-text refusal being received (clients only).
    refusal: Option<Vec<u8>>,
    /// Packets not encoded yet: everything but pictures.
    queue: VecDeque<Packet>,
    /// Weight of the queue: what its packets cost in memory, roughly in units of 256 bytes.
    queued: usize,
    /// Encoded and not yet taken by the stream.
    out: VecDeque<Bytes>,
    closed: Option<CloseReason>,
    reported: bool,
    /// The latency the peer measures itself, from its echoes.
    peer_latency: Latencies,
    peer_pings: bool,
    stats: Stats,
    /// What another connection would have to send again, when the session can go on over another.
    ledger: Option<Ledger>,
    /// Bytes came since the keepalive was told.
    heard: bool,
    /// Client: when the server should have answered the hello.
    hello_due: Option<Instant>,
    /// What the owner was told of the peer's silence.
    told_silent: bool,
}

impl Connection {
    /// Encoded control bytes beyond which no more are encoded until the stream takes some.
    const OUT_MARK: usize = 64 << 10;
    /// Weight of queued packets beyond which the peer is not read: it must take answers before it may ask for more.
    const QUEUE_MARK: usize = 1024;
    /// Longest plain-text refusal shown.
    const REFUSAL_MAX: usize = 4096;

    /// The server's end of a new connection.
    pub fn server(config: &ConnectionConfig, now: Instant) -> Self {
        Self::new(Side::Server, Dialect::G6, config, now)
    }

    /// The client's end of a new connection: opens in `dialect` with these capabilities (those of the wire are
    /// added).
    pub fn client(
        config: &ConnectionConfig,
        dialect: Dialect,
        mut hello: Capabilities,
        now: Instant,
    ) -> Self {
        let mut connection = Self::new(Side::Client, dialect, config, now);
        network_capabilities(&mut hello, dialect);
        if connection.announce(&mut hello) {
            connection.push(Packet::Hello(hello));
        }
        connection
    }

    fn new(side: Side, dialect: Dialect, config: &ConnectionConfig, now: Instant) -> Self {
        let coding = match dialect {
            Dialect::G3 => Coding::Rencode,
            Dialect::G6 => Coding::Rencodeplus,
        };
        let encryption = config.encryption.clone();
        Self {
            side,
            dialect,
            state: State::Hello,
            decoder: Decoder::new(Limits::before_hello()),
            encoder: Encoder::new(coding),
            exchange: encryption.map(|encryption| KeyExchange::new(encryption, side, dialect)),
            is_unproven: false,
            names: Names::default(),
            keepalive: Keepalive::new(config.ping_interval, config.ping_timeout, now),
            login_deadline: Some(now + config.login_timeout),
            challenge_timeout: config.challenge_timeout,
            challenges: 0,
            refusal: None,
            queue: VecDeque::new(),
            queued: 0,
            out: VecDeque::new(),
            closed: None,
            reported: false,
            peer_latency: Latencies::default(),
            peer_pings: false,
            stats: Stats::default(),
            ledger: None,
            heard: false,
            hello_due: (side == Side::Client).then(|| now + config.hello_silence),
            told_silent: false,
        }
    }

    /// Where the driver reads into.
    pub fn read_buf(&mut self) -> &mut BytesMut {
        self.decoder.read_buf()
    }

    /// `n` bytes were read into [`read_buf`](Self::read_buf).
    pub fn received(&mut self, n: usize) {
        self.stats.bytes_in += n as u64;
        self.heard |= n > 0;
    }

    /// The stream ended.
    pub fn received_eof(&mut self) {
        if let Some(text) = self.refusal.take() {
            return self.end(CloseReason::Refused(refusal_text(&text)));
        }
        let silent = self.stats.bytes_in == 0;
        self.end(CloseReason::PeerClosed {
            silent,
            truncated: !self.decoder.is_idle(),
        });
    }

    /// The stream failed.
    pub fn failed(&mut self, error: &std::io::Error) {
        if self.refusal.is_some() {
            return self.received_eof();
        }
        self.end(CloseReason::Io(error.to_string()));
    }

    /// Whether the driver should read: false when over, or while the peer does not take our answers.
    pub fn wants_read(&self) -> bool {
        !matches!(self.state, State::Closing | State::Closed) && self.queued < Self::QUEUE_MARK
    }

    /// The next event, decoding no more than needed for it.
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        loop {
            if let Some(reason) = &self.closed {
                let reason = reason.clone();
                return (!std::mem::replace(&mut self.reported, true)).then_some(Event::Closed(reason));
            }
            if let Some(event) = self.silence(now) {
                return Some(event);
            }
            if self.refusal.is_some() {
                self.read_refusal();
                if self.refusal.is_some() {
                    return None;
                }
                continue;
            }
            if !self.wants_read() {
                return None;
            }
            let raw = match self.decoder.poll() {
                Ok(Some(raw)) => raw,
                Ok(None) => return None,
                Err(error) => {
                    self.undecodable(error);
                    continue;
                }
            };
            self.stats.packets_in += 1;
            let name = raw.items.clone().next().and_then(ValueRef::as_bytes);
            Stats::count(&mut self.stats.received, name);
            let flags = raw.flags;
            match Packet::parse(raw.items, self.side.other()) {
                Ok(packet) => {
                    self.is_unproven &= matches!(packet, Packet::Unknown(_));
                    if let Some(event) = self.handle(packet, flags, now) {
                        return Some(event);
                    }
                }
                Err(error) => self.broken(&error),
            }
        }
    }

    /// Whether the peer's silence is news.
    fn silence(&mut self, now: Instant) -> Option<Event> {
        let is_silent = match self.state {
            State::Hello => {
                self.hello_due = self.hello_due.filter(|_| !self.heard);
                self.hello_due.is_some_and(|at| now >= at)
            }
            State::Established => {
                if std::mem::take(&mut self.heard) {
                    self.keepalive.listen(true, now);
                }
                self.keepalive.is_silent()
            }
            _ => false,
        };
        let was = std::mem::replace(&mut self.told_silent, is_silent);
        // before the session the hello itself is what is heard
        let is_news = was != is_silent && (is_silent || self.state == State::Established);
        is_news.then_some(if is_silent { Event::Silent } else { Event::Heard })
    }

    fn handle(&mut self, packet: Packet, flags: Flags, now: Instant) -> Option<Event> {
        if let Some(ledger) = &mut self.ledger
            && let Some(count) = ledger.heard(&packet)
        {
            self.push(Packet::Received(count));
        }
        match (self.state, packet) {
            (_, Packet::Disconnect { reason, details }) => {
                self.end(CloseReason::Disconnected { reason, details });
                None
            }
            (State::Hello | State::Challenged, Packet::Hello(caps)) => {
                self.handle_hello(caps, flags, now).map(Event::Hello)
            }
            (State::Hello, packet @ Packet::Challenge { .. }) if self.side == Side::Client => {
                self.challenged(packet, flags).map(Event::Packet)
            }
            // some answers come without a hello (`session.md` e: screenshot)
            (State::Hello, packet @ Packet::Screenshot { .. }) if self.side == Side::Client => {
                Some(Event::Packet(packet))
            }
            // a peer that pings before it has our hello gets no echo that would come first
            (State::Deciding | State::Challenged, Packet::Ping { .. }) => None,
            (State::Hello | State::Challenged, _) => {
                self.protocol_error("expected a hello packet".into());
                None
            }
            (_, Packet::Hello(_)) => {
                self.protocol_error("a second hello".into());
                None
            }
            (_, Packet::Challenge { .. }) => {
                self.protocol_error("a challenge out of turn".into());
                None
            }
            // who is not let in yet has nothing to say
            (State::Deciding, _) => None,
            (_, Packet::Ping { time, source }) => {
                self.answer_ping(time, source);
                None
            }
            (_, echo @ Packet::PingEcho { time, latency, .. }) => {
                self.keepalive.notice_sleep(now);
                let answered = self.keepalive.echo(time, now);
                if latency >= 0 {
                    #[expect(clippy::cast_precision_loss, reason = "milliseconds far below 2^52")]
                    self.peer_latency.add(latency.min(1 << 30) as f64);
                }
                // the owner may have pinged on its own account
                answered.is_none().then_some(Event::Packet(echo))
            }
            (_, Packet::SetDeflate(level)) => {
                if let Ok(level @ 0..=9) = u8::try_from(level) {
                    self.compression_level(level);
                }
                // 3.1 clients expect it back (`session.md` 1.1)
                (self.side == Side::Server).then(|| self.send(Packet::SetDeflate(level)));
                None
            }
            (_, Packet::Received(count)) => {
                if !self.ledger.as_mut().is_some_and(|ledger| ledger.confirm(count)) {
                    self.protocol_error("confirms packets that were not sent".into());
                }
                None
            }
            (_, packet) => Some(Event::Packet(packet)),
        }
    }

    /// The peer asks for another compression level; which compressor stays as negotiated.
    fn compression_level(&mut self, level: u8) {
        if let Some((compressor, _)) = self.encoder.compression() {
            self.encoder.set_compression(compressor, level);
        }
    }

    fn answer_ping(&mut self, time: i64, source: CompactString) {
        let latency = self.keepalive.latencies().last();
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds, saturating")]
        let latency = latency.map_or(-1, |ms| ms as i64);
        let load = [0; 3];
        // an echo must not wait behind other answers, except for our hello: nothing may come before that; and an earlier
        // ping is answered first, or its sender thinks that it got lost
        let precedes = |packet: &&Packet| matches!(packet, Packet::Hello(_) | Packet::PingEcho { .. });
        let first = self.queue.iter().take_while(precedes).count();
        let echo = Packet::PingEcho {
            time,
            load,
            latency,
            source,
        };
        self.queued += weight(&echo);
        self.queue.insert(first, echo);
    }

    fn read_refusal(&mut self) {
        let more = self.decoder.read_buf().split();
        let Some(text) = &mut self.refusal else { return };
        let room = Self::REFUSAL_MAX.saturating_sub(text.len());
        text.extend(more.iter().take(room));
        if text.contains(&b'\n') || text.len() >= Self::REFUSAL_MAX {
            let text = refusal_text(text);
            self.refusal = None;
            self.end(CloseReason::Refused(text));
        }
    }

    fn protocol_error(&mut self, what: String) {
        if self.state != State::Hello {
            self.say_goodbye(reason::PROTOCOL_ERROR, &what);
        }
        self.finish(CloseReason::Protocol(what));
    }

    /// Queues a packet. Pictures go through [`send_draw`](Self::send_draw).
    pub fn send(&mut self, packet: Packet) {
        // also what this connection cannot carry any more; a peer that does not confirm what it gets has to do
        // without another
        if self.ledger.as_mut().is_some_and(|ledger| !ledger.sent(&packet)) {
            self.ledger = None;
        }
        if !matches!(self.state, State::Closing | State::Closed) {
            self.push(packet);
        }
    }

    /// Keeps what another connection would have to send again, from now on. Both ends begin right after the server's
    /// hello.
    pub fn keep_ledger(&mut self) {
        self.ledger = Some(Ledger::default());
    }

    /// What was kept, for the next connection of the session.
    pub const fn take_ledger(&mut self) -> Option<Ledger> {
        self.ledger.take()
    }

    /// Goes on with the session of an earlier connection, right after the server's hello: sends again what the peer,
    /// which has `received` so many packets, has not got. False when that cannot be.
    pub fn resume(&mut self, mut ledger: Ledger, received: u64) -> bool {
        if !ledger.confirm(received) {
            return false;
        }
        for packet in ledger.unconfirmed() {
            self.push(packet.clone());
        }
        self.ledger = Some(ledger);
        true
    }

    /// There is reason to think that the peer cannot be reached: it counts as silent until it is heard.
    pub fn suspect(&mut self, now: Instant) {
        if self.state == State::Established {
            self.keepalive.doubt();
            self.ping(now);
        }
    }

    /// Asks soon whether the peer is there.
    pub fn ask_soon(&mut self) {
        if self.state == State::Established {
            self.keepalive.hasten();
        }
    }

    fn ping(&mut self, now: Instant) {
        let time = self.keepalive.sent(now);
        let source = CompactString::default();
        self.send(Packet::Ping { time, source });
    }

    /// Ends at once and without a word: the session goes on over another connection.
    pub fn abandon(&mut self) {
        self.end(CloseReason::Abandoned);
    }

    fn push(&mut self, packet: Packet) {
        self.queued += weight(&packet);
        self.queue.push_back(packet);
    }

    /// True while the peer is slow to take what was sent: news that can be left out should be.
    pub fn is_congested(&self) -> bool {
        self.queued >= Self::QUEUE_MARK / 4
    }

    /// Encodes a picture right now; call it only when [`wants_picture`](Self::wants_picture). Returns its bytes
    /// on the wire.
    pub fn send_draw(&mut self, draw: Draw) -> usize {
        if self.state != State::Established {
            return 0;
        }
        // a picture may depend on what was said before it: the window's size, for one
        while let Some(packet) = self.queue.pop_front() {
            self.encode(packet, true);
        }
        self.queued = 0;
        let more = draw.flush > 0;
        self.encode(Packet::Draw(draw), more)
    }

    /// What waits to be sent.
    pub fn queued(&self) -> Queued {
        Queued {
            packets: self.queue.len(),
            encoded_bytes: self.out.iter().map(Bytes::len).sum(),
        }
    }

    /// True when nothing else waits to be sent.
    pub fn wants_picture(&self) -> bool {
        self.state == State::Established && self.queue.is_empty() && self.out.is_empty()
    }

    /// Says goodbye: the reason is sent, then the stream should be closed.
    pub fn close(&mut self, reason: &'static str, details: impl Into<String>) {
        if matches!(self.state, State::Closing | State::Closed) {
            return;
        }
        let details = details.into();
        self.say_goodbye(reason, &details);
        self.finish(CloseReason::Local { reason, details });
    }

    fn say_goodbye(&mut self, reason: &'static str, details: &str) {
        let details = Some(details).filter(|details| !details.is_empty());
        self.push(Packet::Disconnect {
            reason: reason.into(),
            details: details.into_iter().map(CompactString::from).collect(),
        });
    }

    /// Encodes queued packets and gives what to write. The driver takes what the stream accepted off the front
    /// and calls [`transmitted`](Self::transmitted).
    pub fn transmit(&mut self) -> &mut VecDeque<Bytes> {
        let mut held: usize = self.out.iter().map(Bytes::len).sum();
        while held < Self::OUT_MARK {
            let Some(packet) = self.queue.pop_front() else {
                break;
            };
            self.queued = self.queued.saturating_sub(weight(&packet));
            let more = !self.queue.is_empty();
            held += self.encode(packet, more);
        }
        if self.state == State::Closing && self.queue.is_empty() && self.out.is_empty() {
            self.state = State::Closed;
        }
        &mut self.out
    }

    fn encode(&mut self, packet: Packet, more: bool) -> usize {
        if !self.may_leave(&packet) {
            // a session cannot go on like that
            if self.state == State::Established {
                self.end(CloseReason::Encryption(EncryptionError::Missing.to_string()));
            }
            return 0;
        }
        let items = packet.into_items(&self.names);
        match self.encoder.encode(&items, more, &mut self.out) {
            Ok(n) => {
                self.stats.packets_out += 1;
                Stats::count(&mut self.stats.sent, items.first().and_then(Value::as_bytes));
                n
            }
            Err(error @ EncodeError::Cipher(_)) => {
                self.end(CloseReason::Encryption(error.to_string()));
                0
            }
            Err(error) => {
                tracing::error!(%error, packet = ?items.first(), "a packet could not be encoded and is dropped");
                0
            }
        }
    }

    /// What is encoded already, without encoding more.
    pub fn transmit_queue(&mut self) -> &mut VecDeque<Bytes> {
        &mut self.out
    }

    /// The stream took `n` bytes.
    pub fn transmitted(&mut self, n: usize) {
        self.stats.bytes_out += n as u64;
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Hello => {
                let silent = self.hello_due.filter(|_| !self.told_silent);
                silent.into_iter().chain(self.login_deadline).min()
            }
            State::Deciding | State::Challenged => self.login_deadline,
            State::Established => self.keepalive.deadline(),
            State::Closing | State::Closed => None,
        }
    }

    /// Sends what is due and ends what is overdue.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Hello | State::Deciding | State::Challenged
                if self.login_deadline.is_some_and(|at| now >= at) =>
            {
                self.login_timed_out();
            }
            State::Established => {
                self.keepalive.woke(now);
                self.keepalive.listen(std::mem::take(&mut self.heard), now);
                if self.keepalive.expired(now) {
                    self.say_goodbye(reason::CLIENT_PING_TIMEOUT, "");
                    self.finish(CloseReason::TimedOut(TimedOut::Ping));
                } else if self.keepalive.is_due(now) {
                    self.ping(now);
                }
            }
            _ => {}
        }
    }

    /// Ends at once: nothing more is sent.
    fn end(&mut self, reason: CloseReason) {
        self.queue.clear();
        self.queued = 0;
        self.out.clear();
        self.state = State::Closed;
        self.closed.get_or_insert(reason);
    }

    /// Ends after what is queued has been sent.
    fn finish(&mut self, reason: CloseReason) {
        self.state = State::Closing;
        self.closed.get_or_insert(reason);
    }

    /// True when nothing is left to read, write or wait for.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// True once a goodbye is being sent or all is over.
    pub fn is_ending(&self) -> bool {
        matches!(self.state, State::Closing | State::Closed)
    }

    /// The dialect spoken.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Counters so far.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The peer's kernel took more of what was sent: it is busy rather than gone, and an echo may take longer.
    pub const fn peer_is_alive(&mut self, now: Instant) {
        self.keepalive.alive(now);
    }

    /// Our own pings and what they measured.
    pub const fn keepalive(&self) -> &Keepalive {
        &self.keepalive
    }

    /// The latency the peer measures, in milliseconds.
    pub const fn peer_latency(&self) -> &Latencies {
        &self.peer_latency
    }

    /// The packet encoding and compression level in use.
    pub const fn encoder(&self) -> &Encoder {
        &self.encoder
    }
}

impl Side {
    /// The other end.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What a queued packet costs, in units of about 256 bytes.
pub(super) fn weight(packet: &Packet) -> usize {
    match packet {
        Packet::ClipboardContents(ClipboardContents {
            contents: Contents::Text(text),
            ..
        })
        | Packet::ClipboardToken(ClipboardToken { text: Some(text), .. }) => 1 + text.len() / 256,
        Packet::Screenshot { data, .. } => 1 + data.len() / 256,
        Packet::FileChunk(chunk) => 1 + chunk.data.len() / 256,
        // a tree of values
        Packet::InfoResponse(_) => 64,
        _ => 1,
    }
}

fn refusal_text(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}

fn plain_refusal(error: &DecodeError) -> Bytes {
    match error {
        DecodeError::NotXpra(text) if is_http(text) => Bytes::from_static(
            b"HTTP/1.1 400 Bad request syntax or unsupported method\r\nContent-Type: text/html\r\n\
              Connection: close\r\n\r\n<html><head><title>400 Bad Request</title></head>\
              <body>This is an xpra port: HTTP is not enabled here.</body></html>\n",
        ),
        error => Bytes::from(format!("disconnect: connection failed, {error}\n")),
    }
}

fn is_http(text: &[u8]) -> bool {
    [&b"GET "[..], b"POST ", b"HEAD ", b"PUT ", b"OPTIONS "]
        .iter()
        .any(|method| text.starts_with(method))
}
