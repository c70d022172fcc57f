//! Connections that have not logged in: how many, and how often, each address may have them (`endpoints.md` c.1).

use crate::session::screen::ClientId;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Strangers a server has at most.
const MOST: usize = 100;
/// Strangers of one address: a browser has six, some networks share an address.
const MOST_OF_ONE: usize = 40;
/// Connections an address may make at once, and how fast it earns new ones.
const BURST: u32 = 100;
const EARN_EVERY: Duration = Duration::from_millis(100);
/// Addresses remembered.
const MOST_SOURCES: usize = 4096;

/// Why a connection is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooMany {
    #[error("too many connections that did not log in")]
    Here,
    #[error("too many connections from one address that did not log in")]
    FromThere,
    #[error("too many connections from one address in a short time")]
    SoOften,
}

/// Who is there without having logged in.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    here: BTreeMap<ClientId, Option<IpAddr>>,
    sources: BTreeMap<IpAddr, Source>,
}

#[derive(Debug)]
struct Source {
    here: usize,
    /// Connections it may still make, as of that time.
    credit: u32,
    since: Instant,
}

impl Strangers {
    /// Lets one in. `from` is nothing for peers on this machine: what they do can be done without us.
    pub(super) fn admit(&mut self, id: ClientId, from: Option<IpAddr>, now: Instant) -> Result<(), TooMany> {
        if self.here.len() >= MOST {
            return Err(TooMany::Here);
        }
        let from = from.map(network);
        if let Some(address) = from {
            self.forget(now);
            if self.sources.len() >= MOST_SOURCES && !self.sources.contains_key(&address) {
                return Err(TooMany::Here);
            }
            let source = self.sources.entry(address).or_insert(Source {
                here: 0,
                credit: BURST,
                since: now,
            });
            source.earn(now);
            if source.here >= MOST_OF_ONE {
                return Err(TooMany::FromThere);
            }
            source.credit = source.credit.checked_sub(1).ok_or(TooMany::SoOften)?;
            source.here += 1;
        }
        self.here.insert(id, from);
        Ok(())
    }

    /// It logged in, or it is gone.
    pub(super) fn leave(&mut self, id: ClientId) {
        if let Some(Some(address)) = self.here.remove(&id)
            && let Some(source) = self.sources.get_mut(&address)
        {
            source.here = source.here.saturating_sub(1);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.here.len()
    }

    /// Drops addresses of which nothing is left to remember, once there are many.
    fn forget(&mut self, now: Instant) {
        if self.sources.len() < MOST_SOURCES {
            return;
        }
        self.sources.retain(|_, source| {
            source.earn(now);
            source.here > 0 || source.credit < BURST
        });
    }
}

impl Source {
    fn earn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_millis() / EARN_EVERY.as_millis();
        let earned = u32::try_from(passed).unwrap_or(u32::MAX);
        if earned > 0 {
            self.credit = self.credit.saturating_add(earned).min(BURST);
            self.since += EARN_EVERY.saturating_mul(earned);
        }
        if self.credit == BURST {
            self.since = now;
        }
    }
}

/// An IPv6 host has a whole network to call from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let mut strangers = Strangers::default();
        let now = crate::session::now();
        let mut ids = (0..).map(ClientId);
        for id in ids.by_ref().take(MOST_OF_ONE) {
            strangers.admit(id, address(1), now).unwrap();
        }
        let id = ids.next().unwrap();
        assert_eq!(strangers.admit(id, address(1), now), Err(TooMany::FromThere));
        strangers.admit(id, address(2), now).unwrap();
        strangers.leave(ClientId(0));
        strangers.admit(ids.next().unwrap(), address(1), now).unwrap();
        for id in ids.by_ref().take(MOST - MOST_OF_ONE - 1) {
            strangers.admit(id, None, now).unwrap();
        }
        assert_eq!(
            strangers.admit(ids.next().unwrap(), None, now),
            Err(TooMany::Here)
        );
        assert_eq!(strangers.len(), MOST);
    }

    #[test]
    fn connections_are_earned_with_time() {
        let mut strangers = Strangers::default();
        let mut now = crate::session::now();
        let mut try_at = |now| {
            let admitted = strangers.admit(ClientId(1), address(1), now);
            strangers.leave(ClientId(1));
            admitted
        };
        for _ in 0..BURST {
            try_at(now).unwrap();
        }
        assert_eq!(try_at(now), Err(TooMany::SoOften));
        now += EARN_EVERY * 2;
        assert_eq!(
            [try_at(now), try_at(now), try_at(now)],
            [Ok(()), Ok(()), Err(TooMany::SoOften)]
        );
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let at = |text: &str| network(text.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }
}
