//! The mouse: tabs, rows, heads, the wheel. Everything it does a key does too.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::list::actions::sort_to;
use crate::tui::model::Model;
use crate::tui::screen::{self, Screen};
use crate::tui::view;
use crate::tui::widget::table::{self, Head};

/// Rows that one notch of the wheel moves.
const WHEEL: isize = 3;

/// Where a list is drawn: what clicks need to know.
#[derive(Debug, Clone)]
pub struct ListPlace {
    /// The line of heads.
    pub heads: Rect,
    /// The rows.
    pub rows: Rect,
    /// The columns.
    pub columns: Vec<Head>,
}

/// A mouse event.
pub fn on_mouse(model: &mut Model, event: MouseEvent, now: Now) -> Vec<Effect> {
    if !model.overlays.is_empty() {
        return Vec::new();
    }
    let area = Rect::new(0, 0, model.size.0, model.size.1);
    let body = view::body(area);
    let click = matches!(event.kind, MouseEventKind::Down(MouseButton::Left));
    if event.row == 1 && click {
        if let Some(screen) = view::tab_at(model, area.width, event.column) {
            model.go(screen);
        }
        return Vec::new();
    }
    let Some(place) = place(model, body) else {
        return (model.screen.page().mouse)(model, event, body, now);
    };
    match event.kind {
        MouseEventKind::ScrollDown => scroll(model, WHEEL),
        MouseEventKind::ScrollUp => scroll(model, -WHEEL),
        MouseEventKind::Down(MouseButton::Left) => return press(model, event, &place, now),
        _ => {}
    }
    Vec::new()
}

fn place(model: &Model, body: Rect) -> Option<ListPlace> {
    let layout = match model.screen {
        Screen::World => screen::world::layout(model, body),
        Screen::Snapshots => screen::snapshots::layout(model, body),
        Screen::Volumes => screen::volumes::layout(model, body),
        Screen::Images => screen::images::layout(model, body),
        Screen::Orphans => screen::orphans::layout(model, body),
        _ => return None,
    };
    Some(ListPlace { heads: layout.heads, rows: layout.rows, columns: layout.columns })
}

fn scroll(model: &mut Model, by: isize) {
    if let Some(list) = model.list_mut() {
        list.step_by(by);
    }
}

fn press(model: &mut Model, event: MouseEvent, place: &ListPlace, now: Now) -> Vec<Effect> {
    let at = ratatui::layout::Position { x: event.column, y: event.row };
    if place.heads.contains(at) {
        let Some(column) = table::column_at(&place.columns, event.column - place.heads.x) else { return Vec::new() };
        let first = model.screen.columns().get(column).is_some_and(|c| c.1);
        let descending = match model.list() {
            Some(list) if list.sort == column => !list.descending,
            _ => first,
        };
        return sort_to(model, column, descending, now);
    }
    if place.rows.contains(at)
        && let Some(list) = model.list_mut()
    {
        let row = list.top_for(usize::from(place.rows.height)) + usize::from(event.row - place.rows.y);
        if row < list.len() {
            list.go_to(row);
        }
    }
    Vec::new()
}
