//! The files of the HTML5 client: which there are, and sending them (`endpoints.md` c.4).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::task::spawn_blocking;

use super::respond::{Answer, empty, redirect, text};
use crate::system::open_unlinked;

/// Where distributions install the HTML5 client.
const ROOTS: [&str; 5] = [
    "/usr/share/xpra/html5",
    "/usr/share/xpra/www",
    "/usr/local/share/xpra/html5",
    "/usr/local/share/xpra/www",
    "/var/www/xpra/www",
];

/// Where Debian keeps the libraries that its HTML5 client has links to: the only place that links may lead to.
const LIBRARIES: &str = "/usr/share/javascript";

const INDEXES: [&str; 2] = ["index.html", "index.htm"];

/// Files beside a file that hold the same, compressed, in order of liking: content coding and end of the name.
const SIBLINGS: [(&str, &str); 4] = [
    ("br", ".br"),
    ("br", ".brotli"),
    ("gzip", ".gz"),
    ("gzip", ".gzip"),
];

/// What is read of a file at once.
const BLOCK: usize = 64 << 10;

/// The folder of the HTML5 client that is installed here, if one is.
pub fn find_root() -> Option<PathBuf> {
    let mut roots = ROOTS.iter().map(PathBuf::from);
    roots.find(|root| root.join("index.html").is_file())
}

/// Answers a request for a file below `root`.
pub(super) async fn send<B>(root: &Path, request: &Request<B>) -> Answer {
    let path = request.uri().path();
    let names = match names(path) {
        Ok(names) => names,
        Err(status) => return text(status, "no such file"),
    };
    let (root, place) = (root.to_owned(), names.join("/"));
    let wants_folder = path.ends_with('/');
    let codings = codings(request.headers());
    let found = spawn_blocking(move || find(&root, &place, wants_folder, codings)).await;
    match found {
        Ok(Ok(Found::File(file))) => file.answer(request),
        Ok(Ok(Found::Folder)) => redirect(&folder_path(&names, request.uri().query())),
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::PermissionDenied => text(StatusCode::FORBIDDEN, "this may not be read"),
            _ => text(StatusCode::NOT_FOUND, "no such file"),
        },
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read"),
    }
}

/// The names in a path, decoded once. Whatever could mean something to a file system beside a name is refused.
fn names(path: &str) -> Result<Vec<String>, StatusCode> {
    let mut names = Vec::new();
    for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
        let name = decode(name).ok_or(StatusCode::BAD_REQUEST)?;
        if name.contains('\0') {
            return Err(StatusCode::BAD_REQUEST);
        }
        // ".." and what is hidden, for a reason.
        if name.starts_with('.') || name.contains('/') {
            return Err(StatusCode::NOT_FOUND);
        }
        names.push(name);
    }
    Ok(names)
}

fn decode(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The path of a folder, made of its names so that it cannot lead to another host.
fn folder_path(names: &[String], query: Option<&str>) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut path = String::from("/");
    for name in names {
        for byte in name.bytes() {
            match plain(byte) {
                true => path.push(char::from(byte)),
                false => path.push_str(&format!("%{byte:02X}")),
            }
        }
        path.push('/');
    }
    if let Some(query) = query {
        path.push('?');
        path.push_str(query);
    }
    path
}

enum Found {
    File(Readable),
    /// A folder whose path lacks the slash at its end.
    Folder,
}

/// A file that is open.
struct Readable {
    file: File,
    length: u64,
    changed: Option<SystemTime>,
    kind: &'static str,
    coding: Option<&'static str>,
}

fn find(root: &Path, place: &str, wants_folder: bool, codings: Codings) -> io::Result<Found> {
    let root = root.canonicalize()?;
    let path = resolve(&root, root.join(place))?;
    if !path.is_dir() {
        return match wants_folder && !place.is_empty() {
            true => Err(io::ErrorKind::NotFound.into()),
            false => open(&root, &path, codings).map(Found::File),
        };
    }
    if !wants_folder {
        return Ok(Found::Folder);
    }
    for index in INDEXES {
        match resolve(&root, path.join(index)).and_then(|path| open(&root, &path, codings)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result.map(Found::File),
        }
    }
    Err(io::ErrorKind::PermissionDenied.into())
}

/// What a path leads to, if it stays below the root or ends among the libraries.
fn resolve(root: &Path, path: PathBuf) -> io::Result<PathBuf> {
    let real = path.canonicalize()?;
    let is_inside = real.starts_with(root) || real.starts_with(LIBRARIES);
    is_inside
        .then_some(real)
        .ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}

fn open(root: &Path, path: &Path, codings: Codings) -> io::Result<Readable> {
    let plain = Readable::open(path, content_type(path), None)?;
    for (coding, end) in SIBLINGS.into_iter().filter(|(coding, _)| codings.accept(coding)) {
        let mut sibling = path.as_os_str().to_owned();
        sibling.push(end);
        let sibling = resolve(root, sibling.into());
        let packed = sibling.and_then(|sibling| Readable::open(&sibling, plain.kind, Some(coding)));
        // One that is older may be of an older file.
        if let Ok(packed) = packed
            && packed.changed >= plain.changed
        {
            return Ok(packed);
        }
    }
    Ok(plain)
}

