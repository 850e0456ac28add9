//! SHA-256 of a whole image, whose state can be written down and gone on with after a crash.
//!
//! Invariant: [`ImageHash::finish`] is what `sha256sum` says of the same bytes. The library compresses, this keeps the
//! eight words, the length and the padding.

use sha2::compress256;
use sha2::digest::generic_array::GenericArray;

use crate::units::{Bytes, Digest};

/// Bytes that are compressed together.
const UNIT: usize = 64;
/// What every SHA-256 begins with.
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A SHA-256 on its way.
#[derive(Debug, Clone)]
pub(in crate::engine) struct ImageHash {
    words: [u32; 8],
    length: u64,
    /// What does not fill a unit yet.
    tail: Vec<u8>,
}

impl ImageHash {
    /// Of nothing yet.
    pub(in crate::engine) const fn new() -> Self {
        Self { words: START, length: 0, tail: Vec::new() }
    }

    /// Goes on where [`Self::state`] was taken, after so many bytes.
    pub(in crate::engine) fn resumed(state: &Digest, length: Bytes) -> Self {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(state.0.chunks_exact(4)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        Self { words, length: length.0, tail: Vec::new() }
    }

    /// The next bytes.
    pub(in crate::engine) fn update(&mut self, mut data: &[u8]) {
        self.length += data.len() as u64;
        if !self.tail.is_empty() {
            let (fill, rest) = data.split_at(data.len().min(UNIT - self.tail.len()));
            self.tail.extend_from_slice(fill);
            data = rest;
            if self.tail.len() < UNIT {
                return;
            }
            let unit = std::mem::take(&mut self.tail);
            self.compress(&unit);
        }
        let whole = data.len() / UNIT * UNIT;
        self.compress(&data[..whole]);
        self.tail.extend_from_slice(&data[whole..]);
    }

    fn compress(&mut self, units: &[u8]) {
        for unit in units.chunks_exact(UNIT) {
            compress256(&mut self.words, std::slice::from_ref(GenericArray::from_slice(unit)));
        }
    }

    /// What [`Self::resumed`] needs beside the length; `None` in the middle of a unit.
    pub(in crate::engine) fn state(&self) -> Option<Digest> {
        self.tail.is_empty().then(|| self.bytes())
    }

    /// The digest of everything.
    pub(in crate::engine) fn finish(mut self) -> Digest {
        let bits = self.length * 8;
        let mut last = std::mem::take(&mut self.tail);
        last.push(0x80);
        last.resize((last.len() + 8).next_multiple_of(UNIT) - 8, 0);
        last.extend_from_slice(&bits.to_be_bytes());
        self.compress(&last);
        self.bytes()
    }

    fn bytes(&self) -> Digest {
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(self.words) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        Digest(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_sha_256_however_it_is_cut_and_gone_on_with(
            data in proptest::collection::vec(any::<u8>(), 0..700),
            cuts in proptest::collection::vec(0usize..700, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(data.len())).collect();
            cuts.sort_unstable();
            let (mut hash, mut at) = (ImageHash::new(), 0);
            for cut in cuts {
                hash.update(&data[at..cut]);
                at = cut;
                if let Some(state) = hash.state() {
                    hash = ImageHash::resumed(&state, Bytes(at as u64));
                }
            }
            hash.update(&data[at..]);
            prop_assert_eq!(hash.finish(), Digest::of(&data), "aws-lc says so");
        }
    }

    #[test]
    fn in_the_middle_of_a_unit_there_is_no_state_to_go_on_with() {
        let mut hash = ImageHash::new();
        assert!(hash.state().is_some());
        hash.update(&[1; 65]);
        assert_eq!(hash.state(), None);
        hash.update(&[1; 63]);
        assert!(hash.state().is_some());
    }
}
