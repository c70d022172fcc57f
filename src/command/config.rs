//! Configuration files: `xpra.conf` and what is beside it (`endpoints.md` i.6).
//!
//! What they say is put before the options of the command line. xpra's files hold much that nothing here reads: that
//! is passed over, except where something would be open that was meant to be closed.

#[cfg(test)]
mod tests;

use super::exit::{ExitCode, Failure};
use super::options::{find_argument, is_default};
use crate::discovery::Environment;
use clap::error::ErrorKind;
use clap::{ArgAction, Command};
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of a file that are read: more is no configuration.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// What xpra's files say about TLS without anybody having asked for it.
const STOCK: &[(&str, &str)] = &[
    ("ssl-check-hostname", "on"),
    ("ssl-ciphers", "DEFAULT"),
    ("ssl-client-verify-mode", "optional"),
    ("ssl-options", "ALL,NO_COMPRESSION"),
    ("ssl-protocol", "TLSv1_2"),
    ("ssl-protocol", "TLS"),
    ("ssl-server-verify-mode", "required"),
    ("ssl-verify-flags", "X509_STRICT"),
];

/// One line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The option without its dashes.
    pub(super) name: String,
    /// Its value.
    pub(super) value: String,
    /// Where it stands: `PATH:LINE`.
    pub(super) place: String,
}

/// What the configuration files say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub(super) lines: Vec<Setting>,
    pub(super) warnings: Vec<String>,
}

impl Settings {
    /// Reads the files of the system, then those of the user: what a later file says about an option replaces what
    /// earlier ones said, several lines in one file make a list.
    pub fn read(environment: &Environment) -> Self {
        let mut settings = Self::default();
        for path in files(environment) {
            match read(&path) {
                Ok(text) => settings.replace_by(parse(&text, &path)),
                Err(error) => settings
                    .warnings
                    .push(format!("cannot read {}: {error}", path.display())),
            }
        }
        // A variable is nearer to the user than a file, and options would hide it.
        let is_set = |name: &str| match name {
            "socket-dir" => environment.variable("XPRA_SOCKET_DIR").is_some(),
            "socket-dirs" => environment.variable("XPRA_SOCKET_DIRS").is_some(),
            _ => false,
        };
        settings.lines.retain(|setting| !is_set(&setting.name));
        settings
    }

    /// Replaces what was said about the options in `lines`.
    pub(super) fn replace_by(&mut self, lines: Vec<Setting>) {
        self.lines
            .retain(|old| !lines.iter().any(|new| new.name == old.name));
        self.lines.extend(lines);
    }

    /// What is left to say to a subcommand that got the options `written` on the command line.
    pub(super) fn options(
        &self,
        subcommand: &str,
        written: &[(String, Option<String>)],
        program: &Command,
    ) -> Result<Defaults, Failure> {
        let mut defaults = Defaults {
            options: Vec::new(),
            warnings: self.warnings.clone(),
        };
        let Some(command) = program.find_subcommand(subcommand) else {
            return Ok(defaults);
        };
        for (index, setting) in self.lines.iter().enumerate() {
            let is_written = written.iter().any(|(name, _)| *name == setting.name);
            if is_written || setting.value.is_empty() {
                continue;
            }
            if setting.name == "daemon" {
                let place = &setting.place;
                defaults.warnings.push(format!(
                    "{place}: 'daemon' may not be set in a file, only on the command line"
                ));
                continue;
            }
            let action = find_argument(command, &setting.name).map(clap::Arg::get_action);
            let later = self.lines.get(index + 1..).unwrap_or_default();
            match action {
                // Of what is no list the last line counts.
                Some(ArgAction::Set) if later.iter().any(|other| other.name == setting.name) => {}
                Some(ArgAction::Set | ArgAction::Append) => defaults.add(setting, subcommand, program)?,
                _ => defaults.pass_over(setting, command)?,
            }
        }
        Ok(defaults)
    }
}

/// Options that stand for what the files say.
#[derive(Debug)]
pub(super) struct Defaults {
    pub(super) options: Vec<(String, Option<String>)>,
    pub(super) warnings: Vec<String>,
}

impl Defaults {
    fn add(&mut self, setting: &Setting, subcommand: &str, program: &Command) -> Result<(), Failure> {
        let Setting { name, value, place } = setting;
        match complaint(setting, subcommand, program) {
            None => self.options.push((name.clone(), Some(value.clone()))),
            Some(_) if is_default(value) => {}
            Some(complaint) if is_security(name) => {
                return Err(Failure::new(
                    ExitCode::Failure,
                    format!("{place}: {name} = {value}: {complaint}"),
                ));
            }
            Some(complaint) => self
                .warnings
                .push(format!("{place}: {name} = {value} is ignored: {complaint}")),
        }
        Ok(())
    }

