//! The whole state of the deck. Plain data: no handles, no locks, no clock.

use std::collections::HashMap;
use std::sync::Arc;

use super::catalog::Catalog;
use super::clock::Now;
use super::effect::Memory;
use super::figures::Figures;
use super::list::List;
use super::names::Names;
use super::overlay::Overlay;
use super::rules::Rules;
use super::screen::{self, Screen};
use super::theme::Theme;
use crate::aws::ProfileInfo;
use crate::engine::protocol::{JobState, JobStatus, Status};
use crate::error::Error;
use crate::ids::{JobId, Profile, Region};
use crate::inventory::elsewhere;

/// Errors kept at most: they are grouped, so a hundred kinds of trouble at once is already too much.
pub const MAX_PROBLEMS: usize = 100;

/// What may be lost in this deck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Makes and removes nothing; cannot be left.
    ReadOnly,
    /// Makes, never replaces or removes.
    #[default]
    Safe,
    /// May remove in one account, by a plan whose count is typed.
    Armed,
}

/// How long the deck stays armed after the last key on the deletion screen.
pub const ARMED_FOR: std::time::Duration = std::time::Duration::from_secs(30 * 60);

/// What the deck is armed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Armed {
    /// The one account.
    pub account: crate::ids::AccountId,
    /// Until when, on the deck's own clock.
    pub until: std::time::Duration,
}

/// A sentence at the bottom that goes by itself; errors also stay in the list (`E`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toast {
    /// The sentence.
    pub text: String,
    /// Whether it tells of a failure or refusal.
    pub bad: bool,
    /// When it goes, on the deck's own clock.
    pub until: std::time::Duration,
}

/// One kind of trouble, folded.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The latest error of its kind.
    pub error: Error,
    /// How often.
    pub count: u32,
    /// When last.
    pub at: jiff::Timestamp,
}

/// The state.
#[derive(Debug, Default)]
pub struct Model {
    /// Where we are.
    pub screen: Screen,
    /// Where `q` and `esc` go back to, the latest last.
    pub back: Vec<Screen>,
    /// What lies over the screen, the topmost last.
    pub overlays: Vec<Overlay>,
    /// Columns and lines of the terminal.
    pub size: (u16, u16),
    /// Read-only or safe.
    pub mode: Mode,
    /// Set while it is armed.
    pub armed: Option<Armed>,
    /// What the config and the machine allow.
    pub rules: Rules,
    /// Whether this is the embedded AWS.
    pub sandbox: bool,
    /// Profiles that could be used.
    pub profiles: Vec<ProfileInfo>,
    /// Files that were looked at for profiles, as told on the start page.
    pub looked_at: Vec<String>,
    /// The profiles we look with; the first is the one that counts.
    pub chosen_profiles: Vec<Profile>,
    /// The regions we look at; empty: all.
    pub chosen_regions: Vec<Region>,
    /// Every region told so far, also those not looked at now.
    pub known_regions: Vec<Region>,
    /// What exists.
    pub catalog: Catalog,
    /// What was counted.
    pub figures: Figures,
    /// What was looked into.
    pub insides: super::insides::Insides,
    /// What removing frees.
    pub freed: super::insides::Freed,
    /// Copies that floe has records of, the latest first.
    pub copies: Vec<elsewhere::Copy>,
    /// What people call accounts, once it was asked.
    pub aliases: HashMap<crate::ids::AccountId, Option<String>>,
    /// Names to complete addresses with.
    pub names: Names,
    /// The number of the look that runs.
    pub look: u64,
    /// The engine's picture; `None` until it was started.
    pub status: Option<Arc<Status>>,
    /// Why that picture is an old one, where it is.
    pub quiet: Option<super::quiet::Quiet>,
    /// What is kept between runs.
    pub memory: Memory,
    /// A sentence that goes by itself.
    pub toast: Option<Toast>,
    /// Errors until mended.
    pub problems: Vec<Problem>,
    /// Palette, depth, ASCII: turned with `:set`.
    pub theme: Theme,
    /// Numbers given to plans.
    pub next_number: u64,
    /// Start page.
    pub start: screen::start::State,
    /// World.
    pub world: screen::world::State,
    /// Snapshots.
    pub snapshots: screen::snapshots::State,
    /// Volumes.
    pub volumes: screen::volumes::State,
    /// AMIs.
    pub images: screen::images::State,
    /// What nothing refers to.
    pub orphans: screen::orphans::State,
    /// Two snapshots compared.
    pub compare: screen::compare::State,
    /// The chain of one volume.
    pub lineage: screen::lineage::State,
    /// Where else everything is.
    pub elsewhere: screen::elsewhere::State,
    /// Archives in S3.
    pub archives: screen::archives::State,
    /// The plan.
    pub plan: screen::plan::State,
    /// What would be removed.
    pub removal: screen::removal::State,
    /// Transfers.
    pub transfers: screen::transfers::State,
    /// One job.
    pub job: screen::job::State,
    /// The log.
    pub log: screen::log::State,
}

impl Model {
    /// Goes to a screen; the one we leave is where `q` comes back to.
    pub fn go(&mut self, to: Screen) {
        if self.screen == to {
            return;
        }
        self.back.retain(|screen| *screen != to);
        self.back.push(self.screen);
        self.screen = to;
    }

    /// Goes back one screen; false when there is none.
    pub fn go_back(&mut self) -> bool {
        self.back.pop().is_some_and(|screen| {
            self.screen = screen;
            true
        })
    }

