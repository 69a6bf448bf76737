//! Station: a verdict's operations on one frame.
//!
//! Invariant: every call consumes its frame: it is queued to a device, queued for another
//! classification, punted, or dropped for a reason, and counted as that.

use std::sync::Arc;

use sluice_flow::key::slot;
use sluice_flow::meter::{Exceeded, Meter};
use sluice_flow::ct::Continuation;
use sluice_flow::action::OfPort;
use sluice_flow::verdict::{Cover, Encap};
use sluice_flow::{BridgeIdx, DropReason, Op, PortIdx, Program};
use sluice_frame::{Frame, Gso, Pool};
use sluice_port::{offload, Offloads};
use sluice_wire::{membership, parse_part, parse_tagged, Headers, Net, PackedHeaders};

use sluice_conntrack::{Metadata, Tracker};

use crate::count::Counters;
use crate::encap::{Outer, Template};
use crate::pieces::Pieces;
use crate::resolved::Remembered;
use crate::meter::{remark, Meters};
use crate::fragments::{Waiting, HELD_SHARE};
use crate::joined::Way;
use crate::too_big::Answers;
use crate::track::Again;
use crate::storm::Storms;
use crate::view::{Unwrapped, Views};
use crate::worker::{drop_reason, Punted, Received};
use crate::{encap, labels, rewrite, service, BATCH};

/// Most packets to the controllers that wait in a worker.
const PUNTS_MAX: usize = 1024;
/// Most messages of the switch's own protocols that wait in a worker.
const PROTOCOLS_MAX: usize = 256;
/// Longest part of such a message that is kept.
const PROTOCOL_BYTES: usize = 1600;
/// Bytes of the Ethernet addresses, in front of a VLAN tag.
const MACS: usize = 12;
/// Bytes of a VLAN tag.
const TAG: usize = 4;
/// In a key this bit says that there is a tag; in a frame it is the drop eligible indicator.
const TAG_PRESENT: u16 = 0x1000;

/// Where frames go: the sending half of a worker.
#[derive(Debug)]
pub struct Exits {
    /// Memory of all frames of the worker.
    pub pool: Pool,
    /// Frames queued to each device.
    pub queues: Vec<Vec<Frame>>,
    /// Tracked frames to be classified anew, with their stage.
    pub again: Vec<Again>,
    /// Unwrapped frames to be classified anew, with their stage.
    pub unwrapped: Vec<(u32, Frame)>,
    /// Copies for the controllers.
    pub punts: Vec<Punted>,
    /// Messages of the switch's own protocols.
    pub protocols: Vec<Received>,
    /// Fragments that wait to be tracked.
    pub fragments: Waiting,
    /// Pieces of outer packets that wait for the others.
    pub(crate) pieces: Pieces,
    /// Frames by fate.
    pub counters: Counters,
    /// Token buckets.
    pub meters: Meters,
    /// Buckets of what may be flooded.
    pub storms: Storms,
    /// Answers to frames that were too big.
    pub(crate) answers: Answers,
    ident: u16,
    cut: Vec<Frame>,
}

impl Exits {
    /// With this memory.
    pub fn new(pool: Pool) -> Self {
        let fragments = Waiting::new(pool.capacity() / HELD_SHARE);
        let pieces = Pieces::new(pool.capacity());
        Exits {
            pool,
            queues: Vec::new(),
            again: Vec::new(),
            unwrapped: Vec::new(),
            punts: Vec::new(),
            protocols: Vec::new(),
            fragments,
            pieces,
            counters: Counters::default(),
            meters: Meters::default(),
            storms: Storms::default(),
            answers: Answers::default(),
            ident: 0,
            cut: Vec::new(),
        }
    }

    /// Queues a frame to a device.
    #[inline(always)]
    pub fn queue(&mut self, port: PortIdx, frame: Frame) {
        match self.queues.get_mut(port as usize) {
            Some(queue) => queue.push(frame),
            None => self.queue_afar(port, frame),
        }
    }

    /// A device that was never served here: perhaps another worker has it.
    #[cold]
    fn queue_afar(&mut self, port: PortIdx, frame: Frame) {
        self.queues.resize_with(usize::from(port) + 1, || Vec::with_capacity(2 * BATCH));
        if let Some(queue) = self.queues.last_mut() {
            queue.push(frame);
        }
    }