impl Readable {
    /// Opens what a resolved path is: it has no links, and nothing but files is read.
    fn open(path: &Path, kind: &'static str, coding: Option<&'static str>) -> io::Result<Self> {
        let file = open_unlinked(path)?;
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Self {
            length: facts.len(),
            changed: facts.modified().ok(),
            file,
            kind,
            coding,
        })
    }

    fn answer<B>(self, request: &Request<B>) -> Answer {
        let tag = self.tag();
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            HeaderValue::from_str(value)
                .map(|value| headers.insert(name, value))
                .is_ok()
        };
        set(header::CACHE_CONTROL, "no-cache");
        set(header::VARY, "Accept-Encoding");
        set(header::ETAG, &tag);
        if let Some(changed) = self.changed {
            set(header::LAST_MODIFIED, &httpdate::fmt_http_date(changed));
        }
        if is_known(request.headers(), &tag, self.changed) {
            let mut answer = empty(StatusCode::NOT_MODIFIED);
            *answer.headers_mut() = headers;
            return answer;
        }
        set(header::CONTENT_TYPE, self.kind);
        set(header::CONTENT_LENGTH, &self.length.to_string());
        if let Some(coding) = self.coding {
            set(header::CONTENT_ENCODING, coding);
        }
        let mut answer = match request.method() {
            &Method::HEAD => empty(StatusCode::OK),
            _ => Response::new(StreamBody::new(blocks(self.file, self.length)).boxed_unsync()),
        };
        *answer.headers_mut() = headers;
        answer
    }

    /// Another one for every change, and for every coding.
    fn tag(&self) -> String {
        let since = self
            .changed
            .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let (length, since) = (self.length, since.unwrap_or_default().as_nanos());
        format!("\"{since:x}-{length:x}{}\"", self.coding.unwrap_or_default())
    }
}

/// Whether the browser has it already (RFC 9110 section 13.2.2).
fn is_known(headers: &HeaderMap, tag: &str, changed: Option<SystemTime>) -> bool {
    if let Some(tags) = headers.get(header::IF_NONE_MATCH) {
        let mut tags = tags.to_str().unwrap_or_default().split(',').map(str::trim);
        return tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag);
    }
    let since = headers
        .get(header::IF_MODIFIED_SINCE)
        .and_then(|date| date.to_str().ok());
    let since = since.and_then(|date| httpdate::parse_http_date(date).ok());
    match (since, changed.map(httpdate::fmt_http_date)) {
        (Some(since), Some(changed)) => {
            httpdate::parse_http_date(&changed).is_ok_and(|changed| changed <= since)
        }
        _ => false,
    }
}

/// A file's content, read while it is sent.
fn blocks(file: File, length: u64) -> impl stream::Stream<Item = io::Result<Frame<Bytes>>> {
    stream::try_unfold((file, length), async |(file, left)| {
        if left == 0 {
            return Ok(None);
        }
        let (file, block) = spawn_blocking(move || read(file, left))
            .await
            .map_err(io::Error::other)??;
        let left = left - block.len() as u64;
        Ok(Some((Frame::data(block), (file, left))))
    })
}

fn read(mut file: File, left: u64) -> io::Result<(File, Bytes)> {
    let size = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
    let mut block = vec![0; size];
    let n = file.read(&mut block)?;
    if n == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    block.truncate(n);
    Ok((file, block.into()))
}

/// Which content codings a browser takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Codings {
    brotli: bool,
    gzip: bool,
}

impl Codings {
    fn accept(self, coding: &str) -> bool {
        match coding {
            "br" => self.brotli,
            _ => self.gzip,
        }
    }
}

fn codings(headers: &HeaderMap) -> Codings {
    let mut codings = Codings::default();
    let lists = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let members = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    for member in members {
        let (coding, weight) = member.split_once(';').unwrap_or((member, ""));
        let weight = weight.trim().trim_start_matches("q=");
        let is_wanted = weight.is_empty() || weight.parse().is_ok_and(|weight: f32| weight > 0.0);
        match coding.trim() {
            "br" => codings.brotli = is_wanted,
            "gzip" => codings.gzip = is_wanted,
            _ => {}
        }
    }
    codings
}

fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension.unwrap_or_default().to_ascii_lowercase().as_str() {
        "css" => "text/css; charset=utf-8",
        "gif" => "image/gif",
        "htm" | "html" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "jpeg" | "jpg" => "image/jpeg",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "ttf" => "font/ttf",
        "txt" | "md" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "wav" => "audio/wav",
        "webmanifest" => "application/manifest+json",
        "webp" => "image/webp",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
