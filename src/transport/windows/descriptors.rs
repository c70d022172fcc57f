//! Open files that travel beside the bytes: of no transport of Windows.

use crate::system::OwnedFile;

/// The open files that come and go with the bytes of one link: none.
#[derive(Clone, Debug, Default)]
pub struct Descriptors;

impl Descriptors {
    /// That is not possible.
    pub fn offer(&self, _: OwnedFile) -> bool {
        false
    }

    /// None came.
    pub const fn take(&self) -> Vec<OwnedFile> {
        Vec::new()
    }
}
