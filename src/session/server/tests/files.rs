//! Files, both ways.

use super::world::{Client, World, hello};
use crate::packet::{Capabilities, FileAck, FileChunk, FileStart, Packet};
use crate::session::files::FileRules;
use crate::session::server::ServerConfig;
use crate::session::{Answer, Asker, Request, ask};
use crate::types::Rect;
use std::fs;
use std::path::Path;

fn rules(folder: &Path) -> FileRules {
    FileRules {
        allowed: true,
        limit: 1 << 20,
        folder: folder.to_owned(),
    }
}

/// What a client that takes files says.
fn takes_files() -> Capabilities {
    let mut caps = hello(&["rgb24"]);
    rules(Path::new("/")).describe(&mut caps);
    caps
}

fn start(name: &str, size: u64) -> Packet {
    Packet::FileStart(FileStart {
        name: name.into(),
        mimetype: Default::default(),
        print: false,
        open: true,
        size,
        data: Default::default(),
        digests: Vec::new(),
        transfer: name.into(),
        question: Default::default(),
    })
}

fn chunk(name: &str, number: u64, data: &'static [u8], more: bool) -> Packet {
    Packet::FileChunk(FileChunk {
        transfer: name.into(),
        number,
        data: data.into(),
        more,
    })
}

async fn ack(client: &mut Client) -> FileAck {
    client
        .packet(|packet| match packet {
            Packet::FileAck(ack) => Some(ack),
            _ => None,
        })
        .await
}

/// Says to the server what a user of `control` says.
async fn control(world: &World, words: &[&str]) -> (i64, String) {
    let request = Request::Control(words.iter().map(|w| (*w).into()).collect());
    let open = async || Ok::<_, std::convert::Infallible>(world.stream().await.into());
    let Ok(answer) = ask(open, &request, Asker::default()).await;
    match answer.unwrap() {
        Answer::Command { code, text } => (code, text),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_client_sends_is_saved_and_lies_harm_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(ServerConfig {
        files: rules(folder.path()),
        ..ServerConfig::default()
    })
    .await;
    let mut client = world.attach(hello(&["rgb24"])).await;
    client.send(start("../a", 6));
    client.send(chunk("../a", 1, b"abc", true));
    client.send(chunk("../a", 2, b"def", false));
    for number in 0..3 {
        let ack = ack(&mut client).await;
        assert!(ack.ok && ack.number == number, "{ack:?}");
    }
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"abcdef");
    client.send(start("b", 2));
    client.send(chunk("b", 1, b"abc", true));
    client.send(chunk("c", 1, b"abc", true));
    let oks = [
        ack(&mut client).await.ok,
        ack(&mut client).await.ok,
        ack(&mut client).await.ok,
    ];
    assert_eq!(oks, [true, false, false]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    world.puppet.paint(Rect::new(0, 0, 50, 50), |_, _| [7; 3]);
    client.shows(&world.puppet).await;
}

#[tokio::test]
async fn who_may_only_look_exchanges_none() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(ServerConfig {
        files: rules(folder.path()),
        readonly: true,
        ..ServerConfig::default()
    })
    .await;
    let mut client = world.attach(takes_files()).await;
    client.send(start("a", 6));
    assert!(!ack(&mut client).await.ok);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let (code, why) = control(&world, &["send-file", "/etc/hostname"]).await;
    assert_eq!((code, why.as_str()), (127, "file transfers are disabled"));
}

#[tokio::test]
async fn a_file_of_which_nothing_is_acknowledged_holds_up_no_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, vec![7; 1 << 20]).unwrap();
    let path = path.to_str().unwrap();
    let world = World::new(ServerConfig {
        files: rules(folder.path()),
        ..ServerConfig::default()
    })
    .await;
    let (code, why) = control(&world, &["send-file", path]).await;
    assert_eq!((code, why.as_str()), (127, "there is no such client"));
    let mut client = world.attach(takes_files()).await;
    let (code, why) = control(&world, &["send-file", "/nowhere"]).await;
    assert!(code == 127 && why.starts_with("/nowhere: "), "{why}");
    let (code, text) = control(&world, &["send-file", path, "no"]).await;
    assert!(code == 0 && text.ends_with("to 1 client(s)"), "{text}");
    let announced = client
        .packet(|packet| match packet {
            Packet::FileStart(start) => Some(start),
            _ => None,
        })
        .await;
    assert!(announced.name == "file" && announced.size == 1 << 20 && !announced.open);
    client.send(Packet::FileAck(FileAck {
        transfer: announced.transfer,
        ok: true,
        message: Default::default(),
        number: 0,
    }));
    client
        .packet(|packet| matches!(packet, Packet::FileChunk(_)).then_some(()))
        .await;
    for shade in 1..20 {
        world.puppet.paint(Rect::new(0, 0, 50, 50), |_, _| [shade; 3]);
        client.shows(&world.puppet).await;
    }
}
