//! `i` on a snapshot or a volume: what is inside, read while it is open; closing it stops the reading.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use crate::disk::{Content, Inside, Partition, Scheme};
use crate::engine::inside::{Looked, most_of_snapshot};
use crate::tui::effect::Effect;
use crate::tui::insides::{self, At};
use crate::tui::model::Model;
use crate::tui::overlay::Overlay;
use crate::tui::screen::compare::money;
use crate::tui::screen::detail::{self, DetailLine, wrapped};
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;

/// Lines that it scrolls over at most.
const MOST: usize = 400;

/// Which, and how far it is scrolled.
#[derive(Debug, Clone)]
pub struct State {
    /// The snapshot.
    pub of: At,
    /// Lines from the top.
    pub top: usize,
}

/// Opens it and looks.
pub fn open(model: &mut Model, of: At) -> Vec<Effect> {
    let effects = insides::look(model, &of);
    model.overlays.push(Overlay::Inside(State { of, top: 0 }));
    effects
}

/// A key for it.
pub fn key(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let Some(Overlay::Inside(state)) = model.overlays.last_mut() else { return Vec::new() };
    match key.code {
        KeyCode::Down | KeyCode::Char('j') => state.top = (state.top + 1).min(MOST),
        KeyCode::Up | KeyCode::Char('k') => state.top = state.top.saturating_sub(1),
        KeyCode::Char('r') => {
            let of = state.of.clone();
            return insides::look(model, &of);
        }
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | 'i' | 'h') | KeyCode::Left => {
            model.overlays.pop();
            return insides::stop(model);
        }
        _ => {}
    }
    Vec::new()
}

/// Draws it over the whole screen.
pub fn view(model: &Model, state: &State, area: Rect, buf: &mut Buffer, theme: &Theme) {
    Clear.render(area, buf);
    let title = format!("Inside {}", state.of.1);
    let inner = panel(&title, "esc stops and closes", true, area, buf, theme);
    let width = usize::from(inner.width).saturating_sub(2);
    let lines = match model.insides.get(&state.of) {
        None => waiting(&state.of, width),
        Some(Err(error)) => {
            let mut lines = Vec::new();
            wrapped(&format!("✗ {error}"), width, Role::Bad, &mut lines);
            wrapped(error.todo.as_deref().unwrap_or(""), width, Role::Text, &mut lines);
            lines.push(("r tries again".to_owned(), Role::Dim));
            lines
        }
        Some(Ok(looked)) => found(looked, width),
    };
    let most = lines.len().saturating_sub(usize::from(inner.height));
    detail::draw(lines.get(state.top.min(most)..).unwrap_or_default(), inner, buf, theme);
}

fn waiting(of: &At, width: usize) -> Vec<DetailLine> {
    let cost = money(most_of_snapshot(&of.0.region));
    let mut lines = Vec::new();
    wrapped(&format!("◐ reading a handful of blocks, {cost}; esc stops"), width, Role::Fresh, &mut lines);
    lines
}

/// What was found, for the whole screen.
fn found(looked: &Looked, width: usize) -> Vec<DetailLine> {
    let inside = &looked.inside;
    let mut out = vec![(summary(inside), Role::Title), (String::new(), Role::Text)];
    for part in &inside.partitions {
        out.push((partition(part), Role::Text));
        if let Some(content) = &part.content {
            told(content, width, &mut out);
        }
    }
    if let Some(content) = &inside.content {
        told(content, width, &mut out);
    }
    if !inside.boot.is_empty() {
        out.push((String::new(), Role::Text));
    }
    for boot in &inside.boot {
        let place = boot.partition.map_or_else(|| "first sector".to_owned(), |number| format!("partition {number}"));
        out.push((format!("BOOT       {} ({place})", boot.what), Role::Text));
    }
    for note in inside.table.iter().flat_map(|table| &table.notes).chain(&inside.notes) {
        wrapped(&format!("! {note}"), width, Role::Warn, &mut out);
    }
    out.push((String::new(), Role::Text));
    let (blocks, lists) = (text::count(looked.reads.blocks, "block"), text::count(looked.reads.lists, "listing"));
    out.push((format!("read {blocks} and {lists}, {}", money(looked.reads.usd)), Role::Dim));
    out
}

/// What it is, in a few words: also for the panel beside a list.
#[must_use]
pub fn summary(inside: &Inside) -> String {
    match (&inside.table, &inside.content) {
        (Some(table), _) => {
            let scheme = if table.scheme == Scheme::Gpt { "GPT" } else { "MBR" };
            let kinds: Vec<&str> = inside
                .partitions
                .iter()
                .filter_map(|part| part.content.as_ref())
                .map(|content| content.kind.name())
                .collect();
            let count = text::count(inside.partitions.len() as u64, "partition");
            if kinds.is_empty() {
                format!("{scheme}, {count}")
            } else {
                format!("{scheme}, {count}: {}", kinds.join(", "))
            }
        }
        (None, Some(content)) => {
            let label = content.label.as_deref().map_or_else(String::new, |label| format!(" \"{label}\""));
            format!("{}{label} on all of it", content.kind.name())
        }
        (None, None) => "nothing that is known here".to_owned(),
    }
}

fn partition(part: &Partition) -> String {
    let name = part.name.as_deref().map_or_else(String::new, |name| format!(" \"{name}\""));
    let active = if part.active { " active" } else { "" };
    format!(
        "{:<4} {:>9} at {:<9} {}{name}{active}",
        part.number,
        text::size(part.bytes),
        text::size(part.start),
        part.purpose
    )
}

fn told(content: &Content, width: usize, out: &mut Vec<DetailLine>) {
    let mut words = vec![content.kind.name().to_owned()];
    words.extend(content.label.as_ref().map(|label| format!("\"{label}\"")));
    words.extend(content.uuid.clone());
    words.extend(content.free.map(|free| format!("{} free", text::size(free))));
    words.extend(content.notes.iter().cloned());
    let day = |what: &str, at: Option<jiff::Timestamp>| at.map(|at| format!("{what} {}", at.strftime("%Y-%m-%d")));
    words.extend(day("made", content.made));
    words.extend(day("mounted", content.mounted));
    words.extend(content.mounted_on.as_ref().map(|on| format!("on {on}")));
    words.extend(day("written", content.written));
    let mut lines = Vec::new();
    wrapped(&words.join(" · "), width.saturating_sub(5), Role::Text, &mut lines);
    out.extend(lines.into_iter().map(|(line, _)| (format!("     {line}"), Role::Accent)));
    for volume in &content.volumes {
        out.push((format!("     {:>9} logical volume {}", text::size(volume.bytes), volume.name), Role::Text));
        if let Some(content) = &volume.content {
            told(content, width, out);
        }
    }
}
