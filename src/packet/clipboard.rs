//! Clipboard packets: a token says who owns a selection, requests and contents carry its text.

use super::args::{Args, SchemaError};
use crate::codec::{Value, ValueRef};
use compact_str::CompactString;

/// `clipboard-token`: the sender's side owns the selection now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipboardToken {
    /// `CLIPBOARD`, `PRIMARY` or another selection's name.
    pub selection: CompactString,
    /// The text at once, when the sender is eager.
    pub text: Option<String>,
    /// Whether the receiver should take ownership locally.
    pub claim: bool,
    /// Whether the sender wants contents with every token.
    pub greedy: bool,
}

impl ClipboardToken {
    pub(super) fn parse(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        let selection = args.text()?;
        args.skip(); // targets
        args.skip(); // target
        let dtype = args.text_or_empty();
        let (format, coding, data) = (args.value(), args.text_or_empty(), args.value());
        let text = text_of(&dtype, format, &coding, data);
        Ok(Self {
            selection,
            text,
            claim: args.bool_or(true),
            greedy: args.bool_or(false),
        })
    }

    pub(super) fn into_items(self) -> Vec<Value> {
        let targets: Value = ["UTF8_STRING", "TEXT", "STRING", "text/plain"].into();
        let mut items = vec!["clipboard-token".into(), self.selection.into()];
        match self.text {
            Some(text) => items.extend([
                targets,
                "UTF8_STRING".into(),
                "UTF8_STRING".into(),
                8.into(),
                "bytes".into(),
                Value::Bytes(text.into_bytes().into()),
            ]),
            None => items.extend([targets, "".into(), "".into(), 8.into(), "".into(), "".into()]),
        }
        items.extend([self.claim.into(), self.greedy.into(), true.into()]);
        items
    }
}

/// `clipboard-request`: the sender wants the contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipboardRequest {
    /// To be repeated in the answer.
    pub request: u64,
    /// Which selection.
    pub selection: CompactString,
    /// Which target (`UTF8_STRING`, `TARGETS`).
    pub target: CompactString,
}

impl ClipboardRequest {
    pub(super) fn parse(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        Ok(Self {
            request: args.u64()?,
            selection: args.text()?,
            target: args.text()?,
        })
    }

    pub(super) fn into_items(self) -> Vec<Value> {
        vec![
            "clipboard-request".into(),
            self.request.into(),
            self.selection.into(),
            self.target.into(),
        ]
    }
}

/// `clipboard-contents` and `clipboard-contents-none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipboardContents {
    /// The request it answers.
    pub request: u64,
    /// Which selection.
    pub selection: CompactString,
    /// What there is.
    pub contents: Contents,
}

/// The contents of a selection for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing, or nothing we can use.
    None,
    /// Text.
    Text(String),
    /// Names of the targets on offer (the answer to `TARGETS`).
    Targets(Vec<CompactString>),
}

impl ClipboardContents {
    pub(super) fn parse(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        let (request, selection, dtype) = (args.u64()?, args.text()?, args.text_or_empty());
        let (format, coding, data) = (args.value(), args.text_or_empty(), args.value());
        let contents = if dtype == "ATOM" {
            let names = data.as_list().unwrap_or_default();
            Contents::Targets(names.filter_map(ValueRef::as_text).map(Into::into).collect())
        } else {
            text_of(&dtype, format, &coding, data).map_or(Contents::None, Contents::Text)
        };
        Ok(Self {
            request,
            selection,
            contents,
        })
    }

    pub(super) fn parse_none(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        Ok(Self {
            request: args.u64()?,
            selection: args.text_or_empty(),
            contents: Contents::None,
        })
    }

    pub(super) fn into_items(self) -> Vec<Value> {
        let head = |name: &str| {
            vec![
                Value::from(name),
                self.request.into(),
                self.selection.clone().into(),
            ]
        };
        let mut items = match self.contents {
            Contents::None => return head("clipboard-contents-none"),
            _ => head("clipboard-contents"),
        };
        match self.contents {
            Contents::None => {}
            Contents::Text(text) => items.extend([
                "UTF8_STRING".into(),
                8.into(),
                "bytes".into(),
                Value::Bytes(text.into_bytes().into()),
            ]),
            Contents::Targets(names) => {
                items.extend(["ATOM".into(), 32.into(), "atoms".into(), names.into()])
            }
        }
        items.push(false.into());
        items
    }
}

fn text_of(dtype: &str, format: ValueRef<'_>, coding: &str, data: ValueRef<'_>) -> Option<String> {
    if dtype.is_empty() || coding != "bytes" || format.as_int().is_some_and(|bits| bits != 8) {
        return None;
    }
    let bytes = data.as_bytes()?;
    // STRING is Latin-1, everything else UTF-8
    Some(if dtype == "STRING" && !data.is_text() {
        bytes.iter().map(|b| char::from(*b)).collect()
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    })
}
