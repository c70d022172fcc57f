//! The options of authentication, for servers and for clients (`endpoints.md` h.1, h.2).

use super::exit::{ExitCode, Failure};
use crate::address::{Credentials, Options, TransportKind};
use crate::auth::client::Sources;
use crate::auth::{AuthError, Chain, ClientAuthError, Context, Handlers};
use crate::discovery::Environment;
use crate::transport::Prompt;
use std::path::PathBuf;
use std::sync::Arc;

/// Who may use a server.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServerAuthArgs {
    /// Module that clients of unix sockets have to pass: NAME, or NAME:option=value,option=value; may be repeated
    #[arg(long, value_name = "MODULE")]
    pub auth: Vec<String>,
    /// The same for --bind-tcp
    #[arg(long, value_name = "MODULE")]
    pub tcp_auth: Vec<String>,
    /// The same for --bind-ssl
    #[arg(long, value_name = "MODULE")]
    pub ssl_auth: Vec<String>,
    /// The same for --bind-ws
    #[arg(long, value_name = "MODULE")]
    pub ws_auth: Vec<String>,
    /// The same for --bind-wss
    #[arg(long, value_name = "MODULE")]
    pub wss_auth: Vec<String>,
    /// The same for --bind-ssh
    #[arg(long, value_name = "MODULE")]
    pub ssh_auth: Vec<String>,
    /// The same for --bind-vsock
    #[arg(long, value_name = "MODULE")]
    pub vsock_auth: Vec<String>,
    /// File with the password, for modules `file` without a file name
    #[arg(long, value_name = "FILE")]
    pub password_file: Vec<PathBuf>,
}

impl ServerAuthArgs {
    /// What clients of a socket have to pass: what its own options say, else the option of that kind of socket. The
    /// kind is the listener's, whatever a connection becomes later.
    pub fn chain(
        &self,
        kind: TransportKind,
        socket: &Options,
        environment: &Environment,
    ) -> Result<Arc<Chain>, AuthError> {
        let own: Vec<String> = socket.all("auth").map(str::to_owned).collect();
        let values = if own.is_empty() { self.values(kind) } else { &own };
        Chain::parse(values, &self.context(environment)).map(Arc::new)
    }

    fn values(&self, kind: TransportKind) -> &[String] {
        match kind {
            TransportKind::NamedPipe | TransportKind::Socket => &self.auth,
            TransportKind::Quic | TransportKind::Ssl => &self.ssl_auth,
            TransportKind::Ssh => &self.ssh_auth,
            TransportKind::Tcp => &self.tcp_auth,
            TransportKind::Vsock => &self.vsock_auth,
            TransportKind::Ws => &self.ws_auth,
            TransportKind::Wss => &self.wss_auth,
        }
    }

    fn context(&self, environment: &Environment) -> Context {
        Context {
            username: environment.username(),
            uid: environment.uid,
            variables: environment.variables.clone(),
            password_files: paths(&self.password_file, environment),
        }
    }
}

/// Who to be, and where the passwords are.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClientAuthArgs {
    /// Who to be for the server; default: the name in the address, or your own
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// File that holds the password, byte for byte; one for each password the server asks for
    #[arg(long, value_name = "FILE")]
    pub password_file: Vec<PathBuf>,
    /// Where passwords come from: all, none, uri, file:filename=FILE, env:name=VARIABLE, prompt
    #[arg(long, value_name = "LIST")]
    pub challenge_handlers: Vec<String>,
}

impl ClientAuthArgs {
    /// The user name for the hello.
    pub fn username(&self, address: &Credentials, environment: &Environment) -> String {
        let given = self.username.clone().or_else(|| address.username.clone());
        given.unwrap_or_else(|| environment.username())
    }

    /// Where the passwords for the server at an address come from. `from_address` are the handlers its options name.
    pub fn handlers(
        &self,
        address: &Credentials,
        from_address: &Options,
        environment: &Environment,
        prompt: Arc<dyn Prompt>,
    ) -> Result<Handlers, ClientAuthError> {
        let sources = Sources {
            password: address.password.clone(),
            password_files: paths(&self.password_file, environment),
            variables: environment.variables.clone(),
            prompt,
            allow_unencrypted: environment.variable("XPRA_ALLOW_UNENCRYPTED_PASSWORDS") == Some("1"),
        };
        if self.challenge_handlers.is_empty() {
            let own: Vec<String> = from_address
                .all("challenge-handlers")
                .map(str::to_owned)
                .collect();
            return Handlers::parse(&own, &sources);
        }
        Handlers::parse(&self.challenge_handlers, &sources)
    }
}

