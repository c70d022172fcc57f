//! What happens to a link before its peer may say hello: which protocol is it, is that let in here, and what has to be
//! taken off it first (`endpoints.md` c.1).

use crate::address::Options;
use crate::auth::{Chain, Peer};
use crate::packet::Capabilities;
use crate::protocol::ConnectionConfig;
use crate::transport::{Link, LinkInfo, Spoken};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::time::{timeout, timeout_at};

/// How a listener treats those who come in through it.
#[derive(Debug, Default)]
pub struct Door {
    /// What they have to pass before they may use the session.
    pub auth: Arc<Chain>,
    /// The options of the listener's bind value: requests that are forbidden here, `readonly`.
    pub options: Options,
}

/// What is said to those who said too little in time (`wire.md` 1.9).
const LOGIN_TIMEOUT: &[u8] = b"disconnect: login timeout\n";

/// How long a refusal may take to be written.
const FAREWELL: Duration = Duration::from_secs(1);

impl Door {
    /// Takes off a link what is wrapped around xpra's protocol; `None` when nothing is left of it.
    ///
    /// Until `deadline` the peer may take to show what it speaks, and for the handshakes that follow from it.
    pub(super) async fn enter(&self, mut link: Link, deadline: Instant) -> Option<Link> {
        let peer = link.info.peer.clone();
        match timeout_at(deadline.into(), Spoken::of(&mut link)).await {
            // looked whether someone listens
            Ok(Ok(Spoken::Nothing)) => None,
            // what is not understood is refused by the session, in words
            Ok(Ok(_)) => Some(link),
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "ended before it began");
                None
            }
            Err(_) => {
                refuse(link, LOGIN_TIMEOUT).await;
                None
            }
        }
    }
}

impl Door {
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
        config.clone()
    }

    /// Who a hello says its sender is, for the modules.
    pub(super) fn peer(&self, info: &LinkInfo, caps: &Capabilities) -> Peer {
        Peer {
            username: caps.text("username").map(Cow::into_owned),
            ..Peer::new(info.clone())
        }
    }
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
