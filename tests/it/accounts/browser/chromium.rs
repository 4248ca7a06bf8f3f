//! A real browser: what it makes of the cookie, the forms, the redirects and the policy of the pages.

use serde_json::json;

use crate::support::chromium::Chromium;
use crate::support::gateway::{TestGateway, password_of};
use crate::support::upstream::Upstream;

#[test]
fn it_logs_in_comes_back_and_logs_out() {
    let backend = Upstream::start();
    let gateway = TestGateway::with(&backend)
        .route("/app", "user")
        .user("alice", &["user"])
        .start();
    let base = format!("https://localhost:{}", gateway.https_address().port());
    let mut browser = Chromium::start();

    browser.open(&format!("{base}/app/page?a=1&b=%2F"));
    let login = format!("{base}/auth/login?rd=%2Fapp%2Fpage%3Fa%3D1%26b%3D%252F");
    let page = browser.lands_on(&login);
    assert!(page.contains("Log in") && page.contains("Username"), "{page}");
    // The style came, and nothing was blocked by the page's own policy.
    let width = browser.evaluate("getComputedStyle(document.querySelector('main')).maxWidth");
    assert_eq!(width, "384px");

    let fill = |password: &str| {
        format!(
            "document.querySelector('#username').value = 'alice'; document.querySelector('#password').value = {}",
            json!(password)
        )
    };
    browser.evaluate(&fill("wrong"));
    browser.click();
    let page = browser.lands_on(&format!("{base}/auth/login"));
    assert!(page.contains("incorrect"), "{page}");
    browser.evaluate(&fill(&password_of("alice")));
    browser.click();
    let wanted = format!("{base}/app/page?a=1&b=%2F");
    let page = browser.lands_on(&wanted);
    assert!(page.contains("\"alice\""), "{page}");
    assert!(
        !page.contains("doorward="),
        "the backend sees no cookie of ours: {page}"
    );
    // No script of a page sees it either.
    assert_eq!(browser.evaluate("document.cookie"), "");

    let before = backend.requests().len();
    browser.call("Page.reload", &json!({}));
    backend.wait_for(before + 1);
    let page = browser.lands_on(&wanted);
    assert!(page.contains("\"alice\""), "{page}");

    browser.open(&format!("{base}/"));
    let page = browser.lands_on(&format!("{base}/auth/"));
    assert!(page.contains("alice") && page.contains("Log out"), "{page}");
    browser.click();
    browser.lands_on(&format!("{base}/auth/login"));
    let before = backend.requests().len();
    browser.open(&wanted);
    browser.lands_on(&login);
    assert_eq!(backend.requests().len(), before);
}
