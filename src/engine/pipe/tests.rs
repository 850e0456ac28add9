//! Whatever comes in at the door, in any order and cut anywhere: the engine goes on, and the next front is served.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::engine::supervisor::Supervisor;
use crate::engine::worlds::Worlds;
use crate::store::StateDir;
use crate::units::Bytes;

/// A piece of what a peer says.
#[derive(Debug, Clone)]
enum Piece {
    Hello,
    /// A greeting of a floe of another year.
    Newer(u32),
    /// A frame that is none of ours.
    Frame(Vec<u8>),
    /// Bytes without any frame.
    Raw(Vec<u8>),
    /// A real command with one byte changed.
    Bent(usize, usize, u8),
    /// A real command, cut off.
    Half(usize, usize),
}

fn commands() -> Vec<Vec<u8>> {
    let hello = |protocol| Command::Hello { protocol, version: "0".to_owned(), who: "x\u{1b}[31m".to_owned() };
    let all = [
        hello(PROTOCOL),
        Command::Keys,
        Command::Shutdown,
        Command::Watch(Some(JobId(7))),
        Command::Pause(JobId(u32::MAX)),
        Command::Memory(Bytes(u64::MAX)),
        Command::Bandwidth(None, None),
        Command::Reorder(JobId(1), i32::MIN),
    ];
    all.into_iter()
        .filter_map(|command| serde_json::to_vec(&Request { id: 1, command, world: None }).ok())
        .map(|body| framed(&body))
        .collect()
}

fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&length, body].concat()
}

impl Piece {
    fn bytes(&self) -> Vec<u8> {
        let commands = commands();
        let nth = |nth: &usize| commands[nth % commands.len()].clone();
        match self {
            Self::Hello => commands[0].clone(),
            Self::Newer(protocol) => {
                let command = Command::Hello { protocol: *protocol, version: "9".to_owned(), who: String::new() };
                framed(&serde_json::to_vec(&Request { id: 0, command, world: None }).expect("JSON"))
            }
            Self::Frame(body) => framed(body),
            Self::Raw(bytes) => bytes.clone(),
            Self::Bent(which, at, with) => {
                let mut bytes = nth(which);
                let at = at % bytes.len();
                bytes[at] ^= with;
                bytes
            }
            Self::Half(which, at) => {
                let mut bytes = nth(which);
                bytes.truncate(at % bytes.len());
                bytes
            }
        }
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    let bytes = || vec(any::<u8>(), 0..300);
    prop_oneof![
        Just(Piece::Hello),
        any::<u32>().prop_map(Piece::Newer),
        bytes().prop_map(Piece::Frame),
        bytes().prop_map(Piece::Raw),
        (any::<usize>(), any::<usize>(), 1..=255u8).prop_map(|(a, b, c)| Piece::Bent(a, b, c)),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Piece::Half(a, b)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_a_peer_says_the_engine_goes_on(peers in vec((vec(piece(), 0..6), any::<bool>()), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let dir = tempfile::tempdir().expect("a directory");
            let state = StateDir::open(Some(dir.path())).expect("a state directory");
            let engine = Supervisor::start(state, Worlds::new(None), Bytes::mib(64), None, false, None).expect("an engine");
            for (said, greets) in peers {
                let (mut peer, back) = tokio::io::duplex(64 * 1024);
                let serving = tokio::spawn(serve(back, engine.clone()));
                if greets {
                    let _ = peer.write_all(&Piece::Hello.bytes()).await;
                }
                for piece in &said {
                    let _ = peer.write_all(&piece.bytes()).await;
                }
                let _ = peer.shutdown().await;
                // Nobody is kept for longer than it has something to say.
                let mut heard = Vec::new();
                let ended = tokio::time::timeout(Duration::from_secs(20), peer.read_to_end(&mut heard)).await;
                assert!(ended.is_ok(), "it hangs up: {said:?}");
                let _ = serving.await.expect("no panic");
            }
            let front = tokio::io::duplex(64 * 1024);
            let serving = tokio::spawn(serve(front.1, engine.clone()));
            let client = Client::connect(front.0, "a front", None).await.expect("the next front is served");
            assert!(client.status().borrow().jobs.is_empty());
            drop(client);
            let _ = serving.await.expect("no panic");
            engine.command(Command::Shutdown, "the test", None).await.expect("it ends");
        });
    }
}

/// A hand-made engine: says hello as it is told, and from then on answers when it is let.
struct ByHand {
    io: Frames<tokio::io::DuplexStream>,
}

impl ByHand {
    /// Greets a front as one that pings are known to, or as one of before there were any.
    async fn greeted(pings: bool) -> (Self, Client) {
        let (front, back) = tokio::io::duplex(64 * 1024);
        let mut io = frames(back);
        let connecting = tokio::spawn(async move { Client::connect(front, "a front", None).await });
        let mut hello =
            serde_json::to_value(Reply::Hello { protocol: PROTOCOL, version: "0".to_owned(), pid: 4121, pings })
                .expect("JSON");
        if !pings {
            let told = hello["hello"].as_object_mut().expect("a hello");
            told.remove("pings").expect("an older engine does not have it");
        }
        put(&mut io, &hello).await.expect("said");
        let _greeting = io.next().await.expect("a greeting");
        put(&mut io, &Reply::Answer { id: 0, outcome: Ok(Answer::Done) }).await.expect("said");
        put(&mut io, &Reply::Status(Box::new(picture(1)))).await.expect("said");
        let client = connecting.await.expect("no panic").expect("connected");
        (Self { io }, client)
    }

