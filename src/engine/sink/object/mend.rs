//! What an earlier run left, made true again: a piece that S3 has is done whole, any other is not done at all.

use std::collections::BTreeSet;

use super::records::Of;
use super::{ObjectSink, Open};
use crate::engine::call::retried;
use crate::engine::sink::Desk;
use crate::error::Result;
use crate::ids::BlockIndex;

/// Digests that are taken from the ledger at a time.
const BATCH: usize = 512;

impl ObjectSink {
    /// Compares what is written down with the ledger and with S3; what does not agree is written again.
    pub(super) async fn mend(&self, desk: &Desk, open: &Open, resumed: bool, fresh: bool) -> Result<()> {
        let known = match open.records.upload(Of::Whole)? {
            None => false,
            Some(id) => retried!(desk.caller.control(), self.s3().has_upload(self.bucket(), self.key(), &id))?,
        };
        if !known {
            if resumed {
                self.say(desk, "S3 does not know its upload any more; everything is written again");
            }
            self.give_up_uploads(desk, &open.records).await?;
            open.records.clear(&self.owner(desk.dest))?;
            return desk.keeper.clear(desk.dest).await;
        }
        if fresh {
            return desk.keeper.clear(desk.dest).await;
        }
        self.agree(desk, open).await
    }

    /// Walks through ledger and records side by side.
    async fn agree(&self, desk: &Desk, open: &Open) -> Result<()> {
        // What S3 acknowledged a moment ago and nobody has written down yet counts.
        desk.keeper.commit().await?;
        let mut mend = Mend { sink: self, desk, open, lost: BTreeSet::new(), again: 0 };
        let (mut from, mut piece, mut done) = (BlockIndex(0), 0, 0);
        loop {
            let known = desk.keeper.digests(desk.dest, from, BATCH).await?;
            for (index, _) in &known {
                let of = self.layout.piece_of(index.0);
                while piece < of {
                    mend.piece(piece, done).await?;
                    (piece, done) = (piece + 1, 0);
                }
                done += 1;
            }
            match known.last() {
                Some(last) => from = BlockIndex(last.0.0 + 1),
                None => break,
            }
        }
        while piece < self.layout.pieces() {
            mend.piece(piece, done).await?;
            (piece, done) = (piece + 1, 0);
        }
        mend.parts().await?;
        if mend.again > 0 {
            open.records.sync()?;
            self.say(desk, &format!("{} parts of which not everything was written down are sent again", mend.again));
        }
        Ok(())
    }
}

/// One walk.
struct Mend<'a> {
    sink: &'a ObjectSink,
    desk: &'a Desk,
    open: &'a Open,
    /// Parts that are lost whole: their own upload is over, and they are not in the object.
    lost: BTreeSet<u32>,
    again: u32,
}

impl Mend<'_> {
    /// A piece of which records and ledger say different things is forgotten.
    async fn piece(&mut self, piece: u32, done: u32) -> Result<()> {
        let (of, _) = self.sink.place_of(piece);
        let is_over = of != Of::Whole && self.open.records.upload(of)?.is_none();
        let is_in = match of {
            Of::Part(part) if is_over => self.open.records.part(part)?.is_some(),
            _ => true,
        };
        let kept = self.open.records.piece(piece)?;
        if kept.as_ref().map_or(done == 0, |kept| is_in && kept.blocks == done) {
            return Ok(());
        }
        match of {
            Of::Part(part) if is_over => drop(self.lost.insert(part)),
            _ => self.forget(piece).await?,
        }
        Ok(())
    }

    async fn parts(&mut self) -> Result<()> {
        for part in std::mem::take(&mut self.lost) {
            self.open.records.set_part(part, None)?;
            for piece in self.sink.layout.pieces_in(part) {
                self.forget(piece).await?;
            }
        }
        Ok(())
    }

    async fn forget(&mut self, piece: u32) -> Result<()> {
        self.again += 1;
        self.open.records.set_piece(piece, None)?;
        self.desk.keeper.clear_in(self.desk.dest, self.sink.layout.blocks_in(piece)).await
    }
}
