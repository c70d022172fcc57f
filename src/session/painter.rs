//! [`Painter`]: what one client has of the screen, and the pictures that bring it up to date.

use super::area::{Area, Captured};
use crate::delivery::{Damage, Unconfirmed};
use crate::display::{DisplayError, Screen};
use crate::mmap::AreaError;
use crate::picture::{
    Budget, Client, Coded, Content, Encoder, Fingerprint, How, LinkSpeed, LinkUse, Payload, Scan,
    ScrollFinder, choose, estimate, may_lose, regions,
};
use crate::types::{Encoding, Image, Rect, Size};
use std::time::{Duration, Instant};

/// One draw of an update.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Its number, from 1 on.
    pub sequence: u64,
    /// Where it goes.
    pub rect: Rect,
    /// The pixels.
    pub coded: Coded,
    /// How many more pieces the update has.
    pub flush: u32,
    /// Speed setting it was made with.
    pub speed: u8,
    /// When the first of the damage its update shows was reported; `None` when it shows better what was there before.
    pub damaged: Option<Instant>,
    /// When its pixels were captured.
    pub captured: Instant,
    /// When it was encoded.
    pub encoded: Instant,
    /// Bytes that were copied to get it into shared memory.
    pub copied: u64,
}

/// The pixels one client lacks.
#[derive(Debug)]
pub struct Painter {
    size: Size,
    takes: Client,
    scroll: bool,
    damage: Damage,
    /// When the oldest damage came.
    damaged: Option<Instant>,
    /// To be sent again without loss when the time comes: what was sent with loss, and what was asked for.
    lossy: Vec<(Rect, Instant)>,
    /// To be sent without loss now.
    lossless: Damage,
    /// What the client has, if it has all that is unconfirmed.
    known: Fingerprint,
    /// Number of the last piece.
    sequence: u64,
    unconfirmed: Unconfirmed,
    scan: Scan,
    finder: ScrollFinder,
    /// Thousandths of what is [estimated](estimate) that lossy pictures have taken lately.
    swell: u64,
    /// Where pixels go instead, as long as there is room.
    area: Option<Area>,
}

/// A part of an update whose encoding is not chosen.
enum Part {
    /// Of a captured image.
    Pixels {
        rect: Rect,
        content: Content,
        image: usize,
        /// As good as it can be.
        best: bool,
    },
    Scroll(Plan),
}

/// A piece that is planned but not encoded.
struct Plan {
    rect: Rect,
    what: What,
}

enum What {
    /// Part of a captured image; `best` when nothing better can be sent later.
    Pixels {
        image: usize,
        how: How,
        best: bool,
    },
    Scroll(Coded),
}

impl Painter {
    /// Quiet time after which lossy pixels are sent again without loss.
    const REFRESH_AFTER: Duration = Duration::from_millis(150);
    /// Lossy rectangles remembered one by one.
    const MAX_LOSSY: usize = 16;
    /// When pixels that could not be captured are tried again.
    const RETRY_AFTER: Duration = Duration::from_millis(50);
    /// Rows of a refresh at least, however slow the link.
    const MIN_ROWS: u64 = 16;
    /// Bounds of what is learned of the size of pictures, in thousandths.
    const SWELL: (u64, u64) = (250, 8000);
    /// Pixels of one raw piece, however fast the link: encoding, sending and painting overlap.
    const BAND: u64 = 160 << 10;

    /// A painter for a client that has nothing yet.
    pub fn new(size: Size, takes: Client, scroll: bool) -> Self {
        Self {
            size,
            takes,
            scroll,
            damage: Damage::default(),
            damaged: None,
            lossy: Vec::new(),
            lossless: Damage::default(),
            known: Fingerprint::new(size, seed()),
            sequence: 0,
            unconfirmed: Unconfirmed::default(),
            scan: Scan::new(),
            finder: ScrollFinder::new(),
            swell: 1000,
            area: None,
        }
    }

    /// Hands pixels over in shared memory from now on.
    pub fn set_area(&mut self, area: Area) {
        self.area = Some(area);
    }

