//! Numbers and texts out of bytes that may be anything: each look-up answers `None` where the bytes end.

use jiff::Timestamp;

/// Bytes as they came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a>(pub &'a [u8]);

impl<'a> Raw<'a> {
    pub(super) fn part(self, at: usize, length: usize) -> Option<&'a [u8]> {
        self.0.get(at..at.checked_add(length)?)
    }

    pub(super) fn from(self, at: usize) -> Raw<'a> {
        Raw(self.0.get(at..).unwrap_or_default())
    }

    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.part(at, N)?.try_into().ok()
    }

    pub(super) fn u8(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }
    pub(super) fn u16(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }
    pub(super) fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }
    pub(super) fn u64(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }
    pub(super) fn u16_be(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }
    pub(super) fn u32_be(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }
    pub(super) fn u64_be(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_be_bytes)
    }

    pub(super) fn is(self, at: usize, what: &[u8]) -> bool {
        self.part(at, what.len()) == Some(what)
    }

    pub(super) fn has(self, what: &[u8]) -> bool {
        self.0.windows(what.len().max(1)).any(|window| window == what)
    }

    /// A text that ends at a zero or with its field; none when it is empty.
    pub(super) fn text(self, at: usize, length: usize) -> Option<String> {
        let bytes = self.part(at, length)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        printable(&String::from_utf8_lossy(&bytes[..end]))
    }

    /// A text of `units` UTF-16 characters, as Windows and GPT write them.
    pub(super) fn wide(self, at: usize, units: usize) -> Option<String> {
        let bytes = self.part(at, units.checked_mul(2)?)?;
        let units = bytes.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).take_while(|unit| *unit != 0);
        printable(&char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>())
    }

    /// A UUID in the order in which it is written.
    pub(super) fn uuid(self, at: usize) -> Option<String> {
        let bytes: [u8; 16] = self.array(at)?;
        (bytes != [0; 16]).then(|| uuid::Uuid::from_bytes(bytes).to_string())
    }

    /// A GUID as Microsoft mixes it: the first three numbers little-endian.
    pub(super) fn guid(self, at: usize) -> Option<String> {
        let bytes: [u8; 16] = self.array(at)?;
        (bytes != [0; 16]).then(|| uuid::Uuid::from_bytes_le(bytes).to_string())
    }
}

/// Nothing that a disk says may steer a terminal; texts are cut where nobody would read on.
fn printable(text: &str) -> Option<String> {
    let clean: String = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    let clean: String = clean.trim().chars().take(255).collect();
    (!clean.is_empty()).then_some(clean)
}

/// A Unix time; zero means that it was never set.
pub(super) fn unix(seconds: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    Timestamp::from_second(seconds).ok()
}

/// A Windows time: tenths of microseconds since 1601.
pub(super) fn windows(ticks: u64) -> Option<Timestamp> {
    const TO_1970: u64 = 11_644_473_600;
    unix((ticks / 10_000_000).checked_sub(TO_1970)?)
}

/// CRC-32 as zip has it.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    low(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes))
}

/// CRC-32C.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    low(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes))
}

#[expect(clippy::cast_possible_truncation, reason = "a sum of 32 bits in a word of 64")]
const fn low(sum: u64) -> u32 {
    sum as u32
}
