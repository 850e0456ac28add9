//! Why a figure of freed bytes is at most: what may hold the same blocks and was not walked over.
//!
//! A figure that is not exact says all of the reasons that are known. Their words are here and nowhere else; scripts
//! read the keys, which stay.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Nobody listed its blocks yet: its full size is what is known.
    NotCounted,
    /// It is a copy or made by hand, and names no volume.
    NoVolume,
    /// Others in its region are copies that name no volume.
    Copies,
    /// What it has from the parent that its tag names is taken off.
    Recorded,
    /// The Recycle Bin could not be listed.
    BinUnknown,
    /// Something in the Recycle Bin may hold its blocks.
    Bin,
    /// A snapshot of its chain cannot be listed.
    Pending,
    /// A volume was restored from it, and has snapshots.
    Fork,
    /// What its volume was restored from goes with it.
    Root,
    /// AWS says that another family shares blocks with it.
    Related,
    /// Nobody asked whether other families share blocks with it.
    NotAsked,
    /// AWS did not say whether other families share blocks with it.
    NotTold,
    /// There are more other families than are asked about.
    TooMany,
}

impl Why {
    /// Each of them, in the order in which they are told.
    pub const ALL: [Self; 13] = [
        Self::NotCounted,
        Self::NoVolume,
        Self::Copies,
        Self::Recorded,
        Self::BinUnknown,
        Self::Bin,
        Self::Pending,
        Self::Fork,
        Self::Root,
        Self::Related,
        Self::NotAsked,
        Self::NotTold,
        Self::TooMany,
    ];

    /// As JSON and CSV spell it.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::NotCounted => "not-counted",
            Self::NoVolume => "no-volume",
            Self::Copies => "copies",
            Self::Recorded => "recorded-parent",
            Self::BinUnknown => "bin-unknown",
            Self::Bin => "bin",
            Self::Pending => "pending",
            Self::Fork => "fork",
            Self::Root => "root-goes",
            Self::Related => "related",
            Self::NotAsked => "not-asked",
            Self::NotTold => "not-told",
            Self::TooMany => "too-many",
        }
    }

    /// In words, to be read after "at most:".
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotCounted => "its full size, its blocks are not counted yet",
            Self::NoVolume => "a copy or made by hand, so nothing says who shares its blocks",
            Self::Copies => "copies in its region name no volume and may share its blocks",
            Self::Recorded => "its parent is taken from its tag, where AWS knows a way from that",
            Self::BinUnknown => "the Recycle Bin could not be listed and may hold its blocks",
            Self::Bin => "a snapshot in the Recycle Bin may hold its blocks",
            Self::Pending => "a neighbour in its chain is pending and cannot be listed yet",
            Self::Fork => "a volume restored from it has snapshots, which share its blocks",
            Self::Root => "what its volume was restored from goes too, and shares its blocks",
            Self::Related => "snapshots of another volume share its blocks, AWS says",
            Self::NotAsked => "whether snapshots of other volumes share its blocks is not asked yet",
            Self::NotTold => "whether snapshots of other volumes share its blocks could not be asked",
            Self::TooMany => "more other volumes might share its blocks than are asked about",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// All the reasons of a figure; none where it is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Whys(u16);

impl Whys {
    /// No reason.
    pub const NONE: Self = Self(0);

    /// Whether there is none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// These and that one.
    #[must_use]
    pub const fn and(self, why: Why) -> Self {
        Self(self.0 | why.bit())
    }

    /// These, and that one where it holds.
    #[must_use]
    pub const fn and_if(self, holds: bool, why: Why) -> Self {
        if holds { self.and(why) } else { self }
    }

    /// Those of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether that one is among them.
    #[must_use]
    pub const fn has(self, why: Why) -> bool {
        self.0 & why.bit() != 0
    }

    /// One by one, in the order in which they are told.
    pub fn iter(self) -> impl Iterator<Item = Why> {
        Why::ALL.into_iter().filter(move |why| self.has(*why))
    }

    /// The keys, with blanks between.
    #[must_use]
    pub fn keys(self) -> String {
        self.iter().map(Why::key).collect::<Vec<_>>().join(" ")
    }

    /// `at most: a snapshot in the Recycle Bin may hold its blocks; …`, or nothing.
    #[must_use]
    pub fn said(self) -> Option<String> {
        self.said_within(usize::MAX)
    }

    /// The same in so many columns: as many reasons as fit, and how many more there are; the first one alone, if need be.
    #[must_use]
    pub fn said_within(self, room: usize) -> Option<String> {
        let all: Vec<&str> = self.iter().map(Why::text).collect();
        let some = |n: usize| {
            let more = all.len() - n;
            let more = if more == 0 { String::new() } else { format!("; {more} more") };
            format!("at most: {}{more}", all[..n].join("; "))
        };
        let fits = (1..=all.len()).rev().map(some).find(|said| said.chars().count() <= room);
        fits.or_else(|| all.first().map(|first| (*first).to_owned()))
    }
}

impl From<Why> for Whys {
    fn from(why: Why) -> Self {
        Self::NONE.and(why)
    }
}

impl Serialize for Whys {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(Why::key))
    }
}

impl<'de> Deserialize<'de> for Whys {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::<String>::deserialize(from)?.iter().try_fold(Self::NONE, |all, key| {
            let why = Why::ALL.into_iter().find(|why| why.key() == key);
            why.map(|why| all.and(why)).ok_or_else(|| D::Error::custom(format!("`{key}` is no reason of a figure")))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_key_words_and_a_place_of_its_own() {
        let keys: BTreeSet<&str> = Why::ALL.into_iter().map(Why::key).collect();
        let words: BTreeSet<&str> = Why::ALL.into_iter().map(Why::text).collect();
        let bits: BTreeSet<u16> = Why::ALL.into_iter().map(Why::bit).collect();
        assert_eq!((keys.len(), words.len(), bits.len()), (13, 13, 13));
        // They stand at the end of a line, beside other words.
        assert!(words.iter().all(|text| text.chars().count() <= 72 && !text.ends_with('.')));
    }

    #[test]
    fn json_names_them_in_one_order_and_reads_them_back() {
        let both = Whys::from(Why::Fork).and(Why::Bin).and_if(false, Why::Copies);
        let json = serde_json::to_string(&both).unwrap();
        assert_eq!(json, r#"["bin","fork"]"#);
        assert_eq!(serde_json::from_str::<Whys>(&json).unwrap(), both);
        assert!(serde_json::from_str::<Whys>(r#"["moon"]"#).unwrap_err().to_string().contains("`moon`"));
        assert_eq!((both.keys().as_str(), Whys::NONE.said()), ("bin fork", None));
        assert!(both.said().unwrap().starts_with("at most: a snapshot in the Recycle Bin"));
    }

    #[test]
    fn where_not_all_fit_the_others_are_counted() {
        let both = Whys::from(Why::Fork).and(Why::Bin);
        let first = "a snapshot in the Recycle Bin may hold its blocks";
        assert_eq!(both.said_within(200), both.said());
        assert_eq!(both.said_within(76).as_deref(), Some(&*format!("at most: {first}; 1 more")));
        assert_eq!(both.said_within(60).as_deref(), Some(first), "cut by who draws it, with its words at the front");
        assert_eq!(Whys::NONE.said_within(76), None);
    }
}
