//! The panels below World: what needs attention, and what moves.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::engine::protocol::{JobState, JobStatus};
use crate::tui::catalog::Load;
use crate::tui::model::Model;
use crate::tui::screen::transfers::{left_text, state, what};
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::table::put;
use crate::tui::widget::{gauge, panel};

/// One thing that needs attention: glyph, role, headline, sentence, what to press.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    /// Its glyph.
    pub glyph: &'static str,
    /// How loud.
    pub role: Role,
    /// A few words.
    pub head: String,
    /// The rest of the sentence.
    pub text: String,
    /// What to press.
    pub key: &'static str,
}

fn one(glyph: &'static str, role: Role, head: String, text: String, key: &'static str) -> Attention {
    Attention { glyph, role, head, text, key }
}

/// Everything that needs attention, the loudest first.
#[must_use]
pub fn attention(model: &Model) -> Vec<Attention> {
    let mut out = Vec::new();
    regions(model, &mut out);
    jobs(model, &mut out);
    news(model, &mut out);
    things(model, &mut out);
    out
}

fn regions(model: &Model, out: &mut Vec<Attention>) {
    let mut denied: Vec<String> = Vec::new();
    for origin in &model.catalog.origins {
        match model.catalog.load(origin).0 {
            Load::Failed { denied: true, .. } => denied.push(origin.region.to_string()),
            Load::Failed { error, .. } => {
                out.push(one("✗", Role::Bad, format!("{} failed", origin.region), error.what.clone(), "E why"));
            }
            _ => {}
        }
    }
    if !denied.is_empty() {
        let head = format!("{} denied", text::count(denied.len() as u64, "region"));
        out.push(one("✗", Role::Bad, head, denied.join(" "), "E why"));
    }
    let others = model.problems.iter().filter(|p| p.error.region.is_none()).count();
    if others > 0 {
        let last = model.problems.iter().rev().find(|p| p.error.region.is_none());
        let said = last.map(|p| p.error.what.clone()).unwrap_or_default();
        out.push(one("!", Role::Warn, text::count(others as u64, "error"), said, "E all"));
    }
}

fn jobs(model: &Model, out: &mut Vec<Attention>) {
    for job in model.jobs() {
        let (glyph, role, word) = match job.state {
            JobState::Waiting => ("!", Role::Warn, "waits"),
            JobState::Failed | JobState::Partial => ("✗", Role::Bad, "failed"),
            JobState::Interrupted => ("!", Role::Warn, "was interrupted"),
            _ if job.stall.as_ref().is_some_and(|stall| stall.seconds >= 1.0) => ("!", Role::Warn, "stands still"),
            _ => continue,
        };
        let known = job.error.as_ref().map_or_else(|| job.why.clone(), |e| e.what.clone());
        let why = job.stall.as_ref().map_or(known, |stall| format!("{}: {}", stall.word, stall.text));
        out.push(one(glyph, role, format!("job {} {word}", job.job), why, "J see"));
    }
}

fn news(model: &Model, out: &mut Vec<Attention>) {
    let c = &model.catalog;
    for (new, gone, what) in [
        (c.snapshots.new, c.snapshots.gone, "snapshot"),
        (c.volumes.new, c.volumes.gone, "volume"),
        (c.images.new, c.images.gone, "image"),
    ] {
        let words: Vec<String> = [(new, "new"), (gone, "gone")]
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, w)| format!("{n} {w}"))
            .collect();
        if !words.is_empty() {
            let head = format!("{}s: {}", what, words.join(", "));
            out.push(one("▲", Role::Fresh, head, "since you looked".to_owned(), "▲ in the list"));
        }
    }
}

fn things(model: &Model, out: &mut Vec<Attention>) {
    let c = &model.catalog;
    let failed: u64 = c.snapshots.shards.iter().map(|s| s.tally[TALLY_ERROR]).sum();
    if failed > 0 {
        let head = format!("{} failed", text::count(failed, "snapshot"));
        out.push(one("✗", Role::Bad, head, "on AWS's side, nothing can be read of them".into(), "2 /state:error"));
    }
    let loose: u64 = c.volumes.shards.iter().map(|s| s.tally[TALLY_LOOSE]).sum();
    if loose > 0 {
        let gib: u64 = c.volumes.shards.iter().map(|s| s.tally[TALLY_LOOSE_GIB]).sum();
        let head = format!("{} unattached", text::count(loose, "volume"));
        let size = crate::units::grouped(gib);
        out.push(one("·", Role::Dim, head, format!("{size} GiB, paid for and used by no instance"), "3 see"));
    }
    let pending: u64 = c.snapshots.shards.iter().map(|s| s.tally[TALLY_PENDING]).sum();
    if pending > 0 {
        let head = format!("{} pending", text::count(pending, "snapshot"));
        out.push(one("◐", Role::Fresh, head, "being written, readable when completed".into(), "2 /state:pending"));
    }
}

