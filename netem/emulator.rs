//! [`Emulator`]: plays a link between two places, packet by packet, by the model the simulation uses.
//!
//! One thread a direction: what comes out of one TUN device goes through a [`Bottleneck`] into the other. Since every
//! packet passes here, this is also the meter outside of both ends: it knows the true queue and what was dropped.

use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::link::{Bottleneck, Nanos, Shape};
use crate::place::Place;
use crate::wire::Look;

/// Bytes Ethernet adds to an IP packet.
const FRAME: u64 = 14;
/// Packets read before others are delivered.
const BURST: usize = 64;
/// Time between two looks at the queue.
const LOOK: Duration = Duration::from_millis(50);

/// A link that is being played.
#[derive(Debug)]
pub(crate) struct Emulator {
    began: Instant,
    stop: Arc<AtomicBool>,
    ways: [Arc<Mutex<Way>>; 2],
    threads: Vec<JoinHandle<()>>,
}

/// One direction.
#[derive(Debug)]
struct Way {
    link: Bottleneck<Vec<u8>>,
    /// Payload of TCP segments that come from this port.
    port: u16,
    payload: u64,
    looks: Vec<Look>,
}

impl Emulator {
    /// Begins; time is counted from now. `port` is the session's at `server`.
    pub(crate) fn start(server: &Place, client: &Place, shapes: [Shape; 2], port: u16) -> Result<Self> {
        let began = Instant::now();
        let stop = Arc::new(AtomicBool::new(false));
        let [down, up] = shapes;
        let way = |shape, seed| {
            Arc::new(Mutex::new(Way {
                link: Bottleneck::new(shape, seed),
                port,
                payload: 0,
                looks: Vec::new(),
            }))
        };
        let ways = [way(down, 1), way(up, 2)];
        let devices = [server.device()?, client.device()?];
        let mut threads = Vec::new();
        for (index, way) in ways.iter().enumerate() {
            let (from, to) = (
                devices[index].try_clone_to_owned()?,
                devices[1 - index].try_clone_to_owned()?,
            );
            let (way, stop) = (Arc::clone(way), Arc::clone(&stop));
            let carry = move || carry(from.as_fd(), to.as_fd(), &way, began, &stop);
            threads.push(thread::Builder::new().name("link".into()).spawn(carry)?);
        }
        Ok(Self {
            began,
            stop,
            ways,
            threads,
        })
    }

    /// When it began.
    pub(crate) const fn began(&self) -> Instant {
        self.began
    }

    /// Stops; what was seen of the way from server to client, and a line about it.
    pub(crate) fn finish(mut self) -> (Vec<Look>, String) {
        self.end();
        let way = self.ways[0].lock().unwrap_or_else(PoisonError::into_inner);
        (way.looks.clone(), way.link.counters().to_string())
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.end();
    }
}

fn carry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, way: &Mutex<Way>, began: Instant, stop: &AtomicBool) {
    be_punctual();
    let mut buffer = vec![0; 65536];
    let mut next_look = 0;
    let now = || Nanos::try_from(began.elapsed().as_nanos()).unwrap_or(Nanos::MAX);
    while !stop.load(Ordering::Relaxed) {
        let mut way = way.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..BURST {
            let Ok(length) = rustix::io::read(from, &mut buffer) else {
                break;
            };
            let packet = buffer[..length].to_vec();
            // a full queue is what this is about
            let _dropped = way.link.offer(now(), length as u64 + FRAME, packet);
        }
        while let Some((_, packet)) = way.link.poll(now()) {
            way.payload += payload(&packet, way.port);
            // a device that is going down takes nothing more
            let _gone = rustix::io::write(to, &packet);
        }
        if now() >= next_look {
            let at = now();
            next_look = at + Nanos::try_from(LOOK.as_nanos()).unwrap_or(Nanos::MAX);
            let look = Look {
                at,
                wait: way.link.wait(at),
                payload: way.payload,
                bytes: way.link.counters().bytes,
            };
            way.looks.push(look);
        }
        let next = way.link.next().unwrap_or(Nanos::MAX).min(next_look);
        drop(way);
        let wait = Timespec::try_from(Duration::from_nanos(next.saturating_sub(now()))).ok();
        poll(&mut [PollFd::new(&from, PollFlags::IN)], wait.as_ref()).ok();
    }
}

/// A link is not late because the machine is busy: as far as we may, we are served first, and woken when asked.
#[expect(unsafe_code, reason = "sched_setscheduler has no safe wrapper")]
fn be_punctual() {
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).ok();
    let first = libc::sched_param { sched_priority: 1 };
    // SAFETY: reads the one struct it is given; 0 is this thread. Failing changes nothing.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const first) };
}

/// Bytes a TCP segment from `port` carries.
fn payload(packet: &[u8], port: u16) -> u64 {
    let is_tcp = packet.len() >= 40 && packet[0] >> 4 == 4 && packet[9] == 6;
    let header = usize::from(packet[0] & 0xf) * 4;
    let Some(segment) = packet
        .get(header..)
        .filter(|segment| is_tcp && segment.len() >= 20)
    else {
        return 0;
    };
    if u16::from_be_bytes([segment[0], segment[1]]) != port {
        return 0;
    }
    segment.len().saturating_sub(usize::from(segment[12] >> 4) * 4) as u64
}
