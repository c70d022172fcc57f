//! [`Painter`]: what one client has of the screen, and the pictures that bring it up to date.

use crate::delivery::Damage;
use crate::display::{DisplayError, Screen};
use crate::picture::{
    Client, Coded, Content, Encoder, Fingerprint, How, LinkSpeed, Payload, Scan, ScrollFinder, choose,
    regions,
};
use crate::types::{Encoding, Image, Rect, Size};
use std::time::{Duration, Instant};

/// One draw of an update.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Where it goes.
    pub rect: Rect,
    /// The pixels.
    pub coded: Coded,
    /// How many more pieces the update has.
    pub flush: u32,
    /// Speed setting it was made with.
    pub speed: u8,
    /// When the first of the damage it shows was reported.
    pub damaged: Instant,
    /// When its pixels were captured.
    pub captured: Instant,
    /// When it was encoded.
    pub encoded: Instant,
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
    /// Sent with loss: to be sent again without when the time comes.
    lossy: Vec<(Rect, Instant)>,
    /// To be sent without loss now.
    lossless: Damage,
    known: Fingerprint,
    scan: Scan,
    finder: ScrollFinder,
}

/// A piece that is planned but not encoded.
struct Plan {
    rect: Rect,
    what: What,
}

enum What {
    Pixels { image: usize, how: How },
    Scroll(Coded),
}

impl Painter {
    /// Quiet time after which lossy pixels are sent again without loss.
    const REFRESH_AFTER: Duration = Duration::from_millis(150);
    /// Lossy rectangles remembered one by one.
    const MAX_LOSSY: usize = 16;
    /// Pixels of one raw piece: large ones are cut into bands so that encoding, sending and painting overlap.
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
            scan: Scan::new(),
            finder: ScrollFinder::new(),
        }
    }

    /// The client takes something else from now on.
    pub fn set_takes(&mut self, takes: Client) {
        self.takes = takes;
    }

    /// Pixels changed.
    pub fn damage(&mut self, rect: Rect, now: Instant) {
        self.damage.add(rect);
        self.damaged.get_or_insert(now);
    }

    /// These pixels must be sent again, without loss.
    pub fn refresh(&mut self, rect: Rect, now: Instant) {
        self.lossless.add(rect);
        self.damage(rect, now);
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

    /// True when there is something to send now.
    pub fn is_due(&self, now: Instant) -> bool {
        !self.damage.is_empty() || self.deadline().is_some_and(|at| now >= at)
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
        link: LinkSpeed,
        clock: fn() -> Instant,
        mut give: impl FnMut(Piece),
    ) -> Result<bool, DisplayError> {
        let now = clock();
        self.claim_refreshes(now);
        let damaged = self.damaged.take().unwrap_or(now);
        let known = &self.known;
        let rects = self.damage.take(self.size, |rect| known.align(rect));
        let images = screen.capture(&rects)?;
        let captured = clock();
        let plans = self.plan(&images, link);
        let count = plans.len();
        for (i, plan) in plans.into_iter().enumerate() {
            let coded = match plan.what {
                What::Scroll(coded) => coded,
                What::Pixels { image, how } => {
                    let part = images
                        .get(image)
                        .and_then(|(area, image)| image.crop(relative(plan.rect, *area)));
                    encode(encoder, part, &how)
                }
            };
            if coded.quality.is_some_and(|q| q < 100) {
                self.note_lossy(plan.rect, clock());
            }
            give(Piece {
                rect: plan.rect,
                coded,
                flush: u32::try_from(count - i - 1).unwrap_or(0),
                speed: self.takes.speed,
                damaged,
                captured,
                encoded: clock(),
            });
        }
        self.lossless.clear();
        Ok(count > 0)
    }

    /// Turns lossy rectangles whose time has come into damage to be sent without loss.
    fn claim_refreshes(&mut self, now: Instant) {
        let (due, later) = self.lossy.drain(..).partition::<Vec<_>, _>(|(_, at)| now >= *at);
        self.lossy = later;
        for (rect, _) in due {
            self.lossless.add(rect);
            self.damage.add(rect);
        }
        for rect in self.lossless.rects() {
            self.known.forget(*rect);
        }
    }

    fn plan(&mut self, images: &[(Rect, Image<'_>)], link: LinkSpeed) -> Vec<Plan> {
        let mut plans = Vec::new();
        for (index, (area, image)) in images.iter().enumerate() {
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
                    plans.push(Plan {
                        rect: moved,
                        what: What::Scroll(scroll_draw(scroll.moves)),
                    });
                    scroll.rest
                }
                None => self.scan.changed(),
            };
            self.known.commit(&self.scan, *area);
            for rect in changed {
                for (part, content) in regions(*image, relative(rect, *area)) {
                    let part = Rect {
                        x: part.x + area.x,
                        y: part.y + area.y,
                        ..part
                    };
                    plan_pixels(
                        &mut plans,
                        &self.takes,
                        &self.lossless,
                        link,
                        (part, content),
                        index,
                    );
                }
            }
        }
        plans
    }

    fn note_lossy(&mut self, rect: Rect, now: Instant) {
        let at = now + Self::REFRESH_AFTER;
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

fn plan_pixels(
    plans: &mut Vec<Plan>,
    takes: &Client,
    lossless: &Damage,
    link: LinkSpeed,
    (rect, content): (Rect, Content),
    image: usize,
) {
    let must = lossless.touches(rect) && !takes.lossless_only;
    let how = if must {
        choose(
            content,
            rect.size(),
            link,
            &Client {
                lossless_only: true,
                ..takes.clone()
            },
        )
    } else {
        choose(content, rect.size(), link, takes)
    };
    let Some(how) = how else { return };
    let raw = matches!(how.encoding, Encoding::Rgb24 | Encoding::Rgb32);
    let bands = if raw {
        rect.area().div_ceil(Painter::BAND)
    } else {
        1
    };
    let height = u32::try_from(u64::from(rect.h).div_ceil(bands.max(1)))
        .unwrap_or(rect.h)
        .max(1);
    let mut y = 0;
    while y < rect.h {
        let band = Rect {
            y: rect.y.saturating_add_unsigned(y),
            h: height.min(rect.h - y),
            ..rect
        };
        plans.push(Plan {
            rect: band,
            what: What::Pixels { image, how },
        });
        y += height;
    }
}

fn encode(encoder: &mut Encoder, image: Option<Image<'_>>, how: &How) -> Coded {
    let coded = image.map(|image| encoder.encode(image, how));
    match coded {
        Some(Ok(coded)) => coded,
        Some(Err(error)) => {
            tracing::error!(%error, encoding = %how.encoding, "a region could not be encoded");
            void()
        }
        None => void(),
    }
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
