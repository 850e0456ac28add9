//! How a figure was computed: the formula, its inputs, and the date of the price.

use super::Figure;
use super::parts::{figure, money_cells};
use crate::ids::Region;
use crate::plan::choices::LISTED_ENTRY;
use crate::plan::{DESTINATION, Plan, TimePart, When, clock};
use crate::tui::text::{clip, width, wrap};
use crate::units::{BLOCK_BYTES, Bytes, Quantity, Usd, counted, grouped};

/// Title and lines of the sheet behind `i`, none of them wider than `room`.
#[must_use]
pub fn sheet(plan: &Plan, which: Figure, room: usize) -> (String, Vec<String>) {
    let (title, rows) = match which {
        Figure::Memory => ("Memory: formula and inputs".to_owned(), memory(plan)),
        Figure::Money => (format!("Money: prices of {}", plan.cost.prices_as_of), money(plan, room)),
        Figure::Time => ("Time: formula and inputs".to_owned(), time(plan)),
    };
    (title, rows.into_iter().flat_map(|row| row.laid(room)).collect())
}

/// A line of a sheet: what stands in columns, and the words after them, which go on below themselves.
struct Row {
    head: String,
    words: Vec<String>,
}

impl Row {
    fn new(head: impl Into<String>, words: impl Into<String>) -> Self {
        Self { head: head.into(), words: vec![words.into()] }
    }
    /// Words alone.
    fn said(words: impl Into<String>) -> Self {
        Self::new("", words)
    }

    /// Where too few columns are left beside the head, the words have lines of their own.
    fn laid(&self, room: usize) -> Vec<String> {
        const LEAST: usize = 24;
        let column = width(&self.head);
        if column > 0 && self.words.iter().all(String::is_empty) {
            return vec![clip(self.head.trim_end(), room)];
        }
        if column == 0 {
            return self.words.iter().flat_map(|said| wrap(said, room, 2)).collect();
        }
        let beside = room >= column + LEAST;
        let indent = if beside { column } else { 4 };
        let lines = self.words.iter().flat_map(|said| wrap(said, room.saturating_sub(indent), 0));
        let mut out = if beside { Vec::new() } else { vec![clip(self.head.trim_end(), room)] };
        for line in lines {
            let head = if out.is_empty() { self.head.as_str() } else { "" };
            out.push(clip(format!("{head:<indent$}{line}").trim_end(), room));
        }
        out
    }
}

fn memory(plan: &Plan) -> Vec<Row> {
    let choices = &plan.choices;
    let line = |name: &str, bytes: Bytes, how: &str| Row::new(format!("{name:<18} {:>11}   ", bytes.to_string()), how);
    let mut rows: Vec<Row> = plan
        .memory
        .parts
        .iter()
        .map(|part| {
            let how = match part.name.as_str() {
                "listing pages" => format!(
                    "{} × {} blocks a page × {}",
                    counted(choices.cursors.into(), "cursor"),
                    grouped(u64::from(choices.page_size)),
                    LISTED_ENTRY
                ),
                "blocks in flight" => {
                    let many = part.bytes.0 / BLOCK_BYTES;
                    format!("{} blocks at a time × {}", grouped(many), Bytes(BLOCK_BYTES))
                }
                "connections" => format!("of {} lanes at most: HTTP and TLS", choices.lanes_max),
                "ledger cache" => "bits and digests in memory at most, whatever the size".to_owned(),
                "more destinations" => {
                    format!("{DESTINATION} for each after the first; twice for an archive or a source in S3")
                }
                "process" => "binary, runtime, TLS roots: measured on Linux x86-64".to_owned(),
                _ => String::new(),
            };
            line(&part.name, part.bytes, &how)
        })
        .collect();
    rows.push(line("= at the peak", plan.memory.total, "flat: it does not grow with the snapshot"));
    rows.push(Row::said(""));
    if plan.memory.jobs > 1 {
        rows.push(Row::said(format!(
            "{} jobs run at once: the process is there once, the budget once",
            plan.memory.jobs
        )));
    }
    rows.push(Row::said(format!(
        "budget {} for what moves, {} {}",
        plan.memory.budget, plan.memory.limit_name, plan.memory.limit
    )));
    rows.push(Row::said(format!(
        "ebs.py: {}, by its own profile (420 bytes a block, and its share per job)",
        plan.memory.ebs_py
    )));
    rows
}

