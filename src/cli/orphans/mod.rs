//! `floe orphans`: verdicts with their evidence, as a table, JSON, CSV, bare ids, or a page to hand on.
//!
//! Rows are judged as they are printed, so a long list costs no memory of its own. A region that fails, or a question
//! that AWS refused, is a line on stderr and the exit code 3: what is printed then is true, and not all there is.

mod html;
mod row;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use self::row::JudgedRow;
use super::args::{Format, Orphans};
use super::progress::Line;
use super::resolve::{Resolved, World};
use super::{Code, say, table};
use crate::address::Place;
use crate::engine;
use crate::error::{Error, Kind, Result};
use crate::inventory::relations::{Anew, Ask, Depth, Region, Told, Update, survey};
use crate::inventory::verdict::{Doubt, Policy, Thing, Verdict, View, doubts};
use crate::inventory::{Filter, Regions};
use crate::units::grouped;

/// What is shown where no filter is given: what could be cleared, and what nobody knows.
const DEFAULT: &str = "verdict:orphan|unknown";

/// Judges and prints.
///
/// # Errors
/// Usage for an address or a filter that cannot be; the region's own error when none answered.
pub async fn run(args: Orphans, resolved: &Resolved) -> Result<Code> {
    let filter = Filter::parse(args.filter.as_deref().unwrap_or(DEFAULT), crate::wall::now())?;
    let (place, id) = place(&args)?;
    let world = resolved.open().await?;
    let session = resolved.session(&world, &place).await?;
    resolved.limits.check_account(session.account())?;
    let policy = Policy::of(&resolved.config);
    let ask = Ask {
        profiles: vec![session.profile().cloned()],
        regions: if args.all_regions { Regions::All } else { Regions::Only(vec![session.region().clone()]) },
        anew: if args.fresh { Anew::All } else { Anew::Nothing },
        depth: Depth::Single,
        policy: policy.clone(),
        jobs: Told::of(engine::uses(&world.state)),
    };
    let found = match look(&world, ask, resolved).await {
        Ok(found) => found,
        Err(error) => return Err(world.explain(&place, error).await),
    };
    let report = Report {
        regions: &found.regions,
        policy: &policy,
        filter: &filter,
        id: id.as_deref(),
        now: crate::wall::now(),
    };
    let refused = tell(&report, resolved);
    report.print(resolved.output)?;
    if args.filter.is_none() && resolved.output == Format::Table {
        report.rest(resolved);
    }
    Ok(if found.failed || refused { Kind::Partial.exit_code() } else { 0 })
}

fn place(args: &Orphans) -> Result<(Place, Option<String>)> {
    super::ls::place(args.address.as_deref(), args.all_regions, |other| {
        Error::usage(format!("`{other}` is no place to look for orphans"))
            .todo("write [PROFILE@]REGION:, or [PROFILE@][REGION:]snap-…; a volume is found with --filter vol-…")
    })
}

/// What a survey came to.
struct Found {
    regions: Vec<Arc<Region>>,
    failed: bool,
}

async fn look(world: &World, ask: Ask, resolved: &Resolved) -> Result<Found> {
    let mut updates = survey(&world.aws, ask, Some(&world.state));
    let mut line = Line::new(resolved.say);
    let (mut found, mut failures) = (Found { regions: Vec::new(), failed: false }, Vec::new());
    let mut of_all = 0;
    while let Some(update) = updates.recv().await {
        match update {
            Update::Regions(count) => of_all = count,
            Update::Bulk(_) => {}
            Update::Asking { origin, done, of } => {
                let (done, of) = (grouped(done as u64), grouped(of as u64));
                line.show(&format!("{}: sharing and references, {done} of {of} asked", origin.region));
            }
            Update::Done(region) => found.regions.push(region),
            Update::Failed { origin, error, denied } => {
                found.failed |= !denied;
                failures.push((origin, error));
            }
            Update::ProfileFailed(_, error) => return Err(error),
            Update::Finished => break,
        }
        line.show(&format!("judging: {} of {of_all} regions done", found.regions.len()));
    }
    line.clear();
    if found.regions.is_empty() && failures.len() == 1 {
        return Err(failures.remove(0).1);
    }
    for (origin, error) in &failures {
        resolved.say.warn(&format!("{}: {error}", origin.region));
    }
    match failures.pop() {
        Some((_, error)) if found.regions.is_empty() => Err(error),
        _ => {
            // The order does not depend on which region answered first.
            found.regions.sort_by(|a, b| a.facts.origin.region.cmp(&b.facts.origin.region));
            Ok(found)
        }
    }
}

