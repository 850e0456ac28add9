//! Regions that a policy closed: remembered for a day, so that a look at everything does not knock on them again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Kind;
use crate::error::{Class, Error};
use crate::ids::Region;
use crate::store::atomic;

/// Long enough to be quiet, short enough for a policy that was mended.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
const VERSION: u32 = 1;

/// What is remembered of one account.
#[derive(Debug, Default)]
pub(super) struct Denied {
    path: Option<PathBuf>,
    file: File,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    version: u32,
    regions: BTreeMap<Region, BTreeMap<Kind, Entry>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    at: Timestamp,
    error: Error,
}

impl Denied {
    /// What `path` holds; a file that cannot be read is an empty one, since it is only a hint.
    pub(super) fn load(path: Option<PathBuf>) -> Self {
        let read = path.as_ref().and_then(|path| std::fs::read(path).ok());
        let file = read.and_then(|bytes| serde_json::from_slice::<File>(&bytes).ok());
        Self { path, file: file.filter(|file| file.version == VERSION).unwrap_or_default() }
    }

    /// The refusal that is remembered, if it is not too old.
    pub(super) fn of(&self, region: &Region, kind: Kind, now: Timestamp) -> Option<Error> {
        let entry = self.file.regions.get(region)?.get(&kind)?;
        crate::age::is_within(entry.at, now, KEPT).then(|| entry.error.clone())
    }

    /// Notes a refusal; `false` when nothing changed.
    pub(super) fn add(&mut self, region: &Region, kind: Kind, error: &Error, now: Timestamp) {
        let entry = Entry { at: now, error: error.clone() };
        self.file.regions.entry(region.clone()).or_default().insert(kind, entry);
        self.save();
    }

    /// Forgets a refusal: the region answered.
    pub(super) fn remove(&mut self, region: &Region, kind: Kind) {
        let Some(kinds) = self.file.regions.get_mut(region) else { return };
        if kinds.remove(&kind).is_some() {
            self.save();
        }
    }

    fn save(&mut self) {
        let Some(path) = &self.path else { return };
        self.file.version = VERSION;
        let saved = serde_json::to_vec(&self.file).map_err(|error| Error::failed(error.to_string()));
        if let Err(error) = saved.and_then(|bytes| atomic::write(path, &bytes)) {
            tracing::warn!(%error, "closed regions are not remembered");
        }
    }
}

/// Whether a policy or a missing opt-in closed it, rather than a fault.
pub(super) fn is_denial(error: &Error) -> bool {
    const CODES: [&str; 6] = [
        "UnauthorizedOperation",
        "AccessDenied",
        "AccessDeniedException",
        "OptInRequired",
        "UnauthorizedAccess",
        "Blocked",
    ];
    error.class == Class::Permanent && CODES.iter().any(|code| error.has_code(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_remembered_for_a_day_and_forgotten_when_the_region_answers() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = Some(dir.path().join("denied.json"));
        let region: Region = "ap-south-1".parse().expect("a region");
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().expect("a time");
        let mut denied = Denied::load(path.clone());
        denied.add(&region, Kind::Volumes, &Error::failed("closed by policy"), now);

        let again = Denied::load(path.clone());
        assert_eq!(again.of(&region, Kind::Volumes, now).map(|e| e.what).as_deref(), Some("closed by policy"));
        assert!(again.of(&region, Kind::Snapshots, now).is_none());
        for hours in [25, -25] {
            assert!(again.of(&region, Kind::Volumes, now + SignedDuration::from_hours(hours)).is_none(), "{hours}");
        }

        denied.remove(&region, Kind::Volumes);
        assert!(Denied::load(path).of(&region, Kind::Volumes, now).is_none());
    }
}
