//! The ticket in a query: `?doorward_ticket=…`, for what cannot send headers (WebSocket, EventSource, downloads).

/// The parameter. It counts only literally so: no encoded spelling of it is ever looked for.
const NAME: &str = "doorward_ticket=";

/// The ticket in a query; of several, the first, which then cannot be good: a ticket with anything beside it is none.
pub fn ticket(query: &str) -> Option<&str> {
    let mut tickets = query.split('&').filter_map(|pair| pair.strip_prefix(NAME));
    let first = tickets.next()?;
    match tickets.next() {
        None => Some(first),
        Some(_) => Some(""),
    }
}

/// The query as a backend sees it; `None`: nothing is left of it. Byte for byte what it was, less the ticket.
pub fn without_ticket(query: &str) -> Option<String> {
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with(NAME)).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_found_and_taken_off() {
        for (query, found, left) in [
            ("doorward_ticket=abc", Some("abc"), None),
            ("a=1&doorward_ticket=abc&b=%26", Some("abc"), Some("a=1&b=%26")),
            ("doorward_ticket=", Some(""), None),
            ("doorward_ticket=a&doorward_ticket=b", Some(""), None),
            ("xdoorward_ticket=a", None, Some("xdoorward_ticket=a")),
            ("doorward_ticket", None, Some("doorward_ticket")),
            ("", None, Some("")),
            ("a&&b", None, Some("a&&b")),
        ] {
            assert_eq!(ticket(query), found, "{query}");
            assert_eq!(without_ticket(query).as_deref(), left, "{query}");
        }
    }
}
