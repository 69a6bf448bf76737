//! What may differ between two runs: times, transaction ids, paths.

/// A text with all of that made equal.
pub fn canon(text: &str) -> String {
    text.split_inclusive('\n').map(line).collect()
}

fn line(line: &str) -> String {
    let mut out = number_after(line, "duration=", "duration=X", "s");
    out = number_after(&out, "duration:", "duration:X", "s");
    for age in ["idle_age=", "hard_age="] {
        out = number_after(&out, age, "", ", ");
    }
    out = transaction_id(&out);
    out = number_of_a_pass(&out);
    out = numbered(&out, "unix#", "unix#N", char::is_ascii_digit);
    out = numbered(&out, "dp_hash=0x", "dp_hash=H", char::is_ascii_hexdigit);
    out = flood(&out);
    path(&time_stamp(&out))
}

/// Replaces `word` and the digits behind it by `by`.
fn numbered(text: &str, word: &str, by: &str, digit: fn(&char) -> bool) -> String {
    let mut parts = text.split(word);
    let mut out = parts.next().unwrap_or("").to_string();
    for part in parts {
        out.push_str(by);
        out.push_str(part.trim_start_matches(|c: char| digit(&c)));
    }
    out
}

/// Numbers under which packets go on, and what Open vSwitch says of a state that nobody gave.
fn number_of_a_pass(text: &str) -> String {
    let mut out = numbered(text, "recirc(0x", "recirc(R", char::is_ascii_hexdigit);
    let mut parts = out.split("recirc_id=");
    let mut done = parts.next().unwrap_or("").to_string();
    for part in parts {
        let (digits, hex) = part.strip_prefix("0x").map_or((part, false), |p| (p, true));
        let is_digit = |c: char| if hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        let named = digits.starts_with(|c: char| is_digit(c) && c != '0');
        done.push_str("recirc_id=");
        if named {
            done.push('R');
            done.push_str(digits.trim_start_matches(is_digit));
        } else {
            done.push_str(part);
        }
    }
    out = done;
    match out.find(" - resume conntrack with default ct_state=") {
        Some(at) if out.contains("(use --ct-next to customize)") => format!("{} - resume\n", &out[..at]),
        _ => out,
    }
}

/// Ports of a flood have no order.
fn flood(text: &str) -> String {
    let Some(list) = text.strip_prefix("Datapath actions: ") else { return text.to_string() };
    let end = if list.ends_with('\n') { "\n" } else { "" };
    let mut words: Vec<&str> = list.trim_end_matches('\n').split(',').collect();
    let port = |w: &&str| *w == "br0" || w.len() == 2 && w.starts_with('p') && w.ends_with(|c: char| c.is_ascii_digit());
    if words.len() < 2 || !words.iter().all(port) {
        return text.to_string();
    }
    words.sort_unstable();
    format!("Datapath actions: {}{end}", words.join(","))
}

/// Replaces `word`, the number behind it and `unit` (where it follows) by `by`.
fn number_after(text: &str, word: &str, by: &str, unit: &str) -> String {
    let mut parts = text.split(word);
    let mut out = parts.next().unwrap_or("").to_string();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if rest.len() == part.len() {
            out.push_str(word);
            out.push_str(rest);
            continue;
        }
        out.push_str(by);
        out.push_str(rest.strip_prefix(unit).unwrap_or(rest));
    }
    out
}

/// `(xid=0x12):` becomes `(xid=X):`.
fn transaction_id(text: &str) -> String {
    let mut parts = text.split("(xid=0x");
    let mut out = parts.next().unwrap_or("").to_string();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        out.push_str("(xid=X):");
        out.push_str(rest.strip_prefix("):").or(rest.strip_prefix(')')).unwrap_or(rest));
    }
    out
}

/// `2026-01-31T12:00:00Z|00001|` becomes `TS|`.
fn time_stamp(text: &str) -> String {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let mut words = text.splitn(3, '|');
    match (words.next(), words.next(), words.next()) {
        (Some(time), Some(number), Some(rest)) if time.ends_with('Z') && time.contains('T') && digits(number) => {
            format!("TS|{rest}")
        }
        _ => text.to_string(),
    }
}

/// `unix:/a/b/br0.mgmt` becomes `unix:br0.mgmt`.
fn path(text: &str) -> String {
    match (text.find("unix:/"), text.find("/br0.mgmt")) {
        (Some(start), Some(end)) if start < end => format!("{}unix:{}", &text[..start], &text[end + 1..]),
        _ => text.to_string(),
    }
}

#[test]
fn what_may_differ_is_made_equal() {
    let cases = [
        (" cookie=0x0, duration=1.25s, table=0, idle_age=3, ip actions=drop\n", " cookie=0x0, duration=X, table=0, ip actions=drop\n"),
        ("OFPT_ERROR (xid=0x8): OFPFMFC_OVERLAP", "OFPT_ERROR (xid=X): OFPFMFC_OVERLAP"),
        ("2026-11-21T06:42:23Z|00001|ofp_match|INFO|x\n", "TS|ofp_match|INFO|x\n"),
        ("talking to unix:/a/b/br0.mgmt (x)", "talking to unix:br0.mgmt (x)"),
        ("duration=X,ref_count=0\n", "duration=X,ref_count=0\n"),
        ("           duration=74.677s\n", "           duration=X\n"),
        ("Datapath actions: ct,recirc(0x2f)\n", "Datapath actions: ct,recirc(R)\n"),
        ("Flow: recirc_id=0x1,tcp recirc_id=0,ip\n", "Flow: recirc_id=R,tcp recirc_id=0,ip\n"),
        ("Datapath actions: p3,br0,p2\n", "Datapath actions: br0,p2,p3\n"),
    ];
    for (text, expected) in cases {
        assert_eq!(canon(text), expected);
    }
}
