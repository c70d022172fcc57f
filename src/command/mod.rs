//! LAYER 6: the subcommands of `xpra-rs`. Options in, text and exit code out.
//!
//! [`Program::parse`] makes sense of the command line, [`Program::run`] does it. Only this layer reads the process's
//! environment, prints, and knows exit codes.

mod admin;
mod attach;
pub mod auth;
mod config;
pub mod demo;
mod diagnose;
pub mod echo;
mod encryption;
mod exit;
mod files;
mod info;
pub mod list;
mod listen;
mod mdns;
mod mmap;
mod options;
mod proxy;
mod query;
mod reconnect;
mod server;
mod session_file;
mod session_info;
pub mod shadow;
#[cfg_attr(windows, path = "signals/windows.rs")]
mod signals;
pub mod ssh;
#[cfg_attr(windows, path = "systemd/absent.rs")]
mod systemd;
pub mod terminal;
#[cfg(test)]
#[cfg(unix)]
mod tests;
pub mod tls;
pub mod web;
pub mod wire;

pub use config::Settings;
pub use exit::{ExitCode, Failure};

use self::admin::{ControlArgs, Order, ServersArgs};
use self::options::SESSIONS;
use self::query::{InfoArgs, QueryArgs, ScreenshotArgs};
use crate::discovery::Environment;
use crate::session::Request;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use tracing::Level;

/// What the subcommands are for, in the order of the help text.
const GROUPS: &[(&str, &[&str])] = &[
    ("Use", &["attach"]),
    ("Share", &["shadow"]),
    ("Try", &["demo"]),
    (
        "Ask a server",
        &[
            "version",
            "id",
            "info",
            "session-info",
            "diagnose",
            "screenshot",
            "connect-test",
        ],
    ),
    ("Tell a server", &["stop", "exit", "detach", "control"]),
    ("Find", &["list", "list-mdns"]),
    ("Tools", &["wire"]),
];

/// A command line, understood.
#[derive(Debug)]
pub struct Program {
    subcommand: Subcommand,
    /// It goes on until somebody ends it, and then has goodbyes to say.
    is_session: bool,
    /// Options that were ignored.
    ignored: Vec<String>,
    /// What is to be told about configuration and session files.
    warnings: Vec<String>,
    debug: bool,
}

#[derive(Debug, clap::Parser)]
#[command(
    name = "xpra-rs",
    version,
    about = "Remote displays, compatible with xpra",
    args_override_self = true
)]
#[command(disable_help_subcommand = true, infer_subcommands = false)]
struct Cli {
    #[command(subcommand)]
    subcommand: Subcommand,
    /// Log what happens; takes xpra's categories and shows all of them
    #[arg(short, long, global = true, value_name = "CATEGORY")]
    debug: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Show the windows of a session, or the screen a server shares
    Attach(attach::AttachArgs),
    /// Check that a server answers
    ConnectTest(QueryArgs),
    /// Run a control command on a server
    Control(ControlArgs),
    /// Show a moving test card over each transport, and measure
    Demo(demo::DemoArgs),
    /// Disconnect the clients of servers
    Detach(ServersArgs),
    /// Measure the path to a server, and say where its latency comes from
    Diagnose(diagnose::DiagnoseArgs),
    /// Send WebSocket messages back, for suites that test how the protocol is kept
    #[command(hide = true)]
    Echo(echo::EchoArgs),
    /// End servers, but leave their applications running
    Exit(ServersArgs),
    /// Print who a server is
    Id(QueryArgs),
    /// Print everything a server knows about itself
    Info(InfoArgs),
    /// List the sessions of this machine
    List(list::ListArgs),
    /// List the sessions that are published on the network
    ListMdns(mdns::ListMdnsArgs),
    /// Save a picture of a session
    Screenshot(ScreenshotArgs),
    /// Watch how a session is doing: bandwidth, latency, windows
    SessionInfo(session_info::SessionInfoArgs),
    /// Share an existing display
    Shadow(Box<shadow::ShadowArgs>),
    /// End servers and their applications
    Stop(ServersArgs),
    /// Print the version of a server
    Version(QueryArgs),
    /// Look into captured bytes of the protocol
    Wire(wire::WireArgs),
    /// Prepare this account for SSH clients, which needs nothing
    #[command(name = "initenv", hide = true)]
    InitEnv(proxy::IgnoredArgs),
    /// Connect standard input and output to a session, for SSH clients
    #[command(name = "_proxy", hide = true)]
    Proxy(proxy::ProxyArgs),
    /// Start a session, for SSH clients
    #[command(
        name = "_proxy_start",
        hide = true,
        aliases = ["_proxy_start_desktop", "_proxy_start_seamless", "_proxy_start_monitor", "_proxy_shadow_start"]
    )]
    ProxyStart(proxy::IgnoredArgs),
}