    /// Drops a frame.
    pub fn drop(&mut self, frame: Frame, reason: DropReason) {
        self.pool.free(frame);
        self.counters.drop(reason, 1);
    }

    fn copy(&mut self, frame: &Frame) -> Option<Frame> {
        let copy = whole_copy(&mut self.pool, frame);
        if copy.is_some() {
            self.counters.copied += 1;
        }
        copy
    }

    /// Executes all operations; the last one that sends takes the frame itself.
    pub fn apply(&mut self, mut frame: Frame, mut h: Headers, ops: &[Op], route: &mut Route<'_>) {
        for (i, op) in ops.iter().enumerate() {
            let last = i + 1 == ops.len();
            match op {
                Op::Encap(e) => match self.wrap(frame, &h, e, route) {
                    Wrapped::One(f) => {
                        if let Some([Op::Output(port)]) = ops.get(i + 1..) {
                            return self.queue(*port, f);
                        }
                        frame = f;
                        h = parse_part(frame.head(), frame.len());
                    }
                    Wrapped::Many => return self.apply_to_cut(ops.get(i + 1..).unwrap_or(&[]), route),
                    Wrapped::Gone => return,
                },
                op if covers(op) && frame.meta.gso != Gso::None => return self.cut_and_apply(frame, ops.get(i..).unwrap_or(&[]), route),
                Op::Track(t) => return self.track(frame, &h, t, route),
                Op::Untrack => route.md = Metadata::default(),
                op if op.sends() && last => return self.send(frame, &h, op, route),
                op if op.sends() => self.send_copy(&frame, &h, op, route),
                Op::Meter(meter) => {
                    if !self.passes(&mut frame, &h, meter, route.now_ms) {
                        return self.drop(frame, DropReason::Metered);
                    }
                }
                Op::Storm { from, unicast } => {
                    if !self.storms.admits(*from, *unicast, route.now_ms) {
                        return self.drop(frame, DropReason::StormLimited);
                    }
                }
                op => {
                    if let Err(reason) = self.modify(&mut frame, &mut h, op) {
                        return self.drop(frame, reason);
                    }
                }
            }
        }
        self.drop(frame, route.drop.unwrap_or(DropReason::NoOutput));
    }

    fn send(&mut self, frame: Frame, h: &Headers, op: &Op, route: &mut Route<'_>) {
        match op {
            Op::Output(port) => self.queue(*port, frame),
            Op::OutputTruncated { port, max_len } => self.send_truncated(frame, *port, *max_len),
            Op::Branch(ops) => {
                let md = route.md;
                self.apply(frame, *h, ops, route);
                route.md = md;
            }
            Op::IfLonger { than, longer, other } => {
                let ops = if is_longer(&frame, h, *than) { longer } else { other };
                self.apply(frame, *h, ops, route);
            }
            Op::Membership(lists) => match of_kind(&frame, lists) {
                [] => self.drop(frame, route.drop.unwrap_or(DropReason::NoMember)),
                ops => self.apply(frame, *h, ops, route),
            },
            Op::Decap => self.unwrap(frame, h, route.program, route.views, (0, 0)),
            Op::PutTogether => self.put_together(frame, h, route),
            Op::Uncover { cover, at } => self.uncover(frame, h, *cover, at, route),
            Op::Copy(ops) => self.send_mirrored(frame, h, ops, route),
            Op::Protocol { bridge, port } => match self.receive_protocol(&frame, *bridge, *port) {
                false => self.drop(frame, DropReason::PuntQueueFull),
                true => {
                    self.counters.punted += 1;
                    self.pool.free(frame);
                }
            },
            _ => match self.punt(&frame, op, route.now_ms).err().or(route.drop) {
                Some(reason) => self.drop(frame, reason),
                None => {
                    self.counters.punted += 1;
                    self.pool.free(frame);
                }
            },
        }
    }

