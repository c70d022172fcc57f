//! From what the user typed to a server that answers: shared by all commands that talk to one.

use super::exit::Failure;
use super::mdns;
use crate::address::{Address, Target};
use crate::discovery::{DiscoveryError, Environment, Places, resolve};
use crate::session::{Answer, Request, ask};
use crate::transport::{ConnectOptions, connect};
use std::path::PathBuf;
use std::time::Duration;

/// Where the sockets of this machine's sessions are.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Sockets {
    /// Directory to look in first
    #[arg(long, value_name = "DIR")]
    pub(super) socket_dir: Option<String>,
    /// Directories to look in, instead of the usual ones
    #[arg(long, value_name = "DIR[:DIR..]")]
    pub(super) socket_dirs: Vec<String>,
}

impl Sockets {
    /// The places these options and the environment name.
    pub(super) fn places(&self, environment: &Environment) -> Places {
        Places::new(environment, self.socket_dir.as_deref(), &self.socket_dirs)
    }
}

/// How long and how often to try (`XPRA_CONNECT_TIMEOUT`, `XPRA_SOCKET_TIMEOUT`, `XPRA_VSOCK_TIMEOUT`: seconds).
pub(super) fn connect_options(environment: &Environment) -> ConnectOptions {
    let seconds = |name: &str| {
        let value = environment.variable(name)?.parse().ok()?;
        Some(Duration::from_secs(value))
    };
    let defaults = ConnectOptions::default();
    ConnectOptions {
        timeout: seconds("XPRA_CONNECT_TIMEOUT").unwrap_or(defaults.timeout),
        attempt_timeout: seconds("XPRA_SOCKET_TIMEOUT").unwrap_or(defaults.attempt_timeout),
        vsock_timeout: seconds("XPRA_VSOCK_TIMEOUT").unwrap_or(defaults.vsock_timeout),
        ..defaults
    }
}

/// The address to connect to for what the user named: a display, a session, an address, `mdns:NAME`, or nothing for
/// the only session there is.
pub(super) async fn find(
    named: &str,
    places: &Places,
    environment: &Environment,
) -> Result<Address, Failure> {
    if let Some(name) = mdns::wanted(named) {
        return mdns::find(name, environment).await;
    }
    let address: Address = named.parse()?;
    for warning in &address.warnings {
        tracing::warn!("{warning}");
    }
    let options = connect_options(environment);
    match resolve(&address, places, options.timeout).await {
        Ok(found) => Ok(found),
        Err(DiscoveryError::SessionName { name, live }) => match named_session(&name, live, &options).await {
            Some(socket) => Ok(Address {
                target: Target::Socket(socket),
                ..address
            }),
            None => mdns::find_elsewhere(&name, environment).await,
        },
        Err(error) => Err(error.into()),
    }
}

/// Asks each server for its name.
async fn named_session(name: &str, live: Vec<PathBuf>, options: &ConnectOptions) -> Option<PathBuf> {
    for socket in live {
        let address = Address::new(Target::Socket(socket.clone()));
        match query_with(&address, options, &Request::Id).await {
            Ok(Answer::Id(id))
                if id.get("session-name").and_then(|v| v.as_text()).as_deref() == Some(name) =>
            {
                return Some(socket);
            }
            Ok(_) => {}
            Err(failure) => tracing::debug!(%failure, "a session did not say its name"),
        }
    }
    None
}

/// Sends a request to the server at an address that was [found](find).
pub(super) async fn query(
    address: &Address,
    environment: &Environment,
    request: &Request,
) -> Result<Answer, Failure> {
    query_with(address, &connect_options(environment), request).await
}

async fn query_with(
    address: &Address,
    options: &ConnectOptions,
    request: &Request,
) -> Result<Answer, Failure> {
    let open = async || connect(address, options).await.map(|link| link.stream);
    ask(open, request)
        .await?
        .map_err(|error| Failure::from(error).at(address))
}
