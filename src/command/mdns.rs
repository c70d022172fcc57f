//! mDNS for users: `list-mdns`, sessions named as `mdns:NAME`, and the publishing of servers (`endpoints.md` g).

#[cfg(test)]
mod tests;

use super::exit::{ExitCode, Failure};
use super::options::boolean;
use crate::address::{Address, TransportKind};
use crate::discovery::Environment;
use crate::discovery::mdns::{About, Browser, Endpoint, Found, Network, Publisher, offers, ssh_server};
use crate::session::now;
use crate::session::server::{Door, ServerConfig, Summary};
use crate::transport::Listener;
use serde_json::json;
use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{interval, sleep};

/// How long a session is waited for that was asked for by mDNS.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long one is looked for that nobody said is on the network.
const GLANCE: Duration = Duration::from_secs(2);

/// How long the records of one server take to come in.
const SETTLE: Duration = Duration::from_secs(1);

/// How often it is looked whether there is something to print.
const TICK: Duration = Duration::from_millis(200);

/// Services remembered: more are a joke at our cost.
const MAX_FOUND: usize = 256;

/// Modes from the one to use first: those with encryption were set up on purpose, ssh needs an account.
const PREFERRED: [TransportKind; 5] = [
    TransportKind::Ssl,
    TransportKind::Wss,
    TransportKind::Tcp,
    TransportKind::Ws,
    TransportKind::Ssh,
];

/// How long to look.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ListMdnsArgs {
    /// Seconds to wait for answers
    #[arg(value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Lists the sessions that say by mDNS that they are there.
pub(super) async fn list(
    args: &ListMdnsArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let mut browser = browser(environment)?;
    let mut sessions = Sessions::default();
    let mut end = pin!(sleep(Duration::from_secs(args.seconds)));
    let mut tick = interval(TICK);
    if !args.json {
        writeln!(out, "Looking for xpra services via mdns")?;
        out.flush()?;
    }
    loop {
        tokio::select! {
            biased;
            () = &mut end => break,
            Some(found) = browser.next() => sessions.add(found, now()),
            _ = tick.tick(), if !args.json => sessions.print_settled(now(), out)?,
        }
    }
    if args.json {
        let services: Vec<_> = sessions.0.iter().flat_map(|session| &session.services).collect();
        let services: Vec<_> = services.into_iter().map(to_json).collect();
        writeln!(out, "{:#}", serde_json::Value::from(services))?;
        return Ok(ExitCode::Ok);
    }
    sessions.print_settled(now() + SETTLE, out)?;
    match sessions.0.len() {
        0 => writeln!(out, "no services found")?,
        count => writeln!(out, "{count} services found")?,
    }
    Ok(ExitCode::Ok)
}

/// The sessions found so far, in the order they were found in.
#[derive(Debug, Default)]
struct Sessions(Vec<Session>);

/// The services of one server.
#[derive(Debug)]
struct Session {
    since: Instant,
    is_printed: bool,
    /// By name.
    services: Vec<Found>,
}

impl Sessions {
    fn add(&mut self, found: Found, now: Instant) {
        let all = || self.0.iter().map(|session| session.services.len()).sum::<usize>();
        if all() >= MAX_FOUND {
            return;
        }
        let known = self.0.iter_mut().find(|session| {
            let first = session.services.first();
            first.is_some_and(|first| is_same_server(first, &found))
        });
        match known {
            Some(session) => {
                session.services.retain(|service| service.key != found.key);
                session.services.push(found);
                session.services.sort_by(|a, b| a.key.cmp(&b.key));
            }
            None => self.0.push(Session {
                since: now,
                is_printed: false,
                services: vec![found],
            }),
        }
    }

    fn print_settled(&mut self, now: Instant, out: &mut dyn Write) -> Result<(), Failure> {
        let settled = |session: &&mut Session| !session.is_printed && now >= session.since + SETTLE;
        for session in self.0.iter_mut().filter(settled) {
            session.print(out)?;
            session.is_printed = true;
        }
        out.flush()?;
        Ok(())
    }
}

