//! What lies over the figures of a plan: how one was computed, or every check and the other ways, which a small terminal
//! has no room for beside the parts. Of a preview a sheet says that it is one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;
use ratatui::widgets::{Clear, Widget};

use super::view::{PREVIEW, put, span};
use super::{Sheet, State, formula};
use crate::plan::{Finding, Level, Plan};
use crate::tui::model::Model;
use crate::tui::text::{breakable, width, wrap};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::{centred, panel};
use crate::units::counted;

/// What lies over the plan, drawn.
struct Over {
    title: String,
    hint: &'static str,
    lines: Vec<Vec<Span<'static>>>,
}

/// What lies over the plan; what is longer than the screen is wide goes on in the next line. Of a preview it says that
/// it is one, above everything.
fn over(state: &State, area: Rect, theme: &Theme) -> Option<Over> {
    let plan = state.figures()?;
    let room = usize::from(area.width.saturating_sub(4));
    let (mut title, hint, lines) = match state.sheet {
        Sheet::None => return None,
        Sheet::Formula(which) => {
            let (title, lines) = formula::sheet(plan, which, room);
            let lines: Vec<_> = lines.into_iter().map(|text| vec![span(theme, Role::Text, text)]).collect();
            (title, "i next figure · esc closes", lines)
        }
        Sheet::Checks => {
            let checks = plan.findings.iter().flat_map(|finding| finding_lines(finding, room, theme));
            let lines = checks.chain(ways(plan, room, theme)).collect();
            (format!("Checks {}", plan.findings.len()), "esc closes", lines)
        }
    };
    let mut above = Vec::new();
    if state.early().is_some() {
        title.push_str(" ◐ preview");
        above.extend(wrap(PREVIEW, room, 2).into_iter().map(|text| vec![span(theme, Role::Warn, text)]));
    }
    above.extend(lines);
    Some(Over { title, hint, lines: above })
}

/// A finding and what to do about it, each below its own mark.
fn finding_lines(finding: &Finding, room: usize, theme: &Theme) -> Vec<Vec<Span<'static>>> {
    let (glyph, role) = match finding.level {
        Level::Passed => ("✓ ", Role::Good),
        Level::Note => ("· ", Role::Dim),
        Level::Warning => ("! ", Role::Warn),
        Level::Refused => ("✗ ", Role::Bad),
    };
    let below = |first: &'static str, then: &'static str| std::iter::once(first).chain(std::iter::repeat(then));
    let text =
        below(glyph, "  ").zip(wrap(&breakable(&finding.text, room.saturating_sub(2)), room.saturating_sub(2), 0));
    let text = text.map(|(mark, text)| vec![span(theme, role, mark), span(theme, Role::Text, text)]);
    let todo = finding.todo.iter().flat_map(|todo| below("  → ", "    ").zip(wrap(todo, room.saturating_sub(4), 0)));
    let todo = todo.map(|(mark, text)| vec![span(theme, Role::Accent, format!("{mark}{text}"))]);
    text.chain(todo).collect()
}

/// The alternatives as lines of a sheet: what each costs, how long it takes, what it keeps, why it cannot be taken.
fn ways(plan: &Plan, room: usize, theme: &Theme) -> Vec<Vec<Span<'static>>> {
    if plan.alternatives.len() < 2 {
        return Vec::new();
    }
    let mut out =
        vec![Vec::new(), vec![span(theme, Role::Title, "Other ways: 1-5 take one, and the plan is made again")]];
    for (n, way) in (1..).zip(plan.alternatives.iter().take(5)) {
        let mark = if way.chosen { "▶" } else { " " };
        let time = if way.time == "unknown" { "time unknown" } else { &way.time };
        let said = format!("{} · {} once, {} a month · {time} · keeps {}", way.name, way.once, way.monthly, way.keeps);
        let role = if way.unavailable.is_some() { Role::Dim } else { Role::Text };
        let heads = std::iter::once(format!("{n} {mark} ")).chain(std::iter::repeat("    ".to_owned()));
        let lines = heads.zip(wrap(&said, room.saturating_sub(4), 0));
        out.extend(lines.map(|(head, text)| vec![span(theme, Role::Accent, head), span(theme, role, text)]));
        let why = way.unavailable.as_deref().unwrap_or(&way.remark);
        let lines = wrap(why, room.saturating_sub(4), 0).into_iter().filter(|line| !line.is_empty());
        out.extend(lines.map(|text| vec![span(theme, Role::Dim, format!("    {text}"))]));
    }
    out
}

/// How many lines of the sheet do not fit on the screen.
pub(super) fn end(model: &Model) -> u16 {
    let area = crate::tui::view::body(Rect::new(0, 0, model.size.0, model.size.1));
    let sheet = over(&model.plan, area, &model.theme);
    let lines = sheet.map_or(0, |sheet| sheet.lines.len());
    u16::try_from(lines).unwrap_or(u16::MAX).saturating_sub(area.height.saturating_sub(2))
}

pub(super) fn draw(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let Some(Over { title, hint, lines }) = over(&model.plan, area, theme) else { return };
    let widest = lines.iter().map(|l| l.iter().map(|s| width(&s.content)).sum::<usize>()).max().unwrap_or(0);
    let size = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let over = centred(area, size(widest + 4).max(60), size(lines.len() + 2));
    let shown = usize::from(over.height.saturating_sub(2));
    // The terminal may have grown since.
    let top = usize::from(model.plan.top).min(lines.len().saturating_sub(shown));
    let hint = match lines.len() - (top + shown).min(lines.len()) {
        0 if top == 0 => hint.to_owned(),
        0 => format!("k back · {hint}"),
        more => format!("j {} · {hint}", counted(size(more).into(), "more line")),
    };
    Clear.render(over, buf);
    let inner = panel(&title, &hint, true, over, buf, theme);
    for (n, spans) in (0u16..).zip(lines.into_iter().skip(top)) {
        put(inner, n, spans, buf);
    }
}
