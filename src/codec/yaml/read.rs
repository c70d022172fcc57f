//! Documents to values.

use std::collections::HashMap;

use bytes::Bytes;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::super::{Limits, Value, ValueError};
use super::{base64, schema};

/// The value of the one document `input` holds; null when it holds none.
pub(in super::super) fn decode(input: &Bytes, limits: &Limits) -> Result<Value, ValueError> {
    let text = std::str::from_utf8(input).map_err(|_| ValueError::Utf8)?;
    let mut builder = Builder {
        limits,
        open: Vec::new(),
        anchors: HashMap::new(),
        items: 0,
        root: None,
    };
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| syntax(&error))?;
        builder.event(event)?;
    }
    Ok(builder.root.unwrap_or_default())
}

fn syntax(error: &ScanError) -> ValueError {
    ValueError::Syntax {
        line: u32::try_from(error.marker().line()).unwrap_or(u32::MAX),
    }
}

/// Puts the values of a stream of events together.
struct Builder<'a> {
    limits: &'a Limits,
    open: Vec<Open>,
    /// What aliases stand for.
    anchors: HashMap<usize, Anchored>,
    items: usize,
    root: Option<Value>,
}

#[derive(Clone)]
struct Anchored {
    value: Value,
    /// The values in it, itself included.
    items: usize,
    /// Its levels: 0 for a scalar.
    height: usize,
}

/// A list or dictionary whose end has not come.
struct Open {
    anchor: usize,
    /// How many values there were before it.
    items: usize,
    /// The levels inside it so far.
    height: usize,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    Map(Vec<(Value, Value)>, Option<Value>),
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>) -> Result<(), ValueError> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => Err(ValueError::Trailing),
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref())?;
                self.count(1)?;
                self.keep(anchor, &value, 1, 0)?;
                self.place(value, 0)
            }
            Event::SequenceStart(anchor, tag) => {
                self.start(anchor, tag.as_deref(), "seq", Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.start(anchor, tag.as_deref(), "map", Content::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some(Anchored { value, items, height }) = self.anchors.get(&anchor).cloned() else {
                    // An alias inside of what it stands for.
                    return Err(ValueError::Depth);
                };
                if self.open.len() + height > self.limits.depth {
                    return Err(ValueError::Depth);
                }
                self.count(items)?;
                self.place(value, height)
            }
            _ => Ok(()),
        }
    }

    fn start(
        &mut self,
        anchor: usize,
        tag: Option<&Tag>,
        expected: &str,
        content: Content,
    ) -> Result<(), ValueError> {
        if tag.is_some_and(|tag| core(tag) != Some(expected)) {
            return Err(ValueError::Tag);
        }
        if self.open.len() >= self.limits.depth {
            return Err(ValueError::Depth);
        }
        self.open.push(Open {
            anchor,
            items: self.items,
            height: 0,
            content,
        });
        self.count(1)
    }

    fn end(&mut self) -> Result<(), ValueError> {
        let Some(Open {
            anchor,
            items,
            height,
            content,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map(pairs, _) => Value::Map(pairs),
        };
        self.keep(anchor, &value, self.items - items, height + 1)?;
        self.place(value, height + 1)
    }

    fn keep(&mut self, anchor: usize, value: &Value, items: usize, height: usize) -> Result<(), ValueError> {
        if anchor == 0 {
            return Ok(());
        }
        self.count(items)?;
        self.anchors.insert(
            anchor,
            Anchored {
                value: value.clone(),
                items,
                height,
            },
        );
        Ok(())
    }

    fn place(&mut self, value: Value, height: usize) -> Result<(), ValueError> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        open.height = open.height.max(height);
        match &mut open.content {
            Content::List(items) => items.push(value),
            Content::Map(pairs, key) => match key.take() {
                Some(key) => pairs.push((key, value)),
                None if matches!(value, Value::List(_) | Value::Map(_)) => {
                    return Err(ValueError::Unhashable);
                }
                None => *key = Some(value),
            },
        }
        Ok(())
    }

    /// Values cost memory, whether they were written or an alias repeats them.
    fn count(&mut self, items: usize) -> Result<(), ValueError> {
        self.items = self
            .items
            .checked_add(items)
            .filter(|items| *items <= self.limits.items)
            .ok_or(ValueError::Items)?;
        Ok(())
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, ValueError> {
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain {
            schema::resolve(text)
        } else {
            Ok(text.into())
        };
    };
    match core(tag) {
        Some("str" | "timestamp") => Ok(text.into()),
        Some("binary") => base64::decode(text)
            .map(|data| Value::Bytes(data.into()))
            .ok_or(ValueError::Base64),
        Some("int") => schema::int(text),
        Some("float") => schema::float(text).map(Value::Float).ok_or(ValueError::Integer),
        Some("bool") => schema::boolean(text).map(Value::Bool).ok_or(ValueError::Integer),
        Some("null") => Ok(Value::Null),
        _ => Err(ValueError::Tag),
    }
}

/// The name of a tag of YAML's own.
fn core(tag: &Tag) -> Option<&str> {
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("tag:yaml.org,2002:", name) => Some(name),
        ("" | "!", "") => Some("str"),
        _ => tag
            .handle
            .is_empty()
            .then(|| tag.suffix.strip_prefix("tag:yaml.org,2002:"))
            .flatten(),
    }
}
