//! The actions with many options, printed.
//!
//! Purpose: `learn`, `ct`, `nat`, `multipath`, `bundle`, `sample`, `fin_timeout`.
//! Invariant and limits: those of the parent.

use super::*;

pub(super) fn learn(out: &mut String, l: &Learn, names: &Names) {
    out.push_str("learn(table=");
    names.write_table(out, l.table);
    let timeouts = [
        ("idle_timeout", l.idle_timeout),
        ("hard_timeout", l.hard_timeout),
        ("fin_idle_timeout", l.fin_idle_timeout),
        ("fin_hard_timeout", l.fin_hard_timeout),
    ];
    for (name, seconds) in timeouts.into_iter().filter(|t| t.1 != 0) {
        put!(out, ",{name}={seconds}");
    }
    if l.priority != 0x8000 {
        put!(out, ",priority={}", l.priority);
    }
    if l.send_flow_rem {
        out.push_str(",send_flow_rem");
    }
    if l.delete_learned {
        out.push_str(",delete_learned");
    }
    if l.cookie != 0 {
        put!(out, ",cookie=0x{:x}", l.cookie);
    }
    if l.limit != 0 {
        put!(out, ",limit={}", l.limit);
    }
    if let Some(result) = l.result_dst {
        slice(out, ",result_dst=", result);
    }
    for spec in &l.specs {
        out.push(',');
        learn_spec(out, spec, names);
    }
    out.push(')');
}

fn learn_spec(out: &mut String, spec: &LearnSpec, names: &Names) {
    match spec {
        LearnSpec::Match {
            src: LearnSource::Value { value, .. },
            dst,
        } if *dst == dst.field.whole() => {
            put!(out, "{}=", dst.field.info().name);
            value_print::write(out, dst.field, *value, u128::MAX, names);
        }
        LearnSpec::Match {
            src: LearnSource::Value { value, .. },
            dst,
        } => {
            slice(out, "", *dst);
            out.push('=');
            value_print::hexadecimal(out, *value);
        }
        LearnSpec::Match {
            src: LearnSource::Field(src),
            dst,
        } => {
            slice(out, "", *dst);
            if src.field != dst.field || src.start != dst.start {
                slice(out, "=", *src);
            }
        }
        LearnSpec::Load { src, dst } => {
            out.push_str("load:");
            match src {
                LearnSource::Field(src) => slice(out, "", *src),
                LearnSource::Value { value, .. } => value_print::hexadecimal(out, *value),
            }
            slice(out, "->", *dst);
        }
        LearnSpec::Output(src) => slice(out, "output:", *src),
    }
}

fn hash_name(fields: HashFields) -> &'static str {
    misc::HASHES
        .iter()
        .find(|(f, _)| *f == fields)
        .map_or("eth_src", |(_, name)| name)
}

fn algorithm_name(algorithm: u16, names: &[&'static str]) -> String {
    match names.get(usize::from(algorithm)) {
        Some(name) => (*name).to_string(),
        None => algorithm.to_string(),
    }
}

pub(super) fn multipath(out: &mut String, m: &Multipath) {
    let algorithm = algorithm_name(m.algorithm, &misc::MULTIPATH_ALGORITHMS);
    let (fields, basis) = (hash_name(m.fields), m.basis);
    put!(
        out,
        "multipath({fields},{basis},{algorithm},{},{},",
        m.n_links,
        m.arg
    );
    subfield::write(out, m.dst);
    out.push(')');
}

pub(super) fn bundle(out: &mut String, b: &Bundle, names: &Names) {
    let algorithm = algorithm_name(b.algorithm, &misc::BUNDLE_ALGORITHMS);
    let word = if b.dst.is_some() {
        "bundle_load"
    } else {
        "bundle"
    };
    put!(
        out,
        "{word}({},{},{algorithm},ofport,",
        hash_name(b.fields),
        b.basis
    );
    if let Some(dst) = b.dst {
        subfield::write(out, dst);
        out.push(',');
    }
    out.push_str("members:");
    separated(out, &b.members, |out, port| names.write_port(out, *port));
    out.push(')');
}

pub(super) fn fin_timeout(out: &mut String, idle: u16, hard: u16) {
    out.push_str("fin_timeout(");
    if idle != 0 {
        put!(out, "idle_timeout={idle},");
    }
    if hard != 0 {
        put!(out, "hard_timeout={hard},");
    }
    close(out);
}

pub(super) fn sample(out: &mut String, s: &Sample, names: &Names) {
    put!(
        out,
        "sample(probability={},collector_set_id={},obs_domain_id={},obs_point_id={}",
        s.probability,
        s.collector_set_id,
        s.obs_domain_id,
        s.obs_point_id
    );
    if let Some(port) = s.sampling_port {
        out.push_str(",sampling_port=");
        names.write_port(out, port);
    }
    out.push_str(match s.direction {
        SampleDirection::Default => ")",
        SampleDirection::Ingress => ",ingress)",
        SampleDirection::Egress => ",egress)",
    });
}

pub(super) fn ct(out: &mut String, c: &Ct, names: &Names) {
    out.push_str("ct(");
    if c.commit {
        out.push_str("commit,");
    }
    if c.force {
        out.push_str("force,");
    }
    if let Some(table) = c.table {
        out.push_str("table=");
        names.write_table(out, table);
        out.push(',');
    }
    match &c.zone {
        CtZone::Field(zone) => {
            slice(out, "zone=", *zone);
            out.push(',');
        }
        CtZone::Number(0) => {}
        CtZone::Number(zone) => put!(out, "zone={zone},"),
    }
    // Translation stands beside `exec`, not in it, when it comes first.
    let mut rest = c.actions.as_slice();
    if let [Action::Nat(first), others @ ..] = rest {
        nat(out, first);
        out.push(',');
        rest = others;
    }
    if !rest.is_empty() {
        wrapped(out, "exec(", rest, names);
        out.push(',');
    }
    match c.alg {
        0 => {}
        21 => out.push_str("alg=ftp,"),
        69 => out.push_str("alg=tftp,"),
        other => put!(out, "alg={other},"),
    }
    close(out);
}

pub(super) fn nat(out: &mut String, n: &Nat) {
    out.push_str("nat");
    if !n.src && !n.dst {
        return;
    }
    out.push_str(if n.src { "(src" } else { "(dst" });
    if let Some((lowest, highest)) = n.addresses {
        out.push('=');
        let bracketed = n.ports.is_some();
        nat_address(out, lowest, bracketed);
        if let Some(highest) = highest {
            out.push('-');
            nat_address(out, highest, bracketed);
        }
        if let Some((lowest, highest)) = n.ports {
            put!(out, ":{lowest}");
            if let Some(highest) = highest {
                put!(out, "-{highest}");
            }
        }
    }
    for (set, word) in [
        (n.persistent, ",persistent"),
        (n.hash, ",hash"),
        (n.random, ",random"),
    ] {
        if set {
            out.push_str(word);
        }
    }
    out.push(')');
}

fn nat_address(out: &mut String, address: IpAddr, bracketed: bool) {
    match address {
        IpAddr::V4(v4) => put!(out, "{v4}"),
        IpAddr::V6(v6) if bracketed => {
            out.push('[');
            value_print::ipv6_address(out, u128::from(v6));
            out.push(']');
        }
        IpAddr::V6(v6) => value_print::ipv6_address(out, u128::from(v6)),
    }
}
