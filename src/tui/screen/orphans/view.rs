//! How Orphans is drawn: the list, the evidence beside it, what we are not sure of below.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::row::{OrphanRow, TALLY_UNKNOWN};
use super::{exact, whatif};
use crate::inventory::verdict::{Answer, Sureness, Thing, Verdict, rule_info};
use crate::tui::catalog::{Record as _, Slot};
use crate::tui::clock::Now;
use crate::tui::model::Model;
use crate::tui::screen::detail::{self, DetailLine, wrapped};
use crate::tui::screen::{ListLayout, listing};
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::table::{Cell, Head, put};
use crate::units::Usd;

/// Lines of doubts at most: what is more is counted.
const DOUBTS: usize = 3;

/// From this height on the chain is drawn below the list.
const TALL: u16 = 30;
/// Lines below the list while something is marked, with the rule above them.
const FOOT: u16 = 5;

/// Where what is drawn: the chain first of what lies below, where there is room, then what we are not sure of.
#[must_use]
pub fn layout(model: &Model, body: Rect) -> ListLayout {
    let doubts = model.orphans.doubts.len().min(DOUBTS);
    let unsure = if doubts == 0 || body.height < listing::LOW { 0 } else { u16::try_from(doubts).unwrap_or(0) + 2 };
    let chain = if body.height >= TALL && body.width >= 60 { super::chain::height(model) } else { 0 };
    let above = Rect { height: body.height - unsure - chain, ..body };
    let detail = listing::has_detail(model, body);
    let side = if detail { (body.width * 3 / 10).clamp(36, 48) } else { 0 };
    let list = Rect { width: body.width - side, ..above };
    let foot = match listing::foot_lines(&model.orphans.list, body) {
        0 => 0,
        low if above.height < 12 => low,
        _ => FOOT + u16::from(whatif::has_reason(model)),
    };
    let mut out = ListLayout::of(list, foot, heads(list.width, body.width < FULL_IDS));
    out.side = detail.then_some(Rect { x: list.right(), width: side, ..above });
    if chain > 0 {
        out.below.push(Rect { y: above.bottom(), height: chain, ..body });
    }
    if unsure > 0 {
        out.below.push(Rect { y: above.bottom() + chain, height: unsure, ..body });
    }
    out
}

/// From this width of the terminal on ids are shown whole; below, their tails do, and names have the room.
const FULL_IDS: u16 = 100;

fn heads(width: u16, tails: bool) -> Vec<Head> {
    let inner = width.saturating_sub(2 + 3);
    let wide = inner >= 70;
    let id = match (wide, tails) {
        (true, false) => 22,
        (true, true) => 13,
        (false, _) => 10,
    };
    // Names are what things are known by: what is said of them in a word has no more than its word needs.
    let because = if inner >= 90 { 15 } else { 12 };
    let rest = id + 1 + 6 + because + 1 + 11 + 6 + if wide { 8 } else { 0 };
    let name = inner.saturating_sub(rest + 1).clamp(4, 60);
    let mut out = vec![
        Head::left("THING", id, Some(0)),
        Head::left("NAME", name, Some(1)),
        Head::left("REG", 5, Some(2)),
        Head::left("BECAUSE", because, Some(3)),
        Head::right("FREES", 10, Some(4)),
    ];
    if wide {
        out.push(Head::right("$/MO", 7, Some(5)));
    }
    out.push(Head::right("AGE", 5, Some(6)));
    out
}

/// Draws the screen.
pub fn view(model: &Model, body: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let layout = layout(model, body);
    let (columns, state) = (layout.columns.clone(), &model.orphans);
    let cells = |slot: &Slot<OrphanRow>| columns.iter().map(|head| cell(model, &slot.row, head.title, now)).collect();
    let plain = ListLayout { foot: Rect { height: 0, ..layout.foot }, ..layout.clone() };
    listing::draw(&state.list, &state.table, &plain, "Orphans", &cells, buf, theme);
    if state.table.shards.is_empty() && !model.catalog.origins.is_empty() {
        let room = usize::from(layout.rows.width).saturating_sub(4);
        let said = text::left(&text::words(UNJUDGED, room), room);
        put(layout.rows.x + 3, &said, theme.style(Role::Dim), layout.rows, buf);
    }
    foot(model, layout.foot, buf, theme, now);
    if let Some(side) = layout.side {
        let inner = panel("Why", "enter all of it", false, side, buf, theme);
        let row = state.list.current().and_then(|at| state.table.get(at));
        let width = usize::from(inner.width).saturating_sub(2);
        let lines = row.map(|row| beside(row, width, now)).unwrap_or_default();
        let mut lines: Vec<DetailLine> = detail::laid(&lines, width).collect();
        fit(&mut lines, usize::from(inner.height));
        detail::draw(&lines, inner, buf, theme);
    }
    for below in &layout.below {
        if below.y == layout.list.bottom() && body.height >= TALL && body.width >= 60 {
            super::chain::view(model, *below, buf, theme, now);
        } else {
            not_sure(model, *below, buf, theme);
        }
    }
}

