//! Bodies in `aws-chunked` form, read as they come: chunks with or without signatures, and trailers.

use aws_lc_rs::digest;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::refusal::Refusal;
use crate::sandbox::pool::{finish, sha256};
use crate::sandbox::sigv4::{Seal, Seals};

/// The longest line between chunks.
const LINE_MAX: usize = 16 * 1024;
/// Every chunk but the last is at least so long.
const CHUNK_MIN: u64 = 8 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A line with the next chunk's size.
    Size,
    /// So many bytes of the chunk to come.
    Data(u64),
    /// The end of the line after a chunk.
    DataEnd,
    /// Lines of trailers, up to an empty one.
    Trailers,
    Done,
    Broken,
}

/// What there was beside the payload.
#[derive(Debug, Default)]
pub struct End {
    /// `x-amz-checksum-…`.
    pub trailers: HeaderMap,
    /// What the chunks' signatures are over, where they are signed.
    pub seals: Option<Seals>,
}

/// A body that is being taken apart.
pub struct Frames {
    state: State,
    line: Vec<u8>,
    signed: bool,
    with_trailers: bool,
    hash: digest::Context,
    seals: Vec<Seal>,
    /// The signature of the chunk at hand, and its length.
    signature: String,
    chunk: u64,
    short: bool,
    trailers: Vec<(String, String)>,
    why: Option<Refusal>,
}

fn fresh() -> digest::Context {
    digest::Context::new(&digest::SHA256)
}

fn broken() -> Refusal {
    Refusal::bad("IncompleteBody", "The request body terminated unexpectedly")
}

fn malformed_trailer() -> Refusal {
    let message =
        "The request contained trailing data that was not well-formed or did not conform to our published schema.";
    Refusal::bad("MalformedTrailerError", message)
}

