//! What others say about themselves, as far as it can be believed (`endpoints.md` g.2).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use mdns_sd::{Receiver, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent};
use tokio::time::timeout;

use super::{MdnsError, Network, SERVICE, daemon};

/// Services remembered: more are a joke at our cost.
const MAX_FOUND: usize = 256;

/// Addresses of one service that are looked at.
const MAX_ENDPOINTS: usize = 16;

/// Characters of a value that is only shown.
const MAX_TEXT: usize = 128;

/// A service that was found. Its texts are printable and short; nothing else about them is certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What tells it from others: the full name of the service.
    pub key: String,
    /// The host's name.
    pub host: String,
    /// The port, which is that of the SSH server when the mode is ssh.
    pub port: u16,
    /// The addresses of the host, IPv4 first.
    pub endpoints: Vec<Endpoint>,
    /// How to connect: `tcp`, `ssl`, …
    pub mode: String,
    /// The display.
    pub display: String,
    /// The session's owner.
    pub username: String,
    /// The server's identity.
    pub uuid: String,
    /// The operating system.
    pub platform: String,
    /// `shadow`, `seamless`, …
    pub session_type: String,
    /// The session's name.
    pub session_name: String,
    /// How many clients are there, if it tells.
    pub clients: Option<u32>,
}

/// An address of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The address.
    pub ip: IpAddr,
    /// The interface of this machine that leads there.
    pub interface: String,
}

impl Found {
    /// The URL of that endpoint; `None` when a part of it is not plain: it may be meant for a shell or a terminal.
    pub fn url(&self, endpoint: &Endpoint) -> Option<String> {
        let display = self.display.trim_start_matches(':');
        let user = match self.username.as_str() {
            "" => String::new(),
            name => format!("{name}@"),
        };
        let port = self.port;
        let host = match endpoint.ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) if !ip.is_unicast_link_local() => format!("[{ip}]"),
            IpAddr::V6(_) if endpoint.interface.is_empty() => return None,
            IpAddr::V6(ip) => format!("[{ip}%{}]", endpoint.interface),
        };
        let is_plain = is_mode(&self.mode) && is_name(display) && is_name(&self.username);
        is_plain.then(|| format!("{}://{user}{host}:{port}/{display}", self.mode))
    }

    fn new(service: &ResolvedService, network: Network) -> Self {
        let text = |key: &str| printable(service.get_property_val_str(key).unwrap_or_default());
        let mut endpoints: Vec<_> = service
            .addresses
            .iter()
            .flat_map(endpoints)
            .filter(|endpoint| may_be_remote(endpoint.ip, network))
            .collect();
        endpoints.sort();
        endpoints.dedup();
        endpoints.truncate(MAX_ENDPOINTS);
        Self {
            key: service.fullname.clone(),
            host: printable(service.host.trim_end_matches('.')),
            port: service.port,
            endpoints,
            mode: text("mode"),
            display: text("display"),
            username: text("username"),
            uuid: text("uuid"),
            platform: text("platform"),
            session_type: text("type"),
            session_name: text("name"),
            clients: text("clients").parse().ok(),
        }
    }
}

/// The address as often as there are interfaces that lead to it.
fn endpoints(address: &ScopedIp) -> Vec<Endpoint> {
    let endpoint = |interface: &str| Endpoint {
        ip: address.to_ip_addr(),
        interface: printable(interface),
    };
    match address {
        ScopedIp::V4(v4) if !v4.interface_ids().is_empty() => {
            v4.interface_ids().iter().map(|id| endpoint(&id.name)).collect()
        }
        ScopedIp::V6(v6) => vec![endpoint(&v6.scope_id().name)],
        _ => vec![endpoint("")],
    }
}

/// False for addresses that would lead to this machine itself, or to nobody.
fn may_be_remote(ip: IpAddr, network: Network) -> bool {
    let ip = ip.to_canonical();
    (!ip.is_loopback() || network == Network::Loopback) && !ip.is_unspecified() && !ip.is_multicast()
}

/// `[a-z0-9+-]{1,16}`.
fn is_mode(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-".contains(c);
    (1..=16).contains(&text.len()) && text.chars().all(allowed)
}

/// `[A-Za-z0-9._-]{1,128}`, or nothing at all; no leading dash, which programs would take for an option.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.len() <= 128 && text.chars().all(allowed) && !text.starts_with('-')
}

/// The text without what would do something to a terminal, and not too long.
fn printable(text: &str) -> String {
    let kept = |c: char| {
        if c.is_control() || is_invisible(c) { '?' } else { c }
    };
    text.chars().take(MAX_TEXT).map(kept).collect()
}

/// Characters that change how others are shown: directions, joiners, marks of byte order.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Looks for sessions until it is dropped.
pub struct Browser {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    network: Network,
}

