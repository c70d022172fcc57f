use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Instant;

use tokio::io::AsyncReadExt;

use super::*;
use crate::address::DEFAULT_MIN_PORT;

fn bind(kind: TransportKind, value: &str) -> Bind {
    Bind::parse(kind, value, DEFAULT_MIN_PORT).unwrap()
}

fn socket_bind(path: &Path) -> Bind {
    bind(TransportKind::Socket, path.to_str().unwrap())
}

fn names(directory: &Path) -> LocalNames {
    LocalNames {
        display: "10".to_owned(),
        prefix: "box-".to_owned(),
        directories: vec![
            directory.join("one"),
            directory.join("two"),
            directory.join("one"),
        ],
        session_directory: Some(directory.join("one/10")),
    }
}

/// Options that give up soon.
fn hasty(names: LocalNames) -> ListenOptions {
    ListenOptions {
        names,
        probe_timeout: Duration::from_millis(600),
        ..ListenOptions::default()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A socket file that nobody listens on any more.
fn stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
}

#[tokio::test]
async fn automatic_sockets_are_where_clients_look() {
    let directory = tempfile::tempdir().unwrap();
    let options = hasty(names(directory.path()));
    let listeners = listen(&bind(TransportKind::Socket, "noabstract"), &options)
        .await
        .unwrap();
    let paths: Vec<_> = listeners.iter().filter_map(Listener::path).collect();
    let expected = ["one/box-10", "two/box-10", "one/10/socket"].map(|path| directory.path().join(path));
    assert_eq!(paths, expected);
    for path in &expected {
        assert_eq!(mode(path), 0o600);
        assert_eq!(
            probe_socket(path, Duration::from_secs(1)).await,
            SessionState::Live
        );
    }
    assert_eq!(mode(&directory.path().join("two")), 0o700);
    assert_eq!(mode(&directory.path().join("one/10")) & !0o050, 0o700);
    drop(listeners);
    assert!(expected.iter().all(|path| !path.exists()));
    assert!(!directory.path().join("one/10").exists() && directory.path().join("one").exists());
}

#[tokio::test]
async fn an_abstract_socket_is_closed_to_other_users() {
    use std::os::unix::process::CommandExt;

    let name = format!("xpra-rs-test-owner-{}", std::process::id());
    let bind = bind(TransportKind::Socket, &format!("@{name}"));
    let listeners = listen(&bind, &ListenOptions::default()).await.unwrap();
    let script = format!("import socket; s = socket.socket(1); s.connect('\\0{name}'); print(s.recv(1))");
    let stranger = std::process::Command::new("python3")
        .args(["-c", &script])
        .current_dir("/")
        .uid(65534)
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(stranger) = stranger else {
        eprintln!("skipped: needs root, to be somebody else, and python3");
        return;
    };
    let ended = tokio::task::spawn_blocking(move || stranger.wait_with_output().unwrap());
    tokio::select! {
        link = listeners[0].accept() => panic!("let in: {link:?}"),
        ended = ended => {
            let ended = ended.unwrap();
            assert!(ended.status.success() && ended.stdout == b"b''\n", "{ended:?}");
        }
    }
}

#[tokio::test]
async fn an_abstract_socket_lets_only_its_owner_in_unless_told() {
    let display = format!("rs-test-{}", std::process::id());
    let options = |display: &str| {
        hasty(LocalNames {
            display: display.to_owned(),
            ..LocalNames::default()
        })
    };
    let auto = bind(TransportKind::Socket, "auto");
    let listeners = listen(&auto, &options(&display)).await.unwrap();
    assert_eq!(listeners.len(), 1);
    assert_eq!(listeners[0].local(), format!("@xpra/{display}"));
    assert_eq!(listeners[0].options().get("auth"), Some("peercred"));
    let owner = probe_abstract(&display, Duration::from_secs(1)).await.unwrap();
    assert_eq!(owner.uid, rustix::process::getuid().as_raw());
    assert!(matches!(
        listen(&auto, &options(&display)).await,
        Err(ListenError::AlreadyExists { .. })
    ));
    let open = bind(TransportKind::Socket, &format!("@{display},auth=allow"));
    assert_eq!(
        listen(&open, &options("")).await.unwrap()[0]
            .options()
            .get("auth"),
        Some("allow")
    );
}

#[tokio::test]
async fn bind_values_choose_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let options = hasty(names(root));
    for (value, expected) in [
        (root.join("new/").to_str().unwrap(), "new/box-10"),
        (root.to_str().unwrap(), "box-10"),
        ("name", "one/box-name"),
        (root.join("exact").to_str().unwrap(), "exact"),
    ] {
        let listeners = listen(&bind(TransportKind::Socket, value), &options)
            .await
            .unwrap();
        assert_eq!(
            listeners[0].path(),
            Some(root.join(expected).as_path()),
            "{value}"
        );
    }
    assert!(
        listen(&bind(TransportKind::Socket, "none"), &options)
            .await
            .unwrap()
            .is_empty()
    );
    let long = root.join("x".repeat(120));
    assert!(matches!(
        listen(&socket_bind(&long), &options).await,
        Err(ListenError::Failed { .. })
    ));
}

