//! A confirmation behind the [`Gate`]: a key or a typed token accepts, `esc` leaves; enter alone never accepts.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Paragraph, Widget};

use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::gate::Gate;
use crate::tui::model::Model;
use crate::tui::overlay::Overlay;
use crate::tui::text::{tail, width, wrap};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::{centred, panel};

/// How it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accept {
    /// With this key (never enter).
    Key(char),
    /// By typing this, then enter.
    Typed {
        /// What has to be typed.
        wanted: String,
        /// What was typed.
        typed: String,
    },
    /// By typing one of these, then enter.
    Either {
        /// What may be typed.
        wanted: [String; 2],
        /// What was typed.
        typed: String,
    },
}

impl Accept {
    /// By typing one of two, then enter; the second where there is one.
    #[must_use]
    pub fn either(wanted: String, or: Option<&str>) -> Self {
        match or {
            Some(or) => Self::Either { wanted: [wanted, or.to_owned()], typed: String::new() },
            None => Self::Typed { wanted, typed: String::new() },
        }
    }

    /// What may be typed, and what was.
    fn line(&mut self) -> Option<(Vec<String>, &mut String)> {
        match self {
            Self::Key(_) => None,
            Self::Typed { wanted, typed } => Some((vec![wanted.clone()], typed)),
            Self::Either { wanted, typed } => Some((wanted.to_vec(), typed)),
        }
    }
}

