//! What a plan's figures are made of, and what else would lead to the same result.
//!
//! Every column adds up to the sum below it: shares are rounded together, never one by one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::view::{put, span};
use crate::plan::{CostPart, Plan};
use crate::tui::screen::transfers::engine::wrapped;
use crate::tui::text::{left, right, size, width, words};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::sums::apportioned;
use crate::units::{Bytes, Quantity, Sure, Usd, grouped};

/// The money table's figures, which add up to what is shown as their sum.
pub struct MoneyCells {
    /// One per part, in the plan's order.
    pub parts: Vec<String>,
    /// Sum of what is paid once.
    pub once: String,
    /// Sum of what comes back every month.
    pub monthly: String,
}

/// Dollars as table cells: cents, or ten-thousandths where all of it is below a dollar.
pub fn money_cells(lines: &[CostPart]) -> MoneyCells {
    let total: f64 = lines.iter().map(|p| p.usd.value.0).sum();
    let (scale, places) = if total < 1.0 { (10_000.0, 4) } else { (100.0, 2) };
    let side = |monthly: bool| {
        let amounts: Vec<f64> = lines.iter().filter(|p| p.monthly == monthly).map(|p| p.usd.value.0 * scale).collect();
        apportioned(&amounts)
    };
    let cell = |n: u64| {
        let unit = 10u64.pow(places);
        format!("{}.{:0places$}", grouped(n / unit), n % unit, places = places as usize)
    };
    let (once, monthly) = (side(false), side(true));
    let sums = (cell(once.iter().sum()), cell(monthly.iter().sum()));
    let (mut once, mut monthly) = (once.into_iter(), monthly.into_iter());
    let parts =
        lines.iter().map(|p| cell(if p.monthly { monthly.next() } else { once.next() }.unwrap_or_default())).collect();
    MoneyCells { parts, once: sums.0, monthly: sums.1 }
}

/// A quantity as people count: `31,318,565`, `31.3 M` where it is short of room, `15,292`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "quantities of a bill")]
pub fn figure(value: f64) -> String {
    if value < 100.0 && value.fract() > 0.004 { format!("{value:.2}") } else { grouped(value.max(0.0).round() as u64) }
}

fn short_figure(value: f64) -> String {
    if value >= 1e7 { format!("{:.1} M", value / 1e6) } else { figure(value) }
}

/// One row of the parts table: memory on the left, money on the right; a sum stands out.
pub(super) struct PartRow {
    memory: Option<(String, String, bool)>,
    money: Option<(String, String, bool)>,
}

pub(super) fn part_rows(plan: &Plan) -> Vec<PartRow> {
    let parts = &plan.memory.parts;
    let sizes = apportioned(&parts.iter().map(|p| p.bytes.as_mib()).collect::<Vec<_>>());
    let mut memory: Vec<(String, String, bool)> = Vec::new();
    let side = |budget: bool| {
        parts.iter().zip(&sizes).filter(move |(p, _)| p.in_budget == budget).map(|(p, n)| (p.name.clone(), *n))
    };
    memory.extend(side(true).map(|(name, n)| (name, grouped(n), false)));
    memory.push(("= in the budget".to_owned(), grouped(side(true).map(|(_, n)| n).sum()), true));
    memory.extend(side(false).map(|(name, n)| (name, grouped(n), false)));
    memory.push(("= process peak".to_owned(), grouped(sizes.iter().sum()), true));
    if plan.memory.ebs_py.known().is_some_and(|bytes| bytes > plan.memory.total) {
        let py = grouped(plan.memory.ebs_py.value.as_mib().round().max(0.0) as u64);
        memory.push(("ebs.py needs".to_owned(), format!("≈ {py}"), false));
    }
    let bill = folded(&plan.cost.parts);
    let cells = money_cells(&bill);
    let line = |n: usize| {
        let part = &bill[n];
        (part_name(&part.name, part.quantity, &part.unit), marked(part.usd.sure, &cells.parts[n]), false)
    };
    let of = |monthly: bool| {
        let bill = &bill;
        (0..bill.len()).filter(move |n| bill[*n].monthly == monthly)
    };
    let mut money: Vec<(String, String, bool)> = of(false).map(line).collect();
    money.push(("= once".to_owned(), marked(plan.cost.once.sure, &cells.once), true));
    money.extend(of(true).map(line));
    money.push(("= a month".to_owned(), marked(plan.cost.monthly.sure, &cells.monthly), true));
    let rows = memory.len().max(money.len());
    let (mut memory, mut money) = (memory.into_iter(), money.into_iter());
    (0..rows).map(|_| PartRow { memory: memory.next(), money: money.next() }).collect()
}

