//! One connection's way through a chain (`wire.md` 5.2, `endpoints.md` h.2), without the connection: packets are made
//! of the [`Step`]s, and answered, by whoever has it.

use std::fmt;
use std::mem::take;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::chain::{Chain, Stage};
use super::digest::{Digest, Hash, MAX_ANSWER, combine_salts, reveal};
use super::module::{Account, Demand, Denial, Judgement, Peer, Proof};
use crate::address::Secret;

/// Bytes of a server's salt.
const SALT: usize = 64;

/// What a client's salt may have: enough to matter, and not enough to hurt.
const CLIENT_SALT: std::ops::RangeInclusive<usize> = 16..=1024;

/// The state of one login.
#[derive(Debug)]
pub struct Login {
    chain: Arc<Chain>,
    peer: Arc<Peer>,
    offered: Offered,
    /// The password, when it is known without asking.
    password: Option<Secret>,
    /// The module whose turn it is.
    position: usize,
    state: State,
    /// The modules were told that there is an attempt.
    is_counted: bool,
    username: Option<String>,
    account: Option<Account>,
}

/// What a client can do, out of its hello.
#[derive(Clone, Debug, Default)]
pub struct Offered {
    /// `digest`.
    pub digests: Vec<String>,
    /// `salt-digest`.
    pub salt_digests: Vec<String>,
    /// `challenge`: it has a password and means to be asked for it.
    pub expects_challenge: bool,
}

/// What is next.
pub enum Step {
    /// Send a challenge, and give its answer to [`Login::answer`].
    Challenge(Challenge),
    /// Wait for a decision and give it to [`Login::checked`]. Dropping it gives the check up.
    Check(BoxFuture<'static, Verdict>),
    /// The peer may use the session.
    Granted(Grant),
    /// The peer may not: wait a second, say [`Refusal::TO_PEER`] and close.
    Refused(Refusal),
}

/// What to ask the client; good for one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Random bytes that the answer is only good for.
    pub salt: Vec<u8>,
    /// How to answer.
    pub digest: Digest,
    /// How to combine the salts.
    pub salt_digest: Hash,
    /// What the user is to be asked for.
    pub prompt: String,
}

/// The client's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// `challenge_response`.
    pub response: Secret,
    /// `challenge_client_salt`.
    pub client_salt: Vec<u8>,
}

/// What a module decided.
#[derive(Debug)]
pub struct Verdict(Judgement);

/// A login that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The user name the peer gave, when a module vouches for it.
    pub username: Option<String>,
    /// What the module's directory says about the user.
    pub account: Option<Account>,
}

/// A login that failed. `Display` is for the log: the peer learns nothing but [`TO_PEER`](Self::TO_PEER).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{module}: {reason}")]
pub struct Refusal {
    /// The module that refused.
    pub module: &'static str,
    /// Why; it holds no secrets.
    pub reason: String,
}

impl Refusal {
    /// What the peer is told.
    pub const TO_PEER: &'static str = "authentication failed";
}

#[derive(Debug)]
enum State {
    /// Nothing happened yet.
    Start,
    /// The peer was asked.
    Asked { challenge: Challenge, is_fake: bool },
    /// A module is deciding.
    Checking,
    /// Granted or refused.
    Over,
}

impl Login {
    /// The login of a peer that has to pass `chain`.
    pub fn new(chain: Arc<Chain>, peer: Peer) -> Self {
        Self {
            chain,
            peer: Arc::new(peer),
            offered: Offered::default(),
            password: None,
            position: 0,
            state: State::Start,
            is_counted: false,
            username: None,
            account: None,
        }
    }

    /// Begins, with the client's first hello.
    pub fn step(&mut self, offered: &Offered) -> Step {
        if !matches!(self.state, State::Start) {
            return self.refuse(Denial::new("a second first hello"));
        }
        self.offered = offered.clone();
        self.next()
    }

    /// The client answered.
    pub fn answer(&mut self, answer: Answer) -> Step {
        let (challenge, is_fake) = match std::mem::replace(&mut self.state, State::Over) {
            State::Asked { challenge, is_fake } => (challenge, is_fake),
            State::Start | State::Checking | State::Over => {
                return self.refuse(Denial::new("an answer to no question"));
            }
        };
        let Answer {
            response,
            client_salt,
        } = answer;
        if is_fake {
            return self.grant();
        }
        if !CLIENT_SALT.contains(&client_salt.len()) || response.expose().len() > MAX_ANSWER {
            return self.refuse(Denial::new("an answer of impossible length"));
        }
        let salts = combine_salts(challenge.salt_digest, &client_salt, &challenge.salt);
        let proof = match challenge.digest {
            Digest::Xor => Proof::Password(reveal(response.expose(), &salts)),
            digest @ Digest::Hmac(_) => Proof::Response {
                digest,
                response,
                salts: Secret::new(salts),
            },
        };
        self.check(proof)
    }

    /// A module decided.
    pub fn checked(&mut self, verdict: Verdict) -> Step {
        if !matches!(self.state, State::Checking) {
            return self.refuse(Denial::new("a decision about nothing"));
        }
        match verdict.0 {
            Ok(account) => {
                self.account = account.or_else(|| self.account.take());
                if let Some(stage) = self
                    .chain
                    .stage(self.position)
                    .filter(|stage| stage.is_about_client())
                {
                    self.username.clone_from(&self.peer.username);
                    tracing::debug!("passed {}", stage.name);
                }
                self.position = self.position.saturating_add(1);
                self.next()
            }
            Err(denial) => {
                if !self.is_counted {
                    // it is refused either way, but it counts
                    drop(self.chain.attempt(&self.peer));
                }
                self.refuse(denial)
            }
        }
    }

