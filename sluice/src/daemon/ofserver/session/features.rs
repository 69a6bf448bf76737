//! What the switch says of itself.

use sluice_flow::key::{TUN_OPTIONS, TUN_OPTION_BYTES};
use sluice_flow::BridgeIdx;
use sluice_openflow::message::{capabilities, FragMode, Features, SwitchConfig, SwitchDesc, TlvTable};
use sluice_openflow::{Message, OfpError};

use super::{Effect, Session, Turn};
use crate::daemon::switch::Switch;

/// Tables that a controller sees; the last one belongs to the switch.
pub const TABLES: u8 = 254;

/// Actions of OpenFlow 1.0: output, all that set a field, strip a tag, and enqueue.
const ACTIONS_10: u32 = 0xfff;

pub(super) fn features(bridge: BridgeIdx, switch: &Switch) -> Message {
    use capabilities as c;
    Message::FeaturesReply(Features {
        datapath_id: switch.bridge(bridge).map_or(0, |b| b.datapath_id),
        n_buffers: 0,
        n_tables: TABLES,
        auxiliary_id: 0,
        capabilities: c::FLOW_STATS | c::TABLE_STATS | c::PORT_STATS | c::QUEUE_STATS | c::ARP_MATCH_IP | c::GROUP_STATS | c::BUNDLES,
        actions: ACTIONS_10,
        ports: switch.describe_ports(bridge),
    })
}

pub(super) fn description(datapath: &str) -> SwitchDesc {
    SwitchDesc {
        manufacturer: "Sluice".to_string(),
        hardware: "Sluice".to_string(),
        software: env!("CARGO_PKG_VERSION").to_string(),
        serial: "None".to_string(),
        datapath: datapath.to_string(),
    }
}

/// No tunnel options are mapped: only Geneve has them, and that is not supported yet.
pub(super) fn tlv_table(bridge: BridgeIdx, switch: &Switch) -> Message {
    let (max_option_space, max_fields) = (u32::from(TUN_OPTION_BYTES), u16::from(TUN_OPTIONS));
    Message::TlvTableReply(TlvTable { max_option_space, max_fields, maps: switch.rules.describe_options(bridge) })
}

impl Session {
    pub(super) fn config(&self, turn: &Turn<'_>) -> Message {
        let config = turn.switch.bridge(self.bridge).map_or(SwitchConfig::default(), |b| b.config);
        let invalid_ttl_to_controller = self.hears_invalid_ttl();
        Message::GetConfigReply(SwitchConfig { miss_send_len: self.miss_send_len, invalid_ttl_to_controller, ..config })
    }

    pub(super) fn set_config(&mut self, config: SwitchConfig, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        self.miss_send_len = config.miss_send_len;
        self.set_invalid_ttl(config.invalid_ttl_to_controller);
        if let Some(bridge) = turn.switch.bridge_mut(self.bridge) {
            // Nobody puts pieces together for the tables: the bridge stays as it is, and says so when asked.
            if bridge.config.frags != config.frags && config.frags != FragMode::Reassemble {
                bridge.config.frags = config.frags;
                turn.switch.set_fragments(self.bridge, config.frags);
            }
        }
        Ok(Effect::None)
    }
}
