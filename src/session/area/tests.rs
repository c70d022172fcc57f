//! Both ends' hellos, and pixels from a screen in memory.

#![expect(clippy::cast_possible_truncation, reason = "test pictures are small")]

use super::*;
use crate::codec::Value;
use crate::mmap::{AreaError, MIN_SIZE, Region, RingReader, RingWriter, Trust};
use crate::packet::Capabilities;
use crate::picture::Payload;
use crate::session::fake_screen::Puppet;
use crate::types::{PixelFormat, Rect, Size};
use std::os::fd::OwnedFd;
use std::path::Path;

const SCREEN: Size = Size::new(64, 48);

struct Hello {
    _directory: tempfile::TempDir,
    offer: Offer,
    caps: Capabilities,
    trust: Trust,
    passed: Vec<OwnedFd>,
}

/// What a client says, reduced to the keys that begin with one of these.
fn hello(keys: &[&str]) -> Hello {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let placement = Placement::Directories(vec![directory.path().join("xpra")]);
    let offer = Offer::new(SCREEN, &placement, None, true);
    let mut caps = Capabilities::default();
    for (key, value) in offer.capabilities() {
        if keys.iter().any(|begin| key.starts_with(begin)) {
            caps.set(&key, value);
        }
    }
    Hello {
        trust: Trust {
            directories: vec![directory.path().join("xpra")],
            ..Trust::default()
        },
        passed: offer.descriptor().into_iter().collect(),
        offer,
        caps,
        _directory: directory,
    }
}

fn files(hello: &Hello) -> usize {
    let directory = &hello.trust.directories[0];
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
fn each_generation_finds_its_keys_and_the_answer() {
    // ours, 6.x, 3.1
    for (keys, name, answers) in [
        (&["memfd", "mmap"] as &[&str], "memfd", &["memfd"] as &[&str]),
        (&["mmap"], "xpra.rs-", &["mmap"]),
        (&["mmap_"], "xpra.rs-", &["mmap_"]),
    ] {
        let hello = hello(keys);
        let passed = if keys.contains(&"memfd") {
            hello.passed
        } else {
            Vec::new()
        };
        let accepted = accept(&hello.caps, passed, &hello.trust).unwrap();
        assert!(accepted.name.contains(name), "{}", accepted.name);
        let mut all = Capabilities::default();
        accepted.answer(&mut all);
        let mut answer = Capabilities::default();
        for (key, value) in all.into_value().as_map().unwrap() {
            let key = key.as_text().unwrap();
            if answers.iter().any(|begin| key.starts_with(begin)) {
                answer.set(&key, value.clone());
            }
        }
        let mut reader = hello.offer.settle(&answer).unwrap();
        let mut ring = accepted.ring;
        let span = ring.reserve(3).unwrap();
        ring.write(span.offset, b"xyz").unwrap();
        let mut out = [0; 3];
        reader.read(&[span], 0, &mut out).unwrap();
        reader.release(&[span]).unwrap();
        assert_eq!(&out, b"xyz");
    }
}

#[test]
fn the_file_goes_with_the_answer_whatever_it_is() {
    for answer in [&[][..], &[("mmap_enabled", Value::Bool(false))]] {
        let mut hello = hello(&["mmap", "memfd"]);
        assert_eq!(files(&hello), 1);
        let mut caps = Capabilities::default();
        for (key, value) in answer {
            caps.set(key, value.clone());
        }
        assert!(std::mem::take(&mut hello.offer).settle(&caps).is_none());
        assert_eq!(files(&hello), 0);
    }
}

#[test]
fn a_server_that_sees_another_file_is_not_believed() {
    let (ours, theirs) = (hello(&["mmap"]), hello(&["mmap"]));
    let accepted = accept(&theirs.caps, Vec::new(), &theirs.trust).unwrap();
    let mut answer = Capabilities::default();
    accepted.answer(&mut answer);
    assert!(ours.offer.settle(&answer).is_none());
}

#[test]
fn claims_are_checked() {
    let refused = |change: &dyn Fn(&mut Capabilities)| {
        let mut hello = hello(&["mmap_", "memfd"]);
        change(&mut hello.caps);
        accept(&hello.caps, hello.passed, &hello.trust).is_none()
    };
    let no_memfd = |caps: &mut Capabilities| {
        caps.set("memfd", 0);
    };
    assert!(!refused(&no_memfd));
    let wrong = |key: &'static str, value: Value| {
        refused(&|caps| {
            no_memfd(caps);
            caps.set(key, value.clone());
        })
    };
    assert!(wrong("mmap_token", 17.into()));
    assert!(wrong("mmap_token", Value::BigInt("1".repeat(60).into())));
    assert!(wrong("mmap_token_index", 0.into()));
    assert!(wrong("mmap_token_index", (-1).into()));
    assert!(wrong("mmap_token_index", Value::Int(i64::MAX)));
    assert!(wrong("mmap_token_bytes", 1.into()));
    assert!(wrong("mmap_size", (1i64 << 31).into()));
    assert!(wrong("mmap_file", "/etc/passwd".into()));
    assert!(wrong("mmap_file", "".into()));
    assert!(wrong("mmap_file", "..".into()));
    // an unsealed descriptor is refused, the file is used instead
    let hello = hello(&["mmap_", "memfd"]);
    let unsealed = std::fs::File::open("/dev/zero").unwrap();
    let accepted = accept(&hello.caps, vec![unsealed.into()], &hello.trust).unwrap();
    assert_ne!(accepted.name, "memfd");
    // and who may not look into our directory gets nothing
    assert!(accept(&hello.caps, Vec::new(), &Trust::default()).is_none());
}

