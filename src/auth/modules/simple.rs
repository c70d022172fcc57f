//! Modules that decide without looking: `none`, `allow`, `fail` and `reject`.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::super::chain::Context;
use super::super::error::AuthError;
use super::super::module::{Case, Demand, Denial, Judgement, Module, decided};
use super::super::settings::Settings;

/// Decides always the same, perhaps after asking for a password for show.
#[derive(Debug)]
struct Always {
    asks: bool,
    passes: bool,
}

/// Accepts without asking.
pub(crate) fn none(_: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    always(false, true)
}

/// Asks, and accepts any answer.
pub(crate) fn allow(_: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    always(true, true)
}

/// Refuses without asking.
pub(crate) fn fail(_: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    always(false, false)
}

/// Asks, and refuses any answer.
pub(crate) fn reject(_: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    always(true, false)
}

fn always(asks: bool, passes: bool) -> Result<Arc<dyn Module>, AuthError> {
    Ok(Arc::new(Always { asks, passes }))
}

impl Module for Always {
    fn demand(&self) -> Demand {
        match self.asks {
            true => Demand::Proof,
            false => Demand::Nothing,
        }
    }

    fn judge(self: Arc<Self>, _: Case) -> BoxFuture<'static, Judgement> {
        decided(match self.passes {
            true => Ok(None),
            false => Err(Denial::new("nobody is let in")),
        })
    }
}
