//! Packets for the controllers, in the log.
//!
//! Purpose: a person sees what a rule sends to the controllers although none is connected.
//! Invariant: a few lines a second at most; how many were left out is told.

use sluice_engine::Punted;

/// Lines in one second.
const PER_SECOND: u32 = 5;

/// Counts lines by second.
#[derive(Default)]
pub(super) struct PuntLog {
    second: u64,
    lines: u32,
    left_out: u64,
}

impl PuntLog {
    /// Writes a line for a packet, unless there were many.
    pub fn write(&mut self, bridge: &str, punted: &Punted, now_ms: u64) {
        if !self.admits(now_ms) {
            return;
        }
        let left_out = std::mem::take(&mut self.left_out);
        let (in_port, table, length) = (punted.in_port, punted.table, punted.total_len);
        let head: String = punted.bytes.iter().take(14).map(|b| format!("{b:02x}")).collect();
        let more = if left_out == 0 { String::new() } else { format!("; {left_out} before it are not shown") };
        crate::log!(Info, bridge, "for the controllers: in_port={in_port} table={table} length={length} begins {head}{more}");
    }

    fn admits(&mut self, now_ms: u64) -> bool {
        if now_ms / 1000 != self.second {
            self.second = now_ms / 1000;
            self.lines = 0;
        }
        self.lines += 1;
        let admitted = self.lines <= PER_SECOND;
        self.left_out += u64::from(!admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gives_a_few_lines_a_second() {
        let mut log = PuntLog::default();
        let admitted = (0..10_000).filter(|i| log.admits(i / 5)).count();
        assert_eq!(admitted, 2 * PER_SECOND as usize);
        assert_eq!(log.left_out, 10_000 - 10);
    }
}
