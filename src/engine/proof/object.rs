//! An object read back, by ranges: what was written to it is there.
//!
//! Invariant: every read asks for the ETag of the object that was proved to be this job's, so what is compared is one
//! object. Zeros between the blocks are not read where S3 accepted a checksum, which was computed over them as well.

use std::sync::Arc;

use super::course::Course;
use super::read::Reader;
use crate::aws::{Root, Session};
use crate::engine::journal::Checked;
use crate::engine::sink::Desk;
use crate::engine::source::{Content, Entry, ObjectSource, Source};
use crate::error::{Error, Result};
use crate::ids::BlockIndex;
use crate::units::{Blocks, Bytes, Digest, ZERO_BLOCK_SHA256};

/// Blocks looked up in the ledger at a time: 128 MiB.
const RUN: usize = 256;

/// An object, as it is read.
#[derive(Debug)]
pub(in crate::engine) struct Image<'a> {
    pub desk: &'a Desk,
    pub session: Session,
    /// Bucket and key.
    pub root: Root,
    pub etag: String,
    pub length: Bytes,
    /// Whether what was never written has to be read as well, and be zeros.
    pub zeros: bool,
}

impl Image<'_> {
    /// Compares what was written, so that a resume goes on where it was.
    ///
    /// # Errors
    /// The first block that differs; it was replaced meanwhile; or as classified.
    pub(in crate::engine) async fn prove(&self, written: Blocks) -> Result<()> {
        let Root { bucket, prefix } = &self.root;
        let source = ObjectSource::new(self.session.clone(), (bucket, prefix), &self.etag, None, self.length);
        let source: Arc<dyn Source> = Arc::new(source);
        let routes = source.routes(&self.desk.caller);
        routes.iter().for_each(|routes| routes.get.begin());
        let known = self.desk.known().await?.checked;
        let from = match known.file.as_deref() == Some(&*self.etag) {
            true => known,
            false => Checked { file: Some(self.etag.clone()), ..Checked::default() },
        };
        let of = if self.zeros { self.length.blocks() } else { written };
        let mut course = Course::goes_on(self.desk, from, of);
        let reader = Reader { desk: self.desk, source, routes, length: self.length };
        loop {
            let known = self.desk.keeper.digests(self.desk.dest, BlockIndex(course.through()), RUN).await?;
            let known = if self.zeros { self.and_zeros(&known, course.through()) } else { known };
            if known.is_empty() {
                return Ok(());
            }
            let entry = |(index, digest)| (Entry { index, content: Content::File }, digest);
            let wanted = known.into_iter().map(entry).collect();
            reader.compare(wanted, &mut course, |index| self.differs(index)).await?;
        }
    }

    /// The next blocks from `from` on, whether they were written or not: what was not holds zeros.
    fn and_zeros(&self, known: &[(BlockIndex, Digest)], from: u32) -> Vec<(BlockIndex, Digest)> {
        let end = u32::try_from(self.length.blocks().0).unwrap_or(u32::MAX);
        let through = end.min(from.saturating_add(u32::try_from(RUN).unwrap_or(u32::MAX)));
        let mut written = known.iter().peekable();
        (from..through)
            .map(|index| match written.next_if(|(known, _)| known.0 == index) {
                Some(known) => *known,
                None => (BlockIndex(index), ZERO_BLOCK_SHA256),
            })
            .collect()
    }

    fn differs(&self, index: BlockIndex) -> Error {
        Error::failed(format!("{} reads back other than it was written", self.root.resource()))
            .in_region(self.session.region())
            .at_block(index)
            .todo("do not use this object; copy again")
    }
}
