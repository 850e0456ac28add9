//! Panels in a column that share the lines there are by what they are worth.
//!
//! A pure function: the same heights for the same room, so that a screen never jumps. Used by the plan and
//! the transfers; the least valuable panel goes first when the terminal is small.

/// A panel's lines wanted, and what they are worth: the least valuable goes first.
#[derive(Debug, Clone, Copy)]
pub struct Want {
    /// Without this many it is not drawn at all.
    pub least: u16,
    /// More than this is no use.
    pub most: u16,
    /// Who goes last.
    pub worth: u8,
}

/// Heights for panels in a column: everything gets its least by worth, then the rest grows by worth; whoever wants less
/// at most than at least has its least.
#[must_use]
pub fn heights(total: u16, wants: &[Want]) -> Vec<u16> {
    let mut order: Vec<usize> = (0..wants.len()).collect();
    order.sort_by_key(|n| std::cmp::Reverse(wants[*n].worth));
    let mut out = vec![0; wants.len()];
    let mut room = total;
    for n in &order {
        if wants[*n].least <= room {
            out[*n] = wants[*n].least;
            room -= wants[*n].least;
        }
    }
    for n in order {
        if out[n] > 0 {
            let more = wants[n].most.saturating_sub(wants[n].least).min(room);
            out[n] += more;
            room -= more;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTS: [Want; 3] = [
        Want { least: 3, most: 5, worth: 9 },
        Want { least: 4, most: 20, worth: 1 },
        Want { least: 3, most: 3, worth: 5 },
    ];

    #[test]
    fn the_least_valuable_goes_first_and_the_rest_grows() {
        assert_eq!(heights(40, &WANTS), [5, 20, 3]);
        assert_eq!(heights(40, &[Want { least: 4, most: 2, worth: 1 }]), [4], "little to show");
        assert_eq!(heights(12, &WANTS), [5, 4, 3]);
        assert_eq!(heights(9, &WANTS), [5, 0, 3]);
        assert_eq!(heights(5, &WANTS), [5, 0, 0]);
        assert_eq!(heights(0, &WANTS), [0, 0, 0]);
    }

    #[test]
    fn no_room_is_given_twice() {
        for total in 0..100 {
            assert!(heights(total, &WANTS).iter().sum::<u16>() <= total);
        }
    }
}
