//! A painter, a screen in memory and a clock that is moved by hand.

#![expect(
    clippy::cast_possible_truncation,
    reason = "colours are cut out of larger numbers, screens are small"
)]

use super::*;
use crate::picture::Decoder;
use crate::session::fake_screen::{FakeScreen, Puppet};
use crate::types::{Canvas, PixelFormat};

const SCREEN: Size = Size::new(256, 160);

struct World {
    puppet: Puppet,
    screen: FakeScreen,
    painter: Painter,
    encoder: Encoder,
    shown: Vec<u8>,
    now: Instant,
    seed: u32,
}

impl World {
    fn new(encodings: &[Encoding]) -> Self {
        let (puppet, screen) = Puppet::new(SCREEN);
        let takes = Client {
            encodings: encodings.to_vec(),
            rgb_formats: [PixelFormat::Bgrx].into_iter().collect(),
            lz4: true,
            min_quality: 30,
            max_quality: 95,
            speed: 50,
            lossless_only: false,
            stretches: true,
        };
        let now = Instant::now();
        let mut painter = Painter::new(SCREEN, takes, true);
        painter.damage(SCREEN.rect(), now);
        Self {
            puppet,
            screen,
            painter,
            encoder: Encoder::new(),
            shown: vec![1; SCREEN.area() as usize * 4],
            now,
            seed: 0,
        }
    }

    /// Paints once; the encodings used.
    fn paint(&mut self, link: LinkSpeed) -> Vec<Encoding> {
        let pieces = self.pieces(link);
        for (i, piece) in pieces.iter().enumerate() {
            assert_eq!(piece.flush as usize, pieces.len() - i - 1);
            self.show(piece);
        }
        pieces.iter().map(|piece| piece.coded.encoding).collect()
    }

    /// Paints once, for a client that is still to get it.
    fn pieces(&mut self, link: LinkSpeed) -> Vec<Piece> {
        let (mut pieces, now) = (Vec::new(), self.now);
        self.painter
            .paint(
                &mut self.screen,
                &mut self.encoder,
                link,
                || now,
                |piece| pieces.push(piece),
            )
            .unwrap();
        pieces
    }

    /// The client gets a piece.
    fn show(&mut self, piece: &Piece) {
        let mut canvas =
            Canvas::new(&mut self.shown, SCREEN, SCREEN.w as usize * 4, PixelFormat::Bgrx).unwrap();
        Decoder::new()
            .paint(&mut canvas, piece.rect, &piece.coded)
            .unwrap();
    }

    fn is_due(&self) -> bool {
        self.painter.due(Duration::ZERO).is_some_and(|at| at <= self.now)
    }

    /// Goes on until nothing is due, ever.
    fn finish(&mut self, link: LinkSpeed) {
        for _ in 0..1000 {
            if self.is_due() {
                self.paint(link);
            }
            match self.painter.deadline() {
                Some(at) => self.now = self.now.max(at),
                None => return,
            }
        }
        panic!("no end");
    }

    fn noise(&mut self, rect: Rect) {
        self.seed += 1;
        let mut state = self.seed;
        self.puppet.paint(rect, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            [(state >> 8) as u8, (state >> 16) as u8, (state >> 24) as u8]
        });
        self.painter.damage(rect, self.now);
    }

    fn is_exact(&self) -> bool {
        let state = self.puppet.state();
        let mut pairs = self.shown.chunks_exact(4).zip(state.pixels.chunks_exact(4));
        pairs.all(|(a, b)| a[..3] == b[..3])
    }
}

#[test]
fn lossy_pixels_are_refreshed_once_it_is_quiet_and_then_nothing_is_due() {
    let mut world = World::new(&[Encoding::Jpeg, Encoding::Png]);
    let slow = LinkSpeed::mbit(50);
    world.noise(SCREEN.rect());
    assert!(world.paint(slow).contains(&Encoding::Jpeg));
    assert!(!world.is_exact());
    // a change in the same place puts it off
    world.now += Duration::from_millis(100);
    world.noise(Rect::new(0, 0, 256, 100));
    world.paint(slow);
    world.now += Duration::from_millis(100);
    assert!(!world.is_due());
    world.now += Duration::from_millis(60);
    let mut paints = 0;
    while world.is_due() {
        assert!(!world.paint(slow).contains(&Encoding::Jpeg));
        paints += 1;
        assert!(paints < 20);
    }
    assert!(world.is_exact());
    assert_eq!(world.painter.deadline(), None);
}

