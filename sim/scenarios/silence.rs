//! Peers that begin and say no more.

use crate::client::Visit;
use crate::server::{PORT, SERVER, Serving};
use crate::trace::time;
use crate::world::{millis, play, seconds};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream};
use xpra::codec::Dialect;
use xpra::packet::Capabilities;
use xpra::protocol::{CloseReason, Connection, ConnectionConfig, TimedOut};
use xpra::session::now;

#[test]
fn half_a_hello() {
    play(|world| {
        world.serve(Serving::default());
        let client = world.visit("client", Visit::default());
        world.run(seconds(1));
        let told = Arc::new(Mutex::new(None));
        let hears = Arc::clone(&told);
        world.sim.client("half", async move {
            let mut stream = TcpStream::connect((SERVER, PORT)).await?;
            let hello = hello();
            stream.write_all(&hello[..hello.len() / 2]).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            *hears.lock().unwrap() = Some((time(), answer));
            Ok(())
        });
        world.run(seconds(20));
        assert_eq!(*told.lock().unwrap(), None);
        world.run(seconds(1));
        let (at, text) = told.lock().unwrap().take().unwrap();
        assert_eq!(text, "disconnect: login timeout\n");
        // the server waits a little for the peer to close
        assert!((seconds(21)..seconds(21) + millis(400)).contains(&at), "{at:?}");

        let info = world.info("info");
        // the asker is one
        let strangers = info.get("clients").unwrap().get("unauthenticated");
        assert_eq!(strangers.and_then(|v| v.as_int()), Some(1));
        assert!(client.seen().is_connected());
    });
}

#[test]
fn a_server_that_never_answers() {
    play(|world| {
        world.sim.host(SERVER, || async {
            let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
            let (mut stream, _) = listener.accept().await?;
            stream.read_to_end(&mut Vec::new()).await?;
            Ok(())
        });
        let client = world.visit("client", Visit::default());
        world.run(seconds(21));
        let (at, reason) = client.seen().end();
        assert_eq!(reason, CloseReason::TimedOut(TimedOut::Login));
        assert!((seconds(20)..seconds(20) + millis(100)).contains(&at), "{at:?}");
    });
}

/// The bytes a client opens with.
fn hello() -> Vec<u8> {
    let config = ConnectionConfig::default();
    let mut client = Connection::client(&config, Dialect::G6, Capabilities::default(), now());
    client.transmit().iter().flatten().copied().collect()
}