/// What is paid once and its sum, what comes back every month and its sum: dollars stand below dollars.
fn money(plan: &Plan, room: usize) -> Vec<Row> {
    let cells = money_cells(&plan.cost.parts);
    let glyph = |usd: Quantity<Usd>| usd.sure.glyph();
    let parts: Vec<[String; 4]> = plan
        .cost
        .parts
        .iter()
        .zip(&cells.parts)
        .map(|(part, usd)| {
            let each = if part.quantity > 0.0 { part.usd.value.0 / part.quantity } else { 0.0 };
            let many = figure(part.quantity);
            let unit = if many == "1" { part.unit.trim_end_matches('s') } else { &part.unit };
            [many, unit.to_owned(), price(each), format!("{} ${usd}", glyph(part.usd))]
        })
        .collect();
    let sums = [(plan.cost.once, &cells.once), (plan.cost.monthly, &cells.monthly)];
    let sums = sums.map(|(sum, usd)| format!("{} ${usd}", glyph(sum)));
    let widest = |cell: usize| parts.iter().map(|cells| width(&cells[cell])).max().unwrap_or(0);
    let (many, unit, each) = (widest(0), widest(1), widest(2));
    let usd = sums.iter().map(|sum| width(sum)).max().unwrap_or(0).max(widest(3));
    let figures = many + 1 + unit + 3 + each + 2 + usd;
    let name = |name: &str, short: bool| if short { shortened(name) } else { name.to_owned() };
    let names = |short: bool| plan.cost.parts.iter().map(|part| width(&name(&part.name, short))).max().unwrap_or(0);
    let short = names(false) + 2 + figures > room;
    let column = names(short) + 2;
    let below = column + figures > room;
    let mut rows = Vec::new();
    for (monthly, word, sum) in [(false, "= once", &sums[0]), (true, "= a month", &sums[1])] {
        for (part, cells) in plan.cost.parts.iter().zip(&parts).filter(|(part, _)| part.monthly == monthly) {
            let said = format!("{:>many$} {:<unit$} × {:<each$}  {:>usd$}", cells[0], cells[1], cells[2], cells[3]);
            let name = name(&part.name, short);
            if below {
                rows.extend([name, format!("    {said}")].map(|line| Row::new(clip(&line, room), "")));
            } else {
                rows.push(Row::new(format!("{name:<column$}{said}"), ""));
            }
        }
        let column = if below { 4 + figures } else { column + figures };
        let gap = column.saturating_sub(width(word));
        rows.push(Row::new(format!("{word}{sum:>gap$}"), ""));
    }
    rows.push(Row::said(""));
    rows.extend(plan.cost.assumed().into_iter().map(Row::said));
    let place = plan.facts.runs_in.sentence();
    rows.push(Row::said(format!("floe runs {place}; the route of every byte follows from that")));
    rows.push(Row::said("list prices without discounts, credits or taxes"));
    rows
}

/// A price of one, as it is published: without the zeros behind it.
fn price(each: f64) -> String {
    let digits = format!("{each:.7}");
    let digits = digits.trim_end_matches('0');
    // Cents have two places, always.
    let places = digits.len() - digits.find('.').map_or(0, |at| at + 1);
    format!("${digits}{}", "0".repeat(2usize.saturating_sub(places)))
}

