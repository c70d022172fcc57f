//! What is said with every answer: how browsers are to treat our pages, and what the administrator adds
//! (`endpoints.md` c.4).

use std::fs;
use std::io;
use std::path::Path;

use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};

/// What our pages may do, as far as the HTML5 client needs it: scripts, styles and workers of its own (some of them
/// written into the page), pictures and sound out of memory, and connections to the servers its user names.
const POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; \
    connect-src 'self' http: https: ws: wss:; object-src 'none'; base-uri 'self'; form-action 'self'; \
    frame-ancestors 'self'";

/// The longest file of headers that is read.
const MAX_FILE: u64 = 64 << 10;

/// Headers that the administrator adds, or sets instead of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraHeaders(Vec<(HeaderName, HeaderValue)>);

impl ExtraHeaders {
    /// Reads the files of `http-headers` directories, in order of their names; a directory that is not there has none.
    /// What makes no sense is warned of. Later lines override earlier ones.
    pub fn read<P: AsRef<Path>>(directories: &[P]) -> Self {
        let mut headers = Self::default();
        for directory in directories {
            let Ok(entries) = fs::read_dir(directory) else {
                continue;
            };
            let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            paths.sort();
            for path in paths {
                match read(&path) {
                    Ok(text) => headers.add(&text, &path),
                    Err(error) => tracing::warn!("cannot read headers from {}: {error}", path.display()),
                }
            }
        }
        headers
    }

    /// Takes lines of `Name=Value` or `Name: Value`; `#` begins a comment.
    fn add(&mut self, text: &str, path: &Path) {
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match parse(line) {
                Some((name, value)) => {
                    self.0.retain(|(other, _)| *other != name);
                    self.0.push((name, value));
                }
                None => tracing::warn!("no header in {}: {line:?}", path.display()),
            }
        }
    }

    /// Adds ours and these to those an answer has already; these win.
    pub(super) fn complete(&self, headers: &mut HeaderMap) {
        for (name, value) in [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::SERVER, "xpra-rs"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        for (name, value) in &self.0 {
            headers.insert(name.clone(), value.clone());
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let facts = fs::metadata(path)?;
    if !facts.is_file() || facts.len() > MAX_FILE {
        return Err(io::Error::other("not a small file"));
    }
    fs::read_to_string(path)
}

fn parse(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(['=', ':'])?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    // These say how the answer is to be read: they are not for anybody else to set.
    let is_framing = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let value = HeaderValue::from_str(value.trim()).ok()?;
    (!is_framing.contains(&name)).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_headers() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "10_b.txt",
            "# more\n\nX-One: two=2\nServer = mine\nContent-Length: 5\n no sense\n",
        );
        write("00_a.txt", "X-One=1\nX-Policy: default-src 'self'; x=1\n");
        let missing = folder.path().join("missing");
        let extra = ExtraHeaders::read(&[folder.path(), &missing]);
        let mut headers = HeaderMap::new();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("kept"));
        extra.complete(&mut headers);
        assert_eq!(headers["x-one"], "two=2");
        assert_eq!(headers["x-policy"], "default-src 'self'; x=1");
        assert_eq!(headers["server"], "mine");
        assert_eq!(headers["x-content-type-options"], "kept");
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
        assert!(!headers.contains_key(header::CONTENT_LENGTH));
    }
}
