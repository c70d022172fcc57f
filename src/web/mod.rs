//! LAYER 4: HTTP on the ports of a server: the files of the HTML5 client, small pages of facts, and the way to a
//! WebSocket (`endpoints.md` c.3, c.4).
//!
//! [`serve`] answers requests on a link with what a [`Site`] has, until the peer leaves or asks for a WebSocket, which
//! it hands back as an [`Upgrade`]. What the pages say about the server comes through [`Facts`].

mod files;
mod headers;
mod must_read;
mod origin;
mod respond;
mod scripts;
mod serve;
mod session_info;
#[cfg(test)]
mod tests;
mod upgrade;

use std::fmt;
use std::path::PathBuf;

use futures_util::future::BoxFuture;
use serde_json::Value;

pub use self::files::find_root;
pub use self::headers::ExtraHeaders;
pub use self::origin::{OriginError, Origins};
pub use self::scripts::{Script, Scripts, UnknownScript};
pub use self::serve::{Outcome, serve};
pub use self::upgrade::{Asked, Upgrade};
use crate::address::Secret;
use crate::transport::LinkInfo;

/// What a server shows to browsers, on all its ports.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// The folder of the HTML5 client; without one there are no files.
    pub root: Option<PathBuf>,
    /// The pages of facts.
    pub scripts: Scripts,
    /// Whose pages may open WebSockets.
    pub origins: Origins,
    /// What to say with every answer, beside the usual.
    pub headers: ExtraHeaders,
}

/// What holds on one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Facts are not for this port: what is said there is to be encrypted in a way that HTTP cannot.
    pub hides_facts: bool,
    /// Facts are for those who have a password: the port has authentication.
    pub needs_password: bool,
    /// Browsers that say they would rather have https are sent there: the port does TLS too, and insists.
    pub redirects_to_tls: bool,
    /// Which WebSockets there are.
    pub websockets: WebSockets,
}

/// Which WebSockets a port has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebSockets {
    /// All, whatever their sub-protocol.
    Any,
    /// Those of xpra.
    #[default]
    Binary,
    /// None.
    Off,
}

/// What a server tells about itself and its machine.
pub trait Facts: fmt::Debug + Send + Sync {
    /// `/Displays`: the displays of this machine.
    fn displays(&self) -> BoxFuture<'_, Value>;

    /// `/Info`: what this server is: `mode`, `type`, `uuid`, and how many `clients` it has.
    fn info(&self) -> BoxFuture<'_, Value>;

    /// `/SessionInfo.json`: how the session is doing; `None` where that is not told.
    fn session_info(&self) -> BoxFuture<'_, Option<Value>>;

    /// `/metrics`: the same in Prometheus' text format.
    fn metrics(&self) -> BoxFuture<'_, Option<String>>;

    /// `/Sessions`: the sessions of this machine.
    fn sessions(&self) -> BoxFuture<'_, Value>;

    /// Whether somebody with that name and that password may see the facts; asked on ports that need one.
    fn may_see<'a>(
        &'a self,
        username: &'a str,
        password: &'a Secret,
        peer: &'a LinkInfo,
    ) -> BoxFuture<'a, bool>;
}
