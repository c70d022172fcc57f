//! Session files, `NAME.xpra`: where a session is and how to show it, saved by a launcher (`endpoints.md` a.5).
//!
//! They may come from anywhere, so only options that a link may set are taken from them.

use super::config::{Setting, parse, read};
use super::exit::{ExitCode, Failure};
use crate::address::is_safe_option;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

/// A session file, understood.
#[derive(Debug)]
pub(super) struct SessionFile {
    /// Where the session is.
    pub(super) address: String,
    /// Options of `attach`.
    pub(super) options: Vec<Setting>,
    /// What was not taken from it.
    pub(super) warnings: Vec<String>,
}

/// Keys that say where the session is.
const PLACE: &[&str] = &[
    "mode",
    "host",
    "port",
    "ssh-port",
    "username",
    "password",
    "path",
    "proxy-host",
    "proxy-port",
    "proxy-username",
    "proxy-password",
    "proxy-key",
];

/// Keys of the launcher itself.
const LAUNCHER: &[&str] = &["autoconnect"];

/// Whether a user may mean a session file: a session or a host could be called like that too, so it has to be there.
pub(super) fn is_session_file(word: &OsString) -> bool {
    let path = Path::new(word);
    path.extension().is_some_and(|extension| extension == "xpra") && path.is_file()
}

impl SessionFile {
    /// Reads the file at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = read(path).map_err(|error| {
            Failure::new(
                ExitCode::FileNotFound,
                format!("cannot read {}: {error}", path.display()),
            )
        })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Failure> {
        let (mut place, mut options, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        for mut setting in parse(text, path) {
            setting.name = setting.name.to_ascii_lowercase().replace('_', "-");
            let name = setting.name.as_str();
            if PLACE.contains(&name) {
                place.push(setting);
            } else if is_safe_option(name) {
                options.push(setting);
            } else if !LAUNCHER.contains(&name) {
                warnings.push(format!(
                    "{}: '{name}' is not allowed in a session file: ignored",
                    setting.place
                ));
            }
        }
        let place = Place(place);
        let address = place
            .address()
            .map_err(|problem| Failure::new(ExitCode::Failure, format!("{}: {problem}", path.display())))?;
        if place.is_encrypted() {
            options.push(Setting {
                name: "encryption".to_owned(),
                value: "AES".to_owned(),
                place: path.display().to_string(),
            });
        }
        Ok(Self {
            address,
            options,
            warnings,
        })
    }
}

/// The lines that say where the session is.
struct Place(Vec<Setting>);

impl Place {
    /// The last value of a key, unless it is empty.
    fn get(&self, key: &str) -> Option<&str> {
        let values = self.0.iter().rev().filter(|setting| setting.name == key);
        values
            .map(|setting| setting.value.as_str())
            .next()
            .filter(|value| !value.is_empty())
    }

    /// A port, unless it is -1, which stands for the usual one.
    fn port(&self, key: &str) -> Result<Option<u16>, String> {
        match self.get(key) {
            None | Some("-1") => Ok(None),
            Some(text) => match text.parse() {
                Ok(port) => Ok(Some(port)),
                Err(_) => Err(format!("{key} = {text} is no number from 0 to 65535")),
            },
        }
    }

    /// `tcp + aes`.
    fn is_encrypted(&self) -> bool {
        self.get("mode")
            .is_some_and(|mode| mode.split('+').nth(1).is_some())
    }

    fn address(&self) -> Result<String, String> {
        let mode = self.get("mode").unwrap_or("tcp").to_ascii_lowercase();
        let words: Vec<_> = mode.split_whitespace().collect();
        let (mode, by_proxy) = match words.as_slice() {
            [mode @ ("ssh" | "ssl" | "quic" | "tcp" | "ws" | "wss")] => (*mode, false),
            ["ssh", "->", "ssh"] => ("ssh", true),
            [mode @ ("tcp" | "ws"), "+", "aes"] => (*mode, false),
            _ => {
                return Err(format!(
                    "mode = {mode} is not known: use tcp, ssl, ws, wss or ssh"
                ));
            }
        };
        let host = self.get("host").ok_or("host is missing")?;
        let host = match host {
            host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
            host => host.to_owned(),
        };
        let mut address = format!("{mode}://{}{host}", self.user("username", "password"));
        // For ssh "port" is the display.
        let port = self.port("port")?;
        let path = self.get("path").map(str::to_owned);
        let (port, path) = match mode {
            "ssh" => (
                self.port("ssh-port")?,
                path.or_else(|| port.map(|display| display.to_string())),
            ),
            _ => (port, path),
        };
        if let Some(port) = port {
            let _infallible = write!(address, ":{port}");
        }
        let path = path.unwrap_or_default();
        let _infallible = write!(address, "/{}", encode(path.trim_start_matches([':', '/'])));
        if by_proxy {
            let host = self.get("proxy-host").ok_or("proxy_host is missing")?;
            let user = self.user("proxy-username", "proxy-password");
            let port = self
                .port("proxy-port")?
                .map_or_else(String::new, |port| format!(":{port}"));
            let _infallible = write!(address, "?proxy={}", encode(&format!("{user}{host}{port}")));
            if let Some(key) = self.get("proxy-key") {
                let _infallible = write!(address, "&proxy-key={}", encode(key));
            }
        }
        Ok(address)
    }

