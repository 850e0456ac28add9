//! Quantities with their units, and how sure each one is.
//!
//! No bare `u64` or `f64` crosses a room's door: what it counts travels with it. `Quantity` pairs a
//! value with its [`Sure`], because every number that floe shows is labelled (DESIGN §3, rule 14).

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// Bytes of one block: the unit of the EBS direct APIs (`BlockSize` in every listing).
pub const BLOCK_BYTES: u64 = 524_288;

/// SHA-256 of a block of zeros: never computed, since it is the commonest block of all.
pub const ZERO_BLOCK_SHA256: Digest = Digest([
    0x07, 0x85, 0x4d, 0x2f, 0xef, 0x29, 0x7a, 0x06, 0xba, 0x81, 0x68, 0x5e, 0x66, 0x0c, 0x33, 0x2d, 0xe3, 0x6d, 0x5d,
    0x18, 0xd5, 0x46, 0x92, 0x7d, 0x30, 0xda, 0xad, 0x6d, 0x7f, 0xda, 0x15, 0x41,
]);

macro_rules! count {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);
        impl $name {
            /// None at all.
            pub const ZERO: Self = Self(0);
            /// Saturating subtraction: a counter never wraps below zero.
            #[must_use]
            pub const fn less(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }
        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }
        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                self.less(other)
            }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                all.fold(Self::ZERO, Add::add)
            }
        }
    };
}

count!(
    /// A number of bytes.
    Bytes
);
count!(
    /// A number of 512 KiB blocks.
    Blocks
);

impl Bytes {
    /// `n` KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }
    /// `n` MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }
    /// `n` GiB, the unit in which AWS sizes volumes.
    #[must_use]
    pub const fn gib(n: u64) -> Self {
        Self(n * 1024 * 1024 * 1024)
    }
    /// The blocks that hold this many bytes, the last one padded.
    #[must_use]
    pub const fn blocks(self) -> Blocks {
        Blocks(self.0.div_ceil(BLOCK_BYTES))
    }
    /// As a fraction of GiB, for prices.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "prices need no more than 52 bits of a size")]
    pub fn as_gib(self) -> f64 {
        self.0 as f64 / (1024.0 * 1024.0 * 1024.0)
    }
    /// As a fraction of MiB, for rates.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    pub fn as_mib(self) -> f64 {
        self.0 as f64 / (1024.0 * 1024.0)
    }
}

impl Blocks {
    /// The bytes in this many whole blocks.
    #[must_use]
    pub const fn bytes(self) -> Bytes {
        Bytes(self.0.saturating_mul(BLOCK_BYTES))
    }
}

impl fmt::Display for Bytes {
    /// Binary units, at most two decimals and three significant figures: `14.93 TiB`, `512 KiB`, `0 B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = if self.0 < 1024 { 0 } else { 2 };
        let text = humansize::format_size(self.0, humansize::BINARY.decimal_places(places).decimal_zeroes(0));
        f.pad(&text)
    }
}

impl fmt::Display for Blocks {
    /// Thousands separated by commas: `31,318,565`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&grouped(self.0))
    }
}

/// `31318565` as `31,318,565`.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// So many of what one of is called so: `1 block`, `31,318,565 blocks`.
#[must_use]
pub fn counted(n: u64, one: &str) -> String {
    format!("{} {}", grouped(n), plural(n, one))
}

/// What so many of it are called: `block` or `blocks`.
#[must_use]
pub fn plural(n: u64, one: &str) -> String {
    if n == 1 { one.to_owned() } else { format!("{one}s") }
}

/// US dollars. List prices have ten-thousandths of a cent, so this is a float; sums are shown to the cent.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usd(pub f64);

