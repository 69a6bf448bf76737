//! The command line of `sluice replay`.

use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Help text.
pub const USAGE: &str = "\
usage: sluice replay --flows RULES.txt --in-port N=IN.pcap [options]
Runs captured frames through the switch from memory, by rules in ovs-ofctl syntax.

  --flows FILE           rules, one a line ('-' for standard input)
  --in-port N=FILE       frames (pcap or pcapng) that come in by port N; may be given often
  --out-port N=FILE      writes what leaves by port N as pcap; else it is counted and discarded
  --port N               a port that only sends; ports that rules name exist anyway
  --loop N               replays each capture N times (default 1)
  --seconds S            replays for S seconds of wall time instead
  --cores 1              worker threads (only 1 so far)
  --vxlan N=REMOTE,LOCAL,PORT[,VNI]
                         port N is a VXLAN tunnel between two IPv4 addresses whose packets leave and
                         arrive by port PORT; without VNI the rules set and match tun_id
  --bridge FILE          a second bridge with these rules, joined to the first by patch ports
  --patch N=M            port N of the first bridge is joined to port M of the second
  --json                 prints the figures as JSON
  -O, --protocol VERSION OpenFlow version whose rules apply to the syntax (default OpenFlow14)
";

/// A tunnel port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Number of the tunnel port.
    pub port: u32,
    /// Peer.
    pub remote: Ipv4Addr,
    /// Own address.
    pub local: Ipv4Addr,
    /// Port that encapsulated packets use.
    pub by: u32,
    /// VNI; `None` for what rules set.
    pub vni: Option<u32>,
}

/// What is to be done.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// Rules of the first bridge.
    pub flows: PathBuf,
    /// Rules of the second bridge.
    pub second_bridge: Option<PathBuf>,
    /// Joined ports.
    pub patches: Vec<(u32, u32)>,
    /// Captures in.
    pub inputs: Vec<(u32, PathBuf)>,
    /// Captures out.
    pub outputs: Vec<(u32, PathBuf)>,
    /// Ports that only send.
    pub ports: Vec<u32>,
    /// Tunnel ports.
    pub tunnels: Vec<Tunnel>,
    /// Rounds.
    pub rounds: u64,
    /// Seconds instead of rounds.
    pub seconds: Option<f64>,
    /// JSON instead of a table.
    pub json: bool,
    /// OpenFlow minor version.
    pub protocol: Option<String>,
}

/// Reads the command line; `None` when help was asked for.
pub fn parse(words: &[String]) -> Result<Option<Args>, String> {
    let mut a = Args { rounds: 1, ..Args::default() };
    let mut words = words.iter().cloned();
    while let Some(word) = words.next() {
        let (option, mut given) = match word.split_once('=') {
            Some((o, v)) if word.starts_with("--") => (o.to_owned(), Some(v.to_owned())),
            _ => (word.clone(), None),
        };
        let mut value = |what: &str| {
            given.take().or_else(|| words.next()).ok_or_else(|| format!("{option}: expected {what} behind it"))
        };
        match option.as_str() {
            "-h" | "--help" => return Ok(None),
            "--flows" => a.flows = value("a file of rules")?.into(),
            "--bridge" => a.second_bridge = Some(value("a file of rules")?.into()),
            "--in-port" => a.inputs.push(port_file(&option, &value("N=FILE")?)?),
            "--out-port" => a.outputs.push(port_file(&option, &value("N=FILE")?)?),
            "--port" => a.ports.push(number(&option, &value("a port number")?)?),
            "--patch" => a.patches.push(pair(&option, &value("N=M")?)?),
            "--vxlan" => a.tunnels.push(tunnel(&value("N=REMOTE,LOCAL,PORT[,VNI]")?)?),
            "--loop" => a.rounds = number(&option, &value("how many rounds")?)?.into(),
            "--seconds" => a.seconds = Some(seconds(&value("seconds")?)?),
            "--cores" => cores(&value("how many workers")?)?,
            "--json" => a.json = true,
            "-O" | "--protocol" | "--protocols" => a.protocol = Some(value("an OpenFlow version")?),
            _ => return Err(format!("'{word}' is not an option")),
        }
    }
    check(a).map(Some)
}

