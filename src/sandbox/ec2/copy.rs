//! `CopySnapshot` and `CopyImage`: asked in the region that the copy goes to.
//!
//! A copy answers at once and is pending until its time has come; what is wrong with its key shows only then, as an
//! error state without blocks, as at AWS. It lies on its source's blocks: a copy of 16 TiB costs nothing here.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::images;
use super::snapshots::{find, not_found};
use super::{Ask, Fault, ids, tags};
use crate::ids::{ImageId, Region, SnapshotId};
use crate::sandbox::content::Content;
use crate::sandbox::model::{Copying, Encryption, Image, Mapping, Model, Snapshot, SnapshotState, Tags, Tier};
use crate::sandbox::store::Written;
use crate::sandbox::synth::mix;
use crate::sandbox::{faults, kms};

/// Copies under way to one region.
const AT_ONCE: usize = 20;
/// The longest time-based copy, in minutes, and the step.
const MINUTES_MAX: u32 = 2880;
const MINUTES_STEP: u32 = 15;
/// The most that one time-based copy moves, in bytes a second.
const TIMED_RATE: u64 = 500 << 20;
/// What EC2 says of a key that it may not use, once it tried.
const KEY_DENIED: &str = "Given key ID is not accessible";

/// What a copy is to be.
struct Wanted<'q> {
    from: Region,
    encrypted: bool,
    key: Option<&'q str>,
    minutes: Option<u32>,
}

impl<'q> Wanted<'q> {
    /// Reads what both calls share; `minutes` is their name for the time that a copy may take.
    fn read(ask: &Ask<'q>, minutes: &str) -> Result<Self, Fault> {
        let from = ask.query.required("SourceRegion")?;
        let from: Region = from.parse().map_err(|_| Fault::value("SourceRegion", from, "Invalid region."))?;
        let said = ask.query.text("Encrypted");
        let encrypted = ask.query.flag("Encrypted")?;
        if said.is_some() && !encrypted {
            return Err(Fault::value("Encrypted", "false", "A copy cannot be asked to be unencrypted."));
        }
        let key = ask.query.text("KmsKeyId").filter(|key| !key.is_empty());
        if key.is_some() && !encrypted {
            let message = "The parameter KmsKeyId requires the parameter Encrypted to be set.";
            return Err(Fault::bad("InvalidParameterCombination", message));
        }
        let (name, minutes) = (minutes, ask.query.number::<u32>(minutes)?);
        if let Some(wrong) = minutes.filter(|n| !(1..=MINUTES_MAX).contains(n) || n % MINUTES_STEP != 0) {
            let expected = "Specify a value from 15 to 2880, in steps of 15.";
            return Err(Fault::value(name, &wrong.to_string(), expected));
        }
        Ok(Self { from, encrypted, key, minutes })
    }
}

/// `CopySnapshot`.
pub fn snapshot(ask: &Ask<'_>) -> Result<String, Fault> {
    let wanted = Wanted::read(ask, "CompletionDurationMinutes")?;
    let id = ask.query.required("SourceSnapshotId")?;
    let id: SnapshotId = ids(&[id], "InvalidSnapshotID.Malformed", "snap")?.remove(0);
    let description = ask.query.text("Description").filter(|text| !text.is_empty());
    // What a client of old signs beside; the call itself is signed here.
    let _ = (ask.query.text("PresignedUrl"), ask.query.text("DestinationRegion"));
    let given = tags::specified(&ask.query, "snapshot")?;
    let copy = {
        let mut model = ask.sandbox.model_mut();
        let source = source(&model, ask, &wanted.from, &id)?.clone();
        room_for(&model, ask, 1)?;
        check_rate(&wanted, &source)?;
        ask.ready()?;
        let description = description.map_or_else(|| format!("[Copied {id} from {}]", wanted.from), str::to_owned);
        start(&mut model, ask, &wanted, &source, description, given.clone())?
    };
    keep(ask, &copy)?;
    Ok(ask.answer("CopySnapshot", |xml| {
        xml.text("snapshotId", &copy);
        xml.tags(&given);
    }))
}

