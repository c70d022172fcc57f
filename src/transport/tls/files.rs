//! Certificates and private keys in PEM files.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::pem::{LineEnding, encode_string};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use super::error::TlsError;
use crate::address::Secret;
use crate::system::{DirBuilderExt, OpenOptionsExt};

/// The largest file that is read: all public authorities together have a quarter of it.
const MAX_FILE: u64 = 1 << 20;

/// The most files that are read of a directory.
const MAX_FILES: usize = 1000;

const OLD_ENCRYPTION: &str =
    "its private key is encrypted in an old way: convert it with 'openssl pkcs8 -topk8 -v2 aes-256-cbc'";

/// The certificates of a file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let found = parse_certificates(&bytes).map_err(|reason| TlsError::file(path, reason))?;
    if found.is_empty() {
        return Err(TlsError::file(path, "there is no certificate (PEM) in it"));
    }
    Ok(found)
}

/// The certificates of all files of a directory; files of something else are passed over.
pub(super) fn directory(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let entries = fs::read_dir(path).map_err(|error| TlsError::file(path, error))?;
    let mut files: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .take(MAX_FILES)
        .collect();
    files.sort();
    let found: Vec<_> = files
        .iter()
        .flat_map(|file| certificates(file).unwrap_or_default())
        .collect();
    if found.is_empty() {
        return Err(TlsError::file(path, "no file in it has a certificate (PEM)"));
    }
    Ok(found)
}

/// The certificates of the value of an option: PEM, itself in hexadecimal (also after `0x`) or base64 (also after
/// `b64:` or `base64:`).
pub(super) fn data(value: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let packed: String = value.split_ascii_whitespace().collect();
    let base64 = packed
        .strip_prefix("base64:")
        .or_else(|| packed.strip_prefix("b64:"));
    let is_hex = packed.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pem = match (base64, packed.strip_prefix("0x")) {
        _ if value.trim_start().starts_with("-----BEGIN") => Ok(value.as_bytes().to_vec()),
        (Some(text), _) => BASE64.decode(text.as_bytes()),
        (_, Some(text)) => HEXLOWER_PERMISSIVE.decode(text.as_bytes()),
        _ if is_hex => HEXLOWER_PERMISSIVE.decode(packed.as_bytes()),
        _ => BASE64.decode(packed.as_bytes()),
    };
    let pem = pem.map_err(|error| format!("neither hexadecimal nor base64: {error}"))?;
    match parse_certificates(&pem)? {
        found if found.is_empty() => Err("there is no certificate (PEM) in it".to_owned()),
        found => Ok(found),
    }
}

fn parse_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

/// The private key of a file, decrypted with `password` when it has to be.
pub(super) fn private_key(
    path: &Path,
    password: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let failed = |reason: String| TlsError::file(path, reason);
    let bytes = Zeroizing::new(read(path)?);
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    if has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        let password = password.filter(|password| !password.is_empty());
        let password = password
            .ok_or_else(|| failed("its private key is encrypted: give --ssl-key-password".to_owned()))?;
        return decrypt(&bytes, password).map_err(failed);
    }
    if has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(failed(OLD_ENCRYPTION.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            failed("there is no private key (PEM) in it: name the file that has it with --ssl-key".to_owned())
        }
        error => failed(error.to_string()),
    })
}

fn decrypt(pem: &[u8], password: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    let mut sections = Pem::iter_from_buffer(pem).flatten();
    let section = sections.find(|section| section.label == "ENCRYPTED PRIVATE KEY");
    let section = section.ok_or("its private key is damaged")?;
    let info = EncryptedPrivateKeyInfoRef::try_from(section.contents.as_slice())
        .map_err(|error| format!("{OLD_ENCRYPTION} ({error})"))?;
    let key = info
        .decrypt(password.expose())
        .map_err(|error| format!("its private key does not open with that password ({error})"))?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// A certificate as PEM.
pub(super) fn to_pem(der: &CertificateDer<'_>) -> Result<String, String> {
    encode_string("CERTIFICATE", LineEnding::LF, der).map_err(|error| error.to_string())
}

/// Makes a file that only its owner may read, all of it or nothing, in a directory likewise. `Ok(false)` when there is
/// one already: it stays as it is.
pub(super) fn create_private(path: &Path, content: &[u8]) -> io::Result<bool> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut chance = [0; 8];
    getrandom::fill(&mut chance).map_err(|error| io::Error::other(error.to_string()))?;
    let draft = directory.join(format!(".{name}.{}", HEXLOWER_PERMISSIVE.encode(&chance)));
    let written = write_new(&draft, content).and_then(|()| match fs::hard_link(&draft, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    });
    let removed = fs::remove_file(&draft);
    written.and_then(|is_new| removed.map(|()| is_new))
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |error: io::Error| TlsError::file(path, error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= MAX_FILE) {
        Ok(bytes)
    } else {
        Err(TlsError::file(path, "it is too large for a file of certificates"))
    }
}
