//! map comes last

pub mod cli;
pub mod server;

pub mod config;

pub mod gateway;

pub mod endpoint;
pub mod proxy;

pub mod account;
pub mod admission;

pub mod authn;
pub mod throttle;

pub mod token;

pub mod keyring;
pub mod revocation;

pub mod answer;
pub mod authz;
pub mod headers;
pub mod identity;
pub mod password;
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
