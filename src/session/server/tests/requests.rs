//! One-shot requests, input, clipboard and what clients may change.

use super::world::{Client, World, hello};
use crate::codec::{Dialect, Value};
use crate::display::{ClipboardEvent, Input, ScreenEvent, Selection};
use crate::packet::{
    ButtonAction, Capabilities, ClipboardContents, ClipboardRequest, ClipboardToken, Contents, Packet,
    PointerState, WheelMotion, WindowPlace,
};
use crate::session::fake_screen::Asked;
use crate::session::server::{ServerConfig, ServerEnd};
use crate::session::{Answer, Asker, Request, ask};
use crate::types::{Point, Rect};
use std::time::Duration;

pub(super) async fn answer(world: &World, request: &Request) -> Answer {
    let open = async || Ok::<_, std::convert::Infallible>(world.stream().await.into());
    let Ok(answer) = ask(open, request, Asker::default()).await;
    answer.unwrap()
}

pub(super) async fn info(world: &World) -> Capabilities {
    let request = Request::Info {
        subsystems: Vec::new(),
    };
    let Answer::Info(info) = answer(world, &request).await else {
        panic!("no info")
    };
    Capabilities::from_value(info)
}

#[tokio::test]
async fn requests_are_answered() {
    let world = World::new(ServerConfig {
        session_name: "test".into(),
        ..ServerConfig::default()
    })
    .await;
    assert!(matches!(
        answer(&world, &Request::Version).await,
        Answer::Version(_)
    ));
    assert_eq!(answer(&world, &Request::ConnectTest).await, Answer::Connected);
    let Answer::Id(id) = answer(&world, &Request::Id).await else {
        panic!()
    };
    assert_eq!(id.get("display").unwrap().as_text().unwrap(), ":fake");
    let Answer::Screenshot { size, .. } = answer(&world, &Request::Screenshot).await else {
        panic!()
    };
    assert_eq!(size, super::world::SCREEN);

    let client = world.attach(hello(&["rgb24"])).await;
    world.puppet.paint(Rect::new(0, 0, 50, 50), |_, _| [7; 3]);
    client.shows(&world.puppet).await;
    let mut caps = info(&world).await;
    // the acknowledgement travels beside the request
    while caps.int("client.latency.90p").is_none() {
        caps = info(&world).await;
    }
    for key in [
        "client.latency.90p",
        "client.damage.in_latency.avg",
        "client.damage.out_latency.avg",
        "client.batch.delay.avg",
        "client.window.1.total_frames.rgb24",
        "batch.delay.cur",
        "damage.out_latency.cur",
        "client.connection.input.bytecount",
    ] {
        assert!(caps.int(key).is_some(), "{key} is missing");
    }
    let command = |words: &[&str]| Request::Control(words.iter().map(|w| (*w).into()).collect());
    let Answer::Command { code, .. } = answer(&world, &command(&["name", "new", "name"])).await else {
        panic!()
    };
    assert_eq!(code, 0);
    let Answer::Command { code, .. } = answer(&world, &command(&["nonsense"])).await else {
        panic!()
    };
    assert_eq!(code, 6);
    // who comes later is told the new name
    let mut later = world.connect(Dialect::G3, hello(&["rgb24"])).await;
    assert_eq!(later.hello().await.text("session_name").unwrap(), "new name");

    let gone = answer(&world, &Request::Detach).await;
    let Answer::Goodbye { reason, details } = gone else {
        panic!()
    };
    assert_eq!(
        (reason.as_str(), details[0].as_str()),
        ("done", "1 other clients have been disconnected")
    );
    assert!(later.closed().await.starts_with("detach request"));

    let Answer::Goodbye { reason, .. } = answer(&world, &Request::Exit).await else {
        panic!()
    };
    assert_eq!(reason, "server exit");
    assert_eq!(world.ended().await, ServerEnd::Asked);
}

#[tokio::test]
async fn several_clients_are_told_apart() {
    let world = World::new(ServerConfig {
        sharing: Some(true),
        ..ServerConfig::default()
    })
    .await;
    let one = world.attach(hello(&["rgb24"])).await;
    let two = world.attach(hello(&["png"])).await;
    world.puppet.paint(Rect::new(0, 0, 50, 50), |_, _| [7; 3]);
    one.shows(&world.puppet).await;
    two.shows(&world.puppet).await;
    let caps = info(&world).await;
    assert!(caps.int("client.0.window.1.total_frames.rgb24").is_some());
    assert!(
        caps.int("client.1.window.1.total_pixels.png").is_some() || caps.get("client.1.window.1").is_some()
    );
}

