//! Written at once or field by field: the frame is the same.

use super::*;
use crate::rewrite;
use sluice_fixtures::random::{mutate, Random};
use sluice_fixtures::samples::samples;
use sluice_frame::Pool;
use sluice_wire::parse_part;

const SLOTS: [Slot; 9] = [
    slot::ETH_DST,
    slot::ETH_SRC,
    slot::NW_SRC,
    slot::NW_DST,
    slot::NW_TOS,
    slot::NW_DSCP,
    slot::NW_TTL,
    slot::TP_SRC,
    slot::TP_DST,
];
/// Values near which sums have two forms.
const TELLING: [u64; 4] = [0, u64::MAX, 0xffff_0000, 0xffff];

fn some_write(random: &mut Random) -> Op {
    let whole = SLOTS[random.below(SLOTS.len())];
    if whole == slot::NW_TTL && random.one_in(2) {
        return Op::DecTtl;
    }
    let part = whole.bits(random.below(8) as u8, 1 + random.below(8) as u8).filter(|_| random.one_in(4));
    let s = part.unwrap_or(whole);
    let value = if random.one_in(3) { TELLING[random.below(4)] } else { random.next_u64() };
    let mask = if random.one_in(4) { random.next_u64() } else { u64::MAX };
    let mask = u128::from(mask) & s.ones();
    Op::Set { slot: s, value: u128::from(value) & mask, mask }
}

/// Puts a telling value where a checksum, an address or a port may be.
fn unsettle(frame: &mut [u8], random: &mut Random) {
    let h = sluice_wire::parse(frame);
    let (l3, l4) = (usize::from(h.l3), usize::from(h.l4));
    let at = [l3 + 10, l4 + 6, l4 + 16, l3 + 12, l3 + 16, l4, l3 + 8][random.below(7)];
    let value = TELLING[random.below(4)] as u16;
    if let Some(place) = frame.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

fn one_by_one(frame: &mut Frame, ops: &[Op]) {
    let h = parse_part(frame.head(), frame.len());
    for op in ops {
        match op {
            Op::Set { slot, value, mask } => rewrite::write(frame, &h, *slot, *value, *mask),
            _ => rewrite::dec_ttl(frame, &h),
        }
    }
}

#[test]
fn at_once_or_field_by_field_the_frame_is_the_same() {
    let (samples, mut random, mut pool) = (samples(), Random::new(1624), Pool::new(4096, 4).unwrap());
    let (mut at_once, rounds) = (0, 200_000);
    for round in 0..rounds {
        let mut bytes = samples[random.below(samples.len())].frame.clone();
        if random.one_in(4) {
            bytes = mutate(&bytes, &mut random);
        }
        if random.one_in(2) {
            unsettle(&mut bytes, &mut random);
        }
        if bytes.len() < 14 {
            continue;
        }
        let ops: Vec<Op> = (0..1 + random.below(6)).map(|_| some_write(&mut random)).collect();
        let Some((writes, taken)) = Writes::leading(&ops) else { continue };
        let (mut a, mut b) = (pool.copy_in(&bytes).unwrap(), pool.copy_in(&bytes).unwrap());
        let left_to_fill = random.one_in(4);
        (a.meta.needs_csum, b.meta.needs_csum) = (left_to_fill, left_to_fill);
        let h = parse_part(a.head(), a.len());
        if writes.apply(&mut a, h.into()) {
            at_once += 1;
            one_by_one(&mut b, &ops[..taken]);
        }
        assert_eq!(a.to_vec(), b.to_vec(), "round {round}: {ops:?} on {bytes:02x?}, left to fill: {left_to_fill}");
        pool.free(a);
        pool.free(b);
    }
    assert!(at_once > rounds / 8, "{at_once} of {rounds} were written at once");
}

#[test]
fn a_run_of_writes_ends_where_something_else_begins() {
    let mac = Op::Set { slot: slot::ETH_DST, value: 2, mask: slot::ETH_DST.ones() };
    let tag = Op::Set { slot: slot::VLAN_TCI, value: 2, mask: 0xffff };
    let taken = |ops: &[Op]| Writes::leading(ops).map(|(_, n)| n);
    assert_eq!(taken(&[mac.clone(), Op::DecTtl, Op::Output(1)]), Some(2));
    assert_eq!(taken(&[mac, tag.clone(), Op::Output(1)]), Some(1));
    assert_eq!(taken(&[tag, Op::Output(1)]), None);
}
