//! One job, full size: the map zoomed, every segment, every gauge, its events.
//!
//! Shares state and actions with the transfers screen; only the arrows move over segments here.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::action::Action;
use crate::tui::clock::Now;
use crate::tui::model::Model;
use crate::tui::screen::transfers::{self, engine, job_actions, panels, selected, shown};
use crate::tui::screen::{Page, Screen};
use crate::tui::theme::Theme;
use crate::tui::widget::panel;
use crate::tui::widget::stack::{Want, heights};

/// What the screen keeps.
#[derive(Debug, Default)]
pub struct State {
    /// The place of the cursor among the segments, worst first.
    pub segment: usize,
}

/// What can be done here.
pub const ACTIONS: &[Action] = &job_actions!("job", Screen::Job);

/// The door.
pub const PAGE: Page = Page {
    title: "Job",
    is_list: false,
    actions: ACTIONS,
    view,
    note: transfers::note,
    command: |model| {
        selected(model).map_or_else(|| "floe jobs".to_owned(), |job| format!("floe jobs show {}", job.job))
    },
    hear: Page::deaf,
    key: Page::no_key,
    mouse: Page::no_mouse,
};

/// Moves over the segments; stops at both ends.
pub(super) fn step(model: &mut Model, by: isize) {
    let count = shown(model).and_then(|s| s.detail.as_ref()).map_or(0, |d| d.segments.len());
    model.job.segment = model.job.segment.saturating_add_signed(by).min(count.saturating_sub(1));
}

fn view(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let (Some(status), Some(job)) = (shown(model), selected(model)) else {
        panel("Job", "esc back", true, area, buf, theme);
        return;
    };
    let detail = panels::detail(status, job);
    let segments = detail.map_or(0, |d| u16::try_from(d.segments.len()).unwrap_or(u16::MAX));
    let wide = area.width >= 100;
    let wants = [
        Want { least: 5, most: 10, worth: 7 },
        Want { least: 5, most: (segments + 3).max(13), worth: 9 },
        Want { least: if wide { 0 } else { 5 }, most: if wide { 0 } else { 7 }, worth: 6 },
        Want { least: 3, most: 40, worth: 5 },
    ];
    let tall = heights(area.height, &wants);
    let mut y = area.y;
    let mut take = |height: u16| {
        let rect = Rect { y, height, ..area };
        y += height;
        rect
    };
    if model.transfers.graph {
        panels::graph(model, job, take(tall[0] + tall[1] + tall[2]), buf, theme);
    } else {
        panels::job(status, job, take(tall[0]), buf, theme, now);
        let middle = take(tall[1]);
        let cursor = Some(model.job.segment);
        if wide {
            let width = middle.width * 7 / 12;
            panels::segment_table(detail, cursor, Rect { width, ..middle }, buf, theme);
            let beside = Rect { x: middle.x + width, width: middle.width - width, ..middle };
            engine::view(status, job, beside, buf, theme);
        } else {
            panels::segment_table(detail, cursor, middle, buf, theme);
            engine::view(status, job, take(tall[2]), buf, theme);
        }
    }
    panels::events(model, detail, take(tall[3]), buf, theme);
}
