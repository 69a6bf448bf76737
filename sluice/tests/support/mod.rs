//! Daemons in network namespaces of their own, gone when their test is.

#![allow(dead_code)] // each test file uses a part of it

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Longest time to wait for something that always comes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the tests that need devices can run; says so when they cannot.
pub fn can_make_namespaces(test: &str) -> bool {
    let uid = Command::new("id").arg("-u").output().map(|o| o.stdout);
    let root = uid.is_ok_and(|o| o == b"0\n");
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let probe = format!("slcprobe{}-{number}", std::process::id());
    let works = root && run("ip", &["netns", "add", &probe]).is_some_and(|o| o.status.success());
    let _ = run("ip", &["netns", "del", &probe]);
    if !works {
        println!("{test}: SKIPPED, it needs root and network namespaces");
    }
    works
}

fn run(program: &str, words: &[&str]) -> Option<Output> {
    Command::new(program).args(words).stderr(Stdio::null()).output().ok()
}

/// A directory and a namespace that are gone with their owner.
pub struct Place {
    /// Name of the namespace.
    pub netns: String,
    /// A directory.
    pub directory: PathBuf,
}

impl Place {
    /// A new place, with an empty directory and a namespace that has only `lo`.
    pub fn new() -> Place {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let netns = format!("slc{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(format!("sluice-test-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("a scratch directory");
        let place = Place { netns, directory };
        place.host(&format!("ip netns add {}", place.netns));
        place.sh("ip link set lo up");
        place
    }

    /// Runs a shell command on the host; it must succeed.
    pub fn host(&self, command: &str) {
        let output = Command::new("sh").args(["-c", command]).output().expect("sh");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs a shell command in the namespace; it must succeed. Gives what it printed.
    pub fn sh(&self, command: &str) -> String {
        let output = self.try_sh(command);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a shell command in the namespace.
    pub fn try_sh(&self, command: &str) -> Output {
        self.in_namespace("sh").args(["-c", command]).output().expect("ip netns exec")
    }

    /// A program to be run in the namespace.
    pub fn in_namespace(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.netns, program]);
        command.env("OVS_RUNDIR", self.rundir()).env("LC_ALL", "C");
        command
    }

    /// A veth pair whose first end is to be a port.
    pub fn veth(&self, port: &str, peer: &str) {
        self.sh(&format!(
            "ip link add {port} type veth peer name {peer}; \
             for i in {port} {peer}; do sysctl -qw net.ipv6.conf.$i.disable_ipv6=1; ip link set $i up; done"
        ));
    }

    /// The run directory.
    pub fn rundir(&self) -> PathBuf {
        self.directory.join("run")
    }

    /// Writes a file into the directory, in one piece: a daemon may be reading it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, new) = (self.directory.join(name), self.directory.join(format!("{name}.new")));
        std::fs::write(&new, text).expect("a scratch file");
        std::fs::rename(&new, &path).expect("a scratch file in its place");
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = run("ip", &["netns", "del", &self.netns]);
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A running daemon.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts one and waits until it serves a bridge.
    pub fn start(place: &Place, config: &Path, bridge: &str) -> Daemon {
        let log = place.directory.join("sluiced.log");
        let file = std::fs::File::create(&log).expect("a log file");
        let child = place
            .in_namespace(env!("CARGO_BIN_EXE_sluiced"))
            .args(["--config"])
            .arg(config)
            .arg("--rundir")
            .arg(place.rundir())
            .stderr(file)
            .spawn()
            .expect("sluiced starts");
        let daemon = Daemon { child, log };
        let socket = place.rundir().join(format!("{bridge}.mgmt"));
        wait_for("the bridge's socket", || UnixStream::connect(&socket).is_ok());
        daemon
    }

    /// Its pid: `ip netns exec` becomes the program that it runs.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = run("kill", &["-s", name, &self.pid().to_string()]);
        assert!(sent.is_some_and(|o| o.status.success()), "kill -s {name}");
    }

    /// Ends it as an operator would, and gives its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().expect("sluiced ends").code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("what the daemon said:\n{}", self.log());
        }
    }
}

/// Waits until something holds.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The folder of shared test data, if it is there.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let root = match std::env::var_os("SLUICE_SHARED") {
        Some(path) => PathBuf::from(path),
        None => workspace.join("../shared"),
    };
    let path = root.join(folder);
    path.is_dir().then_some(path)
}

/// A folder in which `ovs-ofctl` and `ovs-appctl` are links to our own command line.
pub fn links(place: &Place) -> PathBuf {
    let folder = place.directory.join("bin");
    std::fs::create_dir_all(&folder).expect("a folder for links");
    for name in ["ovs-ofctl", "ovs-appctl"] {
        let link = folder.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sluice"), link).expect("a link");
        }
    }
    folder
}
