use super::*;

fn service(key: &str, mode: &str, uuid: &str, name: &str) -> Found {
    Found {
        key: format!("{key}._xpra._tcp.local."),
        host: "box.local".to_owned(),
        port: 10000,
        endpoints: vec![Endpoint {
            ip: [192, 168, 1, 5].into(),
            interface: "eth0".to_owned(),
        }],
        mode: mode.to_owned(),
        display: ":10".to_owned(),
        username: "bob".to_owned(),
        uuid: uuid.to_owned(),
        platform: "linux".to_owned(),
        session_type: "shadow".to_owned(),
        session_name: name.to_owned(),
        clients: Some(1),
    }
}

#[test]
fn sessions_are_listed_in_the_words_of_xpra() {
    let mut sessions = Sessions::default();
    let start = now();
    let mut out = Vec::new();
    sessions.add(service("box-10-ssl", "ssl", "abc", "desk"), start);
    sessions.print_settled(start, &mut out).unwrap();
    assert_eq!(out, b"", "records of the same server may follow");
    sessions.add(service("box-10", "tcp", "abc", "desk"), start);
    sessions.add(service("box-10", "tcp", "abc", "desk"), start);
    sessions.add(service("other", "tcp;x", "", ""), start);
    sessions.print_settled(start + SETTLE, &mut out).unwrap();
    sessions.print_settled(start + SETTLE * 2, &mut out).unwrap();
    let expected = "* user 'bob' on 'box.local'\n \
                    shadow session 'desk', uuid=abc\n \
                    + ssl endpoint on host 192.168.1.5, port 10000, interface eth0\n   \
                    \"ssl://bob@192.168.1.5:10000/10\"\n \
                    + tcp endpoint on host 192.168.1.5, port 10000, interface eth0\n   \
                    \"tcp://bob@192.168.1.5:10000/10\"\n\
                    * user 'bob' on 'box.local'\n \
                    + tcp;x endpoint on host 192.168.1.5, port 10000, interface eth0\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn the_best_way_is_taken() {
    let mut sessions = Sessions::default();
    sessions.add(service("a", "ssh", "abc", "desk"), now());
    sessions.add(service("b", "tcp", "abc", "desk"), now());
    let best = |sessions: &Sessions| sessions.0[0].best().unwrap().to_string();
    assert_eq!(best(&sessions), "tcp://bob@192.168.1.5:10000/10");
    sessions.add(service("c", "ssl", "abc", "desk"), now());
    assert_eq!(best(&sessions), "ssl://bob@192.168.1.5:10000/10");
    assert!(sessions.0[0].is_named("desk") && sessions.0[0].is_named("b"));
    assert!(!sessions.0[0].is_named("d"));
}

#[test]
fn a_flood_is_not_remembered() {
    let mut sessions = Sessions::default();
    for n in 0..MAX_FOUND * 2 {
        sessions.add(service(&format!("s{n}"), "tcp", &n.to_string(), ""), now());
    }
    assert_eq!(sessions.0.len(), MAX_FOUND);
}

#[test]
fn names_after_mdns() {
    for (text, name) in [
        ("mdns", Some(None)),
        ("mdns:", Some(None)),
        ("mdns:desk", Some(Some("desk"))),
        ("mdns://desk/", Some(Some("desk"))),
        ("mdnsx", None),
        ("tcp://mdns/", None),
    ] {
        assert_eq!(wanted(text), name, "{text}");
    }
}
