use std::path::PathBuf;

use super::*;

fn parsed(text: &str) -> Address {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn problem(text: &str) -> Problem {
    match text.parse::<Address>() {
        Ok(address) => panic!("'{text}' became {address:?}"),
        Err(error) => error.problem,
    }
}

fn remote(kind: TransportKind, host: &str, port: u16, path: &str) -> Target {
    Target::Remote(Remote {
        kind,
        host: host.to_owned(),
        port,
        path: path.to_owned(),
    })
}

/// Every form of `endpoints.md` a.3, and how it is shown.
#[test]
fn targets() {
    use TransportKind::{Quic, Ssh, Ssl, Tcp, Ws, Wss};
    let display = |name: &str| Target::Display(name.to_owned());
    let socket = |path: &str| Target::Socket(PathBuf::from(path));
    let pipe = |name: &str| Target::NamedPipe(name.to_owned());
    let name = |name: &str| Target::Abstract(name.to_owned());
    let cases = [
        // Local.
        ("", Target::Auto, ""),
        ("  ", Target::Auto, ""),
        (":10", display(":10"), ":10"),
        ("10", display(":10"), ":10"),
        ("10.0", display(":10.0"), ":10.0"),
        (":proxy-123", display(":proxy-123"), ":proxy-123"),
        ("wayland-1", display("wayland-1"), "wayland-1"),
        ("mysession", Target::Session("mysession".to_owned()), "mysession"),
        ("@10", name("10"), "@10"),
        ("@name", name("name"), "@name"),
        ("@xpra/10", name("xpra/10"), "@xpra/10"),
        ("/p", socket("/p"), "socket:///p"),
        ("socket:/p", socket("/p"), "socket:///p"),
        ("socket:///p", socket("/p"), "socket:///p"),
        ("socket:///a%20b%23c", socket("/a b#c"), "socket:///a%20b%23c"),
        ("socket:/a%20b", socket("/a%20b"), "socket:///a%2520b"),
        ("named-pipe:NAME", pipe("NAME"), "named-pipe://NAME"),
        ("named-pipe://NAME", pipe("NAME"), "named-pipe://NAME"),
        // Virtual machines (f.1).
        (
            "vsock:host:1234",
            Target::Vsock { cid: 2, port: 1234 },
            "vsock://2:1234",
        ),
        (
            "vsock://Auto:any/",
            Target::Vsock {
                cid: u32::MAX,
                port: u32::MAX,
            },
            "vsock://any:any",
        ),
        (
            "vsock://hypervisor:0",
            Target::Vsock {
                cid: 0,
                port: u32::MAX,
            },
            "vsock://0:any",
        ),
        (
            "vsock://local:7/",
            Target::Vsock { cid: 1, port: 7 },
            "vsock://1:7",
        ),
        (
            "vsock:3:14500",
            Target::Vsock { cid: 3, port: 14500 },
            "vsock://3:14500",
        ),
        // Hosts, new and old.
        ("tcp://h", remote(Tcp, "h", 14500, ""), "tcp://h/"),
        ("tcp://h:2000/7", remote(Tcp, "h", 2000, "7"), "tcp://h:2000/7"),
        ("tcp://h:2000/:7", remote(Tcp, "h", 2000, "7"), "tcp://h:2000/7"),
        ("tcp:h:2000", remote(Tcp, "h", 2000, ""), "tcp://h:2000/"),
        ("tcp:h:2000/7", remote(Tcp, "h", 2000, "7"), "tcp://h:2000/7"),
        ("tcp/h:2000/7", remote(Tcp, "h", 2000, "7"), "tcp://h:2000/7"),
        (
            "tcp://:2000",
            remote(Tcp, "127.0.0.1", 2000, ""),
            "tcp://127.0.0.1:2000/",
        ),
        ("TCP://h:/", remote(Tcp, "h", 14500, ""), "tcp://h/"),
        ("ssl:h:2000", remote(Ssl, "h", 2000, ""), "ssl://h:2000/"),
        ("ssl://h/", remote(Ssl, "h", 443, ""), "ssl://h/"),
        ("ws://h/", remote(Ws, "h", 80, ""), "ws://h/"),
        (
            "ws://h:8080/some/path",
            remote(Ws, "h", 8080, "some/path"),
            "ws://h:8080/some/path",
        ),
        ("wss://h/p#7", remote(Wss, "h", 443, "p"), "wss://h/p"),
        ("quic://h/", remote(Quic, "h", 14500, ""), "quic://h/"),
        (
            "tcp://h/a%2Fb%20c",
            remote(Tcp, "h", 14500, "a/b c"),
            "tcp://h/a/b%20c",
        ),
        // Links a desktop hands over.
        ("xpra://h/", remote(Tcp, "h", 14500, ""), "tcp://h/"),
        ("xpras://h/", remote(Ssl, "h", 443, ""), "ssl://h/"),
        ("xpra+tcp://h/", remote(Tcp, "h", 14500, ""), "tcp://h/"),
        ("xpratcp://h/", remote(Tcp, "h", 14500, ""), "tcp://h/"),
        ("xpra+ssl://h/", remote(Ssl, "h", 443, ""), "ssl://h/"),
        ("xpratls://h/", remote(Ssl, "h", 443, ""), "ssl://h/"),
        ("xpra+ssh://h/7", remote(Ssh, "h", 22, "7"), "ssh://h/7"),
        ("xpra+ws://h/", remote(Ws, "h", 80, ""), "ws://h/"),
        ("xprawss://h/", remote(Wss, "h", 443, ""), "wss://h/"),
        // ssh: in the old form the number is the display (m.1).
        ("ssh:h", remote(Ssh, "h", 22, ""), "ssh://h/"),
        ("ssh:h:7", remote(Ssh, "h", 22, "7"), "ssh://h/7"),
        (
            "ssh:h.example.com:7",
            remote(Ssh, "h.example.com", 22, "7"),
            "ssh://h.example.com/7",
        ),
        ("ssh:h:2222:7", remote(Ssh, "h", 2222, "7"), "ssh://h:2222/7"),
        ("ssh:h:2222/7", remote(Ssh, "h", 2222, "7"), "ssh://h:2222/7"),
        ("ssh/h/7", remote(Ssh, "h", 22, "7"), "ssh://h/7"),
        ("ssh:h/", remote(Ssh, "h", 22, ""), "ssh://h/"),
        ("ssh://h:7", remote(Ssh, "h", 7, ""), "ssh://h:7/"),
        ("ssh://h:2222/7", remote(Ssh, "h", 2222, "7"), "ssh://h:2222/7"),
        ("ssh:[::1]:7", remote(Ssh, "::1", 22, "7"), "ssh://[::1]/7"),
        ("ssh:[::1]", remote(Ssh, "::1", 22, ""), "ssh://[::1]/"),
        ("ssh:fe80::1", remote(Ssh, "fe80::1", 22, ""), "ssh://[fe80::1]/"),
        // IPv6: a bare address is never cut.
        (
            "tcp://fe80::1",
            remote(Tcp, "fe80::1", 14500, ""),
            "tcp://[fe80::1]/",
        ),
        (
            "tcp://[fe80::1]",
            remote(Tcp, "fe80::1", 14500, ""),
            "tcp://[fe80::1]/",
        ),
        (
            "tcp://[::1]:2000/7",
            remote(Tcp, "::1", 2000, "7"),
            "tcp://[::1]:2000/7",
        ),
        (
            "tcp:[::1]:2000",
            remote(Tcp, "::1", 2000, ""),
            "tcp://[::1]:2000/",
        ),
        (
            "tcp://::1:10000",
            remote(Tcp, "::1", 10000, ""),
            "tcp://[::1]:10000/",
        ),
        (
            "tcp://fe80::1%eth0",
            remote(Tcp, "fe80::1%eth0", 14500, ""),
            "tcp://[fe80::1%eth0]/",
        ),
        (
            "tcp://fe80::1%eth0:2000",
            remote(Tcp, "fe80::1%eth0", 2000, ""),
            "tcp://[fe80::1%eth0]:2000/",
        ),
        (
            "tcp://[fe80::1%25eth0]:2000",
            remote(Tcp, "fe80::1%eth0", 2000, ""),
            "tcp://[fe80::1%eth0]:2000/",
        ),
    ];
    for (text, target, shown) in cases {
        let address = parsed(text);
        assert_eq!(address.target, target, "{text}");
        assert_eq!(address.to_string(), shown, "{text}");
        assert_eq!(parsed(shown).target, target, "{shown}, from {text}");
        assert!(address.warnings.is_empty(), "{text}");
    }
}

#[test]
fn credentials() {
    let cases = [
        ("tcp://u@h/", Some("u"), None, "tcp://u@h/"),
        ("tcp://u:p@h/", Some("u"), Some("p"), "tcp://u@h/"),
        (
            "tcp://u:p:q@r@h:1234/",
            Some("u"),
            Some("p:q@r"),
            "tcp://u@h:1234/",
        ),
        ("tcp://:p@h/", None, Some("p"), "tcp://h/"),
        (
            "tcp://u%40d:p%3A%25%zz@h/",
            Some("u@d"),
            Some("p:%%zz"),
            "tcp://u%40d@h/",
        ),
        ("ssh:u@h:7", Some("u"), None, "ssh://u@h/7"),
        ("ssh://u:p@h:2222/7", Some("u"), Some("p"), "ssh://u@h:2222/7"),
        ("socket://u:p@/run/s", Some("u"), Some("p"), "socket://u@/run/s"),
        ("vsock://u:p@host:1", Some("u"), Some("p"), "vsock://u@2:1"),
    ];
    for (text, username, password, shown) in cases {
        let address = parsed(text);
        assert_eq!(address.credentials.username.as_deref(), username, "{text}");
        assert_eq!(
            address
                .credentials
                .password
                .as_ref()
                .map(Secret::expose_text)
                .as_deref(),
            password,
            "{text}"
        );
        assert_eq!(address.to_string(), shown, "{text}");
        if let Some(password) = password {
            assert!(
                !format!("{address:?}").contains(&format!("\"{password}\"")),
                "{text}"
            );
        }
    }
}

#[test]
fn options() {
    let address =
        parsed("ssh://h/7,quality=50?proxy_host=j&proxy-password=geheim&encoding=png%2Bx&retry&bogus=1");
    let options: Vec<_> = address.options.iter().collect();
    let expected = [
        ("quality", "50"),
        ("proxy-host", "j"),
        ("proxy-password", "geheim"),
        ("encoding", "png+x"),
        ("retry", "yes"),
        ("bogus", "1"),
    ];
    assert_eq!(options, expected);
    assert_eq!(address.options.flag("retry"), Some(true));
    assert_eq!(address.options.flag("quality"), None);
    assert_eq!(address.warnings, ["unknown option 'bogus'"]);
    assert!(!format!("{address:?}").contains("geheim"));
    assert_eq!(address.to_string(), "ssh://h/7");

    let only_options = parsed("tcp://h/quality=50,speed=2");
    assert_eq!(only_options.target, remote(TransportKind::Tcp, "h", 14500, ""));
    assert_eq!(only_options.options.get("speed"), Some("2"));
    assert_eq!(
        parsed("ssh:h:7?proxy=u:p@j:22").options.get("proxy"),
        Some("u:p@j:22")
    );

    // A link that someone clicked may not choose keys or hosts for us (a.5).
    let link = parsed("xpra+ssl://h/?ssl-key=/etc/shadow&encoding=png&proxy-host=evil");
    assert_eq!(link.options.iter().collect::<Vec<_>>(), [("encoding", "png")]);
    assert_eq!(link.warnings.len(), 2);
}

#[test]
fn mistakes_say_what_and_where() {
    let text = |text: &str| text.to_owned();
    for (address, expected) in [
        (":", Problem::Display(text(":"))),
        (":../x", Problem::Display(text(":../x"))),
        (":.hidden", Problem::Display(text(":.hidden"))),
        ("1/2", Problem::UnknownKind(text("1"))),
        ("host:10", Problem::UnknownKind(text("host"))),
        ("@", Problem::Name(text(""))),
        ("@a b", Problem::Name(text("a b"))),
        ("socket:relative", Problem::RelativePath(text("relative"))),
        ("socket://u@relative", Problem::RelativePath(text("u@relative"))),
        ("vsock://x:1", Problem::ContextId(text("x"))),
        ("vsock://1:x", Problem::Port(text("x"), 1, u32::MAX)),
        ("tcp://h:x/", Problem::Port(text("x"), 1, 65535)),
        ("tcp://h:0/", Problem::Port(text("0"), 1, 65535)),
        ("tcp://h:65536/", Problem::Port(text("65536"), 1, 65535)),
        ("tcp://h:-1/", Problem::Port(text("-1"), 1, 65535)),
        ("tcp://a b/", Problem::Host(text("a b"))),
        ("tcp://[::1", Problem::Host(text("[::1"))),
        ("tcp://[::1]x", Problem::Host(text("[::1]x"))),
        ("tcp://[nope]:1", Problem::Host(text("[nope]:1"))),
        ("tcp://a:b:c:1", Problem::Host(text("a:b:c"))),
        // What would be an option of the ssh program is no host.
        ("ssh://-oProxyCommand=x/", Problem::Host(text("-oProxyCommand=x"))),
        ("tcp://h/7,nonsense", Problem::Option(text("nonsense"))),
        (
            "udp://h/",
            Problem::Unsupported(text("udp"), "use tcp, ssl or ssh"),
        ),
    ] {
        assert_eq!(problem(address), expected, "{address}");
    }
    let error = "tcp://user:secret@host:99999/?password=x"
        .parse::<Address>()
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "invalid address 'tcp://..@host:99999/': '99999' is not a port: give a number from 1 to 65535"
    );
}

