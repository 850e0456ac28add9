//! An image file as a destination: written beside its name, renamed when it is whole.
//!
//! Invariants: the target's name never shows a part of a copy; the temporary file has its exact length from
//! the first moment and reads as zeros wherever nothing was written; a block counts as done only after a sync
//! that came after its write. A failed sync is final for its batch: the file is opened anew. Nobody else's job writes to
//! it meanwhile, nor a copy of this one under another engine: who has it holds its lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes as Buffer;
use tokio::sync::Semaphore;

use super::{Desk, Opened, Sink};
use crate::engine::blocks::lock;
use crate::engine::crash::{self, Point};
use crate::engine::direct::Direct;
use crate::engine::journal::{DestinationPicture, Step};
use crate::engine::ledger::Linear;
use crate::engine::proof::{Proof, Room, Whole, inside};
use crate::engine::protocol::{DestinationState, Evidence, Tone};
use crate::error::{Class, Error, Result};
use crate::ids::BlockIndex;
use crate::plan::Verify;
use crate::store::atomic::sync_dir;
use crate::store::copies::{FileId, Spot};
use crate::units::{Bytes, Digest, ZERO_BLOCK_SHA256};

/// Blocks written at once: 8 MiB keep any disk busy, and each one holds a thread.
pub(super) const WRITERS: usize = 16;
/// Blocks looked up in the ledger at a time, when nothing is read of them: 128 KiB of digests.
pub(super) const LOOKED_UP: usize = 4096;

/// One file. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::engine) struct FileSink(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    target: PathBuf,
    temporary: PathBuf,
    length: Bytes,
    force: bool,
    open: Mutex<Option<Arc<Handle>>>,
    /// Keeps everybody else out, as long as the job has the file.
    held: Mutex<Option<File>>,
    /// Whether what has the target's name is only taken for ours: a run ended while it completed, nothing has the temporary
    /// name, and nothing says that it was renamed but what the file holds.
    unsure: AtomicBool,
    writers: Semaphore,
}

#[derive(Debug)]
struct Handle {
    file: Direct,
    /// Whether everything unwritten is known to be a hole: blocks of zeros then need no write.
    sparse: bool,
    /// What the next sync fails with.
    #[cfg(test)]
    fails: std::sync::atomic::AtomicI32,
}

