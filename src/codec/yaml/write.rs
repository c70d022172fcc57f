//! Values to documents in block style, laid out as the reference does (`wire.md` 2.4).

use std::borrow::Cow;

use super::super::{EncodeError, Value, json};
use super::{base64, schema};

/// Lines are folded behind this column.
const WIDTH: usize = 80;
/// Spaces of a level.
const INDENT: usize = 2;
/// Deeper values are a mistake of ours.
const MAX_DEPTH: usize = 512;
/// A longer key stands behind a question mark; the tag it would have counts too.
const MAX_SIMPLE_KEY: usize = 128;
/// Characters in a line of base64.
const BASE64_LINE: usize = 76;

/// Appends `value` as a document.
pub(in super::super) fn encode(value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut writer = Writer::new(out);
    writer.node(value, None, Place::Root)?;
    if writer.plain_root {
        writer.line_break();
        writer.put("...");
    }
    writer.line_break();
    Ok(())
}

/// Appends the list of `items` as a document.
pub(in super::super) fn encode_list<'a>(
    items: impl ExactSizeIterator<Item = &'a Value>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut writer = Writer::new(out);
    writer.list(items, None, Place::Root)?;
    writer.line_break();
    Ok(())
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Item,
    /// The key before a colon on the same line.
    SimpleKey,
    /// A key behind a question mark, or a value.
    Pair,
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    column: usize,
    /// Nothing but blanks came last.
    blank: bool,
    /// Nothing but blanks and indicators is on this line.
    indicators: bool,
    depth: usize,
    /// The document is one plain scalar, which needs an end mark.
    plain_root: bool,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            column: 0,
            blank: true,
            indicators: true,
            depth: MAX_DEPTH,
            plain_root: false,
        }
    }

    fn node(&mut self, value: &Value, indent: Option<usize>, place: Place) -> Result<(), EncodeError> {
        self.depth = self.depth.checked_sub(1).ok_or(EncodeError::Depth)?;
        match value {
            Value::List(items) => self.list(items.iter(), indent, place)?,
            Value::Map(pairs) => self.map(pairs, indent)?,
            Value::Bytes(data) => self.binary(data, indent),
            Value::Text(text) => self.text(text, indent, place),
            scalar => self.plain(&plain_form(scalar), indent, place),
        }
        self.depth += 1;
        Ok(())
    }

    fn list<'v>(
        &mut self,
        items: impl ExactSizeIterator<Item = &'v Value>,
        indent: Option<usize>,
        place: Place,
    ) -> Result<(), EncodeError> {
        if items.len() == 0 {
            self.indicator("[]", false);
            return Ok(());
        }
        // The dashes of a value's list stand below its key.
        let flush = place == Place::Pair && !self.indicators;
        let indent = indent.map_or(0, |indent| if flush { indent } else { indent + INDENT });
        for item in items {
            self.new_line(indent);
            self.indicator("-", true);
            self.node(item, Some(indent), Place::Item)?;
        }
        Ok(())
    }

    fn map(&mut self, pairs: &[(Value, Value)], indent: Option<usize>) -> Result<(), EncodeError> {
        if pairs.is_empty() {
            self.indicator("{}", false);
            return Ok(());
        }
        let indent = indent.map_or(0, |indent| indent + INDENT);
        for (key, value) in sorted(pairs) {
            self.new_line(indent);
            if is_simple_key(key) {
                self.node(key, Some(indent), Place::SimpleKey)?;
                self.put(":");
            } else {
                self.indicator("?", true);
                self.node(key, Some(indent), Place::Pair)?;
                self.new_line(indent);
                self.indicator(":", true);
            }
            self.node(value, Some(indent), Place::Pair)?;
        }
        Ok(())
    }

    fn binary(&mut self, data: &[u8], indent: Option<usize>) {
        self.indicator("!!binary", false);
        if data.is_empty() {
            self.indicator("\"\"", false);
            return;
        }
        self.indicator("|", false);
        let digits = base64::encode(data);
        for line in digits.as_bytes().chunks(BASE64_LINE) {
            self.line_break();
            self.new_line(inner(indent));
            self.put(&String::from_utf8_lossy(line));
        }
    }

    fn text(&mut self, text: &str, indent: Option<usize>, place: Place) {
        let form = Form::of(text);
        let one_line = place == Place::SimpleKey;
        let multiline = is_multiline(text);
        if form.plain && schema::is_text(text) && !(one_line && (multiline || text.is_empty())) {
            self.plain(text, indent, place);
        } else if form.single_quoted && !(one_line && multiline) {
            self.single_quoted(text, inner(indent), !one_line);
        } else {
            self.double_quoted(text, inner(indent), !one_line);
        }
    }

    fn plain(&mut self, text: &str, indent: Option<usize>, place: Place) {
        self.plain_root = place == Place::Root;
        self.gap();
        self.words(text, inner(indent), place != Place::SimpleKey, |_| true);
    }

    fn single_quoted(&mut self, text: &str, indent: usize, fold: bool) {
        self.indicator("'", false);
        let mut rest = text;
        while !rest.is_empty() {
            let breaks = rest.len() - rest.trim_start_matches('\n').len();
            if breaks > 0 {
                // One break more than there are: a single one would fold into a space.
                for _ in 0..=breaks {
                    self.line_break();
                }
                self.new_line(indent);
                rest = rest.get(breaks..).unwrap_or_default();
                continue;
            }
            let (line, next) = rest.split_at(rest.find('\n').unwrap_or(rest.len()));
            let (first, last) = (rest.len() == text.len(), next.is_empty());
            // Blanks at either end of the text must stay.
            self.words(&line.replace('\'', "''"), indent, fold, |at| {
                !(first && at.start || last && at.end)
            });
            rest = next;
        }
        self.put("'");
    }

    /// Writes a line of text; it may be folded at a single space where `may_fold` agrees.
    fn words(&mut self, line: &str, indent: usize, fold: bool, may_fold: impl Fn(Ends) -> bool) {
        let mut rest = line;
        while !rest.is_empty() {
            let blanks = rest.len() - rest.trim_start_matches(' ').len();
            let (space, after) = rest.split_at(blanks);
            let at = Ends {
                start: rest.len() == line.len(),
                end: after.is_empty(),
            };
            if fold && blanks == 1 && self.column > WIDTH && may_fold(at) {
                self.new_line(indent);
            } else {
                self.put(space);
            }
            let (word, next) = after.split_at(after.find(' ').unwrap_or(after.len()));
            self.put(word);
            rest = next;
        }
    }

    fn double_quoted(&mut self, text: &str, indent: usize, fold: bool) {
        self.indicator("\"", false);
        let mut characters = text.char_indices().peekable();
        // What was not written yet; the reference decides about folding before it writes a run.
        let mut run = String::new();
        let last = text.char_indices().last().map_or(0, |(at, _)| at);
        while let Some((at, character)) = characters.next() {
            let escaped = escape(character);
            if let Some(escaped) = &escaped {
                self.put(&std::mem::take(&mut run));
                self.put(escaped);
            }
            let inside = 0 < at && at < last;
            let place = character == ' ' || run.is_empty();
            // The reference takes the column before an escape's last character.
            let column = self.column + run.len() - usize::from(escaped.is_some());
            if fold && inside && place && column > WIDTH {
                self.put(&std::mem::take(&mut run));
                self.put("\\");
                self.new_line(indent);
                let next = if escaped.is_some() {
                    characters.peek().map(|(_, next)| *next)
                } else {
                    Some(character)
                };
                if next == Some(' ') {
                    self.put("\\");
                }
            }
            if escaped.is_none() {
                run.push(character);
            }
        }
        self.put(&run);
        self.put("\"");
    }

    /// A mark that a blank sets off from what is before it.
    fn indicator(&mut self, mark: &str, structural: bool) {
        let indicators = self.indicators && structural;
        self.gap();
        self.put(mark);
        self.indicators = indicators;
    }

    fn gap(&mut self) {
        if !self.blank {
            self.put(" ");
        }
    }

    fn put(&mut self, text: &str) {
        if !text.is_empty() {
            self.out.extend_from_slice(text.as_bytes());
            self.column += text.chars().count();
            self.blank = false;
            self.indicators = false;
        }
    }

    fn line_break(&mut self) {
        self.out.push(b'\n');
        self.column = 0;
        self.blank = true;
        self.indicators = true;
    }

    /// Goes to column `indent`: of this line, when only indicators are before it.
    fn new_line(&mut self, indent: usize) {
        if !self.indicators || self.column > indent || (self.column == indent && !self.blank) {
            self.line_break();
        }
        if self.column < indent {
            self.out.resize(self.out.len() + indent - self.column, b' ');
            self.column = indent;
            self.blank = true;
        }
    }
}

