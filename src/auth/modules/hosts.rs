//! `hosts`: the rules of `/etc/hosts.allow` and `/etc/hosts.deny` for the daemon `xpra`, as far as they go by address
//! (hosts_access(5)).
//!
//! Names are not looked up. A rule that would need them is taken for the stricter: it allows nobody and denies
//! everybody.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;

use super::super::chain::Context;
use super::super::error::AuthError;
use super::super::module::{Case, Denial, Judgement, Module};
use super::super::settings::Settings;
use super::password::read;

/// The name rules know this program by.
const DAEMON: &str = "xpra";

/// Longest file.
const MAX_FILE: usize = 1 << 20;

/// The files, which are read for each login.
#[derive(Debug)]
struct Hosts {
    allow: PathBuf,
    deny: PathBuf,
}

pub(crate) fn build(_: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    Ok(Arc::new(Hosts {
        allow: PathBuf::from("/etc/hosts.allow"),
        deny: PathBuf::from("/etc/hosts.deny"),
    }))
}

impl Module for Hosts {
    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement> {
        Box::pin(async move {
            let decided = spawn_blocking(move || {
                let client = case.peer.info.peer.parse().ok();
                let client = client.map(|address: SocketAddr| address.ip().to_canonical());
                Ok::<_, io::Error>(admits(&rules(&self.allow)?, &rules(&self.deny)?, client))
            });
            match decided.await {
                Ok(Ok(true)) => Ok(None),
                Ok(Ok(false)) => Err(Denial::new("the host is denied")),
                Ok(Err(error)) => Err(Denial::new(format!("cannot read the rules: {error}"))),
                Err(_) => Err(Denial::new("reading the rules was given up")),
            }
        })
    }
}

