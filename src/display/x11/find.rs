//! Which display to share when none is named (endpoints.md b.7).

use crate::display::DisplayError;
use rustix::process::{getegid, geteuid};
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Where X servers have their sockets.
const SOCKETS: &str = "/tmp/.X11-unix";

/// Displays with higher numbers are other programs' virtual ones.
const HIGHEST: u32 = 10;

/// A display somebody listens on.
struct Found {
    number: u32,
    uid: u32,
    gid: u32,
}

/// The display to share: that of the environment (the value of `DISPLAY`), else the only live one here with a low
/// number: of our user, else of our group, else of anybody.
pub fn guess_display(environment: Option<&str>) -> Result<String, DisplayError> {
    guess_in(
        Path::new(SOCKETS),
        environment,
        geteuid().as_raw(),
        getegid().as_raw(),
    )
}

fn guess_in(folder: &Path, environment: Option<&str>, uid: u32, gid: u32) -> Result<String, DisplayError> {
    if let Some(display) = environment.filter(|display| !display.is_empty()) {
        return Ok(display.to_owned());
    }
    let live = live_displays(folder);
    let owned = |who: &dyn Fn(&Found) -> bool| {
        live.iter()
            .filter(|found| who(found))
            .map(|found| format!(":{}", found.number))
            .collect::<Vec<_>>()
    };
    let groups = [
        owned(&|found| found.uid == uid),
        owned(&|found| found.gid == gid),
        owned(&|_| true),
    ];
    let error = |reason: String| {
        Err(DisplayError::Open {
            display: String::new(),
            reason,
        })
    };
    match groups
        .iter()
        .find(|displays| !displays.is_empty())
        .map(Vec::as_slice)
    {
        None => error("there is no X11 display to share".to_owned()),
        Some([only]) => Ok(only.clone()),
        Some(several) => error(format!("there are several, name one of {}", several.join(" "))),
    }
}

fn live_displays(folder: &Path) -> Vec<Found> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix('X')?.parse().ok()?;
            let metadata = entry.metadata().ok()?;
            // A socket whose server is gone refuses the connection.
            let live = number <= HIGHEST
                && metadata.file_type().is_socket()
                && UnixStream::connect(entry.path()).is_ok();
            live.then(|| Found {
                number,
                uid: metadata.uid(),
                gid: metadata.gid(),
            })
        })
        .collect();
    found.sort_by_key(|found| found.number);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn the_only_live_display_with_a_low_number() {
        let folder = tempfile::tempdir().unwrap();
        let listen = |name: &str| UnixListener::bind(folder.path().join(name)).unwrap();
        let metadata = fs::metadata(folder.path()).unwrap();
        let guess = |uid: u32, environment| guess_in(folder.path(), environment, uid, metadata.gid());
        let me = metadata.uid();
        assert!(guess(me, None).is_err());
        drop(listen("X0"));
        let _virtual = listen("X11");
        fs::write(folder.path().join("X3"), "").unwrap();
        assert!(guess(me, Some("")).is_err());
        let _first = listen("X7");
        assert_eq!(guess(me, None).unwrap(), ":7");
        assert_eq!(guess(me + 1, None).unwrap(), ":7");
        assert_eq!(guess(me, Some("host:3.1")).unwrap(), "host:3.1");
        let _second = listen("X10");
        assert!(guess(me, None).unwrap_err().to_string().contains(":7 :10"));
        assert!(guess_in(Path::new("/nonexistent"), None, me, 0).is_err());
    }
}
