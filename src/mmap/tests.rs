#![expect(
    clippy::cast_possible_truncation,
    reason = "bytes are cut out of larger numbers"
)]

use super::region::Position;
use super::*;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

const SIZE: u32 = MIN_SIZE;

fn pair(directory: &Path) -> (RingWriter, RingReader) {
    let file = NamedFile::in_directory(directory, SIZE, None).unwrap();
    let trust = Trust {
        directories: vec![directory.to_owned()],
        ..Trust::default()
    };
    let writer = RingWriter::new(open_file(file.path(), &trust).unwrap()).unwrap();
    (writer, RingReader::new(file.into_region().unwrap()))
}

fn passed() -> (RingWriter, RingReader) {
    let region = Region::anonymous(SIZE).unwrap();
    let copy = region.file().try_clone_to_owned().unwrap();
    let writer = RingWriter::new(Region::sealed(copy).unwrap()).unwrap();
    (writer, RingReader::new(region))
}

fn hand_over(writer: &mut RingWriter, reader: &mut RingReader) {
    let frame: Vec<u8> = (0..16_000_000u32).map(|i| i as u8).collect();
    let len = frame.len() as u64;
    for round in 0..5u8 {
        let span = writer.reserve(len).unwrap();
        writer.write(span.offset, &[round]).unwrap();
        writer.write(span.offset + 1, &frame[1..]).unwrap();
        let mut out = vec![0; frame.len()];
        reader.read(&[span], 0, &mut out).unwrap();
        assert!(out[0] == round && out[1..] == frame[1..]);
        // what is not released is not written again
        let others: Vec<_> = std::iter::from_fn(|| writer.reserve(len).ok()).collect();
        assert!(others.len() <= 3, "{others:?}");
        assert!(
            others
                .iter()
                .all(|other| other.end() <= u64::from(span.offset) || u64::from(other.offset) >= span.end())
        );
        assert_eq!(writer.reserve(len), Err(AreaError::Full(len)));
        reader.release(&[others.last().copied().unwrap_or(span)]).unwrap();
    }
}

#[test]
fn pixels_pass_through_a_file_and_through_memory() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let (mut writer, mut reader) = pair(directory.path());
    hand_over(&mut writer, &mut reader);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let (mut writer, mut reader) = passed();
    hand_over(&mut writer, &mut reader);
}

#[test]
fn the_ring_is_reused_from_its_front() {
    let (mut writer, mut reader) = passed();
    let offsets: Vec<u32> = (0..6)
        .map(|_| {
            let span = writer.reserve(1_000_000).unwrap();
            reader.release(&[span]).unwrap();
            span.offset
        })
        .collect();
    assert_eq!(offsets, [8, 1_000_008, 8, 1_000_008, 8, 1_000_008]);
}

#[test]
fn what_the_reader_does_not_hear_of_is_taken_back() {
    let (mut writer, mut reader) = passed();
    let quarter = u64::from(SIZE) / 4;
    // more than there is: nothing is taken, so everything can be had
    assert_eq!(writer.reserve_all([quarter; 5]), Err(AreaError::Full(quarter)));
    let spans = writer.reserve_all([quarter; 3]).unwrap();
    writer.cancel().unwrap();
    assert_eq!(writer.reserve_all([quarter; 3]), Ok(spans.clone()));
    reader.release(&spans).unwrap();
    assert!(writer.reserve(quarter * 2).is_ok());
}

#[test]
fn split_pictures_of_other_writers_are_read() {
    let (writer, mut reader) = passed();
    let spans = [
        Span {
            offset: SIZE - 3,
            len: 3,
        },
        Span { offset: 8, len: 2 },
    ];
    writer.write(SIZE - 3, &[1, 2, 3]).unwrap();
    writer.write(8, &[4, 5]).unwrap();
    let mut out = [0; 3];
    reader.read(&spans, 1, &mut out).unwrap();
    assert_eq!(out, [2, 3, 4]);
    assert!(reader.read(&spans, 3, &mut out).is_err());
    reader.release(&spans).unwrap();
    assert_eq!(reader.region().load(Position::Start), Ok(10));
    // what xpra makes of a picture that ends where the area does
    reader.release(&[spans[0], Span { offset: 8, len: 0 }]).unwrap();
    assert_eq!(reader.region().load(Position::Start), Ok(8));
}

