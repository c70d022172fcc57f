//! Two ends without a network between them, and ends that lie.

use super::*;
use crate::codec::Dialect;
use crate::packet::{FileChunk, FileQuestion, FileStart};
use std::fs;
use tempfile::TempDir;

const LIMIT: u64 = 1 << 20;

/// A folder to send from, and an end that takes files into another.
struct Pair {
    home: TempDir,
    outgoing: Outgoing,
    incoming: Incoming,
    now: Instant,
}

/// What the other end says.
fn capabilities(rules: &FileRules, pairs: &[(&str, bool)]) -> Capabilities {
    let mut caps = Capabilities::default();
    rules.describe(&mut caps);
    let mut file = caps.get("file").cloned().unwrap();
    pairs.iter().for_each(|(key, value)| file.insert(*key, *value));
    caps.set("file", file);
    caps
}

impl Pair {
    fn new(pairs: &[(&str, bool)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("downloads");
        fs::create_dir(&folder).unwrap();
        let rules = FileRules {
            allowed: true,
            limit: LIMIT,
            folder,
        };
        Self {
            outgoing: Outgoing::new(true, LIMIT, &capabilities(&rules, pairs)),
            incoming: Incoming::new(rules),
            home,
            now: Instant::now(),
        }
    }

    fn source(&self, name: &str, contents: &[u8]) -> Arc<Source> {
        let path = self.home.path().join(name);
        fs::write(&path, contents).unwrap();
        Arc::new(Source::open(&path, LIMIT).unwrap())
    }

    fn saved(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.home.path().join("downloads")).unwrap();
        let mut saved: Vec<_> = entries
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap())
            })
            .collect();
        saved.sort();
        saved
    }

    fn announce(&mut self, name: &str, contents: &[u8]) -> FileStart {
        let source = self.source(name, contents);
        match self.outgoing.send(source, false, Dialect::G6) {
            Ok(Packet::FileStart(start)) => start,
            other => panic!("{other:?}"),
        }
    }

    /// Carries chunks of so many bytes until there are none.
    fn carry(&mut self, bytes: usize) {
        while let Some((chunk, sequence)) = self.outgoing.next(bytes) {
            let ack = self.incoming.chunk(&chunk, self.now);
            assert!(ack.ok, "{ack:?}");
            assert_eq!(self.outgoing.acknowledged(&ack), [sequence]);
        }
    }

    fn start(&mut self, start: FileStart) -> FileAck {
        self.incoming.start(start, self.now).unwrap()
    }
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    getrandom::fill(&mut noise).unwrap();
    noise
}

#[test]
fn files_arrive_as_they_were_and_take_turns() {
    let mut pair = Pair::new(&[]);
    let (one, other) = (noise(100_000), noise(1));
    for (name, contents) in [("one", &one), ("other", &other), ("one", &one)] {
        let start = pair.announce(name, contents);
        let ack = pair.start(start);
        assert!(ack.ok && pair.outgoing.acknowledged(&ack).is_empty());
    }
    assert!(pair.outgoing.is_ready());
    pair.carry(1000);
    assert!(!pair.outgoing.is_ready());
    let expected = [("one", &one), ("one-1", &one), ("other", &other)];
    assert_eq!(
        pair.saved(),
        expected.map(|(name, c)| (name.to_owned(), c.clone()))
    );
}

#[test]
fn who_has_to_be_asked_is() {
    let mut pair = Pair::new(&[("ask", true)]);
    for (yes, files) in [(false, 0), (true, 1)] {
        let source = pair.source("a", b"contents");
        let Ok(Packet::FileQuestion(question)) = pair.outgoing.send(source, true, Dialect::G3) else {
            panic!("did not ask");
        };
        assert!(pair.incoming.would_take(&question) && !question.open);
        let start = pair.outgoing.answered(&question.question, yes, Dialect::G3);
        assert_eq!(start.is_some(), yes);
        if let Some(start) = start {
            assert_eq!(start.digests[0].0, "sha1");
            let ack = pair.start(start);
            pair.outgoing.acknowledged(&ack);
            pair.carry(3);
        }
        assert_eq!(pair.saved().len(), files);
    }
    let url = FileQuestion {
        kind: "url".into(),
        question: "q".into(),
        name: "http://localhost/".into(),
        size: 1,
        print: false,
        open: true,
    };
    assert!(!pair.incoming.would_take(&url));
}

