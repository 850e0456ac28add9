//! Objects that S3 copies itself: what is there, and what would be done about it.
//!
//! [`decide`] is the one place that says what happens to an object: the plan calls it for a single one, the run for each
//! object below a prefix.

mod decide;

pub use self::decide::{Action, Known, Near, Rules, decide, encryption, same_bytes, wanted};
use crate::address::Address;
use crate::aws::{Aws, S3Facts, Session, needs_restore};
use crate::error::{Error, Result};
use crate::ids::Profile;
use crate::inventory::archives::{last_folder, patiently};
use crate::plan::archives::{keep, session};
use crate::plan::globs::Globs;
use crate::plan::make::passed;
use crate::plan::model::{
    DestinationKind, DestinationPlan, Finding, Level, Operation, Options, SourceKind, SourcePlan, Strategy, Verify,
};
use crate::plan::parts::{self, COPY_MOST, Parts};
use crate::plan::pins::{Pin, Seen};
use crate::units::{Bytes, Quantity, plural};

/// Pages of a listing that a plan looks at: 100,000 objects take it half a minute.
const LOOKED_AT: usize = 100;

/// Refuses flags and addresses that do not go together.
pub(super) fn check(operation: &Operation) -> Result<()> {
    let options = &operation.options;
    let is_prefix = |address: &Address| matches!(address, Address::Archive(..));
    let ends = || operation.sources.iter().chain(&operation.destinations);
    if options.recursive {
        if let Some(other) = ends().find(|address| !is_prefix(address)) {
            return Err(Error::usage(format!("`{other}`: --recursive copies from one prefix of S3 to another"))
                .todo("floe copy --recursive s3://bucket/prefix/ s3://bucket/prefix/"));
        }
        return Ok(());
    }
    if !options.include.is_empty() || !options.exclude.is_empty() {
        return Err(
            Error::usage("--include and --exclude choose among the objects below a prefix").todo("add --recursive")
        );
    }
    let is_object = |address: &Address| matches!(address, Address::Object(..));
    let copies = operation.sources.iter().any(is_object) && operation.destinations.iter().any(is_object);
    if operation.sources.len() > 1 && copies {
        return Err(Error::usage("many objects cannot share one key")
            .todo("floe copy --recursive s3://bucket/prefix/ s3://bucket/prefix/ with --include copies many"));
    }
    if !copies && (options.part_size.is_some() || options.force_copy) {
        return Err(Error::usage("--part-size and --force-copy are about copies from S3 to S3").todo("leave them out"));
    }
    Ok(())
}

/// Where an object goes, or objects below a prefix do.
pub(super) async fn destination(
    aws: &Aws,
    address: &Address,
    source: &SourcePlan,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Result<DestinationPlan> {
    let (Address::Object(profile, bucket, key) | Address::Archive(profile, bucket, key)) = address else {
        return Err(Error::usage(format!("`{address}` is not in S3")));
    };
    keep(options)?;
    let to = session(aws, profile.as_ref(), bucket).await?;
    let from = session(aws, source.profile.as_ref(), bucket_of(source)).await?;
    if from.region().partition() != to.region().partition() {
        let what = format!("{} and {} are in different partitions", source.address, to.region());
        return Err(Error::refused(what).todo("S3 copies within one partition"));
    }
    if options.verify == Verify::Full && options.storage_class.as_deref().is_some_and(needs_restore) {
        return Err(Error::usage("what is kept in an archive class cannot be read back without being restored first")
            .todo("--verify listing or checksum, or --storage-class GLACIER_IR"));
    }
    let kind = match &source.kind {
        SourceKind::Prefix { .. } => tree(aws, (&from, &to), source, (bucket, key), options, findings).await?,
        _ => one(aws, &from, &to, source, (bucket, key), options, findings).await?,
    };
    Ok(DestinationPlan {
        address: match address {
            Address::Object(..) => Address::Object(to.profile().cloned(), bucket.clone(), key.clone()),
            _ => Address::Archive(to.profile().cloned(), bucket.clone(), key.clone()),
        },
        profile: to.profile().cloned(),
        region: Some(to.region().clone()),
        account: Some(to.account().clone()),
        kind,
        strategy: Strategy::Native,
    })
}

fn bucket_of(source: &SourcePlan) -> &str {
    match &source.kind {
        SourceKind::Object { bucket, .. } | SourceKind::Prefix { bucket, .. } => bucket,
        _ => "",
    }
}

/// Checks that a prefix does not take itself in, and by what its objects are pinned.
async fn tree(
    aws: &Aws,
    (from, to): (&Session, &Session),
    source: &SourcePlan,
    (bucket, prefix): (&str, &str),
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Result<DestinationKind> {
    let SourceKind::Prefix { bucket: of, prefix: below, objects, counted, .. } = &source.kind else {
        return Err(Error::failed("the source is no prefix"));
    };
    if of == bucket && (prefix.starts_with(below.as_str()) || below.starts_with(prefix)) {
        return Err(Error::usage(format!("s3://{bucket}/{prefix} and {} lie in one another", source.address))
            .todo("copy to a prefix beside it: what is copied must not be found again below the source"));
    }
    findings.push(match counted {
        true => {
            let (what, were) = (plural(*objects, "object"), if *objects == 1 { "was" } else { "were" });
            passed(format!("{objects} {what} below {} {were} counted", source.address))
        }
        false => Finding {
            level: Level::Note,
            text: format!("there are more than {objects} objects: how many, and what they cost, is not known before"),
            todo: None,
        },
    });
    let pin = first_pin(aws, (from, to), (of, below), options).await?;
    findings.extend(pin.finding_of_many(&source.address.to_string()));
    let by_etag = matches!(pin, Pin::Denied(_));
    Ok(DestinationKind::CopiedTree { bucket: bucket.to_owned(), prefix: prefix.to_owned(), by_etag })
}

/// By what the first object below a prefix is pinned: what may be read of one is taken to be what may be read of all.
async fn first_pin(
    aws: &Aws,
    (from, to): (&Session, &Session),
    (bucket, prefix): (&str, &str),
    options: &Options,
) -> Result<Pin> {
    let globs = Globs::new(&options.include, &options.exclude);
    let page = patiently(|| from.s3().list(bucket, prefix, false, None, None)).await?;
    let mut meant = page.objects.iter().filter(|one| globs.take(one.key.strip_prefix(prefix).unwrap_or(&one.key)));
    let Some(first) = meant.next() else { return Ok(Pin::Etag) };
    let Some(facts) = patiently(|| from.s3().facts(bucket, &first.key, None)).await? else { return Ok(Pin::Etag) };
    pin(aws, (from, to), (bucket, &first.key), &facts).await
}

/// By what an object is pinned: the account that it goes to reads it too, in the region where it is.
async fn pin(aws: &Aws, (from, to): (&Session, &Session), (bucket, key): (&str, &str), facts: &S3Facts) -> Result<Pin> {
    let seen = seen_as((bucket, key), facts);
    if from.account() == to.account() {
        return Pin::of(&[from], seen).await;
    }
    let there = aws.session(to.profile(), Some(from.region())).await?;
    Pin::of(&[from, &there], seen).await
}

fn seen_as<'a>((bucket, key): (&'a str, &'a str), facts: &'a S3Facts) -> Seen<'a> {
    Seen { bucket, key, etag: &facts.etag, version: facts.version.as_deref(), tagged: facts.tag_count > 0 }
}

