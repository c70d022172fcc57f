//! The way to an agent that keeps the user's keys: its pipe, `\\.\pipe\openssh-ssh-agent` for that of Windows.

use std::path::Path;

use russh::keys::agent::client::AgentClient;
use tokio::net::windows::named_pipe::NamedPipeClient;

/// Connects to the agent at `path`.
pub(super) async fn connect(path: &Path) -> Result<AgentClient<NamedPipeClient>, russh::keys::Error> {
    AgentClient::connect_named_pipe(path).await
}
