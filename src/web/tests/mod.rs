mod browser;
#[cfg(unix)]
mod files;
mod hostile;
mod upgrade;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::{FutureExt, ready};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::transport::{Link, TransportKind};

#[derive(Debug)]
struct Known;

impl Facts for Known {
    fn displays(&self) -> BoxFuture<'_, Value> {
        ready(json!({":1": {"state": "LIVE"}})).boxed()
    }

    fn info(&self) -> BoxFuture<'_, Value> {
        ready(json!({"mode": "shadow", "clients": 0})).boxed()
    }

    fn session_info(&self) -> BoxFuture<'_, Option<Value>> {
        ready(Some(json!({"clients": []}))).boxed()
    }

    fn metrics(&self) -> BoxFuture<'_, Option<String>> {
        ready(None).boxed()
    }

    fn sessions(&self) -> BoxFuture<'_, Value> {
        ready(json!({})).boxed()
    }

    fn may_see<'a>(
        &'a self,
        username: &'a str,
        password: &'a Secret,
        peer: &'a LinkInfo,
    ) -> BoxFuture<'a, bool> {
        ready(username == "me" && *password == Secret::new("pass") && peer.is_local).boxed()
    }
}

fn site(root: Option<&Path>) -> Arc<Site> {
    Arc::new(Site {
        root: root.map(Path::to_owned),
        scripts: Scripts::default(),
        origins: Origins::default(),
        headers: ExtraHeaders::default(),
    })
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn info() -> LinkInfo {
    LinkInfo {
        local: "127.0.0.1:14500".to_owned(),
        is_local: true,
        is_private: true,
        ..LinkInfo::new(TransportKind::Tcp, "127.0.0.1:5")
    }
}

/// A peer's end of a connection that is being served.
fn open(site: &Arc<Site>, port: Port) -> (DuplexStream, JoinHandle<Outcome>) {
    let (peer, stream) = duplex(1 << 16);
    let (link, site) = (Link::new(stream, info()), Arc::clone(site));
    (
        peer,
        tokio::spawn(async move { serve(link, &site, port, Arc::new(Known)).await }),
    )
}

/// Sends `request` and reads all that is answered.
async fn ask_at(site: &Arc<Site>, port: Port, request: &str) -> String {
    let (mut peer, _served) = open(site, port);
    // It may be answered before all of it was taken.
    let _taken = peer.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn ask(site: &Arc<Site>, request: &str) -> String {
    ask_at(site, Port::default(), request).await
}

/// Asks for `path`, with more header lines.
async fn fetch(site: &Arc<Site>, path: &str, more: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n{more}\r\n");
    ask(site, &request).await
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_default()
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}
