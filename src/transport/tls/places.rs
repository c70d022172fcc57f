//! Where a server's certificate is when nobody says, and the first one (`endpoints.md` d, "default locations").

use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};

use super::error::TlsError;
use super::files;
use crate::system;

/// How long a certificate is valid that is made here.
const VALIDITY: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// How far the clocks of peers may be behind.
const LENIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate and its key in one file.
const COMBINED: &str = "ssl-cert.pem";

/// Where certificates are that nobody named. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Directories to look in, best first.
    pub search: Vec<PathBuf>,
    /// The directory for a certificate that is made; `None` makes none.
    pub keep: Option<PathBuf>,
    /// The name of this machine, for such a certificate.
    pub hostname: String,
}

/// The files of a certificate and of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl Files {
    /// Those that options name.
    pub(super) fn named(cert: Option<&PathBuf>, key: Option<&PathBuf>) -> Result<Option<Self>, TlsError> {
        match (cert, key) {
            (Some(cert), key) => Ok(Some(Self {
                cert: cert.clone(),
                key: key.unwrap_or(cert).clone(),
            })),
            (None, None) => Ok(None),
            (None, Some(key)) => {
                let reason = "a key alone is nothing: name its certificate with --ssl-cert";
                Err(TlsError::option("key", &key.to_string_lossy(), reason))
            }
        }
    }
}

impl Places {
    /// The first certificate there is with a key that may be read, or else a new one.
    pub(super) fn find_or_make(&self, now: SystemTime) -> Result<Files, TlsError> {
        if let Some(found) = self.search.iter().find_map(|place| find(place)) {
            return Ok(found);
        }
        let Some(keep) = &self.keep else {
            let reason = "none was found, and there is no place for a new one".to_owned();
            return Err(TlsError::NoCertificate { reason });
        };
        let failed = |reason: String| TlsError::NoCertificate {
            reason: format!("'{}' cannot be made: {reason}", keep.join(COMBINED).display()),
        };
        let pem = self_signed(&self.hostname, now).map_err(|error| failed(error.to_string()))?;
        let path = keep.join(COMBINED);
        // one that has appeared meanwhile is as good
        files::create_private(&path, pem.as_bytes()).map_err(|error| failed(error.to_string()))?;
        tracing::info!("made a certificate for TLS: '{}'", path.display());
        Ok(Files {
            cert: path.clone(),
            key: path,
        })
    }

    /// The authority of these places (`ca-cert.pem`), if there is one.
    pub(super) fn authority(&self) -> Option<PathBuf> {
        let mut files = self.search.iter().map(|place| place.join("ca-cert.pem"));
        files.find(|file| is_safe(file))
    }
}

fn find(place: &Path) -> Option<Files> {
    let combined = place.join(COMBINED);
    let apart = (place.join("cert.pem"), place.join("key.pem"));
    [(combined.clone(), combined), apart]
        .into_iter()
        .find(|(cert, key)| File::open(cert).is_ok() && is_safe(key))
        .map(|(cert, key)| Files { cert, key })
}

/// True if a file can be read, and nobody but root and us has put it there.
fn is_safe(file: &Path) -> bool {
    let facts = File::open(file).and_then(|file| file.metadata());
    facts.is_ok_and(|facts| system::is_ours(&facts))
}

/// A key and a certificate for this machine, in PEM.
fn self_signed(hostname: &str, now: SystemTime) -> Result<String, rcgen::Error> {
    let names = ["localhost", hostname, "127.0.0.1", "::1"];
    let is_name = |name: &&str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        name.parse::<IpAddr>().is_ok() || (!name.is_empty() && name.chars().all(legal))
    };
    let mut names: Vec<_> = names.into_iter().filter(is_name).map(str::to_owned).collect();
    names.dedup();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.not_before = now.checked_sub(LENIENCE).unwrap_or(now).into();
    params.not_after = now.checked_add(VALIDITY).unwrap_or(now).into();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(key.serialize_pem() + &certificate.pem())
}
