//! The window alone, and window, gate and rate together against a service with limits of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::sleep;

use super::*;
use crate::engine::rate::{Api, Key, Limiter, Pace, PerSecond, Scope};

const BOUNDS: Bounds = Bounds { start: 8, most: 256 };
const TICK: Duration = Duration::from_millis(250);

/// Ticks a window whose throughput is what `rate` says of its lanes; returns the reasons that were seen.
fn ticks(window: &mut Window, from: Instant, count: u32, rate: impl Fn(u32) -> f64) -> (Instant, Vec<LaneReason>) {
    let mut now = from;
    let mut seen = Vec::new();
    for _ in 0..count {
        now += TICK;
        let items = (rate(window.target()) * TICK.as_secs_f64()) as u64;
        let quickest = Some(Duration::from_millis(50));
        let takes = (items > 0).then(|| Duration::from_secs_f64(f64::from(window.target()) / rate(window.target())));
        let sample = Sample { items, peak: window.target(), quickest, takes, ..Sample::default() };
        seen.extend(window.tick(now, sample).map(|change| change.reason));
    }
    (now, seen)
}

#[test]
fn it_doubles_while_that_helps_and_takes_back_what_did_not() {
    let now = Instant::now();
    let mut window = Window::new(BOUNDS, Lanes::Auto, now);
    // 20 blocks a second and lane, up to 64 lanes' worth.
    let (now, seen) = ticks(&mut window, now, 24, |lanes| f64::from(lanes.min(64)) * 20.0);
    assert!((64..=104).contains(&window.target()), "little more than what is in use: {:?}", window.last());
    assert_eq!(seen[..4], [LaneReason::Growing; 4], "8, 16, 32, 64, 128");
    assert_eq!(seen.last(), Some(&LaneReason::NoGain), "{seen:?}");
    let status = window.status(now, Timestamp::UNIX_EPOCH, 60);
    assert_eq!((status.reason, status.now), (LaneReason::NoGain, 60));
    assert!(status.why.contains("More lanes would not help"), "{}", status.why);
    // It looks again now and then, and gives up more and more slowly.
    let (now, seen) = ticks(&mut window, now, 4 * 240, |lanes| f64::from(lanes.min(64)) * 20.0);
    assert!((2..=16).contains(&seen.len()) && window.target() <= 128, "{seen:?}");
    // The path widens: it is found.
    let (_, _) = ticks(&mut window, now, 4 * 240, |lanes| f64::from(lanes) * 20.0);
    assert_eq!(window.target(), 256);
}

#[test]
fn timeouts_halve_it_at_once_but_an_accident_does_not() {
    let now = Instant::now();
    let mut window = Window::new(Bounds { start: 64, most: 64 }, Lanes::Auto, now);
    let (now, _) = ticks(&mut window, now, 8, |_| 100.0);
    assert_eq!(window.congested(now), None, "one of many");
    let change = window.congested(now).unwrap();
    assert_eq!((change.from, change.to, change.reason), (64, 32, LaneReason::Congestion));
    assert!((0..20).all(|_| window.congested(now).is_none()), "what was in flight does not count again");
    let later = now + HALVE_EVERY;
    for _ in 0..20 {
        window.congested(later);
    }
    assert_eq!(window.target(), 16);
    for nth in 2..40u32 {
        for _ in 0..20 {
            window.congested(now + HALVE_EVERY * nth);
        }
    }
    assert_eq!(window.target(), 1, "never to nothing");
    let (_, seen) = ticks(&mut window, now + HALVE_EVERY * 41, 4 * 600, |lanes| f64::from(lanes) * 50.0);
    assert_eq!((window.target(), seen[0]), (64, LaneReason::Growing), "and back when it is over");
}

#[test]
fn lanes_that_brought_nothing_yet_are_no_reason_for_more() {
    let now = Instant::now();
    let mut window = Window::new(Bounds { start: 16, most: 256 }, Lanes::Auto, now);
    // Half a minute in which everything is on its way and nothing has arrived.
    let (now, seen) = ticks(&mut window, now, 4 * 30, |_| 0.0);
    assert_eq!((window.target(), seen.len()), (16, 0));
    ticks(&mut window, now, 4 * 10, |lanes| f64::from(lanes) * 20.0);
    assert!(window.target() > 16, "and it grows when something does");
}

