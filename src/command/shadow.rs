//! `shadow`: share an existing display.

use super::exit::{ExitCode, Failure};
use super::files::FileArgs;
use super::listen::{ListenArgs, announce};
use super::mdns;
use super::options::{boolean, scaled};
use super::{demo, signals, systemd};
use crate::discovery::Environment;
use crate::display::Screen;
use crate::display::card::TestCard;
use crate::display::x11::{guess_display, open_screen};
use crate::session::RefreshRate;
use crate::session::server::{self, Door, ServerConfig, ServerEnd, Summary};
use crate::transport::Listener;
use crate::transport::tls::ServerTls;
use crate::types::Encoding;
use std::convert::Infallible;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The session of a test card; also the name of the pipe that xpra makes first (`endpoints.md` f.2).
const MAIN: &str = "Main";

/// Share an existing display.
#[derive(Clone, Debug, clap::Args)]
pub struct ShadowArgs {
    /// The display to share; the one there is when not given.
    #[arg(value_name = "DISPLAY")]
    pub display: Option<String>,
    /// Share a moving test card instead, which needs no display; DISPLAY is the session's name then.
    #[arg(long)]
    pub test_card: bool,
    /// Where to listen, and who may do what.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The options of every kind of server.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// Where to listen, and who may come in.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Which files may be exchanged.
    #[command(flatten)]
    pub files: FileArgs,
    /// Tell the network by mDNS where the session can be reached.
    #[arg(long, value_name = "yes|no", default_value = "yes", value_parser = boolean, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "yes", require_equals = true)]
    pub mdns: bool,
    /// Name of the session, shown in titles.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub session_name: String,
    /// May several clients use the session? yes, no, or auto: if they all want to.
    #[arg(long, value_name = "yes|no|auto", default_value = "auto", value_parser = switch)]
    pub sharing: Switch,
    /// Keep newcomers from taking over? yes, no, or auto: if the client there wants to.
    #[arg(long, value_name = "yes|no|auto", default_value = "auto", value_parser = switch)]
    pub lock: Switch,
    /// Show, but take no input.
    #[arg(long, value_name = "yes|no", default_value = "no", value_parser = boolean, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "yes", require_equals = true)]
    pub readonly: bool,
    /// Share the clipboard.
    #[arg(long, value_name = "yes|no", default_value = "yes", value_parser = boolean, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "yes", require_equals = true)]
    pub clipboard: bool,
    /// Send cursor shapes.
    #[arg(long, value_name = "yes|no", default_value = "yes", value_parser = boolean, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "yes", require_equals = true)]
    pub cursors: bool,
    /// Send the bell.
    #[arg(long, value_name = "yes|no", default_value = "yes", value_parser = boolean, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "yes", require_equals = true)]
    pub bell: bool,
    /// May clients resize the display?
    #[arg(long, value_name = "yes|no", default_value = "no", value_parser = boolean, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "yes", require_equals = true)]
    pub resize_display: bool,
    /// End when the last client leaves.
    #[arg(long, value_name = "yes|no", default_value = "no", value_parser = boolean, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "yes", require_equals = true)]
    pub exit_with_client: bool,
    /// Disconnect a client that did nothing for this long; 0 is never.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub idle_timeout: u64,
    /// End when no client was there for this long; 0 is never.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub server_idle_timeout: u64,
    /// Most bits per second for one client: a number with an optional K, M or G; 0 or auto is no limit.
    #[arg(long, value_name = "BITS", default_value = "auto", value_parser = bits)]
    pub bandwidth_limit: u64,
    /// May pictures be made worse when a link is seen to carry little? With no they are made for the bandwidth limit
    /// alone, and a slow link shows fewer.
    #[arg(long, value_name = "yes|no", default_value = "yes", value_parser = switch)]
    pub bandwidth_detection: Switch,
    /// Most pictures per second for a client: 60, 30-60 around what its screen shows, or auto for what it shows.
    #[arg(long, value_name = "RATE", default_value = "auto", value_parser = RefreshRate::from_str)]
    pub refresh_rate: RefreshRate,
    /// Encodings that may be used.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = encodings)]
    pub encodings: Vec<Encodings>,
    /// Quality of pictures from 1 to 100 where loss does not show; 100 is lossless.
    #[arg(long, value_name = "PERCENT", default_value_t = 95, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: u8,
    /// Lowest quality to use on slow links; above 30, pictures are not made smaller for them either.
    #[arg(long, value_name = "PERCENT", default_value_t = 30, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub min_quality: u8,
    /// From small packets (0) to little work (100).
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub speed: u8,
    /// Seconds between pings; 0 or no sends none.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub pings: u64,
}

