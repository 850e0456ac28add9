//! What the deck asks the world for removals: the plan, the run, what the bin gives back, the audit log.
//!
//! Each is one future that ends in a message. Only [`remove`] changes what exists, and only by the grant that the
//! deletion screen gave; everything about it is decided by `plan/` and `engine/`.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::msg::Msg;
use super::screen::removal::Comparison;
use crate::address::Place;
use crate::aws::Aws;
use crate::engine::Client;
use crate::engine::daemon::user;
use crate::engine::removal::{self, Judge, Remover};
use crate::error::{Error, Result};
use crate::grant::Grant;
use crate::inventory::verdict::Policy;
use crate::plan::Machine;
use crate::plan::removal::{self as plans, RemovalPlan, Target, Wishes};
use crate::store::StateDir;
use crate::store::audit::Audit;

/// What a plan is made of.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The things.
    pub targets: Vec<(Place, Target)>,
    /// What is asked for beside.
    pub wishes: Wishes,
    /// Items that one plan removes at most.
    pub limit: u32,
    /// What the config keeps.
    pub policy: Arc<Policy>,
}

/// Makes a plan, with what `X` has counted of its snapshots where their lists still say the same. Nothing is changed.
pub(super) async fn plan(aws: Aws, state: StateDir, number: u64, wanted: Wanted, machine: Machine) -> Msg {
    let Wanted { targets, wishes, limit, policy } = wanted;
    let judge = Judge { policy, state: state.clone() };
    let made = async {
        let plan = plans::make(&aws, &targets, wishes, limit, user(), &judge, &machine).await?;
        plans::remembered(&aws, plan, &state).await
    };
    let made = made.await;
    Msg::RemovalPlanned(number, Box::new(made))
}

/// Carries a plan out; each item is told as it ends.
pub(super) async fn remove(
    world: (Aws, StateDir, Arc<Policy>),
    number: u64,
    plan: RemovalPlan,
    grant: Grant,
    (engine, stop): (Option<Client>, CancellationToken),
    answers: mpsc::Sender<Msg>,
) -> Msg {
    let (aws, state, policy) = world;
    let remover = Remover {
        aws,
        state: state.clone(),
        judge: Judge { policy, state: state.clone() },
        engine,
        profile: None,
        stop,
    };
    let (tell, mut told) = mpsc::unbounded_channel();
    let passing = tokio::spawn(async move {
        while let Some(one) = told.recv().await {
            if answers.send(Msg::Removing(number, one)).await.is_err() {
                return;
            }
        }
    });
    let report = remover.run(&plan, &grant, |one| drop(tell.send(one.clone()))).await;
    // Each item was told as it ended; what is left to say is why the others did not.
    let report = report.and_then(|report| report.unwritten.clone().map_or(Ok(report), Err));
    if let Err(error) = &report
        && error.kind == crate::error::Kind::Refused
    {
        // Told to the user anyway; a log that cannot be written shows itself at the next run.
        let _ = removal::refused(&state, &grant.who, &grant.short_hash(), error);
    }
    drop(tell);
    let _ = passing.await;
    Msg::Removed(number, Box::new(report))
}

/// Reads a saved plan and says what differs from it in the one on screen.
pub(super) async fn compare(path: PathBuf, plan: RemovalPlan) -> Msg {
    let name = path.display().to_string();
    let read = tokio::task::spawn_blocking(move || plans::load(&path)).await;
    let found = read.unwrap_or_else(|e| Err(Error::failed(e.to_string()))).map(|saved| Comparison {
        name,
        made: format!("made {} by {}", saved.made.strftime("%-d %b %H:%M UTC"), saved.by),
        differences: plans::compare(&saved, &plan),
    });
    Msg::PlanCompared(Box::new(found))
}

/// Tags things so that they are never orphans.
pub(super) async fn keep(aws: Aws, state: StateDir, targets: Vec<(Place, Target)>) -> Msg {
    let (value, who) = (format!("by {}", user()), format!("{} (z in the deck)", user()));
    Msg::Kept(Box::new(crate::engine::keep::keep(&aws, &state, &targets, &value, &who).await))
}

/// Brings things back from the Recycle Bin.
pub(super) async fn restore(aws: Aws, state: StateDir, targets: Vec<(Place, Target)>) -> Msg {
    let who = format!("{} (u in the deck)", user());
    Msg::Restored(Box::new(removal::restore(&aws, &state, &targets, &who).await))
}

/// Reads the latest lines of the audit log.
pub(super) async fn audit(state: StateDir) -> Msg {
    let read = tokio::task::spawn_blocking(move || latest(&Audit::of(&state))).await;
    Msg::Audit(Box::new(read.unwrap_or_else(|e| Err(Error::failed(e.to_string())))))
}

/// Lines that the deck keeps; `floe audit` shows all.
const KEPT: usize = 2_000;

fn latest(audit: &Audit) -> Result<crate::store::audit::Told> {
    let mut told = audit.read(|_| true)?;
    let surplus = told.entries.len().saturating_sub(KEPT);
    told.entries.drain(..surplus);
    Ok(told)
}