impl Add for Usd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}
impl AddAssign for Usd {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}
impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}
impl fmt::Display for Usd {
    /// `$1,376.30`; below a cent four decimals, and below those the first figure that is not nothing: a handful of
    /// requests costs something, and `≤ $0.0000` would say that it does not.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole dollars of a bill fit in u64")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.0 > 0.0 && self.0 < 0.005 {
            let places = (4..9).find(|places| self.0 * 10f64.powi(*places) >= 0.5).unwrap_or(9);
            format!("${:.places$}", self.0, places = usize::try_from(places).unwrap_or(9))
        } else {
            let cents = (self.0.abs() * 100.0).round() as u64;
            let sign = if self.0 < 0.0 && cents > 0 { "-" } else { "" };
            format!("{sign}${}.{:02}", grouped(cents / 100), cents % 100)
        };
        f.pad(&text)
    }
}

/// Bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(pub f64);

impl Rate {
    /// In tenths of a MiB per second: what tables count in, so that their rows can add up.
    #[must_use]
    pub fn as_tenths(self) -> f64 {
        self.0 / (1024.0 * 1024.0) * 10.0
    }
}

impl Add for Rate {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}
impl Sum for Rate {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}
impl fmt::Display for Rate {
    /// `486 MiB/s`, one decimal below ten.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.0 / (1024.0 * 1024.0);
        let text = if mib < 9.95 { format!("{mib:.1} MiB/s") } else { format!("{mib:.0} MiB/s") };
        f.pad(&text)
    }
}

/// How sure a number is; shown as one glyph in front of it (SCREENS, "Rules behind the screens").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sure {
    /// Counted or computed from what AWS stores.
    Exact,
    /// Read off a clock or a counter of this machine.
    Measured,
    /// It cannot be more.
    AtMost,
    /// Derived from list prices, quotas or past rates.
    Estimate,
    /// Not known yet.
    Unknown,
}

impl Sure {
    /// `=`, `≤`, `≈` or `?`.
    #[must_use]
    pub const fn glyph(self) -> char {
        match self {
            Self::Exact | Self::Measured => '=',
            Self::AtMost => '≤',
            Self::Estimate => '≈',
            Self::Unknown => '?',
        }
    }

    /// What a sum of two numbers is: as unsure as the less sure one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

/// A value and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantity<T> {
    /// The figure; meaningless when `sure` is [`Sure::Unknown`].
    pub value: T,
    /// How sure it is.
    pub sure: Sure,
}

impl<T> Quantity<T> {
    /// Counted.
    pub const fn exact(value: T) -> Self {
        Self { value, sure: Sure::Exact }
    }
    /// An upper bound.
    pub const fn at_most(value: T) -> Self {
        Self { value, sure: Sure::AtMost }
    }
    /// An estimate.
    pub const fn estimate(value: T) -> Self {
        Self { value, sure: Sure::Estimate }
    }
    /// The value, when anything is known of it.
    pub fn known(self) -> Option<T> {
        (self.sure != Sure::Unknown).then_some(self.value)
    }
}

impl<T: Default> Quantity<T> {
    /// Not known yet.
    #[must_use]
    pub fn unknown() -> Self {
        Self { value: T::default(), sure: Sure::Unknown }
    }
}

impl<T: fmt::Display> fmt::Display for Quantity<T> {
    /// `= 14.93 TiB`, `≤ $2.40`, or a lone `?`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sure {
            Sure::Unknown => f.pad("?"),
            sure => f.pad(&format!("{} {}", sure.glyph(), self.value)),
        }
    }
}

/// A SHA-256, as EBS checks blocks with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// SHA-256 of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
        Self(out)
    }
    /// The 44 characters of base64 that the `x-amz-Checksum` header carries.
    #[must_use]
    pub fn base64(&self) -> String {
        base64_simd::STANDARD.encode_to_string(self.0)
    }
    /// Reads what [`Digest::base64`] writes; `None` for anything else.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = base64_simd::STANDARD.decode_to_vec(text.trim()).ok()?;
        bytes.try_into().ok().map(Self)
    }
    /// Lower-case hex, as `sha256sum` prints it.
    #[must_use]
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.base64())
    }
}
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::from_base64(&text).ok_or_else(|| serde::de::Error::custom("not a base64 SHA-256"))
    }
}

