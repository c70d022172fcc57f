//! Options of TLS, as xpra spells them (`endpoints.md` d).

use super::options::boolean;
use crate::address::Secret;
use crate::discovery::Environment;
use crate::transport::tls::{CaCerts, ClientTlsOptions, Places, Policy, ServerTlsOptions, VerifyMode};
use clap::ArgAction::Set;
use std::convert::Infallible;
use std::path::PathBuf;

/// What TLS is for on a server's sockets that speak several protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// It is accepted if there is a certificate.
    Auto,
    /// It is not accepted.
    Off,
    /// It is accepted, and there has to be a certificate.
    On,
    /// The same, with xpra's protocol inside.
    Tcp,
    /// The same, with HTTP inside.
    Www,
}

impl SslMode {
    /// Reads the value of `--ssl` or of a socket's `ssl-mode`.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        match text.trim().to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "tcp" => Ok(Self::Tcp),
            "www" => Ok(Self::Www),
            other => match boolean(other) {
                Ok(true) => Ok(Self::On),
                Ok(false) => Ok(Self::Off),
                Err(_) => Err("write auto, on, off, tcp or www"),
            },
        }
    }
}

/// What both ends have in common.
#[derive(Clone, Debug, clap::Args)]
struct TlsArgs {
    /// Certificate (PEM), perhaps with its private key
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    ssl_cert: String,
    /// Private key (PEM)
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    ssl_key: String,
    /// Password of the private key (better in XPRA_SSL_KEY_PASSWORD)
    #[arg(long, value_name = "PASSWORD", value_parser = secret)]
    ssl_key_password: Option<Secret>,
    /// Who vouches for the other end: default (this machine's authorities), auto (ca-cert.pem), a file or a directory
    #[arg(long, value_name = "FILE|DIR|default|auto", default_value = "default")]
    ssl_ca_certs: String,
    /// The same as data: PEM in hexadecimal or base64
    #[arg(long, value_name = "DATA", default_value = "", hide_default_value = true)]
    ssl_ca_data: String,
    /// Ciphers: names or OpenSSL's words, separated by colons
    #[arg(long, value_name = "LIST", default_value = "DEFAULT")]
    ssl_ciphers: String,
    /// Versions: TLS, TLSv1_2 or TLSv1_3
    #[arg(long, value_name = "NAME", default_value = "TLS")]
    ssl_protocol: String,
    /// Python's OP_ flags, as far as they make a difference
    #[arg(long, value_name = "LIST", default_value = "ALL,NO_COMPRESSION")]
    ssl_options: String,
    /// Python's VERIFY_ flags, likewise
    #[arg(long, value_name = "LIST", default_value = "X509_STRICT")]
    ssl_verify_flags: String,
}

/// How a server does TLS.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerTlsArgs {
    /// TLS on TCP sockets: auto (with a certificate), on, off, tcp (only xpra inside), www (only HTTP inside)
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = SslMode::new)]
    ssl: SslMode,
    /// Whether clients show a certificate
    #[arg(long, value_name = "none|optional|required", default_value = "optional", value_parser = VerifyMode::new)]
    ssl_client_verify_mode: VerifyMode,
    #[command(flatten)]
    tls: TlsArgs,
}

/// How a client does TLS.
#[derive(Clone, Debug, clap::Args)]
pub struct ClientTlsArgs {
    /// Whether the server's certificate is verified
    #[arg(long, value_name = "none|optional|required", default_value = "required", value_parser = VerifyMode::new)]
    ssl_server_verify_mode: VerifyMode,
    /// Whether the server's certificate has to be for the host of the address
    #[arg(long, value_name = "yes|no", action = Set, default_value = "yes", value_parser = boolean)]
    ssl_check_hostname: bool,
    /// The name to ask for and to check, instead of the address's host
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    ssl_server_hostname: String,
    #[command(flatten)]
    tls: TlsArgs,
}

impl TlsArgs {
    fn policy(&self) -> Policy {
        Policy {
            ciphers: self.ssl_ciphers.clone(),
            options: self.ssl_options.clone(),
            protocol: self.ssl_protocol.clone(),
            verify_flags: self.ssl_verify_flags.clone(),
        }
    }

    fn ca_certs(&self, environment: &Environment) -> CaCerts {
        CaCerts::new(&environment.expand(&self.ssl_ca_certs))
    }

