//! One password for all: `password`, `env` and `file`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;

use super::super::chain::Context;
use super::super::digest::MAX_ANSWER;
use super::super::error::AuthError;
use super::super::module::{Case, Demand, Denial, Judgement, Module, decided};
use super::super::settings::Settings;
use crate::address::Secret;

/// A password that stays the same.
#[derive(Debug)]
struct Literal(Secret);

/// `password`: the one in the option.
pub(crate) fn literal(settings: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let value = settings.need("value", "the password, as in password:value=SECRET")?;
    Ok(Arc::new(Literal(Secret::new(value))))
}

/// `env`: the one in an environment variable.
pub(crate) fn env(settings: &Settings, context: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let name = settings.get("name").unwrap_or("XPRA_PASSWORD");
    let value = context
        .variables
        .get(name)
        .map(String::as_str)
        .unwrap_or_default();
    if value.is_empty() {
        tracing::warn!("the environment variable {name} is not set: nobody will be let in");
    }
    Ok(Arc::new(Literal(Secret::new(value))))
}

impl Module for Literal {
    fn demand(&self) -> Demand {
        Demand::Proof
    }

    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement> {
        decided(match case.proof.proves(&self.0) {
            true => Ok(None),
            false => Err(Denial::wrong_password()),
        })
    }
}

/// A password in a file, which is read for each login: it may be changed at any time.
#[derive(Debug)]
struct InFile(PathBuf);

/// `file`: the content of a file, byte for byte.
pub(crate) fn file(settings: &Settings, context: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let path = match (settings.get("filename"), context.password_files.first()) {
        (None, Some(path)) => path.clone(),
        _ => context.path(settings.need("filename", "as in file:filename=PATH, or --password-file=PATH")?),
    };
    if let Err(error) = File::open(&path) {
        tracing::warn!("cannot read the password file {}: {error}", path.display());
    }
    Ok(Arc::new(InFile(path)))
}

impl Module for InFile {
    fn demand(&self) -> Demand {
        Demand::Proof
    }

    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement> {
        Box::pin(async move {
            let read = spawn_blocking(move || read(&self.0, MAX_ANSWER).map(Secret::new)).await;
            let password = match read {
                Ok(Ok(password)) => password,
                Ok(Err(error)) => return Err(Denial::new(format!("cannot read the password file: {error}"))),
                Err(_) => return Err(Denial::new("reading the password file was given up")),
            };
            match case.proof.proves(&password) {
                true => Ok(None),
                false if password.expose().ends_with(b"\n") => Err(Denial::new(
                    "wrong password (the password file ends in a newline, which is part of the password)",
                )),
                false => Err(Denial::wrong_password()),
            }
        })
    }
}

/// The content of a file that must not be longer than `most`.
pub(crate) fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut content)?;
    if content.len() > most {
        let message = format!("{} is longer than {most} bytes", path.display());
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::*;
    use super::*;

    #[tokio::test]
    async fn a_file_counts_byte_for_byte_as_it_is_now() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let chain = chain(&[&format!("file:filename={}", file.path().display())]);
        for (content, password, expected) in [
            (&b"p w"[..], "p w", true),
            (b"p w\n", "p w", false),
            (b"p w\n", "p w\n", true),
            ("päss".as_bytes(), "päss", true),
            (b"", "x", false),
            (&[b'x'; MAX_ANSWER + 1], "x", false),
        ] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(
                passes(&chain, remote("fred"), &[password]).await,
                expected,
                "{content:?}"
            );
        }
        std::fs::write(&file, "p w\n").unwrap();
        let (refused, _) = log_in(&chain, remote("fred"), &offered(), &["p w"]).await;
        assert!(refused.unwrap_err().reason.contains("newline"));
        std::fs::remove_file(&file).unwrap();
        assert!(!passes(&chain, remote("fred"), &["p w"]).await);
    }

    #[tokio::test]
    async fn the_environment_and_the_password_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "in a file").unwrap();
        let context = Context {
            variables: [("XPRA_PASSWORD", "first secret"), ("OTHER", "second secret")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            password_files: vec![file.path().to_owned()],
            ..context()
        };
        for (module, password) in [
            ("env", "first secret"),
            ("env:name=OTHER", "second secret"),
            ("file", "in a file"),
        ] {
            let chain = chain_in(&context, &[module]);
            assert!(passes(&chain, remote("fred"), &[password]).await, "{module}");
            assert!(!passes(&chain, remote("fred"), &["three"]).await);
            assert!(!format!("{chain:?} {context:?}").contains(password));
        }
    }
}
