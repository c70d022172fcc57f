//! Where a server listens, and who may come in there: the options of every kind of server (`endpoints.md` a.1, a.2).

use super::auth::ServerAuthArgs;
use super::encryption::EncryptionArgs;
use super::exit::{ExitCode, Failure};
use super::mmap::MmapArgs;
use super::options::boolean;
use super::systemd;
use super::tls::{ServerTlsArgs, SslMode};
use super::web::WebArgs;
use crate::address::{Bind, Options, Place, TransportKind};
use crate::auth::Chain;
use crate::discovery::{Environment, Places};
use crate::session::server::{Door, InsideTls, SshPasswords};
use crate::session::wall_clock;
use crate::transport::ssh::{SshServer, SshServerOptions};
use crate::transport::tls::{ServerTls, TlsError};
use crate::transport::{ListenOptions, Listener, listen};
use crate::web::Site;
use std::path::PathBuf;
use std::sync::Arc;

/// Where to listen, and who may come in.
#[derive(Clone, Debug, clap::Args)]
pub struct ListenArgs {
    /// Unix sockets to create: auto, none, a path, or a directory ending in a slash
    #[arg(long, value_name = "VALUE", default_value = "auto")]
    pub bind: Vec<String>,
    /// TCP addresses to listen on, such as 127.0.0.1:14500; a port takes TLS, WebSocket, HTTP and SSH as well
    #[arg(long, value_name = "[HOST]:PORT[,OPTION=VALUE..]")]
    pub bind_tcp: Vec<String>,
    /// Addresses for TLS only
    #[arg(long, value_name = "[HOST]:PORT[,OPTION=VALUE..]")]
    pub bind_ssl: Vec<String>,
    /// Addresses for HTTP and WebSocket
    #[arg(long, value_name = "[HOST]:PORT[,OPTION=VALUE..]")]
    pub bind_ws: Vec<String>,
    /// Addresses for HTTPS and WebSocket over TLS
    #[arg(long, value_name = "[HOST]:PORT[,OPTION=VALUE..]")]
    pub bind_wss: Vec<String>,
    /// Addresses for SSH
    #[arg(long, value_name = "[HOST]:PORT[,OPTION=VALUE..]")]
    pub bind_ssh: Vec<String>,
    /// vsock addresses to listen on, such as auto:14500, for the host or the guests of this machine
    #[arg(long, value_name = "CID:PORT[,OPTION=VALUE..]")]
    pub bind_vsock: Vec<String>,
    /// Lowest TCP port that may be used; 0 always asks the kernel for a free one
    #[arg(long, value_name = "PORT", default_value_t = 1024)]
    pub min_port: u16,
    /// Directory to put sockets in, and to look in first
    #[arg(long, value_name = "DIR")]
    pub socket_dir: Option<String>,
    /// Directories to use instead of the usual ones
    #[arg(long, value_name = "DIR[:DIR..]")]
    pub socket_dirs: Vec<String>,
    /// Mode of socket files
    #[arg(long, value_name = "OCTAL", default_value = "600", value_parser = octal)]
    pub socket_permissions: u32,
    /// Which memory of clients carries pixels, and who else may connect.
    #[command(flatten)]
    pub mmap: MmapArgs,
    /// Who may use the server.
    #[command(flatten)]
    pub auth: ServerAuthArgs,
    /// TLS.
    #[command(flatten)]
    pub tls: ServerTlsArgs,
    /// Take SSH on ports for plain connections too
    #[arg(long, value_name = "yes|no", default_value = "yes", num_args = 0..=1, default_missing_value = "yes", value_parser = boolean)]
    pub ssh_upgrade: bool,
    /// Take TLS on ports for plain connections too
    #[arg(long, value_name = "auto|yes|no", default_value = "auto", num_args = 0..=1, default_missing_value = "yes", value_parser = SslMode::new)]
    pub ssl_upgrade: SslMode,
    /// Encryption of packets.
    #[command(flatten)]
    pub encryption: EncryptionArgs,
    /// What browsers get.
    #[command(flatten)]
    pub web: WebArgs,
}

