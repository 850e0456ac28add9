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
    left: u64,
    ill: Illness,
    /// Ends the request in the statistics when the last byte was handed over, or the client went away.
    in_flight: Option<InFlight>,
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
        if let Some(piece) = self.pieces.front_mut() {
            let mut copy = BytesMut::from(&piece[..]);
            let middle = copy.len() / 2;
            copy[middle] ^= 0x20;
            *piece = copy.freeze();
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
        let Some(mut piece) = this.pieces.pop_front() else {
            this.in_flight = None;
            return Poll::Ready(None);
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
                this.pieces.push_front(rest);
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
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
