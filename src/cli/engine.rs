//! `floe engine`: the engine in the foreground of this process, for a service file or a look at its log.

use std::time::Duration;

use super::args::Engine;
use super::resolve::Resolved;
use super::{Code, say};
use crate::engine::daemon::{self, Background, Door};
use crate::engine::metrics::Listening;
use crate::error::{Error, Kind, Result};
use crate::store::StateDir;

/// Serves until it is told to end.
///
/// # Errors
/// Another engine holds the state directory, or no socket can be made there.
pub async fn run(args: Engine, resolved: &Resolved) -> Result<Code> {
    if resolved.sandbox.is_some() {
        return Err(Error::usage("jobs of the sandbox live in their own command")
            .todo("for an engine against the embedded AWS: floe sandbox, then --endpoint-url with its address"));
    }
    if args.started_by_a_front {
        daemon::leave_the_terminal();
    }
    let state = once_there_is_room(resolved, async || StateDir::open(resolved.state_dir.as_deref())).await?;
    let idle = match (args.idle, args.started_by_a_front) {
        (Some(seconds), _) => Some(Duration::from_secs(seconds)),
        (None, true) => Some(daemon::IDLE),
        (None, false) => None,
    };
    if !args.started_by_a_front {
        resolved.say.note(&format!(
            "floe engine for {}; Ctrl-C ends it, its jobs go on with the next one",
            state.root().display()
        ));
    }
    let budget = resolved.machine(None, args.memory)?.budget;
    let bandwidth = args.bandwidth.or_else(|| resolved.config.bandwidth.clone());
    let metrics = match args.metrics {
        None => None,
        Some(address) => {
            let listening = Listening::on(address).await?;
            resolved.say.note(&format!("figures for Prometheus: http://{}/metrics", listening.address()));
            if !listening.address().ip().is_loopback() {
                resolved.say.warn(
                    "whoever reaches that address reads the names of what is copied; nobody is asked who they are",
                );
            }
            Some(listening)
        }
    };
    let background =
        Background { state, budget, bandwidth, idle, on_event: resolved.config.on_event.clone(), config: None };
    let door = once_there_is_room(resolved, async || Door::open(&background.state)).await;
    let served = match door {
        Ok(door) => daemon::serve(background, door, metrics).await,
        Err(error) => Err(error),
    };
    match served {
        // Of two that were started at once the second has nothing to do.
        Err(error) if args.started_by_a_front && error.kind == Kind::Refused => {
            say::stderr(&error.what);
            Ok(0)
        }
        outcome => outcome.map(|()| 0),
    }
}

/// How often an engine that finds no room on its disk looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Does what may find a full disk until there is room, and says once that it waits.
pub(super) async fn once_there_is_room<T>(resolved: &Resolved, open: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut said = false;
    loop {
        match open().await {
            Err(error) if error.is_full_disk() => {
                if !std::mem::replace(&mut said, true) {
                    resolved.say.warn(&format!("waiting for room: {error}"));
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            opened => return opened,
        }
    }
}
