//! A removal plan as it is shown and reviewed: what would happen to each thing, whether it comes back, what it frees.

use std::path::Path;

use super::args::Format;
use super::frees::until;
use super::resolve::Resolved;
use super::table::{self, Side};
use super::{Code, delete, say};
use serde::Serialize;

use crate::error::Result;
use crate::inventory::frees::Billed;
use crate::plan::removal::{self as plans, Back, Item, RemovalPlan, Would};
use crate::units::Usd;

/// Prints a plan on stdout.
///
/// # Errors
/// Stdout cannot be written.
pub fn plan(plan: &RemovalPlan, file: Option<&Path>, resolved: &Resolved) -> Result<()> {
    match resolved.output {
        Format::Json => table::json(&serde_json::json!({
            "plan": plan.short_hash()?,
            "hash": plan.hash()?,
            "made": plan.made,
            "by": plan.by,
            "summary": plan.summary(),
            "together": plan.together,
            "items": plan.items.iter().map(|item| Shown { item, billed: item.billed(plan.made) }).collect::<Vec<_>>(),
        })),
        Format::Csv => {
            let heads = [
                "would",
                "id",
                "name",
                "region",
                "frees_bytes",
                "frees_label",
                "frees_why",
                "usd_per_month",
                "back",
                "why",
                "billed",
            ];
            let row = |item: &Item| {
                let frees = item.judged.frees;
                vec![
                    item.would.word().to_owned(),
                    item.target.to_string(),
                    item.judged.name.clone(),
                    item.judged.origin.region.to_string(),
                    frees.bytes.0.to_string(),
                    frees.label.word().to_owned(),
                    frees.why.keys(),
                    item.judged.usd_per_month.map(|usd| usd.to_string()).unwrap_or_default(),
                    item.back.text(plan.made),
                    why(item),
                    if item.would.removes() { until(&item.billed(plan.made)) } else { String::new() },
                ]
            };
            table::csv(&heads, plan.items.iter().map(row))
        }
        Format::Table | Format::Ids | Format::Html => say::result(&text(plan, file, say::columns(&std::io::stdout()))?),
    }
}

/// An item as the JSON of a plan shows it: with the day from which its removal is felt.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    item: &'a Item,
    billed: Billed,
}

/// What a row has to say: why it is skipped, why it is final, where it comes back from.
fn why(item: &Item) -> String {
    match (&item.would, &item.back) {
        (Would::Skip(skip), _) => format!("{}: {}", skip.word(), skip.text()),
        (_, Back::Final { why }) => why.clone(),
        (_, Back::Archive { to, .. }) => to.clone(),
        _ if !item.after.is_empty() => format!("after {}", item.after[0]),
        _ => String::new(),
    }
}

fn frees(item: &Item) -> String {
    if item.would.removes() { item.judged.frees.text() } else { "–".to_owned() }
}

/// The plan in words, its sentences for a terminal of so many columns; the table is as wide as it needs to be.
///
/// # Errors
/// Never in practice: a plan is plain data.
pub fn text(plan: &RemovalPlan, file: Option<&Path>, terminal: Option<usize>) -> Result<String> {
    let (sum, short) = (plan.summary(), plan.short_hash()?);
    let accounts: Vec<String> = sum.accounts.iter().map(crate::ids::AccountId::grouped).collect();
    let regions: Vec<&str> = sum.regions.iter().map(crate::ids::Region::as_str).collect();
    let mut out = vec![format!(
        "Plan {short}, made {} by {}: nothing has been removed",
        plan.made.strftime("%Y-%m-%d %H:%M UTC"),
        plan.by
    )];
    if sum.removed > 0 {
        out.push(format!(
            "Would remove {} of at most {} in {} {}: snapshots {}, volumes {}, images {}; skips {}",
            sum.removed,
            plan.limit,
            accounts.join(", "),
            regions.join(", "),
            sum.snapshots,
            sum.volumes,
            sum.images,
            sum.skipped
        ));
    } else {
        out.push(format!("Would remove nothing; skips {}", sum.skipped));
    }
    out.iter_mut().for_each(|line| *line = say::folded(line, terminal));
    out.push(String::new());
    let columns = [
        ("would", Side::Left),
        ("id", Side::Left),
        ("name", Side::Left),
        ("region", Side::Left),
        ("frees", Side::Right),
        ("back until", Side::Left),
        ("", Side::Left),
    ];
    let row = |item: &Item| {
        vec![
            item.would.word().to_owned(),
            item.target.to_string(),
            item.judged.name.clone(),
            item.judged.origin.region.to_string(),
            frees(item),
            item.back.text(plan.made),
            why(item),
        ]
    };
    out.push(table::render(&columns, plan.items.iter().map(row)));
    out.push(String::new());
    let mut below = sums(plan, &sum);
    if sum.removed > 0 {
        below.push(format!("Carry it out within 24 hours: {}", delete::command(file, &short)));
    }
    out.extend(below.iter().map(|line| say::folded(line, terminal)));
    Ok(out.join("\n"))
}

fn sums(plan: &RemovalPlan, sum: &plans::Summary) -> Vec<String> {
    let mut out = Vec::new();
    if sum.removed == 0 {
        return out;
    }
    let from = match (sum.billed_until, &sum.billed_why) {
        (Some(until), Some(why)) => format!(", the last of it from {} on: {why}", until.strftime("%-d %b %Y")),
        _ => String::new(),
    };
    let together = if plan.together.is_empty() { "" } else { " together" };
    out.push(format!(
        "Frees {}{together}, {} a month (prices of {}){from}",
        sum.frees.text(),
        sum.frees.money(),
        plan.prices_as_of
    ));
    out.extend(sum.frees.why.said().map(|why| format!("≤ {why}")));
    if sum.billed_unknown > 0 {
        out.push(format!("Of {} nobody knows until when they are billed", sum.billed_unknown));
    }
    let notes = plan.together.iter().flat_map(|one| one.notes.iter().map(|note| format!("! {}: {note}", one.region)));
    out.extend(notes);
    if sum.costs_usd > 0.0 {
        out.push(format!(
            "Costs about {} now: {} archived first, each block read back",
            Usd(sum.costs_usd),
            sum.archived
        ));
    }
    if sum.finals > 0 {
        out.push(format!("FINAL: {} cannot be brought back", sum.finals));
    }
    out
}

/// Prints what differs between two plans; none: exit 0, some: 3.
///
/// # Errors
/// Stdout cannot be written.
pub fn differences(first: &RemovalPlan, second: &RemovalPlan, resolved: &Resolved) -> Result<Code> {
    let all = plans::compare(first, second);
    let cells = all.iter().map(|d| vec![d.id.clone(), d.region.clone(), d.text.clone()]);
    match resolved.output {
        Format::Json => table::json(&all)?,
        Format::Csv => table::csv(&["id", "region", "text"], cells)?,
        Format::Table | Format::Ids | Format::Html if all.is_empty() => {
            say::result(&format!("The same: {} and {}", first.short_hash()?, second.short_hash()?))?;
        }
        Format::Table | Format::Ids | Format::Html => {
            let columns = [("id", Side::Left), ("region", Side::Left), ("what changed", Side::Left)];
            table::print(&columns, cells)?;
        }
    }
    Ok(if all.is_empty() { 0 } else { crate::error::Kind::Partial.exit_code() })
}
