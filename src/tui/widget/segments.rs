//! The segment table: which part of a volume moves, how fast, and which one holds the job back.
//!
//! Worst first, windowed: only the rows that are seen are built. Rates are rounded so that the rows and the
//! line of the rest add up to the job's rate. Pure functions; used by the transfers and the job screen.

use ratatui::text::{Line, Span};

use super::super::text::{left, right};
use super::super::theme::{Role, Theme};
use super::{gauge, spark, sums};
use crate::engine::protocol::SegmentStatus;
use crate::ids::BlockRange;
use crate::units::BLOCK_BYTES;

/// Seconds that the oldest request may be in flight before its segment counts as stuck: the shortest
/// attempt deadline is longer, so a retry has not mended it yet.
const STUCK: f32 = 5.0;

/// Indexes into `segments`, the one that holds the job back first, those that are through last.
#[must_use]
pub fn worst_first(segments: &[SegmentStatus]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..segments.len()).collect();
    order.sort_by(|a, b| {
        let key = |n: usize| (over(&segments[n]), !is_stuck(&segments[n]));
        let rate = |n: usize| segments[n].rate.0;
        key(*a).cmp(&key(*b)).then(rate(*a).total_cmp(&rate(*b))).then(a.cmp(b))
    });
    order
}

/// Whether all of it is where it should be.
#[must_use]
pub fn over(segment: &SegmentStatus) -> bool {
    segment.listing_done && segment.done >= segment.listed
}

/// Whether it needs a look.
#[must_use]
pub fn is_stuck(segment: &SegmentStatus) -> bool {
    !over(segment) && segment.oldest_seconds.is_some_and(|s| s > STUCK)
}

/// Blocks there are in it: exact once listed, at most before.
fn total(segment: &SegmentStatus) -> u64 {
    if segment.listing_done { segment.listed.0 } else { u64::from(segment.range.len()) }
}

/// `9.00–9.62 TiB`, `12.0–24.0 GiB`: in the unit of the whole volume.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "two decimals of a place in a volume")]
pub fn range(range: BlockRange, volume_end: u32) -> String {
    const UNITS: [(&str, f64); 3] = [("TiB", 40.0), ("GiB", 30.0), ("MiB", 20.0)];
    let bytes = |index: u32| (u64::from(index) * BLOCK_BYTES) as f64;
    let (unit, power) = UNITS.into_iter().find(|(_, p)| bytes(volume_end) >= p.exp2()).unwrap_or(UNITS[2]);
    let figure = |index: u32| {
        let value = bytes(index) / power.exp2();
        let places = if value >= 99.95 {
            0
        } else if value >= 9.995 {
            1
        } else {
            2
        };
        format!("{value:.places$}")
    };
    format!("{}–{} {unit}", figure(range.start), figure(range.end))
}

/// Columns of the table for a width: sparks go first, then the note, then p99 and retries.
#[derive(Debug, Clone, Copy)]
struct Columns {
    bar: usize,
    spark: usize,
    tail: bool,
    note: usize,
}

impl Columns {
    fn of(width: usize) -> Self {
        // mark 2, number 3, range 15, percent 5, rate 7 and the gaps between.
        let fixed = 2 + 3 + 15 + 5 + 7;
        let room = width.saturating_sub(fixed);
        let tail = room >= 26;
        let tail_width = if tail { 12 } else { 0 };
        let spark = if room >= 34 { 6 } else { 0 };
        let bar = room.saturating_sub(tail_width + spark).min(9);
        Self { bar, spark, tail, note: room.saturating_sub(tail_width + spark + bar) }
    }
}

/// The heading.
#[must_use]
pub fn heading(theme: &Theme, width: usize) -> Line<'static> {
    let c = Columns::of(width);
    let mut text = format!("  {:>2} {}{}{:>7}", "#", left("RANGE", 15), left("DONE", c.bar + 5), "MiB/s");
    if c.spark > 0 {
        text.push_str(&left(" 20 s", c.spark));
    }
    if c.tail {
        text.push_str(&format!("{:>7}{:>5}", "p99", "RE"));
    }
    text.push_str(&left(" NOTE", c.note));
    Line::styled(text, theme.style(Role::Title))
}

