use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const ITEM: Bytes = Bytes::mib(1);

fn item() -> Weight {
    Weight::of(Part::Blocks, ITEM)
}

/// A limit under which so many items of 1 MiB fit beside the pages' eighth.
fn room(items: u64) -> Bytes {
    Budget::floor_for(Bytes(ITEM.0 * items))
}

type Wait<'a> = Pin<Box<dyn Future<Output = Result<Permit, Denied>> + 'a>>;

fn poll(wait: &mut Wait<'_>) -> Option<Result<Permit, Denied>> {
    match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

#[test]
fn the_floor_is_the_smallest_limit_that_fits_an_item() {
    for item in [1, 7, 8, 524_288, 1_361_920, Bytes::gib(3).0] {
        let floor = Budget::floor_for(Bytes(item));
        assert!(split(floor).0 >= item && split(Bytes(floor.0 - 1)).0 < item, "{item}");
    }
}

#[tokio::test(start_paused = true)]
async fn four_jobs_on_two_items_finish_beside_one_that_hangs() {
    let budget = Budget::new(room(2));
    let jobs: Vec<_> = (0..4).map(|n| budget.join(JobId(n), ITEM, Bytes(1))).collect();
    let hog = jobs[0].clone();
    // Job 0 hangs with whatever it gets, for as long as it gets it.
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok(permit) = hog.acquire(item()).await {
            kept.push(permit);
        }
    });
    tokio::task::yield_now().await;
    let mut others = Vec::new();
    for job in &jobs[1..] {
        for _ in 0..8 {
            let job = job.clone();
            others.push(tokio::spawn(async move {
                for _ in 0..50 {
                    let _permit = job.acquire(item()).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }));
        }
    }
    let done = tokio::time::timeout(Duration::from_secs(3600), async {
        for other in others {
            other.await.unwrap();
        }
    });
    done.await.expect("the others must finish");
    assert_eq!(jobs[0].held(), ITEM, "the one that hangs was kept to its floor");
    assert_eq!(budget.usage().used, ITEM);
}

#[test]
fn a_job_that_waits_gives_way_and_comes_back() {
    let budget = Budget::new(room(1));
    let (a, b) = (budget.join(JobId(1), ITEM, Bytes(1)), budget.join(JobId(2), ITEM, Bytes(1)));
    let held = a.try_acquire(item()).unwrap();
    let mut of_b: Wait<'_> = Box::pin(b.acquire(item()));
    assert!(poll(&mut of_b).is_none());
    assert!(a.is_pressed() && !b.is_pressed());
    let mut of_a: Wait<'_> = Box::pin(a.acquire(item()));
    assert!(poll(&mut of_a).is_none());
    a.set_active(false);
    drop(held);
    let of_b = poll(&mut of_b).unwrap().unwrap();
    drop(of_b);
    assert!(poll(&mut of_a).is_none(), "an inactive job is granted nothing, even when there is room");
    a.set_active(true);
    assert!(poll(&mut of_a).unwrap().is_ok());
}

#[test]
fn nothing_is_kept_free_for_jobs_that_wait_or_left() {
    let budget = Budget::new(room(2));
    let (a, b) = (budget.join(JobId(1), ITEM, Bytes(1)), budget.join(JobId(2), ITEM, Bytes(1)));
    let _one = a.try_acquire(item()).unwrap();
    assert!(a.try_acquire(item()).is_none(), "the second item is the other job's floor");
    b.set_active(false);
    let two = a.try_acquire(item());
    assert!(two.is_some());
    drop(two);
    b.set_active(true);
    assert!(a.try_acquire(item()).is_none());
    drop(b);
    assert!(a.try_acquire(item()).is_some());
}

