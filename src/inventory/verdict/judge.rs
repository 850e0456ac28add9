//! From the facts of a region to verdicts: every rule is asked, and one that could not be answered keeps a thing from
//! being an orphan.
//!
//! [`View::standing`] is cheap (no text is made) and is what long lists are sorted, counted and filtered by;
//! [`View::judge`] puts the same answers into words for what is shown, saved or removed.

use jiff::{SignedDuration, Timestamp};

use super::rules::{self, Found, Rule};
use super::{Answer, Evidence, Frees, Judged, Policy, Subject, Verdict};
use crate::inventory::relations::Region;
use crate::rows::{ImageRow, SnapshotRow, State, Tier, VolumeRow};
use crate::units::Bytes;

/// What is judged, as it was listed.
#[derive(Debug, Clone, Copy)]
pub enum Thing<'a> {
    /// A snapshot.
    Snapshot(&'a SnapshotRow),
    /// A volume.
    Volume(&'a VolumeRow),
    /// An image.
    Image(&'a ImageRow),
}

/// How a thing stands, without words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The verdict.
    pub verdict: Verdict,
    /// How many rules could not be answered.
    pub unknown: u8,
    /// How many of these AWS refused.
    pub refused: u8,
    /// The only rule that AWS refused to answer, where everything else says no: were it to say no, the thing would be
    /// an orphan, unless the answer to what was not asked yet is yes.
    pub waits_for: Option<&'static str>,
    /// The rule that AWS does not tell enough for, where it decides.
    pub untold: Option<&'static str>,
    /// Nothing but what is asked one by one is open: worth asking.
    pub candidate: bool,
}

impl Standing {
    /// Whether it would be an orphan if all that is asked one by one, and was not asked yet, said no.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.verdict == Verdict::Unknown && self.candidate && self.refused == 0
    }
}

/// A region's facts with the policy that they are judged by, at a moment.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The facts.
    pub region: &'a Region,
    /// The policy.
    pub policy: &'a Policy,
    /// The moment.
    pub now: Timestamp,
}

impl<'a> View<'a> {
    /// Everything there is to judge: snapshots, then volumes, then images.
    pub fn things(&self) -> impl Iterator<Item = Thing<'a>> + use<'a> {
        let region = self.region;
        let snapshots = region.snapshots().iter().map(Thing::Snapshot);
        let volumes = region.volumes().iter().map(Thing::Volume);
        snapshots.chain(volumes).chain(region.images().iter().map(Thing::Image))
    }

    /// How a thing stands.
    #[must_use]
    pub fn standing(&self, thing: Thing<'_>) -> Standing {
        match thing {
            Thing::Snapshot(row) => standing(self, rules::SNAPSHOT, row),
            Thing::Volume(row) => standing(self, rules::VOLUME, row),
            Thing::Image(row) => standing(self, rules::IMAGE, row),
        }
    }

    /// The verdict in words, with each rule's answer.
    #[must_use]
    pub fn judge(&self, thing: Thing<'_>) -> Judged {
        let standing = self.standing(thing);
        let (evidence, made) = match thing {
            Thing::Snapshot(row) => (evidence(self, rules::SNAPSHOT, row), Some(row.started)),
            Thing::Volume(row) => (evidence(self, rules::VOLUME, row), Some(row.created)),
            Thing::Image(row) => (evidence(self, rules::IMAGE, row), row.created),
        };
        Judged {
            id: thing.id().to_owned(),
            kind: thing.subject(),
            origin: (*self.region.facts.origin).clone(),
            name: thing.name().to_owned(),
            made,
            verdict: standing.verdict,
            evidence,
            frees: self.frees(thing),
            usd_per_month: None,
        }
    }

    /// What uses it, by id: tells each once.
    pub fn users(&self, thing: Thing<'_>, tell: &mut dyn FnMut(&str)) {
        match thing {
            Thing::Snapshot(row) => rules::SNAPSHOT.iter().for_each(|rule| rule.users(self, row, tell)),
            Thing::Volume(row) => rules::VOLUME.iter().for_each(|rule| rule.users(self, row, tell)),
            Thing::Image(row) => rules::IMAGE.iter().for_each(|rule| rule.users(self, row, tell)),
        }
    }

    /// The IAM actions that were refused, for a thing that waits for an answer.
    #[must_use]
    pub fn refused_actions(&self, thing: Thing<'_>) -> Vec<String> {
        let mut actions: Vec<String> = match thing {
            Thing::Snapshot(row) => rules::SNAPSHOT.iter().flat_map(|rule| rule.refusals(self, row)).collect(),
            Thing::Volume(row) => rules::VOLUME.iter().flat_map(|rule| rule.refusals(self, row)).collect(),
            Thing::Image(row) => rules::IMAGE.iter().flat_map(|rule| rule.refusals(self, row)).collect(),
        };
        actions.sort();
        actions.dedup();
        actions
    }

