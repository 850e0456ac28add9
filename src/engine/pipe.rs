//! The wire between a front and the engine: length-prefixed JSON frames over any byte stream.
//!
//! One path for every transport: the front in this process speaks over an in-memory pipe, others over a Unix
//! socket. Invariant: a frame is bounded ([`MAX_FRAME`]), the first one is `Hello`, and a peer of
//! another protocol version is refused. A slow front gets fewer pictures, never a queue of old ones.

mod client;
mod pulse;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes as Buffer;
use futures_util::stream::FuturesUnordered;
use futures_util::{Sink, SinkExt as _, StreamExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

pub use self::client::Client;
pub use self::pulse::{Contact, Silence, what_ends_it};
use super::protocol::{Answer, Command, PROTOCOL, Reply, Request, Status};
use super::supervisor::Handle;
use crate::error::{Error, Result};
use crate::ids::JobId;

/// A plan of a thousand items is about 2 MiB, a status of a thousand jobs about 4: what is larger is not ours.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;
/// Commands that may wait for their answer on one connection.
const OPEN_COMMANDS: usize = 64;
/// A front that does not say hello within this is not a peer of ours.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// An engine that listens and says nothing.
pub(super) const SILENT: &str = "the engine did not answer within 10 s";

/// Characters of a front's name that are shown.
const WHO_MOST: usize = 64;

type Frames<T> = Framed<T, LengthDelimitedCodec>;

fn frames<T: AsyncRead + AsyncWrite>(io: T) -> Frames<T> {
    LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME).new_framed(io)
}

async fn put<S>(io: &mut S, value: &impl Serialize) -> Result<()>
where
    S: Sink<Buffer, Error = std::io::Error> + Unpin,
{
    let body = serde_json::to_vec(value).map_err(|e| Error::failed(format!("could not write a frame: {e}")))?;
    io.send(Buffer::from(body)).await.map_err(|e| Error::io("the engine's connection", &e))
}

fn parse<V: DeserializeOwned>(frame: &[u8]) -> Result<V> {
    serde_json::from_slice(frame).map_err(|e| Error::failed(format!("a frame could not be read: {e}")))
}

/// Serves one front until it goes away. What it watches is its own: other fronts do not see it. What it asked before
/// it went is carried out, though nobody hears what came of it.
pub(super) async fn serve<T: AsyncRead + AsyncWrite + Unpin>(io: T, engine: Handle) -> Result<()> {
    let mut front = Front { io: frames(io), lost: None };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let hello = Reply::Hello { protocol: PROTOCOL, version, pid: std::process::id(), pings: true };
    put(&mut front.io, &hello).await?;
    let mut pictures = engine.status();
    pictures.mark_changed();
    let mut watched: Option<JobId> = None;
    let who = greeting(&mut front.io).await?;
    let mut open = FuturesUnordered::new();
    let ended = loop {
        tokio::select! {
            biased;
            // Before the answers: whoever has one must not find the picture of before.
            changed = pictures.changed() => {
                if changed.is_err() {
                    // The engine has ended; whoever asked for that hears so.
                    break Ok(());
                }
                let mut picture = Status::clone(&pictures.borrow_and_update().clone());
                picture.detail = watched.and_then(|job| engine.detail(job));
                front.hears(&Reply::Status(Box::new(picture))).await;
            }
            Some(reply) = open.next() => front.hears(&reply).await,
            frame = front.io.next(), if open.len() < OPEN_COMMANDS => {
                let request = match frame {
                    None => break Ok(()),
                    Some(Err(cause)) => break Err(Error::io("the front's connection", &cause)),
                    Some(Ok(frame)) => parse(&frame),
                };
                let Request { id, command, world } = match request {
                    Ok(request) => request,
                    Err(error) => break Err(error),
                };
                if let Command::Watch(job) = command {
                    watched = job;
                    front.hears(&Reply::Answer { id, outcome: Ok(Answer::Done) }).await;
                    pictures.mark_changed();
                    continue;
                }
                let (engine, who) = (engine.clone(), who.clone());
                open.push(async move {
                    let outcome = match command {
                        Command::Shutdown if engine.outlives_fronts() => Err(Error::refused(
                            "this engine outlives its fronts",
                        ).todo("to end it, send its process a SIGTERM: what runs goes on with the next one")),
                        command => engine.command(command, &who, world).await,
                    };
                    Reply::Answer { id, outcome }
                });
            }
        }
    };
    while let Some(reply) = open.next().await {
        front.hears(&reply).await;
    }
    ended.and_then(|()| front.lost.map_or(Ok(()), Err))
}

/// The other end. One that hears no more may still have asked for something before: an engine that stood still
/// finds both at once.
struct Front<T> {
    io: Frames<T>,
    lost: Option<Error>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Front<T> {
    async fn hears(&mut self, reply: &Reply) {
        if self.lost.is_none() {
            self.lost = put(&mut self.io, reply).await.err();
        }
    }
}

/// The front's first frame. One that says nothing, or something else, is not a front.
async fn greeting<T: AsyncRead + AsyncWrite + Unpin>(io: &mut Frames<T>) -> Result<String> {
    let frame = tokio::time::timeout(HELLO_WITHIN, io.next())
        .await
        .map_err(|_| Error::failed("the front said nothing for 10 s"))?
        .ok_or_else(|| Error::failed("the front went away without a word"))?
        .map_err(|e| Error::io("the front's connection", &e))?;
    let Request { id, command, .. } = parse(&frame)?;
    let Command::Hello { protocol, version, who } = command else {
        return Err(Error::failed("the front did not say hello"));
    };
    if protocol != PROTOCOL {
        let error = Error::refused(format!("floe {version} speaks protocol {protocol}, this engine {PROTOCOL}"))
            .todo("use the floe that the engine was started with, or end that engine");
        put(io, &Reply::Answer { id, outcome: Err(error.clone()) }).await?;
        return Err(error);
    }
    let who: String = who.chars().filter(|c| !c.is_control()).take(WHO_MOST).collect();
    put(io, &Reply::Answer { id, outcome: Ok(Answer::Done) }).await?;
    Ok(who)
}
