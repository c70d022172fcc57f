//! Modules that go by what the peer sent along: `capability` and `http-header`.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::super::chain::Context;
use super::super::error::AuthError;
use super::super::module::{Case, Denial, Judgement, Module, Peer, decided};
use super::super::settings::Settings;

/// Wants a property to have a value.
#[derive(Debug)]
struct Fact {
    what: &'static str,
    of: fn(&Peer) -> &BTreeMap<String, String>,
    property: String,
    value: String,
}

/// `capability`: of the hello.
pub(crate) fn capability(settings: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    Ok(Arc::new(Fact {
        what: "capability",
        of: |peer| &peer.capabilities,
        property: settings.get("property").unwrap_or("display").to_owned(),
        value: settings.get("value").unwrap_or_default().to_owned(),
    }))
}

/// `http-header`: of the request for a WebSocket, which a proxy in front of the server adds.
pub(crate) fn http_header(settings: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let property = settings.get("property").unwrap_or("X-Forwarded-Proto");
    Ok(Arc::new(Fact {
        what: "HTTP header",
        of: |peer| &peer.headers,
        property: property.to_ascii_lowercase(),
        value: settings.get("value").unwrap_or("https").to_owned(),
    }))
}

impl Module for Fact {
    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement> {
        let found = (self.of)(&case.peer).get(&self.property);
        decided(match found {
            Some(value) if *value == self.value => Ok(None),
            Some(_) => Err(Denial::new(format!(
                "the {} '{}' has another value",
                self.what, self.property
            ))),
            None => Err(Denial::new(format!(
                "the {} '{}' is missing",
                self.what, self.property
            ))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::*;

    #[tokio::test]
    async fn properties() {
        let mut peer = remote("x");
        peer.headers
            .insert("x-forwarded-proto".to_owned(), "https".to_owned());
        peer.capabilities.insert("display".to_owned(), String::new());
        peer.capabilities.insert("build".to_owned(), "5".to_owned());
        for (module, expected) in [
            ("http-header", true),
            ("http_header:value=http", false),
            ("http-header:property=Via", false),
            ("capability", true),
            ("capability:property=build,value=5", true),
            ("capability:property=build", false),
            ("capability:property=other", false),
        ] {
            assert_eq!(
                passes(&chain(&[module]), peer.clone(), &[]).await,
                expected,
                "{module}"
            );
        }
    }
}
