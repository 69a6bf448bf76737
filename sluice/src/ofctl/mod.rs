//! `ofctl`: programs and asks a switch over OpenFlow.
//!
//! Purpose: the commands, options, texts and exit codes of `ovs-ofctl`, for this switch and for any
//! other.
//! Invariant: a command that fails says why in one line and changes nothing that it can avoid.
//! Deliberately does not know: anything of the daemon but its sockets.

mod batch;
mod capture;
mod client;
mod compare;
mod control;
mod detach;
mod dump;
mod fatal;
mod flow_file;
mod flows;
mod formats;
mod groups;
mod inspect;
mod monitor;
mod options;
mod packet;
mod parse;
mod ports;
mod run;
mod sending;
mod settings;
mod show;
mod timeout;
mod warn;

use std::process::ExitCode;

use options::Request;
use run::{print, Failure, Run};
use sluice_openflow::Version;

/// A command.
struct Command {
    name: &'static str,
    arguments: &'static str,
    least: usize,
    most: usize,
    run: fn(&Run) -> Result<(), Failure>,
}

const fn command(name: &'static str, arguments: &'static str, least: usize, most: usize, run: fn(&Run) -> Result<(), Failure>) -> Command {
    Command { name, arguments, least, most, run }
}

static COMMANDS: [Command; 76] = [
    command("show", "switch", 1, 1, ports::show),
    command("dump-desc", "switch", 1, 1, ports::description),
    command("dump-tables", "switch", 1, 1, ports::tables),
    command("dump-table-features", "switch", 1, 1, ports::table_features),
    command("dump-table-desc", "switch", 1, 1, ports::table_descriptions),
    command("dump-flows", "switch", 1, 2, dump::flows),
    command("dump-aggregate", "switch", 1, 2, dump::aggregate),
    command("queue-stats", "switch [port [queue]]", 1, 3, ports::queues),
    command("queue-get-config", "switch [port]", 1, 2, ports::queue_config),
    command("add-flow", "switch flow", 2, 2, flows::change),
    command("add-flows", "switch file", 2, 2, flows::add_file),
    command("mod-flows", "switch flow", 2, 2, flows::change),
    command("del-flows", "switch [flow]", 1, 2, flows::change),
    command("replace-flows", "switch file", 2, 2, compare::replace),
    command("diff-flows", "source1 source2", 2, 2, compare::diff),
    command("packet-out", "switch \"in_port=<port> packet=<hex data> actions=...\"", 2, usize::MAX, packet::out),
    command("dump-ports", "switch [port]", 1, 2, ports::counters),
    command("dump-ports-desc", "switch [port]", 1, 2, ports::descriptions),
    command("mod-port", "switch iface act", 3, 3, ports::modify),
    command("probe", "target", 1, 1, ports::probe),
    command("ping", "target [n]", 1, 2, ports::ping),
    command("monitor", "switch [misslen] [invalid_ttl] [watch:[...]]", 1, 4, monitor::monitor),
    command("snoop", "switch", 1, 1, monitor::snoop),
    command("add-meter", "switch meter", 2, 2, groups::change_meter),
    command("mod-meter", "switch meter", 2, 2, groups::change_meter),
    command("del-meter", "switch meter", 1, 2, groups::change_meter),
    command("del-meters", "switch", 1, 2, groups::change_meter),
    command("dump-meter", "switch meter", 1, 2, groups::dump_meters),
    command("dump-meters", "switch", 1, 2, groups::dump_meters),
    command("meter-stats", "switch [meter]", 1, 2, groups::dump_meters),
    command("meter-features", "switch", 1, 1, groups::dump_meters),
    command("mod-table", "switch table mod", 3, 3, settings::mod_table),
    command("get-frags", "switch", 1, 1, settings::get_frags),
    command("set-frags", "switch frag_mode", 2, 2, settings::set_frags),
    command("benchmark", "target n count", 3, 3, settings::benchmark),
    command("dump-ipfix-bridge", "switch", 1, 1, settings::ipfix),
    command("dump-ipfix-flow", "switch", 1, 1, settings::ipfix),
    command("ct-flush-zone", "switch zone", 2, 2, settings::flush_zone),
    command("ct-flush", "switch [zone=N] [ct-orig-tuple [ct-reply-tuple]]", 1, 4, settings::flush),
    command("add-group", "switch group", 1, 2, groups::change),
    command("add-groups", "switch file", 2, 2, groups::add_file),
    command("mod-group", "switch group", 1, 2, groups::change),
    command("del-groups", "switch [group]", 1, 2, groups::change),
    command("insert-buckets", "switch [group]", 1, 2, groups::change),
    command("remove-buckets", "switch [group]", 1, 2, groups::change),
    command("dump-groups", "switch [group]", 1, 2, groups::dump_groups),
    command("dump-group-stats", "switch [group]", 1, 2, groups::dump_group_stats),
    command("dump-group-features", "switch", 1, 1, groups::dump_group_features),
    command("bundle", "switch file", 2, 2, groups::whole),
    command("add-tlv-map", "switch map", 2, 2, settings::change_tlv),
    command("del-tlv-map", "switch [map]", 1, 2, settings::change_tlv),
    command("dump-tlv-map", "switch", 1, 1, settings::dump_tlv),
    command("ofp-parse", "file", 1, 1, inspect::ofp_parse),
    command("ofp-parse-pcap", "pcap", 1, usize::MAX, inspect::ofp_parse_pcap),
    command("ofp-print", "hex [verbosity]", 1, 2, inspect::ofp_print),
    command("parse-group", "group", 1, 1, groups::parse_one),
    command("parse-actions", "", 0, 1, inspect::actions),
    command("parse-instructions", "", 0, 1, inspect::actions),
    command("parse-packet", "", 0, 0, inspect::packets),
    command("encode-hello", "bitmap", 1, 1, inspect::encode_hello),
    command("print-error", "name", 1, 1, inspect::print_error),
    command("encode-error-reply", "error request", 2, 2, inspect::encode_error),
    command("parse-nx-match", "", 0, usize::MAX, inspect::makes_no_sense),
    command("parse-nxm", "", 0, usize::MAX, inspect::makes_no_sense),
    command("parse-oxm", "", 0, usize::MAX, inspect::makes_no_sense),
    command("parse-ofp10-match", "", 0, usize::MAX, inspect::makes_no_sense),
    command("parse-ofp11-match", "", 0, usize::MAX, inspect::makes_no_sense),
    command("parse-pcap", "", 0, usize::MAX, inspect::makes_no_sense),
    command("check-vlan", "", 0, usize::MAX, inspect::makes_no_sense),
    command("parse-key-value", "", 0, usize::MAX, inspect::makes_no_sense),
    command("compose-packet", "", 0, usize::MAX, inspect::makes_no_sense),
    command("parse-flow", "flow", 1, 1, parse::one),
    command("parse-flows", "file", 1, 1, parse::file),
    command("list-commands", "", 0, usize::MAX, list),
    command("help", "", 0, usize::MAX, help),
    command("version", "", 0, usize::MAX, version),
];

