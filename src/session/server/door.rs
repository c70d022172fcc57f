//! What happens to a link before its peer may say hello: which protocol is it, is that let in here, and what has to be
//! taken off it first (`endpoints.md` c.1).
//!
//! One port serves all of them: TLS is taken off and what is inside looked at again, HTTP is answered until it becomes a
//! WebSocket. What cannot be let in is refused by the session, which has the words for it in every dialect.

use super::web::WebFacts;
use super::{Facts, HubRequest};
use crate::address::{Options, TransportKind};
use crate::auth::{Chain, Peer};
use crate::codec::Value;
use crate::packet::Capabilities;
use crate::protocol::{ConnectionConfig, Encryption};
use crate::transport::ssh::{self, SshServer};
use crate::transport::tls::ServerTls;
use crate::transport::{Link, LinkInfo, Spoken};
use crate::web::{Outcome, Port, Site, WebSockets, serve};
use hyper::header::{HeaderMap, HeaderValue};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};

/// How a listener treats those who come in through it.
#[derive(Debug)]
pub struct Door {
    /// What its bind option says is spoken there; some kinds let in more than one protocol.
    pub kind: TransportKind,
    /// What they have to pass before they may use the session.
    pub auth: Arc<Chain>,
    /// How packets are encrypted; then nothing goes through that is not.
    pub encryption: Option<Encryption>,
    /// TLS, where it may be or has to be spoken.
    pub tls: Option<ServerTls>,
    /// What is spoken inside TLS on a port for several protocols (`--ssl=tcp|www`).
    pub inside_tls: InsideTls,
    /// Browsers that would rather have https are sent there (`--ssl=on`).
    pub insists_on_tls: bool,
    /// SSH, where it may be or has to be spoken.
    pub ssh: Option<Arc<SshServer>>,
    /// What browsers get; without it there is no HTTP.
    pub site: Option<Arc<Site>>,
    /// Whether HTTP may become a WebSocket.
    pub websockets: bool,
    /// The options of the listener's bind value: requests that are forbidden here, `readonly`.
    pub options: Options,
}

/// What may be spoken inside TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InsideTls {
    /// Whatever may be spoken outside.
    #[default]
    Any,
    /// Nothing but HTTP.
    Http,
    /// Nothing but xpra's protocol.
    Xpra,
}

/// Somebody who may say hello.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) link: Link,
    /// The headers of the request that became a WebSocket.
    pub(super) headers: BTreeMap<String, String>,
    /// Why it will not be let in all the same.
    pub(super) refusal: Option<&'static str>,
    /// Who it is was proven already.
    pub(super) is_known: bool,
}

/// What is said to those who said too little in time (`wire.md` 1.9).
const LOGIN_TIMEOUT: &[u8] = b"disconnect: login timeout\n";
/// What is said to those who speak what is not spoken there (`wire.md` 1.9).
const WRONG_PROTOCOL: &str = "invalid protocol for this port";
/// How long a refusal may take to be written.
const FAREWELL: Duration = Duration::from_secs(1);
/// What modules are shown of a hello.
const MAX_CAPABILITIES: usize = 256;

/// A door that is open to all on this machine.
impl Default for Door {
    fn default() -> Self {
        Self {
            kind: TransportKind::Socket,
            auth: Arc::default(),
            encryption: None,
            tls: None,
            inside_tls: InsideTls::Any,
            insists_on_tls: false,
            ssh: None,
            site: None,
            websockets: false,
            options: Options::new(),
        }
    }
}

