//! The table of errors on the wire: every row, at each of the five calls of a copy. What floe does about it, how
//! often it asks, whether it slows down, what it says, and that the copy is right where it goes on.

use floe::aws::Aws;
use floe::engine::Client;
use floe::engine::protocol::{Command, JobState, JobStatus, LeftOvers};
use floe::plan::{Options, Plan};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::store::StateDir;

use crate::rig::{Rig, at_rest, engine, row_when, start};
use crate::support::{Contents, disk};

/// The region that is copied to; what is copied from lies in [`FROM`].
const TO: &str = "eu-west-1";
const FROM: &str = "us-west-2";

/// What floe is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Ask again after a moment.
    Again,
    /// Ask again, slower: the limiter of whose limit it was goes down.
    Slower(&'static str),
    /// Ask again with fewer requests in flight.
    Narrower,
    /// List again for fresh tokens.
    Relist,
    /// Wait for credentials, and say whose.
    Login,
    /// Wait in the queue for a place in a quota.
    Queue,
    /// End it after that one request, and say this.
    Fail(&'static str),
}
use Act::{Again, Fail, Login, Narrower, Queue, Relist, Slower};

/// The calls of a copy, in the order of a row's actions.
const CALLS: [&str; 5] =
    ["GetSnapshotBlock", "PutSnapshotBlock", "ListSnapshotBlocks", "StartSnapshot", "CompleteSnapshot"];

/// An answer and what it comes to at Get, Put, List, Start and Complete.
type Row = (u16, &'static str, &'static str, &'static str, [Act; 5]);

const INVALID: &str = "ValidationException";
const NOT_FOUND: &str = "ResourceNotFoundException";
const DENIED: &str = "AccessDeniedException";
const SIGNATURE: &str = "InvalidSignatureException";
const SNAPSHOT: &str = "throttled by this snapshot's limit";
const ACCOUNT: &str = "throttled by the account's limit";
const KMS: &str = "throttled by KMS";
const IDS: &str = "check the id, the region and the profile";
const KEYS: &str = "allow kms:Decrypt";

/// Every code and reason of the API's model, what only its documents name, and what stands between us and it.
const TABLE: [Row; 44] = [
    (400, "RequestThrottledException", "RESOURCE_LEVEL_THROTTLE", "", [Slower(SNAPSHOT); 5]),
    (400, "RequestThrottleException", "RESOURCE_LEVEL_THROTTLE", "", [Slower(SNAPSHOT); 5]),
    (400, "RequestThrottledException", "", "", [Slower(SNAPSHOT); 5]),
    (400, "RequestThrottledException", "ACCOUNT_THROTTLED", "", [Slower(ACCOUNT); 5]),
    (400, "RequestThrottledException", "DEPENDENCY_REQUEST_THROTTLED", "", [Slower(KMS); 5]),
    (400, "ThrottlingException", "", "Rate exceeded", [Slower(ACCOUNT); 5]),
    (429, "", "", "", [Slower(ACCOUNT); 5]),
    (500, "InternalServerException", "", "", [Again; 5]),
    (500, "InternalFailure", "", "", [Again; 5]),
    (502, "", "", "", [Again; 5]),
    (503, "ServiceUnavailableException", "", "", [Again; 5]),
    (504, "", "", "", [Again; 5]),
    (408, "", "", "", [Again; 5]),
    (400, INVALID, "WRITE_REQUEST_TIMEOUT", "", [Narrower; 5]),
    (400, INVALID, "", "Failed to read block data", [Narrower; 5]),
    (400, "RequestTimeout", "", "", [Narrower; 5]),
    (400, INVALID, "CONFLICTING_BLOCK_UPDATE", "", [Again; 5]),
    (400, INVALID, "INVALID_BLOCK_TOKEN", "", {
        let stop = Fail("INVALID_BLOCK_TOKEN");
        [Relist, stop, stop, stop, stop]
    }),
    (400, INVALID, "INVALID_PAGE_TOKEN", "", {
        let stop = Fail("INVALID_PAGE_TOKEN");
        [stop, stop, Relist, stop, stop]
    }),
    // What we have just started may not be known everywhere; what we read from has to be there.
    (404, NOT_FOUND, "SNAPSHOT_NOT_FOUND", "", [Fail(IDS), Again, Fail(IDS), Fail(IDS), Again]),
    (404, NOT_FOUND, "", "", [Fail(IDS), Again, Fail(IDS), Fail(IDS), Again]),
    (404, NOT_FOUND, "GRANT_NOT_FOUND", "", [Fail(KEYS); 5]),
    (404, NOT_FOUND, "DEPENDENCY_RESOURCE_NOT_FOUND", "", [Fail("DEPENDENCY_RESOURCE_NOT_FOUND"); 5]),
    (402, "ServiceQuotaExceededException", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED", "", [Queue; 5]),
    (400, "ConcurrentLimitExceededException", "", "", [Queue; 5]),
    (403, DENIED, "UNAUTHORIZED_ACCOUNT", "", [Fail("may not use this API"); 5]),
    (403, DENIED, "DEPENDENCY_ACCESS_DENIED", "", [Fail(KEYS); 5]),
    (
        403,
        DENIED,
        "",
        "",
        [
            Fail("allow ebs:GetSnapshotBlock"),
            Fail("allow ebs:PutSnapshotBlock"),
            Fail("allow ebs:ListSnapshotBlocks"),
            Fail("allow ebs:StartSnapshot"),
            Fail("allow ebs:CompleteSnapshot"),
        ],
    ),
    (403, "ExpiredTokenException", "", "", [Login; 5]),
    (403, "UnrecognizedClientException", "", "", [Login; 5]),
    (403, SIGNATURE, "", "The request signature we calculated does not match", [Login; 5]),
    (403, SIGNATURE, "", "Signature expired: 20260101T000000Z is now earlier than 20260102T000000Z", [Again; 5]),
    (403, SIGNATURE, "", "Signature not yet current", [Again; 5]),
    (409, "ConflictException", "", "", [Fail("ConflictException"); 5]),
    (400, INVALID, "INVALID_CUSTOMER_KEY", "", [Fail(KEYS); 5]),
    (400, INVALID, "INVALID_SNAPSHOT_ID", "", [Fail("INVALID_SNAPSHOT_ID"); 5]),
    (400, INVALID, "UNRELATED_SNAPSHOTS", "", [Fail("not of one lineage"); 5]),
    (400, INVALID, "INVALID_BLOCK", "", [Fail("INVALID_BLOCK"); 5]),
    (400, INVALID, "INVALID_CONTENT_ENCODING", "", [Fail("INVALID_CONTENT_ENCODING"); 5]),
    (400, INVALID, "INVALID_TAG", "", [Fail("INVALID_TAG"); 5]),
    (400, INVALID, "INVALID_PARAMETER_VALUE", "", [Fail("INVALID_PARAMETER_VALUE"); 5]),
    (400, INVALID, "INVALID_VOLUME_SIZE", "", [Fail("INVALID_VOLUME_SIZE"); 5]),
    (400, INVALID, "INVALID_DEPENDENCY_REQUEST", "", [Fail("INVALID_DEPENDENCY_REQUEST"); 5]),
    (400, "SomethingOfNextYear", "", "", [Fail("SomethingOfNextYear"); 5]),
];

/// What breaks below the answers, and the calls that it can break.
const BROKEN: [(Fault, usize); 4] =
    [(Fault::ResetBefore, 5), (Fault::ResetAfter, 5), (Fault::Cut, 3), (Fault::Corrupt, 1)];

/// One snapshot to copy, and a place for the jobs of each cell.
struct Field {
    rig: Rig,
    plan: Plan,
    truth: Contents,
    aws: Aws,
}

/// What a cell came to.
struct Came {
    row: JobStatus,
    asked: u64,
    journal: String,
}

impl Field {
    async fn new() -> Self {
        let rig = Rig::calm().await;
        let id = disk(&rig.world, FROM, &[(1, 7), (2, 8)]).await;
        let plan = rig.plan(&format!("{FROM}:{id}"), &[&format!("{TO}:")], Options::default()).await;
        let truth = rig.world.contents("prod", FROM, &id).await;
        let aws = rig.aws.clone();
        Self { rig, plan, truth, aws }
    }

    fn asked(&self, call: usize) -> u64 {
        self.rig.world.running.sandbox.counters().picture().api(CALLS[call]).requests
    }

    /// A job under this rule, in a state directory of its own, until `when`.
    async fn run(
        &self,
        call: usize,
        rule: Option<Rule>,
        cell: usize,
        when: impl Fn(&JobStatus) -> bool,
    ) -> (Client, Came) {
        let region = if matches!(CALLS[call], "GetSnapshotBlock" | "ListSnapshotBlocks") { FROM } else { TO };
        let rules = rule.map(|rule| rule.on(CALLS[call]).within(region)).into_iter().collect();
        let faults = Faults { rules, completing_ms: 0, empty_pages_permille: 0, ..Faults::default() };
        self.run_under(faults, call, cell, when).await
    }

    async fn run_under(
        &self,
        faults: Faults,
        call: usize,
        cell: usize,
        when: impl Fn(&JobStatus) -> bool,
    ) -> (Client, Came) {
        self.rig.world.running.sandbox.set_faults(faults);
        let state = StateDir::open(Some(&self.rig.world.path(&format!("{call}-{cell}")))).expect("a state directory");
        let client = engine(&state, &self.aws, None).await.expect("an engine");
        let before = self.asked(call);
        let job = start(&client, &self.plan).await;
        let row = row_when(&client, job, when).await;
        let journal = std::fs::read_to_string(state.job(job).join("events.ndjson")).expect("the journal");
        (client, Came { row, asked: self.asked(call) - before, journal })
    }

    /// Goes on until it is done, and looks at what there is.
    async fn done(&self, client: &Client, came: &Came, what: &str) -> JobStatus {
        let row = row_when(client, came.row.job, at_rest).await;
        assert_eq!(row.state, JobState::Done, "{what}: {:?}", row.error);
        assert!(self.rig.copied(&row, 0).await == self.truth, "{what}: a right copy");
        row
    }

    async fn cell(&self, call: usize, cell: usize, fault: Fault, act: Act, calm: u64) {
        let what = format!("{fault:?} at {}", CALLS[call]);
        let lost = fault == Fault::ResetAfter;
        let rule = Rule::of(fault);
        match act {
            Fail(word) => {
                let (_, came) = self.run(call, Some(rule), cell, at_rest).await;
                assert_eq!(came.row.state, JobState::Failed, "{what}");
                assert_eq!(came.asked, 1, "{what}: asked once");
                let error = came.row.error.as_ref().expect("why");
                let said = format!("{error} → {}", error.todo.as_deref().unwrap_or_default());
                assert!(said.contains(word), "{what}: must say {word:?}: {said}");
                assert_eq!(came.row.troubles.retries, 0, "{what}: nothing was tried again");
                assert!(came.row.elapsed_seconds < 5.0, "{what}: nothing is waited for");
            }
            Queue => {
                let queued = |row: &JobStatus| row.state == JobState::Queued && row.why == "quota" || at_rest(row);
                let (client, came) = self.run(call, Some(rule), cell, queued).await;
                assert_eq!((came.row.state, came.asked), (JobState::Queued, 1), "{what}");
                let todo = came.row.error.and_then(|error| error.todo).unwrap_or_default();
                assert!(todo.to_lowercase().contains("quota"), "{what}: names the quota: {todo}");
                // Its clean-up would be counted with the next cell.
                self.rig.heal();
                client.send(Command::Cancel(came.row.job, LeftOvers::CleanUp)).await.expect("cancelled");
                row_when(&client, came.row.job, |row| row.state == JobState::Cancelled).await;
            }
            Login => {
                let waits = |row: &JobStatus| row.state == JobState::Waiting || at_rest(row);
                let (client, came) = self.run(call, Some(rule.times(1)), cell, waits).await;
                assert_eq!((came.row.state, came.row.why.as_str()), (JobState::Waiting, "login prod"), "{what}");
                let todo = came.row.error.as_ref().and_then(|error| error.todo.clone());
                assert!(todo.is_some(), "{what}: says how to sign in");
                client.send(Command::Keys).await.expect("fresh ones");
                self.done(&client, &came, &what).await;
            }
            Again | Slower(_) | Narrower | Relist => {
                // A single request that is late is an accident; two are a congestion.
                let times = if act == Narrower { 2 } else { 1 };
                let (client, came) = self.run(call, Some(rule.times(times)), cell, at_rest).await;
                let row = self.done(&client, &came, &what).await;
                // One completion too many is what a lost answer must not cost.
                let asks = u64::from(!(lost && CALLS[call] == "CompleteSnapshot"));
                assert!(came.asked >= calm + asks, "{what}: {} requests, {calm} without the fault", came.asked);
                self.repaired(call, act, &came, &row, &what);
            }
        }
    }

    /// A page token is refused where one was sent: by a page that follows an empty one, also the canary's.
    async fn page_token(&self) {
        let call = 2;
        let faults = |rules| Faults { rules, completing_ms: 0, empty_pages_permille: 900, ..Faults::default() };
        let (_, calm) = self.run_under(faults(Vec::new()), call, 900, at_rest).await;
        assert!(calm.asked > 3, "pages follow one another: {}", calm.asked);
        let reason = Some("INVALID_PAGE_TOKEN".to_owned());
        let fault = Fault::Refuse { status: 400, code: INVALID.to_owned(), reason, message: String::new() };
        let second = Rule { skip: 1, ..Rule::of(fault).on(CALLS[call]).within(FROM).times(1) };
        let (client, came) = self.run_under(faults(vec![second]), call, 901, at_rest).await;
        let row = self.done(&client, &came, "a page token that ended").await;
        self.repaired(call, Relist, &came, &row, "a page token that ended");
    }

    /// What is to be seen of a repair afterwards.
    fn repaired(&self, call: usize, act: Act, came: &Came, row: &JobStatus, what: &str) {
        let said = |word: &str| came.journal.contains(word);
        let troubles = row.troubles;
        match act {
            Slower(whose) => {
                let counted = [troubles.snapshot_throttles, troubles.account_throttles, troubles.kms_throttles];
                assert_eq!(counted, [SNAPSHOT, ACCOUNT, KMS].map(|level| u64::from(level == whose)), "{what}");
                // Starting is a control call: one request, nothing to slow down.
                assert_eq!(said(whose), CALLS[call] != "StartSnapshot", "{what}: {}", came.journal);
            }
            Narrower => {
                assert_eq!((troubles.timeouts, troubles.throttles()), (2, 0), "{what}");
                assert!(said("\"topic\":\"lanes\""), "{what}: the window was halved: {}", came.journal);
            }
            Relist if CALLS[call] == "GetSnapshotBlock" => assert!(troubles.relisted >= 1, "{what}: {troubles:?}"),
            Relist => assert_eq!(troubles.throttles(), 0, "{what}"),
            _ => assert_eq!((troubles.retries, troubles.throttles()), (1, 0), "{what}"),
        }
    }
}

/// All rows at one call.
async fn column(call: usize) {
    let field = Field::new().await;
    let (_, calm) = field.run(call, None, 999, at_rest).await;
    assert_eq!(calm.row.state, JobState::Done, "{:?}", calm.row.error);
    for (cell, (status, code, reason, message, acts)) in TABLE.into_iter().enumerate() {
        let reason = (!reason.is_empty()).then(|| reason.to_owned());
        let fault = Fault::Refuse { status, code: code.to_owned(), reason, message: message.to_owned() };
        // A page token is refused where one was sent: by the second page of a listing.
        if matches!(acts[call], Relist) && CALLS[call] == "ListSnapshotBlocks" {
            continue;
        }
        field.cell(call, cell, fault, acts[call], calm.asked).await;
    }
    if CALLS[call] == "ListSnapshotBlocks" {
        field.page_token().await;
    }
    for (cell, (fault, calls)) in BROKEN.into_iter().enumerate() {
        if call < calls {
            field.cell(call, TABLE.len() + cell, fault, Again, calm.asked).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_error_has_its_action_at_get() {
    column(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_error_has_its_action_at_put() {
    column(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_error_has_its_action_at_list() {
    column(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_error_has_its_action_at_start() {
    column(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_error_has_its_action_at_complete() {
    column(4).await;
}
