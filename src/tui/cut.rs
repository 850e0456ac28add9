//! Finds words and dates that a drawing cut in the middle. The tests of the deck hold every screen against it, those
//! of this library and those on the sandbox alike.
//!
//! What may be cut: ids, whose tail tells them apart (`…d2f48`), and what people named themselves, where the column is
//! narrower (`jenki…`): a cut name is known by the beginning of one of the names that the test hands in.

use floe::tui::action;
use floe::tui::catalog::Record as _;
use floe::tui::clock::Now;
use floe::tui::model::Model;
use floe::tui::msg::Msg;
use floe::tui::screen::plan::Sheet;
use floe::tui::update::update;
use floe::tui::view::view;
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;

/// Usual terminals, small to large.
pub const SIZES: [(u16, u16); 5] = [(80, 24), (100, 30), (120, 36), (120, 40), (160, 50)];

/// Letters of a name that have to be left for it to be known.
const LEAST: usize = 3;

/// What a deck of that size cuts, each line with the name of the state.
pub fn found(state: &str, model: &mut Model, size: (u16, u16), now: Now) -> Vec<String> {
    update(model, Msg::Resize(size.0, size.1), now);
    let names = names(model);
    let found = words(&seen(model, now), &names);
    found.into_iter().map(|line| format!("{state} {}x{}: {line}", size.0, size.1)).collect()
}

/// What people named themselves in these decks; beside it commands, which hold ids and are copied whole, and the titles
/// of actions that go on to ask.
fn names(model: &Model) -> Vec<String> {
    let catalog = &model.catalog;
    let snapshots =
        catalog.snapshots.shards.iter().flat_map(|shard| &shard.rows).filter_map(|slot| slot.row.name.clone());
    let volumes = catalog.volumes.shards.iter().flat_map(|shard| &shard.rows).filter_map(|slot| slot.row.name.clone());
    let images = catalog.images.shards.iter().flat_map(|shard| &shard.rows).map(|slot| slot.row.name.clone());
    let judged = model.orphans.table.shards.iter().flat_map(|shard| &shard.rows);
    let judged = judged.filter_map(|slot| slot.row.name().map(str::to_owned));
    let command = (model.screen.page().command)(model);
    let asking = action::in_scope(model).filter(|action| action.title.ends_with('…')).map(|action| action.title);
    let asking = asking.map(|title| title.trim_end_matches('…').to_owned());
    let profiles = model.profiles.iter().filter_map(|profile| Some(profile.name.as_ref()?.to_string()));
    // What tags and descriptions say is people's, too, and of tools that write ids without a blank into them.
    let tags = catalog.snapshots.shards.iter().flat_map(|shard| &shard.rows).flat_map(|slot| &slot.row.tags);
    let tags = tags.flat_map(|(key, value)| [key.clone(), value.clone()]);
    let texts = catalog.snapshots.shards.iter().flat_map(|shard| &shard.rows);
    let texts = texts.flat_map(|slot| slot.row.description.split(' ').map(str::to_owned));
    let all =
        tags.chain(texts).chain(snapshots).chain(volumes).chain(images).chain(judged).chain(asking).chain(profiles);
    all.chain(command.split(' ').map(str::to_owned)).collect()
}

/// What is on screen and is not covered: of what lies below an overlay words may be hidden, as below any window.
fn seen(model: &mut Model, now: Now) -> Vec<String> {
    let above = frame(model, now);
    let overlays = std::mem::take(&mut model.overlays);
    let sheet = std::mem::take(&mut model.plan.sheet);
    if overlays.is_empty() && sheet == Sheet::None {
        return above;
    }
    let below = frame(model, now);
    (model.overlays, model.plan.sheet) = (overlays, sheet);
    let body = 2..above.len().saturating_sub(2);
    let rows: Vec<usize> = body.filter(|&row| above[row] != below[row]).collect();
    let differs = |row: usize| {
        let both = above[row].chars().zip(below[row].chars()).enumerate();
        both.filter(|(_, (above, below))| above != below).map(|(column, _)| column).collect::<Vec<_>>()
    };
    let columns: Vec<usize> = rows.iter().flat_map(|&row| differs(row)).collect();
    let (Some(&left), Some(&right)) = (columns.iter().min(), columns.iter().max()) else { return above };
    rows.iter().map(|&row| above[row].chars().skip(left).take(right + 1 - left).collect()).collect()
}

fn frame(model: &Model, now: Now) -> Vec<String> {
    let area = Rect::new(0, 0, model.size.0, model.size.1);
    let mut buffer = Buffer::empty(area);
    view(model, area, &mut buffer, &model.theme, now);
    buffer.content.chunks(usize::from(area.width)).map(|line| line.iter().map(Cell::symbol).collect()).collect()
}

/// The lines of a frame in which something is cut, each with what.
fn words(frame: &[String], names: &[String]) -> Vec<String> {
    frame.iter().filter_map(|line| in_line(line, names).map(|cut| format!("{cut:?} in: {line}"))).collect()
}

fn in_line(line: &str, names: &[String]) -> Option<String> {
    let chars: Vec<char> = line.chars().collect();
    (1..chars.len()).find_map(|at| match chars[at] {
        '…' if at + 1 == chars.len() || !chars[at + 1].is_alphanumeric() => cut(&chars[..at], names),
        // A word that touches the frame did not fit in what the frame holds.
        '│' if chars[at - 1].is_alphanumeric() => cut(&chars[..at], names),
        _ => None,
    })
}

/// What is cut at the end of this, when it is a word, a date or a figure.
fn cut(before: &[char], names: &[String]) -> Option<String> {
    let last = *before.last()?;
    let column = before.iter().rposition(|&c| c == '│').map_or(0, |at| at + 1);
    let said: String = before[column..].iter().collect();
    // Cells are two blanks apart, or a blank and a glyph: the cut text begins after one of the last blanks.
    let starts = said.char_indices().filter(|&(at, _)| at == 0 || said[..at].ends_with(' ')).map(|(at, _)| &said[at..]);
    let is_name = |text: &str| text.chars().count() >= LEAST && names.iter().any(|name| name.starts_with(text));
    if starts.clone().any(is_name) {
        return None;
    }
    if last.is_alphanumeric() {
        return Some(said.rsplit(' ').next().unwrap_or_default().to_owned());
    }
    ends_in_a_date(&said).then(|| said.trim_end().to_owned())
}

/// Whether it ends in a day and a month, whose year is what is missing.
fn ends_in_a_date(said: &str) -> bool {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = said.split_whitespace().rev();
    let month = words.next().is_some_and(|word| MONTHS.contains(&word));
    month && words.next().is_some_and(|day| day.parse::<u8>().is_ok_and(|day| (1..=31).contains(&day)))
}

#[test]
fn a_cut_word_is_seen_and_a_cut_name_is_not_minded() {
    let names = ["jenkins-home".to_owned(), "two words".to_owned()];
    let is_cut = |line: &str| !words(&[line.to_owned()], &names).is_empty();
    for line in ["│ 28 Aug 2… │", "│ 28 Aug … │", "no i…", "│ denied: no i…│", "1,0…", "│ the words reach│", "ab…"]
    {
        assert!(is_cut(line), "{line}");
    }
    for line in
        ["│ snap …d2f48 │", "│ jenki… use1 │", "ami-0c1d…77a2", "│ … 7 more │", "two wo…  8 GiB", "loading …", "a│ b"]
    {
        assert_eq!(is_cut(line), line == "a│ b", "{line}");
    }
}
