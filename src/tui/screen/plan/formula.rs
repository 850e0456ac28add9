//! How a figure was computed: the formula, its inputs, and the date of the price.

use super::Figure;
use super::parts::{figure, money_cells};
use crate::plan::choices::LISTED_ENTRY;
use crate::plan::{DESTINATION, Plan, TimePart, When, clock};
use crate::units::{BLOCK_BYTES, Bytes, grouped};

/// Title and lines of the sheet behind `i`.
#[must_use]
pub fn sheet(plan: &Plan, which: Figure) -> (String, Vec<String>) {
    match which {
        Figure::Memory => ("Memory: formula and inputs".to_owned(), memory(plan)),
        Figure::Money => (format!("Money: prices of {}", plan.cost.prices_as_of), money(plan)),
        Figure::Time => ("Time: formula and inputs".to_owned(), time(plan)),
    }
}

fn memory(plan: &Plan) -> Vec<String> {
    let choices = &plan.choices;
    let mut lines: Vec<String> = plan
        .memory
        .parts
        .iter()
        .map(|part| {
            let how = match part.name.as_str() {
                "listing pages" => format!(
                    "{} cursors × {} blocks a page × {}",
                    choices.cursors,
                    grouped(u64::from(choices.page_size)),
                    LISTED_ENTRY
                ),
                "blocks in flight" => {
                    let many = part.bytes.0 / BLOCK_BYTES;
                    format!("{} blocks at a time × {}", grouped(many), Bytes(BLOCK_BYTES))
                }
                "connections" => format!("of {} lanes at most: their read buffers", choices.lanes_max),
                "ledger cache" => "bits and digests in memory at most, whatever the size".to_owned(),
                "more destinations" => {
                    format!("{DESTINATION} for each after the first, for an archive; thrice for a source in S3")
                }
                "process" => "binary, runtime, TLS roots: measured on Linux x86-64".to_owned(),
                _ => String::new(),
            };
            format!("{:<18} {:>11}   {how}", part.name, part.bytes.to_string())
        })
        .collect();
    lines.push(format!(
        "{:<18} {:>11}   flat: it does not grow with the snapshot",
        "= at the peak",
        plan.memory.total.to_string()
    ));
    lines.push(String::new());
    if plan.memory.jobs > 1 {
        lines.push(format!("{} jobs run at once: the process is there once, the budget once", plan.memory.jobs));
    }
    lines.push(format!(
        "budget {} for what moves, {} {}",
        plan.memory.budget, plan.memory.limit_name, plan.memory.limit
    ));
    lines
        .push(format!("ebs.py: {}, by its own profile (420 bytes a block, and its share per job)", plan.memory.ebs_py));
    lines
}

fn money(plan: &Plan) -> Vec<String> {
    let cells = money_cells(&plan.cost.parts);
    let mut lines: Vec<String> = plan
        .cost
        .parts
        .iter()
        .zip(&cells.parts)
        .map(|(part, usd)| {
            let each = if part.quantity > 0.0 { part.usd.value.0 / part.quantity } else { 0.0 };
            let often = if part.monthly { " a month" } else { "" };
            let many = figure(part.quantity);
            let unit = if many == "1" { part.unit.trim_end_matches('s') } else { &part.unit };
            format!("{:<28} {many:>16} {unit:<9} × ${each:.7}  {} ${usd}{often}", part.name, part.usd.sure.glyph())
        })
        .collect();
    lines.extend(plan.cost.assumed());
    lines.push(String::new());
    lines.push(format!("once {}   ·   a month {}", plan.cost.once, plan.cost.monthly));
    lines.push(format!("where floe runs: {}; the route of every byte follows from that", plan.cost.runs_in));
    lines.push("list prices without discounts, credits or taxes".to_owned());
    lines
}

fn time(plan: &Plan) -> Vec<String> {
    let blocks: u64 = plan.items.iter().map(|item| item.source.blocks.value.0).sum();
    let choices = &plan.choices;
    let mut lines = vec![
        format!("blocks                 {:>14}", grouped(blocks)),
        format!("Get a second, at most  {:>14}   per snapshot", figure(choices.get_per_second)),
        format!("Put a second, at most  {:>14}   per destination snapshot", figure(choices.put_per_second)),
        match plan.facts.past.as_slice() {
            [] => format!(
                "lanes, at most         {:>14}   at an assumed 100 ms a request until this route is measured",
                choices.lanes_max
            ),
            past => format!(
                "lanes, at most         {:>14}   {} earlier job{} on this route tell its latency and its rates",
                choices.lanes_max,
                past.len(),
                if past.len() == 1 { "" } else { "s" }
            ),
        },
        machine(plan),
        String::new(),
    ];
    if plan.time.jobs > 1 {
        lines.extend([
            format!("jobs                   {:>14}   {} at once", grouped(plan.items.len() as u64), plan.time.jobs),
            "whoever runs has an even part of what all of them share, and of what others cannot use".to_owned(),
            String::new(),
        ]);
    }
    lines.extend([
        format!("bound by   {}", plan.time.bound_by),
        format!("at best    blocks ÷ what binds, its start and end at best  = {}", clock(plan.time.low_seconds)),
        format!("at worst   19 % more, its end; at most twice that or 5 s   = {}", clock(plan.time.high_seconds)),
    ]);
    if !plan.time.beside.is_empty() {
        lines.extend([String::new(), "beside its blocks, answers that come one after the other:".to_owned()]);
    }
    for when in [When::Before, When::After] {
        plan.time.beside.iter().filter(|part| part.when == when).for_each(|part| lines.extend(stretch(part)));
    }
    lines
}

/// What is done beside the blocks: its seconds and how they come, what is more to say of it on lines of its own.
fn stretch(part: &TimePart) -> Vec<String> {
    let when = if part.when == When::Before { "before" } else { "after" };
    let span = match part.high_seconds {
        high if high < 10.0 => format!("{:.2}–{high:.2} s", part.low_seconds),
        high => format!("{:.0}–{high:.0} s", part.low_seconds),
    };
    let mut how = part.formula.split("; ");
    let first = how.next().unwrap_or_default();
    let rest = how.map(|more| format!("{:45}{more}", ""));
    std::iter::once(format!("{when:<6} {:<23}{span:>12}   {first}", part.name)).chain(rest).collect()
}

/// What the machine carries, as far as it is known.
fn machine(plan: &Plan) -> String {
    let host = &plan.facts.host;
    let cores = match host.cores {
        0 => "cores not known".to_owned(),
        cores => format!("{cores} cores, SHA-256 at {} MiB/s each", figure(host.sha256.round())),
    };
    let network = match (host.network, &host.kind) {
        (Some(gbit), Some(kind)) => format!(" · {kind}: {gbit} Gbit/s all the time"),
        _ => String::new(),
    };
    format!("machine                {cores}{network}")
}
