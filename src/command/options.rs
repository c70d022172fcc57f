//! xpra's habits of writing options, turned into the one way clap reads them (`endpoints.md` j).
//!
//! Options may stand anywhere, also before the subcommand. Those of other subcommands are ignored. Options which
//! were switches once may be written `--opt` and `--no-opt` for `--opt=yes` and `--opt=no`. Options of xpra that
//! nothing here reads yet are ignored with a warning, or refused when that would not be what was asked for.

mod known;

use self::known::{Fallback, KNOWN, Kind};
use super::config::Settings;
use super::exit::{ExitCode, Failure};
use super::session_file::{SessionFile, is_session_file};
pub(super) use crate::address::closest;
use clap::{Arg, ArgAction, Command};
use std::ffi::OsString;
use std::path::Path;

/// Arguments as clap reads them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Normalized {
    /// Program, subcommand, its arguments, its options, and what is to be taken as it stands.
    pub(super) words: Vec<OsString>,
    /// Options that ask for something which is not available, as they were written.
    pub(super) ignored: Vec<String>,
    /// What is to be told about configuration and session files.
    pub(super) warnings: Vec<String>,
}

/// The truth in the value of a switch: `yes` or `no`, and what else xpra takes for them.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" | "on" => Ok(true),
        "no" | "false" | "0" | "off" => Ok(false),
        _ => Err("write yes or no".to_owned()),
    }
}

/// A number in lower case without the `k`, `m` or `g` at its end, and what that multiplies it by.
pub(super) fn scaled(number: &str) -> (&str, u64) {
    for (letter, factor) in [('k', 1_000), ('m', 1_000_000), ('g', 1_000_000_000)] {
        if let Some(digits) = number.strip_suffix(letter) {
            return (digits, factor);
        }
    }
    (number, 1)
}

/// Puts the arguments in order, with what `settings` say and they do not before them.
pub(super) fn normalize(
    arguments: impl IntoIterator<Item = OsString>,
    settings: &Settings,
    program: &Command,
) -> Result<Normalized, Failure> {
    let mut words = arguments.into_iter();
    let mut normalized = Normalized::default();
    let name = words.next().unwrap_or_else(|| program.get_name().into());
    let mut positionals: Vec<OsString> = Vec::new();
    let mut options: Vec<(String, Option<String>)> = Vec::new();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let next = words.peek().and_then(|next| next.to_str());
        match word.to_str() {
            Some("--") => {
                positionals.push(word);
                positionals.extend(words);
                break;
            }
            Some("-d" | "--debug") => {
                options.push(("debug".to_owned(), None));
                if next.is_some_and(|next| is_category(next, program)) {
                    words.next();
                }
            }
            Some(debug) if debug.starts_with("--debug=") => options.push(("debug".to_owned(), None)),
            Some("-z") => {
                words.next();
            }
            Some(level) if level.starts_with("-z") => {}
            Some("-h") => options.push(("help".to_owned(), None)),
            Some("-V") => options.push(("version".to_owned(), None)),
            Some(long) if long.starts_with("--") => {
                let option = Written::read(long, next, program)?;
                if option.took_next {
                    words.next();
                }
                match option.meaning {
                    Meaning::Ours => options.push((option.name, option.value)),
                    Meaning::Absent => normalized.ignored.push(long.to_owned()),
                    Meaning::AlreadySo => {}
                }
            }
            _ => positionals.push(word),
        }
        // what follows a control command is the command's
        if verbatim(&positionals).is_some() {
            positionals.extend(words);
            break;
        }
    }
    let options = with_files(
        settings,
        &mut positionals,
        options,
        &mut normalized.warnings,
        program,
    )?;
    let subcommand = positionals.first().and_then(|word| word.to_str());
    let (before, after) = placed(options, subcommand, program)?;
    let end = positionals
        .iter()
        .position(|word| word == "--")
        .unwrap_or(positionals.len());
    let verbatim = positionals.split_off(verbatim(&positionals).unwrap_or(end));
    normalized.words = [name]
        .into_iter()
        .chain(before)
        .chain(positionals)
        .chain(after)
        .chain(verbatim)
        .collect();
    Ok(normalized)
}