fn octal(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| format!("'{text}' is no octal mode from 0 to 777"))
}

impl ListenArgs {
    /// Creates the sockets, and their doors.
    pub async fn listen(
        &self,
        environment: &Environment,
        display: &str,
    ) -> Result<Vec<(Listener, Arc<Door>)>, Failure> {
        let places = Places::new(environment, self.socket_dir.as_deref(), &self.socket_dirs);
        let options = ListenOptions {
            names: places.names(display),
            permissions: if self.mmap.opens_sockets() {
                0o660
            } else {
                self.socket_permissions
            },
            ..ListenOptions::default()
        };
        let site = self.web.site(environment)?;
        let mut listeners = systemd::listeners(environment, &options)?;
        for bind in self.binds(environment)? {
            listeners.extend(listen(&bind, &options).await?);
        }
        if listeners.is_empty() {
            return Err(Failure::new(
                ExitCode::SocketCreationError,
                "there is nothing to listen on: give --bind or --bind-tcp",
            ));
        }
        let with_door = |listener: Listener| {
            let door = self.door(&listener, site.as_ref(), environment)?;
            Ok((listener, Arc::new(door)))
        };
        listeners.into_iter().map(with_door).collect()
    }

    /// What to listen on. Sockets of the network first: a port that is taken must not disturb anything else.
    fn binds(&self, environment: &Environment) -> Result<Vec<Bind>, Failure> {
        let remote = [
            (TransportKind::Tcp, &self.bind_tcp),
            (TransportKind::Ssl, &self.bind_ssl),
            (TransportKind::Ws, &self.bind_ws),
            (TransportKind::Wss, &self.bind_wss),
            (TransportKind::Ssh, &self.bind_ssh),
            (TransportKind::Vsock, &self.bind_vsock),
        ];
        let remote = remote.into_iter().flat_map(|(kind, values)| {
            let values = values.iter();
            values.map(move |value| Bind::parse(kind, value, self.min_port))
        });
        let local = self.bind.iter();
        let local =
            local.map(|value| Bind::parse(TransportKind::Socket, &environment.expand(value), self.min_port));
        let binds = remote.chain(local).collect::<Result<Vec<_>, _>>();
        let mut binds = binds.map_err(|error| Failure::new(ExitCode::Failure, error.to_string()))?;
        binds.retain(|bind| bind.place != Place::None);
        Ok(binds)
    }

    fn door(
        &self,
        listener: &Listener,
        site: Option<&Arc<Site>>,
        environment: &Environment,
    ) -> Result<Door, Failure> {
        let (kind, options) = (listener.kind(), listener.options());
        let auth = self.auth.chain(kind, options, environment)?;
        let mode = self.ssl_mode(options)?;
        let is_web = matches!(kind, TransportKind::Ws | TransportKind::Wss);
        Ok(Door {
            kind,
            encryption: self.encryption.for_connection(kind, options, environment)?,
            tls: self.server_tls(kind, options, mode, environment)?,
            inside_tls: match mode {
                SslMode::Tcp => InsideTls::Xpra,
                SslMode::Www => InsideTls::Http,
                SslMode::Auto | SslMode::Off | SslMode::On => InsideTls::Any,
            },
            insists_on_tls: mode == SslMode::On,
            ssh: self.ssh_server(kind, options, &auth, environment)?,
            site: site.cloned().or_else(|| is_web.then(Arc::default)),
            websockets: options.flag("ws").unwrap_or(self.web.websocket_upgrade),
            auth,
            options: options.clone(),
        })
    }

