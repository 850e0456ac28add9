//! Regions at a glance, what needs attention, transfers, and the region under the cursor.
//!
//! Rows are made anew from the catalog's sums with every change: there are as many as regions. What is empty
//! or closed by a policy folds into one line each; totals say `≥` while anything is missing.

use std::sync::Arc;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::world_rows::{self, Row, Standing};
use crate::aws::{BILL_REQUEST, Billed};
use crate::error::Result;
use crate::inventory::Origin;
use crate::tui::action::{Action, Scope};
use crate::tui::catalog::{Load, Ref};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::gate::Gate;
use crate::tui::list::List;
use crate::tui::model::Model;
use crate::tui::overlay::{Overlay, confirm};
use crate::tui::screen::{ListLayout, Page, Screen, listing, world_panels, world_region};
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::table::{self, Cell, Head, Look, put};
use crate::units::{Quantity, Usd};

/// What the screen keeps.
#[derive(Debug)]
pub struct State {
    /// Cursor and order.
    pub list: List,
    /// The rows, as of the last message.
    pub rows: Vec<Row>,
    /// What Cost Explorer said was billed.
    pub billed: Option<Billed>,
    /// How accounts are set up in regions.
    pub setups: world_region::Setups,
}

impl Default for State {
    /// What costs most first.
    fn default() -> Self {
        Self {
            list: List::sorted_by(world_rows::COST, true),
            rows: Vec::new(),
            billed: None,
            setups: world_region::Setups::default(),
        }
    }
}

impl State {
    /// The region under the cursor; `None` on a folded line.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<Origin>> {
        self.rows.get(self.list.cursor).and_then(|row| row.origin.as_ref())
    }
}

/// What it can be sorted by, and whether the greatest comes first.
pub const COLUMNS: &[(&str, bool)] = world_rows::COLUMNS;

/// Makes the rows anew; the cursor stays with its region.
pub fn rebuild(model: &mut Model) {
    let here = model.world.current().cloned();
    let rows = world_rows::make(model);
    let list = &mut model.world.list;
    list.index.shown = (0..u32::try_from(rows.len()).unwrap_or(0)).map(|row| Ref { shard: 0, row }).collect();
    if let Some(place) = here.and_then(|here| rows.iter().position(|r| r.origin.as_ref() == Some(&here)))
        && list.has_moved()
    {
        list.cursor = place;
    }
    model.world.rows = rows;
}

const HERE: Scope = Scope::Screen(Screen::World);

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    HERE.look(
        "world.open",
        "open",
        &["enter"],
        10,
        "The snapshots of the region; of a failed one, why it failed.",
        |m| m.world.rows.is_empty().then(|| "no region has answered yet".to_owned()),
        |m, now| {
            let Some(row) = m.world.rows.get(m.world.list.cursor) else { return Vec::new() };
            if row.standing.is_bad() {
                m.overlays.push(crate::tui::overlay::Overlay::Errors(crate::tui::overlay::errors::State::default()));
                return Vec::new();
            }
            match &row.origin {
                Some(origin) => {
                    let filter = format!("region:{}", origin.region);
                    m.go(Screen::Snapshots);
                    m.snapshots.list.set_filter(&filter, now);
                }
                None => m.refuse(now, "these regions hold nothing"),
            }
            Vec::new()
        },
    ),
    HERE.look(
        "world.bill",
        "bill",
        &["$"],
        57,
        "Ask Cost Explorer what snapshots were billed in the last 30 days; a cent, said first.",
        |m| m.world.rows.is_empty().then(|| "no region has answered yet".to_owned()),
        ask_bill,
    ),
    HERE.look(
        "world.copy",
        "copy command",
        &["y"],
        0,
        "Copy the floe command that lists the same.",
        crate::tui::action::always,
        |m, now| {
            m.say(now, "copied the command (OSC 52)");
            vec![crate::tui::effect::Effect::Copy((PAGE.command)(m))]
        },
    ),
];

