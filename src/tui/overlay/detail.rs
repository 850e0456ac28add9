//! `enter` on a row: everything that is known of it, over the whole screen; what small terminals have instead of a side panel.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::overlay::Overlay;
use crate::tui::screen::{Screen, detail, orphans};
use crate::tui::theme::Theme;
use crate::tui::widget::panel;

/// How far it is scrolled.
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    /// Lines from the top.
    pub top: usize,
}

/// A key for it: what it does not know goes to the list below, so that `c` copies from here too.
pub fn key(model: &mut Model, key: KeyEvent, now: Now) -> Vec<Effect> {
    let Some(Overlay::Detail(state)) = model.overlays.last_mut() else { return Vec::new() };
    let by = match key.code {
        KeyCode::Down | KeyCode::Char('j') => {
            state.top = (state.top + 1).min(200);
            return Vec::new();
        }
        KeyCode::Up | KeyCode::Char('k') => {
            state.top = state.top.saturating_sub(1);
            return Vec::new();
        }
        KeyCode::Char('n') => 1,
        KeyCode::Char('N') => -1,
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | 'h') | KeyCode::Left => {
            model.overlays.pop();
            return Vec::new();
        }
        _ => {
            model.overlays.pop();
            return crate::tui::action::find(model, key)
                .map(|action| crate::tui::update::run(model, action, now))
                .unwrap_or_default();
        }
    };
    state.top = 0;
    if let Some(list) = model.list_mut() {
        list.step_by(by);
    }
    Vec::new()
}

/// Draws it over the whole screen.
pub fn view(model: &Model, state: State, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    Clear.render(area, buf);
    let inner = panel(model.screen.page().title, "n next · esc back to the list", true, area, buf, theme);
    let width = usize::from(inner.width).saturating_sub(2);
    let c = &model.catalog;
    let at = model.list().and_then(crate::tui::list::List::current);
    let lines = at.and_then(|at| match model.screen {
        Screen::Snapshots => c.snapshots.get(at).map(|row| detail::snapshot(model, row, width, now)),
        Screen::Volumes => c.volumes.get(at).map(|row| detail::volume(model, row, now)),
        Screen::Images => c.images.get(at).map(|row| detail::image(model, row, width, now)),
        Screen::Orphans => model.orphans.table.get(at).map(|row| orphans::why(row, width, now)),
        _ => None,
    });
    let lines = lines.unwrap_or_default();
    let most = lines.len().saturating_sub(usize::from(inner.height));
    detail::draw(lines.get(state.top.min(most)..).unwrap_or_default(), inner, buf, theme);
}