#[tokio::test]
async fn permissions_are_exact_and_never_wider() {
    let directory = tempfile::tempdir().unwrap();
    for permissions in [0o600, 0o660, 0o666, 0o777, 0o000] {
        // From the first moment the file has only the owner's bits: they are the socket's own.
        let path = directory.path().join(format!("new-{permissions:o}"));
        let socket = unix::bind_closed(&path, permissions).unwrap();
        assert_eq!(mode(&path) & !(permissions & 0o700), 0);
        drop(socket);
        let path = directory.path().join(format!("{permissions:o}"));
        let options = ListenOptions {
            permissions,
            ..ListenOptions::default()
        };
        let _listeners = listen(&socket_bind(&path), &options).await.unwrap();
        assert_eq!(mode(&path), permissions);
    }
}

#[tokio::test]
async fn a_live_server_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let _server = UnixListener::bind(&path).unwrap();
    let refused = listen(&socket_bind(&path), &ListenOptions::default()).await;
    assert_eq!(
        refused.unwrap_err(),
        ListenError::AlreadyExists {
            place: path.display().to_string()
        }
    );
    assert!(path.exists());
    let options = ListenOptions {
        clobber: true,
        ..ListenOptions::default()
    };
    assert_eq!(listen(&socket_bind(&path), &options).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_stale_socket_is_replaced_after_the_server_had_time_to_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    stale(&path);
    assert_eq!(
        probe_socket(&path, Duration::from_secs(1)).await,
        SessionState::Unknown
    );
    let start = Instant::now();
    let listeners = listen(&socket_bind(&path), &hasty(LocalNames::default()))
        .await
        .unwrap();
    assert!(start.elapsed() >= Duration::from_millis(600));
    assert_eq!(
        probe_socket(&path, Duration::from_secs(1)).await,
        SessionState::Live
    );
    drop(listeners);

    // One that begins to listen meanwhile keeps its name.
    stale(&path);
    let starting = path.clone();
    let server = tokio::spawn(async move {
        sleep(Duration::from_millis(200)).await;
        fs::remove_file(&starting).unwrap();
        UnixListener::bind(&starting).unwrap()
    });
    let refused = listen(&socket_bind(&path), &ListenOptions::default()).await;
    assert!(
        matches!(refused, Err(ListenError::AlreadyExists { .. })),
        "{refused:?}"
    );
    drop(server.await.unwrap());
}

#[tokio::test]
async fn only_sockets_are_ever_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious");
    fs::write(&path, "data").unwrap();
    let refused = listen(&socket_bind(&path), &hasty(LocalNames::default())).await;
    assert_eq!(
        refused.unwrap_err(),
        ListenError::NotASocket { path: path.clone() }
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "data");
}

#[tokio::test]
async fn a_file_is_removed_only_by_the_listener_it_belongs_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = listen(&socket_bind(&path), &ListenOptions::default())
        .await
        .unwrap()
        .remove(0);
    fs::File::open(directory.path()).unwrap();
    let before = fs::metadata(&path).unwrap().mtime_nsec();
    sleep(Duration::from_millis(20)).await;
    assert!(listener.touch().unwrap());
    assert_ne!(fs::metadata(&path).unwrap().mtime_nsec(), before);
    // Another server takes the name over. Its file is made first, so that it cannot get the same inode.
    let other = directory.path().join("other");
    let _heir = UnixListener::bind(&other).unwrap();
    fs::rename(&other, &path).unwrap();
    assert!(!listener.touch().unwrap());
    drop(listener);
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
}

