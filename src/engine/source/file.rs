//! An image file or a block device as a source: a file's holes are known without reading; a file is pinned by `stat`, a
//! device by which one it is, and held so that nobody mounts it meanwhile.
//!
//! Invariant: what is read belongs to the file that the plan saw, or the job hears that it changed (unless
//! the user allowed that). The last block is padded with zeros.
//!
//! Blocks are read past the page cache where the file system lets them (O_DIRECT), as `sink::file` writes them.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;
use rustix::fs::{SeekFrom, seek};
use tokio::sync::Semaphore;

use super::{Content, Entry, Page, Routes, Source};
use crate::engine::blocks::{Pool, Room, digest_of, zeros};
use crate::engine::call::Caller;
use crate::engine::direct::Direct;
use crate::error::{Error, Kind, Result};
use crate::ids::BlockIndex;
use crate::plan::{SourceKind, devices};
use crate::units::{BLOCK_BYTES, Bytes, Digest, ZERO_BLOCK_SHA256};

/// One open file and what the plan said of it.
#[derive(Debug)]
pub(in crate::engine) struct FileSource {
    file: Arc<Direct>,
    path: PathBuf,
    pinned: Pin,
    /// As much of it as is wanted.
    length: u64,
    holes: Holes,
    allow_changed: bool,
    turns: Semaphore,
}

/// Blocks that are read and hashed at a time. More would share the cores and the disk and end together; one after
/// the other they go out as they are ready, and the network is never idle in between.
const READS: usize = 8;

/// What becomes of holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Holes {
    /// They are listed as blocks of zeros: some destination needs them written.
    Listed,
    /// They are left out.
    LeftOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pin {
    device: u64,
    inode: u64,
    length: u64,
    mtime_ns: i64,
    ctime_ns: i64,
}

impl Pin {
    fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        if meta.file_type().is_block_device() {
            let (device, inode) = devices::which(file)?;
            return Ok(Self { device, inode, length: devices::size(file)?.0, mtime_ns: 0, ctime_ns: 0 });
        }
        let ns = |seconds: i64, part: i64| seconds.saturating_mul(1_000_000_000).saturating_add(part);
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            length: meta.len(),
            mtime_ns: ns(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: ns(meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// What differs, in words; `None` when nothing does.
    fn differs(&self, now: &Self) -> Option<&'static str> {
        if (self.device, self.inode) != (now.device, now.inode) {
            Some("another one has taken its place")
        } else if self.length != now.length {
            Some("its length changed")
        } else if self.mtime_ns != now.mtime_ns {
            Some("it was written to")
        } else if self.ctime_ns != now.ctime_ns {
            Some("its attributes changed")
        } else {
            None
        }
    }
}

impl FileSource {
    /// Opens the file that the plan pinned.
    ///
    /// # Errors
    /// It is gone, cannot be read, or is not the same any more.
    pub(in crate::engine) fn open(kind: &SourceKind, holes: Holes, allow_changed: bool) -> Result<Self> {
        let SourceKind::File { path, device, inode, length, mtime_ns, ctime_ns } = kind else {
            return Err(Error::failed("the plan's source is not a file"));
        };
        let open = || File::open(path).map_err(|e| Error::io(format!("could not open {}", path.display()), &e));
        let file = match path.metadata() {
            Ok(meta) if meta.file_type().is_block_device() => match devices::hold(path, false) {
                Err(error) if error.kind == Kind::Refused && allow_changed => open()?,
                held => held?,
            },
            _ => open()?,
        };
        let pinned = Pin { device: *device, inode: *inode, length: length.0, mtime_ns: *mtime_ns, ctime_ns: *ctime_ns };
        let (file, turns) = (Arc::new(Direct::reader(file)), Semaphore::new(READS));
        let source = Self { file, path: path.clone(), pinned, length: length.0, holes, allow_changed, turns };
        source.compare()?;
        Ok(source)
    }

    /// Only its first `length` bytes: a device may be larger than what was written to it.
    pub(in crate::engine) fn upto(self, length: Bytes) -> Self {
        Self { length: self.length.min(length.0), ..self }
    }

    /// What differs from the pinned file, and whether its length does.
    fn change(&self) -> Result<Option<(&'static str, bool)>> {
        let stat = |e: io::Error| Error::io(format!("could not look at {}", self.path.display()), &e);
        let opened = Pin::of(self.file.file()).map_err(stat)?;
        // The name is looked at as well: a file that was replaced keeps its old inode only for us.
        let named = File::open(&self.path).and_then(|file| Pin::of(&file)).map_err(stat)?;
        let change = self.pinned.differs(&opened).or_else(|| self.pinned.differs(&named));
        Ok(change.map(|change| (change, opened.length != self.pinned.length)))
    }

