//! Doorward stands in front of HTTP backends that know nothing about users. It speaks TLS, keeps accounts, takes logins,
//! issues and verifies tokens, decides about every request by its routes, and tells the backend who is asking in headers that
//! no client can forge. One binary, one configuration file, SQLite or PostgreSQL.
//!
//! This page is the map of the house. Run `doorward demo` to see the house in use.
//!
//! # The way of a request
//!
//! ```text
//! server/acceptor   accepts within the limits, hands the socket to the worker with the least work
//! server/worker     one thread for each core: TLS, then HTTP/2, or HTTP/1.1 behind the strict scanner of `wire`
//! gateway           Gateway::handle(request, connection) -> response            <- the function to read first
//!   1 snapshot      the configuration that this request sees, whatever is reloaded meanwhile
//!   2 target        the canonical host and path, and every other reading a backend might make of them      (route)
//!   3 client        address and scheme, believed through trusted proxies only
//!   4 headers       hop-by-hop fields and look-alikes of our own dropped, credentials kept aside        (headers)
//!   5 admission     admit(question) -> Permit or Refusal: the one place that decides, for routes and our own URLs
//!                     which route (route), too many? (rate), who is it (authn -> token, revocation), may they (authz)
//!   6 endpoint      our own URLs, if the permit leads there
//!     proxy         or the upstream: identity headers in, request out, response back; a tunnel where it switches protocols
//!   7 one exit      every refusal and failure becomes a Problem, then a response (answer); one log line, one count
//! ```
//!
//! Three properties hold by construction. *One function decides*: nothing judges a request a second time elsewhere. *What was not
//! admitted cannot be forwarded*: [`proxy`] wants a [`admission::Permit`], and only admission makes one; a public route gives
//! a permit too, for an anonymous principal. *The path that was checked is the path that is sent*, byte for byte.
//!
//! # Threads
//!
//! Workers carry connections and decide from memory; they never wait for a store. The [`office`] is the runtime for whatever waits:
//! store, admin address, reload, change feed. Passwords are hashed on a few threads of lower priority. What workers must
//! know (snapshot, keys, ended sessions and roles in force) is published to them; [`server`]'s reader of the change feed
//! brings what other replicas, commands and plain SQL did to the store within a second.
//!
//! # Layers
//!
//! A module uses only what stands below it in this file; the modules of one group do not see each other. A test reads the
//! sources and fails where that is broken.
//!
//! ```text
//! 10 cli                  one file for each command: arguments in, call, print
//!  9 server               threads and their lives: start, reload, drain, the change feed
//!  8 config               files and environment -> the settings that the parts own, all problems at once
//!  7 gateway              the way of a request, and nothing else
//!  6 endpoint  proxy      the two places an admitted request can go
//!  5 explain              decision, header plan and upstream as data, text and JSON; policy tests; recorded decisions again
//!  4 admission account    decisions about a request | what people and administrators do with accounts
//!  3 authn     throttle   credential -> principal | failed logins
//!  2c token               our tokens and other issuers': made, verified, remembered
//!  2b revocation keyring  who is out, which roles are in force | the keys that sign and verify
//!     mail                what mails say and how they get to a server
//!     fetch               documents that others publish, such as the keys of other issuers
//!  2a route authz identity headers rate password store upstream wire answer      each alone
//!  1c registry tls        live exchanges and their deadlines | certificates, TLS in and out
//!  1b office              the runtime for everything that waits
//!  1a telemetry           log and metrics
//!  0b problem             what went wrong: public text and private cause
//!  0a clock codes net principal secret
//! ```
//!
//! Each part owns a `Settings` type that holds only valid values. [`config`] parses into them, and no part imports `config`.
//!
//! # Glossary
//!
//! The words are those of the standards. **client**: who calls us; **gateway**: us; **upstream**: a named group of servers we
//! forward to, **peer**: one of them; **endpoint**: a URL we answer ourselves; **route**: a host, path and methods with a rule.
//! **credential**: presented and not verified yet; **principal**: verified, or anonymous; **bearer token**, **challenge** (RFC
//! 6750, RFC 9110 section 11); **access token**, **refresh token** (RFC 6749); **issuer, subject, audience** (RFC 7519); **session**:
//! one login and the family of refresh tokens that came from it. **authn** is authentication, **authz** is authorization,
//! plain "auth" is neither. **rule**: what a route asks; **permit, refusal**: the two answers of admission. **identity header**: how
//! a backend learns the principal. **problem**: a refusal or failure as RFC 9457 has it. **reading**: what some backend might make
//! of a target. **snapshot**: the configuration in force, as one value. **grant**: the gateway's own admin role, given by command
//! only and kept apart from the roles column.

pub mod cli;

pub mod server;

pub mod config;

pub mod gateway;

pub mod endpoint;
pub mod proxy;

pub mod explain;

pub mod account;
pub mod admission;

pub mod authn;
pub mod throttle;

pub mod session;
pub mod token;

pub mod fetch;
pub mod keyring;
pub mod mail;
pub mod revocation;

pub mod answer;
pub mod authz;
pub mod headers;
pub mod identity;
pub mod password;
pub mod rate;
pub mod route;
pub mod store;
pub mod upstream;
pub mod wire;

pub mod registry;
pub mod tls;

pub mod office;

pub mod telemetry;

pub mod problem;

pub mod clock;
pub mod codes;
pub mod net;
pub mod principal;
pub mod secret;
