//! Options of servers about browsers (`endpoints.md` c.3, c.4, j.2).

use std::path::PathBuf;
use std::sync::Arc;

use super::exit::{ExitCode, Failure};
use super::options::boolean;
use crate::discovery::Environment;
use crate::web::{ExtraHeaders, Facts, Origins, Scripts, Site, find_root};

/// What browsers may have of a server.
#[derive(Clone, Debug, clap::Args)]
pub struct WebArgs {
    /// Serve the HTML5 client: the one that is installed, or the one in FOLDER
    #[arg(long, value_name = "auto|yes|no|FOLDER", default_value = "auto", num_args = 0..=1, default_missing_value = "yes")]
    pub html: String,
    /// Speak HTTP on the server's ports
    #[arg(long, value_name = "yes|no", default_value = "yes", num_args = 0..=1, default_missing_value = "yes", value_parser = boolean)]
    pub http: bool,
    /// Serve pages of facts: Status, Info, Sessions, Displays
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
    pub fn site(
        &self,
        environment: &Environment,
        facts: Arc<dyn Facts>,
    ) -> Result<Option<Arc<Site>>, Failure> {
        if !self.http {
            return Ok(None);
        }
        Ok(Some(Arc::new(Site {
            root: self.root()?,
            scripts: self.http_scripts.clone(),
            origins: self.http_origin.clone(),
            headers: ExtraHeaders::read(&header_directories(environment)),
            facts,
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
