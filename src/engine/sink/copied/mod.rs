//! Objects that S3 copies itself, one or all below a prefix: asked for, watched, compared, and nothing passes us.
//!
//! `mod` is the destination as its job sees it, `work` asks S3 at the pace that it takes, `object` does what was decided
//! for one object, `upload` its parts, `tree` all below a prefix, `prove` the comparison. Invariants: every copy names the
//! ETag that is pinned; an upload is in the journal before it is begun, and gone from S3 before it is gone from the
//! journal; whoever fails waits for what is on its way beside it before an upload is given up. There is no ledger: how
//! parts were cut is journaled, and S3 tells which of them it has.

mod object;
mod pace;
mod prove;
#[cfg(test)]
mod tests;
mod tree;
mod upload;
mod work;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes as Buffer;

use self::object::Item;
use self::work::Work;
use super::{Desk, Opened, Sink, in_s3};
use crate::aws::{CopyFrom, Root, Session};
use crate::engine::journal::{DestinationPicture, Step};
use crate::engine::ledger::Linear;
use crate::engine::proof::Proof;
use crate::engine::protocol::{Copied, DestinationState, Evidence, JobState, Tone};
use crate::error::{Error, Result};
use crate::grant::Grant;
use crate::ids::BlockIndex;
use crate::plan::copied::{Action, Near, Rules};
use crate::plan::globs::Globs;
use crate::plan::parts::Parts;
use crate::plan::{Options, Pace, Verify};
use crate::units::{Bytes, Digest};

/// What S3 is to copy.
#[derive(Debug, Clone)]
pub(in crate::engine) enum What {
    /// One object, as the plan decided.
    One { from: CopyFrom, length: Bytes, parts: Parts, action: Action },
    /// Every object below a prefix that is meant.
    Tree {
        bucket: String,
        prefix: String,
        /// Whether sources are pinned by their ETags alone.
        by_etag: bool,
    },
}

/// A destination that S3 fills itself.
#[derive(Debug)]
pub(in crate::engine) struct CopySink {
    /// Where the source is, as its account sees it.
    from: Session,
    /// Where it goes; its account asks for the copies.
    to: Session,
    what: What,
    /// The bucket, and the key or the prefix.
    root: Root,
    rules: Rules,
    near: Near,
    pace: Pace,
    part_size: Option<Bytes>,
    globs: Globs,
    grant: Arc<Grant>,
    /// Where failures of single objects are written down.
    failures: PathBuf,
}

impl CopySink {
    pub(in crate::engine) fn new(
        (from, to): (Session, Session),
        what: What,
        root: Root,
        options: &Options,
        grant: Grant,
        failures: PathBuf,
    ) -> Self {
        Self {
            near: Near::of(&from, &to),
            from,
            to,
            what,
            root,
            rules: Rules::of(options),
            pace: options.pace,
            part_size: options.part_size,
            globs: Globs::new(&options.include, &options.exclude),
            grant: Arc::new(grant),
            failures,
        }
    }

    /// The one object, where it is one.
    fn item(&self) -> Option<(Item, &Parts, &Action)> {
        match &self.what {
            What::One { from, length, parts, action } => {
                Some((Item { from: from.clone(), key: self.root.prefix.clone(), length: *length }, parts, action))
            }
            What::Tree { .. } => None,
        }
    }
}

#[async_trait]
impl Sink for CopySink {
    fn address(&self) -> String {
        in_s3(&self.to, &self.root.resource())
    }

    async fn open(&self, desk: &Desk, known: &DestinationPicture) -> Result<Opened> {
        let stood = known.failed_in.unwrap_or(known.state);
        if matches!(stood, DestinationState::Pending | DestinationState::Starting) {
            let (attempt, client_token) = (known.attempt.max(1), String::new());
            desk.step(Step::Starting { attempt, client_token }).await?;
            desk.step(Step::Started { id: self.root.resource() }).await?;
        }
        if stood != DestinationState::Completing && stood != DestinationState::Checking {
            desk.step(Step::Writing).await?;
        }
        if let Some(copied) = &known.copied {
            desk.hub.copied(desk.dest, copied);
        }
        Ok(Opened::Completing)
    }

    fn takes_blocks(&self) -> bool {
        false
    }

    async fn write(&self, index: BlockIndex, _data: Buffer, _digest: &Digest) -> Result<()> {
        Err(Error::failed("S3 makes this copy; nothing is written to it").at_block(index))
    }

    /// The copying itself, until everything is there.
    async fn complete(&self, desk: &Desk, written: &Linear) -> Result<()> {
        desk.hub.set_state(JobState::Running, "", None);
        let known = desk.known().await?;
        let work = Work::new(self, desk, known.copied.clone().unwrap_or_default());
        if let Some((item, parts, action)) = self.item() {
            work.one(&item, parts, action, written.blocks).await?;
        } else if let What::Tree { bucket, prefix, .. } = &self.what {
            let again = known.failed_in.is_some() || known.copied.as_ref().is_some_and(|copied| copied.failed > 0);
            work.tree(bucket, prefix, again).await?;
            desk.step(Step::Completing { blocks: written.blocks, checksum: None }).await?;
        }
        desk.hub.set_state(JobState::Completing, "", None);
        Ok(())
    }

    async fn check(&self, desk: &Desk, _written: &Linear) -> Result<Proof> {
        let known = desk.known().await?;
        let work = Work::new(self, desk, known.copied.unwrap_or_default());
        let (evidence, text) = match self.item() {
            Some((item, _, action)) => work.proved(&item, action, Some(known.checked)).await?,
            // Each object was compared when its turn was.
            None => work.said_of_tree(),
        };
        desk.say(self.address(), text, Tone::Info);
        Ok(evidence.into())
    }

    async fn discard(&self, desk: &Desk, known: &DestinationPicture) -> Result<()> {
        let work = Work::new(self, desk, Copied::default());
        for (key, upload) in &known.uploads {
            work.give_up(key, upload).await?;
        }
        Ok(())
    }
}

impl Work<'_> {
    /// What a prefix was compared by.
    fn said_of_tree(&self) -> (Evidence, String) {
        let all = self.tally();
        let counted = format!("{} objects copied, {} set, {} there already", all.copied, all.set, all.skipped);
        match self.sink.rules.verify {
            Verify::None => (Evidence::Claimed, format!("{counted}; none was looked at afterwards")),
            Verify::Listing => {
                let sure = self.weakest();
                let by = match sure {
                    Evidence::Service => "each compared with its source by size and checksum or ETag",
                    _ => "compared by size, and by checksum or ETag where both have one of a kind",
                };
                (sure, format!("{counted}; {by}"))
            }
            Verify::Checksum => (Evidence::Service, format!("{counted}; each compared by its checksum")),
            Verify::Full => (Evidence::ReRead, format!("{counted}; each read back and compared")),
        }
    }
}
