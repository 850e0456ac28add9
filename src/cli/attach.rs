//! Which engine a command speaks to: the one in a process of its own, or one in this process.
//!
//! Jobs of real AWS live in the background engine, which is started on demand and outlives the command;
//! `--foreground` and the sandbox keep the engine, and with it the job, in this process.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::engine::once_there_is_room;
use super::resolve::{Resolved, World};
use super::say::{self, Say};
use crate::engine::daemon::{self, Background};
use crate::engine::protocol::{Answer, Command};
use crate::engine::{Client, Config, Contact, Engine, Silence, what_ends_it};
use crate::error::{Error, Result};
use crate::store::StateDir;
use crate::units::Bytes;

/// How long a command waits for an engine that says nothing: then whoever called it is told, and may do something.
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine, and whether it outlives this command.
#[derive(Debug)]
pub struct Attached {
    /// The connection.
    pub engine: Client,
    /// Whether the engine lives in a process of its own.
    pub background: bool,
    /// Where its jobs are.
    pub state: StateDir,
}

/// Whether a command's job lives in the background engine.
#[must_use]
pub const fn in_background(resolved: &Resolved, foreground: bool) -> bool {
    resolved.sandbox.is_none() && !foreground
}

/// The engine for a job: found, started, or opened in this process.
///
/// # Errors
/// As [`daemon::find_or_start`] and [`Engine::start`].
pub async fn start(world: &World, resolved: &Resolved, memory: Option<Bytes>, foreground: bool) -> Result<Attached> {
    let budget = resolved.machine(None, memory)?.budget;
    let (state, aws) = (world.state.clone(), world.aws.clone());
    let background = in_background(resolved, foreground);
    let engine = if background {
        let config = Background {
            state,
            budget,
            bandwidth: None,
            idle: Some(daemon::IDLE),
            on_event: None,
            config: resolved.config_file.clone(),
        };
        daemon::find_or_start(&config, &daemon::this_front(), Some(aws)).await?
    } else {
        daemon::retire_idle(&state).await;
        let open = async || {
            let (state, aws) = (state.clone(), aws.clone());
            Engine::start(Config { state, aws, budget, bandwidth: resolved.config.bandwidth.clone() }).await
        };
        once_there_is_room(resolved, open).await?
    };
    Ok(Attached { engine, background, state: world.state.clone() })
}

/// The background engine, if one runs.
///
/// # Errors
/// As [`daemon::find`].
pub async fn running(world: &World) -> Result<Option<Attached>> {
    let found = daemon::find(&world.state, &daemon::this_front(), Some(world.aws.clone())).await?;
    Ok(found.map(|engine| Attached { engine, background: true, state: world.state.clone() }))
}

/// Sends a command and waits for what came of it; says so when the engine does not answer.
///
/// # Errors
/// As [`Client::send`]; also when the engine says nothing for a minute: what it was asked for may still come.
pub async fn ask(engine: &Client, command: Command, say: Say) -> Result<Answer> {
    let wish = command.wish();
    let mut contact = engine.contact();
    let sent = engine.send(command);
    tokio::pin!(sent);
    let mut warned = false;
    loop {
        let silence = match *contact.borrow_and_update() {
            Contact::Silent(silence) => Some(silence),
            Contact::Answers | Contact::Gone { .. } => None,
        };
        if let Some(silence) = silence {
            if silence.lasts(Instant::now()) >= PATIENCE {
                return Err(not_answered(&silence, &wish));
            }
            if !warned {
                say.warn(&format!("{}; it was asked {wish}", silence.said(Instant::now())));
                say::stderr(&format!("  → {}", what_ends_it(silence.pid)));
                warned = true;
            }
        }
        let patience = silence.map_or_else(Instant::now, |silence| silence.since + PATIENCE);
        tokio::select! {
            biased;
            answer = &mut sent => return answer,
            Ok(()) = contact.changed() => {}
            () = sleep_until(patience), if silence.is_some() => {}
        }
    }
}

fn not_answered(silence: &Silence, wish: &str) -> Error {
    let said = silence.said(Instant::now());
    Error::failed(format!("{said}: it was asked {wish}, and may do so when it goes on")).todo(what_ends_it(silence.pid))
}
