//! Blocks that wait for the rest of their piece: pure state behind a lock.
//!
//! Invariants: a piece is taken out once, by who brings its last block or the first block after it was listed to its
//! end; what is held is the memory of its blocks and nothing more, because zeros are not held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes as Buffer;

use crate::engine::blocks::lock;
use crate::ids::{BlockIndex, BlockRange};
use crate::plan::Layout;
use crate::units::Digest;

/// A piece whose blocks are all there.
#[derive(Debug)]
pub(super) struct Ready {
    pub piece: u32,
    pub blocks: BTreeMap<u32, (Buffer, Digest)>,
}

/// What is held, and what is being sent: a piece that comes a second time meanwhile (its page was listed again) waits,
/// because of two parts of the same number S3 keeps the one that came last, whose ETag may be another.
#[derive(Debug, Default)]
struct Pieces {
    held: BTreeMap<u32, Piece>,
    sending: BTreeSet<u32>,
}

#[derive(Debug, Default)]
struct Piece {
    blocks: BTreeMap<u32, (Buffer, Digest)>,
    /// How many there are of it, once it is listed to its end.
    expected: Option<u32>,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Next {
    /// This one can be sent.
    Send(Ready),
    /// It is to be asked how many blocks this piece has.
    Ask(u32, BlockRange),
    /// Nothing.
    Wait,
}

/// All pieces that are held.
#[derive(Debug)]
pub(super) struct Held {
    layout: Layout,
    pieces: Mutex<Pieces>,
    listed: AtomicU32,
}

/// A piece that is being sent; however that ends, it is not any more.
#[derive(Debug)]
pub(super) struct Sending<'a> {
    held: &'a Held,
    piece: u32,
}

impl Sending<'_> {
    /// S3 has it: what came of it meanwhile is not needed.
    pub(super) fn kept(&self) {
        let again = lock(&self.held.pieces).held.remove(&self.piece);
        drop(again);
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        lock(&self.held.pieces).sending.remove(&self.piece);
    }
}

impl Held {
    /// Nothing is held; the source is listed up to there.
    pub(super) fn new(layout: Layout, listed: u32) -> Self {
        Self { layout, pieces: Mutex::default(), listed: AtomicU32::new(listed) }
    }

    /// The source is listed up to there.
    pub(super) fn listed(&self, through: u32) {
        self.listed.fetch_max(through, Ordering::SeqCst);
    }

    /// Takes a block.
    pub(super) fn put(&self, index: BlockIndex, data: Buffer, digest: Digest) {
        let mut pieces = lock(&self.pieces);
        pieces.held.entry(self.layout.piece_of(index.0)).or_default().blocks.insert(index.0, (data, digest));
    }

    /// Whether this block is held, or on its way: a piece is sent with every block that it has.
    pub(super) fn has(&self, index: BlockIndex) -> bool {
        let piece = self.layout.piece_of(index.0);
        let pieces = lock(&self.pieces);
        let held = pieces.held.get(&piece).is_some_and(|piece| piece.blocks.contains_key(&index.0));
        held || pieces.sending.contains(&piece)
    }

    /// So many blocks are in a piece that is listed to its end.
    pub(super) fn expect(&self, piece: u32, blocks: u32) {
        if let Some(piece) = lock(&self.pieces).held.get_mut(&piece) {
            piece.expected = Some(blocks);
        }
    }

    /// The first piece that can be sent, or has to be asked about.
    pub(super) fn next(&self) -> Next {
        let listed = self.listed.load(Ordering::SeqCst);
        let mut pieces = lock(&self.pieces);
        let mut ready = None;
        for (number, piece) in pieces.held.iter().filter(|(number, _)| !pieces.sending.contains(number)) {
            let range = self.layout.blocks_in(*number);
            let most = piece.expected.unwrap_or_else(|| range.len());
            if piece.blocks.len() >= most as usize {
                ready = Some(*number);
                break;
            }
            if piece.expected.is_none() && range.end <= listed {
                return Next::Ask(*number, range);
            }
        }
        match ready.and_then(|number| Some((number, pieces.held.remove(&number)?))) {
            Some((piece, held)) => {
                pieces.sending.insert(piece);
                Next::Send(Ready { piece, blocks: held.blocks })
            }
            None => Next::Wait,
        }
    }

