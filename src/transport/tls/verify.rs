//! Which certificates are accepted, and what is wrong with the others.
//!
//! A server's certificate is accepted when an authority vouches for it and it is for the host that was asked for, when
//! it is itself one of those the user named, or when it is the one the user trusted for that host before. Nothing makes
//! up for one that is out of date or may not be used by a server, and the handshake always has to show that the peer
//! has its key.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::certificate::{Certificate, Fingerprint};
use super::error::{TlsError, Untrusted};
use super::files;
use super::hosts::Known;
use super::options::{CaCerts, VerifyMode};
use super::places::Places;

/// Who vouches for certificates.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    /// Authorities: they vouch for others.
    roots: Arc<RootCertStore>,
    /// Those the user named, authorities or not: each vouches for itself, which webpki does not let it.
    named: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Those that options name.
    pub(super) fn named(
        ca_certs: &CaCerts,
        ca_data: Option<&str>,
        places: &Places,
    ) -> Result<Self, TlsError> {
        let path = match ca_certs {
            CaCerts::Auto => places.authority(),
            CaCerts::Default => None,
            CaCerts::Path(path) => Some(path.clone()),
        };
        let mut named = match path {
            Some(path) if path.is_dir() => files::directory(&path)?,
            Some(path) => files::certificates(&path)?,
            None => Vec::new(),
        };
        if let Some(data) = ca_data {
            let wrong = |reason| TlsError::option("ca-data", "..", reason);
            named.extend(files::data(data).map_err(wrong)?);
        }
        let is_authority =
            |der: &&CertificateDer<'_>| Certificate::read(der).is_ok_and(|read| read.is_authority);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(named.iter().filter(is_authority).cloned());
        Ok(Self {
            roots: Arc::new(roots),
            named,
        })
    }

    /// These, and the authorities this machine trusts.
    pub(super) fn and_system(mut self) -> Self {
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::debug!("certificates of this machine: {error}");
        }
        Arc::make_mut(&mut self.roots).add_parsable_certificates(system.certs);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.roots.is_empty()
    }

    fn names(&self, certificate: &CertificateDer<'_>) -> bool {
        self.named.contains(certificate)
    }
}

/// A client's judgement of one host's certificate.
#[derive(Debug)]
pub(super) struct HostVerifier {
    pub(super) mode: VerifyMode,
    pub(super) trust: Trust,
    pub(super) check_hostname: bool,
    /// `HOST:PORT`, for people.
    pub(super) host: String,
    /// The certificate this host was trusted with.
    pub(super) known: Option<Known>,
    /// Where to keep it if it is trusted now.
    pub(super) file: Option<PathBuf>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl HostVerifier {
    fn judge(
        &self,
        der: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), TlsError> {
        let invalid = |reason: String| TlsError::Invalid {
            host: self.host.clone(),
            reason,
            fingerprint: Fingerprint::of(der).to_string(),
        };
        let parsed = ParsedCertificate::try_from(der).map_err(|error| invalid(words(&error)))?;
        let is_named = self.trust.names(der);
        let algorithms = self.provider.signature_verification_algorithms.all;
        let vouched = match is_named {
            true => Ok(()),
            false => {
                verify_server_cert_signed_by_trust_anchor(&parsed, &self.trust.roots, chain, now, algorithms)
            }
        };
        let is_for_host = !self.check_hostname || verify_server_name(&parsed, name).is_ok();
        if vouched.is_ok() && is_for_host && !is_named {
            return Ok(());
        }

        let certificate =
            Certificate::read(der).map_err(|error| invalid(format!("it cannot be read ({error})")))?;
        let mut reasons = Vec::new();
        if let Err(error) = vouched {
            reasons.push(unknown_issuer(&error, &certificate).ok_or_else(|| invalid(words(&error)))?);
        }
        if !is_for_host {
            reasons.push(match certificate.names.as_slice() {
                [] => format!("it is not for {}", name.to_str()),
                names => format!("it is for {}, not for {}", names.join(", "), name.to_str()),
            });
        }
        valid_now(&certificate, now).map_err(invalid)?;
        match reasons.as_slice() {
            [] => Ok(()),
            reasons => self.recognise(der, certificate, reasons.join(" and ")),
        }
    }

    /// Accepts what this host was trusted with before.
    fn recognise(
        &self,
        der: &CertificateDer<'_>,
        certificate: Certificate,
        reason: String,
    ) -> Result<(), TlsError> {
        match &self.known {
            Some(known) if known.der == *der => Ok(()),
            Some(known) => Err(TlsError::Changed {
                host: self.host.clone(),
                shown: certificate.fingerprint.to_string(),
                saved: Fingerprint::of(&known.der).to_string(),
                file: known.file.clone(),
            }),
            None => Err(TlsError::Untrusted(Box::new(Untrusted {
                host: self.host.clone(),
                reason,
                certificate,
                der: der.clone().into_owned(),
                file: self.file.clone(),
            }))),
        }
    }
}

/// What rustls has against a certificate, for people.
fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::ExpiredContext { .. }) => EXPIRED.to_owned(),
        Error::InvalidCertificate(CertificateError::NotValidYetContext { .. }) => EARLY.to_owned(),
        error => error.to_string(),
    }
}

