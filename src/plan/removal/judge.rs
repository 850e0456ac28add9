//! Who judges: a small trait, and the judge that asks AWS what can be asked of single things.
//!
//! [`Basic`] sees own images, instances, attachments, managers' tags and sharing. What it does not ask (launch
//! templates, locks, fast restore) it answers with unknown, so that nothing it judges is an orphan by omission.

use super::facts::Facts;
use super::target::Target;
use crate::aws::Session;
use crate::error::Result;
use crate::inventory::verdict::{Answer, Evidence, Frees, Judged, Subject, Sureness, Verdict};
use crate::plan::Prices;
use crate::rows::Tag;
use crate::units::{Bytes, Quantity, Sure, Usd};

/// Judges things again, now.
pub trait Rejudge: Send + Sync {
    /// The verdicts of these things of one account in one region; `facts` were just read. What is not in the answer
    /// counts as unknown.
    ///
    /// # Errors
    /// Nothing could be asked at all; single rules that fail are evidence of unknown.
    fn rejudge(
        &self,
        session: &Session,
        facts: &Facts,
        of: &[Target],
    ) -> impl Future<Output = Result<Vec<Judged>>> + Send;
}

/// The judge of what can be asked of single things.
#[derive(Debug, Clone, Copy, Default)]
pub struct Basic;

impl Rejudge for Basic {
    async fn rejudge(&self, session: &Session, facts: &Facts, of: &[Target]) -> Result<Vec<Judged>> {
        let images: Vec<_> = facts.images.keys().cloned().collect();
        let instances = session.ec2().instances_of(&images).await;
        let mut out = Vec::new();
        for target in of {
            let evidence = match target {
                Target::Snapshot(id) => {
                    let Some(row) = facts.snapshots.get(id) else { continue };
                    let users: Vec<String> =
                        facts.users.get(id).into_iter().flatten().map(ToString::to_string).collect();
                    let shared = session.ec2().shared_with(id).await;
                    vec![
                        found("images", &users, "is made of it", "no own image is made of it"),
                        managed(&row.tags),
                        match shared {
                            Ok(all) => found("shared", &all, "may use it: it is shared", "it is shared with nobody"),
                            Err(error) => evidence("shared", Answer::Unknown, error.what),
                        },
                        unasked("launch-templates", "launch templates were not asked"),
                        unasked("locks", "locks and fast restore were not asked"),
                    ]
                }
                Target::Volume(id) => {
                    let Some(row) = facts.volumes.get(id) else { continue };
                    let at: Vec<String> = row.attached_to.iter().map(ToString::to_string).collect();
                    vec![found("attached", &at, "has it attached", "it is attached to nothing"), managed(&row.tags)]
                }
                Target::Image(id) => {
                    let Some(row) = facts.images.get(id) else { continue };
                    vec![
                        match &instances {
                            Ok(all) => {
                                let of = all.iter().filter(|row| row.image.as_ref() == Some(id));
                                let of: Vec<String> = of.map(|row| row.id.to_string()).collect();
                                found("instances", &of, "was launched from it", "no instance was launched from it")
                            }
                            Err(error) => evidence("instances", Answer::Unknown, error.what.clone()),
                        },
                        match row.public {
                            true => evidence("shared", Answer::Yes, "everybody may launch it: it is public"),
                            false => evidence("shared", Answer::No, "it is not public"),
                        },
                        managed(&row.tags),
                        unasked("launch-templates", "launch templates were not asked"),
                    ]
                }
            };
            out.push(judged(session, facts, target, evidence));
        }
        Ok(out)
    }
}

fn evidence(rule: &str, answer: Answer, text: impl Into<String>) -> Evidence {
    Evidence { rule: rule.to_owned(), answer, text: text.into(), when: Some(jiff::Timestamp::now()) }
}

