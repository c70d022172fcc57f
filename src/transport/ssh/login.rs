//! Logging in: keys of the agent and of files, passwords, and questions of the server (`endpoints.md` e.3).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::{Error as KeyError, HashAlg, PrivateKey, PrivateKeyWithHashAlg, load_secret_key};
use russh::{MethodKind, MethodSet};

use super::agent;
use super::client::Client;
use crate::address::Secret;
use crate::transport::Prompt;

/// Keys of the agent that are tried: servers hang up after a few.
const MAX_AGENT_KEYS: usize = 5;

/// How often a passphrase or a password is asked for.
const MAX_QUESTIONS: usize = 3;

/// Rounds of questions of the server.
const MAX_ROUNDS: usize = 10;

/// Key files that are tried without being named, in `~/.ssh`.
const USUAL_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// Who logs in, and with what.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) user: String,
    /// The machine, for questions.
    pub(super) host: String,
    pub(super) password: Option<Secret>,
    /// Key files somebody named.
    pub(super) key_files: Vec<PathBuf>,
    pub(super) home: Option<PathBuf>,
    pub(super) agent: Option<PathBuf>,
    pub(super) prompt: Arc<dyn Prompt>,
}

/// A login that is under way.
pub(super) struct Login<'a> {
    session: &'a mut Handle<Client>,
    credentials: &'a Credentials,
    /// What the server would still take.
    methods: MethodSet,
    /// What was tried, for the message.
    tried: Vec<String>,
}

/// What ends the attempts.
enum Outcome {
    /// Logged in.
    In,
    /// Not yet.
    Next,
}

type Attempt = Result<Outcome, russh::Error>;

/// Logs in on `session`; the error says what was tried.
pub(super) async fn login(session: &mut Handle<Client>, credentials: &Credentials) -> Result<(), String> {
    let mut login = Login {
        session,
        credentials,
        methods: MethodSet::empty(),
        tried: Vec::new(),
    };
    match login.run().await {
        Ok(Outcome::In) => Ok(()),
        Ok(Outcome::Next) => Err(login.refusal()),
        Err(error) => Err(format!("{}: {error}", login.refusal())),
    }
}