    fn send_copy(&mut self, frame: &Frame, h: &Headers, op: &Op, route: &mut Route<'_>) {
        if let Op::Punt { .. } = op {
            if let Err(reason) = self.punt(frame, op, route.now_ms) {
                self.counters.copied += 1;
                self.counters.drop(reason, 1);
            }
            return;
        }
        if let Op::IfLonger { than, longer, other } = op {
            let ops = if is_longer(frame, h, *than) { longer } else { other };
            if ops.is_empty() {
                return;
            }
        }
        if matches!(op, Op::Membership(lists) if of_kind(frame, lists).is_empty()) {
            return;
        }
        if let Op::Protocol { bridge, port } = op {
            if !self.receive_protocol(frame, *bridge, *port) {
                self.counters.copied += 1;
                self.counters.drop(DropReason::PuntQueueFull, 1);
            }
            return;
        }
        if let Some(copy) = self.copy_or_count(frame) {
            self.send(copy, h, op, route);
        }
    }

    /// The copy for a mirror; where that is all that happens to a packet, the packet itself is dropped for
    /// its own reason.
    fn send_mirrored(&mut self, frame: Frame, h: &Headers, ops: &[Op], route: &mut Route<'_>) {
        let Some(reason) = route.drop.take() else { return self.apply(frame, *h, ops, route) };
        match self.copy(&frame) {
            Some(copy) => self.apply(copy, *h, ops, route),
            None => {
                self.counters.copied += 1;
                self.counters.drop(DropReason::NoBuffer, 1);
            }
        }
        route.drop = Some(reason);
        self.drop(frame, reason);
    }

    /// A copy; one that could not be made is one frame less sent, and counted.
    pub(crate) fn copy_or_count(&mut self, frame: &Frame) -> Option<Frame> {
        let copy = self.copy(frame);
        if copy.is_none() {
            self.counters.copied += 1;
            self.counters.drop(DropReason::NoBuffer, 1);
        }
        copy
    }

    fn send_truncated(&mut self, mut frame: Frame, port: PortIdx, max_len: u32) {
        let max_len = max_len as usize;
        if frame.len() > max_len && !frame.truncate(max_len) {
            let (bytes, queue) = (frame.to_vec(), frame.queue);
            let short = self.pool.alloc();
            self.pool.free(frame);
            let Some(mut short) = short else { return self.counters.drop(DropReason::NoBuffer, 1) };
            short.queue = queue;
            if !short.fill(bytes.get(..max_len).unwrap_or(&bytes)) {
                return self.drop(short, DropReason::NoBuffer);
            }
            frame = short;
        }
        self.queue(port, frame);
    }

    /// Within the meter's rate? A frame above it may be remarked and pass.
    fn passes(&mut self, frame: &mut Frame, h: &Headers, meter: &Meter, now_ms: u64) -> bool {
        match self.meters.pass(meter, frame.len(), now_ms) {
            None => true,
            Some(Exceeded::Drop) => false,
            Some(Exceeded::Remark(by)) => {
                if h.is_ip() {
                    let dscp = rewrite::read(frame, h, slot::NW_DSCP) as u8;
                    rewrite::write(frame, h, slot::NW_DSCP, u128::from(remark(dscp, by)), slot::NW_DSCP.ones());
                }
                true
            }
        }
    }

    fn punt(&mut self, frame: &Frame, op: &Op, now_ms: u64) -> Result<(), DropReason> {
        let Op::Punt { punt, bridge, in_port, table, rule, state, meter } = op else { return Ok(()) };
        let metered = |m: &Arc<Meter>| self.meters.pass(m, frame.len(), now_ms) == Some(Exceeded::Drop);
        if meter.as_ref().is_some_and(metered) {
            return Err(DropReason::Metered);
        }
        if self.punts.len() >= PUNTS_MAX {
            return Err(DropReason::PuntQueueFull);
        }
        let mut bytes = match state.get(slot::PACKET_TYPE) {
            0 => frame.to_vec(),
            _ => service::bare_bytes(frame),
        };
        let total_len = bytes.len();
        if punt.max_len != u16::MAX {
            bytes.truncate(usize::from(punt.max_len));
        }
        let (punt, state) = (punt.clone(), state.clone());
        self.punts.push(Punted { bridge: *bridge, in_port: *in_port, table: *table, rule: *rule, punt, state, bytes, total_len });
        Ok(())
    }

