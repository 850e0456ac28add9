//! How many bytes a second may move, always or by the hours of a week: `200MiB/s`,
//! `Mon-Fri 08:00-18:00 50MiB/s; else unlimited`.
//!
//! A plain value, written as it is read. The hours are those of the machine that moves the bytes.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{DateTime, Weekday};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::{Bytes, parse_bytes};

/// The least that can be asked for: one block in eight seconds.
const LEAST: Bytes = Bytes::kib(64);

/// A limit by the hours of a week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bandwidth {
    windows: Vec<Window>,
    otherwise: Option<Bytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    /// Bit 0 is Monday.
    days: u8,
    /// Minutes of the day; a window that ends before it begins goes past midnight.
    from: u16,
    to: u16,
    /// Bytes a second; `None` for no limit.
    rate: Option<Bytes>,
}

const ALL_DAYS: u8 = 0b111_1111;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY: u16 = 24 * 60;

impl Bandwidth {
    /// The same limit at all times.
    #[must_use]
    pub const fn always(rate: Bytes) -> Self {
        Self { windows: Vec::new(), otherwise: Some(rate) }
    }

    /// Bytes a second at that moment; `None` for no limit. The first window that fits counts.
    #[must_use]
    pub fn at(&self, when: DateTime) -> Option<Bytes> {
        let minute = u16::try_from(i32::from(when.hour()) * 60 + i32::from(when.minute())).unwrap_or(0);
        let today = when.weekday();
        self.windows.iter().find(|window| window.holds(today, minute)).map_or(self.otherwise, |window| window.rate)
    }

    /// The least that it ever allows; `None` when it never limits anything.
    #[must_use]
    pub fn least(&self) -> Option<Bytes> {
        self.windows.iter().filter_map(|window| window.rate).chain(self.otherwise).min()
    }

    /// Whether it never limits anything.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.otherwise.is_none() && self.windows.iter().all(|window| window.rate.is_none())
    }
}

impl Window {
    fn holds(&self, today: Weekday, minute: u16) -> bool {
        let on = |day: Weekday| self.days & (1 << day.to_monday_zero_offset()) != 0;
        if self.from < self.to {
            return on(today) && (self.from..self.to).contains(&minute);
        }
        // Past midnight it still belongs to the day that it began on.
        (on(today) && minute >= self.from) || (on(today.previous()) && minute < self.to)
    }
}

impl FromStr for Bandwidth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(';').map(str::trim).filter(|part| !part.is_empty()).collect();
        let mut windows = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let words: Vec<&str> = part.split_whitespace().collect();
            match words.as_slice() {
                ["else", rate] if at + 1 == parts.len() => return Ok(Self { windows, otherwise: parse_rate(rate)? }),
                ["else", ..] => return Err(format!("in `{text}`, `else` is not the last part, or has no rate")),
                [rate] if parts.len() == 1 => return Ok(Self { windows, otherwise: parse_rate(rate)? }),
                [days, hours, rate] => {
                    let (from, to) = parse_hours(hours)?;
                    windows.push(Window { days: parse_days(days)?, from, to, rate: parse_rate(rate)? });
                }
                [hours, rate] if hours.contains(':') => {
                    let (from, to) = parse_hours(hours)?;
                    windows.push(Window { days: ALL_DAYS, from, to, rate: parse_rate(rate)? });
                }
                [days, rate] => {
                    windows.push(Window { days: parse_days(days)?, from: 0, to: DAY, rate: parse_rate(rate)? })
                }
                _ => return Err(format!("`{part}` is not `DAYS HH:MM-HH:MM RATE`, as Mon-Fri 08:00-18:00 50MiB/s")),
            }
        }
        match windows.is_empty() {
            true => {
                Err("no rate is given; write it like 200MiB/s, or Mon-Fri 08:00-18:00 50MiB/s; else unlimited"
                    .to_owned())
            }
            // Outside of all windows nothing was said: no limit.
            false => Ok(Self { windows, otherwise: None }),
        }
    }
}

fn parse_rate(text: &str) -> Result<Option<Bytes>, String> {
    if matches!(text, "unlimited" | "none" | "off") {
        return Ok(None);
    }
    let number = text.strip_suffix("/s").unwrap_or(text);
    let rate =
        parse_bytes(number).map_err(|_| format!("`{text}` is not a rate; write it like 200MiB/s or unlimited"))?;
    if rate < LEAST {
        return Err(format!("{rate}/s would not move a block within a deadline; the least is {LEAST}/s"));
    }
    Ok(Some(rate))
}