/// Says what could not be answered; answers whether AWS refused anything.
fn tell(report: &Report<'_>, resolved: &Resolved) -> bool {
    let mut refused = false;
    for region in report.regions {
        for error in region.missing() {
            refused = true;
            resolved.say.warn(&format!("{}: {error}", region.facts.origin.region));
        }
    }
    for doubt in report.doubts() {
        if doubt.actions.is_empty() {
            resolved.say.note(&doubt.to_string());
        } else {
            refused = true;
            resolved.say.warn(&format!("{doubt} `floe iam orphans` prints what it needs"));
        }
    }
    refused
}

/// All that is to be printed.
pub(super) struct Report<'a> {
    regions: &'a [Arc<Region>],
    policy: &'a Policy,
    filter: &'a Filter,
    id: Option<&'a str>,
    now: Timestamp,
}

impl<'a> Report<'a> {
    fn views(&self) -> impl Iterator<Item = View<'a>> + use<'a> {
        let (policy, now) = (self.policy, self.now);
        self.regions.iter().map(move |region| View { region, policy, now })
    }

    fn doubts(&self) -> Vec<Doubt> {
        self.views().flat_map(|view| doubts(&view)).collect()
    }

    /// Those that pass the filter, oldest first within a region and kind, judged one at a time.
    fn rows(&self) -> impl Iterator<Item = JudgedRow<'a>> + '_ {
        self.views().flat_map(move |view| {
            let wanted = |thing: &Thing<'a>| self.id.is_none_or(|id| thing.id() == id);
            let mut things: Vec<Thing<'a>> = view.things().filter(wanted).collect();
            things.sort_by_key(|thing| (thing.subject(), row::born(*thing), thing.id()));
            let rows = things.into_iter().map(move |thing| JudgedRow::new(view, thing));
            rows.filter(|row| self.filter.matches(row))
        })
    }

    /// How many there are of each verdict, whatever is shown.
    fn counts(&self) -> BTreeMap<Verdict, usize> {
        let mut counts = BTreeMap::new();
        for view in self.views() {
            for thing in view.things() {
                *counts.entry(view.standing(thing).verdict).or_default() += 1;
            }
        }
        counts
    }

    fn print(&self, output: Format) -> Result<()> {
        match output {
            Format::Json => self.json(),
            Format::Csv => table::csv(row::HEADS, self.rows().map(|row| row.csv())),
            Format::Ids => self.rows().try_for_each(|row| say::result(&row.judged.id)),
            Format::Html => say::document(html::page(self).as_bytes()),
            Format::Table => {
                let rows: Vec<Vec<String>> = self.rows().map(|row| row.cells()).collect();
                if rows.is_empty() {
                    say::stderr("Nothing matches.");
                    return Ok(());
                }
                table::print(row::COLUMNS, rows)
            }
        }
    }

    /// One array, written row by row.
    fn json(&self) -> Result<()> {
        let (mut text, mut first) = (String::from("["), true);
        for row in self.rows() {
            if !std::mem::take(&mut first) {
                text.push(',');
            }
            text += &row.json()?;
            if text.len() > 1 << 20 {
                say::document(text.as_bytes())?;
                text.clear();
            }
        }
        text += "]\n";
        say::document(text.as_bytes())
    }

    /// What the table leaves out, where nobody asked it to.
    fn rest(&self, resolved: &Resolved) {
        let others =
            self.counts().into_iter().filter(|(verdict, _)| !matches!(verdict, Verdict::Orphan | Verdict::Unknown));
        let others: Vec<String> =
            others.map(|(verdict, count)| format!("{} {}", grouped(count as u64), verdict.word())).collect();
        if !others.is_empty() {
            resolved.say.note(&format!("Not shown: {}. --filter verdict:… shows them.", others.join(", ")));
        }
    }
}
