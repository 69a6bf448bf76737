//! Which XDP program a link has.
//!
//! Deliberately does not know: whose it is, what it does.

use std::io;

use super::host::{error_of, open_socket, receive, send};
use super::message::{attributes, messages, u32_at, Request, NLMSG_ERROR};

/// The attribute about XDP, and those in it that hold a program's id.
const IFLA_XDP: u16 = 43;
const PROGRAM_IDS: std::ops::RangeInclusive<u16> = 4..=7;

/// Id of a program that is attached to a link of the calling thread's namespace, as `bpftool prog` numbers
/// them; none where none is.
pub fn xdp_program(link: u32) -> io::Result<Option<u32>> {
    let socket = open_socket(0)?;
    let mut about = [0; 16];
    about[4..8].copy_from_slice(&link.to_ne_bytes());
    send(&socket, &Request::new(libc::RTM_GETLINK, 0, 1, &about).finish())?;
    let mut buffer = vec![0; 64 * 1024];
    let n = receive(&socket, &mut buffer, 0)?;
    for m in messages(buffer.get(..n).unwrap_or(&[])) {
        match m.kind {
            NLMSG_ERROR => return Err(error_of(m.body)),
            libc::RTM_NEWLINK => return Ok(program_of(m.body)),
            _ => {}
        }
    }
    Ok(None)
}

fn program_of(body: &[u8]) -> Option<u32> {
    let (_, xdp) = attributes(body.get(16..)?).find(|(kind, _)| *kind == IFLA_XDP)?;
    attributes(xdp).find(|(kind, _)| PROGRAM_IDS.contains(kind)).and_then(|(_, id)| u32_at(id, 0)).filter(|id| *id != 0)
}
