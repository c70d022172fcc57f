//! Where a client's passwords come from (`endpoints.md` h.2): handlers that are asked one after the other, each with
//! one password, for as many challenges as the server's modules have.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::digest::{Digest, Hash, MAX_ANSWER, combine_salts};
use super::login::Answer;
use super::modules::password::read;
use crate::address::{Secret, closest};
use crate::transport::{Nobody, Prompt};

/// How often the user is asked: servers may have several modules.
const PROMPTS: usize = 3;

/// Bytes of our salt.
const CLIENT_SALT: usize = 32;

/// What a server's salt may have.
const SERVER_SALT: std::ops::RangeInclusive<usize> = 16..=4096;

/// Where passwords may come from.
#[derive(Clone)]
pub struct Sources {
    /// The password in the address.
    pub password: Option<Secret>,
    /// The files of `--password-file`, in order.
    pub password_files: Vec<PathBuf>,
    /// The environment variables.
    pub variables: BTreeMap<String, String>,
    /// Whom to ask.
    pub prompt: Arc<dyn Prompt>,
    /// Tell passwords even where others can read along (`XPRA_ALLOW_UNENCRYPTED_PASSWORDS`).
    pub allow_unencrypted: bool,
}

/// The server's challenge, out of its packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerChallenge<'a> {
    /// Its salt.
    pub salt: &'a [u8],
    /// How to answer.
    pub digest: &'a str,
    /// How to combine the salts.
    pub salt_digest: &'a str,
    /// What to ask the user for.
    pub prompt: &'a str,
}

/// The ways to get passwords that are still left.
#[derive(Debug)]
pub struct Handlers {
    left: VecDeque<Handler>,
    prompt: Arc<dyn Prompt>,
    allow_unencrypted: bool,
}

/// No passwords, and nobody to ask.
impl Default for Handlers {
    fn default() -> Self {
        Self {
            left: VecDeque::new(),
            prompt: Arc::new(Nobody),
            allow_unencrypted: false,
        }
    }
}

/// How to go on with a challenge.
#[derive(Debug)]
pub enum Reaction {
    /// Send this.
    Answer(Answer),
    /// The user has to be asked.
    Ask(Question),
}

/// A question to the user.
#[derive(Debug)]
pub struct Question {
    prompt: Arc<dyn Prompt>,
    text: String,
    reply: Method,
}

/// Why a challenge cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientAuthError {
    /// There is no password left.
    #[error(
        "the server asks for a password and there is none{0}: use --password-file=FILE, XPRA_PASSWORD or a terminal"
    )]
    NoPassword(&'static str),
    /// A password file that cannot be read.
    #[error("cannot read the password file {path}: {reason}")]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The server asks in a way that is not safe, or not known.
    #[error("the server's challenge was not answered: {0}")]
    Refused(String),
    /// Not the name of a handler.
    #[error("'{name}' is not a challenge handler{hint}: use all, none, uri, file, env or prompt")]
    UnknownHandler {
        /// The name.
        name: String,
        /// The nearest known one, as a question.
        hint: String,
    },
    /// A handler that xpra has and that is not here.
    #[error("the challenge handler '{0}' is not supported: use uri, file, env or prompt")]
    UnsupportedHandler(String),
}

/// The ways of xpra that are not here.
const UNSUPPORTED: [&str; 7] = ["fido2", "gss", "kerberos", "keycloak", "oauth", "scram", "u2f"];

impl Handlers {
    /// The handlers of the values of `--challenge-handlers`; all there are without any.
    pub fn parse(values: &[String], sources: &Sources) -> Result<Self, ClientAuthError> {
        let words = values.iter().flat_map(|value| words(value));
        let mut left = VecDeque::new();
        for word in words {
            left.extend(word.parse::<Named>()?.handlers(sources)?);
        }
        if values.is_empty() {
            left.extend(Named::All.handlers(sources)?);
        }
        Ok(Self {
            left,
            prompt: Arc::clone(&sources.prompt),
            allow_unencrypted: sources.allow_unencrypted,
        })
    }

    /// True when there is a password without asking the user: the hello may say so (`challenge`).
    pub fn has_password(&self) -> bool {
        self.left
            .iter()
            .any(|handler| !matches!(handler, Handler::Prompt))
    }

    /// Answers a challenge with the next password. `is_safe` when nobody can read along, or only on this machine.
    pub fn answer(
        &mut self,
        challenge: &ServerChallenge<'_>,
        is_safe: bool,
    ) -> Result<Reaction, ClientAuthError> {
        let method = Method::new(challenge, is_safe || self.allow_unencrypted)?;
        let password = match self.left.pop_front() {
            Some(Handler::Known(password)) => password,
            Some(Handler::File(path)) => Secret::new(read(&path, MAX_ANSWER).map_err(|error| {
                let reason = error.to_string();
                ClientAuthError::PasswordFile { path, reason }
            })?),
            Some(Handler::Prompt) => {
                return Ok(Reaction::Ask(Question {
                    prompt: Arc::clone(&self.prompt),
                    text: question(challenge.prompt),
                    reply: method,
                }));
            }
            None => return Err(ClientAuthError::NoPassword(" left")),
        };
        method.answer(&password).map(Reaction::Answer)
    }
}

impl Question {
    /// Asks, and makes the answer for the server of what the user says. Blocks until there is one.
    pub fn ask(self) -> Result<Answer, ClientAuthError> {
        let password = self.prompt.secret(&self.text);
        let password = password.ok_or(ClientAuthError::NoPassword(", nor anybody to ask"))?;
        self.reply.answer(&password)
    }
}

