//! The certificates of hosts that users trusted: `SSLDIR/hosts/HOST_PORT/cert.pem`, as xpra keeps them
//! (`endpoints.md` d).

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::error::TlsError;
use super::files;

/// A host's certificate that was trusted once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) der: CertificateDer<'static>,
    pub(super) file: PathBuf,
}

/// Where the certificate of that host is to be kept.
pub(super) fn file(hosts: &Path, host: &str, port: u16) -> PathBuf {
    hosts.join(format!("{}_{port}", directory(host))).join("cert.pem")
}

/// The certificate kept for that host, for that port or for any.
pub(super) fn find(hosts: &Path, host: &str, port: u16) -> Result<Option<Known>, TlsError> {
    let any_port = hosts.join(directory(host)).join("cert.pem");
    for file in [file(hosts, host, port), any_port] {
        if file.exists() {
            let mut chain = files::certificates(&file)?;
            return Ok(Some(Known {
                der: chain.swap_remove(0),
                file,
            }));
        }
    }
    Ok(None)
}

/// Keeps the certificate of a new host; one that is there already stays.
pub(super) fn remember(file: &Path, der: &CertificateDer<'_>) -> Result<(), TlsError> {
    let pem = files::to_pem(der).map_err(|reason| TlsError::file(file, reason))?;
    files::create_private(file, pem.as_bytes()).map_err(|error| TlsError::file(file, error))?;
    Ok(())
}

/// A host's name as one component of a path.
fn directory(host: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = host
        .chars()
        .map(|c| if safe(c) { c.to_ascii_lowercase() } else { '_' })
        .collect();
    match name.as_str() {
        "" | "." | ".." => "_".to_owned(),
        _ => name,
    }
}
