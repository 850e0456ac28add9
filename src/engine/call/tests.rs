//! The retry layer as a whole, on a clock of its own: how long each class is tried, what a minute of nothing but
//! throttles costs, and that a link of 64 KiB/s brings every block.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::sleep;

use super::*;
use crate::engine::journal::Progress;
use crate::engine::protocol::Lanes;
use crate::engine::window::Bounds;
use crate::ids::JobId;

const LANES: u32 = 64;

fn caller(start: u32) -> (Arc<Hub>, Arc<Caller>) {
    let bounds = Bounds { start, most: LANES };
    let hub = Hub::new(JobId(1), bounds, Lanes::Auto, Progress::default(), Vec::new(), None);
    let each = PerSecond(1000.0);
    let quotas =
        Quotas { get_per_snapshot: each, put_per_snapshot: each, get_per_account: each, put_per_account: each };
    let caller = Caller::new(Arc::clone(&hub), Arc::default(), quotas);
    (hub, Arc::new(caller))
}

/// Where requests of that kind go, of a session that nobody has to open.
fn route(caller: &Caller, api: Api) -> Arc<Route> {
    let scope = Scope::Account("111122223333".parse().expect("an account"), "eu-west-1".parse().expect("a region"));
    let account = caller.limiters.get(Key { scope, api }, PerSecond(1000.0));
    let scope = Scope::Snapshot("snap-0abc1234".parse().expect("an id"));
    let own = caller.limiters.get(Key { scope, api }, PerSecond(1000.0));
    let now = Instant::now();
    Arc::new(Route {
        api,
        pace: Pace::new(Some(own), account),
        deadlines: Arc::new(Deadlines::new(Limits::default(), now)),
        answered: Mutex::new(now),
        started: Mutex::new(None),
        asking: Mutex::default(),
        name: format!("{} eu-west-1", api.name()),
    })
}

