//! The plan screen, drawn: panels that shrink and go by what they are worth when the terminal is small.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::checks::{check_lines, checks_panel, what_if};
use super::parts::{alternatives, cheaper, part_rows, parts};
use super::{Stage, command_of, knobs, sheet};
use crate::error::Error;
use crate::plan::{DestinationKind, Fit, Parent, Plan, SourceKind};
use crate::tui::clock::Now;
use crate::tui::model::Model;
use crate::tui::screen::transfers::engine::clip_parts;
use crate::tui::text::{clauses, left, tail, width, words, wrap};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::stack::{Want, heights};
use crate::tui::widget::{gauge, line, panel};
use crate::units::{Bytes, Quantity, counted, plural};

/// What a preview is.
pub(super) const PREVIEW: &str = "◐ A preview, from what is known here: AWS is being asked.";

/// Draws the screen.
pub fn view(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, _: Now) {
    match &model.plan.stage {
        Stage::Nothing => {
            message(area, buf, theme, "Plan", &["There is no plan yet.", "c on a snapshot plans a copy of it."])
        }
        Stage::Making if let Some(early) = &model.plan.preview => {
            plan(model, &early.made, &early.shown, area, buf, theme);
            sheet::draw(model, area, buf, theme);
        }
        Stage::Making => {
            let of = model.plan.operation.as_ref().map(command_of).unwrap_or_default();
            message(
                area,
                buf,
                theme,
                "Plan ◐",
                &["◐ reading facts: sizes, keys, quotas, prices. Nothing is changed.", &of],
            );
        }
        Stage::Failed(error) => failed(error, area, buf, theme),
        Stage::Here(sheets) => {
            plan(model, &sheets.made, &sheets.shown, area, buf, theme);
            sheet::draw(model, area, buf, theme);
        }
    }
}

fn message(area: Rect, buf: &mut Buffer, theme: &Theme, title: &str, lines: &[&str]) {
    let inner = panel(title, "esc back", true, area, buf, theme);
    for (n, text) in (0u16..).zip(lines) {
        let role = if n == 0 { Role::Text } else { Role::Dim };
        put(inner, n, vec![span(theme, role, *text)], buf);
    }
}

/// Every word of it: what failed, what AWS called it, what to do, each going on below itself.
fn failed(error: &Error, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let inner = panel("Plan ✗", "e edit · esc back", true, area, buf, theme);
    let room = usize::from(inner.width).saturating_sub(4);
    let mut parts = vec![("✗ ", Role::Bad, Role::Bad, error.what.clone())];
    if let Some(aws) = &error.aws {
        let reason = aws.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
        let request = aws.request_id.as_ref().map(|id| format!(" · request {id}")).unwrap_or_default();
        parts.push(("  ", Role::Dim, Role::Dim, format!("{}: {}{reason}{request}", aws.operation, aws.name())));
    }
    parts.push(("  ", Role::Dim, Role::Dim, "Nothing was changed: a plan only reads.".to_owned()));
    if let Some(todo) = &error.todo {
        parts.push(("→ ", Role::Key, Role::Accent, todo.clone()));
    }
    let lines = parts.into_iter().flat_map(|(mark, of_mark, role, said)| {
        let marks = std::iter::once(mark).chain(std::iter::repeat("  "));
        let lines = marks.zip(wrap(&said, room, 0));
        lines.map(move |(mark, said)| vec![span(theme, of_mark, mark), span(theme, role, said)]).collect::<Vec<_>>()
    });
    for (n, spans) in (0u16..).zip(lines) {
        put(inner, n, spans, buf);
    }
}