    /// The turn of the module at `position`.
    fn next(&mut self) -> Step {
        let chain = Arc::clone(&self.chain);
        let Some(stage) = chain.stage(self.position) else {
            return self.finish();
        };
        match (stage.demand(), &self.password) {
            (Demand::Nothing, _) => self.check(Proof::Nothing),
            (_, Some(password)) => self.check(Proof::Password(password.clone())),
            (demand, None) => match self.digests(demand) {
                Ok(methods) => self.ask(methods, prompt(stage), false),
                Err(denial) => self.refuse(denial),
            },
        }
    }

    /// All modules are passed. A client that expects a challenge gives up without one, so it gets one for show; one
    /// that could not answer is spared.
    fn finish(&mut self) -> Step {
        let wants_show = self.offered.expects_challenge && !self.chain.asks();
        match wants_show.then(|| self.digests(Demand::Proof)) {
            Some(Ok(methods)) => self.ask(methods, String::new(), true),
            Some(Err(_)) | None => self.grant(),
        }
    }

    fn ask(&mut self, (digest, salt_digest): (Digest, Hash), prompt: String, is_fake: bool) -> Step {
        let mut salt = vec![0; SALT];
        if let Err(error) = getrandom::fill(&mut salt) {
            return self.refuse(Denial::new(format!("no random numbers: {error}")));
        }
        let challenge = Challenge {
            salt,
            digest,
            salt_digest,
            prompt,
        };
        self.state = State::Asked {
            challenge: challenge.clone(),
            is_fake,
        };
        Step::Challenge(challenge)
    }

    /// How the peer is to answer and to combine salts.
    fn digests(&self, demand: Demand) -> Result<(Digest, Hash), Denial> {
        let offered = || self.offered.digests.iter().map(String::as_str);
        let is_private = self.peer.info.is_private;
        let digest = match demand {
            Demand::Password if !is_private => {
                return Err(Denial::new(
                    "it needs the password itself, which this connection does not keep private: use TLS, SSH or AES",
                ));
            }
            Demand::Password => Digest::choose(offered().filter(|name| *name == "xor"), true),
            Demand::Proof | Demand::Nothing => Digest::choose(offered(), is_private),
        };
        let salt_digest = Hash::choose(self.offered.salt_digests.iter().map(String::as_str));
        digest
            .zip(salt_digest)
            .ok_or_else(|| Denial::new("the client knows none of the digests that can be used"))
    }

    /// Lets the module at `position` decide.
    fn check(&mut self, proof: Proof) -> Step {
        let chain = Arc::clone(&self.chain);
        let Some(stage) = chain.stage(self.position) else {
            return self.refuse(Denial::new("no module is left"));
        };
        if !matches!(proof, Proof::Nothing) && !self.is_counted {
            self.is_counted = true;
            if let Err(denial) = chain.attempt(&self.peer) {
                return self.refuse(denial);
            }
        }
        match stage.judge(&self.peer, proof) {
            Ok(judging) => {
                self.state = State::Checking;
                Step::Check(Box::pin(async move { Verdict(judging.await) }))
            }
            Err(denial) => self.refuse(denial),
        }
    }

    fn grant(&mut self) -> Step {
        self.state = State::Over;
        if self.is_counted {
            self.chain.succeeded(&self.peer);
        }
        if !self.chain.is_empty() {
            tracing::info!("{} logged in from {}", self.name(), self.peer.info.peer);
        }
        Step::Granted(Grant {
            username: take(&mut self.username),
            account: take(&mut self.account),
        })
    }

    fn refuse(&mut self, denial: Denial) -> Step {
        self.state = State::Over;
        let module = self
            .chain
            .stage(self.position)
            .map_or("login", |stage| stage.name);
        let refusal = Refusal {
            module,
            reason: denial.0,
        };
        tracing::warn!(
            "{} from {} may not log in: {refusal}",
            self.name(),
            self.peer.info.peer
        );
        Step::Refused(refusal)
    }

    /// The user name for the log: short, and without control characters.
    fn name(&self) -> String {
        match &self.peer.username {
            Some(name) => format!("{:?}", name.chars().take(64).collect::<String>()),
            None => "somebody".to_owned(),
        }
    }
}

/// What the user is to be asked for.
fn prompt(stage: &Stage) -> String {
    stage.prompt.clone().unwrap_or_default()
}

/// Sends a user name (of `peer`) and a password through a chain, for protocols that have those ready: HTTP and SSH.
pub async fn check_password(chain: &Arc<Chain>, peer: Peer, password: Secret) -> Result<Grant, Refusal> {
    let mut login = Login::new(Arc::clone(chain), peer);
    let mut step = if password.expose().len() > MAX_ANSWER {
        login.refuse(Denial::new("a password of impossible length"))
    } else {
        login.password = Some(password);
        login.next()
    };
    loop {
        step = match step {
            Step::Check(decision) => login.checked(decision.await),
            Step::Granted(grant) => return Ok(grant),
            Step::Refused(refusal) => return Err(refusal),
            Step::Challenge(_) => login.refuse(Denial::new("it asks for more than a password")),
        };
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Challenge(challenge) => f.debug_tuple("Challenge").field(challenge).finish(),
            Self::Check(_) => f.write_str("Check(..)"),
            Self::Granted(grant) => f.debug_tuple("Granted").field(grant).finish(),
            Self::Refused(refusal) => f.debug_tuple("Refused").field(refusal).finish(),
        }
    }
}