/// The source, where the caller may see it, whole and not archived.
fn source<'m>(model: &'m Model, ask: &Ask<'_>, from: &Region, id: &SnapshotId) -> Result<&'m Snapshot, Fault> {
    let there = crate::sandbox::Caller { region: from.clone(), ..ask.caller.clone() };
    let source = find(model, &there, id).ok_or_else(|| not_found(id.as_str()))?.snapshot;
    if source.state != SnapshotState::Completed {
        let message = format!("Snapshot {id} is not in a valid state: {}", source.state.as_str());
        return Err(Fault::bad("IncorrectState", message));
    }
    if source.tier == Tier::Archive {
        let message = format!("The snapshot {id} is archived. Restore it from the archive before you copy it.");
        return Err(Fault::bad("IncorrectState", message));
    }
    Ok(source)
}

fn room_for(model: &Model, ask: &Ask<'_>, more: usize) -> Result<(), Fault> {
    let region = model.region(&ask.caller.account, &ask.caller.region).ok_or_else(Fault::auth_failure)?;
    let copying = |snapshot: &&Snapshot| {
        // What is being made of a volume is no copy.
        snapshot.state == SnapshotState::Pending && snapshot.copying.is_some() && snapshot.volume_id.is_placeholder()
    };
    if region.snapshots.values().filter(copying).count() + more > AT_ONCE {
        let message =
            format!("Too many snapshot copies in progress. The limit is {AT_ONCE} for this destination region.");
        return Err(Fault::bad("ResourceLimitExceeded", message));
    }
    Ok(())
}

/// A time in which the data cannot be moved is refused.
fn check_rate(wanted: &Wanted<'_>, source: &Snapshot) -> Result<(), Fault> {
    let Some(minutes) = wanted.minutes else { return Ok(()) };
    if source.full_size().0 > u64::from(minutes) * 60 * TIMED_RATE {
        let message = format!(
            "The requested completion duration of {minutes} minutes cannot be met: a time-based copy moves at most \
             500 MiB/s."
        );
        return Err(Fault::bad("InvalidParameterValue", message));
    }
    Ok(())
}

/// Puts the copy there, pending; what becomes of it is decided now and shows later.
fn start(
    model: &mut Model,
    ask: &Ask<'_>,
    wanted: &Wanted<'_>,
    source: &Snapshot,
    description: String,
    tags: Tags,
) -> Result<SnapshotId, Fault> {
    let (encryption, key_works) = encryption(model, ask, wanted, source);
    let fails = !key_works || ask.lie == Some(&faults::Fault::FailLater);
    let id = ask.sandbox.new_snapshot_id(model);
    let since = ask.sandbox.now();
    let settles = since + SignedDuration::from_millis(i64::try_from(ask.sandbox.copying_ms()).unwrap_or(0));
    let into = if fails { SnapshotState::Error(KEY_DENIED.to_owned()) } else { SnapshotState::Completed };
    let content = match &source.content {
        Content::Synthetic(same) => Content::Synthetic(*same),
        written => {
            let blocks = Written::new(id.clone(), Some((source.id.clone(), written.clone())), ask.sandbox.keep());
            blocks.seal();
            Content::Written(Arc::new(blocks))
        }
    };
    let copy = Snapshot {
        id: id.clone(),
        owner: ask.caller.account.clone(),
        volume_id: "vol-ffffffff".parse().map_err(|_| Fault::auth_failure())?,
        started: since,
        completed: None,
        state: SnapshotState::Pending,
        progress: 0,
        size_gib: source.size_gib,
        description,
        tags,
        encryption,
        tier: Tier::Standard,
        transfer_type: Some(if wanted.minutes.is_some() { "time-based" } else { "standard" }.to_owned()),
        shared: Vec::new(),
        upload: None,
        tiering: None,
        archived: None,
        copying: Some(Copying { since, settles, into, minutes: wanted.minutes }),
        content,
    };
    let region = model.region_mut(&ask.caller.account, &ask.caller.region).ok_or_else(Fault::auth_failure)?;
    region.snapshots.insert(id.clone(), copy);
    Ok(id)
}

