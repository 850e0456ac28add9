//! How a comparison is drawn: the two, the figures, the map over the volume, and what to do with it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{ASK_ABOVE, Stage, map, money, stage};
use crate::inventory::SnapshotRow;
use crate::inventory::elsewhere::Copy;
use crate::plan::compare::{Change, Tally, by_content};
use crate::plan::count::Counted;
use crate::plan::{Api, Prices};
use crate::tui::clock::Now;
use crate::tui::elsewhere::{copies_of, held, place};
use crate::tui::figures::What;
use crate::tui::model::Model;
use crate::tui::screen::detail::{self, DetailLine, wrapped};
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::stack::{Want, heights};
use crate::tui::widget::sums::apportioned;
use crate::tui::widget::table::put;
use crate::tui::widget::{gauge, line, panel};
use crate::units::{Blocks, Bytes, Quantity, Sure, Usd, grouped};

/// From this width on the figures and what to do stand side by side.
const BESIDE: u16 = 100;
/// Columns of `  15.0 %` behind a bar.
const PERCENT: usize = 8;

/// Draws it.
pub fn view(model: &Model, body: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let Some((older, newer)) = &model.compare.pair else {
        let inner = panel("Compare", "esc back", true, body, buf, theme);
        put(inner.x + 1, "mark two snapshots, then = compares them", theme.style(Role::Dim), inner, buf);
        return;
    };
    let stage = stage(model);
    let wide = body.width >= BESIDE;
    let apart = matches!(stage, Stage::Apart(_) | Stage::Failed(_));
    let wants = if apart {
        vec![Want { least: 6, most: 6, worth: 9 }, Want { least: 3, most: 60, worth: 8 }]
    } else {
        vec![
            Want { least: 6, most: 6, worth: 6 },
            Want { least: 8, most: if wide { 11 } else { 8 }, worth: 9 },
            Want { least: 3, most: 14, worth: 3 },
            Want { least: if wide { 0 } else { 3 }, most: if wide { 0 } else { 6 }, worth: 5 },
        ]
    };
    let heights = heights(body.height, &wants);
    let mut y = body.y;
    let mut next = |n: usize| {
        let height = heights.get(n).copied().unwrap_or(0);
        let area = Rect { y, height, ..body };
        y += height;
        area
    };
    pair(older, newer, next(0), buf, theme, now);
    if apart {
        instead(model, older, newer, stage, next(1), buf, theme);
        return;
    }
    let figures = next(1);
    let left = if wide { figures.width * 3 / 5 } else { figures.width };
    changed(model, newer, stage, Rect { width: left, ..figures }, buf, theme);
    map::draw(newer, older, stage, next(2), buf, theme);
    let copy = if wide { Rect { x: figures.x + left, width: figures.width - left, ..figures } } else { next(3) };
    to_do(model, older, newer, stage, copy, buf, theme);
}

fn pair(older: &SnapshotRow, newer: &SnapshotRow, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    if area.height == 0 {
        return;
    }
    let inner = panel("Compare", "oldest to newest, whatever the order of the marks", true, area, buf, theme);
    let dates = inner.width >= 100;
    let fixed = 6 + 23 + 6 + 10 + 10 + 6 + if dates { 18 } else { 0 } + 2;
    let name = usize::from(inner.width).saturating_sub(fixed).clamp(4, 40);
    let made = |row: &SnapshotRow| row.started.strftime("%Y-%m-%d %H:%M").to_string();
    let lines = [
        ("", ["SNAPSHOT", "NAME", "REG", "VOLUME", "FULL", "AGE", "MADE"].map(str::to_owned), Role::Dim),
        ("older", columns(older, now, made(older)), Role::Text),
        ("newer", columns(newer, now, made(newer)), Role::Accent),
    ];
    for (n, (what, [id, called, region, volume, full, age, made], role)) in (0u16..).zip(lines) {
        let at = Rect { y: inner.y + n, height: 1, ..inner }.intersection(inner);
        put(at.x + 1, what, theme.style(Role::Dim), at, buf);
        let said = format!(
            "{} {} {} {} {} {}  {}",
            text::left(&text::tail(&id, 22), 22),
            text::left(&called, name),
            text::left(&region, 5),
            text::right(&volume, 9),
            text::right(&full, 9),
            text::right(&age, 5),
            if dates { made.as_str() } else { "" },
        );
        put(at.x + 7, said.trim_end(), theme.style(role), at, buf);
    }
    let last = Rect { y: inner.y + 3, height: 1, ..inner }.intersection(inner);
    let room = usize::from(inner.width).saturating_sub(2);
    put(last.x + 1, &text::clauses(&between(older, newer), room), theme.style(Role::Dim), last, buf);
}

