//! TLS against itself, against real openssl, and against what is no TLS.

#[cfg(unix)]
mod certificates;
mod hostile;
#[cfg(unix)]
mod openssl;
#[cfg(unix)]
mod options;
mod server;
#[cfg(unix)]
mod trust;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::*;
use crate::address::{Address, Bind, DEFAULT_MIN_PORT, TransportKind};
use crate::transport::{
    ConnectError, ConnectOptions, Link, LinkInfo, ListenOptions, Listener, connect, listen,
};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The time certificates of tests are made at, and the one they are verified at.
#[expect(clippy::disallowed_methods, reason = "rustls verifies with the real clock")]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

/// A certificate and its key in PEM.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) cert: String,
    pub(super) key: String,
}

impl Pair {
    /// Both in one file of that name.
    pub(super) fn save(&self, directory: &Path, name: &str) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, self.key.clone() + &self.cert).unwrap();
        path
    }
}

/// What a certificate for `names` begins as: valid from yesterday until tomorrow.
pub(super) fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, names.join(" "));
    params.not_before = (now() - DAY).into();
    params.not_after = (now() + DAY).into();
    params
}

/// A self-signed certificate.
pub(super) fn self_signed(params: &CertificateParams) -> Pair {
    let key = KeyPair::generate().unwrap();
    Pair {
        cert: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// An authority.
pub(super) fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = params(&[name]);
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate signed by `issuer`.
pub(super) fn signed(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Pair {
    let key = KeyPair::generate().unwrap();
    Pair {
        cert: params.signed_by(&key, issuer).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// Options of a server with that certificate.
pub(super) fn server_options(cert: PathBuf) -> ServerTlsOptions {
    ServerTlsOptions {
        cert: Some(cert),
        client_verify_mode: VerifyMode::None,
        ..ServerTlsOptions::default()
    }
}

/// A server with a certificate of its own for this machine, and options of a client that expects it.
pub(in crate::transport) fn acquainted(protocol: &str) -> (ServerTls, ClientTlsOptions) {
    let directory = tempfile::tempdir().unwrap();
    let pair = self_signed(&params(&["localhost", "127.0.0.1"]));
    let mut options = server_options(pair.save(directory.path(), "cert.pem"));
    protocol.clone_into(&mut options.policy.protocol);
    let client = ClientTlsOptions {
        ca_data: Some(pair.cert),
        ..ClientTlsOptions::default()
    };
    (ServerTls::new(&options, now()).unwrap(), client)
}

/// A server that shows whatever certificate it is told to.
pub(super) fn unchecked_server(
    cert: &str,
    key: &str,
    version: &'static SupportedProtocolVersion,
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
    let key = SingleCertAndKey::from(CertifiedKey::new(vec![cert], key));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(key));
    Arc::new(config)
}

/// A listener on loopback, and the address for `ssl`.
pub(super) async fn listener() -> (Listener, String) {
    let bind = Bind::parse(TransportKind::Tcp, "127.0.0.1:0", DEFAULT_MIN_PORT).unwrap();
    let listener = listen(&bind, &ListenOptions::default()).await.unwrap().remove(0);
    let address = format!("ssl://{}/", listener.local());
    (listener, address)
}

/// A link over any stream.
pub(super) fn link(stream: impl crate::transport::Stream + 'static) -> Link {
    let info = LinkInfo {
        target: "ssl://test/".to_owned(),
        local: "here".to_owned(),
        ..LinkInfo::new(TransportKind::Ssl, "there")
    };
    Link::new(stream, info)
}

/// Both ends of TLS in memory.
pub(super) async fn shake(
    server: &ServerTls,
    client: &ClientTlsOptions,
) -> (Result<Link, TlsError>, std::io::Result<Link>) {
    let (near, far) = tokio::io::duplex(1 << 20);
    let client = ClientTls::new(client).unwrap();
    tokio::join!(
        client.connect(link(near), "localhost", 443),
        server.accept(link(far))
    )
}
