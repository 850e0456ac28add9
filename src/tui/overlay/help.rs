//! `?`: every key of this screen, from the same definitions that give the keys their meaning.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Widget};

use crate::tui::action::{self, Action, Scope};
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::overlay::Overlay;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;

/// How far it is scrolled.
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    /// Lines from the top.
    pub top: u16,
}

/// A key for the help.
pub fn key(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let Some(Overlay::Help(state)) = model.overlays.last_mut() else { return Vec::new() };
    match key.code {
        KeyCode::Down | KeyCode::Char('j') => state.top = state.top.saturating_add(1).min(200),
        KeyCode::Up | KeyCode::Char('k') => state.top = state.top.saturating_sub(1),
        KeyCode::PageDown => state.top = state.top.saturating_add(10).min(200),
        KeyCode::PageUp => state.top = state.top.saturating_sub(10),
        _ => {
            model.overlays.pop();
        }
    }
    Vec::new()
}

/// Draws it over the whole screen.
pub fn view(model: &Model, state: State, area: Rect, buf: &mut Buffer, theme: &Theme) {
    Clear.render(area, buf);
    let title = format!("Keys · {}", model.screen.page().title);
    let inner = panel(&title, "esc closes · : finds any of them by a few letters", true, area, buf, theme);
    let mut lines: Vec<Line> = Vec::new();
    let mut scope = None;
    for action in action::in_scope(model) {
        if scope != Some(action.scope) {
            scope = Some(action.scope);
            let head = match action.scope {
                Scope::Screen(screen) => screen.page().title,
                Scope::Lists => "Lists",
                Scope::Everywhere => "Everywhere",
            };
            if !lines.is_empty() {
                lines.push(Line::default());
            }
            lines.push(Line::from(Span::styled(format!(" {head}"), theme.style(Role::Title))));
        }
        lines.push(line(model, action, usize::from(inner.width), theme));
    }
    let most = lines.len().saturating_sub(usize::from(inner.height));
    let top = state.top.min(u16::try_from(most).unwrap_or(u16::MAX));
    Paragraph::new(lines).scroll((top, 0)).render(inner, buf);
}

fn line(model: &Model, action: &'static Action, width: usize, theme: &Theme) -> Line<'static> {
    let why = (action.disabled)(model);
    let role = if why.is_some() { Role::Dim } else { Role::Text };
    let doc = match &why {
        Some(why) => format!("{} Not now: {why}.", action.doc),
        None => action.doc.to_owned(),
    };
    Line::from(vec![
        Span::styled(format!("   {}", text::left(&action.keys.join(" "), 12)), theme.style(Role::Key)),
        Span::styled(format!(" {}", text::left(action.title, 14)), theme.style(role)),
        Span::styled(text::clip(&doc, width.saturating_sub(31)), theme.style(Role::Dim)),
    ])
}
