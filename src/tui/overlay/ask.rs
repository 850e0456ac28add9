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
use crate::tui::text::{breakable, tail, wrap};
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

/// Draws it in the middle: the end of what is typed, and all of what a good answer looks like or why it is none.
pub fn view(state: &State, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let width = area.width.min(76);
    let room = usize::from(width.saturating_sub(4));
    let said = match &state.error {
        Some(why) => (format!("✗ {why}"), Role::Bad),
        None => (state.help.clone(), Role::Dim),
    };
    let said: Vec<Line> = wrap(&breakable(&said.0, room), room, 0)
        .into_iter()
        .map(|text| Line::from(Span::styled(format!(" {text}"), theme.style(said.1))))
        .collect();
    let typed = tail(&state.text, room.saturating_sub(2));
    let typed = Line::from(vec![Span::raw(" ▏"), Span::styled(typed, theme.style(Role::Accent)), Span::raw("_")]);
    let tall = u16::try_from(said.len()).unwrap_or(u16::MAX).saturating_add(4);
    // A blank between them where there is room for one.
    let blank = (tall <= area.height).then(Line::default);
    let area = centred(area, width, tall);
    Clear.render(area, buf);
    let inner = panel(&state.title, "enter accepts · esc leaves it", true, area, buf, theme);
    let lines: Vec<Line> = std::iter::once(typed).chain(blank).chain(said).collect();
    Paragraph::new(lines).render(inner, buf);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::{deck, frame, now};

    #[test]
    fn why_an_answer_is_no_good_is_read_to_its_end_and_the_end_of_what_is_typed_is_seen() {
        let why =
            "`eu-west-1` could be a region or a file: did you mean `eu-west-1:`? A file of that name is `./eu-west-1`";
        for (width, height) in [(120, 40), (80, 24), (60, 20), (40, 12)] {
            let mut model = deck(width, height);
            model.overlays.push(Overlay::Ask(State {
                title: "Where to".to_owned(),
                help: String::new(),
                text: format!("{}the-end", "./a-long-folder/".repeat(8)),
                error: Some(why.to_owned()),
                then: |_, _, _| Ok(Vec::new()),
            }));
            let drawn = frame(&model, now()).join(" ").replace('│', " ");
            let words: Vec<&str> = drawn.split_whitespace().collect();
            assert!(why.split(' ').all(|word| words.contains(&word)), "{width}×{height}: {drawn}");
            assert!(drawn.contains("the-end_"), "{width}×{height}: {drawn}");
        }
    }
}
