//! An OVSDB server's client, without the socket.
//!
//! Purpose: follow the Open_vSwitch database and write what the switch found out.
//! Invariant: pure; bytes and time come in, bytes and news go out.
//! Deliberately does not know: what rows mean to a switch (see [`crate::source::ovsdb`]).

mod datum;
mod schema;
mod session;
mod tables;
mod writer;

pub use datum::{Atom, Datum, Uuid};
pub use schema::{Schema, DATABASE};
pub use session::{Memory, News, Session, SessionError};
pub use tables::{Row, Tables};
pub use writer::Writer;
