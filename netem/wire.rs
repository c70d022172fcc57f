//! [`Wire`]: what is between the two places: the kernel's own netem where there is one that can do what the profile
//! asks, else the [`Emulator`].

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::Result;

use crate::emulator::Emulator;
use crate::link::Nanos;
use crate::place::{Kind, Place};
use crate::profile::Profile;
use crate::router::Router;

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// `sch_netem` between veth pairs.
    Netem,
    /// The emulator between TUN devices.
    Tun,
}

/// What was seen of the way from server to client at some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) at: Nanos,
    /// How long a packet would have to wait.
    pub(crate) wait: Nanos,
    /// Payload of the session and bytes of everything so far.
    pub(crate) payload: u64,
    pub(crate) bytes: u64,
}

/// A link that is being played.
#[derive(Debug)]
pub(crate) enum Wire {
    Netem(Router),
    Tun(Emulator),
}

impl Medium {
    /// The best one this machine has for that profile.
    pub(crate) fn best(profile: &Profile) -> Result<Self> {
        let trial = Place::new(Ipv4Addr::LOCALHOST, Kind::Bare)?;
        let has = trial.run("tc qdisc add dev lo root netem delay 1ms").is_ok();
        Ok(if has && Router::can(profile) {
            Self::Netem
        } else {
            Self::Tun
        })
    }

    /// What a place needs for it.
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Netem => Kind::Bare,
            Self::Tun => Kind::Tun,
        }
    }
}

impl fmt::Display for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Netem => "sch_netem of this kernel",
            Self::Tun => "the TUN emulator",
        })
    }
}

impl Wire {
    /// Begins; time is counted from now. `port` is the session's at `server`, `router` what netem needs.
    pub(crate) fn start(
        [server, client]: [&Place; 2],
        router: Option<Place>,
        profile: &Profile,
        port: u16,
    ) -> Result<Self> {
        Ok(match router {
            Some(router) => Self::Netem(Router::start(router, profile)?),
            None => Self::Tun(Emulator::start(server, client, profile.ways.clone(), port)?),
        })
    }

    /// When it began.
    pub(crate) const fn began(&self) -> Instant {
        match self {
            Self::Netem(router) => router.began(),
            Self::Tun(emulator) => emulator.began(),
        }
    }

    /// Ends it; what was seen of the way from server to client, and a line about it.
    pub(crate) fn finish(self) -> (Vec<Look>, String) {
        match self {
            Self::Netem(router) => router.finish(),
            Self::Tun(emulator) => emulator.finish(),
        }
    }
}