    /// Keeps a message of one of the switch's own protocols; false when too many wait.
    fn receive_protocol(&mut self, frame: &Frame, bridge: BridgeIdx, port: OfPort) -> bool {
        let room = self.protocols.len() < PROTOCOLS_MAX;
        if room {
            let mut bytes = frame.to_vec();
            bytes.truncate(PROTOCOL_BYTES);
            self.protocols.push(Received { bridge, port, bytes });
        }
        room
    }

    /// A frame that cannot be made what the operation wants must not be sent as it is.
    fn modify(&mut self, frame: &mut Frame, h: &mut Headers, op: &Op) -> Result<(), DropReason> {
        match op {
            Op::Set { slot, value, mask } => rewrite::write(frame, h, *slot, *value, *mask),
            Op::Move { src, dst } => {
                let value = rewrite::read(frame, h, *src);
                rewrite::write(frame, h, *dst, value, dst.ones());
            }
            Op::DecTtl => rewrite::dec_ttl(frame, h),
            Op::PushVlan { tpid, tci } => {
                self.make_room(frame, TAG)?;
                return push_vlan(frame, h, *tpid, *tci);
            }
            Op::PopVlan => pop_vlan(frame, h),
            Op::PushMpls { eth_type, entry } => {
                self.make_room(frame, labels::LEN)?;
                return labels::push(frame, h, *eth_type, *entry);
            }
            Op::PopMpls { eth_type } => labels::pop(frame, h, *eth_type),
            Op::DropEthernet => return service::drop_ethernet(&mut self.pool, frame, h),
            Op::PushNsh { header, bare } => return service::push_nsh(&mut self.pool, frame, h, header, *bare),
            Op::PushLabelOnEthernet { eth_type, entry } => {
                return service::push_label(&mut self.pool, frame, h, *eth_type, *entry);
            }
            Op::PushPbb { tag } => return service::push_pbb(&mut self.pool, frame, h, *tag),
            Op::SetTtlUnderLabels(ttl) => labels::set_ttl_under(frame, h, *ttl),
            Op::SetQueue(queue) => frame.queue = queue.unwrap_or(0),
            _ => {}
        }
        Ok(())
    }

    /// Makes sure of so much headroom: a copy has it again.
    fn make_room(&mut self, frame: &mut Frame, len: usize) -> Result<(), DropReason> {
        if frame.headroom() < len {
            let copy = whole_copy(&mut self.pool, frame).ok_or(DropReason::NoBuffer)?;
            self.pool.free(std::mem::replace(frame, copy));
        }
        Ok(())
    }

    /// What most packets for a tunnel need: no one looks at their new headers. A frame that needs more comes back as it was.
    #[inline]
    pub(crate) fn wrap_and_queue(&mut self, mut frame: Frame, h: PackedHeaders, t: &Template, port: PortIdx) -> Result<(), Frame> {
        let ident = self.ident.wrapping_add(1);
        if frame.meta.gso != Gso::None || frame.len() > t.longest || encap::encap_packed(&mut frame, h, t, ident).is_err() {
            return Err(frame);
        }
        self.ident = ident;
        self.queue(port, frame);
        Ok(())
    }

    /// Outer headers; a frame that its sender left to be cut is cut first.
    fn wrap(&mut self, mut frame: Frame, h: &Headers, e: &Arc<Encap>, route: &Route<'_>) -> Wrapped {
        if frame.meta.gso != Gso::None {
            return self.cut_and_wrap(frame, e, route);
        }
        if frame.len() > e.longest as usize {
            self.refuse_too_big(frame, h, e, route);
            return Wrapped::Gone;
        }
        self.ident = self.ident.wrapping_add(1);
        match encap::encap(&mut frame, h, &Template::new(e), self.ident) {
            Ok(()) => Wrapped::One(frame),
            Err(DropReason::NoHeadroom) => self.wrap_copy(frame, h, e),
            Err(reason) => {
                self.drop(frame, reason);
                Wrapped::Gone
            }
        }
    }

