//! What is asked for of AWS whoever makes it: tags, description, encryption, where it came from; and what came of it.
//!
//! Shared by what floe writes block by block and by what AWS copies itself, so that a result looks the same.

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use crate::engine::blocks::lock;
use crate::error::{Error, Result};
use crate::grant::Grant;
use crate::ids::SnapshotId;
use crate::inventory::Tag;

/// Tags that a snapshot or an image may have.
const TAGS_MAX: usize = 50;
/// Characters of a description, and of a tag's value.
const TEXT_MAX: usize = 255;

/// Where the data came from: written into the snapshot's tags.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Provenance {
    /// The source's full address.
    pub source: String,
    /// Unique for this job, in any state directory.
    pub unique: String,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Asked {
    pub ask_encrypted: Option<bool>,
    pub ask_key: Option<String>,
    /// Whether the plan promised encryption; `None` where the account does not tell what it does by default.
    pub encrypted: Option<bool>,
    pub tags: Vec<Tag>,
    pub description: String,
    pub provenance: Provenance,
}

impl Asked {
    /// The tags of a result: `own` ones, where it came from, and what was asked for, as many as AWS takes.
    pub(super) fn tags_with(&self, own: &[Tag]) -> Vec<Tag> {
        let mut tags = own.to_vec();
        tags.extend([
            ("floe:source".to_owned(), printable(&self.provenance.source)),
            ("floe:job".to_owned(), self.provenance.unique.clone()),
            ("floe:version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ]);
        for (key, value) in &self.tags {
            if !key.starts_with("aws:") && !key.starts_with("floe:") {
                tags.retain(|(known, _)| known != key);
                tags.push((key.clone(), value.clone()));
            }
        }
        tags.truncate(TAGS_MAX);
        tags
    }

    pub(super) fn description(&self) -> String {
        printable(&self.description)
    }
}

/// What AWS keeps and gives back as it is: a file may have any name, and a control character in a description makes
/// every later answer about its snapshot unreadable.
fn printable(text: &str) -> String {
    text.chars().take(TEXT_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// What the job made, once there is one, and the permission to write to it and to remove it.
#[derive(Debug)]
pub(in crate::engine) struct Made<I = SnapshotId> {
    grant: Mutex<Arc<Grant>>,
    id: Mutex<Option<I>>,
}

impl<I: Clone + Display> Made<I> {
    pub(in crate::engine) fn new(grant: Grant) -> Self {
        Self { grant: Mutex::new(Arc::new(grant)), id: Mutex::new(None) }
    }

    pub(super) fn set(&self, id: &I) {
        self.also(id);
        *lock(&self.id) = Some(id.clone());
    }

    /// Lets the grant cover something else that the job made with it.
    pub(super) fn also(&self, id: &impl Display) {
        Arc::make_mut(&mut lock(&self.grant)).extend(id.to_string());
    }

    pub(super) fn id(&self) -> Option<I> {
        lock(&self.id).clone()
    }

    pub(super) fn forget(&self) {
        *lock(&self.id) = None;
    }

    pub(super) fn get(&self) -> Result<(I, Arc<Grant>)> {
        let id = lock(&self.id).clone().ok_or_else(|| Error::failed("what is to be made was not started"))?;
        Ok((id, Arc::clone(&lock(&self.grant))))
    }

    pub(super) fn grant(&self) -> Arc<Grant> {
        Arc::clone(&lock(&self.grant))
    }
}
