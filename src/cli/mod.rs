//! The command line: arguments in, call, print. One file for each subcommand.

mod common;
mod serve;

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
    /// Run the gateway as configured (also without a command)
    Serve,
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let places = &arguments.places;
    let result = match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(places),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}
