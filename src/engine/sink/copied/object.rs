//! One object: what was decided is done, and every way in which it can turn out otherwise has its sentence.

use super::work::{Way, Work};
use crate::aws::{CopyAs, CopyFrom, S3Facts, is_precondition};
use crate::engine::journal::Step;
use crate::engine::protocol::{DestinationState, Tone};
use crate::error::{Error, Result};
use crate::plan::copied::{Action, Known, same_bytes, wanted};
use crate::plan::parts::Parts;
use crate::units::{Blocks, Bytes};

/// One object to be copied.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub from: CopyFrom,
    /// Where it goes, in the bucket of its destination.
    pub key: String,
    pub length: Bytes,
}

impl Item {
    pub(super) fn source(&self) -> String {
        format!("s3://{}/{}", self.from.bucket, self.from.key)
    }
}

impl Work<'_> {
    /// The only object of a job, as its plan decided.
    pub(super) async fn one(&self, item: &Item, parts: &Parts, action: &Action, blocks: Blocks) -> Result<()> {
        let known = self.pinned(item).await?;
        match action {
            Action::Copy { replaces } if !parts.whole => {
                self.upload(item, &known, parts, !replaces, Some(blocks)).await?;
                self.count(|all| (all.copied, all.bytes) = (1, item.length));
            }
            action => {
                self.completing(Some(blocks)).await?;
                self.act(item, &known, action, parts).await?;
            }
        }
        self.note(self.tally());
        Ok(())
    }

    /// Journals that a destination of one object is being completed, once.
    pub(super) async fn completing(&self, blocks: Option<Blocks>) -> Result<()> {
        let Some(blocks) = blocks else { return Ok(()) };
        let picture = self.desk.known().await?;
        match picture.failed_in.unwrap_or(picture.state) {
            DestinationState::Completing => Ok(()),
            _ => self.desk.step(Step::Completing { blocks, checksum: None }).await,
        }
    }

    /// What the source is now: that version of it, where there are versions.
    pub(super) async fn source_of(&self, item: &Item) -> Result<Option<Known>> {
        let from = &item.from;
        self.known(Way::LookFrom, &from.bucket, &from.key, from.version.as_deref()).await
    }

    /// What the source is now, which has to be what the plan pinned.
    pub(super) async fn pinned(&self, item: &Item) -> Result<Known> {
        match self.source_of(item).await? {
            Some(known) if known.facts.etag == item.from.etag => Ok(known),
            now => Err(changed(item, now.as_ref().map(|known| &known.facts))),
        }
    }

    /// Does what was decided for one object, but for what needs an upload.
    pub(super) async fn act(&self, item: &Item, known: &Known, action: &Action, parts: &Parts) -> Result<()> {
        match action {
            Action::Copy { replaces } if parts.whole => {
                self.whole(item, known, !replaces).await?;
                self.count(|all| (all.copied, all.bytes) = (all.copied + 1, all.bytes + item.length));
            }
            Action::Copy { replaces } => {
                self.upload(item, known, parts, !replaces, None).await?;
                self.count(|all| all.copied += 1);
            }
            Action::Set { properties, tags, .. } => {
                self.set(item, known, *properties, *tags).await?;
                self.count(|all| (all.set, all.bytes) = (all.set + 1, all.bytes + item.length));
            }
            Action::Skip { .. } => {
                self.count(|all| (all.skipped, all.bytes) = (all.skipped + 1, all.bytes + item.length));
            }
            Action::Refuse { why, todo } => {
                return Err(Error::failed(format!("{}: {why}", item.source())).todo(todo.clone()));
            }
        }
        Ok(())
    }

    /// What the copy is to be: what S3 takes over by itself is left to S3.
    fn as_wanted(&self, known: &Known, new: bool) -> CopyAs {
        let rules = &self.sink.rules;
        let to = CopyAs { new, ..wanted(known, rules, self.sink.near) };
        CopyAs {
            // A redirect is not taken over with the rest.
            properties: to.properties.filter(|own| own.redirect.is_some()),
            tags: to.tags.filter(|_| !rules.tags.is_empty()),
            ..to
        }
    }

    /// One request copies all of it.
    async fn whole(&self, item: &Item, known: &Known, new: bool) -> Result<()> {
        let (sink, to) = (self.sink, self.as_wanted(known, new));
        let copied = self
            .asked(Way::Copy(item.length), || {
                sink.to.s3().copy_object(&sink.grant, &sink.root, &item.key, &item.from, &to)
            })
            .await;
        match copied {
            Ok(_) => Ok(()),
            Err(error) if is_precondition(&error) || is_gone(&error) => self.precondition(item, known, error).await,
            Err(error) => Err(error),
        }
    }

    /// A condition did not hold: the source is another one now, or something is where nothing was. That may be what an
    /// earlier try has made, whose answer was lost.
    pub(super) async fn precondition(&self, item: &Item, known: &Known, error: Error) -> Result<()> {
        let now = self.source_of(item).await?;
        if now.as_ref().is_none_or(|now| now.facts.etag != item.from.etag) {
            return Err(changed(item, now.as_ref().map(|known| &known.facts)));
        }
        let there = self.known(Way::LookTo, &self.sink.root.bucket, &item.key, None).await?;
        match there {
            Some(there) if same_bytes(&known.facts, &there.facts).is_some() => Ok(()),
            Some(_) => Err(Error::failed(format!(
                "s3://{}/{} was written by somebody else since the plan was made",
                self.sink.root.bucket, item.key
            ))
            .todo("look at it; --force replaces what is there")),
            None => Err(error),
        }
    }

    /// Only what travels with the bytes: they are there already.
    async fn set(&self, item: &Item, known: &Known, properties: bool, tags: bool) -> Result<()> {
        let (sink, bucket) = (self.sink, &self.sink.root.bucket);
        let to = wanted(known, &sink.rules, sink.near);
        if properties {
            let there = self.known(Way::LookTo, bucket, &item.key, None).await?.map(|there| there.facts);
            let there = there.ok_or_else(|| Error::failed(format!("s3://{bucket}/{} is gone", item.key)))?;
            let sum = there.sum.as_ref().filter(|sum| sum.whole).map(|sum| sum.algorithm.clone());
            let itself = CopyFrom { bucket: bucket.clone(), key: item.key.clone(), version: None, etag: there.etag };
            let to = CopyAs { tags: to.tags.clone().filter(|_| tags), sum, ..to };
            self.asked(Way::Copy(Bytes::ZERO), || {
                sink.to.s3().copy_object(&sink.grant, &sink.root, &item.key, &itself, &to)
            })
            .await?;
        } else if tags {
            let all = to.tags.unwrap_or_default();
            self.asked(Way::Copy(Bytes::ZERO), || sink.to.s3().put_tags(&sink.grant, &sink.root, &item.key, &all))
                .await?;
        }
        self.desk.say(Self::name(&item.key), "its bytes are there: only what travels with them was set", Tone::Info);
        Ok(())
    }
}

/// Whether what was to be copied is not there: the object, or the version of it that is pinned.
pub(super) fn is_gone(error: &Error) -> bool {
    error.has_code("NoSuchKey") || error.has_code("NoSuchVersion")
}

/// The source is not what was pinned: what is it now?
pub(super) fn changed(item: &Item, now: Option<&S3Facts>) -> Error {
    let what = match (now, &item.from.version) {
        (None, Some(version)) => format!("version {version} of {} is not there any more", item.source()),
        (None, None) => format!("{} is not there any more", item.source()),
        (Some(now), _) => format!(
            "{} changed while it was copied: ETag {} and {}, now {} and {}",
            item.source(),
            item.from.etag,
            item.length,
            now.etag,
            now.bytes
        ),
    };
    Error::failed(what).todo("make a new plan: what was copied of the old one was given up")
}