impl Login<'_> {
    async fn run(&mut self) -> Attempt {
        let result = self.session.authenticate_none(&self.credentials.user).await?;
        if let Outcome::In = self.after(result) {
            return Ok(Outcome::In);
        }
        if let Some(password) = &self.credentials.password
            && self.takes(MethodKind::Password)
            && let Outcome::In = self.password(password).await?
        {
            return Ok(Outcome::In);
        }
        if self.takes(MethodKind::PublicKey)
            && let Outcome::In = self.keys().await?
        {
            return Ok(Outcome::In);
        }
        if self.takes(MethodKind::KeyboardInteractive)
            && let Outcome::In = self.questions().await?
        {
            return Ok(Outcome::In);
        }
        for _ in 0..MAX_QUESTIONS {
            if !self.takes(MethodKind::Password) {
                break;
            }
            let question = format!("{}'s password", self.account());
            let Some(password) = self.ask(question).await else {
                break;
            };
            if let Outcome::In = self.password(&password).await? {
                return Ok(Outcome::In);
            }
        }
        Ok(Outcome::Next)
    }

    fn takes(&self, method: MethodKind) -> bool {
        self.methods.contains(&method)
    }

    fn account(&self) -> String {
        format!("{}@{}", self.credentials.user, self.credentials.host)
    }

    fn refusal(&self) -> String {
        let tried = if self.tried.is_empty() {
            "there was nothing to log in with".to_owned()
        } else {
            format!("tried {}", self.tried.join(", "))
        };
        format!(
            "{} may not log in ({tried}): give a key, an agent or a password",
            self.account()
        )
    }

    fn after(&mut self, result: AuthResult) -> Outcome {
        match result {
            AuthResult::Success => Outcome::In,
            AuthResult::Failure {
                remaining_methods, ..
            } => {
                self.methods = remaining_methods;
                Outcome::Next
            }
        }
    }

    async fn password(&mut self, password: &Secret) -> Attempt {
        self.tried.push("a password".to_owned());
        let result = self
            .session
            .authenticate_password(&self.credentials.user, password.expose_text())
            .await?;
        Ok(self.after(result))
    }

    /// Keys somebody named, then those of the agent, then the usual ones.
    async fn keys(&mut self) -> Attempt {
        for path in &self.credentials.key_files {
            if let Outcome::In = self.key_file(path).await? {
                return Ok(Outcome::In);
            }
        }
        if let Some(agent) = &self.credentials.agent
            && let Outcome::In = self.agent(agent).await?
        {
            return Ok(Outcome::In);
        }
        let directory = self.credentials.home.as_ref().map(|home| home.join(".ssh"));
        for path in directory
            .iter()
            .flat_map(|directory| USUAL_KEYS.map(|name| directory.join(name)))
        {
            let is_new = !self.credentials.key_files.contains(&path);
            if is_new
                && path.exists()
                && self.takes(MethodKind::PublicKey)
                && let Outcome::In = self.key_file(&path).await?
            {
                return Ok(Outcome::In);
            }
        }
        Ok(Outcome::Next)
    }

    async fn key_file(&mut self, path: &Path) -> Attempt {
        let Some(key) = self.load(path).await else {
            return Ok(Outcome::Next);
        };
        self.tried.push(format!("the key '{}'", path.display()));
        let hash = self.rsa_hash(key.algorithm().is_rsa()).await?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let result = self
            .session
            .authenticate_publickey(&self.credentials.user, key)
            .await?;
        Ok(self.after(result))
    }

    /// The key of a file, with its passphrase if it has one.
    async fn load(&mut self, path: &Path) -> Option<PrivateKey> {
        let mut passphrase: Option<Secret> = None;
        for questions_left in (0..=MAX_QUESTIONS).rev() {
            let text = passphrase.as_ref().map(Secret::expose_text);
            let error = match load_secret_key(path, text.as_deref()) {
                Ok(key) => return Some(key),
                Err(error) => error,
            };
            if passphrase.is_some() {
                tracing::warn!("wrong passphrase for '{}'", path.display());
            } else if !matches!(error, KeyError::KeyIsEncrypted) {
                tracing::warn!("cannot use the key '{}': {error}", path.display());
                return None;
            }
            if questions_left > 0 {
                let question = format!("passphrase for the key '{}'", path.display());
                passphrase = Some(self.ask(question).await.filter(|secret| !secret.is_empty())?);
            }
        }
        self.tried
            .push(format!("wrong passphrases for '{}'", path.display()));
        None
    }

    /// Which hash to sign with: only RSA keys leave a choice.
    async fn rsa_hash(&self, is_rsa: bool) -> Result<Option<HashAlg>, russh::Error> {
        if !is_rsa {
            return Ok(None);
        }
        let best = self.session.best_supported_rsa_hash().await?.flatten();
        Ok(best.or(Some(HashAlg::Sha256)))
    }

    async fn agent(&mut self, socket: &Path) -> Attempt {
        let mut agent = match agent::connect(socket).await {
            Ok(agent) => agent,
            Err(error) => {
                tracing::debug!("no agent at '{}': {error}", socket.display());
                return Ok(Outcome::Next);
            }
        };
        let identities = agent.request_identities().await.unwrap_or_default();
        let keys = identities.into_iter().filter_map(|identity| match identity {
            AgentIdentity::PublicKey { key, .. } => Some(key),
            AgentIdentity::Certificate { .. } => None,
        });
        for key in keys.take(MAX_AGENT_KEYS) {
            if !self.takes(MethodKind::PublicKey) {
                break;
            }
            self.tried.push("a key of the agent".to_owned());
            let hash = self.rsa_hash(key.algorithm().is_rsa()).await?;
            let user = self.credentials.user.clone();
            match self
                .session
                .authenticate_publickey_with(user, key, hash, &mut agent)
                .await
            {
                Ok(result) => {
                    if let Outcome::In = self.after(result) {
                        return Ok(Outcome::In);
                    }
                }
                Err(error) => tracing::debug!("the agent does not sign: {error}"),
            }
        }
        Ok(Outcome::Next)
    }

    /// Questions of the server: the password of the address answers the first that is not to be seen.
    async fn questions(&mut self) -> Attempt {
        let mut password = self
            .credentials
            .password
            .clone()
            .filter(|_| !self.takes(MethodKind::Password));
        for _ in 0..MAX_QUESTIONS {
            let user = self.credentials.user.clone();
            let mut reply = self
                .session
                .authenticate_keyboard_interactive_start(user, None)
                .await?;
            self.tried.push("answers to the server's questions".to_owned());
            for _ in 0..MAX_ROUNDS {
                let prompts = match reply {
                    KeyboardInteractiveAuthResponse::Success => return Ok(Outcome::In),
                    KeyboardInteractiveAuthResponse::Failure {
                        remaining_methods, ..
                    } => {
                        self.methods = remaining_methods;
                        break;
                    }
                    KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
                };
                let mut answers = Vec::new();
                for prompt in prompts {
                    let text: String = prompt
                        .prompt
                        .chars()
                        .filter(|c| !c.is_control())
                        .take(200)
                        .collect();
                    let question = format!("{}: {}", self.account(), text.trim().trim_end_matches(':'));
                    let known = password.take_if(|_| !prompt.echo);
                    let answer = match known {
                        Some(password) => Some(password),
                        None => self.ask(question).await,
                    };
                    let Some(answer) = answer else {
                        return Ok(Outcome::Next);
                    };
                    answers.push(answer.expose_text().into_owned());
                }
                reply = self
                    .session
                    .authenticate_keyboard_interactive_respond(answers)
                    .await?;
            }
            if !self.takes(MethodKind::KeyboardInteractive) {
                break;
            }
        }
        Ok(Outcome::Next)
    }

    /// Asks whoever can be asked, where waiting is allowed.
    async fn ask(&self, question: String) -> Option<Secret> {
        let prompt = Arc::clone(&self.credentials.prompt);
        tokio::task::spawn_blocking(move || prompt.secret(&question))
            .await
            .ok()?
    }
}
