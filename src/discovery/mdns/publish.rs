//! What a server says about itself, and for which of its sockets (`endpoints.md` g.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{MdnsError, Network, SERVICE, daemon};
use crate::address::TransportKind;
use crate::transport::Listener;

/// How long the goodbyes may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long an SSH server on this machine may take to accept.
const SSH_PROBE: Duration = Duration::from_millis(500);

/// The bytes a label of a name may have.
const LABEL: usize = 63;

/// The bytes of a value that is published: with its key it must fit into 255.
const VALUE: usize = 200;

/// A server, as its records describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The machine's name.
    pub hostname: String,
    /// The display, with its colon.
    pub display: String,
    /// The session's owner.
    pub username: String,
    /// The server's identity.
    pub uuid: String,
    /// `shadow`, `seamless` and so on.
    pub session_type: String,
    /// The session's name; `None` hides it (`XPRA_MDNS_EXPOSE_NAME=0`).
    pub session_name: Option<String>,
    /// How many clients there are; `None` hides it (`XPRA_MDNS_CLIENT_COUNT=0`).
    pub clients: Option<usize>,
}

/// A way in that is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Where it is; a wildcard stands for every address of the machine.
    pub address: SocketAddr,
    /// What is spoken there, its own mode first.
    pub modes: Vec<TransportKind>,
}

/// The ways in that these listeners are, seen from the network.
///
/// With each goes what its connections may turn into; `ssh_port` is the port of the machine's SSH server, by which
/// unix sockets can be reached. Left out are sockets that only this machine can reach, and those with the option
/// `mdns=no`.
pub fn offers<'a>(
    listeners: impl IntoIterator<Item = (&'a Listener, Vec<TransportKind>)>,
    ssh_port: Option<u16>,
) -> Vec<Offer> {
    let mut offers = Vec::new();
    for (listener, upgrades) in listeners {
        if listener.options().flag("mdns") == Some(false) {
            continue;
        }
        let offer = match (listener.kind(), listener.address()) {
            (TransportKind::Socket, _) => ssh_port.map(|port| Offer {
                address: SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port),
                modes: vec![TransportKind::Ssh],
            }),
            (kind, Some(address)) if listener.is_exposed() => Some(Offer {
                address,
                modes: modes(kind, &upgrades),
            }),
            _ => None,
        };
        offers.extend(offer.filter(|offer| !offers.contains(offer)));
    }
    offers
}

/// The modes a port of that kind speaks.
fn modes(kind: TransportKind, upgrades: &[TransportKind]) -> Vec<TransportKind> {
    let may_become = |mode: &&TransportKind| match kind {
        TransportKind::Tcp => **mode != kind,
        TransportKind::Ssl | TransportKind::Ws => **mode == TransportKind::Wss,
        _ => false,
    };
    let upgraded = upgrades.iter().filter(may_become);
    [kind].iter().chain(upgraded).copied().collect()
}

/// `port`, if somebody listens on it here: unix sockets are only published when there is an SSH server.
pub async fn ssh_server(port: u16) -> Option<u16> {
    let connecting = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    matches!(timeout(SSH_PROBE, connecting).await, Ok(Ok(_))).then_some(port)
}

/// Publishes a server for as long as it is kept. Dropping it says goodbye, so that nobody goes on offering it.
pub struct Publisher {
    daemon: ServiceDaemon,
    about: About,
    records: Vec<Record>,
}

/// One published service.
#[derive(Debug)]
struct Record {
    name: String,
    mode: TransportKind,
    address: SocketAddr,
}

impl Publisher {
    /// Begins to publish `offers`.
    pub fn new(offers: &[Offer], about: About, network: Network) -> Result<Self, MdnsError> {
        let publisher = Self {
            records: records(offers, &about),
            daemon: daemon(network)?,
            about,
        };
        publisher.publish()?;
        for record in &publisher.records {
            tracing::debug!("published by mDNS: '{}' on {}", record.name, record.address);
        }
        Ok(publisher)
    }

    /// Tells how many clients there are now and what the session is called; hidden facts stay hidden.
    pub fn update(&mut self, clients: usize, session_name: &str) -> Result<(), MdnsError> {
        let about = About {
            clients: self.about.clients.map(|_| clients),
            session_name: self.about.session_name.as_ref().map(|_| session_name.to_owned()),
            ..self.about.clone()
        };
        if about == self.about {
            return Ok(());
        }
        self.about = about;
        self.publish()
    }

    /// Withdraws what was published for the listener at `address`, which closes. Returns when the goodbye is said.
    pub async fn withdraw(&mut self, address: SocketAddr) -> Result<(), MdnsError> {
        let leaving: Vec<_> = self
            .records
            .extract_if(.., |record| record.address == address)
            .collect();
        for record in leaving {
            let said = self.daemon.unregister(&full_name(&record.name))?;
            let _late = timeout(GOODBYE, said.recv_async()).await;
        }
        Ok(())
    }

