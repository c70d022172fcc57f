//! Files from one end of a session to the other.
//!
//! A file is announced; once the other end took that, its chunks follow in the [last lane](Bulk), as fast as the
//! [`Window`] they share with pictures lets them, and what acknowledges a chunk tells the window that it arrived.
//! What [comes](incoming) is saved in one folder, under a name that was free, and kept only when it is what was announced.

mod download;
mod incoming;
mod outgoing;
mod source;
#[cfg(test)]
mod tests;

pub use outgoing::Refused;
pub use source::Source;

use crate::codec::Value;
use crate::delivery::{Bulk, Window};
use crate::packet::{Capabilities, FileAck, Packet};
use crate::protocol::Connection;
use incoming::Incoming;
use outgoing::Outgoing;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Transfers at once, each way (as many as xpra).
const MAX_TRANSFERS: usize = 10;

/// Bytes of a chunk at most.
const MAX_CHUNK: usize = Bulk::MOST;

/// What one end allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileRules {
    /// Files may be sent and are taken.
    pub allowed: bool,
    /// Bytes of the largest.
    pub limit: u64,
    /// Where those that come are saved.
    pub folder: PathBuf,
}

impl FileRules {
    /// What the other end is told: 6.x reads a dictionary, and bytes, 3.1 and HTML5 flat keys, and megabytes.
    pub(super) fn describe(&self, caps: &mut Capabilities) {
        let mut file = Value::map();
        file.insert("enabled", self.allowed);
        if self.allowed {
            file.insert("ask", false);
            file.insert("size-limit", self.limit);
            file.insert("chunks", MAX_CHUNK);
            for never in ["open", "open-ask", "open-url", "open-url-ask"] {
                file.insert(never, false);
            }
        }
        caps.set("file", file)
            .set("file-transfer", self.allowed)
            .set("file-transfer-ask", false)
            .set("file-size-limit", self.limit >> 20)
            .set("file-chunks", MAX_CHUNK)
            .set("open-files", false)
            .set("open-url", false)
            .set("printing", false);
    }
}

/// The files of one session, both ways.
#[derive(Debug)]
pub(super) struct Files {
    incoming: Incoming,
    outgoing: Outgoing,
    bulk: Bulk,
    /// When to look again whether a chunk may go.
    at: Option<Instant>,
}

impl Files {
    /// With an end that said this of itself.
    pub(super) fn new(rules: FileRules, caps: &Capabilities) -> Self {
        Self {
            outgoing: Outgoing::new(rules.allowed, rules.limit, caps),
            incoming: Incoming::new(rules),
            bulk: Bulk::default(),
            at: None,
        }
    }

    /// Sends a file, to be opened there if that is allowed.
    pub(super) fn send(
        &mut self,
        source: Arc<Source>,
        open: bool,
        connection: &mut Connection,
    ) -> Result<(), Refused> {
        let packet = self.outgoing.send(source, open, connection.dialect())?;
        connection.send(packet);
        Ok(())
    }

    /// Whether a packet is about files.
    pub(super) const fn concerns(packet: &Packet) -> bool {
        matches!(
            packet,
            Packet::FileAck(_)
                | Packet::FileAnswer(..)
                | Packet::FileChunk(_)
                | Packet::FileQuestion(_)
                | Packet::FileStart(_)
        )
    }

    /// Handles a packet that [concerns](Self::concerns) it; any other is none of its business.
    pub(super) fn packet(
        &mut self,
        packet: Packet,
        connection: &mut Connection,
        window: &mut Window,
        now: Instant,
    ) {
        let answer = match packet {
            Packet::FileStart(start) => self.incoming.start(start, now).map(Packet::FileAck),
            Packet::FileChunk(chunk) => Some(Packet::FileAck(self.incoming.chunk(&chunk, now))),
            Packet::FileAck(ack) => {
                self.acknowledged(&ack, window, now);
                None
            }
            Packet::FileQuestion(question) => {
                let yes = self.incoming.would_take(&question);
                Some(Packet::FileAnswer(question.question, yes))
            }
            Packet::FileAnswer(question, yes) => self
                .outgoing
                .answered(&question, yes, connection.dialect())
                .map(Packet::FileStart),
            _ => None,
        };
        if let Some(answer) = answer {
            connection.send(answer);
        }
    }

    fn acknowledged(&mut self, ack: &FileAck, window: &mut Window, now: Instant) {
        for sequence in self.outgoing.acknowledged(ack) {
            window.acknowledged(sequence, Duration::ZERO, now);
        }
    }

    /// Whether there are chunks to send.
    pub(super) fn is_sending(&self) -> bool {
        self.outgoing.is_ready()
    }

    /// Nothing else waits to be written: sends a chunk, if it may go; gives its bytes. `calm` tells that there is no
    /// picture to be sent before it.
    pub(super) fn go_on(
        &mut self,
        connection: &mut Connection,
        window: &mut Window,
        calm: bool,
        now: Instant,
    ) -> usize {
        self.at = None;
        if !self.is_sending() || !connection.wants_picture() {
            return 0;
        }
        if !self.bulk.may_go(window, calm, now) {
            self.at = self.bulk.goes_at(window, calm, now);
            return 0;
        }
        let Some((chunk, sequence)) = self.outgoing.next(Bulk::piece(window)) else {
            return 0;
        };
        let bytes = chunk.data.len();
        connection.send(Packet::FileChunk(chunk));
        self.bulk.sent(window, sequence, bytes, now);
        bytes
    }

    /// When [`go_on`](Self::go_on) wants to be called again, though nothing happened.
    pub(super) const fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Nothing can be sent before then.
    pub(super) const fn wait_until(&mut self, at: Instant) {
        self.at = Some(at);
    }

    /// That time has come.
    pub(super) fn woke(&mut self, now: Instant) {
        self.at = self.at.filter(|at| now < *at);
    }

    /// The session goes on over another connection: what was on its way is sent again.
    pub(super) fn moved(&mut self) {
        self.at = None;
        self.bulk = Bulk::default();
        self.outgoing.rewind();
    }
}
