//! Whether an SSH server is the one it should be, and who decides when nothing is known of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use russh::keys::{HashAlg, PublicKey};

use super::config::Strict;
use super::known_hosts::{KnownHost, Verdict};
use crate::transport::Prompt;

/// Whether a server is the one it should be.
pub(super) struct Identity {
    pub(super) known: KnownHost,
    /// Where keys are added.
    pub(super) file: Option<PathBuf>,
    pub(super) strict: Strict,
    pub(super) name: String,
    pub(super) prompt: Arc<dyn Prompt>,
    /// Somebody is being asked, which takes its time.
    pub(super) asking: Arc<AtomicBool>,
}

impl Identity {
    /// Why the server is not to be trusted, if it is not.
    pub(super) async fn check(&self, key: &PublicKey) -> Result<(), String> {
        let print = key.fingerprint(HashAlg::Sha256);
        let name = &self.name;
        match self.known.verdict(key) {
            Verdict::Known => return Ok(()),
            Verdict::Changed(file, line) => {
                return Err(format!(
                    "the key of '{name}' has changed, its fingerprint is now {print}: somebody may be listening in. If \
                     it really has a new key, remove line {line} of '{}'",
                    file.display()
                ));
            }
            Verdict::Revoked(file, line) => {
                let file = file.display();
                return Err(format!(
                    "the key of '{name}', {print}, is revoked by line {line} of '{file}'"
                ));
            }
            Verdict::Unknown => {}
        }
        let hint = format!("the host '{name}' is not known, its key's fingerprint is {print}");
        let is_trusted = match self.strict {
            Strict::AcceptNew => Some(true),
            Strict::Yes => None,
            Strict::Ask => {
                let kind = key.algorithm();
                let question =
                    format!("The host '{name}' is not known. Its {kind} key is {print}. Trust it?");
                let prompt = Arc::clone(&self.prompt);
                self.asking.store(true, Ordering::Release);
                let asked = tokio::task::spawn_blocking(move || prompt.confirm(&question)).await;
                asked.ok().flatten()
            }
        };
        match is_trusted {
            Some(true) => {
                self.learn(key);
                Ok(())
            }
            Some(false) => Err(format!("{hint}: not trusted")),
            None => Err(format!(
                "{hint}: compare it with the server's, and add it to known_hosts"
            )),
        }
    }

    fn learn(&self, key: &PublicKey) {
        let Some(file) = &self.file else { return };
        match self.known.learn(file, key) {
            Ok(()) => tracing::info!("added the key of '{}' to '{}'", self.name, file.display()),
            Err(error) => tracing::warn!(
                "cannot add the key of '{}' to '{}': {error}",
                self.name,
                file.display()
            ),
        }
    }
}
