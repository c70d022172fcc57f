//! `known_hosts`: which keys a host is known by, in files shared with OpenSSH.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use russh::keys::{Algorithm, PublicKey, parse_public_key_base64};

use super::config::matches_any;
use crate::system::{DirBuilderExt, OpenOptionsExt};

/// The largest file that is read.
const MAX_FILE: u64 = 16 << 20;

/// Files written by hand may lack the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the files say about one host.
#[derive(Debug)]
pub(super) struct KnownHost {
    /// The name in the files: `HOST`, or `[HOST]:PORT` for another port than 22.
    name: String,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    file: PathBuf,
    line: usize,
    key: PublicKey,
    revoked: bool,
}

/// Whether a key is a host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is.
    Known,
    /// The host is not in the files.
    Unknown,
    /// The host has another key, says that line.
    Changed(PathBuf, usize),
    /// The key must not be trusted any more, says that line.
    Revoked(PathBuf, usize),
}

impl KnownHost {
    /// Reads what `files` say; those that are not there say nothing.
    pub(super) fn read(files: &[PathBuf], host: &str, port: u16) -> Self {
        let host = host.to_lowercase();
        let name = match port {
            22 => host,
            port => format!("[{host}]:{port}"),
        };
        let entries = files.iter().flat_map(|file| {
            let mut bytes = Vec::new();
            let opened =
                fs::File::open(file).and_then(|opened| opened.take(MAX_FILE).read_to_end(&mut bytes));
            if let Err(error) = opened.as_ref().err().map_or(Ok(()), |error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            }) {
                tracing::warn!("cannot read '{}': {error}", file.display());
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            entries(&text, &name, file)
        });
        let entries = entries.collect();
        Self { name, entries }
    }

    /// What the files say about `key`. A host that is known by another kind of key alone counts as changed: nobody
    /// can turn a warning into a question by offering a key of a new kind.
    pub(super) fn verdict(&self, key: &PublicKey) -> Verdict {
        let same = |entry: &&Entry| entry.key.key_data() == key.key_data();
        let mine = self.entries.iter().filter(same);
        if let Some(entry) = mine.clone().find(|entry| entry.revoked) {
            return Verdict::Revoked(entry.file.clone(), entry.line);
        }
        let mut valid = self.entries.iter().filter(|entry| !entry.revoked);
        match (mine.count(), valid.next()) {
            (1.., _) => Verdict::Known,
            (0, Some(entry)) => Verdict::Changed(entry.file.clone(), entry.line),
            (0, None) => Verdict::Unknown,
        }
    }

    /// The kinds of keys the host is known by: those to ask it for.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let valid = self.entries.iter().filter(|entry| !entry.revoked);
        valid.map(|entry| entry.key.algorithm()).collect()
    }

    /// Adds `key` to `file`.
    pub(super) fn learn(&self, file: &Path, key: &PublicKey) -> io::Result<()> {
        if let Some(directory) = file.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
        }
        let key = key.to_openssh().map_err(io::Error::other)?;
        let mut words = key.split(' ');
        let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(file)?;
        let mut last = Vec::new();
        opened.read_to_end(&mut last)?;
        let newline = if last.last().is_none_or(|byte| *byte == b'\n') {
            ""
        } else {
            "\n"
        };
        opened.write_all(format!("{newline}{} {kind} {key}\n", self.name).as_bytes())
    }
}

/// The entries of a file for `name`.
fn entries(text: &str, name: &str, file: &Path) -> Vec<Entry> {
    let entry = |(at, line): (usize, &str)| {
        let mut words = line.split_whitespace();
        let mut patterns = words.next()?;
        let mut revoked = false;
        match patterns {
            "@revoked" => {
                revoked = true;
                patterns = words.next()?;
            }
            // certificates are not asked for
            marker if marker.starts_with(['@', '#']) => return None,
            _ => {}
        }
        if !is_named(patterns, name) {
            return None;
        }
        let _kind = words.next()?;
        let key = parse_public_key_base64(words.next()?).ok()?;
        Some(Entry {
            file: file.to_owned(),
            line: at + 1,
            key,
            revoked,
        })
    };
    text.lines().enumerate().filter_map(entry).collect()
}

