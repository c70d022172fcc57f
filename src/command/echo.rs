//! `echo`, a hidden subcommand: sends WebSocket messages back, for suites that test how the protocol is kept.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::{BoxFuture, FutureExt, ready};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::exit::{ExitCode, Failure};
use crate::address::{Bind, Secret, TransportKind};
use crate::transport::websocket::{Endpoint, Role};
use crate::transport::{LinkInfo, ListenOptions, Listener, listen};
use crate::web::{ExtraHeaders, Facts, Outcome, Port, Site, Upgrade, WebSockets, serve};

/// Send WebSocket messages back.
#[derive(Clone, Debug, clap::Args)]
pub struct EchoArgs {
    /// Where to listen
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub bind_ws: Vec<String>,
}

/// The longest message that is sent back.
const MAX_MESSAGE: usize = 64 << 20;

/// A message is too long (RFC 6455 section 7.4.1).
const TOO_BIG: u16 = 1009;

/// How long a peer may take to close after we did (RFC 6455 section 7.1.1).
const LINGER: Duration = Duration::from_secs(1);

/// Sends back what comes, until interrupted.
pub async fn run(args: &EchoArgs) -> Result<ExitCode, Failure> {
    let mut listeners = Vec::new();
    for value in &args.bind_ws {
        let bind = Bind::parse(TransportKind::Ws, value, 0)?;
        listeners.extend(listen(&bind, &ListenOptions::default()).await?);
    }
    let accepting = listeners.iter().map(|listener| accept(listener).boxed());
    let (ended, _, _) = futures_util::future::select_all(accepting).await;
    Err(Failure::new(ExitCode::IoError, ended))
}

/// Serves whoever connects; why that ended.
async fn accept(listener: &Listener) -> String {
    tracing::info!("echoing on {listener}");
    let site = Arc::new(Site {
        root: None,
        scripts: Default::default(),
        origins: Default::default(),
        headers: ExtraHeaders::default(),
    });
    let port = Port {
        websockets: WebSockets::Any,
        ..Port::default()
    };
    loop {
        match listener.accept().await {
            Err(error) => return error.to_string(),
            Ok(link) => {
                let site = Arc::clone(&site);
                tokio::spawn(async move {
                    if let Outcome::Upgraded(upgrade) = serve(link, &site, port, Arc::new(NoFacts)).await {
                        let peer = upgrade.info.peer.clone();
                        if let Err(error) = echo(*upgrade).await {
                            tracing::debug!("{peer}: {error}");
                        }
                    }
                });
            }
        }
    }
}

/// Sends back every message, of the same kind and in one piece.
async fn echo(upgrade: Upgrade) -> io::Result<()> {
    let mut stream = upgrade.stream;
    let mut endpoint = Endpoint::new(Role::Server { is_browser: true }, true);
    let mut buffer = BytesMut::from(upgrade.early);
    let mut message = Vec::new();
    while !endpoint.has_closed() {
        while !buffer.is_empty() && !endpoint.has_closed() {
            // What breaks the rules is answered with a close frame.
            let (used, piece) = endpoint.receive(&mut buffer).unwrap_or((buffer.len(), None));
            if let Some(piece) = piece {
                message.extend_from_slice(buffer.get(piece.payload).unwrap_or_default());
                if message.len() > MAX_MESSAGE {
                    endpoint.close_with(TOO_BIG);
                } else if piece.is_last {
                    endpoint.send(piece.kind, &message)?;
                    message.clear();
                }
            }
            drop(buffer.split_to(used));
            while !endpoint.out().is_empty() {
                let n = stream.write(endpoint.out()).await?;
                endpoint.sent(n);
            }
        }
        if endpoint.is_peer_done() && !endpoint.has_closed() {
            endpoint.close();
            stream.write_all(endpoint.out()).await?;
        }
        if endpoint.has_closed() {
            break;
        }
        buffer.reserve(64 << 10);
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
    stream.shutdown().await?;
    let rest = async {
        while stream.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
            buffer.clear()
        }
    };
    let _gone_either_way = timeout(LINGER, rest).await;
    Ok(())
}

/// There is nothing to be known.
#[derive(Debug)]
struct NoFacts;

impl Facts for NoFacts {
    fn displays(&self) -> BoxFuture<'_, Value> {
        ready(Value::Null).boxed()
    }

    fn info(&self) -> BoxFuture<'_, Value> {
        ready(Value::Null).boxed()
    }

    fn session_info(&self) -> BoxFuture<'_, Option<Value>> {
        ready(None).boxed()
    }

    fn metrics(&self) -> BoxFuture<'_, Option<String>> {
        ready(None).boxed()
    }

    fn sessions(&self) -> BoxFuture<'_, Value> {
        ready(Value::Null).boxed()
    }

    fn may_see<'a>(&'a self, _: &'a str, _: &'a Secret, _: &'a LinkInfo) -> BoxFuture<'a, bool> {
        ready(false).boxed()
    }
}
