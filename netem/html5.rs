//! xpra's HTML5 page in a real browser, served by our server: it shows the screen and types into it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use xpra::types::Size;

use crate::browser::Browser;
use crate::display::{Display, Shown};
use crate::grid::CARD;
use crate::input::{terminal, window};
use crate::peer::{Keys, Mode, Peer, Server, free_port};
use crate::picture::Picture;
use crate::process::until;
use crate::{absent, with};

const SOURCE: Size = Size::new(1000, 600);
const LIMIT: Duration = Duration::from_secs(30);

/// The page's files, as Debian's package of xpra has them.
const PAGE: &str = "/usr/share/xpra/www/index.html";

/// How good the picture in the browser has to be: its JPEG is made good within moments.
const GOOD: f64 = 30.0;

#[test]
fn harness_sees_the_page_of_real_xpra() -> Result<()> {
    page(Peer::Xpra3, "http")
}

#[test]
fn page_over_http() -> Result<()> {
    page(Peer::Ours, "http")
}

#[test]
fn page_over_https() -> Result<()> {
    page(Peer::Ours, "https")
}

fn page(server: Peer, scheme: &str) -> Result<()> {
    for (what, there) in [
        ("chromium", Browser::is_installed()),
        ("xpra's HTML5 page", Path::new(PAGE).exists()),
    ] {
        if !there {
            return absent(what);
        }
    }
    with(&[server], |room| {
        let source = Display::start(SOURCE, &room.logs())?;
        let _shown = Shown::open(&source, "card", 560, 40, &Picture::card(CARD, 1))?;
        let typed = room.path("typed");
        let _terminal = terminal(room, &source, &format!("cat > {}", typed.display()))?;
        source.focus(window(&source, |window| window.title == "terminal")?.id)?;

        // one port for pages, WebSockets and TLS
        let port = free_port()?;
        let mut options = vec![format!("--bind-tcp=127.0.0.1:{port}"), "--html=on".to_owned()];
        if scheme == "https" {
            options.push(format!("--ssl-cert={}", Keys::new(room)?.certificate.display()));
        }
        let _server = Server::start_with(room, server, Mode::Shadow, &source, &options)?;

        let url = format!("{scheme}://127.0.0.1:{port}/index.html?floating_menu=no&sound=no&clipboard=no");
        let mut browser = Browser::open(room, &url)?;
        browser.wait_for("document.querySelectorAll('canvas').length > 0", LIMIT)?;

        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("html5-{server:?}-{scheme}.png"));
        let mut best = None;
        let seen = until(LIMIT, || {
            std::fs::write(&kept, browser.screenshot()?)?;
            let found = Picture::load_png(&kept)?.find_card(&Picture::card(CARD, 1), 1);
            best = found.or(best);
            Ok(found.filter(|found| found.psnr >= GOOD))
        })?;
        let seen = seen.with_context(|| format!("the card is not in {}, best {best:?}", kept.display()))?;

        // the terminal is to the left of the card
        browser.click(seen.x.saturating_sub(500), seen.y + 60)?;
        let line = "hello html5 page\n";
        let read = until(LIMIT, || {
            browser.type_text(line)?;
            let read = || {
                Ok(std::fs::read_to_string(&typed)
                    .ok()
                    .filter(|text| text.contains(line)))
            };
            until(Duration::from_secs(2), read)
        })?;
        read.with_context(|| {
            format!(
                "read {:?}, see {}",
                std::fs::read_to_string(&typed),
                kept.display()
            )
        })?;
        Ok(())
    })
}
