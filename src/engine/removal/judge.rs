//! Who judges what is to be removed: the inventory's rules, asked anew, with what jobs of this machine use.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;

use crate::aws::Session;
use crate::error::Result;
use crate::ids::ImageId;
use crate::inventory::relations::{Told, again};
use crate::inventory::verdict::{Answer, Evidence, Judged, Policy, Thing};
use crate::plan::monthly;
use crate::plan::removal::{Facts, Rejudge, Target, unjudged};
use crate::store::StateDir;
use crate::store::copies::{Copied, Copies, Held, Witness};

/// The rules of `floe orphans`, with everything asked about each single thing.
#[derive(Debug, Clone)]
pub struct Judge {
    /// What the config keeps.
    pub policy: Arc<Policy>,
    /// Whose jobs count.
    pub state: StateDir,
}

impl Judge {
    /// What floe's records say of these. What `floe verify` compared names no job whose tag would tell it from a
    /// snapshot of another world.
    fn records(&self, session: &Session, of: &[Target]) -> Vec<Copied> {
        let copies = Copies::of(&self.state);
        let held = |target: &Target| match target {
            Target::Snapshot(id) => Some(Held { region: session.region().clone(), id: id.clone() }),
            Target::Volume(_) | Target::Image(_) => None,
        };
        let records = of.iter().filter_map(held).filter_map(|held| copies.snapshot(&held));
        records.filter(|record| record.witness != Witness::Verified).collect()
    }
}

impl Rejudge for Judge {
    async fn rejudge(
        &self,
        session: &Session,
        facts: &Facts,
        of: &[Target],
        leaving: &BTreeSet<ImageId>,
    ) -> Result<Vec<Judged>> {
        let ids: Vec<String> = of.iter().map(|target| target.id().to_owned()).collect();
        // How old a thing must be to be called an orphan says nothing about one that somebody names.
        let policy = Policy { min_age: SignedDuration::ZERO, ..(*self.policy).clone() };
        let jobs = Told::of(crate::engine::uses(&self.state));
        let now = again(session, &ids, leaving, &policy, jobs, self.records(session, of)).await?;
        let mut all = now.judged;
        for judged in &mut all {
            let target = of.iter().find(|target| target.id() == judged.id);
            let thing = target.and_then(|target| match target {
                Target::Snapshot(id) => facts.snapshots.get(id).map(Thing::Snapshot),
                Target::Volume(id) => facts.volumes.get(id).map(Thing::Volume),
                Target::Image(id) => facts.images.get(id).map(Thing::Image),
            });
            // Money goes through JSON, and a plan's hash must be the same there.
            let usd = thing.and_then(|thing| monthly(thing, &judged.frees));
            judged.usd_per_month = usd.map(|usd| (usd * 100.0).round() / 100.0);
        }
        let unseen = of.iter().filter(|target| now.unseen.iter().any(|id| id == target.id()));
        all.extend(unseen.map(|target| Judged {
            evidence: vec![Evidence {
                rule: "list".to_owned(),
                answer: Answer::Unknown,
                text: "the list that it would be in could not be had".to_owned(),
                when: None,
            }],
            ..unjudged(session, target)
        }));
        Ok(all)
    }
}
