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