/// The options with those of configuration files, and of the session file that `attach` may be given, before them. The
/// session file's place among the positionals is taken by the address in it.
fn with_files(
    settings: &Settings,
    positionals: &mut Vec<OsString>,
    options: Vec<(String, Option<String>)>,
    warnings: &mut Vec<String>,
    program: &Command,
) -> Result<Vec<(String, Option<String>)>, Failure> {
    if positionals.first().is_some_and(is_session_file) {
        positionals.insert(0, "attach".into());
    }
    let Some(subcommand) = positionals
        .first()
        .and_then(|word| word.to_str())
        .map(str::to_owned)
    else {
        return Ok(options);
    };
    let mut settings = settings.clone();
    if subcommand == "attach"
        && let Some(word) = positionals.get_mut(1).filter(|word| is_session_file(word))
    {
        let file = SessionFile::read(Path::new(word))?;
        *word = file.address.into();
        settings.replace_by(file.options);
        settings.warnings.extend(file.warnings);
    }
    let defaults = settings.options(&subcommand, &options, program)?;
    warnings.extend(defaults.warnings);
    Ok(defaults.options.into_iter().chain(options).collect())
}

/// Where words begin that are not looked into: `control SESSION COMMAND ...`, and what an SSH client wants started.
fn verbatim(positionals: &[OsString]) -> Option<usize> {
    let first = positionals.first()?.to_str()?;
    if first == "control" {
        (positionals.len() > 2).then_some(2)
    } else {
        (first == "initenv" || first.starts_with("_proxy_")).then_some(1)
    }
}

/// The options of the program itself, and those of the subcommand. Those of other subcommands are dropped, as xpra
/// does, unless this one should read them but does not.
fn placed(
    options: Vec<(String, Option<String>)>,
    subcommand: Option<&str>,
    program: &Command,
) -> Result<(Vec<OsString>, Vec<OsString>), Failure> {
    let command = subcommand.and_then(|name| program.find_subcommand(name));
    let is_session = subcommand.is_some_and(|name| SESSIONS.contains(&name));
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (name, value) in options {
        let word = match &value {
            Some(value) => format!("--{name}={value}").into(),
            None => format!("--{name}").into(),
        };
        let known = KNOWN.iter().find(|known| known.names.contains(&name.as_str()));
        let must_be_read = is_session && known.is_some_and(|known| known.fallback == Fallback::Refuse);
        if matches!(name.as_str(), "debug" | "version") || command.is_none() {
            before.push(word);
        } else if name == "help" || command.is_some_and(|command| find_argument(command, &name).is_some()) {
            after.push(word);
        } else if must_be_read && !value.as_deref().is_some_and(is_default) {
            return Err(refused(&name));
        }
    }
    Ok((before, after))
}

/// Subcommands that go on until somebody ends them: there it matters who may do what.
pub(super) const SESSIONS: &[&str] = &["attach", "shadow"];

fn refused(name: &str) -> Failure {
    let message = format!("option '--{name}' is not supported yet, and cannot be ignored: leave it out");
    Failure::new(ExitCode::Unsupported, message)
}

/// One option as the user wrote it.
struct Written {
    name: String,
    value: Option<String>,
    took_next: bool,
    meaning: Meaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// It asks for something we never do.
    Absent,
    /// It asks for what we do anyway.
    AlreadySo,
    /// Something here reads it.
    Ours,
}

impl Written {
    fn read(word: &str, next: Option<&str>, program: &Command) -> Result<Self, Failure> {
        let text = word.trim_start_matches('-');
        let (written, given) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let (name, negated) = match (find(written, program), written.strip_prefix("no-")) {
            (None, Some(positive)) if find(positive, program).is_some() => (positive, true),
            _ => (written, false),
        };
        let Some((kind, fallback)) = find(name, program) else {
            return Err(unknown(written, program));
        };
        let mut took_next = false;
        let mut value = match (given, kind) {
            _ if negated => Some("no"),
            (Some(value), _) => Some(value),
            (None, Kind::Flag) => None,
            (None, Kind::Switch) => {
                let spelled = next.filter(|next| is_switch_word(next));
                took_next = spelled.is_some();
                spelled.or(Some("yes"))
            }
            (None, Kind::Value) => {
                took_next = true;
                let missing = || {
                    Failure::new(
                        ExitCode::ConnectionLost,
                        format!("option '--{name}' needs a value"),
                    )
                };
                Some(next.ok_or_else(missing)?)
            }
        };
        let meaning = match fallback {
            None if kind == Kind::Flag && value.is_some_and(is_off) => Meaning::AlreadySo,
            None => Meaning::Ours,
            Some(_) if value.is_some_and(is_default) => Meaning::AlreadySo,
            Some(Fallback::Ignore) => Meaning::Absent,
            Some(Fallback::Refuse) => return Err(refused(name)),
        };
        if kind == Kind::Flag {
            value = None;
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            took_next,
            meaning,
        })
    }
}

