//! A session that is watched: in a terminal's stead as lines, in a real browser, by a monitor, and with real xpra's server.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xpra::types::Size;

use crate::browser::Browser;
use crate::display::{Display, Shown};
use crate::grid::{CARD, ended_well};
use crate::peer::{Mode, Peer, Room, Server, Via, attach_headless};
use crate::picture::Picture;
use crate::process::{self, Process, until};
use crate::{absent, with};

const SCREEN: Size = Size::new(640, 480);
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `test` with a server and a client that has got a picture.
fn watched(peer: Peer, test: impl Fn(&Room, &Server, &Shown) -> Result<()>) -> Result<()> {
    with(&[Peer::Ours, peer], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let shown = Shown::open(&source, "card", 60, 40, &Picture::card(CARD, 1))?;
        let server = Server::start(room, peer, Mode::Shadow, &source)?;
        let mut client = attach_headless(room, &server, Via::Tcp)?;
        let url = server.url(Peer::Ours, Via::Tcp);
        let mut seed = 1;
        let got = until(LIMIT, || {
            seed += 1;
            shown.show(&Picture::card(CARD, seed))?;
            let info = room.ask(Peer::Ours, &["info", &url])?;
            // where each generation says it
            let draws = info
                .lines()
                .filter_map(|line| line.split_once(".damage.packets_sent="))
                .any(|(_, draws)| draws != "0");
            Ok(draws.then_some(()))
        })?;
        got.context("the client got no picture")?;
        test(room, &server, &shown)?;
        ensure!(
            client.is_running() || client.log().contains("detach request"),
            "being watched ended the client: {}",
            client.log()
        );
        Ok(())
    })
}

