//! A list: cursor, marks, sort, filter over rows that may be 200,000.
//!
//! A [`List`] holds places of rows, never rows: its [`Index`] says which are shown, its screen's file knows
//! what they are. Cursor and marks stay with their rows when the order changes.

pub mod actions;
pub mod filter;
mod index;

pub use filter::Filter;
pub use index::{Index, Order, Over, Rank, SLICE, word_key};

use std::collections::HashSet;
use std::time::Duration;

use crate::tui::catalog::{Record, Ref, Table};
use crate::tui::clock::Now;

/// While pages come in, a list is ordered anew at most this often; new rows wait at most as long.
pub const RESORT: Duration = Duration::from_millis(400);

/// One column that can be sorted by.
#[derive(Debug)]
pub struct Column<T: 'static> {
    /// Stable: kept between runs.
    pub id: &'static str,
    /// Its head.
    pub head: &'static str,
    /// How it orders.
    pub order: Order<T>,
    /// Whether the greatest comes first when it is chosen.
    pub descending: bool,
}

/// The filter line of a list.
#[derive(Debug, Default)]
pub struct FilterLine {
    /// As typed.
    pub text: String,
    /// What it means; the last one that could be read while the text cannot.
    pub parsed: Option<Filter>,
    /// Why it cannot be read.
    pub error: Option<String>,
}

/// The state of a list.
#[derive(Debug, Default)]
pub struct List {
    /// Which rows, in what order.
    pub index: Index,
    /// Place of the cursor among the shown rows.
    pub cursor: usize,
    /// First shown row on screen, as of the last key.
    pub top: usize,
    /// Marked rows.
    pub marks: HashSet<Ref>,
    /// Where a range began (`v`).
    pub anchor: Option<usize>,
    /// The column it is sorted by.
    pub sort: usize,
    /// The greatest first.
    pub descending: bool,
    /// Whether the user chose that order: then it holds, else what a filter means best comes first.
    pub ordered: bool,
    /// The filter.
    pub filter: FilterLine,
    /// Marked rows that the filter hides.
    pub hidden: usize,
    stays: Option<Ref>,
    built: Option<u64>,
    built_at: Duration,
    refilter: bool,
    narrowing: bool,
}

impl List {
    /// Sorted by a column from the start.
    #[must_use]
    pub fn sorted_by(sort: usize, descending: bool) -> Self {
        Self { sort, descending, ..Self::default() }
    }

