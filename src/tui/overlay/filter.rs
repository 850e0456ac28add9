//! The filter line: the list below follows every key; `enter` keeps it, `esc` brings the old one back.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::overlay::edit;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::table::put;

/// What `esc` brings back.
#[derive(Debug)]
pub struct State {
    /// The filter before.
    pub before: String,
}

/// A key for the filter line.
pub fn key(model: &mut Model, key: KeyEvent, now: Now) -> Vec<Effect> {
    let before = match model.overlays.last() {
        Some(super::Overlay::Filter(state)) => state.before.clone(),
        _ => return Vec::new(),
    };
    let Some(list) = model.list_mut() else { return Vec::new() };
    match key.code {
        KeyCode::Enter => match &list.filter.error {
            // The last filter that could be read stays; the line stays open until this one can be.
            Some(_) => {}
            None => {
                model.overlays.pop();
            }
        },
        KeyCode::Esc => {
            list.set_filter(&before, now);
            model.overlays.pop();
        }
        KeyCode::Down => list.step_by(1),
        KeyCode::Up => list.step_by(-1),
        _ => {
            let mut text = list.filter.text.clone();
            if edit(&mut text, key) {
                list.set_filter(&text, now);
            }
        }
    }
    Vec::new()
}

/// Draws the line at the foot of the screen, with the sentence that says why it cannot be read.
pub fn view(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let Some(list) = model.list() else { return };
    if area.height == 0 {
        return;
    }
    let line = Rect { y: area.bottom() - 1, height: 1, ..area };
    Clear.render(line, buf);
    let typed = format!("/ {}_", list.filter.text);
    let found = match list.index.filtering() {
        Some(percent) => format!("{} so far, {percent} %", crate::units::grouped(list.len() as u64)),
        None => format!(
            "{} of {}",
            crate::units::grouped(list.len() as u64),
            crate::units::grouped(list.index.total() as u64)
        ),
    };
    let (right, role) = match &list.filter.error {
        Some(why) => (format!("✗ {why}"), Role::Bad),
        None => (format!("{found} · key:value, size:>500GiB age:>90d !state:error"), Role::Dim),
    };
    let width = usize::from(line.width).saturating_sub(2);
    let beside = width.saturating_sub(text::width(&typed).min(width / 2) + 2);
    // Why it cannot be read names the keys that there are: it stands above the line where it is longer.
    if role == Role::Bad && text::width(&right) > beside {
        above(&right, line, area, buf, theme);
    } else {
        let right = text::words(&right, beside);
        let at = line.right().saturating_sub(u16::try_from(text::width(&right) + 1).unwrap_or(line.width));
        put(at.max(line.x), &right, theme.style(role), line, buf);
    }
    put(
        line.x + 1,
        &text::tail(&typed, if role == Role::Bad { width } else { width - beside }),
        theme.style(Role::Accent),
        line,
        buf,
    );
}

/// A sentence above the line, in as many lines as it takes.
fn above(said: &str, line: Rect, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let said = text::wrap(said, usize::from(line.width).saturating_sub(2), 2);
    let tall = u16::try_from(said.len()).unwrap_or(u16::MAX).min(area.height.saturating_sub(1));
    let over = Rect { y: line.y - tall, height: tall, ..area };
    Clear.render(over, buf);
    for (n, said) in (0..tall).zip(said) {
        let row = Rect { y: over.y + n, height: 1, ..over };
        put(row.x + 1, &said, theme.style(Role::Bad), row, buf);
    }
}
