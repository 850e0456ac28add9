//! `floe delete`: plan, show, and, confirmed by its count or its hash, carry out exactly that plan.
//!
//! Without a terminal nothing is removed but by a plan's hash: `--out`, `--review`, `--confirm`. What is refused is
//! written to the audit log as well.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::args::{Delete, Format};
use super::progress::Jobs;
use super::resolve::{Resolved, World};
use super::signals::Ends;
use super::{Code, attach, frees, say, show_removal, table};
use crate::address::Place;
use crate::engine::daemon::user;
use crate::engine::removal::{self, Judge, Remover, Report};
use crate::error::{Error, Result};
use crate::inventory::verdict::Policy;
use crate::plan::count::Counting;
use crate::plan::frees::Kept;
use crate::plan::removal::{self as plans, RemovalPlan, Sets, Target, Wishes};
use crate::units::grouped;

/// Bytes of a list of addresses at most.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Does what was asked.
///
/// # Errors
/// As the plan's making; refused (exit 5) where it may not be carried out or nobody can answer.
pub async fn run(args: Delete, resolved: &Resolved) -> Result<Code> {
    let world = resolved.open().await?;
    let plan = match &args.plan {
        Some(path) => plans::load(path)?,
        None => counted(make(&args, &world, resolved).await?, args.frees, &world, resolved).await?,
    };
    if let Some(other) = &args.compare {
        return show_removal::differences(&plans::load(other)?, &plan, resolved);
    }
    let hash = plan.hash()?;
    let file = args.plan.as_deref().or(args.out.as_deref());
    if let Some(path) = &args.out {
        plans::save(&plan, path)?;
    }
    match &args.confirm {
        Some(wanted) => confirmed(wanted, &hash, plan, &world, resolved).await,
        None if args.review || args.dry_run || args.out.is_some() || args.plan.is_some() => {
            show_removal::plan(&plan, file, resolved)?;
            Ok(0)
        }
        None => asked(plan, &world, resolved).await,
    }
}

/// The plan of the addresses.
async fn make(args: &Delete, world: &World, resolved: &Resolved) -> Result<RemovalPlan> {
    let mut targets: Vec<(Place, Target)> = Vec::new();
    for word in &args.addresses {
        if word == "-" {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(MOST_BYTES).read_to_string(&mut text);
            read.map_err(|e| Error::io("could not read addresses from stdin", &e))?;
            let words = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
            for word in words.filter(|word| !word.is_empty()) {
                targets.push(Target::at(word)?);
            }
        } else {
            targets.push(Target::at(word)?);
        }
    }
    for (place, _) in &targets {
        resolved.session(world, place).await?;
    }
    let wishes = Wishes {
        archive_to: args.archive_to.clone(),
        archive_only: Vec::new(),
        snapshot_first: args.snapshot_first,
        with_snapshots: args.with_snapshots,
        accept_unknown: args.accept_unknown,
    };
    let mut clamps = Vec::new();
    let limit = resolved.limits.clamp_delete(resolved.config.max_delete, &mut clamps);
    resolved.tell(&clamps);
    let machine = resolved.machine(None, None)?;
    plans::make(&world.aws, &targets, wishes, limit, user(), &judge(world, resolved), &machine).await
}

/// With what its snapshots free together: from what was counted before, or counted now when that is asked for.
async fn counted(plan: RemovalPlan, now: bool, world: &World, resolved: &Resolved) -> Result<RemovalPlan> {
    if !now {
        return plans::remembered(&world.aws, plan, &world.state).await;
    }
    let sets = Sets::of(&world.aws, &plan, Kept::of(&world.state)).await?;
    for (region, quote) in sets.quotes().await {
        resolved.say.note(&format!("{region}: asks at most {} List requests, {}", grouped(quote.lists), quote.usd));
    }
    let watch = Arc::new(Counting::default());
    let seen = Arc::clone(&watch);
    frees::shown((async move { sets.count(plan, &watch).await }, seen), resolved).await
}

/// Who judges: by the config's policy, and with what jobs of this state directory use.
fn judge(world: &World, resolved: &Resolved) -> Judge {
    Judge { policy: Arc::new(Policy::of(&resolved.config)), state: world.state.clone() }
}

/// `--confirm HASH`.
async fn confirmed(wanted: &str, hash: &str, plan: RemovalPlan, world: &World, resolved: &Resolved) -> Result<Code> {
    let short = crate::grant::short_hash(hash);
    let who = format!("{} (--confirm {wanted})", user());
    if !crate::grant::names(wanted, hash) {
        let few = if short.starts_with(&wanted.to_ascii_lowercase()) { ": that is too little of it" } else { "" };
        let error = Error::refused(format!("the plan's hash is {short}, and {wanted} was confirmed{few}"))
            .todo("look at it again: floe delete --plan FILE --review");
        return Err(written(world, &who, &short, error));
    }
    carry_out(plan, &who, world, resolved).await
}

/// At a terminal: shows the plan and has its count typed.
async fn asked(plan: RemovalPlan, world: &World, resolved: &Resolved) -> Result<Code> {
    say::lines(&show_removal::text(&plan, None, say::columns(&std::io::stderr()))?);
    let short = plan.short_hash()?;
    if plan.summary().removed == 0 {
        return Err(Error::refused("the plan would remove nothing: every item of it is skipped, with its reason"));
    }
    if !resolved.say.is_attended() {
        return Err(Error::refused("nobody can answer: there is no terminal").todo(
            "write the plan with --out plan.json, look at it with --plan plan.json --review, then --confirm its hash",
        ));
    }
    let token = plan.token();
    let question = format!("Remove them? Type `{token}`, anything else keeps everything");
    if !resolved.say.typed(&question, &token, false)? {
        resolved.say.note("Nothing was removed.");
        return Err(Error::refused("the plan was not accepted"));
    }
    carry_out(plan, &format!("{} (typed {token} for {short})", user()), world, resolved).await
}

