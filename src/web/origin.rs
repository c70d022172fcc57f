//! `--http-origin`: whose web pages may open WebSockets (`endpoints.md` c.3).
//!
//! A browser lets any page open a WebSocket to anywhere, and only says whose page it is. Programs say nothing.

use std::fmt;
use std::str::FromStr;

use hyper::{HeaderMap, Uri, header};

/// Which origins are let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    accepted: Accepted,
    /// Requests that do not say where they are from are refused as well.
    is_strict: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Accepted {
    Any,
    /// These.
    Listed(Vec<Place>),
    None,
    /// Pages of the host that is asked.
    #[default]
    Same,
}

/// Where a page is from, or part of that.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// `None` for any.
    scheme: Option<String>,
    host: String,
    /// `None` for the scheme's own, or any without a scheme.
    port: Option<u16>,
}

/// An origin in a list that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no origin: write auto, any, none, or a list such as https://host:port,otherhost")]
pub struct OriginError(String);

impl FromStr for Origins {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let mut origins = Self::default();
        let mut words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let mut listed = Vec::new();
        for word in &mut words {
            match word.to_ascii_lowercase().as_str() {
                "strict" => origins.is_strict = true,
                "auto" => origins.accepted = Accepted::Same,
                "any" | "all" | "*" => origins.accepted = Accepted::Any,
                "none" | "no" | "off" | "false" => origins.accepted = Accepted::None,
                other => listed.push(Place::parse(other).ok_or_else(|| OriginError(word.to_owned()))?),
            }
        }
        if !listed.is_empty() {
            origins.accepted = Accepted::Listed(listed);
        }
        Ok(origins)
    }
}

impl Place {
    /// `SCHEME://HOST[:PORT]` or `HOST[:PORT]`.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = match text.split_once("://") {
            Some((scheme, authority)) => (Some(scheme), authority),
            None => (None, text),
        };
        let uri: Uri = format!("http://{authority}/").parse().ok()?;
        let host = uri.host().filter(|host| !host.is_empty())?;
        let is_plain = uri.path() == "/" && uri.query().is_none() && !authority.contains(['@', '/']);
        is_plain.then(|| Self {
            scheme: scheme.map(str::to_ascii_lowercase),
            host: host.to_ascii_lowercase(),
            port: uri.port_u16(),
        })
    }

    fn port(&self) -> Option<u16> {
        let usual = match self.scheme.as_deref() {
            Some("http" | "ws") => Some(80),
            Some("https" | "wss") => Some(443),
            _ => None,
        };
        self.port.or(usual)
    }

    /// Whether that page is from here.
    fn includes(&self, page: &Self) -> bool {
        let is_free = self.scheme.is_none() && self.port.is_none();
        self.host == page.host
            && (self.scheme.is_none() || self.scheme == page.scheme)
            && (is_free || self.port() == page.port())
    }
}

impl Origins {
    /// Whether a request with these headers may have a WebSocket.
    pub(super) fn admit(&self, headers: &HeaderMap) -> bool {
        let mut origins = of(headers);
        let Some(origin) = origins.next() else {
            return !self.is_strict;
        };
        let page = origin.and_then(Place::parse).filter(|page| page.scheme.is_some());
        match (&self.accepted, page) {
            (Accepted::Any, _) => true,
            _ if origins.next().is_some() => false,
            (Accepted::None, _) | (_, None) => false,
            (Accepted::Listed(places), Some(page)) => places.iter().any(|place| place.includes(&page)),
            (Accepted::Same, Some(page)) => {
                let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
                host.and_then(Place::parse)
                    .is_some_and(|host| host.includes(&page))
            }
        }
    }
}

/// Where a request says it is from; drafts of RFC 6455 called it otherwise (versions 7 and 8).
fn of(headers: &HeaderMap) -> impl Iterator<Item = Option<&str>> {
    let both = [header::ORIGIN.as_str(), "sec-websocket-origin"];
    let values = both.into_iter().flat_map(|name| headers.get_all(name));
    values.map(|value| value.to_str().ok())
}

/// The page a request is from, if it says so: then it comes from a browser.
pub(super) fn origin(headers: &HeaderMap) -> Option<String> {
    of(headers)
        .next()
        .map(|origin| origin.unwrap_or("null").to_owned())
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.accepted {
            Accepted::Any => f.write_str("any")?,
            Accepted::None => f.write_str("none")?,
            Accepted::Same => f.write_str("auto")?,
            Accepted::Listed(places) => {
                for (i, place) in places.iter().enumerate() {
                    f.write_str(if i > 0 { "," } else { "" })?;
                    place.fmt(f)?;
                }
            }
        }
        f.write_str(if self.is_strict { ",strict" } else { "" })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}://")?;
        }
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn admits(policy: &str, origin: Option<&str>, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        policy.parse::<Origins>().unwrap().admit(&headers)
    }

    #[test]
    fn only_pages_of_the_same_host_by_default() {
        for (origin, host, admitted) in [
            ("http://a:14500", "a:14500", true),
            ("http://A", "a", true),
            ("http://a", "a:80", true),
            ("https://a", "a:443", true),
            ("http://a:81", "a", true),
            ("http://[::1]:14500", "[::1]:14500", true),
            ("http://a", "a:14500", false),
            ("http://b:14500", "a:14500", false),
            ("http://a.evil", "a", false),
            ("http://a@b", "a", false),
            ("null", "null", false),
            ("a", "a", false),
            ("", "a", false),
            ("http://a/", "a", false),
        ] {
            assert_eq!(admits("auto", Some(origin), host), admitted, "{origin} at {host}");
        }
        assert!(admits("auto", None, "a"));
        assert!(!admits("auto,strict", None, "a"));
    }

    #[test]
    fn lists_name_hosts_or_whole_origins() {
        let policy = "https://a, b:81 ,c,strict";
        for (origin, admitted) in [
            ("https://a", true),
            ("https://a:443", true),
            ("http://a", false),
            ("https://a:444", false),
            ("http://b:81", true),
            ("http://b", false),
            ("https://c:9999", true),
            ("http://d", false),
        ] {
            assert_eq!(admits(policy, Some(origin), "x"), admitted, "{origin}");
        }
        assert!(!admits(policy, None, "x"));
    }

    #[test]
    fn all_or_nobody() {
        for word in ["any", "all", "*"] {
            assert!(admits(word, Some("null"), "a"));
        }
        for word in ["none", "No", "off", "false"] {
            assert!(!admits(word, Some("http://a"), "a"));
            assert!(admits(word, None, "a"));
        }
        assert!("http://a b".parse::<Origins>().is_err());
        assert!("http://a/path".parse::<Origins>().is_err());
    }

    #[test]
    fn the_name_of_older_versions_counts() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("a"));
        headers.insert("sec-websocket-origin", HeaderValue::from_static("http://evil"));
        assert!(!Origins::default().admit(&headers));
        headers.insert(header::ORIGIN, HeaderValue::from_static("http://a"));
        assert!(!Origins::default().admit(&headers), "two origins");
    }

    #[test]
    fn shown_as_written() {
        for text in ["auto", "any,strict", "none", "https://a:1,b,strict"] {
            assert_eq!(text.parse::<Origins>().unwrap().to_string(), text);
        }
    }
}
