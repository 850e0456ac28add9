use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;
use std::time::Duration;

use super::*;

fn key(api: Api) -> Key {
    Key { scope: Scope::Snapshot("snap-0abc1234".parse().unwrap()), api }
}

fn limiter(cap: f64) -> Limiter {
    Limiter::new(key(Api::Get), PerSecond(cap))
}

/// A service that answers so many requests in any stretch of its window and throttles the rest.
#[derive(Debug)]
struct Service {
    allowed: StdMutex<usize>,
    answered: StdMutex<VecDeque<Instant>>,
    window: Duration,
}

impl Service {
    fn of(allowed: usize) -> Arc<Self> {
        Self::within(allowed, Duration::from_secs(1))
    }
    fn within(allowed: usize, window: Duration) -> Arc<Self> {
        Arc::new(Self { allowed: StdMutex::new(allowed), answered: StdMutex::default(), window })
    }
    fn ask(&self) -> bool {
        let now = Instant::now();
        let mut answered = self.answered.lock().unwrap();
        while answered.front().is_some_and(|at| now - *at >= self.window) {
            answered.pop_front();
        }
        let fits = answered.len() < *self.allowed.lock().unwrap();
        if fits {
            answered.push_back(now);
        }
        fits
    }
}

/// What all lanes counted together.
async fn total(lanes: Vec<tokio::task::JoinHandle<(u64, u64)>>) -> (u64, u64) {
    let (mut answered, mut throttled) = (0, 0);
    for lane in lanes {
        let (a, t) = lane.await.unwrap();
        (answered, throttled) = (answered + a, throttled + t);
    }
    (answered, throttled)
}

/// 64 lanes against the service for some seconds; returns how many requests were answered and throttled.
async fn drive(limiter: &Arc<Limiter>, service: &Arc<Service>, seconds: u64) -> (u64, u64) {
    let end = Instant::now() + Duration::from_secs(seconds);
    let lanes: Vec<_> = (0..64)
        .map(|_| {
            let (limiter, service) = (Arc::clone(limiter), Arc::clone(service));
            tokio::spawn(async move {
                let (mut answered, mut throttled) = (0, 0);
                while Instant::now() < end {
                    limiter.acquire().await;
                    sleep(Duration::from_millis(20)).await;
                    if service.ask() {
                        limiter.succeeded();
                        answered += 1;
                    } else {
                        limiter.throttled(Level::Snapshot);
                        throttled += 1;
                    }
                }
                (answered, throttled)
            })
        })
        .collect();
    total(lanes).await
}

#[tokio::test(start_paused = true)]
async fn without_throttles_the_quota_is_used_and_never_passed() {
    let limiter = Arc::new(limiter(1000.0));
    let service = Service::of(usize::MAX);
    let (answered, throttled) = drive(&limiter, &service, 10).await;
    assert_eq!(throttled, 0);
    assert!((9_500..=10_100).contains(&answered), "{answered} in 10 s at 1,000/s");
    let hold = limiter.hold().unwrap();
    assert_eq!((hold.cause, hold.cap), (Cause::Quota, PerSecond(1000.0)));
    assert!(limiter.status().why.contains("never throttled"));
}

