//! Packet names: the only place that spells them (`session.md` 0).
//!
//! Legacy names are understood by every generation and are sent by default; modern ones are accepted always and
//! sent only to a peer that does not list the legacy ones.

/// Legacy name, modern name.
const RENAMED: &[(&str, &str)] = &[
    ("new-window", "window-create"),
    ("raise-window", "window-raise"),
    ("restack-window", "window-restack"),
    ("initiate-moveresize", "window-initiate-moveresize"),
    ("lost-window", "window-destroy"),
    ("draw", "window-draw"),
    ("eos", "window-eos"),
    ("bell", "window-bell"),
    ("pointer-grab", "window-grab"),
    ("pointer-ungrab", "window-ungrab"),
    ("show-desktop", "display-show-desktop"),
    ("server-event", "events"),
    ("encodings", "encoding-set"),
    ("screenshot", "display-screenshot"),
    ("disconnect", "connection-close"),
    ("send-file", "file-send"),
    ("send-file-chunk", "file-send-chunk"),
    ("ack-file-chunk", "file-ack-chunk"),
    ("send-data-request", "file-data-request"),
    ("send-data-response", "file-data-response"),
    ("ping_echo", "ping-echo"),
    ("map-window", "window-map"),
    ("unmap-window", "window-unmap"),
    ("close-window", "window-close"),
    ("focus", "window-focus"),
    ("damage-sequence", "window-draw-ack"),
    ("buffer-refresh", "window-refresh"),
    ("wheel-motion", "pointer-wheel"),
    ("layout-changed", "keyboard-layout"),
    ("set-keyboard-sync-enabled", "keyboard-sync"),
    ("set-cursors", "cursor-set"),
    ("set-bell", "bell-set"),
    ("set-notify", "notification-status"),
    ("lock-toggle", "sharing-lock"),
    ("connection-data", "bandwidth-status"),
    ("command_request", "control-request"),
];

/// The legacy name of a packet whose two names have the same layout; any other name as it is.
pub fn legacy(name: &str) -> &str {
    RENAMED
        .iter()
        .find(|(_, modern)| *modern == name)
        .map_or(name, |(legacy, _)| legacy)
}

/// The modern name of a legacy one, if it has another.
pub fn modern(name: &str) -> Option<&'static str> {
    RENAMED
        .iter()
        .find(|(legacy, _)| *legacy == name)
        .map(|(_, modern)| *modern)
}