impl Frames {
    /// For a request whose body is in that form.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let form = headers.get("x-amz-content-sha256")?.to_str().ok()?.strip_prefix("STREAMING-")?;
        let unknown = || Refusal::bad("InvalidRequest", "The value of x-amz-content-sha256 header is invalid.");
        let (signed, with_trailers, why) = match form {
            "UNSIGNED-PAYLOAD-TRAILER" => (false, true, None),
            "AWS4-HMAC-SHA256-PAYLOAD" => (true, false, None),
            "AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => (true, true, None),
            _ => (false, false, Some(unknown())),
        };
        Some(Self {
            state: if why.is_some() { State::Broken } else { State::Size },
            line: Vec::new(),
            signed,
            with_trailers,
            hash: fresh(),
            seals: Vec::new(),
            signature: String::new(),
            chunk: 0,
            short: false,
            trailers: Vec::new(),
            why,
        })
    }

    /// Takes what came next; `payload` gets what is no frame.
    pub fn feed(&mut self, mut bytes: &[u8], mut payload: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            match self.state {
                State::Done | State::Broken => return,
                State::Data(left) => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (now, rest) = bytes.split_at(most);
                    if self.signed {
                        self.hash.update(now);
                    }
                    payload(now);
                    let left = left - now.len() as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    bytes = rest;
                }
                State::Size | State::DataEnd | State::Trailers => {
                    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
                    self.line.extend_from_slice(&bytes[..end]);
                    bytes = &bytes[end..];
                    if self.line.ends_with(b"\r\n") {
                        let line = std::mem::take(&mut self.line);
                        if let Err(refusal) = self.line(&line[..line.len() - 2]) {
                            self.fail(refusal);
                        }
                    } else if self.line.len() > LINE_MAX {
                        self.fail(broken());
                    }
                }
            }
        }
    }

    fn fail(&mut self, why: Refusal) {
        self.state = State::Broken;
        self.why.get_or_insert(why);
    }

    /// A whole line, without its end.
    fn line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let text = std::str::from_utf8(line).map_err(|_| broken())?;
        match self.state {
            State::Size => {
                let (size, extension) = text.split_once(';').unwrap_or((text, ""));
                let size = u64::from_str_radix(size.trim(), 16).map_err(|_| broken())?;
                if size > 0 && self.short {
                    let message = "Only the last chunk is allowed to have a size less than 8192 bytes";
                    return Err(Refusal::new(StatusCode::FORBIDDEN, "InvalidChunkSizeError", message)
                        .naming("BadChunkSize", self.chunk.to_string()));
                }
                self.signature = extension.trim().strip_prefix("chunk-signature=").unwrap_or_default().to_owned();
                (self.chunk, self.short) = (size, size < CHUNK_MIN);
                if size == 0 {
                    self.seal();
                    self.state = State::Trailers;
                } else {
                    self.state = State::Data(size);
                }
            }
            State::DataEnd if text.is_empty() => {
                self.seal();
                self.state = State::Size;
            }
            State::Trailers if text.is_empty() => self.state = State::Done,
            State::Trailers => {
                let (name, value) = text.split_once(':').ok_or_else(malformed_trailer)?;
                self.trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
            _ => return Err(broken()),
        }
        Ok(())
    }

    fn seal(&mut self) {
        let hash = finish(std::mem::replace(&mut self.hash, fresh()));
        if self.signed {
            self.seals.push(Seal { signature: std::mem::take(&mut self.signature), hash });
        }
    }

    /// The end of the body, `length` bytes of payload long.
    ///
    /// # Errors
    /// It is cut off or malformed, or is not what its headers say.
    pub fn finish(mut self, headers: &HeaderMap, length: u64) -> Result<End, Refusal> {
        if let Some(why) = self.why.take() {
            return Err(why);
        }
        if self.state != State::Done {
            return Err(broken());
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match text("x-amz-decoded-content-length").map(str::parse::<u64>) {
            Some(Ok(said)) if said == length => {}
            Some(_) => {
                let message =
                    "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header";
                return Err(Refusal::bad("IncompleteBody", message));
            }
            None => {
                let message = "You must provide the Content-Length HTTP header.";
                return Err(Refusal::new(StatusCode::LENGTH_REQUIRED, "MissingContentLength", message));
            }
        }
        let sealed = self.trailers.iter().position(|(name, _)| name == "x-amz-trailer-signature");
        let signature = sealed.map(|at| self.trailers.remove(at).1);
        let mut declared: Vec<String> = text("x-amz-trailer")
            .map(|names| names.split(',').map(|name| name.trim().to_ascii_lowercase()).collect())
            .unwrap_or_default();
        let mut came: Vec<String> = self.trailers.iter().map(|(name, _)| name.clone()).collect();
        declared.sort();
        came.sort();
        if came != declared || (!came.is_empty() && !self.with_trailers) {
            return Err(malformed_trailer());
        }
        let trailer = (self.signed && self.with_trailers).then(|| {
            let canonical: String = self.trailers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
            Seal { signature: signature.unwrap_or_default(), hash: sha256(canonical.as_bytes()) }
        });
        let seals = self.signed.then_some(Seals { chunks: self.seals, trailer });
        let mut trailers = HeaderMap::new();
        for (name, value) in &self.trailers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed_trailer())?;
            trailers.insert(name, HeaderValue::from_str(value).map_err(|_| malformed_trailer())?);
        }
        Ok(End { trailers, seals })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(form: &'static str, length: &str, trailer: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-content-sha256", HeaderValue::from_static(form));
        headers.insert("x-amz-decoded-content-length", HeaderValue::from_str(length).unwrap());
        if let Some(name) = trailer {
            headers.insert("x-amz-trailer", HeaderValue::from_static(name));
        }
        headers
    }

    /// Fed in pieces of `step` bytes.
    fn decode(headers: &HeaderMap, body: &[u8], step: usize) -> Result<(Vec<u8>, End), Refusal> {
        let (mut frames, mut payload) = (Frames::of(headers).unwrap(), Vec::new());
        body.chunks(step).for_each(|piece| frames.feed(piece, |bytes| payload.extend_from_slice(bytes)));
        let length = payload.len() as u64;
        frames.finish(headers, length).map(|end| (payload, end))
    }

    const UNSIGNED: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";

    #[test]
    fn however_the_frames_come_the_payload_and_its_trailers_are_the_same() {
        let body =
            [b"2000\r\n", &[7u8; 0x2000][..], b"\r\n5\r\nhello\r\n0\r\nx-amz-checksum-crc32:abcd==\r\n\r\n"].concat();
        let said = headers(UNSIGNED, "8197", Some("x-amz-checksum-crc32"));
        for step in [1, 2, 3, 7, 4096, body.len()] {
            let (payload, end) = decode(&said, &body, step).unwrap();
            assert_eq!((payload.len(), &payload[0x2000..]), (0x2005, &b"hello"[..]), "in steps of {step}");
            assert_eq!(end.trailers["x-amz-checksum-crc32"], "abcd==");
            assert!(end.seals.is_none());
        }
        for cut in (0..body.len()).step_by(97).chain(body.len() - 30..body.len()) {
            assert_eq!(decode(&said, &body[..cut], 50).unwrap_err().code, "IncompleteBody", "cut at {cut}");
        }
    }

    #[test]
    fn frames_that_are_not_what_the_headers_say_are_refused() {
        let code = |headers: HeaderMap, body: &[u8]| decode(&headers, body, 11).unwrap_err().code;
        let body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:abcd==\r\n\r\n";
        assert_eq!(code(headers(UNSIGNED, "6", Some("x-amz-checksum-crc32")), body), "IncompleteBody");
        assert_eq!(code(headers(UNSIGNED, "5", None), body), "MalformedTrailerError");
        assert_eq!(code(headers(UNSIGNED, "5", Some("x-amz-checksum-sha1")), body), "MalformedTrailerError");
        let short = b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
        assert_eq!(code(headers(UNSIGNED, "6", None), short), "InvalidChunkSizeError");
        assert_eq!(code(headers("STREAMING-OTHER", "5", None), body), "InvalidRequest");
    }

    #[test]
    fn signed_chunks_give_what_their_signatures_are_over() {
        let body = b"5;chunk-signature=aa\r\nhello\r\n0;chunk-signature=bb\r\n\r\n";
        let (_, end) = decode(&headers(SIGNED, "5", None), body, 4).unwrap();
        let seals = end.seals.unwrap();
        assert_eq!(seals.chunks.iter().map(|seal| seal.signature.as_str()).collect::<Vec<_>>(), ["aa", "bb"]);
        assert_eq!(seals.chunks.iter().map(|seal| seal.hash).collect::<Vec<_>>(), [sha256(b"hello"), sha256(b"")]);
        assert!(seals.trailer.is_none());
    }
}
