//! Which row each part of a desired state came from.

use std::collections::BTreeMap;

use crate::database::Uuid;
use crate::state::ControllerTarget;

/// Rows by what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// The row of table Open_vSwitch.
    pub root: Option<Uuid>,
    /// Bridges by name, refused ones too.
    pub bridges: BTreeMap<String, Uuid>,
    /// Rows of table Port by name.
    pub ports: BTreeMap<String, Uuid>,
    /// Rows of table Interface by name, with the bridge that they are on.
    pub interfaces: BTreeMap<String, Interface>,
    /// Controllers by bridge and target.
    pub controllers: Vec<(String, Option<ControllerTarget>, Uuid)>,
    /// Mirrors by bridge and name.
    pub mirrors: BTreeMap<(String, String), Uuid>,
    /// Rows of table Datapath by type.
    pub datapaths: Vec<(String, Uuid)>,
}

/// A row of table Interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The row.
    pub row: Uuid,
    /// Its bridge.
    pub bridge: String,
    /// Why it is refused, if it is.
    pub refused: Option<String>,
}