impl Door {
    /// Takes off a link what is wrapped around xpra's protocol; `None` when nothing is left of it.
    ///
    /// Until `deadline` the peer may take to show what it speaks, and for the handshakes that follow from it.
    pub(super) async fn enter(
        &self,
        mut link: Link,
        deadline: Instant,
        facts: &Arc<Facts>,
        hub: &mpsc::UnboundedSender<HubRequest>,
    ) -> Option<Visitor> {
        let peer = link.info.peer.clone();
        let mut spoken = match timeout_at(deadline.into(), self.spoken(&mut link)).await {
            Ok(Ok(spoken)) => spoken,
            Ok(Err(error)) => return ended(&peer, &error),
            Err(_) => {
                refuse(link, LOGIN_TIMEOUT).await;
                return None;
            }
        };
        if let (Spoken::Tls, Some(tls)) = (spoken, &self.tls) {
            match timeout_at(deadline.into(), inside(tls, link)).await {
                Ok(Ok(inside)) => (spoken, link) = inside,
                Ok(Err(error)) => return ended(&peer, &error),
                Err(_) => return ended(&peer, &io::ErrorKind::TimedOut.into()),
            }
        }
        let is_taken = self.takes(spoken, &link.info);
        match spoken {
            // looked whether someone listens
            Spoken::Nothing => None,
            Spoken::Http if is_taken && let Some(site) = &self.site => {
                let facts = WebFacts::new(
                    Arc::clone(facts),
                    hub.clone(),
                    Arc::clone(&self.auth),
                    self.allows("info"),
                );
                match serve(link, site, self.port(), Arc::new(facts)).await {
                    Outcome::Left => None,
                    Outcome::Upgraded(upgrade) => {
                        let (link, asked) = upgrade.into_link();
                        Some(Visitor::new(link).with(&asked.headers))
                    }
                }
            }
            Spoken::Ssh if is_taken && let Some(server) = &self.ssh => {
                let served = if self.greets() {
                    ssh::serve_greeted(link, server).await
                } else {
                    ssh::serve(link, server).await
                };
                match served {
                    Ok(link) => Some(Visitor {
                        // who logged in was asked for what the door asks for
                        is_known: link.info.username.is_some(),
                        ..Visitor::new(link)
                    }),
                    Err(error) => ended(&peer, &error),
                }
            }
            // what is not understood is refused by the session, in words
            _ => Some(Visitor {
                refusal: (!is_taken).then_some(WRONG_PROTOCOL),
                ..Visitor::new(link)
            }),
        }
    }

    /// What the peer speaks.
    async fn spoken(&self, link: &mut Link) -> io::Result<Spoken> {
        if self.greets() {
            ssh::greet(link).await?;
        }
        Spoken::of(link).await
    }

    /// Whether nothing but SSH is spoken here, which the peer is told first.
    const fn greets(&self) -> bool {
        matches!(self.kind, TransportKind::Ssh) && self.ssh.is_some()
    }

    /// Whether this protocol is spoken here, on a link on which those around it have been dealt with.
    fn takes(&self, spoken: Spoken, info: &LinkInfo) -> bool {
        let is_tls = info.tls.is_some();
        match self.kind {
            TransportKind::Ssh => spoken == Spoken::Ssh,
            TransportKind::Ssl => is_tls,
            TransportKind::Ws => spoken == Spoken::Http,
            TransportKind::Wss => is_tls && spoken == Spoken::Http,
            _ if is_tls => match self.inside_tls {
                InsideTls::Any => true,
                InsideTls::Http => spoken == Spoken::Http,
                InsideTls::Xpra => spoken == Spoken::Xpra,
            },
            _ => true,
        }
    }

    fn port(&self) -> Port {
        let is_web = matches!(self.kind, TransportKind::Ws | TransportKind::Wss);
        Port {
            hides_facts: self.encryption.is_some(),
            needs_password: !self.auth.is_empty(),
            redirects_to_tls: self.insists_on_tls && self.tls.is_some(),
            websockets: if self.websockets || is_web {
                WebSockets::Binary
            } else {
                WebSockets::Off
            },
        }
    }

    /// Whether nobody on the way can read along, whoever comes in here.
    pub fn is_encrypted(&self) -> bool {
        self.encryption.is_some()
            || matches!(
                self.kind,
                TransportKind::Ssl | TransportKind::Wss | TransportKind::Ssh
            )
    }