/// What stands in the list before anything is in it.
const UNJUDGED: &str = "◐ what nothing refers to is known when all lists of a region are here";

/// What the marks would free together.
fn foot(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    if area.height < 2 {
        return;
    }
    let room = usize::from(area.width).saturating_sub(2);
    put(area.x + 1, &"─".repeat(room), theme.style(Role::Faint), area, buf);
    for (n, (said, role)) in (1..area.height).zip(whatif::lines(model, room, now)) {
        let line = Rect { y: area.y + n, height: 1, ..area };
        put(area.x + 1, &text::clauses(&said, room), theme.style(role), line, buf);
    }
}

fn not_sure(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let state = &model.orphans;
    let (unknown, _) = state.count(TALLY_UNKNOWN);
    let title = format!("Not sure {}", crate::units::grouped(unknown));
    let refused = state.doubts.iter().any(|doubt| !doubt.actions.is_empty());
    let right = if refused { "y copies the IAM statement" } else { "" };
    let inner = panel(&title, right, false, area, buf, theme);
    for (n, doubt) in (0u16..).zip(state.doubts.iter().take(DOUBTS)) {
        let role = if doubt.actions.is_empty() { Role::Dim } else { Role::Warn };
        let line = Rect { y: inner.y + n, height: 1, ..inner };
        let room = usize::from(inner.width).saturating_sub(2);
        let said = Some(doubt.to_string()).filter(|said| text::width(said) <= room).unwrap_or_else(|| doubt.short());
        put(line.x + 1, &text::words(&said, room), theme.style(role), line, buf);
    }
}

fn cell(model: &Model, row: &OrphanRow, head: &str, now: Now) -> Cell {
    match head {
        "THING" => Cell::id(row.id().as_str()),
        "NAME" => Cell::new(row.name().unwrap_or_default()),
        "REG" => Cell::new(row.origin().region.short()),
        "BECAUSE" => because(row, now),
        "FREES" if is_asked(model, row) => Cell::with("◐", Role::Fresh),
        "FREES" => Cell::new(detail::frees(&row.frees)),
        "$/MO" => Cell::new(row.usd.map_or_else(|| "?".to_owned(), |usd| format!("{}{usd:.2}", at_most(row)))),
        _ => Cell::new(row.made().map_or_else(|| "?".to_owned(), |made| text::age(made, now))),
    }
}

fn is_asked(model: &Model, row: &OrphanRow) -> bool {
    !model.freed.running.is_empty()
        && matches!(row.thing(), Some(Thing::Snapshot(one)) if exact::is_running(model, one))
}

fn because(row: &OrphanRow, now: Now) -> Cell {
    let said = row.because(now.wall);
    match row.standing.verdict {
        Verdict::Orphan => Cell::new(said),
        Verdict::Unknown => Cell::with(format!("? {said}"), Role::Warn),
        Verdict::Stale => Cell::with(said, Role::Dim),
        Verdict::InUse | Verdict::Managed | Verdict::Protected => Cell::with(format!("✓ {said}"), Role::Good),
    }
}

const fn at_most(row: &OrphanRow) -> &'static str {
    if matches!(row.frees.label, Sureness::UpperBound) { "≤" } else { "" }
}

fn head(row: &OrphanRow, now: Now, out: &mut Vec<DetailLine>) {
    let role = match row.standing.verdict {
        Verdict::Orphan => Role::Accent,
        Verdict::Unknown => Role::Warn,
        _ => Role::Good,
    };
    out.push((format!("{}  {}", row.id(), row.standing.verdict.word()), role));
    let size = match row.thing() {
        Some(Thing::Snapshot(it)) => text::size(it.size),
        Some(Thing::Volume(it)) => format!("{} {}", text::size(it.size), it.kind),
        Some(Thing::Image(it)) => text::count(it.snapshots.len() as u64, "snapshot"),
        None => String::new(),
    };
    let made = row.made().map_or_else(String::new, |made| format!(" · {}", made.strftime("%-d %b %Y")));
    let name = row.name().unwrap_or("(no name)");
    out.push((format!("{name} · {size}{made}"), Role::Text));
    out.push((format!("{} · {}", row.origin().region, row.because(now.wall)), Role::Dim));
    out.push((String::new(), Role::Text));
}

