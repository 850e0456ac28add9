//! Every object below a prefix: two listings side by side, many objects at once, nothing kept of what is settled.
//!
//! Listings come in the order of keys, and a prefix in front does not change it: so what is where is known page by page,
//! without asking for each key. Invariants: what is kept is bounded by the objects on their way and those that wait for
//! an earlier one, never by how many there are; a failure is of its object, is written down with its name, and stops
//! nobody else; what is journaled as settled is settled without a gap, and a resume lists from there.

use std::collections::{BTreeMap, VecDeque};
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Semaphore;

use super::What;
use super::object::Item;
use super::work::{Way, Work};
use crate::aws::{CopyFrom, S3, S3Object, Tokens};
use crate::engine::protocol::{Copied, Tone};
use crate::engine::transfer::{Halt, halt_of};
use crate::error::{Error, Result};
use crate::plan::Verify;
use crate::plan::copied::{Action, decide};
use crate::plan::parts::{self, Parts};
use crate::units::Bytes;

/// Objects that wait for one before them, at most: keys of a few MiB.
const AHEAD: u64 = 20_000;
/// Uploads in parts at once: each may use all lanes.
const UPLOADS: usize = 4;
/// How far it is, is written down each so many objects.
const NOTED: u64 = 500;
/// Failures that are named at the end; all of them are in the file.
const NAMED: usize = 20;
/// Failures that the file names, at most.
const WRITTEN: u64 = 100_000;

/// One listing, read ahead by a page.
struct Walk<'a> {
    work: &'a Work<'a>,
    way: Way,
    s3: &'a S3,
    bucket: &'a str,
    prefix: &'a str,
    after: Option<String>,
    token: Option<String>,
    tokens: Tokens,
    page: VecDeque<S3Object>,
    ended: bool,
}

impl Walk<'_> {
    /// The next object, and what follows the prefix in its key.
    async fn next(&mut self) -> Result<Option<(String, S3Object)>> {
        self.look_ahead().await?;
        let (bucket, prefix) = (self.bucket, self.prefix);
        self.page.pop_front().map_or(Ok(None), |object| match object.key.strip_prefix(prefix) {
            Some(name) => Ok(Some((name.to_owned(), object))),
            None => Err(Error::failed(format!("the listing of s3://{bucket}/{prefix} names {}", object.key))),
        })
    }

    async fn look_ahead(&mut self) -> Result<()> {
        while self.page.is_empty() && !self.ended {
            let (s3, bucket, prefix) = (self.s3, self.bucket, self.prefix);
            let (after, token) = (self.after.as_deref(), self.token.as_deref());
            let page = self.work.look(self.way, || s3.list(bucket, prefix, false, after, token)).await?;
            self.token = self.tokens.next(page.next).map_err(|e| e.during(format!("s3://{bucket}/{prefix}")))?;
            self.ended = self.token.is_none();
            self.page = page.objects.into();
        }
        Ok(())
    }

    /// Whether there is an object of that name; what comes before it is passed over.
    async fn has(&mut self, name: &str) -> Result<bool> {
        loop {
            self.look_ahead().await?;
            let Some(known) = self.page.front().and_then(|object| object.key.strip_prefix(self.prefix)) else {
                return Ok(false);
            };
            if known >= name {
                return Ok(known == name);
            }
            self.page.pop_front();
        }
    }
}

/// The two listings, and the object that comes next: its name, itself, and whether there is one where it goes.
type Taken<'w> = ((Walk<'w>, Walk<'w>), (String, S3Object, bool));

/// What became of one object.
#[derive(Debug)]
enum Became {
    Copied,
    Set,
    Skipped,
    Failed(Box<Error>),
}

/// What is settled, in order.
#[derive(Debug, Default)]
struct Order {
    /// Everything below this number is settled.
    below: u64,
    /// Settled, and waiting for one before it.
    waiting: BTreeMap<u64, (String, Bytes, Became)>,
    /// What is settled without a gap.
    durable: Copied,
    noted: u64,
}

