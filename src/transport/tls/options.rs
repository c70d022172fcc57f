//! What users may say about TLS, in xpra's words (`endpoints.md` d): plain values, read when a [`ServerTls`] or a
//! [`ClientTls`] is made of them.
//!
//! [`ServerTls`]: super::ServerTls
//! [`ClientTls`]: super::ClientTls

use std::path::PathBuf;

use super::error::TlsError;
use super::places::Places;
use super::policy::Policy;
use crate::address::{Options, Secret};

/// Options of the other end, which the same list may hold.
const OF_CLIENTS: &[&str] = &["check-hostname", "server-hostname", "server-verify-mode"];
const OF_SERVERS: &[&str] = &["client-verify-mode", "mode", "upgrade"];

/// How a server does TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerTlsOptions {
    /// The file of the certificate, perhaps with the key; `None` looks in [`places`](Self::places), and makes one.
    pub cert: Option<PathBuf>,
    /// The file of the private key, if that is another one.
    pub key: Option<PathBuf>,
    /// What decrypts the private key.
    pub key_password: Option<Secret>,
    /// Who vouches for clients.
    pub ca_certs: CaCerts,
    /// More of these: PEM in hexadecimal or base64.
    pub ca_data: Option<String>,
    /// Whether clients must show a certificate.
    pub client_verify_mode: VerifyMode,
    /// Ciphers and versions.
    pub policy: Policy,
    /// Where files are that nobody named.
    pub places: Places,
}

/// How a client does TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTlsOptions {
    /// The file of the client's own certificate, perhaps with the key.
    pub cert: Option<PathBuf>,
    /// The file of its private key, if that is another one.
    pub key: Option<PathBuf>,
    /// What decrypts the private key.
    pub key_password: Option<Secret>,
    /// Who vouches for servers, beside the authorities this machine trusts.
    pub ca_certs: CaCerts,
    /// More of these: PEM in hexadecimal or base64.
    pub ca_data: Option<String>,
    /// Whether the server's certificate is looked at.
    pub server_verify_mode: VerifyMode,
    /// Whether the server's certificate has to be for the host that was asked for.
    pub check_hostname: bool,
    /// The name to ask for and to check, instead of the address's host.
    pub server_hostname: Option<String>,
    /// What to do about a certificate nobody vouches for (`strict-host-check`).
    pub host_check: HostCheck,
    /// Where the certificates of trusted hosts are kept; `None` keeps none.
    pub hosts: Option<PathBuf>,
    /// Ciphers and versions.
    pub policy: Policy,
    /// Where files are that nobody named.
    pub places: Places,
}

impl Default for ClientTlsOptions {
    fn default() -> Self {
        Self {
            cert: None,
            key: None,
            key_password: None,
            ca_certs: CaCerts::default(),
            ca_data: None,
            server_verify_mode: VerifyMode::Required,
            check_hostname: true,
            server_hostname: None,
            host_check: HostCheck::default(),
            hosts: None,
            policy: Policy::default(),
            places: Places::default(),
        }
    }
}

/// Who vouches for certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CaCerts {
    /// `ca-cert.pem` in the default places, if there is one.
    Auto,
    /// The authorities this machine trusts.
    #[default]
    Default,
    /// A file, or all files of a directory.
    Path(PathBuf),
}

impl CaCerts {
    /// Reads `default`, `auto` or a path.
    pub fn new(text: &str) -> Self {
        match text {
            "" | "default" => Self::Default,
            "auto" => Self::Auto,
            path => Self::Path(path.into()),
        }
    }
}

/// Whether the other end's certificate is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyMode {
    /// It is not asked for, or not looked at.
    None,
    /// It is if there is one.
    #[default]
    Optional,
    /// There has to be one.
    Required,
}

impl VerifyMode {
    /// Reads `none`, `optional` or `required`.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            _ => Err("write none, optional or required"),
        }
    }
}

/// What to do about the certificate of a host that nobody vouches for, as ssh does about keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostCheck {
    /// Ask the user, once for each host.
    #[default]
    Ask,
    /// Trust the first one a host shows.
    No,
    /// Refuse it.
    Yes,
}

impl HostCheck {
    /// Reads `yes`, `no` or `ask`.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        match text.to_ascii_lowercase().as_str() {
            "ask" => Ok(Self::Ask),
            "no" | "false" | "0" | "off" => Ok(Self::No),
            "yes" | "true" | "1" | "on" => Ok(Self::Yes),
            _ => Err("write yes, no or ask"),
        }
    }
}

impl ServerTlsOptions {
    /// These, with what the `ssl-*` options of a socket override (`endpoints.md` a.2).
    pub fn with(&self, options: &Options) -> Result<Self, TlsError> {
        let mut these = self.clone();
        if options.get("ssl-cert").is_some() {
            // it comes with its own key
            these.key = None;
        }
        for (name, value) in tls_options(options) {
            these.set(name, value)?;
        }
        Ok(these)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), TlsError> {
        let wrong = |reason| TlsError::option(name, value, reason);
        match name {
            "ca-certs" => self.ca_certs = CaCerts::new(value),
            "ca-data" => self.ca_data = given(value),
            "cert" => self.cert = file(value),
            "client-verify-mode" => self.client_verify_mode = VerifyMode::new(value).map_err(wrong)?,
            "key" => self.key = file(value),
            "key-password" => self.key_password = given(value).map(Secret::new),
            name if OF_CLIENTS.contains(&name) || OF_SERVERS.contains(&name) => {}
            _ if self.policy.set(name, value) => {}
            _ => return Err(wrong("there is no such option")),
        }
        Ok(())
    }
}

impl ClientTlsOptions {
    /// These, with what the `ssl-*` options and `strict-host-check` of an address override.
    pub fn with(&self, options: &Options) -> Result<Self, TlsError> {
        let mut these = self.clone();
        if options.get("ssl-cert").is_some() {
            // it comes with its own key
            these.key = None;
        }
        for (name, value) in tls_options(options) {
            these.set(name, value)?;
        }
        if let Some(value) = options.get("strict-host-check") {
            these.host_check = HostCheck::new(value).map_err(|reason| TlsError::Option {
                name: "strict-host-check".to_owned(),
                value: value.to_owned(),
                reason: reason.to_owned(),
            })?;
        }
        Ok(these)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), TlsError> {
        let wrong = |reason| TlsError::option(name, value, reason);
        match name {
            "ca-certs" => self.ca_certs = CaCerts::new(value),
            "ca-data" => self.ca_data = given(value),
            "cert" => self.cert = file(value),
            "check-hostname" => self.check_hostname = yes_or_no(value).map_err(wrong)?,
            "key" => self.key = file(value),
            "key-password" => self.key_password = given(value).map(Secret::new),
            "server-hostname" => self.server_hostname = given(value),
            "server-verify-mode" => self.server_verify_mode = VerifyMode::new(value).map_err(wrong)?,
            name if OF_CLIENTS.contains(&name) || OF_SERVERS.contains(&name) => {}
            _ if self.policy.set(name, value) => {}
            _ => return Err(wrong("there is no such option")),
        }
        Ok(())
    }
}

fn tls_options(options: &Options) -> impl Iterator<Item = (&str, &str)> {
    options
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("ssl-")?, value)))
}

fn given(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn file(value: &str) -> Option<PathBuf> {
    given(value).filter(|value| value != "auto").map(PathBuf::from)
}

fn yes_or_no(value: &str) -> Result<bool, &'static str> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" | "on" => Ok(true),
        "no" | "false" | "0" | "off" => Ok(false),
        _ => Err("write yes or no"),
    }
}