/// What is said of one of the two.
fn columns(row: &SnapshotRow, now: Now, made: String) -> [String; 7] {
    [
        row.id.to_string(),
        row.name.clone().unwrap_or_else(|| "(none)".to_owned()),
        row.origin.region.short(),
        text::size(row.size),
        row.full.map_or_else(|| "?".to_owned(), text::size),
        text::age(row.started, now),
        made,
    ]
}

/// What lies between them, in a sentence.
fn between(older: &SnapshotRow, newer: &SnapshotRow) -> String {
    let apart = text::seconds_short(newer.started.duration_since(older.started).as_secs().max(0));
    let grown = match newer.size.0.cmp(&older.size.0) {
        std::cmp::Ordering::Equal => "the volume did not grow".to_owned(),
        std::cmp::Ordering::Greater => format!(
            "the volume grew by = {}, from {} to {}",
            text::size(newer.size.less(older.size)),
            text::size(older.size),
            text::size(newer.size)
        ),
        std::cmp::Ordering::Less => {
            format!("the newer is smaller by {}: these are not one volume", text::size(older.size.less(newer.size)))
        }
    };
    match older.started == newer.started {
        true => format!("made at the same moment, {grown}"),
        false => format!("{apart} lie between them, {grown}"),
    }
}

/// The figures of the table: what, so many blocks, how sure.
struct Figures {
    sure: &'static str,
    counted: Counted,
    same: Option<(&'static str, Blocks)>,
}

fn figures(model: &Model, newer: &SnapshotRow, stage: Stage<'_>) -> Option<Figures> {
    let (sure, counted) = match stage {
        Stage::Done(count) => ("=", count.counted),
        // Figures of a count that runs can only grow.
        Stage::Counting(Some(progress)) => ("≥", so_far(&progress.cells)),
        _ => return None,
    };
    let of_both = counted.added + counted.changed;
    let less = |all: Blocks| Blocks(all.0.saturating_sub(of_both.0));
    let same = match (stage, model.figures.count(&What::whole(newer)), newer.full) {
        (Stage::Counting(_), ..) => None,
        (_, Some(whole), _) => Some(("=", less(whole.blocks))),
        (_, None, Some(full)) => Some(("≤", less(full.blocks()))),
        (_, None, None) => Some(("≤", less(newer.size.blocks()))),
    };
    Some(Figures { sure, counted, same })
}

fn so_far(cells: &[Tally]) -> Counted {
    let all = cells.iter().fold([0u64; 3], |[a, c, r], cell| {
        [a + u64::from(cell.added), c + u64::from(cell.changed), r + u64::from(cell.removed)]
    });
    let [added, changed, removed] = all.map(Blocks);
    Counted { added, changed, removed, blocks: added + changed + removed, ..Counted::default() }
}

/// The unit of a column and how many bytes it has, so that figures below each other add up.
fn unit(largest: Bytes) -> (&'static str, f64) {
    #[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let bytes = largest.0 as f64;
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let fits = units.iter().rev().find(|(_, shift)| bytes >= 2f64.powi(*shift)).unwrap_or(&units[0]);
    (fits.0, 2f64.powi(fits.1))
}

fn changed(model: &Model, newer: &SnapshotRow, stage: Stage<'_>, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height == 0 {
        return;
    }
    let right = match stage {
        Stage::Counting(Some(progress)) if progress.ranges.1 > 0 => {
            format!("◐ {} of {} ranges · x stops", progress.ranges.0, progress.ranges.1)
        }
        Stage::Counting(_) => "◐ asking · x stops".to_owned(),
        _ => "= exact  ≤ at most".to_owned(),
    };
    let inner = panel("What changed", &right, false, area, buf, theme);
    let Some(figures) = figures(model, newer, stage) else {
        let said = waiting(stage);
        put(
            inner.x + 1,
            &text::clauses(&said, usize::from(inner.width).saturating_sub(2)),
            theme.style(Role::Fresh),
            inner,
            buf,
        );
        return;
    };
    let counted = figures.counted;
    let (unit, size) = unit(counted.blocks.bytes().max(figures.same.map_or(Bytes::ZERO, |(_, same)| same.bytes())));
    #[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let hundredths = |blocks: Blocks| blocks.bytes().0 as f64 / size * 100.0;
    let parts = [counted.changed, counted.added, counted.removed];
    let bytes = apportioned(&parts.map(hundredths));
    let sum: u64 = bytes.iter().sum();
    let bar = usize::from(inner.width).saturating_sub(41 + PERCENT).min(30);
    let mut row = Row { inner, n: 0, bar, volume: newer.size.blocks(), buf, theme };
    row.heads(unit);
    let names = [("changed", Change::Changed), ("added", Change::Added), ("removed", Change::Removed)];
    for (((name, change), blocks), bytes) in names.into_iter().zip(parts).zip(bytes) {
        row.put(name, Some(change), figures.sure, blocks, bytes, Role::Text);
    }
    row.put("differ", None, figures.sure, counted.blocks, sum, Role::Title);
    match figures.same {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size in hundredths of a unit")]
        Some((sure, same)) => row.put("the same", None, sure, same, hundredths(same).round() as u64, Role::Text),
        None => row.word("the same", &format!("{:>14}  when it is counted", "?")),
    }
    if figures.same.is_some_and(|(sure, _)| sure == "≤") {
        row.word("", "s counts the newer: the same is exact then");
    } else {
        row.word("", "removed: only the older has them, zeros in the newer");
    }
}