#[tokio::test]
async fn states_of_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let limit = Duration::from_secs(1);
    let path = directory.path().join("s");
    assert_eq!(probe_socket(&path, limit).await, SessionState::Dead);
    let server = UnixListener::bind(&path).unwrap();
    assert_eq!(probe_socket(&path, limit).await, SessionState::Live);
    drop(server);
    assert_eq!(probe_socket(&path, limit).await, SessionState::Unknown);
    assert_eq!(probe_abstract("xpra-rs-nobody-listens-here", limit).await, None);
}

#[tokio::test]
async fn a_dead_ipv6_address_does_not_stop_the_live_ipv4_one() {
    let listeners = listen(
        &bind(TransportKind::Tcp, "127.0.0.1:0"),
        &ListenOptions::default(),
    )
    .await
    .unwrap();
    let live = listeners[0].address().unwrap();
    let closed: SocketAddr = "[::1]:1".parse().unwrap();
    let start = Instant::now();
    let link = connect_any(&[closed, live], &Tuning::default()).await.unwrap();
    assert_eq!(link.info.peer, live.to_string());
    // A refusal makes the next address start at once.
    assert!(start.elapsed() < Duration::from_millis(200));
    let error = connect_any(&[closed], &Tuning::default()).await.unwrap_err();
    assert!(error.to_string().contains("[::1]:1"), "{error}");
    assert!(connect_any(&[], &Tuning::default()).await.is_err());
}

#[tokio::test]
async fn a_silent_address_delays_by_a_quarter_of_a_second() {
    let listeners = listen(
        &bind(TransportKind::Tcp, "127.0.0.1:0"),
        &ListenOptions::default(),
    )
    .await
    .unwrap();
    // A listener whose queue is full lets connections wait for ever, as a black hole does.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    full.listen(0).unwrap();
    let silent = full.local_addr().unwrap().as_socket().unwrap();
    let mut fillers = Vec::new();
    for _ in 0..3 {
        fillers.push(
            timeout(
                Duration::from_millis(50),
                connect_any(&[silent], &Tuning::default()),
            )
            .await,
        );
    }
    if fillers.iter().all(Result::is_ok) {
        eprintln!("skipped: this kernel's queue does not fill");
        return;
    }
    let start = Instant::now();
    let link = connect_any(&[silent, listeners[0].address().unwrap()], &Tuning::default())
        .await
        .unwrap();
    let took = start.elapsed();
    assert_eq!(link.info.peer, listeners[0].local());
    assert!(
        took >= Duration::from_millis(240) && took < Duration::from_secs(2),
        "{took:?}"
    );
}

#[tokio::test]
async fn connecting_waits_for_a_server_that_is_starting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("late");
    let address = Address::new(Target::Socket(path.clone()));
    let server = tokio::spawn(async move {
        sleep(Duration::from_millis(500)).await;
        let listeners = listen(&socket_bind(&path), &ListenOptions::default())
            .await
            .unwrap();
        listeners[0].accept().await.unwrap();
    });
    let start = Instant::now();
    connect(&address, &ConnectOptions::default()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(900));
    server.await.unwrap();
}

#[tokio::test]
async fn failures_tell_what_failed() {
    let hasty = ConnectOptions {
        timeout: Duration::ZERO,
        ..ConnectOptions::default()
    };
    let error = async |text: &str| connect(&text.parse().unwrap(), &hasty).await.unwrap_err();
    let refused = error("tcp://user:secret@127.0.0.1:1/").await;
    assert!(
        matches!(
            &refused,
            ConnectError::Failed {
                kind: io::ErrorKind::ConnectionRefused,
                ..
            }
        ),
        "{refused:?}"
    );
    let shown = "cannot connect to 'tcp://user@127.0.0.1:1/': 127.0.0.1:1: Connection refused (os error 111)";
    assert_eq!(refused.to_string(), shown);
    let missing = error("socket:///nonexistent/s").await;
    assert!(
        matches!(
            missing,
            ConnectError::Failed {
                kind: io::ErrorKind::NotFound,
                ..
            }
        ),
        "{missing:?}"
    );
    assert!(matches!(
        error("tcp://nonexistent.invalid/").await,
        ConnectError::Lookup { .. }
    ));
    #[cfg(not(windows))]
    {
        let pipe = error("named-pipe://x").await.to_string();
        assert!(
            pipe.contains("Windows") && pipe.contains("socket:///PATH"),
            "{pipe}"
        );
    }
    assert!(matches!(error(":10").await, ConnectError::Unresolved { .. }));
}

