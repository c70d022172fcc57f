//! The arithmetic of challenges (`wire.md` 5.2): combining salts, answering, checking. Nothing here draws random
//! numbers or keeps anything.

use std::fmt;

use aws_lc_rs::hmac;

use crate::address::Secret;

/// How a client proves that it knows a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// Without giving it away.
    Hmac(Hash),
    /// By telling it, to whoever knows the salts too.
    Xor,
}

/// The hash function of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A digest that is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a digest that is used here: hmac+sha512, hmac+sha384, hmac+sha256, hmac+sha224 and xor are"
)]
pub struct UnknownDigest(pub String);

/// What a client puts into its hello as `digest`.
pub const DIGESTS: [&str; 5] = ["hmac+sha512", "hmac+sha384", "hmac+sha256", "hmac+sha224", "xor"];

/// What a client puts into its hello as `salt-digest`. `xor` would let the server choose what is signed.
pub const SALT_DIGESTS: [&str; 4] = ["hmac+sha512", "hmac+sha384", "hmac+sha256", "hmac+sha224"];

/// Longest password or answer.
pub const MAX_ANSWER: usize = 4096;

impl Digest {
    /// The digest of that name. What follows a `:` belongs to the method and is ignored.
    pub fn parse(text: &str) -> Result<Self, UnknownDigest> {
        let (name, _suffix) = text.split_once(':').unwrap_or((text, ""));
        if name == "xor" {
            return Ok(Self::Xor);
        }
        Hash::parse(name).map(Self::Hmac)
    }

    /// The best one of those offered.
    pub fn choose<'a>(offered: impl IntoIterator<Item = &'a str>, may_xor: bool) -> Option<Self> {
        let known = offered.into_iter().filter_map(|name| Self::parse(name).ok());
        known
            .filter(|digest| may_xor || *digest != Self::Xor)
            .max_by_key(|digest| digest.strength())
    }

    const fn strength(self) -> usize {
        match self {
            Self::Xor => 0,
            Self::Hmac(hash) => hash.strength(),
        }
    }

    /// A client's answer for the salts [combined](combine_salts).
    pub fn respond(self, password: &Secret, salts: &[u8]) -> Vec<u8> {
        match self {
            Self::Hmac(hash) => hash.hmac(password.expose(), salts),
            Self::Xor => xor(password.expose(), salts),
        }
    }

    /// True when `response` proves that the peer knows `password`; takes as long whatever is wrong with it.
    pub fn is_proof(self, response: &[u8], password: &Secret, salts: &[u8]) -> bool {
        match self {
            Self::Hmac(hash) => Secret::new(hash.hmac(password.expose(), salts)) == Secret::new(response),
            Self::Xor => is_same(&reveal(response, salts), password),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hmac(hash) => hash.fmt(f),
            Self::Xor => f.write_str("xor"),
        }
    }
}

impl Hash {
    /// The hash of `hmac+HASH`.
    pub fn parse(text: &str) -> Result<Self, UnknownDigest> {
        Ok(match text {
            "hmac+sha224" => Self::Sha224,
            "hmac+sha256" => Self::Sha256,
            "hmac+sha384" => Self::Sha384,
            "hmac+sha512" => Self::Sha512,
            _ => return Err(UnknownDigest(text.chars().take(64).collect())),
        })
    }

    /// The best one of those offered to combine salts with.
    pub fn choose<'a>(offered: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let known = offered.into_iter().filter_map(|name| Self::parse(name).ok());
        known.max_by_key(|hash| hash.strength())
    }

    const fn strength(self) -> usize {
        match self {
            Self::Sha224 => 224,
            Self::Sha256 => 256,
            Self::Sha384 => 384,
            Self::Sha512 => 512,
        }
    }

    /// In lower-case hexadecimal digits, as it goes over the wire.
    fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha224 => hmac::HMAC_SHA224,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        let tag = hmac::sign(&hmac::Key::new(algorithm, key), message);
        hex(tag.as_ref())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hmac+sha{}", self.strength())
    }
}

/// What is signed: the server's salt and the client's, so that neither chooses it alone.
pub fn combine_salts(digest: Hash, client_salt: &[u8], server_salt: &[u8]) -> Vec<u8> {
    digest.hmac(client_salt, server_salt)
}

