//! Values of fields: what is read, and what is refused with which words.

use super::*;

fn read(field: &str, text: &str) -> Result<Masked, String> {
    let field = Field::by_name(field).ok_or("no such field")?;
    parse(field, Token::new(text), &Names::new())
        .map(|(v, m)| (v, m & all_bytes(field)))
        .map_err(|e| e.message)
}

#[test]
fn values_and_masks_are_read() {
    let v6 = |t: &str| t.parse::<Ipv6Addr>().map(u128::from).unwrap_or(0);
    let cases = [
        ("reg0", "0x10/0xff", 0x10, 0xff),
        ("reg0", "017", 15, 0xffff_ffff),
        ("tun_id", "-1", u64::MAX as u128, u64::MAX as u128),
        ("dl_vlan", "0xffff", 0xffff, 0xffff),
        (
            "eth_dst",
            "01:00:00:00:00:00/01:00:00:00:00:00",
            1 << 40,
            1 << 40,
        ),
        ("eth_src", "0:1:2:a:B:c", 0x0001_020a_0b0c, 0xffff_ffff_ffff),
        ("nw_src", "10.0.0.0/8", 0x0a00_0000, 0xff00_0000),
        ("nw_src", "10.0.0.1", 0x0a00_0001, 0xffff_ffff),
        ("nw_src", "0.0.0.0/0", 0, 0),
        ("nw_src", "10.0.0.0/255.0.255.0", 0x0a00_0000, 0xff00_ff00),
        ("ipv6_dst", "2001:db8::1", v6("2001:db8::1"), u128::MAX),
        (
            "ipv6_dst",
            "2001:db8::/32",
            v6("2001:db8::"),
            v6("ffff:ffff::"),
        ),
        ("ipv6_dst", "::1/::ff", 1, 0xff),
        ("in_port", "LOCAL", 0xfffe, 0xffff),
        ("in_port_oxm", "LOCAL", 0xffff_fffe, 0xffff_ffff),
        ("ct_state", "+trk-new", 0x20, 0x21),
        ("tcp_flags", "+syn", 2, 2),
        ("nw_frag", "not_later", 0, 2),
        ("packet_type", "(1,0x800)", 0x10800, 0xffff_ffff),
        ("mpls_label", "0xfffff", 0xfffff, 0xffff_ffff),
        (
            "xxreg0",
            "0x1234567890abcdef1234567890abcdef",
            0x1234567890abcdef1234567890abcdef,
            u128::MAX,
        ),
        ("ct_label", "0x1/0x3", 1, 3),
    ];
    for (field, text, value, mask) in cases {
        assert_eq!(read(field, text), Ok((value, mask)), "{field}={text}");
    }
}

#[test]
fn what_cannot_be_a_value_is_refused_in_the_known_words() {
    let cases = [
        ("reg0", "x", "x: bad syntax for reg0 value"),
        ("reg0", "", ": bad syntax for reg0 value"),
        (
            "reg0",
            "0x1ffffffff",
            "0x1ffffffff: value too large for 4-byte field reg0",
        ),
        ("reg0", "1/", "1/: bad syntax for reg0 mask"),
        (
            "nw_proto",
            "256",
            "256: value too large for 1-byte field nw_proto",
        ),
        (
            "nw_proto",
            "6/0xf",
            "6/0xf: invalid mask for field nw_proto",
        ),
        (
            "dl_type",
            "0x800/0xff00",
            "0x800/0xff00: invalid mask for field eth_type",
        ),
        ("dl_src", "1:2:3:4:5", "1:2:3:4:5: invalid Ethernet address"),
        ("nw_src", "10.0.0", "10.0.0: invalid IP address"),
        (
            "nw_src",
            "10.0.0.0/33",
            "10.0.0.0/33: IPv4 network prefix bits not between 0 and 32, inclusive",
        ),
        ("nw_src", "10.0.0.0/x", "10.0.0.0/x: invalid IP address"),
        ("nw_src", "300.0.0.0", "300.0.0.0: invalid IP address"),
        (
            "ipv6_src",
            "::/129",
            "::/129: IPv6 network prefix bits not between 0 and 128, inclusive",
        ),
        ("ipv6_src", "1.2.3.4", "1.2.3.4: invalid IPv6 address"),
        (
            "packet_type",
            "1",
            "1: bad syntax for packet type missing '('",
        ),
        ("packet_type", "(1", ": bad syntax for packet type ns_type"),
        (
            "packet_type",
            "(1,2",
            "2: bad syntax for packet type missing ')'",
        ),
        (
            "packet_type",
            "(70000,1)",
            "70000,1): bad syntax for packet type ns",
        ),
        (
            "actset_output",
            "x",
            "x: port value out of range for actset_output",
        ),
        (
            "in_port",
            "nowhere",
            "nowhere: invalid or unknown port for in_port",
        ),
    ];
    for (field, text, message) in cases {
        assert_eq!(
            read(field, text),
            Err(message.to_string()),
            "{field}={text}"
        );
    }
}
