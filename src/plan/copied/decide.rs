//! What happens to one object, by what it is and what is where it goes to. Pure.
//!
//! Invariants: nothing that exists and differs is replaced without a word of the user's; an object that is encrypted with
//! a key of KMS is never copied to one that is not; whatever is called the same says by what.

use serde::{Deserialize, Serialize};

use crate::aws::{CopyAs, Properties, S3Facts, Session, Sse, needs_restore};
use crate::plan::model::{Options, Verify};
use crate::plan::parts::COPY_MOST;

/// S3 takes so many tags on an object.
const TAGS_MAX: usize = 10;

/// What happens to one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is copied; over another one where it `replaces`.
    Copy {
        /// Whether something is there.
        replaces: bool,
    },
    /// Its bytes are there already: only these are set.
    Set {
        /// Headers, metadata, class, encryption.
        properties: bool,
        /// Tags.
        tags: bool,
        /// By what the bytes are known to be the same.
        compared: String,
    },
    /// It is there already as it is to be.
    Skip {
        /// By what that is known.
        compared: String,
    },
    /// It must not, or cannot, be done.
    Refuse {
        /// Why.
        why: String,
        /// What to do.
        todo: String,
    },
}

/// What the user asked for beside the addresses, as far as it is about objects.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Storage class; otherwise the source's.
    pub class: Option<String>,
    /// Key; otherwise what keeps the source's level.
    pub kms_key: Option<String>,
    /// Tags that are set beside those of the source.
    pub tags: Vec<(String, String)>,
    /// Whether what exists and differs may be replaced.
    pub replace: bool,
    /// Whether it is copied whatever is there.
    pub force: bool,
    /// How far the copy is proved.
    pub verify: Verify,
}

impl Rules {
    /// Of these options.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        Self {
            class: options.storage_class.clone(),
            kms_key: options.kms_key.clone(),
            tags: options.tags.clone(),
            replace: options.force || options.force_copy,
            force: options.force_copy,
            verify: options.verify,
        }
    }

    /// The tags of the copy: those of the source, and over them what was asked for.
    #[must_use]
    pub fn tags(&self, of: &[(String, String)]) -> Vec<(String, String)> {
        let own = |key: &str| self.tags.iter().any(|(known, _)| known == key);
        let mut all: Vec<_> = of.iter().filter(|(key, _)| !own(key) && !key.starts_with("aws:")).cloned().collect();
        all.extend(self.tags.iter().cloned());
        all.sort();
        all
    }
}

/// An object and its tags.
#[derive(Debug, Clone)]
pub struct Known {
    /// All else.
    pub facts: S3Facts,
    /// Tags, in the order of their keys.
    pub tags: Vec<(String, String)>,
}

/// Whether two ends are in one region and of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Near {
    /// One region: nothing is paid for the way, and keys are the same.
    pub region: bool,
    /// One account.
    pub account: bool,
}

impl Near {
    /// Of these two.
    #[must_use]
    pub fn of(from: &Session, to: &Session) -> Self {
        Self { region: from.region() == to.region(), account: from.account() == to.account() }
    }
}

/// With what the copy is encrypted, and why.
#[must_use]
pub fn encryption(from: &Sse, kms_key: Option<&str>, near: Near) -> (Sse, String) {
    match (kms_key, from) {
        (Some(key), _) => {
            (Sse::Kms { key: Some(key.to_owned()), dual: false }, format!("encrypted with {key}, as asked"))
        }
        (None, Sse::Kms { key: Some(key), dual }) if near.region && near.account => {
            (Sse::Kms { key: Some(key.clone()), dual: *dual }, format!("encrypted with {key}, like the source"))
        }
        (None, Sse::Kms { dual, .. }) => (
            Sse::Kms { key: None, dual: *dual },
            "encrypted with alias/aws/s3 there, because the source's key is not".to_owned(),
        ),
        (None, Sse::Default) => (Sse::Default, "encrypted as the bucket's default says".to_owned()),
    }
}

