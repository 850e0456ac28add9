//! Single objects: put, removed, restored, and what an answer says of one that was written.

use base64_simd::STANDARD as BASE64;
use http::{Response, StatusCode};
use jiff::SignedDuration;

use super::meta::{claimed, etag_of, key_of, meta_of};
use super::store::{Bucket, Meta, Object, Store};
use super::sums::{Algorithm, Checksum, Kind};
use super::versions::{self, Versioning};
use super::{Ask, NAMESPACE, Refusal, document, empty, set};
use crate::sandbox::body::Body;
use crate::sandbox::faults::Fault;
use crate::sandbox::xml::Xml;

/// `If-Match` and `If-None-Match` of a write.
pub(super) fn may_write(ask: &Ask<'_>, bucket: &Bucket, key: &str) -> Result<(), Refusal> {
    let known = bucket.objects.get(key);
    let condition = ["If-None-Match", "If-Match"].into_iter().find(|name| ask.header(name).is_some());
    if let Some(condition) = condition.filter(|_| bucket.was_removed_since(key, ask.taken.at)) {
        return Err(Refusal::conflict(key, condition));
    }
    if let Some(wanted) = ask.header("if-none-match") {
        if wanted != "*" {
            return Err(Refusal::new(
                StatusCode::NOT_IMPLEMENTED,
                "NotImplemented",
                "A header you provided implies functionality that is not implemented",
            )
            .naming("Header", "If-None-Match"));
        }
        if known.is_some() {
            return Err(Refusal::precondition("If-None-Match"));
        }
    }
    if let Some(wanted) = ask.header("if-match") {
        match known {
            None => return Err(Refusal::no_key(key)),
            Some(object) if !same_tag(wanted, &object.etag) => return Err(Refusal::precondition("If-Match")),
            Some(_) => {}
        }
    }
    Ok(())
}

pub(super) fn same_tag(wanted: &str, etag: &str) -> bool {
    wanted == "*" || wanted.split(',').any(|one| one.trim().trim_matches('"') == etag)
}

pub(super) fn put(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let (key, meta) = (key_of(ask)?, meta_of(ask)?);
    ask.bucket(&store.lock())?;
    let checksum = match claimed(ask)? {
        Some((algorithm, value)) => Checksum::whole(algorithm, &value),
        None => {
            let value = Algorithm::Crc64Nvme.of(ask.payload()).map_err(|e| Refusal::internal(&e))?;
            Checksum::whole(Algorithm::Crc64Nvme, &value)
        }
    };
    let (etag, modified) = (etag_of(ask.taken.md5, &meta), ask.now);
    let blob = store.keep(ask.payload().clone()).map_err(|e| Refusal::internal(&e))?;
    let object = Object {
        blob,
        etag,
        modified,
        meta,
        checksum: Some(checksum),
        parts: Vec::new(),
        restored: None,
        version: None,
    };
    let mut buckets = store.lock();
    let bucket = ask.bucket_mut(&mut buckets)?;
    may_write(ask, bucket, &key)?;
    let mut answer = empty(StatusCode::OK);
    set(&mut answer, "etag", &format!("\"{}\"", object.etag));
    describe_written(&mut answer, &object);
    if ask.lie != Some(Fault::Lose) {
        let version = bucket.write(&key, object);
        versions::name(&mut answer, version.as_deref());
        store.save_object(&buckets, &ask.route.bucket, &key).map_err(|e| Refusal::internal(&e))?;
    }
    Ok(answer)
}

/// The headers of an answer to a write, beside the ETag.
pub(super) fn describe_written(answer: &mut Response<Body>, object: &Object) {
    encryption(answer, &object.meta);
    if let Some(checksum) = &object.checksum {
        set(answer, checksum.algorithm.header(), &checksum.text);
        set(answer, "x-amz-checksum-type", checksum.kind.name());
    }
}

