//! A source that AWS copies itself and that is no single disk: nobody reads it here.

use async_trait::async_trait;

use super::{Entry, Page, Routes, Source};
use crate::engine::blocks::{Pool, Room};
use crate::engine::call::Caller;
use crate::error::{Error, Result};
use crate::units::Digest;

/// An image of several snapshots: it has no blocks of its own.
#[derive(Debug)]
pub(in crate::engine) struct UnreadSource;

#[async_trait]
impl Source for UnreadSource {
    fn blocks(&self) -> u32 {
        0
    }

    async fn page(&self, from: u32, _token: Option<&str>, _max: u16) -> Result<Page> {
        Ok(Page { entries: Vec::new(), through: from, next: None })
    }

    async fn read(&self, entry: &Entry, _pool: &Pool, _into: &mut Room) -> Result<Digest> {
        Err(Error::failed("an image of several snapshots is not read as one disk").at_block(entry.index))
    }

    async fn unchanged(&self) -> Result<()> {
        Ok(())
    }

    fn is_mutable(&self) -> bool {
        false
    }

    fn routes(&self, _caller: &Caller) -> Option<Routes> {
        None
    }
}
