//! The way into a session: hellos, challenges and their encryption (`wire.md` 4.2, 5.1, 5.2).

use super::{Connection, State, plain_refusal};
use crate::codec::{DecodeError, Dialect, Flags, Limits};
use crate::packet::{Capabilities, Packet, Side};
use crate::protocol::close::{CloseReason, TimedOut};
use crate::protocol::encryption::{EncryptionError, KeyExchange};
use crate::protocol::negotiate::{check_version, negotiate, network_capabilities};
use crate::protocol::reason;
use bytes::Bytes;
use std::fmt::Display;
use std::time::Instant;

/// Challenges of one connection: each module of a server may need some.
const MAX_CHALLENGES: u32 = 32;
/// What the answer to a challenge and its padding come to (`wire.md` 5.2).
const RESPONSE_SIZE: usize = 512;
/// The least padding.
const MIN_PADDING: usize = 32;

/// What an owner says.
impl Connection {
    /// Server: the hello is accepted; `hello` is the answer (capabilities of the wire are added).
    pub fn accept(&mut self, mut hello: Capabilities, now: Instant) {
        if self.state != State::Deciding || !self.announce(&mut hello) {
            return;
        }
        network_capabilities(&mut hello, self.dialect);
        self.push(Packet::Hello(hello));
        self.establish(now);
    }

    /// Server: answers a one-shot request with this packet; the requester closes the connection.
    pub fn answer(&mut self, mut packet: Packet) {
        let mut nobody = Capabilities::default();
        // whoever gets no hello gets no keys, and has nothing more to say
        let caps = match &mut packet {
            Packet::Hello(caps) => caps,
            _ => &mut nobody,
        };
        if self.state != State::Deciding || !self.announce(caps) {
            return;
        }
        self.push(packet);
        self.state = State::Established;
        self.decoder.set_limits(Limits::after_hello());
    }

    /// Server: asks for proof instead of accepting the hello; the answer comes as another
    /// [`Event::Hello`](crate::protocol::Event::Hello).
    ///
    /// A salt is good for one challenge. `digest` says how the answer is made of the password, `salt_digest` how
    /// the salts are combined, `prompt` what a person is asked for.
    pub fn challenge(
        &mut self,
        salt: impl Into<Bytes>,
        digest: &str,
        salt_digest: &str,
        prompt: &str,
        now: Instant,
    ) {
        if self.side != Side::Server || self.state != State::Deciding {
            return;
        }
        self.challenges += 1;
        if self.challenges > MAX_CHALLENGES {
            return self.close(reason::AUTHENTICATION_FAILED, "too many challenges");
        }
        let mut capabilities = Capabilities::default();
        if !self.announce(&mut capabilities) {
            return;
        }
        self.push(Packet::Challenge {
            salt: salt.into(),
            capabilities: capabilities.into_value(),
            digest: digest.into(),
            salt_digest: salt_digest.into(),
            prompt: prompt.into(),
        });
        self.state = State::Challenged;
        self.login_deadline = Some(now + self.challenge_timeout);
    }

    /// Server: the hello need not be answered before then, because who checks it has a time limit of its own.
    pub fn decide_by(&mut self, deadline: Instant) {
        if self.side == Side::Server && self.state == State::Deciding {
            self.login_deadline = Some(deadline);
        }
    }

    /// Client: answers a challenge with another hello of these capabilities (those of the wire are added).
    pub fn respond(
        &mut self,
        mut hello: Capabilities,
        response: impl Into<Bytes>,
        client_salt: impl Into<Bytes>,
        now: Instant,
    ) {
        if self.side != Side::Client || self.state != State::Deciding || !self.announce(&mut hello) {
            return;
        }
        let response = response.into();
        // it hides the length of the answer; nobody reads it, and hellos of clients are not compressed
        let padding = RESPONSE_SIZE.saturating_sub(response.len()).max(MIN_PADDING);
        network_capabilities(&mut hello, self.dialect);
        hello
            .set("challenge_response", response)
            .set("challenge_client_salt", client_salt.into())
            .set("challenge_padding", Bytes::from(vec![0; padding]));
        self.push(Packet::Hello(hello));
        self.state = State::Hello;
        self.login_deadline = Some(now + self.challenge_timeout);
    }
}

/// What a peer says, and does not say.
impl Connection {
    /// Client: the server wants an answer before its hello.
    pub(super) fn challenged(&mut self, challenge: Packet, flags: Flags) -> Option<Packet> {
        self.challenges += 1;
        if self.challenges > MAX_CHALLENGES {
            self.protocol_error("too many challenges".into());
            return None;
        }
        if flags.dialect() != self.dialect {
            self.protocol_error("a challenge in another dialect than our hello".into());
            return None;
        }
        if self.exchange.is_some()
            && let Packet::Challenge { capabilities, .. } = &challenge
            && !self.follow(&Capabilities::from_value(capabilities.clone()))
        {
            return None;
        }
        // somebody may have to type the answer; how long that may take is the server's affair
        self.login_deadline = None;
        self.state = State::Deciding;
        Some(challenge)
    }

