//! Uploads in parts: begun, filled, put together or given up.

use http::{Response, StatusCode};
use md5::Digest as _;

use super::blob::Blob;
use super::meta::{claimed, etag_of, hex, key_of, meta_of};
use super::object::{encryption, may_write, of_parts};
use super::store::{Bucket, Object, Part, Store, Upload};
use super::sums::{Algorithm, Kind};
use super::{Ask, NAMESPACE, Refusal, document, empty, set, versions};
use crate::sandbox::body::Body;
use crate::sandbox::xml::Xml;

/// All parts but the last are at least so long.
const PART_MIN: u64 = 5 * 1024 * 1024;
/// The highest number of a part.
const PARTS_MAX: u16 = 10_000;

pub(super) fn create(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let (key, meta) = (key_of(ask)?, meta_of(ask)?);
    let named = ask.header("x-amz-checksum-algorithm");
    let asked = named.map(|name| {
        Algorithm::named(name)
            .ok_or_else(|| Refusal::bad("InvalidRequest", "Checksum algorithm provided is unsupported."))
    });
    let asked = asked.transpose()?;
    let algorithm = asked.unwrap_or(Algorithm::Crc64Nvme);
    let kind = match ask.header("x-amz-checksum-type") {
        None => algorithm.usual(),
        Some("FULL_OBJECT") => Kind::FullObject,
        Some("COMPOSITE") => Kind::Composite,
        Some(_) => return Err(Refusal::bad("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")),
    };
    if !algorithm.knows(kind) {
        let message = format!(
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind.name(),
            algorithm.name().to_lowercase()
        );
        return Err(Refusal::bad("InvalidRequest", message));
    }
    let id = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let upload = Upload {
        key: key.clone(),
        begun: ask.now,
        meta,
        algorithm,
        kind,
        asked: asked.is_some(),
        parts: Default::default(),
        conflicted: false,
    };
    let mut buckets = store.lock();
    ask.bucket_mut(&mut buckets)?.uploads.insert(id.clone(), upload.clone());
    store.save_upload(&buckets, &ask.route.bucket, &id).map_err(|e| Refusal::internal(&e))?;
    drop(buckets);
    let mut answer = document(Xml::document("InitiateMultipartUploadResult", NAMESPACE, |xml| {
        xml.text("Bucket", &ask.route.bucket);
        xml.text("Key", &key);
        xml.text("UploadId", &id);
    }));
    encryption(&mut answer, &upload.meta);
    if upload.asked {
        set(&mut answer, "x-amz-checksum-algorithm", algorithm.name());
        set(&mut answer, "x-amz-checksum-type", kind.name());
    }
    Ok(answer)
}

/// The id and, where one is named, the number of the part.
fn place(ask: &Ask<'_>) -> Result<(String, u16), Refusal> {
    let id = ask.route.get("uploadId").unwrap_or_default().to_owned();
    let text = ask.route.get("partNumber").unwrap_or_default();
    let number = text.parse().ok().filter(|n| (1..=PARTS_MAX).contains(n)).ok_or_else(|| {
        Refusal::argument("partNumber", text, "Part number must be an integer between 1 and 10000, inclusive")
    })?;
    Ok((id, number))
}

fn upload_of<'b>(bucket: &'b Bucket, ask: &Ask<'_>, id: &str) -> Result<&'b Upload, Refusal> {
    bucket.uploads.get(id).filter(|upload| upload.key == ask.route.key).ok_or_else(|| Refusal::no_upload(id))
}

/// Keeps a part under its number; a later one of the same number replaces it. `known` is its checksum when the client
/// named one.
pub(super) fn keep_part(
    store: &Store,
    ask: &Ask<'_>,
    blob: Blob,
    md5: [u8; 16],
    known: Option<(Algorithm, Vec<u8>)>,
) -> Result<(Part, Upload), Refusal> {
    let (id, number) = place(ask)?;
    let (algorithm, etag) = {
        let buckets = store.lock();
        let upload = upload_of(ask.bucket(&buckets)?, ask, &id)?;
        if let Some((named, _)) = known.as_ref().filter(|(named, _)| upload.asked && *named != upload.algorithm) {
            let (wanted, named) = (upload.algorithm.name().to_lowercase(), named.name().to_lowercase());
            let message = format!(
                "Checksum Type mismatch occurred, expected checksum Type: {wanted}, actual checksum Type: {named}"
            );
            return Err(Refusal::bad("InvalidRequest", message));
        }
        (upload.algorithm, etag_of(md5, &upload.meta))
    };
    let checksum = match known {
        Some((named, value)) if named == algorithm => value,
        _ => algorithm.of(&blob).map_err(|e| Refusal::internal(&e))?,
    };
    let part = Part { blob, etag, modified: ask.now, checksum };
    let mut buckets = store.lock();
    let bucket = ask.bucket_mut(&mut buckets)?;
    let upload = bucket.uploads.get_mut(&id).ok_or_else(|| Refusal::no_upload(&id))?;
    upload.parts.insert(number, part.clone());
    let upload = Upload { parts: Default::default(), ..upload.clone() };
    store.save_part(&buckets, &ask.route.bucket, &id, number).map_err(|e| Refusal::internal(&e))?;
    Ok((part, upload))
}