/// By what two objects are known to hold the same bytes; none when they do not, or nobody can say.
#[must_use]
pub fn same_bytes(a: &S3Facts, b: &S3Facts) -> Option<String> {
    if a.bytes != b.bytes {
        return None;
    }
    if let (Some(one), Some(other)) = (&a.sum, &b.sum)
        && one.algorithm == other.algorithm
        && one.whole
        && other.whole
    {
        return (one.value == other.value).then(|| format!("size and {}", one.algorithm));
    }
    (a.etag == b.etag && !a.etag.is_empty()).then(|| "size and ETag".to_owned())
}

/// What the copy of `from` is to be.
#[must_use]
pub fn wanted(from: &Known, rules: &Rules, near: Near) -> CopyAs {
    CopyAs {
        properties: Some(from.facts.properties.clone()),
        tags: Some(rules.tags(&from.tags)),
        class: Some(rules.class.clone().unwrap_or_else(|| from.facts.class.clone())),
        sse: encryption(&from.facts.sse, rules.kms_key.as_deref(), near).0,
        sum: Some(sum_for(&from.facts)),
        new: false,
    }
}

/// The algorithm under which source and copy can be compared; parts can be summed up as a whole by CRCs only.
fn sum_for(from: &S3Facts) -> String {
    let usable = |algorithm: &str| from.bytes <= COPY_MOST || algorithm.starts_with("CRC");
    match &from.sum {
        Some(sum) if sum.whole && usable(&sum.algorithm) => sum.algorithm.clone(),
        _ => "CRC64NVME".to_owned(),
    }
}

/// Whether what is there is kept as it is wanted; the key counts only where one is asked for.
fn is_kept_so(there: &S3Facts, wanted: &CopyAs) -> bool {
    let encrypted = match (&wanted.sse, &there.sse) {
        (Sse::Default, _) | (Sse::Kms { key: None, .. }, Sse::Kms { .. }) => true,
        (Sse::Kms { key: Some(want), .. }, Sse::Kms { key: Some(has), .. }) => want == has,
        (Sse::Kms { .. }, _) => false,
    };
    let content = |properties: &Properties| Properties {
        content_type: properties.content_type.clone().or_else(|| Some("binary/octet-stream".to_owned())),
        ..properties.clone()
    };
    encrypted
        && wanted.class.as_deref() == Some(there.class.as_str())
        && wanted.properties.as_ref().map(content) == Some(content(&there.properties))
}

/// What happens to an object, with what is where it goes to.
#[must_use]
pub fn decide(from: &Known, there: Option<&Known>, rules: &Rules, near: Near) -> Action {
    let refuse = |why: &str, todo: &str| Action::Refuse { why: why.to_owned(), todo: todo.to_owned() };
    let to = wanted(from, rules, near);
    if to.tags.as_ref().is_some_and(|tags| tags.len() > TAGS_MAX) {
        return refuse("it would have more than 10 tags", "leave a --tag out");
    }
    if needs_restore(&from.facts.class) && !from.facts.restored {
        let why = format!("it is in {} and has to be brought back first", from.facts.class);
        return refuse(&why, "aws s3api restore-object --restore-request Days=1 --bucket … --key …");
    }
    if rules.verify == Verify::Checksum && !from.facts.sum.as_ref().is_some_and(|sum| sum.whole) {
        let why = "it has no checksum of the whole object to compare with (--verify checksum)";
        return refuse(why, "--verify full reads both; --verify listing compares what there is");
    }
    let Some(there) = there else { return Action::Copy { replaces: false } };
    if rules.force {
        return Action::Copy { replaces: true };
    }
    let Some(compared) = same_bytes(&from.facts, &there.facts) else {
        return match rules.replace {
            true => Action::Copy { replaces: true },
            false => refuse("another object is there already", "--force replaces what differs"),
        };
    };
    let (properties, tags) = (!is_kept_so(&there.facts, &to), to.tags.as_ref() != Some(&there.tags));
    match (properties, tags) {
        (false, false) => Action::Skip { compared },
        (true, _) if there.facts.bytes > COPY_MOST => refuse(
            "only its properties differ, and S3 sets those of an object over 5 GB by copying it whole",
            "--force-copy does that; without it the object stays as it is",
        ),
        (properties, tags) => Action::Set { properties, tags, compared },
    }
}

#[cfg(test)]
mod tests;
