//! What a delta may be written onto: only what is proved to hold its first snapshot (DESIGN §3, rule 6).
//!
//! Invariant: a base is believed because floe wrote it and nobody touched it since, because `floe verify` read all of
//! it, because AWS made it as a copy for floe, or because it is that very snapshot; everything else is refused, or labelled when `--force` was said.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use crate::address::{Address, Place};
use crate::error::{Error, Result};
use crate::ids::SnapshotId;
use crate::inventory::SnapshotRow;
use crate::inventory::elsewhere::is_of_job;
use crate::plan::files;
use crate::plan::model::{
    Basis, DestinationKind, DestinationPlan, Finding, InPlace, Level, Options, SourcePlan, Strategy,
};
use crate::store::copies::{Copies, FileId, Held, Holds, Spot, Witness};

/// What is known of copies, and in which world.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub copies: Option<&'a Copies>,
    pub world: &'a str,
}

/// Why it may be believed, or why not.
type Answer = std::result::Result<Basis, String>;

/// The first snapshot of a delta, where it is.
fn first(source: &SourcePlan) -> Option<Held> {
    source.kind.base().cloned().zip(source.region.clone()).map(|(id, region)| Held { region, id })
}

fn address(held: &Held, source: &SourcePlan) -> Address {
    let place = Place { profile: source.profile.clone(), region: Some(held.region.clone()) };
    Address::Snapshot(place, held.id.clone())
}

/// Writing a delta into a file, in its place.
///
/// # Errors
/// Usage when there is no file; refusal for a base that is not proved, for devices, and for what is no file.
pub(super) fn file(
    path: &Path,
    source: &SourcePlan,
    options: &Options,
    known: Known<'_>,
    findings: &mut Vec<Finding>,
) -> Result<DestinationPlan> {
    let path = files::absolute(path)?;
    let shown = path.display().to_string();
    let Some(first) = first(source) else { return Err(Error::failed(format!("`{}` is no delta", source.address))) };
    let from = address(&first, source);
    let meta = match fs::metadata(&path) {
        Ok(meta) => meta,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::usage(format!(
                "`{shown}` does not exist: a delta is written onto a file that holds {}",
                first.id
            ))
            .todo(format!("floe copy {from} {shown}, then the delta; or copy its second snapshot whole")));
        }
        Err(cause) => return Err(Error::io(format!("`{shown}` cannot be looked at"), &cause)),
    };
    if meta.file_type().is_block_device() || meta.file_type().is_char_device() {
        return Err(Error::usage(format!(
            "`{shown}` is a device: whether it still holds {} cannot be known",
            first.id
        ))
        .todo(format!("copy the second snapshot whole, or the delta onto a file that holds {}", first.id)));
    }
    if !meta.is_file() {
        return Err(Error::refused(format!("`{shown}` is no regular file, so no delta can be written onto it")));
    }
    let now = FileId::from(&meta);
    if now.length > source.volume {
        return Err(Error::refused(format!(
            "`{shown}` has {}, more than the {} of {}: it holds something else",
            now.length, source.volume, source.address
        )));
    }
    let basis = match of_file(&path, &now, &first, known) {
        Ok(basis) => basis,
        Err(why) => forced(options, &shown, &first.id, &why, &format!("floe verify {from} {shown}"), findings)?,
    };
    findings.push(believed(basis, &shown, &first.id));
    if now.length < source.volume {
        let text = format!("`{shown}` grows from {} to {}", now.length, source.volume);
        findings.push(Finding { level: Level::Note, text, todo: None });
    }
    Ok(DestinationPlan {
        address: Address::Path(path.clone()),
        profile: None,
        region: None,
        account: None,
        kind: DestinationKind::File {
            path,
            length: source.volume,
            replaces: false,
            onto: Some(InPlace { file: now, basis }),
        },
        strategy: Strategy::Direct,
    })
}

fn of_file(path: &Path, now: &FileId, first: &Held, known: Known<'_>) -> Answer {
    let copies = known.copies.ok_or("nothing is known of earlier copies")?;
    let record = copies.file(path).filter(|record| record.world == known.world);
    let record = record.ok_or_else(|| format!("floe has no record of a copy of {} to it", first.id))?;
    if let (Holds::Torn { from, to }, Witness::Copied { job, .. }) = (&record.holds, &record.witness) {
        return Err(format!(
            "job {job} is on its way from {from} to {to} there, and it is half of each (floe jobs resume {job})"
        ));
    }
    let Spot::File { id, .. } = &record.spot else { return Err("its record is of something else".to_owned()) };
    if id != now {
        let how = if !id.is_same_file(now) {
            "another file has taken its place"
        } else if id.length != now.length {
            "its length changed"
        } else {
            "it was written to, or its attributes changed"
        };
        return Err(format!("{how} since {}", since(&record.witness)));
    }
    if let Witness::Copied { job, .. } = &record.witness
        && !copies.has_ledger(*job)
    {
        return Err(format!("job {job}, which copied it, was forgotten, and its digests with it"));
    }
    holds(&record.holds, &record.witness, first)
}

