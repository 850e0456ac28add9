//! Single things judged again, from AWS as it is now: what a removal asks just before its call.
//!
//! Nothing remembered counts. Everything is asked about each of them, candidate or not, so that no verdict rests on
//! what was not asked; and about them only, so that the calls do not grow with the region.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::narrow::{Subjects, about};
use super::single::{Candidates, ask};
use super::{Anew, JobUse, Region, Told};
use crate::aws::Session;
use crate::error::Result;
use crate::ids::{ImageId, SnapshotId};
use crate::inventory::verdict::{Judged, Policy, View};
use crate::store::copies::Copied;

/// What became of them.
#[derive(Debug, Clone, Default)]
pub struct Again {
    /// Those that are still there, judged.
    pub judged: Vec<Judged>,
    /// Those that are not there any more: AWS answered in full, and without them.
    pub gone: Vec<String>,
    /// Those whose list could not be had: neither there nor gone.
    pub unseen: Vec<String>,
}

/// Judges things of one account's region again, by id (`snap-…`, `vol-…`, `ami-…`). Images that are `leaving` hold
/// nothing from the Recycle Bin.
///
/// # Errors
/// None of AWS's: a refusal is an unknown of the things that it concerns.
pub async fn again(
    session: &Session,
    ids: &[String],
    leaving: &BTreeSet<ImageId>,
    policy: &Policy,
    jobs: Told<Vec<JobUse>>,
    copies: Vec<Copied>,
) -> Result<Again> {
    let of = Subjects {
        snapshots: ids.iter().filter_map(|id| id.parse().ok()).collect(),
        volumes: ids.iter().filter_map(|id| id.parse().ok()).collect(),
        images: ids.iter().filter_map(|id| id.parse().ok()).collect(),
    };
    let mut facts = about(session, &of, jobs, Arc::new(copies)).await;
    if let Told::Known { value, .. } = &mut facts.answers.binned_images {
        value.retain(|row| row.id.parse().is_ok_and(|id: ImageId| !leaving.contains(&id)));
    }
    let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
    // What is not there is not asked about: AWS knows nothing of it.
    let there = |id: &&SnapshotId| facts.snapshots.known().is_none_or(|rows| rows.iter().any(|row| row.id == **id));
    let snapshots = of.snapshots.iter().filter(there).cloned().collect();
    let here = |id: &&ImageId| facts.images.known().is_none_or(|rows| rows.iter().any(|row| row.id == **id));
    let images = of.images.iter().filter(here).cloned().collect();
    ask(session, &mut facts, &Candidates { snapshots, images }, Anew::All, |_, _| {}).await;
    let region = Arc::new(Region::new(facts));
    let view = View { region: &region, policy, now: crate::wall::now() };
    let judged: Vec<Judged> =
        view.things().filter(|thing| wanted.contains(thing.id())).map(|thing| view.judge(thing)).collect();
    let seen: HashSet<&str> = judged.iter().map(|judged| judged.id.as_str()).collect();
    let (mut gone, mut unseen) = (Vec::new(), Vec::new());
    for id in ids.iter().filter(|id| !seen.contains(id.as_str())) {
        let facts = &region.facts;
        let listed = match id.split_once('-') {
            Some(("snap", _)) => facts.snapshots.known().is_some(),
            Some(("vol", _)) => facts.volumes.known().is_some(),
            _ => facts.images.known().is_some(),
        };
        if listed { gone.push(id.clone()) } else { unseen.push(id.clone()) }
    }
    Ok(Again { judged, gone, unseen })
}
