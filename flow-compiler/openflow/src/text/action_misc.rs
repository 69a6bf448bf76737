//! The rarer actions, read from text.
//!
//! Purpose: `controller`, `conjunction`, `multipath`, `bundle`, `note`, `sample`, `encap` and others.
//! Invariant: numbers are inside the ranges that the actions define.
//! Deliberately does not know: lists and nesting.

use super::error::TextError;
use super::names::Names;
use super::number;
use super::subfield;
use super::token::Token;
use crate::action::{
    Action, Bundle, Controller, HashFields, Multipath, PortNo, Sample, SampleDirection,
    CONTROLLER_WHOLE_PACKET,
};

type Parsed = Result<Action, TextError>;

/// Why a packet goes to the controller, in the order of the protocol's numbers.
pub(super) const REASONS: [&str; 6] = [
    "no_match",
    "action",
    "invalid_ttl",
    "action_set",
    "group",
    "packet_out",
];
/// The reason that goes without saying.
pub(super) const REASON_ACTION: u8 = 1;

/// The ways to hash, by name.
pub(super) const HASHES: [(HashFields, &str); 7] = [
    (HashFields::EthSrc, "eth_src"),
    (HashFields::SymmetricL4, "symmetric_l4"),
    (HashFields::SymmetricL3L4, "symmetric_l3l4"),
    (HashFields::SymmetricL3L4Udp, "symmetric_l3l4+udp"),
    (HashFields::NwSrc, "nw_src"),
    (HashFields::NwDst, "nw_dst"),
    (HashFields::SymmetricL3, "symmetric_l3"),
];
/// How `multipath` chooses a link.
pub(super) const MULTIPATH_ALGORITHMS: [&str; 4] =
    ["modulo_n", "hash_threshold", "hrw", "iter_hash"];
/// How `bundle` chooses a member.
pub(super) const BUNDLE_ALGORITHMS: [&str; 2] = ["active_backup", "hrw"];

/// Nothing, a length, or options.
pub(super) fn controller(token: Token<'_>) -> Parsed {
    let mut c = Controller {
        max_len: CONTROLLER_WHOLE_PACKET,
        reason: REASON_ACTION,
        id: 0,
        userdata: Vec::new(),
        pause: false,
        meter_id: None,
    };
    if !token.is_empty() && token.text().bytes().all(|b| b.is_ascii_digit()) {
        c.max_len = number::u16(token, "max_len")?;
        return Ok(Action::Output {
            port: PortNo::CONTROLLER,
            max_len: c.max_len,
        });
    }
    for (key, v) in token.pairs() {
        match key.text() {
            "reason" => {
                let reason = REASONS
                    .iter()
                    .position(|r| r.eq_ignore_ascii_case(v.text()));
                c.reason = reason
                    .ok_or_else(|| v.error(format!("unknown reason \"{}\"", v.text())))?
                    as u8;
            }
            "max_len" => c.max_len = number::u16(v, "max_len")?,
            "id" => c.id = number::u16(v, "id")?,
            "userdata" => {
                c.userdata = bytes(v)
                    .ok_or_else(|| v.error("bad hex digit in `controller' action `userdata'"))?
            }
            "pause" => c.pause = true,
            "meter_id" => c.meter_id = Some(number::u32(v)?),
            other => {
                return Err(key.error(format!("unknown key \"{other}\" parsing controller action")))
            }
        }
    }
    if c.reason == REASON_ACTION
        && c.id == 0
        && c.userdata.is_empty()
        && !c.pause
        && c.meter_id.is_none()
    {
        return Ok(Action::Output {
            port: PortNo::CONTROLLER,
            max_len: c.max_len,
        });
    }
    Ok(Action::Controller(Box::new(c)))
}

/// Pairs of hexadecimal digits with dots or white space between them.
fn bytes(token: Token<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = token.text();
    loop {
        rest = rest.trim_start_matches([' ', '.', '\t', '\r', '\n']);
        if rest.is_empty() {
            return Some(out);
        }
        let pair = rest
            .get(..2)
            .filter(|p| p.bytes().all(|b| b.is_ascii_hexdigit()))?;
        out.push(u8::from_str_radix(pair, 16).ok()?);
        rest = rest.get(2..)?;
    }
}

