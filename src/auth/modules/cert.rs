//! `cert`: the peer's TLS certificate, which was verified during the handshake.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::super::chain::Context;
use super::super::error::AuthError;
use super::super::module::{Case, Denial, Judgement, Module, decided};
use super::super::settings::Settings;
use crate::transport::tls::TlsFacts;

/// Whose certificates are good: with neither list, any that was verified.
#[derive(Debug)]
struct Certificate {
    fingerprints: Vec<String>,
    subjects: Vec<String>,
}

/// Both options may be given several times.
pub(crate) fn build(settings: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let all = |option: &'static str| settings.all(option).map(str::to_owned).collect::<Vec<_>>();
    let fingerprints = all("fingerprint");
    if let Some(bad) = fingerprints.iter().find(|text| !text.starts_with("SHA256:")) {
        return Err(settings.bad("fingerprint", bad, "write SHA256: and the digest in base64"));
    }
    Ok(Arc::new(Certificate {
        fingerprints,
        subjects: all("subject"),
    }))
}

impl Module for Certificate {
    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement> {
        decided(self.check(case.peer.info.tls.as_deref()).map(|()| None))
    }
}

impl Certificate {
    fn check(&self, tls: Option<&TlsFacts>) -> Result<(), Denial> {
        let tls = tls.ok_or_else(|| Denial::new("the connection does not use TLS"))?;
        let fingerprint = tls.peer.as_ref().filter(|_| tls.is_verified);
        let fingerprint = fingerprint.ok_or_else(|| {
            Denial::new("no client certificate was verified (--ssl-client-verify-mode=required)")
        })?;
        let is_listed = |list: &[String], value: Option<&String>| {
            list.is_empty() || value.is_some_and(|value| list.contains(value))
        };
        if !is_listed(&self.fingerprints, Some(fingerprint)) {
            return Err(Denial::new(format!(
                "the certificate {fingerprint} is not one of those let in"
            )));
        }
        if !is_listed(&self.subjects, tls.peer_subject.as_ref()) {
            let subject = tls.peer_subject.as_deref().unwrap_or_default();
            return Err(Denial::new(format!(
                "the certificate of {subject:?} is not one of those let in"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::*;

    use super::*;

    #[tokio::test]
    async fn certificates() {
        let facts = TlsFacts {
            peer: Some("SHA256:abc".to_owned()),
            peer_subject: Some("CN=fred".to_owned()),
            is_verified: true,
            ..TlsFacts::default()
        };
        let unverified = TlsFacts {
            is_verified: false,
            ..facts.clone()
        };
        let anonymous = TlsFacts {
            peer: None,
            peer_subject: None,
            ..facts.clone()
        };
        for (options, expected) in [
            ("", true),
            (":fingerprint=SHA256:xyz,fingerprint=SHA256:abc", true),
            (":fingerprint=SHA256:xyz", false),
            (":subject=CN=fred", true),
            (":subject=CN=eve", false),
            (":subject=CN=fred,fingerprint=SHA256:xyz", false),
        ] {
            let chain = chain(&[&format!("cert{options}")]);
            let with = |facts: Option<&TlsFacts>| {
                let mut peer = private("x");
                peer.info.tls = facts.cloned().map(Arc::new);
                peer
            };
            assert_eq!(
                passes(&chain, with(Some(&facts)), &[]).await,
                expected,
                "{options}"
            );
            for bad in [None, Some(&unverified), Some(&anonymous)] {
                assert!(!passes(&chain, with(bad), &[]).await, "{options}");
            }
        }
    }
}