    fn ca_data(&self) -> Option<String> {
        Some(self.ssl_ca_data.clone()).filter(|data| !data.is_empty())
    }

    fn key_password(&self, environment: &Environment) -> Option<Secret> {
        let given = self.ssl_key_password.clone();
        given.or_else(|| environment.variable("XPRA_SSL_KEY_PASSWORD").map(Secret::new))
    }
}

impl ServerTlsArgs {
    /// What TLS is for on the server's TCP sockets.
    pub const fn mode(&self) -> SslMode {
        self.ssl
    }

    /// True if TLS was asked for by more than its default: then there has to be a certificate, made if need be.
    pub fn is_wanted(&self) -> bool {
        match self.ssl {
            SslMode::Auto => !self.tls.ssl_cert.is_empty(),
            SslMode::Off => false,
            SslMode::On | SslMode::Tcp | SslMode::Www => true,
        }
    }

    /// The options of a server in that environment.
    pub fn options(&self, environment: &Environment) -> ServerTlsOptions {
        ServerTlsOptions {
            cert: file(&self.tls.ssl_cert, environment),
            key: file(&self.tls.ssl_key, environment),
            key_password: self.tls.key_password(environment),
            ca_certs: self.tls.ca_certs(environment),
            ca_data: self.tls.ca_data(),
            client_verify_mode: self.ssl_client_verify_mode,
            policy: self.tls.policy(),
            places: places(environment),
        }
    }
}

impl ClientTlsArgs {
    /// The options of a client in that environment.
    pub fn options(&self, environment: &Environment) -> ClientTlsOptions {
        let places = places(environment);
        ClientTlsOptions {
            cert: file(&self.tls.ssl_cert, environment),
            key: file(&self.tls.ssl_key, environment),
            key_password: self.tls.key_password(environment),
            ca_certs: self.tls.ca_certs(environment),
            ca_data: self.tls.ca_data(),
            server_verify_mode: self.ssl_server_verify_mode,
            check_hostname: self.ssl_check_hostname,
            server_hostname: Some(self.ssl_server_hostname.clone()).filter(|name| !name.is_empty()),
            hosts: places.keep.as_ref().map(|directory| directory.join("hosts")),
            policy: self.tls.policy(),
            places,
            ..ClientTlsOptions::default()
        }
    }
}

/// Where certificates are when nobody says, and where new ones go.
fn places(environment: &Environment) -> Places {
    let is_root = environment.uid == 0;
    let user = match environment.variable("XDG_CONFIG_HOME") {
        Some(directory) => PathBuf::from(directory),
        None => environment.home().join(".config"),
    };
    let user = user.join("xpra/ssl");
    let search: Vec<PathBuf> = match environment.variable("XPRA_SSL_CERT_PATHS") {
        Some(paths) => paths
            .split(':')
            .filter(|path| !path.is_empty())
            .map(|path| environment.expand(path).into())
            .collect(),
        None => {
            let old = (!is_root).then(|| environment.home().join(".xpra/ssl"));
            let system = [
                "/etc/xpra/ssl",
                "/usr/local/etc/xpra/ssl",
                "/etc/xpra",
                "/usr/local/etc/xpra",
                ".",
            ];
            let system = system.map(PathBuf::from);
            [user.clone()].into_iter().chain(old).chain(system).collect()
        }
    };
    let keep = match environment.variable("XPRA_SSL_CERT_PATHS") {
        Some(_) => search.first().cloned(),
        None if is_root => Some(PathBuf::from("/etc/xpra/ssl")),
        None => Some(user),
    };
    Places {
        search,
        keep,
        hostname: environment.hostname.clone(),
    }
}

fn file(text: &str, environment: &Environment) -> Option<PathBuf> {
    let named = !text.is_empty() && text != "auto";
    named.then(|| environment.expand(text).into())
}

