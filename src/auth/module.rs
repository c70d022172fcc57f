//! What a module of a chain is: the question it has for a peer, and what it makes of the answer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::digest::{Digest, is_same};
use crate::address::Secret;
use crate::transport::LinkInfo;

/// Who wants in, and what is known about it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The user name the peer gave.
    pub username: Option<String>,
    /// The link it came through. `is_private` is the server's word on whether a password may be told through it: set
    /// it also when the packets are encrypted.
    pub info: LinkInfo,
    /// The headers of the HTTP request the connection began with, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The capabilities of its hello that are text, numbers or truths, as text.
    pub capabilities: BTreeMap<String, String>,
}

impl Peer {
    /// A peer of which nothing but its link is known.
    pub const fn new(info: LinkInfo) -> Self {
        Self {
            username: None,
            info,
            headers: BTreeMap::new(),
            capabilities: BTreeMap::new(),
        }
    }

    /// The same, under that name.
    pub fn named(self, username: impl Into<String>) -> Self {
        Self {
            username: Some(username.into()),
            ..self
        }
    }
}

/// What the directory of a module knows about a user, for servers that act for several (`endpoints.md` h.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Whom to act as; a name or a number.
    pub uid: String,
    /// In which group.
    pub gid: String,
    /// The displays the user may use.
    pub displays: Vec<String>,
    /// Environment variables for commands.
    pub environment: Vec<(String, String)>,
    /// Options of the session.
    pub options: Vec<(String, String)>,
}

/// What a module wants of the peer before it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// Nothing: it decides by what is known.
    Nothing,
    /// The password itself, which only private links may carry.
    Password,
    /// Proof of knowing the password, best without telling it.
    Proof,
}

/// What the peer gave.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// It was not asked.
    Nothing,
    /// The password.
    Password(Secret),
    /// An answer computed with the password.
    Response {
        digest: Digest,
        response: Secret,
        salts: Secret,
    },
}

impl Proof {
    /// True when it proves knowledge of that password. An empty password is nobody's.
    pub(super) fn proves(&self, password: &Secret) -> bool {
        let right = match self {
            Self::Nothing => false,
            Self::Password(given) => is_same(given, password),
            Self::Response {
                digest,
                response,
                salts,
            } => digest.is_proof(response.expose(), password, salts.expose()),
        };
        right && !password.is_empty()
    }

    /// As costly as checking, and never right: for users there are none of.
    pub(super) fn waste(&self) {
        std::hint::black_box(self.proves(&Secret::new("no such user")));
    }

    /// The password, if it was told.
    pub(super) fn password(&self) -> Option<&Secret> {
        match self {
            Self::Password(password) => Some(password),
            Self::Nothing | Self::Response { .. } => None,
        }
    }
}

/// Why a module refuses, for the log: it holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denial(pub(super) String);

impl Denial {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// The password is not right.
    pub(super) fn wrong_password() -> Self {
        Self::new("wrong password")
    }

    /// There is no such user.
    pub(super) fn unknown_user() -> Self {
        Self::new("unknown user")
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a module said: it lets the peer pass, perhaps with an account, or not.
pub(super) type Judgement = Result<Option<Account>, Denial>;

/// One peer on its way through one module.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) peer: Arc<Peer>,
    /// Who the peer is to be: the name it gave, or whose server it is.
    pub(super) username: String,
    pub(super) proof: Proof,
}

/// A module of a chain.
pub(super) trait Module: fmt::Debug + Send + Sync {
    /// What it wants of the peer.
    fn demand(&self) -> Demand {
        Demand::Nothing
    }

    /// Decides.
    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement>;

    /// The peer is about to be told whether it passes the chain: called once for each connection, before its first
    /// answer is looked at.
    fn attempt(&self, _peer: &Peer) -> Result<(), Denial> {
        Ok(())
    }

    /// The attempt was a good one.
    fn succeeded(&self, _peer: &Peer) {}
}

/// A module's decision that needs no waiting.
pub(super) fn decided(judgement: Judgement) -> BoxFuture<'static, Judgement> {
    Box::pin(std::future::ready(judgement))
}
