//! An object read back, by ranges: what was written to it is there.
//!
//! Invariant: every read asks for the ETag of the object that was proved to be this job's, so what is compared is one
//! object. Zeros between the blocks are not read: the checksum that S3 accepted was computed over them as well.

use std::sync::Arc;

use super::course::Course;
use super::read::Reader;
use crate::aws::{Root, Session};
use crate::engine::journal::Checked;
use crate::engine::sink::Desk;
use crate::engine::source::{Content, Entry, ObjectSource, Source};
use crate::error::{Error, Result};
use crate::ids::BlockIndex;
use crate::units::{Blocks, Bytes};

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
}

impl Image<'_> {
    /// Compares what was written, so that a resume goes on where it was.
    ///
    /// # Errors
    /// The first block that differs; it was replaced meanwhile; or as classified.
    pub(in crate::engine) async fn prove(&self, written: Blocks) -> Result<()> {
        let Root { bucket, prefix } = &self.root;
        let source = ObjectSource::new(self.session.clone(), bucket, prefix, &self.etag, self.length);
        let source: Arc<dyn Source> = Arc::new(source);
        let routes = source.routes(&self.desk.caller);
        routes.iter().for_each(|routes| routes.get.begin());
        let known = self.desk.known().await?.checked;
        let from = match known.file.as_deref() == Some(&*self.etag) {
            true => known,
            false => Checked { file: Some(self.etag.clone()), ..Checked::default() },
        };
        let mut course = Course::goes_on(self.desk, from, written);
        let reader = Reader { desk: self.desk, source, routes, length: self.length };
        loop {
            let known = self.desk.keeper.digests(self.desk.dest, BlockIndex(course.through()), RUN).await?;
            if known.is_empty() {
                return Ok(());
            }
            let entry = |(index, digest)| (Entry { index, content: Content::File }, digest);
            let wanted = known.into_iter().map(entry).collect();
            reader.compare(wanted, &mut course, |index| self.differs(index)).await?;
        }
    }

    fn differs(&self, index: BlockIndex) -> Error {
        Error::failed(format!("{} reads back other than it was written", self.root.resource()))
            .in_region(self.session.region())
            .at_block(index)
            .todo("do not use this object; copy again")
    }
}
