//! LVM2 physical volumes: the label in one of the first four sectors, the metadata's text behind it, and the logical
//! volumes that the text names (`lib/format_text/layout.h`).

use super::lvm_text::{self, Section};
use super::model::{Content, Kind, Volume};
use super::raw::Raw;
use super::view::{MOST_BYTES, View};
use crate::error::Result;
use crate::units::Bytes;

const SECTOR: u64 = 512;
/// What a metadata area begins with, after its sum.
const MAGIC: &[u8] = b" LVM2 x[5A%r0N*>";
/// Areas of the label's lists that are looked at.
const AREAS: usize = 16;
/// Logical volumes that are shown.
const MOST_VOLUMES: usize = 128;

/// Which logical volume lies in one piece where: its place in the list, its start and its length.
pub(super) type Places = Vec<(usize, (Bytes, Bytes))>;

pub(super) async fn read(view: &View<'_>, front: Raw<'_>) -> Result<Option<(Content, Places)>> {
    let Some(label) = (0..4usize).map(|n| front.from(n * 512)).find(|sector| sector.is(0, b"LABELONE")) else {
        return Ok(None);
    };
    if !label.is(24, b"LVM2 001") {
        return Ok(None);
    }
    let header = label.from(label.u32(20).and_then(|at| usize::try_from(at).ok()).unwrap_or(32).min(480));
    let Some(id) = header.text(0, 32).filter(|id| id.len() == 32) else { return Ok(None) };
    let mut out = Content { uuid: Some(dashed(&id)), ..Content::new(Kind::Lvm) };
    out.bytes = header.u64(32).filter(|bytes| *bytes > 0).map(Bytes);
    let mut places = Places::new();
    match text(view, header).await? {
        Some(text) => match lvm_text::parse(&text) {
            Some(root) => group(&root, &dashed(&id), view.bytes(), &mut out, &mut places),
            None => out.notes.push("its metadata cannot be read".to_owned()),
        },
        None => out.notes.push("it belongs to no group, or keeps no metadata".to_owned()),
    }
    Ok(Some((out, places)))
}

/// The text that the first metadata area holds now.
async fn text(view: &View<'_>, header: Raw<'_>) -> Result<Option<String>> {
    // Two lists of (offset, length), each ended by a zero: data areas, then metadata areas.
    let pair = |n: usize| Some((header.u64(40 + 16 * n)?, header.u64(48 + 16 * n)?));
    let Some(end) = (0..AREAS).find(|n| pair(*n).is_none_or(|(offset, _)| offset == 0)) else { return Ok(None) };
    let Some((area, _)) = pair(end + 1).filter(|(offset, _)| *offset > 0) else { return Ok(None) };
    let Some(bytes) = view.exactly(area, 512).await? else { return Ok(None) };
    let head = Raw(&bytes);
    if !head.is(4, MAGIC) {
        return Ok(None);
    }
    let (Some(size), Some(offset), Some(length)) = (head.u64(32), head.u64(40), head.u64(48)) else { return Ok(None) };
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    if offset < SECTOR || offset >= size || length == 0 || length > MOST_BYTES {
        return Ok(None);
    }
    // The area is a ring whose first sector is the header.
    let straight = usize::try_from(size - offset).unwrap_or(usize::MAX).min(length);
    let Some(at) = area.checked_add(offset) else { return Ok(None) };
    let Some(mut text) = view.exactly(at, straight).await? else { return Ok(None) };
    if straight < length {
        let Some(rest) = view.exactly(area.saturating_add(SECTOR), length - straight).await? else { return Ok(None) };
        text.extend(rest);
    }
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// Takes the group's name, its volumes, and where they lie on the physical volume `id`.
fn group(root: &Section, id: &str, disk: Bytes, out: &mut Content, places: &mut Places) {
    let Some((name, group)) = root.sections().next() else {
        out.notes.push("its metadata names no group".to_owned());
        return;
    };
    out.label = Some(name.to_owned());
    let extent = group.number("extent_size").and_then(|sectors| sectors.checked_mul(SECTOR)).unwrap_or_default();
    let disks = group.section("physical_volumes");
    let here = disks.and_then(|all| all.sections().find(|(_, one)| one.text("id") == Some(id)));
    let count = disks.map_or(0, |all| all.sections().count());
    if count > 1 {
        out.notes.push(format!("one of {count} physical volumes of {name}"));
    }
    let first = here.and_then(|(_, one)| one.number("pe_start")?.checked_mul(SECTOR));
    let volumes = group.section("logical_volumes");
    for (name, volume) in volumes.into_iter().flat_map(Section::sections).take(MOST_VOLUMES) {
        let segments: Vec<&Section> =
            volume.sections().filter(|(name, _)| name.starts_with("segment")).map(|(_, one)| one).collect();
        let extents = segments.iter().filter_map(|one| one.number("extent_count")).fold(0, u64::saturating_add);
        let bytes = Bytes(extents.saturating_mul(extent));
        if let ([one], Some((alias, _)), Some(first)) = (segments.as_slice(), here, first)
            && let Some(start) = start(one, alias, extent, first).filter(|start| start.0 < disk.0)
        {
            places.push((out.volumes.len(), (start, bytes)));
        }
        out.volumes.push(Volume { name: name.to_owned(), bytes, content: None });
    }
}

/// Where a volume of one plain segment starts on this disk.
fn start(segment: &Section, alias: &str, extent: u64, first: u64) -> Option<Bytes> {
    if segment.text("type") != Some("striped") || segment.number("stripe_count") != Some(1) {
        return None;
    }
    let [disk, at] = segment.list("stripes")? else { return None };
    (disk == alias).then_some(())?;
    at.parse::<u64>().ok()?.checked_mul(extent)?.checked_add(first).map(Bytes)
}

/// 32 letters as LVM shows them: 6-4-4-4-4-4-6.
fn dashed(id: &str) -> String {
    let letters: Vec<char> = id.chars().take(32).collect();
    let (mut out, mut at) = (String::with_capacity(38), 0);
    for length in [6, 4, 4, 4, 4, 4, 6] {
        if at > 0 {
            out.push('-');
        }
        out.extend(letters.iter().skip(at).take(length));
        at += length;
    }
    out
}