impl Work<'_> {
    /// Copies all that is meant below a prefix; `again` looks at everything once more, for what failed before.
    pub(super) async fn tree(&self, bucket: &str, prefix: &str, again: bool) -> Result<()> {
        let mut order = Order { durable: if again { Copied::default() } else { self.tally() }, ..Order::default() };
        if again {
            let _ = std::fs::remove_file(&self.sink.failures);
        }
        self.count(|all| *all = order.durable.clone());
        let root = &self.sink.root;
        let after = |prefix: &str| order.durable.through.as_ref().map(|name| format!("{prefix}{name}"));
        let walk = |way, s3, bucket, prefix, after| Walk {
            work: self,
            way,
            s3,
            bucket,
            prefix,
            after,
            token: None,
            tokens: Tokens::default(),
            page: VecDeque::new(),
            ended: false,
        };
        let from = walk(Way::LookFrom, self.sink.from.s3(), bucket, prefix, after(prefix));
        let there = walk(Way::LookTo, self.sink.to.s3(), &root.bucket, &root.prefix, after(&root.prefix));
        let uploads = Semaphore::new(UPLOADS);
        let (mut flying, mut next, mut stopped) = (FuturesUnordered::new(), 0u64, None::<Error>);
        // Whoever lists takes a slot as the others do, so it is asked beside them, never instead of them.
        let (mut resting, mut taking) = (Some((from, there)), None);
        loop {
            let room = flying.len() < self.desk.hub.lanes_target() as usize && next - order.below < AHEAD;
            if room
                && stopped.is_none()
                && let Some((from, there)) = resting.take()
            {
                taking = Some(self.take(from, there).boxed());
            }
            tokio::select! {
                taken = async { match taking.as_mut() {
                    Some(taking) => taking.await,
                    None => std::future::pending().await,
                } }, if taking.is_some() => {
                    taking = None;
                    match taken {
                        Ok(None) => {}
                        Ok(Some((walks, (name, object, exists)))) => {
                            resting = Some(walks);
                            let (nth, uploads) = (next, &uploads);
                            next += 1;
                            flying.push(async move {
                                let became = self.settle(bucket, &object, &name, exists, uploads).await;
                                (nth, name, object.bytes, became)
                            });
                        }
                        Err(error) => {
                            stopped.get_or_insert(error);
                        }
                    }
                }
                Some((nth, name, bytes, became)) = flying.next(), if !flying.is_empty() => match became {
                    Ok(became) => self.settled(&mut order, nth, (name, bytes, became))?,
                    Err(error) => {
                        stopped.get_or_insert(error);
                    }
                },
                else => break,
            }
        }
        self.note(order.durable.clone());
        match stopped {
            Some(error) => Err(error),
            None if order.durable.failed > 0 => Err(self.failures(&order.durable)),
            None => Ok(()),
        }
    }

    /// The next object that is meant, and whether there is one of its name where it goes; none at the end.
    async fn take<'w>(&self, mut from: Walk<'w>, mut there: Walk<'w>) -> Result<Option<Taken<'w>>> {
        while let Some((name, object)) = from.next().await? {
            if self.sink.globs.take(&name) {
                let exists = there.has(&name).await?;
                return Ok(Some(((from, there), (name, object, exists))));
            }
        }
        Ok(None)
    }

    /// One object from its listing to its proof. An error is of the whole job: credentials, a service that is silent.
    async fn settle(
        &self,
        bucket: &str,
        object: &S3Object,
        name: &str,
        exists: bool,
        uploads: &Semaphore,
    ) -> Result<Became> {
        match self.try_to(bucket, object, name, exists, uploads).await {
            Ok(became) => Ok(became),
            Err(error) if matches!(halt_of(error.clone()), Halt::Wait(_)) => Err(error),
            Err(error) => {
                self.desk.say(name, error.to_string(), Tone::Bad);
                self.count(|all| all.failed += 1);
                Ok(Became::Failed(Box::new(error)))
            }
        }
    }

    async fn try_to(
        &self,
        bucket: &str,
        object: &S3Object,
        name: &str,
        exists: bool,
        uploads: &Semaphore,
    ) -> Result<Became> {
        let sink = self.sink;
        let known = self.known(Way::LookFrom, bucket, &object.key, None).await?;
        let known = known.ok_or_else(|| Error::failed(format!("s3://{bucket}/{} is gone", object.key)))?;
        let (key, facts) = (format!("{}{name}", sink.root.prefix), &known.facts);
        if key.is_empty() {
            return Err(Error::failed("an object has to have a key").todo("copy to a prefix, not to the whole bucket"));
        }
        let there = match exists {
            true => self.known(Way::LookTo, &sink.root.bucket, &key, None).await?,
            false => None,
        };
        let action = decide(&known, there.as_ref(), &sink.rules, sink.near);
        let parts = parts::cut(facts.bytes, sink.pace, sink.near.region, sink.part_size)?;
        let from = CopyFrom {
            bucket: bucket.to_owned(),
            key: object.key.clone(),
            version: facts.version.clone().filter(|_| !matches!(sink.what, What::Tree { by_etag: true, .. })),
            etag: facts.etag.clone(),
        };
        let item = Item { from, key, length: facts.bytes };
        let turn = match (&action, parts) {
            (Action::Copy { .. }, Parts { whole: false, .. }) => uploads.acquire().await.ok(),
            _ => None,
        };
        let done = self.act(&item, &known, &action, &parts).await;
        drop(turn);
        if let Err(error) = done {
            self.leave_nothing(&item.key).await;
            return Err(error);
        }
        if sink.rules.verify != Verify::None && matches!(action, Action::Copy { .. }) {
            let (evidence, _) = self.proved(&item, &action, None).await?;
            self.proved_by(evidence);
        }
        Ok(match action {
            Action::Set { .. } => Became::Set,
            Action::Skip { .. } => Became::Skipped,
            _ => Became::Copied,
        })
    }

    /// The upload of an object that failed for good: nobody comes back to it.
    async fn leave_nothing(&self, key: &str) {
        let upload = self.desk.known().await.ok().and_then(|known| known.uploads.get(key).cloned());
        if let Some(upload) = upload
            && let Err(error) = self.give_up(key, &upload).await
        {
            self.desk.say(key, format!("its upload could not be given up: {error}"), Tone::Bad);
        }
    }

    /// An object is settled: what is settled without a gap is counted for good.
    fn settled(&self, order: &mut Order, nth: u64, what: (String, Bytes, Became)) -> Result<()> {
        order.waiting.insert(nth, what);
        while let Some((name, bytes, became)) = order.waiting.remove(&order.below) {
            order.below += 1;
            let all = &mut order.durable;
            match became {
                Became::Copied => all.copied += 1,
                Became::Set => all.set += 1,
                Became::Skipped => all.skipped += 1,
                Became::Failed(error) => {
                    all.failed += 1;
                    if all.failed <= WRITTEN {
                        self.write_down(&name, &error)?;
                    }
                    all.through = Some(name);
                    continue;
                }
            }
            all.bytes += bytes;
            all.through = Some(name);
        }
        if order.below - order.noted >= NOTED {
            order.noted = order.below;
            self.note(order.durable.clone());
        }
        Ok(())
    }

    /// Names a failure in the job's own file.
    fn write_down(&self, name: &str, error: &Error) -> Result<()> {
        let path = &self.sink.failures;
        let failed = |e: &std::io::Error| Error::io(format!("could not write {}", path.display()), e);
        let line = serde_json::json!({ "key": name, "error": error.to_string() });
        let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(|e| failed(&e))?;
        writeln!(file, "{line}").map_err(|e| failed(&e))
    }

    /// What failed, by name: the first ones here, all of them in the file.
    fn failures(&self, all: &Copied) -> Error {
        let path = &self.sink.failures;
        let file = std::fs::File::open(path).map(BufReader::new).ok();
        let named = file.into_iter().flat_map(|file| file.lines().map_while(Result::ok).take(NAMED));
        let named: Vec<String> = named
            .filter_map(|line| {
                let line: serde_json::Value = serde_json::from_str(&line).ok()?;
                Some(format!("{}: {}", line["key"].as_str()?, line["error"].as_str()?))
            })
            .collect();
        let more = all.failed.saturating_sub(named.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let what = format!("{} of {} objects failed: {}{more}", all.failed, all.objects(), named.join("; "));
        Error::partial(what)
            .todo(format!("all of them are named in {}; copying again skips what is there", path.display()))
    }
}
