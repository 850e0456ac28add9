//! Directories of FAT, as far as their first cluster goes: the label of a volume, and who put a boot loader there.

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::raw::Raw;
use super::view::View;
use crate::error::Result;

/// Bytes of one directory that are read: 1,024 entries.
const MOST: u64 = 32 * 1024;
const LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
/// An entry of a long name has all of these.
const LONG: u8 = 0x0F;

/// Where things are, in bytes from the start of the volume.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub root: u64,
    pub root_bytes: u64,
    /// Cluster 2 starts here.
    pub data: u64,
    pub cluster: u64,
}

/// One file or directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: String,
    pub is_directory: bool,
    cluster: u32,
}

impl Layout {
    /// Where the first cluster of an entry is.
    fn place(&self, entry: &Entry) -> Option<u64> {
        let nth = u64::from(entry.cluster).checked_sub(2)?;
        nth.checked_mul(self.cluster)?.checked_add(self.data)
    }
}

/// The label that the root directory has, and when it was set.
pub(super) async fn label(view: &View<'_>, layout: &Layout) -> Result<Option<(String, Option<Timestamp>)>> {
    let bytes = view.at_most(layout.root, length(layout.root_bytes)).await?;
    let found = records(&bytes).find(|record| record.u8(11).is_some_and(|kind| kind & LONG == LABEL));
    Ok(found.and_then(|record| Some((record.text(0, 11)?, time(record.u16(22)?, record.u16(24)?)))))
}

/// What the root directory holds.
pub(super) async fn root(view: &View<'_>, layout: &Layout) -> Result<Vec<Entry>> {
    Ok(entries(&view.at_most(layout.root, length(layout.root_bytes)).await?))
}

/// What a directory holds, in its first cluster.
pub(super) async fn within(view: &View<'_>, layout: &Layout, entry: &Entry) -> Result<Vec<Entry>> {
    match layout.place(entry).filter(|_| entry.is_directory) {
        Some(at) => Ok(entries(&view.at_most(at, length(layout.cluster)).await?)),
        None => Ok(Vec::new()),
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes.min(MOST)).unwrap_or_default()
}

/// Records up to the first that was never used, without those that were deleted.
fn records(bytes: &[u8]) -> impl Iterator<Item = Raw<'_>> {
    bytes.chunks_exact(32).take_while(|record| record[0] != 0).filter(|record| record[0] != 0xE5).map(Raw)
}

fn entries(bytes: &[u8]) -> Vec<Entry> {
    let (mut out, mut long) = (Vec::new(), Vec::<String>::new());
    for record in records(bytes) {
        let Some(kind) = record.u8(11) else { break };
        if kind & LONG == LONG {
            // The parts of a long name stand before their entry, the last part first.
            let parts = [record.wide(1, 5), record.wide(14, 6), record.wide(28, 2)];
            long.push(parts.into_iter().flatten().collect::<String>().replace('\u{FFFF}', ""));
            continue;
        }
        let whole: String = long.drain(..).rev().collect();
        let name = if whole.is_empty() { short(record) } else { Some(whole) };
        let (Some(name), Some(high), Some(low)) = (name, record.u16(20), record.u16(26)) else { continue };
        if kind & LABEL == 0 && !matches!(name.as_str(), "." | "..") {
            let cluster = u32::from(high) << 16 | u32::from(low);
            out.push(Entry { name, is_directory: kind & DIRECTORY != 0, cluster });
        }
    }
    out
}

/// Eight letters and three, which two bits make small.
fn short(record: Raw<'_>) -> Option<String> {
    let small = record.u8(12)?;
    let cased = |text: String, bit: u8| if small & bit == 0 { text } else { text.to_ascii_lowercase() };
    let name = cased(record.text(0, 8)?, 0x08);
    Some(match record.text(8, 3) {
        Some(end) => format!("{name}.{}", cased(end, 0x10)),
        None => name,
    })
}

/// A date and a time of DOS, which knows no zone: taken as UTC.
fn time(time: u16, date: u16) -> Option<Timestamp> {
    let part = |from: u16, bits: u16| (from & ((1 << bits) - 1)).cast_signed();
    let small = |value: i16| i8::try_from(value).ok();
    let (year, month, day) = (1980 + part(date >> 9, 7), small(part(date >> 5, 4))?, small(part(date, 5))?);
    let (hour, minute, second) = (small(part(time >> 11, 5))?, small(part(time >> 5, 6))?, small(part(time, 5) * 2)?);
    let at = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    at.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp())
}
