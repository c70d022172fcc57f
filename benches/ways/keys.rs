//! An authority and a certificate of it for this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use xpra::transport::tls::{CaCerts, ClientTlsOptions, ServerTlsOptions, VerifyMode};

/// In files, so that other processes have them too.
pub(crate) struct Keys {
    ca: PathBuf,
    cert: PathBuf,
}

impl Keys {
    /// New ones, kept in that directory.
    pub(crate) fn new(directory: &Path) -> Self {
        let mut params = CertificateParams::new(vec!["authority".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let keys = Self::at(directory);
        fs::write(&keys.ca, authority.pem()).unwrap();
        fs::write(&keys.cert, certificate.pem() + &key.serialize_pem()).unwrap();
        keys
    }

    /// Those another process keeps there.
    pub(crate) fn at(directory: &Path) -> Self {
        Self {
            ca: directory.join("ca.pem"),
            cert: directory.join("cert.pem"),
        }
    }

    /// For our client.
    pub(crate) fn client_options(&self) -> ClientTlsOptions {
        ClientTlsOptions {
            ca_certs: CaCerts::Path(self.ca.clone()),
            ..ClientTlsOptions::default()
        }
    }

    /// For our server.
    pub(crate) fn server_options(&self) -> ServerTlsOptions {
        ServerTlsOptions {
            cert: Some(self.cert.clone()),
            client_verify_mode: VerifyMode::None,
            ..ServerTlsOptions::default()
        }
    }

    /// For a client of rustls alone, with the same ciphers and nothing remembered.
    pub(crate) fn bare_client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&self.ca).unwrap())
            .unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    }

    /// For a server of rustls alone.
    pub(crate) fn bare_server(&self) -> Arc<ServerConfig> {
        let (certificate, key) = (
            CertificateDer::from_pem_file(&self.cert).unwrap(),
            PrivateKeyDer::from_pem_file(&self.cert).unwrap(),
        );
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
