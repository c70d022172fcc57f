//! Which byte orders a peer takes, and the layouts picture files decode to.

use crate::types::PixelFormat;

/// How many pixel formats there are.
const FORMATS: usize = 6;

/// The raw pixel formats a peer accepts, in its order of preference, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RgbFormats {
    list: [Option<PixelFormat>; FORMATS],
}

impl RgbFormats {
    /// The formats, the preferred one first.
    pub fn iter(&self) -> impl Iterator<Item = PixelFormat> + '_ {
        self.list.iter().copied().flatten()
    }

    /// True when the peer takes `format`.
    pub fn contains(&self, format: PixelFormat) -> bool {
        self.list.contains(&Some(format))
    }

    /// The format in which to send an image of `format`: as it is when the peer takes that (`session.md` 1.3), else the
    /// cheapest conversion. A peer that named nothing gets RGB, which every generation reads.
    pub fn best_for(&self, format: PixelFormat) -> PixelFormat {
        let order = preference(format);
        order
            .into_iter()
            .find(|&wanted| self.contains(wanted))
            .unwrap_or(PixelFormat::Rgb)
    }

    /// Like [`Self::best_for`] but three bytes a pixel, when the peer takes any such format.
    pub fn best_short(&self, format: PixelFormat) -> Option<PixelFormat> {
        preference(format)
            .into_iter()
            .find(|&wanted| wanted.bytes() == 3 && self.contains(wanted))
    }
}

impl FromIterator<PixelFormat> for RgbFormats {
    fn from_iter<T: IntoIterator<Item = PixelFormat>>(formats: T) -> Self {
        let mut result = Self::default();
        for format in formats {
            if result.contains(format) {
                continue;
            }
            if let Some(free) = result.list.iter_mut().find(|slot| slot.is_none()) {
                *free = Some(format);
            }
        }
        result
    }
}

/// All formats in the order an image of `format` likes best: itself, the same bytes under another name, swapped
/// four-byte forms (one vector operation), then the three-byte forms.
const fn preference(format: PixelFormat) -> [PixelFormat; FORMATS] {
    use PixelFormat::{Bgr, Bgra, Bgrx, Rgb, Rgba, Rgbx};
    match format {
        Bgrx => [Bgrx, Bgra, Rgbx, Rgba, Rgb, Bgr],
        Bgra => [Bgra, Rgba, Bgrx, Rgbx, Rgb, Bgr],
        Rgbx => [Rgbx, Rgba, Bgrx, Bgra, Rgb, Bgr],
        Rgba => [Rgba, Bgra, Rgbx, Bgrx, Rgb, Bgr],
        Rgb => [Rgb, Bgr, Rgbx, Rgba, Bgrx, Bgra],
        Bgr => [Bgr, Rgb, Bgrx, Bgra, Rgbx, Rgba],
    }
}

/// How the bytes of a row are to be read: a wire format, or what picture files hold besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A format of the wire; its alpha is premultiplied.
    Wire(PixelFormat),
    /// One byte of grey.
    Grey,
    /// Grey and alpha, not multiplied.
    GreyAlpha,
    /// Red, green, blue and alpha, not multiplied, as PNG and WebP files have it.
    StraightRgba,
}

impl Layout {
    /// Bytes of one pixel.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Wire(format) => format.bytes(),
            Self::Grey => 1,
            Self::GreyAlpha => 2,
            Self::StraightRgba => 4,
        }
    }
}

/// True when the pixels carry an alpha channel.
pub(super) const fn has_alpha(format: PixelFormat) -> bool {
    matches!(format, PixelFormat::Bgra | PixelFormat::Rgba)
}

/// True when the blue byte comes first.
pub(super) const fn blue_first(format: PixelFormat) -> bool {
    matches!(format, PixelFormat::Bgrx | PixelFormat::Bgra | PixelFormat::Bgr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use PixelFormat::{Bgra, Bgrx, Rgb, Rgba, Rgbx};

    #[test]
    fn picks_what_the_peer_takes() {
        let html5: RgbFormats = [Rgb, Rgbx, Rgba].into_iter().collect();
        assert_eq!(html5.best_for(Bgrx), Rgbx);
        assert_eq!(html5.best_for(Bgra), Rgba);
        assert_eq!(html5.best_short(Bgrx), Some(Rgb));
        let python: RgbFormats = [Rgb, Rgbx, Rgba, Bgrx, Bgra].into_iter().collect();
        assert_eq!(python.best_for(Bgrx), Bgrx);
        assert_eq!(RgbFormats::default().best_for(Bgrx), Rgb);
        assert_eq!([Rgb, Rgb].into_iter().collect::<RgbFormats>().iter().count(), 1);
    }
}