/// A part's name with its regions as lists name them.
fn shortened(name: &str) -> String {
    let short = |word: &str| word.parse::<Region>().map_or_else(|_| word.to_owned(), |region| region.short());
    name.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

fn time(plan: &Plan) -> Vec<Row> {
    let blocks: u64 = plan.items.iter().map(|item| item.source.blocks.value.0).sum();
    let choices = &plan.choices;
    let line = |name: &str, many: String, how: String| Row::new(format!("{name:<22} {many:>14}   "), how);
    let known = match plan.facts.past.as_slice() {
        [] => "at an assumed 100 ms a request until this route is measured".to_owned(),
        past => format!(
            "{} earlier job{} on this route tell its latency and its rates",
            past.len(),
            if past.len() == 1 { "" } else { "s" }
        ),
    };
    let mut rows = vec![
        line("blocks", grouped(blocks), String::new()),
        line("Get a second, at most", figure(choices.get_per_second), "per snapshot".to_owned()),
        line("Put a second, at most", figure(choices.put_per_second), "per destination snapshot".to_owned()),
        line("lanes, at most", choices.lanes_max.to_string(), known),
        Row::new(format!("{:<23}", "machine"), machine(plan)),
        Row::said(""),
    ];
    if plan.time.jobs > 1 {
        let many = grouped(plan.items.len() as u64);
        rows.extend([
            line("jobs", many, format!("{} at once", plan.time.jobs)),
            Row::said("whoever runs has an even part of what all of them share, and of what others cannot use"),
            Row::said(""),
        ]);
    }
    rows.push(Row::new("bound by   ", plan.time.bound_by.as_str()));
    for (word, how, seconds) in [
        ("at best    ", "blocks ÷ what binds, its start and end at best", plan.time.low_seconds),
        ("at worst   ", "19 % more, its end; at most twice that or 5 s", plan.time.high_seconds),
    ] {
        rows.push(Row::new(word, format!("{how:<48}= {}", clock(seconds))));
    }
    if !plan.time.beside.is_empty() {
        rows.extend(["", "beside its blocks, answers that come one after the other:"].map(Row::said));
    }
    for when in [When::Before, When::After] {
        rows.extend(plan.time.beside.iter().filter(|part| part.when == when).map(stretch));
    }
    rows
}

/// What is done beside the blocks: its seconds and how they come, what is more to say of it on lines of its own.
fn stretch(part: &TimePart) -> Row {
    let when = if part.when == When::Before { "before" } else { "after" };
    let span = match part.high_seconds {
        high if high < 10.0 => format!("{:.2}–{high:.2} s", part.low_seconds),
        high => format!("{:.0}–{high:.0} s", part.low_seconds),
    };
    let words = part.formula.split("; ").map(str::to_owned).collect();
    Row { head: format!("{when:<6} {:<23}{span:>12}   ", part.name), words }
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
    format!("{cores}{network}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_goes_on_below_its_column() {
        let row = Row::new("connections              24 MiB   ", "of 128 lanes at most: HTTP and TLS");
        assert_eq!(row.laid(80), ["connections              24 MiB   of 128 lanes at most: HTTP and TLS"]);
        let lines = row.laid(60);
        assert_eq!(lines[0], "connections              24 MiB   of 128 lanes at most: HTTP");
        assert_eq!(lines[1], format!("{:34}and TLS", ""));
        let below = ["connections              24 MiB", "    of 128 lanes at most: HTTP and", "    TLS"];
        assert_eq!(row.laid(36), below);
        assert_eq!(Row::said("").laid(40), [""]);
        assert_eq!(Row::new("columns alone", "").laid(20), ["columns alone"]);
        for room in 1..90 {
            assert!(row.laid(room).iter().all(|line| width(line) <= room), "{room}");
        }
    }

    #[test]
    fn prices_of_one_are_as_they_are_published() {
        let all = [0.000_003, 0.000_000_6, 0.02, 0.05, 0.0125, 1.0, 0.0];
        assert_eq!(all.map(price), ["$0.000003", "$0.0000006", "$0.02", "$0.05", "$0.0125", "$1.00", "$0.00"]);
        assert_eq!(shortened("transfer us-east-1 → internet"), "transfer use1 → internet");
    }
}
