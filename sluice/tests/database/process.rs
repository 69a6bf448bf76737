//! The process as init scripts and units start it: one of several, with remote databases, as another
//! user.

use std::process::{Output, Stdio};

use crate::node::{Node, Running};
use crate::support::{can_make_namespaces, wait_for};

impl Node {
    /// Starts our switch in the background as a unit does, for this database. Its files are in `folder`.
    fn start_service(&self, folder: &str, database: &str, words: &str) -> (Output, String) {
        let (script, dir) = self.service(folder, database, words);
        (self.place.try_sh(&script), dir)
    }

    /// The command that does so.
    fn service(&self, folder: &str, database: &str, words: &str) -> (String, String) {
        let dir = self.place.directory.join(folder).display().to_string();
        let script = format!(
            "mkdir -p {dir} && chmod 777 {dir} && OVS_RUNDIR={dir} OVS_LOGDIR={dir} timeout 20 {} --detach --no-chdir --pidfile={dir}/pid \
             --log-file={dir}/log -vconsole:off --unixctl={dir}/ctl {words} {database}",
            env!("CARGO_BIN_EXE_sluiced")
        );
        (script, dir)
    }

    fn pki(&self) -> String {
        let dir = self.place.directory.display().to_string();
        self.place.sh(&format!(
            "cd {dir} && ovs-pki --dir={dir}/pki --log={dir}/pki.log -b init && \
             for n in server client; do ovs-pki --dir={dir}/pki --log={dir}/pki.log -b req+sign $n switch; done"
        ));
        dir
    }
}

/// A daemon by its pid file, gone with its owner.
struct Service<'a>(&'a Node, String);

impl Service<'_> {
    fn pid(&self) -> String {
        std::fs::read_to_string(format!("{}/pid", self.1)).unwrap_or_default().trim().to_string()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(format!("{}/log", self.1)).unwrap_or_default()
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        self.0.place.try_sh(&format!("kill -9 {}", self.pid()));
    }
}

fn second(node: &Node, program: &str) -> Running {
    let log = std::fs::File::create(node.file("second.log")).expect("a log file");
    let mut command = node.place.in_namespace(program);
    command.arg(format!("unix:{}", node.file("db.sock").display())).arg(format!("--unixctl={}", node.file("second.ctl").display()));
    let dir = node.place.directory.join("second");
    std::fs::create_dir_all(&dir).expect("a directory");
    command.env("OVS_RUNDIR", &dir).env("OVS_LOGDIR", &dir).env("OVS_DBDIR", &dir);
    Running(command.stdout(Stdio::null()).stderr(log).spawn().expect("a second switch"))
}

#[test]
fn of_two_switches_on_one_database_one_waits_until_the_other_has_gone() {
    if !can_make_namespaces("the lock") {
        return;
    }
    let told = "another ovs-vswitchd process is running, disabling this process (pid ";
    let mut node = Node::start();
    node.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
    let waiting = second(&node, env!("CARGO_BIN_EXE_sluiced"));
    let path = node.file("second.log");
    let log = || std::fs::read_to_string(&path).unwrap_or_default();
    wait_for("the second to say so", || log().contains(told));
    assert_eq!(log().matches(told).count(), 1, "{}", log());
    node.vsctl("add-port br0 one0 -- set interface one0 type=internal");
    drop(node.switch.take());
    node.vsctl("--timeout=20 add-port br0 two0 -- set interface two0 type=internal");
    assert_eq!(node.column("interface one0 error") + &node.column("interface two0 error"), "[][]");
    // A stock one waits for ours in the same way.
    let stock = second(&node, "ovs-vswitchd");
    wait_for("the stock one to say so", || log().contains(told));
    node.vsctl("del-port br0 two0");
    drop((stock, waiting));
}

#[test]
fn a_parent_waits_while_another_switch_has_the_database() {
    if !can_make_namespaces("--detach and the lock") {
        return;
    }
    let node = Node::start();
    let database = format!("unix:{}", node.file("db.sock").display());
    let (output, dir) = node.start_service("late", &format!("{database} >/dev/null 2>&1 & sleep 3; kill -0 $! && echo waits; kill -9 $!"), "");
    let service = Service(&node, dir);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "waits", "{}", service.log());
}

