//! What kind of content a region holds, from a sample of its rows.
//!
//! Text and drawn interfaces repeat pixels along a row, photographs and video hardly ever do; that one number separates
//! them well. Rows are sampled because neighbours are alike: the answer must cost far less than coding the region.

use crate::types::{Image, Rect};

/// Width and height of the tiles that are judged one by one. A multiple of the fingerprint's segments on ordinary
/// screens, so that regions and segments share their edges.
const TILE: u32 = 64;
/// Every how many rows a tile is looked at: 8 rows of 64 pixels a tile.
const ROW_STEP: usize = 8;
/// Regions returned at most.
const MAX_REGIONS: usize = 12;
/// A tile is flat when at least this share of its pixels equals the one before it (in 256ths).
const FLAT_SHARE: u32 = 250;
/// A tile is a picture when fewer pixels than this equal the one before. Text on a flat ground has 60 % to 95 %
/// repeats, photographs 2 % to 20 %, dithered or JPEG-decoded ones up to 35 %.
const PICTURE_SHARE: u32 = 100;
/// Between the two shares, a tile whose steps are mostly soft is a picture all the same (smooth video, blurred ground):
/// share of steps of at most [`SOFT_STEP`] among all steps.
const SOFT_SHARE: u32 = 200;
/// Largest change of each colour in a soft step.
const SOFT_STEP: u8 = 8;
/// ... but only when repeats are below this, or a drawn gradient would count.
const SOFT_MAX_REPEATS: u32 = 150;
/// A region with fewer tiles of the wrong kind is not divided further, and none has fewer: what is smaller is not worth the
/// loss, nor a packet.
const MIN_TILES: u32 = 4;
/// A cut must sort out about as many tiles (in 256ths of a tile).
const MIN_GAIN: u64 = 2 * 256;

/// What a region holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// One colour, or long runs of few.
    Flat,
    /// Text, lines, drawn interfaces: sharp edges that must stay sharp.
    Text,
    /// Photographs, video, noise: loss does not show.
    Picture,
    /// Text and pictures in one.
    Mixed,
}

impl Content {
    /// What `image` holds as a whole.
    pub fn of(image: Image<'_>) -> Self {
        let mut counts = Counts::default();
        let step = if image.size().h as usize > ROW_STEP {
            ROW_STEP
        } else {
            1
        };
        image
            .rows()
            .skip(step / 2)
            .step_by(step)
            .for_each(|row| counts.add(row, image.format().bytes()));
        counts.content()
    }
}

/// Divides `rect` of `image` into at most 12 rectangles that each hold one kind of content, as far as that is worth while;
/// they cover `rect` exactly. A rectangle outside the image gives nothing.
pub fn regions(image: Image<'_>, rect: Rect) -> Vec<(Rect, Content)> {
    let Some(part) = image.crop(rect) else {
        return Vec::new();
    };
    let grid = Grid::new(part);
    let whole = Tiles {
        left: 0,
        top: 0,
        right: grid.columns,
        bottom: grid.rows,
    };
    let mut found = vec![whole];
    let mut done = 0;
    // Each round divides the first rectangle that should be, or settles it.
    while let Some(&tiles) = found.get(done) {
        match grid.divide(tiles).filter(|_| found.len() < MAX_REGIONS) {
            Some((one, other)) => {
                if let Some(slot) = found.get_mut(done) {
                    *slot = one;
                }
                found.push(other);
            }
            None => done += 1,
        }
    }
    found
        .into_iter()
        .map(|tiles| (tiles.pixels(rect), grid.content(tiles)))
        .collect()
}

/// A rectangle of tiles, ends excluded.
#[derive(Clone, Copy, Debug)]
struct Tiles {
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
}

impl Tiles {
    const fn area(self) -> u32 {
        (self.right - self.left) * (self.bottom - self.top)
    }

    /// The pixels of the tiles, the last of which may be cut off by the edge of `rect`.
    fn pixels(self, rect: Rect) -> Rect {
        let (x, y) = (self.left * TILE, self.top * TILE);
        let right = (self.right * TILE).min(rect.w);
        let bottom = (self.bottom * TILE).min(rect.h);
        Rect {
            x: rect.x.saturating_add_unsigned(x),
            y: rect.y.saturating_add_unsigned(y),
            w: right - x,
            h: bottom - y,
        }
    }
}

/// How many tiles of each kind there are above and left of each corner: any rectangle is then four look-ups.
struct Grid {
    columns: u32,
    rows: u32,
    pictures: Vec<u32>,
    flats: Vec<u32>,
}

impl Grid {
    fn new(image: Image<'_>) -> Self {
        let columns = image.size().w.div_ceil(TILE);
        let rows = image.size().h.div_ceil(TILE);
        let corners = (columns as usize + 1) * (rows as usize + 1);
        let mut grid = Self {
            columns,
            rows,
            pictures: Vec::with_capacity(corners),
            flats: Vec::with_capacity(corners),
        };
        let mut above = vec![(0, 0); columns as usize + 1];
        let mut counts = vec![Counts::default(); columns as usize];
        grid.push(&above);
        for row in 0..rows {
            counts.fill(Counts::default());
            for y in (row * TILE..image.size().h.min((row + 1) * TILE))
                .skip(ROW_STEP / 2)
                .step_by(ROW_STEP)
            {
                let pixel = image.format().bytes();
                for (counts, pixels) in counts.iter_mut().zip(image.row(y).chunks(TILE as usize * pixel)) {
                    counts.add(pixels, pixel);
                }
            }
            let (mut pictures, mut flats) = (0, 0);
            for (counts, (above_pictures, above_flats)) in counts.iter().zip(above.iter_mut().skip(1)) {
                let content = counts.content();
                pictures += u32::from(content == Content::Picture);
                flats += u32::from(content == Content::Flat);
                *above_pictures += pictures;
                *above_flats += flats;
            }
            grid.push(&above);
        }
        grid
    }

