//! Who judges what is to be removed: a small trait, so that the rules and what jobs use are asked from above.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::target::Target;
use crate::aws::Session;
use crate::error::Result;
use crate::ids::ImageId;
use crate::inventory::verdict::{Frees, Judged, Subject, Verdict};

/// Judges things again, now.
pub trait Rejudge: Send + Sync {
    /// The verdicts of these things of one account in one region; `facts` were just read. What is not in the answer
    /// counts as unknown. Images that are `leaving` by the same plan hold nothing, also from the Recycle Bin: what they
    /// are made of was asked to go with them.
    ///
    /// # Errors
    /// Nothing could be asked at all; single rules that fail are evidence of unknown.
    fn rejudge(
        &self,
        session: &Session,
        facts: &Facts,
        of: &[Target],
        leaving: &BTreeSet<ImageId>,
    ) -> impl Future<Output = Result<Vec<Judged>>> + Send;
}

/// Used where a judge had nothing to say of a thing.
#[must_use]
pub fn unjudged(session: &Session, target: &Target) -> Judged {
    Judged {
        id: target.id().to_owned(),
        kind: match target {
            Target::Snapshot(_) => Subject::Snapshot,
            Target::Volume(_) => Subject::Volume,
            Target::Image(_) => Subject::Image,
        },
        origin: (**session.origin()).clone(),
        name: String::new(),
        made: None,
        verdict: Verdict::Unknown,
        evidence: Vec::new(),
        frees: Frees::UNKNOWN,
        usd_per_month: None,
    }
}
