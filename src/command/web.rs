//! Options of servers about browsers (`endpoints.md` c.3, c.4, j.2).

use std::path::PathBuf;
use std::sync::Arc;

use super::exit::{ExitCode, Failure};
use super::options::boolean;
use crate::discovery::Environment;
use crate::web::{ExtraHeaders, Origins, Scripts, Site, find_root};

/// What browsers may have of a server.
#[derive(Clone, Debug, clap::Args)]
pub struct WebArgs {
    /// Serve the HTML5 client: the one that is installed, or the one in FOLDER
    #[arg(long, value_name = "auto|yes|no|FOLDER", default_value = "auto", num_args = 0..=1, default_missing_value = "yes")]
    pub html: String,
    /// Speak HTTP on the server's ports
    #[arg(long, value_name = "yes|no", default_value = "yes", num_args = 0..=1, default_missing_value = "yes", value_parser = boolean)]
    pub http: bool,
    /// Serve pages of facts: Status, Info, Sessions, Displays, SessionInfo, metrics
    #[arg(long, value_name = "all|no|LIST", default_value = "all", num_args = 0..=1, default_missing_value = "all")]
    pub http_scripts: Scripts,
    /// Whose web pages may connect: of the same host, any, none, or of a list; add ",strict" to refuse programs
    #[arg(long, value_name = "auto|any|none|LIST", default_value = "auto")]
    pub http_origin: Origins,
    /// Take WebSockets on ports for plain connections too
    #[arg(long, value_name = "yes|no", default_value = "yes", num_args = 0..=1, default_missing_value = "yes", value_parser = boolean)]
    pub websocket_upgrade: bool,
}

impl WebArgs {
    /// The site of these options; `None` when there is to be none.
    pub fn site(&self, environment: &Environment) -> Result<Option<Arc<Site>>, Failure> {
        if !self.http {
            return Ok(None);
        }
        Ok(Some(Arc::new(Site {
            root: self.root()?,
            scripts: self.http_scripts.clone(),
            origins: self.http_origin.clone(),
            headers: ExtraHeaders::read(&header_directories(environment)),
        })))
    }

    /// The folder of the HTML5 client.
    fn root(&self) -> Result<Option<PathBuf>, Failure> {
        let missing = |message| Err(Failure::new(ExitCode::FileNotFound, message));
        match (self.html.as_str(), boolean(&self.html)) {
            ("auto", _) => Ok(find_root()),
            (_, Ok(false)) => Ok(None),
            (_, Ok(true)) => match find_root() {
                Some(root) => Ok(Some(root)),
                None => missing(
                    "no HTML5 client is installed: install xpra-html5, or give its folder with --html=FOLDER"
                        .to_owned(),
                ),
            },
            (folder, Err(_)) => match PathBuf::from(folder) {
                root if root.is_dir() => Ok(Some(root)),
                _ => missing(format!("--html={folder}: there is no such folder")),
            },
        }
    }
}

/// Where the administrator and the user put headers of their own: beside their configuration (`endpoints.md` i.6).
fn header_directories(environment: &Environment) -> Vec<PathBuf> {
    let named = |variable| {
        environment
            .variable(variable)
            .map(|list| std::env::split_paths(list).collect())
    };
    let system = || vec![PathBuf::from("/etc/xpra"), PathBuf::from("/usr/local/etc/xpra")];
    let user = || match environment.uid {
        0 => Vec::new(),
        _ => {
            let home = environment.home();
            let config = environment.variable("XDG_CONFIG_HOME").map(PathBuf::from);
            vec![
                config.unwrap_or_else(|| home.join(".config")).join("xpra"),
                home.join(".xpra"),
            ]
        }
    };
    let mut directories: Vec<PathBuf> = named("XPRA_SYSTEM_CONF_DIRS").unwrap_or_else(system);
    directories.extend(named("XPRA_USER_CONF_DIRS").unwrap_or_else(user));
    directories
        .iter()
        .map(|directory| directory.join("http-headers"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::Script;
    use clap::Parser;
    use std::path::Path;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        web: WebArgs,
    }

    fn site(line: &str) -> Result<Option<Arc<Site>>, Failure> {
        let words = ["x"].into_iter().chain(line.split_whitespace());
        Line::parse_from(words).web.site(&Environment::default())
    }

    #[test]
    fn defaults() {
        let site = site("").unwrap().unwrap();
        assert_eq!(site.root, find_root());
        assert_eq!(
            (&site.scripts, &site.origins),
            (&Scripts::default(), &Origins::default())
        );
        assert!(Line::parse_from(["x"]).web.websocket_upgrade);
    }

    #[test]
    fn everything_can_be_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let line = format!(
            "--html={} --http-scripts=Info --http-origin=any,strict",
            folder.path().display()
        );
        let site_ = site(&line).unwrap().unwrap();
        assert_eq!(site_.root.as_deref(), Some(folder.path()));
        assert!(site_.scripts.includes(Script::Info) && !site_.scripts.includes(Script::Status));
        assert_eq!(site_.origins.to_string(), "any,strict");
        assert_eq!(site("--html=off").unwrap().unwrap().root, None);
        assert!(site("--http=no").unwrap().is_none());
        assert!(
            !Line::parse_from(["x", "--websocket-upgrade=no"])
                .web
                .websocket_upgrade
        );
    }

    #[test]
    fn folders_that_are_not_there() {
        let failure = site("--html=/no/where").unwrap_err();
        assert_eq!(failure.code, ExitCode::FileNotFound);
        assert!(failure.message.contains("/no/where"));
        let found = site("--html=on");
        assert_eq!(found.is_ok(), find_root().is_some());
    }

    #[test]
    fn headers_are_beside_the_configuration() {
        let mut environment = Environment::default();
        let set = |environment: &mut Environment, name: &str, value: &str| {
            environment.variables.insert(name.to_owned(), value.to_owned());
        };
        assert_eq!(
            header_directories(&environment).len(),
            2,
            "root has no configuration of its own"
        );
        environment.uid = 1000;
        set(&mut environment, "HOME", "/h");
        let of_user = [
            Path::new("/h/.config/xpra/http-headers"),
            Path::new("/h/.xpra/http-headers"),
        ];
        assert_eq!(header_directories(&environment)[2..], of_user);
        let two = std::env::join_paths(["/a", "/b"]).unwrap();
        set(&mut environment, "XPRA_SYSTEM_CONF_DIRS", two.to_str().unwrap());
        set(&mut environment, "XPRA_USER_CONF_DIRS", "/c");
        let named = ["/a/http-headers", "/b/http-headers", "/c/http-headers"].map(Path::new);
        assert_eq!(header_directories(&environment), named);
    }
}