fn plan(model: &Model, made: &Plan, shown: &Plan, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let rows = part_rows(shown);
    let wide = area.width >= 100;
    let checks = check_lines(shown, usize::from(area.width.saturating_sub(4)), theme);
    let lines = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).saturating_add(2);
    let destinations: usize = shown.items.first().map_or(1, |item| item.destinations.len());
    let wants = [
        Want { least: 4, most: lines(1 + destinations).min(7), worth: 9 },
        Want { least: 5, most: 5, worth: 8 },
        Want { least: 6, most: lines(rows.len() + 1), worth: 4 },
        Want { least: 3, most: lines(checks.len()).max(3), worth: 5 },
        Want { least: 3, most: 5, worth: 6 },
        Want { least: 1, most: 2, worth: 7 },
    ];
    let tall = heights(area.height, &wants);
    let mut y = area.y;
    let mut take = |n: usize| {
        let rect = Rect { y, height: tall[n], ..area };
        y += tall[n];
        rect
    };
    what(shown, take(0), buf, theme);
    let hidden = !wide || tall[2] == 0;
    estimate(shown, hidden, take(1), buf, theme);
    let middle = take(2);
    if wide {
        let parts_width = 53.min(middle.width / 2);
        parts(&rows, Rect { width: parts_width, ..middle }, buf, theme);
        let beside = Rect { x: middle.x + parts_width, width: middle.width - parts_width, ..middle };
        alternatives(shown, beside, buf, theme);
    } else {
        parts(&rows, middle, buf, theme);
    }
    checks_panel(shown, &checks, hidden, take(3), buf, theme);
    what_if(model.plan.knob, made, shown, take(4), buf, theme);
    let early = matches!(model.plan.stage, Stage::Making);
    notes(shown, early, take(5), buf, theme);
}

pub(super) fn span(theme: &Theme, role: Role, text: impl Into<String>) -> Span<'static> {
    Span::styled(text.into(), theme.style(role))
}

/// One line inside a panel, one column in.
pub(super) fn put(inner: Rect, row: u16, spans: Vec<Span<'static>>, buf: &mut Buffer) {
    if row < inner.height {
        let area = Rect { width: inner.width.saturating_sub(1), ..inner };
        line(inner.x + 1, inner.y + row, &Line::from(spans), area, buf);
    }
}

fn what(plan: &Plan, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height == 0 {
        return;
    }
    let inner = panel("Copy plan", "e edit · esc back, nothing is lost", true, area, buf, theme);
    let Some(item) = plan.items.first() else { return };
    let name = item.source.name.as_ref().map(|n| format!("{n} · ")).unwrap_or_default();
    let more = if plan.items.len() > 1 { format!(" · + {} more", plan.items.len() - 1) } else { String::new() };
    let kind = match item.source.kind {
        SourceKind::Snapshot { .. } | SourceKind::Delta { .. } => "volume",
        SourceKind::Archive { .. } | SourceKind::Fsp { .. } => "archive",
        SourceKind::Image { .. } => "image",
        SourceKind::Object { .. } => "object",
        SourceKind::Prefix { .. } => "prefix",
        SourceKind::File { .. } => "file",
    };
    let blocks = item.source.blocks;
    let size = Quantity { value: blocks.value.bytes(), sure: blocks.sure };
    let facts = format!(
        "{name}{} {kind} · {size} in {} {}{more}",
        item.source.volume,
        blocks.value,
        plural(blocks.value.0, "block")
    );
    let room = usize::from(inner.width.saturating_sub(8));
    let longest = plan
        .items
        .iter()
        .flat_map(|item| item.destinations.iter().map(|d| width(&d.address.to_string())))
        .chain([width(&item.source.address.to_string())])
        .max()
        .unwrap_or(0);
    let column = longest.min(room.saturating_sub(20).max(room / 2));
    let row = |label: &str, address: &str, facts: &str| {
        let address_width = column.min(room);
        let facts_width = room.saturating_sub(address_width + 2);
        vec![
            span(theme, Role::Dim, format!("{label:<5} ")),
            span(theme, Role::Accent, left(&tail(address, address_width), address_width)),
            span(theme, Role::Text, format!("  {}", clauses(facts, facts_width))),
        ]
    };
    put(inner, 0, row("from", &item.source.address.to_string(), &facts), buf);
    for (n, to) in (1u16..).zip(&item.destinations) {
        let left_over = item.destinations.len() - usize::from(n) + 1;
        if n + 1 == inner.height && left_over > 1 {
            put(inner, n, vec![span(theme, Role::Dim, format!("      + {left_over} more"))], buf);
            break;
        }
        put(inner, n, row("to", &to.address.to_string(), &destination(&to.kind)), buf);
    }
}