/// The server's identity tells; without one host and display do.
fn is_same_server(a: &Found, b: &Found) -> bool {
    if a.uuid.is_empty() {
        (&a.uuid, &a.host, &a.display) == (&b.uuid, &b.host, &b.display)
    } else {
        a.uuid == b.uuid
    }
}

impl Session {
    fn print(&self, out: &mut dyn Write) -> Result<(), Failure> {
        if let Some(first) = self.services.first() {
            writeln!(out, "* user '{}' on '{}'", first.username, first.host)?;
            let (kind, name, uuid) = (&first.session_type, &first.session_name, &first.uuid);
            if !name.is_empty() {
                writeln!(out, " {kind} session '{name}', uuid={uuid}")?;
            } else if !uuid.is_empty() {
                writeln!(out, " uuid={uuid}")?;
            }
        }
        for (service, endpoint) in self.endpoints() {
            let (mode, ip, port) = (&service.mode, endpoint.ip, service.port);
            write!(out, " + {mode} endpoint on host {ip}, port {port}")?;
            match endpoint.interface.as_str() {
                "" => writeln!(out)?,
                interface => writeln!(out, ", interface {interface}")?,
            }
            if let Some(url) = service.url(endpoint) {
                writeln!(out, "   \"{url}\"")?;
            }
        }
        Ok(())
    }

    fn endpoints(&self) -> impl Iterator<Item = (&Found, &Endpoint)> {
        let services = self.services.iter();
        services.flat_map(|service| service.endpoints.iter().map(move |endpoint| (service, endpoint)))
    }

    /// The address to use of those it offers.
    fn best(&self) -> Option<Address> {
        let addresses = self.endpoints().filter_map(|(service, endpoint)| {
            let address: Address = service.url(endpoint)?.parse().ok()?;
            let rank = PREFERRED.iter().position(|kind| address.kind() == Some(*kind))?;
            Some((rank, address))
        });
        addresses
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, address)| address)
    }

    /// Whether a user may mean it by that name: the session's, or the service's as browsers show it.
    fn is_named(&self, name: &str) -> bool {
        let mut services = self.services.iter();
        services.any(|service| {
            let instance = service.key.split("._").next();
            service.session_name == name || instance == Some(name)
        })
    }
}

