use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::engine::protocol::{Requests, Troubles};
use crate::engine::rate::Api;
use crate::error::{Class, Level};
use crate::ids::BlockIndex;
use crate::units::{Bytes, Rate};

const TICK: Duration = Duration::from_millis(250);

#[test]
fn a_steady_flow_reads_the_same_on_all_three_averages_from_the_start() {
    let begun = Instant::now();
    let mut meter = Meter::new(begun);
    assert_eq!((meter.fast(), meter.whole()), (Rate(0.0), Rate(0.0)));
    for nth in 1..=8 {
        meter.add(Bytes::mib(25));
        meter.tick(begun + TICK * nth);
        for rate in [meter.fast(), meter.slow(), meter.whole()] {
            assert!((rate.0 - Bytes::mib(100).0 as f64).abs() < 1.0, "{rate} at tick {nth}");
        }
    }
    assert_eq!(meter.total(), Bytes::mib(200));
    // It stops: the fast one forgets within seconds, the slow one within a minute.
    let mut now = begun + TICK * 8;
    for _ in 0..20 {
        now += TICK;
        meter.tick(now);
    }
    assert!(meter.fast().0 < Bytes::mib(1).0 as f64 && meter.slow().0 > Bytes::mib(10).0 as f64);
    let before = meter.whole();
    meter.skip_to(now + Duration::from_secs(3600));
    assert_eq!(meter.whole(), before, "a pause is no part of the run");
    meter.tick(now);
    assert_eq!(meter.whole(), before, "a clock that stands still divides by nothing");
}

#[test]
fn a_ring_keeps_the_latest_means_and_fills_its_gaps() {
    let begun = Instant::now();
    let mut ring = Ring::<4>::new(Duration::from_secs(5), begun);
    let at = |second| begun + Duration::from_secs(second);
    ring.push(10.0, at(0));
    ring.push(20.0, at(4));
    assert!(ring.values().is_empty(), "the first stretch is not over");
    ring.push(7.0, at(5));
    assert_eq!(ring.values(), [15.0]);
    ring.push(1.0, at(16));
    assert_eq!(ring.values(), [15.0, 7.0, 7.0], "nothing came for a stretch");
    ring.push(2.0, at(10_000));
    assert_eq!(ring.values(), [1.0; 4], "never more than it holds, however long the gap");
}

#[test]
fn latencies_age_and_the_whole_run_does_not() {
    let begun = Instant::now();
    let mut latency = Latency::new(begun);
    assert_eq!(latency.recent_ms(), None);
    for nth in 1..=100u64 {
        latency.record(Duration::from_millis(nth), begun);
    }
    let (p50, p99) = latency.recent_ms().unwrap();
    assert!((49.0..52.0).contains(&p50) && (98.0..101.0).contains(&p99), "{p50} {p99}");
    latency.record(Duration::from_secs(5), begun + Duration::from_secs(31));
    assert!(latency.recent_ms().unwrap().0 < 60.0, "the half-minute before still counts");
    latency.record(Duration::from_secs(5), begun + Duration::from_secs(62));
    assert!(latency.recent_ms().unwrap().0 > 4900.0);
    assert!(latency.whole_ms().unwrap().0 < 60.0);
    latency.record(Duration::from_secs(1_000_000), begun);
    latency.record(Duration::ZERO, begun);
}

