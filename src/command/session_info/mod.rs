//! `session-info`: how a session is doing, over and over: a view in the terminal, lines of JSON, a picture of graphs.

#[cfg(test)]
mod tests;
mod view;
mod window;

use self::view::{Action, View};
pub(super) use self::window::InfoWindow;
use super::exit::{ExitCode, Failure};
use super::server::ConnectArgs;
use super::signals::asked_to_end;
use crate::codec::Value;
use crate::discovery::Environment;
use crate::session::Watch;
use crate::telemetry::{History, Sample, svg};
use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use ratatui::DefaultTerminal;
use std::fs::File;
use std::io::{self, IsTerminal, LineWriter, Write};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Samples that are kept for graphs.
const KEPT: usize = 3600;
/// Samples that may wait to be shown.
const WAITING: usize = 4;

/// Which session, how often, and where to.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SessionInfoArgs {
    /// Display (:10), session name, socket path or address (tcp://HOST:PORT/); default: the only session
    #[arg(default_value = "", hide_default_value = true)]
    session: String,
    /// Print a line of JSON for each sample, instead of the view
    #[arg(long)]
    json: bool,
    /// Write the lines of JSON to a file as well
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Write the graphs to a file, at the end
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Time between samples
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// End after that many samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Seconds with fractions; faster than twenty times a second is no use to anybody.
fn interval(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("write seconds, from 0.05 to 3600".to_owned()),
    }
}

/// Watches until the user has seen enough, or the server ends.
pub(super) async fn run(
    args: &SessionInfoArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let has_terminal = io::stdout().is_terminal()
        && io::stdin().is_terminal()
        && environment.variable("TERM") != Some("dumb");
    if !has_terminal && !args.json && args.record.is_none() && args.svg.is_none() {
        return Err(Failure::new(
            ExitCode::Unsupported,
            "there is no terminal to show the session in: use --json, --record=FILE or --svg=FILE",
        ));
    }
    let route = args.connect.route(&args.session, environment).await?;
    let name = match args.session.as_str() {
        "" => route.address.to_string(),
        named => named.to_owned(),
    };
    let uuid = format!("session-info-{}-{}", environment.hostname, environment.pid);
    let (answers, mut inbox) = mpsc::channel(WAITING);
    let (end, ended) = oneshot::channel();
    let mut end = Some(end);
    let watch = Watch {
        interval: args.interval,
        uuid: uuid.clone(),
        answers,
        end: ended,
    };
    let mut watching = std::pin::pin!(route.watch(watch));
    let has_colours = environment.variable("NO_COLOR").is_none();
    let mut book = Book::open(args, name, has_colours)?;
    let mut screen = None;
    let mut interrupted = std::pin::pin!(asked_to_end());
    let outcome = loop {
        tokio::select! {
            biased;
            Some((at, info)) = inbox.recv(), if end.is_some() => {
                let sample = understood(&info, at, &uuid)?;
                // logging in may have needed the terminal
                if screen.is_none() && has_terminal && !args.json {
                    screen = Some(Screen::open()?);
                }
                if book.take(sample, args.json.then_some(&mut *out))? {
                    end = None;
                }
                if let Some(screen) = &mut screen {
                    screen.draw(&mut book.view)?;
                }
            }
            event = Screen::event(&mut screen), if end.is_some() => {
                match book.view.handle(&event?) {
                    Action::Leave => end = None,
                    Action::Draw => if let Some(screen) = &mut screen {
                        screen.draw(&mut book.view)?;
                    },
                    Action::Nothing => {}
                }
            }
            () = &mut interrupted, if end.is_some() => end = None,
            outcome = &mut watching => break outcome,
        }
    };
    drop(screen);
    book.close()?;
    outcome?;
    Ok(ExitCode::Ok)
}

fn understood(info: &Value, at: Duration, uuid: &str) -> Result<Sample, Failure> {
    if let Some(error) = info.get("error").and_then(Value::as_text) {
        return Err(Failure::new(ExitCode::RemoteError, error.into_owned()));
    }
    if info.is_falsy() {
        let message = "the server sent no information: it may be forbidden there (info=no)";
        return Err(Failure::new(ExitCode::NoData, message));
    }
    Ok(Sample::read(info, at, uuid))
}

/// What was seen, and where it is written down.
struct Book {
    view: View,
    name: String,
    record: Option<LineWriter<File>>,
    svg: Option<PathBuf>,
    left: Option<u64>,
}

impl Book {
    fn open(args: &SessionInfoArgs, name: String, has_colours: bool) -> Result<Self, Failure> {
        let create = |path: &PathBuf| {
            File::create(path).map_err(|error| Failure::cannot_write(path.display(), &error))
        };
        let record = args.record.as_ref().map(create).transpose()?;
        // better now than after an hour
        args.svg.as_ref().map(create).transpose()?;
        Ok(Self {
            view: View::new(History::new(KEPT), has_colours),
            name,
            record: record.map(LineWriter::new),
            svg: args.svg.clone(),
            left: args.count,
        })
    }

    /// Takes a sample, and tells whether it was the last.
    fn take(&mut self, sample: Sample, out: Option<&mut (dyn Write + '_)>) -> Result<bool, Failure> {
        self.view.history.push(sample);
        let is_written = self.record.is_some() || out.is_some();
        if let Some(sample) = self.view.history.last().filter(|_| is_written) {
            let json = sample.to_json();
            if let Some(record) = &mut self.record {
                writeln!(record, "{json}")?;
            }
            if let Some(out) = out {
                writeln!(out, "{json}")?;
                out.flush()?;
            }
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(self.left == Some(0))
    }

    fn close(self) -> Result<(), Failure> {
        let Some(path) = &self.svg else {
            return Ok(());
        };
        let client = self.view.client().map(|client| client.id.clone());
        let title = match &client {
            Some(client) => format!("{}, client {client}", self.name),
            None => format!("{}, without a client", self.name),
        };
        let picture = svg(&self.view.history, &client.unwrap_or_default(), &title);
        std::fs::write(path, picture).map_err(|error| Failure::cannot_write(path.display(), &error))
    }
}

/// The terminal, for as long as it is ours.
struct Screen {
    terminal: DefaultTerminal,
    events: EventStream,
}

impl Screen {
    fn open() -> io::Result<Self> {
        Ok(Self {
            terminal: ratatui::try_init()?,
            events: EventStream::new(),
        })
    }

    fn draw(&mut self, view: &mut View) -> io::Result<()> {
        self.terminal.draw(|frame| view.draw(frame))?;
        Ok(())
    }

    /// What the user does; never anything without a screen.
    async fn event(screen: &mut Option<Self>) -> io::Result<Event> {
        match screen {
            Some(screen) => match screen.events.next().await {
                Some(event) => event,
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            },
            None => std::future::pending().await,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