#[test]
fn a_refresh_leaves_a_slow_link_room() {
    let mut world = World::new(&[Encoding::Png]);
    world.noise(SCREEN.rect());
    world.paint(LinkSpeed::LOCAL);
    world.painter.refresh(SCREEN.rect(), world.now);
    let captured = world.puppet.state().captured;
    world.paint(LinkSpeed::mbit(1));
    let part = world.puppet.state().captured - captured;
    assert!((1..SCREEN.area() / 4).contains(&part), "{part} pixels");
    assert!(world.is_due());
    world.shown.fill(9);
    world.painter.refresh(SCREEN.rect(), world.now);
    while world.is_due() {
        world.paint(LinkSpeed::mbit(1));
    }
    assert!(world.is_exact());
}

#[test]
fn what_cannot_be_made_better_is_not_sent_again() {
    let mut world = World::new(&[Encoding::Jpeg]);
    world.noise(SCREEN.rect());
    world.paint(LinkSpeed::mbit(10));
    for _ in 0..20 {
        world.now += Duration::from_millis(200);
        if world.is_due() {
            world.paint(LinkSpeed::mbit(10));
        }
    }
    assert_eq!(world.painter.deadline(), None);
}

#[test]
fn moved_lossy_pixels_end_exact() {
    let mut world = World::new(&[Encoding::Jpeg, Encoding::Png]);
    let slow = LinkSpeed::mbit(50);
    world.noise(SCREEN.rect());
    world.paint(slow);
    for _ in 0..5 {
        world.now += Duration::from_millis(20);
        world.puppet.scroll_up(9);
        world.painter.damage(SCREEN.rect(), world.now);
        world.paint(slow);
    }
    for _ in 0..50 {
        world.now += Duration::from_millis(10);
        if world.is_due() {
            world.paint(slow);
        }
    }
    assert!(world.is_exact());
}

#[test]
fn an_unchanged_screen_gives_nothing() {
    let mut world = World::new(&[Encoding::Rgb32]);
    world.paint(LinkSpeed::LOCAL);
    world.painter.damage(SCREEN.rect(), world.now);
    assert!(world.paint(LinkSpeed::LOCAL).is_empty());
    assert!(!world.is_due());
}

#[test]
fn pixels_go_to_the_area_while_there_is_room_and_to_the_stream_else() {
    use crate::mmap::{MIN_SIZE, Region, RingReader, RingWriter};
    let mut world = World::new(&[Encoding::Rgb32]);
    let region = Region::anonymous(MIN_SIZE).unwrap();
    let copy = region.file().try_clone_to_owned().unwrap();
    let ring = RingWriter::new(Region::sealed(copy).unwrap()).unwrap();
    world
        .painter
        .set_area(Area::new(ring, PixelFormat::Bgrx, &mut world.screen));
    let mut reader = RingReader::new(region);
    let update = |world: &mut World, rect| {
        let (mut spans, mut others, now) = (Vec::new(), 0, world.now);
        world.painter.damage(rect, now);
        let give = |piece: Piece| match piece.coded.data {
            Payload::Shared(more) => spans.extend(more),
            _ => others += 1,
        };
        let (screen, encoder) = (&mut world.screen, &mut world.encoder);
        assert!(
            world
                .painter
                .paint(screen, encoder, LinkSpeed::LOCAL, || now, give)
                .unwrap()
        );
        (spans, others)
    };
    let (spans, others) = update(&mut world, SCREEN.rect());
    assert_eq!((spans.len(), others), (1, 0));
    reader.release(&spans).unwrap();
    let mut last = Vec::new();
    loop {
        let (spans, others) = update(&mut world, SCREEN.rect());
        if spans.is_empty() {
            // what the area got was not compared with anything, so all of it is sent
            assert!(others > 0);
            break;
        }
        last = spans;
    }
    reader.release(&last).unwrap();
    assert_eq!(update(&mut world, Rect::new(1, 2, 3, 4)).0[0].len, 48);
    // what cannot be captured now is tried again
    world.puppet.state().failing = 1;
    let now = world.now;
    world.painter.damage(SCREEN.rect(), now);
    let (screen, encoder) = (&mut world.screen, &mut world.encoder);
    let given = world
        .painter
        .paint(screen, encoder, LinkSpeed::LOCAL, || now, |_| {})
        .unwrap();
    assert!(!given && world.painter.deadline().is_some());
    // a peer that spoils the area loses it, and nothing else
    rustix::io::pwrite(reader.region().file(), &[0xff; 4], 0).unwrap();
    world.puppet.paint(Rect::new(0, 0, 9, 9), |_, _| [7; 3]);
    let (spans, others) = update(&mut world, SCREEN.rect());
    assert!(spans.is_empty() && others > 0);
    assert!(world.painter.area.is_none());
}

