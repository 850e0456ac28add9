//! Names that AWS gives to things, as types: a region is never passed where an id belongs.
//!
//! Parsing is strict (the grammar of DESIGN §4), because a wrong id that gets through costs a copy.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);
        impl $name {
            /// The text as AWS writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(Arc::from(text))) } else { Err(format!("`{text}` is not {}", $what)) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.to_string()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// `prefix-` and 8 or 17 lower-case hex digits: the two forms that EC2 has used.
fn is_resource(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')).is_some_and(|hex| {
        matches!(hex.len(), 8 | 17) && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

text_id!(
    /// `snap-` and 8 or 17 hex digits.
    SnapshotId, "a snapshot id (snap- and 8 or 17 hex digits)", |t| is_resource(t, "snap")
);
text_id!(
    /// `vol-` and 8 or 17 hex digits.
    VolumeId, "a volume id (vol- and 8 or 17 hex digits)", |t| is_resource(t, "vol")
);
text_id!(
    /// `ami-` and 8 or 17 hex digits.
    ImageId, "an image id (ami- and 8 or 17 hex digits)", |t| is_resource(t, "ami")
);
text_id!(
    /// `i-` and 8 or 17 hex digits.
    InstanceId, "an instance id (i- and 8 or 17 hex digits)", |t| is_resource(t, "i")
);
text_id!(
    /// Twelve digits.
    AccountId, "an account id (12 digits)", |t| t.len() == 12 && t.bytes().all(|b| b.is_ascii_digit())
);
text_id!(
    /// A region name: `[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}`. Whether it exists is for the account to say.
    Region, "a region (like eu-west-1)", is_region
);
text_id!(
    /// The name of a profile in the shared AWS config; it may hold an `@` (people name them after themselves).
    Profile, "a profile name", |t| !t.is_empty() && !t.starts_with('@') && !t.contains(['\n', '\r', '[', ']'])
);

impl VolumeId {
    /// Whether this is the placeholder that copied snapshots carry: evidence of nothing (trap T20).
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        self.as_str() == "vol-ffffffff" || self.as_str() == "vol-fffffffffffffffff"
    }
}

impl AccountId {
    /// `1234-5678-9012`, as the console groups it.
    #[must_use]
    pub fn grouped(&self) -> String {
        let t = self.as_str();
        format!("{}-{}-{}", &t[..4], &t[4..8], &t[8..])
    }
}

impl Region {
    /// The short code of billing reports and lists: `use1`, `euw1`, `apse2`.
    #[must_use]
    pub fn short(&self) -> String {
        let mut parts = self.as_str().split('-').peekable();
        let mut out = parts.next().unwrap_or_default().to_owned();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                out.push_str(part);
                break;
            }
            out.push_str(match part {
                "north" => "n",
                "south" => "s",
                "east" => "e",
                "west" => "w",
                "central" => "c",
                "northeast" => "ne",
                "northwest" => "nw",
                "southeast" => "se",
                "southwest" => "sw",
                other => other,
            });
        }
        out
    }

    /// The partition that a region of this name belongs to (the endpoint rules of the SDK).
    #[must_use]
    pub fn partition(&self) -> &'static str {
        let name = self.as_str();
        match name.split('-').next() {
            Some("cn") => "aws-cn",
            Some("eusc") => "aws-eusc",
            _ if name.starts_with("us-gov-") => "aws-us-gov",
            _ if name.starts_with("us-isob-") => "aws-iso-b",
            _ if name.starts_with("us-iso-") => "aws-iso",
            _ => "aws",
        }
    }
}

/// Whether `text` is spelled like a region.
#[must_use]
pub fn is_region(text: &str) -> bool {
    let mut parts = text.split('-');
    let Some(first) = parts.next() else { return false };
    let rest: Vec<&str> = parts.collect();
    let Some((number, words)) = rest.split_last() else { return false };
    (2..=4).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_lowercase())
        && !words.is_empty()
        && words.iter().all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase()))
        && (1..=2).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit())
}

/// A job's number: small, and never used twice in one state directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u32);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl FromStr for JobId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("`{text}` is not a job number (floe jobs lists them)"))
    }
}

/// The index of a block in its volume: byte offset divided by 512 KiB. An `i32` on the wire, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockIndex(pub u32);

impl BlockIndex {
    /// Where the block starts in the volume, in bytes.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.0 as u64 * crate::units::BLOCK_BYTES
    }
}
impl fmt::Display for BlockIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A contiguous range of block indexes, its end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockRange {
    /// First index in it.
    pub start: u32,
    /// First index past it.
    pub end: u32,
}

impl BlockRange {
    /// From `start` up to, not including, `end`.
    #[must_use]
    pub const fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }
    /// How many indexes it spans.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }
    /// Whether it spans none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }
    /// Whether `index` lies in it.
    #[must_use]
    pub const fn contains(self, index: BlockIndex) -> bool {
        self.start <= index.0 && index.0 < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_8_or_17_hex_digits() {
        assert!("snap-01c55a9e07b3d2f48".parse::<SnapshotId>().is_ok());
        assert!("snap-0abc1234".parse::<SnapshotId>().is_ok());
        for wrong in
            ["snap-", "snap-0abc123", "snap-01C55A9E07B3D2F48", "vol-0abc1234", "snap-0abc1234 ", "snap_0abc1234"]
        {
            assert!(wrong.parse::<SnapshotId>().is_err(), "{wrong}");
        }
        for (volume, placeholder) in
            [("vol-ffffffff", true), ("vol-fffffffffffffffff", true), ("vol-0ffffffffffffffff", false)]
        {
            assert!(volume.parse::<VolumeId>().is_ok_and(|v| v.is_placeholder() == placeholder), "{volume}");
        }
    }

    #[test]
    fn regions_are_told_from_zones_and_from_words() {
        for right in ["us-east-1", "eu-west-1", "us-gov-west-1", "ap-southeast-12", "eusc-de-east-1", "mx-central-1"] {
            assert!(is_region(right), "{right}");
        }
        for wrong in ["eu-west-1a", "us-east", "useast-1", "", "-", "a-b-1", "US-EAST-1", "eu--1", "eu-west-123"] {
            assert!(!is_region(wrong), "{wrong}");
        }
    }

    #[test]
    fn short_codes_are_the_ones_of_the_bill() {
        let short = |t: &str| t.parse::<Region>().map(|r| r.short());
        assert_eq!(short("us-east-1").as_deref(), Ok("use1"));
        assert_eq!(short("ap-southeast-2").as_deref(), Ok("apse2"));
        assert_eq!(short("us-gov-west-1").as_deref(), Ok("usgovw1"));
    }
}
