//! Copies inside S3: of whole objects up to 5 GB, and of ranges as parts of an upload.

use http::{Response, StatusCode};

use super::blob::Blob;
use super::meta::{etag_of, key_of, meta_of};
use super::multipart::keep_part;
use super::object::{encryption, may_write};
use super::read::{Range, range, readable};
use super::store::{Buckets, Meta, Object, Store};
use super::sums::{Algorithm, Checksum, MD5_MAX, md5_of};
use super::{Ask, NAMESPACE, Refusal, document, set, versions};
use crate::sandbox::body::Body;
use crate::sandbox::sigv4::decode;
use crate::sandbox::synth::mix;
use crate::sandbox::xml::{Xml, stamp};

/// The most that one request copies, whole or as a part.
const COPY_MAX: u64 = 5 << 30;
/// Ranges are copied out of objects that are longer than this only.
const RANGE_MIN: u64 = 5 << 20;

/// What is copied.
struct Source {
    bucket: String,
    key: String,
    object: Object,
    version: Option<String>,
}

/// The object that is copied, where the caller may read it and its conditions hold.
fn source(buckets: &Buckets, ask: &Ask<'_>) -> Result<Source, Refusal> {
    let header = ask.header("x-amz-copy-source").unwrap_or_default();
    let (path, query) = header.split_once('?').unwrap_or((header, ""));
    let version = query.strip_prefix("versionId=").map(|id| decode(id, false));
    if !query.is_empty() && version.is_none() {
        let message = "Unsupported copy source parameter.";
        return Err(Refusal::argument("x-amz-copy-source", header, message));
    }
    let path = decode(path.strip_prefix('/').unwrap_or(path), false);
    let (bucket, key) =
        path.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty()).ok_or_else(|| {
            let message = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey";
            Refusal::argument("x-amz-copy-source", header, message)
        })?;
    // A source may lie in any region.
    let known = buckets.all.get(bucket).ok_or_else(|| Refusal::no_bucket(bucket))?;
    ask.owns(known, "x-amz-source-expected-bucket-owner")?;
    let object = known.find(key, version.as_deref()).map_err(|refusal| {
        if refusal.code != "MethodNotAllowed" {
            return refusal;
        }
        let message = "The source of a copy request may not specifically refer to a delete marker by version id.";
        Refusal::bad("InvalidRequest", message)
    })?;
    conditions(ask, object)?;
    readable(object, ask.now).map_err(|_| {
        let message =
            "The source object of the COPY action is not in the active tier and is only stored in Amazon S3 Glacier.";
        Refusal::new(StatusCode::FORBIDDEN, "ObjectNotInActiveTierError", message)
    })?;
    let told = known.told(object);
    Ok(Source { bucket: bucket.to_owned(), key: key.to_owned(), object: object.clone(), version: told })
}

fn conditions(ask: &Ask<'_>, object: &Object) -> Result<(), Refusal> {
    let tag = |name: &str| ask.header(name).map(|text| text.trim().trim_matches('"').to_owned());
    let since = |name: &str| ask.header(name).and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
    if tag("x-amz-copy-source-if-match").is_some_and(|wanted| wanted != object.etag) {
        return Err(Refusal::precondition("x-amz-copy-source-If-Match"));
    }
    if tag("x-amz-copy-source-if-none-match").is_some_and(|wanted| wanted == object.etag) {
        return Err(Refusal::precondition("x-amz-copy-source-If-None-Match"));
    }
    let later = |at: jiff::Zoned| object.modified.as_second() > at.timestamp().as_second();
    if since("x-amz-copy-source-if-unmodified-since").is_some_and(later) {
        return Err(Refusal::precondition("x-amz-copy-source-If-Unmodified-Since"));
    }
    if since("x-amz-copy-source-if-modified-since").is_some_and(|at| !later(at)) {
        return Err(Refusal::precondition("x-amz-copy-source-If-Modified-Since"));
    }
    Ok(())
}

