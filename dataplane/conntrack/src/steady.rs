//! The short way: a packet of a connection that is established and known from before.
//!
//! Nothing is looked up and nothing locked; the packet is judged all the same (window, flags, time), and
//! whatever would change a state goes the long way.
//! Invariant: what the short way answers is what [`Tracker::track`] would.
//! Deliberately does not know: who remembers the record of a connection.

use crate::conn::NatKind;
use crate::keep::Tracker;
use crate::nat::Rewrite;
use crate::packet::Transported;
use crate::tcp;
use crate::timeouts::{is_over, Class};
use crate::track::state::{ESTABLISHED, RELATED, REPLY, TRACKED};
use crate::tuple::Tuple;

/// What a packet of an established connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Steadily {
    /// State bits (without those of a translation).
    pub state: u8,
    /// Mark.
    pub mark: u32,
    /// Label.
    pub label: u128,
    /// It is an answer.
    pub is_reply: bool,
    /// What translation does to this packet.
    pub nat: NatKind,
}

impl Tracker {
    /// Judges a packet of the connection in this record, in this direction; `None` when it must go the long way.
    #[inline(always)]
    pub fn steady(&self, id: u32, tuple: &Tuple, is_reply: bool, said: &Transported, now_ms: u64) -> Option<Steadily> {
        let r = self.records.get(id).filter(|r| r.has(tuple, is_reply))?;
        let now = now_ms as u32;
        let s = r.steady();
        let class = s.class();
        // A helper's packets are read, and their numbers may be moved.
        if s.has_alg() || is_over(now, s.last_ms(), self.timeouts.ms(s.policy(), class)) {
            return None;
        }
        match (class, said) {
            (Class::TcpEstablished, Transported::Tcp(segment)) => {
                let before = r.window(&s, is_reply);
                let after = tcp::steady(&before, segment, self.is_strict())?;
                r.advance(&s, is_reply, &before, &after, now);
            }
            (Class::OtherBoth, Transported::Other) | (Class::IcmpReply, Transported::Icmp(_)) => r.renew(&s, now),
            _ => return None,
        }
        let mut state = TRACKED | ESTABLISHED;
        state |= if is_reply { REPLY } else { 0 };
        state |= if s.is_related() { RELATED } else { 0 };
        let nat = if is_reply { s.nat().reversed() } else { s.nat() };
        Some(Steadily { state, mark: s.mark, label: s.label, is_reply, nat })
    }

    /// Is the connection in this record open in both directions?
    pub fn is_steady(&self, id: u32) -> bool {
        self.records.get(id).is_some_and(|r| r.is_alive() && is_steady(r.age().1) && !r.steady().has_alg())
    }

    /// The translation of a packet that [`Tracker::steady`] judged.
    pub fn steady_rewrite(&self, id: u32, s: &Steadily) -> Option<Rewrite> {
        let r = self.records.get(id).filter(|_| s.nat.any())?;
        let to = if s.is_reply { r.orig() } else { r.reply() };
        Some(Rewrite { to: to.reversed(), kind: s.nat, related: false })
    }

    /// Memory that judging a packet of this connection will touch first, to be brought near in time.
    #[inline]
    pub fn line(&self, id: u32) -> Option<&std::sync::atomic::AtomicU64> {
        self.records.get(id).map(|r| r.first_word())
    }
}

fn is_steady(class: Class) -> bool {
    matches!(class, Class::TcpEstablished | Class::OtherBoth | Class::IcmpReply)
}
