//! `E`: what failed and where, what to do about it, until it is mended. One pattern for every error.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Widget, Wrap};

use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
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
    let inner = Rect { width: inner.width.saturating_sub(1), ..inner };
    let mut lines: Vec<Line> = Vec::new();
    for (place, problem) in model.problems.iter().rev().enumerate() {
        let here = place == state.cursor;
        let pointer = if here { "▶" } else { " " };
        let mut first = vec![
            Span::styled(format!(" {pointer} "), theme.style(Role::Accent)),
            Span::styled("✗ ", theme.style(Role::Bad)),
            Span::styled(problem.error.to_string(), theme.style(Role::Text)),
        ];
        if problem.count > 1 {
            first.push(Span::styled(format!("  ×{}", problem.count), theme.style(Role::Warn)));
        }
        first.push(Span::styled(format!("  {}", ago(problem.at, now)), theme.style(Role::Dim)));
        lines.push(Line::from(first));
        if here && let Some(aws) = problem.error.aws.as_ref().filter(|aws| !aws.message.is_empty()) {
            lines.push(Line::from(Span::styled(format!("     AWS says: {}", aws.message), theme.style(Role::Dim))));
        }
        if let Some(todo) = &problem.error.todo {
            lines.push(Line::from(Span::styled(format!("     → {todo}"), theme.style(Role::Fresh))));
        }
    }
    // The one under the cursor is always in sight: entries above it scroll away.
    let above: usize =
        model.problems.iter().rev().take(state.cursor).map(|p| 1 + usize::from(p.error.todo.is_some())).sum();
    let skip = u16::try_from((above + 4).saturating_sub(usize::from(inner.height))).unwrap_or(0);
    Paragraph::new(lines).wrap(Wrap { trim: false }).scroll((skip, 0)).render(inner, buf);
}
