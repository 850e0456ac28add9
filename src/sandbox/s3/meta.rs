//! What a write says of its object beside the bytes: key, headers, storage class, encryption, tags, checksum.

use std::fmt::Write as _;

use base64_simd::STANDARD as BASE64;

use super::store::Meta;
use super::sums::Algorithm;
use super::{Ask, Refusal};
use crate::sandbox::faults::Fault;
use crate::sandbox::sigv4::decode;

/// Headers that an object carries and gives back.
const CARRIED: [&str; 6] =
    ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"];
/// The longest key in bytes.
const KEY_MAX: usize = 1024;
/// User metadata in bytes, names and values together.
const META_MAX: usize = 2048;
/// Tags of an object.
const TAGS_MAX: usize = 10;
const CLASSES: [&str; 8] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
];

pub(super) fn key_of(ask: &Ask<'_>) -> Result<String, Refusal> {
    let key = &ask.route.key;
    if key.len() > KEY_MAX {
        let size = key.len().to_string();
        return Err(Refusal::bad("KeyTooLongError", "Your key is too long").naming("Size", size));
    }
    Ok(key.clone())
}

/// What the request says the object carries.
pub(super) fn meta_of(ask: &Ask<'_>) -> Result<Meta, Refusal> {
    let mut meta = Meta { class: "STANDARD".to_owned(), ..Meta::default() };
    for name in CARRIED {
        if let Some(value) = ask.header(name) {
            // The frames of the transfer are no property of the object.
            let value = if name == "content-encoding" { without_frames(value) } else { value.to_owned() };
            if !value.is_empty() {
                meta.headers.insert(name.to_owned(), value);
            }
        }
    }
    meta.headers.entry("content-type".to_owned()).or_insert_with(|| "binary/octet-stream".to_owned());
    for (name, value) in &ask.headers {
        if let Some(name) = name.as_str().strip_prefix("x-amz-meta-") {
            meta.user.insert(name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
    }
    if meta.user.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > META_MAX {
        return Err(Refusal::bad("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size"));
    }
    if let Some(class) = ask.header("x-amz-storage-class") {
        if !CLASSES.contains(&class) {
            return Err(Refusal::bad("InvalidStorageClass", "The storage class you specified is not valid")
                .naming("StorageClassRequested", class));
        }
        meta.class = class.to_owned();
    }
    meta.kms_key = kms_key(ask)?;
    if let Some(tags) = ask.header("x-amz-tagging") {
        let pairs = tags.split('&').filter(|pair| !pair.is_empty());
        let decoded = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        };
        meta.tags = checked_tags(pairs.map(decoded).collect())?;
    }
    Ok(meta)
}

fn without_frames(value: &str) -> String {
    let kept: Vec<&str> = value.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked").collect();
    kept.join(",")
}

fn kms_key(ask: &Ask<'_>) -> Result<Option<String>, Refusal> {
    let key = ask.header("x-amz-server-side-encryption-aws-kms-key-id").map(str::to_owned);
    match ask.header("x-amz-server-side-encryption") {
        None | Some("AES256") if key.is_none() => Ok(None),
        Some("aws:kms" | "aws:kms:dsse") => {
            let ours = format!("arn:aws:kms:{}:{}:alias/aws/s3", ask.caller.region, ask.caller.account);
            Ok(Some(key.unwrap_or(ours)))
        }
        None | Some("AES256") => Err(Refusal::argument(
            "x-amz-server-side-encryption",
            "AES256",
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
        )),
        Some(other) => Err(Refusal::argument(
            "x-amz-server-side-encryption",
            other,
            "The encryption method specified is not supported",
        )),
    }
}

pub(super) fn checked_tags(tags: Vec<(String, String)>) -> Result<Vec<(String, String)>, Refusal> {
    if tags.len() > TAGS_MAX {
        return Err(Refusal::bad("BadRequest", "Object tags cannot be greater than 10"));
    }
    for (at, (key, value)) in tags.iter().enumerate() {
        let twice = tags[..at].iter().any(|(known, _)| known == key);
        if key.is_empty()
            || key.chars().count() > 128
            || value.chars().count() > 256
            || key.starts_with("aws:")
            || twice
        {
            return Err(Refusal::bad("InvalidTag", "The TagKey or TagValue you have provided is invalid"));
        }
    }
    Ok(tags)
}

/// The checksum that the request names, once it is true: the algorithm, and its value over the payload.
pub(super) fn claimed(ask: &Ask<'_>) -> Result<Option<(Algorithm, Vec<u8>)>, Refusal> {
    let named: Vec<Algorithm> = Algorithm::ALL.into_iter().filter(|a| ask.header(a.header()).is_some()).collect();
    if named.len() > 1 {
        return Err(Refusal::bad(
            "InvalidRequest",
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        ));
    }
    let declared = ask.header("x-amz-sdk-checksum-algorithm").and_then(Algorithm::named);
    let Some(algorithm) = named.first().copied() else {
        return match declared {
            Some(_) => Err(Refusal::bad(
                "InvalidRequest",
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
            )),
            None => Ok(None),
        };
    };
    let value = algorithm.of(ask.payload()).map_err(|e| Refusal::internal(&e))?;
    let said = ask.header(algorithm.header()).unwrap_or_default();
    if BASE64.decode_to_vec(said).map_or(0, |bytes| bytes.len()) != value.len() {
        let message = format!("Value for {} header is invalid.", algorithm.header());
        return Err(Refusal::bad("InvalidRequest", message));
    }
    if BASE64.encode_to_string(&value) != said && ask.lie != Some(Fault::Believe) {
        let message = format!("The {} you specified did not match the calculated checksum.", algorithm.name());
        return Err(Refusal::bad("BadDigest", message));
    }
    Ok(Some((algorithm, value)))
}

/// The ETag of bytes with this MD5: that itself, unless they are encrypted with a key of the client's. Then it says
/// nothing of the bytes: the same ones written again have another.
pub(super) fn etag_of(md5: [u8; 16], meta: &Meta) -> String {
    match &meta.kms_key {
        None => hex(&md5),
        Some(_) => uuid::Uuid::new_v4().simple().to_string(),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