    fn compare(&self) -> Result<()> {
        let Some((change, shrunk)) = self.change()? else { return Ok(()) };
        if self.allow_changed && !shrunk {
            return Ok(());
        }
        Err(Error::failed(format!("{} changed since the plan was made: {change}", self.path.display()))
            .todo("make a new plan of the file as it is now, or copy a snapshot of it"))
    }
}

#[async_trait]
impl Source for FileSource {
    fn blocks(&self) -> u32 {
        u32::try_from(Bytes(self.length).blocks().0).unwrap_or(u32::MAX)
    }

    async fn page(&self, from: u32, _token: Option<&str>, max: u16) -> Result<Page> {
        self.compare()?;
        let (file, blocks, holes) = (Arc::clone(&self.file), self.blocks(), self.holes);
        let path = self.path.clone();
        let found = tokio::task::spawn_blocking(move || map(file.file(), from, blocks, max, holes)).await;
        found
            .map_err(|e| Error::failed(format!("listing a file: {e}")))?
            .map_err(|e| Error::io(format!("could not list {}", path.display()), &e))
    }

    async fn read(&self, entry: &Entry, pool: &Pool, into: &mut Room) -> Result<Digest> {
        // Its turn before its memory; nobody closes the turnstile.
        let _turn = if entry.content == Content::Hole { None } else { self.turns.acquire().await.ok() };
        pool.provide(into);
        if entry.content == Content::Hole {
            into.clear();
            into.extend_from_slice(zeros());
            return Ok(ZERO_BLOCK_SHA256);
        }
        let (file, index, mut buffer) = (Arc::clone(&self.file), entry.index, std::mem::take(&mut **into));
        let length = self.length;
        let (buffer, outcome) = tokio::task::spawn_blocking(move || {
            let outcome = read_block(&file, index, length, &mut buffer);
            let outcome = outcome.map(|()| digest_of(&buffer));
            (buffer, outcome)
        })
        .await
        .map_err(|e| Error::failed(format!("reading a file: {e}")))?;
        **into = buffer;
        outcome.map_err(|e| Error::io(format!("could not read {}", self.path.display()), &e).at_block(index))
    }

    async fn unchanged(&self) -> Result<()> {
        self.compare()
    }

    fn changed(&self) -> Option<String> {
        match self.change() {
            Ok(change) => change.map(|(change, _)| change.to_owned()),
            Err(error) => Some(error.what),
        }
    }

    fn is_mutable(&self) -> bool {
        true
    }

    fn routes(&self, _caller: &Caller) -> Option<Routes> {
        None
    }
}

/// Reads a block that lies within `length`, padded with zeros.
fn read_block(file: &Direct, index: BlockIndex, length: u64, buffer: &mut BytesMut) -> io::Result<()> {
    buffer.resize(BLOCK_BYTES as usize, 0);
    let inside = usize::try_from(length.saturating_sub(index.offset()).min(BLOCK_BYTES)).unwrap_or(0);
    file.read_exact_at(&mut buffer[..inside], index.offset())?;
    buffer[inside..].fill(0);
    Ok(())
}

/// Lists up to `max` blocks of `from..blocks` by the file system's own map of data and holes. Where there is
/// no such map (`EINVAL`, `ENOTSUP`), everything is data.
fn map(file: &File, from: u32, blocks: u32, max: u16, holes: Holes) -> io::Result<Page> {
    let mut entries = Vec::new();
    let mut at = from;
    while at < blocks && entries.len() < usize::from(max) {
        let (start, end) = next_data(file, at, blocks)?;
        let room = |entries: &Vec<Entry>| usize::from(max) - entries.len();
        if holes == Holes::Listed {
            let stop = start.min(at.saturating_add(u32::try_from(room(&entries)).unwrap_or(u32::MAX)));
            entries.extend((at..stop).map(|i| Entry { index: BlockIndex(i), content: Content::Hole }));
            at = stop;
            if at < start {
                break;
            }
        }
        at = start;
        let stop = end.min(at.saturating_add(u32::try_from(room(&entries)).unwrap_or(u32::MAX)));
        entries.extend((at..stop).map(|i| Entry { index: BlockIndex(i), content: Content::File }));
        at = stop;
    }
    Ok(Page { entries, through: at, next: None })
}

/// The next run of blocks at or after `at` that hold any data; empty at the end of the file.
fn next_data(file: &File, at: u32, blocks: u32) -> io::Result<(u32, u32)> {
    let offset = BlockIndex(at).offset();
    let block = |byte: u64| u32::try_from(byte / BLOCK_BYTES).unwrap_or(u32::MAX);
    let data = match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data,
        Err(rustix::io::Errno::NXIO) => return Ok((blocks, blocks)),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOTSUP) => return Ok((at, blocks)),
        Err(cause) => return Err(cause.into()),
    };
    let hole = seek(file, SeekFrom::Hole(data)).map_err(io::Error::from)?;
    let end = u32::try_from(hole.div_ceil(BLOCK_BYTES)).unwrap_or(u32::MAX).min(blocks);
    Ok((block(data).max(at), end))
}