#[tokio::test]
async fn tcp_listeners() {
    let options = ListenOptions::default();
    let any = listen(&bind(TransportKind::Tcp, "*:0"), &options).await.unwrap();
    let port = any[0].address().unwrap().port();
    assert!(port != 0 && any.iter().all(|listener| listener.is_exposed()));
    // The wildcard takes IPv4 too; the peer is shown as the IPv4 address it is.
    let address = format!("tcp://127.0.0.1:{port}/").parse().unwrap();
    let default = ConnectOptions::default();
    let (client, server) = tokio::join!(connect(&address, &default), any[0].accept());
    assert_eq!(server.unwrap().info.peer, client.unwrap().info.local);
    let local = listen(&bind(TransportKind::Tcp, "localhost:0"), &options)
        .await
        .unwrap();
    assert!(!local.is_empty() && local.iter().all(|listener| !listener.is_exposed()));
    let taken = listen(&bind(TransportKind::Tcp, &format!("127.0.0.1:{port}")), &options).await;
    assert!(
        matches!(
            taken,
            Err(ListenError::Failed {
                kind: io::ErrorKind::AddrInUse,
                ..
            })
        ),
        "{taken:?}"
    );
    let unknown = listen(&bind(TransportKind::Tcp, "nonexistent.invalid:0"), &options).await;
    assert!(matches!(unknown, Err(ListenError::Lookup { .. })));
}

#[tokio::test]
async fn accepting_may_be_given_up_without_losing_a_peer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = listen(&socket_bind(&path), &ListenOptions::default())
        .await
        .unwrap()
        .remove(0);
    for _ in 0..50 {
        let early = timeout(Duration::ZERO, listener.accept()).await;
        assert!(early.is_err());
    }
    let clients: Vec<_> = (0..20)
        .map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap())
        .collect();
    let mut accepted = 0;
    while accepted < clients.len() {
        tokio::select! {
            biased;
            link = listener.accept() => {
                assert!(link.is_ok());
                accepted += 1;
            }
            () = tokio::task::yield_now() => {}
        }
    }
    // A probe connects and hangs up: the server sees an end at once, nothing else.
    assert_eq!(
        probe_socket(&path, Duration::from_secs(1)).await,
        SessionState::Live
    );
    let mut probe = listener.accept().await.unwrap();
    assert_eq!(probe.stream.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn tuning_reaches_the_socket() {
    let tuned = Tuning {
        notsent_lowat: Some(16 << 10),
        ..Tuning::default()
    };
    let listeners = listen(
        &bind(TransportKind::Tcp, "127.0.0.1:0"),
        &ListenOptions::default(),
    )
    .await
    .unwrap();
    let link = connect_any(&[listeners[0].address().unwrap()], &tuned)
        .await
        .unwrap();
    link.info.probe.set_notsent_lowat(32 << 10).unwrap();
    link.info.probe.set_pace(1 << 20).unwrap();
    link.info.probe.set_nodelay(false).unwrap();
    let info = link.info.probe.kernel_info().unwrap();
    assert_eq!((info.notsent, info.unacked, info.retransmits), (0, 0, 0));
}

/// The conformance suite checks what is told. This says what must be told here.
#[tokio::test]
async fn the_kernel_tells_of_its_queues() {
    let directory = tempfile::tempdir().unwrap();
    let tcp = bind(TransportKind::Tcp, "127.0.0.1:0");
    for (bind, has_tcp) in [(tcp, true), (socket_bind(&directory.path().join("s")), false)] {
        let listener = listen(&bind, &ListenOptions::default()).await.unwrap().remove(0);
        let address = listener.to_string().parse().unwrap();
        let link = connect(&address, &ConnectOptions::default()).await.unwrap();
        let probe = &link.info.probe;
        assert_eq!((probe.unsent(), probe.unacked()), (Some(0), Some(0)));
        assert_eq!(probe.kernel_info().is_some(), has_tcp);
    }
}
