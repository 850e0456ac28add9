//! `floe copy`: plan, show, confirm, run exactly that plan.

use jiff::Timestamp;

use super::args::Copy;
use super::resolve::Resolved;
use super::signals::Ends;
use super::{Code, follow, operation, say, show_plan};
use crate::engine::protocol::{Answer, Command};
use crate::engine::{Config, Engine};
use crate::error::{Error, Result};

/// What needs the background engine says so in this sentence.
pub const NEEDS_BACKGROUND: &str =
    "needs the background engine, which this version does not have: a job runs in the command that started it";

/// Plans, asks, runs.
///
/// # Errors
/// As the plan's making; refused (exit 5) where the plan cannot run or nobody can answer; else as the engine says.
pub async fn run(args: Copy, resolved: &Resolved) -> Result<Code> {
    if args.detach {
        return Err(Error::usage(format!("--detach {NEEDS_BACKGROUND}"))
            .todo("leave it out; in tmux or screen the job outlives your terminal"));
    }
    let world = resolved.open().await?;
    let (plan, machine) = operation::make(&args.operation, &world, resolved).await?;
    if !resolved.say.quiet || !args.yes {
        say::stderr(&show_plan::text(&plan));
    }
    if let Some(refusal) = plan.refusal() {
        return Err(refusal);
    }
    operation::check_writable(&plan, resolved)?;
    let hash = crate::grant::short_hash(&plan.hash()?).clone();
    let dear = plan.cost.once.value.0 > resolved.ask_above().0;
    let accepted = if dear {
        let wanted = format!("{:.0}", plan.cost.once.value.0.floor());
        let question = format!("Run plan {hash} and spend {}? Type its whole dollars ({wanted})", plan.cost.once.value);
        resolved.say.typed(&question, &wanted, args.yes)?
    } else {
        resolved.say.confirm(&format!("Run plan {hash}?"), args.yes)?
    };
    if !accepted {
        resolved.say.note("Nothing was done.");
        return Err(Error::refused("the plan was not accepted"));
    }
    let how = if args.yes { "--yes" } else { "y at the prompt" };
    let grant = plan.grant(format!("{} ({how})", user()), Timestamp::now())?;
    // From here on Ctrl-C pauses; before, it just ends.
    let ends = Ends::listen()?;
    let config =
        Config { state: world.state.clone(), aws: world.aws.clone(), budget: machine.budget, in_process: true };
    let engine = Engine::start(config).await?;
    match engine.send(Command::Run { plan: Box::new(plan), grant }).await? {
        Answer::Jobs(jobs) => follow::to_the_end(&engine, &jobs, ends, resolved).await,
        other => Err(Error::failed(format!("the engine answered {other:?} to a plan"))),
    }
}

/// Who accepts: the name that the system knows, else the number.
#[must_use]
pub fn user() -> String {
    std::env::var("USER")
        .ok()
        .filter(|user| !user.is_empty())
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