    fn publish(&self) -> Result<(), MdnsError> {
        for record in &self.records {
            self.daemon.register(record.service(&self.about)?)?;
        }
        Ok(())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Without waiting the process might be gone before its thread has sent the goodbyes.
        let goodbye = self.daemon.shutdown().map(|said| said.recv_timeout(GOODBYE));
        if let Err(error) = goodbye {
            tracing::debug!("no goodbye by mDNS: {error}");
        }
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("about", &self.about)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

/// One record for each mode of each offer. Names differ: a second port of the same mode gets a number.
fn records(offers: &[Offer], about: &About) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for offer in offers {
        for mode in &offer.modes {
            let earlier = records.iter().filter(|record| record.mode == *mode).count();
            records.push(Record {
                name: instance(about, *mode, earlier + 1),
                mode: *mode,
                address: offer.address,
            });
        }
    }
    records
}

/// `box-10-ssl`, and `box-10-ssl-2` for the second such port.
fn instance(about: &About, mode: TransportKind, nth: usize) -> String {
    let plain = |text: &str| {
        let kept = |c: char| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        };
        text.chars().map(kept).collect::<String>()
    };
    let mut end = format!("-{}", plain(about.display.trim_start_matches(':')));
    if mode != TransportKind::Tcp {
        end += &format!("-{mode}");
    }
    if nth > 1 {
        end += &format!("-{nth}");
    }
    let host = plain(about.hostname.split('.').next().unwrap_or_default());
    let room = LABEL.saturating_sub(end.len());
    let name = format!("{}{end}", cut(&host, room));
    cut(&name, LABEL).to_owned()
}

impl Record {
    fn service(&self, about: &About) -> Result<ServiceInfo, MdnsError> {
        let failed = |error: mdns_sd::Error| MdnsError::Record {
            name: self.name.clone(),
            reason: error.to_string(),
        };
        // The host is named after the service, as xpra does: the machine's own name may be somebody else's to publish,
        // and other services of this host may have other addresses.
        let host = format!("{}.local.", self.name);
        let (ip, port) = (self.address.ip().to_canonical(), self.address.port());
        let addresses: &[IpAddr] = if ip.is_unspecified() { &[] } else { &[ip] };
        let txt = txt(about, self.mode);
        let service =
            ServiceInfo::new(SERVICE, &self.name, &host, addresses, port, &txt[..]).map_err(failed)?;
        if !ip.is_unspecified() {
            return Ok(service);
        }
        let mut service = service.enable_addr_auto();
        if ip.is_ipv4() {
            service.set_interfaces(vec![IfKind::IPv4]);
        }
        Ok(service)
    }
}

/// What the record says beyond host and port.
fn txt(about: &About, mode: TransportKind) -> Vec<(&'static str, String)> {
    let mut txt = vec![
        ("mode", mode.name().to_owned()),
        ("display", about.display.clone()),
        ("username", about.username.clone()),
        ("uuid", about.uuid.clone()),
        ("platform", std::env::consts::OS.to_owned()),
        ("type", about.session_type.clone()),
    ];
    let name = about.session_name.iter().filter(|name| !name.is_empty());
    txt.extend(name.map(|name| ("name", name.clone())));
    txt.extend(about.clients.map(|clients| ("clients", clients.to_string())));
    for (_, value) in &mut txt {
        value.truncate(cut(value, VALUE).len());
    }
    txt
}

fn full_name(name: &str) -> String {
    format!("{name}.{SERVICE}")
}

/// The beginning of `text`, at most so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            hostname: "box.example.org".to_owned(),
            display: ":10".to_owned(),
            username: "bob".to_owned(),
            uuid: "u".repeat(32),
            session_type: "shadow".to_owned(),
            session_name: Some(String::new()),
            clients: Some(0),
        }
    }

    #[test]
    fn names_are_those_of_xpra_and_differ() {
        let offer = |port, modes: &[TransportKind]| Offer {
            address: SocketAddr::from(([0, 0, 0, 0], port)),
            modes: modes.to_vec(),
        };
        let offers = [
            offer(1, &[TransportKind::Tcp, TransportKind::Ssl]),
            offer(2, &[TransportKind::Tcp]),
            offer(3, &[TransportKind::Ssl]),
        ];
        let records = records(&offers, &about());
        let names: Vec<_> = records.iter().map(|record| record.name.as_str()).collect();
        assert_eq!(names, ["box-10", "box-10-ssl", "box-10-2", "box-10-ssl-2"]);
        let long = About {
            hostname: "h".repeat(100),
            display: format!(":{}", "9".repeat(100)),
            ..about()
        };
        assert_eq!(instance(&long, TransportKind::Ssl, 12).len(), LABEL);
        for record in &records {
            record.service(&about()).unwrap();
        }
    }

    #[test]
    fn records_tell_what_they_should() {
        let told = |about: &About| {
            let txt = txt(about, TransportKind::Wss);
            txt.into_iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let uuid = "u".repeat(32);
        assert_eq!(
            told(&about()),
            format!("mode=wss display=:10 username=bob uuid={uuid} platform=linux type=shadow clients=0")
        );
        let named = About {
            session_name: Some("é".repeat(1000)),
            clients: None,
            ..about()
        };
        assert!(told(&named).ends_with(&format!("name={}", "é".repeat(VALUE / 2))));
        assert!(!told(&named).contains("clients"));
    }

    #[test]
    fn a_port_speaks_what_it_may_become() {
        use TransportKind::{Ssh, Ssl, Tcp, Ws, Wss};
        let upgrades = [Ssl, Ws, Wss];
        assert_eq!(modes(Tcp, &upgrades), [Tcp, Ssl, Ws, Wss]);
        assert_eq!(modes(Ssl, &upgrades), [Ssl, Wss]);
        assert_eq!(modes(Ws, &upgrades), [Ws, Wss]);
        assert_eq!(modes(Ws, &[Ssl]), [Ws]);
        assert_eq!(modes(Wss, &upgrades), [Wss]);
        assert_eq!(modes(Ssh, &upgrades), [Ssh]);
    }
}
