//! The options of packet encryption, the same for servers and clients (`wire.md` 4, `endpoints.md` a.2).

use super::exit::{ExitCode, Failure};
use crate::address::{Options, TransportKind};
use crate::codec::CipherMode;
use crate::discovery::Environment;
use crate::protocol::Encryption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Longest key file.
const MAX_KEY: u64 = 64 << 10;

/// Encryption of the packets themselves.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EncryptionArgs {
    /// Encrypt packets: AES, AES-CBC or AES-CTR; weaker than TLS, which also proves that nothing was changed
    #[arg(long, value_name = "AES[-CBC|-CTR]", num_args = 0..=1, default_missing_value = "AES")]
    pub encryption: Option<String>,
    /// File with the key for --encryption
    #[arg(long, value_name = "FILE")]
    pub encryption_keyfile: Option<String>,
    /// The same, for TCP alone
    #[arg(long, value_name = "AES[-CBC|-CTR]", num_args = 0..=1, default_missing_value = "AES")]
    pub tcp_encryption: Option<String>,
    /// File with the key for --tcp-encryption
    #[arg(long, value_name = "FILE")]
    pub tcp_encryption_keyfile: Option<String>,
}

impl EncryptionArgs {
    /// What holds for connections of that kind: what the options of the socket or the address say, else these.
    /// Connections that are encrypted anyway are left alone unless theirs say otherwise.
    pub fn for_connection(
        &self,
        kind: TransportKind,
        own: &Options,
        environment: &Environment,
    ) -> Result<Option<Encryption>, Failure> {
        let is_tcp = matches!(kind, TransportKind::Tcp | TransportKind::Ws);
        let is_encrypted = matches!(
            kind,
            TransportKind::Quic | TransportKind::Ssh | TransportKind::Ssl | TransportKind::Wss
        );
        let tcp = self.tcp_encryption.as_deref().filter(|_| is_tcp);
        let all = self.encryption.as_deref().filter(|_| !is_encrypted);
        let Some(name) = own.get("encryption").or(tcp).or(all).filter(|name| !is_off(name)) else {
            return Ok(None);
        };
        let mode = mode(name)?;
        let files = [
            own.get("keyfile"),
            own.get("encryption-keyfile"),
            self.tcp_encryption_keyfile.as_deref().filter(|_| is_tcp),
            self.encryption_keyfile.as_deref(),
        ];
        let data = own.get("keydata").or_else(|| own.get("encryption-keydata"));
        let secret = match (data, files.into_iter().flatten().next()) {
            (Some(data), _) => key_data(data)?,
            (None, Some(file)) => key_file(&PathBuf::from(environment.expand(file)))?,
            (None, None) => {
                return Err(failed(format!(
                    "encryption={name} needs a key: give --encryption-keyfile=FILE, or keyfile= or keydata= with the \
                     address"
                )));
            }
        };
        let random = |bytes: &mut [u8]| getrandom::fill(bytes).is_ok();
        match Encryption::new(mode, secret.to_vec(), random) {
            Some(encryption) => Ok(Some(encryption)),
            None => Err(failed("the key for encryption is empty".to_owned())),
        }
    }
}

fn failed(message: String) -> Failure {
    Failure::new(ExitCode::EncryptionError, message)
}

fn is_off(name: &str) -> bool {
    name.is_empty()
        || matches!(
            name.to_ascii_lowercase().as_str(),
            "no" | "none" | "off" | "false"
        )
}

/// The mode of `AES-MODE`; plain `AES` leaves it to the peer, or to us.
fn mode(name: &str) -> Result<Option<CipherMode>, Failure> {
    let upper = name.to_ascii_uppercase();
    let unknown = || {
        failed(format!(
            "encryption '{name}' is not supported: use AES, AES-CBC or AES-CTR"
        ))
    };
    match upper.strip_prefix("AES") {
        Some("") => Ok(None),
        Some(mode) => {
            let mode = mode.strip_prefix('-').and_then(CipherMode::from_name);
            mode.map(Some).ok_or_else(unknown)
        }
        None => Err(unknown()),
    }
}