/// The lines of the bill as the table names them, those of one name together: listing there and back, keys of both ends,
/// the same thing for many sources. The sheet behind `i` has each of them.
fn folded(parts: &[CostPart]) -> Vec<CostPart> {
    let name = |part: &CostPart| {
        let word = part.name.split(' ').next().unwrap_or_default();
        let whole = part.name.split(" in ").next().unwrap_or_default();
        let name = if matches!(word, "KMS" | "List") { word } else { whole };
        (name.to_owned(), part.monthly)
    };
    let mut all: Vec<CostPart> = Vec::new();
    for part in parts {
        match all.iter_mut().find(|known| name(known) == name(part)) {
            Some(known) => known.take(part),
            None => all.push(part.clone()),
        }
    }
    for part in all.iter_mut().filter(|part| part.name.starts_with("KMS") || part.name.starts_with("List")) {
        part.name = name(part).0;
    }
    all
}

/// `Get 31.3 M`, `out 15,292 GiB`: what is paid for, without the region that stands two panels above.
fn part_name(name: &str, quantity: f64, unit: &str) -> String {
    let name = name.split(" in ").next().unwrap_or(name);
    let name = match name.strip_prefix("transfer ") {
        Some(route) if route.ends_with("internet") => "egress",
        Some(_) => "out",
        None => name,
    };
    let name = if name.starts_with("snapshot storage") { "kept" } else { name };
    let unit = match unit {
        "GiB" | "GiB-month" => " GiB",
        _ => "",
    };
    format!("{name} {}{unit}", short_figure(quantity))
}

/// A figure with the glyph of how sure it is; estimates are the rule in a plan and go without.
fn marked(sure: Sure, text: &str) -> String {
    match sure {
        Sure::AtMost => format!("≤ {text}"),
        Sure::Unknown => "?".to_owned(),
        _ => text.to_owned(),
    }
}

/// What does not fit is said in TiB, with three figures: half a number is none.
fn narrowed(name: &str, room: usize) -> String {
    let gib = || {
        let (name, figure) = name.strip_suffix(" GiB")?.rsplit_once(' ')?;
        let gib: u64 = figure.replace(',', "").parse().ok()?;
        Some(format!("{name} {}", size(Bytes::gib(gib))))
    };
    if width(name) <= room { name.to_owned() } else { words(&gib().unwrap_or_else(|| name.to_owned()), room) }
}

pub(super) fn parts(rows: &[PartRow], area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height == 0 {
        return;
    }
    let inner = panel("Parts", "", false, area, buf, theme);
    let room = usize::from(inner.width.saturating_sub(2));
    let memory = (room * 11 / 25).min(26);
    let money = room.saturating_sub(memory + 2);
    let cell = |cell: &Option<(String, String, bool)>, width: usize| {
        let Some((name, figure, sum)) = cell else { return vec![Span::raw(" ".repeat(width))] };
        let number = crate::tui::text::width(figure) + 1;
        let role = if *sum { Role::Title } else { Role::Text };
        let name_role = if *sum { Role::Title } else { Role::Dim };
        vec![
            span(theme, name_role, left(&narrowed(name, width.saturating_sub(number)), width.saturating_sub(number))),
            span(theme, role, right(figure, number.min(width))),
        ]
    };
    let head = |name: &str, unit: &str| Some((name.to_owned(), unit.to_owned(), true));
    let mut draw = |row: u16, left: &Option<(String, String, bool)>, right: &Option<(String, String, bool)>| {
        let mut spans = cell(left, memory);
        spans.push(Span::raw("  "));
        spans.extend(cell(right, money));
        put(inner, row, spans, buf);
    };
    draw(0, &head("MEMORY", "MiB"), &head("MONEY", "USD"));
    for (n, row) in (1u16..).zip(rows) {
        draw(n, &row.memory, &row.money);
    }
}

