use proptest::prelude::*;

use super::upload::Cuts;
use crate::units::Bytes;

proptest! {
    #[test]
    fn parts_of_any_cuts_cover_an_object_once_and_in_order(
        length in 1u64..5_000_000, first in 1u64..200_000,
        cuts in proptest::collection::vec((1u32..20, 1u64..200_000), 0..6),
    ) {
        let mut all = vec![(1, 0, Bytes(first))];
        for (after, size) in cuts {
            let (part, at, last): (u32, u64, Bytes) = *all.last().expect("a cut");
            all.push((part + after, at + u64::from(after) * last.0, Bytes(size)));
        }
        let cuts = Cuts::new(Bytes(length), all);
        let (mut at, mut number) = (0, 1);
        while let Some((from, bytes)) = cuts.part(number) {
            prop_assert_eq!(from, at);
            prop_assert!(bytes > 0);
            (at, number) = (at + bytes, number + 1);
        }
        prop_assert_eq!(at, length);
    }
}
