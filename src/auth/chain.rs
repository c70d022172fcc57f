//! The modules a peer has to pass, in order, and what their names stand for (`endpoints.md` h.1, h.3).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::AuthError;
use super::module::{Case, Demand, Denial, Judgement, Module, Peer, Proof};
use super::modules as kinds;
use super::settings::{Settings, did_you_mean};
use futures_util::future::BoxFuture;

/// Longest user name.
const MAX_USERNAME: usize = 256;

/// What modules need to know of the server.
#[derive(Clone, Default)]
pub struct Context {
    /// Whose server it is.
    pub username: String,
    /// That user's number.
    pub uid: u32,
    /// The environment variables.
    pub variables: BTreeMap<String, String>,
    /// The files of `--password-file`, for modules `file` without a file name of their own.
    pub password_files: Vec<PathBuf>,
}

impl Context {
    /// The file of that name; `~/` is the home of whose server it is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match (name.strip_prefix("~/"), self.variables.get("HOME")) {
            (Some(rest), Some(home)) => Path::new(home).join(rest),
            _ => PathBuf::from(name),
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the variables may hold passwords
        f.debug_struct("Context")
            .field("username", &self.username)
            .field("uid", &self.uid)
            .finish_non_exhaustive()
    }
}

/// Modules which all have to be passed, in order. Without any everybody passes.
#[derive(Debug, Default)]
pub struct Chain {
    stages: Vec<Stage>,
}

impl Chain {
    /// The chain of the values of an `auth` option. Anything wrong with them is an error: a server must not start
    /// with another protection than the one that was asked for.
    pub fn parse(values: &[String], context: &Context) -> Result<Self, AuthError> {
        let stage = |value: &String| Stage::new(value, context);
        let stages = values.iter().map(stage).collect::<Result<_, _>>()?;
        Ok(Self { stages })
    }

    /// True when everybody passes because nothing is asked or looked at.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// True when some module asks for a password or for proof of knowing it.
    pub fn asks(&self) -> bool {
        self.stages.iter().any(|stage| stage.demand() != Demand::Nothing)
    }

    /// The names of the modules.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|stage| stage.name)
    }

    pub(super) fn stage(&self, position: usize) -> Option<&Stage> {
        self.stages.get(position)
    }

    /// Tells all modules that the peer is about to be judged.
    pub(super) fn attempt(&self, peer: &Peer) -> Result<(), Denial> {
        self.stages
            .iter()
            .try_for_each(|stage| stage.module.attempt(peer))
    }

    /// Tells all modules that the peer passed.
    pub(super) fn succeeded(&self, peer: &Peer) {
        self.stages.iter().for_each(|stage| stage.module.succeeded(peer));
    }
}

/// A module in a chain, with what is the same for all.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    /// What to ask the user for, if not the usual.
    pub(super) prompt: Option<String>,
    username: Username,
    module: Arc<dyn Module>,
}

/// Whom a peer is judged as.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Username {
    /// Whom it says.
    Client,
    /// Whose server it is, whatever the peer says.
    Server(String),
    /// Whose server it is, which the peer has to say.
    Verified(String),
}

impl Stage {
    fn new(value: &str, context: &Context) -> Result<Self, AuthError> {
        let settings: Settings = value.parse()?;
        let kind = kind(&settings.module)?;
        settings.check_options(kind.options)?;
        Ok(Self {
            name: kind.name,
            prompt: settings.get("prompt").map(str::to_owned),
            username: kind.username(&settings, context)?,
            module: (kind.build)(&settings, context)?,
        })
    }

    pub(super) fn demand(&self) -> Demand {
        self.module.demand()
    }

    /// Lets the module decide.
    pub(super) fn judge(
        &self,
        peer: &Arc<Peer>,
        proof: Proof,
    ) -> Result<BoxFuture<'static, Judgement>, Denial> {
        let username = match self.username(peer) {
            Ok(username) => username.to_owned(),
            Err(denial) => {
                proof.waste();
                return Err(denial);
            }
        };
        let case = Case {
            peer: Arc::clone(peer),
            username,
            proof,
        };
        Ok(Arc::clone(&self.module).judge(case))
    }

    /// Whom the peer passes as.
    fn username<'a>(&'a self, peer: &'a Peer) -> Result<&'a str, Denial> {
        let given = peer.username.as_deref().filter(|name| !name.is_empty());
        if given.is_some_and(|name| name.len() > MAX_USERNAME || name.contains('\0')) {
            return Err(Denial::new("that is no user name"));
        }
        match (&self.username, given) {
            (Username::Server(name), _) => Ok(name),
            (Username::Verified(name), Some(given)) if given == name => Ok(name),
            (Username::Verified(name), Some(_)) => Err(Denial::new(format!(
                "only '{name}' may log in here (verify-username=no lets any name do)"
            ))),
            (Username::Client, Some(given)) => Ok(given),
            (Username::Client | Username::Verified(_), None) => Err(Denial::new("no user name was given")),
        }
    }

    /// True when the peer's own user name is what the module decided about.
    pub(super) const fn is_about_client(&self) -> bool {
        matches!(self.username, Username::Client | Username::Verified(_))
    }
}

