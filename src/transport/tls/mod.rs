//! TLS over any other link (`endpoints.md` d).

/// What is known about the TLS of a link, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: String,
    /// The cipher suite: `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The protocol agreed on inside (ALPN), if any: `http/1.1`.
    pub alpn: Option<String>,
    /// The peer's certificate by its SHA-256, in the notation of [`fingerprint`](Self::peer): `SHA256:` and base64.
    pub peer: Option<String>,
    /// Whom the peer's certificate is for.
    pub peer_subject: Option<String>,
    /// True when the peer's certificate was verified.
    pub is_verified: bool,
}
