//! Change and scroll detection, content and choice.

use super::*;
use crate::picture::Budget;
use crate::picture::samples::{self, Rng};
use crate::picture::{
    Client, Content, Fingerprint, LinkSpeed, LinkUse, Scan, Scroll, ScrollFinder, choose, estimate, may_lose,
    regions,
};
use Encoding::{Jpeg, Png, Rgb24, Rgb32, Webp};
use proptest::prelude::*;
use std::sync::LazyLock;

/// A screen, and a client's copy of it that only changes by what is sent.
struct World {
    size: Size,
    screen: Vec<u8>,
    client: Vec<u8>,
    known: Fingerprint,
    scan: Scan,
}

impl World {
    fn new(w: u32, h: u32, screen: Vec<u8>) -> Self {
        let size = Size::new(w, h);
        let client = vec![1; screen.len()];
        Self {
            size,
            screen,
            client,
            known: Fingerprint::new(size, 42),
            scan: Scan::new(),
        }
    }

    fn scan(&mut self, rect: Rect) -> Vec<Rect> {
        let part = image(&self.screen, self.size.w, self.size.h).crop(rect).unwrap();
        self.known.scan(rect.x, rect.y, part, &mut self.scan);
        assert_eq!(self.scan.area(), rect);
        self.scan.changed()
    }

    /// Sends the pixels of `rect`.
    fn send(&mut self, rect: Rect) {
        for y in rect.y..rect.y + rect.h as i32 {
            let start = ((y as u32 * self.size.w) as usize + rect.x as usize) * 4;
            let row = start..start + rect.w as usize * 4;
            self.client[row.clone()].copy_from_slice(&self.screen[row]);
        }
        self.known.commit(&self.scan, rect);
    }

    fn send_changes(&mut self, rect: Rect) {
        for part in self.scan(rect) {
            self.send(part);
        }
    }

    /// Sends moves and what they leave.
    fn send_scroll(&mut self, scroll: Scroll) {
        let coded = Coded {
            data: Payload::Scroll(scroll.moves.clone()),
            ..packet(Encoding::Scroll, "")
        };
        paint(
            &mut self.client,
            self.size,
            PixelFormat::Bgrx,
            self.size.rect(),
            &coded,
        )
        .unwrap();
        for step in scroll.moves {
            let target = Rect {
                y: step.rect.y + step.dy,
                ..step.rect
            };
            self.known.commit(&self.scan, target);
        }
        scroll.rest.into_iter().for_each(|rect| self.send(rect));
    }

    fn set(&mut self, screen: Vec<u8>) {
        self.screen = screen;
    }
}

#[test]
fn only_changes_are_reported() {
    let mut world = World::new(300, 40, samples::text(300, 40));
    let all = world.size.rect();
    assert_eq!(world.scan(all), [all], "nothing is known at first");
    world.send(all);
    assert!(world.scan(all).is_empty() && world.scan.is_unchanged());
    // One pixel: its segment in its row. The last segment ends with the window.
    world.screen[(20 * 300 + 70) * 4] ^= 1;
    world.screen[(39 * 300 + 299) * 4] ^= 1;
    assert_eq!(
        world.scan(all),
        [Rect::new(64, 20, 64, 1), Rect::new(256, 39, 44, 1)]
    );
    // Sent once, not again; and what was not sent stays reported.
    world.send(Rect::new(64, 20, 64, 1));
    assert_eq!(world.scan(all), [Rect::new(256, 39, 44, 1)]);
    world.known.forget(Rect::new(130, 5, 1, 2));
    assert_eq!(
        world.scan(all),
        [Rect::new(128, 5, 64, 2), Rect::new(256, 39, 44, 1)]
    );
    world.known.resize(world.size);
    assert_eq!(world.scan(all), [all]);
}

