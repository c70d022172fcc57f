//! [`Shown`]: what the viewer knows of one window.

use crate::codec::Value;
use crate::display::WindowMetadata;
use crate::packet::{WindowKind, metadata};
use crate::types::{Rect, WindowId};

/// Rectangles of one update that are presented one by one; beyond, their union is.
const MAX_RECTS: usize = 64;

/// One window.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) kind: WindowKind,
    /// Where our display has it.
    pub(super) rect: Rect,
    /// The machine its program runs on, for the title.
    machine: String,
    /// The last resize counter of the server.
    pub(super) counter: i64,
    /// What we told the server last: place and counter. `None` while it is not mapped.
    pub(super) told: Option<(Rect, i64)>,
    /// Painted and not presented yet.
    pub(super) painted: Vec<Rect>,
}

impl Shown {
    /// A window that was just created.
    pub(super) const fn new(kind: WindowKind, rect: Rect) -> Self {
        Self {
            kind,
            rect,
            machine: String::new(),
            counter: 0,
            told: None,
            painted: Vec::new(),
        }
    }

    /// Reads metadata of the wire and gives the title its final form.
    pub(super) fn read_metadata(&mut self, id: WindowId, value: &Value, template: &str) -> WindowMetadata {
        let mut metadata = metadata(value);
        if let Some(machine) = value.get("client-machine").and_then(Value::as_text) {
            self.machine = machine.into_owned();
        }
        if let Some(title) = &mut metadata.title {
            *title = expand_title(template, title, &self.machine, id);
        }
        metadata
    }

    pub(super) fn add(&mut self, rect: Rect) {
        if rect.is_empty() {
            return;
        }
        if self.painted.len() < MAX_RECTS {
            self.painted.push(rect);
        } else if let Some(last) = self.painted.last_mut() {
            *last = last.union(rect);
        }
    }
}

/// Fills in a title's template. What the peer says goes in last and is not expanded itself.
fn expand_title(template: &str, title: &str, machine: &str, id: WindowId) -> String {
    let template = match machine {
        "" => template
            .replace(" on @client-machine@", "")
            .replace(" on @hostname@", ""),
        _ => template.to_owned(),
    };
    let id = id.to_string();
    let fields = [
        ("title@", title),
        ("client-machine@", machine),
        // xpra's configuration files call it so
        ("hostname@", machine),
        ("windowid@", &id),
    ];
    let mut expanded = String::with_capacity(template.len() + title.len());
    let mut rest = template.as_str();
    while let Some((before, after)) = rest.split_once('@') {
        expanded.push_str(before);
        let field = fields
            .iter()
            .find_map(|(name, value)| Some((after.strip_prefix(name)?, *value)));
        let (left, value) = field.unwrap_or((after, "@"));
        expanded.push_str(value);
        rest = left;
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_expanded_once() {
        let title = |template, title, machine| expand_title(template, title, machine, WindowId(3));
        let usual = "@title@ on @client-machine@";
        assert_eq!(title(usual, "xterm", "host"), "xterm on host");
        assert_eq!(title(usual, "xterm", ""), "xterm");
        assert_eq!(title("@title@ on @hostname@", "xterm", "host"), "xterm on host");
        assert_eq!(title(usual, "@windowid@", "@title@"), "@windowid@ on @title@");
        assert_eq!(title("@windowid@: me@home @title@", "x", ""), "3: me@home x");
    }

    #[test]
    fn metadata_without_the_machine_keeps_it_in_the_title() {
        let mut shown = Shown::new(WindowKind::Normal, Rect::default());
        let mut title = |pairs: &[(&str, &str)]| {
            let mut value = Value::map();
            pairs.iter().for_each(|(key, text)| value.insert(*key, *text));
            let metadata = shown.read_metadata(WindowId(3), &value, "@title@ on @client-machine@");
            metadata.title.unwrap()
        };
        assert_eq!(
            title(&[("title", "one"), ("client-machine", "host")]),
            "one on host"
        );
        assert_eq!(title(&[("title", "two")]), "two on host");
    }

    #[test]
    fn an_update_of_many_pieces_is_presented_in_few() {
        let mut shown = Shown::new(WindowKind::Normal, Rect::default());
        for x in 0..1000 {
            shown.add(Rect::new(x, 0, 1, 1));
        }
        shown.add(Rect::default());
        assert_eq!(shown.painted.len(), MAX_RECTS);
        let all = shown.painted.iter().fold(Rect::default(), |all, r| all.union(*r));
        assert_eq!(all, Rect::new(0, 0, 1000, 1));
    }
}