/// What happens to one object.
async fn one(
    aws: &Aws,
    from: &Session,
    to: &Session,
    source: &SourcePlan,
    (bucket, key): (&str, &str),
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Result<DestinationKind> {
    let SourceKind::Object { bucket: from_bucket, key: from_key, etag, length, .. } = &source.kind else {
        return Err(Error::failed("the source is no object"));
    };
    let rules = Rules::of(options);
    let near = Near::of(from, to);
    let known = known(from, from_bucket, from_key).await?.filter(|known| known.facts.etag == *etag);
    let known = known.ok_or_else(|| Error::failed(format!("{} changed while it was looked at", source.address)))?;
    seen(aws, from, to, source).await?;
    let pin = pin(aws, (from, to), (from_bucket, from_key), &known.facts).await?;
    let said = pin.finding(seen_as((from_bucket, from_key), &known.facts));
    // Several destinations have one source.
    if !findings.iter().any(|found| found.text == said.text) {
        findings.push(said);
    }
    let is_itself = from_bucket == bucket && from_key == key;
    let there = if is_itself { Some(known.clone()) } else { self::known(to, bucket, key).await? };
    let action = match decide(&known, there.as_ref(), &rules, near) {
        Action::Copy { .. } if is_itself && length > &COPY_MOST => Action::Refuse {
            why: "it is copied onto itself, and is over 5 GB".to_owned(),
            todo: "copy it to another key".to_owned(),
        },
        action => action,
    };
    let parts = parts::cut(*length, options.pace, near.region, options.part_size)?;
    let (_, encryption) = encryption(&known.facts.sse, rules.kms_key.as_deref(), near);
    findings.push(passed(format!("s3://{bucket}/{key}: {encryption}")));
    findings.extend(told(&format!("s3://{bucket}/{key}"), &action));
    Ok(DestinationKind::Copied {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version: pin.version(),
        parts,
        action,
        encryption,
    })
}

/// What a plan says of an action.
fn told(address: &str, action: &Action) -> Option<Finding> {
    let (level, text, todo) = match action {
        Action::Copy { replaces: false } => return None,
        Action::Copy { replaces: true } => (Level::Warning, format!("{address} is there and is replaced"), None),
        Action::Skip { compared } => {
            let text = format!("{address} is there already, the same by {compared}: nothing is copied");
            (Level::Note, text, Some("--force-copy copies it all the same".to_owned()))
        }
        Action::Set { properties, tags, compared } => {
            let what = match (properties, tags) {
                (true, true) => "its properties and tags",
                (true, false) => "its properties",
                _ => "its tags",
            };
            (Level::Note, format!("{address} is there already, the same by {compared}: only {what} are set"), None)
        }
        Action::Refuse { why, todo } => (Level::Refused, format!("{address}: {why}"), Some(todo.clone())),
    };
    Some(Finding { level, text, todo })
}

/// The destination's account reads the source itself, so it has to be allowed to.
async fn seen(aws: &Aws, from: &Session, to: &Session, source: &SourcePlan) -> Result<()> {
    let SourceKind::Object { bucket, key, .. } = &source.kind else { return Ok(()) };
    if from.account() == to.account() {
        return Ok(());
    }
    let there = aws.session(to.profile(), Some(from.region())).await?;
    let account = to.account().grouped();
    match patiently(|| there.s3().facts(bucket, key, None)).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Error::refused(format!("account {account} does not see {}", source.address)).todo(
            "S3 copies with the destination's permissions: share the bucket with that account (a bucket policy)",
        )),
        Err(error) => Err(error.during(format!("account {account} has to read {} itself", source.address))),
    }
}

