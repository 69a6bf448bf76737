use super::*;

fn segment(flags: u16, seq: u32, ack: u32, len: u32) -> Segment {
    Segment { seq, ack, flags, window: 1000, len, scale: None }
}

/// A connection whose handshake went through: client at 101, server at 501.
fn established() -> [Peer; 2] {
    let mut p = open(&segment(SYN, 100, 0, 0));
    assert_eq!(reply(&mut p, &segment(SYN | ACK, 500, 101, 0)), (Fit::Valid, Some(Class::TcpOpening)));
    assert_eq!(forward(&mut p, &segment(ACK, 101, 501, 0)), (Fit::Valid, Some(Class::TcpEstablished)));
    p
}

fn forward(p: &mut [Peer; 2], s: &Segment) -> Judged {
    let [a, b] = p;
    judge(a, b, s, true)
}

fn reply(p: &mut [Peer; 2], s: &Segment) -> Judged {
    let [a, b] = p;
    judge(b, a, s, true)
}

#[test]
fn a_handshake_establishes_and_a_close_ends() {
    let mut p = established();
    assert_eq!((p[0].state, p[1].state), (State::Established, State::Established));
    assert_eq!(forward(&mut p, &segment(FIN | ACK, 101, 501, 0)).1, Some(Class::TcpClosing));
    assert_eq!(reply(&mut p, &segment(FIN | ACK, 501, 102, 0)).1, Some(Class::TcpFinWait));
    assert_eq!(forward(&mut p, &segment(ACK, 102, 502, 0)).1, Some(Class::TcpClosed));
    assert_eq!(forward(&mut p, &segment(SYN, 9000, 0, 0)).0, Fit::Reopens);
}

#[test]
fn data_far_outside_the_window_is_invalid_without_strict_checks_it_is_not() {
    let mut p = established();
    let far = segment(ACK, 101 + 2_000_000, 501, 10);
    assert_eq!(forward(&mut p, &far).0, Fit::Invalid);
    let [mut a, mut b] = p;
    assert_eq!(judge(&mut a, &mut b, &far, false).0, Fit::Valid);
}

#[test]
fn a_reset_must_lie_at_the_edge() {
    let mut p = established();
    assert_eq!(forward(&mut p, &segment(RST, 300, 0, 0)).0, Fit::Invalid);
    assert_eq!(forward(&mut p, &segment(RST, 101, 0, 0)), (Fit::Valid, Some(Class::TcpClosed)));
}

#[test]
fn a_syn_again_is_still_opening() {
    let mut p = open(&segment(SYN, 100, 0, 0));
    assert_eq!(forward(&mut p, &segment(SYN, 100, 0, 0)), (Fit::Opening, Some(Class::TcpFirst)));
    let mut both = open(&segment(SYN, 100, 0, 0));
    assert_eq!(reply(&mut both, &segment(SYN, 500, 0, 0)).0, Fit::Opening, "simultaneous open");
}

#[test]
fn impossible_flags_open_nothing() {
    for flags in [0, SYN | FIN, SYN | RST, FIN, PSH, URG, FIN | PSH | URG] {
        assert!(flags_invalid(flags), "{flags:#x}");
        assert!(!may_open(&segment(flags, 1, 0, 0)));
    }
    assert!(!may_open(&segment(SYN | ACK, 1, 0, 0)));
    assert!(may_open(&segment(ACK, 1, 0, 0)) && may_open(&segment(SYN, 1, 0, 0)) && may_open(&segment(RST, 1, 0, 0)));
}

#[test]
fn scales_divide_the_first_window_and_multiply_later_ones() {
    let syn = Segment { scale: Some(7), window: 65535, ..segment(SYN, 0, 0, 0) };
    let mut p = open(&syn);
    assert_eq!(p[0].window, 512);
    let syn_ack = Segment { scale: Some(2), window: 65535, ..segment(SYN | ACK, 0, 1, 0) };
    reply(&mut p, &syn_ack);
    assert_eq!((p[1].scale(), p[1].window), (Some(2), 16384));
    forward(&mut p, &segment(ACK, 1, 1, 0));
    assert_eq!(p[1].high, 1 + (1000 << 7));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn side(p: &Peer) -> Side {
        Side { sequence: u64::from(p.low) << 32 | u64::from(p.high), window: p.window, scale: p.scale }
    }

    fn peer(around: u32) -> impl Strategy<Value = Peer> {
        let state = prop_oneof![9 => Just(State::Established), 1 => Just(State::Closing), 1 => Just(State::SynSent)];
        let scale = prop_oneof![Just(0), Just(SCALE_KNOWN | 7), Just(SCALE_KNOWN), Just(SCALE_UNSEEN)];
        (state, 0..5000u32, 0..70_000u32, any::<u16>(), scale).prop_map(move |(state, low, high, window, scale)| {
            let low = around.wrapping_add(low);
            Peer { state, low, high: low.wrapping_add(high), window, scale }
        })
    }

    fn near(around: u32) -> impl Strategy<Value = u32> {
        prop_oneof![8 => (0..10_000u32).prop_map(move |d| around.wrapping_add(d)), 2 => any::<u32>(), 1 => Just(0)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        /// What the short way answers and writes is what the long way would; what it leaves to it, it leaves whole.
        #[test]
        fn the_short_way_agrees_with_the_long_one(
            peers in (any::<u32>(), any::<u32>()).prop_flat_map(|(a, b)| (Just((a, b)), peer(a), peer(b), near(a), near(b))),
            flags in prop_oneof![6 => Just(ACK), 3 => Just(ACK | PSH), 1 => 0..64u16],
            len in prop_oneof![Just(0), 1..3000u32], window in any::<u16>(), strict in prop::bool::weighted(0.8),
        ) {
            let (_, from, to, seq, ack) = peers;
            let s = Segment { seq, ack, flags, window, len, scale: None };
            let is_established = from.state == State::Established && to.state == State::Established;
            let before = Window { is_established, from: side(&from), to: side(&to) };
            let (mut a, mut b) = (from, to);
            let judged = judge(&mut a, &mut b, &s, strict);
            let after = Window { is_established: true, from: side(&a), to: side(&b) };
            if let Some(short) = steady(&before, &s, strict) {
                prop_assert_eq!(judged, (Fit::Valid, Some(Class::TcpEstablished)));
                prop_assert_eq!(short, after);
                prop_assert_eq!((a.state, b.state), (from.state, to.state));
            } else if is_established && flags & (SYN | FIN | RST) == 0 {
                prop_assert_ne!(judged.0, Fit::Valid);
            }
        }
    }
}
