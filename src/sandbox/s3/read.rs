//! Reading objects: whole, in ranges, by part and under conditions; and what is known of them.

use http::{Response, StatusCode};
use jiff::Timestamp;

use super::object::{encryption, same_tag};
use super::store::{Object, Store};
use super::{Ask, NAMESPACE, Refusal, document, http_date, set, versions};
use crate::sandbox::body::Body;
use crate::sandbox::xml::Xml;

/// Which bytes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    Whole,
    Range(u64, u64),
    Part(u64, u64),
}

pub(super) fn get(store: &Store, ask: &Ask<'_>, with_body: bool) -> Result<Response<Body>, Refusal> {
    let (object, version) = {
        let buckets = store.lock();
        let bucket = ask.bucket(&buckets)?;
        let object = bucket.find(&ask.route.key, ask.route.version())?;
        (object.clone(), bucket.told(object))
    };
    conditions(ask, &object)?;
    if with_body {
        readable(&object, ask.now)?;
    }
    let span = span(ask, &object)?;
    let (from, length) = match span {
        Span::Whole => (0, object.blob.len()),
        Span::Range(from, length) | Span::Part(from, length) => (from, length),
    };
    let body =
        if with_body { Body::streamed(length, object.blob.part(from, length).into_chunks()) } else { Body::default() };
    let mut answer = Response::new(body);
    describe(&mut answer, ask, &object);
    versions::name(&mut answer, version.as_deref());
    set(&mut answer, "content-length", &length.to_string());
    if span != Span::Whole {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let end = (from + length).saturating_sub(1);
        set(&mut answer, "content-range", &format!("bytes {from}-{end}/{}", object.blob.len()));
    }
    if let (Some(checksum), Some("ENABLED"), Span::Whole) = (&object.checksum, ask.header("x-amz-checksum-mode"), span)
    {
        set(&mut answer, checksum.algorithm.header(), &checksum.text);
        set(&mut answer, "x-amz-checksum-type", checksum.kind.name());
    }
    for (query, header) in [
        ("response-content-type", "content-type"),
        ("response-content-disposition", "content-disposition"),
        ("response-content-encoding", "content-encoding"),
        ("response-cache-control", "cache-control"),
    ] {
        if let Some(value) = ask.route.get(query) {
            set(&mut answer, header, value);
        }
    }
    Ok(answer)
}

fn describe(answer: &mut Response<Body>, ask: &Ask<'_>, object: &Object) {
    for (name, value) in &object.meta.headers {
        set(answer, name, value);
    }
    for (name, value) in &object.meta.user {
        set(answer, &format!("x-amz-meta-{name}"), value);
    }
    set(answer, "etag", &format!("\"{}\"", object.etag));
    set(answer, "last-modified", &http_date(object.modified));
    set(answer, "accept-ranges", "bytes");
    encryption(answer, &object.meta);
    if object.meta.class != "STANDARD" {
        set(answer, "x-amz-storage-class", &object.meta.class);
    }
    if !object.meta.tags.is_empty() {
        set(answer, "x-amz-tagging-count", &object.meta.tags.len().to_string());
    }
    if ask.route.get("partNumber").is_some() && !object.parts.is_empty() {
        set(answer, "x-amz-mp-parts-count", &object.parts.len().to_string());
    }
    if let Some(until) = object.restored {
        let text = format!("ongoing-request=\"false\", expiry-date=\"{}\"", http_date(until));
        set(answer, "x-amz-restore", &text);
    }
}

/// The conditions of a read; by the standard, `If-None-Match` goes before `If-Modified-Since`.
fn conditions(ask: &Ask<'_>, object: &Object) -> Result<(), Refusal> {
    let since = |name: &str| ask.header(name).and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
    let unchanged = || {
        Refusal::new(StatusCode::NOT_MODIFIED, "NotModified", "Not Modified")
            .with_header("etag", format!("\"{}\"", object.etag))
    };
    match ask.header("if-match") {
        Some(wanted) if !same_tag(wanted, &object.etag) => return Err(Refusal::precondition("If-Match")),
        Some(_) => {}
        None => {
            if since("if-unmodified-since").is_some_and(|at| object.modified.as_second() > at.timestamp().as_second()) {
                return Err(Refusal::precondition("If-Unmodified-Since"));
            }
        }
    }
    match ask.header("if-none-match") {
        Some(wanted) if same_tag(wanted, &object.etag) => Err(unchanged()),
        Some(_) => Ok(()),
        None if since("if-modified-since")
            .is_some_and(|at| object.modified.as_second() <= at.timestamp().as_second()) =>
        {
            Err(unchanged())
        }
        None => Ok(()),
    }
}