/// What an option takes, and what to do about it when nothing here reads it.
fn find(name: &str, program: &Command) -> Option<(Kind, Option<Fallback>)> {
    if matches!(name, "help" | "version") {
        return Some((Kind::Flag, None));
    }
    let known = KNOWN.iter().find(|known| known.names.contains(&name));
    let was_switch = known.is_some_and(|known| known.kind == Kind::Switch);
    match find_argument(program, name) {
        Some(argument) if matches!(argument.get_action(), ArgAction::Set | ArgAction::Append) => {
            let optional = argument.get_num_args().is_some_and(|n| n.min_values() == 0);
            let kind = if optional || was_switch {
                Kind::Switch
            } else {
                Kind::Value
            };
            Some((kind, None))
        }
        Some(_) => Some((Kind::Flag, None)),
        None => known.map(|known| (known.kind, Some(known.fallback))),
    }
}

/// The argument of a command or of one of its subcommands with that long name.
pub(super) fn find_argument<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let own = command.get_arguments().find(|argument| {
        argument.get_long() == Some(name) || argument.get_all_aliases().is_some_and(|all| all.contains(&name))
    });
    own.or_else(|| {
        command
            .get_subcommands()
            .find_map(|command| find_argument(command, name))
    })
}

/// A log category, which may follow `-d`.
fn is_category(word: &str, program: &Command) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ",-_".contains(c);
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(plain)
        && program.find_subcommand(word).is_none()
}

/// A value that cannot be meant as a display.
fn is_switch_word(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    matches!(
        word.as_str(),
        "yes" | "no" | "true" | "false" | "on" | "off" | "auto"
    )
}

fn is_off(value: &str) -> bool {
    value.is_empty() || value.eq_ignore_ascii_case("none") || boolean(value) == Ok(false)
}

/// What happens without the option as well: it is off, or ours to choose.
pub(super) fn is_default(value: &str) -> bool {
    is_off(value) || value == "auto"
}

fn unknown(name: &str, program: &Command) -> Failure {
    let mut names: Vec<_> = KNOWN.iter().flat_map(|known| known.names).copied().collect();
    collect_names(program, &mut names);
    let hint = closest(name, names).map_or_else(
        || "see --help".to_owned(),
        |other| format!("did you mean '--{other}'?"),
    );
    Failure::new(
        ExitCode::ConnectionLost,
        format!("unknown option '--{name}': {hint}"),
    )
}