#[test]
fn another_connection_goes_on_where_the_last_one_broke() {
    let mut pair = Pair::new(&[]);
    let contents = noise(10_000);
    let start = pair.announce("a", &contents);
    let ack = pair.start(start);
    pair.outgoing.acknowledged(&ack);
    let chunks: Vec<_> = (0..4).map(|_| pair.outgoing.next(1000).unwrap().0).collect();
    // the first is acknowledged, of the second the acknowledgement is lost, the others are lost themselves
    let ack = pair.incoming.chunk(&chunks[0], pair.now);
    pair.outgoing.acknowledged(&ack);
    assert!(pair.incoming.chunk(&chunks[1], pair.now).ok);
    pair.outgoing.rewind();
    pair.carry(1000);
    assert_eq!(pair.saved(), [("a".to_owned(), contents.clone())]);

    // the same for the last one
    let start = pair.announce("b", &contents);
    let ack = pair.start(start);
    pair.outgoing.acknowledged(&ack);
    let (chunk, _) = pair.outgoing.next(64_000).unwrap();
    assert!(pair.incoming.chunk(&chunk, pair.now).ok);
    pair.outgoing.rewind();
    assert!(pair.outgoing.is_ready());
    pair.carry(64_000);
    assert_eq!(pair.saved().len(), 2);
}

#[test]
fn who_takes_none_is_sent_none() {
    let source = Pair::new(&[]).source("a", b"contents");
    let rules = |allowed| FileRules {
        allowed,
        limit: LIMIT,
        folder: PathBuf::new(),
    };
    let refusal = |allowed, limit, caps: &Capabilities| {
        let mut outgoing = Outgoing::new(allowed, limit, caps);
        outgoing
            .send(Arc::clone(&source), false, Dialect::G6)
            .unwrap_err()
    };
    let takes = capabilities(&rules(true), &[]);
    assert_eq!(refusal(false, LIMIT, &takes), Refused::Disabled);
    assert_eq!(refusal(true, 7, &takes), Refused::TooLarge(7));
    assert_eq!(
        refusal(true, LIMIT, &capabilities(&rules(false), &[])),
        Refused::NotTaken
    );
    assert_eq!(refusal(true, LIMIT, &Capabilities::default()), Refused::NotTaken);
    let mut outgoing = Outgoing::new(true, LIMIT, &takes);
    for _ in 0..MAX_TRANSFERS {
        outgoing.send(Arc::clone(&source), false, Dialect::G6).unwrap();
    }
    assert_eq!(outgoing.send(source, false, Dialect::G6), Err(Refused::TooMany));
}

/// 3.1 and HTML5 write flat keys, and megabytes.
#[test]
fn flat_capabilities_are_read() {
    let mut caps = Capabilities::default();
    caps.set("file-transfer", true)
        .set("file-size-limit", 1)
        .set("file-chunks", 65536);
    let pair = Pair::new(&[]);
    let mut outgoing = Outgoing::new(true, LIMIT * 8, &caps);
    let fits = pair.source("a", &vec![0; 1 << 20]);
    assert!(outgoing.send(fits, false, Dialect::G3).is_ok());
    let path = pair.home.path().join("b");
    fs::write(&path, vec![0; (1 << 20) + 1]).unwrap();
    let large = Arc::new(Source::open(&path, LIMIT * 8).unwrap());
    let refused = outgoing.send(large, false, Dialect::G3);
    assert_eq!(refused, Err(Refused::TooLarge(1 << 20)));
}

