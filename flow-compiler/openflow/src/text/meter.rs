//! Meters, read from text.
//!
//! Purpose: `meter=1,kbps,burst,bands=type=drop,rate=100,burst_size=10` as a [`MeterMod`].
//! Deliberately does not know: which meters exist.

use super::error::TextError;
use super::number;
use super::token::Token;
use crate::message::{MeterBand, MeterBandKind, MeterCommand, MeterConfig, MeterMod};

/// Every meter.
pub const ALL_METERS: u32 = 0xffff_ffff;
const CONTROLLER: u32 = 0xffff_fffe;
const SLOWPATH: u32 = 0xffff_fffd;
const MOST: u32 = 0xffff_0000;
const BURST: u16 = 4;
const FLAGS: [(&str, u16); 4] = [("kbps", 1), ("pktps", 2), ("burst", BURST), ("stats", 8)];
const SEPARATORS: &[char] = &['=', ',', ' ', '\t', '\r', '\n'];

/// Reads a change of a meter.
pub fn parse_meter(text: &str, command: MeterCommand) -> Result<MeterMod, TextError> {
    let whole = Token::new(text);
    let mut config = MeterConfig { id: 0, flags: 0, bands: Vec::new() };
    if command == MeterCommand::Delete {
        front(whole, false, &mut config)?;
        return Ok(MeterMod { command, config });
    }
    let missing = || whole.error("must specify bands");
    let at = text.find("band").ok_or_else(missing)?;
    let (head, rest) = whole.split_at(at);
    let (_, list) = rest.split_once("=").ok_or_else(missing)?;
    front(head, true, &mut config)?;
    if config.flags == 0 {
        return Err(whole.error("meter must specify either 'kbps' or 'pktps'"));
    }
    bands(list, &mut config)?;
    Ok(MeterMod { command, config })
}

/// Reads the number of a meter that is asked about: `meter=1`, `meter=all`.
pub fn parse_meter_id(text: &str) -> Result<u32, TextError> {
    let mut config = MeterConfig { id: 0, flags: 0, bands: Vec::new() };
    front(Token::new(text), false, &mut config)?;
    Ok(config.id)
}

fn front(whole: Token<'_>, with_flags: bool, config: &mut MeterConfig) -> Result<(), TextError> {
    let mut words = whole.words(SEPARATORS);
    while let Some(word) = words.next() {
        if let Some((_, flag)) = FLAGS.iter().find(|(n, _)| with_flags && *n == word.text()) {
            config.flags |= flag;
            continue;
        }
        let value = words.next().ok_or_else(|| word.error(format!("field {} missing value", word.text())))?;
        if word.text() != "meter" {
            return Err(word.error(format!("unknown keyword {}", word.text())));
        }
        config.id = match value.text() {
            "all" => ALL_METERS,
            "controller" => CONTROLLER,
            "slowpath" => SLOWPATH,
            _ => match number::u32(value)? {
                id if id == 0 || id > MOST => return Err(value.error("invalid value for meter")),
                id => id,
            },
        };
    }
    match config.id {
        0 => Err(whole.error("must specify 'meter'")),
        _ => Ok(()),
    }
}

/// A band as far as it was read.
#[derive(Default)]
struct BandText {
    remarks: bool,
    rate: u32,
    burst_size: u32,
    prec_level: u8,
}

fn bands(list: Token<'_>, config: &mut MeterConfig) -> Result<(), TextError> {
    let mut all: Vec<BandText> = Vec::new();
    let mut words = list.words(SEPARATORS);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| word.error(format!("field {} missing value", word.text())))?;
        if word.text() == "type" {
            let remarks = match value.text() {
                "drop" => false,
                "dscp_remark" => true,
                other => return Err(value.error(format!("field type unknown value {other}"))),
            };
            all.push(BandText { remarks, ..BandText::default() });
            continue;
        }
        let Some(band) = all.last_mut() else { return Err(word.error("band must start with the 'type' keyword")) };
        match word.text() {
            "rate" => band.rate = number::u32(value)?,
            "burst_size" => band.burst_size = number::u32(value)?,
            "prec_level" => band.prec_level = number::u8(value, "prec_level")?,
            name => return Err(word.error(format!("unknown keyword {name}"))),
        }
    }
    if all.is_empty() {
        return Err(list.error("meter must have bands"));
    }
    for band in all {
        let what = fault(&band, config.flags & BURST != 0);
        if let Some(what) = what {
            return Err(list.error(what));
        }
        let kind = if band.remarks { MeterBandKind::DscpRemark(band.prec_level) } else { MeterBandKind::Drop };
        config.bands.push(MeterBand { kind, rate: band.rate, burst_size: band.burst_size });
    }
    Ok(())
}

/// What is missing, or too much.
fn fault(band: &BandText, bursts: bool) -> Option<&'static str> {
    match (band.remarks, band.prec_level, band.rate, bursts, band.burst_size) {
        (true, 0, ..) => Some("'dscp_remark' band must have 'prec_level'"),
        (false, 1.., ..) => Some("Only 'dscp_remark' band may have 'prec_level'"),
        (_, _, 0, ..) => Some("band must have 'rate'"),
        (_, _, _, true, 0) => Some("band must have 'burst_size' when 'burst' flag is set"),
        (_, _, _, false, 1..) => Some("band may have 'burst_size' only when 'burst' flag is set"),
        _ => None,
    }
}
