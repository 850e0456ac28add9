//! Who judges what is to be removed: the inventory's rules, asked anew, with what jobs of this machine use.

use std::sync::Arc;

use crate::aws::Session;
use crate::error::Result;
use crate::inventory::relations::{Told, again};
use crate::inventory::verdict::{Answer, Evidence, Judged, Policy};
use crate::plan::removal::{Facts, Rejudge, Target, unjudged};
use crate::store::StateDir;

/// The rules of `floe orphans`, with everything asked about each single thing.
#[derive(Debug, Clone)]
pub struct Judge {
    /// What the config keeps.
    pub policy: Arc<Policy>,
    /// Whose jobs count.
    pub state: StateDir,
}

impl Rejudge for Judge {
    async fn rejudge(&self, session: &Session, _: &Facts, of: &[Target]) -> Result<Vec<Judged>> {
        let ids: Vec<String> = of.iter().map(|target| target.id().to_owned()).collect();
        let now = again(session, &ids, &self.policy, Told::of(crate::engine::uses(&self.state))).await?;
        let mut all = now.judged;
        // Money goes through JSON, and a plan's hash must be the same there.
        for judged in &mut all {
            judged.usd_per_month = judged.usd_per_month.map(|usd| (usd * 100.0).round() / 100.0);
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