/// Reads sizes as people write them: `256MiB`, `256M`, `1.5 GiB`, `4096`. Letters are binary, as in `--memory 256M`.
///
/// # Errors
/// A sentence that names what was expected.
pub fn parse_bytes(text: &str) -> Result<Bytes, String> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let wrong = || format!("`{text}` is not a size; write it like 256MiB, 1.5GiB or 4096");
    let value: f64 = number.parse().map_err(|_| wrong())?;
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" | "kb" => 1,
        "m" | "mib" | "mb" => 2,
        "g" | "gib" | "gb" => 3,
        "t" | "tib" | "tb" => 4,
        _ => return Err(wrong()),
    };
    let bytes = value * 1024f64.powi(power);
    if !bytes.is_finite() || bytes > 9e18 {
        return Err(wrong());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded and non-negative above")]
    Ok(Bytes(bytes as u64))
}

/// Reads an age as people write it: a number and `m`, `h`, `d`, `w` or `y`.
#[must_use]
pub fn parse_age(text: &str) -> Option<jiff::SignedDuration> {
    let unit = text.chars().last()?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().ok().filter(|number| *number >= 0)?;
    let hours = |hours: i64| number.checked_mul(hours)?.checked_mul(3600).map(jiff::SignedDuration::from_secs);
    match unit {
        'm' => number.checked_mul(60).map(jiff::SignedDuration::from_secs),
        'h' => hours(1),
        'd' => hours(24),
        'w' => hours(24 * 7),
        'y' => hours(24 * 365),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(Bytes(16_419_947_806_720).to_string(), "14.93 TiB");
        assert_eq!(Bytes(0).to_string(), "0 B");
        assert_eq!(Bytes::kib(512).to_string(), "512 KiB");
        assert_eq!(parse_bytes("256MiB"), Ok(Bytes::mib(256)));
        assert_eq!(parse_bytes("1.5G"), Ok(Bytes::mib(1536)));
        assert!(parse_bytes("lots").is_err());
        assert!(parse_bytes("1e400").is_err());
        assert!(parse_bytes("-1").is_err());
    }

    #[test]
    fn money_keeps_its_cents_and_never_shows_a_price_as_nothing() {
        assert_eq!(Usd(1376.304).to_string(), "$1,376.30");
        assert_eq!(Usd(0.0001).to_string(), "$0.0001");
        assert_eq!(Usd(0.000_001_8).to_string(), "$0.000002", "three List requests are not free");
        assert_eq!(Usd(0.0).to_string(), "$0.00");
        assert_eq!(Usd(-3.5).to_string(), "-$3.50");
    }

    #[test]
    fn a_sum_is_as_unsure_as_its_worst_part() {
        assert_eq!(Sure::Exact.and(Sure::AtMost), Sure::AtMost);
        assert_eq!(Sure::Unknown.and(Sure::Exact), Sure::Unknown);
        assert_eq!(Quantity::<Bytes>::unknown().to_string(), "?");
        assert_eq!(Quantity::at_most(Usd(2.4)).to_string(), "≤ $2.40");
    }

    #[test]
    fn the_digest_of_zeros_is_the_one_that_ebs_knows() {
        assert_eq!(ZERO_BLOCK_SHA256.base64(), "B4VNL+8pega6gWheZgwzLeNtXRjVRpJ9MNqtbX/aFUE=");
        assert_eq!(Digest::from_base64(&ZERO_BLOCK_SHA256.base64()), Some(ZERO_BLOCK_SHA256));
        assert_eq!(Digest::from_base64("short"), None);
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(grouped(31_318_565), "31,318,565");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(
            ["0 blocks", "1 block", "8,192 blocks"],
            [0, 1, 8192].map(|n| counted(n, "block")).each_ref().map(|s| &s[..])
        );
    }
}
