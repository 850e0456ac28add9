//! What a job asks beside its blocks, one answer after the other: what its plan says line by line, against the requests that
//! the sandbox saw, in the order in which they came and went. No clock is read.

use floe::engine::protocol::{Answer, JobState};
use floe::plan::{Options, Plan, Verify, When};
use floe::sandbox::stats::Moment;

use crate::archives::{BUCKET, of_another_tool};
use crate::chains::{HERE, grown, id_of};
use crate::rig::{Rig, end, start, submit};
use crate::support::disk;

/// The longest row of requests of which each began when the one before had been answered.
fn chain(moments: &[Moment], counts: impl Fn(&str) -> bool) -> u64 {
    let mut ended: Vec<(u64, u64)> = moments
        .iter()
        .filter(|moment| counts(&moment.api))
        .map(|moment| (moment.ended.expect("it was answered"), moment.began))
        .collect();
    ended.sort_unstable();
    let (mut last, mut many) = (0, 0);
    for (end, began) in ended {
        if began > last {
            (last, many) = (end, many + 1);
        }
    }
    many
}

fn answers(plan: &Plan) -> u64 {
    plan.time.beside.iter().map(|part| part.answers).sum()
}

/// Runs a job and answers its plan and what was asked for it.
async fn asked(
    rig: &Rig,
    client: &floe::engine::Client,
    source: &str,
    to: &[&str],
    verify: Verify,
) -> (Plan, Vec<Moment>) {
    asked_with(rig, client, source, to, Options { verify, ..Options::default() }).await
}

