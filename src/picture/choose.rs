//! Which encoding for which region: the one whose pixels are on the client's screen first.
//!
//! For each encoding the client listed, the time for one pixel is estimated as
//!
//! ```text
//! work of both ends (weighted by speed) + bytes / rate of the link
//! ```
//!
//! from the table [`Cost::of`], which holds what `benches/picture.rs` measures; the least wins, and the client's order
//! decides ties. An encoding that loses something must be [`LOSS_PENALTY`] times better than that, and is only
//! considered where loss does not show: pictures, not small, not when only lossless was asked for. Where text and
//! pictures cannot be told apart loss shows, but for less time than the link would need for all of it ([`may_lose`]).
//!
//! What comes out for a client that takes everything, at speed 50:
//!
//! | content | slow | from | fast | local |
//! |---|---|---|---|---|
//! | flat | PNG | 30 Mbit/s | rgb + LZ4 | rgb + LZ4 |
//! | text | palette PNG | 230 Mbit/s | rgb + LZ4 | plain rgb |
//! | mixed | PNG, WebP | 540 Mbit/s | rgb + LZ4 | plain rgb |
//! | picture | JPEG, of the quality and size the link can carry | 800 Mbit/s | plain rgb | plain rgb |

use super::classify::Content;
use super::encode::How;
use super::format::RgbFormats;
use crate::types::{Encoding, Size};

/// Regions up to this many pixels (64 by 64) are never lossy: nothing to gain, and small things are looked at closely.
const SMALL: u64 = 4096;
/// Text and pictures in one may lose something at first when the link would need longer for them as they are, in
/// milliseconds: no later they are sent again without loss.
const LOSSLESS_WITHIN: u64 = 150;
/// How many times cheaper a lossy picture must be than a perfect one (in tenths).
const LOSS_PENALTY: u64 = 25;
/// JPEG quality is lowered until the pictures of an update take at most this share of a second on the link: a little less
/// than until the next picture of a film of 30 a second. If it were as long or longer, each of them would have to wait
/// for the one before, up to a whole picture's time.
const UPDATES_PER_SECOND: u64 = 36;
/// Above this quality JPEG keeps full colour, at two to three times the bytes and the work. That is only for clients
/// that insist ([`Client::min_quality`]): what stays on the screen is sent again without loss anyway.
const BEST_QUALITY: u8 = 84;
/// A piece of an update takes the link 8 ms, but has at least so many bytes: a draw packet has its own price.
const PIECES_PER_SECOND: u64 = 125;
const LEAST_PIECE: u64 = 8 << 10;
/// What JPEG makes of photographs, the best quality first.
const QUALITIES: [(u8, Cost); 6] = [
    (95, Cost::new(550, 25_000)),
    (BEST_QUALITY, Cost::new(220, 10_000)),
    (75, Cost::new(170, 9000)),
    (65, Cost::new(135, 8500)),
    (50, Cost::new(105, 8000)),
    (30, Cost::new(75, 7500)),
];
/// The worst of them.
const LEAST: (u8, Cost) = {
    let [.., least] = QUALITIES;
    least
};
/// How many times smaller each side of a picture may be made, when even that is too much for the link.
const SHRINKS: [u32; 3] = [1, 2, 4];
/// Bytes of a JPEG file without pixels: the tables.
const HEADER: u64 = 600;

/// The rate of a link as the congestion control sees it, in bytes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkSpeed(pub u64);

impl LinkSpeed {
    /// A unix socket or loopback: 5 GB/s.
    pub const LOCAL: Self = Self(5_000_000_000);

    /// A link of `n` Mbit/s.
    pub const fn mbit(n: u64) -> Self {
        Self(n * 125_000)
    }
}

/// A link, and what pictures are to fit through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkUse {
    /// What it carries.
    pub speed: LinkSpeed,
    /// What it is to be thought to carry where pictures would otherwise be made worse.
    pub detail: LinkSpeed,
}

impl From<LinkSpeed> for LinkUse {
    fn from(speed: LinkSpeed) -> Self {
        let detail = speed;
        Self { speed, detail }
    }
}

/// What an update of the screen may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    link: LinkSpeed,
    detail: LinkSpeed,
    /// Bytes that 1000 pixels of pictures may take.
    density: u64,
}

impl Budget {
    /// For an update with pictures of these sizes, which take `swell` thousandths of the bytes of photographs, beside
    /// `other` bytes that cannot be made fewer. Half of what the link carries is the pictures' in any case.
    pub fn new(
        link: impl Into<LinkUse>,
        pictures: impl IntoIterator<Item = Size>,
        other: u64,
        swell: u64,
    ) -> Self {
        let LinkUse { speed, detail } = link.into();
        let (mut pixels, mut headers) = (0_u64, 0);
        for size in pictures {
            pixels = pixels.saturating_add(size.area());
            headers += u128::from(HEADER);
        }
        let bytes = detail.0 / UPDATES_PER_SECOND;
        let bytes = bytes.saturating_sub(other).max(bytes / 2);
        let bytes = u128::from(bytes) * 1000 / u128::from(swell.max(1));
        let density = bytes.saturating_sub(headers) * 1000 / u128::from(pixels.max(1));
        let density = u64::try_from(density).unwrap_or(u64::MAX);
        let link = speed;
        Self {
            link,
            detail,
            density,
        }
    }

