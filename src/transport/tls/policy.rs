//! Ciphers, versions and flags: what users know from OpenSSL and Python, for what rustls has.
//!
//! Defaults of xpra are taken as they are. What asks for more safety than there is, or for less than is sensible, is
//! refused rather than passed over.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::error::TlsError;

/// Ciphers, versions and flags as users write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A list of ciphers as OpenSSL has it, or of their names.
    pub ciphers: String,
    /// Python's `OP_*`, without the prefix, separated by commas.
    pub options: String,
    /// Which versions: `TLS`, `TLSv1_2`, `TLSv1_3`.
    pub protocol: String,
    /// Python's `VERIFY_*`, likewise.
    pub verify_flags: String,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ciphers: "DEFAULT".to_owned(),
            options: "ALL,NO_COMPRESSION".to_owned(),
            protocol: "TLS".to_owned(),
            verify_flags: "X509_STRICT".to_owned(),
        }
    }
}

/// The same, understood.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
}

impl Policy {
    /// Changes the option of that name; false when it is none of these.
    pub(super) fn set(&mut self, name: &str, value: &str) -> bool {
        let place = match name {
            "ciphers" => &mut self.ciphers,
            "options" => &mut self.options,
            "protocol" => &mut self.protocol,
            "verify-flags" => &mut self.verify_flags,
            _ => return false,
        };
        value.clone_into(place);
        true
    }

    pub(super) fn terms(&self) -> Result<Terms, TlsError> {
        let wrong = |name, value: &str, reason: String| TlsError::option(name, value, reason);
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = select(&provider.cipher_suites, &self.ciphers)
            .map_err(|reason| wrong("ciphers", &self.ciphers, reason))?;
        let mut versions =
            versions(&self.protocol).map_err(|reason| wrong("protocol", &self.protocol, reason))?;
        for option in items(&self.options) {
            match option.as_str() {
                "NO_TLSV1_2" => versions.retain(|version| *version != &TLS12),
                "NO_TLSV1_3" => versions.retain(|version| *version != &TLS13),
                // the server's order is kept in any case
                "CIPHER_SERVER_PREFERENCE" => {}
                option if OPTIONS.contains(&option) => {}
                _ => return Err(wrong("options", &option, "this is not available".to_owned())),
            }
        }
        for flag in items(&self.verify_flags) {
            match flag.as_str() {
                "DEFAULT" | "X509_STRICT" | "X509_TRUSTED_FIRST" | "X509_PARTIAL_CHAIN" => {}
                "CRL_CHECK_LEAF" | "CRL_CHECK_CHAIN" => {
                    let reason = "lists of revoked certificates are not looked at".to_owned();
                    return Err(wrong("verify-flags", &flag, reason));
                }
                _ => return Err(wrong("verify-flags", &flag, "this is not available".to_owned())),
            }
        }
        let suites = &provider.cipher_suites;
        versions.retain(|version| suites.iter().any(|suite| suite.version() == *version));
        if versions.is_empty() {
            let reason = "with --ssl-ciphers and --ssl-options no version of TLS is left".to_owned();
            return Err(wrong("protocol", &self.protocol, reason));
        }
        Ok(Terms {
            provider: Arc::new(provider),
            versions,
        })
    }
}

/// What is so anyway, or makes no difference to TLS 1.2 and 1.3 as they are spoken here.
const OPTIONS: &[&str] = &[
    "ALL",
    "ENABLE_KTLS",
    "ENABLE_MIDDLEBOX_COMPAT",
    "IGNORE_UNEXPECTED_EOF",
    "NO_COMPRESSION",
    "NO_RENEGOTIATION",
    "NO_SSLV2",
    "NO_SSLV3",
    "NO_TICKET",
    "NO_TLSV1",
    "NO_TLSV1_1",
    "SINGLE_DH_USE",
    "SINGLE_ECDH_USE",
];

fn items(list: &str) -> impl Iterator<Item = String> {
    let items = list.split([',', ' ']).filter(|item| !item.is_empty());
    items.map(str::to_ascii_uppercase)
}

fn versions(protocol: &str) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    match protocol.to_ascii_lowercase().replace('.', "_").as_str() {
        "" | "auto" | "tls" | "tls_client" | "tls_server" | "sslv23" => Ok(vec![&TLS13, &TLS12]),
        "tlsv1_2" => Ok(vec![&TLS12]),
        "tlsv1_3" => Ok(vec![&TLS13]),
        "sslv2" | "sslv3" | "tlsv1" | "tlsv1_1" => {
            Err("this version is broken and not available: use TLS, TLSv1_2 or TLSv1_3".to_owned())
        }
        _ => Err("write TLS, TLSv1_2 or TLSv1_3".to_owned()),
    }
}

