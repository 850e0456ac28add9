//! One request and its answer over one connection.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::{BufMut as _, Bytes as Buffer, BytesMut};
use http::{HeaderMap, Request, Response, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio_util::io::poll_read_buf;

use super::{Origin, Pool, Stream};

/// What is read of a body at a time: large enough that the system call does not matter, small enough to be hashed while
/// it is in the cache.
const READ: usize = 64 * 1024;
/// The longest head that is taken for one; hyper begins with an eighth of it.
const HEAD_MAX: usize = 64 * 1024;
/// Bodies from this length on are read past hyper.
const STRAIGHT: u64 = 16 * 1024;

/// As far as hyper speaks. Whoever asks drives it: dropped, all of it is gone at once, with the body that was on its way.
pub(super) struct Exchange {
    requests: SendRequest<SdkBody>,
    /// `None` once it has ended.
    connection: Option<Connection<Stream, SdkBody>>,
}

impl Exchange {
    pub(super) async fn over(stream: Stream) -> hyper::Result<Self> {
        let (requests, connection) = Builder::new().max_buf_size(HEAD_MAX).handshake(stream).await?;
        Ok(Self { requests, connection: Some(connection) })
    }

    /// Whether the other end hung up while nobody asked.
    pub(super) fn has_ended(&mut self) -> bool {
        drive(&mut self.connection, &mut Context::from_waker(Waker::noop()));
        self.connection.is_none()
    }

    /// Sends it and waits for the head of its answer.
    pub(super) async fn ask(
        &mut self,
        request: Request<SdkBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<SdkBody>>> {
        let Self { requests, connection } = self;
        let mut answer = std::pin::pin!(requests.try_send_request(request));
        std::future::poll_fn(|context| {
            drive(connection, context);
            answer.as_mut().poll(context)
        })
        .await
    }

    /// What was answered; afterwards the connection goes `home`. The request `only_asked` when it had no body, so that
    /// nothing of it can be left to send.
    pub(super) fn answer(
        self,
        answer: Response<Incoming>,
        only_asked: bool,
        home: (Arc<Pool>, Origin),
    ) -> Response<Answer> {
        let (head, body) = answer.into_parts();
        let length = body.size_hint().exact().filter(|length| only_asked && *length >= STRAIGHT);
        let coming = match (length, self.connection) {
            (Some(length), Some(connection)) => {
                let stays_open = stays_open(head.version, &head.headers);
                Coming::Straight(Straight::of(connection, body, length, stays_open))
            }
            (_, connection) => Coming::Parsed(body, Box::new(Self { requests: self.requests, connection })),
        };
        let mut answer = Answer { coming, home: Some(home) };
        if answer.is_end_stream() {
            answer.go_home();
        }
        Response::from_parts(head, answer)
    }

    /// The stream, when another request may follow: this one was sent and answered to its end, and nothing else came.
    fn into_stream(mut self) -> Option<Stream> {
        if self.has_ended() || !self.requests.is_ready() {
            return None;
        }
        let parts = self.connection?.into_parts();
        parts.read_buf.is_empty().then_some(parts.io)
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("open", &self.connection.is_some()).finish_non_exhaustive()
    }
}

/// Goes on as far as it can; whoever waits for something of it looks after that.
fn drive(connection: &mut Option<Connection<Stream, SdkBody>>, context: &mut Context<'_>) {
    if let Some(Poll::Ready(end)) = connection.as_mut().map(|connection| Pin::new(connection).poll(context)) {
        if let Err(error) = end {
            tracing::debug!(%error, "a connection ended");
        }
        *connection = None;
    }
}

/// Whether the server takes another request after this answer.
fn stays_open(version: Version, headers: &HeaderMap) -> bool {
    let said = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let closes = said.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("close"));
    version >= Version::HTTP_11 && !closes
}

/// The body of an answer; its connection goes back when it is read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    coming: Coming,
    home: Option<(Arc<Pool>, Origin)>,
}

#[derive(Debug)]
enum Coming {
    /// Short, or of a length that is not known: hyper reads it.
    Parsed(Incoming, Box<Exchange>),
    Straight(Straight),
    /// To its end, or as far as it came.
    Over,
}

/// A body of a known length, off the stream.
struct Straight {
    /// What hyper had read of it.
    ahead: VecDeque<Buffer>,
    stream: Stream,
    /// Bytes that are still to come by the stream.
    left: u64,
    stays_open: bool,
    /// Where frames are read to, when frames are asked for.
    frames: BytesMut,
}