/// `HEX.HEX...`
pub(super) fn note(token: Token<'_>) -> Parsed {
    bytes(token)
        .map(Action::Note)
        .ok_or_else(|| token.error("bad hex digit in `note' argument"))
}

/// `ID,K/N`
pub(super) fn conjunction(token: Token<'_>) -> Parsed {
    let syntax = || token.error("\"conjunction\" syntax is \"conjunction(id,i/n)\"");
    let (id, rest) = token.split_once(",").ok_or_else(syntax)?;
    let (clause, of) = rest.split_once("/").ok_or_else(syntax)?;
    let read = |t: Token<'_>| match number::scan_u64(t.text().trim()) {
        Ok((value, taken)) if taken == t.text().trim().len() => Some(value),
        _ => None,
    };
    let id = read(id)
        .and_then(|v| u32::try_from(v).ok())
        .ok_or_else(syntax)?;
    let (Some(k), Some(n)) = (read(clause), read(of)) else {
        return Err(syntax());
    };
    if n < 2 {
        return Err(of.error("conjunction must have at least 2 clauses"));
    }
    if n > 64 {
        return Err(of.error("conjunction must have at most 64 clauses"));
    }
    if k < 1 {
        return Err(clause.error("clause index must be positive"));
    }
    if k > n {
        return Err(clause.error("clause index must be less than or equal to number of clauses"));
    }
    Ok(Action::Conjunction {
        id,
        clause: (k - 1) as u8,
        n_clauses: n as u8,
    })
}

fn hash_fields(token: Token<'_>, whole: &str) -> Result<HashFields, TextError> {
    let name = token.text();
    HASHES
        .iter()
        .find(|(_, n)| n.eq_ignore_ascii_case(name))
        .map(|(fields, _)| *fields)
        .ok_or_else(|| token.error(format!("{whole}: unknown fields `{name}'")))
}

fn algorithm(token: Token<'_>, names: &[&str], whole: &str) -> Result<u16, TextError> {
    let name = token.text();
    names
        .iter()
        .position(|n| n.eq_ignore_ascii_case(name))
        .map(|i| i as u16)
        .ok_or_else(|| token.error(format!("{whole}: unknown algorithm `{name}'")))
}

/// `FIELDS,BASIS,ALGORITHM,N_LINKS,ARG,DST[A..B]`
pub(super) fn multipath(token: Token<'_>) -> Parsed {
    const MOST_LINKS: i64 = 0x1_0000;
    let whole = token.text();
    let mut words = token.words(&[',', ' ']);
    let mut next = || {
        words.next().ok_or_else(|| {
            token.error(format!("{whole}: not enough arguments to multipath action"))
        })
    };
    let (fields, basis, name, links, arg, dst) =
        (next()?, next()?, next()?, next()?, next()?, next()?);
    let hash = hash_fields(fields, whole)?;
    let algorithm = algorithm(name, &MULTIPATH_ALGORITHMS, whole)?;
    let n_links = number::atoi(links.text());
    if !(1..=MOST_LINKS).contains(&n_links) {
        return Err(links.error(format!(
            "{whole}: n_links {n_links} is not in valid range 1 to {MOST_LINKS}"
        )));
    }
    let slice = subfield::parse(dst)?;
    if slice.width < 16 && n_links > 1 << slice.width {
        return Err(dst.error(format!(
            "{whole}: {}-bit destination field has {} possible values, less than specified \
             n_links {n_links}",
            slice.width,
            1u32 << slice.width
        )));
    }
    Ok(Action::Multipath(Box::new(Multipath {
        fields: hash,
        basis: number::atoi(basis.text()) as u16,
        algorithm,
        n_links: n_links as u32,
        arg: number::atoi(arg.text()) as u32,
        dst: slice,
    })))
}

