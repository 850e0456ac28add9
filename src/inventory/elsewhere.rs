//! Where else a snapshot is: floe's records of copies, looked at again now, and what tags of copies say.
//!
//! Invariant: only a record counts as proof, and of a file only while nobody wrote to it since. A tag is what somebody
//! wrote: it is told as such. Called by the deck; reads the records and the files they name, nothing else.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::address::Address;
use crate::ids::{JobId, SnapshotId};
use crate::inventory::SnapshotRow;
use crate::store::copies::{Copies, FileId, Held, Holds, Spot, Witness};

/// How it is known that something is a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// floe copied it, and checked it.
    Copied(JobId),
    /// `floe verify` read both, every block.
    Verified,
    /// AWS copied it for that job and says that it is complete; no block passed floe.
    Service(JobId),
    /// floe wrote it to S3 in that job and proved it then; nobody looked at it since.
    Stored(JobId),
    /// Its tags say so, and nothing else does.
    Tag,
    /// Written with `--force` onto what was claimed to be right.
    Claimed,
    /// The file was written to, or another one took its place.
    Touched,
    /// The file is not there any more.
    Gone,
}

impl Proof {
    /// Whether it may be relied on.
    #[must_use]
    pub const fn is_proved(&self) -> bool {
        matches!(self, Self::Copied(_) | Self::Verified | Self::Service(_) | Self::Stored(_))
    }

    /// Glyph and words.
    #[must_use]
    pub fn words(&self) -> (char, String) {
        match self {
            Self::Copied(job) => ('✓', format!("proved, job {job}")),
            Self::Verified => ('✓', "proved, verified".to_owned()),
            Self::Service(job) => ('✓', format!("by AWS, job {job}")),
            Self::Stored(job) => ('✓', format!("proved then, job {job}")),
            Self::Tag => ('?', "by tag".to_owned()),
            Self::Claimed => ('!', "claimed".to_owned()),
            Self::Touched => ('✗', "changed since".to_owned()),
            Self::Gone => ('✗', "gone".to_owned()),
        }
    }
}

/// Where a copy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// A snapshot.
    Snapshot(Held),
    /// A file on this machine.
    File(PathBuf),
    /// An archive or an image in S3, by its address.
    Stored(String),
}

/// One copy of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The snapshot whose content it has.
    pub of: Held,
    /// Where it is.
    pub at: Where,
    /// How that is known.
    pub proof: Proof,
    /// Since when.
    pub since: Timestamp,
    /// Whether the record carries it as a base for a delta: the digests of a file are kept in its job's ledger.
    pub is_base: bool,
    /// What the tags of a snapshot must say for the record to be believed.
    pub unique: Option<String>,
}

/// Every copy that the records of one world tell of, each file looked at as it is now.
#[must_use]
pub fn recorded(copies: &Copies, world: &str) -> Vec<Copy> {
    let records = copies.of_world(world);
    let mut out: Vec<Copy> = records
        .into_iter()
        .filter_map(|record| {
            let witness = match &record.witness {
                Witness::Copied { job, .. } => Proof::Copied(*job),
                Witness::Verified => Proof::Verified,
                Witness::Service { job, .. } => Proof::Service(*job),
            };
            let (of, proof) = match record.holds {
                Holds::Proved(held) => (held, witness),
                Holds::Claimed(held) => (held, Proof::Claimed),
                // Which region it is of is not in the record, and half a copy is of no use to anybody.
                Holds::Torn { .. } => return None,
            };
            let (at, proof, is_base) = match record.spot {
                Spot::Snapshot(held) if held == of => return None,
                Spot::Snapshot(held) => (Where::Snapshot(held), proof, true),
                Spot::Stored(url) => {
                    let proof = if let Proof::Copied(job) = proof { Proof::Stored(job) } else { proof };
                    (Where::Stored(url), proof, false)
                }
                Spot::File { path, id } => {
                    let proof = match FileId::of(&path) {
                        Err(_) => Proof::Gone,
                        Ok(now) if now != id => Proof::Touched,
                        Ok(_) => proof,
                    };
                    let digests = match &record.witness {
                        Witness::Copied { job, .. } => copies.has_ledger(*job),
                        Witness::Verified => true,
                        Witness::Service { .. } => false,
                    };
                    (Where::File(path), proof, digests)
                }
            };
            let unique = match record.witness {
                Witness::Copied { unique, .. } | Witness::Service { unique, .. } => Some(unique),
                Witness::Verified => None,
            };
            let is_base = is_base && proof.is_proved();
            Some(Copy { of, at, proof, since: record.at, is_base, unique })
        })
        .collect();
    out.sort_by_key(|copy| std::cmp::Reverse(copy.since));
    out
}