    /// In how many pieces so many bytes should be sent: what is small and comes meanwhile waits for one of them at most.
    pub fn pieces(self, bytes: u64) -> u64 {
        bytes.div_ceil((self.link.0 / PIECES_PER_SECOND).max(LEAST_PIECE))
    }

    /// The same when pictures are made that many times smaller. What is left of their pixels is half again as hard.
    const fn shrunken(self, shrink: u32) -> u64 {
        match shrink {
            0 | 1 => self.density,
            _ => self.density.saturating_mul(shrink as u64 * shrink as u64) / 3 * 2,
        }
    }
}

/// What a client takes and asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The encodings it listed, in its order.
    pub encodings: Vec<Encoding>,
    /// The raw formats it listed.
    pub rgb_formats: RgbFormats,
    /// Whether it unpacks LZ4.
    pub lz4: bool,
    /// The least JPEG quality it wants, 1 to 100.
    pub min_quality: u8,
    /// The best JPEG quality worth sending, 1 to 100.
    pub max_quality: u8,
    /// 0 to 100: how much the work of coding counts against bytes; 50 is as measured.
    pub speed: u8,
    /// Nothing may be lost.
    pub lossless_only: bool,
    /// Whether it stretches pictures that were made smaller.
    pub stretches: bool,
}

/// True when a lossy encoding may be used for such a region, on a link that is [thought](LinkUse::detail) to carry so much.
pub fn may_lose(content: Content, size: Size, link: LinkSpeed) -> bool {
    let lossless = Cost::of(Encoding::Png, false, content).bytes;
    match content {
        Content::Flat | Content::Text => false,
        Content::Mixed => size.area().saturating_mul(lossless) > link.0.saturating_mul(LOSSLESS_WITHIN),
        Content::Picture => true,
    }
}

/// The encoding for a region of `content` and `size`; `None` when the client listed none we make. When only a lossy one
/// is there, it is used at the best quality even where loss should not be.
pub fn choose(content: Content, size: Size, budget: Budget, client: &Client) -> Option<How> {
    let link = budget.link;
    let may_lose = may_lose(content, size, budget.detail) && !client.lossless_only && size.area() > SMALL;
    let listed = || {
        client
            .encodings
            .iter()
            .copied()
            .filter(|&encoding| is_possible(encoding, client))
    };
    let candidates = listed().flat_map(|encoding| {
        let lz4 = is_raw(encoding) && client.lz4;
        [false, true]
            .into_iter()
            .filter(move |&packed| !packed || lz4)
            .map(move |packed| (encoding, packed))
    });
    let (quality, shrink) = if may_lose {
        jpeg_detail(budget, client)
    } else {
        (client.max_quality, 1)
    };
    let (encoding, lz4) = candidates
        .filter(|&(encoding, _)| may_lose || encoding != Encoding::Jpeg)
        .min_by_key(|&(encoding, lz4)| match encoding {
            Encoding::Jpeg => time(Cost::jpeg(quality), link, client).saturating_mul(LOSS_PENALTY),
            _ => time(Cost::of(encoding, lz4, content), link, client).saturating_mul(10),
        })
        .or_else(|| listed().next().map(|encoding| (encoding, false)))?;
    Some(How {
        encoding,
        quality,
        shrink: if encoding == Encoding::Jpeg { shrink } else { 1 },
        speed: client.speed,
        rgb_formats: client.rgb_formats,
        lz4,
    })
}

/// Bytes that a picture of `content` and `size` is expected to take.
pub fn estimate(how: &How, content: Content, size: Size) -> u64 {
    if how.encoding != Encoding::Jpeg {
        return size
            .area()
            .saturating_mul(Cost::of(how.encoding, how.lz4, content).bytes)
            / 1000;
    }
    let pixels = size.area().saturating_mul(Cost::jpeg(how.quality).bytes) / 1000;
    let shrink = u64::from(how.shrink);
    let bytes = match shrink {
        0 | 1 => pixels,
        _ => pixels.saturating_mul(3) / 2 / (shrink * shrink),
    };
    HEADER + bytes
}

/// True when we make `encoding` and the client's formats allow it.
fn is_possible(encoding: Encoding, client: &Client) -> bool {
    let formats = &client.rgb_formats;
    match encoding {
        Encoding::Rgb24 => {
            formats.iter().next().is_none() || formats.iter().any(|format| format.bytes() == 3)
        }
        Encoding::Rgb32 => formats.iter().any(|format| format.bytes() == 4),
        Encoding::Png | Encoding::PngP | Encoding::Jpeg | Encoding::Webp => true,
        // Grey only: for clients that ask for it.
        Encoding::PngL | Encoding::Scroll | Encoding::Mmap | Encoding::Void => false,
    }
}

