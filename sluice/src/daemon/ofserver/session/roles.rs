//! Who may change what.

use sluice_openflow::message::{Role, RoleRequest};
use sluice_openflow::{Message, OfpError};

use super::{Effect, Session, Turn};

impl Session {
    pub(super) fn role_request(&mut self, request: RoleRequest, xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        let claims = matches!(request.role, Role::Primary | Role::Secondary);
        if let (true, Some(generation)) = (claims, request.generation_id) {
            if turn.switch.is_stale(self.bridge, generation) {
                return Err(OfpError::OFPRRFC_STALE);
            }
            turn.switch.set_generation(self.bridge, generation);
        }
        if request.role != Role::NoChange {
            self.role = request.role;
        }
        self.generation = turn.switch.generation(self.bridge);
        let reply = RoleRequest {
            role: self.role,
            // All ones stand for "none was ever given".
            generation_id: (!request.nicira).then_some(self.generation.unwrap_or(u64::MAX)),
            nicira: request.nicira,
        };
        self.reply(&Message::RoleReply(reply), xid, turn);
        Ok(if request.role == Role::Primary { Effect::BecamePrimary } else { Effect::None })
    }

    /// Another connection is the primary one now; true when this one was.
    pub fn demote(&mut self) -> bool {
        let was = self.role == Role::Primary;
        if was {
            self.role = Role::Secondary;
        }
        was
    }
}