fn parse_hours(text: &str) -> Result<(u16, u16), String> {
    let wrong = || format!("`{text}` is not a time of day; write it like 08:00-18:00");
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        ((hour < 24 && minute < 60) || (hour == 24 && minute == 0)).then_some(hour * 60 + minute)
    };
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    let (from, to) = (minute(from).ok_or_else(wrong)?, minute(to).ok_or_else(wrong)?);
    if from == to || from == DAY { Err(wrong()) } else { Ok((from, to)) }
}

/// `Mon`, `Mon-Fri`, `Sat,Sun`, `Fri-Mon`, `daily`.
fn parse_days(text: &str) -> Result<u8, String> {
    if text.eq_ignore_ascii_case("daily") {
        return Ok(ALL_DAYS);
    }
    let day = |name: &str| {
        let found = DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("`{name}` is no day; the days are {}", DAYS.join(", ")))
    };
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        loop {
            days |= 1 << at;
            if at == last {
                break;
            }
            at = (at + 1) % 7;
        }
    }
    Ok(days)
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |rate: Option<Bytes>| rate.map_or("unlimited".to_owned(), |rate| format!("{}/s", exact(rate)));
        if self.windows.is_empty() {
            return f.write_str(&rate(self.otherwise));
        }
        for window in &self.windows {
            let days: Vec<&str> =
                DAYS.iter().enumerate().filter(|(at, _)| window.days & (1 << at) != 0).map(|(_, day)| *day).collect();
            let days = if window.days == ALL_DAYS { "daily".to_owned() } else { days.join(",") };
            let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            write!(f, "{days} {}-{} {}; ", clock(window.from), clock(window.to), rate(window.rate))?;
        }
        write!(f, "else {}", rate(self.otherwise))
    }
}

/// In the largest unit that says it exactly.
fn exact(bytes: Bytes) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.iter().find(|(_, size)| bytes.0.is_multiple_of(*size));
    unit.map_or_else(|| bytes.0.to_string(), |(name, size)| format!("{}{name}", bytes.0 / size))
}

impl Serialize for Bandwidth {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bandwidth {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str, when: &str) -> Option<u64> {
        let when: DateTime = when.parse().expect("a time");
        text.parse::<Bandwidth>().expect(text).at(when).map(|rate| rate.0 >> 20)
    }

    #[test]
    fn a_week_is_read_as_it_is_written() {
        let office = "Mon-Fri 08:00-18:00 50MiB/s; else unlimited";
        // 2026-11-23 is a Monday.
        assert_eq!(at(office, "2026-11-23T08:00"), Some(50));
        assert_eq!(at(office, "2026-11-23T07:59"), None);
        assert_eq!(at(office, "2026-11-27T17:59"), Some(50));
        assert_eq!(at(office, "2026-11-27T18:00"), None);
        assert_eq!(at(office, "2026-11-28T12:00"), None);
        assert_eq!(at("200MiB/s", "2026-11-28T12:00"), Some(200));
        let night = "Fri 22:00-06:00 100MiB/s; daily 10MiB/s";
        assert_eq!(at(night, "2026-11-27T23:00"), Some(100));
        assert_eq!(at(night, "2026-11-28T05:59"), Some(100), "Saturday morning belongs to Friday night");
        assert_eq!(at(night, "2026-11-27T05:00"), Some(10));
        assert_eq!(at("Sat,Sun unlimited; 09:00-17:00 5MiB/s; else 20MiB/s", "2026-11-25T10:00"), Some(5));
    }

    #[test]
    fn what_is_not_one_says_how_it_is_written() {
        for (text, word) in [
            ("", "no rate"),
            ("fast", "not a rate"),
            ("1KiB/s", "the least"),
            ("Mon-Fri 25:00-26:00 1MiB/s", "time of day"),
            ("Xyz 08:00-18:00 1MiB/s", "no day"),
            ("else 1MiB/s; Mon 1MiB/s", "`else`"),
            ("Mon 08:00-08:00 1MiB/s", "time of day"),
            ("a b c d", "DAYS"),
        ] {
            let error = text.parse::<Bandwidth>().expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn it_is_written_as_it_is_read(days in 1u8..128, from in 0u16..DAY, to in 0u16..DAY, kib in 64u64..10_000_000, rest in any::<bool>()) {
            prop_assume!(from != to);
            let window = Window { days, from, to, rate: Some(Bytes::kib(kib)) };
            let one = Bandwidth { windows: vec![window], otherwise: rest.then_some(Bytes::kib(kib + 1)) };
            prop_assert_eq!(one.to_string().parse::<Bandwidth>(), Ok(one));
        }

        #[test]
        fn nothing_that_is_typed_panics(text in ".{0,60}") {
            let _ = text.parse::<Bandwidth>();
        }
    }
}