/// Says the price of the question, and asks it when that is accepted.
fn ask_bill(model: &mut Model, now: Now) -> Vec<Effect> {
    let account =
        model.profile().map_or_else(|| "this account".to_owned(), |profile| format!("the account of {profile}"));
    model.overlays.push(Overlay::Confirm(confirm::State {
        title: format!("Ask Cost Explorer for {BILL_REQUEST}?"),
        lines: vec![
            format!("What snapshots of {account} were billed in the last 30 days, by region."),
            format!("AWS charges {BILL_REQUEST} for the question (ce:GetCostAndUsage). It reads, it changes nothing."),
        ],
        accept: confirm::Accept::Key('y'),
        gate: Gate::opened(now),
        others: Vec::new(),
        then: |model, now| {
            model.say(now, "asking Cost Explorer");
            vec![Effect::AskBill(model.profile().cloned())]
        },
    }));
    Vec::new()
}

/// The bill is here, or why there is none.
pub fn billed(model: &mut Model, told: &Result<Billed>, now: Now) {
    match told {
        Ok(billed) => {
            let days = format!("{} to {}", billed.from, billed.until);
            model.say(now, format!("snapshots were billed {} from {days}, all regions", billed.total()));
            model.world.billed = Some(billed.clone());
        }
        Err(error) => model.trouble(now, error.clone()),
    }
}

/// The door.
pub const PAGE: Page = Page {
    title: "World",
    is_list: true,
    actions: ACTIONS,
    view,
    note: listing::note,
    command: |model| {
        let sandbox = if model.sandbox { " --sandbox" } else { "" };
        let profile = model.profile().map_or_else(String::new, |p| format!(" --profile {p}"));
        format!("floe ls regions{sandbox}{profile}")
    },
    hear: Page::deaf,
    key: Page::no_key,
    mouse: Page::no_mouse,
};

/// Where what is drawn: attention, transfers and the region come below, as far as there is room.
#[must_use]
pub fn layout(model: &Model, body: Rect) -> ListLayout {
    let rows = u16::try_from(model.world.rows.len()).unwrap_or(u16::MAX).clamp(1, 60);
    let wanted = rows.saturating_add(5);
    let mut left = body.height.saturating_sub(wanted.min(body.height));
    let mut below = Vec::new();
    let attention = u16::try_from(world_panels::attention(model).len().clamp(1, 6)).unwrap_or(1) + 2;
    let transfers = u16::try_from(world_panels::open_jobs(model).len().min(3)).unwrap_or(0);
    let transfers = if transfers > 0 { transfers + 2 } else { 0 };
    if body.width < crate::tui::view::SMALL.0 || body.height < crate::tui::view::SMALL.1 - crate::tui::view::FRAME_LINES
    {
        left = 0;
    }
    for (height, least) in
        [(attention, attention), (transfers, transfers), (world_region::LINES + 2, world_region::LINES_LEAST + 2)]
    {
        let height = height.min(left);
        let fits = height > 0 && height >= least;
        left -= if fits { height } else { 0 };
        below.push(if fits { height } else { 0 });
    }
    let list = Rect { height: body.height - below.iter().sum::<u16>(), ..body };
    let mut out = ListLayout::of(list, 2, heads(body.width, model.orphans.number > 0));
    let mut y = list.bottom();
    for height in below {
        out.below.push(Rect { y, height, ..body });
        y += height;
    }
    out
}