/// The suites OpenSSL's list `list` selects, in its order. As with OpenSSL it is about TLS 1.2: those of 1.3 stay
/// unless the list names one of them.
fn select(all: &[SupportedCipherSuite], list: &str) -> Result<Vec<SupportedCipherSuite>, String> {
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    let mut banned: Vec<SupportedCipherSuite> = Vec::new();
    for item in list.split([':', ',', ' ']).filter(|item| !item.is_empty()) {
        let (is_ban, term) = match item.strip_prefix(['!', '-']) {
            Some(term) => (true, term),
            None => (false, item),
        };
        let term = term.to_ascii_uppercase();
        let matching: Vec<_> = all
            .iter()
            .filter(|suite| matches(**suite, &term))
            .copied()
            .collect();
        match is_ban {
            true if !matching.is_empty() || ABSENT.contains(&term.as_str()) => banned.extend(matching),
            false if !matching.is_empty() => chosen.extend(matching),
            false
                if term.starts_with("@SECLEVEL=")
                    && ["0", "1", "2"].iter().any(|level| term.ends_with(level)) => {}
            _ => return Err(format!("'{item}' is not available; there are {}", names(all))),
        }
    }
    let is_13 = |suite: &SupportedCipherSuite| suite.version() == &TLS13;
    if !chosen.iter().any(is_13) {
        chosen.splice(0..0, all.iter().filter(|suite| is_13(suite)).copied());
    }
    let mut seen = Vec::new();
    chosen.retain(|suite| {
        let is_new = !seen.contains(suite) && !banned.contains(suite);
        seen.push(*suite);
        is_new
    });
    match chosen.is_empty() {
        true => Err(format!("no cipher is left; there are {}", names(all))),
        false => Ok(chosen),
    }
}

/// What lists usually exclude, and what is not here anyway.
const ABSENT: &[&str] = &[
    "3DES",
    "ADH",
    "AECDH",
    "ANULL",
    "AES128-SHA",
    "AES256-SHA",
    "CAMELLIA",
    "CBC",
    "DES",
    "DH",
    "DHE",
    "DSS",
    "ENULL",
    "EXP",
    "EXPORT",
    "IDEA",
    "KRSA",
    "LOW",
    "MD5",
    "MEDIUM",
    "NULL",
    "PSK",
    "RC2",
    "RC4",
    "SEED",
    "SHA1",
    "SRP",
    "SSLV2",
    "SSLV3",
];

/// True if `suite` is meant by a term of OpenSSL's lists: a name, or kinds joined by `+`. Kinds are about TLS 1.2.
fn matches(suite: SupportedCipherSuite, term: &str) -> bool {
    let [name, openssl] = spellings(suite);
    let is_kind = |kind: &str| match kind {
        "ALL" | "DEFAULT" | "ECDHE" | "EECDH" | "HIGH" | "KECDHE" | "KEECDH" | "SECURE" | "TLSV1.2" => true,
        "AES" | "AESGCM" => openssl.contains("AES"),
        "AECDSA" | "ECDSA" => openssl.contains("ECDSA"),
        "ARSA" | "RSA" => openssl.contains("RSA"),
        "AES128" | "AES256" | "CHACHA20" => openssl.contains(kind),
        _ => false,
    };
    term == name || term == openssl || (suite.version() == &TLS12 && term.split('+').all(is_kind))
}

/// A suite's standard name and OpenSSL's: `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`, `ECDHE-RSA-AES128-GCM-SHA256`.
fn spellings(suite: SupportedCipherSuite) -> [String; 2] {
    let name = suite
        .suite()
        .as_str()
        .unwrap_or_default()
        .replace("TLS13_", "TLS_");
    let openssl = match name.strip_prefix("TLS_").filter(|_| name.contains("_WITH_")) {
        Some(name) => name
            .replace("_WITH_", "_")
            .replace("AES_", "AES")
            .replace("POLY1305_SHA256", "POLY1305")
            .replace('_', "-"),
        None => name.clone(),
    };
    [name, openssl]
}

fn names(all: &[SupportedCipherSuite]) -> String {
    let names: Vec<_> = all
        .iter()
        .map(|suite| {
            let [_, openssl] = spellings(*suite);
            openssl
        })
        .collect();
    names.join(":")
}
