//! What `update` asks the outside world to do; `run` does it and reports back with a [`super::msg::Msg`].

use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::protocol::Command;
use crate::ids::{Profile, Region, SnapshotId};
use crate::inventory::archives::ArchiveRow;
use crate::inventory::relations::{Anew, Depth};
use crate::inventory::verdict::Policy;
use crate::inventory::{Origin, SnapshotRow};
use crate::plan::Operation;
use crate::tui::screen::archives::Prefix;

/// One request to the world outside.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Look what exists; `number` comes back with every [`super::msg::Msg::Inventory`].
    Look {
        /// The number of this look; a newer one replaces it.
        number: u64,
        /// With these profiles (none: the default one).
        profiles: Vec<Profile>,
        /// In these regions (none: all).
        regions: Vec<Region>,
    },
    /// Judge what exists; `number` comes back with every [`super::msg::Msg::Judged`].
    Judge {
        /// The number of this survey; a newer one replaces it.
        number: u64,
        /// With these profiles (none: the default one).
        profiles: Vec<Profile>,
        /// In these regions (none: all).
        regions: Vec<Region>,
        /// By this policy.
        policy: Box<Policy>,
        /// What is asked again although it was answered within ten minutes.
        anew: Anew,
        /// How far.
        depth: Depth,
    },
    /// Whether plans ask AWS for its prices, from now on.
    LivePrices(bool),
    /// Ask how the account is set up in a region, in the place of the region before; answered by `Setup`.
    AskSetup(Arc<Origin>),
    /// Ask Cost Explorer what snapshots were billed, which costs a cent; answered by `Billed`.
    AskBill(Option<Profile>),
    /// Make a plan; answered by `Planned` with the number, and before that by `Previewed` where enough is known here.
    MakePlan {
        /// Its number.
        number: u64,
        /// Of what.
        operation: Box<Operation>,
        /// What the deck knows of its sources.
        known: Vec<SnapshotRow>,
    },
    /// Count these one after the other, in the place of what is being counted; told by `Counting` and `Counted`.
    Count {
        /// The number of this count.
        number: u64,
        /// Of what.
        of: Vec<super::figures::What>,
    },
    /// Count no more.
    StopCounting,
    /// Look into a snapshot, in the place of the look before; answered by `Looked`.
    LookInside(Arc<Origin>, SnapshotId),
    /// Look into nothing any more.
    StopLooking,
    /// Ask what removing snapshots of that one's chain frees; answered by `Freed`.
    AskFreed(Vec<super::insides::At>),
    /// Read the records of copies; answered by `Copies`.
    ReadCopies,
    /// Read a directory, to complete names; answered by `Directory`.
    ListDirectory {
        /// As it is typed.
        typed: String,
        /// The same as a path; `~` is not expanded yet.
        path: PathBuf,
    },
    /// Ask for a profile's buckets, to complete names; answered by `Buckets`.
    ListBuckets(Option<Profile>),
    /// List archives; answered by `Archives`.
    ListArchives(Prefix),
    /// Look at one archive closely, in the place of the one before; answered by `Inspected`.
    InspectArchive {
        /// Below which prefix it was listed.
        prefix: Prefix,
        /// Which.
        row: Box<ArchiveRow>,
        /// Whether its index is compared with what S3 lists.
        check: bool,
    },
    /// Make a plan of what would be removed; answered by `RemovalPlanned`.
    PlanRemoval {
        /// Its number.
        number: u64,
        /// Of what.
        wanted: Box<crate::tui::removing::Wanted>,
    },
    /// Carry out a plan that was accepted; told by `Removing`, answered by `Removed`.
    Remove {
        /// Its number.
        number: u64,
        /// Exactly what was shown.
        plan: Box<crate::plan::removal::RemovalPlan>,
        /// What its acceptance allows.
        grant: Box<crate::grant::Grant>,
        /// What the config keeps: each thing is judged again by it.
        policy: std::sync::Arc<crate::inventory::verdict::Policy>,
    },
    /// Tag these so that they are never orphans; answered by `Kept`.
    Keep(Vec<(crate::address::Place, crate::plan::removal::Target)>),
    /// Ask what people call the account of a profile; answered by `Alias`.
    AskAlias(Option<Profile>),
    /// Stop what is carried out after the item in flight; `Removed` follows.
    StopRemoval,
    /// Read a saved plan and compare it with this one; answered by `PlanCompared`.
    ComparePlan {
        /// The file.
        path: PathBuf,
        /// The plan on screen.
        plan: Box<crate::plan::removal::RemovalPlan>,
    },
    /// Bring these back from the Recycle Bin; answered by `Restored`.
    Restore(Vec<(crate::address::Place, crate::plan::removal::Target)>),
    /// Read the audit log; answered by `Audit`.
    ReadAudit,
    /// Send the engine a command (starting the engine when it is not there yet); answered by `Answered`.
    Engine(Box<Command>),
    /// Put text on the clipboard (OSC 52).
    Copy(String),
    /// Write a file, never over another; answered by `Did` or `Failed`.
    Write {
        /// Its name, relative to the working directory.
        path: PathBuf,
        /// What goes in.
        contents: String,
    },
    /// Keep what should be there next time.
    Remember(Memory),
    /// Look for profiles again.
    LookAtProfiles,
    /// Open the embedded AWS in this process and go there; answered by `World`.
    OpenSandbox,
    /// Run the user's command for events of jobs with this on its input; answered by `Failed` when it failed.
    Hook(String, Box<crate::store::hook::Event>),
    /// Ring the bell and notify with this text.
    Notify(String),
    /// End the deck.
    Quit,
}

/// What the deck keeps between runs.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Destinations used, the latest first, at most [`Memory::DESTINATIONS`].
    pub destinations: Vec<String>,
    /// Prefixes that archives were listed below, the latest first, at most [`Memory::PREFIXES`].
    pub archives: Vec<String>,
    /// Sort column and direction by screen.
    pub sort: std::collections::BTreeMap<String, (String, bool)>,
    /// Whether the detail is shown.
    pub detail: Option<bool>,
    /// Whether the legend is shown.
    pub legend: Option<bool>,
}

impl Memory {
    /// Destinations kept at most: one screenful of completions.
    pub const DESTINATIONS: usize = 20;
    /// Prefixes kept at most.
    pub const PREFIXES: usize = 10;
}
