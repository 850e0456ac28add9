//! How long a time-based copy may take: minutes that AWS is asked to keep, and what it charges for them.
//!
//! A quarter of an hour is the step and the least, two days are the most. One copy moves at most 500 MiB/s, so a size
//! has a shortest time. The surcharge is per GiB copied, the same in all regions, on top of transfer and storage
//! (price list of November 2026).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::{Bytes, Usd};

/// The step, and the shortest.
const STEP: u32 = 15;
/// The longest.
const MOST: u32 = 2880;
/// What one copy moves in a second at most.
pub const MOST_PER_SECOND: Bytes = Bytes::mib(500);

/// A completion duration: a multiple of 15 minutes, up to 48 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Within(u32);

impl Within {
    /// The shortest in which so much can be copied; `None` where two days are too short.
    #[must_use]
    pub fn least_for(bytes: Bytes) -> Option<Self> {
        let quarters = bytes.0.div_ceil(MOST_PER_SECOND.0 * 60 * u64::from(STEP)).max(1);
        let minutes = u32::try_from(quarters).ok()?.checked_mul(STEP)?;
        Self::try_from(minutes).ok()
    }

    /// As the API takes it.
    #[must_use]
    pub const fn minutes(self) -> u32 {
        self.0
    }

    /// The same in seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        f64::from(self.0) * 60.0
    }

    /// What each GiB costs more.
    #[must_use]
    pub const fn surcharge(self) -> Usd {
        Usd(match self.0 {
            0..=15 => 0.020,
            16..=45 => 0.018,
            46..=105 => 0.016,
            106..=225 => 0.014,
            226..=465 => 0.012,
            466..=945 => 0.010,
            _ => 0.005,
        })
    }
}

impl TryFrom<u32> for Within {
    type Error = String;
    fn try_from(minutes: u32) -> Result<Self, String> {
        if minutes.is_multiple_of(STEP) && (STEP..=MOST).contains(&minutes) {
            return Ok(Self(minutes));
        }
        Err(format!("{minutes} minutes are no time for a copy: AWS takes 15m to 48h, in steps of 15m"))
    }
}

impl From<Within> for u32 {
    fn from(within: Within) -> Self {
        within.0
    }
}

/// `15m`, `8h45m`, `24h`: what [`Within::from_str`] reads.
impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match (self.0 / 60, self.0 % 60) {
            (0, minutes) => format!("{minutes}m"),
            (hours, 0) => format!("{hours}h"),
            (hours, minutes) => format!("{hours}h{minutes}m"),
        })
    }
}

impl FromStr for Within {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a time; write it like 45m, 2h or 8h45m");
        let (mut rest, mut minutes, mut longest) = (text, 0u32, u32::MAX);
        while !rest.is_empty() {
            let split = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let (number, tail) = rest.split_at(split);
            let unit = match tail.chars().next() {
                Some('d') => 1440,
                Some('h') => 60,
                Some('m') => 1,
                _ => return Err(wrong()),
            };
            // Larger units first, each once.
            if unit >= longest {
                return Err(wrong());
            }
            longest = unit;
            let part = number.parse::<u32>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(wrong)?;
            minutes = minutes.checked_add(part).ok_or_else(wrong)?;
            rest = &tail[1..];
        }
        if minutes == 0 { Err(wrong()) } else { Self::try_from(minutes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written_and_in_quarters_only() {
        for (text, minutes) in [("15m", 15), ("8h45m", 525), ("48h", 2880), ("1h", 60)] {
            let within: Within = text.parse().expect(text);
            assert_eq!((within.minutes(), within.to_string()), (minutes, text.to_owned()));
        }
        assert_eq!("2d".parse::<Within>().map(Within::minutes), Ok(2880));
        for wrong in ["", "0m", "8", "7m", "49h", "45m8h", "1h1h", "h", "90x", "-15m", "99999999999h"] {
            assert!(wrong.parse::<Within>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_shortest_time_of_a_size_is_half_a_gibibyte_a_second() {
        let least = |bytes| Within::least_for(bytes).map(Within::minutes);
        assert_eq!(least(Bytes::ZERO), Some(15));
        assert_eq!(least(Bytes::mib(500 * 900)), Some(15));
        assert_eq!(least(Bytes(Bytes::mib(500 * 900).0 + 1)), Some(30));
        assert_eq!(least(Bytes::gib(15_292)), Some(525));
        assert_eq!(least(Bytes::gib(1 << 20)), None);
    }

    #[test]
    fn each_step_of_the_price_list_costs_less_and_its_edges_are_right() {
        let price = |text: &str| text.parse::<Within>().expect("a time").surcharge().0;
        let edges = ["15m", "30m", "45m", "1h", "1h45m", "2h", "3h45m", "4h", "7h45m", "8h", "15h45m", "16h", "48h"];
        let prices: Vec<f64> = edges.into_iter().map(price).collect();
        let wanted = [0.020, 0.018, 0.018, 0.016, 0.016, 0.014, 0.014, 0.012, 0.012, 0.010, 0.010, 0.005, 0.005];
        assert_eq!(prices, wanted);
    }
}
