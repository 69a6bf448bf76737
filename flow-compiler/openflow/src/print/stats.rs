//! Statistics requests and replies, printed.
//!
//! Purpose: dispatch to what prints the items. Deliberately does not know: the items.

use super::{flow, group, monitor, port, table};
use crate::message::{StatsReply, StatsRequest};
use crate::text::Names;
use crate::version::Version;
use std::fmt::Write;

pub(super) fn request(out: &mut String, q: &StatsRequest, names: &Names) {
    match q {
        StatsRequest::Flow(q) | StatsRequest::Aggregate(q) => flow::request(out, q, names),
        StatsRequest::Port(p) => {
            out.push_str(" port_no=");
            names.write_port(out, *p);
        }
        StatsRequest::PortDesc(p) => {
            out.push_str(" port=");
            names.write_port(out, *p);
        }
        StatsRequest::Queue(q) | StatsRequest::QueueDesc(q) => {
            out.push_str(" port=");
            names.write_port(out, q.port);
            match q.queue {
                u32::MAX => out.push_str(" queue=ALL"),
                n => {
                    let _ = write!(out, " queue={n}");
                }
            }
        }
        StatsRequest::Group(id) | StatsRequest::GroupDesc(id) => {
            out.push_str(" group_id=");
            group::write_group_id(out, *id);
        }
        StatsRequest::Meter(id) | StatsRequest::MeterConfig(id) => {
            out.push(' ');
            group::write_meter_id(out, *id, '=');
        }
        StatsRequest::FlowMonitor(all) => all.iter().for_each(|q| monitor::request(out, q, names)),
        _ => {}
    }
}

pub(super) fn reply(out: &mut String, v: Version, r: &StatsReply, names: &Names) {
    match r {
        StatsReply::Desc(d) => {
            let _ = writeln!(out, "\nManufacturer: {}", d.manufacturer);
            let _ = writeln!(out, "Hardware: {}", d.hardware);
            let _ = writeln!(out, "Software: {}", d.software);
            let _ = writeln!(out, "Serial Num: {}", d.serial);
            let _ = writeln!(out, "DP Description: {}", d.datapath);
        }
        StatsReply::Flow { flows, .. } => {
            for f in flows {
                let _ = write!(out, "\n {}", flow::flow(f, true, names));
            }
        }
        StatsReply::Aggregate { sums, .. } => {
            let count = |n: u64| if n == u64::MAX { "(unknown)".into() } else { n.to_string() };
            let (packets, bytes) = (count(sums.packets), count(sums.bytes));
            let _ = write!(out, " packet_count={packets} byte_count={bytes}");
            let _ = write!(out, " flow_count={}", sums.flows);
        }
        StatsReply::Table { tables, .. } => table::tables(out, v, tables),
        StatsReply::Port { ports, .. } => {
            let _ = writeln!(out, " {} ports", ports.len());
            ports.iter().for_each(|p| port::port_stats(out, p, names));
        }
        StatsReply::Queue { queues, .. } => {
            let _ = writeln!(out, " {} queues", queues.len());
            queues.iter().for_each(|q| port::queue_stats(out, q, names));
        }
        StatsReply::PortDesc { ports, .. } => {
            out.push('\n');
            port::ports(out, ports);
        }
        StatsReply::Group { groups, .. } => groups.iter().for_each(|g| group::stats(out, g)),
        StatsReply::GroupDesc { groups, .. } => {
            groups.iter().for_each(|g| group::desc(out, v, g, names));
        }
        StatsReply::GroupFeatures(f) => group::features(out, f),
        StatsReply::Meter { meters, .. } => meters.iter().for_each(|m| group::meter_stats(out, m)),
        StatsReply::MeterConfig { meters, .. } => {
            for m in meters {
                out.push('\n');
                group::meter_config(out, m);
            }
        }
        StatsReply::MeterFeatures(f) => group::meter_features(out, f),
        StatsReply::TableDesc { tables, .. } => {
            tables.iter().for_each(|t| table::desc(out, t, names));
        }
        StatsReply::FlowMonitor { updates, .. } => updates.iter().for_each(|u| monitor::update(out, u, names)),
        StatsReply::QueueDesc { queues, .. } => port::queue_configs(out, queues, names),
        StatsReply::TableFeatures { .. }
        | StatsReply::Unread { .. } => {}
    }
}