/// Orphans have a column once anything was judged.
fn heads(width: u16, judged: bool) -> Vec<Head> {
    let inner = width.saturating_sub(5);
    let mut out = vec![Head::left("REGION", 16, Some(0)), Head::right("SNAPSHOTS", 10, Some(1))];
    if inner < 50 {
        out.push(Head::left("STATE", inner.saturating_sub(28).max(1), Some(7)));
        return out;
    }
    if inner >= 60 {
        out.push(Head::right("VOLUMES", 8, Some(2)));
    }
    if inner >= 68 {
        out.push(Head::right("AMIS", 5, Some(3)));
    }
    out.push(Head::right("SNAP $/MO", 13, Some(world_rows::COST)));
    if inner >= 100 {
        out.push(Head::right("VOL $/MO", 12, Some(5)));
    }
    if inner >= 103 {
        // A bar says the same with fewer cells; where a region stands needs its words.
        let bar = if inner < if judged { 120 } else { 106 } { 11 } else { 14 };
        out.push(Head::left(" SHARE", bar, Some(world_rows::COST)));
    }
    if judged && inner >= 112 {
        out.push(Head::right("ORPHANS", 8, None));
    }
    if inner >= 90 {
        out.push(Head::right("AGE", 5, None));
    }
    let used: u16 = out.iter().map(|h| h.width + 1).sum();
    out.push(Head::left("STATE", inner.saturating_sub(used).clamp(8, 24), Some(7)));
    out
}

fn view(model: &Model, body: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let layout = layout(model, body);
    let list = &model.world.list;
    let sort = COLUMNS.get(list.sort).map_or("", |c| c.0);
    let arrow = if list.descending { "▼" } else { "▲" };
    let right = match older(model) {
        Some(judged) => format!("orphans as of {} ago: r · sort: {sort} {arrow}", text::data_age(judged, now)),
        None => format!("sort: {sort} {arrow} · ≤ at most  = exact"),
    };
    panel("World", &right, true, layout.list, buf, theme);
    table::heads(&layout.columns, None, layout.heads, buf, theme);
    let height = usize::from(layout.rows.height);
    let top = list.top_for(height);
    let greatest = model.world.rows.iter().map(Row::dollars).fold(0.0, f64::max);
    for (line, (n, row)) in model.world.rows.iter().enumerate().skip(top).take(height).enumerate() {
        let at = Rect { y: layout.rows.y + u16::try_from(line).unwrap_or(0), height: 1, ..layout.rows };
        let look =
            Look { cursor: n == list.cursor, old: matches!(row.standing, Standing::Remembered(_)), ..Look::default() };
        let cells: Vec<Cell> = layout.columns.iter().map(|h| cell(row, *h, greatest, now)).collect();
        table::row(&layout.columns, &cells, look, at, buf, theme);
    }
    if model.world.rows.is_empty() {
        put(layout.rows.x + 3, "◐ asking which regions there are", theme.style(Role::Dim), layout.rows, buf);
    }
    total(model, &layout, buf, theme);
    let [attention, transfers, region] = layout.below.as_slice() else { return };
    world_panels::draw_attention(model, *attention, buf, theme);
    world_panels::draw_transfers(model, *transfers, buf, theme);
    world_region::draw(model, *region, buf, theme);
}

/// Since when the orphans stand as they are shown, where any region was listed since.
fn older(model: &Model) -> Option<Timestamp> {
    let of = |origin: &Arc<Origin>| match model.catalog.snapshots.of(origin)?.load {
        Load::Done(listed) => model.orphans.older_than(origin, listed),
        _ => None,
    };
    model.catalog.origins.iter().filter_map(of).min()
}

fn cell(row: &Row, head: Head, greatest: f64, now: Now) -> Cell {
    let unknown = row.standing.is_bad() && row.snapshots.rows == 0;
    let more = if row.standing.is_loading() { "+" } else { "" };
    let number = |n: u64| {
        if unknown { Cell::with("?", Role::Dim) } else { Cell::new(format!("{}{more}", crate::units::grouped(n))) }
    };
    let money = |month: Quantity<Usd>| if unknown { Cell::with("?", Role::Dim) } else { Cell::new(text::usd(month)) };
    match head.title {
        "REGION" => Cell::new(row.name.as_str()),
        "SNAPSHOTS" => number(row.snapshots.rows),
        "VOLUMES" => number(row.volumes.rows),
        "AMIS" => number(row.images),
        "ORPHANS" => row.orphans.map_or_else(|| Cell::with("?", Role::Dim), |n| Cell::new(n.to_string())),
        "SNAP $/MO" => money(row.snapshots.month()),
        "VOL $/MO" => money(row.volumes.month()),
        " SHARE" => {
            let part = if greatest > 0.0 { row.dollars() / greatest } else { 0.0 };
            let all = usize::from(head.width).saturating_sub(2);
            let cells = crate::tui::widget::gauge::filled(part, all);
            Cell::with(format!(" {}{}", "█".repeat(cells), "·".repeat(all - cells)), Role::Gauge)
        }
        "AGE" => Cell::new(row.standing.since().map_or_else(|| "—".to_owned(), |t| text::data_age(t, now))),
        _ => {
            let (words, role) = row.standing.words(now, usize::from(head.width));
            Cell::with(words, role)
        }
    }
}

