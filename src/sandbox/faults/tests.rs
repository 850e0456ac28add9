use super::*;

fn call<'a>(api: &'a str, snapshot: &'a str) -> Call<'a> {
    Call { api, action: None, snapshot: Some(snapshot), account: "111122223333", region: "eu-west-1" }
}

fn misfortune(faults: Faults) -> Misfortune {
    let mut all = Misfortune::default();
    all.replace(faults);
    all
}

#[test]
fn rules_are_written_in_one_word() {
    let rule: Rule = "reset-after@PutSnapshotBlock/snap-1:1%*3".parse().unwrap();
    assert_eq!(
        rule,
        Rule {
            snapshot: Some("snap-1".into()),
            ..Rule::of(Fault::ResetAfter).on("PutSnapshotBlock").chance(0.01).times(3)
        }
    );
    assert_eq!("delay=80+40".parse::<Rule>().unwrap().fault, Fault::Delay { ms: 80, jitter: 40 });
    let refuse: Rule = "refuse=400+ValidationException+INVALID_BLOCK@PutSnapshotBlock*1".parse().unwrap();
    let reason = Some("INVALID_BLOCK".to_owned());
    let fault = Fault::Refuse { status: 400, code: "ValidationException".into(), reason, message: String::new() };
    assert_eq!(refuse, Rule::of(fault).on("PutSnapshotBlock").times(1));
    for wrong in ["", "oops", "delay=fast", "cut:200%", "hang*x", "refuse", "refuse=200+OK"] {
        assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
    }
}

#[test]
fn the_same_seed_hits_the_same_requests() {
    let run = |seed| {
        let rules = vec![Rule::of(Fault::Cut).chance(0.1)];
        let mut all = misfortune(Faults { seed, rules, ..Faults::default() });
        (0..1000)
            .map(|_| all.fate(&call("GetSnapshotBlock", "s"), Timestamp::UNIX_EPOCH).fault.is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    let hit = run(7).into_iter().filter(|hit| *hit).count();
    assert!((60..140).contains(&hit), "{hit} of 1000 at 10 %");
}

#[test]
fn a_rule_keeps_to_its_operation_and_its_count() {
    let rule = Rule { skip: 1, ..Rule::of(Fault::Hang).on("GetSnapshotBlock").times(2) };
    let mut all = misfortune(Faults { rules: vec![rule], ..Faults::default() });
    let mut hit = |api| all.fate(&call(api, "s"), Timestamp::UNIX_EPOCH).fault.is_some();
    assert!(!hit("PutSnapshotBlock"));
    let gets: Vec<bool> = (0..5).map(|_| hit("GetSnapshotBlock")).collect();
    assert_eq!(gets, [false, true, true, false, false]);
}

#[test]
fn a_limit_lets_its_rate_through_and_says_whose_it_is() {
    let limit = |of, per_second| Limit { api: "GetSnapshotBlock".into(), of, per_second, burst: None };
    let limits = vec![limit(LimitOf::Snapshot, 100.0), limit(LimitOf::Account, 150.0)];
    let mut all = misfortune(Faults { limits, ..Faults::default() });
    let (mut through, mut by_snapshot, mut by_account) = (0, 0, 0);
    for ms in 0..2000 {
        for snapshot in ["a", "b"] {
            let now = Timestamp::from_millisecond(ms).unwrap();
            match all.fate(&call("GetSnapshotBlock", snapshot), now).fault {
                None => through += 1,
                Some(Fault::ThrottleSnapshot) => by_snapshot += 1,
                Some(_) => by_account += 1,
            }
        }
    }
    assert!((295..=320).contains(&through), "{through}");
    assert!(by_snapshot > 100 && by_account > 100, "{by_snapshot} {by_account}");
}