/// `height` lines from `first` on, the last one for all that is not seen; `selected` is a place in the order.
#[must_use]
pub fn rows(
    theme: &Theme,
    segments: &[SegmentStatus],
    first: usize,
    selected: Option<usize>,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let order = worst_first(segments);
    let tenths = sums::apportioned(&segments.iter().map(|s| s.rate.as_tenths()).collect::<Vec<_>>());
    let end = segments.iter().map(|s| s.range.end).max().unwrap_or(0);
    let all = order.len() <= height;
    let shown = if all { height } else { height.saturating_sub(1) };
    let first = first.min(order.len().saturating_sub(shown));
    let mut out: Vec<Line<'static>> = order
        .iter()
        .enumerate()
        .skip(first)
        .take(shown)
        .map(|(place, n)| row(theme, &segments[*n], tenths[*n], end, selected == Some(place), width))
        .collect();
    if !all && height > 0 {
        let hidden: Vec<u64> = order
            .iter()
            .enumerate()
            .filter(|(p, _)| *p < first || *p >= first + shown)
            .map(|(_, n)| tenths[*n])
            .collect();
        out.push(rest(theme, &hidden, width));
    }
    out
}

/// `   8 more, 31.5 – 32.3 MiB/s each   255.1`.
fn rest(theme: &Theme, hidden: &[u64], width: usize) -> Line<'static> {
    let c = Columns::of(width);
    let (low, high) = (hidden.iter().min().copied().unwrap_or(0), hidden.iter().max().copied().unwrap_or(0));
    let each = if low == high { tenth(low) } else { format!("{} – {}", tenth(low), tenth(high)) };
    let text = left(&format!("     {} more, {each} each", hidden.len()), 20 + c.bar + 5);
    let sum = right(&tenth(hidden.iter().sum()), 7);
    Line::from(vec![Span::styled(text, theme.style(Role::Dim)), Span::styled(sum, theme.style(Role::Dim))])
}

fn tenth(n: u64) -> String {
    format!("{}.{}", n / 10, n % 10)
}

fn row(theme: &Theme, segment: &SegmentStatus, tenths: u64, end: u32, selected: bool, width: usize) -> Line<'static> {
    let c = Columns::of(width);
    let stuck = is_stuck(segment);
    let done = over(segment);
    let role = if stuck {
        Role::Warn
    } else if done {
        Role::Dim
    } else {
        Role::Text
    };
    let styled = |text: String, role: Role| Span::styled(text, theme.style(role));
    let mark = if selected {
        "▶ "
    } else if stuck {
        "! "
    } else {
        "  "
    };
    let mut spans = vec![
        styled(mark.to_owned(), if selected { Role::Accent } else { role }),
        styled(format!("{:>2} ", segment.id), role),
        styled(left(&range(segment.range, end), 15), role),
    ];
    let fill = if stuck { Role::Warn } else { Role::Gauge };
    let share = if done { 1.0 } else { gauge::share(segment.done.0, total(segment)).min(0.999) };
    spans.extend(gauge::bar(theme, share, c.bar.saturating_sub(1), fill));
    spans.push(styled(
        right(&gauge::percent(segment.done.0, total(segment), done).replace(' ', ""), 6 - usize::from(c.bar == 0)),
        role,
    ));
    let rate = if done { "–".to_owned() } else { tenth(tenths) };
    spans.push(styled(right(&rate, 7), role));
    if c.spark > 0 {
        spans.push(Span::raw(" "));
        spans.push(styled(spark::text(theme, &segment.history, c.spark - 1, None), fill));
    }
    if c.tail {
        let p99 = segment.p99_ms.map_or_else(|| "–".to_owned(), milliseconds);
        spans.push(styled(format!("{p99:>7}{:>5}", segment.retries), role));
    }
    spans.push(styled(left(&format!(" {}", segment.note), c.note), if stuck { Role::Warn } else { Role::Dim }));
    Line::from(spans)
}

