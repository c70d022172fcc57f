//! Pages of facts: `/Status`, `/Info`, `/Sessions`, `/Displays` (`endpoints.md` c.4), and, of our own, `/SessionInfo`
//! and `/metrics`.

use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::respond::{Answer, content, text};
use super::{Facts, Port, session_info};
use crate::address::Secret;
use crate::transport::LinkInfo;

/// How long one who gives a wrong password waits for the answer (`endpoints.md` c.2).
const PENALTY: Duration = Duration::from_secs(1);

/// A page of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// The displays of this machine.
    Displays,
    /// What the server is.
    Info,
    /// How the session is doing, in Prometheus' text format.
    Metrics,
    /// How the session is doing, drawn.
    SessionInfo,
    /// What that page draws.
    SessionInfoData,
    /// The sessions of this machine.
    Sessions,
    /// That there is a server.
    Status,
}

impl Script {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Displays,
        Self::Info,
        Self::Metrics,
        Self::SessionInfo,
        Self::SessionInfoData,
        Self::Sessions,
        Self::Status,
    ];

    /// The page of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|script| script.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Displays => "Displays",
            Self::Info => "Info",
            // where Prometheus looks
            Self::Metrics => "metrics",
            Self::SessionInfo => "SessionInfo",
            Self::SessionInfoData => "SessionInfo.json",
            Self::Sessions => "Sessions",
            Self::Status => "Status",
        }
    }
}

/// `--http-scripts`: which pages of facts there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scripts(Vec<Script>);

impl Default for Scripts {
    fn default() -> Self {
        Self(Script::ALL.to_vec())
    }
}

/// A page that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no script '{0}': write all, no, or a list of Displays, Info, metrics, SessionInfo, Sessions, Status"
)]
pub struct UnknownScript(String);

impl FromStr for Scripts {
    type Err = UnknownScript;

    fn from_str(text: &str) -> Result<Self, UnknownScript> {
        match text.trim().to_ascii_lowercase().as_str() {
            "all" | "yes" | "true" | "on" | "1" | "auto" => return Ok(Self::default()),
            "" | "no" | "none" | "false" | "off" | "0" => return Ok(Self(Vec::new())),
            _ => {}
        }
        let names = text.split(',').map(|name| name.trim().trim_start_matches('/'));
        let scripts = names.map(|name| Script::named(name).ok_or_else(|| UnknownScript(name.to_owned())));
        Ok(Self(scripts.collect::<Result<_, _>>()?))
    }
}

impl Scripts {
    /// Whether that page is shown.
    pub fn includes(&self, script: Script) -> bool {
        let needed = match script {
            // the page is nothing without
            Script::SessionInfoData => Script::SessionInfo,
            script => script,
        };
        self.0.contains(&needed)
    }
}

/// The page, or the demand for a password.
pub(super) async fn show(
    script: Script,
    headers: &HeaderMap,
    facts: &dyn Facts,
    port: Port,
    peer: &LinkInfo,
) -> Answer {
    if script != Script::Status && port.needs_password {
        match credentials(headers) {
            None => return demand(),
            Some((username, password)) => {
                if !facts.may_see(&username, &password, peer).await {
                    tracing::info!("wrong name or password for /{} from {}", script.name(), peer.peer);
                    sleep(PENALTY).await;
                    return demand();
                }
            }
        }
    }
    let shown = match script {
        Script::Displays => facts.displays().await,
        Script::Info => facts.info().await,
        Script::Metrics => {
            return match facts.metrics().await {
                Some(text) => content(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text),
                None => untold(),
            };
        }
        Script::SessionInfo => return session_info::page(),
        Script::SessionInfoData => match facts.session_info().await {
            Some(shown) => shown,
            None => return untold(),
        },
        Script::Sessions => facts.sessions().await,
        Script::Status => return text(StatusCode::OK, "ready"),
    };
    content(StatusCode::OK, "application/json", shown.to_string())
}

fn untold() -> Answer {
    text(StatusCode::FORBIDDEN, "that is not told on this port")
}

fn demand() -> Answer {
    let mut answer = text(
        StatusCode::UNAUTHORIZED,
        "this page is for those who may use the session",
    );
    let realm = HeaderValue::from_static("Basic realm=\"xpra\", charset=\"UTF-8\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    answer
}

/// The name and password of a request (RFC 7617).
fn credentials(headers: &HeaderMap) -> Option<(String, Secret)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = scheme.eq_ignore_ascii_case("basic").then(|| token.trim())?;
    let pair = Zeroizing::new(BASE64.decode(token).ok()?);
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let (username, password) = pair.split_at_checked(colon)?;
    let username = std::str::from_utf8(username).ok()?.to_owned();
    Some((username, Secret::new(password.get(1..)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_scripts() {
        let all = Scripts::default();
        for word in ["all", "Yes", "auto"] {
            assert_eq!(word.parse(), Ok(all.clone()));
        }
        assert_eq!("no".parse(), Ok(Scripts(Vec::new())));
        let some: Scripts = "Status, /Info".parse().unwrap();
        assert!(some.includes(Script::Info) && !some.includes(Script::Sessions));
        let error = "Status,Menu".parse::<Scripts>().unwrap_err();
        assert!(error.to_string().contains("'Menu'"), "{error}");
    }

    #[test]
    fn basic_credentials() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            credentials(&headers).map(|(name, password)| (name, password.expose().to_vec()))
        };
        let pair = Some(("u".to_owned(), b"p:\xff".to_vec()));
        assert_eq!(of("Basic dTpwOv8="), pair);
        assert_eq!(of("basic  dTpwOv8="), pair);
        for wrong in ["Basic", "Basic !", "Basic dQ==", "Bearer dTpwOv8=", "Basic /zpw"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
