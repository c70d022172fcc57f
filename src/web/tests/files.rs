use std::fs::File;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use super::*;

#[tokio::test]
async fn files_and_folders() {
    let folder = folder(&[
        ("index.html", "<p>hi"),
        ("js/Client.js", "let x"),
        ("a b/ü.css", "p{}"),
        ("old/index.htm", "old"),
        ("noext", "?"),
    ]);
    let site = site(Some(folder.path()));
    for (path, status_, kind, content) in [
        ("/", 200, "text/html; charset=utf-8", "<p>hi"),
        ("/index.html?x=/../y", 200, "text/html; charset=utf-8", "<p>hi"),
        ("//js/./Client.js", 200, "text/javascript; charset=utf-8", "let x"),
        ("/a%20b/%C3%bc.css", 200, "text/css; charset=utf-8", "p{}"),
        ("/old/", 200, "text/html; charset=utf-8", "old"),
        ("/noext", 200, "application/octet-stream", "?"),
    ] {
        let answer = fetch(&site, path, "").await;
        assert_eq!(status(&answer), status_, "{path}: {answer}");
        assert_eq!(header(&answer, "content-type"), Some(kind), "{path}");
        assert_eq!(
            header(&answer, "content-length"),
            Some(content.len().to_string().as_str())
        );
        assert_eq!(body(&answer), content, "{path}");
        assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"));
        assert!(
            header(&answer, "content-security-policy")
                .unwrap()
                .contains("frame-ancestors 'self'")
        );
    }
    for (path, status_) in [
        ("/js/", 403),
        ("/missing", 404),
        ("/index.html/", 404),
        ("/index.html/x", 404),
        ("/js/../index.html", 404),
        ("/%2e%2e/etc/passwd", 404),
        ("/..%2fetc%2fpasswd", 404),
        ("/js%2fClient.js", 404),
        ("/.hidden", 404),
        ("/index.html%00.js", 400),
        ("/%zz", 400),
        ("/%", 400),
        ("/%ff", 400),
        ("/%252e%252e/etc/passwd", 404),
    ] {
        let answer = fetch(&site, path, "").await;
        assert_eq!(status(&answer), status_, "{path}: {answer}");
        assert!(header(&answer, "content-security-policy").is_some());
    }
    let long = format!("/{}", "x".repeat(3000));
    assert_eq!(status(&fetch(&site, &long, "").await), 404);
}

#[tokio::test]
async fn folders_without_a_slash_get_one_and_stay_on_this_host() {
    let folder = folder(&[("js/x y/index.html", "in")]);
    let site = site(Some(folder.path()));
    for (path, place) in [
        ("/js/x%20y", "/js/x%20y/"),
        ("//js//x%20y?a=b", "/js/x%20y/?a=b"),
        ("/js", "/js/"),
    ] {
        let answer = fetch(&site, path, "").await;
        assert_eq!(status(&answer), 301);
        assert_eq!(header(&answer, "location"), Some(place));
    }
}

#[tokio::test]
async fn links_stay_inside() {
    let outside = folder(&[("secret", "s"), ("secrets/index.html", "s")]);
    let folder = folder(&[("real", "inside")]);
    let link = |target: &Path, name: &str| symlink(target, folder.path().join(name)).unwrap();
    link(&folder.path().join("real"), "good");
    link(&outside.path().join("secret"), "bad");
    link(&outside.path().join("secrets"), "bads");
    link(outside.path(), "up");
    link(Path::new("loop"), "loop");
    let site = site(Some(folder.path()));
    assert_eq!(body(&fetch(&site, "/good", "").await), "inside");
    for (path, expected) in [
        ("/bad", 403),
        ("/bads/", 403),
        ("/up/secret", 403),
        ("/loop", 404),
    ] {
        assert_eq!(status(&fetch(&site, path, "").await), expected, "{path}");
    }
}

#[tokio::test]
async fn only_files_are_read() {
    let folder = folder(&[]);
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_eq!(status(&fetch(&site(Some(folder.path())), "/pipe", "").await), 403);
}