/// On a link that needs longer for a picture than it has to be quiet, what goes on moving is never sent without loss,
/// and what does not move is.
#[test]
fn what_moves_is_not_refreshed() {
    let mut world = World::new(&[Encoding::Jpeg, Encoding::Png]);
    let (slow, moving) = (LinkSpeed::mbit(1), Rect::new(0, 0, 256, 80));
    world.noise(SCREEN.rect());
    world.paint(slow);
    for _ in 0..30 {
        world.now += Duration::from_millis(200);
        world.noise(moving);
        assert_eq!(world.paint(slow).first(), Some(&Encoding::Jpeg));
    }
    let still = |world: &World| {
        let state = world.puppet.state();
        let shown = &world.shown[moving.area() as usize * 4..];
        let mut pairs = shown
            .chunks_exact(4)
            .zip(state.pixels[moving.area() as usize * 4..].chunks_exact(4));
        pairs.all(|(a, b)| a[..3] == b[..3])
    };
    assert!(still(&world) && !world.is_exact());
    while world.painter.deadline().is_some() {
        world.now += Duration::from_millis(200);
        world.paint(slow);
    }
    assert!(world.is_exact());
}

/// The slower the link, the smaller the picture, however hard its pixels are; one too large shows that they are easier.
#[test]
fn moving_pictures_fit_the_link() {
    let mut world = World::new(&[Encoding::Jpeg, Encoding::Png]);
    for (kilobits, most) in [(10_000, 41_700), (4000, 16_700), (2000, 8300), (1000, 4200)] {
        let link = LinkSpeed(kilobits * 125);
        let mut rounds = Vec::new();
        for _ in 0..30 {
            world.now += Duration::from_millis(33);
            world.noise(SCREEN.rect());
            let now = world.now;
            let mut bytes = 0;
            let painter = &mut world.painter;
            let add = |piece: Piece| match &piece.coded.data {
                Payload::Bytes(file) => bytes += file.len(),
                _ => panic!("{piece:?}"),
            };
            painter
                .paint(&mut world.screen, &mut world.encoder, link, || now, add)
                .unwrap();
            rounds.push(bytes);
        }
        // what the pixels need is learned first
        let settled = &rounds[10..];
        let large = settled.iter().filter(|bytes| **bytes > most * 5 / 4).count();
        let small = settled.iter().filter(|bytes| **bytes < most / 5).count();
        assert!(large + small <= 4, "{kilobits} kbit/s: {rounds:?}");
    }
}

/// What is small and comes while an update is being sent waits for a piece of it, which takes the link 8 ms.
#[test]
fn large_updates_come_in_pieces() {
    for encodings in [&[Encoding::Rgb32][..], &[Encoding::Png], &[Encoding::Jpeg]] {
        for (mbit, most) in [(1, 8 << 10), (20, 20_000), (1000, 1 << 20)] {
            let mut world = World::new(encodings);
            world.noise(SCREEN.rect());
            let (mut sizes, now) = (Vec::new(), world.now);
            let add = |piece: Piece| match &piece.coded.data {
                Payload::Bytes(file) => sizes.push(file.len()),
                _ => panic!("{piece:?}"),
            };
            world
                .painter
                .paint(
                    &mut world.screen,
                    &mut world.encoder,
                    LinkSpeed::mbit(mbit),
                    || now,
                    add,
                )
                .unwrap();
            // noise is larger than what the choice expects, and rows are whole
            let fits = sizes.iter().all(|size| *size <= most * 5 / 2);
            let few = sizes.len() <= sizes.iter().sum::<usize>() / most * 2 + 2;
            assert!(fits && few, "{encodings:?} {mbit} Mbit/s: {sizes:?}");
        }
    }
}