fn total(model: &Model, layout: &ListLayout, buf: &mut Buffer, theme: &Theme) {
    if layout.foot.height < 2 || model.world.rows.is_empty() {
        return;
    }
    let rule: String = std::iter::repeat_n('─', usize::from(layout.foot.width).saturating_sub(2)).collect();
    put(layout.foot.x + 1, &rule, theme.style(Role::Faint), layout.foot, buf);
    let (done, all) = model.catalog.complete_origins();
    let c = &model.catalog;
    let missing = all - done;
    let more = if missing > 0 { "+" } else { "" };
    let cells: Vec<Cell> = layout
        .columns
        .iter()
        .map(|head| match head.title {
            "REGION" => Cell::new(format!("TOTAL {done}/{all}")),
            "SNAPSHOTS" => Cell::new(format!("{}{more}", crate::units::grouped(c.snapshots.sums().rows))),
            "VOLUMES" => Cell::new(format!("{}{more}", crate::units::grouped(c.volumes.sums().rows))),
            "AMIS" => Cell::new(format!("{}{more}", crate::units::grouped(c.images.sums().rows))),
            "ORPHANS" => Cell::new(model.orphans.all().to_string()),
            "SNAP $/MO" => Cell::new(text::usd(c.snapshots.sums().month())),
            "VOL $/MO" => Cell::new(text::usd(c.volumes.sums().month())),
            "STATE" if missing > 0 => Cell::with(format!("≥, {missing} missing"), Role::Warn),
            _ => Cell::new(""),
        })
        .collect();
    let line = Rect { y: layout.foot.y + 1, height: 1, ..layout.foot };
    table::row(&layout.columns, &cells, Look::default(), line, buf, theme);
}

/// The rows as CSV and JSON.
///
/// # Errors
/// In the serialiser's words.
pub fn export(model: &Model) -> Result<(String, String), String> {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        region: &'a str,
        snapshots: u64,
        volumes: u64,
        images: u64,
        snapshot_usd_per_month_at_most: Option<f64>,
        volume_usd_per_month: Option<f64>,
        complete: bool,
    }
    let lines: Vec<Line> = model
        .world
        .rows
        .iter()
        .filter(|row| row.origin.is_some())
        .map(|row| Line {
            region: &row.name,
            snapshots: row.snapshots.rows,
            volumes: row.volumes.rows,
            images: row.images,
            snapshot_usd_per_month_at_most: row.snapshots.month().known().map(|usd| usd.0),
            volume_usd_per_month: row.volumes.month().known().map(|usd| usd.0),
            complete: matches!(row.standing, Standing::Complete(_)),
        })
        .collect();
    crate::tui::update::export::tables(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_fit_and_the_page_that_is_read_is_told_from_100_columns_on() {
        for judged in [false, true] {
            for width in 60..=200 {
                let heads = heads(width, judged);
                let used: u16 = heads.iter().map(|head| head.width + 1).sum();
                assert!(used <= width - 5 + 1, "{width} {judged}: {used}");
                let state = heads.last().map_or(0, |head| usize::from(head.width));
                let words = Standing::Loading(12).words(crate::tui::testing::now(), state).0;
                assert!(width < 100 || words == "◐ loading p. 12", "{width} {judged}: {words}");
                assert!(words.contains("12"), "{width} {judged}: {words}");
            }
        }
    }
}
