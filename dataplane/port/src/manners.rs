//! What a device was like before we took it, put back when we let go of it.
//!
//! Purpose: for as long as a port has the device, tags stay in its frames, received frames are not merged,
//! and it has as many queues as are wished for. A device that changes its queue count may choose another
//! RSS key and table: those are put back with the rest.
//! Invariant: what is changed was written down first, in a file where one is given: a process that is killed
//! leaves the file, and the next one puts back what it says ([`put_back_all`]). A device that is another one
//! by now (another `ifindex`) is left alone.
//! Deliberately does not know: sockets, why a queue count is wished for.

use std::io;
use std::path::{Path, PathBuf};

use crate::device::Device;
use crate::PortError;

const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETHTOOL_SCHANNELS: u32 = 0x3d;
const ETHTOOL_GRSSH: u32 = 0x46;
const ETHTOOL_SRSSH: u32 = 0x47;
/// The device takes VLAN tags out of received frames.
const TAKES_TAGS: u32 = 1 << 8;
/// The device merges received TCP segments.
const LRO: u32 = 1 << 15;
/// First letters of a record's file name.
const RECORD: &str = "nic-";
/// Bytes of `ethtool_rxfh` in front of its table and key.
const RSS_HEAD: usize = 24;
/// Longest table and key that are kept.
const RSS_MAX: usize = 1 << 16;

/// Receive, transmit, other and combined queues in use.
type Channels = [u32; 4];

/// What a device is like; `None` for what it does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    index: u32,
    flags: Option<u32>,
    channels: Option<Channels>,
    /// Hash function, table and key as the kernel's structure has them.
    rss: Option<Vec<u8>>,
}

/// A device that is as a port needs it, until this goes.
#[derive(Debug)]
pub(crate) struct Manners {
    device: Device,
    before: State,
    record: Option<PathBuf>,
}

impl Manners {
    /// Makes a device ready. Its whole frames are wanted where `whole` is; `queues` is how many receive queues
    /// it is to have; `records` is a directory for what it was like. Returns too what it refused.
    pub(crate) fn on(name: &str, whole: bool, queues: Option<u32>, records: Option<&Path>) -> Result<(Manners, Vec<String>), PortError> {
        let device = Device::open(name)?;
        let record = records.map(|folder| folder.join(format!("{RECORD}{name}")));
        if let Some(path) = &record {
            put_back(name, path);
        }
        let before = State::of(&device);
        let flags = before.flags.map(|f| f & !(LRO | if whole { TAKES_TAGS } else { 0 }));
        let mut manners = Manners { device, before, record };
        let mut refused = Vec::new();
        let wished = manners.wished_channels(queues).unwrap_or_else(|why| {
            refused.push(why);
            None
        });
        if flags == manners.before.flags && wished.is_none() {
            manners.record = None;
            return Ok((manners, refused));
        }
        manners.write_down()?;
        if let Some(flags) = flags.filter(|f| Some(*f) != manners.before.flags) {
            if let Err(e) = set_flags(&manners.device, flags) {
                refused.push(format!("VLAN and LRO offloads stay as they are: {e}"));
            }
        }
        if let Some(channels) = wished {
            if let Err(e) = set_channels(&manners.device, channels) {
                let n = queues.unwrap_or_default();
                refused.push(format!("{n} receive queues refused: {e}"));
            }
        }
        Ok((manners, refused))
    }

    /// The queues that the device is to have, where that is another number than it has.
    fn wished_channels(&self, queues: Option<u32>) -> Result<Option<Channels>, String> {
        let Some(n) = queues else { return Ok(None) };
        let Some([rx, tx, other, combined]) = self.before.channels else {
            return Err(format!("{n} receive queues refused: the device does not tell how many it has"));
        };
        if rx + combined == n {
            return Ok(None);
        }
        // Queues that both receive and send are all of one kind, where a device has them.
        Ok(Some(if combined > 0 && rx == 0 { [0, tx, other, n] } else { [n, tx, other, combined] }))
    }

    fn write_down(&self) -> Result<(), PortError> {
        let Some(path) = &self.record else { return Ok(()) };
        let doing = || format!("write down in {} what it is like", path.display());
        std::fs::write(path, self.before.text()).map_err(|e| PortError::io(self.device.name(), doing(), e))
    }
}

