//! `c`: one line that says where to, with completion; not a form. `enter` plans. `C` takes the source too, as its
//! first word: a file, a device, an archive, an object, a snapshot by its id.
//!
//! Several destinations are several words. Regions complete by name or short code (`euw1`), profiles by
//! `name@`, and destinations used before stand first, so that the second copy to a place is `c` `enter`.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use crate::address::{Address, Role as End};
use crate::error::Error;
use crate::inventory::SnapshotRow;
use crate::plan::{Operation, Options};
use crate::tui::clock::Now;
use crate::tui::effect::{Effect, Memory};
use crate::tui::elsewhere::{Base, ON_A_COPY};
use crate::tui::model::Model;
use crate::tui::names;
use crate::tui::overlay::{Overlay, edit};
use crate::tui::screen::archives::Prefix;
use crate::tui::screen::plan;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::table::put;

/// Completions shown at most.
const SHOWN: usize = 6;

/// What the line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Destinations of a copy.
    #[default]
    Copy,
    /// The source, then the destinations of a copy.
    Pair,
    /// Below which prefix archives are listed.
    Archives,
}

/// One open address line.
#[derive(Debug, Default)]
pub struct State {
    /// What it is for.
    pub purpose: Purpose,
    /// What is copied.
    pub sources: Vec<Address>,
    /// The same in words: `snap-01c5… db-data` or `3 snapshots`.
    pub what: String,
    /// Of a delta: snapshots that are copies of its first one, as parents; nothing else takes a delta there.
    pub bases: Vec<Base>,
    /// What was typed.
    pub text: String,
    /// The completion under the cursor.
    pub cursor: usize,
    /// The text that `tab` goes round the completions of, until another key changes it.
    pub cycle: Option<String>,
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

/// Completions of the last word, each with why it is offered.
#[must_use]
pub fn candidates(model: &Model, text: &str) -> Vec<Candidate> {
    let (_, word) = split(text);
    let mut out: Vec<Candidate> = Vec::new();
    // A delta needs something to go onto: a new snapshot without a parent is nothing to offer.
    let takes = |word: &str| !only_deltas(model) || !matches!(word.parse(), Ok(Address::NewSnapshot(_)));
    let mut add = |word: String, what: &str| {
        if out.len() < SHOWN && takes(&word) && !out.iter().any(|c| c.word == word) {
            out.push(Candidate { word, what: what.to_owned() });
        }
    };
    let open = model.overlays.iter().rev().find_map(|overlay| match overlay {
        Overlay::Address(state) => Some(state),
        _ => None,
    });
    let is_source = open.is_some_and(|state| state.takes_source(text));
    let end = if is_source { End::Source } else { End::Destination };
    if open.is_some_and(|state| state.purpose == Purpose::Archives) {
        for known in model.memory.archives.iter().filter(|known| known.starts_with(word)) {
            add(known.clone(), "listed before");
        }
        names::completions(model, word, end).into_iter().for_each(|(word, what)| add(word, &what));
        return out;
    }
    if let Some(state) = open {
        for base in state.bases.iter().filter(|base| base.word.starts_with(word)) {
            add(base.word.clone(), &base.why);
        }
    }
    names::completions(model, word, end).into_iter().for_each(|(word, what)| add(word, &what));
    if word.starts_with(['.', '/', '~']) {
        return out;
    }
    if is_source {
        for (word, what) in sources(model, word) {
            add(word, what);
        }
        return out;
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

/// What a source could be that begins with this word, beside files and buckets.
fn sources(model: &Model, word: &str) -> Vec<(String, &'static str)> {
    let archives = model.memory.archives.iter().filter(|known| !word.is_empty() && known.starts_with(word));
    let mut out: Vec<_> = archives.map(|known| (known.clone(), "archives: the name of one follows")).collect();
    if !word.starts_with("s3") {
        let kinds = [
            ("./", "a raw image on this machine"),
            ("/dev/", "a device of this machine"),
            ("s3://", "an archive, or an image in S3"),
        ];
        out.extend(
            kinds.into_iter().filter(|(kind, _)| kind.starts_with(word)).map(|(kind, what)| (kind.to_owned(), what)),
        );
        let profiles = model.profiles.iter().filter_map(|info| info.name.as_ref());
        let fits = profiles.filter(|name| !word.is_empty() && name.as_str().starts_with(word));
        out.extend(fits.map(|name| (format!("{name}@"), "what lies in the account of that profile follows")));
    }
    out
}

/// Whether what is copied is changes only.
fn only_deltas(model: &Model) -> bool {
    model.overlays.iter().rev().any(|overlay| match overlay {
        Overlay::Address(state) => {
            !state.sources.is_empty() && state.sources.iter().all(|source| matches!(source, Address::Delta(..)))
        }
        _ => false,
    })
}

/// The words before the last one, and the last one.
fn split(text: &str) -> (&str, &str) {
    let at = text.rfind(' ').map_or(0, |at| at + 1);
    text.split_at(at)
}

/// A key for the line.
pub fn key(model: &mut Model, key: KeyEvent, now: Now) -> Vec<Effect> {
    let Some(Overlay::Address(state)) = model.overlays.last() else { return Vec::new() };
    let found = candidates(model, state.completed());
    let Some(Overlay::Address(state)) = model.overlays.last_mut() else { return Vec::new() };
    match key.code {
        KeyCode::Esc => {
            model.overlays.pop();
            model.names.forget_files();
        }
        KeyCode::Down => state.cursor = (state.cursor + 1).min(found.len().saturating_sub(1)),
        KeyCode::Up => state.cursor = state.cursor.saturating_sub(1),
        KeyCode::Tab => return complete(model, &found),
        KeyCode::Enter => return accept(model, &found, now),
        _ => {
            if edit(&mut state.text, key) {
                (state.cursor, state.cycle, state.error) = (0, None, None);
                let word = split(&state.text).1.to_owned();
                return names::wanted(model, &word);
            }
        }
    }
    Vec::new()
}

/// Takes the completion under the cursor; pressed again, the next one. The only one there is begins a new word.
fn complete(model: &mut Model, found: &[Candidate]) -> Vec<Effect> {
    let Some(Overlay::Address(state)) = model.overlays.last_mut() else { return Vec::new() };
    if state.cycle.is_some() && !found.is_empty() {
        state.cursor = (state.cursor + 1) % found.len();
    }
    let Some(candidate) = found.get(state.cursor) else { return Vec::new() };
    let base = state.completed().to_owned();
    state.text = format!("{}{}", split(&base).0, candidate.word);
    state.error = None;
    if found.len() > 1 {
        state.cycle = Some(base);
        return Vec::new();
    }
    (state.cursor, state.cycle) = (0, None);
    let word = candidate.word.clone();
    names::wanted(model, &word)
}

impl State {
    /// Where these snapshots are copied to: not said yet.
    #[must_use]
    pub fn copy_of(rows: &[&SnapshotRow]) -> Self {
        let what = match rows {
            [one] => format!("{} {}", one.id, one.name.as_deref().unwrap_or("")).trim_end().to_owned(),
            many => format!("{} snapshots", many.len()),
        };
        Self { sources: rows.iter().map(|row| row.address()).collect(), what, ..Self::default() }
    }

    /// The text whose completions are shown: what was typed before `tab` began to go round.
    fn completed(&self) -> &str {
        self.cycle.as_deref().unwrap_or(&self.text)
    }

    /// Whether the last word of this text is the source.
    fn takes_source(&self, text: &str) -> bool {
        self.purpose == Purpose::Pair && split(text).0.trim().is_empty()
    }
}

fn accept(model: &mut Model, found: &[Candidate], now: Now) -> Vec<Effect> {
    if let Some(Overlay::Address(State { purpose: Purpose::Archives, .. })) = model.overlays.last() {
        return accept_prefix(model, found);
    }
    let codes: Vec<(String, String)> = model.known_regions.iter().map(|r| (r.short(), format!("{r}:"))).collect();
    let Some(Overlay::Address(state)) = model.overlays.last_mut() else { return Vec::new() };
    let text = match (state.text.trim(), found.get(state.cursor)) {
        ("", Some(first)) if first.what == "used before" || first.what.starts_with(ON_A_COPY) => first.word.clone(),
        (text, _) => text.to_owned(),
    };
    let mut words = text.split_whitespace();
    let mut sources = state.sources.clone();
    if state.purpose == Purpose::Pair {
        let first = words.next().ok_or_else(|| Error::usage("what is copied? A file like ./disk.img, s3://bucket/key"));
        match first.and_then(Address::source) {
            Ok(source) => sources = vec![source],
            Err(error) => {
                state.error = Some(error);
                return Vec::new();
            }
        }
    }
    let mut destinations = Vec::new();
    for word in words {
        // A short code by itself can only mean its region.
        let word = codes.iter().find(|(short, _)| short == word).map_or(word, |(_, region)| region);
        let address = match sources.as_slice() {
            [source] => Address::destination_of(source, word),
            _ => Address::destination(word),
        };
        match address {
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
    model.overlays.pop();
    model.names.forget_files();
    let typed: Vec<String> = destinations.iter().map(ToString::to_string).collect();
    // What names no profile goes to the account that is looked at, not to the one of the command line.
    let here = model.profile().cloned();
    for place in sources.iter_mut().chain(&mut destinations).filter_map(Address::place_mut) {
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

/// Lists below the prefix that was typed; nothing but the start of one takes the prefix under the cursor.
fn accept_prefix(model: &mut Model, found: &[Candidate]) -> Vec<Effect> {
    let Some(Overlay::Address(state)) = model.overlays.last_mut() else { return Vec::new() };
    let typed = state.text.trim();
    let word = match found.get(state.cursor) {
        Some(candidate) if matches!(typed, "" | "s3://") => candidate.word.clone(),
        _ => typed.to_owned(),
    };
    match word.parse::<Prefix>() {
        Ok(prefix) => {
            model.overlays.pop();
            crate::tui::screen::archives::list(model, prefix)
        }
        Err(error) => {
            state.error = Some(error);
            Vec::new()
        }
    }
}

/// Draws it at the foot of the screen.
pub fn view(model: &Model, state: &State, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let found = candidates(model, state.completed());
    let last = foot(state, usize::from(area.width).saturating_sub(4));
    let size = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let height = size(found.len().max(1) + 1 + last.0.len() + 2).min(area.height);
    let area = Rect { y: area.bottom().saturating_sub(height), height, ..area };
    Clear.render(area, buf);
    let (title, right, label) = match state.purpose {
        Purpose::Copy => (format!("Copy {}", state.what), "several destinations: a blank between", "to"),
        Purpose::Pair => ("Copy from anywhere".to_owned(), "the source, a blank, the destinations", "of"),
        Purpose::Archives => ("List archives".to_owned(), "kept for the next time", "in"),
    };
    let inner = panel(&title, right, true, area, buf, theme);
    let room = usize::from(inner.width).saturating_sub(6);
    let line = |n: u16| Rect { y: inner.y + n, height: 1, ..inner }.intersection(inner);
    put(inner.x + 1, label, theme.style(Role::Dim), line(0), buf);
    put(inner.x + 4, &format!("{}_", text::tail(&state.text, room)), theme.style(Role::Accent), line(0), buf);
    if state.text.is_empty()
        && let Some(first) = found.first().filter(|c| c.what == "used before" || c.what.starts_with(ON_A_COPY))
    {
        put(inner.x + 6, &format!("{}   enter takes it", first.word), theme.style(Role::Dim), line(0), buf);
    }
    // Words are as wide as the longest needs, where that leaves room for why each is offered.
    let longest = found.iter().map(|candidate| text::width(&candidate.word)).max().unwrap_or(0);
    let words = longest.clamp(30, usize::from(inner.width / 2).max(30));
    for (n, candidate) in found.iter().enumerate() {
        let line = line(1 + u16::try_from(n).unwrap_or(0));
        let here = n == state.cursor;
        put(line.x + 1, if here { "▶" } else { " " }, theme.style(Role::Accent), line, buf);
        put(line.x + 4, &text::left(&text::tail(&candidate.word, words), words), theme.style(Role::Text), line, buf);
        put(line.x + 6 + u16::try_from(words).unwrap_or(30), &candidate.what, theme.style(Role::Dim), line, buf);
        if here {
            put(
                line.right().saturating_sub(14),
                if state.cycle.is_some() { " tab the next" } else { "tab completes" },
                theme.style(Role::Dim),
                line,
                buf,
            );
        }
    }
    // Why it is no address is read to its end, whatever is offered beside it.
    let (said, role) = last;
    let above = inner.height.saturating_sub(size(said.len())).max(1);
    for (n, said) in (above..).zip(said) {
        let line = line(n);
        Clear.render(line, buf);
        put(line.x + 1, &said, theme.style(role), line, buf);
    }
}

/// What stands at the foot: why the text is no address and what would be one, else what can be typed.
fn foot(state: &State, room: usize) -> (Vec<String>, Role) {
    if let Some(error) = &state.error {
        let todo = error.todo.as_ref().map(|t| format!(" · {t}")).unwrap_or_default();
        let said = format!("✗ {}{todo}", error.what);
        return (text::wrap(&text::breakable(&said, room), room, 2), Role::Bad);
    }
    let forms = match state.purpose {
        Purpose::Copy => {
            "REGION:  PROFILE@REGION:  ./file.img  s3://bucket/prefix/  null:   nothing happens before the plan is accepted"
        }
        Purpose::Pair => {
            "./disk.img  /dev/nvme1n1  s3://bucket/key  then where to   nothing happens before the plan is accepted"
        }
        Purpose::Archives => "s3://bucket/prefix/   PROFILE@s3://bucket/prefix/   listing changes nothing",
    };
    (vec![text::parts(forms, room)], Role::Dim)
}