fn is_named(patterns: &str, name: &str) -> bool {
    match patterns.strip_prefix("|1|") {
        Some(hashed) => is_hash_of(hashed, name).unwrap_or(false),
        None => matches_any(&patterns.split(',').collect::<Vec<_>>(), name),
    }
}

/// `SALT|HASH`: the name is hidden behind HMAC-SHA1.
fn is_hash_of(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &base64(salt)?);
    Some(hmac::verify(&key, name.as_bytes(), &base64(hash)?).is_ok())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";

    fn verdict(text: &str, host: &str, port: u16) -> Verdict {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known");
        fs::write(&file, text).unwrap();
        let known = KnownHost::read(&[directory.path().join("none"), file.clone()], host, port);
        match known.verdict(&parse_public_key_base64(KEY).unwrap()) {
            Verdict::Changed(at, line) if at == file => Verdict::Changed(PathBuf::new(), line),
            Verdict::Revoked(at, line) if at == file => Verdict::Revoked(PathBuf::new(), line),
            verdict => verdict,
        }
    }

    #[test]
    fn every_form_of_entry() {
        // the salt and hash are the example of ssh-keygen -H for `host` and `[host]:2222`
        let plain = format!("# x\n\nother,host ssh-ed25519 {KEY} me\n");
        assert_eq!(verdict(&plain, "HOST", 22), Verdict::Known);
        assert_eq!(verdict(&plain, "host", 2222), Verdict::Unknown);
        assert_eq!(verdict(&plain, "hos", 22), Verdict::Unknown);
        let port = format!("[host]:2222 ssh-ed25519 {KEY}\n");
        assert_eq!(verdict(&port, "host", 2222), Verdict::Known);
        let pattern = format!("*.corp,!evil.corp ssh-ed25519 {KEY}\n");
        assert_eq!(verdict(&pattern, "a.corp", 22), Verdict::Known);
        assert_eq!(verdict(&pattern, "evil.corp", 22), Verdict::Unknown);
        let changed = format!("# x\nhost ssh-ed25519 {OTHER}\n");
        assert_eq!(verdict(&changed, "host", 22), Verdict::Changed(PathBuf::new(), 2));
        let both = format!("host ssh-ed25519 {OTHER}\nhost ssh-ed25519 {KEY}\n");
        assert_eq!(verdict(&both, "host", 22), Verdict::Known);
        let revoked = format!("host ssh-ed25519 {KEY}\n@revoked * ssh-ed25519 {KEY}\n");
        assert_eq!(verdict(&revoked, "host", 22), Verdict::Revoked(PathBuf::new(), 2));
        let nonsense = format!(
            "@cert-authority * ssh-ed25519 {KEY}\nhost\nhost x y\n|1|a host\n|1|=|= ssh-ed25519 {KEY}"
        );
        assert_eq!(verdict(&nonsense, "host", 22), Verdict::Unknown);
    }

    #[test]
    fn learned_keys_are_known_by_us_and_by_openssh() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ssh/known_hosts");
        let key = parse_public_key_base64(KEY).unwrap();
        let read = |port| KnownHost::read(std::slice::from_ref(&file), "host", port);
        for port in [22, 2222] {
            read(port).learn(&file, &key).unwrap();
            assert_eq!(read(port).verdict(&key), Verdict::Known);
        }
        assert_eq!(read(2222).algorithms(), [Algorithm::Ed25519]);
        fs::write(&file, format!("x ssh-ed25519 {OTHER}")).unwrap();
        read(22).learn(&file, &key).unwrap();
        assert_eq!(read(22).verdict(&key), Verdict::Known);
        // ssh-keygen hides the names; they are found all the same
        let keygen = std::process::Command::new("ssh-keygen")
            .arg("-Hf")
            .arg(&file)
            .output();
        if keygen.is_ok_and(|output| output.status.success()) {
            assert!(fs::read_to_string(&file).unwrap().starts_with("|1|"));
            assert_eq!(read(22).verdict(&key), Verdict::Known);
            assert_eq!(read(23).verdict(&key), Verdict::Unknown);
        } else {
            eprintln!("skipped: ssh-keygen is not installed");
        }
    }

    #[test]
    fn base64_is_decoded() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("Zg==", Some(b"f")),
            ("Zm9vYmFy", Some(b"foobar")),
            ("a b", None),
        ] {
            assert_eq!(base64(text).as_deref(), bytes);
        }
    }
}
