//! Asking S3, at the pace that it takes: one slot and one deadline for every request, one place that counts.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::CopySink;
use super::pace::{CopyPace, Turn};
use crate::aws::Session;
use crate::engine::blocks::lock;
use crate::engine::call::NO_SEGMENT;
use crate::engine::journal::{Record, Uploading};
use crate::engine::protocol::{Copied, Evidence};
use crate::engine::rate::Api;
use crate::engine::sink::Desk;
use crate::engine::telemetry::LaneLog;
use crate::error::{Class, Result};
use crate::inventory::archives;
use crate::plan::copied::Known;
use crate::units::Bytes;

/// A request that moves nothing is answered within this.
const LOOKS_WITHIN: Duration = Duration::from_secs(30);
/// One that copies gets so much, and the time that its bytes take at a rate below which it is given up.
const COPIES_WITHIN: Duration = Duration::from_secs(60);
const SLOWEST: u64 = 2 << 20;

/// One run of one destination.
pub(super) struct Work<'a> {
    pub sink: &'a CopySink,
    pub desk: &'a Desk,
    pace: Mutex<CopyPace>,
    log: LaneLog,
    tally: Mutex<Copied>,
    weakest: Mutex<Evidence>,
}

/// Which way a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It looks at the source, as its own account sees it.
    LookFrom,
    /// It looks at the destination.
    LookTo,
    /// It has S3 write so many bytes.
    Copy(Bytes),
}

impl<'a> Work<'a> {
    pub(super) fn new(sink: &'a CopySink, desk: &'a Desk, known: Copied) -> Self {
        Self {
            sink,
            desk,
            pace: Mutex::new(CopyPace::new(sink.pace, desk.hub.lanes_target())),
            log: desk.hub.lane_log(),
            tally: Mutex::new(known),
            weakest: Mutex::new(Evidence::Service),
        }
    }

    /// Asks until it is answered for good; how long the answer took.
    pub(super) async fn asked<T, F>(&self, way: Way, ask: impl Fn() -> F) -> Result<(T, Duration)>
    where
        F: Future<Output = Result<T>>,
    {
        let (api, session, within) = match way {
            Way::LookFrom => (Api::Fetch, &self.sink.from, LOOKS_WITHIN),
            Way::LookTo => (Api::Fetch, &self.sink.to, LOOKS_WITHIN),
            Way::Copy(bytes) => {
                (Api::Store, &self.sink.to, COPIES_WITHIN + Duration::from_secs(bytes.0.div_ceil(SLOWEST)))
            }
        };
        let route = self.desk.caller.route(api, session, None);
        let mut tries = self.desk.caller.tries(&route, &self.log, NO_SEGMENT).within(within);
        loop {
            let slot = self.desk.hub.gate.acquire().await;
            let (generation, began) = (lock(&self.pace).generation(), Instant::now());
            let outcome = tries.send(ask()).await;
            drop(slot);
            let error = match outcome {
                Ok(answer) => {
                    let took = began.elapsed();
                    if let Way::Copy(bytes) = way {
                        self.log.written(bytes);
                        let room = self.desk.hub.lanes_target();
                        let turn = lock(&self.pace).succeeded(generation, took, room);
                        self.turn(turn);
                    }
                    self.desk.hub.item_done(took);
                    return Ok((answer, took));
                }
                Err(error) => error,
            };
            if matches!(error.class, Class::Throttled(_) | Class::Congestion) {
                let turn = lock(&self.pace).throttled(generation, self.desk.hub.lanes_target());
                self.turn(turn);
            }
            tries.again(error).await?;
        }
    }

    /// Asks for something that only looks.
    pub(super) async fn look<T, F>(&self, way: Way, ask: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        Ok(self.asked(way, ask).await?.0)
    }

    fn turn(&self, turn: Option<Turn>) {
        if let Some(Turn { to, reason, text }) = turn {
            self.desk.hub.drive_lanes(to, reason, text);
        }
    }

    /// An object with its tags, where they count.
    pub(super) async fn known(
        &self,
        way: Way,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Option<Known>> {
        let session: &Session = if way == Way::LookFrom { &self.sink.from } else { &self.sink.to };
        let Some(facts) = self.look(way, || session.s3().facts(bucket, key, version)).await? else { return Ok(None) };
        let tags = match facts.tag_count {
            0 => Vec::new(),
            _ => self.look(way, || session.s3().tags(bucket, key, version)).await?,
        };
        Ok(Some(Known { facts, tags }))
    }

    /// What is settled so far.
    pub(super) fn tally(&self) -> Copied {
        lock(&self.tally).clone()
    }

    /// Counts, and shows it.
    pub(super) fn count(&self, change: impl FnOnce(&mut Copied)) {
        let mut tally = lock(&self.tally);
        change(&mut tally);
        let now = tally.clone();
        drop(tally);
        self.desk.hub.copied(self.desk.dest, &now);
    }

    /// Writes down how far it is; a crash may lose the last of these.
    pub(super) fn note(&self, to: Copied) {
        self.desk.hub.record(Record::Copied { dest: self.dest(), to });
    }

    /// Writes down a step of an upload, for good.
    pub(super) async fn uploading(&self, key: &str, step: Uploading) -> Result<()> {
        let (dest, key) = (self.dest(), key.to_owned());
        self.desk.keeper.journal(Record::Upload { dest, key, step }).await
    }

    pub(super) fn dest(&self) -> u16 {
        u16::try_from(self.desk.dest).unwrap_or(u16::MAX)
    }

    /// An object was proved this far only.
    pub(super) fn proved_by(&self, evidence: Evidence) {
        if evidence == Evidence::Claimed {
            *lock(&self.weakest) = evidence;
        }
    }

    pub(super) fn weakest(&self) -> Evidence {
        *lock(&self.weakest)
    }

    /// The last part of a key, for people.
    pub(super) fn name(key: &str) -> &str {
        archives::last_folder(key)
    }
}
