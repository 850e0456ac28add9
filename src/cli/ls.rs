//! `floe ls`: what exists, of one region or all, filtered, as a table, JSON, CSV or bare ids.
//!
//! A region that fails is a line on stderr; the rows of the others are printed, and the exit code is 3. A region
//! that a policy closes is a line too, but no failure of the command: it is so every day.

use super::args::{Format, Ls, What};
use super::progress::Line;
use super::resolve::{Resolved, World};
use super::rows::{self, Row};
use super::{Code, say, table};
use crate::address::{Address, Place};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::inventory::{
    self, Filter, ImageRow, InstanceRow, Kind, RegionRow, Regions, Rows, SnapshotRow, Update, VolumeRow, Wanted,
};
use crate::units::grouped;

/// Where to look, and for which one.
struct Scope {
    place: Place,
    id: Option<String>,
    filter: Filter,
}

/// Lists and prints.
///
/// # Errors
/// Usage for an address or a filter that cannot be; the region's own error when none answered.
pub async fn run(args: Ls, resolved: &Resolved) -> Result<Code> {
    if args.what == What::Archives {
        return super::archives::ls(&args, resolved).await;
    }
    let scope = scope(&args)?;
    let world = resolved.open().await?;
    let kind = match args.what {
        What::Regions => return regions(&world, &scope, resolved).await,
        What::Snapshots => Kind::Snapshots,
        What::Volumes => Kind::Volumes,
        What::Images => Kind::Images,
        What::Instances => Kind::Instances,
        What::Archives => {
            return Err(Error::usage("archives are listed below a prefix").todo("floe ls archives s3://bucket/prefix/"));
        }
    };
    let session = resolved.session(&world, &scope.place).await?;
    let wanted = Wanted {
        profiles: vec![session.profile().cloned()],
        regions: if args.all_regions { Regions::All } else { Regions::Only(vec![session.region().clone()]) },
        kinds: vec![kind],
        remembered: false,
    };
    let found = match look(&world, wanted, resolved).await {
        Ok(found) => found,
        Err(error) => return Err(world.explain(&scope.place, error).await),
    };
    let failed = found.failed;
    found.print(kind, &scope, resolved)?;
    Ok(if failed { ErrorKind::Partial.exit_code() } else { 0 })
}

fn scope(args: &Ls) -> Result<Scope> {
    let filter = Filter::parse(args.filter.as_deref().unwrap_or_default(), crate::wall::now())?;
    let refused = |other: &Address| {
        Error::usage(format!("`{other}` is no place to list"))
            .todo("write [PROFILE@]REGION:, or [PROFILE@][REGION:]snap-…; --profile names a profile alone")
    };
    let (place, id) = place(args.address.as_deref(), args.all_regions, refused)?;
    Ok(Scope { place, id, filter })
}

/// A place to look at, or one thing there by its id; `refused` says why an address is neither.
///
/// # Errors
/// Usage: an address that is neither, or a region beside `--all-regions`.
pub(super) fn place(
    address: Option<&str>,
    all_regions: bool,
    refused: impl Fn(&Address) -> Error,
) -> Result<(Place, Option<String>)> {
    let (place, id) = match address.map(str::parse::<Address>).transpose()? {
        None => (Place::default(), None),
        Some(Address::NewSnapshot(place)) => (place, None),
        Some(Address::Snapshot(place, id)) => (place, Some(id.to_string())),
        Some(Address::Image(place, id)) => (place, Some(id.to_string())),
        Some(other) => return Err(refused(&other)),
    };
    if all_regions && place.region.is_some() {
        return Err(Error::usage("--all-regions and a region in the address contradict each other")
            .todo("leave one of them out"));
    }
    Ok((place, id))
}

/// What a look came to.
struct Found {
    pages: Vec<Rows>,
    failed: bool,
}

