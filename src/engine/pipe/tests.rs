//! Whatever comes in at the door, in any order and cut anywhere: the engine goes on, and the next front is served.

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
