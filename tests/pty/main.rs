//! The real binary in a real terminal: one binary of tests, as few as can see what no cheaper test can.
#![expect(clippy::print_stdout, clippy::panic, reason = "figures are printed, not asserted; a test fails by panicking")]

mod copying;
mod journeys;
mod large;
mod lost;
mod modes;
mod outside;
mod removal;
mod terminal;
mod words;