async fn look(world: &World, wanted: Wanted, resolved: &Resolved) -> Result<Found> {
    let mut updates = inventory::look(&world.aws, wanted, Some(&world.state));
    let mut line = Line::new(resolved.say);
    let mut found = Found { pages: Vec::new(), failed: false };
    let (mut rows, mut answered, mut failures) = (0, 0, Vec::new());
    while let Some(update) = updates.recv().await {
        match update {
            Update::Page(_, page) => {
                rows += page.len();
                found.pages.push(page);
            }
            Update::Done(..) => answered += 1,
            Update::Failed { origin, error, denied, .. } => {
                found.failed |= !denied;
                failures.push((origin, error));
            }
            Update::ProfileFailed(_, error) => return Err(error),
            Update::Finished => break,
            Update::Regions(..) | Update::Remembered(..) | Update::Started(..) => {}
        }
        line.show(&format!("listing: {} rows, {answered} regions done", grouped(rows as u64)));
    }
    line.clear();
    if answered == 0 && found.pages.is_empty() && failures.len() == 1 {
        // Nobody answered: the reason is the result.
        return Err(failures.remove(0).1);
    }
    for (origin, error) in &failures {
        resolved.say.warn(&format!("{}: {error}", origin.region));
    }
    match failures.pop() {
        Some((_, error)) if answered == 0 && found.pages.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// The rows of all pages, of the one kind that was asked for.
macro_rules! rows_of {
    ($kind:ident, $pages:expr) => {
        $pages.into_iter().flat_map(|page| if let Rows::$kind(rows) = page { rows } else { Vec::new() }).collect()
    };
}

impl Found {
    fn print(self, kind: Kind, scope: &Scope, resolved: &Resolved) -> Result<()> {
        match kind {
            Kind::Snapshots => print::<SnapshotRow>(rows_of!(Snapshots, self.pages), scope, resolved),
            Kind::Volumes => print::<VolumeRow>(rows_of!(Volumes, self.pages), scope, resolved),
            Kind::Images => print::<ImageRow>(rows_of!(Images, self.pages), scope, resolved),
            Kind::Instances => print::<InstanceRow>(rows_of!(Instances, self.pages), scope, resolved),
        }
    }
}

fn print<T: Row>(mut all: Vec<T>, scope: &Scope, resolved: &Resolved) -> Result<()> {
    all.retain(|row| scope.id.as_deref().is_none_or(|id| row.id() == id) && scope.filter.matches(row));
    // The order does not depend on which region answered first.
    all.sort_by(|a, b| (a.region(), a.born(), a.id()).cmp(&(b.region(), b.born(), b.id())));
    match resolved.output {
        Format::Json => table::json(&all.iter().map(Row::json).collect::<Vec<_>>()),
        Format::Csv => table::csv(T::HEADS, all.iter().map(Row::csv)),
        Format::Ids => all.iter().try_for_each(|row| say::result(row.id())),
        Format::Table | Format::Html if all.is_empty() => {
            resolved.say.note("Nothing matches.");
            Ok(())
        }
        Format::Table | Format::Html => {
            let now = crate::wall::now();
            table::print(T::COLUMNS, all.iter().map(|row| row.cells(now)))
        }
    }
}

async fn regions(world: &World, scope: &Scope, resolved: &Resolved) -> Result<Code> {
    let profile = scope.place.profile.as_ref();
    let all = world.aws.regions(profile).await?;
    let wanted = |row: &&RegionRow| {
        scope.place.region.as_ref().is_none_or(|region| row.name == *region)
            && scope.filter.matches(&rows::RegionFields(row))
    };
    let all: Vec<&RegionRow> = all.iter().filter(wanted).collect();
    match resolved.output {
        Format::Json => table::json(&all)?,
        Format::Csv => {
            table::csv(&["name", "opt_in"], all.iter().map(|row| vec![row.name.to_string(), row.opt_in.clone()]))?;
        }
        Format::Ids => all.iter().try_for_each(|row| say::result(row.name.as_str()))?,
        Format::Table | Format::Html => table::print(
            &[("region", table::Side::Left), ("short", table::Side::Left), ("state", table::Side::Left)],
            all.iter().map(|row| vec![row.name.to_string(), row.name.short(), row.opt_in.clone()]),
        )?,
    }
    Ok(0)
}
