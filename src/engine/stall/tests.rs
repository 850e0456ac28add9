use super::*;
use crate::error::Level;

fn end(name: &str, blocks: u32, takes: Option<f64>) -> End {
    End { name: name.to_owned(), blocks, takes, oldest: Duration::ZERO }
}

fn facts() -> Facts {
    Facts {
        state: JobState::Running,
        why: String::new(),
        reason: LaneReason::Growing,
        progress: 1,
        written: 0,
        troubles: Troubles::default(),
        silent: None,
        limiter: None,
        source: end("Get us-east-1", 8, Some(0.02)),
        targets: vec![end("prod@eu-west-1:snap-1", 8, Some(0.05))],
        bandwidth: None,
        memory: false,
    }
}

/// Looks four times a second for so long; the news in order.
fn looks(watch: &mut Watch, facts: &Facts, now: &mut Instant, seconds: u64) -> Vec<News> {
    let mut news = Vec::new();
    for _ in 0..seconds * 4 {
        *now += Duration::from_millis(250);
        news.extend(watch.look(facts, *now));
    }
    news
}

/// What is said after so long without a byte in these circumstances.
fn after(seconds: u64, facts: &Facts) -> Option<Stall> {
    let mut now = Instant::now();
    let mut watch = Watch::new(now);
    watch.look(&Facts { progress: 7, ..self::facts() }, now);
    looks(&mut watch, &Facts { progress: 7, ..facts.clone() }, &mut now, seconds);
    watch.stall()
}

#[test]
fn every_cause_has_its_name_and_its_figures_within_fifteen_seconds() {
    let silent = |api, name: &str| Some(Silent { api, name: name.to_owned(), lasted: Duration::from_secs(11) });
    let throttles = |level, n| {
        let mut troubles = Troubles::default();
        (0..n).for_each(|_| troubles.throttled(level));
        troubles
    };
    let limiter = Some(("Get per account us-east-1".to_owned(), PerSecond(1000.0), PerSecond(610.0)));
    let calm = facts();
    let cases = [
        (
            Facts { silent: silent(Api::Put, "Put eu-west-1"), ..calm.clone() },
            Cause::NoAnswer,
            "no answer: Put",
            "Put eu-west-1 has not answered for 11 s",
        ),
        (
            Facts { troubles: throttles(Level::Account, 40), limiter: limiter.clone(), ..calm.clone() },
            Cause::Throttled,
            "throttled",
            "40 throttles at account level, rate of Get per account us-east-1 1,000 → 610/s",
        ),
        (
            Facts { troubles: throttles(Level::Snapshot, 1), ..calm.clone() },
            Cause::Throttled,
            "throttled",
            "1 throttle at snapshot level",
        ),
        (
            Facts { troubles: throttles(Level::Dependency, 9), limiter, ..calm.clone() },
            Cause::Kms,
            "KMS throttled",
            "9 throttles at KMS level",
        ),
        (
            Facts {
                targets: vec![End { oldest: Duration::from_secs(9), ..end("/mnt/slow.img", 16, None) }],
                ..calm.clone()
            },
            Cause::SlowTarget,
            "slow target",
            "/mnt/slow.img takes 9.0 s for a block, 16 blocks wait for it",
        ),
        (
            Facts { bandwidth: Some("1 KiB/s".to_owned()), targets: Vec::new(), ..calm.clone() },
            Cause::Bandwidth,
            "bandwidth",
            "1 KiB/s",
        ),
        (Facts { memory: true, targets: Vec::new(), ..calm.clone() }, Cause::Memory, "memory", "lanes wait for memory"),
        (
            Facts { state: JobState::Starting, targets: Vec::new(), ..calm.clone() },
            Cause::NoAnswer,
            "no answer",
            "nothing was answered yet",
        ),
        (Facts { targets: Vec::new(), ..calm.clone() }, Cause::Unknown, "nothing moves", "no request is on its way"),
    ];
    for (facts, cause, word, text) in cases {
        assert_eq!(after(4, &facts), None, "{word}: not for every hiccup");
        let stall = after(12, &facts).expect(word);
        assert_eq!((stall.cause, stall.word.as_str()), (cause, word), "{stall:?}");
        assert!(stall.text.starts_with("no bytes for 12 s, ") && stall.text.contains(text), "{}", stall.text);
        assert!(word.len() <= 16, "{word} fits its column");
    }
    let ends = Facts { state: JobState::Completing, targets: Vec::new(), ..facts() };
    assert_eq!(after(60, &ends), None, "what AWS completes takes as long as it takes");
}

#[test]
fn a_target_that_answers_after_long_is_slow_and_one_that_never_does_is_silent() {
    let silent = |seconds| {
        Some(Silent { api: Api::Put, name: "Put eu-west-1".to_owned(), lasted: Duration::from_secs(seconds) })
    };
    let slow = vec![end("prod@eu-west-1:snap-1", 16, Some(8.0))];
    let at_work = Facts { targets: slow.clone(), silent: silent(9), ..facts() };
    assert_eq!(after(9, &at_work).expect("named").cause, Cause::SlowTarget);
    let gone = Facts { targets: slow, silent: silent(40), ..facts() };
    assert_eq!(after(40, &gone).expect("named").cause, Cause::NoAnswer);
    let never = Facts { silent: silent(9), ..facts() };
    assert_eq!(after(9, &never).expect("named").cause, Cause::NoAnswer);
}