/// Whether a blank stands at the start or the end of its line.
struct Ends {
    start: bool,
    end: bool,
}

/// The column where the further lines of a scalar start.
fn inner(indent: Option<usize>) -> usize {
    indent.map_or(INDENT, |indent| indent + INDENT)
}

/// A scalar that is neither text nor bytes.
fn plain_form(value: &Value) -> Cow<'static, str> {
    match value {
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        Value::Int(value) => value.to_string().into(),
        Value::BigInt(digits) => digits.to_string().into(),
        Value::Float(value) if value.is_nan() => ".nan".into(),
        Value::Float(value) if value.is_infinite() => if *value > 0.0 { ".inf" } else { "-.inf" }.into(),
        Value::Float(value) => {
            // A float without a point would be text in YAML 1.1.
            let text = json::repr(*value);
            if text.contains('.') {
                text.into()
            } else {
                text.replace('e', ".0e").into()
            }
        }
        _ => "null".into(),
    }
}

/// True when the key goes before a colon on its line. Its tag counts, though it is not written.
fn is_simple_key(key: &Value) -> bool {
    let len = match key {
        Value::Bytes(_) => return false,
        Value::List(items) => return items.is_empty(),
        Value::Map(pairs) => return pairs.is_empty(),
        Value::Text(text) if text.is_empty() || is_multiline(text) => return false,
        Value::Text(text) => "!!str".len() + text.chars().count(),
        scalar => "!!float".len() + plain_form(scalar).len(),
    };
    len < MAX_SIMPLE_KEY
}

