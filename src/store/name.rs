//! The key under which two names count as one.

use unicode_normalization::UnicodeNormalization as _;

/// Trimmed, NFKC, case-folded. No two users that the gateway makes share a key, so nobody can register as `Alice ` or
/// as `ＡＬＩＣＥ` beside `alice`.
pub fn name_key(name: &str) -> String {
    // Upper case first: it maps ß and ſ, ς and ı to letters whose lower case is shared with their look-alikes, which is
    // what full case folding does. Folding can leave the normal form, so normalise again.
    let folded: String = name
        .trim()
        .nfkc()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect();
    let normal: String = folded.nfkc().collect();
    normal.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::name_key;

    #[test]
    fn names_that_look_alike_share_a_key() {
        for (left, right) in [
            ("alice", " Alice\t"),
            ("alice", "ＡＬＩＣＥ"),
            ("straße", "STRASSE"),
            ("οδυσσεύς", "ΟΔΥΣΣΕΎΣ"),
            ("é", "e\u{301}"),
            ("ſam", "Sam"),
        ] {
            assert_eq!(name_key(left), name_key(right), "{left:?} and {right:?}");
        }
        assert_ne!(name_key("alice"), name_key("al ice"));
        assert_eq!(name_key(" \u{3000}"), "");
    }

    #[test]
    fn a_key_is_its_own_key() {
        for name in ["İstanbul", "ﬃ", "ǅ", "\u{345}α", "ΐ"] {
            let key = name_key(name);
            assert_eq!(name_key(&key), key, "{name:?}");
        }
    }
}
