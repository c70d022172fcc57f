use super::*;
use crate::command::{Cli, Program};
use clap::CommandFactory;
use std::ffi::OsString;

/// Files below a directory, and an environment that knows no others.
fn environment(root: &Path, files: &[(&str, &str)]) -> Environment {
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let directory = |name: &str| root.join(name).display().to_string();
    let variables = [
        ("XPRA_SYSTEM_CONF_DIRS", directory("system")),
        ("XPRA_USER_CONF_DIRS", directory("user")),
    ];
    Environment {
        variables: variables
            .map(|(key, value)| (key.to_owned(), value))
            .into_iter()
            .collect(),
        uid: 1000,
        ..Environment::default()
    }
}

/// The options a subcommand gets from `text`.
fn defaults(text: &str, subcommand: &str) -> Result<(Vec<String>, Vec<String>), Failure> {
    let settings = Settings {
        lines: parse(text, Path::new("f")),
        warnings: Vec::new(),
    };
    let defaults = settings.options(subcommand, &[], &Cli::command())?;
    let options = defaults.options.into_iter();
    let options = options.map(|(name, value)| format!("{name}={}", value.unwrap()));
    Ok((options.collect(), defaults.warnings))
}

#[test]
fn lines_are_read_as_xpra_reads_them() {
    let text =
        "# comment\n! another\n\na = 1\n  b=x = y  \nlong = one \\\n  two\\\nthree\nnonsense\na=2\nend = \\";
    let settings = parse(text, Path::new("f"));
    let read: Vec<_> = settings
        .iter()
        .map(|setting| format!("{}|{}|{}", setting.name, setting.value, setting.place))
        .collect();
    assert_eq!(
        read,
        [
            "a|1|f:4",
            "b|x = y|f:5",
            "long|one two three|f:6",
            "a|2|f:10",
            "end||f:11"
        ]
    );
}

#[test]
fn later_files_override_and_lists_grow_within_one() {
    let root = tempfile::tempdir().unwrap();
    let environment = environment(
        root.path(),
        &[
            (
                "system/conf.d/20.conf",
                "title = b\nbind-tcp = *:1\nbind-tcp = *:2\n",
            ),
            ("system/conf.d/10.conf", "title = a\nsession-name = from 10\n"),
            ("system/conf.d/30.ignored", "title = x\n"),
            ("system/xpra.conf", "socket-dirs = /s\n"),
            ("user/conf.d/01.conf", "bind-tcp = *:3\n"),
        ],
    );
    let lines = Settings::read(&environment).lines;
    let read: Vec<_> = lines
        .iter()
        .map(|line| format!("{}={}", line.name, line.value))
        .collect();
    assert_eq!(
        read,
        [
            "session-name=from 10",
            "title=b",
            "socket-dirs=/s",
            "bind-tcp=*:3"
        ]
    );
    let mut environment = environment;
    environment
        .variables
        .insert("XPRA_SOCKET_DIRS".into(), "/nearer".into());
    let lines = Settings::read(&environment).lines;
    assert!(lines.iter().all(|line| line.name != "socket-dirs"));
}

#[test]
fn root_has_no_files_of_its_own() {
    let two = std::env::join_paths(["/a", "/b"]).unwrap();
    let mut environment = Environment {
        uid: 1000,
        ..Environment::default()
    };
    environment.variables.insert("HOME".into(), "/home/u".into());
    environment
        .variables
        .insert("XDG_CONFIG_DIRS".into(), two.into_string().unwrap());
    let all = directories(&environment);
    let expected = [
        "/etc/xpra",
        "/usr/local/etc/xpra",
        "/a/xpra",
        "/b/xpra",
        "/home/u/.config/xpra",
        "/home/u/.xpra",
    ];
    assert_eq!(all, expected.map(PathBuf::from));
    environment.uid = 0;
    assert_eq!(
        directories(&environment),
        expected[..4].iter().map(PathBuf::from).collect::<Vec<_>>()
    );
}

