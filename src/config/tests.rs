#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;

use super::*;

#[test]
fn probe() {
    let text = std::fs::read_to_string("/tmp/probe.toml").unwrap();
    match load(&Sources::from_str("probe.toml", &text)) {
        Ok(l) => { for w in &l.warnings { println!("{w}"); } println!("{:#?}", l.config); }
        Err(e) => println!("{e}"),
    }
}
