//! Standard input and output as asynchronous streams: through threads, as they may be of any kind.

use std::io;

use tokio::io::{Stdin, Stdout, stdin, stdout};

/// The two.
pub(super) struct Standard;

impl Standard {
    /// Standard input.
    pub(super) fn input() -> io::Result<Stdin> {
        Ok(stdin())
    }

    /// Standard output.
    pub(super) fn output() -> io::Result<Stdout> {
        Ok(stdout())
    }
}