    /// What connections through here may turn into.
    pub fn upgrades(&self) -> Vec<TransportKind> {
        let (tls, web) = (self.tls.is_some(), self.site.is_some() && self.websockets);
        let upgrades = [
            (TransportKind::Ssl, tls && self.inside_tls != InsideTls::Http),
            (TransportKind::Ws, web),
            (
                TransportKind::Wss,
                tls && web && self.inside_tls != InsideTls::Xpra,
            ),
            (TransportKind::Ssh, self.ssh.is_some()),
        ];
        upgrades
            .into_iter()
            .filter_map(|(kind, may)| may.then_some(kind))
            .collect()
    }

    /// Whether a request of that name may be made here: `info=no` among the socket's options forbids it.
    pub(super) fn allows(&self, request: &str) -> bool {
        self.options.flag(&request.replace('_', "-")) != Some(false)
    }

    /// Whether those who come in here may only look.
    pub(super) fn is_readonly(&self) -> bool {
        self.options.flag("readonly") == Some(true)
    }

    /// What connections through here are told.
    pub(super) fn connection(&self, config: &ConnectionConfig) -> ConnectionConfig {
        ConnectionConfig {
            encryption: self.encryption.clone(),
            ..config.clone()
        }
    }

    /// Who a hello says its sender is, for the modules.
    pub(super) fn peer(
        &self,
        info: &LinkInfo,
        headers: &BTreeMap<String, String>,
        caps: &Capabilities,
    ) -> Peer {
        Peer {
            username: caps.text("username").map(Cow::into_owned),
            headers: headers.clone(),
            capabilities: texts(caps),
            ..Peer::new(LinkInfo {
                is_private: info.is_private || self.encryption.is_some(),
                ..info.clone()
            })
        }
    }
}

impl Visitor {
    const fn new(link: Link) -> Self {
        Self {
            link,
            headers: BTreeMap::new(),
            refusal: None,
            is_known: false,
        }
    }

    fn with(self, headers: &HeaderMap) -> Self {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)));
        Self {
            headers: headers.collect(),
            ..self
        }
    }
}

/// What is spoken inside TLS.
async fn inside(tls: &ServerTls, link: Link) -> io::Result<(Spoken, Link)> {
    let mut link = tls.accept(link).await?;
    if link.info.kind == TransportKind::Tcp {
        link.info.kind = TransportKind::Ssl;
    }
    let spoken = Spoken::of(&mut link).await?;
    Ok((spoken, link))
}

/// Nothing came of it.
fn ended(peer: &str, error: &io::Error) -> Option<Visitor> {
    tracing::debug!(%peer, %error, "ended before it began");
    None
}

/// The capabilities that are text, numbers or truths, as text.
fn texts(caps: &Capabilities) -> BTreeMap<String, String> {
    let Value::Map(pairs) = caps.as_value() else {
        return BTreeMap::new();
    };
    let pairs = pairs.iter().take(MAX_CAPABILITIES).filter_map(|(key, value)| {
        let text = match value {
            Value::Bool(truth) => truth.to_string(),
            value => match value.as_int() {
                Some(number) => number.to_string(),
                None => value.as_text()?.into_owned(),
            },
        };
        Some((key.as_text()?.into_owned(), text))
    });
    pairs.collect()
}

/// Tells a peer why it is not let in, if it listens.
async fn refuse(mut link: Link, text: &[u8]) {
    let farewell = async {
        link.stream.write_all(text).await?;
        link.stream.shutdown().await
    };
    let _deaf = timeout(FAREWELL, farewell).await;
}

/// Where a peer's limits are counted: nowhere for one on this machine.
pub(super) fn source(info: &LinkInfo) -> Option<IpAddr> {
    let address: SocketAddr = info.peer.parse().ok().filter(|_| !info.is_local)?;
    Some(address.ip())
}
