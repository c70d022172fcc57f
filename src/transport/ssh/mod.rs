//! SSH: xpra's bytes through a `_proxy` process on the other machine (`endpoints.md` e).
//!
//! Two ways lead there: the system's `ssh` ([`program`]), which knows everything the user ever told it, and one built
//! in ([`client`]) for where there is none. Both run the same command ([`remote`]) and give the same kind of stream.
//! [`serve`] is the other end: an SSH server that knows nothing but that command.
//!
//! russh is named in this directory only: it changes every few weeks.

#[cfg_attr(windows, path = "agent/windows.rs")]
mod agent;
mod channel;
mod client;
mod config;
mod destination;
mod exec;
mod identity;
mod keys;
mod known_hosts;
mod login;
mod preamble;
#[cfg_attr(windows, path = "program/absent.rs")]
mod program;
mod remote;
mod server;
mod shared;
#[cfg(test)]
#[cfg(unix)]
mod tests;
mod wire;

use std::borrow::Cow;
use std::path::PathBuf;
use std::str::FromStr;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression};

use self::destination::Destination;
pub use self::keys::SshServerError;
pub use self::server::{PasswordCheck, SshServer, SshServerOptions, greet, serve, serve_greeted};
use super::{ConnectError, ConnectOptions, Link};
use crate::address::{Address, Remote};

/// How to get to another machine by SSH (`--ssh`, `--exit-ssh`, `--remote-xpra`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshOptions {
    /// Who speaks SSH.
    pub backend: Backend,
    /// End the `ssh` process with the session. If not, it is started in a session of its own, without a terminal it
    /// could ask on.
    pub exit: bool,
    /// What to run there: names are looked up in its `PATH`, paths are tried as they are. Empty for the usual ones.
    pub remote_xpra: Vec<String>,
    /// Where the socket of the session is there, if not in the usual directories (`--socket-dir`).
    pub remote_socket_dir: Option<String>,
    /// The home directory, with `.ssh` in it; without one no file is read or written.
    pub home: Option<PathBuf>,
    /// Whom to log in as when nobody says.
    pub username: Option<String>,
    /// The socket of the agent that has the user's keys (`SSH_AUTH_SOCK`).
    pub agent: Option<PathBuf>,
}

impl Default for SshOptions {
    fn default() -> Self {
        Self {
            backend: Backend::Auto,
            exit: true,
            remote_xpra: Vec::new(),
            remote_socket_dir: None,
            home: None,
            username: None,
            agent: None,
        }
    }
}

/// Who speaks SSH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// `ssh` when it is installed, else what is built in.
    #[default]
    Auto,
    /// What is built in.
    Builtin,
    /// This program with these arguments.
    Program(Vec<String>),
}

impl FromStr for Backend {
    type Err = String;

    /// The value of `--ssh`; options that xpra takes after `paramiko:` are for its own implementation and are ignored.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.split(':').next().unwrap_or_default().trim();
        match name.to_ascii_lowercase().as_str() {
            "" | "auto" => Ok(Self::Auto),
            "builtin" | "paramiko" => Ok(Self::Builtin),
            _ => match remote::split_words(text) {
                Some(words) if !words.is_empty() => Ok(Self::Program(words)),
                _ => Err("a quote is not closed".to_owned()),
            },
        }
    }
}

/// Connects to `address`, which is `remote`.
pub(super) async fn connect(
    address: &Address,
    remote: &Remote,
    options: &ConnectOptions,
) -> Result<Link, ConnectError> {
    let destination = Destination::new(address, remote, &options.ssh)?;
    let has_jump_password = destination
        .jump
        .as_ref()
        .is_some_and(|jump| jump.password.is_some());
    let usual = || ["ssh", "-x"].map(str::to_owned).into();
    let words: Vec<String> = match &options.ssh.backend {
        Backend::Builtin => return client::connect(&destination, options).await,
        // which `ssh` cannot be given
        Backend::Auto if has_jump_password => return client::connect(&destination, options).await,
        Backend::Auto => usual(),
        Backend::Program(words) => words.clone(),
    };
    match program::connect(&words, &destination, &options.ssh).await {
        Ok(link) => Ok(link),
        Err(program::Failure::Failed(error)) => Err(error),
        Err(program::Failure::Missing(program)) if options.ssh.backend == Backend::Auto => {
            tracing::debug!("'{program}' is not installed, using what is built in");
            client::connect(&destination, options).await
        }
        Err(program::Failure::Missing(program)) => {
            let reason = format!("'{program}' {}", program::MISSING);
            Err(ConnectError::Ssh {
                target: destination.target,
                reason,
            })
        }
    }
}

/// What both ends prefer: AES-GCM first, which processors are made for; no compression, as pictures are compressed and
/// what a peer may have us expand has to be bounded; no signatures with SHA-1.
fn algorithms() -> Preferred {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let rsa = |hash| Algorithm::Rsa { hash: Some(hash) };
    Preferred {
        cipher: Cow::Borrowed(&[
            cipher::AES_256_GCM,
            cipher::AES_128_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_CTR,
            cipher::AES_128_CTR,
        ]),
        compression: Cow::Borrowed(&[compression::NONE]),
        key: Cow::Owned(vec![
            Algorithm::Ed25519,
            ecdsa(EcdsaCurve::NistP256),
            ecdsa(EcdsaCurve::NistP384),
            ecdsa(EcdsaCurve::NistP521),
            rsa(HashAlg::Sha512),
            rsa(HashAlg::Sha256),
        ]),
        ..Preferred::DEFAULT
    }
}