fn collect_names<'a>(command: &'a Command, names: &mut Vec<&'a str>) {
    names.extend(command.get_arguments().filter_map(Arg::get_long));
    for subcommand in command.get_subcommands() {
        collect_names(subcommand, names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    fn program() -> Command {
        let value = |name: &'static str| Arg::new(name).long(name);
        let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
        let sockets = [
            value("socket-dir"),
            value("socket-dirs").action(ArgAction::Append),
        ];
        Command::new("xpra-rs")
            .subcommand(
                Command::new("attach")
                    .args([value("mmap"), value("title"), value("readonly")])
                    .args(sockets.clone()),
            )
            .subcommand(Command::new("shadow"))
            .subcommand(Command::new("control").args(sockets.clone()).arg(flag("json")))
            .subcommand(Command::new("version").args(sockets).arg(flag("json")))
    }

    fn normalized(line: &str) -> Result<Normalized, Failure> {
        normalize(
            line.split_whitespace().map(OsString::from),
            &Settings::default(),
            &program(),
        )
    }

    fn words(line: &str) -> String {
        let words = normalized(line).unwrap().words;
        words.join(std::ffi::OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn options_may_stand_anywhere() {
        for (line, expected) in [
            ("x version :1", "x version :1"),
            (
                "x --socket-dir=/a version :1 --json",
                "x version :1 --socket-dir=/a --json",
            ),
            ("x --socket-dir /a version :1", "x version :1 --socket-dir=/a"),
            (
                "x version :1 --socket-dirs /a --socket-dirs=/b",
                "x version :1 --socket-dirs=/a --socket-dirs=/b",
            ),
            ("x version -- --json", "x version -- --json"),
            ("x version --help", "x version --help"),
            ("x -h", "x --help"),
            ("x version -V", "x --version version"),
            ("x version -", "x version -"),
            ("x", "x"),
        ] {
            assert_eq!(words(line), expected);
        }
    }

    #[test]
    fn switches_have_a_positive_and_a_negative_form() {
        for (line, expected) in [
            ("x attach --mmap :1", "x attach :1 --mmap=yes"),
            ("x attach --mmap no :1", "x attach :1 --mmap=no"),
            ("x attach --mmap 1", "x attach 1 --mmap=yes"),
            ("x attach --no-mmap :1", "x attach :1 --mmap=no"),
            ("x version --no-json", "x version"),
            ("x version --json=No", "x version"),
            ("x version --json=1", "x version --json"),
            ("x attach --title no :1", "x attach :1 --title=no"),
        ] {
            assert_eq!(words(line), expected);
        }
    }

    #[test]
    fn options_of_other_subcommands_are_dropped() {
        assert_eq!(words("x version --mmap=yes --title x :1"), "x version :1");
    }

    #[test]
    fn what_is_missing_is_honoured_ignored_or_refused() {
        let quiet = "x version --mdns=no --pulseaudio=no --no-speaker --daemon=FALSE --html=off --opengl=auto \
                     --dbus-launch= --start-via-proxy=no --ssl=auto --sharing=no --idle-timeout=0 -z 5 -z0";
        assert_eq!(normalized(quiet).unwrap().ignored, [""; 0]);
        assert_eq!(words(quiet), "x version");
        let loud = normalized("x version --speaker --no-mdns --tray=yes --quality 80 :1").unwrap();
        assert_eq!(loud.ignored, ["--speaker", "--tray=yes", "--quality"]);
        assert_eq!(loud.words, ["x", "version", ":1"]);
        assert_eq!(words("x version --readonly"), "x version");
        assert_eq!(words("x shadow --readonly=no --lock=auto"), "x shadow");
        assert_eq!(
            normalized("x shadow --readonly").unwrap_err().code,
            ExitCode::Unsupported
        );
        for refused in [
            "--auth=file",
            "--tcp-auth env",
            "--encryption=AES",
            "--ssl-cert=x",
            "--exit-with-client",
            "--start=xterm",
        ] {
            let failure = normalized(&format!("x version {refused}")).unwrap_err();
            assert_eq!(failure.code, ExitCode::Unsupported, "{refused}");
        }
    }

    #[test]
    fn unknown_options_are_named_with_the_closest_known() {
        let failure = normalized("x version --soket-dir=/a").unwrap_err();
        assert_eq!(
            failure.message,
            "unknown option '--soket-dir': did you mean '--socket-dir'?"
        );
        assert_eq!(failure.code, ExitCode::ConnectionLost);
        let failure = normalized("x version --gibberish").unwrap_err();
        assert_eq!(failure.message, "unknown option '--gibberish': see --help");
        assert!(
            normalized("x version --socket-dir")
                .unwrap_err()
                .message
                .contains("needs a value")
        );
    }

    #[test]
    fn debug_takes_categories_but_nothing_else() {
        for (line, expected) in [
            ("x -d version :1", "x --debug version :1"),
            ("x -d all version :1", "x --debug version :1"),
            ("x version -d network,x11 :1", "x --debug version :1"),
            ("x version --debug :1", "x --debug version :1"),
            ("x version --debug=all :1", "x --debug version :1"),
        ] {
            assert_eq!(words(line), expected);
        }
    }

    #[test]
    fn control_commands_are_left_alone() {
        assert_eq!(
            words("x control --json :1 start --bogus xterm -d"),
            "x control :1 --json start --bogus xterm -d"
        );
    }

    #[test]
    fn booleans() {
        for (text, truth) in [
            ("YES", true),
            ("on", true),
            ("1", true),
            ("False", false),
            ("off", false),
        ] {
            assert_eq!(boolean(text), Ok(truth));
        }
        assert!(boolean("maybe").is_err());
    }

    #[test]
    fn every_known_option_is_known_once() {
        let mut names: Vec<_> = KNOWN.iter().flat_map(|known| known.names).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
