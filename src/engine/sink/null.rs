//! Nowhere: everything is read and checked, nothing is kept.

use async_trait::async_trait;
use bytes::Bytes as Buffer;

use super::{Desk, Opened, Sink};
use crate::engine::journal::{DestinationPicture, Step};
use crate::engine::ledger::Linear;
use crate::engine::proof::Proof;
use crate::engine::protocol::{DestinationState, Evidence};
use crate::error::Result;
use crate::ids::BlockIndex;
use crate::units::Digest;

/// `null:`.
#[derive(Debug)]
pub(in crate::engine) struct NullSink;

#[async_trait]
impl Sink for NullSink {
    fn address(&self) -> String {
        "null:".to_owned()
    }

    async fn open(&self, desk: &Desk, known: &DestinationPicture) -> Result<Opened> {
        if matches!(known.state, DestinationState::Completing | DestinationState::Checking) {
            return Ok(Opened::Completing);
        }
        if known.attempt == 0 {
            desk.step(Step::Starting { attempt: 1, client_token: desk.client_token("null", 1) }).await?;
        }
        desk.step(Step::Writing).await?;
        Ok(Opened::Ready)
    }

    fn keeps(&self) -> bool {
        false
    }

    async fn write(&self, _index: BlockIndex, _data: Buffer, _digest: &Digest) -> Result<()> {
        Ok(())
    }

    async fn complete(&self, desk: &Desk, written: &Linear) -> Result<()> {
        desk.step(Step::Completing { blocks: written.blocks, checksum: Some(written.checksum) }).await
    }

    async fn check(&self, _desk: &Desk, _written: &Linear) -> Result<Proof> {
        // Every block was compared with the checksum that came with it.
        Ok(Evidence::Service.into())
    }

    async fn discard(&self, _desk: &Desk, _known: &DestinationPicture) -> Result<()> {
        Ok(())
    }
}
