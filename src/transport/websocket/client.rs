//! Asking a server for a WebSocket, in the way xpra does (`endpoints.md` c.3).

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use httparse::{EMPTY_HEADER, Header, Response, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::endpoint::random;
use super::{PROTOCOL, Role, WebSocket, accept_key};
use crate::address::Remote;
use crate::transport::Stream;

/// The longest answer to an upgrade request.
const MAX_ANSWER: usize = 16 << 10;
const MAX_HEADERS: usize = 64;

/// How much of what is no answer is shown to the user.
const MAX_SHOWN: usize = 80;

/// Why there is no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The connection ended before there was an answer.
    #[error("the server closed the connection instead of answering as a WebSocket")]
    Closed,
    /// The connection failed.
    #[error("the connection failed before it was a WebSocket: {0}")]
    Failed(String),
    /// The answer breaks the rules.
    #[error("the server's answer makes no WebSocket: {0}")]
    Invalid(&'static str),
    /// Something answered, but not in HTTP.
    #[error("no HTTP server answers there, so no WebSocket either: it says {0:?}")]
    NotHttp(String),
    /// It took too long.
    #[error("the server did not answer as a WebSocket in time")]
    TimedOut,
    /// An HTTP server that does not want to.
    #[error("this is an HTTP server but no WebSocket: {status} {reason}{}", leading(.location))]
    Refused {
        /// The status.
        status: u16,
        /// What the server says about it.
        reason: String,
        /// Where it wants us to go instead.
        location: Option<String>,
    },
}

fn leading(location: &Option<String>) -> String {
    location
        .as_ref()
        .map(|place| format!(", it is at {place}"))
        .unwrap_or_default()
}

impl From<io::Error> for UpgradeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// Makes the stream to `remote` a WebSocket: TCP for `ws`, TLS for `wss`. Waits as long as it takes: the caller sets
/// limits.
pub async fn upgrade<S: Stream>(mut stream: S, remote: &Remote) -> Result<WebSocket<S>, UpgradeError> {
    let key = BASE64.encode(random::<16>()?);
    stream.write_all(request(remote, &key).as_bytes()).await?;
    stream.flush().await?;
    let mut buffer = BytesMut::with_capacity(1024);
    loop {
        if let Some(end) = check(&buffer, &key)? {
            let early = buffer.split_off(end).freeze();
            return Ok(WebSocket::new(stream, Role::Client, early));
        }
        if buffer.len() > MAX_ANSWER {
            return Err(UpgradeError::Invalid("its headers never end"));
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(if buffer.is_empty() {
                UpgradeError::Closed
            } else {
                UpgradeError::NotHttp(shown(&buffer))
            });
        }
    }
}

fn request(remote: &Remote, key: &str) -> String {
    // An interface is nobody's business but ours (RFC 6874 section 4).
    let host = remote.host.split('%').next().unwrap_or_default();
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    format!(
        "GET /{} HTTP/1.1\r\nHost: {host}:{}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\nSec-WebSocket-Key: {key}\r\n\r\n",
        quoted(&remote.path),
        remote.port
    )
}

/// A path as it stands in a request: what is not plainly allowed there is escaped.
fn quoted(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    let quote = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    path.trim_start_matches('/').bytes().map(quote).collect()
}

/// Looks at an answer as far as it came: where it ends, if it does and agrees to everything.
fn check(answer: &[u8], key: &str) -> Result<Option<usize>, UpgradeError> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut response = Response::new(&mut headers);
    let end = match response.parse(answer) {
        Ok(Status::Complete(end)) => end,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(UpgradeError::Invalid("it has too many headers")),
        Err(_) => return Err(UpgradeError::NotHttp(shown(answer))),
    };
    let status = response.code.unwrap_or_default();
    let header = |name: &str| value(response.headers, name);
    if status != 101 {
        return Err(UpgradeError::Refused {
            status,
            reason: shown(response.reason.unwrap_or_default().as_bytes()),
            location: header("Location").map(shown),
        });
    }
    let is =
        |name, wanted: &str| header(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted.as_bytes()));
    let problem = if !is("Upgrade", "websocket") {
        "it upgrades to something else"
    } else if header("Sec-WebSocket-Accept") != Some(accept_key(key.as_bytes()).as_bytes()) {
        "it does not prove that it read the request"
    } else if header("Sec-WebSocket-Protocol") != Some(PROTOCOL.as_bytes()) {
        "it does not speak xpra's sub-protocol 'binary'"
    } else if header("Sec-WebSocket-Extensions").is_some() {
        "it uses extensions nobody asked for"
    } else {
        return Ok(Some(end));
    };
    Err(UpgradeError::Invalid(problem))
}

fn value<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    let header = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))?;
    Some(header.value.trim_ascii())
}

/// A server's words, fit to be shown: short and without controls.
fn shown(bytes: &[u8]) -> String {
    let bytes = bytes.get(..MAX_SHOWN).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    text.trim()
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
