//! Another user.
//!
//! Purpose: `--user=NAME[:GROUP]`: give up root, keep the capabilities that devices need.
//! Invariant: called before there are threads; where any step fails nothing goes on as root.
//! Deliberately does not know: name services other than `/etc/passwd` and `/etc/group`.

use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// What a switch needs: devices, raw sockets, programs in the kernel, locked memory.
const NEEDED: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::NET_BROADCAST)
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::BPF);

/// From now on as this user.
pub(super) fn become_user(wanted: &str) -> Result<(), String> {
    let (name, group) = wanted.split_once(':').map_or((wanted, None), |(n, g)| (n, Some(g)));
    let (uid, own_gid) = find_user(name)?;
    let gid = match group.filter(|g| !g.is_empty()) {
        Some(group) => find_group(group)?,
        None => own_gid,
    };
    let failed = |what: &'static str| move |e: rustix::io::Errno| format!("--user={wanted}: cannot {what}: {e}");
    if rustix::process::getuid() == uid && rustix::process::getgid() == gid {
        return Ok(());
    }
    rustix::thread::set_keep_capabilities(true).map_err(failed("keep capabilities"))?;
    rustix::thread::set_thread_groups(&[gid]).map_err(failed("set groups"))?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(failed("set the group"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(failed("set the user"))?;
    if uid.is_root() {
        return Ok(());
    }
    let sets = CapabilitySets { effective: NEEDED, permitted: NEEDED, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(failed("keep the capabilities that devices need"))
}

/// User and group number of a name, or of a number.
fn find_user(name: &str) -> Result<(Uid, Gid), String> {
    let text = std::fs::read_to_string("/etc/passwd").map_err(|e| format!("/etc/passwd: {e}"))?;
    let entry = text.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.first() == Some(&name) || f.get(2) == Some(&name));
    let number = |at: usize| entry.as_ref()?.get(at)?.parse::<u32>().ok().filter(|n| *n != u32::MAX);
    match (number(2), number(3)) {
        (Some(uid), Some(gid)) => Ok((Uid::from_raw(uid), Gid::from_raw(gid))),
        _ => Err(format!("--user={name}: there is no such user in /etc/passwd")),
    }
}

fn find_group(name: &str) -> Result<Gid, String> {
    let text = std::fs::read_to_string("/etc/group").map_err(|e| format!("/etc/group: {e}"))?;
    let entry = text.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.first() == Some(&name) || f.get(2) == Some(&name));
    let gid = entry.and_then(|f| f.get(2)?.parse::<u32>().ok()).filter(|n| *n != u32::MAX);
    gid.map(Gid::from_raw).ok_or_else(|| format!("--user: there is no group {name} in /etc/group"))
}