    /// A list without rows, marks and filter that keeps the order.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self { sort: self.sort, descending: self.descending, ordered: self.ordered, ..Self::default() }
    }

    /// Rows shown.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.shown.len()
    }

    /// Whether no row is shown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.shown.is_empty()
    }

    /// The row under the cursor.
    #[must_use]
    pub fn current(&self) -> Option<Ref> {
        self.index.shown.get(self.cursor).copied()
    }

    /// The first row to draw in `height` lines.
    #[must_use]
    pub fn top_for(&self, height: usize) -> usize {
        let last_top = self.len().saturating_sub(height);
        let top = if self.cursor < self.top {
            self.cursor
        } else if height > 0 && self.cursor >= self.top + height {
            self.cursor + 1 - height
        } else {
            self.top
        };
        top.min(last_top)
    }

    /// Keeps `top` as it is drawn; called after every key, with the lines that the screen has for rows.
    pub fn settle(&mut self, height: usize) {
        self.cursor = self.cursor.min(self.len().saturating_sub(1));
        self.top = self.top_for(height);
    }

    /// Moves the cursor by rows, and the range with it.
    pub fn step_by(&mut self, by: isize) {
        self.go_to(self.cursor.saturating_add_signed(by));
    }

    /// Moves the cursor to a place.
    pub fn go_to(&mut self, place: usize) {
        let to = place.min(self.len().saturating_sub(1));
        if self.anchor.is_some() {
            let (low, high) = (self.cursor.min(to), self.cursor.max(to));
            self.marks.extend(self.index.shown.get(low..=high).unwrap_or_default());
            self.recount();
        }
        self.cursor = to;
        self.stays = self.current();
    }

    /// Whether the cursor was put somewhere: until then it stays at the top, whatever comes there.
    #[must_use]
    pub const fn has_moved(&self) -> bool {
        self.stays.is_some()
    }

    /// Marks or unmarks the row under the cursor and goes on to the next.
    pub fn toggle(&mut self) {
        if let Some(at) = self.current() {
            if !self.marks.remove(&at) {
                self.marks.insert(at);
            }
            self.recount();
            self.step_by(1);
        }
    }

    /// Marks what is not marked among the shown rows, and the other way round.
    pub fn invert(&mut self) {
        for at in &self.index.shown {
            if !self.marks.remove(at) {
                self.marks.insert(*at);
            }
        }
        self.recount();
    }

    /// The marked rows in the order shown, those hidden by the filter last; the row under the cursor when
    /// nothing is marked.
    #[must_use]
    pub fn chosen(&self) -> Vec<Ref> {
        if self.marks.is_empty() {
            return self.current().into_iter().collect();
        }
        let mut out: Vec<Ref> = self.index.shown.iter().copied().filter(|at| self.marks.contains(at)).collect();
        if out.len() < self.marks.len() {
            let shown: HashSet<Ref> = out.iter().copied().collect();
            let mut hidden: Vec<Ref> = self.marks.iter().copied().filter(|at| !shown.contains(at)).collect();
            hidden.sort_unstable();
            out.extend(hidden);
        }
        out
    }

    /// Counts again what the filter hides of the marks; after every change of either.
    pub fn recount(&mut self) {
        self.hidden = if self.filter.parsed.is_none() || self.marks.is_empty() {
            0
        } else {
            self.marks.len() - self.index.shown.iter().filter(|at| self.marks.contains(at)).count()
        };
    }

    /// Unmarks everything, also what the filter hides.
    pub fn unmark(&mut self) {
        self.marks.clear();
        self.anchor = None;
        self.recount();
    }

    /// Filters by a text: live while it is typed.
    pub fn set_filter(&mut self, text: &str, now: Now) {
        if self.filter.text == text {
            return;
        }
        text.clone_into(&mut self.filter.text);
        self.filter.error = None;
        (self.cursor, self.top, self.stays, self.anchor) = (0, 0, None, None);
        if text.trim().is_empty() {
            self.filter.parsed = None;
            (self.refilter, self.narrowing) = (true, true);
            return;
        }
        match filter::parse(text, now) {
            Ok(filter) => {
                self.filter.parsed = Some(filter);
                (self.refilter, self.narrowing) = (true, true);
            }
            Err(error) => self.filter.error = Some(error.what),
        }
    }

    /// Whether the rows shown are not yet those that the filter means. Who types on without looking means the rows to
    /// come: a key must wait for them.
    #[must_use]
    pub const fn is_narrowing(&self) -> bool {
        self.narrowing
    }

    /// Keeps the cursor on its row from now on, whatever comes above it.
    pub fn hold(&mut self) {
        self.stays = self.current();
    }

    /// Puts the cursor on a row; a filter that hides it goes.
    pub fn show(&mut self, at: Ref, now: Now) {
        if !self.index.shown.contains(&at) {
            self.set_filter("", now);
        }
        self.stays = Some(at);
        self.follow();
    }

    /// Sorts by a column; the same column again turns the direction.
    pub fn sort_by(&mut self, column: usize, descending: bool) {
        self.sort = column;
        self.descending = descending;
        self.ordered = true;
        self.built = None;
    }

    /// The word by which matches are ranked: the first plain one of the filter, while no order was chosen.
    #[must_use]
    pub fn ranks_by(&self) -> Option<&str> {
        if self.ordered || self.filter.parsed.is_none() {
            return None;
        }
        self.filter.text.split_whitespace().find(|word| filter::is_plain(word))
    }

    /// Whether there is something to work on now; [`List::wakes`] says when later.
    #[must_use]
    pub fn has_work(&self, revision: u64, now: Now) -> bool {
        self.refilter || !self.index.is_idle() || (self.built != Some(revision) && now.mono >= self.resort_at())
    }

    /// When it wants to be worked on, because rows came and were not ordered yet.
    #[must_use]
    pub fn wakes(&self, revision: u64) -> Option<Duration> {
        (self.built != Some(revision)).then(|| self.resort_at())
    }

    fn resort_at(&self) -> Duration {
        match self.built {
            Some(_) if self.index.total() > 0 => self.built_at + RESORT,
            _ => Duration::ZERO,
        }
    }

    /// One slice of work.
    pub fn work<T: Record>(
        &mut self,
        table: &Table<T>,
        columns: &[Column<T>],
        matches: fn(&Filter, &T, Now) -> bool,
        now: Now,
    ) {
        let Some(column) = columns.get(self.sort).or_else(|| columns.first()) else { return };
        let idle = self.index.is_idle();
        if self.built != Some(table.revision) && (self.built.is_none() || idle) && now.mono >= self.resort_at() {
            self.index.sort();
            self.built = Some(table.revision);
            self.built_at = now.mono;
        }
        if std::mem::take(&mut self.refilter) {
            self.index.filter();
        }
        let over = Over { table, order: &column.order, descending: self.descending };
        let word = self.ranks_by().map(str::to_lowercase);
        let rank = |row: &T| match &word {
            Some(word) => filter::rank(word, row),
            None => Rank::Found,
        };
        match &self.filter.parsed {
            Some(filter) => self.index.step(&over, &|row| matches(filter, row, now).then(|| rank(row))),
            None => self.index.step(&over, &|_| Some(Rank::Found)),
        }
        self.follow();
    }

    /// The cursor stays with its row when the order changes, as long as the row is shown.
    fn follow(&mut self) {
        if !self.index.is_idle() {
            return;
        }
        self.narrowing = self.refilter;
        if let Some(stays) = self.stays
            && self.current() != Some(stays)
            && let Some(place) = self.index.shown.iter().position(|at| *at == stays)
        {
            let line = self.cursor.saturating_sub(self.top);
            self.cursor = place;
            self.top = place.saturating_sub(line);
        }
        self.cursor = self.cursor.min(self.len().saturating_sub(1));
        self.recount();
    }
}