impl Program {
    /// Reads a command line; `settings` hold where it says nothing. `None` when it asked for help or the version, which `out` got.
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
        settings: &Settings,
        out: &mut dyn Write,
    ) -> Result<Option<Self>, Failure> {
        let command = Cli::command();
        let normalized = options::normalize(arguments, settings, &command)?;
        let text = help(&command);
        let command = command.override_help(text);
        let parsed = command.try_get_matches_from(&normalized.words);
        let program = parsed.and_then(|matches| {
            let is_session = matches
                .subcommand_name()
                .is_some_and(|name| SESSIONS.contains(&name));
            Ok((Cli::from_arg_matches(&matches)?, is_session))
        });
        match program {
            Ok((mut cli, is_session)) => {
                if let Subcommand::Attach(args) = &mut cli.subcommand {
                    args.words = normalized.words;
                }
                Ok(Some(Self {
                    subcommand: cli.subcommand,
                    is_session,
                    ignored: normalized.ignored,
                    warnings: normalized.warnings,
                    debug: cli.debug,
                }))
            }
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                write!(out, "{}", error.render())?;
                out.flush()?;
                Ok(None)
            }
            Err(error) => Err(misuse(&error)),
        }
    }

    /// Does what the command line says.
    pub async fn run(self, environment: &Environment, out: &mut dyn Write) -> Result<ExitCode, Failure> {
        self.log_to_stderr();
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        if !self.ignored.is_empty() {
            tracing::warn!("not available yet, ignored: {}", self.ignored.join(" "));
        }
        let has_goodbyes = self.is_session || matches!(self.subcommand, Subcommand::SessionInfo(_));
        let interrupted = async {
            match has_goodbyes {
                true => std::future::pending().await,
                false => tokio::signal::ctrl_c().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            outcome = self.subcommand.run(environment, out) => outcome,
            Ok(()) = interrupted => Ok(ExitCode::Interrupted),
        };
        out.flush()?;
        outcome
    }

    fn log_to_stderr(&self) {
        let level = match self.subcommand {
            _ if self.debug => Level::DEBUG,
            // each of its sessions would be told in the middle of its table
            Subcommand::Demo(_) => Level::WARN,
            // in the middle of its view
            Subcommand::SessionInfo(_) => Level::ERROR,
            _ => Level::INFO,
        };
        let log = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_max_level(level);
        // a second subscriber is refused: tests share one process
        let _already_set = if self.debug || self.is_session {
            log.with_target(self.debug).try_init()
        } else {
            log.without_time().with_target(false).try_init()
        };
    }
}

