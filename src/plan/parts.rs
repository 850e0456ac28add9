//! How S3 copies an object: whole, or in how many parts, and how hard (the Auto Mode of `--pace`).
//!
//! Pure, and called by the plan and by the run alike, so that the parts that are paid for are the parts that were
//! predicted. Two things pull at the size of a part: requests cost by the part, so there is a floor under it (a target
//! number of parts by pace and by whether the copy leaves its region); and large parts mean few at a time and much to
//! copy again when one fails. S3's own limits hold whatever is wished: 5 MiB to 5 GiB, and 10,000 parts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::aws::{PART_LEAST, PARTS_MAX};
use crate::error::{Error, Result};
use crate::plan::model::Pace;
use crate::units::Bytes;

/// The most that one request copies, whole or as a part.
pub const COPY_MOST: Bytes = Bytes::gib(5);
/// An object in S3 is never longer (50 TB; older pages say 5 TiB).
pub const OBJECT_MOST: Bytes = Bytes(50_000_000_000_000);
/// Sizes are whole multiples of this.
const STEP: Bytes = Bytes::mib(1);
/// Objects of fewer parts are copied as planned: what measuring them could save is not worth another figure in the plan.
const RETUNED_FROM: u32 = 256;
/// Parts that are measured, under load, before the size of the rest is looked at; and between two looks.
pub const PROBED: u32 = 32;
/// Bytes that are read at a time of source and copy to be compared (`--verify full`).
pub const COMPARED: Bytes = Bytes::mib(4);
/// One look moves the size by so much at most, either way.
const MOVES_BY: u64 = 4;

/// How an object is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// The length of a part to begin with; of a whole copy the object's.
    pub size: Bytes,
    /// How many requests copy it: one for a whole copy.
    pub count: u32,
    /// The most that it may become when the size follows what is measured.
    pub most: u32,
    /// Whether it is one CopyObject, without an upload.
    pub whole: bool,
}

/// What a pace wishes for.
#[derive(Debug, Clone, Copy)]
struct Wish {
    /// The length of a part where nothing else speaks.
    part: Bytes,
    /// Parts at most, for the money: within a region, and out of it.
    target: (u32, u32),
    /// How long a part should take.
    takes: Duration,
    /// Requests at once: to begin with, at most, and a step up.
    lanes: (u32, u32, u32),
}

const fn wish(pace: Pace) -> Wish {
    match pace {
        Pace::Balanced => {
            Wish { part: Bytes::mib(128), target: (1500, 1000), takes: Duration::from_secs(10), lanes: (24, 64, 4) }
        }
        Pace::Aggressive => {
            Wish { part: Bytes::mib(64), target: (3500, 2500), takes: Duration::from_secs(6), lanes: (48, 96, 8) }
        }
        Pace::Conservative => {
            Wish { part: Bytes::mib(256), target: (800, 600), takes: Duration::from_secs(15), lanes: (8, 24, 2) }
        }
        Pace::CostEfficient => {
            Wish { part: Bytes::gib(1), target: (400, 350), takes: Duration::from_secs(30), lanes: (6, 12, 1) }
        }
    }
}

/// Requests at once: to begin with, at most, and a step up.
#[must_use]
pub const fn copy_lanes(pace: Pace) -> (u32, u32, u32) {
    wish(pace).lanes
}

/// What a pace wishes of parts: their length, how many at most within a region and out of it, how long one should take.
#[must_use]
pub(super) const fn wishes(pace: Pace) -> (Bytes, (u32, u32), Duration) {
    let wish = wish(pace);
    (wish.part, wish.target, wish.takes)
}

/// The least length of a part that copies `rest` in `left` parts.
fn spread(rest: Bytes, left: u32) -> Bytes {
    Bytes(rest.0.div_ceil(u64::from(left.max(1))).next_multiple_of(STEP.0))
}

/// What the money asks of a part, with so many parts used up.
fn floor(rest: Bytes, used: u32, pace: Pace, near: bool) -> Bytes {
    let target = wish(pace).target;
    spread(rest, if near { target.0 } else { target.1 }.saturating_sub(used).max(1))
}

/// Holds a wish within what S3 takes.
fn clamp(size: Bytes, rest: Bytes, used: u32) -> Bytes {
    size.max(spread(rest, PARTS_MAX.saturating_sub(used))).max(PART_LEAST).min(COPY_MOST)
}

fn count(length: Bytes, size: Bytes) -> u32 {
    u32::try_from(length.0.div_ceil(size.0.max(1)).max(1)).unwrap_or(u32::MAX)
}

/// How an object of that length is copied; `near` within one region, `asked` is `--part-size`.
///
/// # Errors
/// Usage: what is asked for is no part that S3 takes, or makes more than 10,000 of them.
pub fn cut(length: Bytes, pace: Pace, near: bool, asked: Option<Bytes>) -> Result<Parts> {
    if length > OBJECT_MOST {
        return Err(Error::usage(format!("{length} are more than an object of S3 holds ({OBJECT_MOST})")));
    }
    let size = match asked {
        None if length <= COPY_MOST => return Ok(Parts { size: length, count: 1, most: 1, whole: true }),
        None => clamp(wish(pace).part.max(floor(length, 0, pace, near)), length, 0),
        Some(asked) if asked < PART_LEAST || asked > COPY_MOST => {
            return Err(Error::usage(format!("--part-size {asked}: a part has {PART_LEAST} to {COPY_MOST}")));
        }
        // What fits one part is no upload.
        Some(asked) if length <= asked => return Ok(Parts { size: length, count: 1, most: 1, whole: true }),
        Some(asked) => asked,
    };
    let parts = count(length, size);
    if parts > PARTS_MAX {
        let least = spread(length, PARTS_MAX);
        return Err(Error::usage(format!("--part-size {size} makes {parts} parts of {length}, S3 takes {PARTS_MAX}"))
            .todo(format!("--part-size {}MiB or more, or leave it out", least.0 / STEP.0)));
    }
    let most = match asked {
        None if parts >= RETUNED_FROM => {
            let target = wish(pace).target;
            if near { target.0 } else { target.1 }.max(parts)
        }
        _ => parts,
    };
    Ok(Parts { size, count: parts, most, whole: false })
}