    /// Whoever was told to send a piece holds this while it does.
    pub(super) const fn sending(&self, piece: u32) -> Sending<'_> {
        Sending { held: self, piece }
    }

    /// Lets go of everything.
    pub(super) fn clear(&self) {
        let held = std::mem::take(&mut lock(&self.pieces).held);
        // Their memory goes back without the lock.
        drop(held);
    }

    /// Lets go of the last piece, unless it is the one of this block. While one is sent, its memory is about to come back,
    /// however slowly: then nothing is let go of, because it would be read, and paid for, again.
    pub(super) fn squeeze(&self, index: BlockIndex) -> bool {
        let kept = self.layout.piece_of(index.0);
        let mut pieces = lock(&self.pieces);
        if !pieces.sending.is_empty() {
            return false;
        }
        let last = pieces.held.keys().rev().copied().find(|piece| *piece != kept);
        let held = last.and_then(|last| pieces.held.remove(&last));
        drop(pieces);
        held.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Bytes, ZERO_BLOCK_SHA256};

    fn held() -> Held {
        Held::new(Layout { length: Bytes::mib(20), piece: 10, gathered: 1 }, 0)
    }

    fn put(held: &Held, index: u32) {
        held.put(BlockIndex(index), Buffer::new(), ZERO_BLOCK_SHA256);
    }

    fn sent(held: &Held) -> Option<(u32, Vec<u32>)> {
        match held.next() {
            Next::Send(ready) => Some((ready.piece, ready.blocks.keys().copied().collect())),
            _ => None,
        }
    }

    #[test]
    fn a_full_piece_is_sent_at_once_and_once() {
        let held = held();
        (0..10).rev().for_each(|index| put(&held, index));
        assert_eq!(sent(&held), Some((0, (0..10).collect())));
        let sending = held.sending(0);
        (0..10).for_each(|index| put(&held, index));
        assert!(matches!(held.next(), Next::Wait), "it is on its way");
        sending.kept();
        drop(sending);
        assert!(matches!(held.next(), Next::Wait));
    }

    #[test]
    fn what_is_held_or_on_its_way_is_not_asked_for_again() {
        let held = held();
        put(&held, 3);
        assert!(held.has(BlockIndex(3)) && !held.has(BlockIndex(4)) && !held.has(BlockIndex(13)));
        (0..10).for_each(|index| put(&held, index));
        assert!(sent(&held).is_some());
        assert!(held.has(BlockIndex(3)), "it is on its way");
        drop(held.sending(0));
        assert!(!held.has(BlockIndex(3)), "it was not sent: it is read again");
    }

    #[test]
    fn a_piece_with_gaps_waits_until_it_is_listed_to_its_end() {
        let held = held();
        put(&held, 3);
        put(&held, 12);
        assert!(matches!(held.next(), Next::Wait), "there may be more");
        held.listed(10);
        assert!(matches!(held.next(), Next::Ask(0, range) if range.end == 10));
        held.expect(0, 2);
        assert!(matches!(held.next(), Next::Wait), "one is on its way");
        put(&held, 3);
        assert!(matches!(held.next(), Next::Wait), "the same one does not count twice");
        put(&held, 7);
        assert_eq!(sent(&held), Some((0, vec![3, 7])));
    }

    #[test]
    fn what_is_let_go_of_is_the_last_and_never_its_own() {
        let held = held();
        put(&held, 3);
        put(&held, 12);
        put(&held, 25);
        assert!(held.squeeze(BlockIndex(26)));
        held.listed(40);
        assert!(matches!(held.next(), Next::Ask(0, _)));
        assert!(held.squeeze(BlockIndex(26)) && !held.squeeze(BlockIndex(26)));
        (0..10).for_each(|index| put(&held, index));
        put(&held, 12);
        assert!(sent(&held).is_some());
        assert!(!held.squeeze(BlockIndex(26)), "memory comes back when the first one is sent");
        drop(held.sending(0));
        assert!(held.squeeze(BlockIndex(26)));
    }
}
