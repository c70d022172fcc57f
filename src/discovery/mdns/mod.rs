//! Sessions on the network: servers publish themselves and clients look for them by mDNS (`endpoints.md` g).
//!
//! mdns-sd speaks the protocol on a thread of its own; what is published and what is believed is decided here.
//! Everything a [`Found`] holds comes from whoever cared to answer: it is checked and cut when it arrives, and an
//! address is only offered when all its parts are plain.

mod browse;
mod publish;
#[cfg(test)]
mod tests;

pub use self::browse::{Browser, Endpoint, Found, browse};
pub use self::publish::{About, Offer, Publisher, offers, ssh_server};

use mdns_sd::{IfKind, ServiceDaemon};

/// The service type of every TCP mode; which one it is says the record.
const SERVICE: &str = "_xpra._tcp.local.";

/// Where to publish or to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Every interface but the loopback ones.
    #[default]
    Lan,
    /// This machine's loopback interface alone.
    Loopback,
}

/// Why mDNS is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MdnsError {
    /// No socket or thread for it.
    #[error("cannot use mDNS: {0}; is UDP port 5353 taken by a program that does not share it?")]
    Daemon(String),
    /// A record that nobody could read.
    #[error("cannot publish '{name}' by mDNS: {reason}")]
    Record {
        /// The name of the service.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl From<mdns_sd::Error> for MdnsError {
    fn from(error: mdns_sd::Error) -> Self {
        Self::Daemon(error.to_string())
    }
}

/// A responder and querier on that network.
fn daemon(network: Network) -> Result<ServiceDaemon, MdnsError> {
    let daemon = ServiceDaemon::new()?;
    match network {
        Network::Lan => daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?,
        Network::Loopback => {
            daemon.disable_interface(IfKind::All)?;
            daemon.enable_interface(IfKind::LoopbackV4)?;
        }
    }
    Ok(daemon)
}
