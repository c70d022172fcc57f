//! `diagnose`: where the latency of a path lives, in plain words, with the figures and what to do about it.

use super::exit::{ExitCode, Failure};
use super::options::boolean;
use super::server::ConnectArgs;
use crate::address::TransportKind;
use crate::discovery::Environment;
use crate::session::Diagnose;
use crate::telemetry::{Client, Diagnosis, Load, Measured, Rounds, Unit, judge};
use std::io::Write;

/// Which server, and how.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DiagnoseArgs {
    /// Display (:10), session name, socket path or address (tcp://HOST:PORT/); default: the only session
    #[arg(default_value = "", hide_default_value = true)]
    session: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Let the server fill the path for some seconds
    #[arg(long, value_name = "yes|no", default_value = "yes", value_parser = boolean, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "yes", require_equals = true)]
    load: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Parts of a picture's way that are shown of each client.
const PARTS: [(&str, &str); 6] = [
    ("picture latency", "picture-latency"),
    ("wait", "wait"),
    ("encode", "encode"),
    ("network queue", "network-queue"),
    ("propagation", "propagation"),
    ("decode", "decode"),
];

/// Measures, judges and prints. What is found is no failure: the exit code is that of the question.
pub(super) async fn run(
    args: &DiagnoseArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let route = args.connect.route(&args.session, environment).await?;
    let place = route.address.to_string();
    let kind = route.address.kind().unwrap_or(TransportKind::Socket);
    let how = Diagnose {
        uuid: format!("diagnose-{}-{}", environment.hostname, environment.pid),
        load: args.load,
    };
    let mut measured = route.diagnose(how).await?;
    measured.is_local = matches!(
        kind,
        TransportKind::Socket | TransportKind::NamedPipe | TransportKind::Vsock
    );
    let diagnosis = judge(&measured);
    if args.json {
        writeln!(out, "{:#}", diagnosis.to_json(&measured))?;
    } else {
        write!(out, "{}", text(&place, &measured, &diagnosis))?;
    }
    Ok(ExitCode::Ok)
}

/// The whole text: the verdict first, then the figures, then what is not known.
fn text(place: &str, measured: &Measured, diagnosis: &Diagnosis) -> String {
    let mut lines = vec![format!("{place}: {}", headline(diagnosis))];
    for finding in &diagnosis.findings {
        lines.push(String::new());
        lines.push(format!(
            "{} (about {})",
            finding.cause.title(),
            time(finding.milliseconds)
        ));
        lines.extend(finding.evidence.iter().map(|figure| format!("  - {figure}")));
        lines.push(format!("  What to do: {}.", finding.cause.remedy()));
    }
    lines.push(String::new());
    lines.push("Measured:".to_owned());
    lines.push(format!("  idle         {}", rounds(&measured.idle)));
    if let Some(load) = &measured.load {
        lines.extend(under_load(load, diagnosis));
    }
    let sample = measured.sample.iter();
    lines.extend(sample.flat_map(|sample| &sample.clients).map(client));
    if !measured.missing.is_empty() {
        lines.push(String::new());
        lines.push("Not known:".to_owned());
        lines.extend(measured.missing.iter().map(|what| format!("  - {what}")));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn headline(diagnosis: &Diagnosis) -> String {
    match (diagnosis.findings.as_slice(), diagnosis.grade) {
        ([], Some((_, grade))) => format!("a healthy path, grade {grade} under load"),
        ([], None) => "a healthy path, as far as it was measured".to_owned(),
        ([one], _) => format!("latency comes from {}", one.cause.name()),
        ([first, rest @ ..], _) => {
            let names: Vec<_> = rest.iter().map(|finding| finding.cause.name()).collect();
            format!(
                "latency comes from {} first, then {}",
                first.cause.name(),
                names.join(", ")
            )
        }
    }
}

/// Round trips of pings, and of TCP alone.
fn rounds(rounds: &Rounds) -> String {
    let pings = |share| rounds.percentile(share).map_or_else(|| "–".to_owned(), time);
    let mut text = format!(
        "round trip {} (50p), {} (90p), shortest {}; {} pings",
        pings(0.5),
        pings(0.9),
        rounds.least().map_or_else(|| "–".to_owned(), time),
        rounds.pings.len() + rounds.unanswered,
    );
    if rounds.unanswered > 0 {
        text.push_str(&format!(", {} unanswered", rounds.unanswered));
    }
    if let Some(kernel) = rounds.kernel_mean() {
        text.push_str(&format!("; TCP's own {}", time(kernel)));
    }
    text
}

fn under_load(load: &Load, diagnosis: &Diagnosis) -> Vec<String> {
    let rate = Unit::BytesPerSecond.show(load.bytes_per_second);
    let held = match load.limit {
        Some(limit) => format!(", no more than {} was offered", Unit::BytesPerSecond.show(limit)),
        None => String::new(),
    };
    let mut lines = vec![
        format!("  under load   {}", rounds(&load.rounds)),
        format!("               {rate} to this client{held}"),
    ];
    if let (Some((added, grade)), Some(rpm)) = (diagnosis.grade, diagnosis.rpm) {
        let added = time(added);
        lines.push(format!(
            "  bufferbloat  grade {grade} ({added} more than idle), {rpm:.0} round trips a minute (RPM)"
        ));
    }
    if let Some(sender) = load.sender {
        lines.push(format!(
            "  TCP there    round trip {}, shortest {}; {:.0} of about {:.0} segments sent again",
            time(sender.rtt),
            time(sender.min_rtt),
            sender.retransmits,
            sender.segments
        ));
    }
    lines
}

/// A line about the pictures of a client that uses the session.
fn client(client: &Client) -> String {
    let parts = PARTS.iter().filter_map(|(title, key)| {
        let spread = client.spread(key)?;
        let value = spread.get("50p").or_else(|| spread.get("avg"))?;
        Some(format!("{title} {}", time(value)))
    });
    let parts: Vec<_> = parts.collect();
    let told = match parts.is_empty() {
        true => "the server tells nothing of its pictures".to_owned(),
        false => parts.join(", "),
    };
    format!("  client {}     {told}", client.id)
}

fn time(milliseconds: f64) -> String {
    match milliseconds.is_finite() {
        true => Unit::Milliseconds.show(milliseconds),
        false => "more than could be waited for".to_owned(),
    }
}
