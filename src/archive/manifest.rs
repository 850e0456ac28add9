//! The manifest: what an archive is, small and of fixed fields; committed last.
//!
//! Invariant: a version that this floe does not know is refused before anything else of it is looked at.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Damaged;
use crate::ids::SnapshotId;
use crate::units::{Blocks, Bytes, Digest};

/// The version that is written.
const VERSION: u32 = 1;
/// No manifest is longer: 50 tags of 383 characters, some runs, and the rest.
pub const MANIFEST_MAX: usize = 1024 * 1024;
/// Runs that one archive may be of: one for each time that its job was resumed.
const RUNS_MAX: usize = 16_384;

/// What an archive is called: `snap-B`, `snap-A..snap-B`, or a name and a uuid for files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArchiveId(String);

/// What one engine run's objects lie under, so that no run writes over another's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

macro_rules! name {
    ($name:ident, $most:literal, $what:literal) => {
        impl $name {
            /// As it stands in a key.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
                let fits = (1..=$most).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.');
                if fits { Ok(Self(text.to_owned())) } else { Err(format!("`{text}` is not {}", $what)) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}
name!(ArchiveId, 200, "the name of an archive");
name!(RunId, 64, "the name of a run");

impl ArchiveId {
    /// Of a snapshot.
    #[must_use]
    pub fn whole(id: &SnapshotId) -> Self {
        Self(id.to_string())
    }

    /// Of the changes between two snapshots.
    #[must_use]
    pub fn delta(from: &SnapshotId, to: &SnapshotId) -> Self {
        Self(format!("{from}..{to}"))
    }

    /// Of a file: what of its name can stand in a key, and something that no other archive has.
    #[must_use]
    pub fn file(name: &str, unique: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let name: String = name.chars().map(plain).take(100).collect();
        let name = name.trim_start_matches('.');
        Self(format!("{}-{unique}", if name.is_empty() { "file" } else { name }))
    }
}

/// What was archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Origin {
    /// The source's address in full.
    pub address: String,
    /// The snapshot whose content it is; for a delta the second one. None for files.
    pub snapshot: Option<SnapshotId>,
    /// Its name, for people.
    pub name: Option<String>,
}

/// What the source was encrypted with. The archive's own encryption is S3's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Encryption {
    /// Whether it was.
    pub encrypted: bool,
    /// The key, where it was told.
    pub key: Option<String>,
}

/// Where the index is and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct IndexFacts {
    /// The run it lies under.
    pub run: RunId,
    /// Its length.
    pub bytes: Bytes,
    /// The directory at its end.
    pub directory: Bytes,
    /// SHA-256 of all of it.
    pub sha256: Digest,
}

/// What an archive is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// Format version: 1.
    pub version: u32,
    /// Its name.
    pub archive: ArchiveId,
    /// When it was begun.
    pub made: Timestamp,
    /// What it was made of.
    pub origin: Origin,
    /// For a delta, the snapshot that it goes onto.
    pub base: Option<SnapshotId>,
    /// Size of the volume.
    pub volume: Bytes,
    /// Blocks in it.
    pub blocks: Blocks,
    /// SHA-256 over the raw digests of its blocks in index order, as CompleteSnapshot takes it.
    pub linear: Digest,
    /// What the source was encrypted with.
    pub encryption: Encryption,
    /// The source's tags.
    pub tags: Vec<(String, String)>,
    /// The runs whose objects it is of; rows of the index name them by number.
    pub runs: Vec<RunId>,
    /// Its objects together.
    pub stored: Bytes,
    /// The index.
    pub index: IndexFacts,
}

impl Manifest {
    /// The version that this floe writes.
    pub const VERSION: u32 = VERSION;