    /// Nothing here reads the option: fine, unless it was meant to keep somebody out.
    fn pass_over(&mut self, setting: &Setting, command: &Command) -> Result<(), Failure> {
        let Setting { name, value, place } = setting;
        let is_server = find_argument(command, "bind").is_some();
        let is_client = command.get_name() == "attach";
        let concerns_it = is_server || (is_client && !is_authentication(name));
        let is_stock = STOCK.contains(&(name.as_str(), value.as_str()));
        if !is_security(name) || !concerns_it || is_default(value) || is_stock {
            return Ok(());
        }
        if name.starts_with("ssl") {
            self.warnings
                .push(format!("{place}: '{name}' is not available yet, ignored"));
            return Ok(());
        }
        let message =
            format!("{place}: option '{name}' is not supported yet, and cannot be ignored: leave it out");
        Err(Failure::new(ExitCode::Unsupported, message))
    }
}

fn is_authentication(name: &str) -> bool {
    name == "auth" || name.ends_with("-auth")
}

/// Options without which somebody would get in, or could read along, who should not.
fn is_security(name: &str) -> bool {
    is_authentication(name) || name.starts_with("ssl") || name.contains("encryption")
}

/// What is wrong with the value, in the words a user of the command line would see.
fn complaint(setting: &Setting, subcommand: &str, program: &Command) -> Option<String> {
    let option = format!("--{}={}", setting.name, setting.value);
    let error = program
        .clone()
        .try_get_matches_from([program.get_name(), subcommand, &option])
        .err()?;
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return None;
    }
    let text = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    Some(text.lines().next().unwrap_or_default().to_owned())
}

/// The files there are, in the order to read them.
fn files(environment: &Environment) -> Vec<PathBuf> {
    let name = environment.variable("XPRA_CONF_FILENAME").unwrap_or("xpra.conf");
    let mut files = Vec::new();
    for directory in directories(environment) {
        let mut snippets: Vec<_> = fs::read_dir(directory.join("conf.d"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
            .collect();
        snippets.sort();
        files.extend(snippets);
        files.push(directory.join(name));
    }
    files.retain(|file| file.is_file());
    files
}

/// The directories of defaults, of the system, and of the user, which are none for root.
fn directories(environment: &Environment) -> Vec<PathBuf> {
    let split = |list: &str| -> Vec<String> {
        let directories = std::env::split_paths(list);
        directories
            .map(|directory| directory.display().to_string())
            .collect()
    };
    let overridden = |variable: &str, usual: Vec<String>| environment.variable(variable).map_or(usual, split);
    let desktop = environment.variable("XDG_CONFIG_DIRS").unwrap_or("/etc/xdg");
    let mut system = vec!["/etc/xpra".to_owned(), "/usr/local/etc/xpra".to_owned()];
    let desktop = split(desktop)
        .into_iter()
        .filter(|directory| !directory.is_empty());
    system.extend(desktop.map(|directory| format!("{directory}/xpra")));
    let own = environment.variable("XDG_CONFIG_HOME").unwrap_or("~/.config");
    let user = match environment.uid {
        0 => Vec::new(),
        _ => vec![format!("{own}/xpra"), "~/.xpra".to_owned()],
    };
    let lists = [
        overridden("XPRA_DEFAULT_CONF_DIRS", Vec::new()),
        overridden("XPRA_SYSTEM_CONF_DIRS", system),
        overridden("XPRA_USER_CONF_DIRS", user),
    ];
    let named = lists
        .into_iter()
        .flatten()
        .filter(|directory| !directory.is_empty());
    named
        .map(|directory| environment.expand(&directory).into())
        .collect()
}

/// The text of a file that may be somebody's mistake.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

/// `name = value` lines; `#` and `!` begin comments, a backslash at the end joins the next line.
pub(super) fn parse(text: &str, path: &Path) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if line.trim_start().starts_with(['#', '!']) {
            continue;
        }
        let mut joined = line.trim().to_owned();
        while let Some(start) = joined.strip_suffix('\\') {
            let next = lines.next().map_or("", |(_, line)| line.trim());
            joined = format!("{} {next}", start.trim_end());
        }
        if let Some((name, value)) = joined.split_once('=') {
            settings.push(Setting {
                name: name.trim().to_owned(),
                value: value.trim().to_owned(),
                place: format!("{}:{}", path.display(), index + 1),
            });
        }
    }
    settings
}