impl Handle {
    fn new(file: File, sparse: bool) -> Self {
        Self {
            file: Direct::writer(file),
            sparse,
            #[cfg(test)]
            fails: 0.into(),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.may_sync()?;
        self.file.file().sync_data()
    }

    /// Its length too.
    fn sync_all(&self) -> io::Result<()> {
        self.may_sync()?;
        self.file.file().sync_all()
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "only tests have a disk that fails")]
    const fn may_sync(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn may_sync(&self) -> io::Result<()> {
        match self.fails.swap(0, std::sync::atomic::Ordering::Relaxed) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Inner {
    fn handle(&self) -> Result<Arc<Handle>> {
        lock(&self.open).clone().ok_or_else(|| Error::failed(format!("{} is not open", self.temporary.display())))
    }

    /// The target may have appeared since the plan was made.
    fn refuse_overwriting(&self) -> Result<()> {
        if self.target.is_dir() {
            return Err(Error::usage(format!("`{}` is a directory", self.target.display())));
        }
        let held = fs::symlink_metadata(&self.target).map_or(0, |meta| meta.len());
        if held > 0 && !self.force {
            return Err(Error::refused(format!("`{}` exists and holds {}", self.target.display(), Bytes(held)))
                .todo("--force replaces it once the copy is complete; or name another file"));
        }
        Ok(())
    }

    fn make(&self) -> Result<Handle> {
        let failed = |what: &str, e: &io::Error| disk(format!("could not {what} {}", self.temporary.display()), e);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.temporary)
            .map_err(|e| failed("make", &e))?;
        self.hold()?;
        file.set_len(0).map_err(|e| failed("empty", &e))?;
        file.set_len(self.length.0).map_err(|e| failed("size", &e))?;
        file.sync_all().map_err(|e| failed("sync", &e))?;
        sync_dir(self.temporary.parent().unwrap_or(Path::new(".")))?;
        Ok(Handle::new(file, true))
    }

    /// Holds the file that has its temporary name now.
    ///
    /// # Errors
    /// A copy of this job writes to it: one of a state directory that was copied while it was in use.
    fn hold(&self) -> Result<()> {
        let failed = |what: &str, e: &io::Error| disk(format!("could not {what} {}", self.temporary.display()), e);
        let now = File::open(&self.temporary).map_err(|e| failed("open", &e))?;
        let mut held = lock(&self.held);
        if held.as_ref().is_some_and(|held| is_at(held, &self.temporary)) {
            return Ok(());
        }
        match now.try_lock() {
            Ok(()) => *held = Some(now),
            Err(TryLockError::WouldBlock) => {
                let what = format!("{} is being written by another engine", self.temporary.display());
                return Err(Error::refused(what)
                    .todo("one of the two has a copy of the other's state directory: leave the job to one of them"));
            }
            // Not every file system knows locks.
            Err(TryLockError::Error(cause)) => tracing::warn!(%cause, "{} is not locked", self.temporary.display()),
        }
        Ok(())
    }

    /// The file that was written to has its name still, and nobody cut it off.
    fn must_be_there(&self, ours: &File) -> Result<()> {
        let shown = self.temporary.display();
        let what = if !is_at(ours, &self.temporary) {
            format!("{shown} was removed or replaced while the job wrote to it")
        } else if ours.metadata().is_ok_and(|meta| meta.len() < self.length.0) {
            format!("{shown} was cut off while the job wrote to it")
        } else {
            return Ok(());
        };
        Err(Error::failed(what).todo("leave it alone until it has its name; `floe jobs resume` writes it again"))
    }

    /// What an earlier run left, when it is whole.
    fn reopen(&self) -> Result<Option<Handle>> {
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&self.temporary) else { return Ok(None) };
        self.hold()?;
        let is_whole = file.metadata().is_ok_and(|meta| meta.len() == self.length.0);
        Ok(is_whole.then(|| Handle::new(file, false)))
    }

    fn keep(&self, handle: Handle) {
        *lock(&self.open) = Some(Arc::new(handle));
    }

    /// Syncs the whole file, renames it and syncs the directory. May be repeated.
    fn rename(&self) -> Result<()> {
        let failed = |what: &str, e: &io::Error| disk(format!("could not {what} {}", self.target.display()), e);
        // What this run wrote has one of the two names, or somebody took it away; without a handle nothing was written.
        let ours = lock(&self.open).clone();
        let renamed = ours.as_ref().is_some_and(|ours| is_at(ours.file.file(), &self.target));
        if self.temporary.exists() && !renamed {
            let handle = self.handle()?;
            self.must_be_there(handle.file.file())?;
            handle.file.file().set_len(self.length.0).map_err(|e| failed("size", &e))?;
            handle.sync_all().map_err(|e| failed("sync", &e))?;
            self.refuse_overwriting()?;
            crash::here(Point::BeforeRename);
            fs::rename(&self.temporary, &self.target).map_err(|e| failed("rename", &e))?;
            crash::here(Point::AfterRename);
        } else if let Some(ours) = ours.filter(|_| !renamed) {
            self.must_be_there(ours.file.file())?;
        }
        let length = fs::metadata(&self.target).map_err(|e| failed("find", &e))?.len();
        if length != self.length.0 {
            let text = format!("{} has {length} bytes, not the {} of the volume", self.target.display(), self.length.0);
            return Err(Error::failed(text));
        }
        sync_dir(self.target.parent().unwrap_or(Path::new(".")))
    }
}

/// Whether a file that is open is the one of that name.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |meta: fs::Metadata| (meta.dev(), meta.ino());
    matches!((file.metadata().map(id), fs::metadata(path).map(id)), (Ok(ours), Ok(there)) if ours == there)
}

/// Where a destination's file is while it is not whole. `unique` names the job in any state directory: jobs of two of
/// them may have one target and the same number, and must not write into each other's files.
pub(in crate::engine) fn partial(target: &Path, unique: &str, dest: usize) -> PathBuf {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    target.with_file_name(format!(".{name}.floe-{unique}-{dest}.part"))
}