/// `session-info` with these options, until it ends by itself.
fn samples(room: &Room, url: &str, options: &[&str]) -> Result<Vec<Value>> {
    let arguments = [&["session-info", url, "--interval=0.2", "--count=3"], options].concat();
    let text = room.ask(Peer::Ours, &arguments)?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

#[test]
fn session_info_of_our_server() -> Result<()> {
    watched(Peer::Ours, |room, server, _| {
        let (record, picture) = (room.path("record.jsonl"), room.path("graphs.svg"));
        let (to_record, to_picture) = (
            format!("--record={}", record.display()),
            format!("--svg={}", picture.display()),
        );
        let url = server.url(Peer::Ours, Via::Tcp);
        let samples = samples(room, &url, &["--json", &to_record, &to_picture])?;
        ensure!(samples.len() == 3, "{} samples", samples.len());
        for sample in &samples {
            let client = &sample["clients"][0];
            ensure!(client["transport"] == "tcp", "{sample}");
            ensure!(client["metrics"]["tcp-rtt"].as_f64() > Some(0.0), "{sample}");
            ensure!(
                client["latencies"]["picture-latency"]["50p"].is_number(),
                "{sample}"
            );
            for part in ["wait", "encode", "host-queue", "network-queue", "propagation"] {
                ensure!(client["latencies"][part]["avg"].is_number(), "{part}: {sample}");
            }
            ensure!(
                sample["clients"].as_array().map(Vec::len) == Some(1),
                "the observer is no client: {sample}"
            );
        }
        let recorded = fs::read_to_string(&record)?;
        ensure!(recorded.lines().count() == 3, "{recorded}");
        let picture = fs::read_to_string(&picture)?;
        ensure!(
            picture.starts_with("<svg") && picture.contains("Where pictures wait"),
            "{picture}"
        );
        // the parts make up the whole
        let latencies = &samples[2]["clients"][0]["latencies"];
        let mean = |part: &str| latencies[part]["sum"].as_f64().unwrap_or(0.0);
        let parts = [
            "wait",
            "encode",
            "host-queue",
            "network-queue",
            "transmission",
            "propagation",
            "decode",
        ];
        let (sum, whole) = (parts.map(mean).iter().sum::<f64>(), mean("picture-latency"));
        ensure!(
            (sum / whole - 1.0).abs() < 0.2,
            "the parts make {sum} ms, the whole is {whole} ms: {latencies}"
        );
        Ok(())
    })
}

#[test]
fn session_info_of_real_xpra() -> Result<()> {
    of_real(Peer::Xpra3, "3.1.3", &["sent", "receive-rate", "send-rate"])
}

#[test]
fn session_info_of_real_xpra6() -> Result<()> {
    of_real(Peer::Xpra6, "6.5", &[])
}

/// What real xpra tells is shown, rates where it tells bytes; what it does not tell is listed.
fn of_real(peer: Peer, version: &str, also: &[&str]) -> Result<()> {
    // no figure that only ours tells
    const ABSENT: [&str; 5] = [
        "link-rate",
        "tcp-rtt",
        "host-queue",
        "network-queue",
        "propagation",
    ];
    watched(peer, |room, server, _| {
        let samples = samples(room, &server.url(Peer::Ours, Via::Tcp), &["--json"])?;
        let last = samples.last().context("no sample")?;
        ensure!(last["clients"].as_array().map(Vec::len) == Some(1), "{last}");
        ensure!(last["server"]["version"] == version, "{last}");
        ensure!(last["server"]["display"].is_string(), "{last}");
        let client = &last["clients"][0];
        ensure!(client["transport"] == "tcp", "{last}");
        ensure!(client["windows"][0]["size"][0] == 640, "{last}");
        ensure!(client["metrics"]["draws"].as_f64() > Some(0.0), "{last}");
        let pictures = &client["latencies"]["picture-latency"];
        ensure!(
            pictures["avg"].is_number() && pictures["99p"].is_null(),
            "more than xpra tells: {last}"
        );
        let missing = client["missing"].as_array().context("nothing is missing?")?;
        let is_missing = |key: &str| missing.iter().any(|missing| missing == key);
        let is_told = |key: &str| client["metrics"][key].is_number() || client["latencies"][key].is_object();
        let told = also
            .iter()
            .chain(&["draws", "picture-latency", "encode", "shared-memory"]);
        for key in told {
            ensure!(is_told(key) && !is_missing(key), "{key} is not told: {last}");
        }
        let rates: &[&str] = if also.is_empty() {
            &["sent", "send-rate"]
        } else {
            &[]
        };
        for key in ABSENT.iter().chain(rates) {
            ensure!(is_missing(key) && !is_told(key), "{key} is not missing: {last}");
        }
        Ok(())
    })
}

#[test]
fn session_info_ends_with_the_session() -> Result<()> {
    watched(Peer::Ours, |room, server, _| {
        let url = server.url(Peer::Ours, Via::Tcp);
        let mut command = room.command(Peer::Ours, None)?;
        command.args(["session-info", &url, "--json", "--interval=0.1"]);
        let mut watching = Process::start("session-info", command, &room.logs().join("session-info.log"))?;
        watching.wait_for_log("\"clients\"", LIMIT)?;
        // the observer is told to go, as all are
        room.ask(Peer::Ours, &["detach", &url])?;
        watching.wait_for_log("the session has ended", LIMIT)?;
        ended_well(&mut watching)
    })
}

#[test]
fn session_info_without_a_terminal_says_so() -> Result<()> {
    with(&[Peer::Ours], |room| {
        let output = room.run(Peer::Ours, &["session-info", "tcp://127.0.0.1:1/"])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && said.contains("--json"), "{said}");
        Ok(())
    })
}

#[test]
fn metrics_are_what_prometheus_reads() -> Result<()> {
    watched(Peer::Ours, |_, server, _| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port()))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
        ensure!(head.contains("text/plain; version=0.0.4"), "{head}");
        strict(body).with_context(|| body.to_owned())?;
        for name in [
            "xpra_client_sent_bytes_total",
            "xpra_client_picture_latency_seconds_count",
            "xpra_client_tcp_rtt_seconds",
        ] {
            ensure!(
                body.contains(&format!("\n{name}{{client=\"")),
                "no {name}: {body}"
            );
        }
        by_prometheus(body)
    })
}

