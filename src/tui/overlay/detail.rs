//! `enter` on a row: everything that is known of it, over the whole screen; what small terminals have instead of a side panel.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::overlay::Overlay;
use crate::tui::screen::detail::DetailLine;
use crate::tui::screen::{Screen, detail, orphans};
use crate::tui::text;
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
    let end = if matches!(key.code, KeyCode::Down | KeyCode::Char('j')) { end(model, now) } else { 0 };
    let Some(Overlay::Detail(state)) = model.overlays.last_mut() else { return Vec::new() };
    let by = match key.code {
        KeyCode::Down | KeyCode::Char('j') => {
            state.top = (state.top + 1).min(end);
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

/// The line at which the last screenful begins: a key that is held goes no farther, so that the way back is as short.
fn end(model: &Model, now: Now) -> usize {
    let body = crate::tui::view::body(Rect::new(0, 0, model.size.0, model.size.1));
    let lines = lines(model, usize::from(body.width).saturating_sub(4), now);
    lines.len().saturating_sub(usize::from(body.height.saturating_sub(2)))
}

/// Everything that is known of the row under the cursor, none of it wider than `width`.
fn lines(model: &Model, width: usize, now: Now) -> Vec<DetailLine> {
    let c = &model.catalog;
    let at = model.list().and_then(crate::tui::list::List::current);
    let lines = at.and_then(|at| match model.screen {
        Screen::Snapshots => c.snapshots.get(at).map(|row| detail::snapshot(model, row, width, now)),
        Screen::Volumes => c.volumes.get(at).map(|row| detail::volume(model, row, now)),
        Screen::Images => c.images.get(at).map(|row| detail::image(model, row, width, now)),
        Screen::Orphans => model.orphans.table.get(at).map(|row| orphans::why(row, width, now)),
        _ => None,
    });
    detail::laid(&lines.unwrap_or_default(), width).collect()
}

/// Draws it over the whole screen.
pub fn view(model: &Model, state: State, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    Clear.render(area, buf);
    let width = usize::from(area.width).saturating_sub(4);
    let lines = lines(model, width, now);
    let height = usize::from(area.height).saturating_sub(2);
    let top = state.top.min(lines.len().saturating_sub(height));
    let hint = match lines.len().saturating_sub(top + height) {
        0 => "n next · esc back to the list".to_owned(),
        more => format!("j {} · n next · esc back to the list", text::count(more as u64, "more line")),
    };
    let inner = panel(model.screen.page().title, &hint, true, area, buf, theme);
    detail::draw(lines.get(top..).unwrap_or_default(), inner, buf, theme);
}

#[cfg(test)]
mod tests {
    use crate::tui::testing::{deck, frame, now, press};

    #[test]
    fn a_held_key_goes_no_farther_than_the_last_line() {
        let (mut model, mut now) = (deck(80, 24), now());
        press(&mut model, &["2", "enter"], &mut now);
        let first = frame(&model, now);
        assert!(first[2].contains(" more line"), "{}", first[2]);
        press(&mut model, &["j"; 60], &mut now);
        let last = frame(&model, now);
        assert!(!last[2].contains(" more line") && last != first, "{}", last[2]);
        press(&mut model, &["k"], &mut now);
        assert_ne!(frame(&model, now), last, "the way back begins at once");
    }
}