#[test]
fn lies_about_a_file_leave_nothing() {
    let start = FileStart {
        name: "../../lie".into(),
        mimetype: Default::default(),
        print: false,
        open: true,
        size: 6,
        data: Default::default(),
        digests: vec![("sha256".into(), "00".repeat(32).into())],
        transfer: "t".into(),
        question: Default::default(),
    };
    let chunk = |number, data: &'static [u8], more| FileChunk {
        transfer: "t".into(),
        number,
        data: data.into(),
        more,
    };
    let large = FileChunk {
        data: vec![0; MAX_CHUNK + 1].into(),
        ..chunk(1, b"", true)
    };
    for (why, chunks) in [
        ("digest", vec![chunk(1, b"abc", true), chunk(2, b"def", false)]),
        ("order", vec![chunk(2, b"abc", true)]),
        ("order", vec![chunk(0, b"abc", true)]),
        ("order", vec![chunk(1, b"abc", true), chunk(3, b"def", false)]),
        ("too long", vec![chunk(1, b"abcdefg", true)]),
        ("too long", vec![chunk(1, b"abcdef", true)]),
        ("too short", vec![chunk(1, b"abc", false)]),
        ("empty", vec![chunk(1, b"", true)]),
        ("large", vec![large]),
    ] {
        let mut pair = Pair::new(&[]);
        assert!(pair.start(start.clone()).ok);
        // while it lasts it is in the folder
        assert_eq!(pair.saved(), [("lie".to_owned(), Vec::new())], "{why}");
        let acks: Vec<_> = chunks.iter().map(|c| pair.incoming.chunk(c, pair.now)).collect();
        assert!(!acks.last().unwrap().ok, "{why}: {acks:?}");
        assert_eq!(pair.saved(), [], "{why}");
        // and what follows is of no transfer
        assert!(!pair.incoming.chunk(&chunk(1, b"abc", false), pair.now).ok);
    }
    let mut pair = Pair::new(&[]);
    for refused in [
        FileStart {
            size: 0,
            ..start.clone()
        },
        FileStart {
            size: LIMIT + 1,
            ..start.clone()
        },
        FileStart {
            print: true,
            ..start.clone()
        },
        FileStart {
            transfer: "t".repeat(1000).into(),
            ..start.clone()
        },
    ] {
        let ack = pair.start(refused);
        assert!(!ack.ok && ack.number == 0, "{ack:?}");
    }
    // without chunks there is no answer
    let inline = FileStart {
        transfer: Default::default(),
        data: b"abcdef"[..].into(),
        ..start.clone()
    };
    assert_eq!(pair.incoming.start(inline, pair.now), None);
    assert_eq!(pair.saved(), []);
    // an end that goes away leaves nothing either
    assert!(pair.start(start).ok);
    pair.incoming = Incoming::new(FileRules::default());
    assert_eq!(pair.saved(), []);
}

#[test]
fn few_files_arrive_at_once() {
    let mut pair = Pair::new(&[]);
    let start = |number: usize| FileStart {
        name: "a".into(),
        mimetype: Default::default(),
        print: false,
        open: false,
        size: 6,
        data: Default::default(),
        digests: Vec::new(),
        transfer: number.to_string().into(),
        question: Default::default(),
    };
    for number in 0..MAX_TRANSFERS {
        assert!(pair.start(start(number)).ok);
    }
    assert!(!pair.start(start(0)).ok, "the same again");
    assert!(!pair.start(start(100)).ok);
    // those that nobody goes on with make room
    pair.now += Duration::from_secs(61);
    assert!(pair.start(start(100)).ok);
    assert_eq!(pair.saved().len(), 1);
}

#[test]
fn lies_about_acknowledgements_end_the_transfer() {
    for (number, lie) in [(0, 5), (0, 2), (1, 3)] {
        let mut pair = Pair::new(&[]);
        let start = pair.announce("a", &noise(100));
        let ack = |number| FileAck {
            transfer: start.transfer.clone(),
            ok: true,
            message: Default::default(),
            number,
        };
        let early = pair.outgoing.acknowledged(&ack(1));
        assert!(
            early.is_empty() && !pair.outgoing.is_ready(),
            "before anything was sent"
        );
        let start = pair.announce("a", &noise(100));
        let ack = |number| FileAck {
            transfer: start.transfer.clone(),
            ..ack(number)
        };
        pair.outgoing.acknowledged(&ack(0));
        let sent: Vec<_> = (0..4).map(|_| pair.outgoing.next(10).unwrap().1).collect();
        let mut left = sent.len();
        for number in 1..=number {
            left -= pair.outgoing.acknowledged(&ack(number)).len();
        }
        // what is not on its way any more is told
        assert_eq!(pair.outgoing.acknowledged(&ack(lie)).len(), left, "{lie}");
        assert!(!pair.outgoing.is_ready());
    }
}

#[test]
fn what_cannot_be_sent_is_named() {
    let home = tempfile::tempdir().unwrap();
    let about = |name: &str| Source::open(&home.path().join(name), 10).unwrap_err();
    fs::write(home.path().join("empty"), "").unwrap();
    fs::write(home.path().join("large"), [0; 11]).unwrap();
    assert!(about("none").contains("none: "), "{}", about("none"));
    assert!(about("empty").ends_with("is empty"));
    assert!(about("large").ends_with("is larger than 10 bytes"));
    assert!(about(".").ends_with("is not a file"));
}
