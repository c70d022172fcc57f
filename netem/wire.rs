//! [`Wire`]: what is between the two places: the kernel's own netem where there is one that can do what the profile
//! asks, else the [`Emulator`], or a guest's netem when that is asked for.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::Result;

use crate::emulator::Emulator;
use crate::guest::Guest;
use crate::link::Nanos;
use crate::place::{Kind, Place};
use crate::profile::Profile;
use crate::router::{Middle, Router};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// `sch_netem` between veth pairs.
    Netem,
    /// `sch_netem` of a guest between TAP devices.
    Guest,
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

/// Where a server and a client are.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

/// The places of both, and what is between them.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) server: Place,
    pub(crate) client: Place,
    /// Until a link begins.
    router: Option<Middle>,
}

/// A link that is being played.
#[derive(Debug)]
pub(crate) enum Wire {
    Netem(Router),
    Tun(Emulator),
}

impl Medium {
    /// What plays that profile: what is wanted, if it can, else the best this machine has.
    pub(crate) fn choose(wanted: Option<Self>, profile: &Profile) -> Result<Self> {
        let best = match Self::Netem.lacks(profile)? {
            None => Self::Netem,
            Some(_) => Self::Tun,
        };
        let Some(wanted) = wanted else {
            return Ok(best);
        };
        Ok(match wanted.lacks(profile)? {
            None => wanted,
            Some(why) => {
                eprintln!("{}: by {best} and not by {wanted}: {why}", profile.name);
                best
            }
        })
    }

    /// Why it cannot play that profile on this machine, if so.
    pub(crate) fn lacks(self, profile: &Profile) -> Result<Option<String>> {
        if self == Self::Tun {
            return Ok(None);
        }
        if !Router::can(profile) {
            return Ok(Some(
                "it can do no jitter, no CoDel and no quick changes".to_owned(),
            ));
        }
        if self == Self::Guest {
            return if profile.ways.iter().all(Guest::is_as_fast) {
                Guest::lacks()
            } else {
                Ok(Some("the link is too fast for it".to_owned()))
            };
        }
        let trial = Place::new(Ipv4Addr::LOCALHOST, Kind::Bare)?;
        let tried = trial.run("tc qdisc add dev lo root netem delay 1ms");
        Ok(tried.err().map(|error| error.to_string()))
    }
}

impl fmt::Display for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Netem => "sch_netem of this kernel",
            Self::Guest => "sch_netem of a guest",
            Self::Tun => "the TUN emulator",
        })
    }
}

impl Ends {
    /// New ones, both of that congestion control; the link is still perfect, or not there.
    pub(crate) fn new(medium: Medium, congestion_control: &str) -> Result<Self> {
        let kind = match medium {
            Medium::Netem | Medium::Guest => Kind::Bare,
            Medium::Tun => Kind::Tun,
        };
        let (mut server, mut client) = (Place::new(SERVER, kind)?, Place::new(CLIENT, kind)?);
        for place in [&mut server, &mut client] {
            place.set_congestion_control(congestion_control)?;
        }
        let router = match medium {
            Medium::Netem | Medium::Guest => Some(Router::join(&server, &client, medium == Medium::Guest)?),
            Medium::Tun => {
                server.set_up()?;
                client.set_up()?;
                None
            }
        };
        Ok(Self {
            server,
            client,
            router,
        })
    }

    /// Begins a link between them; time is counted from now. `port` is the session's at the server.
    pub(crate) fn begin(&mut self, profile: &Profile, port: u16) -> Result<Wire> {
        Ok(match self.router.take() {
            Some(router) => Wire::Netem(Router::start(router, profile)?),
            None => Wire::Tun(Emulator::start(
                &self.server,
                &self.client,
                profile.ways.clone(),
                port,
            )?),
        })
    }
}

impl Wire {
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
