//! The modules, by what they go by (`endpoints.md` h.3, h.4).

pub(super) mod cert;
pub(super) mod exec;
pub(super) mod facts;
pub(super) mod hosts;
#[cfg(feature = "ldap")]
pub(super) mod ldap;
pub(super) mod multifile;
pub(super) mod otp;
#[cfg(unix)]
pub(super) mod pam;
pub(super) mod password;
pub(super) mod peercred;
pub(super) mod ratelimit;
pub(super) mod simple;
#[cfg(feature = "sql")]
pub(super) mod sql;

/// `pam` where there is none.
#[cfg(windows)]
pub(super) mod pam {
    pub(in super::super) use super::absent::pam as build;
}

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

#[cfg(any(windows, not(all(feature = "ldap", feature = "sql"))))]
mod absent;