#[tokio::test]
async fn what_the_browser_has_is_not_sent_again() {
    let folder = folder(&[("a.js", "x")]);
    let site = site(Some(folder.path()));
    let first = fetch(&site, "/a.js", "").await;
    let (tag, date) = (
        header(&first, "etag").unwrap(),
        header(&first, "last-modified").unwrap(),
    );
    for (condition, expected) in [
        (format!("If-None-Match: {tag}\r\n"), 304),
        (format!("If-None-Match: \"x\", W/{tag}\r\n"), 304),
        ("If-None-Match: *\r\n".to_owned(), 304),
        (
            format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {date}\r\n"),
            200,
        ),
        (format!("If-Modified-Since: {date}\r\n"), 304),
        (
            "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n".to_owned(),
            200,
        ),
        ("If-Modified-Since: yesterday\r\n".to_owned(), 200),
    ] {
        let answer = fetch(&site, "/a.js", &condition).await;
        assert_eq!(status(&answer), expected, "{condition}");
        assert_eq!(header(&answer, "etag"), Some(tag));
        assert_eq!(body(&answer), if expected == 200 { "x" } else { "" });
    }
    fs::write(folder.path().join("a.js"), "xy").unwrap();
    let changed = fetch(&site, "/a.js", &format!("If-None-Match: {tag}\r\n")).await;
    assert_eq!(body(&changed), "xy");
}

#[tokio::test]
async fn compressed_siblings() {
    let folder = folder(&[
        ("a.js", "plain"),
        ("a.js.gz", "gzip"),
        ("a.js.br", "brotli"),
        ("b.js", "newer"),
        ("b.js.gz", "stale"),
    ]);
    let stale = File::options()
        .write(true)
        .open(folder.path().join("b.js.gz"))
        .unwrap();
    stale
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1000))
        .unwrap();
    let site = site(Some(folder.path()));
    for (path, accepted, coding, content) in [
        ("/a.js", "gzip, deflate, br", Some("br"), "brotli"),
        ("/a.js", "gzip;q=0.5", Some("gzip"), "gzip"),
        ("/a.js", "br;q=0, gzip", Some("gzip"), "gzip"),
        ("/a.js", "identity", None, "plain"),
        ("/b.js", "gzip", None, "newer"),
    ] {
        let answer = fetch(&site, path, &format!("Accept-Encoding: {accepted}\r\n")).await;
        assert_eq!(header(&answer, "content-encoding"), coding, "{accepted}");
        assert_eq!(
            header(&answer, "content-type"),
            Some("text/javascript; charset=utf-8")
        );
        assert_eq!(header(&answer, "vary"), Some("Accept-Encoding"));
        assert_eq!(body(&answer), content);
    }
}

#[tokio::test]
async fn methods() {
    let folder = folder(&[("a.txt", "text")]);
    let site = site(Some(folder.path()));
    let head = ask(
        &site,
        "HEAD /a.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(
        (status(&head), header(&head, "content-length"), body(&head)),
        (200, Some("4"), "")
    );
    let head = ask(
        &site,
        "HEAD /Status HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(
        (status(&head), header(&head, "content-length"), body(&head)),
        (200, Some("5"), "")
    );
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let request = format!("{method} /a.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let answer = ask(&site, &request).await;
        assert_eq!(
            (status(&answer), header(&answer, "allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
    let old = ask(&site, "GET /a.txt HTTP/1.0\r\n\r\n").await;
    assert_eq!((status(&old), body(&old)), (200, "text"));
}

#[tokio::test]
async fn a_site_without_files() {
    assert_eq!(status(&fetch(&site(None), "/", "").await), 404);
}

#[tokio::test]
async fn one_connection_many_requests() {
    let big = "0123456789".repeat(30_000);
    let folder = folder(&[("big", big.as_str()), ("small", "s")]);
    let (mut peer, served) = open(&site(Some(folder.path())), Port::default());
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    let requests = [get("/small"), get("/big"), get("/missing"), get("/Status")].concat();
    peer.write_all(requests.as_bytes()).await.unwrap();
    peer.write_all(b"GET /small HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answers = String::new();
    peer.read_to_string(&mut answers).await.unwrap();
    let statuses: Vec<_> = answers.matches("HTTP/1.1 ").collect();
    assert_eq!(statuses.len(), 5);
    assert!(answers.contains(&big) && answers.ends_with("\r\n\r\ns"));
    assert!(matches!(served.await.unwrap(), Outcome::Left));
}
