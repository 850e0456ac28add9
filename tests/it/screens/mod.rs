//! The operating screens as they are drawn, and the pictures of them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod clearing;
mod drawn;
mod example;
mod fits;
mod keys;
mod pictures;
mod swept;
mod ties;
mod world;

use std::sync::Arc;

use floe::tui::clock::Now;
use floe::tui::effect::Effect;
use floe::tui::model::Model;
use floe::tui::msg::Msg;
use floe::tui::screen::{Screen, plan, transfers};
use floe::tui::theme::Theme;
use floe::tui::update::update;
use floe::tui::view::view;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// A deck in which the example's jobs run.
fn transfers() -> Model {
    let mut model = Model { screen: Screen::Transfers, ..Model::default() };
    update(&mut model, Msg::Status(Arc::new(example::status())), example::now());
    model
}

/// A deck that shows the example's plan, made a while ago.
fn planned() -> Model {
    planned_with(example::plan())
}

fn planned_with(made: floe::plan::Plan) -> Model {
    let mut model = Model { screen: Screen::Snapshots, ..Model::default() };
    let early = example::now();
    let effects = plan::open(&mut model, made.operation.clone(), early);
    let [Effect::MakePlan { number, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    update(&mut model, Msg::Planned(*number, Ok(Box::new(made))), early);
    model
}

fn draw(model: &Model, width: u16, height: u16, theme: &Theme, now: Now) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    view(model, area, &mut buffer, theme, now);
    buffer
}

fn text(buffer: &Buffer) -> String {
    let area = buffer.area;
    (0..area.height)
        .map(|y| {
            let line: String = (0..area.width).map(|x| buffer[(x, y)].symbol()).collect();
            line.trim_end().to_owned() + "\n"
        })
        .collect()
}
