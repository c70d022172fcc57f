//! A real browser without a display, driven over its debugging pipe.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::peer::Room;
use crate::process::{self, Process, until};

/// Where Debian puts it.
const CHROMIUM: &str = "/usr/bin/chromium";

/// The browser with one page.
#[derive(Debug)]
pub(crate) struct Browser {
    // dropped first, so that the browser sees the end of its pipe
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    _process: Process,
    session: String,
    number: u64,
}

impl Browser {
    /// Whether it is installed.
    pub(crate) fn is_installed() -> bool {
        Path::new(CHROMIUM).exists()
    }

    /// Opens `url` in a window of 1280x800.
    pub(crate) fn open(room: &Room, url: &str) -> Result<Self> {
        let profile = room.path("browser");
        std::fs::create_dir_all(&profile)?;
        let options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--ignore-certificate-errors",
            "--remote-debugging-pipe",
            "--window-size=1280,800",
        ];
        // it reads commands from descriptor 3 and answers on 4
        let script = format!(
            "exec {CHROMIUM} {} --user-data-dir={} about:blank 3<&0 4>&1 </dev/null >/dev/null",
            options.join(" "),
            profile.display()
        );
        let mut command = process::command("sh");
        command
            .args(["-c", &script])
            .env("HOME", &profile)
            .env("DBUS_SESSION_BUS_ADDRESS", "disabled:")
            .stdin(Stdio::piped());
        let mut process = Process::start_piped("chromium", command, &room.logs().join("chromium.log"))?;
        let (to, from) = (process.stdin(), process.stdout());
        let mut browser = Self {
            to: to.context("no pipe to the browser")?,
            from: BufReader::new(from.context("no pipe from the browser")?),
            _process: process,
            session: String::new(),
            number: 0,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", attach)?;
        session["sessionId"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut browser.session);
        browser.call("Page.enable", json!({}))?;
        browser.call("Page.navigate", json!({"url": url}))?;
        Ok(browser)
    }

    /// What a JavaScript expression is.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let parameters = json!({"expression": expression, "returnByValue": true});
        Ok(self.call("Runtime.evaluate", parameters)?["result"]["value"].take())
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_for(&mut self, expression: &str, limit: Duration) -> Result<()> {
        let is_true = until(limit, || {
            Ok((self.evaluate(expression)? == Value::Bool(true)).then_some(()))
        })?;
        is_true.with_context(|| format!("not true within {limit:?} in the browser: {expression}"))
    }

    /// Types text into the page.
    pub(crate) fn type_text(&mut self, text: &str) -> Result<()> {
        for character in text.chars() {
            let key = match character {
                '\n' => "Enter".to_owned(),
                other => other.to_string(),
            };
            let code = match character {
                '\n' => "Enter".to_owned(),
                ' ' => "Space".to_owned(),
                other if other.is_ascii_digit() => format!("Digit{other}"),
                other => format!("Key{}", other.to_ascii_uppercase()),
            };
            let virtual_key = match character {
                '\n' => 13,
                other => u32::from(other.to_ascii_uppercase()),
            };
            for kind in ["keyDown", "keyUp"] {
                let mut parameters =
                    json!({"type": kind, "key": key, "code": code, "windowsVirtualKeyCode": virtual_key});
                if kind == "keyDown" {
                    let typed = if character == '\n' {
                        "\r".to_owned()
                    } else {
                        character.to_string()
                    };
                    parameters["text"] = typed.into();
                }
                self.call("Input.dispatchKeyEvent", parameters)?;
            }
        }
        Ok(())
    }

    /// Clicks at a place of the page.
    pub(crate) fn click(&mut self, x: u32, y: u32) -> Result<()> {
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let parameters = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", parameters)?;
        }
        Ok(())
    }

    /// Says that the user prefers a `light` or a `dark` page.
    pub(crate) fn prefer(&mut self, scheme: &str) -> Result<()> {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}))?;
        Ok(())
    }

    /// A PNG file of the page.
    pub(crate) fn screenshot(&mut self) -> Result<Vec<u8>> {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}))?;
        Ok(STANDARD.decode(shot["data"].as_str().unwrap_or_default())?)
    }

    fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes())?;
        loop {
            let mut answer = Vec::new();
            if self.from.read_until(0, &mut answer)? == 0 {
                bail!("the browser ended during {method}");
            }
            answer.pop();
            let mut answer: Value = serde_json::from_slice(&answer)?;
            if answer["id"] == self.number {
                if !answer["error"].is_null() {
                    bail!("{method}: {}", answer["error"]);
                }
                return Ok(answer["result"].take());
            }
        }
    }
}
