//! A front's end of a connection: numbers commands, hands answers back, keeps the latest picture, and notices when
//! nobody answers.
//!
//! Invariant: what the engine says is read whatever waits to be sent, and nothing that waits is lost in silence:
//! a command is answered, or its sender hears that the engine ended, or that it was not taken.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, SplitSink};
use futures_util::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::pulse::{Contact, LOOK_EVERY, Pulse, Silence, what_ends_it};
use super::{Buffer, Frames, HELLO_WITHIN, OPEN_COMMANDS, SILENT, frames, parse, put};
use crate::aws::Aws;
use crate::engine::protocol::{Answer, Command, PROTOCOL, Reply, Request, Status};
use crate::error::{Error, Result};
use crate::ids::JobId;

type Waiting = oneshot::Sender<Result<Answer>>;

/// A front's end of a connection. Cheap to clone; the connection ends with the last clone.
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::Sender<(Request, Waiting)>,
    status: watch::Receiver<Arc<Status>>,
    contact: watch::Receiver<Contact>,
    met: Met,
    /// The front's world, sent along with what needs one.
    aws: Option<Aws>,
}

/// Who was met at the other end.
#[derive(Debug, Clone, Copy)]
struct Met {
    pid: u32,
    pings: bool,
}

impl Client {
    /// Shakes hands over `io` and returns once the first picture is there.
    ///
    /// # Errors
    /// The other end is of another version, or went away.
    pub async fn connect<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        io: T,
        who: &str,
        aws: Option<Aws>,
    ) -> Result<Self> {
        let mut io = frames(io);
        let (met, first) =
            tokio::time::timeout(HELLO_WITHIN, greet(&mut io, who)).await.map_err(|_| Error::failed(SILENT))??;
        let (commands, asked) = mpsc::channel(OPEN_COMMANDS);
        let (pictures, status) = watch::channel(Arc::new(*first));
        let (contacts, contact) = watch::channel(Contact::Answers);
        tokio::spawn(Talk::new(io, met, pictures, contacts).run(asked));
        Ok(Self { commands, status, contact, met, aws })
    }

    /// Sends a command and waits for what came of it.
    ///
    /// # Errors
    /// As the engine answers; also when the engine is gone, or has so many commands waiting while it says nothing that
    /// this one was not given to it.
    pub async fn send(&self, command: Command) -> Result<Answer> {
        let world = match &self.aws {
            Some(aws) if command.needs_world() => {
                let wants_keys = !matches!(command, Command::Run { .. });
                aws.introduction(wants_keys).await.map(Box::new)
            }
            _ => None,
        };
        let wish = command.wish();
        let (answer, answered) = oneshot::channel();
        let asked = (Request { id: 0, command, world }, answer);
        let contact = *self.contact.borrow();
        match (self.commands.try_send(asked), contact) {
            (Ok(()), _) => {}
            (Err(TrySendError::Closed(_)), _) => return Err(gone()),
            (Err(TrySendError::Full(_)), Contact::Silent(silence)) => return Err(not_taken(&silence, &wish)),
            (Err(TrySendError::Full(asked)), _) => self.commands.send(asked).await.map_err(|_| gone())?,
        }
        answered.await.map_err(|_| unanswered(&wish))?
    }

    /// Whether whoever owns the jobs answers within that time: for a front that takes one picture and goes, and would take
    /// an old one for that of now. An engine that knows no such question is believed.
    pub async fn answers(&self, within: Duration) -> bool {
        !self.met.pings || tokio::time::timeout(within, self.send(Command::Ping)).await.is_ok_and(|told| told.is_ok())
    }

    /// Process id of the engine.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.met.pid
    }

    /// Whether the engine is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.commands.is_closed()
    }

    /// The latest picture; `changed()` wakes a few times a second while something happens.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.clone()
    }

    /// Whether the engine answers; `changed()` wakes when that, or the number of commands that wait for it, changes.
    #[must_use]
    pub fn contact(&self) -> watch::Receiver<Contact> {
        self.contact.clone()
    }
}

fn gone() -> Error {
    Error::stopped("the engine has ended").todo("`floe jobs ls` shows what can be resumed")
}

/// It ended with the command in its hand, or on the way to it.
fn unanswered(wish: &str) -> Error {
    Error::stopped(format!("the engine has ended before it answered: it was asked {wish}"))
        .todo("`floe jobs ls` shows where its jobs stand and what can be resumed")
}

fn not_taken(silence: &Silence, wish: &str) -> Error {
    let (said, waiting) = (silence.said(Instant::now()), silence.waiting);
    Error::failed(format!("{said}, and {waiting} commands wait for it: it was not asked {wish}"))
        .todo(what_ends_it(silence.pid))
}

async fn greet<T: AsyncRead + AsyncWrite + Unpin>(io: &mut Frames<T>, who: &str) -> Result<(Met, Box<Status>)> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let met = match next(io).await? {
        Reply::Hello { protocol: PROTOCOL, pid, pings, .. } => Met { pid, pings },
        Reply::Hello { protocol, version, pid, .. } => {
            return Err(Error::refused(format!(
                "the running engine (floe {version}, process {pid}) speaks protocol {protocol}, this floe {PROTOCOL}"
            ))
            .todo("use the floe that the engine was started with, or stop that engine"));
        }
        _ => return Err(Error::failed("the engine did not say hello")),
    };
    let hello = Command::Hello { protocol: PROTOCOL, version, who: who.to_owned() };
    put(io, &Request { id: 0, command: hello, world: None }).await?;
    match next(io).await? {
        Reply::Answer { outcome, .. } => outcome?,
        _ => return Err(Error::failed("the engine did not answer a greeting")),
    };
    match next(io).await? {
        Reply::Status(status) => Ok((met, status)),
        _ => Err(Error::failed("the engine sent no status")),
    }
}