pub(super) fn part(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let (id, _) = place(ask)?;
    upload_of(ask.bucket(&store.lock())?, ask, &id)?;
    let known = claimed(ask)?;
    let blob = store.keep(ask.payload().clone()).map_err(|e| Refusal::internal(&e))?;
    let (part, upload) = keep_part(store, ask, blob, ask.taken.md5, known.clone())?;
    let mut answer = empty(StatusCode::OK);
    set(&mut answer, "etag", &format!("\"{}\"", part.etag));
    encryption(&mut answer, &upload.meta);
    let text = |value: &[u8]| base64_simd::STANDARD.encode_to_string(value);
    match known {
        Some((named, value)) => set(&mut answer, named.header(), &text(&value)),
        None => set(&mut answer, upload.algorithm.header(), &text(&part.checksum)),
    }
    Ok(answer)
}

/// One part as the request to put them together names it.
struct Named {
    number: u16,
    etag: String,
    checksum: Option<(Algorithm, String)>,
}

fn named(ask: &Ask<'_>) -> Result<Vec<Named>, Refusal> {
    let root = ask.document()?;
    let parts = root.all("Part").map(|part| {
        let number = part.get("PartNumber").and_then(|text| text.trim().parse().ok()).ok_or_else(Refusal::malformed)?;
        let etag = part.get("ETag").ok_or_else(Refusal::malformed)?.trim().trim_matches('"').to_owned();
        let checksum = Algorithm::ALL.into_iter().find_map(|a| Some((a, part.get(a.element())?.trim().to_owned())));
        Ok(Named { number, etag, checksum })
    });
    let parts: Vec<Named> = parts.collect::<Result<_, Refusal>>()?;
    if parts.is_empty() {
        return Err(Refusal::malformed());
    }
    if parts.windows(2).any(|pair| pair[0].number >= pair[1].number) {
        let message =
            "The list of parts was not in ascending order. The parts list must be specified in order by part number.";
        return Err(Refusal::bad("InvalidPartOrder", message));
    }
    Ok(parts)
}