impl Subcommand {
    async fn run(self, environment: &Environment, out: &mut dyn Write) -> Result<ExitCode, Failure> {
        match self {
            Self::Attach(args) => attach::run(&args, environment).await,
            Self::ConnectTest(args) => query::run(&args, Request::ConnectTest, environment, out).await,
            Self::Control(args) => admin::control(&args, environment, out).await,
            Self::Demo(args) => demo::run(&args, environment.variable("DISPLAY"), out).await,
            Self::Detach(args) => admin::run(&args, Order::Detach, environment, out).await,
            Self::Diagnose(args) => diagnose::run(&args, environment, out).await,
            Self::Echo(args) => echo::run(&args).await,
            Self::Exit(args) => admin::run(&args, Order::Exit, environment, out).await,
            Self::Id(args) => query::run(&args, Request::Id, environment, out).await,
            Self::Info(args) => {
                let subsystems = args.subsystems.iter().map(Into::into).collect();
                query::run(&args.query, Request::Info { subsystems }, environment, out).await
            }
            Self::List(args) => {
                list::run(&args, environment, out).await?;
                Ok(ExitCode::Ok)
            }
            Self::ListMdns(args) => mdns::list(&args, environment, out).await,
            Self::Screenshot(args) => query::screenshot(&args, environment, out).await,
            Self::SessionInfo(args) => session_info::run(&args, environment, out).await,
            Self::Shadow(args) => shadow::run(&args, environment, signals::asked_to_end()).await,
            Self::Stop(args) => admin::run(&args, Order::Stop, environment, out).await,
            Self::Version(args) => query::run(&args, Request::Version, environment, out).await,
            Self::Wire(args) => {
                wire::run(args)?;
                Ok(ExitCode::Ok)
            }
            Self::InitEnv(_) => Ok(ExitCode::Ok),
            Self::Proxy(args) => proxy::run(&args, environment).await,
            Self::ProxyStart(_) => Ok(proxy::start("_proxy_start")),
        }
    }
}

/// The help text of the program, its subcommands in groups.
fn help(command: &clap::Command) -> String {
    let mut text = format!(
        "{}\n\nUsage: xpra-rs SUBCOMMAND [SESSION] [OPTIONS]\n",
        command.get_about().map(ToString::to_string).unwrap_or_default()
    );
    for (title, names) in GROUPS {
        let _infallible = writeln!(text, "\n{title}:");
        for subcommand in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = subcommand
                .get_about()
                .map(ToString::to_string)
                .unwrap_or_default();
            let _infallible = writeln!(text, "  {:13} {about}", subcommand.get_name());
        }
    }
    text.push_str(
        "\nOptions:\n  -d, --debug [CATEGORY]  Log what happens\n  -h, --help              Print help, of a subcommand \
         when it is given\n  -V, --version           Print the version of this program\n\n\
         A SESSION is a display (:10), a session's name, the path of a socket, or an address such as\n\
         tcp://HOST:PORT/. Options may stand anywhere; --option, --no-option and --option=yes|no are understood.\n",
    );
    text
}

/// Subcommands of xpra that users will try and that are not there yet.
const ABSENT: &[&str] = &[
    "start",
    "start-desktop",
    "seamless",
    "desktop",
    "monitor",
    "expand",
    "proxy",
    "upgrade",
    "list-sessions",
    "list-windows",
    "top",
    "print",
    "run",
    "showconfig",
];

/// A command line that makes no sense.
fn misuse(error: &clap::Error) -> Failure {
    let named = |kind| match error.get(kind) {
        Some(clap::error::ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let message = match (error.kind(), named(clap::error::ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(name)) if ABSENT.contains(&name) => {
            let message = format!(
                "'{name}' is not available yet: use xpra for it; `xpra-rs shadow` shares a display that exists, and \
                 `xpra-rs attach` shows the sessions of xpra"
            );
            return Failure::new(ExitCode::Unsupported, message);
        }
        (ErrorKind::InvalidSubcommand, Some(name)) => {
            let command = Cli::command();
            let hint = options::closest(name, command.get_subcommands().map(clap::Command::get_name));
            let hint = hint.map_or_else(String::new, |name| format!("\n did you mean `xpra-rs {name}`?"));
            format!("Invalid subcommand '{name}'{hint}\n\n{}", help(&command))
        }
        (ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, _) => {
            help(&Cli::command())
        }
        _ => error.render().to_string(),
    };
    let message = message.trim_end();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    Failure::new(ExitCode::ConnectionLost, message)
}
