//! Settings of OpenFlow tables.

/// Settings of an OpenFlow table.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FlowTable {
    /// Its name.
    pub name: Option<String>,
    /// Rules at most.
    pub flow_limit: Option<u32>,
    /// What happens to a rule too many.
    pub overflow: Overflow,
    /// Fields by which rules are grouped for fairness, when one has to go.
    pub groups: Vec<String>,
    /// Fields whose prefixes speed look-ups up in Open vSwitch; kept to be shown.
    pub prefixes: Vec<String>,
}

/// What happens to a rule too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Overflow {
    /// It is refused.
    #[default]
    Refuse,
    /// Another goes for it.
    Evict,
}
