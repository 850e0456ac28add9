//! A source that can change, read again after a resume: what earlier runs read of it is what it is now.
//!
//! Invariant: it is read as destinations are read back, with the job's lanes, memory and bytes a second, and it is
//! `Run::finish_each` that asks, before any destination is completed.

use std::sync::Arc;

use super::course::Course;
use super::read::Reader;
use crate::engine::sink::Desk;
use crate::engine::source::{Content, Entry, Source};
use crate::error::{Error, Result};
use crate::ids::BlockIndex;
use crate::units::Blocks;

/// Blocks looked up in the ledger at a time: half a GiB of the source.
const RUN: usize = 1024;

/// Compares what the ledger says of the desk's destination with what the source holds now.
///
/// # Errors
/// The first block that differs; or as the reads failed.
pub(in crate::engine) async fn source_again(desk: &Desk, source: &Arc<dyn Source>) -> Result<()> {
    let reader = Reader {
        desk,
        source: Arc::clone(source),
        routes: source.routes(&desk.caller),
        length: Blocks(u64::from(source.blocks())).bytes(),
    };
    let mut course = Course::unsaved(desk);
    loop {
        let known = desk.keeper.digests(desk.dest, BlockIndex(course.through()), RUN).await?;
        if known.is_empty() {
            return Ok(());
        }
        let entry = |(index, digest)| (Entry { index, content: Content::File }, digest);
        reader.compare(known.into_iter().map(entry).collect(), &mut course, changed).await?;
    }
}

fn changed(index: BlockIndex) -> Error {
    Error::failed("the source changed between two runs of this job")
        .at_block(index)
        .todo("copy it again from the start, or copy a snapshot of it")
}
