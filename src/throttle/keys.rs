//! What failures are counted under: digests, so that the table of counters holds no names (people type passwords into the
//! wrong field) and no addresses, and every key has one length.

use std::net::{IpAddr, Ipv6Addr};

use aws_lc_rs::digest::{Context, SHA256};

use crate::store::name_key;

/// SHA-256 of the kind and the value.
pub(super) type Key = [u8; 32];

/// The key of an account. `Alice`, `alice ` and the NFKC forms of it share one, or each spelling would bring new guesses.
pub(super) fn account(name: &str) -> Key {
    digest(b"account", name_key(name).as_bytes())
}

/// The key of an address. Whoever has one IPv6 address has its whole /64 (RFC 6177), so that counts as one.
pub(super) fn address(client: IpAddr) -> Key {
    match client.to_canonical() {
        IpAddr::V4(address) => digest(b"address", &address.octets()),
        IpAddr::V6(address) => {
            let network = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
            digest(b"address", &network.octets())
        }
    }
}

fn digest(kind: &[u8], value: &[u8]) -> Key {
    let mut context = Context::new(&SHA256);
    context.update(kind);
    context.update(&[0]);
    context.update(value);
    let mut key = [0; 32];
    key.iter_mut()
        .zip(context.finish().as_ref())
        .for_each(|(to, from)| *to = *from);
    key
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn spellings_of_one_name_share_a_key() {
        for other in ["Alice", "alice ", "\tALICE", "ａｌｉｃｅ"] {
            assert_eq!(account(other), account("alice"), "{other:?}");
        }
        assert_ne!(account("alice"), account("alicf"));
        assert_ne!(account(""), account("alice"));
    }

    #[test]
    fn an_ipv6_network_and_a_mapped_address_count_as_one() {
        let key = |text: &str| address(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
