//! Headers of the PROXY protocol, good ones and bad ones.

use proptest::prelude::*;

use crate::wire::{Announced, ProxyHeader, fuzz_proxy_header, proxy_header};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

fn between(source: &str, destination: &str) -> Announced {
    Announced::Between {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb];

#[test]
fn good_headers_are_read_to_their_last_byte() {
    let mut v6 = vec![0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    v6.extend_from_slice(&[0; 15]);
    v6.extend_from_slice(&[1, 0x00, 0x50, 0x01, 0xbb]);
    let four = between("192.0.2.1:56324", "198.51.100.7:443");
    let with_more = [V4, &[0x04, 0x00, 0x03, 1, 2, 3], &[0xff; 300]].concat();
    let longest_unknown = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 16));
    for (bytes, announced) in [
        (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n".to_vec(), four),
        (
            b"PROXY TCP6 2001:db8::1 ::1 80 443\r\n".to_vec(),
            between("[2001:db8::1]:80", "[::1]:443"),
        ),
        (
            b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n".to_vec(),
            between(
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            ),
        ),
        (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n".to_vec(), between("0.0.0.0:0", "0.0.0.0:0")),
        (b"PROXY UNKNOWN\r\n".to_vec(), Announced::Nobody),
        (b"PROXY UNKNOWN whatever stands here\r\n".to_vec(), Announced::Nobody),
        (longest_unknown.into_bytes(), Announced::Nobody),
        (v2(0x21, 0x11, V4), four),
        (v2(0x21, 0x11, &with_more), four),
        (v2(0x21, 0x21, &v6), between("[2001:db8::1]:80", "[::1]:443")),
        (v2(0x20, 0x00, &[]), Announced::Nobody),
        (v2(0x20, 0x11, V4), Announced::Nobody),
        (v2(0x20, 0xff, &[1, 2, 3]), Announced::Nobody),
        (v2(0x21, 0x00, &[]), Announced::Nobody),
        (v2(0x21, 0x31, &[0; 216]), Announced::Nobody),
        (v2(0x21, 0x11, &[V4, &[0; 4096 - 28]].concat()), four),
    ] {
        let complete = ProxyHeader::Complete(bytes.len(), announced);
        assert_eq!(proxy_header(&bytes), complete, "{}", bytes.escape_ascii());
        let followed = [&bytes[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        assert_eq!(proxy_header(&followed), complete, "what follows is not its");
        for end in 0..bytes.len() {
            assert_eq!(proxy_header(&bytes[..end]), ProxyHeader::Partial, "{end}");
        }
        fuzz_proxy_header(&followed);
    }
}

#[test]
fn bad_headers_are_refused_as_soon_as_they_are_bad() {
    let too_long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 15));
    for bytes in [
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01".to_vec(),
        b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n".to_vec(),
        b" PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n".to_vec(),
        b"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n".to_vec(),
        b"PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r2\r\n".to_vec(),
        b"PROXY TCP4\t1.1.1.1 2.2.2.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n".to_vec(),
        b"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(),
        b"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n".to_vec(),
        b"PROXY TCP6 ::1%eth0 ::1 1 2\r\n".to_vec(),
        b"PROXY TCP6 [::1] ::1 1 2\r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 2.2.2.2  2\r\n".to_vec(),
        b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n".to_vec(),
        b"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n".to_vec(),
        b"PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n".to_vec(),
        b"PROXY UNKNOWNX\r\n".to_vec(),
        b"PROXY \r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 \xff\r\n".to_vec(),
        too_long.into_bytes(),
        [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 500]].concat(),
        b"\r\n\r\n\0\r\nQUIX\n".to_vec(),
        v2(0x11, 0x11, V4),
        v2(0x31, 0x11, V4),
        v2(0x22, 0x11, V4),
        v2(0x2f, 0x11, V4),
        v2(0x21, 0x12, V4),
        v2(0x21, 0x10, V4),
        v2(0x21, 0x41, V4),
        v2(0x21, 0x11, &V4[..11]),
        v2(0x21, 0x21, V4),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x11, &[V4, &[0; 4096 - 27]].concat()),
        v2(0x20, 0x00, &[0; 5000]),
    ] {
        let found = proxy_header(&bytes);
        assert!(
            matches!(found, ProxyHeader::Malformed(_)),
            "{found:?}: {}",
            bytes.escape_ascii()
        );
        fuzz_proxy_header(&bytes);
    }
}

/// Bytes that are nearly a header.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let text = "PROXY (TCP[46]|UNKNOWN|[A-Z]{0,4}) [0-9a-f:.]{0,20} [0-9a-f:.]{0,20} [0-9]{0,6} [0-9]{0,6}[ \r\n]{0,3}";
    let binary = (
        prop_oneof![Just(0x20_u8), Just(0x21), any::<u8>()],
        prop_oneof![Just(0x11_u8), Just(0x21), Just(0x00), any::<u8>()],
        proptest::collection::vec(any::<u8>(), 0..64),
        0_usize..80,
    );
    let binary = binary.prop_map(|(command, family, body, cut)| {
        let mut header = v2(command, family, &body);
        header.truncate(header.len().saturating_sub(cut % 8));
        header
    });
    prop_oneof![
        text.prop_map(String::into_bytes),
        binary,
        proptest::collection::vec(any::<u8>(), 0..200)
    ]
}

proptest! {
    #[test]
    fn the_fuzz_entry_holds_its_promise(bytes in nearly()) {
        fuzz_proxy_header(&bytes);
    }

    #[test]
    fn what_a_proxy_writes_is_what_is_read(four in any::<([u8; 4], [u8; 4])>(), ports in any::<(u16, u16)>()) {
        let (source, destination) = (std::net::Ipv4Addr::from(four.0), std::net::Ipv4Addr::from(four.1));
        let announced = between(&format!("{source}:{}", ports.0), &format!("{destination}:{}", ports.1));
        let text = format!("PROXY TCP4 {source} {destination} {} {}\r\n", ports.0, ports.1);
        prop_assert_eq!(proxy_header(text.as_bytes()), ProxyHeader::Complete(text.len(), announced));
        let body = [&four.0[..], &four.1, &ports.0.to_be_bytes(), &ports.1.to_be_bytes()].concat();
        prop_assert_eq!(proxy_header(&v2(0x21, 0x11, &body)), ProxyHeader::Complete(28, announced));
    }
}
