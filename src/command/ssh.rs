//! The options of SSH: `--ssh`, `--exit-ssh`, `--remote-xpra` (`endpoints.md` e, j.2).

use super::options::boolean;
use crate::discovery::Environment;
use crate::transport::ssh::{Backend, SshOptions};
use std::path::PathBuf;

/// How to get to other machines by SSH.
#[derive(Clone, Debug, clap::Args)]
pub struct SshArgs {
    /// What speaks SSH: auto, builtin, or a command such as "ssh -x"
    #[arg(long, value_name = "COMMAND", default_value = "auto")]
    pub ssh: Backend,
    /// End the ssh process with the session
    #[arg(long, value_name = "yes|no", default_value = "yes", value_parser = boolean, num_args = 0..=1,
          default_missing_value = "yes")]
    pub exit_ssh: bool,
    /// What to run on the other machine, may be repeated [default: xpra-rs, xpra and other usual places]
    #[arg(long, value_name = "PROGRAM")]
    pub remote_xpra: Vec<String>,
}

impl Default for SshArgs {
    fn default() -> Self {
        Self {
            ssh: Backend::Auto,
            exit_ssh: true,
            remote_xpra: Vec::new(),
        }
    }
}

impl SshArgs {
    /// These options, in that environment. `socket_dir` is where the session's socket is on the other machine.
    pub fn options(&self, environment: &Environment, socket_dir: Option<&str>) -> SshOptions {
        let scripts = environment.variable("XPRA_REMOTE_RUN_XPRA_SCRIPTS");
        let usual = || {
            scripts
                .iter()
                .flat_map(|list| list.split(':'))
                .map(str::to_owned)
                .collect()
        };
        SshOptions {
            backend: self.ssh.clone(),
            exit: self.exit_ssh,
            remote_xpra: if self.remote_xpra.is_empty() {
                usual()
            } else {
                self.remote_xpra.clone()
            },
            remote_socket_dir: socket_dir.map(str::to_owned),
            home: Some(environment.home()),
            username: Some(environment.username()),
            agent: environment.variable("SSH_AUTH_SOCK").map(PathBuf::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        ssh: SshArgs,
    }

    fn options(line: &[&str]) -> SshOptions {
        let environment = Environment {
            variables: [("HOME", "/home/u"), ("USER", "u"), ("SSH_AUTH_SOCK", "/agent")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..Environment::default()
        };
        let line = Line::try_parse_from([&["x"], line].concat()).unwrap();
        line.ssh.options(&environment, None)
    }

    #[test]
    fn options_of_xpra_are_understood() {
        let usual = options(&[]);
        assert_eq!((usual.backend, usual.exit), (Backend::Auto, true));
        assert_eq!(usual.home, Some("/home/u".into()));
        assert_eq!(
            (usual.username.as_deref(), usual.agent),
            (Some("u"), Some("/agent".into()))
        );
        for (value, backend) in [
            ("auto", Backend::Auto),
            ("builtin", Backend::Builtin),
            ("paramiko:auth=agent", Backend::Builtin),
            (
                "ssh -x 'a b'",
                Backend::Program(vec!["ssh".into(), "-x".into(), "a b".into()]),
            ),
        ] {
            assert_eq!(options(&["--ssh", value]).backend, backend);
        }
        let some = options(&["--exit-ssh=no", "--remote-xpra=/a", "--remote-xpra=b"]);
        assert!(!some.exit);
        assert_eq!(some.remote_xpra, ["/a", "b"]);
        assert!(Line::try_parse_from(["x", "--ssh='open"]).is_err());
    }
}
