//! `peercred`: who the kernel says is at the other end of a unix socket (`endpoints.md` h.4).

use std::fs;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::super::chain::Context;
use super::super::error::AuthError;
use super::super::module::{Case, Denial, Judgement, Module, decided};
use super::super::settings::Settings;
use crate::transport::{PeerCredentials, group_id};

/// Lets in the owner, and who is in either list.
#[derive(Debug)]
struct PeerCred {
    owner: Option<u32>,
    users: Vec<u32>,
    groups: Vec<u32>,
}

pub(crate) fn build(settings: &Settings, context: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let owner = settings.flag("allow-owner")?.unwrap_or(true);
    Ok(Arc::new(PeerCred {
        owner: owner.then_some(context.uid),
        users: ids(settings, context, "uid", user_id)?,
        groups: ids(settings, context, "gid", group_id)?,
    }))
}

/// The numbers in a list with colons between, of numbers, names and `$VARIABLES`.
fn ids(
    settings: &Settings,
    context: &Context,
    option: &str,
    by_name: fn(&str) -> Option<u32>,
) -> Result<Vec<u32>, AuthError> {
    let id = |text: &str| -> Option<u32> {
        match (text.strip_prefix('$'), text) {
            (Some("UID"), _) => Some(context.uid),
            (Some(variable), _) => context.variables.get(variable)?.parse().ok(),
            (None, text) => text.parse().ok().or_else(|| by_name(text)),
        }
    };
    let words = settings.all(option).flat_map(|list| list.split(':'));
    words
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| {
            id(word).ok_or_else(|| settings.bad(option, word, "write a number, or a name of this machine"))
        })
        .collect()
}

impl Module for PeerCred {
    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement> {
        decided(match case.peer.info.credentials {
            Some(peer) if self.admits(peer) => Ok(None),
            Some(peer) => Err(Denial::new(format!(
                "user {} of group {} is not listed",
                peer.uid, peer.gid
            ))),
            None => Err(Denial::new(
                "the kernel does not tell who the peer is: not a unix socket",
            )),
        })
    }
}

impl PeerCred {
    fn admits(&self, peer: PeerCredentials) -> bool {
        let is_member = |group: &u32| *group == peer.gid || members(*group).contains(&peer.uid);
        self.owner == Some(peer.uid) || self.users.contains(&peer.uid) || self.groups.iter().any(is_member)
    }
}

/// The number of the user of that name in `/etc/passwd`.
fn user_id(name: &str) -> Option<u32> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// Who `/etc/group` says is in a group beside their own.
fn members(group: u32) -> Vec<u32> {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let listed = groups.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        (fields.next()?.parse() == Ok(group)).then(|| fields.next())?
    });
    listed
        .flat_map(|names| names.split(','))
        .filter_map(user_id)
        .collect()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::super::super::Peer;
    use super::super::super::tests::*;
    use super::*;

    fn peer(uid: u32, gid: u32) -> Peer {
        let mut peer = private("whoever");
        peer.info.credentials = Some(PeerCredentials { pid: 1, uid, gid });
        peer
    }

    #[tokio::test]
    async fn lists_and_the_owner() {
        for (options, uid, gid, expected) in [
            ("", 1000, 5, true),
            ("", 1001, 5, false),
            ("", 0, 0, false),
            (":allow-owner=no", 1000, 5, false),
            (":uid=1001:1002", 1002, 5, true),
            (":uid=1001:1002", 1000, 5, true),
            (":uid=1001:1002,allow-owner=no", 1000, 5, false),
            (":uid=$UID,allow-owner=no", 1000, 5, true),
            (":uid=root,gid=7", 0, 5, true),
            (":uid=root,gid=7", 3, 7, true),
            (":gid=7:root", 3, 0, true),
            (":gid=7:root", 3, 3, false),
            (":uid=1001,gid=7", 3, 3, false),
        ] {
            let chain = chain(&[&format!("peercred{options}")]);
            assert_eq!(
                passes(&chain, peer(uid, gid), &[]).await,
                expected,
                "{options} {uid} {gid}"
            );
        }
        assert!(!passes(&chain(&["peercred"]), remote("fred"), &[]).await);
    }

    #[tokio::test]
    async fn a_real_socket_tells_who_is_there() {
        use crate::address::{Address, Bind, DEFAULT_MIN_PORT, Target, TransportKind};
        use crate::transport::{ConnectOptions, ListenOptions, connect, listen};

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let bind = Bind::parse(TransportKind::Socket, path.to_str().unwrap(), DEFAULT_MIN_PORT).unwrap();
        let listener = listen(&bind, &ListenOptions::default()).await.unwrap().remove(0);
        let address = Address::new(Target::Socket(path));
        let _client = connect(&address, &ConnectOptions::default()).await.unwrap();
        let info = listener.accept().await.unwrap().info;
        let own = rustix::process::geteuid().as_raw();
        for (uid, expected) in [(own, true), (own.wrapping_add(1), false)] {
            let context = Context { uid, ..context() };
            let chain = chain_in(&context, &["peercred"]);
            assert_eq!(passes(&chain, Peer::new(info.clone()), &[]).await, expected);
        }
    }
}
