//! The way to an agent that keeps the user's keys: its socket.

use std::path::Path;

use russh::keys::agent::client::AgentClient;
use tokio::net::UnixStream;

/// Connects to the agent at `path`.
pub(super) async fn connect(path: &Path) -> Result<AgentClient<UnixStream>, russh::keys::Error> {
    AgentClient::connect_uds(path).await
}