    /// In two words why it is what it is.
    #[must_use]
    pub fn because(&self, thing: Thing<'_>, standing: &Standing) -> String {
        match standing.verdict {
            Verdict::Orphan => self.left_by(thing).to_owned(),
            Verdict::Unknown if standing.unknown == 1 => "1 unknown".to_owned(),
            Verdict::Unknown => format!("{} unknown", standing.unknown),
            verdict => match thing {
                Thing::Snapshot(row) => reason(self, rules::SNAPSHOT, row, verdict),
                Thing::Volume(row) => reason(self, rules::VOLUME, row, verdict),
                Thing::Image(row) => reason(self, rules::IMAGE, row, verdict),
            }
            .to_owned(),
        }
    }

    fn left_by(&self, thing: Thing<'_>) -> &'static str {
        match thing {
            Thing::Volume(_) => "unattached",
            Thing::Image(row) if row.last_launched.is_none() => "unlaunched",
            Thing::Image(_) => "unused",
            Thing::Snapshot(row) if row.state == State::Error => "failed",
            Thing::Snapshot(row) => {
                let named = crate::inventory::relations::images_named(&row.description).next();
                if named.is_some() { "AMI gone" } else { "volume gone" }
            }
        }
    }

    /// What is known without listing: the whole snapshot at most; a volume exactly.
    #[must_use]
    pub fn frees(&self, thing: Thing<'_>) -> Frees {
        match thing {
            Thing::Volume(row) => Frees::exact(row.size),
            Thing::Snapshot(row) if row.state == State::Error => Frees::UNKNOWN,
            // What is archived is stored whole and shares with nobody.
            Thing::Snapshot(SnapshotRow { tier: Tier::Archive, full: Some(bytes), .. }) => Frees::exact(*bytes),
            Thing::Snapshot(row) => Frees::whole(row.full.unwrap_or(row.size)),
            // An image is a name: what is billed are its snapshots, and those may serve others.
            Thing::Image(_) => Frees::exact(Bytes::ZERO),
        }
    }

    /// How old something is.
    #[must_use]
    pub fn age(&self, born: Timestamp) -> SignedDuration {
        self.now.duration_since(born)
    }
}

impl<'a> Thing<'a> {
    /// Its id.
    #[must_use]
    pub fn id(self) -> &'a str {
        match self {
            Self::Snapshot(row) => row.id.as_str(),
            Self::Volume(row) => row.id.as_str(),
            Self::Image(row) => row.id.as_str(),
        }
    }
    /// What it is.
    #[must_use]
    pub const fn subject(self) -> Subject {
        match self {
            Self::Snapshot(_) => Subject::Snapshot,
            Self::Volume(_) => Subject::Volume,
            Self::Image(_) => Subject::Image,
        }
    }
    /// Its name, or nothing.
    #[must_use]
    pub fn name(self) -> &'a str {
        match self {
            Self::Snapshot(row) => row.name.as_deref().unwrap_or_default(),
            Self::Volume(row) => row.name.as_deref().unwrap_or_default(),
            Self::Image(row) => &row.name,
        }
    }
}

fn standing<R>(view: &View<'_>, rules: &[&dyn Rule<R>], row: &R) -> Standing {
    let (mut best, mut unknown, mut unasked, mut untold) = (None::<Verdict>, 0_u8, false, None::<&'static str>);
    let (mut refused, mut only) = (0_u8, None);
    for rule in rules {
        let found = rule.check(view, row);
        unknown += u8::from(found.answer() == Some(Answer::Unknown));
        match found {
            Found::Yes(verdict) => best = Some(best.map_or(verdict, |best| best.min(verdict))),
            Found::Unasked => unasked = true,
            Found::Refused => {
                refused += 1;
                only = Some(rule.info().name);
            }
            Found::Untold => untold = untold.or(Some(rule.info().name)),
            Found::No | Found::Hint | Found::Silent => {}
        }
    }
    let verdict = match best {
        Some(verdict) if verdict < Verdict::Stale => verdict,
        // Something stands behind it, but nothing may be removed on an answer that was refused.
        _ if refused > 0 || untold.is_some() => Verdict::Unknown,
        Some(verdict) => verdict,
        None if unasked => Verdict::Unknown,
        None => Verdict::Orphan,
    };
    Standing {
        verdict,
        unknown,
        refused,
        waits_for: only.filter(|_| refused == 1 && best.is_none() && untold.is_none()),
        untold: untold.filter(|_| best.is_none()),
        candidate: best.is_none() && untold.is_none(),
    }
}

fn evidence<R>(view: &View<'_>, rules: &[&dyn Rule<R>], row: &R) -> Vec<Evidence> {
    let one = |rule: &&dyn Rule<R>| {
        let found = rule.check(view, row);
        Some(Evidence {
            rule: rule.info().name.to_owned(),
            answer: found.answer()?,
            text: rule.format(view, row, found),
            when: rule.when(view, row),
        })
    };
    rules.iter().filter_map(one).collect()
}

/// The rule that decided.
fn reason<R>(view: &View<'_>, rules: &[&dyn Rule<R>], row: &R, verdict: Verdict) -> &'static str {
    let rule = rules.iter().find(|rule| rule.check(view, row) == Found::Yes(verdict));
    rule.map_or("", |rule| rule.info().short)
}