const fn is_raw(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::Rgb24 | Encoding::Rgb32)
}

/// Picoseconds a pixel until it is on the screen.
fn time(cost: Cost, link: LinkSpeed, client: &Client) -> u64 {
    let work = cost.work * u64::from(client.speed.clamp(10, 100)) / 50;
    // Bytes for 1000 pixels times picoseconds for a byte, over 1000.
    let wire = (cost.bytes * 1_000_000_000)
        .checked_div(link.0)
        .unwrap_or(u64::MAX / 100);
    work + wire
}

/// The best quality the link can carry often enough, in the range the client wants, and how many times smaller the
/// picture has to be for it. Who wants more than the worst quality wants all the pixels, too.
fn jpeg_detail(budget: Budget, client: &Client) -> (u8, u32) {
    let may_shrink = client.stretches && client.min_quality <= LEAST.0;
    let fits = |shrink: u32| LEAST.1.bytes <= budget.shrunken(shrink);
    let [whole, .., smallest] = SHRINKS;
    let shrink = match may_shrink {
        true => SHRINKS
            .into_iter()
            .find(|&shrink| fits(shrink))
            .unwrap_or(smallest),
        false => whole,
    };
    let quality = affordable(budget.shrunken(shrink))
        .min(BEST_QUALITY)
        .min(client.max_quality)
        .max(client.min_quality)
        .clamp(1, 100);
    (quality, shrink)
}

/// The best quality of which 1000 pixels take no more than so many bytes; the worst when none does.
fn affordable(bytes: u64) -> u8 {
    let steps = QUALITIES.iter().zip(QUALITIES.iter().skip(1));
    for (&(better, more), &(quality, cost)) in steps {
        if bytes >= more.bytes {
            return better;
        }
        if bytes >= cost.bytes {
            let share = (bytes - cost.bytes) * u64::from(better - quality) / (more.bytes - cost.bytes);
            return quality.saturating_add(u8::try_from(share).unwrap_or(0));
        }
    }
    LEAST.0
}

/// What coding 1000 pixels costs.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Bytes on the wire for 1000 pixels.
    bytes: u64,
    /// Time both ends spend on one pixel, in picoseconds.
    work: u64,
}

impl Cost {
    const fn new(bytes: u64, work: u64) -> Self {
        Self { bytes, work }
    }

    /// JPEG of a picture at `quality`. Colour is kept in full or not: there is nothing between the best two.
    fn jpeg(quality: u8) -> Self {
        let [(_, full), ..] = QUALITIES;
        if quality > BEST_QUALITY {
            return full;
        }
        let mut below = LEAST;
        for (step, cost) in QUALITIES.into_iter().rev() {
            if quality <= step {
                let (span, above) = (
                    u64::from(step - below.0),
                    u64::from(quality.saturating_sub(below.0)),
                );
                let between =
                    |less: u64, more: u64| less + ((more - less) * above).checked_div(span).unwrap_or(0);
                return Self::new(
                    between(below.1.bytes, cost.bytes),
                    between(below.1.work, cost.work),
                );
            }
            below = (step, cost);
        }
        full
    }

    /// The work is what `benches/picture.rs` measures on 1280x720, both ends ours, in picoseconds (a python client is
    /// alike where C codecs do it). The bytes of flat ground are measured too; those of text and pictures are up to
    /// three times what the drawn samples of the bench need, since real screens hold more.
    const fn of(encoding: Encoding, lz4: bool, content: Content) -> Self {
        // Flat, text and picture: bytes and work.
        let (flat, text, picture) = match (encoding, lz4) {
            (Encoding::Rgb24, false) => ((3000, 1100), (3000, 1100), (3000, 1100)),
            (Encoding::Rgb24, true) => ((12, 1600), (270, 3000), (3000, 1700)),
            (Encoding::Png | Encoding::PngP | Encoding::PngL, _) => ((1, 4600), (100, 8100), (1800, 17_000)),
            (Encoding::Jpeg, _) => ((16, 8400), (400, 11_000), (220, 10_000)),
            (Encoding::Webp, _) => ((1, 5600), (100, 10_000), (1700, 22_000)),
            (_, false) => ((4000, 250), (4000, 250), (4000, 250)),
            (_, true) => ((16, 250), (300, 1100), (3900, 300)),
        };
        let (bytes, work) = match content {
            Content::Flat => flat,
            Content::Text => text,
            Content::Picture => picture,
            Content::Mixed => ((text.0 + picture.0) / 2, (text.1 + picture.1) / 2),
        };
        Self::new(bytes, work)
    }
}
