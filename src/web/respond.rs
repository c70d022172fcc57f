//! Answers.

use std::io;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

/// An answer; its body may be read from a file while it is sent.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// An answer of that type of content, which nobody is to keep.
pub(super) fn content(status: StatusCode, kind: &'static str, content: String) -> Answer {
    let body = Full::new(content.into()).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A line of text: for an error, the status and why.
pub(super) fn text(status: StatusCode, line: &str) -> Answer {
    let line = match status.is_success() {
        true => line.to_owned(),
        false => format!("{status}: {line}\n"),
    };
    content(status, "text/plain; charset=utf-8", line)
}

/// Only a status.
pub(super) fn empty(status: StatusCode) -> Answer {
    let body = Empty::new().map_err(|never| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = status;
    answer
}

/// Sends the browser to another place.
pub(super) fn redirect(location: &str) -> Answer {
    let Ok(place) = HeaderValue::from_str(location) else {
        return text(StatusCode::BAD_REQUEST, "no such place");
    };
    let mut answer = text(StatusCode::MOVED_PERMANENTLY, location);
    answer.headers_mut().insert(header::LOCATION, place);
    answer
}
