//! The process's surroundings, read once.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::system;

/// The environment variables, who runs the process, and where. Only the program's `main` reads it.
#[derive(Clone, Default)]
pub struct Environment {
    /// The environment variables that are text.
    pub variables: BTreeMap<String, String>,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Process.
    pub pid: u32,
    /// The machine's name.
    pub hostname: String,
}

impl Environment {
    /// That of this process.
    pub fn from_process() -> Self {
        let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            uid: system::user_id(),
            gid: system::group_id(),
            pid: std::process::id(),
            hostname: system::hostname(),
        }
    }

    /// A variable, unless it is unset or empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The user's home directory.
    pub fn home(&self) -> PathBuf {
        // the one of Unix, the one of Windows
        let home = ["HOME", "USERPROFILE"]
            .iter()
            .find_map(|name| self.variable(name));
        let home = home.map(str::to_owned).or_else(|| self.account(5));
        PathBuf::from(home.unwrap_or_else(|| "/".to_owned()))
    }

    /// The user's name.
    pub fn username(&self) -> String {
        let name = ["USER", "LOGNAME", "USERNAME"]
            .iter()
            .find_map(|name| self.variable(name));
        name.map(str::to_owned)
            .or_else(|| self.account(0))
            .unwrap_or_else(|| self.uid.to_string())
    }

    /// The user's directory for sockets: `$XDG_RUNTIME_DIR`, else where it usually is.
    pub fn runtime_directory(&self) -> PathBuf {
        if let Some(directory) = self.variable("XDG_RUNTIME_DIR") {
            return PathBuf::from(directory);
        }
        let base = if Path::new("/run").is_dir() {
            "/run/user"
        } else {
            "/var/run/user"
        };
        Path::new(base).join(self.uid.to_string())
    }

    /// What precedes the display in the names of sockets, so that machines may share a home
    /// (`XPRA_SOCKET_HOSTNAME`).
    pub fn socket_prefix(&self) -> String {
        format!(
            "{}-",
            self.variable("XPRA_SOCKET_HOSTNAME").unwrap_or(&self.hostname)
        )
    }

    /// `text` with `~` and `$VARIABLES` replaced; unknown ones stay.
    pub fn expand(&self, text: &str) -> String {
        let text = match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                format!("{}{rest}", self.home().display())
            }
            _ => text.to_owned(),
        };
        let mut parts = text.split('$');
        let mut expanded = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = match part.strip_prefix('{').and_then(|part| part.split_once('}')) {
                Some(parts) => parts,
                None => {
                    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    let end = part.find(|c| !is_name(c)).unwrap_or(part.len());
                    part.split_at_checked(end).unwrap_or((part, ""))
                }
            };
            match self.lookup(name) {
                Some(value) => {
                    expanded.push_str(&value);
                    expanded.push_str(rest);
                }
                None => {
                    expanded.push('$');
                    expanded.push_str(part);
                }
            }
        }
        expanded
    }

    fn lookup(&self, name: &str) -> Option<String> {
        match name {
            "UID" => Some(self.uid.to_string()),
            "GID" => Some(self.gid.to_string()),
            "PID" => Some(self.pid.to_string()),
            "HOME" => Some(self.home().display().to_string()),
            "USER" | "USERNAME" => Some(self.username()),
            "XDG_RUNTIME_DIR" => Some(self.runtime_directory().display().to_string()),
            name => self.variable(name).map(str::to_owned),
        }
    }

    /// A field of the user's line in `/etc/passwd`.
    fn account(&self, field: usize) -> Option<String> {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        let uid = self.uid.to_string();
        let line = users
            .lines()
            .find(|line| line.split(':').nth(2) == Some(uid.as_str()))?;
        line.split(':').nth(field).map(str::to_owned)
    }
}

impl fmt::Debug for Environment {
    /// Without the variables: some hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("uid", &self.uid)
            .field("hostname", &self.hostname)
            .finish_non_exhaustive()
    }
}
