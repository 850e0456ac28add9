//! `floe copy`: plan, show, confirm, run exactly that plan.

use super::args::Copy;
use super::resolve::Resolved;
use super::signals::Ends;
use super::{Code, attach, follow, operation, say, show_plan};
use crate::engine::logout;
use crate::engine::protocol::{Answer, Command};
use crate::error::{Error, Result};
use crate::ids::JobId;

/// Plans, asks, runs.
///
/// # Errors
/// As the plan's making; refused (exit 5) where the plan cannot run or nobody can answer; else as the engine says.
pub async fn run(args: Copy, resolved: &Resolved) -> Result<Code> {
    if args.detach && !attach::in_background(resolved, args.foreground) {
        return Err(Error::usage("--detach: a job of the sandbox lives in its command").todo(
            "leave it out; for a job that outlives its command: floe sandbox, then --endpoint-url with its address",
        ));
    }
    let world = resolved.open().await?;
    let (mut plan, _) = operation::make(&args.operation, &world, resolved).await?;
    if attach::in_background(resolved, args.foreground) {
        let running = crate::engine::holder(&world.state).map(|holder| holder.pid);
        plan.findings.extend(logout::finding(&logout::Host::here(running)));
    }
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
    let grant = plan.grant(format!("{} ({how})", crate::engine::daemon::user()), crate::wall::now())?;
    // From here on Ctrl-C pauses; before, it just ends.
    let ends = Ends::listen()?;
    let attached = attach::start(&world, resolved, args.operation.memory, args.foreground).await?;
    match attach::ask(&attached.engine, Command::Run { plan: Box::new(plan), grant }, resolved.say).await? {
        Answer::Jobs(jobs) if args.detach => detached(&jobs, resolved),
        Answer::Jobs(jobs) => follow::to_the_end(&attached, &jobs, ends, follow::Manner::Own, resolved).await,
        other => Err(Error::failed(format!("the engine answered {other:?} to a plan"))),
    }
}

/// Says which jobs were handed over: their numbers on stdout.
///
/// # Errors
/// Stdout cannot be written.
pub fn detached(jobs: &[JobId], resolved: &Resolved) -> Result<Code> {
    if resolved.output == super::args::Format::Json {
        let rows: Vec<_> = jobs.iter().map(|job| serde_json::json!({ "job": job, "state": "queued" })).collect();
        super::table::json(&rows)?;
    } else {
        jobs.iter().try_for_each(|job| say::result(&job.to_string()))?;
    }
    let numbers: Vec<String> = jobs.iter().map(ToString::to_string).collect();
    let verb = if jobs.len() == 1 { "goes" } else { "go" };
    resolved.say.note(&format!(
        "job {} {verb} on without this command · floe jobs watch {}",
        numbers.join(", "),
        numbers[0]
    ));
    Ok(0)
}
