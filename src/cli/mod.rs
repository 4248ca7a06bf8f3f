//! The command line: arguments in, call, print. One file for each subcommand.

mod ban;
mod check;
mod common;
mod demo;
mod desk;
mod explain;
mod hash;
mod healthcheck;
mod import;
mod key;
mod migrate;
mod probe;
mod serve;
mod session;
mod terminal;
mod times;
mod token;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use common::Failure;

/// An authentication gateway: TLS, login, roles and identity headers in front of any HTTP backend.
#[derive(Debug, Parser)]
#[command(name = "doorward", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where the configuration and the data are.
#[derive(Clone, Debug, Default, Args)]
pub struct Places {
    /// A configuration file (TOML); repeatable, later files override earlier ones [default: config/doorward.toml, where it exists]
    #[arg(long, value_name = "PATH", global = true)]
    config: Vec<PathBuf>,
    /// The folder for the gateway's own files, instead of the configured one
    #[arg(long, value_name = "PATH", global = true)]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway in front of a sample backend, with users, curl lines and nothing to set up
    Demo(demo::Options),
    /// Run the gateway as configured (also without a command)
    Serve,
    /// Check the configuration: every problem and warning with file, line and key; starts nothing
    Check,
    /// Explain what becomes of a request, and why; decide a recorded log again
    Explain(explain::Options),
    /// Play attacks from outside through your own chain of proxies against an echo backend, and say what came through
    Probe(probe::Options),
    /// Bring the schema of the store up to date
    Migrate,
    /// Hash a password from standard input, as the users table stores it
    Hash,
    /// Users
    #[command(subcommand)]
    User(user::Command),
    /// Sessions: who is logged in
    #[command(subcommand)]
    Session(session::Command),
    /// Token signing keys
    #[command(subcommand)]
    Key(key::Command),
    /// Tokens
    #[command(subcommand)]
    Token(token::Command),
    /// Ask the running gateway whether it lives (for containers)
    #[command(hide = true)]
    Healthcheck,
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let places = &arguments.places;
    let result = match arguments.command.unwrap_or(Command::Serve) {
        Command::Demo(options) => demo::run(places, &options),
        Command::Serve => serve::run(places),
        Command::Check => check::run(places),
        Command::Explain(options) => match explain::run(places, &options) {
            Ok(code) => return code,
            Err(failure) => Err(failure),
        },
        Command::Probe(options) => probe::run(places, &options),
        Command::Migrate => migrate::run(places),
        Command::Hash => hash::run(places),
        Command::User(command) => user::run(places, command),
        Command::Session(command) => session::run(places, command),
        Command::Key(command) => key::run(places, &command),
        Command::Token(command) => token::run(places, command),
        Command::Healthcheck => healthcheck::run(places),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told(code)) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}
