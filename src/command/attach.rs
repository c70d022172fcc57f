//! `attach`: show the windows of a session, or the screen a server shares, and type into them.

use super::exit::{ExitCode, Failure};
use super::files::FileArgs;
use super::mmap::MmapArgs;
use super::options::{boolean, scaled};
use super::reconnect::Reconnect;
use super::server::{ConnectArgs, Route};
use super::session_info::InfoWindow;
use super::signals::{Farewell, INTERRUPT};
use crate::address::{Address, TransportKind};
use crate::auth::TicketRequest;
use crate::discovery::Environment;
use crate::display::Windows;
use crate::display::headless::Headless;
use crate::display::x11::open_windows;
use crate::protocol::{CloseReason, ConnectionConfig};
use crate::session::area::Offer;
use crate::session::client::{
    ClientOptions, ClientSession, Departure, Desktop, Direction, Held, Identity, Shortcut, Shortcuts,
    ToSession, Viewer, client_hello, resume_capability,
};
use crate::session::files::FileRules;
use crate::session::resume::{Calls, Ended, dial_and_resume};
use crate::session::{Login, RefreshRate, now};
use crate::transport::connect;
use crate::types::{Encoding, Size};
use clap::ArgAction::Set;
use std::ffi::OsString;
use std::str::FromStr as _;
use std::time::Instant;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

/// The screen of a client without one.
const HEADLESS: Size = Size::new(1920, 1080);

/// How to show which session.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AttachArgs {
    /// Display (:10), session name, socket path or address (tcp://HOST:PORT/); default: the only session
    #[arg(default_value = "", hide_default_value = true)]
    session: String,
    /// Decode all pictures, but show nothing
    #[arg(long)]
    headless: bool,
    /// Only look: send no input
    #[arg(long, value_name = "yes|no", action = Set, default_value = "no", value_parser = boolean)]
    readonly: bool,
    /// Window titles; @title@, @client-machine@ and @windowid@ stand for the window's
    #[arg(long, default_value = "@title@ on @client-machine@")]
    title: String,
    /// Name for the session
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    session_name: String,
    /// Exchange clipboard texts
    #[arg(long, value_name = "yes|no", action = Set, default_value = "yes", value_parser = switch)]
    clipboard: bool,
    /// Which way clipboard texts may go
    #[arg(long, value_name = "to-server|to-client|both|disabled", default_value = "both", value_parser = direction)]
    clipboard_direction: Direction,
    /// Show the cursors of the session
    #[arg(long, value_name = "yes|no", action = Set, default_value = "yes", value_parser = boolean)]
    cursors: bool,
    /// Ring the bell
    #[arg(long, value_name = "yes|no", action = Set, default_value = "yes", value_parser = boolean)]
    bell: bool,
    /// Keep keys down in the session for as long as they are down here
    #[arg(long, value_name = "yes|no", action = Set, default_value = "yes", value_parser = boolean)]
    keyboard_sync: bool,
    /// Share the session with other clients
    #[arg(long, value_name = "yes|no", action = Set, default_value = "no", value_parser = switch_off)]
    sharing: bool,
    /// Do not let other clients take the session over
    #[arg(long, value_name = "yes|no", action = Set, default_value = "no", value_parser = switch_off)]
    lock: bool,
    /// Take the session over from another client
    #[arg(long, value_name = "yes|no", action = Set, default_value = "yes", value_parser = boolean)]
    steal: bool,
    /// Ask the server to fill the screen
    #[arg(long, value_name = "yes|no", action = Set, default_value = "no", value_parser = boolean)]
    desktop_fullscreen: bool,
    /// Encodings the server may use: all, or some of rgb, png, png/P, png/L, jpeg, webp, scroll
    #[arg(long, value_name = "LIST", default_value = "all", value_parser = encodings)]
    encodings: Encodings,
    /// The encoding to prefer, or auto
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = encoding)]
    encoding: Preferred,
    /// Quality of pictures, 1 to 100; 0 lets the server choose
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    quality: u8,
    /// Least quality of pictures, 1 to 100
    #[arg(long, value_name = "PERCENT", default_value = "30", value_parser = percent)]
    min_quality: u8,
    /// Speed to prefer over size, 1 to 100; 0 lets the server choose
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    speed: u8,
    /// Least speed, 1 to 100
    #[arg(long, value_name = "PERCENT", default_value = "30", value_parser = percent)]
    min_speed: u8,
    /// What the server may send in a second: 500K, 10Mbps, auto
    #[arg(long, value_name = "BITS", default_value = "auto", value_parser = bits_per_second)]
    bandwidth_limit: u64,
    /// Let the server make pictures worse when the link is seen to carry little; with no it shows fewer instead
    #[arg(long, value_name = "yes|no", action = Set, default_value = "yes", value_parser = switch)]
    bandwidth_detection: bool,
    /// Pictures a second: 60, 30-60 around what the screen shows, or auto for what it shows
    #[arg(long, value_name = "RATE", default_value = "auto", value_parser = RefreshRate::from_str)]
    refresh_rate: RefreshRate,
    /// Keys the client acts on, instead of its own list: [MODIFIER+..]KEY:ACTION, with quit, refresh_all_windows,
    /// refresh_window, show_session_info, void; may be given several times
    #[arg(long, value_name = "KEY:ACTION", value_parser = Shortcut::parse)]
    key_shortcut: Vec<Shortcut>,
    /// What # stands for among the modifiers of shortcuts: Meta+Shift, Control+Shift, none, ...
    #[arg(long, value_name = "MODIFIERS", default_value = "auto", value_parser = Modifiers::parse)]
    shortcut_modifiers: Modifiers,
    /// Attach again when the connection is lost
    #[arg(long, value_name = "yes|no", action = Set, default_value = "yes", value_parser = boolean)]
    reconnect: bool,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    mmap: MmapArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    /// All of it as words, the program first.
    #[arg(skip)]
    pub(super) words: Vec<OsString>,
}

