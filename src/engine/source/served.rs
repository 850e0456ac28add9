//! A source that nobody reads here: the service copies it itself.
//!
//! It has one index, so that the ledger of its job is as small as a ledger is; nothing is ever listed or read of it. What
//! pins it is said with every copy (`engine/sink/copied`).

use async_trait::async_trait;

use super::{Entry, Page, Routes, Source};
use crate::engine::blocks::{Pool, Room};
use crate::engine::call::Caller;
use crate::error::{Error, Result};
use crate::units::Digest;

/// Nothing that passes us.
#[derive(Debug)]
pub(in crate::engine) struct ServedSource;

#[async_trait]
impl Source for ServedSource {
    fn blocks(&self) -> u32 {
        1
    }

    async fn page(&self, _from: u32, _token: Option<&str>, _max: u16) -> Result<Page> {
        Err(Error::failed("the service copies it itself; nothing of it is listed here"))
    }

    async fn read(&self, entry: &Entry, _pool: &Pool, _into: &mut Room) -> Result<Digest> {
        Err(Error::failed("the service copies it itself; nothing of it is read here").at_block(entry.index))
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
