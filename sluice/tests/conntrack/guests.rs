//! Guests: namespaces with one interface at a port of the switch, and real programs in them.

use std::process::{Child, Command, Output, Stdio};

use crate::node::{Guest, Node, Running};
use crate::support::wait_for;

impl Guest {
    /// Plugs a guest into a port of a bridge.
    pub fn plug(node: &Node, bridge: &str, port: u32, mac: &str, addresses: &[&str], settings: &str) -> Guest {
        let (ours, inside) = (node.place.netns.clone(), format!("vp{port}"));
        let name = format!("{ours}-{port}");
        let add: String = addresses.iter().map(|a| format!("ip -n {name} addr add {a} dev eth0{}; ", if a.contains(':') { " nodad" } else { "" })).collect();
        node.place.host(&format!(
            "set -e; ip netns add {name}; ip -n {ours} link add {inside} type veth peer name eth0 address {mac} netns {name}; \
             ip netns exec {ours} sysctl -qw net.ipv6.conf.{inside}.disable_ipv6=1; ip -n {ours} link set {inside} up; \
             ip netns exec {name} sysctl -qw net.ipv6.conf.eth0.dad_transmits=0; ip -n {name} link set lo up; \
             ip -n {name} link set eth0 up; {add}"
        ));
        node.vsctl(&format!("add-port {bridge} {inside} -- set interface {inside} ofport_request={port} {settings}"));
        Guest(name)
    }

    fn command(&self, shell: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, "sh", "-c", &format!("exec {shell}")]).env("LC_ALL", "C");
        command
    }

    /// Runs a program to its end.
    pub fn run(&self, shell: &str) -> Output {
        self.command(shell).output().expect("ip netns exec")
    }

    /// Runs a program that must succeed; gives what it printed.
    pub fn must(&self, shell: &str) -> String {
        let out = self.run(shell);
        let (said, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{}: {shell}: {said}{errors}", self.0);
        said.into_owned()
    }

    /// Starts a program that ends with its owner.
    pub fn start(&self, shell: &str) -> Running {
        let child: Child = self.command(shell).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        Running(child)
    }

    /// Starts a server and waits until it listens.
    pub fn serve(&self, shell: &str, kind: char, port: u16) -> Running {
        let server = self.start(shell);
        wait_for(shell, || !self.run(&format!("ss -H{kind}lnO sport = :{port}")).stdout.is_empty());
        server
    }

    /// Does a TCP connection come to be? A connection that is denied is not answered.
    pub fn reaches(&self, to: &str, port: u16) -> bool {
        let to = if to.contains(':') { format!("[{to}]") } else { to.to_string() };
        let out = self.run(&format!("curl -s -g -o /dev/null --connect-timeout 0.4 --max-time 2 http://{to}:{port}/"));
        // Refused (7 within the time) would mean that it came through: curl says 28 for silence.
        out.status.code() == Some(0)
    }
}

impl Node {
    /// One of the counters of `coverage/show`.
    pub fn counter(&self, name: &str) -> u64 {
        let control = self.file("switch.ctl").display().to_string();
        self.place.sh(&format!("ovs-appctl -t {control} coverage/read-counter {name}")).trim().parse().expect("a number")
    }
}