impl FileSink {
    pub(in crate::engine) fn new(unique: &str, dest: usize, target: &Path, length: Bytes, force: bool) -> Self {
        let temporary = partial(target, unique, dest);
        let (target, writers) = (target.to_owned(), Semaphore::new(WRITERS));
        let (open, held, unsure) = (Mutex::new(None), Mutex::new(None), AtomicBool::new(false));
        Self(Arc::new(Inner { target, temporary, length, force, open, held, unsure, writers }))
    }

    /// Runs `work` where blocking is allowed.
    async fn off<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|e| Error::failed(format!("work on {}: {e}", self.0.target.display())))?
    }

    /// The next sync of the file as it is open now fails with this; one that is opened anew is good again.
    #[cfg(test)]
    pub(in crate::engine) fn fail_next_sync(&self, errno: i32) {
        if let Some(handle) = &*lock(&self.0.open) {
            handle.fails.store(errno, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Whether what has the target's name is what an earlier run renamed; if not, a resume writes all of it again.
    async fn is_ours(&self, desk: &Desk) -> Result<()> {
        match self.whole(desk, self.0.target.clone()).compare().await {
            Err(error) if error.block.is_some() => {
                self.anew(desk).await?;
                let (gone, there) = (self.0.temporary.display(), self.0.target.display());
                Err(Error::failed(format!("{there} does not hold what was written to it, and {gone} is gone"))
                    .todo("`floe jobs resume` writes it again"))
            }
            compared => compared.inspect(|()| self.0.unsure.store(false, Ordering::Relaxed)),
        }
    }

    /// A resume is to write all of it again.
    async fn anew(&self, desk: &Desk) -> Result<()> {
        let attempt = desk.known().await?.attempt + 1;
        desk.step(Step::Starting { attempt, client_token: desk.client_token("file", attempt) }).await
    }

    /// The file that this run wrote to still has what was written: nobody cut it off and made it as long again.
    async fn must_have_room(&self, desk: &Desk) -> Result<()> {
        // Without a handle nothing was written, and what has the target's name is compared.
        let Some(handle) = lock(&self.0.open).clone() else { return Ok(()) };
        let (mut room, mut from) = (Room::default(), BlockIndex(0));
        loop {
            let known = desk.keeper.digests(desk.dest, from, LOOKED_UP).await?;
            let Some((last, _)) = known.last() else { return Ok(()) };
            from = BlockIndex(last.0 + 1);
            let ours = Arc::clone(&handle);
            let look = move |inner: &Inner| {
                let lost = room.first_lost(ours.file.file(), inner.length, &known);
                lost.map(|lost| (room, lost))
                    .map_err(|e| disk(format!("could not look at {}", inner.temporary.display()), &e))
            };
            let lost;
            (room, lost) = self.off(look).await?;
            if let Some(index) = lost {
                self.anew(desk).await?;
                let what = format!("{} does not hold what was written to it", self.0.temporary.display());
                return Err(Error::failed(format!("{what}: it was cut off while the job wrote to it"))
                    .at_block(index)
                    .todo("leave it alone until it has its name; `floe jobs resume` writes it again"));
            }
        }
    }

    /// The file there, to be read back.
    fn whole<'a>(&self, desk: &'a Desk, path: PathBuf) -> Whole<'a> {
        Whole { desk, path, length: self.0.length }
    }
}

/// A full disk is waited for; anything else of a disk is final.
pub(super) fn disk(what: String, cause: &io::Error) -> Error {
    let mut error = Error::io(what, cause);
    if matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        error.class = Class::Quota;
        error.todo = Some("free some space; the copy goes on by itself".to_owned());
    }
    error
}

#[async_trait]
impl Sink for FileSink {
    fn address(&self) -> String {
        self.0.target.display().to_string()
    }

