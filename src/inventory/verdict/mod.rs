//! What the inventory says of a snapshot, a volume or an image, and why.
//!
//! A verdict is drawn from pieces of evidence, each of which answers yes, no or unknown; one unknown keeps
//! a thing from being an orphan (DESIGN §7). The rules make these, `plan/` decides by them what may be
//! removed, the fronts show them; `floe orphans -o json` prints them as they are here.

mod doubt;
mod judge;
mod policy;
mod rules;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::inventory::frees::{Why, Whys};
use crate::rows::Origin;
use crate::units::{Bytes, Quantity, Sure};

pub use doubt::{Doubt, doubts, statement};
pub use judge::{Standing, Thing, View};
pub use policy::{KEEP, Policy};
pub use rules::{Found, RuleInfo, rule_info};

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A snapshot.
    Snapshot,
    /// A volume.
    Volume,
    /// A machine image.
    Image,
}

/// The verdict; the first that holds, in this order, but for orphan, which needs every rule to answer no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Something refers to it.
    InUse,
    /// Another service or tool looks after it, and removes it where it should be removed.
    Managed,
    /// Locked, shared, in fast restore, or kept by the policy.
    Protected,
    /// Old, but something still stands behind it.
    Stale,
    /// Nothing refers to it, as far as every rule can see.
    Orphan,
    /// A rule could not be answered.
    Unknown,
}

impl Verdict {
    /// Each of them, in the order in which they are tried.
    pub const ALL: [Self; 6] = [Self::InUse, Self::Managed, Self::Protected, Self::Stale, Self::Orphan, Self::Unknown];

    /// As the filter and the JSON spell it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::InUse => "in-use",
            Self::Managed => "managed",
            Self::Protected => "protected",
            Self::Stale => "stale",
            Self::Orphan => "orphan",
            Self::Unknown => "unknown",
        }
    }
}

impl Subject {
    /// As the JSON spells it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Volume => "volume",
            Self::Image => "image",
        }
    }
}

impl Answer {
    /// As the JSON spells it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
            Self::Hint => "hint",
        }
    }
}

/// What one rule answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The reference, owner or guard exists.
    Yes,
    /// It does not: AWS answered, and answered in full.
    No,
    /// AWS was not asked, refused, or answered in part.
    Unknown,
    /// A text names something; it proves nothing.
    Hint,
}

/// One rule's answer, with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The rule's name, such as `launch-templates`.
    pub rule: String,
    /// Its answer.
    pub answer: Answer,
    /// In words: what refers to it, how many were looked at, or the IAM action that is missing.
    pub text: String,
    /// When AWS answered, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Timestamp>,
}

/// How sure a figure is (DESIGN §3, rule 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sureness {
    /// Counted, and nothing that could change it is unseen.
    Exact,
    /// The truth is not above it.
    UpperBound,
    /// Not known.
    Unknown,
}

/// What removing a thing would free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frees {
    /// Bytes; zero when nothing is known.
    pub bytes: Bytes,
    /// How sure.
    pub label: Sureness,
    /// Why it is at most, where it is.
    #[serde(default, skip_serializing_if = "Whys::is_none")]
    pub why: Whys,
}

impl Frees {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { bytes: Bytes::ZERO, label: Sureness::Unknown, why: Whys::NONE };

    /// Exactly that.
    #[must_use]
    pub const fn exact(bytes: Bytes) -> Self {
        Self { bytes, label: Sureness::Exact, why: Whys::NONE }
    }

    /// At most a full size, as long as nobody counted.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        Self { bytes, label: Sureness::UpperBound, why: Why::NotCounted.into() }
    }

    /// What was counted: exact without a reason to be at most.
    #[must_use]
    pub const fn counted(bytes: Bytes, why: Whys) -> Self {
        let label = if why.is_none() { Sureness::Exact } else { Sureness::UpperBound };
        Self { bytes, label, why }
    }

    /// As a figure.
    #[must_use]
    pub const fn quantity(&self) -> Quantity<Bytes> {
        Quantity { value: self.bytes, sure: self.label.sure() }
    }

    /// `= 212 GiB`, `≤ 88 GiB`, `?`.
    #[must_use]
    pub fn text(&self) -> String {
        self.quantity().to_string()
    }
}

impl Sureness {
    /// The same as every figure has it.
    #[must_use]
    pub const fn sure(self) -> Sure {
        match self {
            Self::Exact => Sure::Exact,
            Self::UpperBound => Sure::AtMost,
            Self::Unknown => Sure::Unknown,
        }
    }

    /// As scripts read it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::UpperBound => "upper-bound",
            Self::Unknown => "unknown",
        }
    }
}

/// A thing with its verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Its id: `snap-…`, `vol-…` or `ami-…`.
    pub id: String,
    /// What it is.
    pub kind: Subject,
    /// Where it is: the profile that asked, the account and the region.
    pub origin: Origin,
    /// Its `Name` tag, or an empty text.
    pub name: String,
    /// When it was made.
    pub made: Option<Timestamp>,
    /// The verdict.
    pub verdict: Verdict,
    /// Each rule's answer.
    pub evidence: Vec<Evidence>,
    /// What removing it alone would free.
    pub frees: Frees,
    /// US dollars a month for those bytes; none where no price is known.
    pub usd_per_month: Option<f64>,
}