/// The pairs in the order of their keys, when these compare.
fn sorted(pairs: &[(Value, Value)]) -> Vec<&(Value, Value)> {
    let mut sorted: Vec<_> = pairs.iter().collect();
    if pairs.iter().all(|(key, _)| matches!(key, Value::Text(_)))
        || pairs.iter().all(|(key, _)| matches!(key, Value::Bytes(_)))
    {
        sorted.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(&b.as_bytes()));
    } else if pairs
        .iter()
        .all(|(key, _)| matches!(key, Value::Int(_) | Value::Bool(_)))
    {
        sorted.sort_by_key(|(key, _)| key.as_int());
    }
    sorted
}

/// How a character is written between double quotes, when not as itself.
fn escape(character: char) -> Option<Cow<'static, str>> {
    Some(match character {
        '\0' => "\\0".into(),
        '\x07' => "\\a".into(),
        '\x08' => "\\b".into(),
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '\x0b' => "\\v".into(),
        '\x0c' => "\\f".into(),
        '\r' => "\\r".into(),
        '\x1b' => "\\e".into(),
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\u{85}' => "\\N".into(),
        '\u{a0}' => "\\_".into(),
        '\u{2028}' => "\\L".into(),
        '\u{2029}' => "\\P".into(),
        ' '..='~' => return None,
        other => match u32::from(other) {
            code @ ..=0xff => format!("\\x{code:02X}").into(),
            code @ ..=0xffff => format!("\\u{code:04X}").into(),
            code => format!("\\U{code:08X}").into(),
        },
    })
}

/// Which ways there are to write a text.
struct Form {
    plain: bool,
    single_quoted: bool,
}

impl Form {
    fn of(text: &str) -> Self {
        let special = text.chars().any(|c| c != '\n' && !(' '..='~').contains(&c));
        let single_quoted = !special && !text.contains(" \n") && !text.contains("\n ");
        let plain = single_quoted
            && !text.is_empty()
            && !text.contains('\n')
            && !text.starts_with(' ')
            && !text.ends_with(' ')
            && !has_indicator(text);
        Self { plain, single_quoted }
    }
}

/// True when `text` has what YAML takes for the end of a line.
fn is_multiline(text: &str) -> bool {
    text.contains(['\n', '\u{85}', '\u{2028}', '\u{2029}'])
}

/// True when something in `text` would mean more than text.
fn has_indicator(text: &str) -> bool {
    let lone = |mark: char| {
        text.strip_prefix(mark)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    text.starts_with("---")
        || text.starts_with("...")
        || text.starts_with([
            '#', ',', '[', ']', '{', '}', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`',
        ])
        || lone('?')
        || lone(':')
        || lone('-')
        || text.contains(": ")
        || text.ends_with(':')
        || text.contains(" #")
}