/// What is to be held for shortcuts.
#[derive(Clone, Debug)]
pub(super) struct Modifiers(Vec<Held>);

impl Modifiers {
    fn parse(text: &str) -> Result<Self, String> {
        Held::list(text).map(Self)
    }
}

/// A list of encodings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Encodings(Vec<Encoding>);

/// The encoding to prefer, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Preferred(Option<Encoding>);

impl AttachArgs {
    fn options(&self) -> ClientOptions {
        let given = |percent: u8| (percent > 0).then_some(percent);
        ClientOptions {
            bandwidth_limit: self.bandwidth_limit,
            bandwidth_detection: self.bandwidth_detection,
            bell: self.bell,
            clipboard: match self.clipboard {
                true if !self.readonly => self.clipboard_direction,
                _ => Direction::None,
            },
            cursors: self.cursors,
            desktop_fullscreen: self.desktop_fullscreen,
            encoding: self.encoding.0,
            encodings: self.encodings.0.clone(),
            files: FileRules::default(),
            keyboard_sync: self.keyboard_sync,
            lock: self.lock,
            min_quality: given(self.min_quality),
            min_speed: given(self.min_speed),
            quality: given(self.quality),
            readonly: self.readonly,
            refresh_rate: self.refresh_rate,
            session_name: self.session_name.clone(),
            sharing: self.sharing,
            shortcuts: Shortcuts::new(&self.key_shortcut, &self.shortcut_modifiers.0),
            speed: given(self.speed),
            steal: self.steal,
            title: self.title.clone(),
        }
    }
}

