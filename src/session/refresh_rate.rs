//! [`RefreshRate`]: how many pictures a second a client's screen is to be taken to show.

use std::str::FromStr;

/// What `--refresh-rate` says, on either side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshRate {
    /// As many as the screen shows.
    #[default]
    Auto,
    /// That many, whatever the screen shows.
    Fixed(u32),
    /// As many as the screen shows, but no fewer and no more than these.
    Within(u32, u32),
    /// That many hundredths of what the screen shows.
    Percent(u32),
}

impl RefreshRate {
    /// The most that counts as a rate.
    const MOST: u32 = 1000;
    /// What a screen shows of which nothing is known.
    pub(crate) const USUAL: u32 = 60;

    /// The rate for a screen that says it has `screen`, which may be nonsense; `None` is any.
    pub(crate) fn of(self, screen: Option<u32>) -> Option<u32> {
        let screen = screen.filter(|rate| (1..=Self::MOST).contains(rate));
        match self {
            Self::Auto => screen,
            Self::Fixed(rate) => Some(rate),
            Self::Percent(share) => {
                let rate = screen.unwrap_or(Self::USUAL).saturating_mul(share) / 100;
                Some(rate.clamp(1, Self::MOST))
            }
            Self::Within(least, most) => Some(screen.unwrap_or(Self::USUAL).clamp(least, most)),
        }
    }
}

impl FromStr for RefreshRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        if matches!(text.as_str(), "auto" | "none") {
            return Ok(Self::Auto);
        }
        let rate = |text: &str| {
            let number = text.trim().trim_end_matches("hz").trim_end().parse();
            number.ok().filter(|rate| (1..=Self::MOST).contains(rate))
        };
        let rates = match text.split_once('-') {
            None if text.ends_with('%') => rate(text.trim_end_matches('%')).map(Self::Percent),
            None => rate(&text).map(Self::Fixed),
            Some((least, most)) => rate(least)
                .zip(rate(most))
                .filter(|(least, most)| least <= most)
                .map(|(least, most)| Self::Within(least, most)),
        };
        rates.ok_or_else(|| {
            "write pictures a second such as 60, a range such as 30-60, a share such as 50%, or auto"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_a_range_or_what_the_screen_shows() {
        for (text, unknown, slow, fast) in [
            ("auto", None, Some(24), Some(144)),
            ("50", Some(50), Some(50), Some(50)),
            ("75Hz", Some(75), Some(75), Some(75)),
            ("50%", Some(30), Some(12), Some(72)),
            ("30-100", Some(60), Some(30), Some(100)),
        ] {
            let rate: RefreshRate = text.parse().unwrap();
            assert_eq!(rate.of(None), unknown, "{text}");
            assert_eq!(rate.of(Some(24)), slow, "{text}");
            assert_eq!(rate.of(Some(144)), fast, "{text}");
        }
        for text in ["", "0", "fast", "60-30", "-60", "30-", "5000", "-1"] {
            assert!(text.parse::<RefreshRate>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn nonsense_is_no_rate() {
        for screen in [0, 1001, u32::MAX] {
            assert_eq!(RefreshRate::Auto.of(Some(screen)), None);
        }
    }
}
