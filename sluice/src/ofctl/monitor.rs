//! `monitor` and `snoop`: prints what arrives until it is told to stop.
//!
//! Purpose: one loop over the switch and a control socket of its own, as `ovs-ofctl` has.
//! Invariant: while blocked nothing is read, so that the switch meets back-pressure.
//! Deliberately does not know: what a message is for.

use std::io::Write;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use sluice_openflow::message::{PacketInFormat, StatsRequest, SwitchConfig};
use sluice_openflow::text::{parse_flow_monitor, parse_packet_out, Names};
use sluice_openflow::{Message, Version, VersionSet};

use super::client::{next_xid, Client, Received};
use super::control::{Control, Order};
use super::fatal::{reason, Fatal};
use super::inspect::message_from_hex;
use super::run::{Failure, Run};
use super::settings::{fetch, invalid_ttl_versions, set};

const SWITCH: Token = Token(0);
const CONTROL: Token = Token(1);

/// `monitor SWITCH [MISS_LEN] [invalid_ttl] [watch:...] [resume]`.
pub fn monitor(run: &Run) -> Result<(), Failure> {
    let words: Vec<&str> = run.arguments.iter().skip(2).map(String::as_str).collect();
    let mut versions = run.options.versions;
    if words.contains(&"invalid_ttl") {
        versions = VersionSet(versions.0 & invalid_ttl_versions().0);
        if versions == VersionSet::NONE {
            let what = "invalid_ttl requires one of the OpenFlow versions OpenFlow10, OpenFlow11, OpenFlow12 but none is enabled (use -O)";
            return Err(Fatal(what.to_string()).into());
        }
    }
    let mut client = Client::open(run.argument(1), versions)?;
    let mut resumes = false;
    for word in words {
        match word {
            "invalid_ttl" => ask_for_ttl(run, &mut client)?,
            "resume" => {
                resumes = true;
                let config = fetch(&mut client)?;
                set(run, &mut client, SwitchConfig { miss_send_len: u16::MAX, ..config })?;
            }
            _ if word.starts_with(|c: char| c.is_ascii_digit()) => {
                let config = fetch(&mut client)?;
                let digits = word.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("");
                let miss_send_len = digits.parse::<u64>().unwrap_or(u64::MAX) as u16;
                set(run, &mut client, SwitchConfig { miss_send_len, ..config })?;
            }
            _ => match word.strip_prefix("watch:") {
                Some(what) => watch(run, &mut client, what)?,
                None => return Err(Fatal(format!("{word}: unsupported \"monitor\" argument")).into()),
            },
        }
    }
    choose_format(run, &mut client)?;
    Monitor { run, client, echoes: true, resumes, blocked: false, barrier: None }.follow()
}

/// `snoop SWITCH`: what the switch and its controllers say to each other.
pub fn snoop(run: &Run) -> Result<(), Failure> {
    let client = Client::open_snoop(run.argument(1), run.options.versions)?;
    Monitor { run, client, echoes: false, resumes: false, blocked: false, barrier: None }.follow()
}

fn ask_for_ttl(run: &Run, client: &mut Client) -> Result<(), Failure> {
    let config = fetch(client)?;
    if config.invalid_ttl_to_controller {
        return Ok(());
    }
    set(run, client, SwitchConfig { invalid_ttl_to_controller: true, ..config })?;
    if !fetch(client)?.invalid_ttl_to_controller {
        let what = "setting invalid_ttl_to_controller failed (this switch probably doesn't support this flag)";
        return Err(Fatal(what.to_string()).into());
    }
    Ok(())
}

fn watch(run: &Run, client: &mut Client, what: &str) -> Result<(), Failure> {
    let names = run.accepted_names(run.argument(1))?;
    let request = parse_flow_monitor(what, run.next_monitor(), &names).map_err(|e| run.wrong(&e))?;
    for part in client.dump(StatsRequest::FlowMonitor(vec![request]))? {
        run.show(&part, 1);
    }
    let _ = std::io::stdout().flush();
    Ok(())
}

/// The form of packet-ins: the one asked for, else the best that the switch has.
fn choose_format(run: &Run, client: &mut Client) -> Result<(), Failure> {
    if let Some(format) = run.options.packet_in_format {
        let answer = client.transact_silent(&Message::SetPacketInFormat(format))?;
        return Ok(run.refused(answer)?);
    }
    let refused = client.transact_silent(&Message::SetPacketInFormat(PacketInFormat::Nicira2))?;
    if refused.is_some() && client.protocol.version == Version::V10 {
        client.transact_silent(&Message::SetPacketInFormat(PacketInFormat::Nicira))?;
    }
    Ok(())
}

struct Monitor<'a> {
    run: &'a Run,
    client: Client,
    echoes: bool,
    resumes: bool,
    blocked: bool,
    /// Who waits for a barrier.
    barrier: Option<usize>,
}