#[test]
fn a_cut_is_a_debt_that_is_paid_before_anything_is_granted() {
    let budget = Budget::new(room(8));
    let job = budget.join(JobId(1), ITEM, Bytes(1));
    let mut permits: Vec<_> = (0..8).map(|_| job.try_acquire(item()).unwrap()).collect();
    let mut waits: Vec<Wait<'_>> = (0..2).map(|_| Box::pin(job.acquire(item())) as Wait<'_>).collect();
    assert!(waits.iter_mut().all(|wait| poll(wait).is_none()));
    budget.resize(room(4));
    assert_eq!(budget.usage().debt.0, 4 * ITEM.0 - (split(room(4)).0 - 4 * ITEM.0));
    permits.truncate(4);
    assert!(poll(&mut waits[1]).is_none() && poll(&mut waits[0]).is_none(), "four are held, four fit");
    permits.truncate(3);
    assert!(poll(&mut waits[1]).is_none(), "first come, first served");
    assert!(poll(&mut waits[0]).is_some());
    budget.resize(room(9));
    assert!(poll(&mut waits[1]).unwrap().is_ok(), "and up again at once");
}

#[test]
fn an_item_that_cannot_fit_is_denied_with_the_figures() {
    let budget = Budget::new(room(2));
    let job = budget.join(JobId(1), ITEM, Bytes(1));
    let _held = (job.try_acquire(item()).unwrap(), job.try_acquire(item()).unwrap());
    let mut wait: Wait<'_> = Box::pin(job.acquire(item()));
    assert!(poll(&mut wait).is_none());
    budget.resize(Bytes::kib(512));
    let denied = poll(&mut wait).unwrap().unwrap_err();
    assert_eq!(denied, Denied::TooLarge { needs: room(1), limit: Bytes::kib(512) });
    let error = Error::from(denied);
    assert_eq!(error.kind.exit_code(), 4);
    assert!(error.what.contains("512 KiB") && error.todo.unwrap().contains("--memory 2M"));
    job.set_share(Some(Bytes::kib(100)));
    let mut page: Wait<'_> = Box::pin(job.acquire_page(Bytes::mib(1)));
    assert!(matches!(poll(&mut page), Some(Err(Denied::TooLarge { .. }))));
}

#[test]
fn a_wait_that_is_cancelled_holds_up_nobody_whenever_it_is_cancelled() {
    let budget = Budget::new(room(1));
    let (a, b) = (budget.join(JobId(1), ITEM, Bytes(1)), budget.join(JobId(2), ITEM, Bytes(1)));
    let held = a.try_acquire(item()).unwrap();
    let mut first: Wait<'_> = Box::pin(b.acquire(item()));
    let mut second: Wait<'_> = Box::pin(b.acquire(item()));
    let mut third: Wait<'_> = Box::pin(b.acquire(item()));
    assert!(poll(&mut first).is_none() && poll(&mut second).is_none() && poll(&mut third).is_none());
    drop(first); // in the queue
    drop(held); // grants the second, which nobody has taken out yet
    assert_eq!(b.held(), ITEM);
    drop(second);
    assert!(poll(&mut third).unwrap().is_ok());
    assert_eq!(budget.usage().used, Bytes::ZERO);
    assert_eq!(budget.usage().waiting, 0);
}

