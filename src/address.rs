//! How a source or a destination is written: scp-like, decided by spelling alone (DESIGN §4).
//!
//! Written in any place where an address is asked for: the command line, the deck's address line, a plan's
//! file. `parse` and `Display` are inverse: what is shown can be typed. Nothing here looks at a disk or at AWS. An address that could be two things is an error that names
//! both, because guessing between a file and a region is how copies land in the wrong place.

mod parse;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ids::{ImageId, Profile, Region, SnapshotId};

/// Whose and where: what stands in front of an id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Place {
    /// `prod@…`; without one the command's profile counts.
    pub profile: Option<Profile>,
    /// `us-east-1:…`; without one the command's region counts.
    pub region: Option<Region>,
}

/// One end of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// A file or a device.
    Path(PathBuf),
    /// `null:` or `/dev/null`: read, check, throw away.
    Null,
    /// A snapshot, as a source.
    Snapshot(Place, SnapshotId),
    /// The changes from the first snapshot to the second, as a source.
    Delta(Place, SnapshotId, SnapshotId),
    /// A machine image, as a source.
    Image(Place, ImageId),
    /// `region:`, a new snapshot there.
    NewSnapshot(Place),
    /// `region:snap-ID+`, a new snapshot on that parent.
    OnParent(Place, SnapshotId),
    /// `s3://bucket/prefix/`: an archive; with `--recursive` every object below it, at both ends.
    Archive(Option<Profile>, String, String),
    /// `s3://bucket/key`: any key as a source; as a destination `.img` or `.raw`, or any key of what comes from a key.
    Object(Option<Profile>, String, String),
}

/// Which end of an operation an address is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Something to read.
    Source,
    /// Something to make.
    Destination,
}

impl Address {
    /// Reads an address that is to be read from.
    ///
    /// # Errors
    /// Usage (exit 2), naming the two or three things it could have been.
    pub fn source(text: &str) -> Result<Self> {
        Self::for_role(text, Role::Source)
    }

    /// Reads an address that is to be written to.
    ///
    /// # Errors
    /// Usage (exit 2), naming the two or three things it could have been.
    pub fn destination(text: &str) -> Result<Self> {
        Self::for_role(text, Role::Destination)
    }

    /// Reads an address that this source is to be written to. Beside an object of S3 a key is a key, whatever its
    /// ending: `s3://a/backup.tar s3://b/backup.tar` is one object that S3 copies, as no archive has such a name.
    ///
    /// # Errors
    /// Usage (exit 2), naming the two or three things it could have been.
    pub fn destination_of(source: &Self, text: &str) -> Result<Self> {
        match (source, text.parse()?) {
            (Self::Object(..), key @ Self::Object(..)) => Ok(key),
            _ => Self::destination(text),
        }
    }

    /// Reads an address for one end of an operation.
    ///
    /// # Errors
    /// Usage (exit 2), naming the two or three things it could have been.
    pub fn for_role(text: &str, role: Role) -> Result<Self> {
        let address: Self = text.parse()?;
        match (role, &address) {
            (Role::Destination, Self::Snapshot(_, id)) => {
                Err(Error::usage(format!("`{text}` is a snapshot, and a snapshot cannot be written to")).todo(format!(
                    "`{text}+` makes a new one on it, `REGION:` one without a parent; a file is `./{id}`; two sources need --each"
                )))
            }
            (Role::Destination, Self::Delta(..)) => {
                Err(Error::usage(format!("`{text}` is the changes between two snapshots: a source, not a destination")))
            }
            (Role::Destination, Self::Image(..)) => {
                Err(Error::usage(format!("`{text}` is a machine image, which is a source, not a destination"))
                    .todo("a new snapshot is `REGION:`"))
            }
            (Role::Destination, Self::Object(_, bucket, key)) if !is_raw_key(key) => Err(Error::usage(format!(
                "`{text}` could be an archive or a raw object"
            ))
            .todo(format!(
                "an archive is `s3://{bucket}/{key}/`, a raw image is `s3://{bucket}/{key}.img`, a file is `./{key}`"
            ))),
            (Role::Source, Self::NewSnapshot(place)) => {
                Err(Error::usage(format!("`{text}` is a place for a new snapshot: a destination, not a source"))
                    .todo(format!("a snapshot there is `{}:snap-…`", region_text(place))))
            }
            (Role::Source, Self::OnParent(_, id)) => {
                Err(Error::usage(format!("`{text}` makes a new snapshot on {id}: a destination, not a source"))
                    .todo(format!("the snapshot itself is `{}`", text.trim_end_matches('+'))))
            }
            (Role::Source, Self::Null) => {
                Err(Error::usage("`null:` holds nothing to read: it is a destination, not a source"))
            }
            _ => Ok(address),
        }
    }

    /// Whose and where, for everything that has a region.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Snapshot(place, _)
            | Self::Delta(place, ..)
            | Self::Image(place, _)
            | Self::NewSnapshot(place)
            | Self::OnParent(place, _) => Some(place),
            Self::Path(_) | Self::Null | Self::Archive(..) | Self::Object(..) => None,
        }
    }

    /// The same, to fill in what the command line or the deck resolved.
    pub fn place_mut(&mut self) -> Option<&mut Place> {
        match self {
            Self::Snapshot(place, _)
            | Self::Delta(place, ..)
            | Self::Image(place, _)
            | Self::NewSnapshot(place)
            | Self::OnParent(place, _) => Some(place),
            Self::Path(_) | Self::Null | Self::Archive(..) | Self::Object(..) => None,
        }
    }

    /// The same with a leading `~/` read as `home`: a shell expands it, `file:~/x` and the deck do not.
    #[must_use]
    pub fn with_home(self, home: &Path) -> Self {
        match self {
            Self::Path(path) => {
                Self::Path(path.strip_prefix("~").map_or_else(|_| path.clone(), |rest| home.join(rest)))
            }
            other => other,
        }
    }
}

fn region_text(place: &Place) -> String {
    place.region.as_ref().map_or_else(|| "REGION".to_owned(), ToString::to_string)
}

/// Whether an S3 key names a raw image by its ending.
fn is_raw_key(key: &str) -> bool {
    key.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && (end == "img" || end == "raw"))
}

/// What stands before the id: `prod@us-east-1:`, as far as it is known.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profile = self.profile.as_ref().map(|p| format!("{p}@")).unwrap_or_default();
        let region = self.region.as_ref().map(|r| format!("{r}:")).unwrap_or_default();
        f.pad(&(profile + &region))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s3 = |profile: &Option<Profile>| profile.as_ref().map(|p| format!("{p}@")).unwrap_or_default();
        let text = match self {
            Self::Path(path) => {
                let text = path.to_string_lossy();
                if parse::looks_like_path(&text) { text.into_owned() } else { format!("./{text}") }
            }
            Self::Null => "null:".to_owned(),
            Self::Snapshot(place, id) => format!("{place}{id}"),
            Self::Delta(place, a, b) => format!("{place}{a}..{b}"),
            Self::Image(place, id) => format!("{place}{id}"),
            Self::NewSnapshot(place) => place.to_string(),
            Self::OnParent(place, id) => format!("{place}{id}+"),
            Self::Archive(profile, bucket, key) | Self::Object(profile, bucket, key) => {
                format!("{}s3://{bucket}/{key}", s3(profile))
            }
        };
        f.pad(&text)
    }
}

impl TryFrom<String> for Address {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}
impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}