fn waiting(stage: Stage<'_>) -> String {
    match stage {
        Stage::Ask(cost) if cost.value.0 > ASK_ABOVE.0 => format!("listing it costs {}: S starts it", money(cost)),
        Stage::Ask(cost) => format!("not counted: S counts it, {}", money(cost)),
        _ => "◐ asking AWS what differs".to_owned(),
    }
}

/// Writes the rows of the table of figures, one below the other.
struct Row<'a> {
    inner: Rect,
    n: u16,
    bar: usize,
    volume: Blocks,
    buf: &'a mut Buffer,
    theme: &'a Theme,
}

impl Row<'_> {
    fn next(&mut self) -> Rect {
        let at = Rect { y: self.inner.y + self.n, height: 1, ..self.inner }.intersection(self.inner);
        self.n += 1;
        at
    }

    fn heads(&mut self, unit: &str) {
        let at = self.next();
        let share = if self.bar >= 12 { "  OF THE VOLUME" } else { "" };
        let said = format!("{:<9}{:>15}{:>13}{share}", "", "BLOCKS", unit);
        put(at.x + 1, &said, self.theme.style(Role::Dim), at, self.buf);
    }

    /// A part of what differs looks as it does on the map below, which has no room for a legend on a small screen.
    fn put(&mut self, name: &str, part: Option<Change>, sure: &str, blocks: Blocks, hundredths: u64, role: Role) {
        let at = self.next();
        let (symbol, fill) = part.map_or(("", Role::Gauge), |part| map::glyph(Some(part)));
        let size = format!("{sure} {}.{:02}", grouped(hundredths / 100), hundredths % 100);
        let said = format!("{name:<9}{:>15}{size:>13}", format!("{sure} {blocks}"));
        put(at.x + 1, &said, self.theme.style(role), at, self.buf);
        put(at.x + 9, symbol, self.theme.style(fill), at, self.buf);
        if self.bar < 4 {
            return;
        }
        let share = gauge::share(blocks.0, self.volume.0);
        let mut spans = gauge::bar(self.theme, share, self.bar, fill);
        let percent = if share > 0.0 && share < 0.001 { "<0.1".to_owned() } else { format!("{:.1}", share * 100.0) };
        spans.push(Span::styled(format!("{percent:>6} %"), self.theme.style(Role::Dim)));
        line(at.x + 40, at.y, &Line::from(spans), at, self.buf);
    }

    fn word(&mut self, name: &str, what: &str) {
        let at = self.next();
        let what = text::clauses(what, usize::from(self.inner.width).saturating_sub(12));
        put(at.x + 1, name, self.theme.style(Role::Text), at, self.buf);
        put(at.x + 10, &what, self.theme.style(Role::Dim), at, self.buf);
    }
}

