use super::*;
use crate::address::TransportKind;
use crate::transport::{ConnectError, ConnectOptions, connect as connect_to, listen as listen_on};

fn bind(name: &str) -> Bind {
    Bind::parse(TransportKind::NamedPipe, name, 0).unwrap()
}

#[test]
fn names_become_paths() {
    for (name, expected) in [
        ("Main", r"\\.\pipe\Xpra\Main"),
        (r"Xpra\Main", r"\\.\pipe\Xpra\Main"),
        (r"xpra\10", r"\\.\pipe\xpra\10"),
        ("box/10", r"\\box\pipe\Xpra\10"),
        (r"\\box\pipe\other", r"\\box\pipe\other"),
    ] {
        assert_eq!(path(name), expected);
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused() {
    let name = format!("taken-{}", std::process::id());
    let _listeners = listen_on(&bind(&name), &ListenOptions::default()).await.unwrap();
    let refused = listen_on(&bind(&name), &ListenOptions::default())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ListenError::AlreadyExists { .. }),
        "{refused:?}"
    );
    let elsewhere = Bind {
        place: Place::Pipe("box/x".to_owned()),
        ..bind(&name)
    };
    let remote = listen_on(&elsewhere, &ListenOptions::default())
        .await
        .unwrap_err();
    assert!(remote.to_string().contains("made on this machine"), "{remote}");
}

/// A program that made the pipe first, and takes nobody.
#[tokio::test]
async fn a_squatted_name_is_refused() {
    let name = format!("squatted-{}", std::process::id());
    let _squatter = ServerOptions::new().max_instances(1).create(path(&name)).unwrap();
    let _busy = ClientOptions::new().open(path(&name)).unwrap();
    let refused = listen_on(&bind(&name), &ListenOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(refused, ListenError::PipeTaken { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains("another program made it first"),
        "{refused}"
    );
}

#[tokio::test]
async fn nobody_there_is_said_in_time() {
    let options = ConnectOptions {
        timeout: Duration::ZERO,
        ..ConnectOptions::default()
    };
    let refused = connect_to(&"named-pipe:nobody-there".parse().unwrap(), &options).await;
    let Err(ConnectError::Failed { kind, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(kind, io::ErrorKind::NotFound);
}

/// Clients that come and go, or only look, do not stop the next.
#[tokio::test]
async fn clients_come_one_after_the_other() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let name = format!("many-{}", std::process::id());
    let listener = listen_on(&bind(&name), &ListenOptions::default())
        .await
        .unwrap()
        .remove(0);
    let address = format!("named-pipe://{name}").parse().unwrap();
    let server = tokio::spawn(async move {
        let mut links = Vec::new();
        while links.len() < 20 {
            let mut link = listener.accept().await.unwrap();
            let mut byte = [0];
            if link.stream.read(&mut byte).await.unwrap() == 1 {
                link.stream.write_all(&byte).await.unwrap();
                links.push(link);
            }
        }
        links
    });
    let options = ConnectOptions::default();
    for number in 0..20 {
        drop(connect_to(&address, &options).await.unwrap());
        let mut link = connect_to(&address, &options).await.unwrap();
        link.stream.write_all(&[number]).await.unwrap();
        let mut back = [0];
        link.stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, [number]);
    }
    assert_eq!(server.await.unwrap().len(), 20);
}