    /// `USER:PASSWORD@`, as much of it as there is.
    fn user(&self, name: &str, password: &str) -> String {
        let name = self.get(name).map(encode).unwrap_or_default();
        match self.get(password).map(encode) {
            Some(password) => format!("{name}:{password}@"),
            None if name.is_empty() => name,
            None => format!("{name}@"),
        }
    }
}

/// Everything that might end a part of a URL as `%XX`.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Address, Target};

    fn file(text: &str) -> Result<SessionFile, Failure> {
        SessionFile::parse(text, Path::new("f.xpra"))
    }

    #[test]
    fn places() {
        for (text, address) in [
            ("host = h\nport = 10000", "tcp://h:10000/"),
            ("mode=ssl\nhost=h\nport=-1\nautoconnect=true", "ssl://h/"),
            ("mode=ws\nhost=fe80::1%eth0\nport=80", "ws://[fe80::1%eth0]:80/"),
            (
                "mode=ssh\nhost=h\nusername=u\nssh_port=2222\nport=7",
                "ssh://u@h:2222/7",
            ),
            ("mode=ssh\nhost=h", "ssh://h/"),
            (
                "mode=tcp\nhost=h\nusername=a@b\npassword=p/w?\npath=:10",
                "tcp://a%40b:p%2Fw%3F@h/10",
            ),
            (
                "mode=ssh -> ssh\nhost=h\nproxy_host=p\nproxy_username=u\nproxy_port=2222",
                "ssh://h/?proxy=u%40p%3A2222",
            ),
        ] {
            let read = file(text).unwrap();
            assert_eq!(read.address, address);
            assert_eq!(read.warnings, [""; 0]);
            read.address.parse::<Address>().unwrap();
        }
        let address: Address = file("host=h\nusername=a@b\npassword=p/w?")
            .unwrap()
            .address
            .parse()
            .unwrap();
        assert_eq!(address.credentials.username.as_deref(), Some("a@b"));
        assert!(matches!(&address.target, Target::Remote(remote) if remote.host == "h"));
    }

    #[test]
    fn nonsense_is_named() {
        for (text, problem) in [
            ("port = 1", "f.xpra: host is missing"),
            ("mode = rfb\nhost = h", "f.xpra: mode = rfb is not known"),
            ("host = h\nport = x", "f.xpra: port = x is no number"),
            ("mode=ssh -> ssh\nhost=h", "f.xpra: proxy_host is missing"),
        ] {
            let failure = file(text).unwrap_err();
            assert!(failure.message.starts_with(problem), "{failure}");
        }
    }

    #[test]
    fn only_what_a_link_may_set_is_taken() {
        let text =
            "host=h\ntitle=x\nmin_quality=40\nssh=/tmp/evil\nremote-xpra=/tmp/evil\nauth=none\nproxy=x";
        let read = file(text).unwrap();
        let taken: Vec<_> = read
            .options
            .iter()
            .map(|option| format!("{}={}", option.name, option.value))
            .collect();
        assert_eq!(taken, ["title=x", "min-quality=40"]);
        assert_eq!(read.warnings.len(), 4, "{:?}", read.warnings);
        assert_eq!(
            read.warnings[0],
            "f.xpra:4: 'ssh' is not allowed in a session file: ignored"
        );
    }

    #[test]
    fn encryption_is_asked_for_as_an_option() {
        let read = file("mode = tcp + aes\nhost = h").unwrap();
        assert_eq!(read.address, "tcp://h/");
        assert_eq!(
            (read.options[0].name.as_str(), read.options[0].value.as_str()),
            ("encryption", "AES")
        );
    }
}
