//! What the server tells browsers and monitors about itself: nothing of other sessions, which are not its own to tell of.

use super::{Facts, HubRequest};
use crate::address::Secret;
use crate::auth::{Chain, Peer, check_password};
use crate::telemetry::{Sample, exposition, graphs_json, units_json};
use crate::transport::LinkInfo;
use crate::web;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Facts of a server, for those who pass a door.
#[derive(Debug)]
pub(super) struct WebFacts {
    facts: Arc<Facts>,
    hub: mpsc::UnboundedSender<HubRequest>,
    auth: Arc<Chain>,
    /// Whether all that `info` tells may be told.
    tells_info: bool,
}

/// The little that everybody is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// What the session is called.
    pub session_name: String,
    /// How many clients it has.
    pub clients: usize,
}

impl WebFacts {
    pub(super) const fn new(
        facts: Arc<Facts>,
        hub: mpsc::UnboundedSender<HubRequest>,
        auth: Arc<Chain>,
        tells_info: bool,
    ) -> Self {
        Self {
            facts,
            hub,
            auth,
            tells_info,
        }
    }

    async fn sample(&self) -> Option<Sample> {
        if !self.tells_info {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let _ended = self.hub.send(HubRequest::Info(sender));
        let info = receiver.await.ok()?;
        let uptime = crate::session::now().saturating_duration_since(self.facts.started);
        Some(Sample::read(&info, uptime, ""))
    }

    async fn summary(&self) -> Summary {
        let (sender, receiver) = oneshot::channel();
        let _ended = self.hub.send(HubRequest::Summary(sender));
        receiver.await.unwrap_or_default()
    }
}

impl web::Facts for WebFacts {
    fn displays(&self) -> BoxFuture<'_, Value> {
        Box::pin(async {
            let summary = self.summary().await;
            json!({
                &self.facts.screen.name: {
                    "state": "LIVE",
                    "wmname": summary.session_name,
                    "xpra-server-mode": "shadow",
                }
            })
        })
    }

    fn info(&self) -> BoxFuture<'_, Value> {
        Box::pin(async {
            let summary = self.summary().await;
            json!({
                "mode": "shadow",
                "type": "Rust",
                "uuid": self.facts.config.uuid,
                "clients": summary.clients,
            })
        })
    }

    fn session_info(&self) -> BoxFuture<'_, Option<Value>> {
        Box::pin(async {
            let mut json = self.sample().await?.to_json();
            if let Some(map) = json.as_object_mut() {
                map.insert("graphs".to_owned(), graphs_json());
                map.insert("units".to_owned(), units_json());
            }
            Some(json)
        })
    }

    fn metrics(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async { Some(exposition(&self.sample().await?)) })
    }

    fn sessions(&self) -> BoxFuture<'_, Value> {
        Box::pin(async {
            let summary = self.summary().await;
            json!({
                &self.facts.screen.name: {
                    "state": "LIVE",
                    "username": self.facts.config.username,
                    "session-type": "shadow",
                    "session-name": summary.session_name,
                    "uuid": self.facts.config.uuid,
                }
            })
        })
    }

    fn may_see<'a>(
        &'a self,
        username: &'a str,
        password: &'a Secret,
        peer: &'a LinkInfo,
    ) -> BoxFuture<'a, bool> {
        let peer = Peer::new(peer.clone()).named(username);
        Box::pin(async { check_password(&self.auth, peer, password.clone()).await.is_ok() })
    }
}