pub(super) async fn next<S>(io: &mut S) -> Result<Reply>
where
    S: Stream<Item = std::io::Result<bytes::BytesMut>> + Unpin,
{
    match io.next().await {
        Some(Ok(frame)) => parse(&frame),
        Some(Err(cause)) => Err(Error::io("the engine's connection", &cause)),
        None => Err(gone()),
    }
}

/// What waits for an answer.
#[derive(Debug)]
enum Open {
    /// A front's command, and whether whoever owns the jobs answers it.
    Command(Waiting, bool),
    /// A question of our own.
    Ping,
}

type Writer<T> = SplitSink<Frames<T>, Buffer>;

/// The connection's own task.
struct Talk<T> {
    met: Met,
    io: Option<Frames<T>>,
    pictures: watch::Sender<Arc<Status>>,
    contact: watch::Sender<Contact>,
    pulse: Pulse,
    open: HashMap<u64, Open>,
    id: u64,
    /// What the engine tells of at this front's wish.
    watched: Option<JobId>,
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Talk<T> {
    fn new(io: Frames<T>, met: Met, pictures: watch::Sender<Arc<Status>>, contact: watch::Sender<Contact>) -> Self {
        let pulse = Pulse::new(Instant::now());
        Self { met, io: Some(io), pictures, contact, pulse, open: HashMap::new(), id: 0, watched: None }
    }

    async fn run(mut self, mut asked: mpsc::Receiver<(Request, Waiting)>) {
        let Some(io) = self.io.take() else { return };
        let (writer, mut replies) = io.split();
        let mut writer = Some(writer);
        // One frame at most is on its way: an engine that reads nothing must not keep us from listening.
        let mut writing: FuturesUnordered<BoxFuture<'static, Result<Writer<T>>>> = FuturesUnordered::new();
        let mut look = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                reply = next(&mut replies) => match reply {
                    Ok(reply) => self.hear(reply),
                    Err(_) => break,
                },
                Some(written) = writing.next() => match written {
                    Ok(free) => writer = Some(free),
                    Err(_) => break,
                },
                command = asked.recv(), if writer.is_some() && self.open.len() < OPEN_COMMANDS => {
                    let Some((request, answer)) = command else { return };
                    let request = self.takes(request, answer);
                    writing.extend(writer.take().map(|writer| write(writer, request)));
                }
                _ = look.tick() => {
                    if self.pulse.looks(Instant::now()) {
                        self.pulse.asks(Instant::now());
                        // Where a frame cannot even be sent, or waits for its answer, that is the question.
                        if !self.has_asked() && let Some(free) = writer.take() {
                            writing.push(write(free, self.asks()));
                        }
                    }
                }
            }
            self.tell(asked.len());
        }
        // Whoever waits for an answer hears that there will be none.
        self.contact.send_replace(Contact::Gone { pid: self.met.pid });
    }

    /// Numbers a command of the front.
    fn takes(&mut self, request: Request, answer: Waiting) -> Request {
        let of_the_connection = match &request.command {
            Command::Watch(job) => {
                self.watched = *job;
                true
            }
            _ => false,
        };
        self.id += 1;
        let of_the_owner = !of_the_connection || !self.met.pings;
        self.open.insert(self.id, Open::Command(answer, of_the_owner));
        if of_the_owner {
            self.pulse.asks(Instant::now());
        }
        Request { id: self.id, ..request }
    }

    /// Whether something waits that whoever owns the jobs will answer.
    fn has_asked(&self) -> bool {
        self.open.values().any(|open| matches!(open, Open::Ping | Open::Command(_, true)))
    }

    /// A question that changes nothing. An engine that knows none is asked again to tell what it tells already.
    fn asks(&mut self) -> Request {
        self.id += 1;
        self.open.insert(self.id, Open::Ping);
        let command = if self.met.pings { Command::Ping } else { Command::Watch(self.watched) };
        Request { id: self.id, command, world: None }
    }

    fn hear(&mut self, reply: Reply) {
        match reply {
            Reply::Status(status) => {
                // One that was sent again, for another watched job, says nothing of whoever made it.
                let fresh = status.revision != self.pictures.borrow().revision;
                if fresh || !self.met.pings {
                    self.pulse.hears();
                }
                self.pictures.send_replace(Arc::new(*status));
            }
            Reply::Answer { id, outcome } => match self.open.remove(&id) {
                Some(Open::Command(answer, of_the_owner)) => {
                    if of_the_owner {
                        self.pulse.hears();
                    }
                    let _ = answer.send(outcome);
                }
                Some(Open::Ping) => self.pulse.hears(),
                None => {}
            },
            Reply::Hello { .. } => {}
        }
    }

    /// Says how it stands, when that changed.
    fn tell(&self, queued: usize) {
        let waiting = self.open.values().filter(|open| matches!(open, Open::Command(..))).count() + queued;
        let now = match self.pulse.silent_since(Instant::now()) {
            Some(since) => Contact::Silent(Silence { pid: self.met.pid, since, waiting }),
            None => Contact::Answers,
        };
        self.contact.send_if_modified(|before| std::mem::replace(before, now) != now);
    }
}

fn write<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut writer: Writer<T>,
    request: Request,
) -> BoxFuture<'static, Result<Writer<T>>> {
    Box::pin(async move { put(&mut writer, &request).await.map(|()| writer) })
}