pub(super) fn object(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let key = key_of(ask)?;
    let mut buckets = store.lock();
    let bucket = ask.bucket(&buckets)?;
    may_write(ask, bucket, &key)?;
    let Source { bucket: from_bucket, key: from_key, object: from, version: from_version } = source(&buckets, ask)?;
    if from.blob.len() > COPY_MAX {
        let message =
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120";
        return Err(Refusal::bad("InvalidRequest", message));
    }
    let asked = meta_of(ask)?;
    let replaces = directive(ask, "x-amz-metadata-directive")?;
    let same = from_bucket == ask.route.bucket && from_key == key;
    let encrypts = ask.header("x-amz-server-side-encryption").is_some();
    if same && !replaces && !encrypts && asked.class == from.meta.class && asked.kms_key == from.meta.kms_key {
        let message = "This copy request is illegal because it is trying to copy an object to itself without changing \
                       the object's metadata, storage class, website redirect location or encryption attributes.";
        return Err(Refusal::bad("InvalidRequest", message));
    }
    let mut meta = if replaces { asked.clone() } else { Meta { tags: Vec::new(), ..from.meta.clone() } };
    // These are never taken over from the source.
    (meta.class, meta.kms_key) = (asked.class, asked.kms_key);
    meta.tags = if directive(ask, "x-amz-tagging-directive")? { asked.tags } else { from.meta.tags.clone() };
    let checksum = copied_checksum(ask, &from)?;
    // A copy is one piece, whatever its source was put together from.
    let etag = etag_of(copied_md5(&from.blob, &from.etag)?, &meta);
    let (blob, parts) = (from.blob.clone(), Vec::new());
    let copy =
        Object { blob, etag, modified: ask.now, meta, checksum: Some(checksum), parts, restored: None, version: None };
    let bucket = ask.bucket_mut(&mut buckets)?;
    let version = bucket.write(&key, copy.clone());
    store.save_object(&buckets, &ask.route.bucket, &key).map_err(|e| Refusal::internal(&e))?;
    drop(buckets);
    let mut answer = document(Xml::document("CopyObjectResult", NAMESPACE, |xml| {
        xml.text("LastModified", stamp(copy.modified));
        xml.text("ETag", format!("\"{}\"", copy.etag));
        if let Some(checksum) = &copy.checksum {
            xml.text("ChecksumType", checksum.kind.name());
            xml.text(checksum.algorithm.element(), &checksum.text);
        }
    }));
    encryption(&mut answer, &copy.meta);
    versions::name(&mut answer, version.as_deref());
    name_source(&mut answer, from_version.as_deref());
    Ok(answer)
}

/// Whether the request's own values replace the source's.
fn directive(ask: &Ask<'_>, name: &'static str) -> Result<bool, Refusal> {
    match ask.header(name) {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(Refusal::argument(name, other, "Unknown directive.")),
    }
}

/// By the algorithm that is asked for, else as the source has it; one that was composed is computed over the whole.
fn copied_checksum(ask: &Ask<'_>, from: &Object) -> Result<Checksum, Refusal> {
    let asked = match ask.header("x-amz-checksum-algorithm") {
        None => None,
        Some(name) => Some(
            Algorithm::named(name)
                .ok_or_else(|| Refusal::bad("InvalidRequest", "Checksum algorithm provided is unsupported."))?,
        ),
    };
    match &from.checksum {
        Some(known) if asked.is_none_or(|asked| asked == known.algorithm) && !known.text.contains('-') => {
            Ok(known.clone())
        }
        known => {
            let algorithm = asked.or(known.as_ref().map(|known| known.algorithm)).unwrap_or(Algorithm::Crc64Nvme);
            let value = algorithm.of(&from.blob).map_err(|e| Refusal::internal(&e))?;
            Ok(Checksum::whole(algorithm, &value))
        }
    }
}

/// The MD5 of bytes that S3 copied; of very many, something else that depends on the same things.
fn copied_md5(blob: &Blob, of: &str) -> Result<[u8; 16], Refusal> {
    if blob.len() <= MD5_MAX {
        return md5_of(blob).map_err(|e| Refusal::internal(&e));
    }
    let seed = of.bytes().fold(blob.len(), |hash, byte| mix(hash, u64::from(byte)));
    let mut out = [0; 16];
    out[..8].copy_from_slice(&mix(seed, 1).to_be_bytes());
    out[8..].copy_from_slice(&mix(seed, 2).to_be_bytes());
    Ok(out)
}

pub(super) fn part(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let (blob, of, version): (Blob, String, Option<String>) = {
        let buckets = store.lock();
        let Source { object: from, version, .. } = source(&buckets, ask)?;
        let (at, length) = match ask.header("x-amz-copy-source-range") {
            None => (0, from.blob.len()),
            Some(_) if from.blob.len() <= RANGE_MIN => {
                let message = "The specified copy source is not supported as a byte-range copy source";
                return Err(Refusal::bad("InvalidRequest", message));
            }
            Some(text) => match range(text) {
                Some(Range::From(first, Some(last))) if last < from.blob.len() => (first, last - first + 1),
                Some(Range::From(first, Some(last))) if first <= last => {
                    let message =
                        format!("Range specified is not valid for source object of size: {}", from.blob.len());
                    return Err(Refusal::argument("x-amz-copy-source-range", text, &message));
                }
                _ => {
                    let message = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy";
                    return Err(Refusal::argument("x-amz-copy-source-range", text, message));
                }
            },
        };
        (from.blob.part(at, length), format!("{}:{at}", from.etag), version)
    };
    if blob.len() > COPY_MAX {
        let message =
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120";
        return Err(Refusal::bad("InvalidRequest", message));
    }
    let md5 = copied_md5(&blob, &of)?;
    let (part, upload) = keep_part(store, ask, blob, md5, None)?;
    let mut answer = document(Xml::document("CopyPartResult", NAMESPACE, |xml| {
        xml.text("LastModified", stamp(part.modified));
        xml.text("ETag", format!("\"{}\"", part.etag));
        if upload.asked {
            xml.text(upload.algorithm.element(), base64_simd::STANDARD.encode_to_string(&part.checksum));
        }
    }));
    encryption(&mut answer, &upload.meta);
    name_source(&mut answer, version.as_deref());
    Ok(answer)
}

/// Names the version that was copied.
fn name_source(answer: &mut Response<Body>, version: Option<&str>) {
    if let Some(version) = version {
        set(answer, "x-amz-copy-source-version-id", version);
    }
}