pub(super) fn complete(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let id = ask.route.get("uploadId").unwrap_or_default().to_owned();
    let wanted = named(ask)?;
    let mut buckets = store.lock();
    let bucket = ask.bucket(&buckets)?;
    let upload = upload_of(bucket, ask, &id)?.clone();
    let met = if upload.conflicted {
        Err(Refusal::conflict(&upload.key, "If-None-Match"))
    } else {
        may_write(ask, bucket, &upload.key)
    };
    if let Err(refusal) = met {
        // What S3 would not make once is not made later: the client begins another upload.
        if let Some(upload) = ask.bucket_mut(&mut buckets)?.uploads.get_mut(&id) {
            upload.conflicted |= refusal.code == "ConditionalRequestConflict";
        }
        return Err(refusal);
    }
    let parts = wanted.iter().map(|named| found(&upload, named)).collect::<Result<Vec<&Part>, Refusal>>()?;
    let (_, before_last) = parts.split_last().ok_or_else(Refusal::malformed)?;
    if let Some(at) = before_last.iter().position(|part| part.blob.len() < PART_MIN) {
        return Err(Refusal::bad("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
            .naming("ProposedSize", parts[at].blob.len().to_string())
            .naming("MinSizeAllowed", PART_MIN.to_string())
            .naming("PartNumber", wanted[at].number.to_string()));
    }
    let mut blob = Blob::default();
    parts.iter().for_each(|part| blob.join(&part.blob));
    if let Some(said) = ask.header("x-amz-mp-object-size").and_then(|text| text.parse::<u64>().ok())
        && said != blob.len()
    {
        let message = format!(
            "The provided 'x-amz-mp-object-size' header value {said} does not match what was computed: {}",
            blob.len()
        );
        return Err(Refusal::bad("InvalidRequest", message));
    }
    let sums: Vec<(Vec<u8>, u64)> = parts.iter().map(|part| (part.checksum.clone(), part.blob.len())).collect();
    let checksum = of_parts(upload.algorithm, upload.kind, &sums).ok_or_else(Refusal::malformed)?;
    if let Some(said) = ask.header(upload.algorithm.header())
        && said.split('-').next() != checksum.text.split('-').next()
    {
        let name = upload.algorithm.name();
        return Err(Refusal::bad(
            "BadDigest",
            format!("The {name} you specified did not match the calculated checksum."),
        ));
    }
    let tags: Vec<u8> = parts.iter().flat_map(|part| bytes_of(&part.etag)).collect();
    let etag = format!("{}-{}", hex(&md5::Md5::digest(&tags)), parts.len());
    let lengths = parts.iter().map(|part| part.blob.len()).collect();
    let (meta, checksum) = (upload.meta.clone(), Some(checksum));
    let object =
        Object { blob, etag, modified: ask.now, meta, checksum, parts: lengths, restored: None, version: None };
    let bucket = ask.bucket_mut(&mut buckets)?;
    let version = bucket.write(&upload.key, object.clone());
    bucket.uploads.remove(&id);
    // The object first: a kill in between leaves an upload too many, never an object too few.
    store.save_object(&buckets, &ask.route.bucket, &upload.key).map_err(|e| Refusal::internal(&e))?;
    store.save_upload(&buckets, &ask.route.bucket, &id).map_err(|e| Refusal::internal(&e))?;
    drop(buckets);
    let mut answer = document(Xml::document("CompleteMultipartUploadResult", NAMESPACE, |xml| {
        xml.text("Location", format!("/{}/{}", ask.route.bucket, upload.key));
        xml.text("Bucket", &ask.route.bucket);
        xml.text("Key", &upload.key);
        xml.text("ETag", format!("\"{}\"", object.etag));
        if let Some(checksum) = &object.checksum {
            xml.text(checksum.algorithm.element(), &checksum.text);
            xml.text("ChecksumType", checksum.kind.name());
        }
    }));
    encryption(&mut answer, &object.meta);
    versions::name(&mut answer, version.as_deref());
    Ok(answer)
}

/// The bytes that an ETag spells, or the ETag itself where it spells none.
fn bytes_of(etag: &str) -> Vec<u8> {
    let digits = etag.as_bytes();
    let pairs = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    pairs.collect::<Option<Vec<u8>>>().unwrap_or_else(|| digits.to_vec())
}

fn found<'u>(upload: &'u Upload, named: &Named) -> Result<&'u Part, Refusal> {
    let invalid = || {
        let message = "One or more of the specified parts could not be found.  The part may not have been uploaded, or \
                       the specified entity tag may not match the part's entity tag.";
        Refusal::bad("InvalidPart", message)
            .naming("PartNumber", named.number.to_string())
            .naming("ETag", named.etag.clone())
    };
    let part = upload.parts.get(&named.number).filter(|part| part.etag == named.etag).ok_or_else(invalid)?;
    match &named.checksum {
        Some((algorithm, said)) if *algorithm == upload.algorithm => {
            let ours = base64_simd::STANDARD.encode_to_string(&part.checksum);
            if *said == ours { Ok(part) } else { Err(invalid()) }
        }
        Some((algorithm, _)) if upload.asked => {
            let (wanted, named) = (upload.algorithm.name().to_lowercase(), algorithm.name().to_lowercase());
            Err(Refusal::bad(
                "InvalidRequest",
                format!(
                    "Checksum Type mismatch occurred, expected checksum Type: {wanted}, actual checksum Type: {named}"
                ),
            ))
        }
        // Parts of a composed checksum carry theirs in the list.
        None if upload.asked && upload.kind == Kind::Composite => Err(Refusal::bad(
            "InvalidRequest",
            format!(
                "The upload was created using a {} checksum. The complete request must include the checksum for each part. It was missing for part {} in the request.",
                upload.algorithm.name().to_lowercase(),
                named.number
            ),
        )),
        _ => Ok(part),
    }
}

pub(super) fn abort(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let id = ask.route.get("uploadId").unwrap_or_default();
    let mut buckets = store.lock();
    upload_of(ask.bucket(&buckets)?, ask, id)?;
    ask.bucket_mut(&mut buckets)?.uploads.remove(id);
    store.save_upload(&buckets, &ask.route.bucket, id).map_err(|e| Refusal::internal(&e))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_an_upload_is_made_of_the_bytes_of_its_parts() {
        assert_eq!(bytes_of("00ff10"), [0, 255, 16]);
        assert_eq!(bytes_of("xyz"), b"xyz");
        assert_eq!(hex(&[0, 255]), "00ff");
    }
}