/// What copying only the difference takes, and onto what.
fn to_do(
    model: &Model,
    older: &SnapshotRow,
    newer: &SnapshotRow,
    stage: Stage<'_>,
    area: Rect,
    buf: &mut Buffer,
    theme: &Theme,
) {
    if area.height < 3 {
        return;
    }
    let inner = panel("Copy the difference", "c copies", false, area, buf, theme);
    let width = usize::from(inner.width).saturating_sub(2);
    let mut out: Vec<DetailLine> = Vec::new();
    if let Stage::Done(count) = stage {
        // What is removed is written as zeros, and never read.
        let read = Quantity::exact(count.counted.added + count.counted.changed);
        let delta = reads(newer, Quantity::exact(count.counted.blocks), read);
        let all = whole(model, newer);
        out.push((format!("the delta   {delta}"), Role::Text));
        out.push((format!("whole       {}", reads(newer, all, all)), Role::Dim));
    }
    let copies: Vec<_> =
        copies_of(model, &held(older)).into_iter().filter(|c| c.is_base || !c.proof.is_proved()).collect();
    if inner.height == 1 {
        one_line(&out, copies.first(), inner, buf, theme);
        return;
    }
    match copies.as_slice() {
        [] => wrapped(
            &format!(
                "! no copy of the older is known, and a delta goes onto one: first copy {} whole",
                text::tail(older.id.as_str(), 9)
            ),
            width,
            Role::Warn,
            &mut out,
        ),
        some => {
            let room = usize::from(inner.height).saturating_sub(out.len() + 1).max(1);
            out.push(("onto a copy of the older:".to_owned(), Role::Dim));
            for copy in some.iter().take(room) {
                let (glyph, how) = copy.proof.words();
                let role = if copy.is_base { Role::Good } else { Role::Warn };
                out.push((format!("{glyph} {}  {how}", place(copy)), role));
            }
        }
    }
    detail::draw(&out, inner, buf, theme);
}

/// The same where there is one line for it: what is copied and onto what, else only onto what.
fn one_line(out: &[DetailLine], copy: Option<&Copy>, inner: Rect, buf: &mut Buffer, theme: &Theme) {
    let width = usize::from(inner.width).saturating_sub(2);
    let (said, role) = match copy {
        Some(copy) => {
            let (glyph, how) = copy.proof.words();
            (format!("{glyph} {}, {how}", place(copy)), if copy.is_base { Role::Good } else { Role::Warn })
        }
        None => ("! no copy of the older is known, and a delta goes onto one".to_owned(), Role::Warn),
    };
    let delta = out.first().map(|(line, _)| line.split_whitespace().skip(2).collect::<Vec<_>>().join(" "));
    let all = delta.map_or_else(|| said.clone(), |delta| format!("{delta} onto {said}"));
    let whole = if text::width(&all) <= width { all } else { said };
    detail::draw(&[(text::clauses(&whole, width), role)], inner, buf, theme);
}

