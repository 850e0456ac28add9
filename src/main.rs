//! floe, the program: parse, resolve, run the deck or a verb, and leave with the exit code.

use std::process::ExitCode;

use floe::cli::{self, resolve::Resolved, say};
use floe::error::{Error, Result};

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(code) => return ExitCode::from(code),
    };
    // The deck has the whole screen: what would be said there stays in its own list.
    if command.verb.is_some() {
        log_to_stderr(command.everywhere.verbose);
    }
    let code = run(command).unwrap_or_else(|error| {
        say::error(&error);
        error.kind.exit_code()
    });
    ExitCode::from(code)
}

fn run(command: cli::args::Cli) -> Result<u8> {
    let resolved = Resolved::new(&command.everywhere, |name| std::env::var(name).ok())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::io("could not start the runtime", &e))?;
    let code = runtime.block_on(async {
        match command.verb {
            Some(verb) => cli::run(verb, &resolved).await,
            None => cli::deck(&resolved).await,
        }
    });
    // What still runs in the background (a served sandbox, an idle connection) must not hold the shell.
    runtime.shutdown_background();
    code
}

/// `-v` says what floe does, `-vv` every request; `FLOE_LOG` takes a filter of its own.
fn log_to_stderr(verbose: u8) {
    use tracing_subscriber::EnvFilter;
    let filter = match verbose {
        0 => std::env::var("FLOE_LOG").unwrap_or_default(),
        1 => "floe=debug".to_owned(),
        _ => "floe=trace,aws_config=debug,hyper=info".to_owned(),
    };
    if filter.is_empty() {
        return;
    }
    let wanted = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new("floe=debug"));
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(wanted).init();
}