fn since(witness: &Witness) -> String {
    match witness {
        Witness::Copied { job, .. } => format!("job {job} completed it"),
        Witness::Verified => "`floe verify` read it".to_owned(),
        Witness::Service { job, .. } => format!("AWS completed it for job {job}"),
    }
}

fn holds(holds: &Holds, witness: &Witness, first: &Held) -> Answer {
    match holds {
        Holds::Proved(held) if held == first => Ok(match witness {
            Witness::Copied { .. } => Basis::Copied,
            Witness::Verified => Basis::Verified,
            Witness::Service { .. } => Basis::Native,
        }),
        Holds::Proved(held) => Err(format!("it holds {} ({}) as far as floe knows", held.id, held.region)),
        Holds::Claimed(held) => Err(format!("that it holds {} was claimed with --force, and never proved", held.id)),
        Holds::Torn { from, to } => Err(format!("it is half {from}, half {to}")),
    }
}

/// Whether a parent is proved to hold what a delta begins with.
///
/// # Errors
/// Refusal, unless `--force` was said.
pub(super) fn parent(
    row: &SnapshotRow,
    source: &SourcePlan,
    options: &Options,
    known: Known<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Option<Basis>> {
    let Some(first) = first(source) else { return Ok(None) };
    let own = Held { region: row.origin.region.clone(), id: row.id.clone() };
    let shown = row.address();
    let basis = match of_snapshot(row, &own, &first, known) {
        Ok(basis) => basis,
        Err(why) => {
            let proof = format!("floe verify {} {shown}", address(&first, source));
            forced(options, &shown.to_string(), &first.id, &why, &proof, findings)?
        }
    };
    findings.push(believed(basis, &shown.to_string(), &first.id));
    Ok(Some(basis))
}

fn of_snapshot(row: &SnapshotRow, own: &Held, first: &Held, known: Known<'_>) -> Answer {
    if own == first {
        return Ok(Basis::Verified);
    }
    let copies = known.copies.ok_or("nothing is known of earlier copies")?;
    let record = copies.snapshot(own).filter(|record| record.world == known.world);
    let record = record.ok_or_else(|| format!("floe has no record here that {} is a copy of {}", own.id, first.id))?;
    if let Witness::Copied { unique, job } | Witness::Service { unique, job } = &record.witness
        && !is_of_job(row, unique)
    {
        return Err(format!("its tags do not say that job {job} made it"));
    }
    holds(&record.holds, &record.witness, first)
}

/// The refusal, or with `--force` the warning.
fn forced(
    options: &Options,
    shown: &str,
    first: &SnapshotId,
    why: &str,
    proof: &str,
    findings: &mut Vec<Finding>,
) -> Result<Basis> {
    let what = format!("`{shown}` is not proved to hold {first}: {why}");
    if !options.force {
        return Err(Error::refused(what)
            .todo(format!("{proof} proves it by reading both; --force goes on, and the result is only claimed")));
    }
    findings.push(Finding { level: Level::Warning, text: format!("{what}; the result is only claimed"), todo: None });
    Ok(Basis::Forced)
}

fn believed(basis: Basis, shown: &str, first: &SnapshotId) -> Finding {
    let how = match basis {
        Basis::Copied => format!("`{shown}` holds {first}: floe copied it, and nothing touched it since"),
        Basis::Verified => format!("`{shown}` holds {first}, every block of it"),
        Basis::Native => {
            let text = format!("`{shown}` holds {first}: AWS copied it itself; it completed, and no block was read");
            return Finding { level: Level::Note, text, todo: None };
        }
        Basis::Before => format!("the job before makes what holds {first}"),
        Basis::Forced => {
            let text = format!("whether `{shown}` holds {first} is nobody's word but yours (--force)");
            return Finding { level: Level::Note, text, todo: None };
        }
    };
    Finding { level: Level::Passed, text: how, todo: None }
}

/// A delta to where there is nothing to write it onto.
pub(super) fn no_base(place: &Place, source: &SourcePlan) -> Error {
    let to = Address::NewSnapshot(place.clone());
    let (first, second) = (source.kind.base(), source.kind.snapshot());
    let name = |id: Option<&SnapshotId>| {
        let place = Place { profile: source.profile.clone(), region: source.region.clone() };
        id.map_or_else(String::new, |id| Address::Snapshot(place, id.clone()).to_string())
    };
    let id = first.map_or_else(String::new, ToString::to_string);
    Error::usage(format!("`{to}` makes a snapshot without a parent, and a delta needs one that holds {id}")).todo(
        format!("onto its copy: floe copy {} {to}snap-C+; or whole: floe copy {} {to}", source.address, name(second)),
    )
}
