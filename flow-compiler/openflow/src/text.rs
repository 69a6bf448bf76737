//! The language of `ovs-ofctl`, both ways.
//!
//! Purpose: rules, matches and actions from text and to text, character for character as Open
//! vSwitch reads and prints them.
//! Invariant: no text makes it panic; what is printed reads back as the same value.
//! Deliberately does not know: the wire, and what encoding in some version does to an action.

mod action_basic;
mod action_ct;
mod action_field;
mod action_learn;
mod action_misc;
mod action_parse;
mod action_print;
mod ct_tuple;
mod error;
mod file;
mod flags;
mod flow_parse;
mod flow_print;
mod formats;
mod group;
mod match_parse;
mod match_print;
mod meter;
mod monitor;
mod names;
mod number;
mod order;
mod packet_out;
mod subfield;
mod table;
mod token;
mod value;
mod value_print;

pub use action_print::format_actions;
pub use ct_tuple::parse_ct_flush;
pub use error::TextError;
pub use file::{parse_flow_file, parse_flow_file_formats, FileError};
pub use flow_parse::{
    parse_actions, parse_flow, parse_flow_formats, parse_flow_line, parse_instructions,
    parse_match, DEFAULT_PRIORITY,
};
pub use flow_print::{format_duration, format_flow_mod, format_flow_mod_in, format_flow_stats, FlowCounters, FlowLine};
pub use group::{parse_group, parse_group_line};
pub use formats::Formats;
pub use meter::{parse_meter, parse_meter_id, ALL_METERS};
pub use match_print::{format_match, format_packet_match};
pub use monitor::parse_flow_monitor;
pub use names::Names;
pub use packet_out::parse_packet_out;
pub use table::{parse_table_mod, parse_tlv_maps, TableSetting};
pub(crate) use value_print::write_value;

/// Reads the value of a field, without a mask.
pub fn parse_value(field: crate::Field, text: &str, names: &Names) -> Result<u128, TextError> {
    value::parse(field, token::Token::new(text), names).map(|(value, _)| value)
}

/// Reads the value of a tunnel option, without a mask.
pub fn parse_option(field: crate::Field, text: &str) -> Result<crate::wide::Wide, TextError> {
    value::parse_option(field, token::Token::new(text)).map(|(value, _)| value)
}

/// Prints the value of a field as `set_field` has it.
pub fn format_value(field: crate::Field, value: u128, names: &Names) -> String {
    let mut out = String::new();
    value_print::write(&mut out, field, value, u128::MAX, names);
    out
}

/// Prints a slice of a field: `NXM_NX_REG0[0..15]`.
pub fn format_subfield(part: crate::SubField) -> String {
    let mut out = String::new();
    subfield::write(&mut out, part);
    out
}