/// What the user is asked; the server's words are cut and cleaned.
fn question(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    let clean = clean.trim().trim_end_matches(':');
    match clean {
        "" => "Password".to_owned(),
        text => text.to_owned(),
    }
}

/// How an answer is to be made.
#[derive(Debug)]
struct Method {
    digest: Digest,
    salt_digest: Hash,
    salt: Vec<u8>,
}

impl Method {
    fn new(challenge: &ServerChallenge<'_>, may_tell: bool) -> Result<Self, ClientAuthError> {
        let refused = |reason: String| Err(ClientAuthError::Refused(reason));
        let salt_digest = match Hash::parse(challenge.salt_digest) {
            Ok(hash) => hash,
            Err(error) => return refused(format!("to combine salts, {error}")),
        };
        if !SERVER_SALT.contains(&challenge.salt.len()) {
            return refused(format!("a salt of {} bytes", challenge.salt.len()));
        }
        match Digest::parse(challenge.digest) {
            Ok(Digest::Xor) if !may_tell => refused(
                "it asks for the password itself, and others may read along: use TLS, SSH or AES, or set \
                 XPRA_ALLOW_UNENCRYPTED_PASSWORDS=1"
                    .to_owned(),
            ),
            Ok(digest) => Ok(Self {
                digest,
                salt_digest,
                salt: challenge.salt.to_vec(),
            }),
            Err(error) => refused(error.to_string()),
        }
    }

    fn answer(&self, password: &Secret) -> Result<Answer, ClientAuthError> {
        if password.is_empty() {
            return Err(ClientAuthError::NoPassword(": it is empty"));
        }
        let mut client_salt = vec![0; CLIENT_SALT];
        getrandom::fill(&mut client_salt)
            .map_err(|error| ClientAuthError::Refused(format!("no random numbers: {error}")))?;
        let salts = combine_salts(self.salt_digest, &client_salt, &self.salt);
        Ok(Answer {
            response: Secret::new(self.digest.respond(password, &salts)),
            client_salt,
        })
    }
}

/// One way to a password.
#[derive(Debug)]
enum Handler {
    File(PathBuf),
    Known(Secret),
    Prompt,
}

/// A handler as the user names it.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    All,
    Env(Option<String>),
    File(Option<PathBuf>),
    None,
    Prompt,
    Uri,
}

impl FromStr for Named {
    type Err = ClientAuthError;

    fn from_str(text: &str) -> Result<Self, ClientAuthError> {
        let (name, options) = text.split_once([':', ',']).unwrap_or((text, ""));
        let name = name.trim().to_ascii_lowercase();
        let value = |option: &str| match options.split_once('=') {
            Some((key, value)) if key.trim() == option => Some(value.to_owned()),
            _ => Some(options.to_owned()).filter(|options| !options.is_empty()),
        };
        Ok(match name.as_str() {
            "all" => Self::All,
            "env" => Self::Env(value("name")),
            "file" => Self::File(value("filename").map(PathBuf::from)),
            "none" => Self::None,
            "prompt" => Self::Prompt,
            "uri" => Self::Uri,
            name if UNSUPPORTED.contains(&name) => {
                return Err(ClientAuthError::UnsupportedHandler(name.to_owned()));
            }
            name => {
                let near = closest(name, ["all", "env", "file", "none", "prompt", "uri"]);
                return Err(ClientAuthError::UnknownHandler {
                    name: name.to_owned(),
                    hint: near.map_or_else(String::new, |near| format!("; did you mean '{near}'?")),
                });
            }
        })
    }
}

impl Named {
    /// What there is of it.
    fn handlers(self, sources: &Sources) -> Result<Vec<Handler>, ClientAuthError> {
        let variable = |name: &str| {
            let value = sources.variables.get(name).filter(|value| !value.is_empty());
            value.map(|value| Handler::Known(Secret::new(value.as_str())))
        };
        Ok(match self {
            Self::All => {
                let mut all = Vec::new();
                for named in [Self::Uri, Self::File(None), Self::Env(None), Self::Prompt] {
                    all.extend(named.handlers(sources)?);
                }
                all
            }
            Self::Env(name) => variable(name.as_deref().unwrap_or("XPRA_PASSWORD"))
                .into_iter()
                .collect(),
            Self::File(Some(path)) => vec![Handler::File(path)],
            Self::File(None) => sources
                .password_files
                .iter()
                .cloned()
                .map(Handler::File)
                .collect(),
            Self::None => Vec::new(),
            Self::Prompt => (0..PROMPTS).map(|_| Handler::Prompt).collect(),
            Self::Uri => sources.password.clone().map(Handler::Known).into_iter().collect(),
        })
    }
}

/// The handlers in a list with commas between; an option belongs to what precedes it.
fn words(list: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut begin = 0;
    for (at, _) in list.match_indices(',') {
        let following = list.get(at.saturating_add(1)..).unwrap_or_default();
        let following = following.split([',', ':']).next().unwrap_or_default();
        if !following.contains('=') {
            words.extend(list.get(begin..at));
            begin = at.saturating_add(1);
        }
    }
    words.extend(list.get(begin..));
    words.retain(|word| !word.trim().is_empty());
    words
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("password", &self.password)
            .field("password_files", &self.password_files)
            .field("prompt", &self.prompt)
            .finish_non_exhaustive()
    }
}
