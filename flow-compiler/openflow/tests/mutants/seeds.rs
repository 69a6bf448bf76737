//! What mutants are made of.

use sluice_openflow::wire::{blank_message, message_types};
use sluice_openflow::Version;

const SENT: &str = include_str!("../vectors/sent.tsv");
const RECEIVED: &str = include_str!("../vectors/received.tsv");
const REFUSED: &str = include_str!("../vectors/refused.tsv");
/// `message` and hexadecimal, or `text` and the text, of what once was wrong.
const KEPT: &str = include_str!("kept.tsv");

/// Groups, meters and more, for which no bytes were recorded.
const TEXTS: [&str; 12] = [
    "group_id=1,type=select,selection_method=hash,fields(ip_dst,tcp_dst=0xff),bucket=bucket_id:1,weight:10,output:1,bucket=weight=5,actions=set_field:1->reg0,2",
    "group_id=7,type=ff,bucket=watch_port:1,actions=output:1,bucket=watch_group:2,actions=output:2",
    "group_id=9,type=indirect,bucket=actions=mod_dl_src:2:0:0:0:0:1,output:3",
    "command_bucket_id=5,group_id=1,bucket=bucket_id:6,output:1",
    "meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=500,type=dscp_remark,rate=10,prec_level=1",
    "meter=controller,pktps,bands=type=drop rate=5",
    "in_port=1,packet=ffffffffffff00000000000108004500001400000000401100000102030405060708,actions=load:5->NXM_NX_REG0[],resubmit(,3)",
    "in_port=CONTROLLER packet=ff actions=output:2",
    "table=3,out_port=2,!initial,!own",
    "vacancy:20,80",
    "{class=0xffff,type=0,len=4}->tun_metadata0,{class=0xffff,type=1,len=124}->tun_metadata63",
    "zone=5 ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_src=5 ct_nw_dst=10.0.0.2",
];

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hexadecimal")).collect()
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'))
}

/// Recorded messages, and the shortest one of every type in every version.
pub fn messages() -> Vec<Vec<u8>> {
    let recorded = [SENT, RECEIVED, REFUSED].into_iter().flat_map(lines);
    let mut all: Vec<Vec<u8>> = recorded.filter_map(|l| l.split('\t').nth(2)).map(unhex).collect();
    for kind in message_types() {
        let versions = Version::ALL.into_iter().filter(|v| kind.first <= *v && *v <= kind.last);
        all.extend(versions.filter_map(|v| blank_message(v, kind.name, 7)));
    }
    all
}

/// Rules in words, and what else the tools read.
pub fn texts() -> Vec<String> {
    let words = lines(SENT).filter_map(|l| l.split('\t').nth(1)?.split('\'').nth(1));
    words.chain(TEXTS).map(str::to_string).collect()
}

fn kept(kind: &str) -> impl Iterator<Item = &'static str> + '_ {
    lines(KEPT).filter_map(move |l| l.split_once('\t').filter(|(k, _)| *k == kind).map(|(_, rest)| rest))
}

/// Messages that once were read wrongly.
pub fn kept_messages() -> Vec<Vec<u8>> {
    kept("message").map(unhex).collect()
}

/// Texts that once were read wrongly; `\n` stands for the end of a line.
pub fn kept_texts() -> Vec<String> {
    kept("text").map(|t| t.replace("\\n", "\n")).collect()
}