#[tokio::test(start_paused = true)]
async fn a_service_of_200_a_second_is_found_and_used() {
    let limiter = Arc::new(limiter(1000.0));
    let service = Service::of(200);
    drive(&limiter, &service, 20).await;
    let (answered, throttled) = drive(&limiter, &service, 30).await;
    let share = throttled as f64 / (answered + throttled) as f64;
    assert!((5_400..=6_050).contains(&answered), "{answered} in 30 s at 200/s");
    assert!(share < 0.02, "{:.2} % were throttled", share * 100.0);
    assert_eq!(limiter.hold().unwrap().cause, Cause::Throttle(Level::Snapshot));
    let status = limiter.status();
    assert!(status.limit < 230.0 && status.cap == 1000.0 && status.used > 180.0, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_far_below_the_quota_is_used_in_full_and_not_hammered() {
    for (quota, allowed) in [(1000.0, 200), (100_000.0, 200), (1000.0, 20), (100_000.0, 20)] {
        let limiter = Arc::new(limiter(quota));
        // It lets a tenth of a second's worth through at once, which says little about its rate.
        let service = Service::within(allowed / 10, Duration::from_millis(100));
        let (early, _) = drive(&limiter, &service, 20).await;
        let (later, throttled) = drive(&limiter, &service, 40).await;
        let whole = (early + later) as f64 / (60 * allowed) as f64;
        let share = throttled as f64 / (later + throttled) as f64;
        let what = format!("{allowed}/s under a quota of {quota}/s");
        assert!(whole > 0.97, "{what}: {:.1} % used from the first second on", whole * 100.0);
        assert!(share < 0.03, "{what}: {:.2} % throttled after 20 s", share * 100.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_minute_of_nothing_but_throttles_is_survived() {
    let limiter = Arc::new(limiter(1000.0));
    let service = Service::of(0);
    let (answered, throttled) = drive(&limiter, &service, 60).await;
    assert_eq!(answered, 0);
    assert!(throttled < 3_000, "it does not hammer: {throttled}");
    assert!((limiter.status().limit - 1.0).abs() < 0.1, "there is a floor: {}", limiter.status().limit);
    *service.allowed.lock().unwrap() = usize::MAX;
    drive(&limiter, &service, 90).await;
    assert_eq!(limiter.status().limit, 1000.0, "and it is back: {}", limiter.status().why);
    assert!(limiter.status().why.contains("back at its quota"));
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_just_under_what_succeeded_and_at_most_once_a_second() {
    let limiter = limiter(1000.0);
    for _ in 0..100 {
        sleep(Duration::from_millis(20)).await;
        for _ in 0..10 {
            limiter.acquire().await;
            limiter.succeeded();
        }
    }
    let mut throttles = 0;
    let first = loop {
        throttles += 1;
        limiter.core().slots.iter_mut().for_each(|slot| slot.throttled += 2);
        if let Some(change) = limiter.throttled(Level::Snapshot) {
            break change;
        }
    };
    assert_eq!(throttles, 1);
    assert!((470.0..500.0).contains(&first.to.0), "just under 500/s: {}", first.to);
    assert_eq!(limiter.throttled(Level::Snapshot), None);
    sleep(Duration::from_millis(999)).await;
    assert_eq!(limiter.throttled(Level::Snapshot), None);
    sleep(Duration::from_millis(2)).await;
    assert!(limiter.throttled(Level::Snapshot).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_limit_climbs_by_about_one_percent_a_second_and_only_when_used() {
    let limiter = Arc::new(limiter(1000.0));
    let service = Service::of(usize::MAX);
    drive(&limiter, &service, 3).await;
    limiter.core().slots.iter_mut().for_each(|slot| slot.throttled += 10);
    let cut = limiter.throttled(Level::Account).unwrap().to.0;
    drive(&limiter, &service, 4).await;
    let climbed = limiter.status().limit / cut;
    assert!((1.02..=1.05).contains(&climbed), "{climbed} in 4 s");
    let before = limiter.status().limit;
    sleep(Duration::from_secs(600)).await;
    limiter.acquire().await;
    assert_eq!(limiter.status().limit, before, "what is not tried is not probed");
    assert_eq!(limiter.hold(), None, "and an idle limiter binds nobody");
}

#[tokio::test(start_paused = true)]
async fn waits_follow_a_change_at_once_and_cancelling_costs_nothing() {
    let limiter = Arc::new(limiter(0.1));
    limiter.acquire().await;
    let begun = Instant::now();
    let other = Arc::clone(&limiter);
    let waiting = tokio::spawn(async move { other.acquire().await });
    sleep(Duration::from_millis(10)).await;
    let cancelled = tokio::time::timeout(Duration::from_millis(10), limiter.acquire()).await;
    assert!(cancelled.is_err());
    assert_eq!(limiter.waiting(), 1);
    limiter.set_cap(PerSecond(1000.0));
    waiting.await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(40), "{:?}", begun.elapsed());
    assert_eq!(limiter.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_moves_the_limiter_of_its_level_only() {
    let all = Limiters::default();
    let account =
        Key { scope: Scope::Account("123456789012".parse().unwrap(), "eu-west-1".parse().unwrap()), api: Api::Get };
    let pace = Pace::new(Some(all.get(key(Api::Get), PerSecond(1000.0))), all.get(account.clone(), PerSecond(1000.0)));
    let limits = || -> Vec<f64> { pace.limiters().map(|limiter| limiter.status().limit).collect() };
    sleep(Duration::from_secs(3)).await;
    pace.throttled(Level::Snapshot).unwrap();
    assert!(limits()[0] < 1000.0 && limits()[1] == 1000.0);
    pace.throttled(Level::Dependency).unwrap();
    assert!(limits()[1] < 1000.0);
    let names: Vec<_> = pace.limiters().map(|limiter| limiter.status().name).collect();
    assert_eq!(names, ["Get per snapshot", "Get per account eu-west-1"]);
    drop(pace);
    assert!(all.get(account, PerSecond(1000.0)).status().limit < 1000.0, "an account's limit outlives the job");
    assert_eq!(all.get(key(Api::Get), PerSecond(1000.0)).status().limit, 1000.0, "a snapshot's does not");
}

#[tokio::test(start_paused = true)]
async fn lanes_that_meet_at_the_door_are_not_held_by_the_limit() {
    let limiter = Arc::new(limiter(1000.0));
    for _ in 0..30 {
        sleep(Duration::from_millis(100)).await;
        // Ten at once, a tenth of what is allowed: the line is passed one by one, but nobody sleeps.
        let turn = limiter.line.lock().await;
        let lanes: Vec<_> = (0..10)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move { limiter.acquire().await })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(turn);
        for lane in lanes {
            lane.await.unwrap();
            limiter.succeeded();
        }
    }
    assert_eq!(limiter.hold(), None);
}

/// A bucket of tokens that fills at a rate: what a service that throttles is like.
#[derive(Debug)]
struct Tokens {
    rate: f64,
    bucket: f64,
    now: StdMutex<(f64, Instant)>,
}

impl Tokens {
    fn ask(&self) -> bool {
        let (now, mut known) = (Instant::now(), self.now.lock().unwrap());
        let filled = (known.0 + (now - known.1).as_secs_f64() * self.rate).min(self.bucket);
        // A hair of rounding is no throttle.
        let fits = filled + 1e-6 >= 1.0;
        *known = (if fits { filled - 1.0 } else { filled }, now);
        fits
    }
}

/// 24 lanes against such a service: answers of the last seconds, and how many of them were throttles.
async fn held(quota: f64, rate: f64, bucket: f64, jitter: u64) -> (f64, f64) {
    let seconds = if rate < 50.0 { 240 } else { 100 };
    let limiter = Arc::new(limiter(quota));
    let service = Arc::new(Tokens { rate, bucket, now: StdMutex::new((bucket, Instant::now())) });
    let begun = Instant::now();
    let (from, end) = (begun + Duration::from_secs(20), begun + Duration::from_secs(20 + seconds));
    let lanes: Vec<_> = (0..24u64)
        .map(|lane| {
            let (limiter, service) = (Arc::clone(&limiter), Arc::clone(&service));
            let mut dice = fastrand::Rng::with_seed(lane);
            tokio::spawn(async move {
                let (mut answered, mut throttled) = (0u64, 0u64);
                while Instant::now() < end {
                    limiter.acquire().await;
                    sleep(Duration::from_millis(20 + dice.u64(0..=jitter))).await;
                    let counts = (from..end).contains(&Instant::now());
                    if service.ask() {
                        limiter.succeeded();
                        answered += u64::from(counts);
                    } else {
                        limiter.throttled(Level::Snapshot);
                        throttled += u64::from(counts);
                        sleep(Duration::from_millis(dice.u64(0..50))).await;
                    }
                }
                (answered, throttled)
            })
        })
        .collect();
    let (answered, throttled) = total(lanes).await;
    (answered as f64 / (seconds as f64 * rate), throttled as f64 / (answered + throttled) as f64)
}

#[tokio::test(start_paused = true)]
async fn a_bucket_of_tokens_is_used_and_hardly_ever_found_empty_however_slowly_it_fills() {
    let mut wrong = Vec::new();
    for rate in [5.0, 10.0, 16.0, 50.0, 200.0] {
        for (bucket, jitter) in
            [(1.0f64.max(rate / 10.0), 0), (rate / 4.0 + 1.0, 25), (2.0 * rate, 25), (10.0 * rate, 25)]
        {
            for quota in [rate, 1000.0] {
                let (used, throttled) = held(quota, rate, bucket, jitter).await;
                let line = format!(
                    "{rate}/s, bucket of {bucket}, quota {quota}: {:.1} % used, {:.2} % throttled",
                    used * 100.0,
                    throttled * 100.0
                );
                println!("{line}");
                if used < 0.9 || throttled >= 0.02 {
                    wrong.push(line);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
