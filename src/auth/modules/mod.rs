//! The modules, by what they go by (`endpoints.md` h.3, h.4).

pub(super) mod cert;
pub(super) mod exec;
pub(super) mod facts;
pub(super) mod hosts;
#[cfg(feature = "ldap")]
pub(super) mod ldap;
pub(super) mod multifile;
pub(super) mod otp;
pub(super) mod pam;
pub(super) mod password;
pub(super) mod peercred;
pub(super) mod ratelimit;
pub(super) mod simple;
#[cfg(feature = "sql")]
pub(super) mod sql;

/// `ldap` in a build without.
#[cfg(not(feature = "ldap"))]
pub(super) mod ldap {
    pub(in super::super) use super::absent::ldap as build;
}

/// `sqlite` and its kin in a build without.
#[cfg(not(feature = "sql"))]
pub(super) mod sql {
    pub(in super::super) use super::absent::{sql as sqlite, sql as uri};
}

#[cfg(not(all(feature = "ldap", feature = "sql")))]
mod absent;
