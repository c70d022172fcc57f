//! Asking the person who is connecting.

use std::fmt;

use crate::address::Secret;

/// Whoever can be asked while a connection is made: whether a host is the right one, for a password or a passphrase.
///
/// Both calls block until there is an answer: call them where that is allowed (`spawn_blocking`).
pub trait Prompt: fmt::Debug + Send + Sync {
    /// Asks a question that is answered with yes or no; `None` when there is nobody to ask.
    fn confirm(&self, question: &str) -> Option<bool>;

    /// Asks for what must not be seen while it is typed; `None` when there is nobody to ask, or no answer.
    fn secret(&self, what: &str) -> Option<Secret>;
}

/// Nobody can be asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Prompt for Nobody {
    fn confirm(&self, _: &str) -> Option<bool> {
        None
    }

    fn secret(&self, _: &str) -> Option<Secret> {
        None
    }
}
