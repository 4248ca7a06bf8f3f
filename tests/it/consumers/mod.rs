//! The examples: every consumer as its folder in `examples/` configures it, as a real program, with a real Doorward and a
//! real backend; one list of cases for all of them.

mod attacks;
mod browser;
mod caddy;
mod cases;
mod drift;
mod envoy;
mod haproxy;
mod labels;
mod nginx;
mod people;
mod probed;
mod readme;
mod received;
mod shared;
mod traefik;
mod typed;
mod yaml;

use shared::Example;

/// The same with `examples/several-hosts.toml`.
fn across_hosts(example: Example) {
    people::across_hosts(&example.start_with(&["several-hosts.toml"]));
}
