//! The command line of `sluiced`, which is also that of `ovs-vswitchd`.
//!
//! Purpose: options in the GNU manner, and an error that says which word was wrong.
//! Invariant: every path in [`Args`] is absolute, so that a daemon may change its directory.
//! Deliberately does not know: what the options bring about.

mod directories;
mod words;

use std::path::{Path, PathBuf};

pub use directories::Directories;
use words::Words;

use super::log::syslog;

/// What `--help` prints, but for the directories.
const USAGE: &str = "\
usage: sluiced [OPTIONS] [DATABASE]
       sluiced [OPTIONS] --config FILE.toml

where DATABASE is a socket on which ovsdb-server is listening
      (default: \"unix:RUNDIR/db.sock\").

  --config FILE.toml      bridges, ports and tunnels from a file instead of a database
  --rundir DIR            where sockets go (default: $OVS_RUNDIR, else /var/run/openvswitch)

Daemon:
  --detach                return when configuration can begin, and go on in the background
  --monitor               start the daemon again when it crashes
  --user=NAME[:GROUP]     run as this user, with the capabilities that a switch needs
  --no-chdir              stay in the current directory
  --pidfile[=FILE]        write the pid (default: RUNDIR/ovs-vswitchd.pid)
  --overwrite-pidfile     start although a pid file says that one is running
  --unixctl=SOCKET        control socket (default: RUNDIR/ovs-vswitchd.PID.ctl; none for none)

Log:
  -v, --verbose[=SPEC]    what is logged where: [MODULE:][DESTINATION:]LEVEL
  --log-file[=FILE]       log to a file too (default: LOGDIR/ovs-vswitchd.log)
  --log-level LEVEL       off, emer, err, warn, info (default) or dbg, for every destination
  --syslog-method=HOW     libc, null, unix:FILE or udp:IP:PORT
  --syslog-target=H:PORT  send lines for the system's log to this host too

TLS:
  -p, --private-key=FILE  -c, --certificate=FILE  -C, --ca-cert=FILE
  --bootstrap-ca-cert=FILE  --peer-ca-cert=FILE  --ssl-protocols=LIST  --ssl-ciphers=LIST

Other:
  --disable-system        no devices of the host
  --disable-system-route  no routes of the host
  --mlockall              accepted; packet memory is locked where the kernel needs it to be
  -h, --help              this text
  -V, --version           the version

SIGHUP reads the configuration file again, SIGTERM and SIGINT end the daemon.
";

/// The name under which scripts look for pid file, log and control socket.
pub const SERVICE: &str = "ovs-vswitchd";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Run.
    Run(Box<Args>),
    /// Print this.
    Print(String),
}

/// Where the desired state comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A database's remote, such as `unix:/run/db.sock`.
    Database(String),
}

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ControlSocket {
    /// `RUNDIR/ovs-vswitchd.PID.ctl`.
    #[default]
    Default,
    /// Here.
    At(PathBuf),
    /// Nowhere.
    Nowhere,
}

/// Files for TLS, as given.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tls {
    /// `--private-key`.
    pub private_key: Option<PathBuf>,
    /// `--certificate`.
    pub certificate: Option<PathBuf>,
    /// `--ca-cert`.
    pub ca_cert: Option<PathBuf>,
    /// `--bootstrap-ca-cert`.
    pub bootstrap_ca_cert: Option<PathBuf>,
    /// `--peer-ca-cert`.
    pub peer_ca_cert: Option<PathBuf>,
    /// `--ssl-protocols`.
    pub protocols: Option<String>,
    /// `--ssl-ciphers`.
    pub ciphers: Option<String>,
}

/// How to become a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Detaching {
    /// Go on in the background.
    pub detach: bool,
    /// Start again after a crash.
    pub monitor: bool,
    /// Stay in the current directory.
    pub no_chdir: bool,
    /// Where to write the pid.
    pub pidfile: Option<PathBuf>,
    /// Although one is there.
    pub overwrite_pidfile: bool,
    /// `NAME[:GROUP]`.
    pub user: Option<String>,
}