/// The key in a file: all but the ends of its lines, as xpra reads it.
fn key_file(path: &PathBuf) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let read = || {
        let size = std::fs::metadata(path)?.len();
        if size > MAX_KEY {
            return Err(std::io::Error::other(format!(
                "it has {size} bytes: that is no key"
            )));
        }
        std::fs::read(path).map(Zeroizing::new)
    };
    let content =
        read().map_err(|error| failed(format!("cannot read the key {}: {error}", path.display())))?;
    Ok(Zeroizing::new(Encryption::trimmed(&content).to_vec()))
}

/// A key that is given itself: `0x` and hexadecimal, `base64:` or `b64:` and Base64, either without its prefix when it
/// is nothing else, or text.
fn key_data(text: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let wrong = || failed("the keydata for encryption is not what its prefix says".to_owned());
    let bytes = if let Some(digits) = text.strip_prefix("0x") {
        hex(digits).ok_or_else(wrong)?
    } else if let Some(code) = text.strip_prefix("base64:").or_else(|| text.strip_prefix("b64:")) {
        BASE64.decode(code).map_err(|_| wrong())?
    } else {
        let bare = hex(text).or_else(|| BASE64.decode(text).ok());
        bare.unwrap_or_else(|| text.as_bytes().to_vec())
    };
    Ok(Zeroizing::new(bytes))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn own(pairs: &[(&str, &str)]) -> Options {
        let mut options = Options::new();
        pairs.iter().for_each(|(key, value)| options.push(key, value));
        options
    }

    fn is_on(args: &EncryptionArgs, kind: TransportKind, own: &Options) -> bool {
        let environment = Environment::default();
        args.for_connection(kind, own, &environment).unwrap().is_some()
    }

    #[test]
    fn what_is_encrypted() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"key\r\n").unwrap();
        let name = file.path().to_str().unwrap().to_owned();
        let all = EncryptionArgs {
            encryption: Some("AES".into()),
            encryption_keyfile: Some(name.clone()),
            ..EncryptionArgs::default()
        };
        let tcp = EncryptionArgs {
            tcp_encryption: Some("aes-ctr".into()),
            tcp_encryption_keyfile: Some(name),
            ..EncryptionArgs::default()
        };
        for (kind, by_all, by_tcp) in [
            (TransportKind::Tcp, true, true),
            (TransportKind::Ws, true, true),
            (TransportKind::Socket, true, false),
            (TransportKind::Vsock, true, false),
            (TransportKind::Ssl, false, false),
            (TransportKind::Ssh, false, false),
        ] {
            assert_eq!(is_on(&all, kind, &own(&[])), by_all, "{kind}");
            assert_eq!(is_on(&tcp, kind, &own(&[])), by_tcp, "{kind}");
        }
        let off = own(&[("encryption", "no")]);
        assert!(!is_on(&all, TransportKind::Tcp, &off));
        let named = own(&[("encryption", "AES-CBC"), ("keydata", "text")]);
        assert!(is_on(&EncryptionArgs::default(), TransportKind::Ssl, &named));
    }

    #[test]
    fn what_is_not_encryption() {
        let environment = Environment::default();
        let none = EncryptionArgs::default();
        for pairs in [
            &[("encryption", "AES")][..],
            &[("encryption", "AES"), ("keydata", "")],
            &[("encryption", "AES"), ("keydata", "0x123")],
            &[("encryption", "AES"), ("keyfile", "/nowhere/at/all")],
            &[("encryption", "AES-GCM"), ("keydata", "k")],
            &[("encryption", "DES"), ("keydata", "k")],
        ] {
            let failure = none
                .for_connection(TransportKind::Tcp, &own(pairs), &environment)
                .unwrap_err();
            assert_eq!(failure.code, ExitCode::EncryptionError, "{pairs:?}: {failure}");
        }
    }

    #[test]
    fn keys_in_options() {
        let key = |text| key_data(text).unwrap().to_vec();
        for text in ["0x6b6579", "6b6579", "base64:a2V5", "b64:a2V5", "a2V5"] {
            assert_eq!(key(text), b"key", "{text}");
        }
        assert_eq!(key("key"), b"key");
    }
}