#[test]
fn what_lanes_did_is_merged_once_and_adds_up() {
    let begun = Instant::now();
    let before = Requests { list: 1, get: 10, put: 10, ..Requests::default() };
    let mut job = JobTelemetry::new(before, Troubles::default(), begun);
    let (one, two) = (job.lane(), job.lane());
    let flight = one.take_off(3, Api::Get, begun, true);
    let slow = two.take_off(9, Api::Put, begun, true);
    let beside = two.take_off(9, Api::Put, begun + TICK, true);
    flight.landed(begun + Duration::from_millis(80));
    one.read(3, Bytes::mib(1));
    one.written(Bytes::mib(2));
    two.retried(9, Class::Throttled(Level::Snapshot));
    two.retried(9, Class::Throttled(Level::Account));
    two.retried(9, Class::Congestion);
    two.retried(9, Class::Transient);
    two.corrupt();
    two.relisted();
    let now = begun + Duration::from_secs(1);
    job.tick(now);
    job.tick(now + TICK);
    assert_eq!(job.requests, Requests { list: 1, get: 11, put: 12, ..Requests::default() });
    let expected = Troubles {
        retries: 4,
        snapshot_throttles: 1,
        account_throttles: 1,
        timeouts: 1,
        corrupt: 1,
        relisted: 1,
        kms_throttles: 0,
    };
    assert_eq!(job.troubles, expected);
    assert_eq!(job.retries_by_class(), [("congestion", 1), ("throttled", 2), ("transient", 1)]);
    assert_eq!((job.read.total(), job.written.total()), (Bytes::mib(1), Bytes::mib(2)));
    let (p50, _) = job.get.recent_ms().unwrap();
    assert!((79.0..81.0).contains(&p50) && job.put.recent_ms().is_none(), "what is not answered has no latency");
    let nine = job.view(9, now);
    assert_eq!((nine.retries, nine.in_flight, nine.oldest), (4, 2, Some(Duration::from_secs(1))));
    assert_eq!(job.oldest(now), Some((9, Api::Put, Duration::from_secs(1))));
    let three = job.view(3, now);
    assert!(three.rate.0 > 0.0 && three.in_flight == 0 && three.p99_ms.is_some());
    drop(slow); // given up
    job.tick(now + 2 * TICK);
    assert_eq!(job.view(9, now).in_flight, 1);
    drop(beside);
    // A lane that ends leaves nothing behind but what it did.
    one.read(3, Bytes::mib(5));
    drop((one, two));
    job.tick(now + 3 * TICK);
    job.tick(now + 4 * TICK);
    assert_eq!(job.read.total(), Bytes::mib(6));
    assert_eq!(job.oldest(now), None);
    job.forget(3);
    assert_eq!(job.view(3, now), SegmentView::default());
    assert_eq!(job.read.total(), Bytes::mib(6));
}

#[test]
fn this_process_is_seen() {
    let mut process = Process::new();
    let ballast = vec![1u8; 32 << 20];
    let with = process.sample();
    assert!(with.rss > Bytes::mib(32), "{}", with.rss);
    drop(std::hint::black_box(ballast));
    let without = process.sample();
    assert!(without.rss < with.rss && without.rss_peak >= with.rss, "the peak stays");
    assert!(without.machine_total >= without.machine_used && without.cores > 0);
    process.reset_peak();
    assert!(process.sample().rss_peak < with.rss);
    let ceiling = memory_ceiling();
    assert!(ceiling > with.rss && ceiling <= with.machine_total);
}

#[test]
fn a_block_that_was_retried_more_than_three_times_struggles_until_its_lane_is_done_with_it() {
    let begun = Instant::now();
    let mut job = JobTelemetry::new(Requests::default(), Troubles::default(), begun);
    let (one, two) = (job.lane(), job.lane());
    let (hard, easy) = (one.moves(BlockIndex(7)), two.moves(BlockIndex(8)));
    for tick in 0..4u32 {
        assert_eq!(job.struggling(), &[], "after {tick} retries");
        one.retried(0, Class::Transient);
        job.tick(begun + TICK * (tick + 1));
    }
    two.retried(0, Class::Transient);
    job.tick(begun + TICK * 5);
    assert_eq!(job.struggling(), &[BlockIndex(7)], "retries of several ticks add up");
    drop(hard);
    job.tick(begun + TICK * 6);
    assert_eq!(job.struggling(), &[]);
    drop(easy);
}

#[tokio::test(start_paused = true)]
async fn blocks_are_counted_where_they_are_and_targets_know_how_long_they_take() {
    let begun = Instant::now();
    let mut job = JobTelemetry::new(Requests::default(), Troubles::default(), begun);
    let (one, two, three) = (job.lane(), job.lane(), job.lane());
    let _moving = [one.moves(BlockIndex(1)), two.moves(BlockIndex(2)), three.moves(BlockIndex(3))];
    let both = (two.writes(0), two.writes(1));
    let late = three.writes(1);
    tokio::time::advance(Duration::from_secs(4)).await;
    job.tick(Instant::now());
    assert_eq!(job.reading(), 1);
    let blocks: Vec<u32> = job.targets().iter().map(|target| target.blocks).collect();
    assert_eq!(blocks, [1, 2], "a block that goes to two places is counted at both");
    assert_eq!(job.targets()[1].oldest, Some(begun));
    assert_eq!(job.targets()[1].takes, None, "nothing has arrived yet");
    drop((both, late));
    job.tick(Instant::now());
    assert_eq!((job.reading(), job.targets()[1].blocks), (3, 0));
    assert_eq!(job.targets()[1].takes, Some(4.0));
    assert!(!job.is_stale(Instant::now()) && job.is_stale(Instant::now() + STALE_FOR));
}

const STALE_FOR: Duration = Duration::from_secs(1);
