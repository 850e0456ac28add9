//! The deck: state + `update(message) -> effects` + `view(state)`.
//!
//! [`update::update`] and [`view::view`] do no I/O, read no clock and are tested without a terminal; `run`
//! is the one place that awaits. A screen is one file in `screen/`: its state, its actions, its view
//! ([`screen::Page`] is the door they share). Every key, hint, help line and palette entry comes from one
//! [`action::Action`]. Colours come only from [`theme::Theme`]; times only from [`clock::Now`].

pub mod action;
pub mod catalog;
pub mod clock;
#[cfg(test)]
mod cut;
pub mod effect;
pub mod elsewhere;
mod errands;
pub mod figures;
#[cfg(test)]
mod fits;
pub mod gate;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod held;
mod inquiry;
pub mod insides;
pub mod list;
pub mod model;
pub mod msg;
pub mod names;
pub mod outside;
pub mod overlay;
pub mod quiet;
pub mod removing;
pub mod rules;
pub mod run;
pub mod screen;
pub mod svg;
#[cfg(test)]
mod swept;
pub mod terminal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod text;
pub mod theme;
#[cfg(test)]
mod ties;
pub mod update;
pub mod view;
pub mod widget;

pub use outside::World;
pub use rules::Rules;
pub use run::{Context, Ended, run};
pub use theme::TerminalHints;
