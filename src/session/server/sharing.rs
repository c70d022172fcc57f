//! Who may use the session: sharing, stealing and locking (`session.md` f).

use crate::protocol::reason;
use crate::session::screen::ClientId;

/// The server's side of the rules.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    pub(super) sharing: Option<bool>,
    pub(super) lock: Option<bool>,
    pub(super) exit_with_client: bool,
}

impl Rules {
    /// Whether a client need not make room for a newcomer.
    pub(super) fn lets_stay(&self, newcomer: &Present, client: &Present) -> bool {
        let is_same = !newcomer.uuid.is_empty() && client.uuid == newcomer.uuid;
        !is_same && self.sharing.unwrap_or(newcomer.share && client.share)
    }
}

/// What a new client says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Newcomer {
    pub(crate) uuid: String,
    /// Somebody looks at it: others only ask (`top`), and neither take the session nor stand in the way.
    pub(crate) ui: bool,
    pub(crate) share: bool,
    pub(crate) lock: bool,
    pub(crate) steal: bool,
}

/// What is known of a client that is there.
#[derive(Clone, Debug)]
pub(super) struct Present {
    uuid: String,
    pub(super) ui: bool,
    pub(super) share: bool,
    pub(super) lock: bool,
}

impl Present {
    /// Who it says it is.
    pub(super) fn uuid(&self) -> &str {
        &self.uuid
    }
}

impl From<Newcomer> for Present {
    fn from(client: Newcomer) -> Self {
        Self {
            uuid: client.uuid,
            ui: client.ui,
            share: client.share,
            lock: client.lock,
        }
    }
}

/// What is to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The newcomer may stay once these have left, each for that reason.
    Admitted { leave: Vec<(ClientId, &'static str)> },
    /// The newcomer must go: reason and text.
    Refused(&'static str, &'static str),
}

/// Decides about a newcomer.
pub(super) fn admit(rules: &Rules, newcomer: &Newcomer, present: &[(ClientId, Present)]) -> Verdict {
    let busy = Verdict::Refused(reason::SESSION_BUSY, "this session is already active");
    let present: Vec<_> = present.iter().filter(|(_, client)| client.ui).collect();
    if present.is_empty() || !newcomer.ui {
        return Verdict::Admitted { leave: Vec::new() };
    }
    if !newcomer.steal {
        return busy;
    }
    let same = |client: &Present| !newcomer.uuid.is_empty() && client.uuid == newcomer.uuid;
    let (mine, others): (Vec<_>, Vec<_>) = present.iter().copied().partition(|(_, client)| same(client));
    let wants = Present::from(newcomer.clone());
    let dropped: Vec<ClientId> = others
        .iter()
        .filter(|(_, c)| !rules.lets_stay(&wants, c))
        .map(|(id, _)| *id)
        .collect();
    if !dropped.is_empty() {
        let locked = match rules.lock {
            Some(lock) => lock,
            None => others.iter().any(|(_, client)| client.lock),
        };
        if locked {
            return Verdict::Refused(reason::SESSION_BUSY, "this session is locked");
        }
    }
    if rules.exit_with_client && dropped.len() + mine.len() == present.len() {
        return Verdict::Refused(reason::SERVER_SHUTDOWN, "the server ends with its client");
    }
    let leave = mine
        .iter()
        .map(|(id, _)| *id)
        .chain(dropped)
        .map(|id| (id, reason::NEW_CLIENT))
        .collect();
    Verdict::Admitted { leave }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(uuid: &str, share: bool, lock: bool) -> Newcomer {
        Newcomer {
            uuid: uuid.into(),
            ui: true,
            share,
            lock,
            steal: true,
        }
    }

    fn there(id: u64, newcomer: Newcomer) -> (ClientId, Present) {
        (ClientId(id), newcomer.into())
    }

    #[test]
    fn the_rules() {
        let auto = Rules::default();
        let (one, two) = (client("a", false, false), client("b", true, true));
        let gone = |ids: &[u64]| Verdict::Admitted {
            leave: ids.iter().map(|id| (ClientId(*id), reason::NEW_CLIENT)).collect(),
        };
        assert_eq!(admit(&auto, &one, &[]), gone(&[]));
        // without sharing the newcomer takes over
        assert_eq!(
            admit(&auto, &one, &[there(1, client("b", false, false))]),
            gone(&[1])
        );
        // unless it does not want to steal, or the other holds a lock
        let polite = Newcomer {
            steal: false,
            ..one.clone()
        };
        assert!(matches!(
            admit(&auto, &polite, &[there(1, two.clone())]),
            Verdict::Refused(..)
        ));
        assert!(matches!(
            admit(&auto, &one, &[there(1, two.clone())]),
            Verdict::Refused(..)
        ));
        // both share
        assert_eq!(
            admit(&auto, &client("c", true, false), &[there(1, two.clone())]),
            gone(&[])
        );
        // the same client again replaces itself even when sharing
        assert_eq!(admit(&auto, &two, &[there(1, two.clone())]), gone(&[1]));
        // who only asks stays beside anybody, and nobody has to wait for it
        let asker = Newcomer {
            ui: false,
            ..polite.clone()
        };
        assert_eq!(admit(&auto, &asker, &[there(1, two.clone())]), gone(&[]));
        assert_eq!(admit(&auto, &polite, &[there(1, asker)]), gone(&[]));
        let all = Rules {
            sharing: Some(true),
            ..auto
        };
        assert_eq!(admit(&all, &one, &[there(1, two.clone())]), gone(&[]));
        let none = Rules {
            sharing: Some(false),
            lock: Some(false),
            ..auto
        };
        assert_eq!(
            admit(&none, &client("c", true, false), &[there(1, two.clone())]),
            gone(&[1])
        );
        let ends = Rules {
            exit_with_client: true,
            ..auto
        };
        assert!(matches!(
            admit(&ends, &one, &[there(1, client("b", false, false))]),
            Verdict::Refused(..)
        ));
    }
}
