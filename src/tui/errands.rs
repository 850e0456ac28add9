//! What the deck asks of its engine: in the order of the keys, each answered as a [`Msg`], none lost when the deck is closed.
//!
//! Invariant: what was asked first is sent first, whatever the engine's start or an answer takes. A key that is held sends
//! settings one after the other, and the last of them counts.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};

use super::msg::Msg;
use crate::engine::Client;
use crate::engine::protocol::Command;
use crate::error::Result;

/// Gives the engine, found or started.
pub(super) type Connector = Box<dyn Fn() -> BoxFuture<'static, Result<Client>> + Send + Sync>;

/// What was asked and is not answered yet, by its number.
type Open = watch::Sender<BTreeMap<u64, String>>;

/// The way to one engine.
#[derive(Debug)]
pub(super) struct Errands {
    asks: mpsc::UnboundedSender<(u64, Command)>,
    open: Open,
    asked: u64,
}

impl Errands {
    /// Begins with the first [`Errands::ask`]; ends with this.
    pub(super) fn new(connect: Connector, answers: mpsc::Sender<Msg>) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let open = Open::default();
        tokio::spawn(run(connect, asked, open.clone(), answers));
        Self { asks, open, asked: 0 }
    }

    /// Asks, and does not wait.
    pub(super) fn ask(&mut self, command: Command) {
        self.asked += 1;
        self.open.send_modify(|open| drop(open.insert(self.asked, command.wish())));
        // It ends with this only.
        let _ = self.asks.send((self.asked, command));
    }

    /// Waits until everything is answered, at most so long.
    pub(super) async fn settled(&self, within: Duration) {
        let mut open = self.open.subscribe();
        let _ = tokio::time::timeout(within, open.wait_for(BTreeMap::is_empty)).await;
    }

    /// What is not answered yet, in the order in which it was asked.
    pub(super) fn unanswered(&self) -> Vec<String> {
        self.open.borrow().values().cloned().collect()
    }
}

async fn run(
    connect: Connector,
    mut asked: mpsc::UnboundedReceiver<(u64, Command)>,
    open: Open,
    answers: mpsc::Sender<Msg>,
) {
    let mut waiting = FuturesUnordered::new();
    loop {
        let (number, command, outcome) = tokio::select! {
            biased;
            Some((number, command)) = asked.recv() => match connect().await {
                Ok(client) => {
                    waiting.push(async move {
                        let outcome = client.send(command.clone()).await;
                        (number, command, outcome)
                    });
                    continue;
                }
                Err(error) => (number, command, Err(error)),
            },
            Some(answered) = waiting.next() => answered,
            else => return,
        };
        let answered = answers.send(Msg::Answered(Box::new(command), outcome)).await;
        open.send_modify(|open| drop(open.remove(&number)));
        if answered.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Aws;
    use crate::engine::{Config, Engine};
    use crate::store::StateDir;
    use crate::units::Bytes;

    async fn engine(dir: &std::path::Path) -> Client {
        let state = StateDir::open(Some(dir)).expect("a state directory");
        let aws = Aws::new(crate::aws::Settings::default()).expect("a world");
        Engine::start(Config { state, aws, budget: Some(Bytes::mib(64)), bandwidth: None }).await.expect("an engine")
    }

    fn to(client: &Client, takes: Duration) -> Connector {
        let client = client.clone();
        Box::new(move || {
            let client = client.clone();
            Box::pin(async move {
                tokio::time::sleep(takes).await;
                Ok(client)
            })
        })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn settings_of_a_key_that_is_held_arrive_in_order_and_before_the_deck_is_closed() {
        let dir = tempfile::tempdir().expect("a directory");
        let client = engine(dir.path()).await;
        let (answers, mut told) = mpsc::channel(1024);
        for round in 0..20 {
            let mut errands = Errands::new(to(&client, Duration::from_millis(1)), answers.clone());
            for mib in 64..=96 {
                errands.ask(Command::Memory(Bytes::mib(mib + round)));
            }
            errands.settled(Duration::from_secs(60)).await;
            assert_eq!(errands.unanswered(), Vec::<String>::new());
            assert_eq!(client.status().borrow().budget.limit, Bytes::mib(96 + round), "the last one counts");
        }
        let mut done = 0;
        while let Ok(msg) = told.try_recv() {
            assert!(matches!(msg, Msg::Answered(_, Ok(_))), "{msg:?}");
            done += 1;
        }
        assert_eq!(done, 20 * 33, "each is answered");
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_engine_does_not_answer_is_told_and_waited_for_no_longer() {
        let (answers, _told) = mpsc::channel(8);
        let never: Connector = Box::new(|| Box::pin(std::future::pending()));
        let mut errands = Errands::new(never, answers);
        errands.settled(Duration::from_secs(3)).await;
        assert!(errands.unanswered().is_empty(), "nothing was asked");
        errands.ask(Command::Pause(crate::ids::JobId(3)));
        errands.ask(Command::Cancel(crate::ids::JobId(4), crate::engine::protocol::LeftOvers::Keep));
        errands.settled(Duration::from_secs(3)).await;
        assert_eq!(errands.unanswered(), ["to pause job 3", "to cancel job 4"]);
    }
}
