//! Those who only look how the session is doing.

use super::world::{World, hello, within};
use crate::codec::Value;
use crate::session::server::ServerConfig;
use crate::session::{Asker, RequestError, Watch, watch};
use crate::telemetry::Sample;
use crate::types::Rect;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

const UUID: &str = "observer";

struct Observer {
    answers: mpsc::Receiver<(Duration, Value)>,
    end: oneshot::Sender<()>,
}

impl Observer {
    async fn info(&mut self) -> Value {
        within(self.answers.recv()).await.unwrap().1
    }
}

/// Watches while `script` goes on, and tells how that ended.
async fn watched(world: &World, script: impl AsyncFnOnce(Observer)) -> Result<(), RequestError> {
    let (sender, answers) = mpsc::channel(4);
    let (end, ended) = oneshot::channel();
    let how = Watch {
        interval: Duration::from_millis(1),
        uuid: UUID.into(),
        answers: sender,
        end: ended,
    };
    let open = async || Ok::<_, Infallible>(world.stream().await.into());
    let watching = watch(open, Asker::default(), how);
    let (Ok(outcome), ()) = within(async { tokio::join!(watching, script(Observer { answers, end })) }).await;
    outcome
}

#[tokio::test]
async fn an_observer_sees_what_a_picture_took_and_changes_nothing() {
    let world = World::new(ServerConfig::default()).await;
    let client = world.attach(hello(&["rgb24"])).await;
    world.puppet.paint(Rect::new(0, 0, 50, 50), |_, _| [7; 3]);
    client.shows(&world.puppet).await;
    let script = async |mut observer: Observer| loop {
        let info = observer.info().await;
        let observers = info.get("clients").and_then(|clients| clients.get("observers"));
        assert_eq!(observers.and_then(Value::as_int), Some(1));
        assert!(
            info.get("client").unwrap().get("latency").is_some(),
            "the only client is not numbered"
        );
        let sample = Sample::read(&info, Duration::ZERO, UUID);
        // the acknowledgement travels beside the question
        if sample.clients[0].spread("picture-latency").is_some() {
            parts_make_the_whole(&sample);
            drop(observer.end);
            break;
        }
    };
    assert_eq!(watched(&world, script).await, Ok(()));
    assert!(!client.task.is_finished());
}

fn parts_make_the_whole(sample: &Sample) {
    let [client] = &sample.clients[..] else {
        panic!("{sample:?}")
    };
    let missing: Vec<_> = client.missing().map(|metric| metric.key).collect();
    // pings come later, and a unix socket has no TCP
    let expected = |key: &&str| key.ends_with("-ping") || key.starts_with("tcp-");
    assert!(missing.iter().all(expected), "{missing:?}");
    let sum = |key: &str| client.spread(key).unwrap().get("sum").unwrap();
    let parts = [
        "wait",
        "encode",
        "host-queue",
        "network-queue",
        "transmission",
        "propagation",
        "decode",
    ];
    let (parts, whole) = (parts.map(sum).iter().sum::<f64>(), sum("picture-latency"));
    // this client says 0.1 ms whatever it took
    assert!(
        parts <= whole + 0.2,
        "the parts make {parts} ms, the whole is {whole} ms"
    );
}

#[tokio::test]
async fn who_asks_where_info_is_forbidden_is_told_so() {
    let world = World::without("info").await;
    let script = async |mut observer: Observer| {
        let info = observer.info().await;
        let error = info.get("error").and_then(Value::as_text).unwrap();
        assert!(error.contains("not permitted"), "{error}");
        assert!(info.get("client").is_none());
    };
    assert_eq!(watched(&world, script).await, Ok(()));
}

#[tokio::test]
async fn an_observer_hears_of_the_end() {
    let mut world = World::new(ServerConfig::default()).await;
    let stop = world.stop.take();
    let script = async |mut observer: Observer| {
        observer.info().await;
        drop(stop);
        // as long as somebody listens
        while observer.answers.recv().await.is_some() {}
    };
    let outcome = watched(&world, script).await;
    assert!(
        matches!(outcome, Err(RequestError::Ended { connected: true, .. })),
        "{outcome:?}"
    );
}
