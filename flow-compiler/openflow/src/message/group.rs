//! Groups and meters.

use crate::action::{Action, PortNo};

/// What a group-mod does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupCommand {
    /// Add.
    Add,
    /// Modify.
    Modify,
    /// Delete.
    Delete,
    /// Modify, or add when absent.
    AddOrModify,
    /// Insert buckets (1.5).
    InsertBucket,
    /// Remove buckets (1.5).
    RemoveBucket,
}

/// One bucket of a group.
#[derive(Clone, PartialEq, Debug)]
pub struct Bucket {
    /// Weight in a select group.
    pub weight: u16,
    /// Port whose liveness decides; `PortNo::NONE` for none.
    pub watch_port: PortNo,
    /// Group whose liveness decides; `0xffff_ffff` for none.
    pub watch_group: u32,
    /// Bucket id (1.5; else its position).
    pub id: u32,
    /// What it does.
    pub actions: Vec<Action>,
}

/// A change of the groups.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupCommand,
    /// 0 all, 1 select, 2 indirect, 3 fast failover.
    pub kind: u8,
    /// Which group.
    pub id: u32,
    /// Bucket that insert or remove is about (1.5).
    pub command_bucket_id: u32,
    /// Buckets.
    pub buckets: Vec<Bucket>,
    /// Properties (1.5), raw: type, bytes after the property header.
    pub properties: Vec<(u16, Vec<u8>)>,
}

/// One group in a description.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupDesc {
    /// Which group.
    pub id: u32,
    /// 0 all, 1 select, 2 indirect, 3 fast failover.
    pub kind: u8,
    /// Buckets.
    pub buckets: Vec<Bucket>,
    /// Properties (1.5), raw: type, bytes after the property header.
    pub properties: Vec<(u16, Vec<u8>)>,
}

/// Counters of one group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupStats {
    /// Which group.
    pub id: u32,
    /// Rules and groups that use it.
    pub ref_count: u32,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Whole seconds since it was added; `u32::MAX` where not told.
    pub duration_sec: u32,
    /// Nanoseconds beyond that.
    pub duration_nsec: u32,
    /// Packets and bytes of each bucket.
    pub buckets: Vec<(u64, u64)>,
}

/// What groups a switch can have; arrays are by group type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GroupFeatures {
    /// Bitmap of types.
    pub types: u32,
    /// Bitmap of capabilities.
    pub capabilities: u32,
    /// Most groups.
    pub max_groups: [u32; 4],
    /// Bitmap of action types in their buckets.
    pub actions: [u32; 4],
}

/// What a meter-mod does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MeterCommand {
    /// Add.
    Add,
    /// Modify.
    Modify,
    /// Delete.
    Delete,
}

/// What a meter band does to a packet above its rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MeterBandKind {
    /// Drops it.
    Drop,
    /// Raises the drop precedence in its DSCP.
    DscpRemark(u8),
}

/// One band of a meter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MeterBand {
    /// What it does.
    pub kind: MeterBandKind,
    /// Rate in the meter's unit.
    pub rate: u32,
    /// Burst size in the meter's unit.
    pub burst_size: u32,
}

/// A change of the meters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MeterMod {
    /// What to do.
    pub command: MeterCommand,
    /// Which meter and how.
    pub config: MeterConfig,
}

/// One meter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MeterConfig {
    /// Which meter.
    pub id: u32,
    /// Flags: 1 kbps, 2 pktps, 4 burst, 8 stats.
    pub flags: u16,
    /// Bands.
    pub bands: Vec<MeterBand>,
}

/// Counters of one meter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MeterStats {
    /// Which meter.
    pub id: u32,
    /// Rules that use it.
    pub flow_count: u32,
    /// Packets in.
    pub packets: u64,
    /// Bytes in.
    pub bytes: u64,
    /// Whole seconds since it was added.
    pub duration_sec: u32,
    /// Nanoseconds beyond that.
    pub duration_nsec: u32,
    /// Packets and bytes of each band.
    pub bands: Vec<(u64, u64)>,
}

/// What meters a switch can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MeterFeatures {
    /// Most meters.
    pub max_meters: u32,
    /// Bitmap of band types.
    pub band_types: u32,
    /// Bitmap of meter flags.
    pub capabilities: u32,
    /// Most bands of one meter.
    pub max_bands: u8,
    /// Most colours.
    pub max_color: u8,
}
