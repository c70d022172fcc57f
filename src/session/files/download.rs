//! Where a file that comes is saved, whatever its sender calls it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of a name: what file systems take, less the number that may have to follow.
const MAX_NAME: usize = 200;
/// Names that are tried.
const MAX_TRIES: u32 = 1000;

/// Makes a new file in the folder, called as its sender calls it or, when that is taken, nearly so (`name-1.ext`, as
/// xpra does).
pub(super) fn create(folder: &Path, name: &str) -> io::Result<(PathBuf, File)> {
    let name = safe_name(name);
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) => (stem, format!(".{extension}")),
        None => (name.as_str(), String::new()),
    };
    for number in 0..MAX_TRIES {
        let path = folder.join(match number {
            0 => name.clone(),
            number => format!("{stem}-{number}{extension}"),
        });
        // neither a file that is there nor one that a link leads to
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The last part of a path, of either system, as a name that hides nothing and is allowed everywhere.
fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut safe: String = last
        .trim_start_matches('.')
        .chars()
        .map(|c| match c {
            '<' | '>' | ':' | '"' | '|' | '?' | '*' => '_',
            c if c.is_control() => '_',
            c => c,
        })
        .collect();
    if safe.len() > MAX_NAME {
        let extension = safe
            .rsplit_once('.')
            .map(|(_, extension)| format!(".{extension}"));
        let extension = extension.filter(|e| e.len() < MAX_NAME / 4).unwrap_or_default();
        safe.truncate(safe.floor_char_boundary(MAX_NAME - extension.len()));
        safe += &extension;
    }
    let end = safe.trim_end_matches([' ', '.']).len();
    safe.truncate(end);
    if safe.is_empty() {
        safe.push_str("download");
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_folder() {
        for (name, safe) in [
            ("a.txt", "a.txt"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("../..", "download"),
            (".bashrc", "bashrc"),
            ("", "download"),
            ("a/", "download"),
            ("a\0b\nc", "a_b_c"),
            ("c:con?.txt. ", "c_con_.txt"),
            ("größe", "größe"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
        let long = safe_name(&format!("{}.tar", "ü".repeat(500)));
        assert!(long.len() <= MAX_NAME && long.ends_with("ü.tar"), "{long}");
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.tar.gz"), "old").unwrap();
        let names: Vec<_> = (0..2)
            .map(|_| create(folder.path(), "a.tar.gz").unwrap().0)
            .collect();
        assert_eq!(
            names,
            ["a.tar-1.gz", "a.tar-2.gz"].map(|name| folder.path().join(name))
        );
        assert_eq!(std::fs::read(folder.path().join("a.tar.gz")).unwrap(), b"old");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("a")).unwrap();
        assert_eq!(create(folder.path(), "a").unwrap().0, folder.path().join("a-1"));
        assert!(!elsewhere.exists());
    }
}
