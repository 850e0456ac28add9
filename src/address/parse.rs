//! The grammar of addresses, rule by rule as DESIGN §4 numbers them, and the sentences for what fits none.
//!
//! Spelling alone decides. What is left over is never guessed at: [`unclear`] names what it could have been.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{Address, Place};
use crate::error::{Error, Result};
use crate::ids::{Profile, Region, SnapshotId, is_region};

const FORMS: &str =
    "a snapshot is [REGION:]snap-…, a new one REGION:, a file ./name, an archive s3://bucket/prefix/, nowhere null:";

const PARTITIONS: [&str; 8] =
    ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"];

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::usage("an address is empty").todo(FORMS));
        }
        if text.contains('\0') {
            return Err(Error::usage(format!("`{}` holds a NUL byte", text.escape_debug())).todo(FORMS));
        }
        if looks_like_path(text) {
            return path(text);
        }
        if text.starts_with("s3://") {
            return s3(None, text, text);
        }
        if let Some((profile, _)) = text.split_once("@s3://") {
            let url = &text[profile.len() + 1..];
            return s3(Some(parse_profile(profile, text)?), url, text);
        }
        if text.starts_with("arn:") {
            return arn(text);
        }
        if text == "null:" {
            return Ok(Self::Null);
        }
        in_a_region(text)
    }
}

/// Rule 1.
pub(super) fn looks_like_path(text: &str) -> bool {
    ["/", "./", "../", "~/", "file:"].iter().any(|start| text.starts_with(start))
}

/// Paths are kept as they can be typed again: a bare `name.img` becomes `./name.img`.
fn path(text: &str) -> Result<Address> {
    let plain = match text.strip_prefix("file:") {
        None => text,
        Some(rest) => match rest.strip_prefix("//") {
            None => rest,
            Some(absolute) if absolute.starts_with('/') => absolute,
            Some(host) => {
                return Err(Error::usage(format!("`{text}` could be a file on another host or one here"))
                    .todo(format!("a file here is `file:{host}` or `file:///{host}`; other hosts are not reached")));
            }
        },
    };
    if plain.is_empty() {
        return Err(Error::usage(format!("`{text}` names no file")).todo("write file:NAME or ./NAME"));
    }
    if Path::new(plain) == Path::new("/dev/null") {
        return Ok(Address::Null);
    }
    let typed = looks_like_path(plain) && !plain.starts_with("file:");
    Ok(Address::Path(if typed { PathBuf::from(plain) } else { PathBuf::from(format!("./{plain}")) }))
}

fn parse_profile(profile: &str, text: &str) -> Result<Profile> {
    profile.parse().map_err(|_| {
        Error::usage(format!("`{text}`: `{profile}` in front of the @ is not a profile name"))
            .todo(format!("write PROFILE@REGION:…; a file of that name is `./{text}`"))
    })
}

/// Rule 2, and the end of rules 3 and 4.
fn s3(profile: Option<Profile>, url: &str, text: &str) -> Result<Address> {
    let rest = url.strip_prefix("s3://").unwrap_or(url);
    let (bucket, key) = match rest.split_once('/') {
        Some((bucket, key)) => (bucket, Some(key)),
        None => (rest, None),
    };
    let valid = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_'));
    if !valid {
        return Err(Error::usage(format!("`{text}`: `{bucket}` is not a bucket name"))
            .todo("write s3://bucket/prefix/ for an archive, s3://bucket/key.img for a raw image"));
    }
    let Some(key) = key else {
        return Err(Error::usage(format!("`{text}` could be the whole bucket or a key that is missing"))
            .todo(format!("an archive at its top is `s3://{bucket}/`, a raw image is `s3://{bucket}/key.img`")));
    };
    Ok(if key.is_empty() || key.ends_with('/') {
        Address::Archive(profile, bucket.to_owned(), key.to_owned())
    } else {
        Address::Object(profile, bucket.to_owned(), key.to_owned())
    })
}