/// Another answer: its key, its words, what it does.
pub type Other = (char, &'static str, fn(&mut Model, Now) -> Vec<Effect>);

/// One open confirmation.
#[derive(Debug)]
pub struct State {
    /// `Cancel job 14?`
    pub title: String,
    /// What would happen, a line each.
    pub lines: Vec<String>,
    /// How it is accepted.
    pub accept: Accept,
    /// When it listens.
    pub gate: Gate,
    /// Other answers: key, words, what they do (`k keep what was written`).
    pub others: Vec<Other>,
    /// What accepting does.
    pub then: fn(&mut Model, Now) -> Vec<Effect>,
}

/// A key for the confirmation on top.
pub fn key(model: &mut Model, key: KeyEvent, now: Now) -> Vec<Effect> {
    let Some(Overlay::Confirm(state)) = model.overlays.last_mut() else { return Vec::new() };
    if key.code == KeyCode::Esc {
        model.overlays.pop();
        return Vec::new();
    }
    // Taking a letter back confirms nothing, so it may be held.
    let typing = !matches!(state.accept, Accept::Key(_)) && key.code != KeyCode::Backspace;
    let heard = if typing { state.gate.typed(now) } else { state.gate.key(now) };
    if !heard {
        return Vec::new();
    }
    let other = |c: char| state.others.iter().find(|(k, ..)| *k == c).map(|(.., then)| *then);
    let accepted = match (&state.accept, key.code) {
        (Accept::Key(wanted), KeyCode::Char(c)) => c == *wanted,
        _ => false,
    };
    let run = match (state.accept.line(), key.code) {
        _ if accepted => Some(state.then),
        (Some((wanted, typed)), KeyCode::Enter) if wanted.contains(typed) => Some(state.then),
        (Some(_), KeyCode::Char(_)) if key.modifiers.intersects(CHORDS) => None,
        (Some((_, typed)), KeyCode::Backspace) => {
            typed.pop();
            None
        }
        (Some((wanted, typed)), KeyCode::Char(c))
            // What is too much shows, and counts: 412 is not 41.
            if wanted.iter().any(|wanted| typed.len() < wanted.len() + SURPLUS && fits(wanted, c)) =>
        {
            typed.push(c);
            None
        }
        (_, KeyCode::Char(c)) => other(c),
        _ => None,
    };
    match run {
        Some(then) => {
            model.overlays.pop();
            then(model, now)
        }
        None => Vec::new(),
    }
}

/// How much more than was wanted may stand there.
const SURPLUS: usize = 8;

/// A letter typed together with one of these is a command to something else.
const CHORDS: KeyModifiers = KeyModifiers::CONTROL.union(KeyModifiers::ALT).union(KeyModifiers::SUPER);

/// Whether a letter may be typed at all: into a number go digits only (and the blanks between several).
fn fits(wanted: &str, c: char) -> bool {
    let number = wanted.chars().all(|w| w.is_ascii_digit() || w == ' ');
    !number || c.is_ascii_digit() || (c == ' ' && wanted.contains(' '))
}

/// Draws it in the middle.
pub fn view(state: &State, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    // A frame and a blank on each side.
    let room = usize::from(area.width).saturating_sub(4);
    let lines = laid(state, room, usize::from(area.height.saturating_sub(2)), state.gate.listens(now));
    let size = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let widest = lines.iter().map(|line| width(line)).max().unwrap_or(0);
    let area = centred(area, size(widest + 4), size(lines.len() + 2));
    Clear.render(area, buf);
    let inner = panel(&state.title, "esc cancels", true, area, buf, theme);
    let lines: Vec<ratatui::text::Line> =
        lines.into_iter().map(|line| ratatui::text::Line::from(format!(" {line}"))).collect();
    Paragraph::new(lines).style(theme.style(Role::Text)).render(inner, buf);
}

/// Its lines: what would happen, what accepts it, what else there is. Where not all of them fit, what accepts it is kept
/// and the last of what would happen says that there is more to be read.
fn laid(state: &State, room: usize, height: usize, listens: bool) -> Vec<String> {
    let mut about: Vec<String> = state.lines.iter().flat_map(|line| wrap(line, room, 0)).collect();
    let (accepts, leaves) = prompt(state, listens);
    let accepts: Vec<String> = match accepts {
        (words, Some(typed)) if width(&words) + 2 + width(&typed) <= room => vec![format!("{words}  {typed}")],
        (words, typed) => wrap(&words, room, 0).into_iter().chain(typed.map(|typed| tail(&typed, room))).collect(),
    };
    let others: Vec<String> = state.others.iter().map(|(key, words, _)| format!("{key} {words}")).collect();
    let mut rest: Vec<String> = wrap(leaves, room, 0);
    let kept = accepts.len() + others.len();
    // The panel and the hints say what esc does; the blank says nothing.
    if about.len() + kept + 1 + rest.len() > height {
        rest.clear();
    }
    let blank = (about.len() + kept + rest.len() < height).then(String::new);
    let left = height.saturating_sub(kept);
    if about.len() > left {
        about.truncate(left);
        let more = "… a larger terminal shows the rest";
        about.last_mut().into_iter().for_each(|last| *last = more.to_owned());
    }
    about.into_iter().chain(blank).chain(accepts).chain(rest).chain(others).collect()
}

/// What accepts it, with what was typed so far, and what leaves everything as it is.
fn prompt(state: &State, listens: bool) -> ((String, Option<String>), &'static str) {
    const TYPED: &str = "esc leaves everything as it is · paste is ignored, enter alone does nothing";
    let soon = if listens { "" } else { "  (in a moment)" };
    let line = |typed: &str| Some(format!("▏{typed}_"));
    match &state.accept {
        Accept::Key(key) => ((format!("{key} accepts{soon}"), None), "esc leaves everything as it is"),
        Accept::Typed { wanted, typed } => ((format!("type {wanted}, then enter{soon}:"), line(typed)), TYPED),
        Accept::Either { wanted: [a, b], typed } => {
            ((format!("type {a} or {b}, then enter{soon}:"), line(typed)), TYPED)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tui::testing::{deck, now};

    /// Opens the question, types, and presses enter; whether it was accepted.
    fn answered(accept: Accept, text: &str) -> bool {
        let (mut model, now) = (deck(100, 30), now());
        model.overlays.push(Overlay::Confirm(State {
            title: String::new(),
            lines: Vec::new(),
            accept,
            gate: Gate::opened(now),
            others: Vec::new(),
            then: |model, now| {
                model.say(now, "accepted");
                Vec::new()
            },
        }));
        let mut at = now;
        for code in text.chars().map(KeyCode::Char).chain([KeyCode::Enter]) {
            at = at.later(Duration::from_secs(1));
            let _ = key(&mut model, KeyEvent::new(code, KeyModifiers::NONE), at);
        }
        model.overlays.is_empty()
    }

    #[test]
    fn what_is_typed_beyond_the_answer_is_another_answer() {
        let typed = |wanted: &str| Accept::Typed { wanted: wanted.to_owned(), typed: String::new() };
        assert!(answered(typed("41"), "41"));
        assert!(!answered(typed("41"), "412") && !answered(typed("41"), "4"));
        assert!(answered(typed("3 final"), "3 final") && !answered(typed("3 final"), "3 finally"));
        let alias = || Accept::either("9012".to_owned(), Some("acme-prod"));
        assert!(answered(alias(), "acme-prod") && answered(alias(), "9012"));
        assert!(!answered(alias(), "acme-prod2") && !answered(alias(), "90123"));
    }

    #[test]
    fn what_accepts_it_is_seen_however_small_the_terminal_is() {
        let lines = vec!["3 snapshots + 1 volume + 2 AMIs in eu-west-1, us-east-1, us-west-2".to_owned(); 6];
        let accept = || Accept::either("9012".to_owned(), Some("acme-production"));
        let state = State {
            title: "Delete 6 in 1234-5678-9012?".to_owned(),
            lines,
            accept: accept(),
            gate: Gate::opened(now()),
            others: vec![('k', "keep what was written", |_, _| Vec::new())],
            then: |_, _| Vec::new(),
        };
        for (room, height) in [(116, 34), (76, 18), (56, 14), (36, 4), (36, 6)] {
            let laid = laid(&state, room, height, true);
            assert!(laid.len() <= height && laid.iter().all(|line| width(line) <= room), "{laid:?}");
            let all = laid.join(" ");
            for word in ["type 9012 or acme-production, then", "▏_", "k keep what was written"] {
                assert!(all.contains(word), "{room}×{height}: {word} in {laid:?}");
            }
            assert_eq!(all.contains("a larger terminal"), height == 6, "{room}×{height}: {laid:?}");
        }
        let wide = laid(&state, 116, 34, true);
        assert!(wide.contains(&"type 9012 or acme-production, then enter:  ▏_".to_owned()), "{wide:?}");
    }
}
