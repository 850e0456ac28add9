//! How long a job still takes: what is left to do, at the rate of the last seconds, and what its end takes.
//!
//! The rate of the whole run says nothing of a route that has just changed, so only the last ten and thirty seconds
//! count; until there are some, what the plan said is what is left of it. Pure: `Status` asks for every picture.

use super::protocol::{Checking, JobStatus};
use super::telemetry::Lately;
use crate::engine::protocol::JobState;
use crate::units::{Blocks, Bytes};

/// Blocks of a result that are listed back in a second, at the least that was seen: 5,000 a page, ten pages.
const LISTED_BACK: f64 = 50_000.0;

/// What a job is made of, beside what its row says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ends {
    /// Seconds that it takes beside its blocks.
    pub aside: f64,
    /// Whether its results are read back, and how many of them.
    pub back: u32,
}

/// Seconds left, low and high; nothing where nothing can be said.
pub(super) fn left(row: &JobStatus, lately: Option<Lately>, ends: Ends) -> Option<(f64, f64)> {
    if !row.state.is_active() {
        return None;
    }
    let reads_back = ends.back > 0;
    match (row.state, row.checking()) {
        (JobState::Verifying, Some(checking)) if reads_back => at(rest_of(checking).bytes(), lately?, 0.0),
        (JobState::Verifying, Some(checking)) => {
            let seconds = count(rest_of(checking)) / LISTED_BACK;
            Some((seconds, seconds + ends.aside / 2.0))
        }
        (JobState::Completing | JobState::Verifying, _) if !reads_back => Some((0.0, ends.aside)),
        _ => {
            let total = row.blocks_total.value;
            let rest = total.less(row.blocks_done) + Blocks(total.0 * u64::from(ends.back));
            match lately {
                Some(lately) => at(rest.bytes(), lately, ends.aside),
                None => as_said(row),
            }
        }
    }
}

/// Too young to be measured: what the plan said, less what has passed of it.
fn as_said(row: &JobStatus) -> Option<(f64, f64)> {
    let (low, high) = (row.predicted.seconds_low, row.predicted.seconds_high);
    let passed = |seconds: f64| (seconds - row.elapsed_seconds).max(0.0);
    (high > row.elapsed_seconds && row.blocks_resumed == Blocks::ZERO).then(|| (passed(low), passed(high)))
}

fn rest_of(checking: Checking) -> Blocks {
    checking.of.less(checking.done)
}

