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
    let end = end(model);
    let Some(Overlay::Help(state)) = model.overlays.last_mut() else { return Vec::new() };
    match key.code {
        KeyCode::Down | KeyCode::Char('j') => state.top = state.top.saturating_add(1).min(end),
        KeyCode::Up | KeyCode::Char('k') => state.top = state.top.saturating_sub(1),
        KeyCode::PageDown => state.top = state.top.saturating_add(10).min(end),
        KeyCode::PageUp => state.top = state.top.saturating_sub(10),
        _ => {
            model.overlays.pop();
        }
    }
    Vec::new()
}

/// The line at which the last screenful begins: a key that is held goes no farther, so that the way back is as short.
fn end(model: &Model) -> u16 {
    let body = crate::tui::view::body(Rect::new(0, 0, model.size.0, model.size.1));
    let all = lines(model, usize::from(body.width.saturating_sub(2)), &model.theme).len();
    u16::try_from(all).unwrap_or(u16::MAX).saturating_sub(body.height.saturating_sub(2))
}

/// Draws it over the whole screen.
pub fn view(model: &Model, state: State, area: Rect, buf: &mut Buffer, theme: &Theme) {
    Clear.render(area, buf);
    let title = format!("Keys · {}", model.screen.page().title);
    let inner = panel(&title, "esc closes · : finds any of them by a few letters", true, area, buf, theme);
    let lines = lines(model, usize::from(inner.width), theme);
    let most = lines.len().saturating_sub(usize::from(inner.height));
    let top = state.top.min(u16::try_from(most).unwrap_or(u16::MAX));
    Paragraph::new(lines).scroll((top, 0)).render(inner, buf);
}

fn lines(model: &Model, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
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
        lines.extend(line(model, action, titles, width, theme));
    }
    lines
}

/// Columns of the keys, and those that a sentence beside them needs: with fewer it has lines of its own below.
const KEYS: usize = 12;
const LEAST: usize = 26;

/// The keys, the name, and what it does: in as many lines as that takes.
fn line(model: &Model, action: &'static Action, titles: usize, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let why = (action.disabled)(model);
    let role = if why.is_some() { Role::Dim } else { Role::Text };
    let doc = match &why {
        Some(why) => format!("{} Not now: {why}.", action.doc),
        None => action.doc.to_owned(),
    };
    let before = 3 + KEYS + 1 + titles + 1;
    let beside = width > before + LEAST;
    let before = if beside { before } else { 5 };
    let mut said = text::wrap(&doc, width.saturating_sub(before + 1), 0).into_iter();
    let first = Line::from(vec![
        Span::styled(format!("   {}", text::left(&action.keys.join(" "), KEYS)), theme.style(Role::Key)),
        Span::styled(format!(" {} ", text::left(action.title, titles)), theme.style(role)),
        Span::styled(if beside { said.next().unwrap_or_default() } else { String::new() }, theme.style(Role::Dim)),
    ]);
    let more = said.map(|line| Line::from(Span::styled(format!("{:before$}{line}", ""), theme.style(Role::Dim))));
    std::iter::once(first).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use crate::tui::testing::{deck, frame, now, press};

    #[test]
    fn every_sentence_is_read_to_its_end_on_a_narrow_screen_and_the_way_back_is_as_short() {
        let (mut model, mut now) = (deck(40, 16), now());
        press(&mut model, &["2", "?"], &mut now);
        let mut read = String::new();
        for _ in 0..300 {
            read.push_str(&frame(&model, now).join(" ").replace('│', " "));
            press(&mut model, &["j"], &mut now);
        }
        let read: Vec<&str> = read.split_whitespace().collect();
        let read = read.join(" ");
        for action in crate::tui::action::in_scope(&model) {
            assert!(read.contains(action.doc), "{}: {}", action.id, action.doc);
        }
        let last = frame(&model, now);
        press(&mut model, &["k"], &mut now);
        assert_ne!(frame(&model, now), last, "a held key goes no farther than the end");
    }
}
