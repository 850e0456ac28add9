//! Versions of objects: what a bucket keeps of what was replaced or removed, once it was told to.
//!
//! Invariant: `objects` has what is found without a version's id, and nothing else; `older` everything that was there
//! before, the newest last. A key that was removed ends with a marker there.

use std::time::Instant;

use http::{Response, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::store::{Bucket, Object, Store};
use super::{Ask, NAMESPACE, Refusal, document, empty, set};
use crate::sandbox::body::Body;
use crate::sandbox::xml::Xml;

/// Removals that are remembered; more at once, and a conflict goes unseen.
const REMOVALS: usize = 10_000;
/// The id of what was written while a bucket kept no versions.
const NULL: &str = "null";

/// Whether a bucket keeps versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Versioning {
    /// It never did.
    #[default]
    Off,
    /// Every write makes one.
    Enabled,
    /// It did; what is written now replaces what has no id.
    Suspended,
}

/// What is found under a key only with a version's id.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are objects")]
pub enum Older {
    /// Bytes.
    Object(Object),
    /// It was removed then.
    Marker {
        /// Its id; none for `null`.
        version: Option<String>,
        /// When.
        at: Timestamp,
    },
}

impl Older {
    fn version(&self) -> Option<&str> {
        match self {
            Self::Object(object) => object.version.as_deref(),
            Self::Marker { version, .. } => version.as_deref(),
        }
    }

    fn is(&self, id: &str) -> bool {
        self.version().unwrap_or(NULL) == id
    }
}

/// What became of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Removed {
    /// The version that was made (a marker) or removed; none where none are kept.
    version: Option<String>,
    /// Whether that is a marker.
    marker: bool,
}