fn area(
    size: u32,
    format: PixelFormat,
) -> (Area, RingReader, Puppet, crate::session::fake_screen::FakeScreen) {
    let region = Region::anonymous(size).unwrap();
    let copy = region.file().try_clone_to_owned().unwrap();
    let ring = RingWriter::new(Region::sealed(copy).unwrap()).unwrap();
    let (puppet, mut screen) = Puppet::new(SCREEN);
    let area = Area::new(ring, format, &mut screen);
    (area, RingReader::new(region), puppet, screen)
}

#[test]
fn captures_lie_in_the_area_in_the_clients_format() {
    for (format, first) in [
        (PixelFormat::Bgrx, &[3, 2, 1][..]),
        (PixelFormat::Rgbx, &[1, 2, 3]),
        (PixelFormat::Rgb, &[1, 2, 3]),
    ] {
        let (mut area, reader, puppet, mut screen) = area(MIN_SIZE, format);
        let rect = Rect::new(5, 7, 20, 10);
        puppet.paint(rect, |_, _| [3, 2, 1]);
        let outside = Rect::new(60, 40, 20, 20);
        let captured = area.capture(&mut screen, &[rect, outside]).unwrap().unwrap();
        let [one] = captured.as_slice() else {
            panic!("{captured:?}")
        };
        assert_eq!((one.rect, one.coded.format), (rect, Some(format)));
        assert_eq!(one.copied, rect.area() * format.bytes() as u64);
        let Payload::Shared(spans) = &one.coded.data else {
            panic!("{one:?}")
        };
        let mut pixels = vec![0; one.copied as usize];
        reader.read(spans, 0, &mut pixels).unwrap();
        let mut all = pixels.chunks_exact(format.bytes());
        assert!(all.all(|pixel| pixel[..3] == *first), "{format:?}");
    }
}

#[test]
fn a_full_area_captures_nothing() {
    let (mut area, _reader, _puppet, mut screen) = area(MIN_SIZE, PixelFormat::Bgrx);
    let whole = [SCREEN.rect()];
    let mut count = 0;
    let error = loop {
        match area.capture(&mut screen, &whole).unwrap() {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, AreaError::Full(SCREEN.area() * 4));
    assert_eq!(count, (MIN_SIZE - 8) / (64 * 48 * 4));
}

#[test]
fn placements_that_cannot_be_are_not_offered() {
    let nowhere = Placement::Directories(vec!["/proc/none".into()]);
    let offer = Offer::new(SCREEN, &nowhere, None, false);
    assert!(offer.capabilities().is_empty() && offer.descriptor().is_none());
    let file = Placement::File(Path::new("/proc/none/file").to_owned());
    assert!(Offer::new(SCREEN, &file, None, false).capabilities().is_empty());
}
