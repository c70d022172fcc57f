//! Servers of several kinds, in time that passes at once.

use super::*;
use crate::packet::Capabilities;
use crate::protocol::ConnectionConfig;
use crate::session::driver::{drive, now};
use bytes::Bytes;
use std::convert::Infallible;
use tokio::io::duplex;

/// A server that answers after a while, if at all.
#[derive(Clone, Copy)]
struct Server {
    /// It tells what it knows.
    informs: bool,
    /// It fills paths, or says that it does and then refuses.
    fills: Option<Result<(), &'static str>>,
    /// When its load ends, and when the next packet of it is due.
    until: Option<Instant>,
    next: Option<Instant>,
}

const MODERN: Server = Server {
    informs: true,
    fills: Some(Ok(())),
    until: None,
    next: None,
};

impl Handler for Server {
    type Message = Infallible;

    fn event(&mut self, connection: &mut Connection, event: Event, now: Instant) {
        match event {
            Event::Hello(_) => {
                let mut caps = Capabilities::default();
                if self.fills.is_some() {
                    caps.set("load-test", 10);
                }
                connection.accept(caps, now);
            }
            Event::Packet(Packet::InfoRequest { .. }) if self.informs => {
                let mut info = Value::map();
                info.insert("hostname", "there");
                connection.send(Packet::InfoResponse(info));
            }
            Event::Packet(Packet::LoadTest(milliseconds)) => match self.fills {
                Some(Ok(())) => {
                    self.until = Some(now + Duration::from_millis(milliseconds.unsigned_abs()));
                    self.next = Some(now);
                }
                refusal => {
                    let mut report = Value::map();
                    report.insert("error", refusal.and_then(Result::err).unwrap_or("never offered"));
                    connection.send(Packet::LoadReport(report));
                }
            },
            _ => {}
        }
    }

    fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<Infallible> {
        Poll::Pending
    }

    fn message(&mut self, _: &mut Connection, message: Infallible, _: Instant) {
        match message {}
    }

    fn deadline(&self) -> Option<Instant> {
        self.next
    }

    fn timeout(&mut self, connection: &mut Connection, now: Instant) {
        let Some(until) = self.until else { return };
        if now < until {
            self.next = Some(now + Duration::from_millis(10));
            return connection.send(Packet::LoadData(Bytes::from_static(&[7; 10_000])));
        }
        (self.until, self.next) = (None, None);
        let (mut report, mut tcp, mut half) = (Value::map(), Value::map(), Value::map());
        tcp.insert("rtt", Value::Float(9.0));
        tcp.insert("min-rtt", Value::Float(2.0));
        tcp.insert("mss", 1000);
        half.insert("bytes", 2_000_000);
        half.insert("retransmits", 3);
        report.insert("tcp", tcp);
        report.insert("second-half", half);
        connection.send(Packet::LoadReport(report));
    }
}

async fn measured(server: Server, load: bool) -> Result<Measured, RequestError> {
    let open = async || {
        let (ours, theirs) = duplex(1 << 20);
        let mut server = server;
        tokio::spawn(async move {
            let mut connection = Connection::server(&ConnectionConfig::default(), now());
            drive(theirs, &mut connection, &mut server).await;
        });
        Ok::<_, Infallible>(Opened {
            is_private: true,
            ..Opened::new(ours)
        })
    };
    let how = Diagnose {
        uuid: "me".into(),
        load,
    };
    let Ok(outcome) = diagnose(open, Asker::default(), how).await;
    outcome
}

#[tokio::test(start_paused = true)]
async fn a_path_is_measured_idle_and_filled() {
    let measured = measured(MODERN, true).await.unwrap();
    assert!((38..=41).contains(&measured.idle.pings.len()), "{measured:?}");
    assert_eq!(measured.idle.unanswered, 0);
    let hostname = measured.sample.unwrap().server[0].text.clone();
    assert_eq!(hostname, "there");
    let load = measured.load.unwrap();
    // those of the second half of 4 s
    assert!((18..=21).contains(&load.rounds.pings.len()), "{load:?}");
    // 10 kB each 10 ms, and headers
    assert!((0.8e6..1.1e6).contains(&load.bytes_per_second), "{load:?}");
    let sender = Sender {
        rtt: 9.0,
        min_rtt: 2.0,
        segments: 2000.0,
        retransmits: 3.0,
    };
    assert_eq!(load.sender, Some(sender));
    assert_eq!(measured.missing, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_a_server_does_not_do_is_said() {
    let other = Server {
        informs: false,
        fills: None,
        ..MODERN
    };
    let found = measured(other, true).await.unwrap();
    assert!(found.idle.pings.len() >= 38 && found.load.is_none() && found.sample.is_none());
    let [info, load] = &found.missing[..] else {
        panic!("{:?}", found.missing)
    };
    assert!(
        info.contains("info") && load.contains("load-test"),
        "{:?}",
        found.missing
    );
    let refusing = Server {
        fills: Some(Err("not now")),
        ..MODERN
    };
    let found = measured(refusing, true).await.unwrap();
    assert!(
        found.load.is_none() && found.missing[0].contains("not now"),
        "{:?}",
        found.missing
    );
    let found = measured(MODERN, false).await.unwrap();
    assert!(
        found.load.is_none() && found.missing[0].contains("not wanted"),
        "{:?}",
        found.missing
    );
}
