//! Lists: buckets, objects by prefix and delimiter, uploads under way and their parts; pages of a thousand.

use http::Response;

use super::store::Store;
use super::{Ask, NAMESPACE, Refusal, document};
use crate::sandbox::body::Body;
use crate::sandbox::xml::{Xml, stamp};

/// The longest page.
const PAGE: usize = 1000;

pub(super) fn buckets(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let buckets = store.lock();
    let ours = buckets.all.iter().filter(|(_, bucket)| bucket.owner == ask.caller.account);
    Ok(document(Xml::document("ListAllMyBucketsResult", NAMESPACE, |xml| {
        xml.nest("Owner", |xml| xml.text("ID", &ask.caller.account));
        xml.nest("Buckets", |xml| {
            for (name, bucket) in ours {
                xml.nest("Bucket", |xml| {
                    xml.text("Name", name);
                    xml.text("CreationDate", stamp(bucket.made));
                    xml.text("BucketRegion", &bucket.region);
                });
            }
        });
    })))
}

/// How many rows a page may have.
fn most(ask: &Ask<'_>, name: &'static str) -> Result<usize, Refusal> {
    match ask.route.get(name) {
        None | Some("") => Ok(PAGE),
        Some(text) => match text.parse::<i32>() {
            Ok(n) if n >= 0 => Ok(usize::try_from(n).unwrap_or(PAGE).min(PAGE)),
            Ok(_) => Err(Refusal::argument(
                name,
                text,
                &format!("Argument {name} must be an integer between 0 and 2147483647"),
            )),
            Err(_) => {
                Err(Refusal::argument(name, text, &format!("Provided {name} not an integer or within integer range")))
            }
        },
    }
}

/// One row of a page of objects.
enum Row<'b> {
    Object(&'b str, &'b super::store::Object),
    Prefix(String),
}

impl Row<'_> {
    /// What the next page begins after.
    fn name(&self) -> &str {
        match self {
            Self::Object(key, _) => key,
            Self::Prefix(prefix) => prefix,
        }
    }
}

pub(super) fn objects(store: &Store, ask: &Ask<'_>, second: bool) -> Result<Response<Body>, Refusal> {
    let (prefix, delimiter) =
        (ask.route.get("prefix").unwrap_or_default(), ask.route.get("delimiter").filter(|text| !text.is_empty()));
    let encodes = match ask.route.get("encoding-type") {
        None => false,
        Some("url") => true,
        Some(other) => {
            return Err(Refusal::argument("encoding-type", other, "Invalid Encoding Method specified in Request"));
        }
    };
    let max = most(ask, "max-keys")?;
    let token = match ask.route.get("continuation-token").filter(|_| second) {
        None => None,
        Some(text) => Some(token_of(text).ok_or_else(|| {
            Refusal::argument("continuation-token", text, "The continuation token provided is incorrect")
        })?),
    };
    let start = if second { ask.route.get("start-after") } else { ask.route.get("marker") };
    let after = token.as_deref().or(start).unwrap_or_default();
    let started_after = second && token.is_none();
    let buckets = store.lock();
    let bucket = ask.bucket(&buckets)?;
    let (mut rows, mut truncated): (Vec<Row<'_>>, bool) = (Vec::new(), false);
    let from = if after > prefix { after } else { prefix };
    for (key, object) in bucket.objects.range(from.to_owned()..).take_while(|(key, _)| key.starts_with(prefix)) {
        let folded = delimiter.and_then(|delimiter| {
            let end = key[prefix.len()..].find(delimiter)? + prefix.len() + delimiter.len();
            Some(key[..end].to_owned())
        });
        let row = match folded {
            Some(folded) => {
                // Who goes on after a prefix has seen all of it; who starts after a key has not.
                let seen = if started_after { key.as_str() <= after } else { folded.as_str() <= after };
                if seen || matches!(rows.last(), Some(Row::Prefix(last)) if *last == folded) {
                    continue;
                }
                Row::Prefix(folded)
            }
            None if key.as_str() <= after => continue,
            None => Row::Object(key, object),
        };
        if rows.len() >= max {
            truncated = max > 0;
            break;
        }
        rows.push(row);
    }
    let shown = |text: &str| if encodes { encoded(text) } else { text.to_owned() };
    let tells_restores =
        ask.header("x-amz-optional-object-attributes").is_some_and(|asked| asked.contains("RestoreStatus"));
    let next = rows.last().filter(|_| truncated).map(|row| row.name().to_owned());
    let text = Xml::document("ListBucketResult", NAMESPACE, |xml| {
        xml.text("Name", &ask.route.bucket);
        xml.text("Prefix", shown(prefix));
        xml.maybe("Delimiter", delimiter.map(shown));
        xml.text("MaxKeys", max);
        xml.maybe("EncodingType", encodes.then_some("url"));
        if second {
            xml.text("KeyCount", rows.len());
            xml.maybe("ContinuationToken", ask.route.get("continuation-token"));
            xml.maybe("NextContinuationToken", next.as_deref().map(token_for));
            xml.maybe("StartAfter", ask.route.get("start-after").map(shown));
        } else {
            xml.text("Marker", shown(start.unwrap_or_default()));
            xml.maybe("NextMarker", next.as_deref().filter(|_| delimiter.is_some()).map(shown));
        }
        xml.text("IsTruncated", truncated);
        for row in &rows {
            match row {
                Row::Prefix(prefix) => xml.nest("CommonPrefixes", |xml| xml.text("Prefix", shown(prefix))),
                Row::Object(key, object) => xml.nest("Contents", |xml| {
                    xml.text("Key", shown(key));
                    xml.text("LastModified", stamp(object.modified));
                    xml.text("ETag", format!("\"{}\"", object.etag));
                    if let Some(checksum) = &object.checksum {
                        xml.text("ChecksumAlgorithm", checksum.algorithm.name());
                        xml.text("ChecksumType", checksum.kind.name());
                    }
                    xml.text("Size", object.blob.len());
                    xml.text("StorageClass", &object.meta.class);
                    if let Some(until) = object.restored.filter(|_| tells_restores) {
                        xml.nest("RestoreStatus", |xml| {
                            xml.text("IsRestoreInProgress", false);
                            xml.text("RestoreExpiryDate", stamp(until));
                        });
                    }
                }),
            }
        }
    });
    Ok(document(text))
}

/// Tokens are opaque to clients, and only ours are taken.
fn token_for(after: &str) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(format!("after:{after}"))
}