#[test]
fn partial_segments_count_as_changed() {
    let mut world = World::new(300, 60, samples::text(300, 60));
    world.send_changes(world.size.rect());
    let rect = Rect::new(10, 1, 200, 50);
    assert_eq!(
        world.scan(rect),
        [Rect::new(10, 1, 54, 50), Rect::new(192, 1, 18, 50)]
    );
    let aligned = world.known.align(rect);
    assert_eq!(aligned, Rect::new(0, 1, 256, 50));
    assert!(world.scan(aligned).is_empty());
    assert_eq!(
        world.known.align(Rect::new(299, 0, 50, 90)),
        Rect::new(256, 0, 44, 60)
    );
    assert_eq!(world.known.align(Rect::new(300, 0, 50, 90)), Rect::default());
    // A wide screen has wider segments, never more than 64.
    let wide = Fingerprint::new(Size::new(7680, 2), 1);
    assert_eq!(wide.align(Rect::new(1, 0, 1, 1)), Rect::new(0, 0, 128, 1));
    // A scan from before a resize does no harm.
    world.scan(world.size.rect());
    for size in [Size::new(200, 30), Size::new(5000, 10), Size::new(301, 61)] {
        world.known.resize(size);
        world.known.commit(&world.scan, Rect::new(0, 0, 300, 60));
    }
    world.known.resize(world.size);
    // An image that reaches beyond the window is cut.
    let pixels = samples::text(300, 60);
    let mut scan = Scan::new();
    world.known.scan(-20, -1, image(&pixels, 300, 60), &mut scan);
    assert_eq!(scan.area(), Rect::new(0, 0, 280, 59));
    world.known.scan(900, 0, image(&pixels, 300, 60), &mut scan);
    assert!(scan.area().is_empty() && scan.changed().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever is drawn, looked at in whatever pieces, and sent in whatever parts, the client never shows anything the
    /// fingerprint does not know to be old; and an untouched screen sends nothing.
    #[test]
    fn the_client_never_misses_a_change(seed in 1u64.., w in 65u32..400, h in 1u32..40) {
        let mut rng = Rng(seed);
        let mut world = World::new(w, h, samples::text(w as usize, h as usize));
        let rect = |rng: &mut Rng| {
            let (x, y) = (rng.below(u64::from(w)) as u32, rng.below(u64::from(h)) as u32);
            let (rw, rh) = (1 + rng.below(u64::from(w - x)) as u32, 1 + rng.below(u64::from(h - y)) as u32);
            Rect::new(x as i32, y as i32, rw, rh)
        };
        let mut palette = [0u8; 4];
        for _ in 0..12 {
            // Few colours, so that old content comes back now and then.
            let drawn = rect(&mut rng);
            palette[0] = rng.below(3) as u8;
            for y in drawn.y..drawn.y + drawn.h as i32 {
                for x in drawn.x..drawn.x + drawn.w as i32 {
                    let at = (y as usize * w as usize + x as usize) * 4;
                    world.screen[at..at + 4].copy_from_slice(&palette);
                }
            }
            let looked = if rng.below(2) == 0 { world.known.align(drawn) } else { rect(&mut rng) };
            for part in world.scan(looked) {
                match rng.below(4) {
                    0 => {}
                    1 if part.w > 1 => {
                        let left = 1 + rng.below(u64::from(part.w - 1)) as u32;
                        world.send(Rect { w: left, ..part });
                        if rng.below(2) == 0 {
                            world.send(Rect { x: part.x + left as i32, w: part.w - left, ..part });
                        }
                    }
                    _ => world.send(part),
                }
            }
        }
        let all = world.size.rect();
        world.send_changes(all);
        prop_assert!(world.client == world.screen);
        prop_assert!(world.scan(all).is_empty());
    }

    #[test]
    fn any_scroll_ends_with_the_new_picture(
        amount in -90i32..90,
        left in 0usize..5,
        top in 0usize..60,
        blanks in any::<bool>(),
    ) {
        let (w, h) = (448usize, 200usize);
        let page = |skip: i32| {
            let mut page = samples::text(w, h);
            let text = samples::text_from(w, h, (200 + skip) as usize);
            for y in top..h {
                let row = (y * w + left * 50) * 4..(y + 1) * w * 4;
                page[row.clone()].copy_from_slice(&text[row]);
                if blanks && y % 3 == 0 {
                    let row = (y * w + 300) * 4..(y + 1) * w * 4;
                    page[row].fill(30);
                }
            }
            page
        };
        let mut world = World::new(w as u32, h as u32, page(0));
        let all = world.size.rect();
        world.send_changes(all);
        world.set(page(amount));
        let changed = world.scan(all);
        match ScrollFinder::new().find(&world.known, &world.scan) {
            Some(scroll) => world.send_scroll(scroll),
            None => changed.into_iter().for_each(|rect| world.send(rect)),
        }
        prop_assert!(world.client == world.screen);
        prop_assert!(world.scan(all).is_empty());
    }
}

fn area(rects: &[Rect]) -> u64 {
    rects.iter().map(|rect| rect.area()).sum()
}

#[test]
fn scrolled_text_becomes_a_move() {
    for amount in [-160i32, -3, 40] {
        let mut world = World::new(1280, 480, samples::text_from(1280, 480, 400));
        let all = world.size.rect();
        world.send_changes(all);
        world.set(samples::text_from(1280, 480, (400 + amount) as usize));
        world.scan(all);
        let scroll = ScrollFinder::new().find(&world.known, &world.scan).unwrap();
        assert!(
            scroll.moves.iter().all(|step| step.dx == 0 && step.dy == -amount),
            "{amount}: {scroll:?}"
        );
        assert!(scroll.moves.len() <= 3, "{amount}: {scroll:?}");
        let strip = u64::from(amount.unsigned_abs()) * 1280;
        assert!(
            area(&scroll.rest) <= strip,
            "{amount}: {} of {strip}: {scroll:?}",
            area(&scroll.rest)
        );
        world.send_scroll(scroll);
        assert!(world.client == world.screen);
        assert!(world.scan(all).is_empty());
    }
}

#[test]
fn a_pane_between_fixed_parts_and_a_scroll_bar_scrolls() {
    // A head of 100 rows, a side bar of 200 columns and a scroll bar with a thumb that moves the other way.
    let page = |skip: usize| {
        let (mut page, pane) = (
            samples::text_from(1280, 720, 3000),
            samples::text_from(1280, 720, 500 + skip),
        );
        for y in 100..720 {
            let row = (y * 1280 + 200) * 4..(y * 1280 + 1264) * 4;
            page[row.clone()].copy_from_slice(&pane[row]);
            let thumb = (150 + skip / 10..250 + skip / 10).contains(&y);
            page[(y * 1280 + 1264) * 4..(y + 1) * 1280 * 4].fill(if thumb { 200 } else { 90 });
        }
        page
    };
    let mut world = World::new(1280, 720, page(0));
    let all = world.size.rect();
    world.send_changes(all);
    world.set(page(64));
    world.scan(all);
    let scroll = ScrollFinder::new().find(&world.known, &world.scan).unwrap();
    assert!(
        area(&scroll.rest) < 1280 * 720 / 4,
        "{} {scroll:?}",
        area(&scroll.rest)
    );
    world.send_scroll(scroll);
    assert!(world.client == world.screen);
}

#[test]
fn what_changes_beside_a_pane_that_scrolls_does_not_cost_the_pane() {
    // text under a line that changes, and a film beside both
    let page = |skip: usize, film: Vec<u8>| {
        let mut page = film;
        let pane = samples::text_from(640, 360, 500 + skip);
        for (y, (row, text)) in page
            .chunks_exact_mut(1280 * 4)
            .zip(pane.chunks_exact(640 * 4))
            .enumerate()
        {
            row[..640 * 4].copy_from_slice(text);
            if y < 16 {
                row[..320 * 4].fill(skip.to_le_bytes()[0]);
            }
        }
        page
    };
    let mut world = World::new(1280, 360, page(0, samples::noise(1280, 360)));
    let all = world.size.rect();
    world.send_changes(all);
    world.set(page(64, samples::photo(1280, 360)));
    world.scan(all);
    let scroll = ScrollFinder::new().find(&world.known, &world.scan).unwrap();
    let pane = area(&scroll.rest) - 640 * 360;
    assert!(pane < 640 * (64 + 3 * 16), "{pane} {scroll:?}");
    world.send_scroll(scroll);
    assert!(world.client == world.screen);
}

#[test]
fn nothing_scrolls_where_nothing_did() {
    let mut world = World::new(640, 360, samples::text(640, 360));
    let all = world.size.rect();
    let mut finder = ScrollFinder::new();
    world.scan(all);
    assert_eq!(finder.find(&world.known, &world.scan), None, "nothing is known");
    world.send(all);
    world.scan(all);
    assert_eq!(finder.find(&world.known, &world.scan), None, "nothing changed");
    for other in [
        samples::photo(640, 360),
        samples::noise(640, 360),
        samples::flat(640, 360),
    ] {
        world.set(other);
        world.scan(all);
        assert_eq!(finder.find(&world.known, &world.scan), None);
    }
    // The same line over and over: every distance is right, none is needed.
    let line = samples::text(640, 16);
    world.set(line.repeat(23)[..640 * 360 * 4].to_vec());
    world.send_changes(all);
    world.scan(all);
    assert_eq!(finder.find(&world.known, &world.scan), None);
}

#[test]
fn content_is_told_apart() {
    let of = |pixels: Vec<u8>| Content::of(image(&pixels, 320, 200));
    assert_eq!(of(samples::flat(320, 200)), Content::Flat);
    assert_eq!(of(samples::text(320, 200)), Content::Text);
    assert_eq!(of(samples::photo(320, 200)), Content::Picture);
    assert_eq!(of(samples::noise(320, 200)), Content::Picture);
    assert_eq!(Content::of(image(&[0; 4], 1, 1)), Content::Flat);
}

static PAGES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    [
        collage(Rect::new(300, 100, 1, 300)),
        collage(Rect::new(300, 100, 400, 300)),
    ]
});

