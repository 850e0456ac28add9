//! `c`: one line that says where to, with completion; not a form. `enter` plans.
//!
//! Several destinations are several words. Regions complete by name or short code (`euw1`), profiles by
//! `name@`, and destinations used before stand first, so that the second copy to a place is `c` `enter`.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use crate::address::{Address, Place};
use crate::error::Error;
use crate::ids::{Region, SnapshotId};
use crate::inventory::{self, SnapshotRow};
use crate::plan::{Operation, Options};
use crate::tui::catalog::Seen;
use crate::tui::clock::Now;
use crate::tui::effect::{Effect, Memory};
use crate::tui::model::Model;
use crate::tui::overlay::{Overlay, edit};
use crate::tui::screen::plan;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::table::put;

/// Completions shown at most.
const SHOWN: usize = 6;

/// One open address line.
#[derive(Debug, Default)]
pub struct State {
    /// What is copied.
    pub sources: Vec<Address>,
    /// The same in words: `snap-01c5… db-data` or `3 snapshots`.
    pub what: String,
    /// Of a delta: snapshots that are copies of its first one, as parents; nothing else takes a delta there.
    pub bases: Vec<String>,
    /// What was typed.
    pub text: String,
    /// The completion under the cursor.
    pub cursor: usize,
    /// Why the text is no address.
    pub error: Option<Error>,
}

/// One completion: the word it stands for, and what it would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The word.
    pub word: String,
    /// What it would be.
    pub what: String,
}

/// Completions of the last word.
#[must_use]
pub fn candidates(model: &Model, text: &str) -> Vec<Candidate> {
    let (_, word) = split(text);
    let mut out: Vec<Candidate> = Vec::new();
    let mut add = |word: String, what: &str| {
        if out.len() < SHOWN && !out.iter().any(|c| c.word == word) {
            out.push(Candidate { word, what: what.to_owned() });
        }
    };
    if word.starts_with(['.', '/', '~']) {
        return out;
    }
    if let Some(Overlay::Address(state)) = model.overlays.last() {
        for base in state.bases.iter().filter(|base| base.starts_with(word)) {
            add(base.clone(), ON_A_COPY);
        }
    }
    for known in model.memory.destinations.iter().filter(|d| d.starts_with(word)) {
        add(known.clone(), "used before");
    }
    let (profile, rest) = word.rsplit_once('@').map_or(("", word), |(p, rest)| (&word[..=p.len()], rest));
    let low = rest.to_lowercase();
    for exact in [true, false] {
        for region in &model.known_regions {
            let (name, short) = (region.as_str(), region.short());
            let fits = if exact { short == low } else { name.starts_with(&low) || short.starts_with(&low) };
            if fits && !(rest.ends_with(':') && word.len() > name.len()) {
                add(format!("{profile}{region}:"), "a new snapshot there");
            }
        }
    }
    if profile.is_empty() && !low.is_empty() {
        for info in &model.profiles {
            if let Some(name) = info.name.as_ref().filter(|n| n.as_str().to_lowercase().starts_with(&low)) {
                add(format!("{name}@"), "a region of that profile follows");
            }
        }
        for (name, what) in [("null:", "read and check everything, keep nothing"), ("s3://", "an archive or an image")]
        {
            if name.starts_with(&low) {
                add(name.to_owned(), what);
            }
        }
    }
    out
}

/// Snapshots that say by floe's own tags that they are copies of this one, as parents for what changed since. The
/// plan decides whether that is proved.
#[must_use]
pub fn bases(model: &Model, region: &Region, id: &SnapshotId) -> Vec<String> {
    let whole = format!("{region}:{id}");
    let is_copy = |row: &&SnapshotRow| {
        let source = row.tags.iter().find(|(key, _)| key == "floe:source").map(|(_, value)| value.as_str());
        source.is_some_and(|source| {
            let source = source.rsplit_once('@').map_or(source, |(_, place)| place);
            let delta = source.strip_suffix(id.as_str()).is_some_and(|before| before.ends_with(".."));
            source == whole || delta && source.starts_with(&format!("{region}:"))
        })
    };
    let slots = model.catalog.snapshots.shards.iter().flat_map(|shard| &shard.rows);
    let rows = slots.filter(|slot| slot.seen != Seen::Gone).map(|slot| &slot.row);
    let parent = |row: &SnapshotRow| {
        let place = Place { profile: row.origin.profile.clone(), region: Some(row.origin.region.clone()) };
        Address::OnParent(place, row.id.clone()).to_string()
    };
    let completed = |row: &&SnapshotRow| row.state == inventory::State::Completed;
    rows.filter(completed).filter(is_copy).take(SHOWN).map(parent).collect()
}

/// What a parent for a delta is called.
const ON_A_COPY: &str = "on the copy of its first";

/// The words before the last one, and the last one.
fn split(text: &str) -> (&str, &str) {
    let at = text.rfind(' ').map_or(0, |at| at + 1);
    text.split_at(at)
}