fn destination(kind: &DestinationKind) -> String {
    match kind {
        DestinationKind::Snapshot { volume_gib, encryption, on, .. } => {
            let on = match on {
                None => String::new(),
                Some(Parent { id: Some(id), .. }) => format!(" on {id}"),
                Some(Parent { id: None, .. }) => " on the one before".to_owned(),
            };
            format!("new snapshot{on} of {} · {encryption}", Bytes::gib(u64::from(*volume_gib)))
        }
        DestinationKind::Image { name, encryption, .. } => format!("new image {name}, by AWS · {encryption}"),
        DestinationKind::File { length, onto: Some(_), .. } => format!("changed in its place · {length}"),
        DestinationKind::File { length, replaces: true, .. } => format!("replaces the file there · {length}"),
        DestinationKind::File { length, .. } => format!("new file · {length} exactly"),
        DestinationKind::Device { length, size, .. } => format!("overwrites {length} of this device · {size}"),
        DestinationKind::Archive { archive, encryption, .. } => format!("archive {archive} · encrypted {encryption}"),
        DestinationKind::Object { layout, replaces: Some(_), .. } => {
            format!("replaces the object there · {}", layout.length)
        }
        DestinationKind::Object { layout, encryption, .. } => {
            format!("new object · {} · encrypted {encryption}", layout.length)
        }
        DestinationKind::Copied { parts, encryption, .. } => {
            format!("object, copied by S3 in {} · {encryption}", counted(parts.count.into(), "request"))
        }
        DestinationKind::CopiedTree { .. } => "every object, copied by S3".to_owned(),
        DestinationKind::Null => "read and checked, kept nowhere".to_owned(),
    }
}

/// `hidden`: whether the other ways are shown nowhere else.
fn estimate(plan: &Plan, hidden: bool, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height == 0 {
        return;
    }
    let prices = format!("prices of {} · i formula and inputs", plan.cost.prices_as_of);
    let inner = panel("Estimate", &prices, false, area, buf, theme);
    let bar = usize::from((inner.width / 4).clamp(6, 31));
    let room = usize::from(inner.width).saturating_sub(bar + 10);
    let label = |text: &str| span(theme, Role::Title, format!("{text:<8}"));
    let figure = |text: String, role| span(theme, role, format!("  {}", left(&text, 22.min(room))));
    let words = |text: String, used: usize| span(theme, Role::Dim, clip_parts(&text, room.saturating_sub(25 + used)));

    let memory = &plan.memory;
    let (fit, role) = match memory.fit {
        Fit::Fits => ("fits", Role::Good),
        Fit::Tight => ("tight", Role::Warn),
        Fit::WillNotFit => ("does not fit", Role::Bad),
    };
    let mut spans = vec![label("MEMORY")];
    let mark = gauge::share(memory.budget.0, memory.limit.0);
    let fill = if memory.fit == Fit::WillNotFit { Role::Bad } else { Role::Gauge };
    spans.extend(gauge::scale(theme, gauge::share(memory.total.0, memory.limit.0), Some(mark), bar, fill));
    spans.push(figure(format!("{} at the peak", knobs::mib(memory.total)), Role::Text));
    spans.push(span(theme, role, format!("{fit}: ")));
    let mark = if theme.ascii { '|' } else { '│' };
    spans.push(words(
        format!("budget {} {mark} · {} {}", memory.budget, memory.limit_name, memory.limit),
        fit.len() + 2,
    ));
    put(inner, 0, spans, buf);

    let others: Vec<(char, f64)> = ('1'..='9')
        .zip(&plan.alternatives)
        .filter(|(_, way)| !way.chosen)
        .map(|(name, way)| (name, way.once.value.0))
        .collect();
    let mut spans = vec![label("MONEY")];
    spans.extend(gauge::ladder(theme, &others, plan.cost.once.value.0, bar));
    spans.push(figure(format!("{} once", plan.cost.once.value), Role::Text));
    let standing = cheaper(plan).filter(|_| hidden).unwrap_or_else(|| standing(plan));
    spans.push(words(format!("{standing}then {} a month to keep it", plan.cost.monthly), 0));
    put(inner, 1, spans, buf);

    let time = &plan.time;
    let mut spans = vec![label("TIME")];
    spans.extend(gauge::range(theme, time.low_seconds, time.high_seconds, bar));
    spans.push(figure(time.text(), Role::Text));
    spans.push(words(bound(&time.bound_by, room.saturating_sub(25)), 0));
    put(inner, 2, spans, buf);
}

/// What binds, with its figures where there is room for them.
fn bound(by: &str, room: usize) -> String {
    let all = format!("bound by {by}");
    if width(&all) <= room { all } else { format!("{} binds", knobs::binding(by)) }
}

/// `dearest of 3 · `: where the money stands among the alternatives.
fn standing(plan: &Plan) -> String {
    let all = plan.alternatives.len();
    let own = plan.cost.once.value.0;
    let others = || plan.alternatives.iter().filter(|way| !way.chosen).map(|way| way.once.value.0);
    if all < 2 {
        String::new()
    } else if others().all(|usd| usd < own) {
        format!("dearest of {all} · ")
    } else if others().all(|usd| usd > own) {
        format!("cheapest of {all} · ")
    } else {
        format!("one of {all} · ")
    }
}