async fn asked_with(
    rig: &Rig,
    client: &floe::engine::Client,
    source: &str,
    to: &[&str],
    options: Options,
) -> (Plan, Vec<Moment>) {
    let plan = rig.plan(source, to, options).await;
    rig.world.running.sandbox.counters().reset();
    let row = end(client, start(client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{source} to {to:?}: {:?}", row.error);
    assert_eq!(row.troubles.retries + row.troubles.timeouts, 0, "nothing was asked twice");
    (plan, rig.world.running.sandbox.counters().order())
}

/// Of one block, so that nothing is asked beside start and end but that block.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_one_after_the_other_is_counted_for_each_kind_of_pair() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let one = format!("us-east-1:{}", disk(&rig.world, "us-east-1", &[(5, 7)]).await);
    let id = one.trim_start_matches("us-east-1:").to_owned();
    let (archive, file) = (format!("s3://{BUCKET}/steps/"), rig.world.path("disk.img").display().to_string());
    let image = rig.world.path("one.img").display().to_string();
    std::fs::write(&image, vec![7; crate::support::BLOCK]).expect("written");
    let object = format!("s3://{BUCKET}/one.img");
    let of = format!("{archive}{id}/");
    let pairs: [(&str, &str, Verify); 12] = [
        (&one, "null:", Verify::Listing),
        (&one, &file, Verify::Listing),
        (&one, "us-east-1:", Verify::Listing),
        (&one, "eu-west-1:", Verify::None),
        (&one, &archive, Verify::Listing),
        (&of, "null:", Verify::Listing),
        (&of, "us-east-1:", Verify::Listing),
        (&of, &format!("s3://{BUCKET}/again/"), Verify::None),
        (&image, "us-east-1:", Verify::Listing),
        (&image, &object, Verify::Listing),
        (&object, "us-east-1:", Verify::Listing),
        (&object, "null:", Verify::Listing),
    ];
    for (source, to, verify) in pairs {
        let (plan, moments) = asked(&rig, &client, source, &[to], verify).await;
        let what = format!("{source} to {to}: {:#?}\n{moments:#?}", plan.time.beside);
        let mut found = chain(&moments, |_| true) - beyond_looks(&moments, 1);
        if to == object {
            // The one block is the last piece, which is sent when all of it is there: no answer of start or end.
            found -= 1;
        }
        assert_eq!(found, answers(&plan), "{what}");
        let sums = |when| {
            let of = plan.time.beside.iter().filter(|part| part.when == when);
            of.fold((0.0, 0.0), |(low, high), part| (low + part.low_seconds, high + part.high_seconds))
        };
        let (before, after) = (sums(When::Before), sums(When::After));
        assert!(before.0 <= before.1 && after.0 <= after.1 && after.1 > 0.0, "{what}");
        assert!(plan.time.beside.iter().all(|part| !part.formula.is_empty()), "each says how it comes: {what}");
    }
    // Several are opened and completed beside each other: the longest counts, and nothing goes below it.
    let (plan, moments) = asked(&rig, &client, &one, &["us-east-1:", "eu-west-1:", "null:"], Verify::Listing).await;
    let (alone, _) = asked(&rig, &client, &one, &["us-east-1:"], Verify::Listing).await;
    assert_eq!(answers(&plan), answers(&alone));
    let apis = |api: &str| moments.iter().filter(|moment| moment.api == api).count();
    assert_eq!((apis("StartSnapshot"), apis("CompleteSnapshot")), (2, 2));
    assert!(chain(&moments, |_| true) >= answers(&plan), "{moments:#?}");
}

/// How often a state is looked at until it is completed is AWS's own time: of each job that makes a snapshot one look is
/// counted on.
fn beyond_looks(moments: &[Moment], jobs: u64) -> u64 {
    let looks = moments.iter().filter(|moment| moment.api == "DescribeSnapshots").count() as u64;
    looks.saturating_sub(jobs)
}

/// Sources and destinations that ask for more than a plain copy: a folder of another tool, a result on a parent, and one
/// that is read back. Of one block each.
#[tokio::test(flavor = "multi_thread")]
async fn what_other_tools_parents_and_proofs_ask_for_is_counted_too() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let folder = format!("s3://{BUCKET}/fsp/snap-0abc1234.1/");
    of_another_tool(&rig.world, "fsp/snap-0abc1234.1/", &[(5, 1)]).await;
    let one = format!("{HERE}:{}", grown(&rig.world, HERE, None, 1, &[(5, 7)]).await);
    let under = grown(&rig.world, HERE, None, 1, &[(5, 1)]).await;
    // The copy of a snapshot, and what came after that: a delta.
    let first = grown(&rig.world, HERE, None, 1, &[(3, 1)]).await;
    let second = grown(&rig.world, HERE, Some(&first), 1, &[(5, 2)]).await;
    let copy = rig.copy(&client, &format!("{HERE}:{first}"), &[&format!("{HERE}:")], Options::default()).await;
    let image = rig.world.path("base.img").display().to_string();
    rig.copy(&client, &format!("{HERE}:{first}"), &[&image], Options::default()).await;
    let (delta, base) = (format!("{HERE}:{first}..{second}"), format!("{HERE}:{}+", id_of(&copy, 0)));
    let (on, here) = (format!("{HERE}:{under}+"), format!("{HERE}:"));
    let (file, archive) = (rig.world.path("back.img").display().to_string(), format!("s3://{BUCKET}/of-another/"));
    let pairs: [(&str, &str, Verify); 12] = [
        (&folder, "null:", Verify::Listing),
        (&folder, &here, Verify::Listing),
        (&folder, &file, Verify::Listing),
        (&folder, &archive, Verify::None),
        (&folder, &here, Verify::Full),
        (&one, &on, Verify::Listing),
        (&one, &on, Verify::None),
        (&one, &on, Verify::Full),
        (&one, &here, Verify::Full),
        (&delta, &base, Verify::Listing),
        (&delta, &base, Verify::Full),
        (&delta, &image, Verify::Listing),
    ];
    let mut wrong = Vec::new();
    for (source, to, verify) in pairs {
        let options = Options { verify, allow_gaps: true, ..Options::default() };
        let (plan, moments) = asked_with(&rig, &client, source, &[to], options).await;
        let back = verify == Verify::Full && to.starts_with(HERE);
        // The block that is read back is none of start and end.
        let found = chain(&moments, |_| true) - beyond_looks(&moments, 1) - u64::from(back);
        if found != answers(&plan) {
            let apis: Vec<&str> = moments.iter().map(|moment| moment.api.as_str()).collect();
            let said: Vec<(&str, u64)> =
                plan.time.beside.iter().map(|part| (part.name.as_str(), part.answers)).collect();
            wrong
                .push(format!("{source} to {to}, {verify:?}: {found} found of {}: {said:?}, {apis:?}", answers(&plan)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Jobs of a chain wait for each other: what each of them asks is asked one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_a_chain_ask_one_after_the_other() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let first = grown(&rig.world, HERE, None, 1, &[(3, 1)]).await;
    let second = grown(&rig.world, HERE, Some(&first), 1, &[(5, 2)]).await;
    let third = grown(&rig.world, HERE, Some(&second), 1, &[(7, 3)]).await;
    for verify in [Verify::None, Verify::Listing] {
        let options = Options { chain: true, verify, ..Options::default() };
        let plan = rig.try_plan(&format!("{HERE}:{first}..{third}"), &["eu-west-1:"], options).await.expect("a plan");
        rig.world.running.sandbox.counters().reset();
        let Answer::Jobs(jobs) = submit(&client, &plan).await.expect("it runs") else { unreachable!("it makes jobs") };
        assert_eq!(jobs.len(), 3);
        for job in jobs {
            let row = end(&client, job).await;
            assert_eq!((row.state, row.troubles.retries), (JobState::Done, 0), "{:?}", row.error);
        }
        let moments = rig.world.running.sandbox.counters().order();
        let apis: Vec<&str> = moments.iter().map(|moment| moment.api.as_str()).collect();
        let said: Vec<(&str, u64)> = plan.time.beside.iter().map(|part| (part.name.as_str(), part.answers)).collect();
        let found = chain(&moments, |_| true) - beyond_looks(&moments, 3);
        assert_eq!(found, answers(&plan), "{verify:?}: {said:?}\n{apis:?}");
    }
}

/// Of three destinations at once each asks its own, as many one after the other as alone; what is said is the one that
/// takes longest, which is the snapshot that AWS has to complete.
#[tokio::test(flavor = "multi_thread")]
async fn of_three_destinations_the_longest_counts() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let one = format!("{HERE}:{}", grown(&rig.world, HERE, None, 1, &[(5, 7)]).await);
    let (file, archive) = (rig.world.path("disk.img").display().to_string(), format!("s3://{BUCKET}/of-three/"));
    let (plan, moments) = asked(&rig, &client, &one, &["eu-west-1:", &archive, &file], Verify::Listing).await;
    let of_s3 = |api: &str| api.contains("Object");
    let apis: Vec<&str> = moments.iter().map(|moment| moment.api.as_str()).collect();
    let to_snapshot = chain(&moments, |api| !of_s3(api)) - beyond_looks(&moments, 1);
    assert_eq!(to_snapshot, answers(&plan), "{:#?}\n{apis:?}", plan.time.beside);
    let (alone, of_one) = asked(&rig, &client, &one, &[&format!("s3://{BUCKET}/alone/")], Verify::Listing).await;
    assert_eq!(chain(&of_one, |_| true), answers(&alone), "{of_one:#?}");
    assert_eq!(chain(&moments, of_s3), chain(&of_one, of_s3), "{apis:?}");
}

/// An image with pieces that hold no block has them copied by S3 when its blocks are there: no less is said than that takes.
#[tokio::test(flavor = "multi_thread")]
async fn pieces_without_a_block_are_part_of_the_end() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let one = format!("us-east-1:{}", disk(&rig.world, "us-east-1", &[(5, 7)]).await);
    let to = format!("s3://{BUCKET}/sparse.img");
    let (plan, moments) = asked(&rig, &client, &one, &[&to], Verify::Listing).await;
    // What is sent and copied beside each other is not one after the other; the rest is.
    let alone = |api: &str| !matches!(api, "UploadPart" | "UploadPartCopy" | "GetSnapshotBlock");
    let copies = moments.iter().filter(|moment| moment.api == "UploadPartCopy").count() as u64;
    assert_eq!(copies, 63, "64 pieces of a GiB, one of them with a block");
    let rounds = copies.div_ceil(8);
    // The block itself, and the rounds of copies.
    assert_eq!(chain(&moments, alone) + 1 + rounds, answers(&plan), "{:#?}\n{moments:#?}", plan.time.beside);
}

/// What earlier jobs on a route took beside their blocks is what is said of the next, in a line of its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_measured_takes_the_place_of_what_was_counted() {
    use floe::plan::{Machine, Operation, RunsIn, make};
    use floe::store::routes::Routes;
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let source = floe::address::Address::source(crate::rig::SMALL).expect("a source");
    let operation = Operation {
        sources: vec![source],
        destinations: vec![floe::address::Address::destination("us-east-1:").expect("a destination")],
        options: Options::default(),
    };
    let plan = async || {
        let machine = Machine { routes: Some(Routes::of(&rig.state)), ..Machine::read(RunsIn::Outside, None) };
        make(&rig.aws, operation.clone(), &machine).await.expect("a plan")
    };
    let counted = plan().await;
    assert!(counted.time.beside.iter().any(|part| part.formula.contains("2–100 ms assumed")));
    let row = end(&client, start(&client, &counted).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let measured = plan().await;
    let lines: Vec<&str> = measured.time.beside.iter().map(|part| part.formula.as_str()).collect();
    assert!(lines.len() == 1 && lines[0].contains("1 earlier job's, half to twice"), "{lines:?}");
}
