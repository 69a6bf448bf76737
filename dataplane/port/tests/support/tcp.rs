//! A TCP transfer by the kernel's own stack, to prove that every byte survives.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Namespace;

/// Moves 8 MiB by TCP from `a` to `b` while `carry` runs; panics unless every byte arrives.
pub fn transfer(a: &Namespace, b: &Namespace, address: &str, carry: impl FnOnce(&(dyn Fn() -> bool + Sync))) {
    const TOTAL: usize = 8 << 20;
    let done = AtomicBool::new(false);
    let deadline = Instant::now() + Duration::from_secs(60);
    let listener = b.inside(|| TcpListener::bind((address, 7000)).unwrap());
    let byte = |i: usize| (i.wrapping_mul(2_654_435_761) >> 11) as u8;
    std::thread::scope(|s| {
        let receiver = s.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut got = Vec::new();
            let result = stream.read_to_end(&mut got);
            done.store(true, Ordering::Release);
            result.unwrap();
            assert_eq!(got.len(), TOTAL);
            assert!(got.iter().enumerate().all(|(i, v)| *v == byte(i)), "a byte changed on the way");
        });
        s.spawn(|| {
            a.enter();
            let to = (address.parse::<std::net::IpAddr>().unwrap(), 7000).into();
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(20)).unwrap();
            let bytes: Vec<u8> = (0..TOTAL).map(byte).collect();
            stream.write_all(&bytes).unwrap();
        });
        carry(&|| done.load(Ordering::Acquire) || Instant::now() > deadline);
        // The receiver waits in `accept` for ever if the connection never came.
        if !done.load(Ordering::Acquire) {
            let _ = b.inside(|| TcpStream::connect((address, 7000)));
        }
        receiver.join().unwrap();
    });
}
