//! [`dial_and_resume`]: one session over as many connections as it takes.
//!
//! When a connection is lost, or the server is silent on it, others are opened until one is there; the first takes the
//! session over, which both ends still have. While the server is merely silent the old connection stays: it may be
//! alive, and the server busy.

use super::client::{ClientSession, ToSession};
use super::dial::{Caller, Opened, dial};
use super::driver::{drive, now};
use crate::protocol::{CloseReason, Connection};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

/// How a server is called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// Time from one attempt to the next; earlier ones go on meanwhile.
    pub every: Duration,
    /// How long an attempt may take.
    pub longest: Duration,
    /// Whether to call while the old connection may be alive.
    pub in_doubt: bool,
    /// How long to go on calling after the connection was lost.
    pub patience: Duration,
}

impl Calls {
    /// A network that may come back at any moment.
    pub const NETWORK: Self = Self {
        every: Duration::from_millis(400),
        longest: Duration::from_secs(8),
        in_doubt: true,
        patience: Duration::from_secs(60),
    };
    /// A way within the machine: it is there or not.
    pub const LOCAL: Self = Self {
        in_doubt: false,
        ..Self::NETWORK
    };
    /// A way that takes a program or a login to open: one at a time.
    pub const COSTLY: Self = Self {
        every: Duration::from_secs(10),
        longest: Duration::from_secs(10),
        ..Self::LOCAL
    };
}

/// What a session is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// [Abandon](Connection::abandon) the connection: there is another.
    Abandon,
    /// [Suspect](Connection::suspect) it: the way to the server is another now.
    Suspect,
}

/// Looks at a session from outside while its connection is driven.
#[derive(Debug)]
pub(super) struct Watch {
    /// Whether the server is silent.
    pub(super) doubt: watch::Receiver<bool>,
    pub(super) session: UnboundedSender<ToSession>,
}

impl Watch {
    fn tell(&self, notice: Notice) {
        let _gone = self.session.send(ToSession::Notice(notice));
    }
}

/// A client's session, perhaps with somebody who looks over its shoulder.
pub trait Resumer: Caller<Message = ToSession> {
    /// What can go on over another connection.
    fn session(&mut self) -> &mut ClientSession;
}

impl Resumer for ClientSession {
    fn session(&mut self) -> &mut ClientSession {
        self
    }
}

/// How a session ended.
#[derive(Debug)]
pub struct Ended {
    /// How its last connection ended.
    pub reason: CloseReason,
    /// When that was; there was no coming back since.
    pub at: Instant,
    /// The last connection there was.
    pub connection: Connection,
}

/// Like [`dial`], but goes on when a connection is lost, if the server issued a ticket.
pub async fn dial_and_resume<S, E, H>(
    open: impl AsyncFn() -> Result<Opened<S>, E>,
    caller: &mut H,
    calls: Calls,
) -> Result<Ended, E>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Resumer,
{
    let watch = caller.session().watch();
    let moved = Moved::default();
    let dialled = dial(async || open().await.map(|opened| moved.of(opened)), caller);
    let (ended, mut next) = supervise(dialled, &open, &watch, &moved, calls).await;
    let (mut end, mut connection) = ended?;
    let mut lost = None;
    loop {
        if caller.session().was_back() {
            lost = None;
        }
        if !caller.session().lost(&mut connection, &end) {
            break;
        }
        let (_, since) = lost.get_or_insert_with(|| {
            tracing::warn!("{end}: calling again");
            (end.clone(), now())
        });
        let until = *since + calls.patience;
        let link = match next.take() {
            Some(link) => Some(link),
            None => tokio::select! {
                biased;
                () = departure(caller) => None,
                link = call(&open, calls) => Some(link),
                () = tokio::time::sleep_until(until.into()) => None,
            },
        };
        let Some(link) = link else { break };
        let Some(another) = caller.session().begin_again(link.is_private, now()) else {
            break;
        };
        connection = another;
        let Opened { stream, probe, .. } = moved.of(link);
        caller.opened(probe);
        let driving = drive(stream, &mut connection, caller);
        (end, next) = supervise(driving, &open, &watch, &moved, calls).await;
    }
    let (reason, at) = lost.unwrap_or_else(|| (end, now()));
    Ok(Ended {
        reason,
        at,
        connection,
    })
}

/// Resolves when the way of the connection that is driven is another.
#[derive(Default)]
struct Moved(RefCell<Option<BoxFuture<'static, ()>>>);

impl Moved {
    /// That connection is driven from now on.
    fn of<S>(&self, mut opened: Opened<S>) -> Opened<S> {
        self.0.replace(opened.moved.take());
        opened
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut moved = self.0.borrow_mut();
        if let Some(future) = &mut *moved {
            ready!(future.as_mut().poll(context));
            *moved = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// Drives a connection, and calls the server while it is silent. When another connection comes about first, the one
/// that was driven is abandoned.
async fn supervise<S, E, T>(
    driving: impl Future<Output = T>,
    open: &impl AsyncFn() -> Result<Opened<S>, E>,
    watch: &Watch,
    moved: &Moved,
    calls: Calls,
) -> (T, Option<Opened<S>>) {
    let mut driving = pin!(driving);
    let mut doubt = watch.doubt.clone();
    let mut calling = pin!(async {
        loop {
            if doubt.wait_for(|silent| *silent).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::select! {
                biased;
                _heard = doubt.wait_for(|silent| !*silent) => {}
                link = call(open, calls) => return link,
            }
        }
    });
    loop {
        tokio::select! {
            biased;
            ended = &mut driving => return (ended, None),
            () = poll_fn(|context| moved.poll(context)), if calls.in_doubt => watch.tell(Notice::Suspect),
            link = &mut calling, if calls.in_doubt => {
                watch.tell(Notice::Abandon);
                return (driving.await, Some(link));
            }
        }
    }
}

/// Opens connections until one is there.
async fn call<S, E>(open: &impl AsyncFn() -> Result<Opened<S>, E>, calls: Calls) -> Opened<S> {
    let mut attempts = FuturesUnordered::new();
    let mut next = now();
    // what fails at once, for want of an address, may go a moment later
    let mut pause = calls.every / 8;
    loop {
        tokio::select! {
            biased;
            Some(attempt) = attempts.next(), if !attempts.is_empty() => {
                if let Ok(Ok(link)) = attempt {
                    return link;
                }
                next = next.min(now() + pause);
                pause = calls.every.min(pause * 2);
            }
            () = tokio::time::sleep_until(next.into()) => {
                attempts.push(tokio::time::timeout(calls.longest, open()));
                next = now() + calls.every;
            }
        }
    }
}

/// Takes messages until one means the end.
async fn departure<H: Resumer>(caller: &mut H) {
    loop {
        let message = poll_fn(|context| caller.poll_message(context)).await;
        if caller.session().offline(message) {
            return;
        }
    }
}
