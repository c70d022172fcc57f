//! `multifile`: many users and their sessions in one file (`endpoints.md` h.4).

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;

use super::super::chain::Context;
use super::super::error::AuthError;
use super::super::module::{Account, Case, Demand, Denial, Judgement, Module};
use super::super::settings::Settings;
use super::password::read;
use crate::address::Secret;

/// Longest file.
const MAX_FILE: usize = 1 << 20;

/// The file, which is read for each login.
#[derive(Debug)]
struct MultiFile(PathBuf);

pub(crate) fn build(settings: &Settings, context: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let path = context.path(settings.need("filename", "as in multifile:filename=PATH")?);
    if let Err(error) = std::fs::File::open(&path) {
        tracing::warn!("cannot read the file of users {}: {error}", path.display());
    }
    Ok(Arc::new(MultiFile(path)))
}

impl Module for MultiFile {
    fn demand(&self) -> Demand {
        Demand::Proof
    }

    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement> {
        Box::pin(async move {
            let Case { username, proof, .. } = case;
            let found = spawn_blocking(move || {
                let content = read(&self.0, MAX_FILE)?;
                Ok::<_, std::io::Error>(find(&String::from_utf8_lossy(&content), &username))
            });
            match found.await {
                Ok(Ok(Some((password, account)))) if proof.proves(&password) => Ok(Some(account)),
                Ok(Ok(Some(_))) => Err(Denial::wrong_password()),
                Ok(Ok(None)) => {
                    proof.waste();
                    Err(Denial::unknown_user())
                }
                Ok(Err(error)) => Err(Denial::new(format!("cannot read the file of users: {error}"))),
                Err(_) => Err(Denial::new("reading the file of users was given up")),
            }
        })
    }
}

/// The password and the account of a user: `user|password|uid|gid|displays|environment|options`.
fn find(text: &str, username: &str) -> Option<(Secret, Account)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut entries = lines.map(|line| line.split('|').collect::<Vec<_>>());
    let fields = entries.find(|fields| fields.first() == Some(&username))?;
    let field = |at: usize| fields.get(at).copied().unwrap_or_default().trim();
    let password = Secret::new(fields.get(1).copied().unwrap_or_default());
    let account = if fields.len() < 5 {
        Account::nobody()
    } else {
        Account::new(field(2), field(3), field(4), field(5), field(6))
    };
    Some((password, account))
}

impl Account {
    /// Somebody without rights or displays.
    pub(super) fn nobody() -> Self {
        Self::new("nobody", "nobody", "", "", "")
    }

    /// An account as text: displays with commas between, `key=value` pairs with semicolons between.
    pub(super) fn new(uid: &str, gid: &str, displays: &str, environment: &str, options: &str) -> Self {
        let displays = displays
            .split(',')
            .map(str::trim)
            .filter(|display| !display.is_empty());
        let pairs = |text: &str| {
            let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
            pairs
                .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
                .collect()
        };
        Self {
            uid: uid.to_owned(),
            gid: gid.to_owned(),
            displays: displays.map(str::to_owned).collect(),
            environment: pairs(environment),
            options: pairs(options),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::check_password;
    use super::super::super::tests::*;
    use super::*;

    #[tokio::test]
    async fn users_of_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let content =
            "#fred|commented\nfred|p w|1000|100|:10,:11|A=1;B=2|compression=0\nbob|secret\nempty|\n";
        std::fs::write(&file, content).unwrap();
        let chain = chain(&[&format!("multifile:filename={}", file.path().display())]);
        let (grant, _) = log_in(&chain, remote("fred"), &offered(), &["p w"]).await;
        let grant = grant.unwrap();
        assert_eq!(grant.username.as_deref(), Some("fred"));
        let expected = Account::new("1000", "100", ":10,:11", "A=1;B=2", "compression=0");
        assert_eq!(expected.displays, [":10", ":11"]);
        assert_eq!(grant.account, Some(expected));
        let grant = check_password(&chain, remote("bob"), Secret::new("secret")).await;
        assert_eq!(grant.unwrap().account, Some(Account::nobody()));
        for (user, password) in [
            ("bob", "p w"),
            ("eve", "secret"),
            ("#fred", "commented"),
            ("empty", ""),
            ("fred|p w", "1000"),
        ] {
            let grant = check_password(&chain, remote(user), Secret::new(password)).await;
            assert!(grant.is_err(), "{user}");
        }
        std::fs::write(&file, "bob|changed\n").unwrap();
        assert!(passes(&chain, remote("bob"), &["changed"]).await);
        std::fs::remove_file(&file).unwrap();
        assert!(!passes(&chain, remote("bob"), &["changed"]).await);
    }
}