pub(super) fn encryption(answer: &mut Response<Body>, meta: &Meta) {
    match &meta.kms_key {
        None => set(answer, "x-amz-server-side-encryption", "AES256"),
        Some(key) => {
            set(answer, "x-amz-server-side-encryption", "aws:kms");
            set(answer, "x-amz-server-side-encryption-aws-kms-key-id", key);
        }
    }
}

pub(super) fn delete(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let mut buckets = store.lock();
    let bucket = ask.bucket_mut(&mut buckets)?;
    if let (Some(wanted), Some(object)) = (ask.header("if-match"), bucket.objects.get(&ask.route.key))
        && !same_tag(wanted, &object.etag)
    {
        return Err(Refusal::precondition("If-Match"));
    }
    let key = &ask.route.key;
    let there = bucket.objects.contains_key(key) || bucket.versioning != Versioning::Off;
    let removed = match ask.route.version() {
        Some(id) => bucket.remove_version(key, id),
        None => bucket.remove(key, ask.now),
    };
    if there {
        store.save_object(&buckets, &ask.route.bucket, key).map_err(|e| Refusal::internal(&e))?;
    }
    Ok(versions::removed(&removed))
}

pub(super) fn delete_many(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let sealed = ask.header("content-md5").is_some() || Algorithm::ALL.iter().any(|a| ask.header(a.header()).is_some());
    if !sealed {
        return Err(Refusal::bad("InvalidRequest", "Missing required header for this request: Content-MD5"));
    }
    let root = ask.document()?;
    if root.all("Object").any(|object| object.get("VersionId").is_some()) {
        let message = "A header you provided implies functionality that is not implemented";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message));
    }
    let keys: Vec<&str> = root.all("Object").filter_map(|object| object.get("Key")).collect();
    if keys.is_empty() || keys.len() > 1000 {
        return Err(Refusal::malformed());
    }
    let quiet = root.get("Quiet") == Some("true");
    let mut buckets = store.lock();
    for key in &keys {
        let bucket = ask.bucket_mut(&mut buckets)?;
        let there = bucket.objects.contains_key(*key) || bucket.versioning != Versioning::Off;
        bucket.remove(key, ask.now);
        if there {
            store.save_object(&buckets, &ask.route.bucket, key).map_err(|e| Refusal::internal(&e))?;
        }
    }
    drop(buckets);
    Ok(document(Xml::document("DeleteResult", NAMESPACE, |xml| {
        for key in keys.iter().filter(|_| !quiet) {
            xml.nest("Deleted", |xml| xml.text("Key", key));
        }
    })))
}

/// Restores at once: how long it takes is nothing that a client could rely on.
pub(super) fn restore(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let root = ask.document()?;
    let days = root.get("Days").and_then(|days| days.trim().parse::<i64>().ok()).filter(|days| *days > 0);
    let days = days.ok_or_else(Refusal::malformed)?;
    let mut buckets = store.lock();
    let bucket = ask.bucket_mut(&mut buckets)?;
    let object = bucket.objects.get_mut(&ask.route.key).ok_or_else(|| Refusal::no_key(&ask.route.key))?;
    if !matches!(object.meta.class.as_str(), "GLACIER" | "DEEP_ARCHIVE") {
        let message = "Restore is not allowed for the object's current storage class";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "InvalidObjectState", message)
            .naming("StorageClass", &object.meta.class));
    }
    let again = object.restored.is_some_and(|until| until > ask.now);
    object.restored = ask.now.checked_add(SignedDuration::from_hours(days * 24)).ok();
    store.save_object(&buckets, &ask.route.bucket, &ask.route.key).map_err(|e| Refusal::internal(&e))?;
    Ok(empty(if again { StatusCode::OK } else { StatusCode::ACCEPTED }))
}

/// A checksum made of parts, as text.
pub(super) fn of_parts(algorithm: Algorithm, kind: Kind, parts: &[(Vec<u8>, u64)]) -> Option<Checksum> {
    let value = algorithm.of_parts(kind, parts)?;
    let mut text = BASE64.encode_to_string(&value);
    if kind == Kind::Composite {
        text += &format!("-{}", parts.len());
    }
    Some(Checksum { algorithm, kind, text })
}
