//! What a peer speaks, from its first bytes (`endpoints.md` c.1).
//!
//! Peers that share a port speak first, all of them. So nothing here waits for a fixed time: bytes are read until they
//! can mean one thing only, which takes one byte of TLS, two of xpra, and a word of the others.

use std::io;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;

use super::Link;
use super::prefixed::Prefixed;

/// What a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1, perhaps to become a WebSocket.
    Http,
    /// It closed without a word, as those do who only look whether someone listens.
    Nothing,
    /// SSH.
    Ssh,
    /// TLS, whatever may be inside.
    Tls,
    /// None of these; xpra's protocol has an answer for it.
    Unknown,
    /// xpra's own protocol.
    Xpra,
}

/// How requests of HTTP begin.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"PATCH ",
    b"DELETE ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
];

/// How the greeting of SSH begins.
const SSH: &[u8] = b"SSH-";

/// The type of a TLS record that opens a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

impl Spoken {
    /// What begins with these bytes; `None` while they may mean several things.
    pub fn identify(head: &[u8]) -> Option<Self> {
        let one_of = |words: &[&[u8]]| {
            if words.iter().any(|word| head.starts_with(word)) {
                return Some(true);
            }
            (!words.iter().any(|word| word.starts_with(head))).then_some(false)
        };
        match head {
            [] => None,
            [TLS_HANDSHAKE, ..] => Some(Self::Tls),
            // the flags of a record have no letter's bits (`wire.md` 1.2)
            [b'P', flags, ..] if !flags.is_ascii_alphabetic() => Some(Self::Xpra),
            [b'S', ..] => Some(if one_of(&[SSH])? { Self::Ssh } else { Self::Unknown }),
            _ => Some(if one_of(&METHODS)? {
                Self::Http
            } else {
                Self::Unknown
            }),
        }
    }

    /// Reads no more of a link than it takes to know, and leaves it as if nothing had been read; a future that is
    /// dropped before it is done does lose what was.
    pub async fn of(link: &mut Link) -> io::Result<Self> {
        let mut head = BytesMut::with_capacity(64);
        let spoken = loop {
            if let Some(spoken) = Self::identify(&head) {
                break spoken;
            }
            if link.stream.read_buf(&mut head).await? == 0 {
                break if head.is_empty() {
                    Self::Nothing
                } else {
                    Self::Unknown
                };
            }
        };
        let stream = std::mem::replace(&mut link.stream, Box::new(tokio::io::empty()));
        link.stream = Box::new(Prefixed::new(head.freeze(), stream));
        Ok(spoken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{LinkInfo, TransportKind};
    use tokio::io::{AsyncWriteExt, duplex};

    #[test]
    fn first_bytes() {
        for (head, spoken) in [
            (&b"P\x18\x11\x00"[..], Spoken::Xpra),
            (b"P\x00", Spoken::Xpra),
            (b"POST / HTTP/1.1", Spoken::Http),
            (b"PUT /", Spoken::Http),
            (b"GET /", Spoken::Http),
            (b"SSH-2.0-OpenSSH_9.2", Spoken::Ssh),
            (b"SIP", Spoken::Unknown),
            (b"\x16\x03\x01", Spoken::Tls),
            (b"RFB 003.008\n", Spoken::Unknown),
            (b"PROPFIND /", Spoken::Unknown),
            (b"\0", Spoken::Unknown),
            (b"hello", Spoken::Unknown),
        ] {
            assert_eq!(Spoken::identify(head), Some(spoken), "{head:?}");
        }
        for head in [&b""[..], b"P", b"PO", b"PUT", b"S", b"SSH", b"G", b"OPTIONS"] {
            assert_eq!(Spoken::identify(head), None, "{head:?}");
        }
    }

    #[test]
    fn more_bytes_change_no_answer() {
        for whole in [
            &b"P\x18\x11\x00"[..],
            b"POST / HTTP",
            b"SSH-2.0-x",
            b"\x16\x03\x01\x02",
            b"GOTO 10",
        ] {
            let answers: Vec<_> = (1..=whole.len()).map(|n| Spoken::identify(&whole[..n])).collect();
            let first = answers.iter().position(Option::is_some).unwrap();
            assert!(
                answers[first..].iter().all(|answer| *answer == answers[first]),
                "{answers:?}"
            );
        }
    }

    #[tokio::test]
    async fn nothing_read_is_lost() {
        for text in ["", "P", "GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n"] {
            let (near, mut far) = duplex(64);
            let info = LinkInfo {
                is_local: true,
                is_private: true,
                ..LinkInfo::new(TransportKind::Tcp, "")
            };
            tokio::spawn(async move {
                for byte in text.as_bytes().chunks(1) {
                    far.write_all(byte).await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
            let mut link = Link::new(near, info);
            let spoken = Spoken::of(&mut link).await.unwrap();
            let mut all = String::new();
            link.stream.read_to_string(&mut all).await.unwrap();
            assert_eq!(all, text);
            assert_eq!(spoken == Spoken::Nothing, text.is_empty());
        }
    }
}
