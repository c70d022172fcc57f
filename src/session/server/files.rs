//! The hub's part in sending files: `control send-file` (`xpra control SESSION send-file FILE [open] [CLIENTS]`).

use super::{DONE, FAILED, Hub, HubMessage};
use crate::session::files::Source;
use compact_str::CompactString;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Hub {
    /// Sends a file to the clients that are meant, all of them unless their uuids are listed, and tells how it began.
    pub(super) fn send_file(&self, words: &[CompactString], reply: oneshot::Sender<(i64, String)>) {
        let word = |index: usize| words.get(index).map(CompactString::as_str);
        let Some(path) = word(1).map(PathBuf::from) else {
            let _gone = reply.send((FAILED, "send-file needs the name of a file".to_owned()));
            return;
        };
        let open = matches!(word(2), None | Some("open" | "true" | "1"));
        let meant = word(3).unwrap_or("*");
        let is_meant = |uuid: &str| meant == "*" || meant.split(',').any(|one| one == uuid);
        let clients: Vec<_> = self
            .clients
            .values()
            .filter(|entry| entry.present.ui && is_meant(entry.present.uuid()))
            .map(|entry| entry.sender.clone())
            .collect();
        let rules = self.facts.config.file_rules(self.facts.config.readonly);
        tokio::spawn(async move {
            let answer = async {
                if !rules.allowed {
                    return Err("file transfers are disabled".to_owned());
                }
                if clients.is_empty() {
                    return Err("there is no such client".to_owned());
                }
                // all of it is read, which may take a while
                let (name, limit) = (path.display().to_string(), rules.limit);
                let opened = tokio::task::spawn_blocking(move || Source::open(&path, limit)).await;
                let source = Arc::new(opened.map_err(|error| error.to_string())??);
                let mut refusals = Vec::new();
                let mut begun = 0;
                for client in clients {
                    let (sender, receiver) = oneshot::channel();
                    let _gone = client.send(HubMessage::SendFile {
                        source: Arc::clone(&source),
                        open,
                        reply: sender,
                    });
                    match receiver.await {
                        Ok(Ok(())) => begun += 1,
                        Ok(Err(why)) => refusals.push(why.to_string()),
                        Err(_) => refusals.push("the client left".to_owned()),
                    }
                }
                refusals.dedup();
                let refused = refusals.join("; ");
                match (begun, refused.is_empty()) {
                    (0, _) => Err(format!("{name} was sent to no client: {refused}")),
                    (_, true) => Ok(format!("sending {name} to {begun} client(s)")),
                    (_, false) => Ok(format!(
                        "sending {name} to {begun} client(s), not to others: {refused}"
                    )),
                }
            };
            let _gone = reply.send(match answer.await {
                Ok(text) => (DONE, text),
                Err(why) => (FAILED, why),
            });
        });
    }
}