const fn word(answer: Answer) -> (&'static str, Role) {
    match answer {
        Answer::Yes => ("yes", Role::Good),
        Answer::No => ("no ", Role::Dim),
        Answer::Unknown => ("?  ", Role::Warn),
        Answer::Hint => ("~  ", Role::Text),
    }
}

/// The evidence in one line a rule: its answer, what it looked at, how old the answer is.
fn beside(row: &OrphanRow, width: usize, now: Now) -> Vec<DetailLine> {
    let mut out = Vec::new();
    head(row, now, &mut out);
    let Some(judged) = row.judged(now.wall) else { return out };
    let count = |answer| judged.evidence.iter().filter(|evidence| evidence.answer == answer).count();
    let tally = [(Answer::Yes, "yes"), (Answer::No, "no"), (Answer::Hint, "hint"), (Answer::Unknown, "?")];
    let said = tally.into_iter().filter(|(answer, _)| count(*answer) > 0);
    let tally: Vec<String> = said.map(|(answer, word)| format!("{} {word}", count(answer))).collect();
    detail::at_most(&row.frees, width, &mut out);
    out.push((format!("EVIDENCE   {}", tally.join(" · ")), Role::Title));
    for evidence in &judged.evidence {
        let (glyph, role) = word(evidence.answer);
        let summary = rule_info(&evidence.rule).map_or("", |info| info.summary);
        let age = evidence.when.map_or_else(String::new, |when| text::data_age(when, now));
        let room = width.saturating_sub(4 + text::width(&age) + 1);
        out.push((format!("{glyph} {} {age}", text::left(&text::words(summary, room), room)), role));
        if evidence.answer != Answer::No {
            let mut lines = Vec::new();
            wrapped(&evidence.text, width.saturating_sub(4), Role::Text, &mut lines);
            out.extend(lines.into_iter().take(2).map(|(line, role)| (format!("    {line}"), role)));
        }
    }
    out.push((String::new(), Role::Text));
    wrapped(UNSEEN, width, Role::Dim, &mut out);
    out
}

/// Air goes before words do; then what is left out is counted, and what nobody can see is said all the same.
fn fit(lines: &mut Vec<DetailLine>, height: usize) {
    if lines.len() > height {
        lines.retain(|(line, _)| !line.is_empty());
    }
    let unseen =
        lines.iter().rev().take_while(|(_, role)| *role == Role::Dim).filter(|(line, _)| !line.starts_with("no "));
    let unseen = unseen.count();
    if lines.len() > height && height > unseen + 1 {
        let last = lines.split_off(lines.len() - unseen);
        let kept = height - unseen - 1;
        let more = format!("… {} more lines: enter", lines.len() - kept);
        lines.truncate(kept);
        lines.push((more, Role::Text));
        lines.extend(last);
    }
}

const UNSEEN: &str = "cannot be seen: Terraform, scripts, other accounts";

/// All the evidence in words, for the whole screen.
#[must_use]
pub fn why(row: &OrphanRow, width: usize, now: Now) -> Vec<DetailLine> {
    let mut out = Vec::new();
    head(row, now, &mut out);
    let Some(judged) = row.judged(now.wall) else { return out };
    let money = row.usd.map_or_else(
        || "? a month".to_owned(),
        |usd| {
            let most = if at_most(row).is_empty() { "" } else { "≤ " };
            format!("{most}{} a month", Usd(usd))
        },
    );
    out.push((format!("frees {}, {money}", detail::frees(&row.frees)), Role::Text));
    detail::at_most(&row.frees, width, &mut out);
    out.push((String::new(), Role::Text));
    for evidence in &judged.evidence {
        let (glyph, role) = word(evidence.answer);
        let summary = rule_info(&evidence.rule).map_or(evidence.rule.as_str(), |info| info.summary);
        let age = evidence.when.map_or_else(String::new, |when| format!(" · {}", text::data_age(when, now)));
        out.push((format!("{glyph} {summary}{age}"), role));
        let mut lines = Vec::new();
        wrapped(&evidence.text, width.saturating_sub(4), Role::Text, &mut lines);
        out.extend(lines.into_iter().map(|(line, role)| (format!("    {line}"), role)));
    }
    out.push((String::new(), Role::Text));
    wrapped(UNSEEN, width, Role::Dim, &mut out);
    out
}
