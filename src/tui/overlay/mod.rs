//! What lies over a screen and takes the keys first: confirmations, questions, pickers, palette, help.
//!
//! `esc` always closes the topmost one; none of them is a dead end.

pub mod address;
pub mod ask;
pub mod confirm;
pub mod detail;
pub mod errors;
pub mod filter;
pub mod help;
pub mod holders;
pub mod inside;
pub mod palette;
pub mod pick;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::clock::Now;
use super::effect::Effect;
use super::model::Model;
use super::theme::Theme;

/// One of them.
#[derive(Debug)]
pub enum Overlay {
    /// Accept or leave, maybe with a typed token.
    Confirm(confirm::State),
    /// One line of text.
    Ask(ask::State),
    /// The filter line of the list below.
    Filter(filter::State),
    /// Where to copy to.
    Address(address::State),
    /// Every action, screen, region, id.
    Palette(palette::State),
    /// Profiles or regions.
    Pick(pick::State),
    /// The keys of the screen.
    Help(help::State),
    /// Who holds memory now.
    Holders(holders::State),
    /// What is inside a snapshot.
    Inside(inside::State),
    /// What went wrong.
    Errors(errors::State),
    /// The detail of a row, over the whole screen.
    Detail(detail::State),
}

impl Overlay {
    /// Keys and words for the hint line while it is open.
    #[must_use]
    pub fn hints(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Confirm(_) => &[("esc", "leave everything as it is")],
            Self::Ask(_) => &[("enter", "accept"), ("ctrl-u", "empty"), ("esc", "leave it")],
            Self::Filter(_) => &[("enter", "keep"), ("ctrl-u", "empty"), ("esc", "as it was")],
            Self::Address(address::State { purpose: address::Purpose::Archives, .. }) => {
                &[("tab", "complete"), ("↑↓", "choose"), ("enter", "list"), ("ctrl-u", "empty"), ("esc", "leave it")]
            }
            Self::Address(_) => {
                &[("tab", "complete"), ("↑↓", "choose"), ("enter", "plan"), ("ctrl-u", "empty"), ("esc", "leave it")]
            }
            Self::Palette(_) => &[("↑↓", "choose"), ("enter", "do it"), ("ctrl-u", "empty"), ("esc", "leave it")],
            Self::Pick(_) => {
                &[("space", "mark"), ("enter", "use"), ("y", "copy the mending command"), ("esc", "leave it")]
            }
            Self::Help(_) | Self::Holders(_) => &[("↑↓", "scroll"), ("esc", "close")],
            Self::Inside(_) => &[("↑↓", "scroll"), ("esc", "stop and close")],
            Self::Detail(_) => &[("↑↓", "scroll"), ("n N", "next, previous row"), ("esc", "close")],
            Self::Errors(_) => &[("↑↓", "choose"), ("y", "copy what to do"), ("x", "drop"), ("esc", "close")],
        }
    }
}

/// The topmost overlay gets a key.
pub fn key(model: &mut Model, key: KeyEvent, now: Now) -> Vec<Effect> {
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        let inside = matches!(model.overlays.pop(), Some(Overlay::Inside(_)));
        return if inside { super::insides::stop(model) } else { Vec::new() };
    }
    match model.overlays.last() {
        Some(Overlay::Confirm(_)) => confirm::key(model, key, now),
        Some(Overlay::Ask(_)) => ask::key(model, key, now),
        Some(Overlay::Filter(_)) => filter::key(model, key, now),
        Some(Overlay::Address(_)) => address::key(model, key, now),
        Some(Overlay::Palette(_)) => palette::key(model, key, now),
        Some(Overlay::Pick(_)) => pick::key(model, key, now),
        Some(Overlay::Help(_)) => help::key(model, key),
        Some(Overlay::Holders(_)) => holders::key(model, key),
        Some(Overlay::Inside(_)) => inside::key(model, key),
        Some(Overlay::Errors(_)) => errors::key(model, key, now),
        Some(Overlay::Detail(_)) => detail::key(model, key, now),
        None => Vec::new(),
    }
}

/// Pasted text goes into lines of text, never into a typed token.
pub fn paste(model: &mut Model, text: &str, now: Now) -> Vec<Effect> {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
    match model.overlays.last_mut() {
        Some(Overlay::Ask(state)) => state.text.push_str(&clean),
        Some(Overlay::Address(state)) => state.text.push_str(&clean),
        Some(Overlay::Palette(state)) => state.text.push_str(&clean),
        Some(Overlay::Filter(_)) => {
            if let Some(list) = model.list_mut() {
                let text = format!("{}{clean}", list.filter.text);
                list.set_filter(&text, now);
            }
        }
        Some(Overlay::Confirm(_)) => model.refuse(now, "typed by hand only: paste is ignored here"),
        _ => {}
    }
    Vec::new()
}

/// Longest text that a line takes: longer ones are no address and no filter.
pub const MAX_TEXT: usize = 2_000;

/// Edits a line of text at its end; false when the key is not for it.
pub fn edit(text: &mut String, key: KeyEvent) -> bool {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('u') if ctrl => text.clear(),
        KeyCode::Char('w') if ctrl => {
            let end = text.trim_end().rfind(' ').map_or(0, |at| at + 1);
            text.truncate(end);
        }
        KeyCode::Char(c) if !ctrl && !key.modifiers.contains(KeyModifiers::ALT) && text.len() < MAX_TEXT => {
            text.push(c)
        }
        KeyCode::Backspace => {
            text.pop();
        }
        _ => return false,
    }
    true
}

/// Draws all of them, bottom first.
pub fn view(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    for overlay in &model.overlays {
        match overlay {
            Overlay::Confirm(state) => confirm::view(state, area, buf, theme, now),
            Overlay::Ask(state) => ask::view(state, area, buf, theme),
            Overlay::Filter(_) => filter::view(model, area, buf, theme),
            Overlay::Address(state) => address::view(model, state, area, buf, theme),
            Overlay::Palette(state) => palette::view(model, state, area, buf, theme),
            Overlay::Pick(state) => pick::view(model, state, area, buf, theme),
            Overlay::Help(state) => help::view(model, *state, area, buf, theme),
            Overlay::Holders(state) => holders::view(model, *state, area, buf, theme),
            Overlay::Inside(state) => inside::view(model, state, area, buf, theme),
            Overlay::Detail(state) => detail::view(model, *state, area, buf, theme, now),
            Overlay::Errors(state) => errors::view(model, *state, area, buf, theme, now),
        }
    }
}