#[test]
fn a_database_may_be_remote_with_tcp_and_with_tls() {
    if !can_make_namespaces("remote databases") {
        return;
    }
    let mut node = Node::without_switch();
    let dir = node.pki();
    drop(node.server.take());
    node.place.sh("ip link set lo up");
    node.server_words = vec![
        format!("--private-key={dir}/server-privkey.pem"),
        format!("--certificate={dir}/server-cert.pem"),
        format!("--ca-cert={dir}/pki/switchca/cacert.pem"),
        "--remote=ptcp:6640:127.0.0.1".to_string(),
        "--remote=pssl:6641:127.0.0.1".to_string(),
    ];
    node.start_server();
    let keys = format!("--private-key={dir}/client-privkey.pem --certificate={dir}/client-cert.pem --ca-cert={dir}/pki/switchca/cacert.pem");
    for (folder, database, words) in [("tcp", "tcp:127.0.0.1:6640", ""), ("ssl", "ssl:127.0.0.1:6641", keys.as_str())] {
        let (output, dir) = node.start_service(folder, database, words);
        let service = Service(&node, dir);
        assert!(output.status.success(), "{database}: {output:?}\n{}", service.log());
        node.vsctl(&format!("add-br b{folder} -- set bridge b{folder} datapath_type=netdev"));
        assert_eq!(node.column(&format!("interface b{folder} ofport")), "65534", "{}", service.log());
        node.vsctl(&format!("del-br b{folder}"));
    }
}

#[test]
fn another_user_keeps_what_devices_need_and_nothing_more() {
    if !can_make_namespaces("--user") {
        return;
    }
    let node = Node::without_switch();
    node.place.sh(&format!("chmod 777 {}; chmod -R a+rX {}", node.file("db.sock").display(), node.place.directory.display()));
    let database = format!("unix:{}", node.file("db.sock").display());
    let (script, dir) = node.service("user", &database, "--user=nobody --mlockall --monitor");
    // As udev makes it; it is root's alone where there is no udev.
    let tun = "mount -t tmpfs tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200";
    let output = node.place.try_sh(&format!("unshare -m sh -c '{tun} && {script}'"));
    let service = Service(&node, dir);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{}", service.log());
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("a process");
    let line = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().trim().to_string();
    assert!(line("Uid:").starts_with("65534\t65534"), "{status}");
    // Network administration, raw sockets and the like, but not CAP_SYS_ADMIN.
    let capabilities = u64::from_str_radix(&line("CapEff:"), 16).expect("a set");
    assert!(capabilities & 1 << 12 != 0 && capabilities & 1 << 21 == 0, "{capabilities:x}");
    node.place.veth("ea", "eb");
    node.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 ea -- add-port br0 int0 -- set interface int0 type=internal");
    assert_eq!(node.column("interface ea error") + &node.column("interface int0 error"), "[][]");
    // The monitor ends with its child, which was told to.
    node.place.sh(&format!("ovs-appctl -t {}/ctl exit --cleanup", service.1));
    wait_for("the end", || service.pid().is_empty());
}

#[test]
fn what_units_say_of_open_vswitchs_own_modules_and_a_missing_log_folder_do_not_keep_it_from_starting() {
    if !can_make_namespaces("words of units") {
        return;
    }
    let node = Node::without_switch();
    let database = format!("unix:{}", node.file("db.sock").display());
    let words = "-vrconn:dbg -vnetdev_linux:warn --verbose=ofproto_dpif_upcall:file:info --mlockall --log-file=/nonexistent/folder/x.log";
    let (started, dir) = node.start_service("units", &database, words);
    let service = Service(&node, dir);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    assert!(!service.pid().is_empty());
    node.vsctl("--timeout=20 add-br br0");
    let appctl = |words: &str| node.place.sh(&format!("ovs-appctl -t {}/ctl {words}", service.1));
    appctl("vlog/set netdev_dpdk:dbg dpif_netdev:file:dbg");
    let levels = appctl("vlog/list");
    let level = |name: &str| levels.lines().find(|l| l.split_whitespace().next() == Some(name)).map(|l| l.split_whitespace().last().unwrap_or("").to_string());
    assert_eq!((level("dpif_netdev").as_deref(), level("netdev_linux").as_deref()), (Some("DBG"), Some("WARN")));
    let refused = node.place.try_sh(&format!("ovs-appctl -t {}/ctl vlog/set nosuch:dbg", service.1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no destination, level, or module \"nosuch\""));
}
