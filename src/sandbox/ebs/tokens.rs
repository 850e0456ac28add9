//! Block tokens and page tokens: what they name, sealed.
//!
//! A token belongs to one account, one snapshot, one index (or one listing) and one time; nothing of that is
//! remembered, it all stands in the token and in its seal. The seal keeps honest clients honest, which is all that a
//! sandbox needs: it is a fast mix, not cryptography. The sort of a token is part of it, so one never passes as another.

use crate::sandbox::synth::mix;

/// Bytes of a token before base64: 60 characters, the length that AWS's have.
const RAW: usize = 45;

/// What a block token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The block, or the next index of a page.
    pub index: u32,
    /// Until when it is good, in milliseconds.
    pub expires_ms: i64,
    /// The listing that gave it, or the number of the page.
    pub generation: u32,
}

/// Whom and what a token belongs to, folded into a number: made once per listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(u64);

impl Owner {
    /// Of a block token.
    #[must_use]
    pub fn block(account: &str, region: &str, snapshot: &str) -> Self {
        Self::fold(["block", account, region, snapshot])
    }
    /// Of a page token: `first` is empty for ListSnapshotBlocks.
    #[must_use]
    pub fn page(account: &str, region: &str, snapshot: &str, first: &str) -> Self {
        Self::fold(["page", account, region, &format!("{snapshot}..{first}")])
    }

    fn fold(parts: [&str; 4]) -> Self {
        let mut hash = 0xF10E_5EA1;
        for part in parts {
            hash = part.bytes().fold(mix(hash, part.len() as u64), |hash, byte| mix(hash, u64::from(byte)));
        }
        Self(hash)
    }
}

impl Token {
    /// Seals it for `owner`, appending 60 characters to `out`.
    pub fn seal_into(&self, owner: Owner, out: &mut String) {
        let raw = self.raw(owner);
        base64_simd::STANDARD.encode_append(raw, out);
    }

    /// Seals it for `owner`.
    #[must_use]
    pub fn seal(&self, owner: Owner) -> String {
        let mut out = String::with_capacity(60);
        self.seal_into(owner, &mut out);
        out
    }

    fn raw(&self, owner: Owner) -> [u8; RAW] {
        let mut raw = [0; RAW];
        raw[0..5].copy_from_slice(&[0, 1, 1, 1, 0]);
        raw[5..9].copy_from_slice(&self.index.to_be_bytes());
        raw[9..17].copy_from_slice(&self.expires_ms.to_be_bytes());
        raw[17..21].copy_from_slice(&self.generation.to_be_bytes());
        let (first, second) = raw[5..21].split_at(8);
        let word = |bytes: &[u8]| bytes.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        let mut seal = mix(mix(owner.0, word(first)), word(second));
        for part in raw[21..].chunks_mut(8) {
            seal = mix(seal, 7);
            part.copy_from_slice(&seal.to_be_bytes()[..part.len()]);
        }
        raw
    }

    /// Reads a token, if it is one and belongs to `owner`. Its expiry is for the caller to judge.
    #[must_use]
    pub fn open(text: &str, owner: Owner) -> Option<Self> {
        let raw: [u8; RAW] = base64_simd::STANDARD.decode_to_vec(text).ok()?.try_into().ok()?;
        let token = Self {
            index: u32::from_be_bytes(raw[5..9].try_into().ok()?),
            expires_ms: i64::from_be_bytes(raw[9..17].try_into().ok()?),
            generation: u32::from_be_bytes(raw[17..21].try_into().ok()?),
        };
        (token.raw(owner) == raw).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_only_for_whom_it_was_sealed() {
        let owner = Owner::block("111122223333", "eu-west-1", "snap-0abc1234");
        let token = Token { index: 6002, expires_ms: 1_800_000_000_123, generation: 3 };
        let text = token.seal(owner);
        assert_eq!(text.len(), 60);
        assert_eq!(Token::open(&text, owner), Some(token));
        for other in [
            Owner::block("444455556666", "eu-west-1", "snap-0abc1234"),
            Owner::block("111122223333", "eu-west-2", "snap-0abc1234"),
            Owner::block("111122223333", "eu-west-1", "snap-0abc1235"),
            Owner::page("111122223333", "eu-west-1", "snap-0abc1234", ""),
        ] {
            assert_eq!(Token::open(&text, other), None);
        }
        assert_eq!(Token::open("AAAA", owner), None);
        assert_eq!(Token::open("not base64!", owner), None);
    }
}
