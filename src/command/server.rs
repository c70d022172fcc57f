//! From what the user typed to a server that answers: shared by all commands that talk to one.

use super::auth::ClientAuthArgs;
use super::encryption::EncryptionArgs;
use super::exit::{ExitCode, Failure};
use super::mdns;
use super::ssh::SshArgs;
use super::terminal::Terminal;
use super::tls::ClientTlsArgs;
use crate::address::{Address, TransportKind};
use crate::auth::Handlers;
use crate::discovery::{DiscoveryError, Environment, Places, resolve, target};
use crate::protocol::Encryption;
use crate::session::{Answer, Asker, Diagnose, Opened, Request, RequestError, Watch, ask, diagnose, watch};
use crate::telemetry::Measured;
use crate::transport::{ConnectOptions, connect};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The options of every command that talks to a server: where it may be, and how to be let in.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ConnectArgs {
    #[command(flatten)]
    pub(super) sockets: Sockets,
    #[command(flatten)]
    auth: ClientAuthArgs,
    #[command(flatten)]
    encryption: EncryptionArgs,
    #[command(flatten)]
    tls: ClientTlsArgs,
    #[command(flatten)]
    ssh: SshArgs,
}

impl ConnectArgs {
    /// The way to the server the user named: by display, session name or address, or by nothing when there is only one.
    pub(super) async fn route(&self, named: &str, environment: &Environment) -> Result<Route, Failure> {
        let options = ConnectOptions {
            prompt: Arc::new(Terminal::new(environment)),
            ssh: self.ssh.options(environment, self.sockets.socket_dir.as_deref()),
            tls: self.tls.options(environment),
            ..connect_options(environment)
        };
        let address = find(named, &self.sockets.places(environment), &options, environment).await?;
        let prompt = Arc::clone(&options.prompt);
        let mut credentials = address.credentials.clone();
        if address.kind() == Some(TransportKind::Ssh) {
            // that password is for SSH alone
            credentials.password = None;
        }
        let handlers = self
            .auth
            .handlers(&credentials, &address.options, environment, prompt)?;
        let kind = address.kind().unwrap_or(TransportKind::Socket);
        Ok(Route {
            encryption: self
                .encryption
                .for_connection(kind, &address.options, environment)?,
            username: self.auth.username(&address.credentials, environment),
            address,
            options,
            handlers,
        })
    }
}

/// The way to a server, and into it.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) address: Address,
    pub(super) options: ConnectOptions,
    pub(super) username: String,
    pub(super) handlers: Handlers,
    pub(super) encryption: Option<Encryption>,
}

impl Route {
    /// Where to, how, and who asks.
    fn split(self) -> (Address, ConnectOptions, Asker) {
        let asker = Asker {
            username: self.username,
            handlers: self.handlers,
            encryption: self.encryption,
        };
        (self.address, self.options, asker)
    }

    /// Asks the server something and waits for the answer.
    pub(super) async fn ask(self, request: &Request) -> Result<Answer, Failure> {
        let (address, options, asker) = self.split();
        let open = async || connect(&address, &options).await.map(Opened::from);
        let answer = ask(open, request, asker).await?;
        answer.map_err(|error| Failure::from(error).at(&address))
    }

    /// Measures the path to the server.
    pub(super) async fn diagnose(self, how: Diagnose) -> Result<Measured, Failure> {
        let (address, options, asker) = self.split();
        let open = async || connect(&address, &options).await.map(Opened::from);
        let measured = diagnose(open, asker, how).await?;
        measured.map_err(|error| Failure::from(error).at(&address))
    }

    /// Watches the session until it is told to end, or the server ends that.
    pub(super) async fn watch(self, how: Watch) -> Result<(), Failure> {
        let (address, options, asker) = self.split();
        let open = async || connect(&address, &options).await.map(Opened::from);
        let outcome = watch(open, asker, how).await?;
        outcome.map_err(|error| match error {
            RequestError::Ended {
                reason,
                connected: true,
            } => {
                let code = ExitCode::of_session(&reason, true);
                Failure::new(code, format!("the session has ended: {reason}")).at(&address)
            }
            error => Failure::from(error).at(&address),
        })
    }
}

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
    options: &ConnectOptions,
    environment: &Environment,
) -> Result<Address, Failure> {
    if let Some(name) = mdns::wanted(named) {
        return mdns::find(name, environment).await;
    }
    let address: Address = named.parse()?;
    for warning in &address.warnings {
        tracing::warn!("{warning}");
    }
    match resolve(&address, places, options.timeout).await {
        Ok(found) => Ok(found),
        Err(DiscoveryError::SessionName { name, live }) => match named_session(&name, live, options).await {
            Some(socket) => Ok(Address {
                target: target(&socket),
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
        let route = Route {
            address: Address::new(target(&socket)),
            options: options.clone(),
            username: String::new(),
            handlers: Handlers::default(),
            encryption: None,
        };
        match route.ask(&Request::Id).await {
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
