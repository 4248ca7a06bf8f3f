//! What passes the guard, and what does not.