/// Archived objects are read only while they are restored.
pub(super) fn readable(object: &Object, now: Timestamp) -> Result<(), Refusal> {
    let archived = matches!(object.meta.class.as_str(), "GLACIER" | "DEEP_ARCHIVE");
    if archived && object.restored.is_none_or(|until| until <= now) {
        let message = "The operation is not valid for the object's storage class";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "InvalidObjectState", message)
            .naming("StorageClass", &object.meta.class));
    }
    Ok(())
}

fn span(ask: &Ask<'_>, object: &Object) -> Result<Span, Refusal> {
    let whole = object.blob.len();
    if let Some(number) = ask.route.get("partNumber") {
        if ask.header("range").is_some() {
            return Err(Refusal::bad(
                "InvalidRequest",
                "Cannot specify both Range header and partNumber query parameter",
            ));
        }
        let number: usize = number.parse().ok().filter(|n| (1..=10_000).contains(n)).ok_or_else(|| {
            Refusal::argument("partNumber", number, "Part number must be an integer between 1 and 10000, inclusive")
        })?;
        if object.parts.is_empty() && number == 1 {
            return Ok(Span::Part(0, whole));
        }
        let length = *object.parts.get(number - 1).ok_or_else(|| {
            Refusal::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidPartNumber",
                "The requested partnumber is not satisfiable",
            )
        })?;
        return Ok(Span::Part(object.parts[..number - 1].iter().sum(), length));
    }
    match ask.header("range").and_then(range) {
        // A range that does not parse, and one of several, is read over.
        None => Ok(Span::Whole),
        Some(Range::Last(n)) if n > 0 && whole > 0 => {
            let n = n.min(whole);
            Ok(Span::Range(whole - n, n))
        }
        Some(Range::From(from, to)) if from < whole => {
            let to = to.unwrap_or(u64::MAX).min(whole - 1);
            Ok(Span::Range(from, to - from + 1))
        }
        Some(_) => {
            let message = "The requested range is not satisfiable";
            Err(Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", message)
                .naming("ActualObjectSize", whole.to_string())
                .with_header("content-range", format!("bytes */{whole}")))
        }
    }
}

/// What a range header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// From here, to there or to the end.
    From(u64, Option<u64>),
    /// The last so many.
    Last(u64),
}

pub(super) fn range(text: &str) -> Option<Range> {
    let (from, to) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    match (from.trim(), to.trim()) {
        ("", last) => Some(Range::Last(last.parse().ok()?)),
        (from, "") => Some(Range::From(from.parse().ok()?, None)),
        (from, to) => {
            let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
            (from <= to).then_some(Range::From(from, Some(to)))
        }
    }
}

pub(super) fn attributes(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let buckets = store.lock();
    let object = ask.bucket(&buckets)?.find(&ask.route.key, ask.route.version())?;
    let named = ask.headers.get_all("x-amz-object-attributes").iter().filter_map(|value| value.to_str().ok());
    let wanted: Vec<&str> = named.flat_map(|value| value.split(',')).map(str::trim).collect();
    let wants = |name: &str| wanted.contains(&name);
    let known = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];
    if wanted.iter().any(|name| !known.contains(name)) {
        return Err(Refusal::argument(
            "x-amz-object-attributes",
            &wanted.join(","),
            "Invalid attribute name specified.",
        ));
    }
    let text = Xml::document("GetObjectAttributesResponse", NAMESPACE, |xml| {
        if wants("ETag") {
            xml.text("ETag", &object.etag);
        }
        if let (true, Some(checksum)) = (wants("Checksum"), &object.checksum) {
            xml.nest("Checksum", |xml| {
                xml.text(checksum.algorithm.element(), &checksum.text);
                xml.text("ChecksumType", checksum.kind.name());
            });
        }
        if wants("ObjectParts") && !object.parts.is_empty() {
            xml.nest("ObjectParts", |xml| xml.text("PartsCount", object.parts.len()));
        }
        if wants("StorageClass") {
            xml.text("StorageClass", &object.meta.class);
        }
        if wants("ObjectSize") {
            xml.text("ObjectSize", object.blob.len());
        }
    });
    let modified = http_date(object.modified);
    drop(buckets);
    let mut answer = document(text);
    set(&mut answer, "last-modified", &modified);
    Ok(answer)
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_the_standard_writes_them() {
        assert_eq!(range("bytes=0-9"), Some(Range::From(0, Some(9))));
        assert_eq!(range("bytes=5-"), Some(Range::From(5, None)));
        assert_eq!(range("bytes=-7"), Some(Range::Last(7)));
        for bad in ["bytes=9-0", "bytes=a-b", "lines=0-1", "bytes=", "bytes=0-1,3-4"] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }
}
