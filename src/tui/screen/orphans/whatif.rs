//! What if these went together: the sum that is right for the set, beside what each frees alone.
//!
//! Blocks that two marks share are freed by both together and by none alone; blocks that a newer one shares stay. Until
//! a chain was asked about the sum of its sizes is all that is known, and it says that it is at most.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::exact;
use crate::ids::SnapshotId;
use crate::inventory::frees::{Billed, Whys};
use crate::inventory::verdict::{Sureness, Thing};
use crate::inventory::{Origin, SnapshotRow, Tier};
use crate::plan::frees;
use crate::tui::catalog::{Record as _, Ref};
use crate::tui::clock::Now;
use crate::tui::model::Model;
use crate::tui::text;
use crate::tui::theme::Role;
use crate::units::{Bytes, Quantity, Sure, Usd};

/// What some rows free.
#[derive(Debug)]
pub struct WhatIf {
    /// How many.
    pub rows: usize,
    /// Snapshots among them.
    snapshots: usize,
    /// Of how many chains these are.
    chains: usize,
    /// What each frees alone, added up.
    pub alone: Bytes,
    /// What they free together.
    pub together: Quantity<Bytes>,
    /// A month.
    pub usd: Quantity<Usd>,
    /// Things without a price.
    unpriced: usize,
    /// Snapshots whose chain nobody asked about.
    pub unasked: usize,
    /// Why what was counted is at most.
    why: Whys,
    /// The newer one in which most of it stays, and how much; in how many others something stays.
    stays: Option<(SnapshotId, Bytes, usize)>,
    /// The last day of billing, and why.
    billed: Option<(Timestamp, String)>,
    /// Snapshots that no rule of the Recycle Bin keeps.
    finals: usize,
}

/// What has no price is counted beside the sum.
fn add(sum: &mut Quantity<Usd>, unpriced: &mut usize, part: Quantity<Usd>) {
    match part.known() {
        Some(value) => *sum = Quantity { value: sum.value + value, sure: sum.sure.and(part.sure) },
        None => *unpriced += 1,
    }
}

impl WhatIf {
    /// Of these rows.
    pub fn of(model: &Model, rows: &[Ref], now: Now) -> Self {
        let mut out = Self {
            rows: rows.len(),
            snapshots: 0,
            chains: 0,
            alone: Bytes::ZERO,
            together: Quantity::exact(Bytes::ZERO),
            usd: Quantity::exact(Usd(0.0)),
            unpriced: 0,
            unasked: 0,
            why: Whys::NONE,
            stays: None,
            billed: None,
            finals: 0,
        };
        let mut places: HashMap<&Arc<Origin>, Vec<&SnapshotRow>> = HashMap::new();
        for row in rows.iter().filter_map(|at| model.orphans.table.get(*at)) {
            if row.frees.label != Sureness::Unknown {
                out.alone += row.frees.bytes;
            }
            let sure = match row.frees.label {
                Sureness::Exact => Sure::Exact,
                Sureness::UpperBound => Sure::AtMost,
                // Of what failed on AWS's side nothing is known, and nothing is added.
                Sureness::Unknown => Sure::AtMost,
            };
            match row.thing() {
                Some(Thing::Snapshot(one)) if model.freed.of(one).is_some() => {
                    out.snapshots += 1;
                    places.entry(&one.origin).or_default().push(one);
                }
                Some(Thing::Snapshot(_)) => {
                    out.snapshots += 1;
                    out.unasked += 1;
                    out.together = exact::and(out.together, Quantity { value: row.frees.bytes, sure });
                    add(&mut out.usd, &mut out.unpriced, row.month());
                }
                Some(_) => {
                    out.together = exact::and(out.together, Quantity { value: row.frees.bytes, sure });
                    add(&mut out.usd, &mut out.unpriced, row.month());
                }
                None => {}
            }
        }
        for some in places.values() {
            out.place(model, some, now);
        }
        out.count_chains(model, rows);
        out
    }

    /// Those of one region whose chains are known.
    fn place(&mut self, model: &Model, some: &[&SnapshotRow], now: Now) {
        if let (Some(first), Some(together)) = (some.first(), model.freed.together(some)) {
            self.together = exact::and(self.together, together.quantity());
            self.why = self.why.with(together.why);
            let month = frees::month(together, Tier::Standard, &first.origin.region);
            add(&mut self.usd, &mut self.unpriced, month);
        }
        let mut seen: Vec<*const crate::tui::insides::Lives> = Vec::new();
        for row in some {
            let Some(lives) = model.freed.of(row) else { continue };
            match lives.billed(row, now.wall) {
                Billed::Until { day, why } if self.billed.as_ref().is_none_or(|(latest, _)| *latest < day) => {
                    self.billed = Some((day, why));
                }
                Billed::AtOnce => self.finals += 1,
                Billed::Until { .. } | Billed::Unknown => {}
            }
            if seen.contains(&std::ptr::from_ref(lives)) {
                continue;
            }
            seen.push(std::ptr::from_ref(lives));
            let stays = lives.stays(|id| some.iter().any(|one| one.id == *id));
            let Some((id, bytes)) = stays.first().cloned() else { continue };
            let others = stays.len() - 1 + self.stays.as_ref().map_or(0, |(_, _, others)| others + 1);
            self.stays = match self.stays.take() {
                Some((known, most, _)) if most >= bytes => Some((known, most, others)),
                _ => Some((id, bytes, others)),
            };
        }
    }

