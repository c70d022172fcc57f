//! Why there is no TLS, in words for the user and in variants for exit codes (`endpoints.md` d, j.3).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError};

use super::certificate::Certificate;

/// Why TLS failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate of a host is another one than the one that was trusted.
    #[error(
        "THE CERTIFICATE OF '{host}' HAS CHANGED: it is {shown}, and {saved} was trusted. Somebody may be \
         listening in. If its owner says that it is new, remove '{}' and connect again", .file.display()
    )]
    Changed {
        /// `HOST:PORT`.
        host: String,
        /// The fingerprint of the one the host showed.
        shown: String,
        /// The fingerprint of the one that was trusted.
        saved: String,
        /// Where that is.
        file: PathBuf,
    },
    /// A file of certificates or keys cannot be used.
    #[error("cannot use '{}': {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The handshake failed for another reason than a certificate.
    #[error("no TLS with '{host}': {reason}")]
    Handshake {
        /// `HOST:PORT`.
        host: String,
        /// What happened.
        reason: String,
    },
    /// The certificate of a host is wrong, whoever may trust it.
    #[error("the certificate of '{host}' cannot be accepted: {reason} ({fingerprint})")]
    Invalid {
        /// `HOST:PORT`.
        host: String,
        /// What is wrong with it.
        reason: String,
        /// Its fingerprint.
        fingerprint: String,
    },
    /// A server has no certificate, and none could be made.
    #[error("there is no certificate for TLS: {reason}. Name one with --ssl-cert=FILE")]
    NoCertificate {
        /// Why none could be made.
        reason: String,
    },
    /// The value of an option makes no sense or cannot be had.
    #[error("{name}={value}: {reason}")]
    Option {
        /// Its name: `ssl-protocol`.
        name: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody vouches for the certificate of a host.
    #[error(
        "{0}. Compare that with what the server's owner says; then connect where you can be asked, or give the \
         certificate as --ssl-ca-certs=FILE, or add strict-host-check=no to the address"
    )]
    Untrusted(Box<Untrusted>),
}

impl TlsError {
    /// True when it is about the peer's certificate rather than about TLS (exit code 19 rather than 16).
    pub const fn is_verification(&self) -> bool {
        matches!(
            self,
            Self::Changed { .. } | Self::Invalid { .. } | Self::Untrusted(_)
        )
    }

    pub(super) fn file(path: &Path, reason: impl ToString) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn handshake(host: &str, reason: impl ToString) -> Self {
        Self::Handshake {
            host: host.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn option(name: &str, value: &str, reason: impl ToString) -> Self {
        Self::Option {
            name: format!("ssl-{name}"),
            value: value.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Why a client's handshake with `host` failed: what the verifier said, or else what rustls or the network did.
    pub(super) fn of_handshake(host: &str, error: &io::Error) -> Self {
        let certificate = match rustls_error(error) {
            Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) => {
                other.0.downcast_ref::<Self>().cloned()
            }
            _ => None,
        };
        certificate.unwrap_or_else(|| Self::handshake(host, explain(error)))
    }
}

/// A certificate that nobody vouches for, of a host that is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untrusted {
    /// `HOST:PORT`.
    pub host: String,
    /// Why it does not verify.
    pub reason: String,
    /// What it says.
    pub certificate: Certificate,
    pub(super) der: CertificateDer<'static>,
    /// Where it is to be kept when somebody trusts it.
    pub(super) file: Option<PathBuf>,
}

impl Untrusted {
    /// What to ask the user.
    pub fn question(&self) -> String {
        let Self {
            host, certificate, ..
        } = self;
        let names = match certificate.names.as_slice() {
            [] => String::new(),
            names => format!(", for {}", names.join(", ")),
        };
        format!(
            "{self}\n{}{names}\nSHA-256 {}\nTrust it as the certificate of '{host}' from now on?",
            certificate.subject,
            certificate.fingerprint.hex()
        )
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the certificate of '{}' cannot be verified: {}; it is {}",
            self.host, self.reason, self.certificate.fingerprint
        )
    }
}

/// What went wrong in or under TLS, for people.
pub(super) fn explain(error: &io::Error) -> String {
    let wants_certificate =
        "the other end wants a certificate that it can verify (--ssl-cert, --ssl-key)".to_owned();
    match rustls_error(error) {
        Some(rustls::Error::AlertReceived(alert)) => match alert {
            AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown => wants_certificate,
            AlertDescription::ProtocolVersion => {
                "no version of TLS in common (1.2 and 1.3 are spoken)".to_owned()
            }
            AlertDescription::HandshakeFailure => {
                "no cipher in common, or a certificate is wanted (--ssl-cert, --ssl-key)".to_owned()
            }
            alert => format!("the other end refused: {alert:?}"),
        },
        Some(rustls::Error::InvalidMessage(_)) => format!("the other end does not speak TLS ({error})"),
        Some(rustls::Error::NoCertificatesPresented) => "the other end showed no certificate".to_owned(),
        Some(error) => error.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the other end closed the connection instead".to_owned()
        }
        None => error.to_string(),
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
