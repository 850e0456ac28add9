//! The rules: each answers one question about a thing, and says what its answer rests on.
//!
//! One file per family. A rule never decides alone: it says yes with what that would make of the thing, no, or why it
//! does not know; [`super::judge`] puts the answers together. A refusal of AWS's is not a no (trap T19).

mod guards;
mod images;
mod jobs;
mod lineage;
mod managed;
mod policy;
mod shares;
mod state;
mod templates;
mod volumes;

use jiff::Timestamp;

use super::{Answer, Verdict, View};
use crate::error::Error;
use crate::inventory::relations::{Scope, Told};
use crate::rows::{ImageRow, SnapshotRow, VolumeRow};

/// What a rule finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is so, and makes this of the thing.
    Yes(Verdict),
    /// It is not so: AWS answered in full.
    No,
    /// AWS refused, or could not be reached.
    Refused,
    /// It is asked one by one, and was not asked yet.
    Unasked,
    /// AWS does not tell it.
    Untold,
    /// A text says something; it proves nothing.
    Hint,
    /// There is nothing to say.
    Silent,
}

impl Found {
    /// As evidence shows it; nothing for a rule that is silent.
    #[must_use]
    pub const fn answer(self) -> Option<Answer> {
        match self {
            Self::Yes(_) => Some(Answer::Yes),
            Self::No => Some(Answer::No),
            Self::Refused | Self::Unasked | Self::Untold => Some(Answer::Unknown),
            Self::Hint => Some(Answer::Hint),
            Self::Silent => None,
        }
    }
}

/// What a rule is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleInfo {
    /// In JSON: `launch-templates`.
    pub name: &'static str,
    /// In two words, as the reason of a verdict.
    pub short: &'static str,
    /// For people: what it looks at.
    pub summary: &'static str,
}

/// One rule about rows of one kind.
pub(super) trait Rule<R>: Sync {
    /// What it is called.
    fn info(&self) -> RuleInfo;
    /// What it finds.
    fn check(&self, view: &View<'_>, row: &R) -> Found;
    /// What that rests on, in words.
    fn format(&self, view: &View<'_>, row: &R, found: Found) -> String;
    /// When AWS said so.
    fn when(&self, view: &View<'_>, row: &R) -> Option<Timestamp> {
        let _ = (view, row);
        None
    }
    /// The IAM actions whose refusal leaves it without an answer.
    fn refusals(&self, view: &View<'_>, row: &R) -> Vec<String> {
        let _ = (view, row);
        Vec::new()
    }
    /// Tells what uses the thing, by id.
    fn users(&self, view: &View<'_>, row: &R, tell: &mut dyn FnMut(&str)) {
        let _ = (view, row, tell);
    }
}

/// About snapshots, in the order in which evidence is shown.
pub(super) const SNAPSHOT: &[&dyn Rule<SnapshotRow>] = &[
    &images::Images,
    &images::Binned,
    &templates::Templates,
    &volumes::Volume,
    &volumes::Instances,
    &shares::Shares,
    &guards::Locks,
    &guards::FastRestore,
    &guards::Tiering,
    &managed::Managed,
    &jobs::Jobs,
    &policy::Kept,
    &state::State,
    &images::Text,
    &lineage::Lineage,
];

/// About volumes.
pub(super) const VOLUME: &[&dyn Rule<VolumeRow>] =
    &[&volumes::Attached, &volumes::Instances, &managed::Managed, &policy::Kept, &state::State, &volumes::BackedUp];

/// About images.
pub(super) const IMAGE: &[&dyn Rule<ImageRow>] = &[
    &volumes::Instances,
    &templates::Templates,
    &shares::References,
    &shares::Shares,
    &images::Launched,
    &managed::Managed,
    &jobs::Jobs,
    &policy::Kept,
    &state::State,
];

/// What the rule of this name is called.
#[must_use]
pub fn rule_info(name: &str) -> Option<RuleInfo> {
    let snapshot = SNAPSHOT.iter().map(|rule| rule.info());
    let volume = VOLUME.iter().map(|rule| rule.info());
    snapshot.chain(volume).chain(IMAGE.iter().map(|rule| rule.info())).find(|info| info.name == name)
}

/// What is found where an answer holds nothing about the thing.
fn absent<T>(told: &Told<T>) -> Found {
    match told {
        Told::Known { .. } => Found::No,
        Told::Failed { .. } => Found::Refused,
        Told::Unasked => Found::Unasked,
    }
}

/// The same of two answers that are both needed.
const fn worse(one: Found, other: Found) -> Found {
    match (one, other) {
        (Found::Refused, _) | (_, Found::Refused) => Found::Refused,
        (Found::Unasked, _) | (_, Found::Unasked) => Found::Unasked,
        _ => Found::No,
    }
}

/// The IAM action of a refusal.
fn action(error: Option<&Error>) -> Option<String> {
    error.and_then(|error| error.aws.as_ref()).map(|aws| aws.operation.clone()).filter(|action| !action.is_empty())
}

/// `ec2:DescribeVolumes was refused (UnauthorizedOperation)`.
fn refusal(error: Option<&Error>) -> String {
    match error {
        None => "AWS was not asked".to_owned(),
        Some(error) => match &error.aws {
            Some(aws) => format!("{} did not answer ({})", aws.operation, aws.name()),
            None => error.what.clone(),
        },
    }
}

/// `none of 12 AMIs`; where only a few things were asked about there is no whole to count.
fn none_of(view: &View<'_>, count: usize, what: &str) -> String {
    match view.region.facts.answers.scope {
        Scope::Whole => format!("none of {count} {what}"),
        Scope::Asked => format!("none of the {what}"),
    }
}

/// The older of two dates.
fn older(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