#[test]
fn nothing_outside_is_touched() {
    let (mut writer, mut reader) = passed();
    for span in [
        Span { offset: 0, len: 4 },
        Span { offset: 7, len: 1 },
        Span {
            offset: SIZE - 1,
            len: 2,
        },
        Span {
            offset: u32::MAX,
            len: u32::MAX,
        },
    ] {
        assert!(reader.check(&[span]).is_err());
        assert!(reader.release(&[span]).is_err());
        assert!(reader.read(&[span], 0, &mut [0]).is_err());
    }
    assert!(writer.write(SIZE - 1, &[0, 0]).is_err());
    assert!(writer.reserve(u64::from(SIZE)).is_err());
    assert!(writer.reserve(1 << 40).is_err());
    assert!(writer.reserve(0).is_err());
    for position in [1, 7, SIZE + 1, u32::MAX] {
        reader.region().store(Position::Start, position).unwrap();
        let corrupt = AreaError::Corrupt { position, size: SIZE };
        assert_eq!(writer.reserve(10), Err(corrupt));
    }
}

#[test]
fn truncation_ends_the_area_and_not_the_process() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = NamedFile::in_directory(directory.path(), SIZE, None).unwrap();
    let trust = Trust {
        directories: vec![directory.path().to_owned()],
        ..Trust::default()
    };
    let mut writer = RingWriter::new(open_file(file.path(), &trust).unwrap()).unwrap();
    let reader = RingReader::new(file.into_region().unwrap());
    let span = writer.reserve(100_000).unwrap();
    rustix::fs::ftruncate(reader.region().file(), 0).unwrap();
    assert!(matches!(writer.reserve(10), Err(AreaError::Io(_))));
    assert!(matches!(
        reader.read(&[span], 0, &mut [0; 100]),
        Err(AreaError::Io(_))
    ));
    assert!(writer.write(span.offset, &[1; 100]).is_ok());
    // and what is sealed cannot be truncated at all
    let region = Region::anonymous(SIZE).unwrap();
    assert!(rustix::fs::ftruncate(region.file(), 0).is_err());
}

#[test]
fn only_sealed_memory_is_mapped() {
    let sealable = rustix::fs::MemfdFlags::ALLOW_SEALING;
    let unsealed = rustix::fs::memfd_create("test", sealable).unwrap();
    rustix::fs::ftruncate(&unsealed, SIZE.into()).unwrap();
    assert!(matches!(Region::sealed(unsealed), Err(AreaError::Refused { .. })));
    let file = tempfile::tempfile().unwrap();
    file.set_len(SIZE.into()).unwrap();
    assert!(Region::sealed(file.into()).is_err());
    let (pipe, _other) = rustix::pipe::pipe().unwrap();
    assert!(Region::sealed(pipe).is_err());
    let small = rustix::fs::memfd_create("test", sealable).unwrap();
    rustix::fs::ftruncate(&small, 4096).unwrap();
    rustix::fs::fcntl_add_seals(&small, rustix::fs::SealFlags::SHRINK).unwrap();
    assert_eq!(Region::sealed(small).unwrap_err(), AreaError::Size(4096));
}

#[test]
fn tokens() {
    let region = Region::anonymous(SIZE).unwrap();
    let place = TokenPlace::in_area(SIZE);
    let token = Token::random().unwrap();
    assert_eq!(token.verify(&region, place), Err(AreaError::Token));
    token.write(&region, place).unwrap();
    assert_eq!(token.verify(&region, place), Ok(()));
    assert_eq!(Token(token.0 ^ 1).verify(&region, place), Err(AreaError::Token));
    // longer than what was written: something else follows
    let wide = TokenPlace::new(i64::from(place.index) - 200, 328).unwrap();
    assert!(token.verify(&region, wide).is_err());
    assert_eq!(Token(0).verify(&region, place), Err(AreaError::Token));
    for (index, bytes) in [
        (-1, 128),
        (0, 128),
        (7, 128),
        (8, 0),
        (8, 15),
        (8, 513),
        (1 << 40, 128),
    ] {
        assert_eq!(TokenPlace::new(index, bytes), None);
    }
    let outside = TokenPlace::new(i64::from(SIZE) - 127, 128).unwrap();
    assert!(token.verify(&region, outside).is_err());
    assert!(token.write(&region, outside).is_err());
}

