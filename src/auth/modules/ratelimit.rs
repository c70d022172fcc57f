//! `ratelimit`: slows down who guesses, and shuts out who guesses too often (`endpoints.md` h.3). It stands before
//! the module it guards.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::super::chain::Context;
use super::super::error::AuthError;
use super::super::module::{Case, Denial, Judgement, Module, Peer};
use super::super::settings::Settings;

/// How much guessing is borne, and what happened lately.
///
/// An attempt counts as failed from when its answer comes until it turns out to be right. So answers sent all at once
/// through many connections are no way around the limit.
#[derive(Debug)]
struct RateLimit {
    max_failures: usize,
    window: Duration,
    delay: Duration,
    max_delay: Duration,
    ipv4_prefix: u32,
    ipv6_prefix: u32,
    max_tracked: usize,
    failures: Mutex<Failures>,
}

/// When the attempts of each network failed that are not forgotten, oldest first.
type Failures = BTreeMap<IpAddr, VecDeque<Instant>>;

pub(crate) fn build(settings: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let seconds = |option, default| {
        let number = settings.number(option, default, 0, 86400)?;
        Ok::<_, AuthError>(Duration::from_secs(number.into()))
    };
    let count = |option, default, high| {
        let number = settings.number(option, default, 1, high)?;
        Ok::<_, AuthError>(usize::try_from(number).unwrap_or(usize::MAX))
    };
    Ok(Arc::new(RateLimit {
        max_failures: count("max-failures", 5, 1000)?,
        window: seconds("window", 60)?,
        delay: seconds("delay", 1)?,
        max_delay: seconds("max-delay", 8)?,
        ipv4_prefix: settings.number("ipv4-prefix", 32, 1, 32)?,
        ipv6_prefix: settings.number("ipv6-prefix", 128, 1, 128)?,
        max_tracked: count("max-tracked", 10_000, 1_000_000)?,
        failures: Mutex::default(),
    }))
}

impl Module for RateLimit {
    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement> {
        Box::pin(async move {
            let Some(network) = self.network(&case.peer) else {
                return Ok(None);
            };
            let failed = self.count(network, now());
            if failed >= self.max_failures {
                return Err(too_many());
            }
            if let Some(doublings) = failed.checked_sub(1) {
                let factor = u32::try_from(doublings).ok().and_then(|n| 1u32.checked_shl(n));
                let delay = self.delay.saturating_mul(factor.unwrap_or(u32::MAX));
                sleep(delay.min(self.max_delay)).await;
            }
            Ok(None)
        })
    }

    fn attempt(&self, peer: &Peer) -> Result<(), Denial> {
        let Some(network) = self.network(peer) else {
            return Ok(());
        };
        let now = now();
        if self.count(network, now) >= self.max_failures {
            return Err(too_many());
        }
        let mut failures = self.lock();
        if failures.len() >= self.max_tracked && !failures.contains_key(&network) {
            self.make_room(&mut failures, now);
        }
        failures.entry(network).or_default().push_back(now);
        Ok(())
    }

    fn succeeded(&self, peer: &Peer) {
        let Some(network) = self.network(peer) else {
            return;
        };
        let mut failures = self.lock();
        if let Some(times) = failures.get_mut(&network) {
            times.pop_back();
            if times.is_empty() {
                failures.remove(&network);
            }
        }
    }
}

impl RateLimit {
    /// The failures of a network that count.
    fn count(&self, network: IpAddr, now: Instant) -> usize {
        let mut failures = self.lock();
        let Some(times) = failures.get_mut(&network) else {
            return 0;
        };
        times.retain(|time| now.duration_since(*time) < self.window);
        let count = times.len();
        if count == 0 {
            failures.remove(&network);
        }
        count
    }

    /// Forgets what does not count any more, else the network that failed longest ago.
    fn make_room(&self, failures: &mut Failures, now: Instant) {
        let counts = |times: &VecDeque<Instant>| {
            times
                .back()
                .is_some_and(|time| now.duration_since(*time) < self.window)
        };
        failures.retain(|_, times| counts(times));
        if failures.len() >= self.max_tracked {
            let oldest = failures.iter().min_by_key(|(_, times)| times.back().copied());
            if let Some(network) = oldest.map(|(network, _)| *network) {
                failures.remove(&network);
            }
        }
    }