    async fn open(&self, desk: &Desk, known: &DestinationPicture) -> Result<Opened> {
        let stood = known.failed_in.unwrap_or(known.state);
        if matches!(stood, DestinationState::Completing | DestinationState::Checking) {
            if let Some(handle) = self.0.reopen()? {
                self.0.keep(handle);
                return Ok(Opened::Completing);
            }
            if fs::metadata(&self.0.target).is_ok_and(|meta| meta.len() == self.0.length.0) {
                self.0.unsure.store(stood == DestinationState::Completing, Ordering::Relaxed);
                return Ok(Opened::Completing);
            }
        }
        let earlier = if known.id.is_some() { self.0.reopen()? } else { None };
        if let Some(handle) = earlier {
            self.0.keep(handle);
            desk.step(Step::Writing).await?;
            return Ok(Opened::Ready);
        }
        self.0.refuse_overwriting()?;
        let attempt = known.attempt + 1;
        if known.id.is_some() {
            let text = format!("{} is gone or cut off: everything is written again", self.0.temporary.display());
            desk.say(self.address(), text, Tone::Warning);
        }
        desk.step(Step::Starting { attempt, client_token: desk.client_token("file", attempt) }).await?;
        desk.keeper.clear(desk.dest).await?;
        let handle = self.off(Inner::make).await?;
        self.0.keep(handle);
        desk.step(Step::Started { id: self.0.temporary.display().to_string() }).await?;
        desk.step(Step::Writing).await?;
        Ok(Opened::Ready)
    }

    async fn write(&self, index: BlockIndex, data: Buffer, digest: &Digest) -> Result<()> {
        let handle = self.0.handle()?;
        if handle.sparse && *digest == ZERO_BLOCK_SHA256 {
            return Ok(());
        }
        let data = data.slice(..inside(self.0.length, index).min(data.len()));
        let _turn = self.0.writers.acquire().await;
        tokio::task::spawn_blocking(move || handle.file.write_all_at(&data, index.offset()))
            .await
            .map_err(|e| Error::failed(format!("writing a file: {e}")))?
            .map_err(|e| disk(format!("could not write {}", self.0.temporary.display()), &e).at_block(index))
    }

    fn needs_sync(&self) -> bool {
        true
    }

    fn sync(&self) -> Result<()> {
        let handle = self.0.handle()?;
        handle.sync().map_err(|e| {
            // The kernel may have dropped the pages and their error: only a new handle tells the truth again.
            *lock(&self.0.open) = self.0.reopen().ok().flatten().map(Arc::new);
            let mut error = disk(format!("could not sync {}", self.0.temporary.display()), &e);
            if error.class == Class::Permanent {
                error.class = Class::Transient;
            }
            error
        })
    }

    async fn recheck(&self, desk: &Desk) -> Result<()> {
        if self.0.unsure.load(Ordering::Relaxed) {
            return Ok(()); // compared before it is called complete
        }
        // A run that ended after the rename left it under its own name.
        let is_renamed = !self.0.temporary.exists();
        if is_renamed {
            return self.whole(desk, self.0.target.clone()).compare().await;
        }
        match self.whole(desk, self.0.temporary.clone()).compare().await {
            // Nobody has seen it yet: what was found to be wrong is written again, as soon as somebody wants that.
            Err(error) if error.block.is_some() => {
                self.anew(desk).await?;
                Err(error.todo("check this disk, and who else writes to it; `floe jobs resume` writes it again"))
            }
            compared => compared,
        }
    }

    async fn complete(&self, desk: &Desk, written: &Linear) -> Result<()> {
        desk.step(Step::Completing { blocks: written.blocks, checksum: Some(written.checksum) }).await?;
        if self.0.unsure.load(Ordering::Relaxed) {
            self.is_ours(desk).await?;
        }
        self.must_have_room(desk).await?;
        self.off(Inner::rename).await
    }

    async fn check(&self, desk: &Desk, written: &Linear) -> Result<Proof> {
        let whole = self.whole(desk, self.0.target.clone());
        match desk.verify {
            Verify::None | Verify::Listing => Ok(Evidence::Claimed.into()),
            Verify::Checksum => whole.prove(written.blocks).await.map(|()| Evidence::ReRead.into()),
            Verify::Full => Ok(Proof { evidence: Evidence::ReRead, image: whole.prove_all().await? }),
        }
    }

