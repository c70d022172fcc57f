//! The tree of `info` as lines `key.path=value`, written as xpra 3.1 writes them, and as JSON.

use crate::codec::Value;
use serde_json::{Number, Value as Json};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Prints a line for each value of the tree, sorted by path.
pub(super) fn print(tree: &Value, out: &mut dyn Write) -> io::Result<()> {
    for (path, value) in flatten(tree) {
        match value {
            // these are ids of the X server, which other programs print so too
            Value::Int(id) if path.ends_with("xid") => writeln!(out, "{path}={id:#x}")?,
            value => writeln!(out, "{path}={}", text(value))?,
        }
    }
    Ok(())
}

/// The values of the tree and the dotted path to each, sorted as people count: `a.9` before `a.10`.
pub(super) fn flatten(tree: &Value) -> Vec<(String, &Value)> {
    let mut leaves = Vec::new();
    collect(tree, "", &mut leaves);
    leaves.sort_by_cached_key(|(path, _)| counting_key(path));
    leaves
}

fn collect<'a>(tree: &'a Value, path: &str, leaves: &mut Vec<(String, &'a Value)>) {
    for (key, value) in tree.as_map().unwrap_or_default() {
        let key = text(key);
        let path = match (path.is_empty(), key.is_empty()) {
            (true, _) => key,
            // the value of the dictionary itself
            (_, true) => path.to_owned(),
            _ => format!("{path}.{key}"),
        };
        match value {
            Value::Map(_) => collect(value, &path, leaves),
            Value::Null => {}
            value => leaves.push((path, value)),
        }
    }
}

/// Text and number in turns: numbers compare by their number of digits first.
fn counting_key(path: &str) -> Vec<(String, (usize, String))> {
    let mut key = Vec::new();
    let mut rest = path;
    loop {
        let start = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (words, more) = rest.split_at_checked(start).unwrap_or((rest, ""));
        let end = more.find(|c: char| !c.is_ascii_digit()).unwrap_or(more.len());
        let (digits, more) = more.split_at_checked(end).unwrap_or((more, ""));
        let number = digits.trim_start_matches('0');
        // no number at all comes before zero
        let digits = if digits.is_empty() { 0 } else { number.len() + 1 };
        key.push((words.to_owned(), (digits, number.to_owned())));
        if more.is_empty() && digits == 0 {
            return key;
        }
        rest = more;
    }
}

/// A value on one line.
pub(super) fn text(value: &Value) -> String {
    match value.as_text() {
        Some(text) => line(&text),
        None => {
            let mut text = String::new();
            literal(value, &mut text);
            text
        }
    }
}

/// A text on one line, without anything in it that would command a terminal.
pub(super) fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    text.chars().for_each(|c| push_escaped(c, &mut line));
    line
}

fn push_escaped(c: char, out: &mut String) {
    let _infallible = match c {
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        c if c.is_control() => write!(out, "\\x{:02x}", u32::from(c)),
        c => write!(out, "{c}"),
    };
}

/// A value as Python writes it in a program.
fn literal(value: &Value, out: &mut String) {
    let _infallible = match value {
        Value::Null => write!(out, "None"),
        Value::Bool(true) => write!(out, "True"),
        Value::Bool(false) => write!(out, "False"),
        Value::Int(v) => write!(out, "{v}"),
        Value::BigInt(digits) => write!(out, "{digits}"),
        Value::Float(v) if v.is_nan() => write!(out, "nan"),
        Value::Float(v) => write!(out, "{v:?}"),
        Value::Bytes(_) | Value::Text(_) => {
            quote(&value.as_text().unwrap_or_default(), out);
            Ok(())
        }
        Value::List(items) => {
            out.push('(');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                literal(item, out);
            }
            write!(out, "{}", if items.len() == 1 { ",)" } else { ")" })
        }
        Value::Map(pairs) => {
            out.push('{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                literal(key, out);
                out.push_str(": ");
                literal(value, out);
            }
            write!(out, "}}")
        }
    };
}

fn quote(text: &str, out: &mut String) {
    let mark = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(mark);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            c if c == mark => out.extend(['\\', c]),
            c => push_escaped(c, out),
        }
    }
    out.push(mark);
}

/// The tree as plain JSON, dictionaries nested as they came.
pub(super) fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(v) => Json::Bool(*v),
        Value::Int(v) => Json::from(*v),
        Value::BigInt(digits) => digits
            .parse::<u64>()
            .map_or_else(|_| Json::from(digits.as_str()), Json::from),
        Value::Float(v) => Number::from_f64(*v).map_or(Json::Null, Json::Number),
        Value::Bytes(_) | Value::Text(_) => Json::from(value.as_text().unwrap_or_default()),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(pairs) => Json::Object(
            pairs
                .iter()
                .map(|(key, value)| (text(key), to_json(value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
        Value::Map(pairs.into_iter().map(|(k, v)| (Value::from(k), v)).collect())
    }

    fn tree() -> Value {
        map([
            (
                "windows",
                map([
                    ("10", map([("xid", 0x2a.into())])),
                    ("9", map([("size", [1, 2].into())])),
                ]),
            ),
            ("cursor", map([("", "on".into()), ("none", Value::Null)])),
            ("argv", vec!["it's", "plain"].into()),
            ("name", Value::Bytes(Bytes::from_static("tëxt\nline".as_bytes()))),
            ("one", vec![1].into()),
            ("ratio", 0.5.into()),
            ("shared", true.into()),
        ])
    }

    #[test]
    fn lines_are_those_of_xpra() {
        let mut out = Vec::new();
        print(&tree(), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "argv=(\"it's\", 'plain')\ncursor=on\nname=tëxt\\nline\none=(1,)\nratio=0.5\nshared=True\n\
             windows.9.size=(1, 2)\nwindows.10.xid=0x2a\n"
        );
    }

    #[test]
    fn paths_are_sorted_as_people_count() {
        let sorted = [
            "a", "a.0.b", "a.9", "a.09b", "a.10", "a.10.z", "a.b", "b1", "b1c", "b100",
        ];
        let mut paths = sorted.to_vec();
        paths.reverse();
        paths.sort_by_cached_key(|path| counting_key(path));
        assert_eq!(paths, sorted);
    }

    #[test]
    fn json_is_nested() {
        let json = to_json(&tree());
        assert_eq!(json["windows"]["10"]["xid"], 42);
        assert_eq!(json["name"], "tëxt\nline");
        assert_eq!(json["argv"][1], "plain");
        assert_eq!(json["cursor"]["none"], Json::Null);
        assert_eq!(to_json(&Value::from(u64::MAX)), u64::MAX);
        assert_eq!(to_json(&f64::NAN.into()), Json::Null);
    }

    #[test]
    fn terminals_are_not_commanded() {
        assert_eq!(text(&"a\u{1b}[2J\u{9b}\r".into()), "a\\x1b[2J\\x9b\\r");
    }

    #[test]
    fn values_inside_of_lists_are_literals() {
        let value = Value::List(vec![
            "a'b\"c\\\t\u{1b}".into(),
            map([("k", Value::Null)]),
            Value::List(Vec::new()),
            1e300.into(),
        ]);
        assert_eq!(text(&value), "('a\\'b\"c\\\\\\t\\x1b', {'k': None}, (), 1e300)");
    }
}