const EXPIRED: &str = "it has expired";
const EARLY: &str = "it is not valid yet (are the clocks right?)";

/// In words that nobody known has signed it; `None` if something else is wrong.
fn unknown_issuer(error: &Error, certificate: &Certificate) -> Option<String> {
    let Error::InvalidCertificate(error) = error else {
        return None;
    };
    match error {
        CertificateError::UnknownIssuer => {}
        // What openssl makes without being told is an authority, which webpki wants no server to be. This is the first
        // thing it looks at, dates apart.
        CertificateError::Other(_) if certificate.is_authority => {}
        // All the world calls itself localhost: one that is trusted did not sign this one, which says that it signed
        // itself.
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
            if certificate.is_self_signed => {}
        _ => return None,
    }
    Some(match certificate.is_self_signed {
        true => "it is self-signed".to_owned(),
        false => format!("nobody known vouches for who signed it ({})", certificate.issuer),
    })
}

fn valid_now(certificate: &Certificate, now: UnixTime) -> Result<(), String> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
    if now > certificate.not_after {
        Err(EXPIRED.to_owned())
    } else if now < certificate.not_before {
        Err(EARLY.to_owned())
    } else {
        Ok(())
    }
}

impl ServerCertVerifier for HostVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.mode != VerifyMode::None {
            self.judge(end_entity, intermediates, server_name, now)
                .map_err(|error| CertificateError::Other(OtherError(Arc::new(error))))?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A server's judgement of clients' certificates; `None` when it does not ask for them.
pub(super) fn client_verifier(
    mode: VerifyMode,
    trust: Trust,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    match mode {
        VerifyMode::None => return Ok(None),
        // nobody could vouch for one
        VerifyMode::Optional if trust.is_empty() => return Ok(None),
        VerifyMode::Required if trust.is_empty() => {
            let reason = "nobody is known who could vouch for a client: name some with --ssl-ca-certs";
            return Err(TlsError::option("client-verify-mode", "required", reason));
        }
        VerifyMode::Optional | VerifyMode::Required => {}
    }
    let by_authority = match trust.roots.is_empty() {
        true => None,
        false => Some(
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&trust.roots), Arc::clone(provider))
                .build()
                .map_err(|error| TlsError::option("ca-certs", "..", error))?,
        ),
    };
    Ok(Some(Arc::new(PeerVerifier {
        is_mandatory: mode == VerifyMode::Required,
        by_authority,
        trust,
        provider: Arc::clone(provider),
    })))
}

/// Lets in clients that an authority vouches for, and those whose own certificate was named.
#[derive(Debug)]
struct PeerVerifier {
    is_mandatory: bool,
    by_authority: Option<Arc<dyn ClientCertVerifier>>,
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    /// None: a list of all public authorities in each handshake helps nobody.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.trust.names(end_entity) {
            let certificate = Certificate::read(end_entity).map_err(|_| CertificateError::BadEncoding)?;
            valid_now(&certificate, now).map_err(|_| CertificateError::Expired)?;
            return Ok(ClientCertVerified::assertion());
        }
        match &self.by_authority {
            Some(authorities) => authorities.verify_client_cert(end_entity, intermediates, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
