//! `E`: what failed and where, what to do about it, until it is mended. One pattern for every error.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Widget};

use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::{Model, Problem};
use crate::tui::overlay::Overlay;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;

/// The one under the cursor; newest first.
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    /// Counted from the newest.
    pub cursor: usize,
}

/// A key for the list.
pub fn key(model: &mut Model, key: KeyEvent, now: Now) -> Vec<Effect> {
    let last = model.problems.len().saturating_sub(1);
    let Some(Overlay::Errors(state)) = model.overlays.last_mut() else { return Vec::new() };
    match key.code {
        KeyCode::Esc | KeyCode::Char('q' | 'E') => {
            model.overlays.pop();
        }
        KeyCode::Down | KeyCode::Char('j') => state.cursor = (state.cursor + 1).min(last),
        KeyCode::Up | KeyCode::Char('k') => state.cursor = state.cursor.saturating_sub(1),
        KeyCode::Char('x') if !model.problems.is_empty() => {
            let at = last.saturating_sub(state.cursor);
            model.problems.remove(at);
            state.cursor = state.cursor.min(last.saturating_sub(1));
        }
        KeyCode::Char('y') => {
            let at = last.saturating_sub(state.cursor);
            let Some(problem) = model.problems.get(at) else { return Vec::new() };
            let text = problem.error.todo.clone().unwrap_or_else(|| problem.error.to_string());
            model.say(now, "copied (OSC 52)");
            return vec![Effect::Copy(text)];
        }
        _ => {}
    }
    Vec::new()
}

fn ago(at: jiff::Timestamp, now: Now) -> String {
    match text::data_age(at, now) {
        age if age == "now" => age,
        age => format!("{age} ago"),
    }
}

/// Draws it over the whole screen.
pub fn view(model: &Model, state: State, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    Clear.render(area, buf);
    let n = model.problems.len();
    let inner = panel(&format!("Errors {n}"), "until mended · x drops one", true, area, buf, theme);
    if n == 0 {
        Paragraph::new(" Nothing went wrong.").style(theme.style(Role::Dim)).render(inner, buf);
        return;
    }
    // A blank on the right, as on the left: what is wrapped does not touch the frame.
    let room = usize::from(inner.width.saturating_sub(1));
    let cursor = state.cursor.min(n - 1);
    let entries = model.problems.iter().rev().enumerate();
    let entries: Vec<Vec<Line>> = entries.map(|(n, problem)| entry(problem, n == cursor, room, theme, now)).collect();
    // The one under the cursor is always in sight, its first line before its last: entries above it scroll away.
    let height = usize::from(inner.height);
    let first: usize = entries.iter().take(cursor).map(Vec::len).sum();
    let skip = (first + entries[cursor].len()).saturating_sub(height).min(first);
    let lines: Vec<Line> = entries.into_iter().flatten().skip(skip).take(height).collect();
    Paragraph::new(lines).render(inner, buf);
}

/// Where the words of an entry begin, behind its marks.
const INDENT: usize = 5;

/// What failed, how often and when; under the cursor also what AWS said; what to do.
fn entry(problem: &Problem, here: bool, room: usize, theme: &Theme, now: Now) -> Vec<Line<'static>> {
    let styled = |text: String, role: Role| Span::styled(text, theme.style(role));
    let room = room.saturating_sub(INDENT);
    let wrapped = |text: &str, room: usize| text::wrap(&text::breakable(text, room), room, 0);
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (n, said) in wrapped(&problem.error.to_string(), room).into_iter().enumerate() {
        let marks = match (n, here) {
            (0, true) => [" ▶ ", "✗ "],
            (0, false) => ["   ", "✗ "],
            _ => ["   ", "  "],
        };
        let [pointer, cross] = marks.map(str::to_owned);
        lines.push(Line::from(vec![styled(pointer, Role::Accent), styled(cross, Role::Bad), styled(said, Role::Text)]));
    }
    let many = if problem.count > 1 { format!("×{}  ", problem.count) } else { String::new() };
    let when = ago(problem.at, now);
    let fits = |line: &&mut Line<'_>| line.width() + 2 + text::width(&many) + text::width(&when) <= room + INDENT;
    let tail = [styled(format!("  {many}"), Role::Warn), styled(when.clone(), Role::Dim)];
    match lines.last_mut().filter(fits) {
        Some(last) => last.spans.extend(tail),
        None => lines.push(Line::from([vec![Span::raw(" ".repeat(INDENT - 2))], tail.to_vec()].concat())),
    }
    if here && let Some(aws) = problem.error.aws.as_ref().filter(|aws| !aws.message.is_empty()) {
        let said = wrapped(&format!("AWS says: {}", aws.message), room);
        lines.extend(said.into_iter().map(|said| Line::from(styled(format!("{:INDENT$}{said}", ""), Role::Dim))));
    }
    let arrows = std::iter::once("→ ").chain(std::iter::repeat("  "));
    let todo = problem.error.todo.iter().flat_map(|todo| wrapped(todo, room.saturating_sub(2)));
    lines.extend(arrows.zip(todo).map(|(mark, said)| {
        let said = format!("{:INDENT$}{mark}{said}", "");
        Line::from(styled(said, Role::Fresh))
    }));
    lines
}