/// What a request that always fails so comes to: its last error, how often it was sent, how long that took.
async fn tried(route: Option<&Route>, caller: &Caller, class: Class) -> (Error, u64, Duration) {
    let sent = AtomicU64::new(0);
    let begun = Instant::now();
    let log = caller.hub.lane_log();
    let tries = || match route {
        Some(route) => caller.tries(route, &log, 0),
        None => caller.control(),
    };
    let outcome: Result<()> = retried!(tries(), async {
        sent.fetch_add(1, Ordering::Relaxed);
        Err(Error::classed(class, "it failed"))
    });
    (outcome.expect_err("it always fails"), sent.load(Ordering::Relaxed), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn each_class_takes_its_time_and_what_is_permanent_takes_none() {
    const APIS: [Option<Api>; 5] = [Some(Api::Get), Some(Api::Put), Some(Api::List), None, Some(Api::Complete)];
    let minutes = |n: u64| Duration::from_secs(60 * n);
    for api in APIS {
        for (class, most_sent, most_time) in [
            (Class::Permanent, 1, Duration::ZERO),
            (Class::StaleToken, 1, Duration::ZERO),
            (Class::StalePage, 1, Duration::ZERO),
            (Class::Credentials, 1, Duration::ZERO),
            (Class::Quota, 1, Duration::ZERO),
            // Nobody has just started it.
            (Class::NotYet, 1, Duration::ZERO),
            (Class::Transient, 12, minutes(1)),
            (Class::ClockSkew, 13, minutes(1)),
            (Class::Congestion, 12, minutes(3)),
            (Class::Throttled(Level::Account), 10_000, minutes(16)),
        ] {
            let (_, caller) = caller(4);
            let route = api.map(|api| route(&caller, api));
            let (error, sent, took) = tried(route.as_deref(), &caller, class).await;
            let what = format!("{class:?} at {api:?}: {sent} requests in {took:?}: {error}");
            assert!(sent <= most_sent && took <= most_time, "{what}");
            assert!(most_sent == 1 || sent > 1, "{what}");
        }
    }
}

/// A process that was stopped for an hour (Ctrl-Z, a frozen machine) has failed for no longer than before: neither the
/// bound of an item nor that of the whole job is over because of it.
#[tokio::test(start_paused = true)]
async fn time_in_which_the_process_did_not_run_counts_for_no_bound() {
    for class in [Class::Transient, Class::Throttled(Level::Account), Class::Congestion] {
        for is_control in [false, true] {
            let (hub, caller) = caller(4);
            let route = (!is_control).then(|| route(&caller, Api::Get));
            let log = caller.hub.lane_log();
            let mut tries = match &route {
                Some(route) => caller.tries(route, &log, 0),
                None => caller.control(),
            };
            let failed = || async { Err::<(), Error>(Error::classed(class, "it failed")) };
            assert!(tries.attempt(failed()).await.is_ok(), "tried again");
            // Stopped while a request was under way: it fails when the process goes on.
            let stopped = tries.attempt(async {
                tokio::time::advance(Duration::from_secs(2 * 3600)).await;
                failed().await
            });
            match stopped.await {
                Ok(None) => {}
                // A server that said nothing for so long is waited for with the memory given back.
                Err(error) if class == Class::Congestion && !is_control => {
                    assert!(matches!(crate::engine::transfer::halt_of(error), crate::engine::transfer::Halt::Wait(_)));
                }
                other => panic!("{class:?}: {other:?}"),
            }
            assert_eq!(hub.failed(&Policy::default(), Instant::now()), None, "nor does the whole job end");
        }
    }
}

/// What a whole copy shares; each lane takes the next block.
async fn blocks<F: Future<Output = Result<()>> + Send + 'static>(
    (hub, caller): (&Arc<Hub>, &Arc<Caller>),
    route: &Arc<Route>,
    until: Instant,
    request: impl Fn() -> F + Send + Sync + Clone + 'static,
) -> (Vec<u64>, Vec<Error>) {
    let seconds = until.duration_since(Instant::now()).as_secs();
    let answered: Arc<Vec<AtomicU64>> = Arc::new((0..=seconds).map(|_| AtomicU64::new(0)).collect());
    let begun = Instant::now();
    let mut lanes = tokio::task::JoinSet::new();
    for _ in 0..LANES {
        let (hub, caller, route) = (Arc::clone(hub), Arc::clone(caller), Arc::clone(route));
        let (request, answered) = (request.clone(), Arc::clone(&answered));
        lanes.spawn(async move {
            let log = hub.lane_log();
            while Instant::now() < until {
                let slot = hub.gate.acquire().await;
                let began = Instant::now();
                let outcome: Result<()> = retried!(caller.tries(&route, &log, 0), request());
                drop(slot);
                outcome?;
                hub.item_done(began.elapsed());
                let second = usize::try_from(begun.elapsed().as_secs()).unwrap_or(usize::MAX);
                if let Some(count) = answered.get(second) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok::<(), Error>(())
        });
    }
    let mut beat = tokio::time::interval(Duration::from_millis(200));
    let mut wrong = Vec::new();
    loop {
        tokio::select! {
            ended = lanes.join_next() => match ended {
                None => break,
                Some(outcome) => wrong.extend(outcome.expect("a lane").err()),
            },
            _ = beat.tick() => hub.tick(|| None),
        }
    }
    (answered.iter().map(|count| count.load(Ordering::Relaxed)).collect(), wrong)
}

#[tokio::test(start_paused = true)]
async fn after_a_minute_of_nothing_but_throttles_work_goes_on_at_full_rate() {
    for level in [Level::Snapshot, Level::Account, Level::Dependency] {
        let (hub, caller) = caller(LANES);
        let route = route(&caller, Api::Put);
        let begun = Instant::now();
        let (dark, light) = (begun + Duration::from_secs(10), begun + Duration::from_secs(70));
        let refused = Arc::new(AtomicU64::new(0));
        let request = {
            let refused = Arc::clone(&refused);
            move || {
                let refused = Arc::clone(&refused);
                async move {
                    sleep(Duration::from_millis(20)).await;
                    if (dark..light).contains(&Instant::now()) {
                        refused.fetch_add(1, Ordering::Relaxed);
                        return Err(Error::classed(Class::Throttled(level), "slow down"));
                    }
                    Ok(())
                }
            }
        };
        let end = begun + Duration::from_secs(150);
        let (answered, wrong) = blocks((&hub, &caller), &route, end, request).await;
        assert!(wrong.is_empty(), "{level:?}: no block is given up: {}", wrong[0]);
        let full = answered[2..9].iter().min().copied().unwrap_or(0);
        assert!(full > 950, "{level:?}: {full} a second before");
        assert!(answered[12..69].iter().all(|count| *count == 0));
        let refused = refused.load(Ordering::Relaxed);
        assert!((30..2_000).contains(&refused), "{level:?}: asked now and then, not hammered: {refused}");
        let back = answered.iter().skip(70).position(|count| *count > full * 95 / 100);
        assert!(back.is_some_and(|seconds| seconds <= 30), "{level:?}: at full rate again after {back:?} s");
        assert!(answered[76] > 50, "{level:?}: and at work at once: {} in its seventh second", answered[76]);
    }
}

/// A link that carries so many bytes a second, whoever's: pieces of 64 KiB go in turn.
#[derive(Debug, Default)]
struct Link(tokio::sync::Mutex<()>);

impl Link {
    async fn block(&self) -> Result<()> {
        for _ in 0..8 {
            let _turn = self.0.lock().await;
            sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }
}

/// Deadlines, the window and the waits of a job together: nothing is cut for ever because it is slow.
#[tokio::test(start_paused = true)]
async fn a_link_of_64_kib_a_second_brings_every_block() {
    let (hub, caller) = caller(16);
    let route = route(&caller, Api::Get);
    let link: Arc<Link> = Arc::default();
    let left = Arc::new(AtomicU64::new(40));
    let begun = Instant::now();
    let mut waits = 0;
    // As a run does it: a pass that meets silence gives everything back, waits, and begins anew.
    while left.load(Ordering::Relaxed) > 0 {
        route.begin();
        let log = hub.lane_log();
        let canary: Result<()> = retried!(caller.tries(&route, &log, 0), link.block());
        canary.expect("one block alone comes in time");
        left.fetch_sub(1, Ordering::Relaxed);
        let mut lanes = tokio::task::JoinSet::new();
        let stop = tokio_util::sync::CancellationToken::new();
        for _ in 0..16 {
            let (hub, caller, route) = (Arc::clone(&hub), Arc::clone(&caller), Arc::clone(&route));
            let (link, left, stop) = (Arc::clone(&link), Arc::clone(&left), stop.clone());
            lanes.spawn(async move {
                let log = hub.lane_log();
                loop {
                    let slot = hub.gate.acquire().await;
                    let began = Instant::now();
                    if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
                        return Ok(());
                    }
                    let moved = async { retried!(caller.tries(&route, &log, 0), link.block()) };
                    let outcome: Result<()> = tokio::select! {
                        outcome = moved => outcome,
                        () = stop.cancelled() => Err(Error::classed(Class::Congestion, "the pass ended")),
                    };
                    drop(slot);
                    if let Err(error) = outcome {
                        left.fetch_add(1, Ordering::Relaxed);
                        return Err(error);
                    }
                    hub.item_done(began.elapsed());
                }
            });
        }
        let mut beat = tokio::time::interval(Duration::from_millis(200));
        let mut silent = None;
        loop {
            tokio::select! {
                ended = lanes.join_next() => match ended {
                    None => break,
                    Some(outcome) => if let Err(error) = outcome.expect("a lane") {
                        assert_eq!(error.class, Class::Congestion, "never given up: {error}");
                        stop.cancel();
                        silent = Some(error);
                    },
                },
                _ = beat.tick() => hub.tick(|| None),
            }
        }
        if silent.is_some() {
            waits += 1;
            assert!(waits < 6, "it gets on: {} of 40 left after {:?}", left.load(Ordering::Relaxed), begun.elapsed());
            sleep(Duration::from_secs(2)).await;
        }
    }
    let took = begun.elapsed();
    // 40 blocks of 8 s each are 320 s; what was cut on the way there came twice.
    assert!(took < Duration::from_secs(900), "{took:?} with {waits} waits");
    assert_eq!(hub.figures().troubles.corrupt, 0);
}

/// A dead connection hangs nobody: the attempt is cut, tried again, and after a minute of silence given back.
#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_not_waited_for() {
    let (hub, caller) = caller(16);
    let route = route(&caller, Api::Get);
    let log = hub.lane_log();
    let sent = AtomicU64::new(0);
    let begun = Instant::now();
    let outcome: Result<()> = retried!(caller.tries(&route, &log, 0), async {
        sent.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    });
    let error = outcome.expect_err("nothing answers");
    assert_eq!(error.class, Class::Congestion, "the job waits, it does not fail: {error}");
    assert!(error.what.contains("is silent for 60 s"), "{error}");
    assert!(sent.load(Ordering::Relaxed) >= 3, "it is asked more than once");
    assert!((60..=65).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert!(hub.lanes_target() < 16, "and with fewer at once");
}

/// Pages of an archive come from its index, which is kept: what they take is no answer of a block, and the window would
/// take every real one for a queue beside it.
#[tokio::test(start_paused = true)]
async fn pages_are_not_taken_for_the_quickest_blocks() {
    let (hub, caller) = caller(LANES);
    let (route, asked) = (route(&caller, Api::Fetch), Asked::default());
    for _ in 0..10 {
        let tries = caller.tries(&route, caller.log(), 0).counted(Some(&asked)).lists();
        let page: Result<()> = retried!(tries, async { Ok(()) });
        page.expect("a page");
    }
    let block: Result<()> = retried!(caller.tries(&route, caller.log(), 0), async {
        sleep(Duration::from_millis(100)).await;
        Ok(())
    });
    block.expect("a block");
    hub.tick(|| None);
    let median = hub.past(true).get_ms;
    assert!((95.0..105.0).contains(&median), "{median} ms");
}

/// A segment holds 64 blocks: the one that fetches it takes its time, the others come out of it at once, and so do those that
/// wait for it. Only what was asked of the service says how quick that is.
#[tokio::test(start_paused = true)]
async fn blocks_that_are_at_hand_are_not_taken_for_the_quickest() {
    let (hub, caller) = caller(LANES);
    let (route, asked) = (route(&caller, Api::Fetch), Asked::default());
    for nth in 0..64 {
        let block: Result<()> = retried!(caller.tries(&route, caller.log(), 0).counted(Some(&asked)), async {
            if nth % 32 == 0 {
                asked.one();
                sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        });
        block.expect("a block");
    }
    hub.tick(|| None);
    let past = hub.past(true);
    assert!((95.0..105.0).contains(&past.get_ms), "{} ms", past.get_ms);
    assert_eq!(hub.figures().requests.get, 2, "and only those are paid for");
}
