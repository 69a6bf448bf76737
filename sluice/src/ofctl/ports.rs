//! Commands about ports, tables and the switch itself.

use sluice_openflow::message::{port_config, PortMod, QueueStatsRequest, StatsRequest};
use sluice_openflow::{Message, PortNo, Version};

use super::fatal::Fatal;
use super::run::{Failure, Run};

/// `show`.
pub fn show(run: &Run) -> Result<(), Failure> {
    let mut client = run.open(run.argument(1))?;
    let features = client.transact(&Message::FeaturesRequest)?;
    run.show(&features, 1);
    if client.protocol.version >= Version::V13 {
        for part in client.dump(StatsRequest::PortDesc(PortNo::NONE))? {
            run.show(&part, 1);
        }
    }
    drop(client);
    ask(run, &Message::GetConfigRequest)
}

fn ask(run: &Run, request: &Message) -> Result<(), Failure> {
    let mut client = run.open(run.argument(1))?;
    let received = client.transact(request)?;
    run.show(&received, 1);
    Ok(())
}

fn dump(run: &Run, request: StatsRequest) -> Result<(), Failure> {
    let mut client = run.open(run.argument(1))?;
    for part in client.dump(request)? {
        run.show(&part, 1);
    }
    Ok(())
}

/// `dump-desc`.
pub fn description(run: &Run) -> Result<(), Failure> {
    dump(run, StatsRequest::Desc)
}

/// `dump-tables`.
pub fn tables(run: &Run) -> Result<(), Failure> {
    dump(run, StatsRequest::Table)
}

/// `dump-table-features`.
pub fn table_features(run: &Run) -> Result<(), Failure> {
    let mut client = run.open(run.argument(1))?;
    if client.protocol.version < Version::V13 {
        return Err(Fatal("dump-table-features needs OpenFlow 1.3 or later ('-O OpenFlow13')".to_string()).into());
    }
    for part in client.dump(StatsRequest::TableFeatures(Vec::new()))? {
        run.show(&part, 1);
    }
    Ok(())
}

/// `dump-table-desc`.
pub fn table_descriptions(run: &Run) -> Result<(), Failure> {
    dump(run, StatsRequest::TableDesc)
}

/// `dump-ports`.
pub fn counters(run: &Run) -> Result<(), Failure> {
    dump(run, StatsRequest::Port(port_argument(run)?))
}

/// `dump-ports-desc`.
pub fn descriptions(run: &Run) -> Result<(), Failure> {
    dump(run, StatsRequest::PortDesc(port_argument(run)?))
}

fn port_argument(run: &Run) -> Result<PortNo, Fatal> {
    match run.count() {
        0 | 1 => Ok(PortNo::NONE),
        _ => run.port_number(run.argument(1), run.argument(2)),
    }
}

/// `queue-stats`.
pub fn queues(run: &Run) -> Result<(), Failure> {
    let all = |text: &str| text.is_empty() || text.eq_ignore_ascii_case("all");
    let port = match run.argument(2) {
        text if all(text) => PortNo::NONE,
        text => run.port_number(run.argument(1), text)?,
    };
    let queue = match run.argument(3) {
        text if all(text) => u32::MAX,
        text => text.parse().map_err(|_| Fatal(format!("{text}: not a queue number")))?,
    };
    dump(run, StatsRequest::Queue(QueueStatsRequest { port, queue }))
}

/// `queue-get-config`.
pub fn queue_config(run: &Run) -> Result<(), Failure> {
    let port = port_argument(run)?;
    let mut client = run.open(run.argument(1))?;
    if client.protocol.version >= Version::V14 {
        let request = QueueStatsRequest { port, queue: u32::MAX };
        for part in client.dump(StatsRequest::QueueDesc(request))? {
            run.show(&part, 1);
        }
        return Ok(());
    }
    let received = client.transact(&Message::QueueGetConfigRequest(port))?;
    run.show(&received, 1);
    Ok(())
}

/// What `mod-port` can do: its name, the bits it changes, and what they become.
const CHANGES: [(&str, u32, u32); 14] = [
    ("up", port_config::PORT_DOWN, 0),
    ("down", port_config::PORT_DOWN, u32::MAX),
    ("stp", port_config::NO_STP, 0),
    ("no-stp", port_config::NO_STP, u32::MAX),
    ("receive", port_config::NO_RECV, 0),
    ("no-receive", port_config::NO_RECV, u32::MAX),
    ("receive-stp", port_config::NO_RECV_STP, 0),
    ("no-receive-stp", port_config::NO_RECV_STP, u32::MAX),
    ("flood", port_config::NO_FLOOD, 0),
    ("no-flood", port_config::NO_FLOOD, u32::MAX),
    ("forward", port_config::NO_FWD, 0),
    ("no-forward", port_config::NO_FWD, u32::MAX),
    ("packet-in", port_config::NO_PACKET_IN, 0),
    ("no-packet-in", port_config::NO_PACKET_IN, u32::MAX),
];

/// `mod-port`.
pub fn modify(run: &Run) -> Result<(), Failure> {
    let (target, wanted, word) = (run.argument(1), run.argument(2), run.argument(3));
    let number = run.port_number(target, wanted).ok();
    let port = run.ports(target)?.iter().find(|p| Some(p.number) == number);
    let port = port.ok_or_else(|| Fatal(format!("{target}: couldn't find port `{wanted}'")))?;
    let known = CHANGES.iter().find(|(name, _, _)| name.eq_ignore_ascii_case(word));
    let (_, mask, bits) = known.ok_or_else(|| Fatal(format!("unknown mod-port command '{word}'")))?;
    let change = PortMod { port: port.number, hw_addr: port.hw_addr, config: mask & bits, mask: *mask, advertise: 0 };
    let mut client = run.open(target)?;
    let answer = client.transact_silent(&Message::PortMod(change))?;
    Ok(run.refused(answer)?)
}

/// `probe`.
pub fn probe(run: &Run) -> Result<(), Failure> {
    let mut client = run.open(run.argument(1))?;
    let received = client.transact(&Message::EchoRequest(Vec::new()))?;
    match received.message {
        Ok(Message::EchoReply(payload)) if payload.is_empty() => Ok(()),
        _ => Err(Fatal("reply does not match request".to_string()).into()),
    }
}

/// `ping`.
pub fn ping(run: &Run) -> Result<(), Failure> {
    const TIMES: usize = 10;
    const MOST: usize = 65535 - 8;
    let size = match run.argument(2) {
        "" => 64,
        text => text.parse().unwrap_or(0),
    };
    if size > MOST {
        return Err(Fatal(format!("payload must be between 0 and {MOST} bytes")).into());
    }
    let mut client = run.open(run.argument(1))?;
    for round in 0..TIMES {
        let payload: Vec<u8> = (0..size).map(|i| (i * 31 + round) as u8).collect();
        let start = std::time::Instant::now();
        let received = client.transact(&Message::EchoRequest(payload.clone()))?;
        let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
        if !matches!(&received.message, Ok(Message::EchoReply(back)) if *back == payload) {
            println!("Reply does not match request:");
            run.show(&received, 2);
            continue;
        }
        println!("{size} bytes from {}: xid={:08x} time={milliseconds:.1} ms", run.argument(1), received.xid);
    }
    Ok(())
}