    /// Says something for four seconds.
    pub fn say(&mut self, now: Now, text: impl Into<String>) {
        self.toast = Some(Toast { text: text.into(), bad: false, until: now.mono + Self::TOAST });
    }

    /// Says why something cannot be done, for four seconds.
    pub fn refuse(&mut self, now: Now, text: impl Into<String>) {
        self.toast = Some(Toast { text: text.into(), bad: true, until: now.mono + Self::TOAST });
    }

    /// How long a sentence stays: twelve words at an easy pace.
    pub const TOAST: std::time::Duration = std::time::Duration::from_secs(4);

    /// Says an error and keeps it in the list, folded with others of its kind.
    pub fn trouble(&mut self, now: Now, error: Error) {
        self.refuse(now, error.what.clone());
        self.keep_problem(now, error);
    }

    /// Keeps an error in the list without saying it.
    pub fn keep_problem(&mut self, now: Now, error: Error) {
        let same = |p: &&mut Problem| {
            p.error.what == error.what
                && p.error.region == error.region
                && p.error.aws.as_ref().map(|a| &a.code) == error.aws.as_ref().map(|a| &a.code)
        };
        if let Some(known) = self.problems.iter_mut().find(same) {
            known.count = known.count.saturating_add(1);
            known.at = now.wall;
            known.error = error;
            return;
        }
        if self.problems.len() == MAX_PROBLEMS {
            self.problems.remove(0);
        }
        // The newest stands first: who reads one goes on reading that one.
        if let Some(Overlay::Errors(state)) = self.overlays.last_mut()
            && !self.problems.is_empty()
        {
            state.cursor += 1;
        }
        self.problems.push(Problem { error, count: 1, at: now.wall });
    }

    /// Arms the deck for an account.
    pub fn arm(&mut self, account: crate::ids::AccountId, now: Now) {
        self.armed = Some(Armed { account, until: now.mono + ARMED_FOR });
        self.mode = Mode::Armed;
    }

    /// Ends the arming.
    pub fn disarm(&mut self) {
        self.armed = None;
        if self.mode == Mode::Armed {
            self.mode = Mode::Safe;
        }
    }

    /// What people call an account, where that is known.
    #[must_use]
    pub fn alias(&self, account: &crate::ids::AccountId) -> Option<&str> {
        self.aliases.get(account)?.as_deref()
    }

    /// A number for the next plan or look.
    pub fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// The profile that counts where an address names none.
    #[must_use]
    pub fn profile(&self) -> Option<&Profile> {
        self.chosen_profiles.first()
    }

    /// All jobs the engine tells of.
    #[must_use]
    pub fn jobs(&self) -> &[JobStatus] {
        self.status.as_ref().map_or(&[], |status| &status.jobs)
    }

    /// One job.
    #[must_use]
    pub fn job(&self, id: JobId) -> Option<&JobStatus> {
        self.jobs().iter().find(|job| job.job == id)
    }

    /// Every region that is looked at, once.
    #[must_use]
    pub fn regions(&self) -> Vec<&Region> {
        let mut out: Vec<&Region> = Vec::new();
        for origin in &self.catalog.origins {
            if !out.contains(&&origin.region) {
                out.push(&origin.region);
            }
        }
        out
    }

    /// The list of the current screen.
    #[must_use]
    pub fn list(&self) -> Option<&List> {
        match self.screen {
            Screen::World => Some(&self.world.list),
            Screen::Snapshots => Some(&self.snapshots.list),
            Screen::Volumes => Some(&self.volumes.list),
            Screen::Images => Some(&self.images.list),
            Screen::Orphans => Some(&self.orphans.list),
            _ => None,
        }
    }

    /// The same, to change it.
    pub fn list_mut(&mut self) -> Option<&mut List> {
        match self.screen {
            Screen::World => Some(&mut self.world.list),
            Screen::Snapshots => Some(&mut self.snapshots.list),
            Screen::Volumes => Some(&mut self.volumes.list),
            Screen::Images => Some(&mut self.images.list),
            Screen::Orphans => Some(&mut self.orphans.list),
            _ => None,
        }
    }

    /// Lines that the current screen has for rows of its list.
    #[must_use]
    pub fn list_lines(&self) -> usize {
        let area = ratatui::layout::Rect::new(0, 0, self.size.0, self.size.1);
        let body = super::view::body(area);
        let rows = match self.screen {
            Screen::World => screen::world::layout(self, body).rows,
            Screen::Snapshots => screen::snapshots::layout(self, body).rows,
            Screen::Volumes => screen::volumes::layout(self, body).rows,
            Screen::Images => screen::images::layout(self, body).rows,
            Screen::Orphans => screen::orphans::layout(self, body).rows,
            _ => body,
        };
        usize::from(rows.height)
    }

    /// Jobs that would stop with this process.
    #[must_use]
    pub fn jobs_that_would_stop(&self) -> usize {
        self.jobs_in_hand(true)
    }

    /// Jobs that go on without this process.
    #[must_use]
    pub fn jobs_that_go_on(&self) -> usize {
        self.jobs_in_hand(false)
    }

    fn jobs_in_hand(&self, in_process: bool) -> usize {
        match &self.status {
            Some(status) if status.in_process == in_process => {
                status.jobs.iter().filter(|j| j.state.is_active() || j.state == JobState::Queued).count()
            }
            _ => 0,
        }
    }
}
