//! Client URLs: the modern `MODE://…` and the older `MODE:…` and `MODE/…` forms (`endpoints.md` a.3).
//!
//! Where generations of xpra disagree, the older meaning of an older form is kept: `ssh:HOST:7` is display 7, only
//! `ssh://HOST:7` is port 7.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use super::error::{AddressError, Problem};
use super::options::{Options, decode, is_known, is_safe};
use super::{Address, Credentials, Remote, Secret, Target, TransportKind, VSOCK_CID_ANY, VSOCK_PORT_ANY};

/// Parses what a user typed.
pub(super) fn address(text: &str) -> Result<Address, AddressError> {
    let text = text.trim();
    let parsed = match text.as_bytes() {
        [] => Ok(Address::new(Target::Auto)),
        [b'@', ..] => abstract_socket(text),
        [b'/', ..] => Ok(Address::new(Target::Socket(PathBuf::from(text)))),
        _ if !text.contains([':', '/']) => local_name(text),
        [b':', ..] => display(text).map(Address::new),
        _ => url(text),
    };
    parsed.map_err(|problem| AddressError {
        address: redact(text),
        problem,
    })
}

/// `text` without user information and query, for messages.
pub(super) fn redact(text: &str) -> String {
    let text = text.split('?').next().unwrap_or_default();
    let Some((user, host)) = text.rsplit_once('@').filter(|(user, _)| !user.is_empty()) else {
        return text.to_owned();
    };
    let scheme = user
        .find("://")
        .map(|at| at + 3)
        .or_else(|| user.find([':', '/']).map(|at| at + 1));
    format!("{}..@{host}", user.get(..scheme.unwrap_or(0)).unwrap_or_default())
}

fn abstract_socket(text: &str) -> Result<Address, Problem> {
    let name = text.trim_start_matches('@');
    if name.is_empty()
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
    {
        return Err(Problem::Name(name.to_owned()));
    }
    Ok(Address::new(Target::Abstract(name.to_owned())))
}

/// A word: a display when it is a number (or Wayland's), else a session's name.
fn local_name(text: &str) -> Result<Address, Problem> {
    let is_number = text.split('.').all(is_digits);
    if is_number {
        display(&format!(":{text}")).map(Address::new)
    } else if text.starts_with("wayland-") {
        display(text).map(Address::new)
    } else {
        Ok(Address::new(Target::Session(text.to_owned())))
    }
}

/// A display's name becomes part of file names: it may hold nothing that leads elsewhere.
fn display(text: &str) -> Result<Target, Problem> {
    let name = text.trim_start_matches(':');
    let plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let anchored = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if plain && anchored {
        Ok(Target::Display(text.to_owned()))
    } else {
        Err(Problem::Display(text.to_owned()))
    }
}