/// What a browser learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    Found(Box<Found>),
    Gone(String),
}

impl Browser {
    /// Begins to look.
    pub fn new(network: Network) -> Result<Self, MdnsError> {
        let daemon = daemon(network)?;
        let events = daemon.browse(SERVICE)?;
        Ok(Self {
            daemon,
            events,
            network,
        })
    }

    /// Waits for the next service, or for news about one; `None` when there will be no more. Dropping the future
    /// loses nothing.
    pub async fn next(&mut self) -> Option<Found> {
        loop {
            if let News::Found(found) = self.news().await? {
                return Some(*found);
            }
        }
    }

    pub(super) async fn news(&mut self) -> Option<News> {
        loop {
            match self.events.recv_async().await.ok()? {
                ServiceEvent::ServiceResolved(service) => {
                    return Some(News::Found(Box::new(Found::new(&service, self.network))));
                }
                ServiceEvent::ServiceRemoved(_, key) => return Some(News::Gone(key)),
                _ => {}
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its thread ends when it has seen this: nobody has to wait for that.
        if let Err(error) = self.daemon.shutdown() {
            tracing::debug!("mDNS: {error}");
        }
    }
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser")
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

/// The services that are there after having looked for so long, by name.
pub async fn browse(network: Network, patience: Duration) -> Result<Vec<Found>, MdnsError> {
    let mut browser = Browser::new(network)?;
    let mut found = BTreeMap::new();
    let looking = async {
        while let Some(news) = browser.news().await {
            match news {
                News::Found(service) if found.len() < MAX_FOUND || found.contains_key(&service.key) => {
                    found.insert(service.key.clone(), *service);
                }
                News::Found(_) => {}
                News::Gone(key) => drop(found.remove(&key)),
            }
        }
    };
    let _time_is_up = timeout(patience, looking).await;
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        Found {
            key: "box-10._xpra._tcp.local.".to_owned(),
            host: "box-10.local".to_owned(),
            port: 10000,
            endpoints: Vec::new(),
            mode: "tcp".to_owned(),
            display: ":10".to_owned(),
            username: "bob".to_owned(),
            uuid: String::new(),
            platform: String::new(),
            session_type: String::new(),
            session_name: String::new(),
            clients: None,
        }
    }

    fn endpoint(ip: &str) -> Endpoint {
        Endpoint {
            ip: ip.parse().unwrap(),
            interface: "eth0".to_owned(),
        }
    }

    #[test]
    fn urls() {
        let urls = ["192.168.1.5", "2001:db8::1", "fe80::1"].map(|ip| found().url(&endpoint(ip)).unwrap());
        assert_eq!(
            urls,
            [
                "tcp://bob@192.168.1.5:10000/10",
                "tcp://bob@[2001:db8::1]:10000/10",
                "tcp://bob@[fe80::1%eth0]:10000/10"
            ]
        );
        let nobody = Found {
            username: String::new(),
            display: String::new(),
            ..found()
        };
        assert_eq!(
            nobody.url(&endpoint("10.0.0.1")).unwrap(),
            "tcp://10.0.0.1:10000/"
        );
        for url in urls {
            url.parse::<crate::address::Address>().unwrap();
        }
    }

    #[test]
    fn what_is_not_plain_is_no_address() {
        let long = "x".repeat(129);
        for wrong in ["", "TCP", "tcp;", "a234567890123456x", "t cp"] {
            let found = Found {
                mode: wrong.to_owned(),
                ..found()
            };
            assert_eq!(found.url(&endpoint("10.0.0.1")), None, "{wrong}");
        }
        for wrong in ["-oProxyCommand", "a b", "a/b", "$(x)", "a@b", "é", &long] {
            let user = Found {
                username: wrong.to_owned(),
                ..found()
            };
            let display = Found {
                display: wrong.to_owned(),
                ..found()
            };
            assert_eq!(user.url(&endpoint("10.0.0.1")), None, "{wrong}");
            assert_eq!(display.url(&endpoint("10.0.0.1")), None, "{wrong}");
        }
    }

    #[test]
    fn texts_are_harmless() {
        assert_eq!(printable("a\x1b[2Jb\nc\u{202e}d"), "a?[2Jb?c?d");
        assert_eq!(printable(&"é".repeat(1000)).chars().count(), MAX_TEXT);
        for (ip, lan, loopback) in [
            ("127.0.0.1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("::1", false, true),
            ("0.0.0.0", false, false),
            ("224.0.0.251", false, false),
            ("10.0.0.1", true, true),
        ] {
            let ip = ip.parse().unwrap();
            assert_eq!(may_be_remote(ip, Network::Lan), lan, "{ip}");
            assert_eq!(may_be_remote(ip, Network::Loopback), loopback, "{ip}");
        }
    }
}