    /// The network the peer is in; `None` for peers of this machine, which are not limited.
    fn network(&self, peer: &Peer) -> Option<IpAddr> {
        let address: SocketAddr = peer.info.peer.parse().ok()?;
        let address = address.ip().to_canonical();
        if address.is_loopback() || peer.info.is_local {
            return None;
        }
        Some(match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - self.ipv4_prefix).unwrap_or_default();
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - self.ipv6_prefix).unwrap_or_default();
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many() -> Denial {
    Denial::new("too many failures from there: to be tried again later")
}

#[expect(
    clippy::disallowed_methods,
    reason = "when attempts failed is no matter of the protocol; tests move tokio's clock"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::*;
    use super::*;

    const GUARDED: [&str; 2] = [
        "ratelimit:max-failures=3,window=60,ipv6-prefix=64",
        "password:value=pw",
    ];

    fn peer(address: &str) -> Peer {
        Peer::new(link(address, false))
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_is_slowed_down_and_ended() {
        let chain = chain(&GUARDED);
        let other = || peer("192.0.2.9:1");
        for delay in [0, 1, 2] {
            let begin = now();
            assert!(!passes(&chain, peer("192.0.2.1:4000"), &["wrong"]).await);
            assert_eq!(begin.elapsed().as_secs(), delay);
        }
        let (refused, challenges) = log_in(&chain, peer("192.0.2.1:4001"), &offered(), &["pw"]).await;
        assert_eq!((refused.is_err(), challenges.len()), (true, 0));
        assert!(passes(&chain, other(), &["pw"]).await);
        // being shut out is not counted, so it ends
        sleep(Duration::from_secs(61)).await;
        assert!(passes(&chain, peer("192.0.2.1:4000"), &["pw"]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn success_is_no_failure_and_forgives_none() {
        let chain = chain(&GUARDED);
        for _ in 0..2 {
            assert!(!passes(&chain, peer("192.0.2.1:1"), &["wrong"]).await);
        }
        for _ in 0..5 {
            assert!(passes(&chain, peer("192.0.2.1:1"), &["pw"]).await);
        }
        assert!(!passes(&chain, peer("192.0.2.1:1"), &["wrong"]).await);
        assert!(!passes(&chain, peer("192.0.2.1:1"), &["pw"]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn many_connections_at_once_have_no_more_guesses() {
        let chain = chain(&GUARDED);
        let mut waiting = Vec::new();
        for _ in 0..10 {
            let mut login = super::super::super::Login::new(Arc::clone(&chain), peer("192.0.2.1:1"));
            let super::super::super::Step::Check(gate) = login.step(&offered()) else {
                panic!("no gate");
            };
            let super::super::super::Step::Challenge(_) = login.checked(gate.await) else {
                panic!("no challenge");
            };
            waiting.push(login);
        }
        let guess = || super::super::super::Answer {
            response: crate::address::Secret::new("x"),
            client_salt: vec![0; 32],
        };
        let steps = waiting.iter_mut().map(|login| login.answer(guess()));
        let looked_at = steps.filter(|step| matches!(step, super::super::super::Step::Check(_)));
        assert_eq!(looked_at.count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_limited_with_whom() {
        let chain = chain(&GUARDED);
        for n in 1..=3 {
            assert!(!passes(&chain, peer(&format!("[2001:db8::{n}]:1")), &["x"]).await);
            assert!(!passes(&chain, peer("127.0.0.1:1"), &["x"]).await);
            assert!(!passes(&chain, peer("[::ffff:127.0.0.1]:1"), &["x"]).await);
            assert!(!passes(&chain, peer("/run/socket"), &["x"]).await);
        }
        assert!(!passes(&chain, peer("[2001:db8::4]:1"), &["pw"]).await);
        for free in [
            "[2001:db8:0:1::1]:1",
            "127.0.0.1:1",
            "[::ffff:127.0.0.1]:1",
            "/run/socket",
        ] {
            assert!(passes(&chain, peer(free), &["pw"]).await, "{free}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded() {
        let settings = "ratelimit:max-tracked=10".parse().unwrap();
        let chain = build(&settings, &context()).unwrap();
        for n in 0..1000u32 {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + n);
            chain.attempt(&peer(&format!("{address}:1"))).unwrap();
        }
        let shown = format!("{chain:?}");
        assert_eq!(shown.matches("10.0.").count(), 10, "{shown}");
    }
}