impl fmt::Debug for Straight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Straight").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Straight {
    fn of(connection: Connection<Stream, SdkBody>, mut body: Incoming, length: u64, stays_open: bool) -> Self {
        let parts = connection.into_parts();
        let mut straight =
            Self { ahead: VecDeque::new(), stream: parts.io, left: length, stays_open, frames: BytesMut::new() };
        // What it had handed on lies in the body still; after that nothing more comes there.
        let context = &mut Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(context) {
            if let Ok(data) = frame.into_data() {
                straight.came_ahead(data);
            }
        }
        straight.came_ahead(parts.read_buf);
        straight
    }

    fn came_ahead(&mut self, mut data: Buffer) {
        let length = data.len() as u64;
        if length > self.left {
            // More than it said: whatever that is, it is no answer to a next request.
            self.stays_open = false;
            data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        self.left = self.left.saturating_sub(length);
        if !data.is_empty() {
            self.ahead.push_back(data);
        }
    }

    fn is_over(&self) -> bool {
        self.left == 0 && self.ahead.is_empty()
    }

    /// Bytes that were not handed on yet.
    fn rest(&self) -> u64 {
        self.left + self.ahead.iter().map(|data| data.len() as u64).sum::<u64>()
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Buffer>> {
        if let Some(data) = self.ahead.pop_front() {
            return Poll::Ready(Ok(data));
        }
        self.frames.reserve(READ);
        ready!(poll_some(&mut self.stream, &mut self.left, &mut self.frames, context))?;
        Poll::Ready(Ok(self.frames.split().freeze()))
    }
}

/// Adds what comes of a body with `left` bytes: [`READ`] bytes at most, and never none.
fn poll_some(
    stream: &mut Stream,
    left: &mut u64,
    into: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(READ);
    let mut room = into.limit(most);
    let read = ready!(poll_read_buf(Pin::new(&mut TokioIo::new(stream)), context, &mut room))?;
    if read == 0 {
        return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed")));
    }
    *left -= read as u64;
    Poll::Ready(Ok(read))
}

impl Answer {
    /// Adds what comes next to `into`, without a copy on the way: how many bytes, none at the end. `None` where frames
    /// have to be asked for.
    ///
    /// # Errors
    /// It was cut.
    pub(crate) async fn read(&mut self, into: &mut BytesMut) -> Option<io::Result<usize>> {
        let Straight { ahead, stream, left, .. } = match &mut self.coming {
            Coming::Parsed(..) => return None,
            Coming::Straight(straight) => straight,
            Coming::Over => return Some(Ok(0)),
        };
        let read = match ahead.pop_front() {
            Some(data) => {
                into.extend_from_slice(&data);
                Ok(data.len())
            }
            None => std::future::poll_fn(|context| poll_some(stream, left, into, context)).await,
        };
        if self.is_end_stream() {
            self.go_home();
        }
        Some(read)
    }

    /// Bytes that are still to come, where that is known.
    pub(crate) fn rest(&self) -> Option<u64> {
        match &self.coming {
            Coming::Parsed(body, _) => body.size_hint().exact(),
            Coming::Straight(straight) => Some(straight.rest()),
            Coming::Over => Some(0),
        }
    }

    /// It was read to its end.
    fn go_home(&mut self) {
        let stream = match std::mem::replace(&mut self.coming, Coming::Over) {
            Coming::Parsed(_, exchange) => exchange.into_stream(),
            Coming::Straight(straight) => straight.stays_open.then_some(straight.stream),
            Coming::Over => None,
        };
        if let (Some(stream), Some((pool, origin))) = (stream, self.home.take()) {
            pool.give(origin, stream);
        }
    }
}

impl Body for Answer {
    type Data = Buffer;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Buffer>, BoxError>>> {
        let frame = match &mut self.coming {
            Coming::Parsed(body, exchange) => {
                drive(&mut exchange.connection, context);
                ready!(Pin::new(body).poll_frame(context)).map(|frame| frame.map_err(Into::into))
            }
            Coming::Straight(straight) => {
                Some(ready!(straight.poll_frame(context)).map(Frame::data).map_err(Into::into))
            }
            Coming::Over => None,
        };
        // A chunked body knows its end only when it is there.
        if frame.is_none() || self.is_end_stream() {
            self.go_home();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.coming {
            Coming::Parsed(body, _) => body.is_end_stream(),
            Coming::Straight(straight) => straight.is_over(),
            Coming::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.coming {
            Coming::Parsed(body, _) => body.size_hint(),
            Coming::Straight(straight) => SizeHint::with_exact(straight.rest()),
            Coming::Over => SizeHint::with_exact(0),
        }
    }
}
