//! A file read back: what was written to it is there, and of a whole one everything else reads as zeros.
//!
//! Invariant: what is compared is one state of one file. Where it stood is kept with what `stat` says of it; another
//! file, or one that was written to, is read from its start, and a change meanwhile is an error.

use std::path::PathBuf;
use std::sync::Arc;

use super::course::Course;
use super::read::{Reader, Wanted};
use crate::engine::journal::Checked;
use crate::engine::listing::Listing;
use crate::engine::sink::Desk;
use crate::engine::source::{Content, Entry, FileSource, Holes, Source, pin_file};
use crate::error::{Error, Result};
use crate::ids::BlockIndex;
use crate::plan::SourceKind;
use crate::units::{Blocks, Bytes, Digest, ZERO_BLOCK_SHA256};

/// Blocks looked up in the ledger at a time: 128 MiB.
const RUN: u16 = 256;

/// A file, as it is read.
#[derive(Debug)]
pub(in crate::engine) struct Whole<'a> {
    pub desk: &'a Desk,
    pub path: PathBuf,
    /// The exact length that it has.
    pub length: Bytes,
}

/// An open file, and which one that is.
struct Opened {
    source: Arc<dyn Source>,
    which: String,
}

impl Whole<'_> {
    /// Compares what was written; nobody writes down how far it is.
    ///
    /// # Errors
    /// The first block that differs; or the disk failed.
    pub(in crate::engine) async fn compare(&self) -> Result<()> {
        let opened = self.open().await?;
        let mut course = Course::unsaved(self.desk);
        self.written(&opened, &mut course).await
    }

    /// The same, so that a resume goes on where it was.
    ///
    /// # Errors
    /// The first block that differs; it was changed meanwhile; or the disk failed.
    pub(in crate::engine) async fn prove(&self, written: Blocks) -> Result<()> {
        let opened = self.open().await?;
        let from = self.from(&opened, |_| true).await?;
        let mut course = Course::goes_on(self.desk, from, written);
        self.written(&opened, &mut course).await?;
        self.is_still(&opened).await
    }

    /// Reads all of it in order, holes included: what was written is there, the rest is zeros.
    ///
    /// # Errors
    /// As [`Self::prove`].
    pub(in crate::engine) async fn prove_all(&self) -> Result<Option<Digest>> {
        let opened = self.open().await?;
        let from = self.from(&opened, |known| known.image.is_some()).await?;
        let source = &opened.source;
        let mut course = Course::hashes(self.desk, from, Blocks(u64::from(source.blocks())));
        let mut listing = Listing::new(&**source, None, course.through());
        while !listing.is_over() {
            let from = listing.through();
            let page = listing.next(RUN).await?;
            let known = self.desk.keeper.digests(self.desk.dest, BlockIndex(from), page.entries.len()).await?;
            let mut known = known.into_iter().peekable();
            let digest_of = |entry: Entry| {
                let written = known.next_if(|(index, _)| *index == entry.index);
                (entry, written.map_or(ZERO_BLOCK_SHA256, |(_, digest)| digest))
            };
            let wanted: Vec<Wanted> = page.entries.into_iter().map(digest_of).collect();
            self.reader(&opened).compare(wanted, &mut course, |index| self.differs(index)).await?;
        }
        self.is_still(&opened).await?;
        Ok(course.image())
    }

    /// Compares what was written from where the course is.
    async fn written(&self, opened: &Opened, course: &mut Course<'_>) -> Result<()> {
        loop {
            let from = BlockIndex(course.through());
            let known = self.desk.keeper.digests(self.desk.dest, from, usize::from(RUN)).await?;
            if known.is_empty() {
                return Ok(());
            }
            let entry = |(index, digest)| (Entry { index, content: Content::File }, digest);
            let wanted = known.into_iter().map(entry).collect();
            self.reader(opened).compare(wanted, course, |index| self.differs(index)).await?;
        }
    }

    fn reader(&self, opened: &Opened) -> Reader<'_> {
        Reader { desk: self.desk, source: Arc::clone(&opened.source), routes: None, length: self.length }
    }

    async fn open(&self) -> Result<Opened> {
        let (path, length) = (self.path.clone(), self.length);
        let opened = tokio::task::spawn_blocking(move || {
            let pinned = pin_file(&path)?;
            // Its changes are looked for at the end, where they are told as what they are.
            let source = FileSource::open(&pinned, Holes::Listed, true)?.upto(length);
            Ok(Opened { source: Arc::new(source), which: which(&pinned) })
        });
        opened.await.map_err(|e| Error::failed(format!("work on {}: {e}", self.path.display())))?
    }

    /// Where an earlier run was, when it read this very file and `enough` is known of it.
    async fn from(&self, opened: &Opened, enough: impl Fn(&Checked) -> bool) -> Result<Checked> {
        let known = self.desk.known().await?.checked;
        let same = known.file.as_ref() == Some(&opened.which) && enough(&known);
        Ok(if same { known } else { Checked { file: Some(opened.which.clone()), ..Checked::default() } })
    }

    async fn is_still(&self, opened: &Opened) -> Result<()> {
        if self.open().await?.which == opened.which {
            return Ok(());
        }
        Err(Error::failed(format!("{} was changed while it was read back", self.path.display()))
            .todo("copy again, and let nothing write to the file meanwhile"))
    }

    fn differs(&self, index: BlockIndex) -> Error {
        Error::failed(format!("{} does not hold what was written to it", self.path.display()))
            .at_block(index)
            .todo("check this disk, then copy again")
    }
}

fn which(pinned: &SourceKind) -> String {
    match pinned {
        SourceKind::File { device, inode, length, mtime_ns, ctime_ns, .. } => {
            format!("{device}:{inode}:{}:{mtime_ns}:{ctime_ns}", length.0)
        }
        _ => String::new(),
    }
}
