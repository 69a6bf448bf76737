//! What a switch tells unasked of roles, tables, and other controllers' changes.

use super::{Role, TableDesc};

/// Why a role changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoleReason {
    /// Another controller asked to be the primary one.
    PrimaryRequest,
    /// The switch was configured so.
    Configuration,
    /// Something of an experimenter's.
    Experimenter,
    /// Another number.
    Other(u8),
}

/// A connection's role has changed without its asking (1.4+, ONF extension for 1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoleStatus {
    /// The role now.
    pub role: Role,
    /// Why.
    pub reason: RoleReason,
    /// The newest granted claim; all ones for none.
    pub generation_id: u64,
}

/// A table ran full or has room again (1.4+).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableStatus {
    /// Less room than the threshold (else more than the other one).
    pub vacancy_down: bool,
    /// The table.
    pub desc: TableDesc,
}

/// Another controller's change of groups or meters, passed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestForward {
    /// The message, with its own header, whole.
    pub request: Vec<u8>,
}