fn token_of(text: &str) -> Option<String> {
    let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
    String::from_utf8(bytes).ok()?.strip_prefix("after:").map(str::to_owned)
}

/// Percent-encoding as lists use it: all but unreserved characters and slashes.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

pub(super) fn uploads(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let prefix = ask.route.get("prefix").unwrap_or_default();
    let max = most(ask, "max-uploads")?;
    let after =
        (ask.route.get("key-marker").unwrap_or_default(), ask.route.get("upload-id-marker").unwrap_or_default());
    let buckets = store.lock();
    let bucket = ask.bucket(&buckets)?;
    let mut all: Vec<(&str, &str, jiff::Timestamp, &str)> = bucket
        .uploads
        .iter()
        .filter(|(_, upload)| upload.key.starts_with(prefix))
        .map(|(id, upload)| (upload.key.as_str(), id.as_str(), upload.begun, upload.meta.class.as_str()))
        .collect();
    all.sort_unstable();
    // Without an id the marker stands for all uploads of its key.
    all.retain(|(key, id, ..)| if after.1.is_empty() { *key > after.0 } else { (*key, *id) > after });
    let truncated = all.len() > max;
    all.truncate(max);
    Ok(document(Xml::document("ListMultipartUploadsResult", NAMESPACE, |xml| {
        xml.text("Bucket", &ask.route.bucket);
        xml.text("KeyMarker", after.0);
        xml.text("UploadIdMarker", after.1);
        if let Some((key, id, ..)) = all.last().filter(|_| truncated) {
            xml.text("NextKeyMarker", key);
            xml.text("NextUploadIdMarker", id);
        }
        xml.text("Prefix", prefix);
        xml.text("MaxUploads", max);
        xml.text("IsTruncated", truncated);
        for (key, id, begun, class) in &all {
            xml.nest("Upload", |xml| {
                xml.text("Key", key);
                xml.text("UploadId", id);
                xml.text("Initiated", stamp(*begun));
                xml.text("StorageClass", class);
            });
        }
    })))
}

pub(super) fn parts(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let id = ask.route.get("uploadId").unwrap_or_default();
    let max = most(ask, "max-parts")?;
    let after: u16 = ask.route.get("part-number-marker").and_then(|text| text.parse().ok()).unwrap_or(0);
    let buckets = store.lock();
    let bucket = ask.bucket(&buckets)?;
    let upload =
        bucket.uploads.get(id).filter(|upload| upload.key == ask.route.key).ok_or_else(|| Refusal::no_upload(id))?;
    let rest = || upload.parts.range(after.saturating_add(1)..);
    let truncated = rest().count() > max;
    let last = rest().take(max).last().map_or(after, |(number, _)| *number);
    Ok(document(Xml::document("ListPartsResult", NAMESPACE, |xml| {
        xml.text("Bucket", &ask.route.bucket);
        xml.text("Key", &upload.key);
        xml.text("UploadId", id);
        xml.text("StorageClass", &upload.meta.class);
        xml.text("PartNumberMarker", after);
        xml.text("NextPartNumberMarker", last);
        xml.text("MaxParts", max);
        xml.text("IsTruncated", truncated);
        if upload.asked {
            xml.text("ChecksumAlgorithm", upload.algorithm.name());
            xml.text("ChecksumType", upload.kind.name());
        }
        for (number, part) in rest().take(max) {
            xml.nest("Part", |xml| {
                xml.text("PartNumber", number);
                xml.text("LastModified", stamp(part.modified));
                xml.text("ETag", format!("\"{}\"", part.etag));
                xml.text("Size", part.blob.len());
                if upload.asked {
                    xml.text(upload.algorithm.element(), base64_simd::STANDARD.encode_to_string(&part.checksum));
                }
            });
        }
    })))
}