/// Pastes a photo over text.
fn collage(photo: Rect) -> Vec<u8> {
    let (mut page, picture) = (samples::text(1280, 720), samples::photo(1280, 720));
    for y in photo.y..photo.y + photo.h as i32 {
        let start = (y as usize * 1280 + photo.x as usize) * 4;
        page[start..start + photo.w as usize * 4]
            .copy_from_slice(&picture[start..start + photo.w as usize * 4]);
    }
    page
}

#[test]
fn a_picture_in_text_becomes_a_region() {
    for photo in [
        Rect::new(320, 128, 512, 320),
        Rect::new(0, 0, 640, 720),
        Rect::new(1000, 500, 280, 220),
    ] {
        let page = collage(photo);
        let whole = image(&page, 1280, 720);
        let found = regions(whole, Rect::new(0, 0, 1280, 720));
        assert!(found.len() <= 12);
        let pictures: Vec<Rect> = found
            .iter()
            .filter(|(_, content)| *content == Content::Picture)
            .map(|(rect, _)| *rect)
            .collect();
        let hit: u64 = pictures
            .iter()
            .filter_map(|rect| rect.intersect(photo))
            .map(Rect::area)
            .sum();
        assert!(hit * 10 >= photo.area() * 7, "{photo}: {found:?}");
        assert!(area(&pictures) * 10 <= photo.area() * 14, "{photo}: {found:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn regions_cover_the_rectangle_once(x in 0i32..900, y in 0i32..500, w in 1u32..380, h in 1u32..220, noisy in any::<bool>()) {
        let page = &PAGES[usize::from(noisy)];
        let rect = Rect::new(x, y, w, h);
        let found = regions(image(page, 1280, 720), rect);
        prop_assert_eq!(found.iter().map(|(part, _)| part.area()).sum::<u64>(), rect.area());
        for (index, (part, _)) in found.iter().enumerate() {
            prop_assert!(rect.contains(*part));
            prop_assert!(found[..index].iter().all(|(other, _)| other.intersect(*part).is_none()));
        }
        let outside = Rect { x: x + 1280, ..rect };
        prop_assert!(regions(image(page, 1280, 720), outside).is_empty());
    }
}

fn client(encodings: &[Encoding]) -> Client {
    Client {
        encodings: encodings.to_vec(),
        rgb_formats: formats(&[PixelFormat::Bgrx, PixelFormat::Rgb]),
        lz4: true,
        min_quality: 30,
        max_quality: 95,
        speed: 50,
        lossless_only: false,
        stretches: false,
    }
}

/// An update with one region, a picture like most.
fn budget(size: Size, link: LinkSpeed) -> Budget {
    Budget::new(link, [size], 0, 1000)
}

/// What no quality makes small enough is made smaller, for a client that stretches it and does not want the pixels.
#[test]
fn slow_links_get_smaller_pictures() {
    let size = Size::new(1280, 216);
    let able = Client {
        stretches: true,
        ..client(&[Rgb24, Jpeg])
    };
    let choose = |mbit, client: &Client| {
        let budget = budget(size, LinkSpeed::mbit(mbit));
        choose(Content::Picture, size, budget, client).unwrap()
    };
    for (mbit, shrink) in [(10, 1), (4, 2), (3, 2), (1, 4)] {
        let how = choose(mbit, &able);
        let taken = estimate(&how, Content::Picture, size);
        assert_eq!(how.shrink, shrink, "{mbit}");
        assert!(taken <= LinkSpeed::mbit(mbit).0 / 36, "{mbit} {taken}");
    }
    // as good as fits, not one of some steps below that
    for mbit in 10..15 {
        let taken = estimate(&choose(mbit, &able), Content::Picture, size) * 36;
        let whole = LinkSpeed::mbit(mbit).0;
        assert!((whole * 9 / 10..=whole).contains(&taken), "{mbit} {taken}");
    }
    assert_eq!(choose(1, &client(&[Rgb24, Jpeg])).shrink, 1);
    let fine = Client {
        min_quality: 50,
        ..able
    };
    assert_eq!(choose(1, &fine).shrink, 1);
}

#[test]
fn the_link_decides() {
    use Content::{Flat, Mixed, Picture, Text};
    let python = client(&[Rgb24, Rgb32, Png, Encoding::PngP, Webp, Jpeg]);
    let size = Size::new(1280, 216);
    let pick = |content, link| {
        let how = choose(content, size, budget(size, link), &python).unwrap();
        (how.encoding, how.lz4)
    };
    for content in [Text, Picture, Mixed] {
        assert_eq!(pick(content, LinkSpeed::LOCAL), (Rgb32, false), "{content:?}");
    }
    assert_eq!(pick(Text, LinkSpeed::mbit(1000)), (Rgb32, true));
    assert_eq!(pick(Flat, LinkSpeed::mbit(1000)), (Rgb32, true));
    assert!(matches!(pick(Picture, LinkSpeed::mbit(4000)).0, Rgb24 | Rgb32));
    for mbit in [1, 10, 100, 400] {
        assert_eq!(pick(Picture, LinkSpeed::mbit(mbit)).0, Jpeg, "{mbit}");
    }
    for (content, mbit) in [(Text, 1), (Text, 10), (Mixed, 30)] {
        let encoding = pick(content, LinkSpeed::mbit(mbit)).0;
        assert!(
            matches!(encoding, Png | Encoding::PngP | Webp),
            "{content:?} {mbit}"
        );
    }
    // what is not all text comes with loss rather than a quarter of a second late
    for mbit in [1, 10] {
        assert_eq!(pick(Mixed, LinkSpeed::mbit(mbit)).0, Jpeg, "{mbit}");
    }
    let quality = |mbit| {
        choose(Picture, size, budget(size, LinkSpeed::mbit(mbit)), &python)
            .unwrap()
            .quality
    };
    assert_eq!((quality(1), quality(7), quality(100)), (30, 36, 84));
    // what it is to be thought to carry decides how good pictures are, and only that
    let thought = LinkUse {
        speed: LinkSpeed::mbit(1),
        detail: LinkSpeed::mbit(7),
    };
    let how = choose(Picture, size, Budget::new(thought, [size], 0, 1000), &python).unwrap();
    assert_eq!((how.encoding, how.quality), (Jpeg, 36));
    let how = choose(Mixed, size, Budget::new(thought, [], 0, 1000), &python).unwrap();
    assert_eq!(how.encoding, Jpeg);
    let plain = LinkUse {
        detail: LinkSpeed::LOCAL,
        ..thought
    };
    let how = choose(Mixed, size, Budget::new(plain, [], 0, 1000), &python).unwrap();
    assert_ne!(how.encoding, Jpeg);
    let pieces = |link| Budget::new(link, [size], 0, 1000).pieces(100_000);
    assert_eq!(pieces(thought), pieces(LinkSpeed::mbit(1).into()));
    let fine = Client {
        min_quality: 90,
        ..python.clone()
    };
    assert_eq!(
        choose(Picture, size, budget(size, LinkSpeed::mbit(1)), &fine)
            .unwrap()
            .quality,
        90
    );
    choose(Picture, size, budget(size, LinkSpeed(0)), &python).unwrap();
}

#[test]
fn the_client_is_obeyed() {
    let size = Size::new(640, 480);
    let encodings = [
        Rgb24,
        Rgb32,
        Png,
        Encoding::PngP,
        Encoding::PngL,
        Webp,
        Jpeg,
        Encoding::Scroll,
        Encoding::Void,
    ];
    for subset in 0..1u32 << encodings.len() {
        let listed: Vec<_> = encodings
            .iter()
            .enumerate()
            .filter(|(bit, _)| subset >> bit & 1 == 1)
            .map(|(_, e)| *e)
            .collect();
        for lossless_only in [false, true] {
            let client = Client {
                lossless_only,
                lz4: subset % 3 == 0,
                ..client(&listed)
            };
            for content in [Content::Flat, Content::Text, Content::Picture, Content::Mixed] {
                for link in [LinkSpeed::mbit(1), LinkSpeed::mbit(100), LinkSpeed::LOCAL] {
                    let Some(how) = choose(content, size, budget(size, link), &client) else {
                        assert!(
                            listed
                                .iter()
                                .all(|e| matches!(e, Encoding::PngL | Encoding::Scroll | Encoding::Void))
                        );
                        continue;
                    };
                    assert!(listed.contains(&how.encoding));
                    assert!(!how.lz4 || client.lz4);
                    let only_jpeg = listed
                        .iter()
                        .all(|e| !matches!(e, Rgb24 | Rgb32 | Png | Encoding::PngP | Webp));
                    let may_lose = may_lose(content, size, link) && !lossless_only;
                    assert!(how.encoding != Jpeg || may_lose || only_jpeg);
                }
            }
        }
    }
    let small = Size::new(64, 64);
    // Small regions are never lossy; raw forms the peer has no format for are never chosen.
    let all = client(&encodings);
    assert_ne!(
        choose(Content::Picture, small, budget(small, LinkSpeed::mbit(1)), &all)
            .unwrap()
            .encoding,
        Jpeg
    );
    let short = Client {
        rgb_formats: formats(&[PixelFormat::Rgb]),
        ..client(&[Rgb32, Rgb24])
    };
    assert_eq!(
        choose(Content::Text, size, budget(size, LinkSpeed::LOCAL), &short)
            .unwrap()
            .encoding,
        Rgb24
    );
}