/// The file a hostile client might name, and whether it is opened.
#[test]
fn files_that_are_not_the_peers_are_refused() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = |name: &str| directory.path().join(name);
    let us = rustix::process::geteuid().as_raw();
    let make = |name: &str, size: u64| {
        let file = File::create(path(name)).unwrap();
        file.set_len(size).unwrap();
        path(name)
    };
    let good = make("xpra.good.mmap", SIZE.into());
    let peer = |uid| Trust {
        peer: Some(uid),
        ..Trust::default()
    };
    let open = |path: &Path, trust: &Trust| open_file(path, trust).map(|region| region.size());
    assert_eq!(open(&good, &peer(us)), Ok(SIZE));
    assert!(open(&good, &peer(us + 1)).is_err());
    assert!(open(&good, &Trust::default()).is_err());
    let placed = Trust {
        directories: vec![directory.path().to_owned()],
        ..Trust::default()
    };
    // only the last component counts
    assert_eq!(open(Path::new("/somewhere/xpra.good.mmap"), &placed), Ok(SIZE));
    assert!(open(Path::new("/etc/passwd"), &placed).is_err());
    let fixed = Trust {
        file: Some(good.clone()),
        ..Trust::default()
    };
    assert_eq!(open(Path::new("/anything"), &fixed), Ok(SIZE));

    symlink(&good, path("link")).unwrap();
    assert!(open(&path("link"), &peer(us)).is_err());
    fs::hard_link(&good, path("second")).unwrap();
    assert!(open(&good, &peer(us)).is_err());
    assert!(open(&make("small", 4096), &peer(us)).is_err());
    assert!(open(&make("huge", 1 << 32), &peer(us)).is_err());
    assert!(open(directory.path(), &peer(us)).is_err());
    assert!(open(Path::new("/dev/zero"), &peer(0)).is_err());
    assert!(open(Path::new("/proc/self/mem"), &peer(us)).is_err());
    rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RWXU).unwrap();
    assert!(open(&path("pipe"), &peer(us)).is_err());
}

#[test]
fn left_over_files_are_swept_and_others_are_not() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let alive = NamedFile::in_directory(directory.path(), SIZE, None).unwrap();
    let killed = NamedFile::in_directory(directory.path(), SIZE, None).unwrap();
    let (left, others) = (killed.path().to_owned(), directory.path().join("xpra.abcd.mmap"));
    let copy = directory.path().join("xpra.rs-0123.mmap");
    fs::rename(&left, &copy).unwrap();
    drop(killed);
    fs::write(&others, "another's").unwrap();
    sweep(directory.path());
    assert!(!copy.exists() && alive.path().exists() && others.exists());
}

#[test]
fn the_group_may_use_the_file_when_asked() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let gid = rustix::process::getegid().as_raw();
    let file = NamedFile::in_directory(directory.path(), SIZE, Some(gid)).unwrap();
    let facts = fs::metadata(file.path()).unwrap();
    assert_eq!((facts.permissions().mode() & 0o777, facts.gid()), (0o660, gid));
    let private = NamedFile::in_directory(directory.path(), SIZE, None).unwrap();
    assert_eq!(
        fs::metadata(private.path()).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn a_given_file_is_made_once_and_then_used_as_it_is() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = directory.path().join("mine");
    drop(NamedFile::at(&path, SIZE, None).unwrap());
    assert!(!path.exists());
    File::create(&path)
        .unwrap()
        .set_len(u64::from(SIZE) + 4096)
        .unwrap();
    let file = NamedFile::at(&path, SIZE, None).unwrap();
    assert_eq!(file.region().unwrap().size(), SIZE + 4096);
    assert!(NamedFile::at(&path, SIZE, None).is_err(), "two clients");
    drop(file);
    assert!(path.exists());
    let owned: OwnedFd = File::open(&path).unwrap().into();
    drop(owned);
}

#[test]
fn sizes_suit_the_screen() {
    assert_eq!(size_for(1920 * 1080), 268_439_552);
    assert!(u64::from(size_for(3840 * 2160)) >= 8 * 4 * 3840 * 2160);
    assert_eq!(size_for(u64::MAX), (1 << 30) + 4096);
}
