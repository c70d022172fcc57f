//! [`AreaError`]: why an area of shared memory cannot be had or used.

use crate::types::Span;
use std::io;

/// Why an area of shared memory cannot be had or used. The connection goes on without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AreaError {
    /// The peer wrote a position that is none.
    #[error("the peer says {position} where a position in an area of {size} bytes should be")]
    Corrupt {
        /// What it wrote.
        position: u32,
        /// Bytes of the area.
        size: u32,
    },
    /// The peer has not released enough yet.
    #[error("no room for {0} bytes until the peer releases some")]
    Full(u64),
    /// The system refused.
    #[error("cannot use the shared memory: {0}")]
    Io(String),
    /// A piece that the area does not have.
    #[error("{span} in an area of {size}")]
    Outside {
        /// The piece.
        span: Span,
        /// Bytes of the area.
        size: u32,
    },
    /// The file is not one to share memory through.
    #[error("{path} is refused: {reason}")]
    Refused {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The area has a size that xpra does not allow.
    #[error("an area of {0} bytes: 64 MiB to 4 GiB are allowed")]
    Size(u64),
    /// The area does not hold what the peer says it wrote there: it is another one.
    #[error(
        "the peer's token is not in the area: it is on another machine, or sees another file of that name"
    )]
    Token,
}

impl From<io::Error> for AreaError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}
