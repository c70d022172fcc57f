//! The part of `~/.ssh/config` that says where a host is and who to be there. The built-in client reads it; `ssh` reads
//! all of it by itself.

use std::path::{Path, PathBuf};

/// The largest file that is read.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// What the file says about one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HostConfig {
    pub(super) host_name: Option<String>,
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) identity_files: Vec<PathBuf>,
    /// Hosts on the way, in order.
    pub(super) proxy_jump: Option<Vec<String>>,
    pub(super) known_hosts: Option<Vec<PathBuf>>,
    pub(super) strict: Option<Strict>,
}

/// What to do about hosts that are not known (`StrictHostKeyChecking`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strict {
    /// Trust them, and remember.
    AcceptNew,
    /// Ask.
    Ask,
    /// Refuse them.
    Yes,
}

impl HostConfig {
    /// What `text` says about `host`: of each value the first that applies counts, key files add up.
    pub(super) fn parse(text: &str, host: &str, home: &Path) -> Self {
        let mut config = Self::default();
        let mut applies = true;
        for line in text.lines() {
            let Some((keyword, value)) = split(line) else {
                continue;
            };
            let words: Vec<_> = value
                .split_whitespace()
                .map(|word| word.trim_matches('"'))
                .collect();
            match keyword.to_ascii_lowercase().as_str() {
                "host" => applies = matches_any(&words, host),
                // conditions that only ssh can check
                "match" => applies = words == ["all"],
                keyword if applies => config.set(keyword, value, &words, home),
                _ => {}
            }
        }
        config.expand(host);
        config
    }

    fn set(&mut self, keyword: &str, value: &str, words: &[&str], home: &Path) {
        let first = || words.first().map(|&word| word.to_owned());
        let path = |word: &&str| at_home(word, home);
        match keyword {
            "hostname" => self.host_name = self.host_name.take().or_else(first),
            "user" => self.user = self.user.take().or_else(first),
            "port" => self.port = self.port.or_else(|| first()?.parse().ok()),
            "identityfile" => self.identity_files.push(at_home(value.trim_matches('"'), home)),
            "proxyjump" if self.proxy_jump.is_none() => {
                let hops = value.split(',').map(|hop| hop.trim().to_owned());
                self.proxy_jump = Some(hops.filter(|hop| hop != "none" && !hop.is_empty()).collect());
            }
            "userknownhostsfile" if self.known_hosts.is_none() => {
                let files = words.iter().filter(|word| **word != "none");
                self.known_hosts = Some(files.map(path).collect());
            }
            "stricthostkeychecking" if self.strict.is_none() => {
                self.strict = match value.to_ascii_lowercase().as_str() {
                    "yes" | "true" => Some(Strict::Yes),
                    "no" | "off" | "false" | "accept-new" => Some(Strict::AcceptNew),
                    _ => Some(Strict::Ask),
                };
            }
            _ => {}
        }
    }

    /// `%h` in the name of the host is what the user called it, elsewhere it is the name.
    fn expand(&mut self, host: &str) {
        if let Some(name) = &mut self.host_name {
            *name = name.replace("%h", host).replace("%%", "%");
        }
        let name = self.host_name.clone().unwrap_or_else(|| host.to_owned());
        for file in &mut self.identity_files {
            if let Some(text) = file.to_str().filter(|text| text.contains('%')) {
                *file = PathBuf::from(text.replace("%h", &name).replace("%%", "%"));
            }
        }
    }
}

/// `Keyword value`, `Keyword=value`; nothing of comments and empty lines.
fn split(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let (keyword, rest) = line.split_at_checked(end)?;
    let value = rest.trim_start();
    let value = value.strip_prefix('=').unwrap_or(value).trim();
    (!value.is_empty()).then_some((keyword, value))
}

fn at_home(path: &str, home: &Path) -> PathBuf {
    match path.strip_prefix("~/").or_else(|| path.strip_prefix("%d/")) {
        Some(rest) => home.join(rest),
        None => PathBuf::from(path),
    }
}

/// Whether one of the patterns matches and none of the negated ones does.
pub(super) fn matches_any<'a>(patterns: impl IntoIterator<Item = &'a &'a str>, host: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern, host) => return false,
            Some(_) => {}
            None => found |= matches(pattern, host),
        }
    }
    found
}

/// `*` stands for any text, `?` for any character; letters of either case are the same.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let (mut p, mut t) = (0, 0);
    // where to go on when what follows the last `*` does not fit
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match &mut retry {
                Some((after, from)) => {
                    *from += 1;
                    (p, t) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, host, expected) in [
            ("*", "", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("10.0.?.*", "10.0.7.12", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("HOST", "host", true),
            ("h?st", "hst", false),
        ] {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}");
        }
        assert!(matches_any(&["*", "!evil"], "good"));
        assert!(!matches_any(&["*", "!evil"], "evil"));
        assert!(!matches_any(&["!evil"], "good"));
    }

    #[test]
    fn the_first_value_counts_and_key_files_add_up() {
        let text = "
            # comment
            User=first
            Host work *.corp !old.corp
              HostName %h.example.com
              User second
              Port 2222
              IdentityFile ~/.ssh/%h
              ProxyJump me@one:22, two
              UserKnownHostsFile \"~/known\" /etc/known
              StrictHostKeyChecking accept-new
            Match exec \"false\"
              Port 1
            Host *
              Port 3
              IdentityFile \"/keys/two words\"
        ";
        let home = Path::new("/home/u");
        let config = HostConfig::parse(text, "work", home);
        let expected = HostConfig {
            host_name: Some("work.example.com".to_owned()),
            user: Some("first".to_owned()),
            port: Some(2222),
            identity_files: vec!["/home/u/.ssh/work.example.com".into(), "/keys/two words".into()],
            proxy_jump: Some(vec!["me@one:22".to_owned(), "two".to_owned()]),
            known_hosts: Some(vec!["/home/u/known".into(), "/etc/known".into()]),
            strict: Some(Strict::AcceptNew),
        };
        assert_eq!(config, expected);
        let config = HostConfig::parse(text, "old.corp", home);
        assert_eq!((config.port, config.host_name), (Some(3), None));
        assert_eq!(
            HostConfig::parse("Host\nPort\n\u{0}= =", "x", home),
            HostConfig::default()
        );
    }
}
