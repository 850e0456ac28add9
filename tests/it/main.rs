//! The integration tests: one binary, one module per behaviour, so that the SDK is linked once.
#![recursion_limit = "256"]

mod address;
mod archive_chains;
mod archives;
#[cfg(feature = "tui")]
mod asks;
mod asleep;
mod aws;
mod background;
mod chains;
mod cli;
mod copied;
mod copied_trees;
mod crash;
mod deltas;
mod devices;
mod disk;
mod doctor;
mod engine;
mod guards;
mod hostile;
mod house;
mod images;
mod inventory;
mod lying;
mod matrix;
mod native;
mod object_crashes;
mod objects;
mod pairs;
mod parents;
mod plan;
mod prove;
mod records;
mod resumes;
mod rig;
mod sandbox;
mod sandbox_copies;
mod sandbox_ec2;
mod sandbox_s3;
#[cfg(feature = "tui")]
mod screens;
mod sharing;
mod stalls;
mod support;
mod tampered;
mod telemetry;
mod transport;
mod traps;
mod unreadable;
mod users;
mod verify;
mod voyage;
mod waits;
mod weighed;
