//! The directories where sessions have their sockets (`endpoints.md` b.1).

use std::path::{Path, PathBuf};

use super::Environment;
use crate::transport::LocalNames;

/// Where sockets are looked for and made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    directories: Vec<PathBuf>,
    /// Where sessions have directories of their own.
    sessions: PathBuf,
    prefix: String,
    pub(super) uid: u32,
}

impl Places {
    /// The places of that environment and those options: `--socket-dir` comes first, `--socket-dirs` replaces the
    /// usual list. Each value may name several directories separated by colons.
    pub fn new(environment: &Environment, socket_dir: Option<&str>, socket_dirs: &[String]) -> Self {
        let first = socket_dir
            .or_else(|| environment.variable("XPRA_SOCKET_DIR"))
            .map(str::to_owned);
        let rest = match (socket_dirs, environment.variable("XPRA_SOCKET_DIRS")) {
            ([], None) => usual(environment),
            ([], Some(list)) => vec![list.to_owned()],
            (lists, _) => lists.to_vec(),
        };
        let mut directories = Vec::new();
        for list in first.iter().chain(&rest) {
            for text in list.split(':').filter(|text| !text.is_empty()) {
                let directory = PathBuf::from(environment.expand(text));
                if !directories.contains(&directory) {
                    directories.push(directory);
                }
            }
        }
        Self {
            directories,
            sessions: environment.runtime_directory().join("xpra"),
            prefix: environment.socket_prefix(),
            uid: environment.uid,
        }
    }

    /// The socket directories, in the order to search them.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// The directory that holds one directory for each session.
    pub fn sessions_directory(&self) -> &Path {
        &self.sessions
    }

    /// What precedes the display in the names of sockets.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where the sockets of the session on `display` belong, for `transport::listen`.
    pub fn names(&self, display: &str) -> LocalNames {
        let display = display.trim_start_matches(':').to_owned();
        LocalNames {
            session_directory: Some(self.sessions.join(&display)),
            directories: self.directories.clone(),
            prefix: self.prefix.clone(),
            display,
        }
    }
}

fn usual(environment: &Environment) -> Vec<String> {
    let system = if Path::new("/run").is_dir() {
        "/run/xpra"
    } else {
        "/var/run/xpra"
    };
    let private = |directory: PathBuf, name: &str| directory.join(name).display().to_string();
    vec![
        private(environment.runtime_directory(), "xpra"),
        system.to_owned(),
        private(environment.home(), ".xpra"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment {
            variables: variables
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            uid: 1000,
            gid: 1001,
            pid: 77,
            hostname: "box".to_owned(),
        }
    }

    fn paths(places: &Places) -> Vec<&str> {
        places
            .directories()
            .iter()
            .filter_map(|path| path.to_str())
            .collect()
    }

    #[test]
    fn directories_follow_options_then_environment_then_custom() {
        let home = ("HOME", "/home/u");
        let usual = environment(&[home, ("XDG_RUNTIME_DIR", "/run/user/1000")]);
        let defaults = ["/run/user/1000/xpra", "/run/xpra", "/home/u/.xpra"];
        assert_eq!(paths(&Places::new(&usual, None, &[])), defaults);
        assert_eq!(paths(&Places::new(&environment(&[home]), None, &[])), defaults);
        assert_eq!(
            paths(&Places::new(&usual, Some("~/s"), &[])),
            [&["/home/u/s"], &defaults[..]].concat()
        );
        let lists = ["/a:$HOME/b".to_owned(), "/c/$UID/${GID}x".to_owned()];
        assert_eq!(
            paths(&Places::new(&usual, None, &lists)),
            ["/a", "/home/u/b", "/c/1000/1001x"]
        );
        let variables = environment(&[home, ("XPRA_SOCKET_DIRS", "/x:/y:/x"), ("XPRA_SOCKET_DIR", "/z")]);
        assert_eq!(paths(&Places::new(&variables, None, &[])), ["/z", "/x", "/y"]);
        assert_eq!(
            paths(&Places::new(&variables, Some("/o"), &["/p".to_owned()])),
            ["/o", "/p"]
        );
    }

    #[test]
    fn names_and_candidates() {
        let environment = environment(&[
            ("HOME", "/h"),
            ("XDG_RUNTIME_DIR", "/r"),
            ("XPRA_SOCKET_HOSTNAME", "nfs"),
        ]);
        let places = Places::new(&environment, None, &["/d".to_owned()]);
        let names = places.names(":10");
        assert_eq!((names.prefix.as_str(), names.display.as_str()), ("nfs-", "10"));
        assert_eq!(names.session_directory, Some(PathBuf::from("/r/xpra/10")));
        let expected: Vec<PathBuf> = ["/d/nfs-10", "/r/xpra/10/socket"].map(PathBuf::from).into();
        assert_eq!(places.candidates(":10"), expected);
        assert_eq!(places.candidates(":10.0").get(2..), Some(&expected[..]));
    }

    #[test]
    fn expansion_leaves_what_it_does_not_know() {
        let environment = environment(&[("HOME", "/h"), ("A_1", "v")]);
        for (text, expected) in [
            ("~", "/h"),
            ("~x/y", "~x/y"),
            ("$A_1/${A_1}b$PID", "v/vb77"),
            ("$NOPE/$/${A_1", "$NOPE/$/${A_1"),
            ("a$", "a$"),
        ] {
            assert_eq!(environment.expand(text), expected, "{text}");
        }
    }
}
