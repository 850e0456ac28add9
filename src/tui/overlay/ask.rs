//! One question with one line of text: a budget, a bandwidth, a file name.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Widget};

use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::overlay::Overlay;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::{centred, panel};

/// One open question.
#[derive(Debug)]
pub struct State {
    /// `Memory budget`
    pub title: String,
    /// What a good answer looks like.
    pub help: String,
    /// What was typed.
    pub text: String,
    /// Why the last answer was no good.
    pub error: Option<String>,
    /// What the answer does, or why it is no good.
    pub then: fn(&mut Model, &str, Now) -> Result<Vec<Effect>, String>,
}

/// A key for the question on top.
pub fn key(model: &mut Model, key: KeyEvent, now: Now) -> Vec<Effect> {
    let Some(Overlay::Ask(state)) = model.overlays.last_mut() else { return Vec::new() };
    state.error = None;
    match key.code {
        KeyCode::Esc => {
            model.overlays.pop();
        }
        KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => state.text.clear(),
        KeyCode::Char(c) if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => state.text.push(c),
        KeyCode::Backspace => {
            state.text.pop();
        }
        KeyCode::Enter => {
            let (text, then) = (state.text.clone(), state.then);
            match then(model, &text, now) {
                Ok(effects) => {
                    model.overlays.retain(|o| !matches!(o, Overlay::Ask(_)));
                    return effects;
                }
                Err(why) => {
                    if let Some(Overlay::Ask(state)) = model.overlays.last_mut() {
                        state.error = Some(why);
                    }
                }
            }
        }
        _ => {}
    }
    Vec::new()
}

/// Draws it in the middle.
pub fn view(state: &State, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let area = centred(area, 76, 5);
    Clear.render(area, buf);
    let inner = panel(&state.title, "enter accepts · esc leaves it", true, area, buf, theme);
    let last = match &state.error {
        Some(why) => Span::styled(format!(" ✗ {why}"), theme.style(Role::Bad)),
        None => Span::styled(format!(" {}", state.help), theme.style(Role::Dim)),
    };
    let lines = vec![
        Line::from(vec![Span::raw(" ▏"), Span::styled(state.text.clone(), theme.style(Role::Accent)), Span::raw("_")]),
        Line::default(),
        Line::from(last),
    ];
    Paragraph::new(lines).render(inner, buf);
}
