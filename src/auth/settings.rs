//! The text of a module, `NAME:option=value,…`, taken apart (`endpoints.md` h.1).

use std::fmt;
use std::str::FromStr;

use super::error::AuthError;
use crate::address::closest;

/// Options of every module.
pub(super) const COMMON: [&str; 3] = ["prompt", "verify-username", "client-username"];

/// A module's name and options, as written. Both have `-` for `_`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) module: String,
    options: Vec<(String, String)>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("module", &self.module)
            .finish_non_exhaustive()
    }
}

impl FromStr for Settings {
    type Err = AuthError;

    /// `NAME`, `NAME:opt=val,opt=val`, `NAME,opt=val` and `NAME(opt=val,…)`.
    fn from_str(text: &str) -> Result<Self, AuthError> {
        let text = text.trim();
        let end = text.find([':', ',', '(']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let name = normal(name);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(AuthError::Syntax(name));
        }
        let list = match rest.strip_prefix('(') {
            Some(inside) => inside
                .strip_suffix(')')
                .ok_or_else(|| AuthError::Syntax(name.clone()))?,
            None => rest.get(1..).unwrap_or_default(),
        };
        let mut options = Vec::new();
        for item in items(list) {
            // the item itself may be a password
            let (key, value) = item
                .split_once('=')
                .ok_or_else(|| AuthError::Syntax(format!("{name}:..")))?;
            options.push((normal(key), unquote(value).to_owned()));
        }
        Ok(Self {
            module: name,
            options,
        })
    }
}

impl Settings {
    /// Refuses options that are not among `known` and those of every module.
    pub(super) fn check_options(&self, known: &[&'static str]) -> Result<(), AuthError> {
        let all = || known.iter().chain(&COMMON).copied();
        match self
            .options
            .iter()
            .find(|(key, _)| !all().any(|name| name == key))
        {
            None => Ok(()),
            Some((key, _)) => Err(AuthError::UnknownOption {
                module: self.module.clone(),
                option: key.clone(),
                hint: did_you_mean(key, all()),
                known: all().collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// The last value of an option: what is said later counts.
    pub(super) fn get(&self, option: &str) -> Option<&str> {
        let mut last_first = self.options.iter().rev();
        last_first
            .find(|(key, _)| key == option)
            .map(|(_, value)| value.as_str())
    }

    /// All values of an option.
    pub(super) fn all<'a>(&'a self, option: &'a str) -> impl Iterator<Item = &'a str> {
        self.options
            .iter()
            .filter(move |(key, _)| key == option)
            .map(|(_, value)| value.as_str())
    }

    /// The value of an option that has to be there.
    pub(super) fn need(&self, option: &'static str, hint: &str) -> Result<&str, AuthError> {
        let value = self.get(option).filter(|value| !value.is_empty());
        value.ok_or_else(|| AuthError::MissingOption {
            module: self.module.clone(),
            option,
            hint: hint.to_owned(),
        })
    }

    /// A yes or no.
    pub(super) fn flag(&self, option: &str) -> Result<Option<bool>, AuthError> {
        let truth = |value: &str| match value.trim().to_ascii_lowercase().as_str() {
            "yes" | "true" | "1" | "on" => Ok(true),
            "no" | "false" | "0" | "off" => Ok(false),
            _ => Err(self.bad(option, value, "write yes or no")),
        };
        self.get(option).map(truth).transpose()
    }

    /// A whole number between two others.
    pub(super) fn number(&self, option: &str, default: u32, low: u32, high: u32) -> Result<u32, AuthError> {
        let Some(value) = self.get(option) else {
            return Ok(default);
        };
        let number = value.trim().parse().ok();
        number
            .filter(|number| (low..=high).contains(number))
            .ok_or_else(|| self.bad(option, value, &format!("write a number from {low} to {high}")))
    }

    /// The error of a value.
    pub(super) fn bad(&self, option: &str, value: &str, expected: &str) -> AuthError {
        AuthError::BadValue {
            module: self.module.clone(),
            option: option.to_owned(),
            value: value.to_owned(),
            expected: expected.to_owned(),
        }
    }

    /// The error of a module that does not work here.
    pub(super) fn unavailable(&self, reason: impl Into<String>) -> AuthError {
        AuthError::Unavailable {
            module: self.module.clone(),
            reason: reason.into(),
        }
    }
}

/// `; did you mean 'X'?`, or nothing.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, known).map_or_else(String::new, |name| format!("; did you mean '{name}'?"))
}

fn normal(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace('_', "-")
}

/// The parts between commas that are neither in parentheses nor in double quotes.
fn items(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0u32;
    let mut is_quoted = false;
    let separates = move |c: char| {
        match c {
            '"' => is_quoted = !is_quoted,
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0 && !is_quoted
    };
    list.split(separates).filter(|item| !item.trim().is_empty())
}

fn unquote(value: &str) -> &str {
    let inside = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inside.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        text.parse().unwrap()
    }

    #[test]
    fn all_the_ways_to_write_a_module() {
        let expected = settings("exec:command=/bin/x,timeout=5");
        for text in [
            "exec,command=/bin/x,timeout=5",
            "exec(command=/bin/x,timeout=5)",
            " EXEC:command=/bin/x,,timeout=5",
        ] {
            assert_eq!(settings(text), expected, "{text}");
        }
        assert_eq!(settings("http_header"), settings("http-header"));
        assert_eq!(expected.get("timeout"), Some("5"));
    }

    #[test]
    fn values_with_commas() {
        let quoted = settings("ldap:username_format=\"cn=%username, o=x\",port=1");
        assert_eq!(quoted.get("username-format"), Some("cn=%username, o=x"));
        assert_eq!(quoted.get("port"), Some("1"));
        let nested = settings("exec(command=/bin/x f(a,b),timeout=2)");
        assert_eq!(nested.get("command"), Some("/bin/x f(a,b)"));
    }

    #[test]
    fn what_is_no_module() {
        for text in ["", ":x=1", "a b", "exec(command=x", "password:hunter2", "é"] {
            let error = text.parse::<Settings>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