impl Drop for Manners {
    fn drop(&mut self) {
        // Another device may have its name by now, and a record of its own.
        if self.device.exists() {
            self.before.restore(&self.device);
        }
        if let Some(path) = &self.record {
            if std::fs::read_to_string(path).is_ok_and(|text| text == self.before.text()) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Puts back what processes wrote down in this directory and did not live to put back. Returns the devices.
pub fn put_back_all(records: &Path) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(records) else { return Vec::new() };
    let named = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix(RECORD).map(str::to_owned);
    let all = files.filter_map(|f| f.ok().map(|f| f.path())).filter_map(|path| Some((named(&path)?, path)));
    all.filter(|(name, path)| put_back(name, path)).map(|(name, _)| name).collect()
}

/// Puts back what a record says; false where there is nothing to do.
fn put_back(name: &str, record: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(record) else { return false };
    let device = Device::open(name).ok();
    let done = match (State::from_text(&text), device) {
        (Some(before), Some(device)) if before.index == device.index() => {
            before.restore(&device);
            true
        }
        _ => false,
    };
    let _ = std::fs::remove_file(record);
    done
}

impl State {
    fn of(device: &Device) -> State {
        State { index: device.index(), flags: flags(device), channels: channels(device), rss: rss(device) }
    }

    /// Makes a device like this as far as it is not. What it refuses now it has refused before, or it is gone.
    fn restore(&self, device: &Device) {
        if let Some(before) = self.channels.filter(|c| channels(device) != Some(*c)) {
            let _ = set_channels(device, before);
        }
        if let Some(before) = self.flags.filter(|f| flags(device) != Some(*f)) {
            let _ = set_flags(device, before);
        }
        if let Some(before) = self.rss.as_ref().filter(|r| rss(device).as_ref() != Some(*r)) {
            let _ = device.ethtool(ETHTOOL_SRSSH, &mut before.clone());
        }
    }

    fn text(&self) -> String {
        let mut text = format!("ifindex {}\n", self.index);
        if let Some(flags) = self.flags {
            text += &format!("flags {flags}\n");
        }
        if let Some([rx, tx, other, combined]) = self.channels {
            text += &format!("channels {rx} {tx} {other} {combined}\n");
        }
        if let Some(rss) = &self.rss {
            let hex: String = rss.iter().map(|b| format!("{b:02x}")).collect();
            text += &format!("rss {hex}\n");
        }
        text
    }

    fn from_text(text: &str) -> Option<State> {
        let mut state = State::default();
        for line in text.lines() {
            let (word, value) = line.split_once(' ')?;
            match word {
                "ifindex" => state.index = value.parse().ok()?,
                "flags" => state.flags = Some(value.parse().ok()?),
                "channels" => {
                    let numbers: Option<Vec<u32>> = value.split(' ').map(|n| n.parse().ok()).collect();
                    state.channels = Some(numbers?.try_into().ok()?);
                }
                "rss" => {
                    let byte = |i| u8::from_str_radix(value.get(i..i + 2)?, 16).ok();
                    let bytes: Option<Vec<u8>> = (0..value.len()).step_by(2).map(byte).collect();
                    state.rss = Some(bytes.filter(|b| (RSS_HEAD..=RSS_MAX).contains(&b.len()))?);
                }
                _ => return None,
            }
        }
        (state.index > 0).then_some(state)
    }
}

fn word(bytes: &[u8], n: usize) -> u32 {
    bytes.get(4 * n..4 * n + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn flags(device: &Device) -> Option<u32> {
    let mut value = [0; 8];
    device.ethtool(ETHTOOL_GFLAGS, &mut value).ok()?;
    Some(word(&value, 1))
}

fn set_flags(device: &Device, flags: u32) -> io::Result<()> {
    let mut value = [0; 8];
    value[4..].copy_from_slice(&flags.to_ne_bytes());
    device.ethtool(ETHTOOL_SFLAGS, &mut value)
}

fn channels(device: &Device) -> Option<Channels> {
    // The command, the most of each kind, and as many as are in use.
    let mut value = [0; 36];
    device.ethtool(ETHTOOL_GCHANNELS, &mut value).ok()?;
    Some([5, 6, 7, 8].map(|n| word(&value, n)))
}

fn set_channels(device: &Device, channels: Channels) -> io::Result<()> {
    let mut value = [0; 36];
    for (to, n) in value[20..].chunks_exact_mut(4).zip(channels) {
        to.copy_from_slice(&n.to_ne_bytes());
    }
    device.ethtool(ETHTOOL_SCHANNELS, &mut value)
}

/// Table and key, with the head that says how long they are.
fn rss(device: &Device) -> Option<Vec<u8>> {
    let mut head = [0; RSS_HEAD];
    device.ethtool(ETHTOOL_GRSSH, &mut head).ok()?;
    // Entries of the table, four bytes each; bytes of the key.
    let len = RSS_HEAD + 4 * word(&head, 2) as usize + word(&head, 3) as usize;
    if len == RSS_HEAD || len > RSS_MAX {
        return None;
    }
    let mut all = vec![0; len];
    all[..RSS_HEAD].copy_from_slice(&head);
    device.ethtool(ETHTOOL_GRSSH, &mut all).ok()?;
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_was_written_down_and_anything_else_is_no_record() {
        let full = State { index: 7, flags: Some(0x180), channels: Some([0, 0, 1, 4]), rss: Some(vec![9; 40]) };
        let bare = State { index: 1, ..State::default() };
        for state in [full, bare] {
            assert_eq!(State::from_text(&state.text()), Some(state));
        }
        let long = format!("ifindex 7\nrss {}\n", "00".repeat(RSS_MAX + 1));
        for text in ["", "flags 3\n", "ifindex x\n", "ifindex 7\nchannels 1 2 3\n", "ifindex 7\nrss 0g\n", "ifindex 7\nrss 00\n", "what\n", &long] {
            assert_eq!(State::from_text(text), None, "{}", &text[..text.len().min(40)]);
        }
    }
}
