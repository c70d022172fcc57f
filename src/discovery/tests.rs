use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::address::{Address, Target};
use crate::transport::{ListenOptions, listen};

/// A user whose only places are below `root`.
fn environment(root: &Path) -> Environment {
    let variables = [
        ("HOME", root.join("home")),
        ("XDG_RUNTIME_DIR", root.join("run")),
        ("XPRA_SOCKET_DIRS", root.join("run/xpra")),
    ];
    Environment {
        variables: variables
            .map(|(key, value)| (key.to_owned(), value.display().to_string()))
            .into(),
        hostname: "box".to_owned(),
        ..Environment::from_process()
    }
}

fn places(root: &Path) -> Places {
    fs::create_dir_all(root.join("run/xpra/other")).unwrap();
    fs::create_dir_all(root.join("sd")).unwrap();
    Places::new(&environment(root), Some(root.join("sd").to_str().unwrap()), &[])
}

async fn resolved(text: &str, places: &Places) -> Result<Target, DiscoveryError> {
    let address: Address = text.parse().unwrap();
    resolve(&address, places, Duration::ZERO)
        .await
        .map(|address| address.target)
}

#[tokio::test]
async fn sessions_are_listed_once_and_in_order() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    let run = root.path().join("run/xpra");
    fs::create_dir_all(run.join("9")).unwrap();
    fs::create_dir_all(run.join("10")).unwrap();
    fs::create_dir_all(run.join("11")).unwrap();
    fs::write(run.join("11/socket"), "not a socket").unwrap();
    fs::write(run.join("box-1"), "not a socket").unwrap();
    let paths = [
        "run/xpra/9/socket",
        "run/xpra/10/socket",
        "run/xpra/box-10",
        "run/xpra/box-proxy-5",
        "sd/box-2",
    ];
    let _live: Vec<_> = paths
        .iter()
        .map(|path| UnixListener::bind(root.path().join(path)).unwrap())
        .collect();
    let _others = UnixListener::bind(run.join("elsewhere-3")).unwrap();
    // The same directory by another name is not listed twice.
    std::os::unix::fs::symlink(&run, root.path().join("link")).unwrap();
    let twice = [
        run.display().to_string(),
        root.path().join("link").display().to_string(),
    ];
    let twice = Places::new(&environment(root.path()), None, &twice);
    assert_eq!(twice.sessions().len(), 4);
    let found: Vec<_> = places
        .sessions()
        .into_iter()
        .map(|session| (session.display, session.path))
        .collect();
    let expected = [
        (":2", "sd/box-2"),
        (":9", "run/xpra/9/socket"),
        (":10", "run/xpra/10/socket"),
        (":10", "run/xpra/box-10"),
        (":proxy-5", "run/xpra/box-proxy-5"),
    ];
    assert_eq!(
        found,
        expected.map(|(display, path)| (display.to_owned(), root.path().join(path)))
    );
}

#[tokio::test]
async fn what_a_server_makes_is_found() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    let options = ListenOptions {
        names: places.names(":77"),
        ..ListenOptions::default()
    };
    let bind = crate::address::Bind::parse(crate::address::TransportKind::Socket, "noabstract", 0).unwrap();
    let listeners = listen(&bind, &options).await.unwrap();
    let made: Vec<_> = listeners.iter().filter_map(|listener| listener.path()).collect();
    assert_eq!(made, places.candidates(":77"));
    let sessions = places.sessions_and_states().await.unwrap();
    assert_eq!(sessions.len(), 3);
    assert!(
        sessions
            .iter()
            .all(|(session, state)| session.display == ":77" && *state == SessionState::Live)
    );
    assert_eq!(
        resolved("", &places).await,
        Ok(Target::Socket(root.path().join("sd/box-77")))
    );
    assert_eq!(
        resolved(":77.0", &places).await,
        Ok(Target::Socket(root.path().join("sd/box-77")))
    );
}

#[tokio::test]
async fn the_only_session_is_chosen() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    let none = resolved("", &places).await.unwrap_err();
    assert!(matches!(none, DiscoveryError::NoSessions { .. }));
    assert!(none.to_string().starts_with("no sessions found in "));

    // One that refuses may be starting; a live one is better.
    let starting = root.path().join("run/xpra/box-1");
    drop(UnixListener::bind(&starting).unwrap());
    assert_eq!(resolved("", &places).await, Ok(Target::Socket(starting)));
    let live = root.path().join("run/xpra/box-2");
    let _live = UnixListener::bind(&live).unwrap();
    assert_eq!(resolved("", &places).await, Ok(Target::Socket(live.clone())));
    // Two sockets of one display are one session, and proxies do not count.
    let first = root.path().join("sd/box-2");
    let _first = UnixListener::bind(&first).unwrap();
    let _proxy = UnixListener::bind(root.path().join("sd/box-proxy-9")).unwrap();
    assert_eq!(resolved("", &places).await, Ok(Target::Socket(first)));
    let _third = UnixListener::bind(root.path().join("sd/box-3")).unwrap();
    let several = resolved("", &places).await.unwrap_err();
    assert_eq!(
        several,
        DiscoveryError::SeveralSessions {
            displays: vec![":2".to_owned(), ":3".to_owned()]
        }
    );
    // A session's name is for the sessions themselves to tell.
    let Err(DiscoveryError::SessionName { live, .. }) = resolved("name", &places).await else {
        panic!()
    };
    assert_eq!(live.len(), 4);
}

#[tokio::test]
async fn a_display_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    let missing = resolved(":5987", &places).await.unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("cannot find a live server for display ':5987'"),
        "{missing}"
    );
    let path = root.path().join("run/xpra/box-5987");
    drop(UnixListener::bind(&path).unwrap());
    let late = path.clone();
    let server = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        fs::remove_file(&late).unwrap();
        UnixListener::bind(&late).unwrap()
    });
    let start = Instant::now();
    let address = resolve(&":5987".parse().unwrap(), &places, Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!(address.target, Target::Socket(path));
    assert!(start.elapsed() >= Duration::from_millis(400));
    drop(server.await.unwrap());
}

#[tokio::test]
async fn only_the_same_file_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    let path = root.path().join("sd/box-1");
    let dead = UnixListener::bind(&path).unwrap();
    let session = places.sessions().remove(0);
    let other = root.path().join("other");
    let _heir = UnixListener::bind(&other).unwrap();
    fs::rename(&other, &path).unwrap();
    session.remove().unwrap();
    assert!(path.exists());
    drop(dead);
    places.sessions().remove(0).remove().unwrap();
    assert!(!path.exists());
}
