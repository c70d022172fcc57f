//! `version`, `id`, `info`, `connect-test` and `screenshot`: a question to a server, its answer on standard output.

use super::exit::{ExitCode, Failure};
use super::info;
use super::server::ConnectArgs;
use crate::codec::Value;
use crate::discovery::Environment;
use crate::session::{Answer, Request};
use serde_json::json;
use std::io::Write;

/// Which server to ask, and how to print what it says.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct QueryArgs {
    /// Display (:10), session name, socket path or address (tcp://HOST:PORT/); default: the only session
    #[arg(default_value = "", hide_default_value = true)]
    pub(super) session: String,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
}

/// What `info` should tell.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct InfoArgs {
    #[command(flatten)]
    pub(super) query: QueryArgs,
    /// Only these parts (servers of xpra 6 and newer)
    pub(super) subsystems: Vec<String>,
}

/// Where the picture goes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ScreenshotArgs {
    /// The file to write, or - for standard output
    pub(super) file: String,
    #[command(flatten)]
    pub(super) query: QueryArgs,
}

/// Asks and prints the answer.
pub(super) async fn run(
    args: &QueryArgs,
    request: Request,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    match asked(args, &request, environment).await? {
        Answer::Connected if args.json => print_json(&json!({"connected": true}), out),
        Answer::Id(id) if args.json => print_json(&info::to_json(&id), out),
        Answer::Id(id) => print_id(&id, out),
        Answer::Info(tree) if tree.is_falsy() => Err(Failure::new(
            ExitCode::NoData,
            "the server sent no information: it may be forbidden there (info=no)",
        )),
        Answer::Info(tree) if args.json => print_json(&info::to_json(&tree), out),
        Answer::Info(tree) => info::print(&tree, out).map_err(Failure::from),
        Answer::Version(version) if args.json => print_json(&json!({"version": version}), out),
        Answer::Version(version) => writeln!(out, "{}", info::line(&version)).map_err(Failure::from),
        // the other answers belong to other requests
        _ => Ok(()),
    }?;
    Ok(ExitCode::Ok)
}

/// Saves the picture the server answers with.
pub(super) async fn screenshot(
    args: &ScreenshotArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let answer = asked(&args.query, &Request::Screenshot, environment).await?;
    let Answer::Screenshot { size, encoding, data } = answer else {
        return Err(Failure::new(ExitCode::Failure, "the server sent no picture"));
    };
    let saved = !data.is_empty();
    if args.file == "-" {
        out.write_all(&data)?;
        out.flush()?;
    } else if saved {
        std::fs::write(&args.file, &data).map_err(|error| Failure::cannot_write(&args.file, &error))?;
    }
    if args.query.json && args.file != "-" {
        let facts = json!({
            "width": size.w, "height": size.h, "encoding": encoding.as_str(),
            "bytes": data.len(), "file": saved.then_some(&args.file),
        });
        print_json(&facts, out)?;
    } else if saved {
        eprintln!("screenshot {size} saved to: {}", args.file);
    } else {
        eprintln!(
            "screenshot is empty and has not been saved (maybe there are no windows or they are not currently shown)"
        );
    }
    Ok(ExitCode::Ok)
}

async fn asked(args: &QueryArgs, request: &Request, environment: &Environment) -> Result<Answer, Failure> {
    args.connect
        .route(&args.session, environment)
        .await?
        .ask(request)
        .await
}

fn print_json(json: &serde_json::Value, out: &mut dyn Write) -> Result<(), Failure> {
    Ok(writeln!(out, "{json:#}")?)
}

/// Versions are lists of numbers here, printed as versions.
fn print_id(id: &Value, out: &mut dyn Write) -> Result<(), Failure> {
    for (key, value) in info::flatten(id) {
        let version = value.as_list().filter(|_| key.ends_with("version"));
        match version {
            Some(numbers) => {
                let numbers: Vec<_> = numbers.iter().map(info::text).collect();
                writeln!(out, "{key}={}", numbers.join("."))?;
            }
            None => writeln!(out, "{key}={}", info::text(value))?,
        }
    }
    Ok(())
}
