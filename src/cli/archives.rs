//! `floe ls archives s3://bucket/prefix/`: the archives under a prefix, by their manifests.

use super::args::{Format, Ls};
use super::resolve::Resolved;
use super::table::{self, Side};
use super::{Code, say};
use crate::address::Address;
use crate::error::{Error, Result};
use crate::inventory::archives::{self, ArchiveRow};
use crate::plan;

/// Lists and prints.
///
/// # Errors
/// Usage for an address that is no prefix in S3; else as classified.
pub(super) async fn ls(args: &Ls, resolved: &Resolved) -> Result<Code> {
    let wrong = |what: String| Err(Error::usage(what).todo("write floe ls archives [PROFILE@]s3://bucket/prefix/"));
    if args.filter.is_some() || args.all_regions {
        return wrong("archives are listed by prefix: --filter and --all-regions do not count for them".to_owned());
    }
    let (profile, bucket, prefix) = match args.address.as_deref().map(str::parse::<Address>).transpose()? {
        Some(Address::Archive(profile, bucket, prefix)) => (profile, bucket, prefix),
        Some(object @ Address::Object(..)) => {
            return Err(Error::usage(format!("`{object}` is an object; a prefix ends with a slash"))
                .todo(format!("did you mean `{object}/`? Then write floe ls archives {object}/")));
        }
        Some(other) => return wrong(format!("`{other}` is no prefix in S3")),
        None => return wrong("archives lie in a bucket, and none is named".to_owned()),
    };
    let world = resolved.open().await?;
    let session = plan::bucket_session(&world.aws, profile.as_ref(), &bucket).await?;
    if resolved.sandbox.is_none() {
        resolved.limits.check_account(session.account())?;
    }
    let rows = archives::list(session.s3(), &bucket, &prefix).await?;
    match resolved.output {
        Format::Json => table::json(&rows)?,
        Format::Csv => table::csv(&HEADS, rows.iter().map(plain))?,
        Format::Ids => rows.iter().try_for_each(|row| say::result(&row.address))?,
        Format::Table | Format::Html if rows.is_empty() => say::stderr("Nothing matches."),
        Format::Table | Format::Html => table::print(
            &[
                ("archive", Side::Left),
                ("kind", Side::Left),
                ("volume", Side::Right),
                ("blocks", Side::Right),
                ("stored", Side::Right),
                ("made", Side::Left),
                ("onto", Side::Left),
            ],
            rows.iter().map(cells),
        )?,
    }
    for row in &rows {
        if let Some(trouble) = &row.trouble {
            resolved.say.warn(&format!("{}: {trouble}", row.address));
        }
    }
    Ok(0)
}

const HEADS: [&str; 9] = ["address", "id", "kind", "base", "volume_bytes", "blocks", "stored_bytes", "made", "source"];

fn plain(row: &ArchiveRow) -> Vec<String> {
    let text = |value: Option<String>| value.unwrap_or_default();
    vec![
        row.address.clone(),
        row.id.clone(),
        row.kind.clone(),
        text(row.base.as_ref().map(ToString::to_string)),
        text(row.volume_bytes.map(|bytes| bytes.0.to_string())),
        text(row.blocks.map(|blocks| blocks.0.to_string())),
        text(row.stored_bytes.map(|bytes| bytes.0.to_string())),
        text(row.made.map(|made| made.to_string())),
        text(row.source.clone()),
    ]
}

fn cells(row: &ArchiveRow) -> Vec<String> {
    let or = |value: Option<String>| value.unwrap_or_else(|| "?".to_owned());
    vec![
        row.id.clone(),
        row.kind.clone(),
        or(row.volume_bytes.map(|bytes| bytes.to_string())),
        or(row.blocks.map(|blocks| blocks.to_string())),
        or(row.stored_bytes.map(|bytes| bytes.to_string())),
        or(row.made.map(|made| made.strftime("%Y-%m-%d %H:%M").to_string())),
        row.base.as_ref().map(ToString::to_string).unwrap_or_default(),
    ]
}
