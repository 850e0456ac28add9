use super::*;
use crate::error::Level;

const POLICY: fn() -> Policy = Policy::default;

/// Fails with one class until it is told to stop; each wait is slept with the given jitter.
fn until_stop(class: Class, context: Context, jitter: f64) -> (Stop, u32, Duration) {
    let policy = POLICY();
    let begun = Instant::now();
    let mut now = begun;
    let mut attempts = Attempts::default();
    loop {
        match attempts.decide(&policy, class, context, now, jitter) {
            Decision::Again { after, .. } => now += after,
            Decision::Now | Decision::Relist | Decision::ListFromLast => {}
            Decision::Stop(why) => return (why, attempts.failures(), now - begun),
            other => panic!("{class:?} never stops: {other:?}"),
        }
        assert!(attempts.failures() < 100_000, "{class:?} is tried for ever");
    }
}

#[test]
fn every_class_has_its_first_answer() {
    let started = Some(Instant::now());
    let again = |ms, fresh| Decision::Again { after: Duration::from_millis(ms), fresh };
    for (class, expected) in [
        (Class::Permanent, Decision::Stop(Stop::Permanent)),
        (Class::Transient, again(100, true)),
        (Class::Throttled(Level::Snapshot), again(50, false)),
        (Class::Throttled(Level::Account), again(50, false)),
        (Class::Throttled(Level::Dependency), again(50, false)),
        (Class::Congestion, again(250, true)),
        (Class::ClockSkew, Decision::Now),
        (Class::Credentials, Decision::WaitForCredentials),
        (Class::StaleToken, Decision::Relist),
        (Class::StalePage, Decision::ListFromLast),
        (Class::NotYet, again(500, false)),
        (Class::Quota, Decision::Queue),
    ] {
        let context = Context { started, asked: None };
        let got = Attempts::default().decide(&POLICY(), class, context, Instant::now(), 1.0);
        assert_eq!(got, expected, "{class:?}");
    }
}

#[test]
fn every_class_stops_at_its_own_bound() {
    let started = Context { started: Some(Instant::now()), asked: None };
    let none = Context::default();
    let (why, attempts, took) = until_stop(Class::Transient, none, 1.0);
    assert_eq!((why, attempts), (Stop::Attempts(12), 12));
    assert!((30..=70).contains(&took.as_secs()), "{took:?}");
    let (why, _, took) = until_stop(Class::Throttled(Level::Account), none, 0.5);
    assert!(matches!(why, Stop::Time(_)) && took >= Duration::from_secs(3600), "a blackout of a minute is nothing");
    let (why, attempts, _) = until_stop(Class::Congestion, none, 1.0);
    assert_eq!((why, attempts), (Stop::Attempts(12), 12));
    let (why, attempts, _) = until_stop(Class::StaleToken, none, 1.0);
    assert_eq!((why, attempts), (Stop::Attempts(6), 6));
    let (why, attempts, _) = until_stop(Class::ClockSkew, none, 1.0);
    assert_eq!((why, attempts), (Stop::Attempts(12), 13), "at once, then like any transient failure");
    let (why, _, took) = until_stop(Class::NotYet, started, 1.0);
    assert!(matches!(why, Stop::Time(_)) && (148..=156).contains(&took.as_secs()), "{why:?} after {took:?}");
    assert_eq!(until_stop(Class::NotYet, none, 1.0).0, Stop::Permanent, "not there, and never started by us");
    assert_eq!(until_stop(Class::Permanent, none, 1.0).1, 1);
}

