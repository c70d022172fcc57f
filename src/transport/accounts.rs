//! Groups of this machine. Only those of `/etc/group` are seen.

use std::fs;

use rustix::process::{getegid, geteuid, getgroups};

/// The number of the group of that name.
pub fn group_id(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// True when this process is in that group, or root.
pub fn in_group(id: u32) -> bool {
    let member = || getgroups().is_ok_and(|groups| groups.iter().any(|group| group.as_raw() == id));
    geteuid().is_root() || getegid().as_raw() == id || member()
}
