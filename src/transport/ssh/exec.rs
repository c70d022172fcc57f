//! What SSH clients ask an xpra server to run (`endpoints.md` e.1, e.6). Nothing is ever run: the one command that
//! means something is recognised, the questions that clients ask before it are answered, the rest is refused.

use super::remote::{MARKER, split_words};

/// Longer commands are nobody's.
const MAX_COMMAND: usize = 16 << 10;

/// What to do about a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Begin the protocol, after these words.
    Proxy(String),
    /// Print this, and end with this status.
    Reply(String, u32),
    /// Say that it is refused, and why.
    Refuse(&'static str),
}

const UNKNOWN: &str = "this is an xpra server: it runs no commands";
const STARTS_NOTHING: &str = "this server starts no sessions: leave out what to start, and attach";

/// What to do about `command`.
pub(super) fn answer(command: &[u8]) -> Answer {
    let text = std::str::from_utf8(command)
        .ok()
        .filter(|text| text.len() <= MAX_COMMAND);
    let Some((text, words)) = text.and_then(|text| Some((text, split_words(text)?))) else {
        return Answer::Refuse(UNKNOWN);
    };
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["command"] => Answer::Reply(String::new(), 0),
        ["command", "-v", program] | ["which" | "type", program] => which(program),
        ["echo", words @ ..] => Answer::Reply(echo(words), 0),
        ["sh", "-c", script] => ladder(script),
        [program, subcommand, ..] if is_xpra(program) => invoked(subcommand, ""),
        _ if text.contains("then ") => ladder(text),
        _ => Answer::Refuse(UNKNOWN),
    }
}

/// The branches of a script that looks for xpra in several places: the first that says what to run, says it for all.
fn ladder(script: &str) -> Answer {
    let greeting = if script.contains(MARKER) { MARKER } else { "" };
    let branches = script
        .split("then ")
        .skip(1)
        .filter_map(|branch| branch.split(';').next());
    let invocations = branches.filter_map(|branch| {
        let words = split_words(branch)?;
        let (program, subcommand) = (words.first()?, words.get(1)?);
        is_xpra(program).then(|| invoked(subcommand, greeting))
    });
    invocations.into_iter().next().unwrap_or(Answer::Refuse(UNKNOWN))
}

fn invoked(subcommand: &str, greeting: &str) -> Answer {
    match subcommand.trim_end_matches(';') {
        "_proxy" => Answer::Proxy(greeting.to_owned()),
        "initenv" => Answer::Reply(String::new(), 0),
        start if start.starts_with("_proxy_") => Answer::Refuse(STARTS_NOTHING),
        _ => Answer::Refuse(UNKNOWN),
    }
}

fn is_xpra(program: &str) -> bool {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
    matches!(name, "xpra" | "run-xpra" | "xpra-rs" | "Xpra_cmd.exe")
}

/// Only the usual name is where it should be.
fn which(program: &str) -> Answer {
    if matches!(program, "xpra" | "xpra-rs") {
        Answer::Reply(format!("{program}\n"), 0)
    } else {
        Answer::Reply(String::new(), 1)
    }
}

/// As a shell of this system would, as far as clients want to know: which system it is.
fn echo(words: &[&str]) -> String {
    let words = words.iter().map(|word| match *word {
        "$OSTYPE" => "linux-gnu",
        variable if variable.starts_with('$') => "",
        word => word,
    });
    words.collect::<Vec<_>>().join(" ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::{SshOptions, remote};
    use super::*;

    #[test]
    fn every_way_to_ask_for_the_proxy() {
        let proxy = Answer::Proxy(String::new());
        for command in [
            "xpra _proxy",
            "\"xpra\" _proxy :7",
            "/usr/bin/xpra _proxy \":7\" --socket-dir=/x",
            "xpra-rs _proxy",
            "sh -c 'xpra initenv;if [ -x $XDG_RUNTIME_DIR/xpra/run-xpra ]; then $XDG_RUNTIME_DIR/xpra/run-xpra _proxy \":7\";\
             elif which \"xpra\" > /dev/null 2>&1; then xpra _proxy \":7\";else echo \"no run-xpra command found\"; exit 1; fi'",
            "if command -v \"xpra\"; then xpra _proxy; fi",
        ] {
            assert_eq!(answer(command.as_bytes()), proxy, "{command}");
        }
        let ours = remote::command("it's", &SshOptions::default());
        assert_eq!(answer(ours.as_bytes()), Answer::Proxy(MARKER.to_owned()));
    }

    #[test]
    fn questions_are_answered() {
        let reply = |text: &str, status| Answer::Reply(text.to_owned(), status);
        for (command, expected) in [
            ("command", reply("", 0)),
            ("command -v \"xpra\"", reply("xpra\n", 0)),
            ("which xpra", reply("xpra\n", 0)),
            ("type $XDG_RUNTIME_DIR/xpra/run-xpra", reply("", 1)),
            ("echo %OS%", reply("%OS%\n", 0)),
            ("echo $OSTYPE", reply("linux-gnu\n", 0)),
            ("echo $HOME x", reply(" x\n", 0)),
            ("xpra initenv", reply("", 0)),
        ] {
            assert_eq!(answer(command.as_bytes()), expected, "{command}");
        }
    }

    #[test]
    fn the_rest_is_refused() {
        for command in [
            "",
            "ls",
            "sh -c 'rm -rf /'",
            "xpra",
            "xpra stop",
            "sh",
            "/bin/sh -i",
            "evil-xpra _proxy",
            "xpra _proxy 'open",
            "if true; then rm _proxy; fi",
            "sh -c 'if true; then xpra list; fi'",
        ] {
            assert_eq!(answer(command.as_bytes()), Answer::Refuse(UNKNOWN), "{command}");
        }
        assert_eq!(answer(b"xpra _proxy_start :7"), Answer::Refuse(STARTS_NOTHING));
        assert_eq!(answer(b"\xff\xfe"), Answer::Refuse(UNKNOWN));
        assert_eq!(answer(&vec![b'x'; MAX_COMMAND + 1]), Answer::Refuse(UNKNOWN));
    }
}