    /// Hands them over in the stream again.
    pub fn leave_area(&mut self, screen: &mut dyn Screen) {
        if let Some(area) = self.area.take() {
            area.leave(screen);
        }
    }

    /// The client takes something else from now on.
    pub fn set_takes(&mut self, takes: Client) {
        self.takes = takes;
    }

    /// The connection is lost. Of what was sent over it the client has all up to this piece.
    pub fn lose(&mut self, confirmed: u64) {
        self.unconfirmed.confirm(confirmed);
        for rect in self.unconfirmed.lose() {
            self.known.forget(rect);
        }
        // tables grow again when they are needed
        (self.scan, self.finder) = (Scan::new(), ScrollFinder::new());
    }

    /// The client is back. It has what it had, and anything may have changed: all is looked at, and sent where it
    /// differs.
    pub fn resume(&mut self, size: Size, takes: Client, now: Instant) {
        self.takes = takes;
        if size != self.size {
            self.resize(size, now);
        }
        self.damaged = None;
        self.damage(size.rect(), now);
    }

    /// The client has this piece and all before.
    pub fn confirm(&mut self, sequence: u64) {
        self.unconfirmed.confirm(sequence);
    }

    /// The number of the next piece, which goes there.
    fn number(&mut self, rect: Rect) -> u64 {
        self.sequence += 1;
        self.unconfirmed.add(self.sequence, rect);
        self.sequence
    }

    /// Pixels changed.
    pub fn damage(&mut self, rect: Rect, now: Instant) {
        self.damage.add(rect);
        self.damaged.get_or_insert(now);
    }

    /// What the client has of these pixels is unknown: they are sent again at `at`, without loss.
    pub fn refresh(&mut self, rect: Rect, at: Instant) {
        self.known.forget(rect);
        self.note_lossy(rect, at);
    }

    /// The screen has another size; the client has nothing of it.
    pub fn resize(&mut self, size: Size, now: Instant) {
        self.size = size;
        self.known.resize(size);
        self.lossy.clear();
        self.lossless.clear();
        self.damage.clear();
        self.damage(size.rect(), now);
    }

    /// True when pixels changed that were not sent.
    pub fn is_dirty(&self) -> bool {
        !self.damage.is_empty()
    }

    /// When there is something to send: so long after the first damage, or the next lossless refresh.
    pub fn due(&self, settle: Duration) -> Option<Instant> {
        let damage = self.damaged.filter(|_| self.is_dirty());
        let damage = damage.map(|at| at + settle);
        damage.into_iter().chain(self.deadline()).min()
    }

