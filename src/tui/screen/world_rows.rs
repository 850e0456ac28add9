//! The rows of World: one per region (per profile, when several are open), folded where nothing is to be seen.

use std::sync::Arc;

use jiff::Timestamp;

use crate::inventory::Origin;
use crate::tui::catalog::{Load, Sums};
use crate::tui::clock::Now;
use crate::tui::model::Model;
use crate::tui::screen::orphans::Orphaned;
use crate::tui::text;
use crate::tui::theme::Role;

/// The column of snapshot costs: what World is sorted by at first.
pub const COST: usize = 4;

/// What it can be sorted by, and whether the greatest comes first.
pub const COLUMNS: &[(&str, bool)] = &[
    ("region", false),
    ("snapshots", true),
    ("volumes", true),
    ("AMIs", true),
    ("cost", true),
    ("volume cost", true),
    ("age", false),
    ("state", false),
];

/// Where a region stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Not asked yet.
    Waiting,
    /// Only from an earlier look.
    Remembered(Timestamp),
    /// Pages come in: the largest number of pages of its lists.
    Loading(u32),
    /// All lists are complete since then.
    Complete(Timestamp),
    /// Closed by a policy.
    Denied,
    /// Failed: AWS's code, or the first words.
    Failed(String),
}

impl Standing {
    /// Whether its numbers may still grow.
    #[must_use]
    pub const fn is_loading(&self) -> bool {
        matches!(self, Self::Loading(_) | Self::Waiting | Self::Remembered(_))
    }
    /// Whether it could not be told.
    #[must_use]
    pub const fn is_bad(&self) -> bool {
        matches!(self, Self::Denied | Self::Failed(_))
    }
    /// Since when its data stands.
    #[must_use]
    pub const fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Complete(when) | Self::Remembered(when) => Some(*when),
            _ => None,
        }
    }
    /// Glyph, words, role: the longest words that `room` has room for, and a number or a key before a word.
    #[must_use]
    pub fn words(&self, now: Now, room: usize) -> (String, Role) {
        let (role, said) = match self {
            Self::Waiting => (Role::Dim, vec!["◌ waiting".to_owned(), "◌".to_owned()]),
            Self::Remembered(when) => {
                let age = text::data_age(*when, now);
                let age = if age == "now" { age } else { format!("{age} ago") };
                (Role::Dim, vec![format!("◌ from {age}"), format!("◌ {age}"), "◌".to_owned()])
            }
            Self::Loading(0) => (Role::Fresh, vec!["◐ loading".to_owned(), "◐".to_owned()]),
            Self::Loading(pages) => {
                (Role::Fresh, vec![format!("◐ loading p. {pages}"), format!("◐ p. {pages}"), "◐".to_owned()])
            }
            Self::Complete(_) => (Role::Good, vec!["● complete".to_owned(), "● done".to_owned(), "●".to_owned()]),
            Self::Denied => (Role::Bad, vec!["✗ denied · E".to_owned(), "✗ denied".to_owned(), "✗ E".to_owned()]),
            Self::Failed(code) => {
                let code = |room: usize| text::clip(code, room.clamp(4, 24));
                let key = format!("✗ {} · E", code(room.saturating_sub(6)));
                (Role::Bad, vec![key, "✗ E".to_owned()])
            }
        };
        let shortest = said.last().cloned().unwrap_or_default();
        (said.into_iter().find(|said| text::width(said) <= room).unwrap_or(shortest), role)
    }
    fn rank(&self) -> u8 {
        match self {
            Self::Failed(_) => 0,
            Self::Denied => 1,
            Self::Loading(_) => 2,
            Self::Waiting => 3,
            Self::Remembered(_) => 4,
            Self::Complete(_) => 5,
        }
    }
}

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    /// The region; `None` for a folded line.
    pub origin: Option<Arc<Origin>>,
    /// What is shown as its name.
    pub name: String,
    /// Sums of its snapshots.
    pub snapshots: Sums,
    /// Sums of its volumes.
    pub volumes: Sums,
    /// Its images.
    pub images: u64,
    /// Its orphans, once it was judged.
    pub orphans: Option<Orphaned>,
    /// Where it stands.
    pub standing: Standing,
}

impl Row {
    /// What it costs, as far as it is known: for the bar and the order.
    #[must_use]
    pub fn dollars(&self) -> f64 {
        self.snapshots.usd.0
    }

