//! Rows of table Controller.

use super::Reader;
use crate::database::{Row, Uuid};
use crate::source::addresses;
use crate::state::Controller;

impl Reader<'_> {
    pub(super) fn controllers(&mut self, bridge: &str, row: &Row) -> Vec<Controller> {
        let mut rows: Vec<(Uuid, &Row)> =
            row.references("controller").filter_map(|id| Some((id, self.tables.row("Controller", id)?))).collect();
        rows.sort_by(|(a, x), (b, y)| (x.text("target"), a).cmp(&(y.text("target"), b)));
        rows.into_iter().filter_map(|(id, row)| self.controller(bridge, id, row)).collect()
    }

    fn controller(&mut self, bridge: &str, id: Uuid, row: &Row) -> Option<Controller> {
        let text = row.text("target");
        let target = addresses::controller(text);
        self.reading.origins.controllers.push((bridge.to_string(), target.clone(), id));
        let Some(target) = target else {
            self.complain(
                bridge,
                format!("controller \"{text}\" is none of tcp:IP[:PORT], ssl:IP[:PORT], unix:FILE, ptcp:[PORT][:IP], pssl:[PORT][:IP], punix:FILE"),
            );
            return None;
        };
        let mut controller = Controller::new(target);
        let number = |column: &str| row.integer(column).map(|n| u32::try_from(n.max(0)).unwrap_or(u32::MAX));
        if let Some(ms) = number("max_backoff") {
            controller.max_backoff_ms = ms.max(1000);
        }
        if let Some(ms) = number("inactivity_probe") {
            controller.inactivity_probe_ms = ms;
        }
        controller.in_band = row.text("connection_mode") != "out-of-band";
        controller.enable_async = row.flag("enable_async_messages").unwrap_or(true);
        controller.rate_limit = number("controller_rate_limit");
        controller.burst_limit = number("controller_burst_limit");
        controller.queue_size = number("controller_queue_size").and_then(|n| u16::try_from(n).ok());
        if let Some(kind) = row.optional_text("type") {
            controller.service = kind == "service";
        }
        Some(controller)
    }
}
