//! What both sides say about the wire in their hello, and what follows from it (`wire.md` 2.5, 3, 5).

use crate::codec::{Coding, Compressor, Dialect, Encoder, Value};
use crate::packet::{Capabilities, Names};

/// The version announced to 3.1 peers; they compare only that it is not too old.
pub const VERSION_G3: &str = "3.1.3";
/// The version announced to 6.x peers.
pub const VERSION_G6: &str = "6.5.5";

/// Two hellos that do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// The peer decodes none of the packet encodings we can send.
    #[error("failed to negotiate a packet encoder")]
    NoCoding,
    /// The peer is older than anything we speak.
    #[error("incompatible version {0:?}, at least {1} is required")]
    Version(String, &'static str),
}

/// Compressors in the order we like to send with.
const COMPRESSORS: [Compressor; 4] = [
    Compressor::Lz4,
    Compressor::Zstd,
    Compressor::Brotli,
    Compressor::Zlib,
];
/// Codings we decode.
const CODINGS: [Coding; 4] = [
    Coding::Rencodeplus,
    Coding::Rencode,
    Coding::Bencode,
    Coding::Yaml,
];

/// Adds what either side must say about the wire to its hello.
pub fn network_capabilities(caps: &mut Capabilities, dialect: Dialect) {
    let version = match dialect {
        Dialect::G3 => VERSION_G3,
        Dialect::G6 => VERSION_G6,
    };
    caps.set("version", version);
    let compressors = COMPRESSORS
        .iter()
        .filter(|c| dialect == Dialect::G6 || **c != Compressor::Zstd);
    caps.set(
        "compressors",
        Value::List(compressors.clone().map(|c| c.name().into()).collect()),
    );
    for compressor in compressors {
        caps.set(compressor.name(), true);
    }
    // yaml kills 3.1 (`wire.md` 0.1), so it is not announced there
    let codings = CODINGS
        .iter()
        .filter(|c| (**c == Coding::Yaml || **c == Coding::Rencodeplus) == (dialect == Dialect::G6));
    caps.set(
        "encoders",
        Value::List(codings.clone().map(|c| c.name().into()).collect()),
    );
    for coding in codings {
        caps.set(coding.name(), true);
    }
    caps.set("compression_level", 1)
        .set("chunks", true)
        .set("ping", true)
        .set("ping-echo-sourceid", true);
}

/// Sets the encoder to what the peer's hello says it decodes.
pub(super) fn negotiate(
    peer: &Capabilities,
    dialect: Dialect,
    encoder: &mut Encoder,
) -> Result<Names, NegotiationError> {
    let listed = peer.texts("encoders");
    let decodes = |coding: Coding| listed.iter().any(|n| n == coding.name()) || peer.is(coding.name());
    let coding = match dialect {
        Dialect::G6 => [Coding::Rencodeplus, Coding::Yaml]
            .into_iter()
            .find(|c| decodes(*c)),
        // bencode is assumed when nothing is said
        Dialect::G3 => Some(if decodes(Coding::Rencode) {
            Coding::Rencode
        } else {
            Coding::Bencode
        }),
    };
    encoder.set_coding(coding.ok_or(NegotiationError::NoCoding)?);
    let listed = peer.texts("compressors");
    let decompresses = |c: Compressor| listed.iter().any(|n| n == c.name()) || peer.is(c.name());
    let level = peer.int("compression_level").unwrap_or(1).clamp(0, 9);
    if let Some(compressor) = COMPRESSORS.into_iter().find(|c| decompresses(*c)) {
        encoder.set_compression(compressor, u8::try_from(level).unwrap_or(1));
    }
    encoder.set_chunks(peer.bool("chunks").unwrap_or(true));
    Ok(Names::new(peer.texts("packet-types")))
}

/// Refuses a peer whose version is missing or too old (`wire.md` 5.1).
pub(super) fn check_version(peer: &Capabilities, dialect: Dialect) -> Result<(), NegotiationError> {
    let (least, floor) = match dialect {
        Dialect::G3 => ([0, 14], "0.14"),
        Dialect::G6 => ([3, 0], "3.0"),
    };
    let version = match peer.get("version") {
        // some peers send a list of numbers
        Some(Value::List(parts)) => parts
            .iter()
            .filter_map(Value::as_int)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join("."),
        Some(value) => value.as_text().unwrap_or_default().into_owned(),
        None => String::new(),
    };
    let mut parts = version.split('.').map(|part| part.parse::<u32>());
    let number = [parts.next(), parts.next()].map(|part| part.and_then(Result::ok));
    match number {
        [Some(major), minor] if [major, minor.unwrap_or(0)] >= least => Ok(()),
        _ => Err(NegotiationError::Version(version, floor)),
    }
}
