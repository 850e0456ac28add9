//! `:`: every action with its key, every screen, region and id, by a few letters; and the few commands that
//! take a word: `mark FILTER`, `filter EXPR`, `set theme NAME`, `set legend`, `set ascii`.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use crate::ids::Region;
use crate::tui::action::{self, Action};
use crate::tui::catalog::{Record, Ref, Seen, Table};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::list::{List, filter};
use crate::tui::model::Model;
use crate::tui::overlay::{MAX_TEXT, Overlay, edit};
use crate::tui::screen::Screen;
use crate::tui::text;
use crate::tui::theme::{Palette, Role, Theme};
use crate::tui::widget::table::{put, under_cursor};
use crate::tui::widget::{centred, panel};

/// Entries shown at most.
const SHOWN: usize = 14;
/// Ids are looked for from this many letters on: shorter ones match everything.
const ID_LETTERS: usize = 4;

/// What was typed, and which entry is under the cursor.
#[derive(Debug, Default)]
pub struct State {
    /// What was typed.
    pub text: String,
    /// The entry under the cursor.
    pub cursor: usize,
}

/// One thing that can be chosen.
#[derive(Debug, Clone)]
pub enum Entry {
    /// An action of this screen.
    Action(&'static Action),
    /// A region: its snapshots.
    Region(Region),
    /// A row, found by its id or name.
    Row(Screen, Ref, String),
    /// A command with a word.
    Command(String, &'static str),
}

/// A key for the palette.
pub fn key(model: &mut Model, key: KeyEvent, now: Now) -> Vec<Effect> {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    let Some(Overlay::Palette(state)) = model.overlays.last_mut() else { return Vec::new() };
    match key.code {
        KeyCode::Esc => drop(model.overlays.pop()),
        KeyCode::Down => state.cursor = (state.cursor + 1).min(SHOWN - 1),
        KeyCode::Up => state.cursor = state.cursor.saturating_sub(1),
        KeyCode::Char('n') if ctrl => state.cursor = (state.cursor + 1).min(SHOWN - 1),
        KeyCode::Char('p') if ctrl => state.cursor = state.cursor.saturating_sub(1),
        KeyCode::Enter => {
            let (text, cursor) = (state.text.clone(), state.cursor);
            let found = entries(model, &text);
            let Some(entry) = found.get(cursor.min(found.len().saturating_sub(1))).cloned() else {
                model.refuse(now, format!("nothing here is called `{text}`"));
                return Vec::new();
            };
            model.overlays.pop();
            return choose(model, entry, now);
        }
        _ => {
            if state.text.len() < MAX_TEXT && edit(&mut state.text, key) {
                state.cursor = 0;
            }
        }
    }
    Vec::new()
}

/// What matches, the best first.
#[must_use]
pub fn entries(model: &Model, text: &str) -> Vec<Entry> {
    let wanted = text.trim();
    if let Some(command) = command(model, wanted) {
        return vec![command];
    }
    let mut scored: Vec<(u32, Entry)> = Vec::new();
    for action in action::in_scope(model) {
        let words = format!("{} {}", action.title, action.doc);
        let by_key = action.keys.contains(&wanted).then_some(1_000);
        if let Some(score) =
            by_key.or_else(|| score(wanted, action.title).map(|s| s + 50)).or_else(|| score(wanted, &words))
        {
            scored.push((score, Entry::Action(action)));
        }
    }
    if !wanted.is_empty() {
        for region in model.regions() {
            let best = score(wanted, region.as_str()).max(score(wanted, &region.short()));
            if let Some(score) = best {
                scored.push((score + 10, Entry::Region(region.clone())));
            }
        }
    }
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let mut out: Vec<Entry> = ids(model, wanted).into_iter().chain(scored.into_iter().map(|(_, e)| e)).collect();
    for (words, doc) in COMMANDS {
        if out.len() < SHOWN && !wanted.is_empty() && score(wanted, words).is_some() {
            out.push(Entry::Command((*words).to_owned(), doc));
        }
    }
    out.truncate(SHOWN);
    out
}

const COMMANDS: &[(&str, &str)] = &[
    ("mark ", "Mark every row that a filter finds: mark state:error age:>90d"),
    ("archives ", "List archives: archives s3://bucket/prefix/"),
    ("filter ", "Filter the list: filter name:web size:>100GiB"),
    ("set theme ", "terminal, dark, light, colour-blind or mono"),
    ("prices live", "Plans calculate with what AWS lists now (pricing:GetProducts, free, kept for seven days)"),
    ("prices table", "Plans calculate with the table that floe ships"),
    ("set legend", "Show or hide the legend"),
    ("set ascii", "Plain ASCII borders and glyphs, or not"),
];

/// A command with a word, once it is spelled so far that nothing else can be meant.
fn command(model: &Model, text: &str) -> Option<Entry> {
    let (_, doc) = COMMANDS.iter().find(|(words, _)| {
        // `archives` alone is the action, which knows the prefix looked at last.
        text.starts_with(words) || text == words.trim_end() && text != "archives"
    })?;
    let _ = model;
    Some(Entry::Command(text.to_owned(), doc))
}

/// Rows whose id holds what was typed, at most five a table.
fn ids(model: &Model, text: &str) -> Vec<Entry> {
    fn in_table<T: Record>(table: &Table<T>, screen: Screen, text: &str, out: &mut Vec<Entry>) {
        let mut left = 5;
        for (s, shard) in table.shards.iter().enumerate() {
            for (r, slot) in shard.rows.iter().enumerate() {
                if slot.seen == Seen::Gone || left == 0 {
                    continue;
                }
                let id = slot.row.id().to_string();
                if let (true, Ok(shard), Ok(row)) = (id.contains(text), u16::try_from(s), u32::try_from(r)) {
                    out.push(Entry::Row(
                        screen,
                        Ref { shard, row },
                        format!("{id}  {}", slot.row.name().unwrap_or("")),
                    ));
                    left -= 1;
                }
            }
        }
    }
    let mut out = Vec::new();
    let bare = text.trim_start_matches("snap-").trim_start_matches("vol-").trim_start_matches("ami-");
    if bare.len() < ID_LETTERS || !bare.bytes().all(|b| b.is_ascii_hexdigit()) {
        return out;
    }
    in_table(&model.catalog.snapshots, Screen::Snapshots, text, &mut out);
    in_table(&model.catalog.volumes, Screen::Volumes, text, &mut out);
    in_table(&model.catalog.images, Screen::Images, text, &mut out);
    out
}

/// How well a few letters fit: all of them in order; together and at the start of a word counts more.
#[must_use]
pub fn score(letters: &str, text: &str) -> Option<u32> {
    let text = text.to_lowercase();
    let letters = letters.to_lowercase();
    if letters.is_empty() {
        return Some(0);
    }
    if let Some(at) = text.find(&letters) {
        let start = at == 0 || text[..at].ends_with([' ', '-', '.']);
        return Some(200 + if start { 100 } else { 0 } - u32::try_from(at.min(99)).unwrap_or(99));
    }
    let mut rest = text.chars();
    let mut gaps = 0u32;
    for letter in letters.chars().filter(|c| *c != ' ') {
        loop {
            match rest.next() {
                Some(c) if c == letter => break,
                Some(_) => gaps += 1,
                None => return None,
            }
        }
    }
    Some(100u32.saturating_sub(gaps))
}

fn choose(model: &mut Model, entry: Entry, now: Now) -> Vec<Effect> {
    match entry {
        Entry::Action(action) => crate::tui::update::run(model, action, now),
        Entry::Region(region) => {
            model.go(Screen::Snapshots);
            model.snapshots.list.set_filter(&format!("region:{region}"), now);
            Vec::new()
        }
        Entry::Row(screen, at, _) => {
            model.go(screen);
            if let Some(list) = model.list_mut() {
                list.show(at, now);
            }
            Vec::new()
        }
        Entry::Command(text, doc) => obey(model, &text, doc, now),
    }
}

fn obey(model: &mut Model, text: &str, doc: &str, now: Now) -> Vec<Effect> {
    if let Some(wanted) = text.strip_prefix("mark ") {
        return mark(model, wanted, now);
    }
    if let Some(wanted) = text.strip_prefix("archives ") {
        return match wanted.trim().parse() {
            Ok(prefix) => crate::tui::screen::archives::list(model, prefix),
            Err(error) => {
                model.refuse(now, error.to_string());
                Vec::new()
            }
        };
    }
    if let Some(wanted) = text.strip_prefix("filter ") {
        match model.list_mut() {
            Some(list) => {
                list.set_filter(wanted, now);
                if let Some(why) = list.filter.error.clone() {
                    model.refuse(now, why);
                }
            }
            None => model.refuse(now, "there is no list here to filter"),
        }
        return Vec::new();
    }
    if let Some(name) = text.strip_prefix("set theme ") {
        match Palette::NAMES.iter().find(|(known, _)| *known == name.trim()) {
            Some((_, palette)) => {
                model.theme.palette = *palette;
                model.say(now, format!("theme {0}, for now; theme = \"{0}\" in the config keeps it", palette.name()));
            }
            None => model.refuse(now, format!("`{name}` is no theme: {doc}")),
        }
        return Vec::new();
    }
    match text {
        "set legend" => {
            model.memory.legend = Some(!model.memory.legend.unwrap_or(true));
            return vec![Effect::Remember(model.memory.clone())];
        }
        "prices live" | "prices table" => return prices(model, text.ends_with("live"), now),
        "set ascii" => model.theme.ascii = !model.theme.ascii,
        _ => model.refuse(now, format!("one word more: {doc}")),
    }
    Vec::new()
}

/// Which prices plans calculate with from now on; the one that is open is made again with them.
fn prices(model: &mut Model, live: bool, now: Now) -> Vec<Effect> {
    // Whether AWS answers is known when a plan was made: its money says of which day and whose its prices are.
    let from = if live { "ask AWS for its list prices" } else { "calculate with the table that floe ships" };
    model.say(now, format!("plans {from} from now on"));
    let mut effects = vec![Effect::LivePrices(live)];
    let open = model.plan.operation.clone().filter(|_| model.screen == Screen::Plan && !model.plan.is_started());
    if let Some(operation) = open {
        effects.extend(crate::tui::screen::plan::open(model, operation, now));
    }
    effects
}

/// Marks every row that a filter finds, shown or not.
fn mark(model: &mut Model, wanted: &str, now: Now) -> Vec<Effect> {
    fn all<T: Record>(
        table: &Table<T>,
        list: &mut List,
        filter: &filter::Filter,
        matches: fn(&filter::Filter, &T, Now) -> bool,
        now: Now,
    ) -> usize {
        let mut found = 0;
        for (s, shard) in table.shards.iter().enumerate() {
            for (r, slot) in shard.rows.iter().enumerate() {
                if slot.seen != Seen::Gone
                    && matches(filter, &slot.row, now)
                    && let (Ok(shard), Ok(row)) = (u16::try_from(s), u32::try_from(r))
                {
                    found += usize::from(list.marks.insert(Ref { shard, row }));
                }
            }
        }
        list.recount();
        found
    }
    let filter = match filter::parse(wanted, now) {
        Ok(filter) => filter,
        Err(error) => {
            model.refuse(now, error.what);
            return Vec::new();
        }
    };
    let Model { catalog, snapshots, volumes, images, orphans, screen, .. } = model;
    let found = match screen {
        Screen::Snapshots => all(&catalog.snapshots, &mut snapshots.list, &filter, filter::snapshot, now),
        Screen::Volumes => all(&catalog.volumes, &mut volumes.list, &filter, filter::volume, now),
        Screen::Images => all(&catalog.images, &mut images.list, &filter, filter::image, now),
        Screen::Orphans => all(&orphans.table, &mut orphans.list, &filter, filter::orphan, now),
        _ => {
            model.refuse(now, "rows are marked in the lists: 2, 3, 4, 5");
            return Vec::new();
        }
    };
    model.say(now, format!("{} marked", text::count(found as u64, "row")));
    Vec::new()
}

/// Draws it in the upper middle.
pub fn view(model: &Model, state: &State, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let found = entries(model, &state.text);
    let height = u16::try_from(found.len().max(1) + 3).unwrap_or(5);
    let area = Rect { height: area.height.min(24), ..area };
    let area = centred(area, 92, height);
    Clear.render(area, buf);
    let inner = panel("Command", "any action, screen, region, id", true, area, buf, theme);
    put(inner.x + 1, &format!(": {}_", state.text), theme.style(Role::Accent), inner, buf);
    let cursor = state.cursor.min(found.len().saturating_sub(1));
    for (n, entry) in found.iter().enumerate() {
        let line = Rect { y: inner.y + 1 + u16::try_from(n).unwrap_or(0), height: 1, ..inner }.intersection(inner);
        let (key, title, doc) = match entry {
            Entry::Action(action) => {
                let why = (action.disabled)(model);
                (
                    action.keys.first().copied().unwrap_or("").to_owned(),
                    action.title.to_owned(),
                    why.unwrap_or_else(|| action.doc.to_owned()),
                )
            }
            Entry::Region(region) => (region.short(), region.to_string(), "Its snapshots.".to_owned()),
            Entry::Row(screen, _, what) => (String::new(), what.clone(), screen.page().title.to_owned()),
            Entry::Command(text, doc) => (":".to_owned(), text.clone(), (*doc).to_owned()),
        };
        let wide = matches!(entry, Entry::Row(..) | Entry::Command(..));
        let title_width = if wide { 44 } else { 16 };
        put(line.x + 1, &text::left(&key, 7), theme.style(Role::Key), line, buf);
        put(line.x + 9, &text::left(&title, title_width), theme.style(Role::Text), line, buf);
        let at = line.x + 10 + u16::try_from(title_width).unwrap_or(16);
        let room = usize::from(line.right().saturating_sub(at + 1));
        put(at, &text::words(&doc, room), theme.style(Role::Dim), line, buf);
        if n == cursor {
            under_cursor(line, buf, theme);
        }
    }
    if found.is_empty() {
        let line = Rect { y: inner.y + 1, height: 1, ..inner }.intersection(inner);
        put(line.x + 1, "nothing is called like that; esc leaves", theme.style(Role::Dim), line, buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_order_match_and_whole_words_come_first() {
        assert!(score("cp", "copy").is_some());
        assert!(score("yp", "copy").is_none());
        assert!(score("copy", "copy id") > score("copy", "do copy"));
        assert!(score("sort", "sort") > score("sort", "turn the sort round"));
        assert!(score("euw1", "eu-west-1") < score("euw1", "euw1"));
    }
}