#[test]
fn each_subcommand_gets_what_it_reads() {
    let text = "title = @title@\nsession-name = desk\nbind-tcp = *:1\nbind-tcp = *:2\nstart = xterm\n\
                session-name = last\nunheard-of = 1\nhtml = on\nresize-display =\n";
    let (options, warnings) = defaults(text, "shadow").unwrap();
    assert_eq!(
        options,
        ["bind-tcp=*:1", "bind-tcp=*:2", "session-name=last", "html=on"]
    );
    assert_eq!(warnings, [""; 0]);
    let (options, _) = defaults(text, "attach").unwrap();
    assert_eq!(options, ["title=@title@", "session-name=last"]);
    assert_eq!(defaults(text, "info").unwrap().0, [""; 0]);
}

#[test]
fn values_that_make_no_sense_are_told_and_passed_over() {
    let (options, warnings) = defaults("quality = auto\nspeed = fast\ndaemon = yes\n", "shadow").unwrap();
    assert_eq!(options, [""; 0]);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].starts_with("f:2: speed = fast is ignored:"),
        "{warnings:?}"
    );
    assert!(
        warnings[1].starts_with("f:3: 'daemon' may not be set"),
        "{warnings:?}"
    );
}

#[test]
fn nobody_is_let_in_because_a_line_was_passed_over() {
    for line in ["unheard-of-auth = file", "unheard-of-encryption = AES"] {
        let refused = defaults(line, "shadow").unwrap_err();
        assert_eq!(refused.code, ExitCode::Unsupported);
        assert!(
            refused.message.starts_with("f:1: option 'unheard-of-"),
            "{refused}"
        );
    }
    assert!(defaults("unheard-of-auth = file", "attach").is_ok());
    assert!(defaults("unheard-of-encryption = AES", "attach").is_err());
    assert!(defaults("unheard-of-auth = none\nunheard-of-encryption =", "shadow").is_ok());
    let (_, warnings) = defaults("ssl-unheard-of = x", "shadow").unwrap();
    assert_eq!(warnings, ["f:1: 'ssl-unheard-of' is not available yet, ignored"]);
}

#[test]
fn the_command_line_has_the_last_word() {
    let settings = Settings {
        lines: parse(
            "socket-dirs = /a\nsocket-dirs = /b\nsocket-dir = /c\n",
            Path::new("f"),
        ),
        warnings: Vec::new(),
    };
    let words = |line: &str| {
        let words = line.split(' ').map(OsString::from);
        let normalized = crate::command::options::normalize(words, &settings, &Cli::command()).unwrap();
        normalized
            .words
            .join(std::ffi::OsStr::new(" "))
            .into_string()
            .unwrap()
    };
    assert_eq!(
        words("x list"),
        "x list --socket-dirs=/a --socket-dirs=/b --socket-dir=/c"
    );
    assert_eq!(
        words("x list --socket-dirs=/d"),
        "x list --socket-dir=/c --socket-dirs=/d"
    );
    assert_eq!(words("x wire decode -"), "x wire decode -");
    assert!(Program::parse(["x".into(), "list".into()], &settings, &mut Vec::new()).is_ok());
}

/// The files that come with xpra.
#[test]
fn files_of_xpra_do_no_harm() {
    if !Path::new("/etc/xpra/xpra.conf").exists() {
        eprintln!("skipped: xpra is not installed");
        return;
    }
    let settings = Settings::read(&Environment::default());
    assert!(settings.lines.len() > 50);
    for subcommand in ["shadow", "attach", "list", "info"] {
        let defaults = settings.options(subcommand, &[], &Cli::command()).unwrap();
        assert_eq!(defaults.warnings, [""; 0], "{subcommand}");
        let options = defaults.options.into_iter();
        let options = options.map(|(name, value)| format!("--{name}={}", value.unwrap()));
        let line = ["x".to_owned(), subcommand.to_owned()].into_iter().chain(options);
        let parsed = Program::parse(line.map(OsString::from), &Settings::default(), &mut Vec::new());
        assert!(parsed.unwrap().is_some());
    }
}