/// What is logged where.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Logging {
    /// Specifications, in order.
    pub specs: Vec<String>,
    /// A file.
    pub file: Option<PathBuf>,
    /// How the system's log is reached.
    pub syslog_method: Option<syslog::Method>,
    /// A host that gets the same.
    pub syslog_target: Option<std::net::SocketAddr>,
}

/// How to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// Where the desired state comes from.
    pub source: Source,
    /// Where sockets and files go.
    pub directories: Directories,
    /// How to become a daemon.
    pub detaching: Detaching,
    /// The log.
    pub logging: Logging,
    /// The control socket.
    pub unixctl: ControlSocket,
    /// TLS.
    pub tls: Tls,
    /// No devices of the host.
    pub disable_system: bool,
    /// No routes of the host.
    pub disable_system_route: bool,
}

/// Reads the words of the command line, the program's name first.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Request, String> {
    let mut words = Words::new(words);
    let program = words.program.clone();
    let mut directories = Directories::from_environment();
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let (mut config, mut database) = (None, None);
    let mut detaching = Detaching::default();
    let mut logging = Logging::default();
    let mut unixctl = None;
    let mut pidfile = None;
    let mut log_file = None;
    let mut tls = Tls::default();
    let (mut disable_system, mut disable_system_route) = (false, false);
    while let Some(option) = words.next_option()? {
        let file = |name: String| Some(here.join(name));
        match option.as_str() {
            "--config" => config = file(words.value()?),
            "--rundir" => directories.run = here.join(words.value()?),
            "--detach" => detaching.detach = words.flag()?,
            "--monitor" => detaching.monitor = words.flag()?,
            "--no-chdir" => detaching.no_chdir = words.flag()?,
            "--pidfile" => pidfile = Some(words.optional()),
            "--overwrite-pidfile" => detaching.overwrite_pidfile = words.flag()?,
            "--user" => detaching.user = Some(words.value()?),
            "--unixctl" => unixctl = Some(words.value()?),
            "-v" | "--verbose" => logging.specs.push(words.optional().unwrap_or_else(|| "any:any:dbg".to_string())),
            "--log-file" => log_file = Some(words.optional()),
            "--log-level" => logging.specs.push(level_spec(&words.value()?)?),
            "--syslog-method" => logging.syslog_method = Some(syslog::Method::parse(&words.value()?)?),
            "--syslog-target" => logging.syslog_target = Some(syslog::udp_address(&words.value()?)?),
            "-p" | "--private-key" => tls.private_key = file(words.value()?),
            "-c" | "--certificate" => tls.certificate = file(words.value()?),
            "-C" | "--ca-cert" => tls.ca_cert = file(words.value()?),
            "--bootstrap-ca-cert" => tls.bootstrap_ca_cert = file(words.value()?),
            "--peer-ca-cert" => tls.peer_ca_cert = file(words.value()?),
            "--ssl-protocols" => tls.protocols = Some(words.value()?),
            "--ssl-ciphers" => tls.ciphers = Some(words.value()?),
            "--disable-system" => disable_system = words.flag()?,
            "--disable-system-route" => disable_system_route = words.flag()?,
            "--mlockall" | "--no-self-confinement" => _ = words.flag()?,
            "-h" | "--help" => return Ok(Request::Print(USAGE.to_string())),
            "-V" | "--version" => return Ok(Request::Print(version(&program))),
            "" if database.is_none() => database = Some(words.value()?),
            "" => return Err("at most one non-option argument accepted; use --help for usage".to_string()),
            _ => return Err(format!("unrecognized option '{option}'; use --help for usage")),
        }
    }
    detaching.pidfile = pidfile.map(|name| directories.run_file(name.as_deref(), &format!("{SERVICE}.pid")));
    logging.file = log_file.map(|name| name.map_or_else(|| directories.log.join(format!("{SERVICE}.log")), |n| here.join(n)));
    let unixctl = match unixctl.as_deref() {
        None => ControlSocket::Default,
        Some("none") => ControlSocket::Nowhere,
        Some(path) => ControlSocket::At(directories.run_file(Some(path), "")),
    };
    let source = source(config, database, &directories.run)?;
    let args = Args { source, directories, detaching, logging, unixctl, tls, disable_system, disable_system_route };
    Ok(Request::Run(Box::new(args)))
}