/// Whether the size of its parts follows what is measured.
#[must_use]
pub const fn is_retuned(parts: &Parts) -> bool {
    parts.count >= RETUNED_FROM && parts.most >= parts.count && !parts.whole
}

/// The length of the parts to come: as long as makes one take what its pace wishes, by what a part of `size` took on
/// the average while the others were copied beside it; never below the floor that money sets, which is applied again.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a length")]
pub fn retune(size: Bytes, took: Duration, rest: Bytes, used: u32, pace: Pace, near: bool) -> Bytes {
    let wished = size.0 as f64 * wish(pace).takes.as_secs_f64() / took.as_secs_f64().max(0.001);
    let wished = (wished as u64).clamp(size.0 / MOVES_BY, size.0 * MOVES_BY).next_multiple_of(STEP.0);
    clamp(Bytes(wished).max(floor(rest, used, pace, near)), rest, used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACES: [Pace; 4] = [Pace::Balanced, Pace::Aggressive, Pace::Conservative, Pace::CostEfficient];

    proptest! {
        #[test]
        fn every_object_is_cut_into_parts_that_s3_takes(length in 0u64..=50_000_000_000_000, pace in 0usize..4, near: bool) {
            let parts = cut(Bytes(length), PACES[pace], near, None).expect("a cut");
            prop_assert_eq!(parts.whole, length <= COPY_MOST.0);
            prop_assert!(parts.count >= 1 && parts.count <= PARTS_MAX && parts.count <= parts.most);
            if !parts.whole {
                prop_assert!(parts.size >= PART_LEAST && parts.size <= COPY_MOST);
                prop_assert_eq!(u64::from(parts.count), length.div_ceil(parts.size.0));
            }
        }

        #[test]
        fn whatever_is_measured_the_rest_fits_and_the_floor_holds(
            length in (6u64 << 30)..=50_000_000_000_000, pace in 0usize..4, near: bool,
            looks in proptest::collection::vec(1u64..200_000, 1..60),
        ) {
            let pace = PACES[pace];
            let parts = cut(Bytes(length), pace, near, None).expect("a cut");
            prop_assume!(is_retuned(&parts));
            let (mut size, mut rest, mut used) = (parts.size, Bytes(length), 0u32);
            for took in looks {
                let step = u64::from(PROBED) * size.0;
                if step >= rest.0 {
                    break;
                }
                (rest, used) = (Bytes(rest.0 - step), used + PROBED);
                size = retune(size, Duration::from_millis(took), rest, used, pace, near);
                prop_assert!(size >= PART_LEAST && size <= COPY_MOST);
            }
            let all = u64::from(used) + rest.0.div_ceil(size.0);
            prop_assert!(all <= u64::from(PARTS_MAX), "{} parts", all);
            // A part may be rounded up to 5 GiB: then the money cannot be kept, and S3's limit is what holds.
            prop_assert!(all <= u64::from(parts.most.max(parts.count)) + 1 || size == COPY_MOST, "{} of {}", all, parts.most);
        }
    }

    #[test]
    fn the_paces_differ_as_they_say() {
        let parts = |pace| cut(Bytes::gib(6), pace, true, None).expect("a cut").count;
        assert_eq!(PACES.map(parts), [48, 96, 24, 6]);
        let large = |pace, near| cut(Bytes(20_000_000_000_000), pace, near, None).expect("a cut").count;
        for (pace, near, most) in [
            (Pace::Balanced, true, 1500),
            (Pace::Balanced, false, 1000),
            (Pace::Aggressive, true, 3500),
            (Pace::Conservative, true, 800),
        ] {
            assert!(large(pace, near) <= most.max(3726), "{pace:?}");
        }
        // A part has 5 GiB at most, so that the fewest parts of 20 TB are more than the money would like.
        assert_eq!(large(Pace::CostEfficient, true), 3726);
    }

    #[test]
    fn what_is_asked_for_is_taken_or_refused() {
        let cut = |gib, mib| cut(Bytes::gib(gib), Pace::Balanced, true, Some(Bytes::mib(mib)));
        assert_eq!(cut(6, 100).expect("parts").count, 62);
        assert_eq!(cut(1, 100).expect("parts also of what one request could copy").count, 11);
        assert!(cut(1, 2048).expect("one request").whole);
        assert!(cut(6, 4).is_err_and(|e| e.what.contains("5 MiB")));
        assert!(cut(6, 6000).is_err());
        assert!(
            cut(60, 5).is_err_and(|e| e.what.contains("12288 parts") && e.todo.is_some_and(|t| t.contains("7MiB")))
        );
    }

    #[test]
    fn a_slow_way_gets_smaller_parts_and_a_quick_one_larger() {
        let (size, rest) = (Bytes::gib(1), Bytes::gib(1000));
        let tuned = |seconds| retune(size, Duration::from_secs(seconds), rest, 32, Pace::Balanced, true);
        assert!(tuned(1) > size && tuned(1) <= Bytes::gib(4));
        assert!(tuned(100) < size);
        // The floor: 1,000 GiB in the 1,468 parts that are left.
        assert!(tuned(10_000) >= Bytes::mib(697), "{}", tuned(10_000));
    }
}
