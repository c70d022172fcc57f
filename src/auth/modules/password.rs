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