/// Files as the user names them: `~` and `$VARIABLES` are expanded.
fn paths(files: &[PathBuf], environment: &Environment) -> Vec<PathBuf> {
    let expanded = |path: &PathBuf| match path.to_str() {
        Some(text) => PathBuf::from(environment.expand(text)),
        None => path.clone(),
    };
    files.iter().map(expanded).collect()
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        let code = match error {
            AuthError::FeatureMissing { .. } | AuthError::Unavailable { .. } => ExitCode::ComponentMissing,
            _ => ExitCode::Failure,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ClientAuthError> for Failure {
    fn from(error: ClientAuthError) -> Self {
        let code = match error {
            ClientAuthError::NoPassword(_) => ExitCode::PasswordRequired,
            ClientAuthError::PasswordFile { .. } => ExitCode::PasswordFileError,
            ClientAuthError::Refused(_) => ExitCode::EncryptionError,
            ClientAuthError::UnsupportedHandler(_) => ExitCode::Unsupported,
            _ => ExitCode::Failure,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::transport::Nobody;
    use clap::Parser;

    #[derive(Debug, clap::Parser)]
    struct Server {
        #[command(flatten)]
        auth: ServerAuthArgs,
    }

    #[derive(Debug, clap::Parser)]
    struct Client {
        #[command(flatten)]
        auth: ClientAuthArgs,
    }

    fn environment() -> Environment {
        Environment {
            variables: [("USER", "fred"), ("HOME", "/home/fred")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            uid: 1000,
            ..Environment::default()
        }
    }

    #[test]
    fn the_socket_decides_and_then_its_kind() {
        let line = "x --auth=none --tcp-auth=allow --tcp-auth reject --ssl-auth=fail";
        let args = Server::parse_from(line.split(' ')).auth;
        let names = |kind, socket: &Options| {
            let chain = args.chain(kind, socket, &environment()).unwrap();
            chain.names().collect::<Vec<_>>().join(" ")
        };
        let mut own = Options::new();
        assert_eq!(names(TransportKind::Socket, &own), "none");
        assert_eq!(names(TransportKind::Tcp, &own), "allow reject");
        assert_eq!(names(TransportKind::Ssl, &own), "fail");
        assert_eq!(names(TransportKind::Vsock, &own), "");
        own.push("auth", "peercred");
        own.push("auth", "none");
        assert_eq!(names(TransportKind::Tcp, &own), "peercred none");
    }

    #[test]
    fn a_file_without_a_name_is_the_password_file() {
        let args = Server::parse_from(["x", "--auth=file", "--password-file=~/secret"]).auth;
        let chain = args
            .chain(TransportKind::Socket, &Options::new(), &environment())
            .unwrap();
        assert!(format!("{chain:?}").contains("/home/fred/secret"));
    }

    #[test]
    fn a_server_with_a_wrong_module_does_not_start() {
        let args = Server::parse_from(["x", "--auth=fiile"]).auth;
        let error = args
            .chain(TransportKind::Socket, &Options::new(), &environment())
            .unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.code, ExitCode::Failure);
        assert!(failure.message.contains("did you mean 'file'?"), "{failure}");
    }

    #[test]
    fn who_a_client_is_and_what_it_knows() {
        let address: Address = "tcp://bob:pw@host/".parse().unwrap();
        let none = ClientAuthArgs::default();
        assert_eq!(none.username(&address.credentials, &environment()), "bob");
        assert_eq!(none.username(&Credentials::default(), &environment()), "fred");
        let given = Client::parse_from(["x", "--username=eve", "--challenge-handlers=none"]).auth;
        assert_eq!(given.username(&address.credentials, &environment()), "eve");
        let knows = |args: &ClientAuthArgs| {
            let nobody = Arc::new(Nobody);
            let handlers = args.handlers(&address.credentials, &address.options, &environment(), nobody);
            handlers.unwrap().has_password()
        };
        assert!(knows(&none));
        assert!(!knows(&given));
    }
}
