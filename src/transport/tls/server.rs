//! The server's side of TLS.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{Acceptor, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::LazyConfigAcceptor;

use super::certificate::Certificate;
use super::error::{TlsError, explain};
use super::options::{CaCerts, ServerTlsOptions, VerifyMode};
use super::places::Files;
use super::stream::Closing;
use super::verify::{Trust, client_verifier};
use super::{HTTP, TlsFacts, files};
use crate::address::Secret;
use crate::transport::Link;

/// Accepts TLS on links. Cheap to clone; clones share the certificate.
#[derive(Clone, Debug)]
pub struct ServerTls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: ServerTlsOptions,
    files: Files,
    loaded: RwLock<Arc<Loaded>>,
}

/// What the files said when they were read.
#[derive(Debug)]
struct Loaded {
    certificate: Certificate,
    /// For clients that offer HTTP (ALPN), and for all others: rustls refuses a client that offers only what it does
    /// not know, and xpra's know no names for their own protocol.
    http: Arc<ServerConfig>,
    other: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads the certificate and the key, or makes them at `now` when there are none (blocks for files).
    pub fn new(options: &ServerTlsOptions, now: SystemTime) -> Result<Self, TlsError> {
        let files = match Files::named(options.cert.as_ref(), options.key.as_ref())? {
            Some(files) => files,
            None => options.places.find_or_make(now)?,
        };
        let loaded = RwLock::new(Arc::new(Loaded::new(options, &files)?));
        Ok(Self(Arc::new(Shared {
            options: options.clone(),
            files,
            loaded,
        })))
    }

    /// Reads the files again, for handshakes from now on (blocks for files). After an error all stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let Shared {
            options,
            files,
            loaded,
        } = &*self.0;
        let fresh = Arc::new(Loaded::new(options, files)?);
        *loaded.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// What the server's certificate says.
    pub fn certificate(&self) -> Certificate {
        self.loaded().certificate.clone()
    }

    /// The file that holds the certificate.
    pub fn file(&self) -> &Path {
        &self.0.files.cert
    }

    /// Shakes hands on `link`, which then is the link inside TLS. Waits as long as the peer takes: the caller sets
    /// limits.
    pub async fn accept(&self, link: Link) -> io::Result<Link> {
        let loaded = self.loaded();
        let Link { stream, mut info } = link;
        let failed = |error: io::Error| io::Error::new(error.kind(), explain(&error));
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream)
            .await
            .map_err(failed)?;
        let offered = start.client_hello().alpn();
        let config = match offered.is_some_and(|mut names| names.any(|name| name == HTTP)) {
            true => &loaded.http,
            false => &loaded.other,
        };
        let stream = start.into_stream(Arc::clone(config)).await.map_err(failed)?;
        let (_, connection) = stream.get_ref();
        info.tls = Some(Arc::new(TlsFacts::new(connection, true)));
        info.is_private = true;
        Ok(Link::new(Closing(stream), info))
    }

    fn loaded(&self) -> Arc<Loaded> {
        let loaded = self.0.loaded.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&loaded)
    }
}

impl Loaded {
    fn new(options: &ServerTlsOptions, files: &Files) -> Result<Self, TlsError> {
        let terms = options.policy.terms()?;
        let key = own_key(files, options.key_password.as_ref(), &terms.provider)?;
        let certificate = key.cert.first().map(|der| Certificate::read(der)).transpose();
        let certificate = certificate
            .map_err(|error| TlsError::file(&files.cert, error))?
            .ok_or_else(|| TlsError::file(&files.cert, "there is no certificate in it"))?;
        let verifier = match options.client_verify_mode {
            VerifyMode::None => None,
            mode => client_verifier(mode, trust(options)?, &terms.provider)?,
        };
        let builder = ServerConfig::builder_with_provider(terms.provider)
            .with_protocol_versions(&terms.versions)
            .map_err(|error| TlsError::option("protocol", &options.policy.protocol, error))?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.ignore_client_order = true;
        // Clients with one OpenSSL object for two threads lose packets that tickets come in between of; and who is
        // let in is to be decided anew for each connection.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let mut http = config.clone();
        http.alpn_protocols = vec![HTTP.to_vec()];
        Ok(Self {
            certificate,
            http: Arc::new(http),
            other: Arc::new(config),
        })
    }
}

/// Who vouches for clients. The authorities of this machine do only while nobody is named: they vouch for names, not
/// for who may use a session.
fn trust(options: &ServerTlsOptions) -> Result<Trust, TlsError> {
    let named = Trust::named(&options.ca_certs, options.ca_data.as_deref(), &options.places)?;
    let is_default = options.ca_certs == CaCerts::Default && options.ca_data.is_none();
    Ok(if is_default { named.and_system() } else { named })
}

/// A certificate with its key.
pub(super) fn own_key(
    files: &Files,
    password: Option<&Secret>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = files::certificates(&files.cert)?;
    for der in &chain {
        Certificate::read(der).map_err(|error| TlsError::file(&files.cert, error))?;
    }
    let key = files::private_key(&files.key, password)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let cert = files.cert.display();
            TlsError::file(&files.key, format!("its private key is not that of '{cert}'"))
        }
        error => TlsError::file(&files.key, error),
    })
}