#[test]
fn the_user_and_the_memory_bind_at_once() {
    let now = Instant::now();
    let mut window = Window::new(Bounds { start: 64, most: 256 }, Lanes::Auto, now);
    let change = window.set_lanes(Lanes::AtMost(16), now).unwrap();
    assert_eq!((change.to, change.reason), (16, LaneReason::UserCap));
    assert_eq!(window.set_lanes(Lanes::Pinned(100), now).unwrap().to, 100);
    let (now, seen) = ticks(&mut window, now, 100, |lanes| f64::from(lanes) * 20.0);
    assert_eq!((window.target(), seen.len()), (100, 0), "pinned is pinned");
    assert_eq!(window.status(now, Timestamp::UNIX_EPOCH, 0).cap, 256, "a pin is no cap: it can be moved up again");
    assert_eq!(window.congested(now).or_else(|| window.congested(now)), None);
    let change = window.set_memory(40, now).unwrap();
    assert_eq!((change.to, change.reason), (40, LaneReason::Memory));
    assert_eq!(window.set_memory(400, now).unwrap().to, 100, "the pin comes back with the memory");
    window.set_lanes(Lanes::Auto, now);
    window.set_memory(150, now);
    let (now, _) = ticks(&mut window, now, 100, |lanes| f64::from(lanes) * 20.0);
    let status = window.status(now, Timestamp::UNIX_EPOCH, 0);
    assert_eq!((status.target, status.cap, status.reason), (150, 150, LaneReason::Memory));
    assert_eq!(window.set_lanes(Lanes::AtMost(0), now).unwrap().to, 1, "a window of nothing is a pause, not a setting");
}

#[test]
fn lanes_without_work_or_memory_are_not_taken_for_a_bound_path() {
    let now = Instant::now();
    let mut window = Window::new(BOUNDS, Lanes::Auto, now);
    let mut at = now;
    let mut feed = |window: &mut Window, sample: Sample| {
        for _ in 0..8 {
            at += TICK;
            window.tick(at, sample.clone());
        }
        window.status(at, Timestamp::UNIX_EPOCH, 0)
    };
    let status = feed(&mut window, Sample { items: 40, peak: 3, ..Sample::default() });
    assert_eq!((status.target, status.reason), (8, LaneReason::Tail));
    let status = feed(&mut window, Sample { items: 40, peak: 8, memory_waits: true, ..Sample::default() });
    assert_eq!((status.target, status.reason), (8, LaneReason::Memory));
}

#[tokio::test(start_paused = true)]
async fn the_gate_obeys_a_smaller_window_immediately_and_loses_nobody() {
    let gate = Gate::new(4);
    let mut inside = Vec::new();
    for _ in 0..4 {
        inside.push(gate.acquire().await);
    }
    let waits: Vec<_> = (0..3)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.acquire().await })
        })
        .collect();
    sleep(Duration::from_millis(1)).await;
    gate.set_limit(2);
    inside.truncate(2);
    sleep(Duration::from_millis(1)).await;
    assert_eq!((gate.in_flight(), gate.waiting()), (2, 3), "two left, nobody came in");
    assert_eq!(gate.take_peak(), 4);
    assert_eq!(gate.take_peak(), 2);
    waits[0].abort();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(gate.waiting(), 2);
    inside.clear();
    assert_eq!(gate.in_flight(), 2, "both places are given");
    waits[1].abort(); // given, perhaps not yet taken
    sleep(Duration::from_millis(1)).await;
    drop(waits);
    sleep(Duration::from_millis(1)).await;
    assert_eq!((gate.in_flight(), gate.waiting()), (0, 0));
}

/// A service with a latency and a limit of its own.
struct Service {
    latency: Duration,
    level: Level,
    allowed: u64,
    slots: [AtomicU64; 2],
}

impl Service {
    /// Whether a request in this tenth of a second still fits.
    fn ask(&self, second: u64) -> bool {
        let [at, count] = &self.slots;
        if at.swap(second, Ordering::Relaxed) != second {
            count.store(0, Ordering::Relaxed);
        }
        count.fetch_add(1, Ordering::Relaxed) < self.allowed / 10
    }
}

