//! The page `/SessionInfo`: one file that asks for nothing but `/SessionInfo.json`.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};

use super::respond::{Answer, content};

const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");

/// The page, and what it may do: run this script, look like this, and ask us.
static PAGE: LazyLock<(String, Option<HeaderValue>)> = LazyLock::new(|| {
    let page = include_str!("page.html")
        .replacen("{style}", STYLE, 1)
        .replacen("{script}", SCRIPT, 1);
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    (page, HeaderValue::try_from(policy).ok())
});

pub(super) fn page() -> Answer {
    let (page, policy) = &*PAGE;
    let mut answer = content(StatusCode::OK, "text/html; charset=utf-8", page.clone());
    if let Some(policy) = policy {
        answer
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    }
    answer
}

/// How a policy names a script or a style that is written into the page.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(digest(&SHA256, text.as_bytes())))
}