/// Waits until the screen has got the input.
async fn input(world: &World, done: impl Fn(&[Input]) -> bool) -> Vec<Input> {
    for _ in 0..2000 {
        if done(&world.puppet.state().inputs) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    std::mem::take(&mut world.puppet.state().inputs)
}

fn at(x: i32, y: i32) -> PointerState {
    PointerState {
        id: 1,
        position: Point { x, y },
        ..PointerState::default()
    }
}

fn click(client: &Client, x: i32, y: i32) {
    let pointer = at(x, y);
    client.send(Packet::Button(ButtonAction {
        button: 1,
        pressed: true,
        pointer,
    }));
}

#[tokio::test]
async fn pointers_are_where_the_window_is() {
    let world = World::new(ServerConfig::default()).await;
    let client = world.attach(hello(&["rgb24"])).await;
    client.place(Packet::ConfigureWindow, Rect::new(100, 50, 320, 200));
    click(&client, 110, 70);
    // without geometry the window stays where it was
    client.send(Packet::ConfigureWindow(WindowPlace {
        id: 1,
        rect: Rect::new(0, 0, 320, 200),
        properties: Value::map(),
        state: Value::map(),
        skip_geometry: true,
        ..WindowPlace::default()
    }));
    client.send(Packet::Pointer(at(10_000, -10_000)));
    let seen = input(&world, |inputs| inputs.len() == 2).await;
    let [
        Input::Button { position, .. },
        Input::Motion { position: corner, .. },
    ] = seen.as_slice()
    else {
        panic!("{seen:?}");
    };
    assert_eq!(*position, Some(Point { x: 10, y: 20 }));
    assert_eq!(*corner, Point { x: 319, y: 0 });
    client.send(Packet::Focus(None));
    assert_eq!(
        input(&world, |inputs| !inputs.is_empty()).await,
        [Input::ReleaseAll]
    );
}

#[tokio::test]
async fn parts_of_wheel_steps_add_up() {
    let world = World::new(ServerConfig::default()).await;
    let client = world.attach(hello(&["rgb24"])).await;
    for distance in [400, 400, 400, -900, 50_000] {
        client.send(Packet::Wheel(WheelMotion {
            button: 4,
            distance,
            pointer: at(1, 1),
        }));
    }
    click(&client, 1, 1);
    let seen = input(&world, |inputs| {
        matches!(inputs.last(), Some(Input::Button { button: 1, .. }))
    })
    .await;
    // one step for 1200, one with the 900 that follow, ten at most at once
    assert_eq!(seen.len(), 2 * (1 + 1 + 10) + 1);
}

#[tokio::test]
async fn a_server_to_look_at_takes_nothing() {
    let world = World::new(ServerConfig {
        readonly: true,
        ..ServerConfig::default()
    })
    .await;
    let client = world.attach(hello(&["rgb24"])).await;
    click(&client, 1, 1);
    client.send(Packet::Pointer(at(1, 1)));
    client.send(token("CLIPBOARD", None));
    world.puppet.paint(Rect::new(0, 0, 9, 9), |_, _| [1, 2, 3]);
    client.shows(&world.puppet).await;
    let state = world.puppet.state();
    assert!(state.inputs.is_empty() && state.asked.is_empty());
}

fn token(selection: &str, text: Option<&str>) -> Packet {
    Packet::ClipboardToken(ClipboardToken {
        selection: selection.into(),
        text: text.map(Into::into),
        claim: true,
        greedy: false,
    })
}

/// Waits until the clipboard was asked this much.
async fn asked(world: &World, count: usize) -> Vec<Asked> {
    for _ in 0..2000 {
        if world.puppet.state().asked.len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    std::mem::take(&mut world.puppet.state().asked)
}

#[tokio::test]
async fn text_is_copied_both_ways() {
    let world = World::new(ServerConfig::default()).await;
    let mut client = world.attach(hello(&["rgb24"])).await;
    let selection = Selection::Clipboard;
    // from the client
    client.send(token("CLIPBOARD", None));
    assert_eq!(asked(&world, 1).await, [Asked::Claim(selection)]);
    world.puppet.emit(ScreenEvent::Clipboard(ClipboardEvent::Wanted {
        request: 77,
        selection,
    }));
    let request = client
        .packet(|packet| match packet {
            Packet::ClipboardRequest(request) => Some(request.request),
            _ => None,
        })
        .await;
    client.send(Packet::ClipboardContents(ClipboardContents {
        request,
        selection: "CLIPBOARD".into(),
        contents: Contents::Text("über".into()),
    }));
    assert_eq!(asked(&world, 1).await, [Asked::Give(77, Some("über".into()))]);
    // with the text at once
    client.send(token("PRIMARY", Some("eager")));
    assert_eq!(asked(&world, 1).await, [Asked::Claim(Selection::Primary)]);
    let selection = Selection::Primary;
    world.puppet.emit(ScreenEvent::Clipboard(ClipboardEvent::Wanted {
        request: 78,
        selection,
    }));
    assert_eq!(asked(&world, 1).await, [Asked::Give(78, Some("eager".into()))]);
    // to the client
    world
        .puppet
        .emit(ScreenEvent::Clipboard(ClipboardEvent::Owned(selection)));
    client
        .packet(|packet| matches!(packet, Packet::ClipboardToken(_)).then_some(()))
        .await;
    client.send(Packet::ClipboardRequest(ClipboardRequest {
        request: 5,
        selection: "PRIMARY".into(),
        target: "UTF8_STRING".into(),
    }));
    let read = asked(&world, 1).await;
    let [Asked::Read(request, Selection::Primary)] = read.as_slice() else {
        panic!("{read:?}")
    };
    world.puppet.emit(ScreenEvent::Clipboard(ClipboardEvent::Text {
        request: *request,
        selection,
        text: Some("local".into()),
    }));
    let contents = client
        .packet(|packet| match packet {
            Packet::ClipboardContents(contents) => Some(contents),
            _ => None,
        })
        .await;
    assert_eq!(
        (contents.request, contents.contents),
        (5, Contents::Text("local".into()))
    );
    // nobody waits for a client that is gone
    client.send(Packet::CloseWindow(crate::types::WindowId(1)));
    client.closed().await;
    let mut given = Vec::new();
    for request in 80..2000 {
        world.puppet.emit(ScreenEvent::Clipboard(ClipboardEvent::Wanted {
            request,
            selection,
        }));
        given = asked(&world, 1).await;
        if given == [Asked::Give(request, None)] {
            return;
        }
    }
    panic!("{given:?}");
}