/// Attaches, and stays until the session, the display or the user ends it; when the connection is lost it attaches
/// again.
pub(super) async fn run(args: &AttachArgs, environment: &Environment) -> Result<ExitCode, Failure> {
    let mut reconnect = Reconnect::default();
    // from the first loss on: a signal that comes while nobody listens is heard at the next pause
    let mut farewell = None;
    loop {
        let mut lost = None;
        let failure = match attach(args, environment, &mut lost).await {
            Err(failure) if args.reconnect => failure,
            ended => return ended,
        };
        let pause = reconnect.after(failure, lost, now())?;
        let farewell = match &mut farewell {
            Some(farewell) => farewell,
            none => none.insert(Farewell::new()?),
        };
        tokio::select! {
            biased;
            number = farewell.recv() => return Ok(code_of_signal(Some(number))),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// How to call a server again.
const fn calls(address: &Address) -> Calls {
    match address.kind() {
        Some(TransportKind::Ssh) => Calls::COSTLY,
        Some(TransportKind::NamedPipe | TransportKind::Socket | TransportKind::Vsock) => Calls::LOCAL,
        _ => Calls::NETWORK,
    }
}

/// Attaches once, and stays over as many connections as it takes where the server can go on with a session; tells in
/// `lost` when a session ended, if there was one.
async fn attach(
    args: &AttachArgs,
    environment: &Environment,
    lost: &mut Option<Instant>,
) -> Result<ExitCode, Failure> {
    let options = ClientOptions {
        files: args.files.rules(false, environment),
        ..args.options()
    };
    let Route {
        address,
        options: connecting,
        username,
        handlers,
        encryption,
    } = args.connect.route(&args.session, environment).await?;
    let (windows, display): (Box<dyn Windows>, _) = match environment.variable("DISPLAY") {
        _ if args.headless => (Box::new(Headless::new(HEADLESS)), "headless"),
        Some(display) => (open(display)?, display),
        None => {
            let message = "cannot show windows: DISPLAY is not set (use --headless to show nothing)";
            return Err(Failure::new(ExitCode::NoDisplay, message));
        }
    };
    let desktop = Desktop {
        size: windows.screen_size(),
        keymap: windows.keymap(),
        refresh_rate: windows.refresh_rate(),
    };
    let identity = identity(environment, display, &username);
    let asked = options.clone();
    let offer = args.mmap.offer(&address, desktop.size, environment);
    let passed = offer.as_ref().and_then(Offer::descriptor);
    // without it there is no going on
    let ticket = args.reconnect.then(TicketRequest::new).and_then(Result::ok);
    let key = ticket.as_ref().map(resume_capability);
    let memory = offer.as_ref().map(Offer::capabilities).unwrap_or_default();
    let hello = move |dialect| {
        let mut caps = client_hello(dialect, &identity, &desktop, &asked);
        for (key, value) in &memory {
            caps.set(key, value.clone());
        }
        if let Some(key) = &key {
            caps.set("resume", key.clone());
        }
        caps
    };
    let config = ConnectionConfig {
        encryption,
        ..ConnectionConfig::default()
    };
    let login = Login::new(config, handlers, hello);
    let (mut session, seat, to_session) = ClientSession::new(&options, login)?;
    if let Some(offer) = offer {
        session.set_offer(offer);
    }
    if let Some(request) = ticket {
        session.set_ticket_request(request);
    }
    let mut info = InfoWindow::new(&args.words);
    let viewer = Viewer::new(windows, options.clone(), seat).on_session_info(move || info.open());
    let viewer = std::thread::Builder::new()
        .name("viewer".to_owned())
        .spawn(move || viewer.run())?;
    let (signalled, signal) = watch::channel(None);
    let signals = tokio::spawn(forward_signals(Farewell::new()?, signalled, to_session));

    let open = async || {
        let mut signal = signal.clone();
        tokio::select! {
            biased;
            number = signal.wait_for(Option::is_some) => Err(interrupted(number.ok().and_then(|number| *number))),
            link = connect(&address, &connecting) => {
                let link = link?;
                if let Some(file) = passed.as_ref().and_then(|file| file.try_clone().ok()) {
                    link.info.descriptors.offer(file);
                }
                Ok(link.into())
            }
        }
    };
    let ended = dial_and_resume(open, &mut session, calls(&address)).await;
    signals.abort();
    let connected = session.is_connected();
    *lost = ended.as_ref().ok().filter(|_| connected).map(|ended| ended.at);
    let departure = session.departure().cloned();
    // without a session the viewer closes its windows and ends
    drop(session);
    let _panicked = viewer.join();
    let Ended { reason, .. } = ended?;
    outcome(&reason, connected, departure).map_err(|failure| failure.at(&address))
}

fn open(display: &str) -> Result<Box<dyn Windows>, Failure> {
    open_windows(Some(display)).map_err(|error| Failure::new(ExitCode::NoDisplay, error.to_string()))
}

fn identity(environment: &Environment, display: &str, username: &str) -> Identity {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    Identity::new(machine.trim(), &environment.hostname, username, display)
}

async fn forward_signals(
    mut signals: Farewell,
    signalled: watch::Sender<Option<i32>>,
    session: UnboundedSender<ToSession>,
) {
    let number = signals.recv().await;
    signalled.send_replace(Some(number));
    let _gone = session.send(ToSession::Depart(Departure::Signal(number)));
    // nobody listens to a second one
    std::future::pending::<()>().await;
}

/// A signal came before there was a session to leave: nothing to tell anyone.
fn interrupted(signal: Option<i32>) -> Failure {
    Failure::new(code_of_signal(signal), "")
}

fn code_of_signal(number: Option<i32>) -> ExitCode {
    if number == Some(INTERRUPT) {
        ExitCode::Interrupted
    } else {
        ExitCode::Terminated
    }
}

/// What to tell the user, and the exit code.
fn outcome(reason: &CloseReason, connected: bool, departure: Option<Departure>) -> Result<ExitCode, Failure> {
    match departure {
        Some(Departure::Display(error)) => Err(Failure::new(ExitCode::NoDisplay, error.to_string())),
        Some(Departure::Login(error)) => Err(error.into()),
        Some(Departure::Signal(number)) => Ok(code_of_signal(Some(number))),
        Some(Departure::Quit | Departure::WindowClosed) => Ok(ExitCode::Ok),
        None => match ExitCode::of_session(reason, connected) {
            ExitCode::Ok => {
                eprintln!("disconnected: {reason}");
                Ok(ExitCode::Ok)
            }
            code => Err(Failure::new(code, reason.to_string())),
        },
    }
}

/// Yes or no; `auto` is yes.
fn switch(text: &str) -> Result<bool, String> {
    if text == "auto" { Ok(true) } else { boolean(text) }
}

/// Yes or no; `auto` is no.
fn switch_off(text: &str) -> Result<bool, String> {
    if text == "auto" { Ok(false) } else { boolean(text) }
}

fn direction(text: &str) -> Result<Direction, String> {
    match text {
        "both" => Ok(Direction::Both),
        "disabled" | "none" => Ok(Direction::None),
        "to-client" => Ok(Direction::ToClient),
        "to-server" => Ok(Direction::ToServer),
        _ => Err("write to-server, to-client, both or disabled".to_owned()),
    }
}

/// `all`, or names; names we cannot decode (video) are left out, names with a minus are taken away.
fn encodings(text: &str) -> Result<Encodings, String> {
    let all = ClientOptions::default().encodings;
    let words: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    let names = |word: &str, encoding: Encoding| {
        word == encoding.name() || (word == "rgb" && matches!(encoding, Encoding::Rgb24 | Encoding::Rgb32))
    };
    let plus: Vec<&str> = words
        .iter()
        .filter(|word| !word.starts_with('-'))
        .copied()
        .collect();
    let listed = |encoding: Encoding| {
        plus.is_empty() || plus.iter().any(|word| *word == "all" || names(word, encoding))
    };
    let removed = |encoding: Encoding| {
        words
            .iter()
            .any(|word| word.strip_prefix('-').is_some_and(|w| names(w, encoding)))
    };
    let chosen: Vec<Encoding> = all.into_iter().filter(|e| listed(*e) && !removed(*e)).collect();
    if chosen.is_empty() {
        return Err("write all, or some of rgb, png, png/P, png/L, jpeg, webp, scroll".to_owned());
    }
    Ok(Encodings(chosen))
}

fn encoding(text: &str) -> Result<Preferred, String> {
    match text {
        "auto" | "" => Ok(Preferred(None)),
        "rgb" => Ok(Preferred(Some(Encoding::Rgb32))),
        name => Encoding::from_name(name)
            .filter(|encoding| !matches!(encoding, Encoding::Mmap | Encoding::Void | Encoding::Scroll))
            .map(|encoding| Preferred(Some(encoding)))
            .ok_or_else(|| "write auto, rgb, png, png/P, png/L, jpeg or webp".to_owned()),
    }
}

fn percent(text: &str) -> Result<u8, String> {
    match text.trim_end_matches('%') {
        "auto" => Ok(0),
        number => match number.parse() {
            Ok(percent @ 0..=100) => Ok(percent),
            _ => Err("write a number from 0 to 100, or auto".to_owned()),
        },
    }
}

/// A number of bits with `K`, `M` or `G`, and perhaps `bps` behind it.
fn bits_per_second(text: &str) -> Result<u64, String> {
    let text = text.trim().to_ascii_lowercase();
    if matches!(text.as_str(), "auto" | "none" | "no" | "") {
        return Ok(0);
    }
    let number = text
        .trim_end_matches("/s")
        .trim_end_matches("ps")
        .trim_end_matches("bit")
        .trim_end_matches('b');
    let (digits, factor) = scaled(number);
    digits
        .trim()
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .filter(|n| *n <= 1 << 40)
        .ok_or_else(|| "write bits per second, such as 500K or 10Mbps, or auto".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::ClientAuthError;
    use crate::display::DisplayError;
    use crate::protocol::reason;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: AttachArgs,
    }

    fn options(words: &[&str]) -> ClientOptions {
        let words = ["attach"].iter().chain(words);
        Program::try_parse_from(words).unwrap().args.options()
    }

    #[test]
    fn without_options_the_defaults_hold() {
        assert_eq!(options(&[":10"]), ClientOptions::default());
    }

    #[test]
    fn options_are_spelled_as_xpra_spells_them() {
        let options = options(&[
            "--clipboard-direction=to-client",
            "--sharing=yes",
            "--steal=no",
            "--lock=auto",
            "--readonly=yes",
            "--encodings=rgb,jpeg,h264",
            "--encoding=jpeg",
            "--min-quality=40",
            "--quality=auto",
            "--bandwidth-limit=10Mbps",
            "--bandwidth-detection=no",
            "--refresh-rate=30-50",
            "--key-shortcut=#+F1:quit",
            "--key-shortcut=F2:scaleup",
            "--shortcut-modifiers=Control",
        ]);
        assert_eq!(options.clipboard, Direction::None);
        assert!(options.sharing && !options.steal && !options.lock && options.readonly);
        assert_eq!(
            options.encodings,
            [Encoding::Rgb32, Encoding::Rgb24, Encoding::Jpeg]
        );
        assert_eq!(options.encoding, Some(Encoding::Jpeg));
        assert_eq!((options.quality, options.min_quality), (None, Some(40)));
        assert_eq!(options.bandwidth_limit, 10_000_000);
        assert!(!options.bandwidth_detection);
        assert_eq!(options.refresh_rate, RefreshRate::Within(30, 50));
        let quit = Shortcut::parse("Control+F1:quit").unwrap();
        assert_eq!(options.shortcuts, Shortcuts::new(&[quit], &[]));
    }

    #[test]
    fn bandwidths() {
        for (text, bits) in [
            ("auto", 0),
            ("500K", 500_000),
            ("1Gbit/s", 1_000_000_000),
            ("64000", 64000),
        ] {
            assert_eq!(bits_per_second(text), Ok(bits), "{text}");
        }
        assert!(bits_per_second("fast").is_err() && bits_per_second("99999999999999999999").is_err());
    }

    #[test]
    fn encodings_may_be_taken_away() {
        assert_eq!(encodings("-rgb,-scroll").unwrap().0.len(), 5);
        assert!(encodings("h264").is_err());
    }

    #[test]
    fn each_end_has_its_code() {
        let lost = CloseReason::PeerClosed {
            silent: false,
            truncated: false,
        };
        let goodbye = CloseReason::Local {
            reason: reason::CLIENT_EXIT,
            details: String::new(),
        };
        let code = |result: Result<ExitCode, Failure>| match result {
            Ok(code) | Err(Failure { code, .. }) => code,
        };
        assert_eq!(code(outcome(&lost, true, None)), ExitCode::ConnectionLost);
        assert_eq!(code(outcome(&lost, false, None)), ExitCode::ConnectionFailed);
        for (departure, expected) in [
            (Departure::Signal(2), ExitCode::Interrupted),
            (Departure::Signal(15), ExitCode::Terminated),
            (Departure::Quit, ExitCode::Ok),
            (Departure::WindowClosed, ExitCode::Ok),
            (
                Departure::Login(ClientAuthError::NoPassword("")),
                ExitCode::PasswordRequired,
            ),
            (
                Departure::Display(DisplayError::Request("gone".into())),
                ExitCode::NoDisplay,
            ),
        ] {
            assert_eq!(code(outcome(&goodbye, true, Some(departure))), expected);
        }
    }
}