#[test]
fn waits_are_jittered_grow_to_a_cap_and_honour_the_service() {
    let (policy, now) = (POLICY(), Instant::now());
    let wait = |attempts: &mut Attempts, class, asked, jitter| match attempts.decide(
        &policy,
        class,
        Context { started: None, asked },
        now,
        jitter,
    ) {
        Decision::Again { after, .. } => after.as_millis(),
        other => panic!("{other:?}"),
    };
    let mut attempts = Attempts::default();
    let grown: Vec<_> = (0..10).map(|_| wait(&mut attempts, Class::Transient, None, 1.0)).collect();
    assert_eq!(grown, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
    assert_eq!(wait(&mut Attempts::default(), Class::Transient, None, 0.0), 0, "full jitter begins at nothing");
    let asked = Some(Duration::from_secs(7));
    assert_eq!(wait(&mut Attempts::default(), Class::Throttled(Level::Account), asked, 0.0), 7000);
    let asked = Some(Duration::from_secs(86_400));
    assert_eq!(wait(&mut Attempts::default(), Class::Throttled(Level::Account), asked, 0.0), 60_000);
}

#[test]
fn classes_are_counted_apart() {
    let (policy, now) = (POLICY(), Instant::now());
    let mut attempts = Attempts::default();
    for _ in 0..500 {
        let throttled = attempts.decide(&policy, Class::Throttled(Level::Snapshot), Context::default(), now, 0.5);
        assert!(matches!(throttled, Decision::Again { .. }), "throttles do not use up anything");
    }
    for nth in 1..12 {
        let failed = attempts.decide(&policy, Class::Transient, Context::default(), now, 0.5);
        assert!(matches!(failed, Decision::Again { fresh: true, .. }), "failure {nth}");
    }
    let last = attempts.decide(&policy, Class::Transient, Context::default(), now, 0.5);
    assert_eq!(last, Decision::Stop(Stop::Attempts(12)));
}

#[test]
fn a_job_stops_when_nothing_succeeds_for_too_long() {
    let (policy, begun) = (POLICY(), Instant::now());
    let mut outage = Outage::new();
    for second in 0..900 {
        assert_eq!(outage.failed(&policy, begun + Duration::from_secs(second)), None);
    }
    assert_eq!(outage.since(), Some((begun, 900)));
    assert_eq!(outage.failed(&policy, begun + Duration::from_secs(900)), Some(Duration::from_secs(900)));
    outage.succeeded();
    assert_eq!(outage.failed(&policy, begun + Duration::from_secs(2000)), None, "one success is enough");
}

#[test]
fn tokens_refused_twice_within_a_minute_end_parallel_listing() {
    let begun = Instant::now();
    let at = |second| begun + Duration::from_secs(second);
    let mut tokens = Tokens::new(false);
    assert!(!tokens.refused(at(0), at(10)));
    assert!(!tokens.refused(at(5), at(11)), "the same trouble: listed before the refusal");
    assert!(!tokens.refused(at(60), at(100)), "more than a minute later");
    assert!(tokens.refused(at(101), at(130)));
    assert!(tokens.one_cursor() && !tokens.refused(at(131), at(132)), "said once");
    assert!(Tokens::new(true).one_cursor());
}

#[test]
fn deadlines_follow_what_is_seen() {
    let begun = Instant::now();
    let limits = Limits::default();
    let deadlines = Deadlines::new(limits, begun);
    assert_eq!(deadlines.attempt(begun), Duration::from_secs(12));
    for _ in 0..100 {
        deadlines.answered(Duration::from_millis(40), begun);
    }
    assert_eq!(deadlines.attempt(begun), limits.least, "a fast path does not wait long for a dead one");
    for _ in 0..400 {
        deadlines.answered(Duration::from_secs(2), begun);
    }
    let slow = deadlines.attempt(begun).as_secs_f64();
    assert!((7.9..8.2).contains(&slow), "four times the 99th percentile: {slow}");
    for _ in 0..400 {
        deadlines.answered(Duration::from_secs(500), begun);
    }
    assert_eq!(deadlines.attempt(begun), limits.most);
}

#[test]
fn a_path_that_became_slow_is_not_cut_at_the_same_point_for_ever() {
    let mut now = Instant::now();
    let deadlines = Deadlines::new(Limits::default(), now);
    for _ in 0..200 {
        deadlines.answered(Duration::from_millis(50), now);
    }
    // From now on every answer takes 40 s.
    let mut cuts = 0;
    loop {
        let deadline = deadlines.attempt(now);
        if deadline >= Duration::from_secs(40) {
            break;
        }
        cuts += 1;
        assert!(cuts < 60, "still cut after {deadline:?}");
        now += deadline;
        deadlines.cut_off(deadline, now);
    }
    // And it forgets: a minute of fast answers brings it down again.
    for _ in 0..4 {
        now += Duration::from_secs(31);
        for _ in 0..100 {
            deadlines.answered(Duration::from_millis(50), now);
        }
    }
    assert_eq!(deadlines.attempt(now), Limits::default().least);
}