/// Every subcommand: its name, its arguments, and whether it does something here.
pub fn subcommands() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    COMMANDS.iter().map(|c| (c.name, c.arguments, !LIBRARY_TESTS.contains(&c.name)))
}

/// Commands of the original that test its own libraries.
const LIBRARY_TESTS: [&str; 9] = [
    "parse-nx-match",
    "parse-nxm",
    "parse-oxm",
    "parse-ofp10-match",
    "parse-ofp11-match",
    "parse-pcap",
    "check-vlan",
    "parse-key-value",
    "compose-packet",
];

/// Runs the command line behind the program's name. `program` is what errors begin with.
pub fn main(program: &str, words: &[String]) -> ExitCode {
    match attempt(program, words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Silent(code)) => ExitCode::from(code),
        Err(Failure::Fatal(fatal)) => {
            eprintln!("{program}: {}", fatal.0);
            ExitCode::FAILURE
        }
    }
}

fn attempt(program: &str, words: &[String]) -> Result<(), Failure> {
    let as_original = program == "ovs-ofctl";
    let (mut options, arguments) = match options::parse(words) {
        Ok(Request::Command(options, arguments)) => (options, arguments),
        Ok(Request::Help) => (Default::default(), vec!["help".to_string()]),
        Ok(Request::Version) => (Default::default(), vec!["version".to_string()]),
        Err(e) => {
            // What getopt says stands alone on its line.
            eprintln!("{program}: {e}");
            return Err(Failure::Silent(1));
        }
    };
    let knows_bundles = [Version::V13, Version::V14, Version::V15].iter().any(|v| options.versions.contains(*v));
    if (options.bundle || arguments.first().is_some_and(|c| c == "bundle")) && !knows_bundles {
        options.versions = options.versions.with(Version::V14);
    }
    let Some(name) = arguments.first().cloned() else {
        return Err(fatal::Fatal("missing command name; use --help for help".to_string()).into());
    };
    if !options.detach {
        timeout::start(options.timeout);
    }
    let known = COMMANDS.iter().find(|c| c.name == name);
    let command = known.ok_or_else(|| fatal::Fatal(format!("unknown command '{name}'; use --help for help")))?;
    let run = Run::new(options, arguments, as_original)?;
    check_count(command, run.count())?;
    (command.run)(&run)
}

fn check_count(command: &Command, count: usize) -> Result<(), fatal::Fatal> {
    let name = command.name;
    if count < command.least {
        return Err(fatal::Fatal(format!("'{name}' command requires at least {} arguments", command.least)));
    }
    if count > command.most {
        return Err(fatal::Fatal(format!("'{name}' command takes at most {} arguments", command.most)));
    }
    Ok(())
}

fn list(_: &Run) -> Result<(), Failure> {
    let widest = COMMANDS.iter().map(|c| c.name.len()).max().unwrap_or(0);
    print("The available commands are:\n");
    for command in &COMMANDS {
        print(format!("  {:widest$}  {}", command.name, command.arguments).trim_end());
        print("\n");
    }
    Ok(())
}

fn version(_: &Run) -> Result<(), Failure> {
    print(&format!("sluice ofctl {}\nOpenFlow versions 0x1:0x6\n", env!("CARGO_PKG_VERSION")));
    Ok(())
}

fn help(run: &Run) -> Result<(), Failure> {
    print("\
Programs and asks an OpenFlow switch.
usage: sluice ofctl [OPTIONS] COMMAND [ARG...]    (or through a link called ovs-ofctl)

SWITCH is the name of a bridge, a path, unix:PATH or tcp:HOST[:PORT].
-O, --protocols=LIST       OpenFlow versions to offer, as OpenFlow10,OpenFlow13 (default: OpenFlow10)
-F, --flow-format=LIST     flow formats to use
--strict                   change only the rule with the very same match and priority
--bundle                   changes take effect together or not at all
--names, --no-names        show (and accept) names of ports and tables, or numbers only
--no-stats                 leave counters out of dump-flows
--sort[=FIELD], --rsort[=FIELD]
                           order dump-flows by a field, or by priority
--readd                    replace-flows adds rules again that are there already
-m, --more                 show more of packets
-t, --timeout=SECONDS      give up after a time
-h, --help                 this text
-V, --version              the version

");
    list(run)
}