fn to_json(found: &Found) -> serde_json::Value {
    let endpoints = found.endpoints.iter().map(|endpoint| {
        json!({
            "address": endpoint.ip.to_string(),
            "interface": endpoint.interface,
            "url": found.url(endpoint),
        })
    });
    json!({
        "service": found.key,
        "host": found.host,
        "port": found.port,
        "mode": found.mode,
        "display": found.display,
        "username": found.username,
        "uuid": found.uuid,
        "platform": found.platform,
        "type": found.session_type,
        "session-name": found.session_name,
        "clients": found.clients,
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

/// The name in `mdns:NAME`, none in `mdns`; `None` for everything else a user may type.
pub(super) fn wanted(named: &str) -> Option<Option<&str>> {
    let rest = named.trim().strip_prefix("mdns")?;
    match rest.strip_prefix("://").or_else(|| rest.strip_prefix(':')) {
        _ if rest.is_empty() => Some(None),
        Some(name) => Some(Some(name.trim_end_matches('/')).filter(|name| !name.is_empty())),
        None => None,
    }
}

/// The only session on the network, or the only one of that name.
pub(super) async fn find(name: Option<&str>, environment: &Environment) -> Result<Address, Failure> {
    find_within(name, environment, PATIENCE).await
}

/// The only session of a name that no session of this machine has.
pub(super) async fn find_elsewhere(name: &str, environment: &Environment) -> Result<Address, Failure> {
    tracing::info!("no session of this machine is named '{name}': looking on the network by mDNS");
    find_within(Some(name), environment, GLANCE).await
}

async fn find_within(
    name: Option<&str>,
    environment: &Environment,
    patience: Duration,
) -> Result<Address, Failure> {
    let mut browser = browser(environment)?;
    let mut sessions = Sessions::default();
    let mut end = pin!(sleep(patience));
    let mut is_settling = false;
    loop {
        tokio::select! {
            biased;
            () = &mut end => break,
            Some(found) = browser.next() => sessions.add(found, now()),
        }
        let is_found = sessions.0.iter().any(|session| is_meant(session, name));
        if is_found && !is_settling {
            // Another record, or another session of that name, may follow.
            end.set(sleep(SETTLE));
            is_settling = true;
        }
    }
    let mut meant = sessions.0.iter().filter(|session| is_meant(session, name));
    let what = name.map_or_else(
        || "no session on the network".to_owned(),
        |name| format!("no session is named '{name}', neither here nor on the network"),
    );
    match (meant.next().and_then(Session::best), meant.next()) {
        (Some(address), None) => {
            tracing::info!("found by mDNS, where anybody may say anything: {address}");
            Ok(address)
        }
        (Some(_), Some(_)) => Err(Failure::new(ExitCode::ArgumentMismatch, several(&sessions, name))),
        _ => Err(Failure::new(
            ExitCode::ServerNotFound,
            format!(
                "{what} (waited {} s for mDNS): see which there are with list and list-mdns",
                patience.as_secs()
            ),
        )),
    }
}

fn is_meant(session: &Session, name: Option<&str>) -> bool {
    session.best().is_some() && name.is_none_or(|name| session.is_named(name))
}

fn several(sessions: &Sessions, name: Option<&str>) -> String {
    let meant = sessions.0.iter().filter(|session| is_meant(session, name));
    let addresses: Vec<_> = meant
        .filter_map(Session::best)
        .map(|address| address.to_string())
        .collect();
    format!(
        "several sessions on the network could be meant: give the address of one, {}",
        addresses.join(" or ")
    )
}

/// Publishes a server by mDNS for as long as the result is kept: what `listeners` offer to other machines, and the
/// modes they may turn into. Failing is only worth a warning.
pub(super) async fn publish(
    listeners: &[(Listener, Arc<Door>)],
    display: &str,
    session_type: &str,
    config: &ServerConfig,
    environment: &Environment,
) -> Option<Publisher> {
    let number = |name| environment.variable(name).and_then(|value| value.parse().ok());
    let ssh_port = ssh_server(number("XPRA_SSH_PORT").unwrap_or(22)).await;
    let upgrades = listeners
        .iter()
        .map(|(listener, door)| (listener, door.upgrades()));
    let offers = offers(upgrades, ssh_port);
    if offers.is_empty() {
        return None;
    }
    let shows = |name: &str| environment.variable(name).map(boolean) != Some(Ok(false));
    let about = About {
        hostname: config.hostname.clone(),
        display: display.to_owned(),
        username: config.username.clone(),
        uuid: config.uuid.clone(),
        session_type: session_type.to_owned(),
        session_name: shows("XPRA_MDNS_EXPOSE_NAME").then(|| config.session_name.clone()),
        clients: shows("XPRA_MDNS_CLIENT_COUNT").then_some(0),
    };
    match Publisher::new(&offers, about, network(environment)) {
        Ok(publisher) => Some(publisher),
        Err(error) => {
            tracing::warn!("not published by mDNS: {error}");
            None
        }
    }
}

/// Keeps what is published current until the server that tells of itself has ended.
pub(super) async fn keep_current(mut publisher: Publisher, mut summaries: watch::Receiver<Summary>) {
    while summaries.changed().await.is_ok() {
        let Summary {
            session_name,
            clients,
        } = summaries.borrow_and_update().clone();
        if let Err(error) = publisher.update(clients, &session_name) {
            tracing::debug!("what is published by mDNS is no longer current: {error}");
        }
    }
}

fn browser(environment: &Environment) -> Result<Browser, Failure> {
    Browser::new(network(environment)).map_err(|error| Failure::new(ExitCode::IoError, error.to_string()))
}

/// The network, or this machine alone for trying things out (`XPRA_ZEROCONF_IPV4_LOOPBACK=1`).
fn network(environment: &Environment) -> Network {
    match environment.variable("XPRA_ZEROCONF_IPV4_LOOPBACK").map(boolean) {
        Some(Ok(true)) => Network::Loopback,
        _ => Network::Lan,
    }
}