#[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
fn count(blocks: Blocks) -> f64 {
    blocks.0 as f64
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn at(rest: Bytes, lately: Lately, aside: f64) -> Option<(f64, f64)> {
    let (slow, quick) = (lately.recent.0.min(lately.longer.0), lately.recent.0.max(lately.longer.0));
    (slow > 0.0).then(|| (rest.0 as f64 / quick + aside, rest.0 as f64 / slow + aside))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::engine::telemetry::Trail;
    use crate::units::{BLOCK_BYTES, Quantity};

    /// Blocks of the job.
    const TOTAL: u64 = 200_000;
    /// Ten looks a second, as a job's tick has them.
    const TICK: Duration = Duration::from_millis(100);
    const ASIDE: f64 = 0.8;

    /// A job whose blocks go through as `rate` says (blocks a second, by the second): the truth and what was said of it,
    /// every second from the first figure on.
    fn said(rate: impl Fn(f64) -> f64) -> Vec<(f64, f64, (f64, f64))> {
        let begun = Instant::now();
        let (mut trail, mut done, mut seen) = (Trail::default(), 0.0, Vec::new());
        let mut ticks = 0_u32;
        let total = f64::from(u32::try_from(TOTAL).expect("a few"));
        while done < total {
            ticks += 1;
            let second = f64::from(ticks) / 10.0;
            done += rate(second) / 10.0;
            let now = begun + TICK * ticks;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of blocks")]
            let read = Blocks((done as u64).min(TOTAL));
            trail.push(read.bytes(), now);
            if ticks.is_multiple_of(10) && done < total {
                let mut row = crate::engine::status::blank_row();
                (row.state, row.blocks_total, row.blocks_done) =
                    (JobState::Running, Quantity::exact(Blocks(TOTAL)), read);
                row.elapsed_seconds = second;
                if let Some(left) = left(&row, trail.lately(read.bytes(), now), Ends { aside: ASIDE, back: 0 }) {
                    seen.push((second, left));
                }
            }
        }
        let end = f64::from(ticks) / 10.0 + ASIDE;
        seen.into_iter().map(|(second, left)| (second, end - second, left)).collect()
    }

    /// Both ends within 15 % of what it took, or a second where that is more, thirty seconds after the start and after whatever changed.
    fn held(said: &[(f64, f64, (f64, f64))], changed: f64) {
        let mut looked_at = 0;
        for (second, truth, (low, high)) in said.iter().filter(|(second, ..)| *second >= changed + 30.0) {
            let near = (truth * 0.15).max(1.0);
            assert!(
                (low - truth).abs() <= near && (high - truth).abs() <= near,
                "after {second} s: {low:.1} to {high:.1} s left were said, {truth:.1} it were"
            );
            looked_at += 1;
        }
        assert!(looked_at > 50, "{looked_at}");
    }

    #[test]
    fn a_steady_job_is_known_within_fifteen_percent_after_half_a_minute() {
        let mut dice = fastrand::Rng::with_seed(7);
        let noise: Vec<f64> = (0..20_000).map(|_| 0.6 + 0.8 * dice.f64()).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a tick")]
        let steady = |second: f64| 1000.0 * noise[(second * 10.0) as usize];
        held(&said(steady), 0.0);
    }

    #[test]
    fn a_job_that_is_throttled_now_and_again_is_known_as_well() {
        held(&said(|second| if second % 7.0 < 5.0 { 1000.0 } else { 400.0 }), 0.0);
    }

    #[test]
    fn half_a_minute_after_the_latency_doubled_or_halved_the_figure_is_right_again() {
        held(&said(|second| if second < 60.0 { 1000.0 } else { 500.0 }), 60.0);
        held(&said(|second| if second < 60.0 { 500.0 } else { 1000.0 }), 60.0);
        // Meanwhile the range holds the truth on its slow side: it is never said to be sooner than it will be.
        let said = said(|second| if second < 60.0 { 1000.0 } else { 500.0 });
        let soon = said.iter().filter(|(second, ..)| (70.0..90.0).contains(second));
        assert!(
            soon.clone().count() > 10
                && soon.into_iter().all(|(_, truth, (low, high))| { low <= truth && *high >= truth * 0.9 })
        );
    }

    #[test]
    fn a_ramp_at_the_start_is_forgotten() {
        held(&said(|second| if second < 10.0 { 100.0 } else { 1000.0 }), 10.0);
    }

    #[test]
    fn before_anything_is_measured_what_the_plan_said_counts_down() {
        let mut row = crate::engine::status::blank_row();
        row.state = JobState::Running;
        (row.predicted.seconds_low, row.predicted.seconds_high, row.elapsed_seconds) = (10.0, 14.0, 3.0);
        let ends = Ends { aside: ASIDE, back: 0 };
        assert_eq!(left(&row, None, ends), Some((7.0, 11.0)));
        row.elapsed_seconds = 20.0;
        assert_eq!(left(&row, None, ends), None, "the plan was wrong, and nothing is known yet");
        row.state = JobState::Paused;
        assert_eq!(left(&row, None, ends), None);
    }

    #[test]
    fn what_is_read_back_is_still_to_come() {
        let mut row = crate::engine::status::blank_row();
        (row.state, row.blocks_total) = (JobState::Running, Quantity::exact(Blocks(1000)));
        let hundred = crate::units::Rate(100.0 * f64::from(u32::try_from(BLOCK_BYTES).expect("half a MiB")));
        let lately = Some(Lately { recent: hundred, longer: hundred });
        assert_eq!(left(&row, lately, Ends { aside: 1.0, back: 0 }), Some((11.0, 11.0)));
        assert_eq!(left(&row, lately, Ends { aside: 1.0, back: 1 }), Some((21.0, 21.0)));
    }
}
