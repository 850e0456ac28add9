//! Who holds memory now: the budget by part and by job, and beside it what else of the process is known.
//!
//! Every cell is what was counted at the moment of the picture, in tenths of a MiB rounded together: rows and columns
//! add up to the gauge. What is a bound or a difference says so.

use ratatui::text::{Line, Span};

use crate::engine::protocol::{JobStatus, Status};
use crate::plan::choices::{CONNECTION, PUT_CONNECTION};
use crate::tui::text::{clauses, count, left, right, width};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::sums;
use crate::units::Bytes;

const NAME: usize = 22;
const CELL: usize = 9;

/// The lines of the sheet; the first is its heading.
pub fn lines(status: &Status, room: usize, theme: &Theme) -> Vec<Line<'static>> {
    let holders: Vec<&JobStatus> = status.jobs.iter().filter(|job| job.held.0 > 0).collect();
    let columns = room.saturating_sub(NAME + CELL + 2) / CELL;
    let table = Table::of(&holders, columns);
    let mut out = vec![heading(&holders, &table, theme)];
    for (name, cells) in table.names.iter().zip(&table.cells) {
        out.push(row(name, cells, Role::Text, theme));
    }
    if table.names.is_empty() {
        out.push(Line::styled(" nothing: no block is on its way", theme.style(Role::Dim)));
    }
    let columns: Vec<u64> = (0..table.width).map(|at| table.cells.iter().map(|cells| cells[at]).sum()).collect();
    let mut sum = row("= held of the budget", &columns, Role::Title, theme);
    sum.push_span(Span::styled(format!("  of {:.0} MiB", status.budget.limit.as_mib()), theme.style(Role::Dim)));
    out.push(sum);
    out.push(Line::default());
    for job in &holders {
        out.extend(blocks(job, room, theme));
    }
    out.push(Line::default());
    out.extend(process(status, room, theme));
    out.push(Line::default());
    let kib = |bytes: Bytes| bytes.0 / 1024;
    let (come, go) = (kib(CONNECTION), kib(PUT_CONNECTION));
    for note in [
        "Measured: the process. Counted: blocks, listing pages, kept buffers, ledger.".to_owned(),
        format!("A bound: connections, {come} KiB each where blocks come in, {go} KiB where they go out."),
    ] {
        out.push(Line::styled(format!(" {}", clauses(&note, room.saturating_sub(2))), theme.style(Role::Dim)));
    }
    out
}

/// Tenths of a MiB by part (rows) and job (columns, those without room together in the last).
struct Table {
    names: Vec<String>,
    cells: Vec<Vec<u64>>,
    width: usize,
    shown: usize,
}

impl Table {
    fn of(holders: &[&JobStatus], columns: usize) -> Self {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in holders.iter().flat_map(|job| &job.holds.parts) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let shown = if holders.len() <= columns { holders.len() } else { columns.saturating_sub(1) };
        let width = shown + usize::from(shown < holders.len());
        let held = |name: &String, jobs: &[&JobStatus]| -> Bytes {
            jobs.iter().flat_map(|job| &job.holds.parts).filter(|(part, _)| part == name).map(|(_, held)| *held).sum()
        };
        let exact: Vec<f64> = names
            .iter()
            .flat_map(|name| {
                let alone = holders[..shown].iter().map(move |job| held(name, &[*job]));
                let rest = (width > shown).then(|| held(name, &holders[shown..]));
                alone.chain(rest).map(|bytes| bytes.as_mib() * 10.0).collect::<Vec<_>>()
            })
            .collect();
        let rounded = sums::apportioned(&exact);
        let cells = if width == 0 { Vec::new() } else { rounded.chunks(width).map(<[u64]>::to_vec).collect() };
        Self { names, cells, width, shown }
    }
}

fn heading(holders: &[&JobStatus], table: &Table, theme: &Theme) -> Line<'static> {
    let mut text = format!(" {}{}", left("MiB NOW", NAME), right("ALL", CELL));
    for job in &holders[..table.shown] {
        text.push_str(&right(&format!("job {}", job.job), CELL));
    }
    if table.width > table.shown {
        text.push_str(&right(&format!("{} more", holders.len() - table.shown), CELL));
    }
    Line::styled(text, theme.style(Role::Title))
}

fn row(name: &str, cells: &[u64], role: Role, theme: &Theme) -> Line<'static> {
    let mut text = format!(" {}{}", left(name, NAME), tenth(cells.iter().sum()));
    cells.iter().for_each(|cell| text.push_str(&tenth(*cell)));
    Line::styled(text, theme.style(role))
}

fn tenth(n: u64) -> String {
    right(&format!("{}.{}", n / 10, n % 10), CELL)
}

/// Where a job's blocks are: at the source, and on their way to each destination.
fn blocks(job: &JobStatus, room: usize, theme: &Theme) -> Vec<Line<'static>> {
    let head = format!(" job {:<4}", job.job.to_string());
    let reading = format!("{} of {} lanes read", job.holds.reading, job.lanes.target);
    let ways: Vec<String> = job
        .destinations
        .iter()
        .zip(&job.holds.writing)
        .map(|(to, blocks)| format!("{} on the way to {}", count(u64::from(*blocks), "block"), to.address))
        .collect();
    let mut out: Vec<Line<'static>> = Vec::new();
    let mut text = head.clone();
    for part in std::iter::once(reading).chain(ways) {
        if text != head && width(&text) + 3 + width(&part) > room {
            out.push(Line::styled(std::mem::replace(&mut text, " ".repeat(width(&head))), theme.style(Role::Text)));
        } else if text != head {
            text.push_str(" · ");
        }
        text.push_str(&part);
    }
    out.push(Line::styled(text, theme.style(Role::Text)));
    out
}

/// The whole process: what is known of it, and the rest.
fn process(status: &Status, room: usize, theme: &Theme) -> Vec<Line<'static>> {
    let of = |what: fn(&JobStatus) -> Bytes| -> Bytes { status.jobs.iter().map(what).sum() };
    let tenths = |bytes: Bytes| sums::apportioned(&[bytes.as_mib() * 10.0])[0];
    let (idle, ledger) = (tenths(of(|job| job.holds.idle)), tenths(of(|job| job.holds.ledger)));
    let (held, rss) = (tenths(status.budget.used), tenths(status.machine.rss));
    let known = held + idle + ledger;
    let line = |name: &str, tenths: u64, role: Role, how: &str| {
        Line::from(vec![
            Span::styled(format!(" {}{}", left(name, NAME), tenth(tenths)), theme.style(role)),
            Span::styled(format!("  {}", clauses(how, room.saturating_sub(NAME + CELL + 4))), theme.style(Role::Dim)),
        ])
    };
    let mut lines = vec![
        line("+ kept for next blocks", idle, Role::Text, "counted, beside the budget"),
        line("+ ledger cache", ledger, Role::Text, "counted, beside the budget"),
        if rss >= known {
            line("+ base", rss - known, Role::Text, "estimate, the difference: binary, runtime, TLS, allocator")
        } else {
            line("− not touched yet", known - rss, Role::Text, "estimate, the difference: held and never written to")
        },
        line("= process", rss, Role::Title, "measured: resident now"),
    ];
    if let Some(said) = status.said() {
        let (base, beside) = (said.base.as_mib(), said.beside.as_mib());
        let how = format!(
            "{}: base {base:.0} once, {beside:.0} beside the budget, {:.0} of it",
            count(said.jobs as u64, "job"),
            said.of_budget.as_mib()
        );
        lines.push(line("  said ≤", tenths(said.total()), Role::Text, &how));
    }
    lines
}
