//! Sending many changes.
//!
//! Purpose: far ahead of the answers, or as a bundle.
//! Invariant: of few changes none is sent behind one that was refused; of a bundle all or none take effect.
//! Deliberately does not know: what the changes are.

use std::collections::VecDeque;

use sluice_openflow::message::{BundleControl, BundleKind, ErrorMessage};
use sluice_openflow::text::Names;
use sluice_openflow::wire::put_bundle_add;
use sluice_openflow::Message;

use super::batch::{put_numbered, Batch};
use super::client::{next_xid, Client, Received, BUNDLE_FLAGS};
use super::fatal::Fatal;
use super::run::{Failure, Run};

/// Messages between two barriers.
const CHUNK: usize = 2048;
/// So few messages go one by one, so that nothing is changed behind one that is refused.
const FEW: usize = 64;
/// Bytes of a bundle's messages that are written at once.
const AT_ONCE: usize = 64 << 10;
/// The only bundle of a connection.
const BUNDLE: u32 = 0;

/// Sends changes, as a bundle where that is asked for.
pub fn send(run: &Run, client: &mut Client, batch: Batch) -> Result<(), Failure> {
    match run.options.bundle {
        true => bundle(run, client, batch),
        false => Ok(run.refused(send_all(client, batch)?)?),
    }
}

/// Sends messages that have no answers but errors, many before it looks for one; gives the first.
fn send_all(client: &mut Client, batch: Batch) -> Result<Option<Received>, Fatal> {
    let few = batch.len() <= FEW;
    let (most, ahead) = if few { (1, 0) } else { (CHUNK, 1) };
    let (mut barriers, mut bytes) = (VecDeque::new(), Vec::new());
    let mut left = batch.len();
    let mut in_chunk = 0;
    for message in batch.messages() {
        put_numbered(&mut bytes, message, next_xid());
        left -= 1;
        in_chunk += 1;
        if in_chunk < most && left > 0 {
            continue;
        }
        in_chunk = 0;
        barriers.push_back(client.send_chunk(std::mem::take(&mut bytes))?);
        while barriers.len() > ahead {
            if let Some(refused) = client.wait_for_barrier(barriers.pop_front())? {
                return Ok(Some(refused));
            }
        }
    }
    while let Some(barrier) = barriers.pop_front() {
        if let Some(refused) = client.wait_for_barrier(Some(barrier))? {
            return Ok(Some(refused));
        }
    }
    Ok(None)
}

/// Sends messages that take effect together or not at all.
pub fn bundle(run: &Run, client: &mut Client, mut batch: Batch) -> Result<(), Failure> {
    batch.number();
    let mut errors = Errors { run, batch: &batch, failed: false };
    let opened = client.bundle_control(BUNDLE, BundleKind::OpenRequest)?;
    errors.take(&opened);
    if !errors.failed {
        add_to_bundle(client, &batch)?;
        let barrier = client.send_chunk(Vec::new())?;
        loop {
            let received = client.receive()?;
            if received.xid == barrier {
                break;
            }
            errors.take(&received);
        }
        let last = if errors.failed { BundleKind::DiscardRequest } else { BundleKind::CommitRequest };
        let xid = next_xid();
        client.send(&Message::BundleControl(BundleControl { id: BUNDLE, kind: last, flags: BUNDLE_FLAGS }), xid)?;
        loop {
            let received = client.receive()?;
            errors.take(&received);
            if received.xid == xid {
                break;
            }
        }
    }
    match errors.failed {
        false => Ok(()),
        true => Err(Fatal(format!("talking to {} (Protocol error)", client.name())).into()),
    }
}

fn add_to_bundle(client: &mut Client, batch: &Batch) -> Result<(), Fatal> {
    let mut bytes = Vec::with_capacity(AT_ONCE + 0xffff);
    for message in batch.messages() {
        put_bundle_add(&mut bytes, client.protocol.version, BUNDLE, BUNDLE_FLAGS, message).map_err(|e| Fatal(e.to_string()))?;
        if bytes.len() >= AT_ONCE {
            client.send_raw(&bytes)?;
            bytes.clear();
        }
    }
    client.send_raw(&bytes)
}

/// Tells of what was refused in a bundle.
struct Errors<'a> {
    run: &'a Run,
    batch: &'a Batch,
    failed: bool,
}

impl Errors<'_> {
    fn take(&mut self, received: &Received) {
        let Ok(Message::Error(error)) = &received.message else { return };
        self.failed = true;
        let about = self.about(received.xid, error);
        let name = error.error.map_or_else(|| format!("{:?}", error.code), |e| e.name().to_string());
        let text = super::show::message(about, self.run.options.verbosity + 2, &Names::new());
        eprint!("Error {name} for: {text}");
    }

    /// The message that was refused: whole, where we sent it ourselves.
    fn about<'b>(&'b self, xid: u32, error: &'b ErrorMessage) -> &'b [u8] {
        self.batch.numbered(xid).unwrap_or(&error.about)
    }
}