/// The grammar of the format: families together, each with its help and type before its samples, no sample twice.
fn strict(text: &str) -> Result<()> {
    ensure!(text.ends_with('\n'), "the last line has no end");
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let (mut families, mut samples) = (Vec::new(), Vec::new());
    let (mut family, mut kind) = ("", "");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            (family, kind) = (help.split_once(' ').context("no help")?.0, "");
            ensure!(is_name(family) && !families.contains(&family), "{line}");
            families.push(family);
            continue;
        }
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, is) = typed.split_once(' ').context("no type")?;
            ensure!(
                name == family && kind.is_empty() && ["counter", "gauge", "summary"].contains(&is),
                "{line}"
            );
            kind = is;
            continue;
        }
        let (series, value) = line.rsplit_once(' ').context("no value")?;
        value.parse::<f64>().with_context(|| line.to_owned())?;
        ensure!(!samples.contains(&series), "twice: {line}");
        samples.push(series);
        let name = series.split('{').next().unwrap_or(series);
        let belongs = name == family
            || (kind == "summary"
                && [format!("{family}_sum"), format!("{family}_count")]
                    .iter()
                    .any(|own| own == name));
        ensure!(
            belongs && !kind.is_empty() && (kind != "counter" || name.ends_with("_total")),
            "{line}"
        );
        if let Some(labels) = series.strip_prefix(name).and_then(|rest| rest.strip_prefix('{')) {
            let mut rest = labels.strip_suffix('}').context("no end of labels")?;
            while !rest.is_empty() {
                let (label, value) = rest.split_once("=\"").context("no label")?;
                ensure!(is_name(label), "{line}");
                let mut escaped = false;
                let end = value.find(|c: char| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                rest = &value[end.context("no end of a value")? + 1..];
                rest = rest.strip_prefix(',').unwrap_or(rest);
            }
        }
    }
    ensure!(!samples.is_empty(), "no samples");
    Ok(())
}

/// What Prometheus' own parser says, where it is installed.
fn by_prometheus(text: &str) -> Result<()> {
    const SCRIPT: &str = "import sys\ntry:\n from prometheus_client.parser import text_string_to_metric_families as read\n\
                          except ImportError: sys.exit(77)\nprint(len(list(read(sys.stdin.read()))))";
    let mut command = process::command("/usr/bin/python3");
    command
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let Ok(mut python) = command.spawn() else {
        return absent("python3");
    };
    python
        .stdin
        .take()
        .context("no pipe")?
        .write_all(text.as_bytes())?;
    let output = python.wait_with_output()?;
    if output.status.code() == Some(77) {
        return absent("python3-prometheus-client");
    }
    ensure!(output.status.success(), "Prometheus' parser: {output:?}");
    Ok(())
}

#[test]
fn session_info_in_a_browser() -> Result<()> {
    if !Browser::is_installed() {
        return absent("chromium");
    }
    watched(Peer::Ours, |room, server, shown| {
        let url = format!("http://127.0.0.1:{}/SessionInfo", server.port());
        let mut browser = Browser::open(room, &url)?;
        browser.wait_for("document.querySelectorAll('main svg').length === 5", LIMIT)?;
        // two samples make a line, if there are pictures between them
        let mut seed = 1;
        let drawn = until(LIMIT, || {
            seed += 1;
            shown.show(&Picture::card(CARD, seed))?;
            let points = "document.querySelectorAll('main section')[4].querySelector('polyline').getAttribute('points')";
            let points = browser.evaluate(points)?;
            Ok((points.as_str().unwrap_or_default().split(' ').count() > 3).then_some(()))
        })?;
        drawn.context("no lines are drawn")?;
        let mut grounds = Vec::new();
        for scheme in ["light", "dark"] {
            browser.prefer(scheme)?;
            let ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")?;
            grounds.push(ground);
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("session-info-{scheme}.png"));
            fs::write(&kept, browser.screenshot()?)?;
            // the README's
            if scheme == "light" && std::env::var_os("XPRA_RS_REDRAW").is_some() {
                fs::copy(kept, "src/web/session_info/page.png")?;
            }
        }
        ensure!(
            grounds[0] != grounds[1],
            "light and dark are the same: {grounds:?}"
        );
        for (tab, text) in [
            ("Connection", "rencodeplus"),
            ("Windows", "640×480"),
            ("Statistics", "picture latency"),
        ] {
            browser.evaluate(&format!(
                "[...document.querySelectorAll('nav button')].find((b) => b.textContent === '{tab}').click()"
            ))?;
            browser.wait_for(
                &format!("document.querySelector('main').innerText.includes('{text}')"),
                LIMIT,
            )?;
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("session-info-{tab}.png"));
            fs::write(kept, browser.screenshot()?)?;
        }
        Ok(())
    })
}
