//! Requests for a WebSocket (`endpoints.md` c.3, RFC 6455 section 4.2).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode, Version};

use super::origin::origin;
use super::respond::{Answer, empty, text};
use super::{Port, Site, WebSockets};
use crate::address::TransportKind;
use crate::transport::websocket::{PROTOCOL, Role, WebSocket, accept_key};
use crate::transport::{BoxedStream, Link, LinkInfo};

/// The versions there are: those before 13 differ in nothing that matters here.
const VERSIONS: [&str; 3] = ["13", "8", "7"];

/// What was asked for with a WebSocket.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The path and the query, as they came.
    pub path: String,
    /// Whose web page asked; `None` when it was a program.
    pub origin: Option<String>,
    /// All of the request's headers.
    pub headers: HeaderMap,
}

/// A link that has been promised to be a WebSocket.
pub struct Upgrade {
    /// The stream below.
    pub stream: BoxedStream,
    /// What came in one piece with the request.
    pub early: Bytes,
    /// What is known about the link.
    pub info: LinkInfo,
    /// What was asked for.
    pub asked: Asked,
}

impl Upgrade {
    /// The byte stream of the WebSocket's messages, and what was asked for.
    pub fn into_link(self) -> (Link, Asked) {
        let is_browser = self.asked.origin.is_some();
        let stream = WebSocket::new(self.stream, Role::Server { is_browser }, self.early);
        let is_wrapped = self.info.tls.is_some();
        let kind = if is_wrapped {
            TransportKind::Wss
        } else {
            TransportKind::Ws
        };
        (Link::new(stream, LinkInfo { kind, ..self.info }), self.asked)
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("info", &self.info)
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

/// Whether a request asks for a WebSocket at all.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    tokens(headers, header::UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"))
}

/// What to answer to a request for a WebSocket; with what was asked for when it is granted.
pub(super) fn consider<B>(request: &Request<B>, site: &Site, port: Port) -> (Answer, Option<Asked>) {
    match check(request, site, port) {
        Err((status, why)) => {
            let mut answer = text(status, why);
            if status == StatusCode::UPGRADE_REQUIRED {
                let versions = HeaderValue::from_static("13, 8, 7");
                answer
                    .headers_mut()
                    .insert(header::SEC_WEBSOCKET_VERSION, versions);
            }
            (answer, None)
        }
        Ok((accept, protocol)) => {
            let mut answer = empty(StatusCode::SWITCHING_PROTOCOLS);
            let headers = answer.headers_mut();
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
            if let Some(protocol) = protocol {
                let protocol = HeaderValue::from_static(protocol);
                headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
            }
            let asked = Asked {
                path: request
                    .uri()
                    .path_and_query()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                origin: origin(request.headers()),
                headers: request.headers().clone(),
            };
            (answer, Some(asked))
        }
    }
}

type Refusal = (StatusCode, &'static str);

/// The proof that the request was read, and the sub-protocol, if one was asked for.
fn check<B>(
    request: &Request<B>,
    site: &Site,
    port: Port,
) -> Result<(HeaderValue, Option<&'static str>), Refusal> {
    let bad = |why| (StatusCode::BAD_REQUEST, why);
    let headers = request.headers();
    if port.websockets == WebSockets::Off {
        return Err((StatusCode::FORBIDDEN, "there are no WebSockets on this port"));
    }
    if request.method() != Method::GET || request.version() < Version::HTTP_11 {
        return Err(bad("a WebSocket is asked for with GET, in HTTP/1.1"));
    }
    if !tokens(headers, header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return Err(bad("the request for a WebSocket lacks 'Connection: Upgrade'"));
    }
    let version = one(headers, header::SEC_WEBSOCKET_VERSION);
    if !version.is_some_and(|version| VERSIONS.contains(&version)) {
        return Err((StatusCode::UPGRADE_REQUIRED, "not a known version of WebSockets"));
    }
    let key = one(headers, header::SEC_WEBSOCKET_KEY);
    let key = key.filter(|key| BASE64.decode(key).is_ok_and(|bytes| bytes.len() == 16));
    let key = key.ok_or_else(|| bad("the request for a WebSocket has no valid key"))?;
    let protocol = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL).any(|token| token == PROTOCOL);
    if !protocol && port.websockets == WebSockets::Binary {
        return Err((StatusCode::FORBIDDEN, "the sub-protocol must be 'binary'"));
    }
    if !site.origins.admit(headers) {
        return Err((StatusCode::FORBIDDEN, "web pages from there may not connect here"));
    }
    let accept = HeaderValue::from_str(&accept_key(key.as_bytes()))
        .map_err(|_| bad("the request for a WebSocket has no valid key"))?;
    Ok((accept, protocol.then_some(PROTOCOL)))
}

/// The only value of a header.
fn one(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.trim())
}

/// The members of a header that is a list, over all its lines.
fn tokens(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}
