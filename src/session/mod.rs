//! Browsers' sessions: what stands in the cookie, and the cookie itself.
//!
//! A browser's session is a row of the same table as a family of refresh tokens. Its cookie holds a short-lived sealed
//! token of its own kind, which is judged from memory like a bearer token; only its renewal asks the store.

mod cookie;
mod sealed;
mod settings;
mod ticket;

pub use cookie::{CookieName, Found, OWN, find, fuzz};
pub use sealed::{Claims, Sealer};
pub use settings::Settings;
pub use ticket::{ticket, without_ticket};