fn source(config: Option<PathBuf>, database: Option<String>, run: &Path) -> Result<Source, String> {
    match (config, database) {
        (Some(_), Some(database)) => Err(format!("--config and the database {database} exclude each other")),
        (Some(file), None) => Ok(Source::File(file)),
        (None, Some(database)) => Ok(Source::Database(database)),
        (None, None) => Ok(Source::Database(format!("unix:{}", run.join("db.sock").display()))),
    }
}

fn level_spec(name: &str) -> Result<String, String> {
    match super::log::Level::from_name(name) {
        Some(level) => Ok(format!("any:any:{}", level.name())),
        None => Err(format!("log level '{name}' is none of off, emer, err, warn, info, dbg")),
    }
}

/// The version of Open vSwitch whose place we take.
pub const OVS_VERSION: &str = "3.1.0";

/// What `--version` and the control socket's `version` print. Scripts cut the number from the first line.
pub fn version(program: &str) -> String {
    let own = env!("CARGO_PKG_VERSION");
    if program == SERVICE {
        return format!("{SERVICE} (Open vSwitch) {OVS_VERSION}\nSluice {own}, in its place\n");
    }
    format!("{program} (Sluice) {own}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Args, String> {
        let words = std::iter::once("sluiced").chain(text.split_whitespace()).map(str::to_string);
        match parse(words)? {
            Request::Run(args) => Ok(*args),
            Request::Print(text) => Err(text),
        }
    }

    #[test]
    fn both_ways_to_give_a_value_work() {
        for text in ["--config /a.toml --rundir /r", "--config=/a.toml --rundir=/r"] {
            let args = words(text).unwrap();
            assert_eq!((args.source, args.directories.run), (Source::File("/a.toml".into()), "/r".into()));
        }
    }

    #[test]
    fn what_scripts_give_to_ovs_vswitchd_is_understood() {
        let args = words(
            "--rundir=/r -vconsole:emer -v ANY:syslog:err -vfile:info --mlockall --no-chdir --log-file=/l/v.log \
             --pidfile --detach --unixctl=v.ctl unix:/r/other.sock",
        )
        .unwrap();
        assert_eq!(args.source, Source::Database("unix:/r/other.sock".into()));
        assert_eq!(args.logging.specs, ["console:emer", "ANY:syslog:err", "file:info"]);
        assert_eq!(args.detaching.pidfile, Some("/r/ovs-vswitchd.pid".into()));
        assert_eq!(args.unixctl, ControlSocket::At("/r/v.ctl".into()));
        assert!(args.detaching.detach && args.detaching.no_chdir && !args.detaching.monitor);
    }

    #[test]
    fn the_database_is_beside_the_sockets_unless_said_otherwise() {
        assert_eq!(words("--rundir /r").unwrap().source, Source::Database("unix:/r/db.sock".into()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(words("--confg x").unwrap_err().contains("'--confg'"));
        assert!(words("--config").unwrap_err().contains("needs a value"));
        assert!(words("--config a --log-level loud").unwrap_err().contains("loud"));
        assert!(words("--detach=3").unwrap_err().contains("--detach"));
        assert!(words("unix:a unix:b").unwrap_err().contains("at most one"));
        assert!(words("--config a unix:b").unwrap_err().contains("exclude"));
    }

    #[test]
    fn a_script_cuts_the_version_from_the_first_line() {
        let first = version(SERVICE).lines().next().map(str::to_string);
        assert_eq!(first.as_deref(), Some("ovs-vswitchd (Open vSwitch) 3.1.0"));
    }
}