fn check(a: Args) -> Result<Args, String> {
    if a.flows.as_os_str().is_empty() {
        return Err("--flows FILE is missing: rules in ovs-ofctl syntax".into());
    }
    if a.inputs.is_empty() {
        return Err("--in-port N=FILE is missing: frames to replay".into());
    }
    if let Some(t) = a.tunnels.iter().find(|t| a.ports.contains(&t.port)) {
        return Err(format!("--vxlan: port {} is an ordinary port already", t.port));
    }
    Ok(a)
}

fn number(option: &str, text: &str) -> Result<u32, String> {
    if text.eq_ignore_ascii_case("local") {
        return Ok(sluice_flow::action::LOCAL);
    }
    text.parse().map_err(|_| format!("{option}: '{text}' is not a number"))
}

fn port_file(option: &str, text: &str) -> Result<(u32, PathBuf), String> {
    let (n, file) = text.split_once('=').ok_or_else(|| format!("{option}: expected N=FILE, got '{text}'"))?;
    Ok((number(option, n)?, file.into()))
}

fn pair(option: &str, text: &str) -> Result<(u32, u32), String> {
    let (n, m) = text.split_once('=').ok_or_else(|| format!("{option}: expected N=M, got '{text}'"))?;
    Ok((number(option, n)?, number(option, m)?))
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|s| *s > 0.0).ok_or_else(|| format!("--seconds: '{text}' is not a time above 0"))
}

fn cores(text: &str) -> Result<(), String> {
    match text {
        "1" => Ok(()),
        _ => Err(format!("--cores: '{text}': replay runs one worker; start several processes to compare")),
    }
}

fn tunnel(text: &str) -> Result<Tunnel, String> {
    let bad = || format!("--vxlan: expected N=REMOTE,LOCAL,PORT[,VNI], got '{text}'");
    let (port, rest) = text.split_once('=').ok_or_else(bad)?;
    let parts: Vec<&str> = rest.split(',').collect();
    let (remote, local, by, vni) = match parts[..] {
        [r, l, b] => (r, l, b, None),
        [r, l, b, v] => (r, l, b, Some(number("--vxlan", v)?)),
        _ => return Err(bad()),
    };
    Ok(Tunnel {
        port: number("--vxlan", port)?,
        remote: remote.parse().map_err(|_| bad())?,
        local: local.parse().map_err(|_| bad())?,
        by: number("--vxlan", by)?,
        vni,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Option<Args>, String> {
        parse(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_may_carry_their_value_either_way() {
        let a = parsed("--flows r --in-port 1=a.pcap --in-port=2=b.pcap --out-port 3=o --loop=7 --json").unwrap().unwrap();
        assert_eq!(a.inputs, [(1, "a.pcap".into()), (2, "b.pcap".into())]);
        assert_eq!((a.rounds, a.json), (7, true));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (line, word) in [
            ("--in-port 1=a", "--flows"),
            ("--flows f", "--in-port"),
            ("--flows f --in-port a", "N=FILE"),
            ("--flows f --in-port x=a", "'x'"),
            ("--flows f --in-port 1=a --cores 2", "'2'"),
            ("--flows f --in-port 1=a --nonsense", "--nonsense"),
            ("--flows f --in-port 1=a --vxlan 5=1.2.3.4", "--vxlan"),
            ("--flows", "--flows"),
        ] {
            assert!(parsed(line).unwrap_err().contains(word), "{line}");
        }
    }

    #[test]
    fn a_tunnel_names_its_addresses_and_the_port_it_uses() {
        let a = parsed("--flows f --in-port 1=a --vxlan 10=192.0.2.2,192.0.2.1,2,123").unwrap().unwrap();
        assert_eq!((a.tunnels[0].port, a.tunnels[0].by, a.tunnels[0].vni), (10, 2, Some(123)));
    }
}