    pub(super) fn handle_hello(
        &mut self,
        caps: Capabilities,
        flags: Flags,
        now: Instant,
    ) -> Option<Capabilities> {
        if self.state == State::Challenged && flags.dialect() != self.dialect {
            self.protocol_error("a second hello in another dialect than the first".into());
            return None;
        }
        self.dialect = flags.dialect();
        let negotiated = negotiate(&caps, self.dialect, &mut self.encoder);
        // what answers a request may be encrypted without asking us to: there is nothing more to say
        let is_answer = self.side == Side::Client && !KeyExchange::is_asked_for(&caps);
        if !is_answer && !self.follow(&caps) {
            return None;
        }
        match negotiated {
            Ok(names) => self.names = names,
            // the answers to one-shot requests need not say which encodings their sender decodes
            Err(_) if self.side == Side::Client => {}
            Err(error) => {
                self.close(reason::PROTOCOL_ERROR, error.to_string());
                return None;
            }
        }
        self.peer_pings = self.dialect == Dialect::G3
            || caps.bool("ping").unwrap_or(false)
            || caps.int("network.pings").is_some();
        if self.side == Side::Client {
            self.establish(now);
            return Some(caps);
        }
        // requests for the version are answered whatever the peer's own is
        let version_only = caps.is("version_request") || caps.text("request").is_some_and(|r| r == "version");
        if !version_only && let Err(error) = check_version(&caps, self.dialect) {
            self.close(reason::VERSION_ERROR, error.to_string());
            return None;
        }
        if self.state == State::Challenged {
            self.login_deadline = Some(now + self.challenge_timeout);
        }
        self.state = State::Deciding;
        Some(caps)
    }

    fn establish(&mut self, now: Instant) {
        self.state = State::Established;
        self.login_deadline = None;
        self.decoder.set_limits(Limits::after_hello());
        if self.peer_pings {
            self.keepalive.start(now);
        }
    }

    pub(super) fn undecodable(&mut self, error: DecodeError) {
        match error {
            DecodeError::NotXpra(text) if self.side == Side::Client => {
                self.refusal = Some(text.to_vec());
                self.decoder.read_buf().clear();
            }
            DecodeError::Cipher | DecodeError::CipherFailed(_) | DecodeError::Key | DecodeError::Plain => {
                self.encryption_failed(&error);
            }
            error if self.state == State::Hello && self.side == Side::Server => {
                // before any hello a server can only answer in plain text (`wire.md` 1.9)
                self.out.push_back(plain_refusal(&error));
                self.finish(CloseReason::Protocol(error.to_string()));
            }
            error => self.broken(&error),
        }
    }

    /// The peer broke the protocol, or what it sent was decrypted with another key than it was encrypted with.
    pub(super) fn broken(&mut self, error: &impl Display) {
        if self.is_unproven {
            self.encryption_failed(&DecodeError::Key);
        } else {
            self.protocol_error(error.to_string());
        }
    }

    pub(super) fn login_timed_out(&mut self) {
        if self.state != State::Hello {
            self.say_goodbye(reason::LOGIN_TIMEOUT, "");
        } else if self.side == Side::Server {
            // before any hello a server can only answer in plain text (`wire.md` 1.9)
            self.out
                .push_back(Bytes::from_static(b"disconnect: login timeout\n"));
        }
        self.finish(CloseReason::TimedOut(TimedOut::Login));
    }
}

/// Encryption.
impl Connection {
    /// Tells the peer how to encrypt what it sends from now on; false when that was the end.
    pub(super) fn announce(&mut self, caps: &mut Capabilities) -> bool {
        let Some(exchange) = &self.exchange else {
            return true;
        };
        match exchange.announce(caps) {
            Ok(decryptor) => {
                self.decoder.set_decryptor(decryptor);
                self.is_unproven = true;
                true
            }
            Err(error) => {
                self.encryption_failed(&error);
                false
            }
        }
    }

    /// Encrypts what we send from now on as the peer's capabilities tell; false when that was the end.
    fn follow(&mut self, caps: &Capabilities) -> bool {
        let followed = match &mut self.exchange {
            Some(exchange) => exchange.follow(caps, self.dialect).map(Some),
            None if self.side == Side::Server && KeyExchange::is_asked_for(caps) => {
                Err(EncryptionError::NotConfigured)
            }
            None => Ok(None),
        };
        match followed {
            Ok(encryptor) => {
                if let Some(encryptor) = encryptor {
                    self.encoder.set_encryptor(encryptor);
                }
                true
            }
            Err(EncryptionError::Missing) if self.side == Side::Server && !self.encoder.encrypts() => {
                // the one refusal that a peer reads as a packet, because it does not encrypt
                let what = EncryptionError::Missing.to_string();
                self.say_goodbye(reason::ENCRYPTION_ERROR, &what);
                self.finish(CloseReason::Encryption(what));
                false
            }
            Err(error) => {
                self.encryption_failed(&error);
                false
            }
        }
    }

    /// Ends with an error of encryption, and tells the peer in a way it can read, if there is one.
    fn encryption_failed(&mut self, error: &impl Display) {
        let what = error.to_string();
        if self.encoder.encrypts() {
            self.say_goodbye(reason::ENCRYPTION_ERROR, &what);
        } else if self.side == Side::Server {
            // no packet would do for a peer that expects encrypted ones
            let text = format!("disconnect: {}, {what}\n", reason::ENCRYPTION_ERROR);
            self.out.push_back(text.into());
        }
        self.finish(CloseReason::Encryption(what));
    }

    /// Whether a packet may be sent as things are: in plain only a client's first hello and a server's refusal.
    pub(super) const fn may_leave(&self, packet: &Packet) -> bool {
        let plain = match self.side {
            Side::Client => matches!(packet, Packet::Hello(_)),
            Side::Server => matches!(packet, Packet::Disconnect { .. }),
        };
        self.exchange.is_none() || self.encoder.encrypts() || plain
    }
}
