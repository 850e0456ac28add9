//! Archives in S3 below a prefix: what each is, of what, how large, and whether it can be read.
//!
//! The prefix looked at last is kept, so that the second time is one key. One that cannot be read is a row that says
//! why; `enter` shows what it goes onto, `s` compares its index with the objects that are there.

pub mod view;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use super::rows::Cursor;
use crate::address::Address;
use crate::error::{Error, Result};
use crate::ids::Profile;
use crate::inventory::archives::{ArchiveRow, Inspected};
use crate::tui::action::{Action, Scope, always};
use crate::tui::clock::Now;
use crate::tui::effect::{Effect, Memory};
use crate::tui::model::{Mode, Model};
use crate::tui::msg::Msg;
use crate::tui::overlay::{Overlay, address};
use crate::tui::screen::{Page, Screen};

/// Where archives are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// Whose bucket it is.
    pub profile: Option<Profile>,
    /// The bucket.
    pub bucket: String,
    /// What keys begin with; empty, or ends with a slash.
    pub key: String,
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Address::Archive(self.profile.clone(), self.bucket.clone(), self.key.clone());
        f.write_str(&address.to_string())
    }
}

impl FromStr for Prefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.parse()? {
            Address::Archive(profile, bucket, key) => Ok(Self { profile, bucket, key }),
            object @ Address::Object(..) => {
                Err(Error::usage(format!("`{object}` is an object; a prefix ends with a slash"))
                    .todo(format!("did you mean `{object}/`?")))
            }
            other => Err(Error::usage(format!("`{other}` is no prefix in S3")).todo("write s3://bucket/prefix/")),
        }
    }
}

/// Where the listing stands.
#[derive(Debug, Default)]
pub enum Stage {
    /// No prefix was named yet.
    #[default]
    Nothing,
    /// It is being listed.
    Listing,
    /// It was listed.
    Listed,
    /// It could not be.
    Failed(Box<Error>),
}

/// What the screen keeps.
#[derive(Debug, Default)]
pub struct State {
    /// Below which prefix.
    pub prefix: Option<Prefix>,
    /// Where the listing stands.
    pub stage: Stage,
    /// The archives.
    pub rows: Vec<ArchiveRow>,
    /// The one under the cursor.
    pub cursor: Cursor,
    /// What was found of those that were looked at closely, by address.
    pub known: HashMap<String, Result<Inspected>>,
    /// The one that is being looked at.
    pub looking: Option<String>,
}

impl State {
    /// The archive under the cursor.
    #[must_use]
    pub fn current(&self) -> Option<&ArchiveRow> {
        self.rows.get(self.cursor.0)
    }

    /// What is known of it.
    #[must_use]
    pub fn of(&self, row: &ArchiveRow) -> Option<&Result<Inspected>> {
        self.known.get(&row.address)
    }
}

/// Opens it: what was listed last, or the question below which prefix.
pub fn open(model: &mut Model, now: Now) -> Vec<Effect> {
    model.go(Screen::Archives);
    if model.archives.prefix.is_some() {
        return Vec::new();
    }
    match model.memory.archives.first().and_then(|text| text.parse().ok()) {
        Some(prefix) => list(model, prefix),
        None => ask(model, now),
    }
}

/// Asks for a prefix, with completion.
fn ask(model: &mut Model, _: Now) -> Vec<Effect> {
    let state = address::State {
        purpose: address::Purpose::Archives,
        text: "s3://".to_owned(),
        what: "archives".to_owned(),
        ..address::State::default()
    };
    model.overlays.push(Overlay::Address(state));
    crate::tui::names::wanted(model, "s3://")
}

/// Lists what is below a prefix, and keeps it for the next time.
pub fn list(model: &mut Model, prefix: Prefix) -> Vec<Effect> {
    model.go(Screen::Archives);
    let text = prefix.to_string();
    model.memory.archives.retain(|known| *known != text);
    model.memory.archives.insert(0, text);
    model.memory.archives.truncate(Memory::PREFIXES);
    // A prefix without a profile is of the account that is looked at.
    let prefix = Prefix { profile: prefix.profile.or_else(|| model.profile().cloned()), ..prefix };
    model.archives = State { prefix: Some(prefix.clone()), stage: Stage::Listing, ..State::default() };
    vec![Effect::ListArchives(prefix), Effect::Remember(model.memory.clone())]
}

fn hear(model: &mut Model, msg: &Msg, now: Now) -> Vec<Effect> {
    match msg {
        Msg::Archives(prefix, outcome) if model.archives.prefix.as_ref() == Some(prefix) => match &**outcome {
            Ok(rows) => {
                model.archives.rows.clone_from(rows);
                // The youngest first, as snapshots are; what has no date last.
                model.archives.rows.sort_by(|a, b| b.made.cmp(&a.made).then_with(|| a.id.cmp(&b.id)));
                model.archives.stage = Stage::Listed;
            }
            Err(error) => {
                model.archives.stage = Stage::Failed(Box::new(error.clone()));
                model.keep_problem(now, error.clone());
            }
        },
        Msg::Inspected(address, outcome) => {
            if model.archives.looking.as_ref() == Some(address) {
                model.archives.looking = None;
            }
            model.archives.known.insert(address.clone(), (**outcome).clone());
        }
        _ => {}
    }
    Vec::new()
}

