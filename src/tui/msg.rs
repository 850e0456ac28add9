//! Everything that can happen to the deck.

use std::sync::Arc;

use crossterm::event::{KeyEvent, MouseEvent};

use super::effect::Memory;
use super::figures::{Count, Progress, What};
use super::names::Entry;
use super::screen::archives::Prefix;
use crate::aws::{Billed, ProfileInfo};
use crate::engine::protocol::{Answer, Command, Status};
use crate::error::{Error, Result};
use crate::ids::Profile;
use crate::inventory::archives::{ArchiveRow, Inspected};
use crate::inventory::{self, elsewhere};
use crate::plan::Plan;

/// One thing that happened; `update` turns it into a new state and effects.
#[derive(Debug, Clone)]
pub enum Msg {
    /// A key was pressed (never released or repeated by the terminal).
    Key(KeyEvent),
    /// The mouse did something.
    Mouse(MouseEvent),
    /// Text was pasted in one piece.
    Paste(String),
    /// The terminal has a new size.
    Resize(u16, u16),
    /// The look of that number tells something; tells of older looks are dropped.
    Inventory(u64, inventory::Update),
    /// The survey of that number tells something; tells of older ones are dropped.
    Judged(u64, Box<inventory::relations::Update>),
    /// The engine's picture changed.
    Status(Arc<Status>),
    /// The engine does not answer, or does again.
    Contact(Option<super::quiet::Quiet>),
    /// How an account is set up in a region.
    Setup(Arc<inventory::Origin>, Box<super::screen::world_region::Setup>),
    /// What snapshots were billed, or why that is not known.
    Billed(Box<Result<Billed>>),
    /// What is known of the plan of that number before AWS has answered.
    Previewed(u64, Box<Plan>),
    /// The plan of that number was made, or not.
    Planned(u64, Result<Box<Plan>>),
    /// The count of that number is so far.
    Counting(u64, Box<Progress>),
    /// Something was counted, or could not be.
    Counted(What, Box<Result<Count>>),
    /// What is inside a snapshot, or why nobody knows.
    Looked(super::insides::At, Box<Result<crate::engine::inside::Looked>>),
    /// How long the blocks of a chain live, or why nobody knows.
    Freed(super::insides::At, Box<Result<super::insides::Lives>>),
    /// The records of copies, the latest first.
    Copies(Vec<elsewhere::Copy>),
    /// The entries of a directory, by how it was typed.
    Directory(String, Vec<Entry>),
    /// The buckets of a profile; none where that is denied.
    Buckets(Option<Profile>, Vec<String>),
    /// The archives below a prefix, or why they cannot be listed.
    Archives(Prefix, Box<Result<Vec<ArchiveRow>>>),
    /// One archive, by its address.
    Inspected(String, Box<Result<Inspected>>),
    /// The removal plan of that number was made, or not.
    RemovalPlanned(u64, Box<Result<crate::plan::removal::RemovalPlan>>),
    /// One item of the removal of that number ended.
    Removing(u64, crate::engine::removal::Told),
    /// The removal of that number ended, or was refused.
    Removed(u64, Box<Result<crate::engine::removal::Report>>),
    /// A saved plan was compared with the one on screen, or could not be read.
    PlanCompared(Box<Result<super::screen::removal::Comparison>>),
    /// Things were tagged to be kept, or not.
    Kept(Box<Result<Vec<crate::engine::keep::Kept>>>),
    /// What people call an account; none where it has no alias, or nobody may know it.
    Alias(crate::ids::AccountId, Option<String>),
    /// Things were brought back, or not.
    Restored(Box<Result<crate::engine::removal::Restoration>>),
    /// The latest lines of the audit log.
    Audit(Box<Result<crate::store::audit::Told>>),
    /// The engine answered a command.
    Answered(Box<Command>, Result<Answer>),
    /// The profiles were looked up (again), and in which files.
    Profiles(Vec<ProfileInfo>, Vec<String>),
    /// Another world is open: its profiles, the one that counts by default, and whether it is the sandbox.
    World {
        /// Its profiles.
        profiles: Vec<ProfileInfo>,
        /// The default one.
        profile: Option<Profile>,
        /// Whether it is the embedded AWS.
        sandbox: bool,
        /// What was kept of it between runs.
        memory: Memory,
    },
    /// Something was done, in one past-tense sentence.
    Did(String),
    /// An effect failed.
    Failed(Error),
    /// Work that was cut into slices goes on.
    Work,
    /// A second passed while something on screen counts time.
    Tick,
    /// The terminal went away, or the process is asked to end.
    Closing,
}
