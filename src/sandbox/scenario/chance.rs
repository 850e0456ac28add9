//! Everything that a scenario does not say, made up: ids, keys, words, sizes.
//!
//! Each thing is a function of the seed and of what it belongs to, never of the order in which things are made, so
//! adding a volume to a file changes no other id.

use crate::sandbox::synth::{mix, scaled};

/// Words for services and their volumes.
const WORDS: [&str; 24] = [
    "api", "auth", "billing", "cache", "catalog", "checkout", "events", "feed", "gateway", "images", "index", "ledger",
    "mail", "metrics", "orders", "payments", "queue", "reports", "search", "session", "stock", "stream", "users",
    "web",
];

/// A point in the tree of everything that is made up.
#[derive(Debug, Clone, Copy)]
pub struct Chance(u64);

impl Chance {
    /// The root.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed, 0))
    }

    /// The branch with this name.
    #[must_use]
    pub fn of(self, name: &str) -> Self {
        Self(name.bytes().fold(mix(self.0, 1), |bits, byte| mix(bits, u64::from(byte))))
    }

    /// The branch with this number.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        Self(mix(mix(self.0, 2), n))
    }

    /// 64 bits.
    pub fn bits(self) -> u64 {
        mix(self.0, 3)
    }

    /// A number below `below`.
    pub fn below(self, below: u64) -> u64 {
        scaled(self.bits(), below)
    }

    /// One of them.
    pub fn pick<T: Copy>(self, all: &[T]) -> Option<T> {
        all.get(usize::try_from(self.below(all.len() as u64)).unwrap_or(0)).copied()
    }

    /// A word.
    pub fn word(self) -> &'static str {
        self.pick(&WORDS).unwrap_or("web")
    }

    /// `prefix-0` and 16 hex digits: EC2's long ids begin with a zero, too.
    pub fn id(self, prefix: &str) -> String {
        format!("{prefix}-0{:016x}", self.bits())
    }

    /// A UUID's 36 characters.
    pub fn uuid(self) -> String {
        let (a, b) = (self.nth(0).bits(), self.nth(1).bits());
        let (time, mid, high) = (a >> 32, (a >> 16) & 0xffff, a & 0xfff);
        format!("{time:08x}-{mid:04x}-4{high:03x}-{:04x}-{:012x}", 0x8000 | ((b >> 48) & 0x3fff), b & 0xffff_ffff_ffff)
    }

    /// `len` characters of an access key's alphabet.
    pub fn letters(self, alphabet: &[u8], len: u64) -> String {
        (0..len).map(|n| char::from(self.nth(n).pick(alphabet).unwrap_or(b'A'))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_up_is_well_formed_and_does_not_move() {
        let chance = Chance::new(7).of("prod@us-east-1").of("web-root");
        assert_eq!(chance.id("snap"), Chance::new(7).of("prod@us-east-1").of("web-root").id("snap"));
        assert_ne!(chance.id("snap"), Chance::new(8).of("prod@us-east-1").of("web-root").id("snap"));
        assert_ne!(chance.nth(1).id("snap"), chance.nth(2).id("snap"));
        assert!(chance.id("snap").parse::<crate::ids::SnapshotId>().is_ok());
        let parsed: uuid::Uuid = chance.uuid().parse().unwrap();
        assert_eq!(parsed.get_version_num(), 4, "{parsed}");
        assert!((0..1000).all(|n| chance.nth(n).below(3) < 3));
    }
}