#[test]
fn a_run_is_as_long_as_the_budget_allows_at_that_moment() {
    let budget = Budget::new(room(64));
    let job = budget.join(JobId(1), ITEM, Bytes(1));
    let run = job.acquire_run(Weight::of(Part::Compression, ITEM), item(), 16);
    let run = poll(&mut (Box::pin(run) as Wait<'_>)).unwrap().unwrap();
    assert_eq!((run.units(), run.weight().total()), (16, Bytes::mib(17)));
    let _rest: Vec<_> = (0..40).map(|_| job.try_acquire(item()).unwrap()).collect();
    let second = poll(&mut (Box::pin(job.acquire_run(Weight::default(), item(), 16)) as Wait<'_>)).unwrap().unwrap();
    assert_eq!(second.units(), 3, "half of the seven that are free");
    job.set_share(Some(job.held() + ITEM));
    let third = poll(&mut (Box::pin(job.acquire_run(Weight::default(), item(), 16)) as Wait<'_>)).unwrap().unwrap();
    assert_eq!(third.units(), 1, "the job's own share bounds it, too");
    assert!(job.try_acquire(item()).is_none());
}

#[test]
fn pages_and_items_have_pools_of_their_own() {
    let budget = Budget::new(Bytes::mib(8));
    let job = budget.join(JobId(1), ITEM, Bytes::kib(64));
    assert_eq!(job.page_room(), Bytes::mib(1));
    let other = budget.join(JobId(2), ITEM, Bytes::kib(64));
    assert_eq!(job.page_room(), Bytes::kib(512));
    drop(other);
    let items: Vec<_> = std::iter::from_fn(|| job.try_acquire(item())).collect();
    assert_eq!(items.len(), 7);
    let page = poll(&mut (Box::pin(job.acquire_page(Bytes::mib(1))) as Wait<'_>)).unwrap();
    assert!(page.is_ok(), "a lister never waits for blocks");
    assert_eq!(budget.usage().used, Bytes::mib(8));
    assert_eq!(budget.usage().pages_used, Bytes::mib(1));
}

#[test]
fn who_holds_what_adds_up() {
    let budget = Budget::new(room(8));
    let (a, b) = (budget.join(JobId(1), ITEM, Bytes(1)), budget.join(JobId(2), ITEM, Bytes(1)));
    let mut one = a.try_acquire(item().and(Part::Connections, Bytes::kib(408))).unwrap();
    let _two = b.try_acquire(item()).unwrap();
    one.turn_into(Part::Blocks, Part::Unsynced);
    one.shrink(Part::Connections, Bytes::kib(8));
    one.shrink(Part::Compression, Bytes::ZERO);
    let usage = budget.usage();
    let part = |part: Part| usage.parts[part as usize].1;
    assert_eq!(part(Part::Unsynced), ITEM);
    assert_eq!(part(Part::Blocks), ITEM);
    assert_eq!(part(Part::Connections), Bytes::kib(8));
    let jobs: Vec<(JobId, Bytes)> = usage.jobs.iter().map(|(job, held)| (*job, held.total())).collect();
    assert_eq!(jobs, [(JobId(1), ITEM + Bytes::kib(8)), (JobId(2), ITEM)]);
    assert_adds_up(&usage);
    assert_eq!(usage.parts.iter().map(|(_, bytes)| *bytes).sum::<Bytes>(), usage.used);
    assert_eq!(usage.floor, room(1));
    drop(a);
    assert_eq!(budget.usage().jobs.len(), 2, "a permit may outlive its job's handle");
    drop(one);
    let jobs: Vec<(JobId, Bytes)> = budget.usage().jobs.iter().map(|(job, held)| (*job, held.total())).collect();
    assert_eq!(jobs, [(JobId(2), ITEM)]);
}

#[derive(Debug, Clone)]
enum Op {
    Acquire(usize, u64),
    Run(usize, u32),
    Cancel(usize),
    Release(usize),
    Shrink(usize, u64),
    Resize(u64),
    Active(usize, bool),
    Share(usize, Option<u64>),
}

fn op() -> impl Strategy<Value = Op> {
    let job = 0..3usize;
    prop_oneof![
        6 => (job.clone(), 1..200u64).prop_map(|(job, kib)| Op::Acquire(job, kib)),
        2 => (job.clone(), 1..20u32).prop_map(|(job, units)| Op::Run(job, units)),
        2 => (0..64usize).prop_map(Op::Cancel),
        5 => (0..64usize).prop_map(Op::Release),
        1 => (0..64usize, 0..200u64).prop_map(|(at, kib)| Op::Shrink(at, kib)),
        1 => (100..2000u64).prop_map(Op::Resize),
        1 => (job.clone(), any::<bool>()).prop_map(|(job, on)| Op::Active(job, on)),
        1 => (job, proptest::option::of(200..1000u64)).prop_map(|(job, kib)| Op::Share(job, kib)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn never_over_the_limit_no_permit_lost_no_deadlock(ops in proptest::collection::vec(op(), 1..120)) {
        let budget = Budget::new(Bytes::mib(1));
        let jobs: Vec<_> = (0..3).map(|n| budget.join(JobId(n), Bytes::kib(200), Bytes(1))).collect();
        let mut waits: Vec<Wait<'_>> = Vec::new();
        let mut permits: Vec<Permit> = Vec::new();
        let block = |kib| Weight::of(Part::Blocks, Bytes::kib(kib));
        let mut before = 0;
        for op in ops {
            let mut grown = true;
            match op {
                Op::Acquire(job, kib) => waits.push(Box::pin(jobs[job].acquire(block(kib)))),
                Op::Run(job, units) => waits.push(Box::pin(jobs[job].acquire_run(block(5), block(10), units))),
                Op::Cancel(at) if !waits.is_empty() => drop(waits.swap_remove(at % waits.len())),
                Op::Release(at) if !permits.is_empty() => drop(permits.swap_remove(at % permits.len())),
                Op::Shrink(at, kib) if !permits.is_empty() => {
                    let at = at % permits.len();
                    permits[at].shrink(Part::Blocks, Bytes::kib(kib));
                }
                Op::Resize(kib) => { budget.resize(Bytes::kib(kib)); grown = false; }
                Op::Active(job, on) => jobs[job].set_active(on),
                Op::Share(job, kib) => jobs[job].set_share(kib.map(Bytes::kib)),
                Op::Cancel(_) | Op::Release(_) | Op::Shrink(..) => {}
            }
            // To an end: a wait enters the queue when it is polled first, and whoever enters may let one through
            // that was polled before it in the same round. Two rounds without anybody coming through are the end.
            let mut quiet = 0;
            while quiet < 2 {
                let asked = waits.len();
                waits.retain_mut(|wait| match poll(wait) {
                    Some(outcome) => { permits.extend(outcome.ok()); false }
                    None => true,
                });
                quiet = if waits.len() == asked { quiet + 1 } else { 0 };
            }
            let usage = budget.usage();
            let held: u64 = permits.iter().map(|permit| permit.weight().total().0).sum();
            prop_assert_eq!(usage.used.0, held, "what is held is what is out");
            prop_assert_eq!(usage.jobs.iter().map(|(_, of)| of.total().0).sum::<u64>(), held);
            prop_assert!(usage.waiting <= waits.len());
            let items = usage.limit.0 - usage.limit.0 / 8;
            prop_assert!(held <= items || (usage.debt.0 == held - items && (!grown || held <= before)), "over the limit");
            before = held;
        }
        // Whatever happened: when everybody may go on and gives back what it got, everybody is served.
        for job in &jobs {
            job.set_active(true);
            job.set_share(None);
        }
        budget.resize(Bytes::mib(1));
        while !waits.is_empty() {
            let (left, held) = (waits.len(), permits.len());
            permits.clear();
            waits.retain_mut(|wait| match poll(wait) {
                Some(outcome) => { permits.extend(outcome.ok()); false }
                None => true,
            });
            prop_assert!(waits.len() < left || held > 0, "a deadlock: {} wait", waits.len());
        }
        permits.clear();
        prop_assert_eq!(budget.usage().used, Bytes::ZERO);
    }
}

/// Parts by job add up to the parts, these to the gauge.
fn assert_adds_up(usage: &Usage) {
    for (part, held) in usage.parts {
        assert_eq!(usage.jobs.iter().map(|(_, of)| of.part(part)).sum::<Bytes>(), held, "{}", part.name());
    }
    assert_eq!(usage.parts.iter().map(|(_, held)| *held).sum::<Bytes>(), usage.used);
    assert_eq!(usage.jobs.iter().map(|(_, of)| of.total()).sum::<Bytes>(), usage.used);
}
