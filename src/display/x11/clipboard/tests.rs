use super::X11Clipboard;
use crate::display::x11::test_server::{TestServer, eventually};
use crate::display::{ClipboardEvent, Selection};
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{AtomEnum, ConnectionExt as _, PropMode, Window};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// A clipboard with the connection it lives on.
struct Program {
    conn: RustConnection,
    root: Window,
    clipboard: X11Clipboard,
}

impl Program {
    fn new(server: &TestServer) -> Self {
        let conn = server.connect();
        let root = conn.setup().roots[0].root;
        let clipboard = X11Clipboard::new(&conn, root).unwrap();
        Self {
            conn,
            root,
            clipboard,
        }
    }

    fn turn(&mut self) -> Vec<ClipboardEvent> {
        while let Some(event) = self.conn.poll_for_event().unwrap() {
            self.clipboard.handle(&self.conn, Instant::now(), &event);
        }
        self.clipboard.expire(&self.conn, Instant::now());
        self.clipboard.drain().collect()
    }

    fn event(&mut self) -> ClipboardEvent {
        let mut events = eventually("clipboard event", || Some(self.turn()).filter(|e| !e.is_empty()));
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    fn claim(&mut self, selection: Selection) {
        self.clipboard.claim(&self.conn, selection);
        eventually("ownership", || {
            assert_eq!(self.turn(), []);
            self.clipboard.outgoing.owns(selection).then_some(())
        });
    }

    fn read(&mut self, request: u64, selection: Selection) {
        self.clipboard
            .read(&self.conn, Instant::now(), request, selection);
    }

    fn give(&mut self, request: u64, text: Option<&str>) {
        self.clipboard.give(&self.conn, Instant::now(), request, text);
    }
}

/// `other` reads what `owner` claimed.
fn pass(
    owner: &mut Program,
    other: &mut Program,
    selection: Selection,
    text: Option<&str>,
) -> Option<String> {
    other.read(77, selection);
    let mut got = None;
    eventually("text", || {
        for event in owner.turn() {
            let ClipboardEvent::Wanted {
                request,
                selection: wanted,
            } = event
            else {
                panic!("{event:?}")
            };
            assert_eq!(wanted, selection);
            owner.give(request, text);
        }
        for event in other.turn() {
            let ClipboardEvent::Text {
                request: 77, text, ..
            } = event
            else {
                panic!("{event:?}")
            };
            got = Some(text);
        }
        got.take()
    })
}

fn mebibyte() -> String {
    "0123456789abcdé\u{20ac}".chars().cycle().take(1 << 20).collect()
}

#[test]
fn two_connections_exchange_texts() {
    let Some(server) = TestServer::start("640x480x24", &[]) else {
        return;
    };
    let mut ours = Program::new(&server);
    let mut theirs = Program::new(&server);
    for selection in [Selection::Clipboard, Selection::Primary] {
        ours.claim(selection);
        assert_eq!(theirs.event(), ClipboardEvent::Owned(selection));
        for text in ["", "naïve \u{20ac}", &mebibyte()] {
            let got = pass(&mut ours, &mut theirs, selection, Some(text));
            assert!(got.as_deref() == Some(text), "{} bytes", text.len());
        }
        assert_eq!(pass(&mut ours, &mut theirs, selection, None), None);
        // Reading what we own ourselves ends at once.
        ours.read(5, selection);
        assert_eq!(
            ours.event(),
            ClipboardEvent::Text {
                request: 5,
                selection,
                text: None
            }
        );
        theirs.claim(selection);
        assert_eq!(ours.event(), ClipboardEvent::Owned(selection));
        assert!(!ours.clipboard.outgoing.owns(selection));
    }
}

#[test]
fn no_owner_means_no_text() {
    let Some(server) = TestServer::start("640x480x24", &[]) else {
        return;
    };
    let mut program = Program::new(&server);
    program.read(1, Selection::Primary);
    let nothing = ClipboardEvent::Text {
        request: 1,
        selection: Selection::Primary,
        text: None,
    };
    assert_eq!(program.event(), nothing);
}

#[test]
fn silent_programs_are_given_up() {
    let Some(server) = TestServer::start("640x480x24", &[]) else {
        return;
    };
    let mut silent = Program::new(&server);
    let mut program = Program::new(&server);
    silent.claim(Selection::Clipboard);
    assert_eq!(program.event(), ClipboardEvent::Owned(Selection::Clipboard));
    let start = Instant::now();
    for request in 0..20 {
        program.read(request, Selection::Clipboard);
    }
    assert_eq!(
        program.clipboard.drain().count(),
        4,
        "only 16 questions may be open"
    );
    let deadline = program.clipboard.deadline().unwrap();
    assert!(deadline <= start + Duration::from_millis(2500));
    program
        .clipboard
        .expire(&program.conn, deadline + Duration::from_secs(1));
    assert_eq!(program.clipboard.drain().count(), 16);
    assert_eq!(program.clipboard.deadline(), None);
    // The peer that never answers: the local program is refused.
    program.read(50, Selection::Clipboard);
    eventually("requests", || {
        (silent.turn().len() + silent.clipboard.outgoing_len() > 0).then_some(())
    });
    let deadline = silent.clipboard.deadline().unwrap();
    silent
        .clipboard
        .expire(&silent.conn, deadline + Duration::from_secs(6));
    assert_eq!(silent.clipboard.deadline(), None);
}

impl X11Clipboard {
    fn outgoing_len(&self) -> usize {
        usize::from(self.outgoing.deadline().is_some())
    }
}

/// `multiple` asks for several targets at once, as toolkits of the nineties do.
#[test]
fn multiple_and_targets() {
    let Some(server) = TestServer::start("640x480x24", &[]) else {
        return;
    };
    let mut owner = Program::new(&server);
    owner.claim(Selection::Clipboard);
    let asker = Program::new(&server);
    let conn = &asker.conn;
    let atoms = asker.clipboard.atoms;
    let window = super::create_hidden_window(conn, asker.root).unwrap();
    let atom = |name: &str| {
        conn.intern_atom(false, name.as_bytes())
            .unwrap()
            .reply()
            .unwrap()
            .atom
    };
    let string = AtomEnum::STRING.into();
    let pairs = [
        [atoms.TARGETS, atom("A")],
        [atom("image/png"), atom("B")],
        [string, atom("C")],
        [atoms.TEXT, atom("D")],
        [atoms.TIMESTAMP, atom("E")],
        [atoms.UTF8_STRING, atom("F")],
    ];
    let property = atom("PAIRS");
    let list = pairs.concat();
    conn.change_property32(PropMode::REPLACE, window, property, atoms.ATOM_PAIR, &list)
        .unwrap();
    conn.convert_selection(
        window,
        atoms.CLIPBOARD,
        atoms.MULTIPLE,
        property,
        x11rb::CURRENT_TIME,
    )
    .unwrap();
    conn.flush().unwrap();
    eventually("answer", || {
        for event in owner.turn() {
            let ClipboardEvent::Wanted { request, .. } = event else {
                panic!("{event:?}")
            };
            owner.give(request, Some("é\u{20ac}"));
        }
        std::iter::from_fn(|| conn.poll_for_event().unwrap()).find_map(|event| match event {
            Event::SelectionNotify(notify) if notify.requestor == window => {
                assert_eq!(notify.property, property);
                Some(())
            }
            _ => None,
        })
    });
    let value = |property, kind: u32| {
        let reply = conn
            .get_property(false, window, property, kind, 0, 100)
            .unwrap()
            .reply()
            .unwrap();
        assert_eq!(reply.type_, kind);
        reply
    };
    let left: Vec<u32> = value(property, atoms.ATOM_PAIR).value32().unwrap().collect();
    assert_eq!(left[2..4], [0, atom("B")], "the failed conversion is marked");
    assert_eq!(left[..2], list[..2]);
    assert!(
        value(atom("A"), AtomEnum::ATOM.into())
            .value32()
            .unwrap()
            .any(|a| a == atoms.MIME_UTF8)
    );
    assert_eq!(value(atom("C"), string).value, b"\xe9?");
    assert_eq!(value(atom("D"), atoms.UTF8_STRING).value, "é\u{20ac}".as_bytes());
    assert_ne!(
        value(atom("E"), AtomEnum::INTEGER.into())
            .value32()
            .unwrap()
            .next(),
        Some(0)
    );
    assert_eq!(value(atom("F"), atoms.UTF8_STRING).value, "é\u{20ac}".as_bytes());
    // A malformed list is answered, not waited for.
    conn.convert_selection(
        window,
        atoms.CLIPBOARD,
        atoms.MULTIPLE,
        atom("NONE_SUCH"),
        x11rb::CURRENT_TIME,
    )
    .unwrap();
    conn.flush().unwrap();
    eventually("answer", || {
        assert_eq!(owner.turn(), []);
        conn.poll_for_event()
            .unwrap()
            .filter(|event| matches!(event, Event::SelectionNotify(_)))
    });
}

fn xclip(server: &TestServer, arguments: &[&str]) -> Option<Child> {
    let child = server
        .command("xclip")
        .args(["-selection", "clipboard"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    if child.is_err() {
        eprintln!("skipped: no xclip");
    }
    child.ok()
}

#[test]
fn xclip_reads_and_writes() {
    let Some(server) = TestServer::start("640x480x24", &[]) else {
        return;
    };
    let mut program = Program::new(&server);
    for text in ["grüße", &mebibyte()] {
        // One loop: it ends when our claim takes the selection away.
        let Some(mut owner) = xclip(&server, &["-i", "-quiet", "-loops", "1"]) else {
            return;
        };
        owner.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert_eq!(program.event(), ClipboardEvent::Owned(Selection::Clipboard));
        program.read(9, Selection::Clipboard);
        let ClipboardEvent::Text {
            request: 9,
            text: Some(got),
            ..
        } = program.event()
        else {
            panic!()
        };
        assert!(got == text, "{} of {} bytes", got.len(), text.len());
        program.claim(Selection::Clipboard);
        assert!(owner.wait().unwrap().success());

        let mut reader = xclip(&server, &["-o", "-target", "UTF8_STRING"]).unwrap();
        let mut output = reader.stdout.take().unwrap();
        let printed = std::thread::spawn(move || {
            let mut printed = String::new();
            output.read_to_string(&mut printed).unwrap();
            printed
        });
        eventually("xclip", || {
            for event in program.turn() {
                let ClipboardEvent::Wanted { request, .. } = event else {
                    panic!("{event:?}")
                };
                program.give(request, Some(text));
            }
            reader.try_wait().unwrap()
        });
        assert!(printed.join().unwrap() == text);
    }
}