/// `what` each do what `does` says, or nobody does.
fn found(rule: &str, what: &[String], does: &str, nobody: &str) -> Evidence {
    if what.is_empty() {
        return evidence(rule, Answer::No, nobody);
    }
    evidence(rule, Answer::Yes, format!("{} {does}", what.join(", ")))
}

fn unasked(rule: &str, text: &str) -> Evidence {
    Evidence { when: None, ..evidence(rule, Answer::Unknown, text) }
}

fn managed(tags: &[Tag]) -> Evidence {
    let by = tags.iter().find(|(key, _)| {
        key.starts_with("aws:backup:")
            || key.starts_with("aws:dlm:")
            || key == "dlm:managed"
            || key.starts_with("velero.io/")
    });
    match by {
        Some((key, _)) => evidence("managed", Answer::Yes, format!("its tag {key} says that a service manages it")),
        None => evidence("managed", Answer::No, "no tag of a service that manages it"),
    }
}

fn judged(session: &Session, facts: &Facts, target: &Target, evidence: Vec<Evidence>) -> Judged {
    let says = |rule: &str| evidence.iter().any(|e| e.rule == rule && e.answer == Answer::Yes);
    let verdict = if says("images") || says("attached") || says("instances") {
        Verdict::InUse
    } else if says("managed") {
        Verdict::Managed
    } else if says("shared") {
        Verdict::Protected
    } else if evidence.iter().any(|e| e.answer == Answer::Unknown) {
        Verdict::Unknown
    } else {
        Verdict::Orphan
    };
    let (name, made, frees, usd) = figures(session, facts, target);
    Judged {
        id: target.id().to_owned(),
        kind: target.subject(),
        origin: (**session.origin()).clone(),
        name,
        made,
        verdict,
        evidence,
        frees,
        usd_per_month: usd,
    }
}

type Figures = (String, Option<jiff::Timestamp>, Frees, Option<f64>);

/// What it is called, when it was made, and what it holds at most: only a volume's size is exact.
fn figures(session: &Session, facts: &Facts, target: &Target) -> Figures {
    let nothing = Frees { bytes: Bytes::ZERO, label: Sureness::Unknown };
    let region = session.region();
    let prices = Prices::bundled();
    match target {
        Target::Snapshot(id) => match facts.snapshots.get(id) {
            Some(row) => {
                let frees = match row.full {
                    Some(bytes) => Frees { bytes, label: Sureness::UpperBound },
                    None => nothing,
                };
                let price = prices.snapshot_month(region);
                let usd = row.full.and_then(|full| known(price).map(|price| full.as_gib() * price));
                (row.name.clone().unwrap_or_default(), Some(row.started), frees, usd.map(cents))
            }
            None => (String::new(), None, nothing, None),
        },
        Target::Volume(id) => match facts.volumes.get(id) {
            Some(row) => {
                let month = prices.volume_month(region, &row.kind, row.size.as_gib(), row.iops, row.throughput);
                let frees = Frees { bytes: row.size, label: Sureness::Exact };
                (row.name.clone().unwrap_or_default(), Some(row.created), frees, known(month).map(cents))
            }
            None => (String::new(), None, nothing, None),
        },
        // Its snapshots are billed, not the image.
        Target::Image(id) => {
            let frees = Frees { bytes: Bytes::ZERO, label: Sureness::Exact };
            let row = facts.images.get(id);
            (row.map(|row| row.name.clone()).unwrap_or_default(), row.and_then(|row| row.created), frees, Some(0.0))
        }
    }
}

fn known(price: Quantity<Usd>) -> Option<f64> {
    (price.sure != Sure::Unknown).then_some(price.value.0)
}

/// Money goes through JSON, and a plan's hash must be the same there.
fn cents(usd: f64) -> f64 {
    (usd * 100.0).round() / 100.0
}

/// Used where a judge had nothing to say of a thing.
pub(super) fn unjudged(session: &Session, target: &Target) -> Judged {
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
        frees: Frees { bytes: Bytes::ZERO, label: Sureness::Unknown },
        usd_per_month: None,
    }
}
