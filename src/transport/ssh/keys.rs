//! The server's keys: its own, and those of the users it lets in.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKey, load_secret_key, parse_public_key_base64};

use super::exec::{self, Answer};
use crate::system::{DirBuilderExt, OpenOptionsExt, others_may_use, others_may_write};

/// The name of the key that is made when there is none.
const HOST_KEY: &str = "ssh_host_ed25519_key";

/// The largest file of authorized keys that is read.
const MAX_FILE: u64 = 1 << 20;

/// Why there is no SSH server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshServerError {
    /// A key file that others can read is no secret.
    #[error("the host key '{}' can be read by others: chmod 600 it", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The host key could not be made or written.
    #[error("cannot make the host key '{}': {reason}", .path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nobody could ever log in.
    #[error("nobody could log in by SSH: give authorized keys or an authentication module")]
    NobodyMayEnter,
    /// The file is no key without a passphrase.
    #[error("cannot read the host key '{}': {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The keys of `files`, or the one kept in `directory`, which is made when it is not there yet.
pub(super) fn host_keys(files: &[PathBuf], directory: &Path) -> Result<Vec<PrivateKey>, SshServerError> {
    if !files.is_empty() {
        return files.iter().map(|path| load(path)).collect();
    }
    let path = directory.join(HOST_KEY);
    if !path.exists() {
        make(&path).map_err(|reason| SshServerError::Make {
            path: path.clone(),
            reason,
        })?;
    }
    Ok(vec![load(&path)?])
}

fn load(path: &Path) -> Result<PrivateKey, SshServerError> {
    let unreadable = |reason: String| SshServerError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let facts = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if others_may_use(&facts) {
        return Err(SshServerError::Exposed {
            path: path.to_owned(),
        });
    }
    load_secret_key(path, None).map_err(|error| unreadable(error.to_string()))
}

/// Makes a key and puts it there at once and whole, unless somebody else was faster.
fn make(path: &Path) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(text)?;
    }
    let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).map_err(|error| error.to_string())?;
    let pem = key
        .to_openssh(LineEnding::LF)
        .map_err(|error| error.to_string())?;
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(pem.as_bytes()))
        .and_then(|()| fs::hard_link(&temporary, path));
    let _already_gone = fs::remove_file(&temporary);
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.exists() => Ok(()),
        result => result.map_err(text),
    }
}

/// Whether the file lists that key. It is read each time: keys come and go while a server runs.
pub(super) fn is_authorized(file: &Path, key: &PublicKey) -> bool {
    match read_private(file) {
        Ok(text) => text
            .lines()
            .filter_map(authorized)
            .any(|listed| listed.key_data() == key.key_data()),
        Err(error) => {
            tracing::warn!("no key is authorized, '{}': {error}", file.display());
            false
        }
    }
}

/// A file that nobody but its owner can change.
fn read_private(path: &Path) -> io::Result<String> {
    let file = fs::File::open(path)?;
    if others_may_write(&file.metadata()?) {
        let message = "others can write to it: chmod go-w it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// The key of a line: `[options] type key [comment]`. A line whose options would have to be enforced, and are not, lets
/// nobody in.
fn authorized(line: &str) -> Option<PublicKey> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (options, rest) = match is_key_type(first_word(line)) {
        true => ("", line),
        false => line.split_at_checked(options_end(line))?,
    };
    let mut words = rest.split_whitespace();
    let kind = words.next().filter(|kind| is_key_type(kind))?;
    if !options_split(options).all(is_harmless) {
        return None;
    }
    let key = parse_public_key_base64(words.next()?).ok()?;
    (key.algorithm().as_str() == kind).then_some(key)
}

fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

fn is_key_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|prefix| word.starts_with(prefix))
}

/// Where the options end: at the first space outside quotes.
fn options_end(line: &str) -> usize {
    outside_quotes(line, |c| c.is_whitespace())
        .next()
        .unwrap_or(line.len())
}

/// The options, split at commas outside quotes.
fn options_split(options: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(options).filter(|options| !options.is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let comma = outside_quotes(text, |c| c == ',').next();
        let (option, tail) = match comma {
            Some(at) => (text.get(..at)?, text.get(at + 1..)),
            None => (text, None),
        };
        rest = tail;
        Some(option)
    })
}

fn outside_quotes(text: &str, found: impl Fn(char) -> bool) -> impl Iterator<Item = usize> {
    let mut quoted = false;
    let mut escaped = false;
    text.char_indices().filter_map(move |(at, c)| {
        match c {
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        (!quoted && found(c)).then_some(at)
    })
}

/// Options that forbid what is never done here, or command what is done anyway.
fn is_harmless(option: &str) -> bool {
    let lower = option.to_ascii_lowercase();
    if let Some(command) = lower.strip_prefix("command=") {
        let inside = command
            .strip_prefix('"')
            .and_then(|command| command.strip_suffix('"'));
        let command = inside.unwrap_or(command).replace("\\\"", "\"");
        return matches!(exec::answer(command.as_bytes()), Answer::Proxy(_));
    }
    matches!(
        lower.as_str(),
        "restrict"
            | "no-pty"
            | "no-port-forwarding"
            | "no-agent-forwarding"
            | "no-x11-forwarding"
            | "no-user-rc"
    )
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    #[test]
    fn lines_of_authorized_keys() {
        for (line, lets_in) in [
            (format!("ssh-ed25519 {KEY}"), true),
            (format!("  ssh-ed25519 {KEY} me@here and more"), true),
            (format!("restrict,no-pty ssh-ed25519 {KEY}"), true),
            (
                format!("restrict,command=\"xpra _proxy :7\" ssh-ed25519 {KEY}"),
                true,
            ),
            (
                format!("command=\"xpra _proxy \\\":7\\\"\",no-pty ssh-ed25519 {KEY} x"),
                true,
            ),
            (
                format!("command=\"/usr/bin/backup, now\" ssh-ed25519 {KEY}"),
                false,
            ),
            (format!("from=\"10.*\" ssh-ed25519 {KEY}"), false),
            (
                format!("restrict,from=\"ssh-ed25519 x\" ssh-ed25519 {KEY}"),
                false,
            ),
            (format!("expiry-time=\"20200101\" ssh-ed25519 {KEY}"), false),
            (format!("cert-authority ssh-ed25519 {KEY}"), false),
            (format!("# ssh-ed25519 {KEY}"), false),
            (format!("ssh-rsa {KEY}"), false),
            (format!("ssh-ed25519 {}", &KEY[..20]), false),
            ("ssh-ed25519".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(authorized(&line).is_some(), lets_in, "{line}");
        }
    }

    #[test]
    fn a_file_that_others_can_write_authorizes_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("authorized_keys");
        fs::write(&file, format!("\nssh-ed25519 {KEY}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let key = parse_public_key_base64(KEY).unwrap();
        assert!(is_authorized(&file, &key));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
        assert!(!is_authorized(&file, &key));
        assert!(!is_authorized(&directory.path().join("none"), &key));
    }

    #[test]
    fn the_host_key_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("ssh");
        let first = host_keys(&[], &place).unwrap();
        let again = host_keys(&[], &place).unwrap();
        assert_eq!(first[0].public_key(), again[0].public_key());
        let path = place.join(HOST_KEY);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
        assert_eq!(host_keys(std::slice::from_ref(&path), &place).unwrap().len(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            host_keys(&[], &place),
            Err(SshServerError::Exposed { .. })
        ));
        assert!(matches!(
            host_keys(&[place.join("no")], &place),
            Err(SshServerError::Unreadable { .. })
        ));
    }
}
