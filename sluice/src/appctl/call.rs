//! One request and its answer.
//!
//! Purpose: JSON-RPC over a unix socket.
//! Invariant: ends at the time limit, whatever the other side does.
//! Deliberately does not know: what is asked.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::target::words;

/// Why there is no answer.
pub(super) enum Failure {
    /// Nobody is there.
    Connect(String),
    /// The time is over.
    TimedOut,
    /// The connection broke, or its answer is none.
    Talk(String),
}

pub(super) type Answer = Result<String, String>;

pub(super) fn call(socket: &Path, command: &str, arguments: &[String], timeout: Option<Duration>) -> Result<Answer, Failure> {
    let end = timeout.map(|t| Instant::now() + t);
    let mut stream = UnixStream::connect(socket).map_err(|e| Failure::Connect(words(&e)))?;
    let request = serde_json::json!({ "id": 0, "method": command, "params": arguments }).to_string();
    limit(&stream, end)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 1 << 16];
    loop {
        limit(&stream, end)?;
        let n = match stream.read(&mut chunk) {
            Ok(0) => return Err(Failure::Talk("End of file".to_string())),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(failed(e)),
        };
        bytes.extend_from_slice(chunk.get(..n).unwrap_or(&[]));
        // An answer is one object, so it can only be complete where a brace ends what arrived.
        if bytes.trim_ascii_end().last() == Some(&b'}') {
            match serde_json::from_slice::<Value>(&bytes) {
                Ok(answer) => return Ok(outcome(&answer)),
                Err(e) if e.is_eof() => {}
                Err(e) => return Err(Failure::Talk(format!("the answer is not JSON: {e}"))),
            }
        }
    }
}

fn outcome(answer: &Value) -> Answer {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_string);
    match text("error") {
        Some(error) => Err(error),
        None => Ok(text("result").unwrap_or_default()),
    }
}

fn limit(stream: &UnixStream, end: Option<Instant>) -> Result<(), Failure> {
    let Some(end) = end else { return Ok(()) };
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Failure::TimedOut);
    }
    stream.set_read_timeout(Some(left)).and_then(|()| stream.set_write_timeout(Some(left))).map_err(failed)
}

fn failed(e: std::io::Error) -> Failure {
    match e.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::TimedOut,
        _ => Failure::Talk(words(&e)),
    }
}