#[test]
fn one_end_that_holds_up_the_other_is_named_while_bytes_move() {
    let mut now = Instant::now();
    let mut watch = Watch::new(now);
    let mut progress = 0;
    let mut flow = |watch: &mut Watch, facts: &Facts, seconds| {
        for _ in 0..seconds {
            progress += 1;
            looks(watch, &Facts { progress, ..facts.clone() }, &mut now, 1);
        }
    };
    let slow = Facts {
        source: end("Get us-east-1", 1, Some(0.02)),
        targets: vec![end("prod@eu-west-1:snap-1", 14, Some(5.0)), end("null:", 1, Some(0.0))],
        ..facts()
    };
    flow(&mut watch, &slow, 15);
    let stall = watch.stall().expect("named");
    assert_eq!((stall.cause, stall.seconds, watch.stands()), (Cause::SlowTarget, 0.0, "target"));
    assert_eq!(stall.text, "the target is slow: prod@eu-west-1:snap-1 takes 5.0 s for a block, 14 blocks wait for it");
    let paced = Facts { reason: LaneReason::AccountThrottle, ..slow.clone() };
    flow(&mut watch, &paced, 1);
    assert_eq!(watch.stall(), None, "who paces it is the reason then");
    let quick = Facts { targets: vec![end("prod@eu-west-1:snap-1", 14, Some(0.2))], ..slow };
    flow(&mut watch, &quick, 1);
    assert_eq!(watch.stall(), None, "gone as soon as it is quick again");
    let source = Facts { source: end("Get us-east-1", 16, Some(3.0)), targets: Vec::new(), ..facts() };
    flow(&mut watch, &source, 15);
    assert_eq!(watch.stall().map(|stall| stall.word).as_deref(), Some("slow source"));
}

#[test]
fn it_is_told_once_and_its_end_is_told_too() {
    let mut now = Instant::now();
    let mut watch = Watch::new(now);
    let silent = Some(Silent { api: Api::Get, name: "Get us-east-1".to_owned(), lasted: Duration::from_secs(10) });
    let hangs = Facts { silent, ..facts() };
    let news = looks(&mut watch, &hangs, &mut now, 30);
    assert_eq!(news.len(), 1, "{news:?}");
    assert!(news[0].0.contains("no bytes for 12 s") && news[0].1 == Tone::Warning, "{news:?}");
    assert!(watch.stall().is_some_and(|stall| stall.seconds > 29.0));
    let news = looks(&mut watch, &Facts { progress: 2, ..facts() }, &mut now, 1);
    assert_eq!(news, [News("bytes move again after 30 s".to_owned(), Tone::Good)]);
    assert_eq!(watch.stall(), None);
}

#[test]
fn a_wait_is_named_at_once_and_until_bytes_move() {
    let mut now = Instant::now();
    let mut watch = Watch::new(now);
    let error = Error::classed(Class::Credentials, "the session has ended")
        .todo("aws sso login --profile prod")
        .of_profile("prod".parse().ok().as_ref());
    watch.waits(&error);
    let waiting = Facts { state: JobState::Waiting, ..facts() };
    watch.look(&Facts { progress: 0, ..waiting.clone() }, now);
    let stall = watch.stall().expect("named");
    assert_eq!((stall.cause, stall.word.as_str()), (Cause::Login, "login prod"));
    // It tries again, and reads a block before it fails: still for the same reason.
    let again = Facts { progress: 5, ..facts() };
    assert!(looks(&mut watch, &again, &mut now, 20).is_empty(), "a wait has events of its own");
    let stall = watch.stall().expect("still");
    assert_eq!(stall.text, "no bytes for 20 s, the session has ended → aws sso login --profile prod");
    looks(&mut watch, &Facts { progress: 6, written: 1, ..facts() }, &mut now, 1);
    assert_eq!(watch.stall(), None);
}

#[test]
fn errors_have_words() {
    let error = |class| Error::classed(class, "x");
    let denied = error(Class::Permanent).with_aws(crate::error::AwsDetail {
        reason: Some("DEPENDENCY_ACCESS_DENIED".to_owned()),
        ..crate::error::AwsDetail::default()
    });
    assert_eq!(cause_of(&denied), (Cause::Kms, "KMS key denied".to_owned()));
    assert_eq!(cause_of(&error(Class::Quota)).0, Cause::DiskFull);
    assert_eq!(cause_of(&Error { kind: Kind::Stopped, ..error(Class::Quota) }).0, Cause::Memory);
    assert_eq!(cause_of(&error(Class::Throttled(Level::Dependency))).0, Cause::Kms);
    assert_eq!(cause_of(&error(Class::Congestion)).0, Cause::NoAnswer);
}