/// Rule 4: the same as the short form, its region and partition checked.
fn arn(text: &str) -> Result<Address> {
    const SHAPES: &str = "addresses are arn:…:snapshot/snap-…, arn:…:image/ami-… and arn:…:s3:::bucket/…";
    let wrong = |why: String| Error::usage(format!("`{text}`: {why}")).todo(SHAPES);
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [_, partition, service, region, account, resource] = parts[..] else {
        return Err(wrong("an ARN has six parts".to_owned()));
    };
    if !PARTITIONS.contains(&partition) {
        return Err(wrong(format!("`{partition}` is not a partition")));
    }
    if service == "s3" {
        if !region.is_empty() || !account.is_empty() {
            return Err(wrong("it names an access point, not a bucket".to_owned()));
        }
        return s3(None, &format!("s3://{resource}"), text);
    }
    if service != "ec2" {
        return Err(wrong(format!("`{service}` holds no snapshots")));
    }
    let region: Region = region.parse().map_err(wrong)?;
    if region.partition() != partition {
        return Err(wrong(format!("{region} is in partition {}, not {partition}", region.partition())));
    }
    let place = Place { profile: None, region: Some(region) };
    if let Some(id) = resource.strip_prefix("snapshot/") {
        Ok(Address::Snapshot(place, id.parse().map_err(wrong)?))
    } else if let Some(id) = resource.strip_prefix("image/") {
        Ok(Address::Image(place, id.parse().map_err(wrong)?))
    } else {
        Err(wrong(format!("`{resource}` is neither a snapshot nor an image")))
    }
}

/// Rule 3, then 6, then 7: `[profile@][region:]thing`.
fn in_a_region(text: &str) -> Result<Address> {
    let plain = !text.contains([':', '@']);
    if plain && (text.contains('.') || text.contains('/')) && !is_delta_like(text) {
        return path(text);
    }
    two_places(text)?;
    let (profile, rest) = match text.rsplit_once('@') {
        Some((profile, rest)) => (Some(parse_profile(profile, text)?), rest),
        None => (None, text),
    };
    let (region, thing) = match rest.split_once(':') {
        Some((region, thing)) => (Some(parse_region(region, thing, text)?), thing),
        None => (None, rest),
    };
    let place = Place { profile, region };
    if thing.is_empty() && place.region.is_some() {
        return Ok(Address::NewSnapshot(place));
    }
    if thing.starts_with("snap-") {
        return snapshot(place, thing, text);
    }
    if thing.starts_with("ami-") {
        return thing.parse().map(|id| Address::Image(place, id)).map_err(|why: String| {
            Error::usage(format!("`{text}`: {why}")).todo(format!("a file of that name is `./{text}`"))
        });
    }
    Err(unclear(text, &place, thing))
}

/// `snap-…..snap-…`, right or wrong: never taken for a file.
fn is_delta_like(thing: &str) -> bool {
    thing.starts_with("snap-")
        && thing.split_once("..").is_some_and(|(_, second)| second.is_empty() || second.starts_with("snap-"))
}

/// Refuses `snap-A..us-east-1:snap-B` before its parts are read as anything else.
fn two_places(text: &str) -> Result<()> {
    let Some((first, second)) = text.split_once("..") else { return Ok(()) };
    if first.contains("snap-") && second.contains("snap-") && second.contains([':', '@']) {
        return Err(Error::usage(format!(
            "`{text}` names two places: the changes between two snapshots exist only within one region"
        ))
        .todo("write [PROFILE@]REGION:snap-A..snap-B"));
    }
    Ok(())
}

fn snapshot(place: Place, thing: &str, text: &str) -> Result<Address> {
    let wrong = |why: String| {
        let lower = thing.to_ascii_lowercase();
        let fixed = if lower != thing { format!("ids are lower case: `{lower}`; ") } else { String::new() };
        Error::usage(format!("`{text}`: {why}")).todo(format!("{fixed}a file of that name is `./{text}`"))
    };
    if let Some((first, second)) = thing.split_once("..") {
        if second.is_empty() {
            return Err(Error::usage(format!("`{text}` names no second snapshot"))
                .todo(format!("the changes are `{first}..snap-B`, the snapshot alone is `{first}`")));
        }
        if second.ends_with('+') {
            return Err(Error::usage(format!("`{text}` could be a delta or a new snapshot on a parent"))
                .todo(format!("copy the delta onto it: floe copy {} REGION:snap-C+", text.trim_end_matches('+'))));
        }
        let (a, b): (SnapshotId, SnapshotId) = (first.parse().map_err(wrong)?, second.parse().map_err(wrong)?);
        if a == b {
            return Err(Error::usage(format!("`{text}`: a snapshot has no changes against itself"))
                .todo(format!("the snapshot alone is `{first}`")));
        }
        return Ok(Address::Delta(place, a, b));
    }
    if let Some(id) = thing.strip_suffix('+') {
        return Ok(Address::OnParent(place, id.parse().map_err(wrong)?));
    }
    thing.parse().map(|id| Address::Snapshot(place, id)).map_err(wrong)
}