/// An object with its tags.
///
/// # Errors
/// As classified.
pub async fn known(session: &Session, bucket: &str, key: &str) -> Result<Option<Known>> {
    let Some(facts) = patiently(|| session.s3().facts(bucket, key, None)).await? else { return Ok(None) };
    let tags = match facts.tag_count {
        0 => Vec::new(),
        _ => patiently(|| session.s3().tags(bucket, key, None)).await?,
    };
    Ok(Some(Known { facts, tags }))
}

/// Reads what an object is that S3 will copy: any key, in whatever form.
pub(super) async fn object(aws: &Aws, address: &Address, options: &Options) -> Result<SourcePlan> {
    let Address::Object(profile, bucket, key) = address else {
        return Err(Error::failed(format!("`{address}` is no object")));
    };
    let session = session(aws, profile.as_ref(), bucket).await?;
    let head = patiently(|| session.s3().facts(bucket, key, None)).await?.ok_or_else(|| {
        Error::usage(format!("there is no object s3://{bucket}/{key}"))
            .todo(format!("all objects below a prefix: floe copy --recursive s3://{bucket}/{key}/ s3://…/"))
    })?;
    Ok(SourcePlan {
        address: Address::Object(session.profile().cloned(), bucket.clone(), key.clone()),
        profile: session.profile().cloned(),
        region: Some(session.region().clone()),
        account: Some(session.account().clone()),
        // What S3 copies by itself names its version where the copy is planned: who copies has to be able to read it.
        kind: SourceKind::Object {
            bucket: bucket.clone(),
            key: key.clone(),
            etag: head.etag,
            version: None,
            length: head.bytes,
        },
        name: Some(last_folder(key).to_owned()),
        tags: options.tags.clone(),
        volume: head.bytes,
        class: None,
        blocks: Quantity::exact(head.bytes.blocks()),
    })
}

/// What lies below a prefix, as far as a plan looks.
struct Counted {
    objects: u64,
    bytes: Bytes,
    requests: u64,
    all: bool,
}

/// Counts what is below a prefix, page by page.
pub(super) async fn prefix(
    aws: &Aws,
    (profile, bucket, prefix): (&Option<Profile>, &str, &str),
    options: &Options,
) -> Result<SourcePlan> {
    let session = session(aws, profile.as_ref(), bucket).await?;
    let counted = count(&session, bucket, prefix, options).await?;
    if counted.objects == 0 && counted.all {
        return Err(Error::usage(format!("nothing that is meant lies below s3://{bucket}/{prefix}"))
            .todo("check the prefix, --include and --exclude"));
    }
    Ok(SourcePlan {
        address: Address::Archive(session.profile().cloned(), bucket.to_owned(), prefix.to_owned()),
        profile: session.profile().cloned(),
        region: Some(session.region().clone()),
        account: Some(session.account().clone()),
        kind: SourceKind::Prefix {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            objects: counted.objects,
            requests: counted.requests,
            counted: counted.all,
        },
        name: Some(last_folder(prefix).to_owned()),
        tags: options.tags.clone(),
        volume: counted.bytes,
        class: None,
        blocks: match counted.all {
            true => Quantity::at_most(counted.bytes.blocks()),
            false => Quantity { value: counted.bytes.blocks(), ..Quantity::unknown() },
        },
    })
}

async fn count(session: &Session, bucket: &str, prefix: &str, options: &Options) -> Result<Counted> {
    let globs = Globs::new(&options.include, &options.exclude);
    let mut all = Counted { objects: 0, bytes: Bytes::ZERO, requests: 0, all: false };
    let mut token: Option<String> = None;
    for _ in 0..LOOKED_AT {
        let page = patiently(|| session.s3().list(bucket, prefix, false, None, token.as_deref())).await?;
        for object in page.objects.iter().filter(|o| globs.take(o.key.strip_prefix(prefix).unwrap_or(&o.key))) {
            // In what region they go to is not known here; within one, there are more parts.
            let Parts { count, .. } = parts::cut(object.bytes, options.pace, true, options.part_size)?;
            all.objects += 1;
            all.bytes += object.bytes;
            all.requests += u64::from(count) + if count > 1 { 2 } else { 0 };
        }
        token = page.next;
        if token.is_none() {
            all.all = true;
            break;
        }
    }
    Ok(all)
}