/// Whatever was on its way when a connection was lost, and whatever of it had arrived, the client's pixels are those of
/// the screen in the end. Pieces are lost from any one on, and so are the confirmations of what arrived.
#[test]
fn a_client_that_comes_back_ends_exact() {
    let (mut losses, mut lost_moves) = (0, 0);
    for seed in 0..80 {
        let lossy = if seed % 2 == 0 {
            Encoding::Jpeg
        } else {
            Encoding::Png
        };
        let mut world = World::new(&[lossy, Encoding::Png]);
        world.noise(SCREEN.rect());
        let mut state: u32 = seed;
        let mut draw = move |n: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 12) % n
        };
        let link = LinkSpeed::mbit([2, 50, 1000][draw(3) as usize]);
        let mut way: std::collections::VecDeque<Piece> = std::collections::VecDeque::new();
        let (mut shown, mut confirmed) = (0, 0);
        for _ in 0..12 {
            world.now += Duration::from_millis(u64::from(draw(80)));
            if draw(4) == 0 {
                world.puppet.scroll_up(1 + draw(30));
                world.painter.damage(SCREEN.rect(), world.now);
            } else {
                let (x, y) = (draw(200), draw(120));
                world.noise(Rect::new(x as i32, y as i32, 1 + draw(56), 1 + draw(40)));
            }
            // one update at a time may be wanted, and several be on the way
            way.extend(world.pieces(link));
            for _ in 0..draw(8) {
                let Some(piece) = way.pop_front() else { break };
                world.show(&piece);
                shown = piece.sequence;
            }
            confirmed += u64::from(draw(5)).min(shown - confirmed);
            world
                .painter
                .confirm(confirmed.saturating_sub(u64::from(draw(3))));
            if draw(6) == 0 {
                losses += 1;
                lost_moves += way
                    .iter()
                    .filter(|p| p.coded.encoding == Encoding::Scroll)
                    .count();
                way.clear();
                world.painter.lose(confirmed);
                // nobody is told of what happens meanwhile
                world.puppet.scroll_up(draw(20));
                let takes = world.painter.takes.clone();
                world.painter.resume(SCREEN, takes, world.now);
            }
        }
        while let Some(piece) = way.pop_front() {
            world.show(&piece);
        }
        world.finish(link);
        assert!(world.is_exact(), "seed {seed}");
    }
    assert!(losses > 50 && lost_moves > 4, "{losses} {lost_moves}");
}

#[test]
fn a_client_that_comes_back_is_sent_what_it_lacks() {
    let mut world = World::new(&[Encoding::Png]);
    world.noise(SCREEN.rect());
    world.paint(LinkSpeed::LOCAL);
    world.noise(Rect::new(0, 0, 64, 10));
    let confirmed = world.pieces(LinkSpeed::LOCAL).first().unwrap().sequence - 1;
    world.painter.lose(confirmed);
    // this is not told while the client is away
    world.puppet.paint(Rect::new(128, 50, 64, 6), |_, _| [1, 2, 3]);
    let takes = world.painter.takes.clone();
    world.painter.resume(SCREEN, takes, world.now);
    let pieces = world.pieces(LinkSpeed::LOCAL);
    let sent: u64 = pieces.iter().map(|piece| piece.rect.area()).sum();
    assert_eq!(sent, 64 * 10 + 64 * 6);
    pieces.iter().for_each(|piece| world.show(piece));
    assert!(world.is_exact());
    // a screen of another size is another screen
    world.painter.lose(pieces.last().unwrap().sequence);
    let (larger, takes) = (Size::new(320, 200), world.painter.takes.clone());
    world.puppet.resize(larger);
    let mut events = Vec::new();
    let alarm = crate::system::Alarm::new().unwrap();
    world
        .screen
        .wait(alarm.wake(), Some(Duration::ZERO), &mut events)
        .unwrap();
    world.painter.resume(larger, takes, world.now);
    let sent: u64 = world.pieces(LinkSpeed::LOCAL).iter().map(|p| p.rect.area()).sum();
    assert_eq!(sent, larger.area());
}