/// What the copy is encrypted with, and whether that key can be used. It is asked for, or comes with the source, or
/// is the account's rule in the region; the key is the one that is named, or the region's default one.
fn encryption(model: &Model, ask: &Ask<'_>, wanted: &Wanted<'_>, source: &Snapshot) -> (Option<Encryption>, bool) {
    let Some(region) = model.region(&ask.caller.account, &ask.caller.region) else { return (None, false) };
    if !wanted.encrypted && source.encryption.is_none() && !region.settings.encrypt_by_default {
        return (None, true);
    }
    let found = wanted.key.map(|name| kms::find(model, ask.caller, name));
    let key_arn = match (&found, wanted.key) {
        (Some(Some(key)), _) => key.arn.clone(),
        (Some(None), Some(name)) => name.to_owned(),
        _ => kms::default_key(&ask.caller.account, region),
    };
    let data_key_id = uuid::Uuid::new_v4().to_string();
    (Some(Encryption { key_arn, data_key_id }), !matches!(found, Some(None)))
}

fn keep(ask: &Ask<'_>, copy: &SnapshotId) -> Result<(), Fault> {
    let saved = ask.sandbox.save_snapshot(&ask.caller.account, &ask.caller.region, copy);
    saved.map_err(|cause| Fault::internal(&cause))?;
    ask.sandbox.watch(&ask.caller.account, &ask.caller.region, copy);
    Ok(())
}

/// `CopyImage`: its snapshots are copied, and it can be used when they are whole.
pub fn image(ask: &Ask<'_>) -> Result<String, Fault> {
    let wanted = Wanted::read(ask, "SnapshotCopyCompletionDurationMinutes")?;
    let id = ask.query.required("SourceImageId")?;
    let id: ImageId = ids(&[id], "InvalidAMIID.Malformed", "ami")?.remove(0);
    let name = ask.query.required("Name")?;
    let token = ask.query.text("ClientToken").filter(|token| !token.is_empty());
    let description = ask.query.text("Description").unwrap_or_default();
    let with_tags = ask.query.flag("CopyImageTags")?;
    let (image_tags, snapshot_tags) = (tags::specified(&ask.query, "image")?, tags::specified(&ask.query, "snapshot")?);
    let all = (&wanted.from, &id, name, description, wanted.encrypted, wanted.key, wanted.minutes, with_tags);
    let print = format!("{all:?}").bytes().fold(7, |hash, byte| mix(hash, u64::from(byte)));
    let (new, copies) = {
        let mut model = ask.sandbox.model_mut();
        if let Some(known) = repeated(&model, ask, token, print)? {
            return Ok(ask.answer("CopyImage", |xml| xml.text("imageId", &known)));
        }
        images::check_name(&model, ask.caller, name)?;
        let (source, sources) = image_source(&model, ask, &wanted, &id)?;
        room_for(&model, ask, sources.len())?;
        ask.ready()?;
        let new: ImageId = format!("ami-0{:016x}", fastrand::u64(..)).parse().map_err(|_| Fault::auth_failure())?;
        let mut copies = BTreeMap::new();
        for from in &sources {
            let description = described(&new, &id, &from.id, ask.sandbox.now());
            copies.insert(from.id.clone(), start(&mut model, ask, &wanted, from, description, snapshot_tags.clone())?);
        }
        let mut tags = if with_tags { source.tags.as_ref().clone() } else { BTreeMap::new() };
        tags.extend(image_tags.iter().map(|(key, value)| (key.clone(), value.clone())));
        let encrypted = |id: &SnapshotId| {
            let here = model.region(&ask.caller.account, &ask.caller.region);
            here.and_then(|region| region.snapshots.get(id)).is_some_and(|copy| copy.encryption.is_some())
        };
        let mappings = source.mappings.iter().map(|mapping| {
            let snapshot = mapping.snapshot.as_ref().and_then(|id| copies.get(id)).cloned();
            Mapping { encrypted: snapshot.as_ref().is_some_and(encrypted), snapshot, ..mapping.clone() }
        });
        let copy = Image {
            id: new.clone(),
            name: name.to_owned(),
            description: description.to_owned(),
            owner: ask.caller.account.clone(),
            state: "pending".to_owned(),
            created: ask.sandbox.now(),
            deprecated: None,
            last_launched: None,
            public: false,
            launchers: Vec::new(),
            binned: None,
            mappings: mappings.collect(),
            tags: Arc::new(tags),
            client_token: token.map(str::to_owned),
            token_print: print,
            ..source
        };
        let region = model.region_mut(&ask.caller.account, &ask.caller.region).ok_or_else(Fault::auth_failure)?;
        region.images.insert(new.clone(), copy);
        (new, copies)
    };
    for copy in copies.values() {
        keep(ask, copy)?;
    }
    let saved = ask.sandbox.save_image(&ask.caller.account, &ask.caller.region, &new);
    saved.map_err(|cause| Fault::internal(&cause))?;
    Ok(ask.answer("CopyImage", |xml| xml.text("imageId", &new)))
}