    /// What comes next, or nothing for so long.
    async fn asked(&mut self, within: Duration) -> Option<Request> {
        let frame = tokio::time::timeout(within, self.io.next()).await.ok()?.expect("a frame").expect("whole");
        Some(parse(&frame).expect("a request"))
    }

    async fn answers(&mut self, id: u64) {
        put(&mut self.io, &Reply::Answer { id, outcome: Ok(Answer::Done) }).await.expect("said");
    }

    async fn shows(&mut self, revision: u64) {
        put(&mut self.io, &Reply::Status(Box::new(picture(revision)))).await.expect("said");
    }
}

fn picture(revision: u64) -> Status {
    let now = crate::wall::now();
    Status {
        revision,
        at: now,
        engine_started: now,
        in_process: false,
        rate: crate::units::Rate(0.0),
        rate_history: Vec::new(),
        budget: crate::engine::protocol::BudgetStatus::default(),
        machine: crate::engine::protocol::MachineStatus::default(),
        bandwidth: None,
        turned: None,
        jobs: Vec::new(),
        detail: None,
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn an_idle_engine_that_answers_is_never_called_silent() {
    for pings in [true, false] {
        let (mut engine, client) = ByHand::greeted(pings).await;
        let contact = client.contact();
        let begun = tokio::time::Instant::now();
        let mut asked = 0;
        while begun.elapsed() < 30 * MINUTE {
            let request = engine.asked(MINUTE).await.expect("a sign of life is asked for");
            // An engine of before would hang up at a command that it does not know.
            assert_eq!(matches!(request.command, Command::Ping), pings);
            assert_eq!(matches!(request.command, Command::Watch(None)), !pings);
            engine.answers(request.id).await;
            assert_eq!(*contact.borrow(), Contact::Answers, "after {:?}", begun.elapsed());
            asked += 1;
        }
        assert!((300..=900).contains(&asked), "every few seconds: {asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_shows_what_it_does_is_not_asked() {
    let (mut engine, client) = ByHand::greeted(true).await;
    let begun = tokio::time::Instant::now();
    for revision in 2..200 {
        engine.shows(revision).await;
        assert!(engine.asked(Duration::from_millis(250)).await.is_none(), "after {:?}", begun.elapsed());
    }
    assert_eq!(*client.contact().borrow(), Contact::Answers);
}

#[tokio::test(start_paused = true)]
async fn a_silent_engine_is_named_with_what_waits_for_it_and_forgiven_when_it_answers() {
    for pings in [true, false] {
        let (mut engine, client) = ByHand::greeted(pings).await;
        let mut contact = client.contact();
        let ping = engine.asked(MINUTE).await.expect("asked");
        let begun = tokio::time::Instant::now();
        let pausing = {
            let client = client.clone();
            tokio::spawn(async move { client.send(Command::Pause(JobId(14))).await })
        };
        contact.wait_for(|now| matches!(now, Contact::Silent(_))).await.expect("it is told");
        let Contact::Silent(silence) = *contact.borrow_and_update() else { unreachable!() };
        assert!((8..=11).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        assert_eq!((silence.pid, silence.waiting), (4121, 1), "its process, and the pause");
        assert!(silence.said(tokio::time::Instant::now()).contains("(pid 4121) has not answered for "), "{silence:?}");
        // The same picture once more, for another watched job, is the connection's word and not that of who owns the jobs.
        if pings {
            engine.shows(1).await;
            tokio::time::sleep(MINUTE).await;
            assert!(matches!(*contact.borrow(), Contact::Silent(_)));
        }
        let pause = engine.asked(MINUTE).await.expect("nothing is lost");
        assert!(matches!(pause.command, Command::Pause(JobId(14))));
        engine.answers(ping.id).await;
        engine.answers(pause.id).await;
        contact.wait_for(|now| *now == Contact::Answers).await.expect("it is told");
        pausing.await.expect("no panic").expect("done");
        drop(engine);
        contact.wait_for(|now| *now == Contact::Gone { pid: 4121 }).await.expect("it is told");
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_reads_nothing_holds_nobody_up_and_loses_no_command_unsaid() {
    let (engine, client) = ByHand::greeted(true).await;
    let mut contact = client.contact();
    // More than the pipe holds, so that a frame is stuck half way.
    let who = "x".repeat(128 * 1024);
    let long = Command::Hello { protocol: PROTOCOL, version: who.clone(), who };
    let stuck = {
        let client = client.clone();
        tokio::spawn(async move { client.send(long).await })
    };
    contact.wait_for(|now| matches!(now, Contact::Silent(_))).await.expect("noticed, though no ping could be sent");
    let mut waiting = Vec::new();
    for _ in 0..OPEN_COMMANDS {
        let client = client.clone();
        waiting.push(tokio::spawn(async move { client.send(Command::Pause(JobId(14))).await }));
    }
    tokio::time::sleep(MINUTE).await;
    let refused = client.send(Command::Pause(JobId(15))).await.expect_err("not taken, and not for ever waited for");
    assert!(refused.what.contains("it was not asked to pause job 15"), "{refused}");
    assert!(refused.todo.as_ref().is_some_and(|todo| todo.contains("kill -CONT 4121")), "{refused:?}");
    drop(engine);
    for sent in waiting.into_iter().chain([stuck]) {
        let error = sent.await.expect("no panic").expect_err("its sender hears that it ended");
        assert!(error.what.contains("the engine has ended"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_one_picture_and_goes_learns_whether_it_is_that_of_now() {
    for pings in [true, false] {
        let (mut engine, client) = ByHand::greeted(pings).await;
        assert_eq!(client.pid(), 4121);
        let asks = tokio::spawn({
            let client = client.clone();
            async move { (client.answers(MINUTE).await, client.answers(MINUTE).await) }
        });
        if pings {
            let first = engine.asked(MINUTE).await.expect("asked");
            engine.answers(first.id).await;
        }
        assert_eq!(asks.await.expect("no panic"), (true, !pings), "one that knows no such question is believed");
    }
}

/// Whoever owns the jobs hangs in a disk while the connection's own task lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_ping_is_answered_by_whoever_owns_the_jobs_and_makes_no_picture() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(Some(dir.path())).expect("a state directory");
    let engine = Supervisor::start(state, Worlds::new(None), Bytes::mib(64), None, false, None).expect("an engine");
    let pictures = engine.status();
    engine.command(Command::Keys, "the test", None).await.expect("answered");
    // What was to be drawn is drawn; from then on nothing is new.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = pictures.borrow().revision;
    for _ in 0..20 {
        engine.command(Command::Ping, "the test", None).await.expect("answered");
    }
    assert_eq!(pictures.borrow().revision, before);
    engine.command(Command::Shutdown, "the test", None).await.expect("it ends");
    let error = engine.command(Command::Ping, "the test", None).await.expect_err("nobody is there");
    assert!(error.what.contains("ended"), "{error}");
}

/// An engine that stood still finds a picture to show, the last wishes of a front and its end at once.
#[tokio::test]
async fn what_a_front_asked_before_it_went_is_done_although_nothing_can_be_told_to_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(Some(dir.path())).expect("a state directory");
    let engine = Supervisor::start(state, Worlds::new(None), Bytes::mib(64), None, false, None).expect("an engine");
    let (front, back) = tokio::io::duplex(64 * 1024);
    let serving = tokio::spawn(serve(back, engine.clone()));
    let mut front = frames(front);
    let hello = Command::Hello { protocol: PROTOCOL, version: "0".to_owned(), who: "a front".to_owned() };
    put(&mut front, &Request { id: 0, command: hello, world: None }).await.expect("said");
    while !matches!(super::client::next(&mut front).await.expect("a reply"), Reply::Status(_)) {}

    // One task after the other: whoever owns the jobs makes a picture, then the connection looks up.
    let mut other = std::pin::pin!(engine.command(Command::Memory(Bytes::mib(80)), "another", None));
    assert!(futures_util::poll!(other.as_mut()).is_pending());
    for mib in [96, 112, 128] {
        let request = Request { id: mib, command: Command::Memory(Bytes::mib(mib)), world: None };
        put(&mut front, &request).await.expect("said");
    }
    drop(front);
    other.await.expect("answered");
    serving.await.expect("no panic").expect_err("the front was lost");
    let picture = Arc::clone(&engine.status().borrow());
    assert_eq!(picture.budget.limit, Bytes::mib(128), "all of them, and the last one last");
    assert_eq!(picture.turned.as_ref().map(|turned| turned.who.as_str()), Some("a front"));
}