#[expect(clippy::unnecessary_wraps, reason = "what clap wants of a parser")]
fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Server {
        #[command(flatten)]
        tls: ServerTlsArgs,
    }

    #[derive(Debug, Parser)]
    struct Client {
        #[command(flatten)]
        tls: ClientTlsArgs,
    }

    fn environment(uid: u32, variables: &[(&str, &str)]) -> Environment {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Environment {
            variables: [("HOME", "/h")].iter().chain(variables).map(text).collect(),
            uid,
            hostname: "machine".to_owned(),
            ..Environment::default()
        }
    }

    fn server(words: &[&str]) -> Result<ServerTlsArgs, clap::Error> {
        Server::try_parse_from([&["x"], words].concat()).map(|server| server.tls)
    }

    fn client(words: &[&str]) -> ClientTlsArgs {
        Client::try_parse_from([&["x"], words].concat()).unwrap().tls
    }

    #[test]
    fn defaults_are_those_of_the_options() {
        let user = environment(1000, &[]);
        let made = server(&[]).unwrap().options(&user);
        let places = made.places.clone();
        assert_eq!(
            made,
            ServerTlsOptions {
                places: places.clone(),
                ..ServerTlsOptions::default()
            }
        );
        assert_eq!(
            client(&[]).options(&user),
            ClientTlsOptions {
                places,
                hosts: Some("/h/.config/xpra/ssl/hosts".into()),
                ..ClientTlsOptions::default()
            }
        );
    }

    #[test]
    fn modes() {
        for (words, mode, wanted) in [
            (&[][..], SslMode::Auto, false),
            (&["--ssl-cert=/c"], SslMode::Auto, true),
            (&["--ssl=on"], SslMode::On, true),
            (&["--ssl=www"], SslMode::Www, true),
            (&["--ssl=TCP"], SslMode::Tcp, true),
            (&["--ssl=no", "--ssl-cert=/c"], SslMode::Off, false),
        ] {
            let args = server(words).unwrap();
            assert_eq!((args.mode(), args.is_wanted()), (mode, wanted), "{words:?}");
        }
        assert!(server(&["--ssl=perhaps"]).is_err());
        assert!(server(&["--ssl-client-verify-mode=perhaps"]).is_err());
    }

    #[test]
    fn what_is_written_is_meant() {
        let user = environment(1000, &[("XPRA_SSL_KEY_PASSWORD", "from outside")]);
        let args = client(&[
            "--ssl-cert=~/c.pem",
            "--ssl-key=$HOME/k.pem",
            "--ssl-ca-certs=~/ca",
            "--ssl-check-hostname=no",
            "--ssl-server-hostname=name",
            "--ssl-server-verify-mode=none",
            "--ssl-protocol=TLSv1_2",
        ]);
        let options = args.options(&user);
        assert_eq!(options.cert, Some("/h/c.pem".into()));
        assert_eq!(options.key, Some("/h/k.pem".into()));
        assert_eq!(options.key_password, Some(Secret::new("from outside")));
        assert_eq!(options.ca_certs, CaCerts::Path("/h/ca".into()));
        assert_eq!(options.server_verify_mode, VerifyMode::None);
        assert_eq!(options.server_hostname.as_deref(), Some("name"));
        assert_eq!(options.policy.protocol, "TLSv1_2");
        assert!(!options.check_hostname);
        let args = server(&["--ssl-key-password=mine", "--ssl-cert=auto"]).unwrap();
        assert!(!format!("{args:?}").contains("mine"));
        let options = args.options(&user);
        assert_eq!(
            (options.key_password, options.cert),
            (Some(Secret::new("mine")), None)
        );
    }

    #[test]
    fn where_certificates_are() {
        let user = places(&environment(1000, &[]));
        assert_eq!(user.keep, Some("/h/.config/xpra/ssl".into()));
        assert_eq!(user.search.first(), user.keep.as_ref());
        assert!(user.search.contains(&"/h/.xpra/ssl".into()));
        let root = places(&environment(0, &[]));
        assert_eq!(root.keep, Some("/etc/xpra/ssl".into()));
        assert!(!root.search.contains(&"/h/.xpra/ssl".into()));
        assert_eq!(root.hostname, "machine");
        let told = places(&environment(0, &[("XPRA_SSL_CERT_PATHS", "~/a:/b")]));
        assert_eq!(told.search, [PathBuf::from("/h/a"), "/b".into()]);
        assert_eq!(told.keep, Some("/h/a".into()));
        let moved = places(&environment(1000, &[("XDG_CONFIG_HOME", "/x")]));
        assert_eq!(moved.keep, Some("/x/xpra/ssl".into()));
    }
}
