//! How many packets a controller is told of.
//!
//! Purpose: a token bucket with a short queue for each input port, served in turn, so that one port's
//! flood costs that port.
//! Invariant: never more packets wait than the burst that is configured.
//! Deliberately does not know: sockets; time is an input.

use std::collections::{BTreeMap, VecDeque};

/// Packets in a second at least, and of the queue, as Open vSwitch has it.
const LEAST: u32 = 100;

/// One controller's limit.
#[derive(Debug)]
pub struct Limiter {
    /// Packets in a second.
    rate: u64,
    burst: u64,
    /// Thousandths of packets that may go now.
    tokens: u64,
    filled_ms: u64,
    queues: BTreeMap<u32, VecDeque<Vec<u8>>>,
    waiting: usize,
    /// The port whose packet went last.
    last: u32,
    /// Packets that found no room.
    pub dropped: u64,
}

impl Limiter {
    /// So many packets in a second, and so many at once (a quarter of a second's by default).
    pub fn new(rate: u32, burst: Option<u32>, now_ms: u64) -> Limiter {
        let rate = rate.max(LEAST);
        let burst = u64::from(burst.filter(|b| *b > 0).unwrap_or(rate / 4));
        Limiter { rate: rate.into(), burst, tokens: burst * 1000, filled_ms: now_ms, queues: BTreeMap::new(), waiting: 0, last: 0, dropped: 0 }
    }

    fn fill(&mut self, now_ms: u64) {
        let more = now_ms.saturating_sub(self.filled_ms).saturating_mul(self.rate);
        self.tokens = self.tokens.saturating_add(more).min(self.burst * 1000);
        self.filled_ms = now_ms;
    }

    fn pay(&mut self) -> bool {
        let enough = self.tokens >= 1000;
        if enough {
            self.tokens -= 1000;
        }
        enough
    }

    /// A packet-in of this port: given back when it may go at once, else it waits, or makes another go.
    pub fn offer(&mut self, port: u32, message: Vec<u8>, now_ms: u64) -> Option<Vec<u8>> {
        self.fill(now_ms);
        if self.waiting == 0 && self.pay() {
            return Some(message);
        }
        if self.waiting as u64 >= self.burst {
            self.drop_from_longest();
        }
        self.queues.entry(port).or_default().push_back(message);
        self.waiting += 1;
        None
    }

    fn drop_from_longest(&mut self) {
        if let Some(queue) = self.queues.values_mut().max_by_key(|q| q.len()) {
            if queue.pop_front().is_some() {
                self.waiting -= 1;
                self.dropped += 1;
            }
        }
    }

    /// The next packet-in whose time has come.
    pub fn next(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        if self.waiting == 0 {
            return None;
        }
        self.fill(now_ms);
        if !self.pay() {
            return None;
        }
        self.queues.retain(|_, q| !q.is_empty());
        let after = self.queues.range(self.last.saturating_add(1)..).next().or_else(|| self.queues.iter().next());
        let port = *after?.0;
        self.last = port;
        self.waiting -= 1;
        self.queues.get_mut(&port)?.pop_front()
    }

    /// When the next one may go.
    pub fn due_ms(&self) -> Option<u64> {
        let missing = 1000u64.saturating_sub(self.tokens);
        (self.waiting > 0).then(|| self.filled_ms + missing.div_ceil(self.rate).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_goes_at_the_rate_and_no_more_wait_than_the_burst() {
        let mut l = Limiter::new(100, Some(10), 0);
        let at_once = (0..1000).filter(|_| l.offer(1, vec![0], 0).is_some()).count();
        assert_eq!(at_once, 10);
        assert_eq!(l.waiting, 10);
        assert_eq!(l.dropped, 980);
        let mut gone = 0;
        for now in 0..=50 {
            while l.next(now).is_some() {
                gone += 1;
            }
        }
        assert_eq!(gone, 5, "five packets in fifty milliseconds");
    }

    #[test]
    fn a_quiet_port_is_heard_beside_a_flooding_one() {
        let mut l = Limiter::new(100, Some(10), 0);
        for _ in 0..100 {
            l.offer(1, vec![1], 0);
        }
        l.offer(2, vec![2], 0);
        let first_two: Vec<u8> = (1..=30).filter_map(|ms| l.next(ms)).map(|m| m[0]).take(2).collect();
        assert!(first_two.contains(&2), "{first_two:?}");
    }

    #[test]
    fn it_says_when_to_come_back() {
        let mut l = Limiter::new(100, Some(1), 0);
        assert_eq!(l.due_ms(), None);
        l.offer(1, vec![1], 0);
        l.offer(1, vec![2], 0);
        let due = l.due_ms().expect("one waits");
        assert!(l.next(due - 1).is_none() && l.next(due).is_some());
    }
}