    fn spot(&self) -> Result<Option<Spot>> {
        let path = self.0.target.clone();
        let id = FileId::of(&path).map_err(|e| disk(format!("could not look at {}", path.display()), &e))?;
        Ok(Some(Spot::File { path, id }))
    }

    async fn discard(&self, _desk: &Desk, _known: &DestinationPicture) -> Result<()> {
        *lock(&self.0.open) = None;
        if self.0.temporary.exists() {
            self.0.hold()?;
        }
        match fs::remove_file(&self.0.temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(disk(format!("could not remove {}", self.0.temporary.display()), &e))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::engine::blocks::{Pool, digest_of};
    use crate::units::BLOCK_BYTES;

    fn made(dir: &Path, length: u64) -> FileSink {
        let sink = FileSink::new("0123456789abcdef", 0, &dir.join("disk.img"), Bytes(length), false);
        sink.0.keep(sink.0.make().unwrap());
        sink
    }

    fn block(pool: &Pool, fill: u8) -> BytesMut {
        let mut block = pool.take();
        block.resize(BLOCK_BYTES as usize, fill);
        block
    }

    #[tokio::test]
    async fn aligned_blocks_an_odd_end_and_holes_make_one_file() {
        let (dir, pool) = (tempfile::tempdir().unwrap(), Pool::default());
        let length = 3 * BLOCK_BYTES + 1000;
        let sink = made(dir.path(), length);
        for (index, fill) in [(3, 3), (0, 1)] {
            let data = block(&pool, fill).freeze();
            let digest = digest_of(&data);
            sink.write(BlockIndex(index), data, &digest).await.unwrap();
        }
        // A buffer that begins anywhere, as one that did not come from the pool.
        let crooked = Buffer::from(vec![2; BLOCK_BYTES as usize + 1]).slice(1..);
        let digest = digest_of(&crooked);
        sink.write(BlockIndex(1), crooked, &digest).await.unwrap();
        sink.sync().unwrap();
        sink.0.rename().unwrap();
        let found = fs::read(dir.path().join("disk.img")).unwrap();
        assert_eq!(found.len() as u64, length);
        for (at, piece) in found.chunks(BLOCK_BYTES as usize).enumerate() {
            assert!(piece.iter().all(|byte| *byte == [1, 2, 0, 3][at]), "block {at}");
        }
    }

    #[tokio::test]
    async fn after_a_sync_that_failed_the_file_is_another_handle() {
        let (dir, pool) = (tempfile::tempdir().unwrap(), Pool::default());
        let sink = made(dir.path(), BLOCK_BYTES);
        let before = sink.0.handle().unwrap();
        for (errno, class) in [(5, Class::Transient), (28, Class::Quota)] {
            sink.fail_next_sync(errno);
            let error = sink.sync().unwrap_err();
            assert_eq!(error.class, class, "{error}");
            assert!(!Arc::ptr_eq(&before, &sink.0.handle().unwrap()), "the old one may tell no errors any more");
        }
        let data = block(&pool, 9).freeze();
        sink.write(BlockIndex(0), data.clone(), &digest_of(&data)).await.unwrap();
        sink.sync().unwrap();
        sink.0.rename().unwrap();
        assert!(fs::read(dir.path().join("disk.img")).unwrap() == data);
    }

    /// A file has its name once the disk has all of it, and not before.
    #[tokio::test]
    async fn a_file_that_the_disk_does_not_have_yet_is_not_given_its_name() {
        let (dir, pool) = (tempfile::tempdir().unwrap(), Pool::default());
        let sink = made(dir.path(), BLOCK_BYTES);
        let data = block(&pool, 9).freeze();
        sink.write(BlockIndex(0), data.clone(), &digest_of(&data)).await.unwrap();
        sink.fail_next_sync(5);
        let error = sink.0.rename().unwrap_err();
        assert!(error.what.contains("could not sync"), "{error}");
        assert!(!dir.path().join("disk.img").exists());
        sink.0.rename().unwrap();
        assert!(fs::read(dir.path().join("disk.img")).unwrap() == data);
    }
}
