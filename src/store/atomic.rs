//! Files that are either the old one or the new one, never half of each.
//!
//! A write goes to a temporary file beside the target, is synced, renamed over it, and the directory is
//! synced: after a power cut the reader finds one whole version. Everything is 0600, because state names
//! accounts and ids. Used for `job.json`, caches, configuration and compacted journals.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::ailing;
use crate::error::{Error, Result};

/// Tells the temporary files of one process apart.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Replaces `path` with `bytes`, durably. A symbolic link at `path` is replaced, not followed.
///
/// # Errors
/// Names the path and the step that failed; the old file is then untouched and no temporary file stays.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut new = NewFile::create(path)?;
    new.write_all(bytes)?;
    new.commit()?;
    Ok(())
}

/// Makes the names in `dir` durable: after creating, renaming or removing a file there.
///
/// # Errors
/// The directory cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)
        .and_then(|handle| handle.sync_all())
        .map_err(|cause| Error::io(format!("could not sync the directory {}", dir.display()), &cause))
}

/// A file that is being written beside its target; dropped without [`NewFile::commit`] it vanishes.
#[derive(Debug)]
pub struct NewFile {
    file: Option<File>,
    temporary: PathBuf,
    target: PathBuf,
}

impl NewFile {
    /// Opens a temporary file (0600) in the directory of `target`.
    ///
    /// # Errors
    /// The directory does not exist or cannot be written.
    pub fn create(target: &Path) -> Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::failed(format!("{} does not name a file", target.display())))?
            .to_string_lossy();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = target.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|cause| Error::io(format!("could not create {}", temporary.display()), &cause))?;
        Ok(Self { file: Some(file), temporary, target: target.to_owned() })
    }

    /// Adds to the file.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        let temporary = &self.temporary;
        match &mut self.file {
            Some(file) => ailing::write(&self.target.to_string_lossy())
                .and_then(|()| file.write_all(bytes))
                .map_err(|c| Error::io(format!("writing {}", temporary.display()), &c)),
            None => Err(Error::failed(format!("{} was committed already", self.target.display()))),
        }
    }

    /// Syncs, renames over the target, syncs the directory; the handle goes on pointing at the new file.
    ///
    /// # Errors
    /// Names the step; the target is then the old file, or (when only the directory's sync failed) the new one.
    pub fn commit(self) -> Result<File> {
        let dir = self.target.parent().unwrap_or(Path::new(".")).to_owned();
        let file = self.replace()?;
        sync_dir(&dir)?;
        Ok(file)
    }

    /// Syncs and renames over the target; the name is durable when [`sync_dir`] has returned for its directory. For
    /// whoever goes on with the handle: the old file is gone once this has returned, whatever becomes of the directory.
    ///
    /// # Errors
    /// Names the step; the target is then the old file.
    pub fn replace(mut self) -> Result<File> {
        let target = self.target.clone();
        let during = |step: &str, cause: &std::io::Error| Error::io(format!("{step} {}", target.display()), cause);
        let Some(file) = self.file.take() else {
            return Err(Error::failed(format!("{} was committed already", target.display())));
        };
        let renamed = ailing::sync(&target.to_string_lossy())
            .and_then(|()| file.sync_all())
            .map_err(|c| during("syncing the new", &c))
            .and_then(|()| fs::rename(&self.temporary, &target).map_err(|c| during("replacing", &c)));
        if let Err(error) = renamed {
            self.file = Some(file); // dropped with self, which removes the temporary file
            return Err(error);
        }
        Ok(file)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.json");
        write(&path, b"one").unwrap();
        write(&path, b"two, longer").unwrap();
        write(&path, b"3").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"3");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_write_that_is_not_committed_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.json");
        write(&path, b"old").unwrap();
        let mut new = NewFile::create(&path).unwrap();
        new.write_all(b"half of the ne").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old", "nothing shows before the commit");
        drop(new);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_rename_that_fails_leaves_no_litter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), b"x").unwrap();
        let error = write(&path, b"new").unwrap_err();
        assert!(error.what.contains("replacing"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write(&dir.path().join("absent/file"), b"x").is_err());
    }
}