use crate::tui::catalog::{TALLY_ERROR, TALLY_LOOSE, TALLY_LOOSE_GIB, TALLY_PENDING};

/// Draws what needs attention.
pub fn draw_attention(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height == 0 {
        return;
    }
    let all = attention(model);
    let n = if all.is_empty() { String::new() } else { format!(" {}", all.len()) };
    let inner = panel(&format!("Needs attention{n}"), "", false, area, buf, theme);
    if all.is_empty() {
        put(inner.x + 1, "· nothing", theme.style(Role::Dim), inner, buf);
    }
    for (line, item) in (0u16..inner.height).zip(&all) {
        let at = Rect { y: inner.y + line, height: 1, ..inner };
        put(at.x + 1, item.glyph, theme.style(item.role), at, buf);
        put(at.x + 3, &text::left(&text::words(&item.head, 27), 27), theme.style(Role::Text), at, buf);
        let key = u16::try_from(text::width(item.key)).unwrap_or(0) + 1;
        let room = usize::from(at.width.saturating_sub(31 + key + 1));
        put(at.x + 31, &text::clauses(&item.text, room), theme.style(Role::Dim), at, buf);
        put(at.right().saturating_sub(key), item.key, theme.style(Role::Key), at, buf);
    }
}

/// Jobs that are not over.
#[must_use]
pub fn open_jobs(model: &Model) -> Vec<&JobStatus> {
    model.jobs().iter().filter(|job| !job.state.is_over()).collect()
}

/// Draws the strip of transfers.
pub fn draw_transfers(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height == 0 {
        return;
    }
    let jobs = open_jobs(model);
    let hidden = jobs.len().saturating_sub(usize::from(area.height.saturating_sub(2)));
    let more = if hidden == 0 { "J opens".to_owned() } else { format!("{hidden} more · J opens") };
    let inner = panel(&format!("Transfers {}", jobs.len()), &more, false, area, buf, theme);
    for (line, job) in (0u16..inner.height).zip(&jobs) {
        let at = Rect { y: inner.y + line, height: 1, ..inner };
        // A name before a wide bar.
        let bar = if at.width >= 100 { 19 } else { 6 };
        let tail = (43 + bar).min(usize::from(at.width));
        let room = usize::from(at.width).saturating_sub(tail + 6);
        put(at.x + 1, &text::left(&job.job.to_string(), 3), theme.style(Role::Title), at, buf);
        put(at.x + 5, &text::clip(&what(job, room), room), theme.style(Role::Text), at, buf);
        let mut x = at.right().saturating_sub(u16::try_from(tail).unwrap_or(0));
        let part = gauge::share(job.blocks_done.0, job.blocks_total.value.0);
        for span in gauge::bar(theme, part, bar, Role::Gauge) {
            put(x, &span.content, span.style, at, buf);
            x = x.saturating_add(u16::try_from(text::width(&span.content)).unwrap_or(0));
        }
        let (_, word, role) = state(job);
        // What does not move says why, in place of figures that say nothing.
        let still = job.stall.is_some() || matches!(job.state, JobState::Waiting | JobState::Paused | JobState::Queued);
        let (flow, role) = if still {
            let why = if job.why.is_empty() { word } else { job.why.as_str() };
            (text::right(why, 22), role)
        } else {
            (format!("{:>11} {:>10}", job.rate.to_string(), left_text(job)), Role::Text)
        };
        let percent = gauge::percent(job.blocks_done.0, job.blocks_total.value.0, job.state == JobState::Done);
        let mut put_on = |what: &str, role: Role| {
            put(x, what, theme.style(role), at, buf);
            x = x.saturating_add(u16::try_from(text::width(what)).unwrap_or(0));
        };
        put_on(&format!(" {percent:>5} "), Role::Text);
        put_on(&flow, role);
        put_on(&format!(" {:>10}", job.spent.to_string()), Role::Text);
    }
}