/// A kind of module.
struct Kind {
    name: &'static str,
    /// Its options, those of all modules apart.
    options: &'static [&'static str],
    names: Names,
    build: Build,
}

type Build = fn(&Settings, &Context) -> Result<Arc<dyn Module>, AuthError>;

/// Whose name a kind of module goes by, unless options say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// The one the peer gives: there are many users.
    Client,
    /// The one the peer gives, when the server is root's and so can tell whether any user is who they say.
    ClientOfRoot,
    /// The server's, which peers of root's servers have to say.
    Server,
    /// None: who it is has no part in the decision.
    Unused,
}

impl Kind {
    /// Whom peers are judged as. A server of root's checks the name, since that one gives away the machine.
    fn username(&self, settings: &Settings, context: &Context) -> Result<Username, AuthError> {
        let is_root = context.uid == 0;
        let of_client = match self.names {
            Names::Client => true,
            Names::ClientOfRoot => is_root,
            Names::Server | Names::Unused => false,
        };
        let verified = settings.flag("verify-username")?;
        let verified = verified.unwrap_or(is_root && self.names == Names::Server);
        let own = context.username.clone();
        Ok(if settings.flag("client-username")?.unwrap_or(of_client) {
            Username::Client
        } else if verified {
            Username::Verified(own)
        } else {
            Username::Server(own)
        })
    }
}

/// The kind of module of that name, `-` for `_`.
fn kind(name: &str) -> Result<&'static Kind, AuthError> {
    let name = if name == "sys" { "pam" } else { name };
    let names = || KINDS.iter().map(|kind| kind.name);
    KINDS
        .iter()
        .find(|kind| kind.name == name)
        .ok_or_else(|| AuthError::UnknownModule {
            name: name.to_owned(),
            hint: did_you_mean(name, names()),
            known: names().collect::<Vec<_>>().join(", "),
        })
}

/// All kinds of modules. `pam` also goes by `sys`.
const KINDS: &[Kind] = &[
    Kind {
        name: "allow",
        options: &[],
        names: Names::Unused,
        build: kinds::simple::allow,
    },
    Kind {
        name: "capability",
        options: &["property", "value"],
        names: Names::Unused,
        build: kinds::facts::capability,
    },
    Kind {
        name: "cert",
        options: &["fingerprint", "subject"],
        names: Names::Unused,
        build: kinds::cert::build,
    },
    Kind {
        name: "env",
        options: &["name"],
        names: Names::Server,
        build: kinds::password::env,
    },
    Kind {
        name: "exec",
        options: &["command", "display", "require-challenge", "timeout"],
        names: Names::Unused,
        build: kinds::exec::build,
    },
    Kind {
        name: "fail",
        options: &[],
        names: Names::Unused,
        build: kinds::simple::fail,
    },
    Kind {
        name: "file",
        options: &["filename"],
        names: Names::Server,
        build: kinds::password::file,
    },
    Kind {
        name: "hosts",
        options: &[],
        names: Names::Unused,
        build: kinds::hosts::build,
    },
    Kind {
        name: "http-header",
        options: &["property", "value"],
        names: Names::Unused,
        build: kinds::facts::http_header,
    },
    Kind {
        name: "ldap",
        options: &[
            "cacert",
            "encoding",
            "gid",
            "host",
            "port",
            "tls",
            "uid",
            "username-format",
        ],
        names: Names::Client,
        build: kinds::ldap::build,
    },
    Kind {
        name: "multifile",
        options: &["filename"],
        names: Names::Client,
        build: kinds::multifile::build,
    },
    Kind {
        name: "mysql",
        options: &["password-query", "sessions-query", "uri"],
        names: Names::Client,
        build: kinds::sql::uri,
    },
    Kind {
        name: "none",
        options: &[],
        names: Names::Unused,
        build: kinds::simple::none,
    },
    Kind {
        name: "otp",
        options: &["issuer-name", "secret", "valid-window"],
        names: Names::Server,
        build: kinds::otp::build,
    },
    Kind {
        name: "pam",
        options: &["check-account", "service"],
        names: Names::ClientOfRoot,
        build: kinds::pam::build,
    },
    Kind {
        name: "password",
        options: &["value"],
        names: Names::Server,
        build: kinds::password::literal,
    },
    Kind {
        name: "peercred",
        options: &["allow-owner", "gid", "uid"],
        names: Names::Unused,
        build: kinds::peercred::build,
    },
    Kind {
        name: "ratelimit",
        options: &[
            "delay",
            "ipv4-prefix",
            "ipv6-prefix",
            "max-delay",
            "max-failures",
            "max-tracked",
            "window",
        ],
        names: Names::Unused,
        build: kinds::ratelimit::build,
    },
    Kind {
        name: "reject",
        options: &[],
        names: Names::Unused,
        build: kinds::simple::reject,
    },
    Kind {
        name: "sql",
        options: &["password-query", "sessions-query", "uri"],
        names: Names::Client,
        build: kinds::sql::uri,
    },
    Kind {
        name: "sqlite",
        options: &["filename", "password-query", "sessions-query"],
        names: Names::Client,
        build: kinds::sql::sqlite,
    },
];