/// What floe's own tags say that a snapshot is a copy of: a whole one of it, a delta of its second.
#[must_use]
pub fn tagged(row: &SnapshotRow) -> Option<Held> {
    let source = row.tags.iter().find(|(key, _)| key == "floe:source").map(|(_, value)| value.as_str())?;
    match source.parse().ok()? {
        Address::Snapshot(place, id) | Address::Delta(place, _, id) => Some(Held { region: place.region?, id }),
        _ => None,
    }
}

/// Whether its tags say that it is of that job: without that a record is of another snapshot of that name.
#[must_use]
pub fn is_of_job(row: &SnapshotRow, unique: &str) -> bool {
    row.tags.iter().any(|(key, value)| key == "floe:job" && value == unique)
}

/// What floe's own tag says that it was made on.
#[must_use]
pub fn parent(row: &SnapshotRow) -> Option<SnapshotId> {
    row.tags.iter().find(|(key, _)| key == "floe:parent").and_then(|(_, value)| value.parse().ok())
}

/// The same as a copy; none where the tags say nothing.
#[must_use]
pub fn by_tag(row: &SnapshotRow) -> Option<Copy> {
    let own = Held { region: row.origin.region.clone(), id: row.id.clone() };
    let of = tagged(row).filter(|of| *of != own)?;
    Some(Copy { of, at: Where::Snapshot(own), proof: Proof::Tag, since: row.started, is_base: false, unique: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::copies::Copied;

    fn held(region: &str, id: &str) -> Held {
        Held { region: region.parse().expect("a region"), id: id.parse().expect("an id") }
    }

    #[test]
    fn a_file_that_was_written_to_is_no_copy_any_more_and_neither_is_one_of_another_world() {
        let dir = tempfile::tempdir().expect("a directory");
        let copies = Copies::at(dir.path());
        let image = dir.path().join("disk.img");
        std::fs::write(&image, b"data").expect("an image");
        let keep = |world: &str, spot, holds| {
            copies.keep(&Copied::new(world.to_owned(), spot, holds, Witness::Verified)).expect("kept");
        };
        let file = || Spot::File { path: image.clone(), id: FileId::of(&image).expect("it is there") };
        keep("AWS", file(), Holds::Proved(held("us-east-1", "snap-0abc1234")));
        keep(
            "AWS",
            Spot::Snapshot(held("eu-west-1", "snap-0abc1235")),
            Holds::Claimed(held("us-east-1", "snap-0abc1234")),
        );
        keep(
            "sandbox",
            Spot::Snapshot(held("eu-west-1", "snap-0abc1236")),
            Holds::Proved(held("us-east-1", "snap-0abc1234")),
        );
        let witness = Witness::Copied { job: JobId(7), unique: "u".to_owned() };
        let (url, holds) = ("s3://vault/ebs/snap-0abc1234/".to_owned(), held("us-east-1", "snap-0abc1234"));
        let stored = Copied::new("S3".to_owned(), Spot::Stored(url.clone()), Holds::Proved(holds), witness);
        copies.keep(&stored).expect("kept");
        let found = recorded(&copies, "S3");
        assert_eq!((&found[0].at, &found[0].proof), (&Where::Stored(url), &Proof::Stored(JobId(7))));
        assert!(found[0].proof.is_proved() && !found[0].is_base, "what it holds is proved, and no delta goes onto it");
        let proofs = |world: &str| {
            let mut all: Vec<_> = recorded(&copies, world).into_iter().map(|copy| copy.proof.words().1).collect();
            all.sort();
            all
        };
        assert_eq!(proofs("AWS"), ["claimed", "proved, verified"]);
        assert_eq!(proofs("sandbox"), ["proved, verified"]);
        std::fs::write(&image, b"other").expect("written");
        assert_eq!(proofs("AWS"), ["changed since", "claimed"]);
        std::fs::remove_file(&image).expect("removed");
        assert_eq!(proofs("AWS"), ["claimed", "gone"]);
    }
}