fn parse_region(region: &str, thing: &str, text: &str) -> Result<Region> {
    if let Ok(region) = region.parse() {
        return Ok(region);
    }
    let file = format!("a file of that name is `./{text}`");
    let lower = region.to_ascii_lowercase();
    let zone = region.strip_suffix(|c: char| c.is_ascii_lowercase()).filter(|stem| is_region(stem));
    Err(if let Some(stem) = zone {
        Error::usage(format!("`{text}`: {region} is an availability zone; snapshots live in a region"))
            .todo(format!("did you mean `{}`? {file}", text.replacen(region, stem, 1)))
    } else if region.is_empty() {
        Error::usage(format!("`{text}` names no region in front of the colon"))
            .todo(format!("a region is written like eu-west-1:, {file}"))
    } else if lower == "null" {
        Error::usage(format!("`{text}` could be nowhere or a file")).todo(format!("nowhere is `null:` alone, {file}"))
    } else if lower == "s3" {
        Error::usage(format!("`{text}` is not a whole S3 address"))
            .todo(format!("write s3://bucket/prefix/ or s3://bucket/key.img; {file}"))
    } else if lower == "arn" {
        Error::usage(format!("`{text}`: an ARN takes no profile"))
            .todo("write PROFILE@REGION:snap-…, or the ARN alone with --profile")
    } else if region.starts_with("vol-") || region.starts_with("snap-") || region.starts_with("ami-") {
        Error::usage(format!("`{text}` has an id where the region belongs"))
            .todo(format!("write REGION:{region}; {file}"))
    } else if thing.starts_with("//") {
        Error::usage(format!("`{text}` is a URL, which is not an address")).todo(FORMS)
    } else if is_region(&lower) {
        Error::usage(format!("`{text}`: regions are written in lower case"))
            .todo(format!("did you mean `{}`? {file}", text.replacen(region, &lower, 1)))
    } else {
        Error::usage(format!("`{text}`: `{region}` is not a region"))
            .todo(format!("a region is written like eu-west-1:, {file}"))
    })
}

/// Rule 7: names the things that it could have been.
fn unclear(text: &str, place: &Place, thing: &str) -> Error {
    if text == "-" {
        return Error::usage("`-` could be a pipe or a file: a volume's blocks do not fit a pipe")
            .todo("a file of that name is `./-`, nowhere is `null:`; `copy --each -` reads sources from a pipe");
    }
    let file = format!("a file of that name is `./{text}`");
    let zone = thing.strip_suffix(|c: char| c.is_ascii_lowercase()).filter(|stem| is_region(stem));
    if thing == "null" {
        Error::usage(format!("`{text}` could be nowhere or a file")).todo(format!("nowhere is `null:`, {file}"))
    } else if is_region(thing) {
        Error::usage(format!("`{text}` could be a region or a file"))
            .todo(format!("did you mean `{text}:`? {}", capital(&file)))
    } else if let Some(stem) = zone {
        Error::usage(format!("`{text}` could be an availability zone or a file"))
            .todo(format!("its region is `{stem}:`, {file}"))
    } else if thing.starts_with("vol-") {
        Error::usage(format!("`{text}` is a volume; the EBS direct APIs read snapshots"))
            .todo(format!("make a snapshot of it first and name that; {file}"))
    } else if thing.starts_with("i-") {
        Error::usage(format!("`{text}` could be an instance or a file; snapshots are of volumes"))
            .todo(format!("name a snapshot as snap-…; {file}"))
    } else if let Some(region) = &place.region {
        Error::usage(format!("`{text}`: `{thing}` in {region} is neither a snapshot nor an image"))
            .todo(format!("a new snapshot there is `{region}:`, one that exists `{region}:snap-…`, {file}"))
    } else if thing.is_empty() {
        Error::usage(format!("`{text}` names a profile and nothing in it"))
            .todo(format!("a new snapshot is `{text}REGION:`, one that exists `{text}snap-…`, {file}"))
    } else {
        Error::usage(format!("`{text}` could be a file, a region or a snapshot"))
            .todo(format!("{file}, a new snapshot is `REGION:`, a snapshot is `snap-…`"))
    }
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
