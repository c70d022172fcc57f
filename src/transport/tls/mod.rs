//! TLS over any other link (`endpoints.md` d): the server's side, the client's, and whom either trusts.
//!
//! | file | owns |
//! |---|---|
//! | `server` | [`ServerTls`]: accepts handshakes with a certificate that can be exchanged while it runs |
//! | `client` | [`ClientTls`]: makes handshakes, and asks about certificates nobody vouches for |
//! | `options` | what users may say about both, in xpra's words |
//! | `policy` | ciphers, versions and flags: OpenSSL's words for what rustls has |
//! | `verify` | which certificates are accepted, and what is wrong with the others |
//! | `hosts` | the certificates of hosts that users trusted (`SSLDIR/hosts`) |
//! | `files` | certificates and keys in files |
//! | `places` | where a server's certificate is looked for, and the first one made |
//! | `certificate` | what a certificate says, for people |
//! | `stream` | the bytes of an open link |

mod certificate;
mod client;
mod error;
mod files;
mod hosts;
mod options;
mod places;
mod policy;
mod server;
mod stream;
#[cfg(test)]
pub(super) mod tests;
mod verify;

pub use self::certificate::{Certificate, Fingerprint};
pub use self::client::ClientTls;
pub(super) use self::client::secure;
pub use self::error::{TlsError, Untrusted};
pub use self::options::{CaCerts, ClientTlsOptions, HostCheck, ServerTlsOptions, VerifyMode};
pub use self::places::Places;
pub use self::policy::Policy;
pub use self::server::ServerTls;

/// The protocol inside that both ends may agree on (ALPN): all of HTTP, thus WebSockets too.
const HTTP: &[u8] = b"http/1.1";

/// What is known about the TLS of a link, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: String,
    /// The cipher suite: `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The protocol agreed on inside (ALPN), if any: `http/1.1`.
    pub alpn: Option<String>,
    /// The peer's certificate by its SHA-256, in the notation of [`Fingerprint`]: `SHA256:` and base64.
    pub peer: Option<String>,
    /// Whom the peer's certificate is for.
    pub peer_subject: Option<String>,
    /// True when the peer's certificate was verified.
    pub is_verified: bool,
}

impl TlsFacts {
    /// Those of a connection that has shaken hands; `verifies` says whether certificates were looked at.
    fn new(connection: &rustls::CommonState, verifies: bool) -> Self {
        let version = connection
            .protocol_version()
            .and_then(|version| version.as_str())
            .unwrap_or_default();
        let cipher = connection
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str());
        let alpn = connection.alpn_protocol().map(String::from_utf8_lossy);
        let peer = connection.peer_certificates().and_then(|chain| chain.first());
        Self {
            version: version.replace('_', "."),
            cipher: cipher.unwrap_or_default().to_owned(),
            alpn: alpn.map(std::borrow::Cow::into_owned),
            peer: peer.map(|peer| Fingerprint::of(peer).to_string()),
            peer_subject: peer
                .and_then(|peer| Certificate::read(peer).ok())
                .map(|peer| peer.subject),
            is_verified: verifies && peer.is_some(),
        }
    }
}