/// What the plan says of a file, for tests and for plans made from a path.
///
/// # Errors
/// The file cannot be read.
pub fn pin(path: &Path) -> Result<SourceKind> {
    let file = File::open(path).map_err(|e| Error::io(format!("could not open {}", path.display()), &e))?;
    let pin = Pin::of(&file).map_err(|e| Error::io(format!("could not look at {}", path.display()), &e))?;
    Ok(SourceKind::File {
        path: path.to_owned(),
        device: pin.device,
        inode: pin.inode,
        length: Bytes(pin.length),
        mtime_ns: pin.mtime_ns,
        ctime_ns: pin.ctime_ns,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn sparse(dir: &Path) -> PathBuf {
        let path = dir.join("disk.img");
        let mut file = File::create(&path).unwrap();
        file.write_all(&[1; 10]).unwrap();
        file.seek(io::SeekFrom::Start(8 * BLOCK_BYTES)).unwrap();
        file.write_all(&[2; 700_000]).unwrap();
        file.set_len(20 * BLOCK_BYTES + 5).unwrap();
        path
    }

    fn indexes(page: &Page, content: &Content) -> Vec<u32> {
        page.entries.iter().filter(|e| e.content == *content).map(|e| e.index.0).collect()
    }

    #[tokio::test]
    async fn holes_are_left_out_or_listed_as_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let path = sparse(dir.path());
        let source = FileSource::open(&pin(&path).unwrap(), Holes::LeftOut, false).unwrap();
        assert_eq!(source.blocks(), 21);
        let page = source.page(0, None, 100).await.unwrap();
        assert_eq!((indexes(&page, &Content::File), page.through), (vec![0, 8, 9], 21));

        let source = FileSource::open(&pin(&path).unwrap(), Holes::Listed, false).unwrap();
        let mut seen = Vec::new();
        let mut from = 0;
        while from < source.blocks() {
            let page = source.page(from, None, 5).await.unwrap();
            assert!(page.entries.len() <= 5 && page.through > from);
            seen.extend(page.entries.iter().map(|e| e.index.0));
            from = page.through;
        }
        assert_eq!(seen, (0..21).collect::<Vec<_>>(), "in pages, every index once");
    }

    #[tokio::test]
    async fn the_last_block_is_padded_and_hashed_as_padded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("short.img");
        std::fs::write(&path, [7; 1000]).unwrap();
        let source = FileSource::open(&pin(&path).unwrap(), Holes::LeftOut, false).unwrap();
        let page = source.page(0, None, 100).await.unwrap();
        // One that held another block before.
        let mut buffer = Room::from(BytesMut::from(&[9; BLOCK_BYTES as usize][..]));
        let digest = source.read(&page.entries[0], &Pool::default(), &mut buffer).await.unwrap();
        assert_eq!(buffer.len() as u64, BLOCK_BYTES);
        assert!(buffer[..1000].iter().all(|b| *b == 7) && buffer[1000..].iter().all(|b| *b == 0));
        assert_eq!(digest, digest_of(&buffer));
    }

    #[tokio::test]
    async fn a_change_is_noticed_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = sparse(dir.path());
        let source = FileSource::open(&pin(&path).unwrap(), Holes::LeftOut, false).unwrap();
        source.unchanged().await.unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(30 * BLOCK_BYTES).unwrap();
        assert!(source.unchanged().await.unwrap_err().what.contains("length changed"));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"other").unwrap();
        assert!(source.unchanged().await.is_err());
    }

    #[tokio::test]
    async fn an_allowed_change_goes_on_and_labels_the_result() {
        let dir = tempfile::tempdir().unwrap();
        let path = sparse(dir.path());
        let source = FileSource::open(&pin(&path).unwrap(), Holes::LeftOut, true).unwrap();
        assert_eq!(source.changed(), None);
        let mut file = File::options().write(true).open(&path).unwrap();
        file.write_all(&[3; 10]).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        source.unchanged().await.unwrap();
        assert_eq!(source.changed().as_deref(), Some("it was written to"));
        file.set_len(1).unwrap();
        assert!(source.unchanged().await.is_err(), "what is gone cannot be read, allowed or not");
    }
}