fn fresh() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl Bucket {
    /// What is shown of a version's id: nothing in a bucket that never kept any.
    fn shown(&self, version: Option<&str>) -> Option<String> {
        (self.versioning != Versioning::Off).then(|| version.unwrap_or(NULL).to_owned())
    }

    /// Puts an object under its key; what was there is kept or replaced. Answers the id that it is told to have.
    pub(super) fn write(&mut self, key: &str, mut object: Object) -> Option<String> {
        object.version = (self.versioning == Versioning::Enabled).then(fresh);
        let told = self.shown(object.version.as_deref());
        let before = self.objects.insert(key.to_owned(), object);
        self.keep(key, before);
        told
    }

    /// What was found under a key goes to the older ones, unless what has no id is replaced by what has none either.
    fn keep(&mut self, key: &str, before: Option<Object>) {
        let keeps = match self.versioning {
            Versioning::Off => return,
            Versioning::Enabled => true,
            Versioning::Suspended => {
                if let Some(older) = self.older.get_mut(key) {
                    older.retain(|one| !one.is(NULL));
                }
                before.as_ref().is_some_and(|object| object.version.is_some())
            }
        };
        if let Some(before) = before.filter(|_| keeps) {
            self.older.entry(key.to_owned()).or_default().push(Older::Object(before));
        }
    }

    /// Removes what is found under a key: for good, or behind a marker.
    pub(super) fn remove(&mut self, key: &str, at: Timestamp) -> Removed {
        self.remember_removal(key);
        let before = self.objects.remove(key);
        if self.versioning == Versioning::Off {
            return Removed { version: None, marker: false };
        }
        self.keep(key, before);
        let version = (self.versioning == Versioning::Enabled).then(fresh);
        let told = self.shown(version.as_deref());
        self.older.entry(key.to_owned()).or_default().push(Older::Marker { version, at });
        Removed { version: told, marker: true }
    }

    /// Removes one version for good; what was written before it is found again.
    pub(super) fn remove_version(&mut self, key: &str, id: &str) -> Removed {
        let told = self.shown(Some(id));
        let current = self.objects.get(key).is_some_and(|object| object.version.as_deref().unwrap_or(NULL) == id);
        let mut marker = false;
        if current {
            self.objects.remove(key);
            self.remember_removal(key);
        }
        if let Some(older) = self.older.get_mut(key) {
            if let (false, Some(at)) = (current, older.iter().position(|one| one.is(id))) {
                marker = matches!(older.remove(at), Older::Marker { .. });
            }
            if !self.objects.contains_key(key)
                && let Some(Older::Object(newest)) = older.pop_if(|last| matches!(last, Older::Object(_)))
            {
                self.objects.insert(key.to_owned(), newest);
            }
        }
        self.older.retain(|_, older| !older.is_empty());
        Removed { version: told, marker }
    }

    fn remember_removal(&mut self, key: &str) {
        if self.removals.len() >= REMOVALS {
            self.removals.clear();
        }
        self.removals.insert(key.to_owned(), Instant::now());
    }

    /// An object, or the version of it that is asked for.
    pub(super) fn find(&self, key: &str, version: Option<&str>) -> Result<&Object, Refusal> {
        let current = self.objects.get(key);
        let Some(id) = version else {
            return current.ok_or_else(|| match self.older.get(key).and_then(|older| older.last()) {
                Some(marker @ Older::Marker { .. }) => Refusal::no_key(key)
                    .with_header("x-amz-delete-marker", "true")
                    .with_header("x-amz-version-id", marker.version().unwrap_or(NULL)),
                _ => Refusal::no_key(key),
            });
        };
        if id.is_empty() {
            return Err(Refusal::argument("versionId", id, "Version id cannot be the empty string"));
        }
        if let Some(object) = current.filter(|object| object.version.as_deref().unwrap_or(NULL) == id) {
            return Ok(object);
        }
        match self.older.get(key).and_then(|older| older.iter().find(|one| one.is(id))) {
            Some(Older::Object(object)) => Ok(object),
            Some(Older::Marker { .. }) => {
                let message = "The specified method is not allowed against this resource.";
                Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
                    .with_header("x-amz-delete-marker", "true")
                    .with_header("allow", "DELETE"))
            }
            None => Err(Refusal::new(StatusCode::NOT_FOUND, "NoSuchVersion", "The specified version does not exist.")
                .naming("Key", key)
                .naming("VersionId", id)),
        }
    }

    /// The same, to be changed: its tags.
    pub(super) fn find_mut(&mut self, key: &str, version: Option<&str>) -> Result<&mut Object, Refusal> {
        self.find(key, version)?;
        let is = |object: &Object| version.is_none_or(|id| object.version.as_deref().unwrap_or(NULL) == id);
        if self.objects.get(key).is_some_and(is) {
            return self.objects.get_mut(key).ok_or_else(|| Refusal::no_key(key));
        }
        let older = self.older.get_mut(key).into_iter().flatten();
        let mut found = older.filter_map(|one| match one {
            Older::Object(object) if is(object) => Some(object),
            _ => None,
        });
        found.next().ok_or_else(|| Refusal::no_key(key))
    }

    /// The id of what was found, as an answer tells it.
    pub(super) fn told(&self, object: &Object) -> Option<String> {
        self.shown(object.version.as_deref())
    }

    /// Whether a key was removed since then.
    pub(super) fn was_removed_since(&self, key: &str, since: Instant) -> bool {
        self.removals.get(key).is_some_and(|at| *at > since)
    }
}

/// Names a version in an answer, where there is one.
pub(super) fn name(answer: &mut Response<Body>, version: Option<&str>) {
    if let Some(version) = version {
        set(answer, "x-amz-version-id", version);
    }
}

/// The answer to a removal.
pub(super) fn removed(removed: &Removed) -> Response<Body> {
    let mut answer = empty(StatusCode::NO_CONTENT);
    name(&mut answer, removed.version.as_deref());
    if removed.marker {
        set(&mut answer, "x-amz-delete-marker", "true");
    }
    answer
}

pub(super) fn get(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let versioning = ask.bucket(&store.lock())?.versioning;
    Ok(document(Xml::document("VersioningConfiguration", NAMESPACE, |xml| match versioning {
        Versioning::Off => {}
        Versioning::Enabled => xml.text("Status", "Enabled"),
        Versioning::Suspended => xml.text("Status", "Suspended"),
    })))
}

pub(super) fn put(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let wanted = match ask.document()?.get("Status").map(str::trim) {
        Some("Enabled") => Versioning::Enabled,
        Some("Suspended") => Versioning::Suspended,
        _ => {
            let message = "The Versioning element must be specified";
            return Err(Refusal::bad("IllegalVersioningConfigurationException", message));
        }
    };
    let mut buckets = store.lock();
    ask.bucket_mut(&mut buckets)?.versioning = wanted;
    store.save_bucket(&buckets, &ask.route.bucket).map_err(|e| Refusal::internal(&e))?;
    Ok(empty(StatusCode::OK))
}
