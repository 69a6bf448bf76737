//! Prints the packets of a made-up scenario and what becomes of them: `packets SEED [RULES] [PACKETS]`.

use sluice_naive::generate::scenario;
use sluice_naive::{NaiveSwitch, Subject};

fn main() -> Result<(), String> {
    let number = |n: usize, default: u64| std::env::args().nth(n).and_then(|a| a.parse().ok()).unwrap_or(default);
    let s = scenario(number(1, 1), number(2, 40) as usize, number(3, 50) as usize)?;
    let mut naive = NaiveSwitch::default();
    naive.load(&s.world)?;
    for (i, p) in s.packets.iter().enumerate() {
        let out = naive.packet(p, i as u64)?;
        let hex: String = p.bytes.iter().take(42).map(|b| format!("{b:02x}")).collect();
        let ports: Vec<_> = out.iter().map(|o| format!("br{}:{}", o.bridge, o.port as i32)).collect();
        println!("{i} br{}:{} {hex}\n  {:?} -> {}", p.bridge, p.port, naive.way, ports.join(" "));
    }
    Ok(())
}