/// A key for the line.
pub fn key(model: &mut Model, key: KeyEvent, now: Now) -> Vec<Effect> {
    let Some(Overlay::Address(state)) = model.overlays.last() else { return Vec::new() };
    let found = candidates(model, &state.text);
    let Some(Overlay::Address(state)) = model.overlays.last_mut() else { return Vec::new() };
    match key.code {
        KeyCode::Esc => drop(model.overlays.pop()),
        KeyCode::Down => state.cursor = (state.cursor + 1).min(found.len().saturating_sub(1)),
        KeyCode::Up => state.cursor = state.cursor.saturating_sub(1),
        KeyCode::Tab => {
            if let Some(candidate) = found.get(state.cursor) {
                state.text = format!("{}{}", split(&state.text).0, candidate.word);
                state.cursor = 0;
                state.error = None;
            }
        }
        KeyCode::Enter => return accept(model, &found, now),
        _ => {
            if edit(&mut state.text, key) {
                state.cursor = 0;
                state.error = None;
            }
        }
    }
    Vec::new()
}

fn accept(model: &mut Model, found: &[Candidate], now: Now) -> Vec<Effect> {
    let codes: Vec<(String, String)> = model.known_regions.iter().map(|r| (r.short(), format!("{r}:"))).collect();
    let Some(Overlay::Address(state)) = model.overlays.last_mut() else { return Vec::new() };
    let text = match (state.text.trim(), found.get(state.cursor)) {
        ("", Some(first)) if first.what == "used before" || first.what == ON_A_COPY => first.word.clone(),
        (text, _) => text.to_owned(),
    };
    let mut destinations = Vec::new();
    for word in text.split_whitespace() {
        // A short code by itself can only mean its region.
        let word = codes.iter().find(|(short, _)| short == word).map_or(word, |(_, region)| region);
        match Address::destination(word) {
            Ok(address) => destinations.push(address),
            Err(error) => {
                state.error = Some(error);
                return Vec::new();
            }
        }
    }
    if destinations.is_empty() {
        state.error = Some(Error::usage("where to? A region like `eu-west-1:`, a file like ./disk.img"));
        return Vec::new();
    }
    let sources = state.sources.clone();
    model.overlays.pop();
    let typed: Vec<String> = destinations.iter().map(ToString::to_string).collect();
    // What names no profile goes to the account that is looked at, not to the one of the command line.
    let here = model.profile().cloned();
    for place in destinations.iter_mut().filter_map(Address::place_mut) {
        place.profile = place.profile.take().or_else(|| here.clone());
    }
    for destination in typed.into_iter().rev() {
        model.memory.destinations.retain(|known| *known != destination);
        model.memory.destinations.insert(0, destination);
    }
    model.memory.destinations.truncate(Memory::DESTINATIONS);
    // As on the command line: what the config says of lanes, at most what the machine allows.
    let options = Options { concurrency: model.rules.concurrency, ..Options::default() };
    let operation = Operation { sources, destinations, options };
    let mut effects = plan::open(model, operation, now);
    effects.push(Effect::Remember(model.memory.clone()));
    effects
}

/// Draws it at the foot of the screen.
pub fn view(model: &Model, state: &State, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let found = candidates(model, &state.text);
    let lines = u16::try_from(found.len().max(1) + 2).unwrap_or(3);
    let height = (lines + 2).min(area.height);
    let area = Rect { y: area.bottom().saturating_sub(height), height, ..area };
    Clear.render(area, buf);
    let inner = panel(&format!("Copy {}", state.what), "several destinations: a blank between", true, area, buf, theme);
    let room = usize::from(inner.width).saturating_sub(6);
    let line = |n: u16| Rect { y: inner.y + n, height: 1, ..inner }.intersection(inner);
    put(inner.x + 1, "to", theme.style(Role::Dim), line(0), buf);
    put(inner.x + 4, &format!("{}_", text::tail(&state.text, room)), theme.style(Role::Accent), line(0), buf);
    if state.text.is_empty()
        && let Some(first) = found.first().filter(|c| c.what == "used before" || c.what == ON_A_COPY)
    {
        put(inner.x + 6, &format!("{}   enter takes it", first.word), theme.style(Role::Dim), line(0), buf);
    }
    for (n, candidate) in found.iter().enumerate() {
        let line = line(1 + u16::try_from(n).unwrap_or(0));
        let here = n == state.cursor;
        put(line.x + 1, if here { "▶" } else { " " }, theme.style(Role::Accent), line, buf);
        put(line.x + 4, &text::left(&candidate.word, 30), theme.style(Role::Text), line, buf);
        put(line.x + 36, &candidate.what, theme.style(Role::Dim), line, buf);
        if here {
            put(line.right().saturating_sub(14), "tab completes", theme.style(Role::Dim), line, buf);
        }
    }
    let last = line(inner.height.saturating_sub(1));
    match &state.error {
        Some(error) => {
            let todo = error.todo.as_ref().map(|t| format!(" · {t}")).unwrap_or_default();
            let said = text::clip(&format!("✗ {}{todo}", error.what), usize::from(inner.width).saturating_sub(2));
            put(last.x + 1, &said, theme.style(Role::Bad), last, buf);
        }
        None => put(
            last.x + 1,
            &text::clip(
                "REGION:  PROFILE@REGION:  ./file.img  null:     nothing happens before the plan is accepted",
                room + 4,
            ),
            theme.style(Role::Dim),
            last,
            buf,
        ),
    }
}
