//! The four dialects, each as its program speaks it.

use super::*;

#[test]
fn a_good_token_passes_in_every_dialect_and_is_told_in_full() {
    let gate = gate("");
    let token = gate.bearer("zoë", &["user", "admin"]);
    for asker in ASKERS {
        let answer = gate.ask(about("/app/x?a=b").with(&token).by(asker));
        assert_allowed(&answer, "zoë");
        assert_eq!(answer.header("x-user-roles"), Some("user,admin"));
        assert_eq!(answer.header("x-user-email"), Some(""));
        assert_allowed(&gate.ask(about("/admin").with(&token).by(asker)), "zoë");
        assert_allowed(&gate.ask(about("/public/x").with(&token).by(asker)), "");
        assert_allowed(&gate.ask(about("/optional").by(asker)), "");
    }
}