/// Refusals are written down too; that the log cannot be written is the worse news.
fn written(world: &World, who: &str, plan: &str, error: Error) -> Error {
    match removal::refused(&world.state, who, plan, &error) {
        Ok(()) => error,
        Err(worse) => worse,
    }
}

async fn carry_out(plan: RemovalPlan, who: &str, world: &World, resolved: &Resolved) -> Result<Code> {
    let short = plan.short_hash()?;
    if let Err(error) = allowed(&plan, resolved) {
        return Err(written(world, who, &short, error));
    }
    let mut clamps = Vec::new();
    let limit = resolved.limits.clamp_delete(resolved.config.max_delete, &mut clamps);
    let grant = match plan.grant(who, crate::wall::now()) {
        Ok(grant) if grant.ids.len() <= limit as usize => grant,
        Ok(grant) => {
            let error = Error::refused(format!(
                "the plan removes {} things, and one plan removes at most {limit} here",
                grant.ids.len()
            ))
            .todo("split it, or raise max_delete in the config");
            return Err(written(world, who, &short, error));
        }
        Err(error) => return Err(written(world, who, &short, error)),
    };
    let engine = match &plan.archive {
        Some(_) => Some(attach::start(world, resolved, None, false).await?.engine),
        None => None,
    };
    let stop = CancellationToken::new();
    let remover = Remover {
        aws: world.aws.clone(),
        state: world.state.clone(),
        judge: judge(world, resolved),
        engine,
        profile: resolved.profile.clone().filter(|_| resolved.sandbox.is_none()),
        stop: stop.clone(),
    };
    let mut ends = Ends::listen()?;
    tokio::spawn(async move {
        ends.next().await;
        stop.cancel();
        say::stderr("Stopping after the present call, archives being made at once; once more ends at once.");
        ends.next().await;
        std::process::exit(i32::from(crate::error::Kind::Stopped.exit_code()));
    });
    let say = resolved.say;
    let mut archives = Jobs::new(say);
    let told = |told: &removal::Told| match told {
        removal::Told::Archiving(jobs) => jobs.0.iter().for_each(|job| archives.show(job)),
        removal::Told::Item { at, outcome } => {
            archives.end();
            let item = &plan.items[*at];
            say.note(&format!("{:<12} {}  {}", outcome.word(&item.target), item.target, outcome.text()));
        }
    };
    let report = match remover.run(&plan, &grant, told).await {
        Ok(report) => report,
        Err(error) if error.kind == crate::error::Kind::Refused => return Err(written(world, who, &short, error)),
        Err(error) => return Err(error),
    };
    print(&report, resolved)?;
    if let Some(error) = &report.unwritten {
        say::error(error);
    }
    Ok(report.exit_code())
}

/// What this machine and this session may do.
fn allowed(plan: &RemovalPlan, resolved: &Resolved) -> Result<()> {
    let read_only = resolved.read_only.or_else(|| {
        let profile = |item: &plans::Item| resolved.config.is_read_only(item.judged.origin.profile.as_ref());
        plan.removals().any(profile).then_some("the config")
    });
    if let Some(who) = read_only {
        return Err(Error::refused(format!("nothing is removed: {who} says read-only"))
            .todo("carry the plan out where it may be: it is the same on another machine"));
    }
    if resolved.sandbox.is_none() {
        plan.summary().accounts.iter().try_for_each(|account| resolved.limits.check_account(account))?;
    }
    Ok(())
}

fn print(report: &Report, resolved: &Resolved) -> Result<()> {
    let cells = |row: &removal::Row| {
        let back = match &row.outcome {
            removal::Outcome::Removed { back_until: Some(until), .. } => until.strftime("%Y-%m-%d").to_string(),
            _ => String::new(),
        };
        vec![row.word.clone(), row.id.to_string(), row.name.clone(), row.region.clone(), back, row.outcome.text()]
    };
    match resolved.output {
        Format::Json => table::json(report),
        Format::Csv => {
            table::csv(&["outcome", "id", "name", "region", "back_until", "text"], report.items.iter().map(cells))
        }
        Format::Table | Format::Ids | Format::Html => {
            let left = |head| (head, table::Side::Left);
            let columns = [left("outcome"), left("id"), left("name"), left("region"), left("back until"), left("")];
            table::print(&columns, report.items.iter().map(cells))?;
            say::stderr(&format!(
                "Plan {}: {} removed, {} skipped, {} failed{} · floe audit --filter {}",
                report.plan,
                report.removed,
                report.skipped,
                report.failed,
                if report.not_tried > 0 { format!(", {} not tried", report.not_tried) } else { String::new() },
                report.plan
            ));
            Ok(())
        }
    }
}

/// The command that carries out a plan in this file.
#[must_use]
pub fn command(file: Option<&Path>, short: &str) -> String {
    let file = file.map_or_else(|| "FILE".to_owned(), |path| path.display().to_string());
    format!("floe delete --plan {file} --confirm {short}")
}
