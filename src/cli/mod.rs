//! The command line: a front that parses, shows and asks, and decides nothing about data.
//!
//! [`args`] is what may be typed, [`resolve`] what it means together with the environment and the config; each verb
//! is one file that turns it into calls of the rooms below and their answers into rows or JSON. Stdout carries
//! results only; [`say`] is the one place that writes.

pub mod accuracy;
mod archives;
pub mod args;
pub mod attach;
pub mod audit;
mod billed;
pub mod copy;
#[cfg(feature = "tui")]
pub mod deck;
pub mod delete;
pub mod doctor;
pub mod engine;
pub mod events;
mod examples;
pub mod follow;
mod frees;
pub mod iam;
pub mod inspect;
pub mod job_rows;
mod jobs;
pub mod ls;
pub mod operation;
mod orphans;
pub mod outcome;
pub mod prices;
pub mod progress;
pub mod receipt;
pub mod resolve;
pub mod restore;
pub mod rows;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod say;
pub mod show_plan;
pub mod show_removal;
pub mod signals;
pub mod size;
pub mod table;
pub mod verify;

use std::ffi::OsString;

use clap::FromArgMatches as _;

use crate::error::{Error, Result};
use args::{Cli, Format, Verb};
use resolve::Resolved;

/// What a finished command says to its caller: an exit code of DESIGN §4.
pub type Code = u8;

/// Reads the command line; help and version are printed here.
///
/// # Errors
/// The exit code, when there is nothing more to do: 0 after help, 2 after a usage error.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Code> {
    let read = examples::command().try_get_matches_from(args).and_then(|typed| Cli::from_arg_matches(&typed));
    read.map_err(|error| {
        let _ = error.print();
        if error.use_stderr() { 2 } else { 0 }
    })
}

/// Runs a verb to its end. Must run inside a multi-threaded Tokio runtime.
///
/// # Errors
/// What failed, ready to be printed; its kind is the exit code.
pub async fn run(verb: Verb, resolved: &Resolved) -> Result<Code> {
    let orphans = matches!(verb, Verb::Orphans(_));
    if resolved.output == Format::Ids && !matches!(verb, Verb::Ls(_)) && !orphans {
        return Err(Error::usage("-o ids is for ls and orphans").todo("use -o table, json or csv"));
    }
    if resolved.output == Format::Html && !orphans {
        return Err(Error::usage("-o html is for orphans").todo("use -o table, json or csv"));
    }
    match verb {
        #[cfg(feature = "sandbox")]
        Verb::Sandbox(args) => sandbox::run(args, resolved).await,
        Verb::Engine(args) => engine::run(args, resolved).await,
        // Boxed: many questions are asked at once, and the compiler nests all of them.
        Verb::Doctor => Box::pin(doctor::run(resolved)).await,
        Verb::Iam(args) => iam::run(args.verb).map(|()| 0),
        Verb::Completions(args) => completions(args.shell).map(|()| 0),
        Verb::Man => man().map(|()| 0),
        Verb::Size(args) => size::run(args, resolved).await,
        Verb::Inspect(args) => inspect::run(args, resolved).await,
        Verb::Plan(args) => show_plan::run(args, resolved).await,
        Verb::Copy(args) => copy::run(args, resolved).await,
        Verb::Verify(args) => verify::run(args, resolved).await,
        // Boxed: a removal may make archives, and the compiler nests all of that.
        Verb::Delete(args) => Box::pin(delete::run(args, resolved)).await,
        Verb::Restore(args) => restore::run(args, resolved).await,
        Verb::Audit(args) => audit::run(args, resolved).await,
        Verb::Jobs(args) => jobs::run(args, resolved).await,
        Verb::Prices(args) => prices::run(args, resolved).await,
        Verb::Accuracy => accuracy::run(resolved).await,
        Verb::Ls(args) => ls::run(args, resolved).await,
        Verb::Orphans(args) => orphans::run(args, resolved).await,
    }
}

/// The completion script: flags, verbs and their values; never asks AWS.
fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut examples::command(), "floe", &mut script);
    say::document(&script)
}

/// The manual: floe itself, then each verb.
fn man() -> Result<()> {
    let mut page = Vec::new();
    let failed = |e: std::io::Error| Error::io("could not make the manual", &e);
    let mut command = examples::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(failed)?;
    for verb in command.get_subcommands() {
        let name = format!("floe {}", verb.get_name());
        let has_examples = verb.get_after_help().is_some();
        let verb = clap_mangen::Man::new(verb.clone().display_name(&name).bin_name(&name));
        page.extend_from_slice(format!(".SH \"{}\"\n", name.to_uppercase()).as_bytes());
        let mut part = Vec::new();
        verb.render_synopsis_section(&mut part).map_err(failed)?;
        verb.render_description_section(&mut part).map_err(failed)?;
        verb.render_options_section(&mut part).map_err(failed)?;
        if has_examples {
            verb.render_extra_section(&mut part).map_err(failed)?;
        }
        let text = String::from_utf8_lossy(&part).replace(".SH EXTRA", ".SH EXAMPLES").replace(".SH ", ".SS ");
        page.extend_from_slice(text.as_bytes());
    }
    say::document(&page)
}

/// Opens the deck.
///
/// # Errors
/// There is no terminal, or the deck was not built in.
pub async fn deck(resolved: &Resolved) -> Result<Code> {
    #[cfg(feature = "tui")]
    return deck::run(resolved).await;
    #[cfg(not(feature = "tui"))]
    {
        let _ = resolved;
        Err(Error::usage("this floe was built without the deck").todo("use a verb: floe --help lists them"))
    }
}
