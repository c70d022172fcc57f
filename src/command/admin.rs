//! `stop`, `exit`, `detach` and `control`: tell servers what to do (`endpoints.md` i.4).

use super::exit::{ExitCode, Failure};
use super::info;
use super::server::ConnectArgs;
use crate::address::Target;
use crate::discovery::{DiscoveryError, Environment, Places, SessionState, probe_socket};
use crate::session::{Answer, Request, now};
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

/// How long a server that was told to end may take to do so.
const ENDING: Duration = Duration::from_secs(10);
/// The pause between two looks at it.
const POLL: Duration = Duration::from_millis(50);

/// Which servers to tell.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ServersArgs {
    /// Displays, session names, socket paths or addresses; "all" for all sessions of this user; default: the only
    /// session
    #[arg(value_name = "SESSION")]
    pub(super) sessions: Vec<String>,
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
}

/// What to tell which server.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ControlArgs {
    /// Display (:10), session name, socket path or address (tcp://HOST:PORT/)
    pub(super) session: String,
    /// The control command and its arguments; "help" lists what there is
    #[arg(
        required = true,
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(super) words: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
}

/// What servers may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Disconnect all clients.
    Detach,
    /// End, but leave the applications running.
    Exit,
    /// End, with the applications.
    Stop,
}

impl Order {
    const fn name(self) -> &'static str {
        match self {
            Self::Detach => "detach",
            Self::Exit => "exit",
            Self::Stop => "stop",
        }
    }

    const fn request(self) -> Request {
        match self {
            Self::Detach => Request::Detach,
            Self::Exit => Request::Exit,
            Self::Stop => Request::Stop,
        }
    }
}

/// Tells each server; when some could not be told, the others still are.
pub(super) async fn run(
    args: &ServersArgs,
    order: Order,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let places = args.connect.sockets.places(environment);
    let sessions = match args.sessions.as_slice() {
        [] => vec![String::new()],
        [all] if all == "all" => own_sessions(&places, environment).await?,
        sessions => sessions.to_vec(),
    };
    if sessions.is_empty() {
        writeln!(out, "No xpra sessions found")?;
        return Ok(ExitCode::ConnectionLost);
    }
    if sessions.len() > 1 {
        writeln!(out, "Trying to {} {} displays:", order.name(), sessions.len())?;
        writeln!(out, " {}", sessions.join(", "))?;
    }
    let mut code = ExitCode::Ok;
    let mut sessions = sessions.iter().peekable();
    while let Some(session) = sessions.next() {
        match tell(session, order, &args.connect, environment, out).await {
            Ok(()) => {}
            Err(failure) if sessions.peek().is_none() && code == ExitCode::Ok => return Err(failure),
            Err(failure) => {
                tracing::error!("{failure}");
                code = failure.code;
            }
        }
    }
    Ok(code)
}

/// The displays of this user's live sessions.
async fn own_sessions(places: &Places, environment: &Environment) -> Result<Vec<String>, DiscoveryError> {
    let mut displays = Vec::new();
    for (session, state) in places.sessions_and_states().await? {
        let mine = session.id.uid == environment.uid && state == SessionState::Live;
        if mine && !displays.contains(&session.display) {
            displays.push(session.display);
        }
    }
    Ok(displays)
}

async fn tell(
    session: &str,
    order: Order,
    connect: &ConnectArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let route = connect.route(session, environment).await?;
    let address = route.address.clone();
    let answer = route.ask(&order.request()).await?;
    if let Answer::Goodbye { reason, details } = answer
        && !reason.is_empty()
    {
        eprintln!("server requested disconnect:\n {}", info::line(&reason));
        details
            .iter()
            .for_each(|detail| eprintln!(" {}", info::line(detail)));
    }
    match (order, &address.target) {
        (Order::Detach, _) => Ok(()),
        (_, Target::Socket(path)) => {
            let named = match session {
                "" => address.to_string(),
                session => session.to_owned(),
            };
            Ok(writeln!(out, "{}", fate(&named, path).await)?)
        }
        _ => Ok(writeln!(out, "Sent {} command", order.name())?),
    }
}

/// What became of a server that was told to end.
async fn fate(named: &str, socket: &Path) -> String {
    let start = now();
    let mut state = SessionState::Live;
    while now() - start < ENDING {
        // looking at the file first spares a server that is busy ending the connections
        if !socket.exists() {
            state = SessionState::Dead;
        } else if now() - start > ENDING / 2 {
            state = probe_socket(socket, ENDING / 10).await;
        }
        if state == SessionState::Dead {
            return format!("xpra at {named} has exited.");
        }
        sleep(POLL).await;
    }
    match state {
        SessionState::Live => format!("Failed to shutdown xpra at {named}"),
        _ => format!("xpra at {named} does not answer any more, but its socket is still there"),
    }
}

/// Runs a control command on the server.
pub(super) async fn control(
    args: &ControlArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let words = args.words.iter().map(Into::into).collect();
    let route = args.connect.route(&args.session, environment).await?;
    let answer = route.ask(&Request::Control(words)).await?;
    let Answer::Command { code, text } = answer else {
        return Err(Failure::new(
            ExitCode::Unsupported,
            "the server did not answer the command",
        ));
    };
    if args.json {
        writeln!(out, "{:#}", json!({"code": code, "text": text}))?;
    }
    let lines: Vec<_> = text.lines().map(info::line).collect();
    let text = lines.join("\n");
    if code != 0 {
        let message = format!("server returned error code {code}\n {text}");
        return Err(Failure::new(ExitCode::RemoteError, message));
    }
    if !args.json {
        writeln!(out, "{text}")?;
    }
    Ok(ExitCode::Ok)
}
