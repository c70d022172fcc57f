//! [`Trace`]: what happened in a world, and when.

use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer events are cut, and their hash stands for the rest.
const SHOWN: usize = 120;

/// Everything that happened, one line each. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    /// Notes what happened to the host that runs now.
    pub(crate) fn note(&self, who: &str, what: impl Display) {
        self.note_at(time(), who, what);
    }

    /// Notes what happened at that time.
    pub(crate) fn note_at(&self, at: Duration, who: &str, what: impl Display) {
        let mut line = what.to_string();
        if let Some((cut, _)) = line.char_indices().nth(SHOWN) {
            let hash = hash(&line);
            line.truncate(cut);
            line = format!("{line}… #{hash:016x}");
        }
        let line = format!("{:10.6} {who}: {line}", at.as_secs_f64());
        self.0.lock().unwrap().push(line);
    }

    /// One number for all of it.
    pub(crate) fn hash(&self) -> u64 {
        hash(&*self.0.lock().unwrap())
    }

    /// How much happened.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The last lines.
    pub(crate) fn tail(&self, count: usize) -> String {
        let lines = self.0.lock().unwrap();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// Fails at the first difference.
    pub(crate) fn assert_same(&self, other: &Self) {
        let (ours, theirs) = (self.0.lock().unwrap(), other.0.lock().unwrap());
        let first = ours.iter().zip(theirs.iter()).find(|(a, b)| a != b);
        assert_eq!(first, None, "the same world took another course");
        assert_eq!(ours.len(), theirs.len(), "one of two equal worlds ended early");
    }
}

/// The time in the world of the host that runs now.
pub(crate) fn time() -> Duration {
    turmoil::sim_elapsed().unwrap()
}

/// The same in every run.
pub(crate) fn hash(what: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
