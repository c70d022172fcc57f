//! What a certificate says, in words that may be shown: a peer chooses them, so they are cut and made printable.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64_NOPAD, HEXUPPER};
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

/// The longest text taken from a certificate, in characters.
const MAX_TEXT: usize = 200;

/// The most names listed of one certificate.
const MAX_NAMES: usize = 20;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it is for: `CN=localhost`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The host names and addresses it is for.
    pub names: Vec<String>,
    /// From when it is valid.
    pub not_before: SystemTime,
    /// Until when it is valid.
    pub not_after: SystemTime,
    /// Its SHA-256.
    pub fingerprint: Fingerprint,
    /// True when it may sign others.
    pub is_authority: bool,
    /// True when it names itself as its issuer.
    pub is_self_signed: bool,
}

impl Certificate {
    /// Reads a certificate (DER); the error says what is wrong with it.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names);
        Ok(Self {
            subject: printable(&parsed.subject().to_string()),
            issuer: printable(&parsed.issuer().to_string()),
            names: names.filter_map(name).take(MAX_NAMES).collect(),
            not_before: time(parsed.validity().not_before),
            not_after: time(parsed.validity().not_after),
            fingerprint: Fingerprint::of(der),
            is_authority: parsed.is_ca(),
            is_self_signed: parsed.subject().as_raw() == parsed.issuer().as_raw(),
        })
    }

    /// Whole days until it expires, counted from `now`; negative when it has.
    pub fn days_left(&self, now: SystemTime) -> i64 {
        const DAY: u64 = 24 * 60 * 60;
        let days = |time: Duration| i64::try_from(time.as_secs() / DAY).unwrap_or(i64::MAX);
        match self.not_after.duration_since(now) {
            Ok(left) => days(left),
            Err(expired) => -1 - days(expired.duration()),
        }
    }
}

/// The SHA-256 of a certificate. Shown as ssh does: `SHA256:` and base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of a certificate (DER).
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, der).as_ref());
        Self(bytes)
    }

    /// As openssl and browsers show it: `AB:CD:..`.
    pub fn hex(&self) -> String {
        let pairs: Vec<_> = self.0.iter().map(|byte| HEXUPPER.encode(&[*byte])).collect();
        pairs.join(":")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", BASE64_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| v6()).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn time(time: ASN1Time) -> SystemTime {
    let seconds = Duration::from_secs(time.timestamp().unsigned_abs());
    let moved = if time.timestamp() < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    moved.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Without what could move a terminal's cursor or turn the direction of writing.
fn printable(text: &str) -> String {
    let safe = |c: char| c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric();
    text.chars()
        .take(MAX_TEXT)
        .map(|c| if safe(c) { c } else { '?' })
        .collect()
}