    /// When the next lossless refresh is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.lossy.iter().map(|(_, at)| *at).min()
    }

    /// Captures and encodes all that is dirty and hands it piece by piece to `give`. False when no pixel differs
    /// from what the client has.
    pub fn paint(
        &mut self,
        screen: &mut dyn Screen,
        encoder: &mut Encoder,
        link: impl Into<LinkUse>,
        clock: impl Fn() -> Instant,
        mut give: impl FnMut(Piece),
    ) -> Result<bool, DisplayError> {
        let (link, now) = (link.into(), clock());
        self.claim_refreshes(link.speed, now);
        let damaged = self.damaged.take();
        if let Some(given) = self.paint_shared(screen, damaged, &clock, &mut give)? {
            return Ok(given);
        }
        let known = &self.known;
        let align = |rect| known.align(rect);
        let lossless = self.lossless.take(self.size, align);
        let mut rects = self.damage.take(self.size, align);
        rects.extend(&lossless);
        let images = soft(screen.capture(&rects))?.unwrap_or_default();
        for rect in rects {
            if !images.iter().any(|(captured, _)| *captured == rect) {
                self.refresh(rect, now + Self::RETRY_AFTER);
            }
        }
        let captured = clock();
        let plans = self.plan(&images, &lossless, link);
        let count = plans.len();
        let (mut expected, mut taken) = (0, 0);
        for (i, plan) in plans.into_iter().enumerate() {
            let coded = match plan.what {
                What::Scroll(coded) => coded,
                What::Pixels { image, how, best } => {
                    let part = images
                        .get(image)
                        .and_then(|(area, image)| image.crop(relative(plan.rect, *area)));
                    let coded = part.and_then(|part| encode(encoder, part, &how));
                    if let Some(Payload::Bytes(file)) = coded.as_ref().map(|coded| &coded.data)
                        && how.encoding == Encoding::Jpeg
                    {
                        expected += estimate(&how, Content::Picture, plan.rect.size());
                        taken += file.len() as u64;
                    }
                    self.note(plan.rect, coded.as_ref(), best, clock());
                    coded.unwrap_or_else(void)
                }
            };
            give(Piece {
                sequence: self.number(plan.rect),
                rect: plan.rect,
                coded,
                flush: u32::try_from(count - i - 1).unwrap_or(0),
                speed: self.takes.speed,
                damaged,
                captured,
                encoded: clock(),
                copied: 0,
            });
        }
        self.learn(expected, taken);
        Ok(count > 0)
    }

    /// What lossy pictures were expected to take, and what they took.
    fn learn(&mut self, expected: u64, taken: u64) {
        if let Some(swell) = (taken * 1000).checked_div(expected) {
            // too large once is one late picture, too small is many that are worse than they need to be
            let kept = if swell > self.swell { 1 } else { 7 };
            let swell = swell.clamp(Self::SWELL.0, Self::SWELL.1);
            self.swell = (kept * self.swell + swell) / (kept + 1);
        }
    }

    /// Puts all that is dirty into the area. `None` when there is no area or no room in it.
    fn paint_shared(
        &mut self,
        screen: &mut dyn Screen,
        damaged: Option<Instant>,
        clock: &impl Fn() -> Instant,
        give: &mut impl FnMut(Piece),
    ) -> Result<Option<bool>, DisplayError> {
        let Some(area) = &mut self.area else {
            return Ok(None);
        };
        let mut all = self.damage.clone();
        all.extend(&self.lossless);
        let rects = all.take(self.size, |rect| rect);
        let pieces = match soft(area.capture(screen, &rects))?.unwrap_or(Ok(Vec::new())) {
            Ok(pieces) => pieces,
            Err(error) => {
                if !matches!(error, AreaError::Full(_)) {
                    tracing::warn!(%error, "no longer using shared memory");
                    self.leave_area(screen);
                }
                return Ok(None);
            }
        };
        self.damage.clear();
        self.lossless.clear();
        let at = clock();
        let retry = at + Self::RETRY_AFTER;
        for rect in rects {
            let inside = pieces.iter().filter(|piece| rect.contains(piece.rect));
            if inside.map(|piece| piece.rect.area()).sum::<u64>() == rect.area() {
                // nothing was compared
                self.known.forget(rect);
                self.lossy.retain(|(old, _)| !rect.contains(*old));
            } else {
                self.refresh(rect, retry);
            }
        }
        let count = pieces.len();
        for (i, Captured { rect, coded, copied }) in pieces.into_iter().enumerate() {
            give(Piece {
                sequence: self.number(rect),
                rect,
                coded,
                flush: u32::try_from(count - i - 1).unwrap_or(0),
                speed: self.takes.speed,
                damaged,
                captured: at,
                encoded: at,
                copied,
            });
        }
        Ok(Some(count > 0))
    }

    /// Turns lossy rectangles whose time has come into damage to be sent without loss, but only as much as leaves
    /// the link free for what happens next; the rest stays due.
    fn claim_refreshes(&mut self, link: LinkSpeed, now: Instant) {
        // pictures take some two bytes a pixel: what the link carries in 50 ms
        let mut budget = link.0 / 40;
        let mut quiet = Vec::new();
        for (rect, at) in std::mem::take(&mut self.lossy) {
            if now < at {
                self.lossy.push((rect, at));
                continue;
            }
            // what is changing is not quiet: on a slow link it would be sent without loss again and again
            let changing = self
                .damage
                .rects()
                .iter()
                .filter_map(|dirty| dirty.intersect(rect));
            self.lossy.extend(changing.map(|part| (part, at)));
            quiet.extend(self.damage.outside(rect).into_iter().map(|part| (part, at)));
        }
        for (rect, at) in quiet {
            let rows = (budget / u64::from(rect.w.max(1))).max(if budget > 0 { Self::MIN_ROWS } else { 0 });
            let rows = u32::try_from(rows).unwrap_or(u32::MAX).min(rect.h);
            let part = Rect { h: rows, ..rect };
            budget = budget.saturating_sub(part.area());
            if rows > 0 {
                self.lossless.add(part);
            }
            if rows < rect.h {
                let rest = Rect {
                    y: rect.y.saturating_add_unsigned(rows),
                    h: rect.h - rows,
                    ..rect
                };
                self.lossy.push((rest, at));
            }
        }
        for rect in self.lossless.rects() {
            self.known.forget(*rect);
        }
    }

    /// Remembers what a piece means for later ones.
    fn note(&mut self, rect: Rect, coded: Option<&Coded>, best: bool, now: Instant) {
        match coded {
            Some(coded) if best || coded.quality.is_none_or(|q| q >= 100) => {
                self.lossy.retain(|(old, _)| !rect.contains(*old));
            }
            Some(_) => self.note_lossy(rect, now + Self::REFRESH_AFTER),
            // whatever the client has there, it is not this
            None => self.known.forget(rect),
        }
    }

    fn plan(&mut self, images: &[(Rect, Image<'_>)], lossless: &[Rect], link: LinkUse) -> Vec<Plan> {
        let parts = self.parts(images, lossless);
        let budget = self.budget(&parts, link);
        let mut plans = Vec::new();
        for part in parts {
            match part {
                Part::Scroll(plan) => plans.push(plan),
                Part::Pixels {
                    rect,
                    content,
                    image,
                    best,
                } => plan_pixels(&mut plans, &self.takes, best, budget, (rect, content), image),
            }
        }
        plans
    }

    /// All pictures of an update together have to fit, beside what has to be sent as it is.
    fn budget(&self, parts: &[Part], link: LinkUse) -> Budget {
        let (mut lossy, mut other) = (Vec::new(), 0);
        let alone = Budget::new(link, [], 0, 1000);
        for part in parts {
            let &Part::Pixels {
                rect, content, best, ..
            } = part
            else {
                continue;
            };
            let size = rect.size();
            if may_lose(content, size, link.detail) && !best {
                lossy.push(size);
            } else {
                let how = choose_how(&self.takes, best, alone, content, size);
                other += how.map_or(0, |how| estimate(&how, content, size));
            }
        }
        Budget::new(link, lossy, other, self.swell)
    }

    /// What differs from what the client has.
    fn parts(&mut self, images: &[(Rect, Image<'_>)], lossless: &[Rect]) -> Vec<Part> {
        let mut parts = Vec::new();
        for (index, (area, image)) in images.iter().enumerate() {
            let best = self.takes.lossless_only || lossless.contains(area);
            self.known.scan(area.x, area.y, *image, &mut self.scan);
            if self.scan.is_unchanged() {
                continue;
            }
            let scroll = self
                .scroll
                .then(|| self.finder.find(&self.known, &self.scan))
                .flatten();
            let changed = match scroll {
                Some(scroll) => {
                    let moved = scroll.moves.iter().fold(Rect::default(), |all, m| {
                        all.union(Rect {
                            x: m.rect.x + m.dx,
                            y: m.rect.y + m.dy,
                            ..m.rect
                        })
                    });
                    // what was lossy where the moved pixels came from is lossy where they are now
                    if self.lossy.iter().any(|(rect, _)| rect.intersect(*area).is_some()) {
                        let at = self.deadline();
                        self.lossy.extend(at.map(|at| (moved, at)));
                    }
                    parts.push(Part::Scroll(Plan {
                        rect: moved,
                        what: What::Scroll(scroll_draw(scroll.moves)),
                    }));
                    scroll.rest
                }
                None => self.scan.changed(),
            };
            self.known.commit(&self.scan, *area);
            for rect in changed {
                for (part, content) in regions(*image, relative(rect, *area)) {
                    let rect = Rect {
                        x: part.x + area.x,
                        y: part.y + area.y,
                        ..part
                    };
                    parts.push(Part::Pixels {
                        rect,
                        content,
                        image: index,
                        best,
                    });
                }
            }
        }
        parts
    }

    fn note_lossy(&mut self, rect: Rect, at: Instant) {
        let mut rect = rect;
        self.lossy.retain(|(old, _)| {
            let joins = old.intersect(rect).is_some();
            if joins {
                rect = rect.union(*old);
            }
            !joins
        });
        if self.lossy.len() >= Self::MAX_LOSSY {
            rect = self.lossy.drain(..).fold(rect, |all, (old, _)| all.union(old));
        }
        self.lossy.push((rect, at));
    }
}

/// The encoding of a part, without loss where it is to be the `best`.
fn choose_how(takes: &Client, best: bool, budget: Budget, content: Content, size: Size) -> Option<How> {
    if !best || takes.lossless_only {
        return choose(content, size, budget, takes);
    }
    let lossless = Client {
        lossless_only: true,
        ..takes.clone()
    };
    choose(content, size, budget, &lossless)
}

fn plan_pixels(
    plans: &mut Vec<Plan>,
    takes: &Client,
    best: bool,
    budget: Budget,
    (rect, content): (Rect, Content),
    image: usize,
) {
    let Some(how) = choose_how(takes, best, budget, content, rect.size()) else {
        return;
    };
    let raw = matches!(how.encoding, Encoding::Rgb24 | Encoding::Rgb32);
    let large = if raw {
        rect.area().div_ceil(Painter::BAND)
    } else {
        1
    };
    let bands = budget.pieces(estimate(&how, content, rect.size())).max(large);
    let height = u32::try_from(u64::from(rect.h).div_ceil(bands.max(1))).unwrap_or(rect.h);
    // whole blocks of a file, and of its small copy
    let block = if how.encoding == Encoding::Jpeg {
        16 * how.shrink.max(1)
    } else {
        1
    };
    let height = height.div_ceil(block).max(1) * block;
    let mut y = 0;
    while y < rect.h {
        let band = Rect {
            y: rect.y.saturating_add_unsigned(y),
            h: height.min(rect.h - y),
            ..rect
        };
        plans.push(Plan {
            rect: band,
            what: What::Pixels { image, how, best },
        });
        y += height;
    }
}

/// What a display that is still there refuses is tried again later.
fn soft<T>(captured: Result<T, DisplayError>) -> Result<Option<T>, DisplayError> {
    match captured {
        Ok(captured) => Ok(Some(captured)),
        Err(error @ DisplayError::Lost { .. }) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "the screen could not be captured");
            Ok(None)
        }
    }
}

fn encode(encoder: &mut Encoder, image: Image<'_>, how: &How) -> Option<Coded> {
    let coded = encoder.encode(image, how);
    coded
        .inspect_err(
            |error| tracing::error!(%error, encoding = %how.encoding, "a region could not be encoded"),
        )
        .ok()
}

/// Keeps an update's count of pieces right when one of them could not be made.
const fn void() -> Coded {
    Coded {
        encoding: Encoding::Void,
        data: Payload::Bytes(bytes::Bytes::new()),
        stride: 0,
        format: None,
        compression: None,
        quality: None,
        scaled_size: None,
        has_alpha: false,
    }
}

fn scroll_draw(moves: Vec<crate::picture::Move>) -> Coded {
    Coded {
        encoding: Encoding::Scroll,
        data: Payload::Scroll(moves),
        ..void()
    }
}

/// `rect` as seen from the corner of `area`.
fn relative(rect: Rect, area: Rect) -> Rect {
    Rect {
        x: rect.x - area.x,
        y: rect.y - area.y,
        ..rect
    }
}

/// Keys the hashes, so that nobody can draw pictures that collide.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => 0x9e37_79b9_7f4a_7c15,
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
