//! TLS streams talk to Open vSwitch's programs, with keys made by its own tool, and to each other.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sluice::stream::keys::{KeyFiles, Keys};
use sluice::stream::socket::Stream;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("sluice-tls-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes an authority and a certificate for each of `names`, as an administrator would.
fn pki(dir: &Path, names: &[&str]) {
    let run = |words: &[&str]| {
        let done = Command::new("ovs-pki").current_dir(dir).args(["--dir=pki", "--log=log", "-b"]).args(words).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    run(&["init"]);
    for name in names {
        run(&["req+sign", name, "switch"]);
    }
}

fn files(dir: &Path, name: &str) -> KeyFiles {
    KeyFiles {
        private_key: dir.join(format!("{name}-privkey.pem")),
        certificate: dir.join(format!("{name}-cert.pem")),
        ca_certificate: dir.join("pki/switchca/cacert.pem"),
        bootstrap_ca: false,
    }
}

/// Repeats a non-blocking step until it is done; one that takes ten seconds never will.
fn until<T>(mut step: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match step() {
            Err(e) if e.kind() == ErrorKind::WouldBlock && Instant::now() < end => std::thread::yield_now(),
            result => return result,
        }
    }
}

fn accept(listener: &TcpListener, keys: &Keys) -> Stream {
    let (socket, _): (TcpStream, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    Stream::accept_tls(mio::net::TcpStream::from_std(socket), keys).unwrap()
}

/// Both ends work until `bytes` went from `a` to `b`.
fn carry(a: &mut Stream, b: &mut Stream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let (mut sent, mut got) = (0, Vec::new());
    let mut buffer = [0; 4096];
    until(|| {
        while sent < bytes.len() {
            match a.write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        match a.read(&mut buffer) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
            Ok(_) => return Err(ErrorKind::UnexpectedEof.into()),
        }
        match b.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => got.extend_from_slice(&buffer[..n]),
        }
        if got.len() < bytes.len() { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
    })?;
    Ok(got)
}

#[test]
fn both_ends_are_ours_and_what_is_written_arrives_even_when_it_is_much() {
    let scratch = Scratch::new("ours");
    pki(&scratch.0, &["one", "two"]);
    let (one, two) = (Keys::load(&files(&scratch.0, "one")).unwrap(), Keys::load(&files(&scratch.0, "two")).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Stream::tls(listener.local_addr().unwrap(), &one).unwrap();
    let mut server = accept(&listener, &two);
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
    assert!(carry(&mut client, &mut server, &bytes).unwrap() == bytes);
    assert_eq!(carry(&mut server, &mut client, b"back").unwrap(), b"back");
}

#[test]
fn a_certificate_of_another_authority_is_refused_at_both_ends() {
    let (ours, theirs) = (Scratch::new("good"), Scratch::new("bad"));
    pki(&ours.0, &["one"]);
    pki(&theirs.0, &["two"]);
    let (one, two) = (Keys::load(&files(&ours.0, "one")).unwrap(), Keys::load(&files(&theirs.0, "two")).unwrap());
    for (client, server) in [(&one, &two), (&two, &one)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = Stream::tls(listener.local_addr().unwrap(), client).unwrap();
        let mut server = accept(&listener, server);
        let e = carry(&mut client, &mut server, b"x").unwrap_err();
        assert!(e.to_string().contains("ertificate") || e.to_string().contains("UnknownCA") || e.kind() == ErrorKind::UnexpectedEof, "{e}");
    }
}

#[test]
fn files_that_are_no_keys_are_named() {
    let scratch = Scratch::new("files");
    pki(&scratch.0, &["one"]);
    let good = files(&scratch.0, "one");
    std::fs::write(scratch.0.join("junk"), "junk").unwrap();
    let junk = scratch.0.join("junk");
    for wrong in [
        KeyFiles { private_key: junk.clone(), ..good.clone() },
        KeyFiles { certificate: junk.clone(), ..good.clone() },
        KeyFiles { ca_certificate: junk.clone(), ..good.clone() },
    ] {
        assert!(Keys::load(&wrong).unwrap_err().contains("junk"));
    }
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A stock ovsdb-server on a port of its choice.
fn ovsdb_server(dir: &Path, keys: &KeyFiles) -> (Server, u16) {
    let path = |p: &Path| p.display().to_string();
    let conf = path(&dir.join("conf.db"));
    let made = Command::new("ovsdb-tool").args(["create", &conf, "/usr/share/openvswitch/vswitch.ovsschema"]).status().unwrap();
    assert!(made.success());
    let log = dir.join("server.log");
    let child = Command::new("ovsdb-server")
        .args(["--remote=pssl:0:127.0.0.1", "-vconsole:off", "--no-chdir"])
        .arg(format!("--log-file={}", path(&log)))
        .arg(format!("--unixctl={}", path(&dir.join("ctl"))))
        .arg(format!("--private-key={}", path(&keys.private_key)))
        .arg(format!("--certificate={}", path(&keys.certificate)))
        .arg(format!("--ca-cert={}", path(&keys.ca_certificate)))
        .arg(format!("--peer-ca-cert={}", path(&keys.ca_certificate)))
        .arg(conf)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server(child);
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let port = text.lines().find_map(|l| l.split("listening on port ").nth(1)?.trim().parse().ok());
        match port {
            Some(port) => return (server, port),
            None => assert!(Instant::now() < end, "no port in {text}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_stock_server_is_talked_to_and_its_authority_can_be_learned_from_it() {
    let scratch = Scratch::new("stock");
    pki(&scratch.0, &["server", "client"]);
    let (_server, port) = ovsdb_server(&scratch.0, &files(&scratch.0, "server"));
    let learned = scratch.0.join("learned.pem");
    let known = files(&scratch.0, "client");
    let bootstrap = KeyFiles { ca_certificate: learned.clone(), bootstrap_ca: true, ..known.clone() };
    for files in [&known, &bootstrap, &bootstrap] {
        let keys = Keys::load(files).unwrap();
        let mut stream = Stream::tls(([127, 0, 0, 1], port).into(), &keys).unwrap();
        let question = br#"{"id":1,"method":"list_dbs","params":[]}"#;
        assert_eq!(stream.write(question).unwrap(), question.len());
        let mut answer = [0; 4096];
        let n = until(|| stream.read(&mut answer)).unwrap();
        assert!(String::from_utf8_lossy(&answer[..n]).contains("Open_vSwitch"));
    }
    let text = std::fs::read(&learned).unwrap();
    assert!(text.starts_with(b"-----BEGIN CERTIFICATE-----\n"));
}
