//! `inputs DIR`: writes the captures that all switches replay.

use std::path::Path;

use sluice_benches::answers::exchange;
use sluice_benches::traffic;
use sluice_fixtures::write_pcap;

/// Bytes, then numbers of flows.
const PLAIN: [(usize, &[u64]); 2] = [(60, &[1, 1000, 10_000, 100_000, 200_000]), (1514, &[1, 10_000])];
const TUNNELLED: [u64; 5] = [1, 1000, 10_000, 100_000, 200_000];

fn main() {
    let Some(dir) = std::env::args().nth(1) else {
        eprintln!("usage: inputs DIR");
        std::process::exit(2);
    };
    if let Err(e) = write_all(Path::new(&dir)) {
        eprintln!("inputs: {dir}: {e}");
        std::process::exit(1);
    }
}

fn write_all(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (len, counts) in PLAIN {
        for &count in counts {
            write(dir, &format!("plain-{len}-{count}.pcap"), &traffic::flows(len), count)?;
        }
    }
    for count in TUNNELLED {
        let mut answers = traffic::frames(&traffic::flows(60), count);
        answers.iter_mut().for_each(|f| exchange(f));
        std::fs::write(dir.join(format!("answers-60-{count}.pcap")), write_pcap(&answers))?;
        write(dir, &format!("vxlan-60-{count}.pcap"), &traffic::flows(60).vxlan(traffic::VNI), count)?;
    }
    Ok(())
}

fn write(dir: &Path, name: &str, spec: &sluice_fixtures::FlowSpec, count: u64) -> std::io::Result<()> {
    std::fs::write(dir.join(name), write_pcap(&traffic::frames(spec, count)))
}