    fn count_chains(&mut self, model: &Model, rows: &[Ref]) {
        let mut chains: Vec<_> = rows
            .iter()
            .filter_map(|at| exact::snapshot(model, *at))
            .map(|row| {
                let real = row.volume.as_ref().filter(|volume| !volume.is_placeholder());
                (row.origin.region.as_str(), real.map_or(row.id.as_str(), |volume| volume.as_str()))
            })
            .collect();
        chains.sort_unstable();
        chains.dedup();
        self.chains = chains.len();
    }

    /// `3 marked, one chain`.
    fn head(&self, hidden: usize) -> String {
        let hidden = if hidden > 0 { format!(" ({hidden} hidden)") } else { String::new() };
        let others = self.rows - self.snapshots;
        let what = match (self.snapshots, self.chains, others) {
            (0, ..) => String::new(),
            (_, 1, 0) => ", one chain".to_owned(),
            (_, chains, 0) => format!(", {chains} chains"),
            (snapshots, ..) => format!(", {}", text::count(snapshots as u64, "snapshot")),
        };
        format!("{} marked{hidden}{what}", self.rows)
    }

    /// `≤ 2.1 TiB, ≈ $107.40 a month`.
    pub fn figures(&self) -> String {
        let unpriced = match self.unpriced {
            0 => String::new(),
            n => format!(" without {n} of unknown price"),
        };
        let bytes = format!("{} {}", self.together.sure.glyph(), text::size(self.together.value));
        format!("{bytes}, {} a month{unpriced}", self.usd)
    }
}

/// Whether there is a reason to tell why what the marks free is at most.
pub fn has_reason(model: &Model) -> bool {
    let marks = &model.orphans.list.marks;
    let counted = |row: &SnapshotRow| model.freed.alone(row).is_some_and(|frees| !frees.why.is_none());
    marks.len() <= exact::MOST && marks.iter().filter_map(|at| exact::snapshot(model, *at)).any(counted)
}

/// What the marks would free, in lines of so many columns; nothing without marks.
pub fn lines(model: &Model, room: usize, now: Now) -> Vec<(String, Role)> {
    let list = &model.orphans.list;
    if list.marks.is_empty() {
        return Vec::new();
    }
    let marks: Vec<Ref> = list.chosen();
    if marks.len() > exact::MOST {
        return vec![(
            format!("{} marked: what they free together is not added up for so many", marks.len()),
            Role::Marked,
        )];
    }
    let what = WhatIf::of(model, &marks, now);
    let row = |head: &str, label: &str, figure: &str, more: &str| {
        let line = format!("{} {} {}  {more}", text::left(head, 25), text::left(label, 13), text::right(figure, 11));
        line.trim_end().to_owned()
    };
    let less = what.together.value > what.alone;
    let less = if less { "each frees less alone" } else { "" };
    let together = format!("{} {}", what.together.sure.glyph(), text::size(what.together.value));
    let mut out = vec![
        (row(&what.head(list.hidden), "alone, summed", &text::size(what.alone), less), Role::Marked),
        (row("", "together", &together, &format!("{} a month", what.usd)), Role::Marked),
    ];
    if let Some(why) = what.why.said_within(room.saturating_sub(2)) {
        out.push((format!("≤ {why}"), Role::Dim));
    }
    if what.unasked > 0 {
        let asked = exact::asked(model, &marks);
        let said = match (model.freed.running.is_empty(), asked.of.is_empty()) {
            (false, _) => "◐ asking which blocks they share, esc stops".to_owned(),
            (true, true) => "some of them cannot be listed: their sizes are all that is known".to_owned(),
            (true, false) => format!("which blocks they share is not known: X finds out, {}", asked.words()),
        };
        out.push((said, Role::Fresh));
    } else if let Some((id, bytes, others)) = &what.stays {
        let others = if *others > 0 { format!(", more in {others} others") } else { String::new() };
        let stays = format!("in {} (newer){others}", text::tail(id.as_str(), 9));
        out.push((row("", "stays", &text::size(*bytes), &stays), Role::Dim));
    }
    out.extend(billed(&what).map(|said| (said, Role::Dim)));
    out
}

/// From when it is felt, and what could not be had back.
fn billed(what: &WhatIf) -> Option<String> {
    let finals = match what.finals {
        0 => String::new(),
        1 => " · 1 would be FINAL: no rule of the Recycle Bin keeps it".to_owned(),
        n => format!(" · {n} would be FINAL: no rule of the Recycle Bin keeps them"),
    };
    match &what.billed {
        Some((day, why)) => Some(format!("billed until {}: {why}{finals}", day.strftime("%-d %b"))),
        None if what.finals > 0 => Some(finals.trim_start_matches(" · ").to_owned()),
        None => None,
    }
}
