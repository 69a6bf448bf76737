//! Captures, seeded packet generators and malformed frames for tests and benches.
//!
//! Purpose: the frames that tests and benches feed to the switch, each with a known origin.
//! Invariant: the same seed gives the same bytes on every machine; a capture is what its manifest says.
//! Deliberately does not know: ports, rules, or what the switch does with a frame.

#![forbid(unsafe_code)]

pub mod capture;
pub mod generate;
pub mod malformed;
pub mod manifest;
pub mod random;
pub mod samples;
pub mod sha256;
pub mod shared;

pub use capture::{read_capture, write_pcap, CaptureError, CapturedFrame, LINK_ETHERNET};
pub use generate::{FlowSpec, Kind};
pub use malformed::malformed;
pub use random::{mutate, Random};
pub use samples::{samples, Sample};
