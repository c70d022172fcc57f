use std::process::Command;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::address::Bind;
use crate::transport::{ListenOptions, listen};

const WITH_PASSWORD: Port = Port {
    hides_facts: false,
    needs_password: true,
    redirects_to_tls: false,
    websockets: WebSockets::Binary,
};

#[tokio::test]
async fn facts_are_open_or_for_those_with_a_password() {
    let site = site(None);
    let get =
        |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{more}\r\n");
    let info = fetch(&site, "/Info", "").await;
    assert_eq!(body(&info), r#"{"mode":"shadow","clients":0}"#);
    assert_eq!(header(&info, "content-type"), Some("application/json"));
    assert_eq!(header(&info, "cache-control"), Some("no-store"));
    assert_eq!(
        body(&fetch(&site, "/Displays?x", "").await),
        r#"{":1":{"state":"LIVE"}}"#
    );
    assert_eq!(
        body(&ask_at(&site, WITH_PASSWORD, &get("/Status", "")).await),
        "ready"
    );
    for path in [
        "/Info",
        "/Sessions",
        "/Displays",
        "/SessionInfo",
        "/SessionInfo.json",
    ] {
        let answer = ask_at(&site, WITH_PASSWORD, &get(path, "")).await;
        assert_eq!(status(&answer), 401);
        assert!(
            header(&answer, "www-authenticate")
                .unwrap()
                .starts_with("Basic realm=")
        );
        let good = get(path, "Authorization: Basic bWU6cGFzcw==\r\n");
        assert_eq!(status(&ask_at(&site, WITH_PASSWORD, &good).await), 200);
    }
    // A wrong one is answered late.
    tokio::time::pause();
    let bad = get("/Info", "Authorization: Basic bWU6bm8=\r\n");
    let soon = timeout(Duration::from_millis(900), ask_at(&site, WITH_PASSWORD, &bad)).await;
    assert!(soon.is_err(), "{soon:?}");
    assert_eq!(status(&ask_at(&site, WITH_PASSWORD, &bad).await), 401);
}

#[tokio::test]
async fn the_page_of_the_session_may_do_nothing_but_what_it_is_for() {
    let site = site(None);
    let page = fetch(&site, "/SessionInfo", "").await;
    let policy = header(&page, "content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(header(&page, "content-type"), Some("text/html; charset=utf-8"));
    assert!(
        !body(&page).contains("http://") || body(&page).matches("http://").count() == 1,
        "but the name of SVG"
    );
    assert_eq!(
        body(&fetch(&site, "/SessionInfo.json", "").await),
        r#"{"clients":[]}"#
    );
    assert_eq!(status(&fetch(&site, "/metrics", "").await), 403, "not told");
    let demanded = ask_at(
        &site,
        WITH_PASSWORD,
        "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(status(&demanded), 401);
}

#[tokio::test]
async fn scripts_that_are_off_are_files_that_are_missing() {
    let some = Arc::new(Site {
        scripts: "Status".parse().unwrap(),
        ..Site::clone(&site(None))
    });
    assert_eq!(status(&fetch(&some, "/Status", "").await), 200);
    for path in ["/Info", "/SessionInfo", "/SessionInfo.json", "/metrics"] {
        assert_eq!(status(&fetch(&some, path, "").await), 404);
    }
}

#[tokio::test]
async fn https_for_those_who_would_rather() {
    let port = Port {
        redirects_to_tls: true,
        ..Port::default()
    };
    let get = |more: &str| format!("GET /a?b HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n{more}\r\n");
    let site = site(None);
    let answer = ask_at(&site, port, &get("Upgrade-Insecure-Requests: 1\r\n")).await;
    assert_eq!(
        (status(&answer), header(&answer, "location")),
        (301, Some("https://h:1/a?b"))
    );
    assert_eq!(status(&ask_at(&site, port, &get("")).await), 404);
    assert_eq!(
        status(&ask(&site, &get("Upgrade-Insecure-Requests: 1\r\n")).await),
        404
    );
}

#[tokio::test]
async fn the_page_learns_the_language() {
    let folder = folder(&[("favicon.png", "")]);
    let site = site(Some(folder.path()));
    let answer = fetch(&site, "/favicon.png?echo-headers", "Accept-Language: en-gb\r\n").await;
    assert_eq!(header(&answer, "echo-accept-language"), Some("en-gb"));
    let answer = fetch(&site, "/favicon.png", "Accept-Language: en-gb\r\n").await;
    assert_eq!(header(&answer, "echo-accept-language"), None);
}

/// A real client, over a real port.
#[tokio::test]
async fn curl() {
    if Command::new("curl").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "curl is not installed");
        eprintln!("skipped: curl is not installed");
        return;
    }
    let big = "0123456789".repeat(50_000);
    let folder = folder(&[("index.html", "<p>"), ("sub/big.js", big.as_str())]);
    let site = site(Some(folder.path()));
    let bind = Bind::parse(TransportKind::Ws, "127.0.0.1:0", 0).unwrap();
    let listener = listen(&bind, &ListenOptions::default()).await.unwrap().remove(0);
    let base = format!("http://{}", listener.local());
    tokio::spawn(async move {
        while let Ok(link) = listener.accept().await {
            let site = Arc::clone(&site);
            tokio::spawn(async move { serve(link, &site, WITH_PASSWORD, Arc::new(Known)).await });
        }
    });
    let curl = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new("curl");
        let output = command
            .args(["-s", "-S", "-m", "20"])
            .args(arguments)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let at = |path: &str| format!("{base}{path}");
    assert_eq!(curl(&[&at("/")]).await, "<p>");
    assert!(curl(&[&at("/sub/big.js")]).await == big);
    // Both over one connection.
    let reused = curl(&["-w", " %{num_connects}", &at("/Status"), &at("/Status")]).await;
    assert_eq!(reused, "ready 1ready 0");
    assert!(
        curl(&["-I", &at("/sub/big.js")])
            .await
            .contains("content-length: 500000")
    );
    assert_eq!(curl(&["-u", "me:pass", &at("/Sessions")]).await, "{}");
    let status = ["-o", "/dev/null", "-w", "%{http_code}"];
    for (arguments, expected) in [
        (vec!["--path-as-is", "/../../etc/passwd"], "404"),
        (vec!["-L", "/sub"], "403"),
        (vec!["-X", "DELETE", "/"], "405"),
        (vec!["-d", "x=1", "/"], "405"),
        (vec!["/Info"], "401"),
    ] {
        let (path, options) = arguments.split_last().unwrap();
        let url = at(path);
        assert_eq!(
            curl(&[&status, options, &[url.as_str()]].concat()).await,
            expected,
            "{arguments:?}"
        );
    }
}
