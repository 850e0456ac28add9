//! One open file, read and written past the page cache where its file system lets us (O_DIRECT).
//!
//! A cached image pushes everything else out of memory, and fetching and clearing pages for it costs several times
//! the transfer itself. What is not aligned (the end of a file of an odd length) and file systems without O_DIRECT
//! go through the cache; the kernel keeps both views of a file the same.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use super::blocks::is_aligned;

/// A file and, while that works, its other description past the cache.
#[derive(Debug)]
pub(super) struct Direct {
    file: File,
    past: Option<File>,
    refused: AtomicBool,
}

impl Direct {
    /// For reading.
    pub(super) fn reader(file: File) -> Self {
        let past = past_the_cache(&file, OpenOptions::new().read(true));
        Self { file, past, refused: AtomicBool::new(false) }
    }

    /// For writing.
    pub(super) fn writer(file: File) -> Self {
        let past = past_the_cache(&file, OpenOptions::new().write(true));
        Self { file, past, refused: AtomicBool::new(false) }
    }

    /// The file itself, through the cache.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.past(data)
            .and_then(|past| self.unless_refused(past.write_all_at(data, offset)))
            .unwrap_or_else(|| self.file.write_all_at(data, offset))
    }

    pub(super) fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.past(into)
            .and_then(|past| self.unless_refused(past.read_exact_at(into, offset)))
            .unwrap_or_else(|| self.file.read_exact_at(into, offset))
    }

    /// The way past the cache, when these bytes can take it.
    fn past(&self, data: &[u8]) -> Option<&File> {
        self.past.as_ref().filter(|_| is_aligned(data) && !self.refused.load(Ordering::Relaxed))
    }

    /// `None` when it has to go through the cache after all: some file systems open a file so and refuse what
    /// follows, or want larger units than a page.
    fn unless_refused(&self, outcome: io::Result<()>) -> Option<io::Result<()>> {
        match outcome {
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
                self.refused.store(true, Ordering::Relaxed);
                None
            }
            outcome => Some(outcome),
        }
    }
}

/// The same file, opened once more: by its descriptor, since its name may mean another one by now. `None` where files
/// cannot be opened so.
#[cfg(target_os = "linux")]
fn past_the_cache(file: &File, options: &mut OpenOptions) -> Option<File> {
    use std::os::fd::AsRawFd;
    let flags = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
    options.custom_flags(flags).open(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

#[cfg(not(target_os = "linux"))]
fn past_the_cache(_: &File, _: &mut OpenOptions) -> Option<File> {
    None
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::engine::blocks::Pool;
    use crate::units::BLOCK_BYTES;

    const BLOCK: usize = BLOCK_BYTES as usize;

    fn block(fill: u8) -> BytesMut {
        let mut block = Pool::default().take();
        block.resize(BLOCK, fill);
        block
    }

    fn made() -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        (dir, file)
    }

    #[test]
    fn a_file_system_that_refuses_it_is_written_and_read_through_the_cache() {
        let (dir, file) = made();
        let mut direct = Direct::writer(file);
        // Writing to what is open for reading fails as surely as a refusal; only a refusal is gone around.
        direct.past = Some(File::open(dir.path().join("disk.img")).unwrap());
        assert!(direct.write_all_at(&block(5), 0).is_err(), "other errors are errors");
        direct.refused.store(true, Ordering::Relaxed);
        direct.write_all_at(&block(5), BLOCK_BYTES).unwrap();
        let mut found = block(0);
        direct.read_exact_at(&mut found, BLOCK_BYTES).unwrap();
        assert!(found.iter().all(|byte| *byte == 5));
    }

    #[test]
    fn aligned_and_crooked_pieces_make_one_file_and_read_alike() {
        let (_dir, file) = made();
        let direct = Direct::writer(file.try_clone().unwrap());
        direct.write_all_at(&block(1), 0).unwrap();
        let crooked = vec![2; BLOCK + 1];
        direct.write_all_at(&crooked[1..], BLOCK_BYTES).unwrap();
        direct.write_all_at(&[3; 1000], 2 * BLOCK_BYTES).unwrap();
        let reader = Direct::reader(file);
        for (offset, length, fill) in [(0, BLOCK, 1), (BLOCK_BYTES, BLOCK, 2), (2 * BLOCK_BYTES, 1000, 3)] {
            let mut found = block(9);
            reader.read_exact_at(&mut found[..length], offset).unwrap();
            assert!(found[..length].iter().all(|byte| *byte == fill), "at {offset}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_took_the_name_meanwhile_is_not_the_one_that_is_read() {
        let (dir, file) = made();
        file.write_all_at(&block(1), 0).unwrap();
        let path = dir.path().join("disk.img");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, block(7)).unwrap();
        let mut found = block(0);
        Direct::reader(file).read_exact_at(&mut found, 0).unwrap();
        assert!(found.iter().all(|byte| *byte == 1));
    }
}
