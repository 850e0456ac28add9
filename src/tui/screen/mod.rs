//! The screens. Each file has a `State` (a field of the model), its `ACTIONS`, and a [`Page`]: the one door
//! through which the frame, the keymap and the footer reach it.

pub mod archives;
mod chain;
pub mod compare;
pub mod detail;
pub mod elsewhere;
pub mod images;
pub mod job;
pub mod lineage;
pub mod listing;
pub mod log;
pub mod orphans;
pub mod plan;
pub mod removal;
mod rows;
pub mod snapshots;
pub mod start;
pub mod transfers;
pub mod volumes;
pub mod world;
mod world_panels;
pub mod world_region;
mod world_rows;

use crossterm::event::{KeyEvent, MouseEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::action::Action;
use super::clock::Now;
use super::effect::Effect;
use super::model::Model;
use super::msg::Msg;
use super::theme::Theme;

/// Where one can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Screen {
    /// First run, or no profile that works.
    #[default]
    Start,
    /// Regions at a glance.
    World,
    /// Snapshots.
    Snapshots,
    /// Volumes.
    Volumes,
    /// Machine images.
    Images,
    /// What nothing refers to.
    Orphans,
    /// What differs between two snapshots.
    Compare,
    /// The chain of one volume.
    Lineage,
    /// Volume by region: copies.
    Elsewhere,
    /// Archives in S3.
    Archives,
    /// What an operation would do.
    Plan,
    /// What would be removed.
    Removal,
    /// Jobs.
    Transfers,
    /// One job, full size.
    Job,
    /// What happened.
    Log,
}

/// What every screen file offers as `PAGE`.
#[derive(Debug)]
pub struct Page {
    /// Its name in palette and help.
    pub title: &'static str,
    /// Whether the list actions count here.
    pub is_list: bool,
    /// Its own actions, the most useful first.
    pub actions: &'static [Action],
    /// Draws everything between the two lines on top and the two at the bottom. Pure.
    pub view: fn(&Model, Rect, &mut Buffer, &Theme, Now),
    /// The right end of the tab line: data age, `plan, not run`.
    pub note: fn(&Model, Now) -> String,
    /// The `floe …` command that does the same.
    pub command: fn(&Model) -> String,
    /// Hears every message that is not a key, whether the screen is shown or not.
    pub hear: fn(&mut Model, &Msg, Now) -> Vec<Effect>,
    /// Gets a key first, before the actions; `None` leaves it to them.
    pub key: fn(&mut Model, KeyEvent, Now) -> Option<Vec<Effect>>,
    /// Gets clicks and the wheel inside its area.
    pub mouse: fn(&mut Model, MouseEvent, Rect, Now) -> Vec<Effect>,
}

impl Page {
    /// For screens that hear nothing.
    pub fn deaf(_: &mut Model, _: &Msg, _: Now) -> Vec<Effect> {
        Vec::new()
    }
    /// For screens whose keys are all actions.
    pub fn no_key(_: &mut Model, _: KeyEvent, _: Now) -> Option<Vec<Effect>> {
        None
    }
    /// For screens without mouse.
    pub fn no_mouse(_: &mut Model, _: MouseEvent, _: Rect, _: Now) -> Vec<Effect> {
        Vec::new()
    }
}

impl Screen {
    /// All of them, in the order of the tabs.
    pub const ALL: &'static [Self] = &[
        Self::Start,
        Self::World,
        Self::Snapshots,
        Self::Volumes,
        Self::Images,
        Self::Orphans,
        Self::Compare,
        Self::Lineage,
        Self::Elsewhere,
        Self::Archives,
        Self::Plan,
        Self::Removal,
        Self::Transfers,
        Self::Job,
        Self::Log,
    ];

    /// Its door.
    #[must_use]
    pub fn page(self) -> &'static Page {
        match self {
            Self::Start => &start::PAGE,
            Self::World => &world::PAGE,
            Self::Snapshots => &snapshots::PAGE,
            Self::Volumes => &volumes::PAGE,
            Self::Images => &images::PAGE,
            Self::Orphans => &orphans::PAGE,
            Self::Compare => &compare::PAGE,
            Self::Lineage => &lineage::PAGE,
            Self::Elsewhere => &elsewhere::PAGE,
            Self::Archives => &archives::PAGE,
            Self::Plan => &plan::PAGE,
            Self::Removal => &removal::PAGE,
            Self::Transfers => &transfers::PAGE,
            Self::Job => &job::PAGE,
            Self::Log => &log::PAGE,
        }
    }

    /// Columns that its list can be sorted by, and whether the greatest comes first.
    #[must_use]
    pub fn columns(self) -> Vec<(&'static str, bool)> {
        fn of<T>(columns: &[crate::tui::list::Column<T>]) -> Vec<(&'static str, bool)> {
            columns.iter().map(|c| (c.id, c.descending)).collect()
        }
        match self {
            Self::World => world::COLUMNS.to_vec(),
            Self::Snapshots => of(snapshots::COLUMNS),
            Self::Volumes => of(volumes::COLUMNS),
            Self::Images => of(images::COLUMNS),
            Self::Orphans => of(orphans::COLUMNS),
            _ => Vec::new(),
        }
    }
}

/// Where a list screen draws what: one place for the view, the keys and the mouse.
#[derive(Debug, Clone, Default)]
pub struct ListLayout {
    /// The panel of the list.
    pub list: Rect,
    /// The line of its heads.
    pub heads: Rect,
    /// Its rows.
    pub rows: Rect,
    /// Lines below the rows, for totals and marks.
    pub foot: Rect,
    /// Its columns.
    pub columns: Vec<super::widget::table::Head>,
    /// The panel beside it.
    pub side: Option<Rect>,
    /// The panels below it, from top to bottom.
    pub below: Vec<Rect>,
}

impl ListLayout {
    /// Splits the inside of a bordered panel into heads, rows and `foot` lines.
    #[must_use]
    pub fn of(list: Rect, foot: u16, columns: Vec<super::widget::table::Head>) -> Self {
        let inner = list.inner(ratatui::layout::Margin::new(1, 1));
        let foot = foot.min(inner.height.saturating_sub(2));
        let heads = Rect { height: inner.height.min(1), ..inner };
        let rows_height = inner.height.saturating_sub(1 + foot);
        let rows = Rect { y: inner.y + heads.height, height: rows_height, ..inner };
        let foot = Rect { y: rows.bottom(), height: foot, ..inner };
        Self { list, heads, rows, foot, columns, side: None, below: Vec::new() }
    }
}
