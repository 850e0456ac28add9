//! What was checked, and what would change if a knob were turned.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::view::{put, span};
use super::{Knob, knobs, tally};
use crate::plan::{Level, Plan};
use crate::tui::screen::transfers::engine::wrapped;
use crate::tui::text::{breakable, clauses, width};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;

/// Passed checks share lines; everything else has its own, the worst first.
pub(super) fn check_lines(plan: &Plan, room: usize, theme: &Theme) -> Vec<Vec<Span<'static>>> {
    let mut out: Vec<Vec<Span<'static>>> = Vec::new();
    let mut others: Vec<_> = plan.findings.iter().filter(|f| f.level > Level::Passed).collect();
    others.sort_by_key(|f| std::cmp::Reverse(f.level));
    for finding in others {
        let (glyph, role) = match finding.level {
            Level::Refused => ("✗", Role::Bad),
            Level::Warning => ("!", Role::Warn),
            _ => ("·", Role::Dim),
        };
        let todo = finding.todo.as_ref().map(|t| format!(" → {t}")).unwrap_or_default();
        let mut glyph = glyph;
        for text in wrapped(&format!("{}{todo}", finding.text), room.saturating_sub(2)) {
            out.push(vec![span(theme, role, format!("{glyph} ")), span(theme, Role::Text, text)]);
            glyph = " ";
        }
    }
    let mut joined = String::new();
    for finding in plan.findings.iter().filter(|f| f.level == Level::Passed) {
        if !joined.is_empty() && width(&joined) + width(&finding.text) + 5 > room {
            out.extend(passed(theme, &joined, room));
            joined.clear();
        }
        if !joined.is_empty() {
            joined.push_str(" · ");
        }
        joined.push_str(&finding.text);
    }
    if !joined.is_empty() {
        out.extend(passed(theme, &joined, room));
    }
    out
}

/// As many lines as they take: a key's ARN at the end is one word.
fn passed(theme: &Theme, text: &str, room: usize) -> impl Iterator<Item = Vec<Span<'static>>> {
    let marks = std::iter::once("✓ ").chain(std::iter::repeat("  "));
    let room = room.saturating_sub(2);
    let lines = marks.zip(wrapped(&breakable(text, room), room));
    lines.map(|(mark, text)| vec![span(theme, Role::Good, mark), span(theme, Role::Text, text)])
}

/// `ways`: whether the other ways are shown nowhere else.
pub(super) fn checks_panel(
    plan: &Plan,
    lines: &[Vec<Span<'static>>],
    ways: bool,
    area: Rect,
    buf: &mut Buffer,
    theme: &Theme,
) {
    if area.height == 0 {
        return;
    }
    let (passed, others) = tally(plan);
    let refused = plan.refusal().is_some();
    let title = if refused {
        format!("Checks  REFUSED · {passed} passed")
    } else {
        format!("Checks  {passed} passed · {others} to know")
    };
    let ways = if ways && plan.alternatives.len() > 1 { " and the other ways" } else { "" };
    let inner = panel(&title, &format!("enter all {}{ways}", plan.findings.len()), refused, area, buf, theme);
    for (n, spans) in (0u16..).zip(lines) {
        put(inner, n, spans.clone(), buf);
    }
}

pub(super) fn what_if(focus: Knob, made: &Plan, shown: &Plan, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height == 0 {
        return;
    }
    let inner = panel("What if", "tab next · ←→ turn · 0 reset", false, area, buf, theme);
    let room = usize::from(inner.width.saturating_sub(2));
    let gap = if room >= 90 { "   " } else { "  " };
    let mut spans = Vec::new();
    for knob in fitting(focus, shown, room) {
        let (value, changed) = (knob.value(shown), knob.value(shown) != knob.value(made));
        let role = if changed { Role::Warn } else { Role::Text };
        let arrows = match (theme.ascii, knob == focus || room >= 90) {
            (_, false) => "",
            (true, _) => " <>",
            (false, _) => " ◂▸",
        };
        if knob == focus {
            spans.push(span(theme, Role::Cursor, format!(" {} {value}{arrows} ", knob.name())));
        } else {
            spans.push(span(theme, Role::Dim, format!(" {} ", knob.name())));
            spans.push(span(theme, role, value));
            spans.push(span(theme, Role::Faint, format!("{arrows} ")));
        }
        spans.push(Span::raw(gap));
    }
    put(inner, 0, spans, buf);
    let mut row = 1;
    let turned: Vec<String> = Knob::of(shown)
        .into_iter()
        .filter(|knob| knob.value(shown) != knob.value(made))
        .map(|knob| format!("{} at {}", knob.name(), knob.value(shown).trim_end_matches(" auto")))
        .collect();
    if !turned.is_empty() {
        let text = format!("{}: {}", turned.join(", "), knobs::difference(made, shown));
        put(inner, row, vec![span(theme, Role::Accent, clauses(&text, room))], buf);
        row += 1;
    }
    for up in [true, false] {
        let knobs = super::knobs_of(made, shown);
        let next = knobs::weighed(made, focus.turned(made, knobs, up));
        if bare_value(focus, &next) == bare_value(focus, shown) {
            continue;
        }
        let value = bare_value(focus, &next);
        let text = format!("{} at {}: {}", focus.name(), value, knobs::difference(shown, &next));
        let arrow = if up { "→ " } else { "← " };
        put(
            inner,
            row,
            vec![span(theme, Role::Key, arrow), span(theme, Role::Dim, clauses(&text, room.saturating_sub(2)))],
            buf,
        );
        row += 1;
    }
    if row < inner.height
        && focus != Knob::Verify
        && let Some(text) = proof(shown)
    {
        put(inner, row, vec![span(theme, Role::Dim, format!("  {}", clauses(&text, room.saturating_sub(2))))], buf);
    }
}

/// The knobs that one line has room for: those that nobody looks at go first, from the right.
fn fitting(focus: Knob, shown: &Plan, room: usize) -> Vec<Knob> {
    let mut all = Knob::of(shown);
    let arrows = if room >= 90 { 3 } else { 0 };
    let gap = if room >= 90 { 3 } else { 2 };
    let of = |knob: &Knob| width(knob.name()) + width(&knob.value(shown)) + 3 + arrows + gap;
    while all.iter().map(of).sum::<usize>() > room + gap {
        let Some(last) = all.iter().rposition(|knob| *knob != focus) else { break };
        all.remove(last);
    }
    all
}

fn bare_value(knob: Knob, plan: &Plan) -> String {
    knob.value(plan).trim_end_matches(" auto").to_owned()
}

/// Where there is room: what proof costs, because it is asked for most and is the dearest knob.
fn proof(shown: &Plan) -> Option<String> {
    let knobs = crate::plan::Knobs { verify: Some(crate::plan::Verify::Full), ..Default::default() };
    let next = knobs::weighed(shown, knobs);
    let value = bare_value(Knob::Verify, &next);
    (value != bare_value(Knob::Verify, shown))
        .then(|| format!("verify at {value}: {}", knobs::difference(shown, &next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_passed_is_told_whole_on_as_many_lines_as_it_takes() {
        let text = "eu-west-1: encrypted by default there, with arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab";
        let lines: Vec<Vec<Span<'static>>> = passed(&Theme::default(), text, 70).collect();
        let said: Vec<&str> = lines.iter().map(|line| line[1].content.as_ref()).collect();
        assert_eq!(said.join(" "), text);
        assert_eq!(lines.iter().map(|line| line[0].content.as_ref()).collect::<Vec<_>>(), ["✓ ", "  "]);
    }
}