    /// A copy has headroom again.
    fn wrap_copy(&mut self, frame: Frame, h: &Headers, e: &Arc<Encap>) -> Wrapped {
        let copy = whole_copy(&mut self.pool, &frame);
        self.pool.free(frame);
        let Some(mut copy) = copy else {
            self.counters.drop(DropReason::NoBuffer, 1);
            return Wrapped::Gone;
        };
        match encap::encap(&mut copy, h, &Template::new(e), self.ident) {
            Ok(()) => Wrapped::One(copy),
            Err(reason) => {
                self.drop(copy, reason);
                Wrapped::Gone
            }
        }
    }

    /// Cuts a frame that its sender left to be cut; no pieces where it was dropped.
    fn cut(&mut self, frame: Frame) -> Vec<Frame> {
        let keeps = Offloads { checksum: true, ..Offloads::NONE };
        let (mut cut, queue) = (std::mem::take(&mut self.cut), frame.queue);
        match offload::complete(&mut self.pool, frame, keeps, &mut cut) {
            Ok(()) => self.counters.copied += (cut.len() as u64).saturating_sub(1),
            Err(e) => self.counters.drop(drop_reason(e), 1),
        }
        cut.iter_mut().for_each(|piece| piece.queue = queue);
        cut
    }

    /// What covers a packet covers each piece of it.
    fn cut_and_apply(&mut self, frame: Frame, ops: &[Op], route: &mut Route<'_>) {
        self.cut = self.cut(frame);
        self.apply_to_cut(ops, route);
    }

    fn cut_and_wrap(&mut self, frame: Frame, e: &Arc<Encap>, route: &Route<'_>) -> Wrapped {
        let mut cut = self.cut(frame);
        if cut.is_empty() {
            self.cut = cut;
            return Wrapped::Gone;
        }
        for piece in cut.drain(..) {
            let h = parse_part(piece.head(), piece.len());
            if let Wrapped::One(f) = self.wrap(piece, &h, e, route) {
                self.cut.push(f);
            }
        }
        Wrapped::Many
    }

    fn apply_to_cut(&mut self, ops: &[Op], route: &mut Route<'_>) {
        for piece in std::mem::take(&mut self.cut) {
            let h = parse_part(piece.head(), piece.len());
            self.apply(piece, h, ops, route);
        }
    }

    /// The outermost header off; what is under it goes on where it is told.
    fn uncover(&mut self, mut frame: Frame, h: &Headers, cover: Cover, at: &Arc<Continuation>, route: &mut Route<'_>) {
        let packet_type = at.key().get(slot::PACKET_TYPE);
        match service::uncover(&mut self.pool, &mut frame, &mut h.clone(), cover, packet_type) {
            Ok(()) => self.resume(frame, at, (None, None), route),
            Err(reason) => self.drop(frame, reason),
        }
    }

    /// Outer headers off, and back to classification as from the tunnel port. `by` is the verdict that asks for
    /// it, and its tag.
    #[inline]
    pub(crate) fn unwrap(&mut self, frame: Frame, h: &Headers, program: &Program, views: &mut Views, by: (u32, u64)) {
        match h.net {
            Net::Ipv4 => self.unwrap_from::<u32>(frame, h, program, views, by),
            Net::Ipv6 => self.unwrap_from::<u128>(frame, h, program, views, by),
            _ => self.drop(frame, DropReason::TunnelInvalid),
        }
    }

    #[inline]
    fn unwrap_from<A: Remembered>(&mut self, mut frame: Frame, h: &Headers, program: &Program, views: &mut Views, by: (u32, u64)) {
        let outer: Outer<A> = match encap::decap(&mut frame, h) {
            Ok(outer) => outer,
            Err(reason) => return self.drop(frame, reason),
        };
        match views.resolved.of(&outer, by) {
            Some(stage) => self.unwrapped.push((stage, frame)),
            None => self.unwrap_unresolved(frame, outer, program, views, by),
        }
    }

    #[inline(never)]
    fn unwrap_unresolved<A: Remembered>(
        &mut self,
        frame: Frame,
        outer: Outer<A>,
        program: &Program,
        views: &mut Views,
        by: (u32, u64),
    ) {
        let (src, dst) = (outer.src.ip(), outer.dst.ip());
        let Some((bridge, port, tunnel)) = program.tunnel_for(dst, src, outer.vni, outer.dst_port) else {
            return self.drop(frame, DropReason::NoTunnel);
        };
        let gbp = if tunnel.gbp { outer.gbp } else { (0, 0) };
        let unwrapped = Unwrapped { bridge, port, vni: outer.vni, src, dst, gbp };
        match views.unwrapped(program, unwrapped) {
            Some(stage) => {
                views.resolved.remember(outer, stage, by);
                self.unwrapped.push((stage, frame));
            }
            None => self.drop(frame, DropReason::StageLimit),
        }
    }
}