/// Runs 256 lanes against a service and returns what "lanes and why" says at the end.
async fn run(latency_ms: u64, level: Level, allowed: u64, quota: f64, lanes: Lanes, for_ms: u64) -> LanesStatus {
    let latency = Duration::from_millis(latency_ms);
    let service = Arc::new(Service { latency, level, allowed, slots: [AtomicU64::new(0), AtomicU64::new(0)] });
    let limiter = |scope| Arc::new(Limiter::new(Key { scope, api: Api::Get }, PerSecond(quota)));
    let account = Scope::Account("123456789012".parse().unwrap(), "eu-west-1".parse().unwrap());
    let snapshot = Scope::Snapshot("snap-0abc1234".parse().unwrap());
    let pace = Pace::new(Some(limiter(snapshot)), limiter(account));
    let begun = Instant::now();
    let mut window = Window::new(BOUNDS, lanes, begun);
    let gate = Gate::new(window.target());
    let (done, took) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..256)
        .map(|_| {
            let (service, pace, gate) = (Arc::clone(&service), pace.clone(), gate.clone());
            let (done, took) = (Arc::clone(&done), Arc::clone(&took));
            tokio::spawn(async move {
                loop {
                    let _slot = gate.acquire().await;
                    let began = Instant::now();
                    pace.acquire().await;
                    sleep(service.latency).await;
                    if service.ask(begun.elapsed().as_millis() as u64 / 100) {
                        pace.succeeded();
                        done.fetch_add(1, Ordering::Relaxed);
                        took.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
                    } else {
                        pace.throttled(service.level);
                    }
                }
            })
        })
        .collect();
    while begun.elapsed() < Duration::from_millis(for_ms) {
        sleep(TICK).await;
        let items = done.swap(0, Ordering::Relaxed);
        let sample = Sample {
            items,
            peak: gate.take_peak(),
            hold: pace.hold(),
            memory_waits: false,
            quickest: Some(latency),
            takes: took.swap(0, Ordering::Relaxed).checked_div(items).map(Duration::from_micros),
        };
        window.tick(Instant::now(), sample);
        gate.set_limit(window.target());
    }
    tasks.iter().for_each(|task| task.abort());
    window.status(Instant::now(), Timestamp::UNIX_EPOCH, gate.in_flight())
}

#[tokio::test(start_paused = true)]
async fn lanes_and_why_names_the_true_cause_in_five_staged_cases() {
    let free = u64::MAX;
    let growing = run(400, Level::Account, free, 5000.0, Lanes::Auto, 1500).await;
    assert_eq!(growing.reason, LaneReason::Growing, "{growing:?}");
    assert!(growing.target > 8 && growing.why.contains("still grows"), "{growing:?}");

    let quota = run(40, Level::Account, free, 1000.0, Lanes::Auto, 20_000).await;
    assert_eq!(quota.reason, LaneReason::Quota, "{quota:?}");
    assert!(quota.target >= 40 && quota.target <= 128 && quota.why.contains("quota of 1,000/s"), "{quota:?}");

    let snapshot = run(40, Level::Snapshot, 300, 1000.0, Lanes::Auto, 20_000).await;
    assert_eq!(snapshot.reason, LaneReason::SnapshotThrottle, "{snapshot:?}");
    assert!(snapshot.target >= 8, "a throttle never moves the window down: {snapshot:?}");

    let account = run(40, Level::Account, 300, 1000.0, Lanes::Auto, 20_000).await;
    assert_eq!(account.reason, LaneReason::AccountThrottle, "{account:?}");
    assert!(account.why.contains("account"), "{account:?}");

    let capped = run(40, Level::Account, free, 5000.0, Lanes::AtMost(32), 20_000).await;
    assert_eq!((capped.reason, capped.target, capped.cap), (LaneReason::UserCap, 32, 32), "{capped:?}");
    assert!(capped.why.contains("by you"), "{capped:?}");
}

#[test]
fn lanes_are_shared_at_once_and_come_back_at_once() {
    let now = Instant::now();
    let bounds = Bounds { start: 128, most: 256 };
    let mut window = Window::new(bounds, Lanes::Auto, now);
    assert_eq!(window.share(None, now), None, "nothing was lent");
    let cut = window.share(Some(72), now).expect("cut");
    assert_eq!((cut.from, cut.to, cut.reason), (128, 72, LaneReason::Shared));
    window.share(Some(50), now).expect("cut again");
    let back = window.share(None, now).expect("back");
    assert_eq!((back.from, back.to), (50, 128), "what it had before the first of them");
    assert_eq!(window.share(None, now), None);
    let lifted = window.share(Some(1000), now).expect("lifted");
    assert_eq!(lifted.to, 256, "never above its own bounds");
    assert_eq!(window.share(None, now), None, "what it was given is not taken back");
    window.set_lanes(Lanes::Pinned(9), now);
    assert_eq!(window.share(Some(72), now), None, "a pin stays");
}