pub(super) fn alternatives(plan: &Plan, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height == 0 {
        return;
    }
    let inner = panel("Alternatives", "1-5 choose", false, area, buf, theme);
    let room = usize::from(inner.width.saturating_sub(2));
    let name = room.saturating_sub(4 + 10 + 10 + 14 + 6);
    // Where it is narrow the month goes: what each way is called tells more, and ESTIMATE says it of the one chosen.
    let (name, month) = if name < 10 { (name + 10, 0) } else { (name, 10) };
    put(
        inner,
        0,
        vec![span(
            theme,
            Role::Title,
            format!(
                "#   {}{:>10}{}  {:<12} {:<6}",
                left("STRATEGY", name),
                "USD ONCE",
                right("A MONTH", month),
                "TIME",
                "KEEPS"
            ),
        )],
        buf,
    );
    let cheapest = plan
        .alternatives
        .iter()
        .enumerate()
        .filter(|(_, way)| !way.chosen)
        .min_by(|a, b| a.1.once.value.0.total_cmp(&b.1.once.value.0))
        .filter(|(_, way)| way.once.value.0 < plan.cost.once.value.0)
        .map(|(n, _)| n);
    let mut row = 1;
    for (n, way) in plan.alternatives.iter().enumerate().take(5) {
        let (mark, role) = match (way.chosen, cheapest == Some(n)) {
            (true, _) => ("▶", Role::Accent),
            (_, true) => ("◆", Role::Fresh),
            _ => (" ", Role::Text),
        };
        let text_role = if way.unavailable.is_some() { Role::Dim } else { Role::Text };
        put(
            inner,
            row,
            vec![
                span(theme, text_role, format!("{} ", n + 1)),
                span(theme, role, format!("{mark} ")),
                span(theme, text_role, left(&words(&way.name, name), name)),
                span(theme, text_role, format!("{:>10}{}  ", bare(way.once), right(&bare(way.monthly), month))),
                span(theme, text_role, left(&short_time(&way.time), 12)),
                span(theme, text_role, format!(" {}", left(&way.keeps, 6))),
            ],
            buf,
        );
        row += 1;
    }
    if let Some(cheaper) = cheapest {
        let way = &plan.alternatives[cheaper];
        row += 1;
        let taken = || match way.remark.as_str() {
            "" => format!("{} takes it", cheaper + 1),
            remark => format!("{} takes it; {remark}", cheaper + 1),
        };
        let why = way.unavailable.clone().unwrap_or_else(taken);
        put(
            inner,
            row,
            vec![span(
                theme,
                Role::Fresh,
                words(&format!("◆ {}: {}", advantage(plan.cost.once.value, way.once.value), way.name), room),
            )],
            buf,
        );
        for text in wrapped(&why, room.saturating_sub(2)) {
            row += 1;
            put(inner, row, vec![span(theme, Role::Dim, format!("  {text}"))], buf);
        }
    }
}

/// `2 is 1.9× cheaper · `: the cheapest of the other ways that can be taken, where one is.
pub(super) fn cheaper(plan: &Plan) -> Option<String> {
    let own = plan.cost.once.value;
    let others = (1..).zip(&plan.alternatives).filter(|(_, way)| !way.chosen && way.unavailable.is_none());
    let (n, way) = others.min_by(|a, b| a.1.once.value.0.total_cmp(&b.1.once.value.0))?;
    let how = if way.once.value.0 <= 0.0 { "free".to_owned() } else { advantage(own, way.once.value) };
    (way.once.value.0 < own.0).then(|| format!("{n} is {how} · "))
}

/// `1.9× cheaper`; what costs nothing is not so many times cheaper, it is free.
fn advantage(chosen: Usd, other: Usd) -> String {
    if other.0 <= 0.0 { format!("free instead of {chosen}") } else { format!("{:.1}× cheaper", chosen.0 / other.0) }
}

/// A span of time in a narrow cell: `8h42 – 10h21`, `1m04 – 1m20`; the last unit stays where it stands alone.
fn short_time(time: &str) -> String {
    let pieces = time.split(" – ").map(|piece| {
        let mut words = piece.split(' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some(big), Some(unit), Some(small), Some(_)) => format!("{big}{unit}{small}"),
            _ => piece.to_owned(),
        }
    });
    pieces.collect::<Vec<_>>().join(" – ")
}

/// Dollars without the sign, with the glyph only where it warns.
fn bare(usd: Quantity<Usd>) -> String {
    let text = usd.value.to_string().replace('$', "");
    marked(usd.sure, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_does_not_fit_is_said_in_a_larger_unit_and_never_in_half_a_number() {
        assert_eq!(narrowed("egress 15,292 GiB", 17), "egress 15,292 GiB");
        assert_eq!(narrowed("egress 15,292 GiB", 15), "egress 14.9 TiB");
        assert_eq!(narrowed("egress 15,292 GiB", 10), "egress …");
        assert_eq!(narrowed("blocks in flight", 12), "blocks in …");
    }

    #[test]
    fn a_narrow_time_keeps_its_unit() {
        assert_eq!(short_time("8 h 42 m – 10 h 21 m"), "8h42 – 10h21");
        assert_eq!(short_time("45 m – 1 h 10 m"), "45 m – 1h10");
        assert_eq!(short_time("1 m 04 s – 1 m 20 s"), "1m04 – 1m20");
        assert_eq!(short_time("15 m"), "15 m");
        assert_eq!(short_time("unknown"), "unknown");
    }

    #[test]
    fn what_costs_nothing_is_free() {
        assert_eq!(advantage(Usd(587.72), Usd(305.85)), "1.9× cheaper");
        assert_eq!(advantage(Usd(0.08), Usd(0.0)), "free instead of $0.08");
    }
}
