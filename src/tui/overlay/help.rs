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
    let actions: Vec<_> = action::in_scope(model).collect();
    let titles = actions.iter().map(|action| text::width(action.title)).max().unwrap_or(0);
    for action in actions {
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
        lines.extend(line(model, action, titles, usize::from(inner.width), theme));
    }
    let most = lines.len().saturating_sub(usize::from(inner.height));
    let top = state.top.min(u16::try_from(most).unwrap_or(u16::MAX));
    Paragraph::new(lines).scroll((top, 0)).render(inner, buf);
}

/// Columns of the keys.
const KEYS: usize = 12;

/// The keys, the name, and what it does: in as many lines as that takes.
fn line(model: &Model, action: &'static Action, titles: usize, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let why = (action.disabled)(model);
    let role = if why.is_some() { Role::Dim } else { Role::Text };
    let doc = match &why {
        Some(why) => format!("{} Not now: {why}.", action.doc),
        None => action.doc.to_owned(),
    };
    let before = 3 + KEYS + 1 + titles + 1;
    let mut said = text::wrap(&doc, width.saturating_sub(before + 1), 0).into_iter();
    let first = Line::from(vec![
        Span::styled(format!("   {}", text::left(&action.keys.join(" "), KEYS)), theme.style(Role::Key)),
        Span::styled(format!(" {} ", text::left(action.title, titles)), theme.style(role)),
        Span::styled(said.next().unwrap_or_default(), theme.style(Role::Dim)),
    ]);
    let more = said.map(|line| Line::from(Span::styled(format!("{:before$}{line}", ""), theme.style(Role::Dim))));
    std::iter::once(first).chain(more).collect()
}
