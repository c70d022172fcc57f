//! [`serve`]: HTTP/1 on one link, one request at a time, with bounds on whatever a peer chooses.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::must_read::MustRead;
use super::respond::{Answer, redirect, text};
use super::scripts::{Script, show};
use super::upgrade::{Asked, Upgrade, consider, is_asked_for};
use super::{Facts, Port, Site, files};
use crate::transport::{Link, LinkInfo};

/// How long a request may take to come, and how long a peer may be silent between two.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a peer may be served, however slowly it takes what it asked for.
const VISIT: Duration = Duration::from_secs(600);
/// How long the end of a visit may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes of a request's head; also what is written ahead of a peer that is slow to read.
const MAX_BUFFER: usize = 16 << 10;
const MAX_HEADERS: usize = 64;

/// How a visit ended.
#[derive(Debug)]
pub enum Outcome {
    /// The peer left, or was shown the door.
    Left,
    /// The peer was promised a WebSocket.
    Upgraded(Box<Upgrade>),
}

/// Answers requests on `link` until the peer leaves or may have a WebSocket.
pub async fn serve(link: Link, site: &Arc<Site>, port: Port, facts: Arc<dyn Facts>) -> Outcome {
    let visit = Arc::new(Visit {
        site: Arc::clone(site),
        port,
        facts,
        info: link.info.clone(),
        granted: Mutex::new(None),
    });
    let service = service_fn(|request| {
        let visit = Arc::clone(&visit);
        async move { Ok::<_, Infallible>(visit.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_BUFFER)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(MustRead::new(link.stream)), service);
    let parts = match timeout(VISIT, connection.without_shutdown()).await {
        Ok(Ok(parts)) => parts,
        Ok(Err(error)) => {
            tracing::debug!("HTTP from {} ended: {error}", link.info.peer);
            return Outcome::Left;
        }
        Err(_) => return Outcome::Left,
    };
    let mut stream = parts.io.into_inner().into_inner();
    let granted = visit
        .granted
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(asked) = granted else {
        let _gone_either_way = timeout(FAREWELL, stream.shutdown()).await;
        return Outcome::Left;
    };
    Outcome::Upgraded(Box::new(Upgrade {
        stream,
        early: parts.read_buf,
        info: link.info,
        asked,
    }))
}

/// A peer that is being served.
struct Visit {
    site: Arc<Site>,
    port: Port,
    facts: Arc<dyn Facts>,
    info: LinkInfo,
    /// The WebSocket it was promised.
    granted: Mutex<Option<Asked>>,
}

impl Visit {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let mut answer = self.choose(&request).await;
        tracing::debug!(
            "{}: {} {:?}: {}",
            self.info.peer,
            request.method(),
            request.uri().path(),
            answer.status()
        );
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            self.site.headers.complete(answer.headers_mut());
        }
        answer
    }

    async fn choose(&self, request: &Request<Incoming>) -> Answer {
        let (headers, uri) = (request.headers(), request.uri());
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        if (host.is_none() && request.version() >= Version::HTTP_11) || hosts.next().is_some() {
            return text(StatusCode::BAD_REQUEST, "the request does not say to which host");
        }
        let wants_tls = headers
            .get(header::UPGRADE_INSECURE_REQUESTS)
            .is_some_and(|value| value == "1");
        if let (true, true, None, Some(host)) = (self.port.redirects_to_tls, wants_tls, &self.info.tls, host)
        {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            return redirect(&format!("https://{host}{path}"));
        }
        if is_asked_for(headers) {
            let (answer, asked) = consider(request, &self.site, self.port);
            if asked.is_some() {
                *self.granted.lock().unwrap_or_else(PoisonError::into_inner) = asked;
            }
            return answer;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "pages are asked for with GET");
            answer
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let script = uri.path().strip_prefix('/').and_then(Script::named);
        if let Some(script) =
            script.filter(|script| !self.port.hides_facts && self.site.scripts.includes(*script))
        {
            return show(script, headers, &*self.facts, self.port, &self.info).await;
        }
        let Some(root) = &self.site.root else {
            return text(StatusCode::NOT_FOUND, "there are no files here");
        };
        let mut answer = files::send(root, request).await;
        // The page of the HTML5 client guesses the keyboard by it.
        if let (Some("echo-headers"), Some(language)) = (uri.query(), headers.get(header::ACCEPT_LANGUAGE)) {
            answer
                .headers_mut()
                .insert("echo-accept-language", language.clone());
        }
        answer
    }
}