#[test]
fn no_text_panics() {
    let pieces = [
        "tcp", "ssh", "socket", ":", "/", "//", "@", "[", "]", "%", "%4", "?", "#", ",", "=", "é", "0",
        "::1", "(",
    ];
    let mut texts = vec![String::new()];
    for _ in 0..4 {
        texts = texts
            .iter()
            .flat_map(|text| pieces.map(|piece| format!("{text}{piece}")))
            .collect();
        for text in &texts {
            if let Ok(address) = text.parse::<Address>() {
                let again = parsed(&address.to_string());
                assert_eq!(again.target, address.target, "{text}");
            }
            for kind in [TransportKind::Socket, TransportKind::Tcp, TransportKind::Vsock] {
                drop(Bind::parse(kind, text, DEFAULT_MIN_PORT));
            }
        }
    }
}

#[test]
fn binds() {
    let place = |kind, text: &str| Bind::parse(kind, text, DEFAULT_MIN_PORT).map(|bind| bind.place);
    for text in [
        "named-pipe:Main",
        "named-pipe://Main",
        r"named-pipe:\\.\pipe\Main",
    ] {
        let bind = Bind::parse(TransportKind::Socket, text, DEFAULT_MIN_PORT).unwrap();
        assert_eq!(bind.to_string(), "named-pipe://Main");
        assert_eq!(bind.kind, TransportKind::NamedPipe);
        assert_eq!(bind.place, Place::Pipe("Main".to_owned()));
    }
    assert!(place(TransportKind::Socket, r"named-pipe:a\b").is_err());
    let host = |host: &str, port| Place::Ip(BindHost::Host(host.to_owned()), port);
    for (text, expected) in [
        ("", Place::None),
        ("none", Place::None),
        ("auto", Place::Auto { with_abstract: true }),
        ("noabstract", Place::Auto { with_abstract: false }),
        ("/d/", Place::Directory(PathBuf::from("/d/"))),
        ("/d/s", Place::Path(PathBuf::from("/d/s"))),
        ("name", Place::Name("name".to_owned())),
        ("@foo_1", Place::Abstract("foo_1".to_owned())),
    ] {
        assert_eq!(place(TransportKind::Socket, text), Ok(expected), "{text}");
    }
    for (text, expected) in [
        ("0.0.0.0:2345", host("0.0.0.0", 2345)),
        (":2345", host("127.0.0.1", 2345)),
        ("h:", host("h", 14500)),
        ("*:2345", Place::Ip(BindHost::Any, 2345)),
        ("[::1]:10000", host("::1", 10000)),
        ("::1:10000", host("::1", 10000)),
        (":::10000", host("::", 10000)),
        ("h:0", host("h", 0)),
        ("h:1024", host("h", 1024)),
    ] {
        assert_eq!(place(TransportKind::Tcp, text), Ok(expected), "{text}");
    }
    assert_eq!(
        place(TransportKind::Vsock, "auto:1234"),
        Ok(Place::Vsock {
            cid: VSOCK_CID_ANY,
            port: 1234
        })
    );
    let problem = |kind, text| place(kind, text).unwrap_err().problem;
    let missing = Problem::Missing("the port", "write [HOST]:PORT");
    assert_eq!(problem(TransportKind::Tcp, "h"), missing);
    assert_eq!(problem(TransportKind::Tcp, "[::1]"), missing);
    assert_eq!(
        problem(TransportKind::Tcp, "h:80"),
        Problem::PortTooLow { port: 80, min: 1024 }
    );
    assert_eq!(
        problem(TransportKind::Ssl, "h:"),
        Problem::PortTooLow { port: 443, min: 1024 }
    );
    assert_eq!(
        problem(TransportKind::Tcp, "h:70000"),
        Problem::Port("70000".to_owned(), 0, 65535)
    );
    assert_eq!(
        problem(TransportKind::Socket, "a/b"),
        Problem::RelativePath("a/b".to_owned())
    );
    assert_eq!(
        problem(TransportKind::Socket, "@a/b"),
        Problem::Name("a/b".to_owned())
    );
    assert!(Bind::parse(TransportKind::Tcp, "h:80", 0).is_ok());
}

#[test]
fn bind_options_keep_what_parentheses_protect() {
    let text = "0.0.0.0:1234,auth=exec(command=/bin/x,timeout=5),AUTH=file:filename=f,ssl_cert=/c";
    let bind = Bind::parse(TransportKind::Tcp, text, DEFAULT_MIN_PORT).unwrap();
    let auth: Vec<_> = bind.options.all("auth").collect();
    assert_eq!(auth, ["exec(command=/bin/x,timeout=5)", "file:filename=f"]);
    assert_eq!(bind.options.get("ssl-cert"), Some("/c"));
    assert_eq!(bind.to_string(), "tcp://0.0.0.0:1234");
    assert!(!format!("{bind:?}").contains("exec"));
    let auto = Bind::parse(TransportKind::Socket, "auto,auth=peercred", DEFAULT_MIN_PORT).unwrap();
    assert_eq!(
        (auto.place, auto.options.get("auth")),
        (Place::Auto { with_abstract: true }, Some("peercred"))
    );
    assert!(Bind::parse(TransportKind::Tcp, "h:1234,junk", DEFAULT_MIN_PORT).is_err());
}