fn url(text: &str) -> Result<Address, Problem> {
    let at = text.find([':', '/']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(at).unwrap_or((text, ""));
    let scheme = Scheme::named(name)?;
    let (rest, form) = match rest.strip_prefix("://") {
        Some(rest) => (rest, Form::Url),
        None => (rest.get(1..).unwrap_or_default(), Form::Legacy),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut address = match scheme.kind {
        TransportKind::Socket => socket(rest, form)?,
        TransportKind::NamedPipe => named_pipe(rest)?,
        TransportKind::Vsock => vsock(rest)?,
        kind => remote(kind, rest, form)?,
    };
    address.options.append(Options::from_query(query));
    if scheme.untrusted {
        let refused = address.options.retain(is_safe);
        let warning = |key| format!("option '{key}' is not allowed in '{name}' links: ignored");
        address.warnings.extend(refused.iter().map(warning));
    }
    let unknown = address.options.iter().filter(|(key, _)| !is_known(key));
    address
        .warnings
        .extend(unknown.map(|(key, _)| format!("unknown option '{key}'")));
    Ok(address)
}

/// How the scheme was separated from the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `MODE://`
    Url,
    /// `MODE:` or `MODE/`
    Legacy,
}

/// What precedes the first colon.
struct Scheme {
    kind: TransportKind,
    /// One of the names a desktop hands over when a link is clicked: its options are someone else's.
    untrusted: bool,
}

impl Scheme {
    fn named(name: &str) -> Result<Self, Problem> {
        let lower = name.to_ascii_lowercase();
        let handler = lower.strip_prefix("xpra");
        let kind = match handler.map_or(lower.as_str(), |rest| rest.strip_prefix('+').unwrap_or(rest)) {
            "" if handler.is_some() => TransportKind::Tcp,
            "s" if handler.is_some() => TransportKind::Ssl,
            "tcp" => TransportKind::Tcp,
            "ssl" | "tls" => TransportKind::Ssl,
            "ws" => TransportKind::Ws,
            "wss" => TransportKind::Wss,
            "ssh" => TransportKind::Ssh,
            "quic" => TransportKind::Quic,
            "vsock" if handler.is_none() => TransportKind::Vsock,
            "socket" if handler.is_none() => TransportKind::Socket,
            "named-pipe" if handler.is_none() => TransportKind::NamedPipe,
            "vnc" | "rfb" | "vnc+ssh" => {
                return Err(Problem::Unsupported(lower, "use a VNC viewer"));
            }
            "udp" | "hyperv" | "wt" | "rdp" => {
                return Err(Problem::Unsupported(lower, "use tcp, ssl or ssh"));
            }
            "http" => return Err(Problem::Unsupported(lower, "use ws")),
            "https" => return Err(Problem::Unsupported(lower, "use wss")),
            _ => return Err(Problem::UnknownKind(name.to_owned())),
        };
        Ok(Self {
            kind,
            untrusted: handler.is_some(),
        })
    }
}

fn socket(rest: &str, form: Form) -> Result<Address, Problem> {
    let (credentials, path) = match rest.find('/').and_then(|slash| rest.get(..slash)?.rfind('@')) {
        Some(at) => (
            credentials(rest.get(..at).unwrap_or_default()),
            rest.get(at + 1..).unwrap_or_default(),
        ),
        None => (Credentials::default(), rest),
    };
    if !path.starts_with('/') {
        return Err(Problem::RelativePath(path.to_owned()));
    }
    let path = if form == Form::Url {
        decode(path)
    } else {
        path.to_owned()
    };
    Ok(Address {
        credentials,
        ..Address::new(Target::Socket(PathBuf::from(path)))
    })
}

fn named_pipe(rest: &str) -> Result<Address, Problem> {
    let name = rest.trim_matches('/');
    if name.is_empty() {
        return Err(Problem::Missing("the pipe's name", "write named-pipe://NAME"));
    }
    Ok(Address::new(Target::NamedPipe(name.to_owned())))
}

/// `CID:PORT[/…]` (`endpoints.md` f.1).
fn vsock(rest: &str) -> Result<Address, Problem> {
    let (user, place) = rest
        .rsplit_once('@')
        .map_or((None, rest), |(user, place)| (Some(user), place));
    let place = place.split('/').next().unwrap_or_default();
    let (cid, port) = place
        .split_once(':')
        .ok_or(Problem::Missing("the port", "write vsock://CID:PORT"))?;
    let target = Target::Vsock {
        cid: vsock_cid(cid)?,
        port: vsock_port(port)?,
    };
    Ok(Address {
        credentials: user.map(credentials).unwrap_or_default(),
        ..Address::new(target)
    })
}

/// A vsock context id by number or name.
pub(super) fn vsock_cid(text: &str) -> Result<u32, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "any" | "auto" => Ok(VSOCK_CID_ANY),
        "hypervisor" => Ok(0),
        "local" => Ok(1),
        "host" => Ok(2),
        number => number.parse().map_err(|_| Problem::ContextId(text.to_owned())),
    }
}

/// A vsock port; `any`, `auto` and 0 mean any.
pub(super) fn vsock_port(text: &str) -> Result<u32, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "any" | "auto" | "0" => Ok(VSOCK_PORT_ANY),
        number => number
            .parse()
            .map_err(|_| Problem::Port(text.to_owned(), 1, u32::MAX)),
    }
}

