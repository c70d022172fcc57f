//! `--file-transfer`, `--file-size-limit` and `--download-path`: which files the ends of a session may exchange.

use super::options::{boolean, scaled};
use crate::discovery::Environment;
use crate::session::files::FileRules;
use std::path::PathBuf;

/// The options.
#[derive(Clone, Debug, clap::Args)]
pub struct FileArgs {
    /// Exchange files: yes, no, or ask, which is yes for a server and no for a client, as there is nobody to ask
    #[arg(long, value_name = "yes|no|ask", default_value = "ask", value_parser = choice, num_args = 0..=1, default_missing_value = "yes", require_equals = true)]
    file_transfer: Choice,
    /// Largest file: bytes, or a number with K, M or G
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size)]
    file_size_limit: u64,
    /// Folder for files that come, instead of the user's for downloads
    #[arg(long, value_name = "PATH")]
    download_path: Option<PathBuf>,
}

/// The value of `--file-transfer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Ask,
    Fixed(bool),
}

fn choice(text: &str) -> Result<Choice, String> {
    if matches!(text.to_ascii_lowercase().as_str(), "ask" | "auto") {
        return Ok(Choice::Ask);
    }
    boolean(text)
        .map(Choice::Fixed)
        .map_err(|_| "write yes, no or ask".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    let text = text.trim().to_ascii_lowercase();
    let (digits, factor) = scaled(text.trim_end_matches('b'));
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(factor))
        .ok_or_else(|| format!("'{text}' is no size; say for example 100M"))
}

impl FileArgs {
    /// What they mean for an end that takes `ask` for this.
    pub(super) fn rules(&self, ask: bool, environment: &Environment) -> FileRules {
        let allowed = match self.file_transfer {
            Choice::Ask => ask,
            Choice::Fixed(allowed) => allowed,
        };
        if !allowed {
            return FileRules::default();
        }
        FileRules {
            allowed,
            limit: self.file_size_limit,
            folder: self
                .download_path
                .clone()
                .unwrap_or_else(|| download_folder(environment)),
        }
    }
}

/// The user's folder for downloads, or the home directory when there is none.
fn download_folder(environment: &Environment) -> PathBuf {
    let named = ["XPRA_DOWNLOAD_DIR", "XDG_DOWNLOAD_DIR"]
        .iter()
        .find_map(|name| environment.variable(name));
    let usual = environment.home().join("Downloads");
    match named {
        Some(folder) => folder.into(),
        None if usual.is_dir() => usual,
        None => environment.home(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: FileArgs,
    }

    fn rules(words: &[&str], ask: bool, environment: &Environment) -> FileRules {
        let words = ["program"].iter().chain(words);
        Program::try_parse_from(words)
            .unwrap()
            .args
            .rules(ask, environment)
    }

    #[test]
    fn servers_take_files_and_clients_have_to_be_told_to() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = Environment::default();
        let variable = |name: &str, value: &std::path::Path| (name.to_owned(), value.display().to_string());
        environment.variables.extend([variable("HOME", home.path())]);
        assert_eq!(rules(&[], false, &environment), FileRules::default());
        let yes = rules(&[], true, &environment);
        assert_eq!((yes.allowed, yes.limit), (true, 1_000_000_000));
        assert_eq!(yes.folder, home.path());
        assert!(!rules(&["--file-transfer=no"], true, &environment).allowed);
        std::fs::create_dir(home.path().join("Downloads")).unwrap();
        let told = ["--file-transfer=yes", "--file-size-limit=2M"];
        let yes = rules(&told, false, &environment);
        assert_eq!(yes.limit, 2_000_000);
        assert_eq!(yes.folder, home.path().join("Downloads"));
        environment
            .variables
            .extend([variable("XPRA_DOWNLOAD_DIR", home.path())]);
        assert_eq!(rules(&told, false, &environment).folder, home.path());
        let told = ["--file-transfer=yes", "--download-path=/elsewhere"];
        assert_eq!(
            rules(&told, false, &environment).folder,
            PathBuf::from("/elsewhere")
        );
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("100", 100), ("10k", 10_000), ("1GB", 1_000_000_000), ("0", 0)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert!(size("much").is_err() && size("99999999999999999999").is_err());
    }
}