/// `88 ms`, `9.2 s`.
#[must_use]
pub fn milliseconds(ms: f32) -> String {
    if ms >= 1000.0 { format!("{:.1} s", ms / 1000.0) } else { format!("{ms:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Blocks, Rate};

    fn segment(id: u32, mib: f64, oldest: f32, done: u64) -> SegmentStatus {
        SegmentStatus {
            id,
            range: BlockRange::new(id * 1000, (id + 1) * 1000),
            listed: Blocks(1000),
            done: Blocks(done),
            listing_done: true,
            rate: Rate(mib * 1024.0 * 1024.0),
            history: vec![1.0; 20],
            p99_ms: Some(88.0),
            retries: 0,
            in_flight: 8,
            oldest_seconds: Some(oldest),
            note: String::new(),
        }
    }

    #[test]
    fn the_one_that_holds_the_job_back_is_first_and_the_finished_are_last() {
        let all =
            [segment(0, 0.0, 0.0, 1000), segment(1, 30.0, 0.1, 5), segment(2, 3.0, 0.1, 5), segment(3, 40.0, 9.0, 5)];
        assert_eq!(worst_first(&all), [3, 2, 1, 0]);
    }

    #[test]
    fn rows_and_the_rest_add_up_to_the_rate() {
        let all: Vec<_> = (0..9).map(|n| segment(n, 3.34 + f64::from(n) * 0.01, 0.1, 5)).collect();
        let total: f64 = all.iter().map(|s| s.rate.as_tenths()).sum();
        for height in 1..12 {
            let shown: f64 = rows(&Theme::default(), &all, 0, None, 68, height)
                .iter()
                .map(|line| line.to_string())
                .map(|text| {
                    if text.contains(" more, ") {
                        text.split_whitespace().last().unwrap_or("0").parse::<f64>().unwrap_or(-1.0)
                    } else {
                        text.split_whitespace()
                            .find_map(|w| w.contains('.').then(|| w.parse::<f64>().ok()).flatten())
                            .unwrap_or(-1.0)
                    }
                })
                .sum();
            assert!((shown * 10.0 - total.round()).abs() < 0.01, "{height}: {shown} {total}");
        }
    }

    #[test]
    fn every_line_has_the_width_whatever_it_is() {
        let all: Vec<_> = (0..20).map(|n| segment(n, 33.0, 0.1, u64::from(n) * 50)).collect();
        for width in [34usize, 48, 60, 68, 90, 116] {
            for line in rows(&Theme::default(), &all, 0, Some(0), width, 30) {
                assert!(line.width() <= width, "{width}: {} {line}", line.width());
            }
        }
        assert!(rows(&Theme::default(), &[], 0, None, 60, 5).is_empty());
        assert!(rows(&Theme::default(), &all, 0, None, 60, 0).is_empty());
    }

    #[test]
    fn ranges_are_told_in_the_unit_of_the_volume() {
        let tib = 2_097_152;
        assert_eq!(range(BlockRange::new(9 * tib, 10 * tib), 16 * tib), "9.00–10.0 TiB");
        assert_eq!(range(BlockRange::new(0, 2048), 16_384), "0.00–1.00 GiB");
        assert_eq!(range(BlockRange::new(0, 2), 2), "0.00–1.00 MiB");
    }

    #[test]
    fn a_segment_is_full_only_when_it_is_over() {
        let mut almost = segment(0, 1.0, 0.1, 1000);
        almost.listing_done = false;
        almost.range = BlockRange::new(0, 1000);
        let text = rows(&Theme::default(), &[almost], 0, None, 68, 1)[0].to_string();
        assert!(text.contains("99%") && text.contains('░'), "{text}");
    }
}