/// What applying needs to know beside the frame.
pub struct Route<'a> {
    /// The program.
    pub program: &'a Program,
    /// Where look-ups start.
    pub views: &'a mut Views,
    /// Why the packet goes nowhere, if it does.
    pub drop: Option<DropReason>,
    /// Time of the batch.
    pub now_ms: u64,
    /// The tracker of connections.
    pub tracker: &'a Tracker,
    /// What the tracker said of the packet.
    pub md: Metadata,
    /// How the packet came here, where a verdict does nothing but track it.
    pub way: Option<Way<'a>>,
}

/// Has the frame (or the longest that it will be cut into) more bytes than this?
fn is_longer(frame: &Frame, h: &Headers, than: u16) -> bool {
    let whole = frame.len();
    let len = match frame.meta.gso {
        Gso::None => whole,
        _ => whole.min(usize::from(h.payload) + usize::from(frame.meta.gso_size)),
    };
    len > usize::from(than)
}

/// What to do with a message of multicast membership, or with a packet that is none.
fn of_kind<'a>(frame: &Frame, lists: &'a [Arc<[Op]>; 3]) -> &'a [Op] {
    let head = frame.head();
    let [report, query, other] = lists;
    match membership::kind(head, &sluice_wire::parse(head)) {
        membership::Kind::Report => report,
        membership::Kind::Query => query,
        membership::Kind::Other => other,
    }
}

/// Is this a header in front of the whole packet, which may not be cut behind it any more?
fn covers(op: &Op) -> bool {
    matches!(op, Op::PushNsh { .. } | Op::PushLabelOnEthernet { .. } | Op::PushPbb { .. })
}

enum Wrapped {
    One(Frame),
    /// In `Exits::cut`.
    Many,
    /// Dropped and counted.
    Gone,
}

pub(crate) fn whole_copy(pool: &mut Pool, frame: &Frame) -> Option<Frame> {
    let mut copy = pool.copy_range(frame, 0, frame.len())?;
    (copy.meta, copy.queue) = (frame.meta, frame.queue);
    Some(copy)
}

fn push_vlan(frame: &mut Frame, h: &mut Headers, tpid: u16, tci: u16) -> Result<(), DropReason> {
    if !frame.push_front(TAG) {
        return Err(DropReason::NoHeadroom);
    }
    let head = frame.head_mut();
    if head.len() < MACS + TAG {
        return Err(DropReason::Runt);
    }
    head.copy_within(4..4 + MACS, 0);
    if let Some(tag) = head.get_mut(MACS..MACS + 4) {
        tag[..2].copy_from_slice(&tpid.to_be_bytes());
        tag[2..].copy_from_slice(&(tci & !TAG_PRESENT).to_be_bytes());
    }
    moved(frame, h, 4, tags(h) + 1);
    Ok(())
}

fn pop_vlan(frame: &mut Frame, h: &mut Headers) {
    let head = frame.head_mut();
    if !h.vlan || head.len() < MACS + 4 {
        return;
    }
    head.copy_within(0..MACS, 4);
    if frame.pull_front(4) {
        moved(frame, h, -4, tags(h).saturating_sub(1));
    }
}

/// VLAN tags that are known.
pub(crate) fn tags(h: &Headers) -> u8 {
    u8::from(h.vlan) + h.more_tags
}

/// The headers lie elsewhere now, and so does the checksum that is left to be filled.
pub(crate) fn moved(frame: &mut Frame, h: &mut Headers, by: i32, tags: u8) {
    let meta = &mut frame.meta;
    if meta.needs_csum {
        meta.csum_start = (i32::from(meta.csum_start) + by).max(0) as u16;
    }
    if meta.hdr_len != 0 {
        meta.hdr_len = (i32::from(meta.hdr_len) + by).max(0) as u16;
    }
    *h = parse_tagged(frame.head(), frame.len(), tags);
}