    /// What TLS is for on a socket: its own `ssl-mode` or `ssl`, else what holds for all.
    fn ssl_mode(&self, options: &Options) -> Result<SslMode, Failure> {
        let own = options.get("ssl-mode").or_else(|| options.get("ssl"));
        let wrong = |why| Failure::new(ExitCode::Failure, format!("the socket option ssl: {why}"));
        match own {
            Some(own) => SslMode::new(own).map_err(wrong),
            None if self.ssl_upgrade == SslMode::Off => Ok(SslMode::Off),
            None => Ok(self.tls.mode()),
        }
    }

    fn server_tls(
        &self,
        kind: TransportKind,
        options: &Options,
        mode: SslMode,
        environment: &Environment,
    ) -> Result<Option<ServerTls>, Failure> {
        let must = matches!(kind, TransportKind::Ssl | TransportKind::Wss);
        let may = matches!(
            kind,
            TransportKind::Tcp | TransportKind::Ws | TransportKind::Socket
        ) && mode != SslMode::Off;
        if !must && !may {
            return Ok(None);
        }
        let mut tls = self.tls.options(environment).with(options)?;
        let is_wanted = must || mode != SslMode::Auto || tls.cert.is_some();
        if !is_wanted {
            // one that is there is used, but none is made
            tls.places.keep = None;
        }
        match ServerTls::new(&tls, wall_clock()) {
            Ok(tls) => Ok(Some(tls)),
            Err(TlsError::NoCertificate { .. }) if !is_wanted => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// SSH by the keys of the user's `authorized_keys` and the passwords of the socket's modules.
    fn ssh_server(
        &self,
        kind: TransportKind,
        options: &Options,
        auth: &Arc<Chain>,
        environment: &Environment,
    ) -> Result<Option<Arc<SshServer>>, Failure> {
        let must = kind == TransportKind::Ssh;
        let may = kind == TransportKind::Tcp && options.flag("ssh").unwrap_or(self.ssh_upgrade);
        if !must && !may {
            return Ok(None);
        }
        let home = environment.home();
        let directory = match (environment.variable("XDG_CONFIG_HOME"), environment.uid) {
            (Some(directory), _) => PathBuf::from(directory).join("xpra/ssh"),
            (None, 0) => PathBuf::from("/etc/xpra/ssh"),
            (None, _) => home.join(".config/xpra/ssh"),
        };
        let own = options
            .all("ssh-host-key")
            .map(|file| environment.expand(file).into());
        let server = SshServer::new(SshServerOptions {
            host_keys: own.collect(),
            key_directory: directory,
            authorized_keys: Some(home.join(".ssh/authorized_keys")),
            username: Some(environment.username()),
            passwords: auth.asks().then(|| SshPasswords::of(Arc::clone(auth))),
            // where everybody may come in without SSH, or was meant to
            allow_none: auth.names().all(|name| name == "none") && (may || !auth.is_empty()),
            session_asks: !auth.is_empty(),
        });
        match server {
            Ok(server) => Ok(Some(Arc::new(server))),
            Err(error) if must => Err(error.into()),
            Err(error) => {
                tracing::debug!("no SSH on {kind}: {error}");
                Ok(None)
            }
        }
    }
}

/// Says where the server listens, and what that means for its safety.
pub(super) fn announce(listeners: &[(Listener, Arc<Door>)]) {
    for (listener, door) in listeners {
        tracing::info!("listening on {listener}");
        if door.encryption.is_some() {
            tracing::warn!(
                "{listener}: AES hides what is said, but nobody notices when it is changed on the way: --bind-ssl is \
                 the better choice"
            );
        }
        if !listener.is_exposed() {
            continue;
        }
        if door.auth.is_empty() {
            tracing::warn!(
                "{listener} can be reached from other machines without a password: anybody there can see and use this \
                 display (add auth=MODULE to it)"
            );
        }
        if !door.is_encrypted() {
            tracing::warn!(
                "{listener} can be reached from other machines without encryption: whoever is on the way can read and \
                 change what is said (use --bind-ssl)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        assert_eq!(octal("660"), Ok(0o660));
        assert!(octal("1777").is_err() && octal("9").is_err());
    }
}