    fn is_empty(&self) -> bool {
        self.snapshots.rows + self.volumes.rows + self.images == 0
    }
}

/// All rows, in order.
#[must_use]
pub fn make(model: &Model) -> Vec<Row> {
    let mut rows: Vec<Row> = model.catalog.origins.iter().map(|origin| row(model, origin)).collect();
    let list = &model.world.list;
    rows.sort_by(|a, b| {
        let by = match list.sort {
            0 => a.name.cmp(&b.name),
            1 => a.snapshots.rows.cmp(&b.snapshots.rows),
            2 => a.volumes.rows.cmp(&b.volumes.rows),
            3 => a.images.cmp(&b.images),
            5 => a.volumes.usd.0.total_cmp(&b.volumes.usd.0),
            6 => b.standing.since().cmp(&a.standing.since()),
            7 => a.standing.rank().cmp(&b.standing.rank()),
            _ => a.dollars().total_cmp(&b.dollars()),
        };
        if list.descending { by.reverse() } else { by }.then_with(|| a.name.cmp(&b.name))
    });
    let (denied, rows): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| row.standing == Standing::Denied && row.is_empty());
    let (empty, mut rows): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| matches!(row.standing, Standing::Complete(_)) && row.is_empty());
    rows.extend(fold(denied, "denied"));
    rows.extend(fold(empty, "empty"));
    rows
}

/// Many alike are one line; a single one keeps its name.
fn fold(mut alike: Vec<Row>, word: &str) -> Vec<Row> {
    let Some(first) = alike.first().cloned() else { return alike };
    if alike.len() == 1 {
        return alike;
    }
    let oldest = alike.iter().filter_map(|row| row.standing.since()).min();
    let standing = oldest.map_or(first.standing, Standing::Complete);
    let name = format!("{} {word}", alike.len());
    let orphans = alike.iter().map(|row| row.orphans).sum::<Option<Orphaned>>();
    alike.clear();
    alike.push(Row {
        origin: None,
        name,
        snapshots: Sums::default(),
        volumes: Sums::default(),
        images: 0,
        orphans,
        standing,
    });
    alike
}

fn row(model: &Model, origin: &Arc<Origin>) -> Row {
    let c = &model.catalog;
    let several = model.chosen_profiles.len() > 1;
    let name = match &origin.profile {
        Some(profile) if several => format!("{profile} {}", origin.region.short()),
        _ => origin.region.to_string(),
    };
    let standing = match c.load(origin).0 {
        Load::Waiting => Standing::Waiting,
        Load::Remembered(when) => Standing::Remembered(*when),
        Load::Loading(pages) => Standing::Loading(*pages),
        Load::Done(when) => Standing::Complete(*when),
        Load::Failed { denied: true, .. } => Standing::Denied,
        Load::Failed { error, .. } => Standing::Failed(short_reason(error)),
    };
    Row {
        origin: Some(origin.clone()),
        name,
        snapshots: c.snapshots.of(origin).map(|s| s.sums).unwrap_or_default(),
        volumes: c.volumes.of(origin).map(|s| s.sums).unwrap_or_default(),
        images: c.images.of(origin).map_or(0, |s| s.sums.rows),
        orphans: model.orphans.of(origin),
        standing,
    }
}

fn short_reason(error: &crate::error::Error) -> String {
    match &error.aws {
        Some(aws) if !aws.code.is_empty() => aws.code.clone(),
        _ => error.what.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::{now, when};

    #[test]
    fn where_a_region_stands_keeps_its_number_and_its_key() {
        let at = |standing: &Standing, room: usize| standing.words(now(), room).0;
        let loading = Standing::Loading(12);
        assert_eq!([16, 10, 3].map(|room| at(&loading, room)), ["◐ loading p. 12", "◐ p. 12", "◐"]);
        let failed = Standing::Failed("RequestLimitExceeded".to_owned());
        assert_eq!(at(&failed, 30), "✗ RequestLimitExceeded · E");
        assert_eq!(at(&failed, 18), "✗ RequestLimi… · E");
        assert_eq!(at(&failed, 5), "✗ E");
        let remembered = Standing::Remembered(when(0));
        for standing in [&loading, &failed, &remembered, &Standing::Denied, &Standing::Waiting] {
            for room in 3..40 {
                assert!(text::width(&at(standing, room)) <= room, "{standing:?} in {room}");
            }
        }
    }
}