/// All blocks of a snapshot as well as they are known.
fn whole(model: &Model, row: &SnapshotRow) -> Quantity<Blocks> {
    match (model.figures.count(&What::whole(row)), row.full) {
        (Some(counted), _) => Quantity::exact(counted.blocks),
        (None, full) => Quantity::at_most(full.map_or(row.size.blocks(), Bytes::blocks)),
    }
}

/// What is written, and what reading for it costs: `= 402 GiB, ≈ $2.47 (Get)`.
fn reads(row: &SnapshotRow, written: Quantity<Blocks>, read: Quantity<Blocks>) -> String {
    let price = Prices::bundled().request(Api::Get, &row.origin.region);
    #[expect(clippy::cast_precision_loss, reason = "a bill needs no more than 52 bits of a block count")]
    let usd = Usd(price.value.0 * read.value.0 as f64);
    let sure: Sure = read.sure.and(price.sure);
    format!("{} {}, {} {usd} (Get)", written.sure.glyph(), text::size(written.value.bytes()), sure.glyph())
}

/// Why there is nothing to list, and what reading both would cost.
fn instead(
    model: &Model,
    older: &SnapshotRow,
    newer: &SnapshotRow,
    stage: Stage<'_>,
    area: Rect,
    buf: &mut Buffer,
    theme: &Theme,
) {
    if area.height == 0 {
        return;
    }
    let title = if matches!(stage, Stage::Failed(_)) { "It could not be counted" } else { "No list of changes" };
    let inner = panel(title, "y copies the command", false, area, buf, theme);
    let width = usize::from(inner.width).saturating_sub(2);
    let mut out: Vec<DetailLine> = Vec::new();
    match stage {
        Stage::Failed(error) => {
            wrapped(&format!("✗ {error}"), width, Role::Bad, &mut out);
            wrapped("S tries again", width, Role::Text, &mut out);
            detail::draw(&out, inner, buf, theme);
            return;
        }
        Stage::Apart(error) => {
            wrapped(&format!("! {}", unrelated(older, newer)), width, Role::Warn, &mut out);
            if let Some(aws) = error.and_then(|error| error.aws.as_ref()) {
                let reason = aws.reason.as_deref().unwrap_or(&aws.code);
                wrapped(&format!("AWS says {reason}: {}", aws.message), width, Role::Dim, &mut out);
            }
        }
        _ => {}
    }
    let both = by_content(older, newer);
    out.push((String::new(), Role::Text));
    out.push(("Comparing them by content reads both whole:".to_owned(), Role::Text));
    out.push((
        format!(
            "≤ {} Get and ≤ {} List requests, {} {}",
            both.gets,
            grouped(both.lists),
            both.usd.sure.glyph(),
            both.usd.value
        ),
        Role::Accent,
    ));
    out.push((String::new(), Role::Text));
    let sandbox = if model.sandbox { " --sandbox" } else { "" };
    out.push((format!("floe verify{sandbox} {} {}", older.address(), newer.address()), Role::Text));
    detail::draw(&out, inner, buf, theme);
}

/// Why AWS lists no changes between them.
fn unrelated(older: &SnapshotRow, newer: &SnapshotRow) -> String {
    let (a, b) = (&older.origin, &newer.origin);
    if a.account != b.account {
        return format!(
            "They belong to accounts {} and {}: changes are listed only between two snapshots of one account",
            a.account.grouped(),
            b.account.grouped()
        );
    }
    if a.region != b.region {
        return format!("They are in {} and {}: changes are listed only within one region", a.region, b.region);
    }
    let named = |row: &SnapshotRow| row.volume.clone().filter(|volume| !volume.is_placeholder());
    match (named(older), named(newer)) {
        (Some(a), Some(b)) if a != b => format!("They are of different volumes, {a} and {b}: no lineage ties them"),
        _ => "They are not of one lineage: neither was made on the other, as far as AWS knows".to_owned(),
    }
}