    /// As it is stored.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        // Plain data with string keys: it cannot fail.
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Reads one.
    ///
    /// # Errors
    /// It has another version, is damaged, or its figures cannot be.
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if bytes.len() > MANIFEST_MAX {
            return Err(Damaged::new(format!("a manifest has at most {MANIFEST_MAX} bytes, this one {}", bytes.len())));
        }
        let broken = |e: serde_json::Error| Damaged::new(format!("the manifest is damaged: {e}"));
        let Versioned { version } = serde_json::from_slice(bytes).map_err(broken)?;
        if version != VERSION {
            return Err(Damaged::new(format!("the archive has version {version}, this floe reads {VERSION}")));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(broken)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), Damaged> {
        let wrong = |what: &str| Err(Damaged::new(format!("the manifest says {what}, which cannot be")));
        let index = &self.index;
        if self.volume > Bytes::gib(65_536) || self.blocks > self.volume.blocks() {
            return wrong("that it is larger than any volume");
        }
        if index.directory > index.bytes || index.directory.0 > super::Directory::MOST as u64 {
            return wrong("that the directory is larger than any");
        }
        if self.runs.is_empty() || self.runs.len() > RUNS_MAX || !self.runs.contains(&index.run) {
            return wrong("that it is of no run");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest() -> Manifest {
        let run: RunId = "0123456789abcdef-0".parse().unwrap();
        Manifest {
            version: VERSION,
            archive: ArchiveId::whole(&"snap-0abc1234".parse().unwrap()),
            made: Timestamp::UNIX_EPOCH,
            origin: Origin {
                address: "prod@us-east-1:snap-0abc1234".to_owned(),
                snapshot: "snap-0abc1234".parse().ok(),
                name: Some("web".to_owned()),
            },
            base: None,
            volume: Bytes::gib(8),
            blocks: Blocks(12),
            linear: Digest([7; 32]),
            encryption: Encryption { encrypted: true, key: None },
            tags: vec![("Name".to_owned(), "web".to_owned())],
            runs: vec![run.clone()],
            stored: Bytes(1234),
            index: IndexFacts { run, bytes: Bytes(900), directory: Bytes(44), sha256: Digest([9; 32]) },
        }
    }

    #[test]
    fn a_manifest_comes_back_as_it_was() {
        let whole = manifest();
        assert_eq!(Manifest::read(&whole.bytes()), Ok(whole.clone()));
        let (a, b) = ("snap-0abc1234".parse().unwrap(), "snap-0abc1235".parse().unwrap());
        let delta = Manifest { archive: ArchiveId::delta(&a, &b), base: Some(a), ..whole };
        assert_eq!(Manifest::read(&delta.bytes()), Ok(delta));
    }

    #[test]
    fn another_version_is_refused_before_its_fields_are_looked_at() {
        let error = Manifest::read(br#"{"version": 2, "something": "new"}"#).unwrap_err();
        assert_eq!(error.0, "the archive has version 2, this floe reads 1");
        let text = String::from_utf8(manifest().bytes()).unwrap();
        assert!(
            Manifest::read(text.replacen("\"volume\"", "\"size\"", 1).as_bytes()).is_err(),
            "a field of another name"
        );
    }

    #[test]
    fn figures_that_cannot_be_are_refused() {
        let good = manifest();
        let wrong = [
            Manifest { volume: Bytes::gib(70_000), ..good.clone() },
            Manifest { blocks: Blocks(1 << 30), ..good.clone() },
            Manifest { runs: Vec::new(), ..good.clone() },
            Manifest { index: IndexFacts { directory: Bytes(901), ..good.index.clone() }, ..good.clone() },
            Manifest { index: IndexFacts { run: "other".parse().unwrap(), ..good.index.clone() }, ..good },
        ];
        for manifest in wrong {
            assert!(Manifest::read(&manifest.bytes()).is_err(), "{manifest:?}");
        }
    }

    #[test]
    fn the_name_of_a_file_becomes_one_that_can_stand_in_a_key() {
        for (name, id) in [("disk.img", "disk.img-u"), ("a b/ü", "a-b---u"), ("..", "file-u"), ("", "file-u")] {
            let made = ArchiveId::file(name, "u");
            assert_eq!(made.as_str(), id);
            assert_eq!(made.as_str().parse(), Ok(made));
        }
        for wrong in ["", "a/b", ".hidden", "a b"] {
            assert!(wrong.parse::<ArchiveId>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_without_a_panic(at in any::<prop::sample::Index>(), flip in 1u8.., tail in ".{0,20}") {
            let bytes = manifest().bytes();
            let at = at.index(bytes.len());
            let _ = Manifest::read(&bytes[..at]);
            let mut flipped = bytes;
            flipped[at] ^= flip;
            let _ = Manifest::read(&flipped);
            let _ = Manifest::read(tail.as_bytes());
        }
    }
}