/// `FIELDS,BASIS,ALGORITHM,ofport,[DST[A..B],]members:PORT,...`
pub(super) fn bundle(token: Token<'_>, load: bool, names: &Names) -> Parsed {
    let whole = token.text();
    let few = || token.error(format!("{whole}: not enough arguments to bundle action"));
    // Only the word before the members ends at a colon.
    let mut rest = token;
    let mut next = |separators| take_word(&mut rest, separators).ok_or_else(few);
    const COMMA: &[char] = &[',', ' '];
    let (fields, basis, name, kind) = (next(COMMA)?, next(COMMA)?, next(COMMA)?, next(COMMA)?);
    let dst = if load { Some(next(COMMA)?) } else { None };
    let delimiter = next(&[':', ' '])?;
    let hash = hash_fields(fields, whole)?;
    let algorithm = algorithm(name, &BUNDLE_ALGORITHMS, whole)?;
    if !kind.text().eq_ignore_ascii_case("ofport") {
        return Err(kind.error(format!("{whole}: unknown member_type `{}'", kind.text())));
    }
    if !["members", "slaves"]
        .iter()
        .any(|w| w.eq_ignore_ascii_case(delimiter.text()))
    {
        return Err(delimiter.error(format!(
            "{whole}: missing member delimiter, expected `members', got `{}'",
            delimiter.text()
        )));
    }
    let mut members = Vec::new();
    for word in rest.words(COMMA) {
        let port = names
            .port_token(word)
            .ok_or_else(|| word.error(format!("{}: bad port number", word.text())))?;
        members.push(port);
    }
    let dst = dst.map(subfield::parse).transpose()?;
    Ok(Action::Bundle(Box::new(Bundle {
        fields: hash,
        basis: number::atoi(basis.text()) as u16,
        algorithm,
        dst,
        members,
    })))
}

/// Takes a word from the front, up to one of the characters.
fn take_word<'a>(rest: &mut Token<'a>, separators: &[char]) -> Option<Token<'a>> {
    loop {
        if rest.is_empty() {
            return None;
        }
        let (word, after) = rest.split_any(separators);
        *rest = after.unwrap_or_else(|| rest.skip(rest.text().len()));
        if !word.is_empty() {
            return Some(word);
        }
    }
}

/// `idle_timeout=S,hard_timeout=S`
pub(super) fn fin_timeout(token: Token<'_>) -> Parsed {
    let (mut idle, mut hard) = (0, 0);
    for (key, v) in token.pairs() {
        match key.text() {
            "idle_timeout" => idle = number::u16(v, "idle_timeout")?,
            "hard_timeout" => hard = number::u16(v, "hard_timeout")?,
            other => {
                return Err(key.error(format!("invalid key '{other}' in 'fin_timeout' argument")))
            }
        }
    }
    Ok(Action::FinTimeout { idle, hard })
}

/// `probability=P,collector_set_id=C,...`
pub(super) fn sample(token: Token<'_>, names: &Names) -> Parsed {
    let mut s = Sample {
        probability: 0,
        collector_set_id: 0,
        obs_domain_id: 0,
        obs_point_id: 0,
        sampling_port: None,
        direction: SampleDirection::Default,
    };
    for (key, v) in token.pairs() {
        match key.text() {
            "probability" => {
                s.probability = number::u16(v, "probability")?;
                if s.probability == 0 {
                    return Err(v.error(format!("invalid probability value \"{}\"", v.text())));
                }
            }
            "collector_set_id" => s.collector_set_id = number::u32(v)?,
            "obs_domain_id" => s.obs_domain_id = number::u32(v)?,
            "obs_point_id" => s.obs_point_id = number::u32(v)?,
            "sampling_port" => {
                let port = names
                    .port_token(v)
                    .ok_or_else(|| v.error(format!("{}: unknown port", v.text())))?;
                s.sampling_port = (port != PortNo::NONE).then_some(port);
            }
            "ingress" => s.direction = SampleDirection::Ingress,
            "egress" => s.direction = SampleDirection::Egress,
            other => {
                return Err(key.error(format!("invalid key \"{other}\" in \"sample\" argument")))
            }
        }
    }
    if s.probability == 0 {
        return Err(token.error("non-zero \"probability\" must be specified on sample"));
    }
    Ok(Action::Sample(Box::new(s)))
}

#[path = "action_encap.rs"]
mod encap_text;
pub(super) use encap_text::{decap, encap, write_encap};
