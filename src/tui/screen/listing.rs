//! What the three lists of things share: panel, heads, the rows in sight, marks and their totals.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::ListLayout;
use crate::tui::catalog::{Load, Record, Seen, Slot, Sums, Table};
use crate::tui::clock::Now;
use crate::tui::list::List;
use crate::tui::model::Model;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::table::{self, Cell, Look, put};

/// Below this height side panels and legends go, whatever the width.
pub const LOW: u16 = 20;
/// From this width on ids are whole.
pub const WIDE: u16 = 100;

/// From this width on a list keeps whole ids and its main number beside a detail.
pub const BESIDE: u16 = 112;

/// Whether there is room for a detail beside a list.
#[must_use]
pub const fn fits_detail(body: Rect) -> bool {
    body.width >= BESIDE && body.height >= LOW
}

/// Whether the detail is shown: wished for, and there is room.
#[must_use]
pub fn has_detail(model: &Model, body: Rect) -> bool {
    model.memory.detail.unwrap_or(true) && fits_detail(body)
}

/// Why the detail cannot be shown.
#[must_use]
pub fn no_detail(model: &Model) -> Option<String> {
    let body = crate::tui::view::body(Rect::new(0, 0, model.size.0, model.size.1));
    (!fits_detail(body)).then(|| format!("the detail needs {BESIDE} columns and 24 lines; enter opens it here"))
}

/// The foot of a list: totals of marks, when there are any.
#[must_use]
pub fn foot_lines(list: &List, body: Rect) -> u16 {
    if list.marks.is_empty() || body.height < 8 { 0 } else { 3 }
}

/// Draws the list.
pub fn draw<T: Record>(
    list: &List,
    table: &Table<T>,
    layout: &ListLayout,
    title: &str,
    cells: &dyn Fn(&Slot<T>) -> Vec<Cell>,
    buf: &mut Buffer,
    theme: &Theme,
) {
    panel(title, &right_of_title(list, table), true, layout.list, buf, theme);
    table::heads(&layout.columns, Some((list.sort, list.descending)), layout.heads, buf, theme);
    let height = usize::from(layout.rows.height);
    let top = list.top_for(height);
    for (line, (place, at)) in list.index.shown.iter().enumerate().skip(top).take(height).enumerate() {
        let Some(slot) = table.slot(*at) else { continue };
        let look = Look {
            cursor: place == list.cursor,
            marked: list.marks.contains(at),
            old: matches!(slot.seen, Seen::Remembered | Seen::Gone),
            new: slot.seen == Seen::New,
        };
        let line = Rect { y: layout.rows.y + u16::try_from(line).unwrap_or(0), height: 1, ..layout.rows };
        table::row(&layout.columns, &cells(slot), look, line, buf, theme);
    }
    if list.is_empty() {
        let said = nothing(list, table);
        let room = usize::from(layout.rows.width).saturating_sub(4);
        put(layout.rows.x + 3, &text::words(&said, room), theme.style(Role::Dim), layout.rows, buf);
    }
    totals(list, table, layout.foot, buf, theme);
}

fn right_of_title<T: Record>(list: &List, table: &Table<T>) -> String {
    let total = table.count_text();
    let range = if list.anchor.is_some() { "range · " } else { "" };
    if list.filter.text.is_empty() {
        return match list.len() {
            0 => format!("{range}{total}"),
            _ => format!("{range}{} of {total}", crate::units::grouped(list.cursor as u64 + 1)),
        };
    }
    let hidden = match list.hidden {
        0 => String::new(),
        n => format!(" · {n} marked hidden"),
    };
    format!(
        "{range}/ {}{} · {} of {total}{hidden}",
        text::clip(&list.filter.text, 40),
        if list.ranks_by().is_some() { " · best names first" } else { "" },
        crate::units::grouped(list.len() as u64)
    )
}

