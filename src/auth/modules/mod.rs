//! The modules, by what they go by (`endpoints.md` h.3, h.4).

pub(super) mod cert;
pub(super) mod facts;
pub(super) mod password;
pub(super) mod peercred;
pub(super) mod simple;