/// The password in an answer to `xor`.
pub fn reveal(response: &[u8], salts: &[u8]) -> Secret {
    Secret::new(xor(response, salts))
}

/// True when they are; it takes as long however long either is the same as the other.
pub fn is_same(one: &Secret, other: &Secret) -> bool {
    let fingerprint = |secret: &Secret| Secret::new(Hash::Sha256.hmac(&[], secret.expose()));
    fingerprint(one) == fingerprint(other)
}

/// `text` with the salts over it, which are cut or continued with zeros.
fn xor(text: &[u8], salts: &[u8]) -> Vec<u8> {
    let salts = salts.iter().chain(std::iter::repeat(&0));
    text.iter().zip(salts).map(|(byte, salt)| byte ^ salt).collect()
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn unhex(text: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect()
    }

    /// The value of a key in a vector's dictionary.
    fn field(vector: &Value, name: &str) -> Vec<u8> {
        let items = vector["value"]["items"].as_array().unwrap();
        let pair = items.iter().find(|pair| pair[0]["v"] == name).unwrap();
        match pair[1]["hex"].as_str() {
            Some(hex) => unhex(hex),
            None => pair[1]["v"].as_str().unwrap().into(),
        }
    }

    #[test]
    fn answers_of_real_peers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/codec/vectors/auth.json");
        let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut checked = 0;
        for vector in file["vectors"].as_array().unwrap() {
            let (kind, name) = vector["encoding"].as_str().unwrap().split_once(':').unwrap();
            let Ok(digest) = Digest::parse(name) else {
                continue;
            };
            let expected = unhex(vector["hex"].as_str().unwrap());
            let (client, server) = (field(vector, "client_salt"), field(vector, "server_salt"));
            let salts = match (kind, digest) {
                ("gendigest", Digest::Hmac(hash)) => {
                    assert_eq!(combine_salts(hash, &client, &server), expected);
                    checked += 1;
                    continue;
                }
                _ => {
                    let hash = String::from_utf8(field(vector, "salt_digest")).unwrap();
                    combine_salts(Hash::parse(&hash).unwrap(), &client, &server)
                }
            };
            let password = Secret::new(field(vector, "password_utf8"));
            assert_eq!(digest.respond(&password, &salts), expected, "{}", vector["name"]);
            assert!(digest.is_proof(&expected, &password, &salts));
            assert!(!digest.is_proof(&expected, &Secret::new("else"), &salts));
            assert!(!digest.is_proof(&expected[1..], &password, &salts));
            if digest == Digest::Xor {
                assert_eq!(reveal(&expected, &salts), password);
            }
            checked += 1;
        }
        assert_eq!(checked, 16);
    }

    #[test]
    fn the_strongest_digest_is_chosen() {
        let choose = |offered: &[&str], may_xor| {
            Digest::choose(offered.iter().copied(), may_xor).map(|digest| digest.to_string())
        };
        assert_eq!(
            choose(&["xor", "hmac+sha256", "hmac+sha512"], true).unwrap(),
            "hmac+sha512"
        );
        assert_eq!(
            choose(&["des", "hmac+sha224", "xor"], true).unwrap(),
            "hmac+sha224"
        );
        assert_eq!(choose(&["hmac", "hmac+md5", "xor"], true).unwrap(), "xor");
        assert_eq!(choose(&["hmac", "hmac+sha1", "des", "xor", "xor:x"], false), None);
        assert_eq!(Hash::choose(["xor", "des", "hmac"]), None);
        assert_eq!(Hash::choose(["hmac+sha256", "hmac+sha384"]), Some(Hash::Sha384));
    }

    #[test]
    fn suffixes_belong_to_the_method() {
        assert_eq!(Digest::parse("xor:more:of it"), Ok(Digest::Xor));
        assert_eq!(
            Digest::parse("kerberos:SERVICE"),
            Err(UnknownDigest("kerberos".to_owned()))
        );
        let long = "x".repeat(1 << 20);
        assert_eq!(Digest::parse(&long).unwrap_err().0.len(), 64);
    }
}