/// Why there is no row.
fn nothing<T: Record>(list: &List, table: &Table<T>) -> String {
    if let Some(percent) = list.index.filtering() {
        return format!("looking, {percent} %");
    }
    if !list.filter.text.is_empty() && list.index.total() > 0 {
        return "nothing passes the filter; esc drops it".to_owned();
    }
    if table.shards.is_empty() {
        return "◐ asking which regions there are".to_owned();
    }
    let loading = table.shards.iter().filter(|s| matches!(s.load, Load::Loading(_) | Load::Waiting)).count();
    if loading > 0 {
        return format!("◐ {} still loading", text::count(loading as u64, "region"));
    }
    let failed = table.shards.iter().filter(|s| matches!(s.load, Load::Failed { .. })).count();
    match failed {
        0 => "there are none in these regions".to_owned(),
        n => format!("none, and {} could not be asked: E says why", text::count(n as u64, "region")),
    }
}

fn totals<T: Record>(list: &List, table: &Table<T>, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 2 || list.marks.is_empty() {
        return;
    }
    let mut sums = Sums::default();
    for at in &list.marks {
        if let Some(row) = table.get(*at) {
            sums.count(row);
        }
    }
    let rule: String = std::iter::repeat_n('─', usize::from(area.width).saturating_sub(2)).collect();
    put(area.x + 1, &rule, theme.style(Role::Faint), area, buf);
    let hidden = match list.hidden {
        0 => String::new(),
        1 => " · 1 of them hidden by the filter".to_owned(),
        n => format!(" · {n} of them hidden by the filter"),
    };
    let money = match sums.month().known() {
        Some(value) if value.0 > 0.0 => format!(" · {} {value} a month", sums.month().sure.glyph()),
        _ => String::new(),
    };
    let said = format!(
        "{} marked · {}{money}{hidden}",
        crate::units::grouped(list.marks.len() as u64),
        text::size(sums.bytes)
    );
    let room = usize::from(area.width).saturating_sub(2);
    let second = Rect { y: area.y + 1, height: 1, ..area };
    put(area.x + 1, &text::words(&said, room), theme.style(Role::Marked), second, buf);
    let third = Rect { y: area.y + 2, height: 1, ..area };
    if area.height > 2 {
        let what = if T::KIND == crate::inventory::Kind::Volumes { "" } else { "c copy   " };
        put(area.x + 1, &format!("{what}y ids   * invert   u unmark"), theme.style(Role::Dim), third, buf);
    }
}

/// The right end of the tab line: how many regions are told, and how old the data is.
#[must_use]
pub fn note(model: &Model, now: Now) -> String {
    let (done, all) = model.catalog.complete_origins();
    if all == 0 {
        return if model.look > 0 { "◐ asking".to_owned() } else { String::new() };
    }
    if done == all {
        let oldest = model.catalog.snapshots.shards.iter().filter_map(|s| match s.load {
            Load::Done(when) => Some(when),
            _ => None,
        });
        let age = oldest.min().map_or_else(String::new, |when| format!(" · {}", text::data_age(when, now)));
        return format!("{done}/{all}{age}");
    }
    let failed =
        model.catalog.origins.iter().filter(|o| matches!(model.catalog.load(o).0, Load::Failed { .. })).count();
    let loading = all - done - failed;
    let failed = if failed > 0 { format!(" ✗{failed}") } else { String::new() };
    let loading = if loading > 0 { format!(" ◐{loading}") } else { String::new() };
    format!("{done}/{all} regions{loading}{failed}")
}

/// The command of a list, with what narrows it.
#[must_use]
pub fn command(model: &Model, what: &str, list: &List) -> String {
    let mut out = format!("floe ls {what}");
    if model.sandbox {
        out.push_str(" --sandbox");
    }
    if let Some(profile) = model.profile() {
        out.push_str(&format!(" --profile {profile}"));
    }
    match model.chosen_regions.as_slice() {
        [] => out.push_str(" --all-regions"),
        [one] => out.push_str(&format!(" --region {one}")),
        many => {
            let words: Vec<String> = many.iter().map(ToString::to_string).collect();
            out.push_str(&format!(" --all-regions --filter 'region:{}'", words.join("|")));
            return out;
        }
    }
    if !list.filter.text.is_empty() && list.filter.error.is_none() {
        out.push_str(&format!(" --filter '{}'", list.filter.text.replace('\'', "'\\''")));
    }
    out
}
