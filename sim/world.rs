//! [`World`]: a network, a server and any number of clients, all in one thread and one virtual time.

use crate::client::{Client, Visit};
use crate::server::{self, Inside, PORT, SERVER, Serving};
use crate::trace::Trace;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use turmoil::net::TcpStream;
use turmoil::{Builder, Sim};
use xpra::codec::Value;
use xpra::session::{Answer, Asker, Opened, Request, RequestError, ask};
use xpra::transport::Probe;

/// What a [`World::ask`]ed server answered.
type Reply = Result<Answer, RequestError>;

/// The longest time a world may last.
const MOST: Duration = Duration::from_secs(3600);

/// Plays a scenario twice, in two years, and fails unless all took the same course.
///
/// Everything else that is different the second time (the clock of the machine, keys of hash maps, addresses of
/// memory) is so by itself.
pub(crate) fn play(scenario: impl Fn(&mut World)) {
    let seed = std::env::var("XPRA_SIM_SEED").map_or(1, |seed| seed.parse().unwrap());
    let year = Duration::from_secs(365 * 24 * 3600);
    let [first, second] = [30 * year, 50 * year].map(|epoch| {
        let mut world = World::new(seed, SystemTime::UNIX_EPOCH + epoch);
        scenario(&mut world);
        world
    });
    first.trace.assert_same(&second.trace);
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    println!(
        "{name}: seed {seed}, {} events in {:?}, trace {:016x}",
        first.trace.len(),
        first.now(),
        first.trace.hash()
    );
}

/// A number of seconds.
pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A number of milliseconds.
pub(crate) const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// One course of a scenario.
pub(crate) struct World {
    pub(crate) sim: Sim<'static>,
    pub(crate) trace: Trace,
    pub(crate) server: Inside,
    seed: u64,
}

impl World {
    /// An empty world, where what is sent takes 1 to 20 ms.
    fn new(seed: u64, epoch: SystemTime) -> Self {
        let sim = Builder::new()
            .rng_seed(seed)
            .epoch(epoch)
            .simulation_duration(MOST)
            .min_message_latency(millis(1))
            .max_message_latency(millis(20))
            .build();
        Self {
            sim,
            trace: Trace::default(),
            server: Inside::default(),
            seed,
        }
    }

    /// Starts a server. It starts anew whenever its host is bounced.
    pub(crate) fn serve(&mut self, serving: Serving) {
        let inside = self.server.clone();
        self.sim
            .host(SERVER, move || server::run(serving.clone(), inside.clone()));
    }

    /// Starts a client that stays until something ends it.
    pub(crate) fn visit(&mut self, name: &'static str, visit: Visit) -> Client {
        Client::new(
            &mut self.sim,
            name,
            visit,
            self.trace.clone(),
            self.server.clone(),
        )
    }

    /// Asks the server, from a host of that name, and lets time pass until it answered.
    pub(crate) fn ask(&mut self, name: &'static str, request: Request) -> Reply {
        let reply = Arc::new(Mutex::new(None));
        let answered = Arc::clone(&reply);
        self.sim.client(name, async move {
            let open = async || {
                let stream = TcpStream::connect((SERVER, PORT)).await?;
                Ok::<_, std::io::Error>(Opened {
                    stream,
                    is_private: false,
                    probe: Probe::default(),
                })
            };
            let reply = ask(open, &request, Asker::default()).await?;
            *answered.lock().unwrap() = Some(reply);
            Ok(())
        });
        let until = self.now() + seconds(30);
        while self.now() < until {
            self.sim.step().unwrap();
            if let Some(reply) = reply.lock().unwrap().take() {
                // what `info` says of the machine is true only once
                let said = reply.as_ref().map(std::mem::discriminant);
                self.trace.note_at(self.now(), name, format_args!("{said:?}"));
                return reply;
            }
        }
        panic!("no answer");
    }

    /// What the server says of itself to a host of that name.
    pub(crate) fn info(&mut self, name: &'static str) -> Value {
        let subsystems = Vec::new();
        match self.ask(name, Request::Info { subsystems }) {
            Ok(Answer::Info(info)) => info,
            other => panic!("{other:?} is no information"),
        }
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        self.run_until(self.now() + time);
    }

    /// Lets time pass until then.
    pub(crate) fn run_until(&mut self, then: Duration) {
        while self.now() < then {
            self.sim.step().unwrap();
        }
    }

    /// Time since the beginning of the world.
    pub(crate) fn now(&self) -> Duration {
        self.sim.elapsed()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last events:\n{}", self.trace.tail(20));
            eprintln!("to see it again: XPRA_SIM_SEED={}", self.seed);
        }
    }
}
