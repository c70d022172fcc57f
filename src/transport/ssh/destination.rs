//! Where to go, as whom, over whom, and what to run there: an address and options, put together.

use std::path::PathBuf;

use super::{SshOptions, remote};
use crate::address::{Address, Options, Remote, Secret, Target, TransportKind};
use crate::transport::ConnectError;

/// Everything about one connection that does not depend on who makes it.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    /// What to call it towards users.
    pub(super) target: String,
    /// The machine with the session.
    pub(super) hop: Hop,
    /// The machine on the way to it.
    pub(super) jump: Option<Hop>,
    /// What to run there.
    pub(super) command: String,
    /// Whether hosts must be known (`strict-host-check`); `None` to ask.
    pub(super) strict: Option<bool>,
}

/// One SSH server.
#[derive(Clone, Debug, Default)]
pub(super) struct Hop {
    pub(super) host: String,
    /// 22 unless somebody said otherwise.
    pub(super) port: u16,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    /// A file with a private key.
    pub(super) key: Option<PathBuf>,
}

impl Destination {
    /// What `address`, which is `remote`, says.
    pub(super) fn new(
        address: &Address,
        remote: &Remote,
        options: &SshOptions,
    ) -> Result<Self, ConnectError> {
        let target = address.to_string();
        let jump = jump(&address.options).map_err(|reason| ConnectError::Ssh {
            target: target.clone(),
            reason,
        })?;
        Ok(Self {
            hop: Hop {
                host: remote.host.clone(),
                port: remote.port,
                user: address.credentials.username.clone(),
                password: address.credentials.password.clone(),
                key: address.options.get("key").map(PathBuf::from),
            },
            jump,
            command: remote::command(&remote.path, options),
            strict: address.options.flag("strict-host-check"),
            target,
        })
    }
}

/// The machine on the way: `proxy=[ssh://][USER[:PASSWORD]@]HOST[:PORT]`, or one `proxy-` option for each part
/// (`endpoints.md` e.4).
fn jump(options: &Options) -> Result<Option<Hop>, String> {
    let mut hop = match (options.get("proxy"), options.get("proxy-host")) {
        (Some(text), _) => parse(text)?,
        (None, Some(host)) => parse(host)?,
        (None, None) => return Ok(None),
    };
    if let Some(port) = options.get("proxy-port") {
        let bad = |_| format!("'{port}' is not a port: give the proxy-port as a number from 1 to 65535");
        hop.port = port.parse().map_err(bad)?;
    }
    let text = |key| options.get(key).map(str::to_owned);
    hop.user = text("proxy-username").or(hop.user);
    hop.password = text("proxy-password").map(Secret::new).or(hop.password);
    hop.key = text("proxy-key").map(PathBuf::from);
    Ok(Some(hop))
}

/// `[ssh://][USER[:PASSWORD]@]HOST[:PORT]`.
pub(super) fn parse(text: &str) -> Result<Hop, String> {
    let url = match text.strip_prefix("ssh://") {
        Some(_) => text.to_owned(),
        None => format!("ssh://{text}"),
    };
    let address: Address = url.parse().map_err(|error| format!("the jump host: {error}"))?;
    match address.target {
        Target::Remote(Remote {
            kind: TransportKind::Ssh,
            host,
            port,
            ..
        }) => Ok(Hop {
            host,
            port,
            user: address.credentials.username,
            password: address.credentials.password,
            key: None,
        }),
        _ => Err("the jump host is not an SSH server".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(url: &str) -> Destination {
        let address: Address = url.parse().unwrap();
        let Target::Remote(remote) = address.target.clone() else {
            panic!("{url}")
        };
        Destination::new(&address, &remote, &SshOptions::default()).unwrap()
    }

    #[test]
    fn both_ways_to_name_a_jump_host() {
        for url in [
            "ssh://me@host/7?proxy=ssh://you:pw@jump:222",
            "ssh://me@host/7?proxy=you:pw@jump:222",
            "ssh://me@host/7?proxy_host=jump&proxy-port=222&proxy_username=you&proxy_password=pw",
        ] {
            let jump = destination(url).jump.unwrap();
            assert_eq!(
                (jump.host.as_str(), jump.port, jump.user.as_deref()),
                ("jump", 222, Some("you")),
                "{url}"
            );
            assert_eq!(jump.password, Some(Secret::new("pw")));
        }
        assert!(destination("ssh://me@host/7").jump.is_none());
        let address: Address = "ssh://host/?proxy=a%20b".parse().unwrap();
        assert!(jump(&address.options).is_err());
    }
}
