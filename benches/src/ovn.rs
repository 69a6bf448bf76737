//! Rules as a node of a logical network has them: forty tables that every packet crosses.
//!
//! Purpose: long pipelines with registers. What the tables hold is made after the kinds that such nodes have (address
//! checks, access lists, lookups of addresses, answers, loops); numbers and names are made up.
//! Invariant: a frame of [`crate::traffic`] that enters by port 1 leaves by port 2, after a look-up in every table.
//! Deliberately does not know: the software that writes such rules.

use std::fmt::Write;

/// Tables that a packet crosses.
pub const TABLES: u8 = 40;
/// Ports of the node that have rules beside the one that sends.
const OTHERS: u32 = 50;
/// Addresses that the lookup tables know.
const ADDRESSES: u32 = 1000;

/// The rules, as text.
pub fn rules() -> String {
    let mut out = String::from("table=0,priority=100,in_port=1,actions=load:1->OXM_OF_METADATA[],load:1->NXM_NX_REG14[],resubmit(,1)\n");
    for table in 1..TABLES {
        let next = table + 1;
        let go = if next == TABLES { "output:2".into() } else { format!("resubmit(,{next})") };
        let _ = match table % 8 {
            1 => addresses(&mut out, table, &go),
            2 | 6 => access(&mut out, table, &go),
            3 => lookups(&mut out, table, &go),
            5 => answers(&mut out, table),
            _ => Ok(()),
        };
        let _ = writeln!(out, "table={table},priority=0,metadata=1,actions={go}");
    }
    out
}

/// Each port sends from its own addresses only.
fn addresses(out: &mut String, table: u8, go: &str) -> std::fmt::Result {
    writeln!(out, "table={table},priority=90,ip,reg14=1,metadata=1,dl_src=fa:16:3e:00:00:01,nw_src=10.0.0.0/8,actions={go}")?;
    writeln!(out, "table={table},priority=80,ip,reg14=1,metadata=1,dl_src=fa:16:3e:00:00:01,actions=drop")?;
    for port in 2..OTHERS {
        let mac = format!("fa:16:3e:00:01:{port:02x}");
        writeln!(out, "table={table},priority=90,ip,reg14={port},metadata=1,dl_src={mac},nw_src=10.9.0.{port},actions={go}")?;
    }
    Ok(())
}

/// Access lists by protocol, address and port.
fn access(out: &mut String, table: u8, go: &str) -> std::fmt::Result {
    for port in 3..OTHERS {
        writeln!(out, "table={table},priority=2002,tcp,reg15={port},metadata=1,nw_src=10.{port}.0.0/16,tp_dst=443,actions={go}")?;
        writeln!(out, "table={table},priority=2001,udp,reg15={port},metadata=1,tp_dst=0x1000/0xf000,actions=drop")?;
    }
    writeln!(out, "table={table},priority=2001,udp,metadata=1,nw_src=10.0.0.0/8,tp_dst=0x1000/0xf000,actions={go}")?;
    writeln!(out, "table={table},priority=2001,udp,metadata=1,nw_src=10.0.0.0/8,tp_dst=0/0xf000,actions={go}")?;
    writeln!(out, "table={table},priority=1001,icmp,metadata=1,actions={go}")
}

/// To which port an address belongs.
fn lookups(out: &mut String, table: u8, go: &str) -> std::fmt::Result {
    writeln!(out, "table={table},priority=50,metadata=1,dl_dst=fa:16:3e:00:00:02,actions=load:2->NXM_NX_REG15[],{go}")?;
    for i in 0..ADDRESSES {
        let mac = format!("fa:16:3e:01:{:02x}:{:02x}", i >> 8, i & 0xff);
        writeln!(out, "table={table},priority=50,metadata=1,dl_dst={mac},actions=load:{}->NXM_NX_REG15[],{go}", i % OTHERS + 3)?;
    }
    writeln!(out, "table={table},priority=70,metadata=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=load:0x8000->NXM_NX_REG15[],{go}")
}

/// Questions that the node answers itself, or throws away.
fn answers(out: &mut String, table: u8) -> std::fmt::Result {
    for i in 0..ADDRESSES / 2 {
        writeln!(out, "table={table},priority=50,arp,metadata=1,arp_tpa=10.1.{}.{},arp_op=1,actions=drop", i >> 8, i & 0xff)?;
    }
    writeln!(out, "table={table},priority=100,udp,metadata=1,tp_src=67,tp_dst=68,actions=drop")?;
    writeln!(out, "table={table},priority=110,ip,metadata=1,nw_ttl=0,actions=drop")
}
