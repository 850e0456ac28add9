//! The body of an answer: pieces that are sent without being copied, and what a fault does to them.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::stats::InFlight;

/// Bytes that a slow body hands over at a time.
const DRIP: usize = 16 * 1024;
/// What a client gets to see the first half of a body before the connection breaks.
const CUT_PAUSE: Duration = Duration::from_millis(5);

/// A body on its way out.
#[derive(Debug, Default)]
pub struct Body {
    pieces: VecDeque<Bytes>,
    /// What comes after them.
    source: Source,
    left: u64,
    ill: Illness,
    /// Ends the request in the statistics when the last byte was handed over, or the client went away.
    in_flight: Option<InFlight>,
}

/// Where more pieces come from; read when they are sent.
#[derive(Default)]
struct Source(Option<Box<dyn Iterator<Item = std::io::Result<Bytes>> + Send + Sync>>);

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Source" } else { "no source" })
    }
}

#[derive(Debug, Default)]
enum Illness {
    #[default]
    None,
    /// Breaks off when so many bytes are left, once the others had a moment to leave the server's buffers.
    Cut {
        end: u64,
        pause: Pin<Box<Sleep>>,
    },
    Slow {
        per_second: u64,
        next: Pin<Box<Sleep>>,
    },
}

impl Body {
    /// A body of some pieces.
    pub fn of(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces: VecDeque<Bytes> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, left, ..Self::default() }
    }

    /// A body of `length` bytes whose pieces are made when they are sent.
    pub fn streamed(length: u64, pieces: impl Iterator<Item = std::io::Result<Bytes>> + Send + Sync + 'static) -> Self {
        Self { source: Source(Some(Box::new(pieces))), left: length, ..Self::default() }
    }

    /// The next piece that is not empty.
    fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Ok(Some(piece));
        }
        let Some(source) = &mut self.source.0 else { return Ok(None) };
        source.find(|piece| !matches!(piece, Ok(bytes) if bytes.is_empty())).transpose()
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.left
    }
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Makes it break off half-way.
    pub fn cut(&mut self) {
        self.ill = Illness::Cut { end: self.left / 2, pause: Box::pin(tokio::time::sleep(CUT_PAUSE)) };
    }

    /// Makes it arrive at a given rate.
    pub fn slow(&mut self, per_second: u64) {
        self.ill = Illness::Slow { per_second: per_second.max(1), next: Box::pin(tokio::time::sleep(Duration::ZERO)) };
    }

    /// Changes one byte in the middle of its first piece.
    pub fn corrupt(&mut self) {
        if let Ok(Some(piece)) = self.next() {
            let mut copy = BytesMut::from(&piece[..]);
            let middle = copy.len() / 2;
            copy[middle] ^= 0x20;
            self.pieces.push_front(copy.freeze());
        }
    }

    /// Counts the request as under way until the body is gone.
    pub fn carry(&mut self, in_flight: InFlight) {
        self.in_flight = Some(in_flight);
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::of([Bytes::from(text)])
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = &mut *self;
        let mut piece = match this.next() {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                this.in_flight = None;
                return Poll::Ready(None);
            }
            Err(cause) => {
                this.in_flight = None;
                return Poll::Ready(Some(Err(cause)));
            }
        };
        match &mut this.ill {
            Illness::None => {}
            Illness::Cut { end, pause } if this.left <= *end => {
                if pause.as_mut().poll(cx).is_pending() {
                    this.pieces.push_front(piece);
                    return Poll::Pending;
                }
                this.in_flight = None;
                return Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionAborted.into())));
            }
            Illness::Cut { end, .. } => {
                let most = (this.left - *end).min(piece.len() as u64) as usize;
                let rest = piece.split_off(most);
                if rest.has_remaining() {
                    this.pieces.push_front(rest);
                }
            }
            Illness::Slow { per_second, next } => {
                if next.as_mut().poll(cx).is_pending() {
                    this.pieces.push_front(piece);
                    return Poll::Pending;
                }
                let rest = piece.split_off(DRIP.min(piece.len()));
                if rest.has_remaining() {
                    this.pieces.push_front(rest);
                }
                let pause = Duration::from_secs_f64(piece.len() as f64 / *per_second as f64);
                next.as_mut().reset(Instant::now() + pause);
            }
        }
        this.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
