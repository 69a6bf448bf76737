//! Continuations of paused packets, as properties.
//!
//! Deliberately does not know: packet-ins (see `packet`).

use super::action::{self, Around};
use super::buf::{Put, Reader};
use super::prop;
use crate::action::Action;
use crate::error::OfpError;
use crate::message::{Continuation, EncodeError};
use crate::version::Version;

const BRIDGE: u16 = 0x8000;
const STACK: u16 = 0x8001;
const CONNTRACKED: u16 = 0x8003;
const ACTIONS: u16 = 0x8006;
const ACTION_SET: u16 = 0x8007;
/// Sluice's own: Open vSwitch's tools pass over what they do not know.
const TOKEN: u16 = 0x8f01;

pub(crate) fn decode(version: Version, bytes: &[u8]) -> Result<Continuation, OfpError> {
    let mut r = Reader::new(bytes, OfpError::OFPBPC_BAD_LEN);
    let mut c = Continuation::default();
    while !r.is_empty() {
        let (kind, mut v) = prop::pull(&mut r)?;
        match kind {
            BRIDGE => c.bridge = u128::from_be_bytes(v.array()?),
            STACK => c.stack.push(v.rest().to_vec()),
            CONNTRACKED => c.conntracked = true,
            ACTIONS => c.actions.extend(actions(version, v)?),
            ACTION_SET => c.action_set = actions(version, v)?,
            TOKEN => {
                v.skip(4)?;
                c.token = Some(v.u64()?);
            }
            _ => {}
        }
    }
    Ok(c)
}

fn actions(version: Version, mut v: Reader<'_>) -> Result<Vec<Action>, OfpError> {
    v.skip(4)?;
    action::decode(version, v.rest())
}

pub(crate) fn encode(version: Version, c: &Continuation) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    prop::put(&mut out, BRIDGE, |o| o.put(&c.bridge.to_be_bytes()))?;
    for value in &c.stack {
        prop::put(&mut out, STACK, |o| o.put(value))?;
    }
    if c.conntracked {
        prop::put(&mut out, CONNTRACKED, |_| {})?;
    }
    for (kind, list) in [(ACTIONS, &c.actions), (ACTION_SET, &c.action_set)] {
        if !list.is_empty() {
            let mut bytes = Vec::new();
            action::encode(&mut bytes, list, &mut Around::nothing(version))?;
            prop::put(&mut out, kind, |o| {
                o.zeros(4);
                o.put(&bytes);
            })?;
        }
    }
    if let Some(token) = c.token {
        prop::put(&mut out, TOKEN, |o| {
            o.zeros(4);
            o.u64(token);
        })?;
    }
    Ok(out)
}
