//! What is run on the other machine, and words as shells split and quote them (`endpoints.md` e.1).
//!
//! The command passes through two shells: the user's login shell, which sees one quoted argument of `sh -c`, and that
//! `sh`. What comes from an address is quoted for both: addresses may be someone else's.

use super::SshOptions;

/// What the remote shell prints on standard output before it starts the proxy: where noise of login scripts ends.
pub(super) const MARKER: &str = "xpra-proxy-starts";

/// The exit status that says none of the candidates is there.
pub(super) const NOT_FOUND: i32 = 127;

/// What to look for on the other machine, best first. Ours is a copying loop that starts at once, so it comes before
/// the interpreter of xpra; they lead to the same sockets.
const CANDIDATES: [&str; 7] = [
    "xpra-rs",
    "xpra",
    "$XDG_RUNTIME_DIR/xpra/run-xpra",
    "/usr/local/bin/xpra",
    "~/.xpra/run-xpra",
    "/usr/local/bin/xpra-rs",
    "~/.cargo/bin/xpra-rs",
];

/// The command for the session that `path` of an address names.
///
/// Servers that only act as if they had a shell look for `then PROGRAM _proxy DISPLAY;`, and for tests that begin with
/// the name of the tool: the marker is printed as part of the test.
pub(super) fn command(path: &str, options: &SshOptions) -> String {
    let mut arguments = vec!["_proxy".to_owned()];
    if !path.is_empty() {
        arguments.push(double_quoted(&display(path)));
    }
    if let Some(directory) = &options.remote_socket_dir {
        arguments.push(double_quoted(&format!("--socket-dir={directory}")));
    }
    let arguments = arguments.join(" ");
    let usual = || CANDIDATES.map(str::to_owned).into();
    let candidates: Vec<String> = if options.remote_xpra.is_empty() {
        usual()
    } else {
        options.remote_xpra.clone()
    };
    let mut script = String::new();
    for candidate in &candidates {
        let word = program(candidate);
        let test = if candidate.contains('/') {
            format!("[ -x {word} ]")
        } else {
            format!(
                "command -v \"{candidate}\" > /dev/null 2>&1",
                candidate = escaped(candidate)
            )
        };
        let keyword = if script.is_empty() { "if" } else { "elif" };
        script.push_str(&format!(
            "{keyword} {test} && echo {MARKER}; then {word} {arguments}; "
        ));
    }
    script.push_str(&format!(
        "else echo \"no xpra command found\" >&2; exit {NOT_FOUND}; fi"
    ));
    format!("sh -c {}", single_quoted(&script))
}

/// Displays get the colon that older proxies want.
fn display(path: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if path.split('.').all(is_number) {
        format!(":{path}")
    } else {
        path.to_owned()
    }
}

/// A program as a word of a script: variables and `~` are meant.
fn program(candidate: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+~".contains(c);
    if candidate.chars().all(plain) {
        candidate.to_owned()
    } else {
        let quoted = double_quoted(candidate);
        // `"\$HOME/x"` back to `"$HOME/x"`: who names a program may name a variable in it
        quoted.replace("\\$", "$")
    }
}

/// As it stands between double quotes, quotes included.
fn double_quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars().filter(|c| !c.is_control()) {
        if "\\\"$`".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// One word of any shell.
pub(super) fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The words of a command line, by the rules of `sh`: quotes and backslashes. `None` when a quote is left open.
pub(super) fn split_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(characters.next()),
            (Some('"'), '\\') => {
                let next = characters.next()?;
                let word = word.get_or_insert_default();
                if !"\\\"$`".contains(next) {
                    word.push('\\');
                }
                word.push(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// A line that may come from anywhere, for a terminal.
pub(super) fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim().chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_like_a_shell_does() {
        let words = |text| split_words(text).unwrap();
        assert_eq!(words("ssh -x  -o 'A B' "), ["ssh", "-x", "-o", "A B"]);
        assert_eq!(words(r#"a"b c"'d' \ e "" "\"\q""#), ["ab cd", " e", "", r#""\q"#]);
        assert_eq!(words(""), [""; 0]);
        assert_eq!(split_words("a 'b"), None);
        assert_eq!(split_words("a \"b\\"), None);
        let nasty = "it's \"$HOME\" `x` \\";
        assert_eq!(words(&format!("a {}", single_quoted(nasty))), ["a", nasty]);
    }

    #[test]
    fn the_command_is_one_argument_that_old_servers_recognise() {
        let command = command("7", &SshOptions::default());
        let words = split_words(&command).unwrap();
        assert_eq!(words.get(..2).unwrap(), ["sh", "-c"]);
        let script = words.get(2).unwrap();
        assert!(script.starts_with("if command -v \"xpra-rs\" > /dev/null 2>&1 && echo"));
        assert!(script.contains("elif [ -x /usr/local/bin/xpra ] && echo xpra-proxy-starts; then /usr/local/bin/xpra _proxy \":7\"; "));
        assert!(script.contains("[ -x \"$XDG_RUNTIME_DIR/xpra/run-xpra\" ]"));
        assert!(script.ends_with("exit 127; fi"));
    }

    #[test]
    fn names_of_sessions_and_programs_cannot_run_anything() {
        let directory = tempfile::tempdir().unwrap();
        let witness = directory.path().join("witness");
        let touch = format!("touch {}", witness.display());
        for evil in [
            format!("$({touch})"),
            format!("`{touch}`"),
            format!("'; {touch}; '"),
            format!("\"; {touch}; \""),
            format!("\\\"; {touch}; \\\""),
            format!("x' \"; {touch} #"),
        ] {
            let options = SshOptions {
                remote_xpra: vec!["echo".to_owned()],
                remote_socket_dir: Some(evil.clone()),
                ..SshOptions::default()
            };
            let output = std::process::Command::new("sh")
                .args(["-c", &command(&evil, &options)])
                .output()
                .unwrap();
            assert!(!witness.exists(), "{evil}");
            let printed = String::from_utf8(output.stdout).unwrap();
            assert_eq!(printed, format!("{MARKER}\n_proxy {evil} --socket-dir={evil}\n"));
        }
    }

    #[test]
    fn candidates_are_tried_in_order() {
        let run = |remote_xpra: &[&str]| {
            let options = SshOptions {
                remote_xpra: remote_xpra.iter().map(|&word| word.to_owned()).collect(),
                ..SshOptions::default()
            };
            let output = std::process::Command::new("sh")
                .args(["-c", &command("", &options)])
                .env("SHOUT", "/bin")
                .output()
                .unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            (
                output.status.code().unwrap(),
                text(output.stdout),
                text(output.stderr),
            )
        };
        let (status, out, _) = run(&["no-such-program", "/no/such", "$SHOUT/echo", "false"]);
        assert_eq!((status, out.as_str()), (0, "xpra-proxy-starts\n_proxy\n"));
        let (status, out, error) = run(&["no-such-program"]);
        assert_eq!(
            (status, out.as_str(), error.as_str()),
            (NOT_FOUND, "", "no xpra command found\n")
        );
    }
}
