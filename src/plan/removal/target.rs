//! What can be removed, by its id, and how it is written: `[PROFILE@][REGION:]snap-…`, `vol-…`, `ami-…`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::address::{Address, Place};
use crate::error::{Error, Result};
use crate::ids::{ImageId, SnapshotId, VolumeId};
use crate::inventory::verdict::Subject;

/// One thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// A snapshot.
    Snapshot(SnapshotId),
    /// A volume.
    Volume(VolumeId),
    /// A machine image.
    Image(ImageId),
}

impl Target {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Snapshot(id) => id.as_str(),
            Self::Volume(id) => id.as_str(),
            Self::Image(id) => id.as_str(),
        }
    }

    /// What it is.
    #[must_use]
    pub const fn subject(&self) -> Subject {
        match self {
            Self::Snapshot(_) => Subject::Snapshot,
            Self::Volume(_) => Subject::Volume,
            Self::Image(_) => Subject::Image,
        }
    }

    /// Reads an address of something that can be removed.
    ///
    /// # Errors
    /// Usage (exit 2), naming the forms.
    pub fn at(text: &str) -> Result<(Place, Self)> {
        const FORMS: &str = "write [PROFILE@][REGION:]snap-…, vol-… or ami-…";
        // A volume is no address of a copy, so the grammar of those does not know it.
        if let Some(at) = text.rfind("vol-")
            && let Ok(volume) = text[at..].parse()
        {
            return Ok((place(&text[..at], text)?, Self::Volume(volume)));
        }
        let nothing = || Error::usage(format!("`{text}` is nothing that can be removed or brought back")).todo(FORMS);
        let has_id = ["snap-", "ami-"].iter().any(|id| text.contains(id));
        match text.parse::<Address>() {
            Ok(Address::Snapshot(place, id)) => Ok((place, Self::Snapshot(id))),
            Ok(Address::Image(place, id)) => Ok((place, Self::Image(id))),
            // What is wrong with an id the grammar tells; that it could be a file or a region helps nobody here.
            Err(error) if has_id => Err(error),
            _ => Err(nothing()),
        }
    }
}

/// What stands in front of a volume's id.
fn place(front: &str, text: &str) -> Result<Place> {
    if front.is_empty() {
        return Ok(Place::default());
    }
    if let Some(profile) = front.strip_suffix('@') {
        let profile = profile.parse().map_err(|why| Error::usage(format!("`{text}`: {why}")))?;
        return Ok(Place { profile: Some(profile), region: None });
    }
    match front.parse::<Address>()? {
        Address::NewSnapshot(place) => Ok(place),
        _ => Err(Error::usage(format!("`{text}`: `{front}` is no place")).todo("write [PROFILE@][REGION:]vol-…")),
    }
}

impl FromStr for Target {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split('-').next() {
            Some("snap") => text.parse().map(Self::Snapshot),
            Some("vol") => text.parse().map(Self::Volume),
            Some("ami") => text.parse().map(Self::Image),
            _ => Err(format!("`{text}` is not the id of a snapshot, a volume or an image")),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.id().to_owned()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_takes_the_place_that_a_snapshot_takes() {
        let at = |text: &str| {
            Target::at(text).map(|(place, target)| {
                let name = |text: Option<String>| text.unwrap_or_default();
                let (profile, region) = (place.profile.map(String::from), place.region.map(String::from));
                (name(profile), name(region), target.to_string())
            })
        };
        let of = |profile: &str, region: &str, id: &str| Ok((profile.to_owned(), region.to_owned(), id.to_owned()));
        assert_eq!(at("vol-0abc1234"), of("", "", "vol-0abc1234"));
        assert_eq!(at("eu-west-1:vol-0abc1234"), of("", "eu-west-1", "vol-0abc1234"));
        assert_eq!(at("dr@eu-west-1:vol-0abc1234"), of("dr", "eu-west-1", "vol-0abc1234"));
        assert_eq!(at("me@corp@vol-0abc1234"), of("me@corp", "", "vol-0abc1234"));
        assert_eq!(at("dr@eu-west-1:snap-0abc1234"), of("dr", "eu-west-1", "snap-0abc1234"));
        assert_eq!(at("ami-0abc1234"), of("", "", "ami-0abc1234"));
        for wrong in ["vol-xyz", "./disk.img", "eu-west-1:", "snap-0abc1234..snap-0abc1235", "s3://vault/ebs/"] {
            assert!(Target::at(wrong).is_err_and(|error| error.kind.exit_code() == 2), "{wrong}");
        }
        let told = Target::at("zork").expect_err("no id");
        assert!(told.what.contains("nothing that can be removed") && !told.what.contains("file"), "{told}");
        assert!(told.todo.is_some_and(|todo| todo.contains("vol-…")));
    }
}