/// What would be there afterwards, in one sentence.
pub fn consequence(plan: &Plan) -> String {
    let mut parts: Vec<String> = Vec::new();
    let all = || plan.items.iter().flat_map(|item| &item.destinations);
    let snapshots: Vec<_> = all().filter(|to| matches!(to.kind, DestinationKind::Snapshot { .. })).collect();
    if let Some(first) = snapshots.first() {
        let s = if snapshots.len() == 1 { "" } else { "s" };
        let account = first.account.as_ref().map(|a| format!(" in {}", a.grouped())).unwrap_or_default();
        let region = first.region.as_ref().map(|r| format!(" {r}")).unwrap_or_default();
        parts.push(format!("create {} snapshot{s}{account}{region}", snapshots.len()));
    }
    let images = all().filter(|to| matches!(to.kind, DestinationKind::Image { .. })).count();
    if images > 0 {
        parts.push(format!("have AWS make {images} image{}", if images == 1 { "" } else { "s" }));
    }
    let files = all().filter(|to| matches!(to.kind, DestinationKind::File { .. })).count();
    let replaced = all().filter(|to| matches!(to.kind, DestinationKind::File { replaces: true, .. })).count();
    let changed = all().filter(|to| matches!(to.kind, DestinationKind::File { onto: Some(_), .. })).count();
    if files > 0 {
        let s = if files == 1 { "" } else { "s" };
        let over = match (replaced, changed) {
            (0, 0) => String::new(),
            (0, changed) => format!(" ({changed} changed in place)"),
            (replaced, _) => format!(" ({replaced} replaced)"),
        };
        parts.push(format!("write {files} file{s}{over}"));
    }
    let devices = all().filter(|to| matches!(to.kind, DestinationKind::Device { .. })).count();
    if devices > 0 {
        parts.push(format!("overwrite {devices} device{}", if devices == 1 { "" } else { "s" }));
    }
    let archives = all().filter(|to| matches!(to.kind, DestinationKind::Archive { .. })).count();
    if archives > 0 {
        let s = if archives == 1 { "" } else { "s" };
        parts.push(format!("write {archives} archive{s} to S3"));
    }
    let objects = all().filter(|to| matches!(to.kind, DestinationKind::Object { .. })).count();
    if objects > 0 {
        let s = if objects == 1 { "" } else { "s" };
        let replaced = all().filter(|to| matches!(to.kind, DestinationKind::Object { replaces: Some(_), .. })).count();
        let over = if replaced > 0 { format!(" ({replaced} replaced)") } else { String::new() };
        parts.push(format!("write {objects} object{s} to S3{over}"));
    }
    let copied = all().filter(|to| to.kind.is_copied()).count();
    if copied > 0 {
        parts.push("have S3 copy what it is asked for".to_owned());
    }
    if parts.is_empty() {
        parts.push("make nothing".to_owned());
    }
    format!("Would {}, spend about {}.", parts.join(", "), plan.cost.once.value)
}

fn notes(plan: &Plan, early: bool, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let rows: Vec<Vec<Span<'static>>> = match plan.refusal() {
        _ if early => vec![
            vec![span(theme, Role::Warn, PREVIEW)],
            vec![span(
                theme,
                Role::Dim,
                "Sizes, keys, quotas and checks follow; S starts nothing before they are here.",
            )],
        ],
        Some(error) => vec![
            vec![span(theme, Role::Bad, format!("✗ Cannot start: {}", error.what))],
            vec![span(theme, Role::Accent, error.todo.map(|t| format!("→ {t}")).unwrap_or_default())],
        ],
        None => vec![
            vec![span(theme, Role::Accent, consequence(plan))],
            vec![span(theme, Role::Dim, "It makes, it removes nothing: no arming. S runs exactly this plan, once.")],
        ],
    };
    for (n, spans) in (0..area.height).zip(rows) {
        let text: String = spans.iter().map(|s| s.content.as_ref()).collect();
        let style = spans.first().map(|s| s.style).unwrap_or_default();
        let cut = words(&text, usize::from(area.width.saturating_sub(2)));
        line(area.x + 1, area.y + n, &Line::styled(cut, style), area, buf);
    }
}