/// The text of a file; none is an empty one.
fn rules(path: &std::path::Path) -> io::Result<String> {
    match read(path, MAX_FILE) {
        Ok(content) => Ok(String::from_utf8_lossy(&content).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Whether a client (`None`: one without an IP address, of this machine) may come in: the first rule that is about it
/// decides, and without one it may.
fn admits(allow: &str, deny: &str, client: Option<IpAddr>) -> bool {
    let allowed = verdict(allow, client, true);
    allowed.or_else(|| verdict(deny, client, false)).unwrap_or(true)
}

/// What the first matching rule of a file says; `allows` when it does not say otherwise itself.
fn verdict(rules: &str, client: Option<IpAddr>, allows: bool) -> Option<bool> {
    let joined = rules.replace("\\\n", "");
    let lines = joined.lines().map(str::trim);
    lines.filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = fields(line).into_iter();
        let (daemons, clients) = (fields.next()?, fields.next()?);
        let options: Vec<_> = fields.map(|option| option.trim().to_ascii_lowercase()).collect();
        let says = |word: &str| {
            options
                .iter()
                .any(|option| option.split_whitespace().next() == Some(word))
        };
        let allows = match (says("allow"), says("deny") || says("twist")) {
            (_, true) => false,
            (true, false) => true,
            (false, false) => allows,
        };
        let is_about = |list: &str, one: &dyn Fn(&str) -> Match| matches(list, one).unwrap_or(!allows);
        let is_daemon = is_about(daemons, &|word| match word {
            "ALL" => Some(true),
            word if word.contains('@') => None,
            word => Some(word == DAEMON),
        });
        (is_daemon && is_about(clients, &|word| matches_client(word, client))).then_some(allows)
    })
}

/// Whether a pattern fits; `None` when that cannot be told.
type Match = Option<bool>;

/// The parts of a rule, with colons between that are not in the brackets of an IPv6 address.
fn fields(line: &str) -> Vec<&str> {
    let mut depth = 0u32;
    let separates = |c: char| {
        match c {
            '[' => depth = depth.saturating_add(1),
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ':' && depth == 0
    };
    line.split(separates).collect()
}

/// Whether a list such as `ALL EXCEPT 10. 192.0.2.1` fits.
fn matches(list: &str, one: &dyn Fn(&str) -> Match) -> Match {
    let words = list.split([' ', '\t', ',']).filter(|word| !word.is_empty());
    let parts: Vec<Vec<&str>> = words.fold(vec![Vec::new()], |mut parts, word| {
        match (word, parts.last_mut()) {
            ("EXCEPT", _) => parts.push(Vec::new()),
            (word, Some(part)) => part.push(word),
            (_, None) => {}
        }
        parts
    });
    // `a EXCEPT b EXCEPT c` is `a EXCEPT (b EXCEPT c)`
    let mut exception = Some(false);
    for part in parts.iter().rev() {
        let any = part.iter().map(|word| one(word)).fold(Some(false), or);
        exception = and(any, exception.map(|is| !is));
    }
    exception
}

const fn or(a: Match, b: Match) -> Match {
    match (a, b) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

const fn and(a: Match, b: Match) -> Match {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn matches_client(word: &str, client: Option<IpAddr>) -> Match {
    let Some(client) = client else {
        return Some(matches!(word, "ALL" | "LOCAL"));
    };
    if word == "ALL" {
        return Some(true);
    }
    if word == "LOCAL" || word == "localhost" {
        return client.is_loopback().then_some(true);
    }
    if let Some((network, mask)) = word.split_once('/').filter(|(network, _)| !network.is_empty()) {
        return in_network(client, network, mask);
    }
    if let Some(prefix) = word.strip_suffix('.') {
        let text = client.to_string();
        return Some(
            text.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with('.')),
        );
    }
    address(word).map(|address| address == client)
}

fn address(text: &str) -> Option<IpAddr> {
    let plain = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address: IpAddr = plain.unwrap_or(text).parse().ok()?;
    Some(address.to_canonical())
}

/// `NETWORK/BITS` or, for IPv4, `NETWORK/MASK`.
fn in_network(client: IpAddr, network: &str, mask: &str) -> Match {
    match (address(network)?, client) {
        (IpAddr::V4(network), IpAddr::V4(client)) => {
            let mask = match mask.parse::<Ipv4Addr>() {
                Ok(mask) => mask.to_bits(),
                Err(_) => {
                    let host = 32u32.checked_sub(mask.parse().ok()?)?;
                    u32::MAX.checked_shl(host).unwrap_or_default()
                }
            };
            Some(client.to_bits() & mask == network.to_bits() & mask)
        }
        (IpAddr::V6(network), IpAddr::V6(client)) => {
            let host = 128u32.checked_sub(mask.parse().ok()?)?;
            let mask = u128::MAX.checked_shl(host).unwrap_or_default();
            let masked = |address: Ipv6Addr| address.to_bits() & mask;
            Some(masked(client) == masked(network))
        }
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::*;
    use super::*;

    fn may(allow: &str, deny: &str, client: &str) -> bool {
        admits(allow, deny, client.parse().ok())
    }

    #[test]
    fn the_first_rule_decides() {
        let deny_all = "ALL: ALL\n";
        assert!(may("", "", "192.0.2.1"));
        assert!(!may("", deny_all, "192.0.2.1"));
        assert!(!may("", "xpra: 192.0.2.1", "192.0.2.1"));
        assert!(may("", "sshd: ALL", "192.0.2.1"));
        assert!(may("# all\n\nsshd, xpra : 192.0.2.", deny_all, "192.0.2.1"));
        assert!(!may("xpra: 192.0.2.", deny_all, "192.0.20.1"));
        assert!(may("xpra: \\\n 192.0.2.1", deny_all, "192.0.2.1"));
        assert!(!may("xpra: ALL: deny", "", "192.0.2.1"));
        assert!(may("", "xpra: ALL: severity auth.info : ALLOW", "192.0.2.1"));
        assert!(!may("xpra: ALL: twist /bin/echo no", "", "192.0.2.1"));
        assert!(may("xpra: ALL: spawn /bin/true", deny_all, "192.0.2.1"));
    }

    #[test]
    fn patterns() {
        let yes = |pattern: &str, client: &str| may(&format!("ALL: {pattern}"), "ALL: ALL", client);
        for (pattern, inside, outside) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.10"),
            ("10.", "10.1.2.3", "100.1.2.3"),
            ("192.0.2.0/24", "192.0.2.9", "192.0.3.9"),
            ("192.0.2.0/255.255.254.0", "192.0.3.9", "192.0.4.9"),
            ("0.0.0.0/0", "192.0.3.9", "2001:db8::1"),
            ("[2001:db8::]/32", "2001:db8:1::1", "2001:db9::1"),
            ("[2001:db8::1]", "2001:db8::1", "2001:db8::2"),
            ("ALL EXCEPT 10.", "192.0.2.1", "10.0.0.1"),
            ("ALL EXCEPT 10. EXCEPT 10.1.", "10.1.0.1", "10.2.0.1"),
            ("LOCAL", "127.0.0.1", "192.0.2.1"),
            ("ALL", "::1", "not an address, so local: but see below"),
        ] {
            assert!(yes(pattern, inside), "{pattern} {inside}");
            assert!(pattern == "ALL" || !yes(pattern, outside), "{pattern} {outside}");
        }
        assert!(yes("LOCAL", "a socket"));
        assert!(!yes("192.0.2.1", "a socket"));
        for nonsense in ["1.2.3.0/33", "1.2.3/24", "/etc/file", "[::1", "192.0.2.0/-1"] {
            assert!(!yes(nonsense, "1.2.3.4"), "{nonsense}");
        }
    }

    #[test]
    fn what_names_would_decide_is_decided_strictly() {
        for name in [
            ".example.com",
            "host.example.com",
            "KNOWN",
            "PARANOID",
            "fred@ALL",
            "@group",
            "*.com",
        ] {
            assert!(!may(&format!("xpra: {name}"), "ALL: ALL", "192.0.2.1"), "{name}");
            assert!(!may("", &format!("xpra: {name}"), "192.0.2.1"), "{name}");
            assert!(
                !may(&format!("xpra: ALL EXCEPT {name}"), "ALL: ALL", "192.0.2.1"),
                "{name}"
            );
        }
        assert!(may("", "sshd: .example.com", "192.0.2.1"));
    }

    #[tokio::test]
    async fn the_files_are_read_for_each_login() {
        let directory = tempfile::tempdir().unwrap();
        let hosts = Arc::new(Hosts {
            allow: directory.path().join("allow"),
            deny: directory.path().join("deny"),
        });
        let case = || Case {
            peer: Arc::new(remote("fred")),
            username: String::new(),
            proof: super::super::super::module::Proof::Nothing,
        };
        assert_eq!(Arc::clone(&hosts).judge(case()).await, Ok(None));
        std::fs::write(&hosts.deny, "xpra: 192.0.2.\n").unwrap();
        assert!(Arc::clone(&hosts).judge(case()).await.is_err());
        std::fs::write(&hosts.allow, "xpra: 192.0.2.1\n").unwrap();
        assert_eq!(hosts.judge(case()).await, Ok(None));
    }
}
