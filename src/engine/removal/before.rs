//! What was before: how old a check is, and what earlier runs of the same plan did.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{FRESH, Outcome, Run, Told};
use crate::error::Result;
use crate::grant::{Call, is_written};
use crate::plan::removal::{Item, Rejudge, Skip, Target, Would};
use crate::store::audit::{Audit, Entry, Event};

/// The call that removes a thing.
pub(super) const fn removing(target: &Target) -> Call {
    match target {
        Target::Snapshot(_) => Call::DeleteSnapshot,
        Target::Volume(_) => Call::DeleteVolume,
        Target::Image(_) => Call::DeregisterImage,
    }
}

/// When something was checked: by a clock that nobody sets, and by one that runs on while the machine sleeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checked {
    at: Instant,
    wall: Timestamp,
}

impl Checked {
    pub(super) fn now() -> Self {
        Self { at: Instant::now(), wall: crate::wall::now() }
    }

    /// Whether it counts still.
    pub(super) fn is_fresh(&self) -> bool {
        counts(self.at.elapsed(), crate::wall::now().duration_since(self.wall))
    }
}

/// A clock that was set back says nothing of how long ago it was.
fn counts(passed: Duration, by_the_clock: SignedDuration) -> bool {
    passed <= FRESH && by_the_clock.unsigned_abs() <= FRESH
}

/// What runs of this plan removed: each id once. By their own lines; where the line of the answer is missing, because the
/// run was killed or its log could not be written, a later line that brought it back says that it was gone.
pub(super) fn removed(audit: &Audit, plan: &str) -> Result<BTreeSet<String>> {
    let is = |entry: &Entry, calls: &[Call]| calls.iter().any(|call| call.action() == entry.call);
    let removes = |entry: &Entry| {
        is_written(&entry.plan, plan) && is(entry, &[Call::DeleteSnapshot, Call::DeleteVolume, Call::DeregisterImage])
    };
    let brings_back = |entry: &Entry| is(entry, &[Call::RestoreSnapshot, Call::RestoreImage]);
    let told = audit.read(|entry| match entry.event {
        Event::Done => removes(entry) || brings_back(entry),
        Event::Intent => removes(entry),
        _ => false,
    })?;
    let (mut meant, mut removed) = (BTreeSet::new(), BTreeSet::new());
    for entry in told.entries {
        if entry.event == Event::Intent {
            meant.insert(entry.id);
        } else if removes(&entry) || meant.contains(&entry.id) {
            removed.insert(entry.id);
        }
    }
    Ok(removed)
}

impl<J: Rejudge, T: FnMut(&Told)> Run<'_, J, T> {
    /// What an earlier run of this plan did, whose answer may be lost, where the thing is not there any more.
    pub(super) fn known_from_before(&self, now: &Item) -> Option<Outcome> {
        let gone = matches!(&now.would, Would::Skip(Skip::Gone(_)));
        let before = self.earlier.get(now.target.id()).filter(|_| gone)?;
        // A snapshot that was made of it first is no removal.
        if before.call != removing(&now.target).action() {
            return None;
        }
        match before.event {
            Event::Done => Some(Outcome::Removed {
                request_id: Some(before.request_id.clone()).filter(|id| !id.is_empty()),
                back_until: before.back_until,
                note: Some(format!("by an earlier run, at {}", before.at.strftime("%H:%M:%S UTC"))),
            }),
            Event::Intent => Some(Outcome::Removed {
                request_id: None,
                back_until: None,
                note: Some("by an earlier run that ended before it had the answer".to_owned()),
            }),
            _ => None,
        }
    }

    /// Why a thing that this plan removed once is left alone, where it is there again: somebody brought it back.
    pub(super) fn is_back(&self, now: &Item) -> Option<String> {
        let gone = matches!(&now.would, Would::Skip(Skip::Gone(_)));
        let removed = !gone && self.removed.contains(now.target.id());
        removed.then(|| "this plan removed it before, and somebody brought it back: a new plan is needed".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_grows_old_while_the_machine_sleeps_and_when_its_clock_is_set() {
        let (seconds, by_the_clock) = (Duration::from_secs, SignedDuration::from_secs);
        assert!(counts(seconds(10), by_the_clock(10)));
        assert!(!counts(seconds(61), by_the_clock(61)));
        assert!(!counts(seconds(10), by_the_clock(3_600)), "an hour of sleep");
        assert!(!counts(seconds(10), by_the_clock(-3_600)), "set back by an hour: asked again");
    }
}