/// The image that the same client token made; other parameters with it are a mismatch.
fn repeated(model: &Model, ask: &Ask<'_>, token: Option<&str>, print: u64) -> Result<Option<ImageId>, Fault> {
    let here = model.region(&ask.caller.account, &ask.caller.region).ok_or_else(Fault::auth_failure)?;
    let same = |image: &&Image| token.is_some() && image.client_token.as_deref() == token;
    match here.images.values().find(same) {
        Some(known) if known.token_print == print => Ok(Some(known.id.clone())),
        Some(_) => {
            let message = "Arguments on this idempotent request are inconsistent with arguments used in previous \
                           request(s).";
            Err(Fault::bad("IdempotentParameterMismatch", message))
        }
        None => Ok(None),
    }
}

/// The image and the snapshots that it is made of, where the caller may have them copied.
fn image_source(
    model: &Model,
    ask: &Ask<'_>,
    wanted: &Wanted<'_>,
    id: &ImageId,
) -> Result<(Image, Vec<Snapshot>), Fault> {
    let there = crate::sandbox::Caller { region: wanted.from.clone(), ..ask.caller.clone() };
    let source = images::find_image(model, &there, id)?.clone();
    let sold = source.usage() != "RunInstances" || !source.product_codes.is_empty();
    if sold && source.owner != ask.caller.account && !source.public {
        let message = "Images with EC2 BillingProduct codes cannot be copied to another AWS account";
        return Err(Fault::bad("InvalidRequest", message));
    }
    let mut sources: Vec<Snapshot> = Vec::new();
    for snapshot in source.mappings.iter().filter_map(|mapping| mapping.snapshot.as_ref()) {
        // Who may launch an image may not yet read what it is made of.
        let denied = |_| Fault::bad("InvalidRequest", "You do not have permission to access the storage of this ami");
        let snapshot = self::source(model, ask, &wanted.from, snapshot).map_err(denied)?;
        check_rate(wanted, snapshot)?;
        if !sources.iter().any(|known| known.id == snapshot.id) {
            sources.push(snapshot.clone());
        }
    }
    if sources.is_empty() {
        let message = format!("The image '{id}' has no EBS snapshot that could be copied");
        return Err(Fault::bad("InvalidRequest", message));
    }
    Ok((source, sources))
}

/// `Copied for DestinationAmi … Task created on 1,566,308,778,174.`
fn described(new: &ImageId, old: &ImageId, snapshot: &SnapshotId, at: Timestamp) -> String {
    let digits = at.as_millisecond().max(0).to_string();
    let mut grouped = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!(
        "Copied for DestinationAmi {new} from SourceAmi {old} for SourceSnapshot {snapshot}. Task created on {grouped}."
    )
}
