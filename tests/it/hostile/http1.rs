//! The same over HTTP/1.1.