    fn push(&mut self, row: &[(u32, u32)]) {
        self.pictures.extend(row.iter().map(|(pictures, _)| pictures));
        self.flats.extend(row.iter().map(|(_, flats)| flats));
    }

    fn count(&self, sums: &[u32], tiles: Tiles) -> u32 {
        let at = |x: u32, y: u32| {
            let index = y as usize * (self.columns as usize + 1) + x as usize;
            sums.get(index).copied().unwrap_or(0)
        };
        at(tiles.right, tiles.bottom) + at(tiles.left, tiles.top)
            - at(tiles.left, tiles.bottom)
            - at(tiles.right, tiles.top)
    }

    fn content(&self, tiles: Tiles) -> Content {
        let (all, pictures) = (tiles.area(), self.count(&self.pictures, tiles));
        if pictures * 4 >= all * 3 {
            Content::Picture
        } else if pictures * 4 > all {
            Content::Mixed
        } else if self.count(&self.flats, tiles) == all {
            Content::Flat
        } else {
            Content::Text
        }
    }

    /// Tiles of the smaller kind: what is coded the wrong way if `tiles` stays one region.
    fn wrong(&self, tiles: Tiles) -> u32 {
        let pictures = self.count(&self.pictures, tiles);
        pictures.min(tiles.area() - pictures)
    }

    /// The cut that sorts the tiles best; `None` when `tiles` is of one kind, too small, or no cut helps.
    fn divide(&self, tiles: Tiles) -> Option<(Tiles, Tiles)> {
        if self.wrong(tiles) < MIN_TILES {
            return None;
        }
        let down =
            (tiles.left + 1..tiles.right).map(|x| (Tiles { right: x, ..tiles }, Tiles { left: x, ..tiles }));
        let across =
            (tiles.top + 1..tiles.bottom).map(|y| (Tiles { bottom: y, ..tiles }, Tiles { top: y, ..tiles }));
        let (left, cut) = down
            .chain(across)
            .filter(|(one, other)| one.area().min(other.area()) >= MIN_TILES)
            .map(|cut| (self.impurity(cut.0) + self.impurity(cut.1), cut))
            .min_by_key(|(left, _)| *left)?;
        (left + MIN_GAIN <= self.impurity(tiles)).then_some(cut)
    }

    /// How mixed `tiles` is, in a measure that also falls when only one half of a cut becomes pure (the Gini index times
    /// the area, in 256ths).
    fn impurity(&self, tiles: Tiles) -> u64 {
        let pictures = u64::from(self.count(&self.pictures, tiles));
        let all = u64::from(tiles.area());
        (256 * pictures * (all - pictures)).checked_div(all).unwrap_or(0)
    }
}

/// Pairs of neighbouring pixels of a sample.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    all: u32,
    /// Pairs of equal pixels.
    equal: u32,
    /// Pairs that differ by at most [`SOFT_STEP`] in every colour, equal ones included.
    soft: u32,
}

impl Counts {
    fn add(&mut self, row: &[u8], pixel: usize) {
        let (equal, soft) = match pixel {
            4 => pairs(row.as_chunks::<4>().0, |&[a, b, c, _]| [a, b, c]),
            _ => pairs(row.as_chunks::<3>().0, |&pixel| pixel),
        };
        self.all += u32::try_from((row.len() / pixel).saturating_sub(1)).unwrap_or(0);
        self.equal += equal;
        self.soft += soft;
    }

    fn content(&self) -> Content {
        let repeats = share(self.equal, self.all);
        let softness = share(self.soft - self.equal, self.all - self.equal);
        if self.all == 0 || repeats >= FLAT_SHARE {
            Content::Flat
        } else if repeats < PICTURE_SHARE || (repeats < SOFT_MAX_REPEATS && softness >= SOFT_SHARE) {
            Content::Picture
        } else {
            Content::Text
        }
    }
}

/// How many neighbours are equal, and how many differ softly or not at all.
fn pairs<P>(row: &[P], colours: impl Fn(&P) -> [u8; 3]) -> (u32, u32) {
    let (mut equal, mut soft) = (0, 0);
    for (one, other) in row.iter().zip(row.iter().skip(1)) {
        let ([a0, a1, a2], [b0, b1, b2]) = (colours(one), colours(other));
        let step = a0.abs_diff(b0).max(a1.abs_diff(b1)).max(a2.abs_diff(b2));
        equal += u32::from(step == 0);
        soft += u32::from(step <= SOFT_STEP);
    }
    (equal, soft)
}

/// `part` of `all` in 256ths.
fn share(part: u32, all: u32) -> u32 {
    (part * 256).checked_div(all).unwrap_or(0)
}
