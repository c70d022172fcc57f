//! The client's side of TLS, and what to do about hosts nobody vouches for.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::{TlsError, Untrusted};
use super::hosts::{self, Known};
use super::options::{ClientTlsOptions, HostCheck, VerifyMode};
use super::places::Files;
use super::policy::Terms;
use super::server::own_key;
use super::stream::Closing;
use super::verify::{HostVerifier, Trust};
use super::{HTTP, TlsFacts};
use crate::transport::{ConnectError, ConnectOptions, Link, Prompt, TransportKind};

/// Makes TLS on links to servers.
#[derive(Clone, Debug)]
pub struct ClientTls {
    options: ClientTlsOptions,
    terms: Terms,
    trust: Trust,
    own: Option<Arc<SingleCertAndKey>>,
    /// What [`ClientTls::remember`] was told, in case it cannot be kept on disk.
    remembered: Option<Untrusted>,
}

impl ClientTls {
    /// Reads the files the options name (blocks).
    pub fn new(options: &ClientTlsOptions) -> Result<Self, TlsError> {
        let terms = options.policy.terms()?;
        let trust = Trust::named(&options.ca_certs, options.ca_data.as_deref(), &options.places)?;
        let own = match Files::named(options.cert.as_ref(), options.key.as_ref())? {
            Some(files) => Some(own_key(&files, options.key_password.as_ref(), &terms.provider)?),
            None => None,
        };
        Ok(Self {
            options: options.clone(),
            trust: match options.server_verify_mode {
                VerifyMode::None => trust,
                VerifyMode::Optional | VerifyMode::Required => trust.and_system(),
            },
            terms,
            own: own.map(|key| Arc::new(SingleCertAndKey::from(key))),
            remembered: None,
        })
    }

    /// Shakes hands with `host` on `link`, which then is the link inside TLS. Waits as long as the peer takes: the
    /// caller sets limits. After [`TlsError::Untrusted`] the user may be asked, and if it is to be
    /// [remembered](Self::remember) the handshake done again on a new link.
    pub async fn connect(&self, link: Link, host: &str, port: u16) -> Result<Link, TlsError> {
        let Link { stream, mut info } = link;
        let label = label(host, port);
        let config = self.config(host, port, &label, info.kind)?;
        let name = self.options.server_hostname.as_deref().unwrap_or(host);
        let name = server_name(name).ok_or_else(|| {
            TlsError::handshake(
                &label,
                "a certificate cannot be for such a name (see --ssl-server-hostname)",
            )
        })?;
        let verifies = self.options.server_verify_mode != VerifyMode::None;
        if !verifies {
            tracing::warn!("the certificate of '{label}' is not verified: anybody may be listening in");
        }
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|error| TlsError::of_handshake(&label, &error))?;
        let (_, connection) = stream.get_ref();
        info.tls = Some(Arc::new(TlsFacts::new(connection, verifies)));
        info.is_private = true;
        Ok(Link::new(Closing(stream), info))
    }

    /// Trusts that certificate for that host: in later handshakes of this, and of others if it can be saved (blocks
    /// for files).
    pub fn remember(&mut self, untrusted: &Untrusted) {
        if let Some(file) = &untrusted.file {
            match hosts::remember(file, &untrusted.der) {
                Ok(()) => tracing::info!("the certificate of '{}' is now trusted", untrusted.host),
                Err(error) => tracing::warn!("a trusted certificate is not saved: {error}"),
            }
        }
        self.remembered = Some(untrusted.clone());
    }

    /// Decides about a certificate nobody vouches for as the options say, by asking the user if need be.
    async fn approve(mut self, untrusted: Box<Untrusted>, prompt: Arc<dyn Prompt>) -> Result<Self, TlsError> {
        let host = untrusted.host.clone();
        let decide = move || {
            let is_trusted = match self.options.host_check {
                HostCheck::Ask => prompt.confirm(&untrusted.question()).unwrap_or(false),
                HostCheck::No => true,
                HostCheck::Yes => false,
            };
            if !is_trusted {
                return Err(TlsError::Untrusted(untrusted));
            }
            self.remember(&untrusted);
            Ok(self)
        };
        spawn_blocking(decide)
            .await
            .map_err(|error| TlsError::handshake(&host, error))?
    }

    pub(super) fn config(
        &self,
        host: &str,
        port: u16,
        label: &str,
        kind: TransportKind,
    ) -> Result<ClientConfig, TlsError> {
        let Terms {
            provider, versions, ..
        } = &self.terms;
        let verifier = HostVerifier {
            mode: self.options.server_verify_mode,
            trust: self.trust.clone(),
            check_hostname: self.options.check_hostname,
            host: label.to_owned(),
            known: self.known(host, port, label)?,
            file: self
                .options
                .hosts
                .as_deref()
                .map(|hosts| hosts::file(hosts, host, port)),
            provider: Arc::clone(provider),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(versions)
            .map_err(|error| TlsError::option("protocol", &self.options.policy.protocol, error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.own {
            Some(own) => builder.with_client_cert_resolver(Arc::clone(own) as _),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        if kind == TransportKind::Wss {
            config.alpn_protocols = vec![HTTP.to_vec()];
        }
        Ok(config)
    }

    fn known(&self, host: &str, port: u16, label: &str) -> Result<Option<Known>, TlsError> {
        let saved = match &self.options.hosts {
            Some(hosts) => hosts::find(hosts, host, port)?,
            None => None,
        };
        let remembered = self
            .remembered
            .as_ref()
            .filter(|untrusted| untrusted.host == label);
        Ok(saved.or_else(|| {
            remembered.map(|untrusted| Known {
                der: untrusted.der.clone(),
                file: PathBuf::new(),
            })
        }))
    }
}

/// The link inside TLS to `host`, over one that `open` makes. It is made again after the user was asked about a new
/// host, because no server waits that long for a login.
pub(in crate::transport) async fn secure<F>(
    open: impl Fn() -> F,
    (host, port): (&str, u16),
    options: &ConnectOptions,
    tls: ClientTlsOptions,
) -> Result<Link, ConnectError>
where
    F: Future<Output = Result<Link, ConnectError>>,
{
    let client = spawn_blocking(move || ClientTls::new(&tls))
        .await
        .map_err(|error| TlsError::handshake(&label(host, port), error))??;
    let attempt = async |client: &ClientTls| {
        let handshake = client.connect(open().await?, host, port);
        match timeout(options.attempt_timeout, handshake).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(ConnectError::from(TlsError::handshake(
                &label(host, port),
                "no answer",
            ))),
        }
    };
    match attempt(&client).await {
        Err(ConnectError::Tls(TlsError::Untrusted(untrusted))) => {
            let client = client.approve(untrusted, Arc::clone(&options.prompt)).await?;
            attempt(&client).await
        }
        result => result,
    }
}

/// A host and a port as people write them.
fn label(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// A host's name or address as TLS has it: without the interface of an IPv6 address and without a final dot.
fn server_name(host: &str) -> Option<ServerName<'static>> {
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    if let Ok(address) = address.parse::<IpAddr>() {
        return Some(ServerName::from(address));
    }
    ServerName::try_from(host.trim_end_matches('.').to_owned()).ok()
}
