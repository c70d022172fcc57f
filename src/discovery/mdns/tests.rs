//! Publishers and browsers over the loopback interface: real multicast, but nobody else hears it.

use super::*;
use crate::address::{Bind, TransportKind};
use crate::transport::{ListenOptions, Listener, listen};
use std::time::{Duration, Instant};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(15);

async fn listener(kind: TransportKind, value: &str) -> Listener {
    let bind = Bind::parse(kind, value, 0).unwrap();
    listen(&bind, &ListenOptions::default()).await.unwrap().remove(0)
}

fn about(display: &str) -> About {
    About {
        hostname: format!("rs{}", std::process::id()),
        display: display.to_owned(),
        username: "bob".to_owned(),
        uuid: format!("{}{display}", std::process::id()),
        session_type: "shadow".to_owned(),
        session_name: Some("my session".to_owned()),
        clients: Some(0),
    }
}

/// The next news about that server that are as wanted.
async fn next(browser: &mut Browser, about: &About, wanted: impl Fn(&Found) -> bool) -> Found {
    let looking = async {
        loop {
            let found = browser.next().await.unwrap();
            if found.uuid == about.uuid && wanted(&found) {
                return found;
            }
        }
    };
    timeout(PATIENCE, looking).await.expect("nothing was found")
}

#[tokio::test]
async fn what_is_published_is_found_updated_and_withdrawn() {
    let tcp = listener(TransportKind::Tcp, "0.0.0.0:0").await;
    let port = tcp.address().unwrap().port();
    let ways = offers([(&tcp, vec![TransportKind::Ssl])], None);
    let about = about(":41");
    let mut browser = Browser::new(Network::Loopback).unwrap();
    let mut publisher = Publisher::new(&ways, about.clone(), Network::Loopback).unwrap();
    // they come in any order
    let mut both = Vec::new();
    while both.len() < 2 {
        let new = |found: &Found| both.iter().all(|known: &Found| known.mode != found.mode);
        let found = next(&mut browser, &about, new).await;
        both.push(found);
    }
    both.sort_by(|one, other| other.mode.cmp(&one.mode));
    let (found, ssl) = (&both[0], &both[1]);
    assert_eq!((found.mode.as_str(), ssl.mode.as_str()), ("tcp", "ssl"));
    assert_eq!((found.port, found.clients), (port, Some(0)));
    assert_eq!((found.display.as_str(), found.username.as_str()), (":41", "bob"));
    assert_eq!(
        (found.session_name.as_str(), found.session_type.as_str()),
        ("my session", "shadow")
    );
    let url = found.url(&found.endpoints[0]).unwrap();
    assert_eq!(url, format!("tcp://bob@127.0.0.1:{port}/41"));

    publisher.update(3, "renamed").unwrap();
    let found = next(&mut browser, &about, |found| found.clients == Some(3)).await;
    assert_eq!(found.session_name, "renamed");

    let gone = |browser: Browser| async move {
        let (mut browser, mut gone) = (browser, 0);
        let looking = async {
            while gone < 2 {
                if let Some(browse::News::Gone(key)) = browser.news().await {
                    gone += usize::from(key.contains(&format!("rs{}-41", std::process::id())));
                }
            }
        };
        timeout(PATIENCE, looking).await.expect("no goodbye was heard");
    };
    let start = Instant::now();
    drop(publisher);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    gone(browser).await;
}

#[tokio::test]
async fn one_listener_may_leave_before_the_others() {
    let one = listener(TransportKind::Tcp, "0.0.0.0:0").await;
    let other = listener(TransportKind::Tcp, "0.0.0.0:0").await;
    let address = one.address().unwrap();
    let kept = other.address().unwrap().port();
    let about = about(":42");
    let ways = offers([&one, &other].map(|listener| (listener, Vec::new())), None);
    let mut publisher = Publisher::new(&ways, about.clone(), Network::Loopback).unwrap();
    let mut browser = Browser::new(Network::Loopback).unwrap();
    next(&mut browser, &about, |found| found.port == address.port()).await;
    publisher.withdraw(address).await.unwrap();
    drop(browser);
    let left = browse(Network::Loopback, Duration::from_secs(3)).await.unwrap();
    let ports: Vec<_> = left
        .iter()
        .filter(|found| found.uuid == about.uuid)
        .map(|found| found.port)
        .collect();
    assert_eq!(ports, [kept]);
}

#[tokio::test]
async fn only_what_others_can_reach_is_offered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s").display().to_string();
    let listeners = [
        listener(TransportKind::Tcp, "127.0.0.1:0").await,
        listener(TransportKind::Tcp, "0.0.0.0:0,mdns=no").await,
        listener(TransportKind::Socket, &path).await,
        listener(TransportKind::Socket, &format!("{path}2")).await,
        listener(TransportKind::Socket, &format!("{path}3,mdns=no")).await,
    ];
    assert_eq!(
        offers(listeners.iter().map(|listener| (listener, Vec::new())), None),
        []
    );
    let ways = offers(listeners.iter().map(|listener| (listener, Vec::new())), Some(22));
    assert_eq!(ways.len(), 1, "unix sockets are one way: {ways:?}");
    assert_eq!(
        (ways[0].address.port(), &ways[0].modes[..]),
        (22, &[TransportKind::Ssh][..])
    );
    let sshd = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = sshd.local_addr().unwrap().port();
    assert_eq!(ssh_server(port).await, Some(port));
    drop(sshd);
    assert_eq!(ssh_server(port).await, None);
}
