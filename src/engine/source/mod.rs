//! Where blocks come from: one small trait, listed in pages and read block by block.
//!
//! Invariant: a page covers every index from where it was asked up to [`Page::through`], so that listing can
//! start again anywhere; a read returns the digest of exactly what it put into the buffer. Called by the
//! lister (pages) and the lanes (blocks) of one job.

mod archive;
mod delta;
mod file;
mod fsp;
mod object;
mod parents;
mod served;
mod snapshot;
mod unpack;
mod unread;

use std::sync::Arc;

use async_trait::async_trait;

pub(super) use self::archive::{ArchiveSource, Stored};
pub(super) use self::delta::DeltaSource;
pub use self::file::pin as pin_file;
pub(super) use self::file::{FileSource, Holes};
pub(super) use self::fsp::FspSource;
pub(super) use self::object::ObjectSource;
pub(super) use self::parents::{Parents, onto_parents};
pub(super) use self::served::ServedSource;
pub(super) use self::snapshot::SnapshotSource;
pub(super) use self::unread::UnreadSource;
use super::blocks::{Pool, Room};
use super::call::{Caller, Route};
use crate::error::Result;
use crate::ids::BlockIndex;
use crate::inventory::archives::Asked;
use crate::units::{Bytes, Digest};

/// One listed block.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its index.
    pub index: BlockIndex,
    /// How it is read.
    pub content: Content,
}

/// How a listed block is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// By asking the service with this token.
    Token(Box<str>),
    /// By reading the file.
    File,
    /// By asking for its frame in an object of an archive.
    Stored(Box<Stored>),
    /// Not at all: a hole, or a block that is gone; all zeros.
    Hole,
}

/// What one listing call found.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// Ascending, at or after where it was asked, with nothing in between left out.
    pub entries: Vec<Entry>,
    /// Everything below this index is covered by this page and the ones before it.
    pub through: u32,
    /// The next page of the same listing; `None` at its end, and always for files.
    pub next: Option<String>,
}

/// The routes of a remote source.
#[derive(Debug, Clone)]
pub(super) struct Routes {
    pub list: Arc<Route>,
    pub get: Arc<Route>,
}

/// Something that can be read block by block.
#[async_trait]
pub(super) trait Source: std::fmt::Debug + Send + Sync {
    /// How many block indexes it has.
    fn blocks(&self) -> u32;

    /// Blocks from `from` on, at most `max`; `token` goes on with a listing.
    ///
    /// # Errors
    /// As classified; [`crate::error::Class::StalePage`] when the token is no longer accepted.
    async fn page(&self, from: u32, token: Option<&str>, max: u16) -> Result<Page>;

    /// Reads one block into `into`, which is [`crate::units::BLOCK_BYTES`] long afterwards. An empty `into` gets
    /// its memory from `pool`, not before the block arrives.
    ///
    /// # Errors
    /// As classified; [`crate::error::Class::StaleToken`] when its page has to be listed again.
    async fn read(&self, entry: &Entry, pool: &Pool, into: &mut Room) -> Result<Digest>;

    /// Whether it is still what the plan pinned; says what changed.
    ///
    /// # Errors
    /// A change, or a source that went away.
    async fn unchanged(&self) -> Result<()>;

    /// What changed since the plan was made, where that was allowed: it labels the result.
    fn changed(&self) -> Option<String> {
        None
    }

    /// What it keeps in memory all the time it is read from.
    fn keeps(&self) -> Bytes {
        Bytes::ZERO
    }

    /// Whether what was read before a resume has to be read and compared again before a destination is
    /// completed: true for whatever can change under us.
    fn is_mutable(&self) -> bool;

    /// Whether a page of it is asked for from the service; else its pages are made here, and are no requests.
    fn is_listed_remotely(&self) -> bool {
        true
    }

    /// Where it counts its requests, when not each page and each block is one; the meter takes them from there.
    fn asked(&self) -> Option<&Asked> {
        None
    }

    /// The routes of its listings and of its gets. `None` for what is on this machine.
    fn routes(&self, caller: &Caller) -> Option<Routes>;
}