fn remote(kind: TransportKind, rest: &str, form: Form) -> Result<Address, Problem> {
    let rest = rest.split('#').next().unwrap_or_default();
    let (user, place) = split_user(rest);
    let (authority, path) = match place.split_once('/') {
        // The display may hold no slash here, the host none either: the last one separates (a.3, G3 step 5).
        Some(_) if kind == TransportKind::Ssh && form == Form::Legacy => place
            .trim_end_matches('/')
            .rsplit_once('/')
            .unwrap_or_else(|| (place.trim_end_matches('/'), "")),
        Some(parts) => parts,
        None if kind == TransportKind::Ssh && form == Form::Legacy => legacy_ssh(place),
        None => (place, ""),
    };
    let (host, port) = host_and_port(authority)?;
    let port = port.or_else(|| kind.default_port()).unwrap_or_default();
    let (path, options) = split_path(path)?;
    if path.chars().any(char::is_control) {
        return Err(Problem::Display(path));
    }
    Ok(Address {
        credentials: user.map(credentials).unwrap_or_default(),
        options,
        ..Address::new(Target::Remote(Remote {
            kind,
            host,
            port,
            path,
        }))
    })
}

/// Splits `USER:PASSWORD@` off: at the last `@` of what precedes the first slash after it, as passwords are typed raw.
fn split_user(rest: &str) -> (Option<&str>, &str) {
    let end = rest.find('/').unwrap_or(rest.len());
    match rest.get(..end).and_then(|authority| authority.rfind('@')) {
        Some(at) => (rest.get(..at), rest.get(at + 1..).unwrap_or_default()),
        None => (None, rest),
    }
}

/// `HOST:DISPLAY` and `HOST:PORT:DISPLAY`: in this form the number is the display's, never the port's.
fn legacy_ssh(place: &str) -> (&str, &str) {
    match place.rsplit_once(':') {
        Some((host, display)) if !display.ends_with(']') && !is_ipv6(place) => (host, display),
        _ => (place, ""),
    }
}

/// The display of a path, and the options that follow a comma or take all of it.
fn split_path(path: &str) -> Result<(String, Options), Problem> {
    let (path, list) = match path.split_once(',').unwrap_or((path, "")) {
        (head, _) if head.contains('=') => ("", path),
        parts => parts,
    };
    let options = Options::from_list(list)?;
    Ok((decode(path).trim_start_matches(':').to_owned(), options))
}

fn credentials(user: &str) -> Credentials {
    let (name, password) = match user.split_once(':') {
        Some((name, password)) => (name, Some(Secret::new(decode(password)))),
        None => (user, None),
    };
    Credentials {
        username: (!name.is_empty()).then(|| decode(name)),
        password,
    }
}

/// `HOST`, `HOST:PORT`, `[IPV6]:PORT`, a bare IPv6 address, or IPv6 and a port that no address could end with.
fn host_and_port(authority: &str) -> Result<(String, Option<u16>), Problem> {
    let bad_host = || Problem::Host(authority.to_owned());
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or_else(bad_host)?;
        let address = address.replace("%25", "%");
        if !is_ipv6(&address) {
            return Err(bad_host());
        }
        let port = if port.is_empty() {
            ""
        } else {
            port.strip_prefix(':').ok_or_else(bad_host)?
        };
        (address, port)
    } else if is_ipv6(authority) {
        (authority.to_owned(), "")
    } else {
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        (host.to_owned(), port)
    };
    let host = if host.is_empty() {
        "127.0.0.1".to_owned()
    } else {
        host
    };
    check_host(&host)?;
    let port = match port {
        "" => None,
        port => Some(
            port.parse()
                .map_err(|_| Problem::Port(port.to_owned(), 1, 65535))?,
        ),
    };
    if port == Some(0) {
        return Err(Problem::Port("0".to_owned(), 1, 65535));
    }
    Ok((host, port))
}

/// Refuses what no resolver could mean, and a leading dash, which other programs would take for an option.
pub(super) fn check_host(host: &str) -> Result<(), Problem> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "/@,?#[]\\".contains(c);
    if host.is_empty()
        || host.len() > 255
        || host.starts_with('-')
        || host.contains(odd)
        || (host.contains(':') && !is_ipv6(host))
    {
        return Err(Problem::Host(host.to_owned()));
    }
    Ok(())
}

/// True for an IPv6 address, perhaps with an interface (`fe80::1%eth0`).
pub(super) fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "lo"));
    !zone.is_empty() && !zone.contains(':') && address.parse::<Ipv6Addr>().is_ok()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