impl Monitor<'_> {
    fn follow(mut self) -> Result<(), Failure> {
        super::detach::start(self.run)?;
        let cannot = |e: std::io::Error| Fatal(format!("cannot wait for messages ({})", reason(&e)));
        let mut control = Control::open(self.run)?;
        let names = self.run.shown_names_of_messages(self.run.argument(1), self.echoes)?;
        let mut poll = Poll::new().map_err(cannot)?;
        let descriptor = self.client.descriptor();
        let registry = poll.registry();
        registry.register(&mut SourceFd(&descriptor), SWITCH, Interest::READABLE).map_err(cannot)?;
        control.register(registry, CONTROL).map_err(cannot)?;
        let mut events = Events::with_capacity(16);
        loop {
            while !self.blocked {
                match self.client.receive_now() {
                    Ok(Some(received)) => self.take(&received, &names, &mut control)?,
                    Ok(None) => break,
                    Err(e) => return Err(Fatal(format!("vconn_recv ({})", reason(&e))).into()),
                }
            }
            while let Some((who, order)) = control.next_order() {
                if self.obey(who, order, &names, &mut control)? {
                    control.finish(who);
                    return Ok(());
                }
            }
            match poll.poll(&mut events, None) {
                Err(e) if e.kind() != std::io::ErrorKind::Interrupted => return Err(cannot(e).into()),
                _ => control.accept(),
            }
        }
    }

    fn take(&mut self, received: &Received, names: &Names, control: &mut Control) -> Result<(), Failure> {
        let stamp = if self.run.options.timestamp { super::show::timestamp() } else { String::new() };
        say(&format!("{stamp}{}", super::show::message(&received.bytes, self.run.options.verbosity + 2, names)));
        match &received.message {
            Ok(Message::BarrierReply) => {
                if let Some(who) = self.barrier.take() {
                    control.answer(who, Ok(String::new()));
                }
            }
            Ok(Message::EchoRequest(payload)) if self.echoes => {
                self.client.send(&Message::EchoReply(payload.clone()), received.xid)?;
            }
            Ok(Message::PacketIn(packet_in)) if self.resumes && !packet_in.continuation.is_empty() => {
                let mut back = packet_in.clone();
                back.userdata.clear();
                let bytes = Message::Resume(back).encode(self.client.protocol, 0).map_err(|e| Fatal(e.to_string()))?;
                say(&format!("send: {}", super::show::message(&bytes, self.run.options.verbosity + 2, names)));
                self.client.send_raw(&bytes)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Carries out an order; true when it is the last.
    fn obey(&mut self, who: usize, order: Order, names: &Names, control: &mut Control) -> Result<bool, Failure> {
        let answer = match order {
            Order::Exit => return Ok(true),
            Order::Block => Ok(told_before(&mut self.blocked, true, "already blocking")),
            Order::Unblock => Ok(told_before(&mut self.blocked, false, "already unblocked")),
            Order::Barrier if self.barrier.is_some() => Err("already waiting for barrier reply".to_string()),
            Order::Barrier => {
                self.client.send(&Message::BarrierRequest, next_xid())?;
                self.barrier = Some(who);
                return Ok(false);
            }
            Order::SetOutputFile(path) => redirect(&path),
            Order::Send(messages) => self.send(&messages, names),
            Order::PacketOut(text) => self.packet_out(&text, names),
        };
        control.answer(who, answer);
        Ok(false)
    }

    fn send(&mut self, messages: &[String], names: &Names) -> Result<String, String> {
        let (mut told, mut good) = (String::new(), true);
        for hex in messages {
            let sent = message_from_hex(hex).and_then(|bytes| {
                say(&format!("send: {}", super::show::message(&bytes, self.run.options.verbosity, names)));
                self.client.send_raw(&bytes)
            });
            match sent {
                Ok(()) => told.push_str("sent\n"),
                Err(e) => {
                    told.push_str(&format!("{}\n", e.0));
                    good = false;
                }
            }
        }
        if good { Ok(told) } else { Err(told) }
    }

    fn packet_out(&mut self, text: &str, names: &Names) -> Result<String, String> {
        let packet = parse_packet_out(text, names).map_err(|e| format!("{}\n", e.ovs_text()))?;
        let message = Message::PacketOut(Box::new(packet));
        let bytes = message.encode(self.client.protocol, next_xid()).map_err(|e| format!("{e}\n"))?;
        say(&super::show::message(&bytes, self.run.options.verbosity, names));
        self.client.send_raw(&bytes).map(|()| String::new()).map_err(|e| e.0)
    }
}

fn told_before(state: &mut bool, wanted: bool, already: &str) -> String {
    if std::mem::replace(state, wanted) == wanted {
        return already.to_string();
    }
    String::new()
}

/// Standard error is where messages go; scripts read them there.
fn say(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

fn redirect(path: &str) -> Result<String, String> {
    let file = std::fs::File::create(path).map_err(|e| reason(&e))?;
    rustix::stdio::dup2_stderr(&file).map_err(|e| e.to_string())?;
    Ok(String::new())
}
