//! `i` in the transfers: who holds memory now, drawn from each picture anew.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Paragraph, Widget};

use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::overlay::Overlay;
use crate::tui::screen::transfers;
use crate::tui::theme::Theme;
use crate::tui::widget::panel;

/// How far it is scrolled.
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    /// Lines from the top.
    pub top: u16,
}

/// A key for it.
pub fn key(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let end = end(model);
    let Some(Overlay::Holders(state)) = model.overlays.last_mut() else { return Vec::new() };
    match key.code {
        KeyCode::Down | KeyCode::Char('j') => state.top = state.top.saturating_add(1).min(end),
        KeyCode::Up | KeyCode::Char('k') => state.top = state.top.saturating_sub(1),
        _ => {
            model.overlays.pop();
        }
    }
    Vec::new()
}

/// The line at which the last screenful begins: a key that is held goes no farther, so that the way back is as short.
fn end(model: &Model) -> u16 {
    let body = crate::tui::view::body(Rect::new(0, 0, model.size.0, model.size.1));
    let lines =
        |status| transfers::memory::lines(status, usize::from(body.width.saturating_sub(2)), &model.theme).len();
    let all = transfers::shown(model).map_or(0, lines);
    u16::try_from(all).unwrap_or(u16::MAX).saturating_sub(body.height.saturating_sub(2))
}

/// Draws it over the whole screen.
pub fn view(model: &Model, state: State, area: Rect, buf: &mut Buffer, theme: &Theme) {
    Clear.render(area, buf);
    let inner = panel("Memory: who holds it now", "live · esc closes", true, area, buf, theme);
    let Some(status) = transfers::shown(model) else { return };
    let lines = transfers::memory::lines(status, usize::from(inner.width), theme);
    let most = lines.len().saturating_sub(usize::from(inner.height));
    let top = state.top.min(u16::try_from(most).unwrap_or(u16::MAX));
    Paragraph::new(lines).scroll((top, 0)).render(inner, buf);
}