fn inspect(model: &mut Model, check: bool) -> Vec<Effect> {
    let (Some(prefix), Some(row)) = (model.archives.prefix.clone(), model.archives.current().cloned()) else {
        return Vec::new();
    };
    model.archives.looking = Some(row.address.clone());
    vec![Effect::InspectArchive { prefix, row: Box::new(row), check }]
}

fn step(model: &mut Model, by: isize) -> Vec<Effect> {
    let rows = model.archives.rows.len();
    model.archives.cursor.step(by, rows);
    Vec::new()
}

/// As a source: with the profile of the prefix.
fn source(model: &Model) -> Option<Address> {
    let (prefix, row) = (model.archives.prefix.as_ref()?, model.archives.current()?);
    match row.address.parse().ok()? {
        Address::Archive(_, bucket, key) => Some(Address::Archive(prefix.profile.clone(), bucket, key)),
        other => Some(other),
    }
}

const HERE: Scope = Scope::Screen(Screen::Archives);

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    HERE.look("archives.down", "down", &["down", "j"], 0, "One archive down.", no_row, |m, _| step(m, 1)),
    HERE.look("archives.up", "up", &["up", "k"], 0, "One archive up.", no_row, |m, _| step(m, -1)),
    HERE.look("archives.page-down", "page down", &["pgdn", "ctrl-d"], 0, "Ten archives down.", no_row, |m, _| {
        step(m, 10)
    }),
    HERE.look("archives.page-up", "page up", &["pgup", "ctrl-u"], 0, "Ten archives up.", no_row, |m, _| step(m, -10)),
    HERE.look("archives.first", "first", &["g", "home"], 0, "The first archive.", no_row, |m, _| step(m, isize::MIN)),
    HERE.look("archives.last", "last", &["G", "end"], 0, "The last archive.", no_row, |m, _| step(m, isize::MAX)),
    HERE.look(
        "archives.open",
        "look closely",
        &["enter"],
        10,
        "Its chain, encryption, tags, digest and storage class.",
        cannot_look,
        |m, _| inspect(m, false),
    ),
    HERE.look(
        "archives.check",
        "check for gaps",
        &["s"],
        20,
        "Compare its index with the objects that are there; reads the index.",
        cannot_check,
        |m, _| inspect(m, true),
    ),
    HERE.make(
        "archives.copy",
        "restore",
        &["c"],
        15,
        "Copy it to a region or a file: one line, then a plan.",
        cannot_copy,
        copy,
    ),
    HERE.look("archives.prefix", "another prefix", &["e"], 30, "List below another prefix.", always, ask),
    HERE.look("archives.again", "list again", &["r"], 35, "List the prefix again.", no_prefix, |m, _| {
        match m.archives.prefix.clone() {
            Some(prefix) => list(m, prefix),
            None => Vec::new(),
        }
    }),
];

fn no_prefix(model: &Model) -> Option<String> {
    model.archives.prefix.is_none().then(|| "no prefix is named yet: e asks for one".to_owned())
}

fn no_row(model: &Model) -> Option<String> {
    no_prefix(model).or_else(|| model.archives.rows.is_empty().then(|| "there is no archive here".to_owned()))
}

fn cannot_look(model: &Model) -> Option<String> {
    no_row(model)
        .or_else(|| model.archives.looking.is_some().then(|| "one at a time: it is being looked at".to_owned()))
}

fn cannot_check(model: &Model) -> Option<String> {
    if let Some(why) = cannot_look(model) {
        return Some(why);
    }
    let row = model.archives.current()?;
    match (&row.trouble, row.kind.as_str()) {
        (Some(why), _) => Some(format!("{} cannot be checked: {why}", row.id)),
        (None, "fsp") => {
            Some("flexible-snapshot-proxy writes no index: a plan of its copy lists what is missing".to_owned())
        }
        (None, _) => None,
    }
}

fn cannot_copy(model: &Model) -> Option<String> {
    if model.mode == Mode::ReadOnly {
        return Some("this deck is read-only: it makes nothing".to_owned());
    }
    if let Some(why) = no_row(model) {
        return Some(why);
    }
    let row = model.archives.current()?;
    row.trouble.as_ref().map(|why| format!("{} cannot be restored: {why}", row.id))
}

fn copy(model: &mut Model, _: Now) -> Vec<Effect> {
    let (Some(source), Some(row)) = (source(model), model.archives.current()) else { return Vec::new() };
    let state = address::State { sources: vec![source], what: row.id.clone(), ..address::State::default() };
    model.overlays.push(Overlay::Address(state));
    Vec::new()
}

/// The door.
pub const PAGE: Page = Page {
    title: "Archives",
    is_list: false,
    actions: ACTIONS,
    view: view::view,
    note: |model, _| match model.archives.stage {
        Stage::Nothing => String::new(),
        Stage::Listing => "◐ listing".to_owned(),
        Stage::Listed => crate::tui::text::count(model.archives.rows.len() as u64, "archive"),
        Stage::Failed(_) => "✗ not listed".to_owned(),
    },
    command: |model| {
        let sandbox = if model.sandbox { " --sandbox" } else { "" };
        match &model.archives.prefix {
            Some(prefix) => format!("floe ls archives{sandbox} {prefix}"),
            None => format!("floe ls archives{sandbox} s3://bucket/prefix/"),
        }
    },
    hear,
    key: Page::no_key,
    mouse: Page::no_mouse,
};
