//! X11, which Windows has not.

use super::{DisplayError, Screen, Windows};

/// There is nothing to show windows on.
pub fn open_windows(display: Option<&str>) -> Result<Box<dyn Windows>, DisplayError> {
    Err(absent(display))
}

/// There is nothing to share.
pub fn open_screen(display: Option<&str>) -> Result<Box<dyn Screen>, DisplayError> {
    Err(absent(display))
}

/// There is none.
pub fn guess_display(given: Option<&str>) -> Result<String, DisplayError> {
    Err(absent(given))
}

fn absent(display: Option<&str>) -> DisplayError {
    DisplayError::Open {
        display: display.unwrap_or_default().to_owned(),
        reason:
            "windows are shown on X11 displays and screens shared from there, which Windows has not: use \
                 `attach --headless` and `shadow --test-card`"
                .to_owned(),
    }
}
