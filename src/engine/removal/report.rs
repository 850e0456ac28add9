//! What became of each item.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::archive::Archiving;
use crate::error::{Error, Kind};
use crate::plan::removal::{RemovalPlan, Target};

/// What became of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// It is gone.
    Removed {
        /// AWS's name for the request.
        request_id: Option<String>,
        /// Until when the Recycle Bin keeps it.
        back_until: Option<Timestamp>,
        /// What else is to be known.
        note: Option<String>,
    },
    /// Nothing was called.
    Skipped {
        /// Why.
        reason: String,
        /// Whether the plan said so.
        planned: bool,
    },
    /// It was tried, or could not be.
    Failed {
        /// What failed.
        reason: String,
        /// AWS's code.
        code: Option<String>,
        /// AWS's name for the request.
        request_id: Option<String>,
    },
    /// The run ended before its turn.
    NotTried {
        /// What became of what comes before it: the archive that was being made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
}

impl Outcome {
    /// A failure with what AWS said.
    #[must_use]
    pub fn failed(reason: String, error: &Error) -> Self {
        let code = error.aws.as_ref().map(|aws| aws.code.clone()).filter(|code| !code.is_empty());
        Self::Failed { reason, code, request_id: error.aws.as_ref().and_then(|aws| aws.request_id.clone()) }
    }

    /// In one word: past tense only for what happened.
    #[must_use]
    pub const fn word(&self, target: &Target) -> &'static str {
        match (self, target) {
            (Self::Removed { .. }, Target::Image(_)) => "deregistered",
            (Self::Removed { .. }, _) => "deleted",
            (Self::Skipped { .. }, _) => "skipped",
            (Self::Failed { .. }, _) => "failed",
            (Self::NotTried { .. }, _) => "not tried",
        }
    }

    /// The rest of the sentence, if there is any.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Removed { note: Some(note), .. } | Self::NotTried { note: Some(note) } => note.clone(),
            Self::Removed { back_until: Some(until), .. } => {
                format!("floe restore brings it back until {}", until.strftime("%-d %b %Y"))
            }
            Self::Removed { .. } | Self::NotTried { note: None } => String::new(),
            Self::Skipped { reason, .. } => reason.clone(),
            Self::Failed { reason, code: Some(code), .. } => format!("{reason} ({code})"),
            Self::Failed { reason, code: None, .. } => reason.clone(),
        }
    }
}

/// What is told while a plan is carried out.
#[derive(Debug, Clone)]
pub enum Told {
    /// How far the archives are that come first; a few times a second, until all of them rest.
    Archiving(Archiving),
    /// One item ended.
    Item {
        /// Its place in the plan.
        at: usize,
        /// What became of it.
        outcome: Outcome,
    },
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The thing.
    pub id: Target,
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub region: String,
    /// In a word: `deleted`, `deregistered`, `skipped`, `failed`, `not tried`.
    pub word: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of a plan; the counts add up to its items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The plan, in short.
    pub plan: String,
    /// Things that are gone.
    pub removed: u32,
    /// Things that were left alone.
    pub skipped: u32,
    /// Of these, things that the plan would have removed.
    pub skipped_since: u32,
    /// Things that failed.
    pub failed: u32,
    /// Things whose turn did not come.
    pub not_tried: u32,
    /// Each of them, in the plan's order.
    pub items: Vec<Row>,
    /// Why the run ended there, or its end is not written down: the audit log could not be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwritten: Option<Error>,
}

impl Report {
    pub(crate) fn of(plan: &RemovalPlan, hash: String, outcomes: Vec<Option<Outcome>>) -> Self {
        let mut report = Self {
            plan: hash,
            removed: 0,
            skipped: 0,
            skipped_since: 0,
            failed: 0,
            not_tried: 0,
            items: Vec::new(),
            unwritten: None,
        };
        for (item, outcome) in plan.items.iter().zip(outcomes) {
            let outcome = outcome.unwrap_or(Outcome::NotTried { note: None });
            match &outcome {
                Outcome::Removed { .. } => report.removed += 1,
                Outcome::Skipped { planned, .. } => {
                    report.skipped += 1;
                    report.skipped_since += u32::from(!planned);
                }
                Outcome::Failed { .. } => report.failed += 1,
                Outcome::NotTried { .. } => report.not_tried += 1,
            }
            report.items.push(Row {
                id: item.target.clone(),
                name: item.judged.name.clone(),
                region: item.judged.origin.region.to_string(),
                word: outcome.word(&item.target).to_owned(),
                outcome,
            });
        }
        report
    }

    /// What the command says to its caller: 0 when everything that the plan would remove is gone.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        if self.unwritten.is_some() {
            Kind::Failed.exit_code()
        } else if self.not_tried > 0 {
            Kind::Stopped.exit_code()
        } else if self.failed + self.skipped_since == 0 {
            0
        } else if self.removed == 0 && self.skipped_since == 0 {
            Kind::Failed.exit_code()
        } else {
            Kind::Partial.exit_code()
        }
    }
}