/// yes, no or auto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(pub Option<bool>);

/// The encodings one word of `--encodings` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encodings(pub Vec<Encoding>);

fn switch(text: &str) -> Result<Switch, String> {
    if text.eq_ignore_ascii_case("auto") {
        Ok(Switch(None))
    } else {
        boolean(text).map(|on| Switch(Some(on)))
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    match boolean(text) {
        Ok(true) => Ok(5),
        Ok(false) => Ok(0),
        Err(_) => text
            .parse()
            .map_err(|_| format!("'{text}' is no number of seconds")),
    }
}

fn bits(text: &str) -> Result<u64, String> {
    let text = text.trim().to_ascii_lowercase();
    let number = text.trim_end_matches("bps").trim_end_matches("bit");
    let (digits, factor) = scaled(number);
    if matches!(text.as_str(), "auto" | "no" | "none" | "off") {
        return Ok(0);
    }
    let value = digits.parse::<u64>().ok().and_then(|v| v.checked_mul(factor));
    value.ok_or_else(|| format!("'{text}' is no bandwidth; say for example 10M"))
}

fn encodings(text: &str) -> Result<Encodings, String> {
    let list = match text.trim() {
        "all" | "auto" => vec![],
        "rgb" => vec![Encoding::Rgb24, Encoding::Rgb32],
        "png" => vec![Encoding::Png, Encoding::PngP, Encoding::PngL],
        name => match Encoding::from_name(name) {
            Some(encoding) => vec![encoding],
            None => {
                return Err(format!(
                    "unknown encoding '{name}': use rgb, png, jpeg, webp or scroll"
                ));
            }
        },
    };
    Ok(Encodings(list))
}

/// Runs the server until it is asked to end.
pub async fn run(
    args: &ShadowArgs,
    environment: &Environment,
    shutdown: impl Future<Output = ()>,
) -> Result<ExitCode, Failure> {
    let display = match &args.display {
        None if args.test_card => MAIN.to_owned(),
        Some(display) => normal_display(display),
        None => guess_display(environment.variable("DISPLAY"))?,
    };
    // sockets first: a failure to bind must not disturb the display (`endpoints.md` a.1)
    let listeners = args.serve.listen.listen(environment, &display).await?;
    let screen: Box<dyn Screen> = match args.test_card {
        true => Box::new(TestCard::new(demo::SIZE, demo::FPS, demo::MOVING)),
        false => open_screen(Some(&display))?,
    };
    let mut config = args.serve.config(environment);
    if args.serve.mdns
        && let Some(publisher) = mdns::publish(&listeners, &display, "shadow", &config, environment).await
    {
        let (summary, summaries) = watch::channel(Summary::default());
        config.summary = Some(summary);
        let publishing = tokio::spawn(mdns::keep_current(publisher, summaries));
        let ended = serve(screen, listeners, config, shutdown).await;
        // it says goodbye
        let _panicked = publishing.await;
        return ended;
    }
    serve(screen, listeners, config, shutdown).await
}

/// Serves a screen until the server is asked to end.
pub async fn serve(
    screen: Box<dyn Screen>,
    listeners: Vec<(Listener, Arc<Door>)>,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<ExitCode, Failure> {
    announce(&listeners);
    tracing::info!("sharing display {} ({})", screen.name(), screen.size());
    tracing::info!("xpra is ready.");
    systemd::ready();
    let certificates: Vec<_> = listeners
        .iter()
        .filter_map(|(_, door)| door.tls.clone())
        .collect();
    let end = tokio::select! {
        biased;
        end = server::run(listeners, screen, config, shutdown) => end,
        never = reload(certificates) => match never {},
        never = systemd::watchdog() => match never {},
    };
    systemd::stopping();
    match end.map_err(|error| {
        Failure::new(
            ExitCode::InternalError,
            format!("cannot start the server: {error}"),
        )
    })? {
        ServerEnd::DisplayLost(why) => Err(Failure::new(ExitCode::NoDisplay, why)),
        ServerEnd::Asked | ServerEnd::Idle => Ok(ExitCode::Ok),
    }
}

/// Reads certificates again whenever the process is told to (`SIGHUP`), for connections from then on.
async fn reload(certificates: Vec<ServerTls>) -> Infallible {
    let Some(mut hangups) = signals::hangups() else {
        return std::future::pending().await;
    };
    while hangups.recv().await.is_some() {
        for tls in &certificates {
            match tls.reload() {
                Ok(()) => tracing::info!("read the certificate again: {}", tls.file().display()),
                Err(error) => tracing::error!("the certificate stays as it was: {error}"),
            }
        }
    }
    std::future::pending().await
}

fn normal_display(display: &str) -> String {
    let number = display
        .split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if number {
        format!(":{display}")
    } else {
        display.to_owned()
    }
}

impl ServeArgs {
    /// What the options mean for the server.
    pub fn config(&self, environment: &Environment) -> ServerConfig {
        let defaults = ServerConfig::default();
        ServerConfig {
            session_name: self.session_name.clone(),
            uuid: random_uuid(),
            username: environment.username(),
            hostname: environment.hostname.clone(),
            sharing: self.sharing.0,
            lock: self.lock.0,
            readonly: self.readonly,
            clipboard: self.clipboard,
            bell: self.bell,
            cursors: self.cursors,
            resize_display: self.resize_display,
            exit_with_client: self.exit_with_client,
            idle_timeout: Duration::from_secs(self.idle_timeout),
            server_idle_timeout: Duration::from_secs(self.server_idle_timeout),
            bandwidth_limit: self.bandwidth_limit,
            bandwidth_detection: self.bandwidth_detection.0.unwrap_or(true),
            refresh_rate: self.refresh_rate,
            encodings: self.encodings.iter().flat_map(|e| e.0.iter().copied()).collect(),
            min_quality: self.min_quality.min(self.quality),
            quality: self.quality,
            speed: self.speed,
            files: self.files.rules(true, environment),
            mmap: self.listen.mmap.trust(environment),
            summary: None,
            connection: crate::protocol::ConnectionConfig {
                ping_interval: (self.pings > 0).then(|| Duration::from_secs(self.pings)),
                ..defaults.connection
            },
        }
    }
}

fn random_uuid() -> String {
    let mut bytes = [0u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        return format!("{:032x}", std::process::id());
    }
    bytes.iter().fold(String::with_capacity(32), |text, byte| {
        text + &format!("{byte:02x}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_values() {
        assert_eq!(bits("10M"), Ok(10_000_000));
        assert_eq!(
            bits("1.5M"),
            Err("'1.5m' is no bandwidth; say for example 10M".into())
        );
        assert_eq!(bits("auto"), Ok(0));
        assert_eq!(bits("512kbps"), Ok(512_000));
        assert_eq!(switch("Auto"), Ok(Switch(None)));
        assert_eq!(switch("on"), Ok(Switch(Some(true))));
        assert_eq!(seconds("no"), Ok(0));
        assert_eq!(normal_display("7"), ":7");
        assert_eq!(normal_display("host:1"), "host:1");
        assert!(encodings("h264").is_err());
    }
}
