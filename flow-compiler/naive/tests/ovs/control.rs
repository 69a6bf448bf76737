//! The control socket of a switch: JSON-RPC, one request at a time.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{json, Value};

/// A connection to the control socket.
pub struct Control {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Control {
    /// Connects.
    pub fn connect(path: &Path) -> Result<Control, String> {
        let start = std::time::Instant::now();
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(|e| e.to_string())?;
                    return Ok(Control { stream, buffer: Vec::new() });
                }
                Err(e) if start.elapsed().as_secs() > 20 => return Err(format!("{}: {e}", path.display())),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Calls a command and waits for its answer.
    pub fn call(&mut self, method: &str, params: &[String]) -> Result<String, String> {
        self.send(method, params)?;
        let answer = self.receive()?;
        match (&answer["error"], &answer["result"]) {
            (Value::Null, result) => Ok(result.as_str().unwrap_or("").to_string()),
            (error, _) => Err(format!("{method}: {error}")),
        }
    }

    /// Makes the switch go round its main loop at least once.
    pub fn settle(&mut self, requests: usize) -> Result<(), String> {
        for _ in 0..requests {
            self.send("version", &[])?;
        }
        for _ in 0..requests {
            self.receive()?;
        }
        Ok(())
    }

    fn send(&mut self, method: &str, params: &[String]) -> Result<(), String> {
        let request = json!({"id": 0, "method": method, "params": params}).to_string();
        self.stream.write_all(request.as_bytes()).map_err(|e| format!("{method}: {e}"))
    }

    fn receive(&mut self) -> Result<Value, String> {
        loop {
            let mut values = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<Value>();
            if let Some(Ok(value)) = values.next() {
                let used = values.byte_offset();
                self.buffer.drain(..used);
                return Ok(value);
            }
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err("the switch closed its control socket".into()),
                Ok(n) => self.buffer.extend(&chunk[..n]),
                Err(e) => return Err(format!("control socket: {e}")),
            }
        }
    }
}
