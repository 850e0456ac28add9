//! The state directory: where jobs, caches, the audit log and the sandbox's world live.
//!
//! Private (0700), made on demand, and refused with a sentence when it cannot be written.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::ailing;
use crate::error::{Error, Result};
use crate::ids::JobId;

/// The state directory, opened. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Opens `root`, or the default of the XDG rules (`~/.local/state/floe`), making it when it is missing.
    ///
    /// # Errors
    /// When it cannot be made or written; the remedy names `--state-dir`.
    pub fn open(root: Option<&Path>) -> Result<Self> {
        let root = match root {
            Some(root) => {
                std::path::absolute(root).map_err(|e| Error::io(format!("state directory {}", root.display()), &e))?
            }
            None => default_root()?,
        };
        make_private(&root)?;
        let probe = root.join(format!(".probe-{}", std::process::id()));
        fs::write(&probe, b"").map_err(|e| unwritable(&root, &e))?;
        let _ = fs::remove_file(&probe);
        Ok(Self { root })
    }

    /// Whether there is room for a few lines: what an engine needs to come up.
    ///
    /// # Errors
    /// There is none, or it cannot be written for another reason.
    pub fn has_room(&self) -> Result<()> {
        let probe = self.root.join(format!(".probe-{}", std::process::id()));
        let written = ailing::write(&probe.to_string_lossy()).and_then(|()| fs::write(&probe, [0; 4096]));
        let _ = fs::remove_file(&probe);
        written.map_err(|e| unwritable(&self.root, &e))
    }

    /// The same directory seen by the embedded AWS: jobs and caches of the sandbox never mix with real ones.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn sandbox(&self) -> Result<Self> {
        let root = self.root.join("sandbox");
        make_private(&root)?;
        Ok(Self { root })
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where all jobs live.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn jobs(&self) -> Result<PathBuf> {
        let path = self.root.join("jobs");
        make_private(&path)?;
        Ok(path)
    }

    /// Where one job lives (not made here).
    #[must_use]
    pub fn job(&self, job: JobId) -> PathBuf {
        self.root.join("jobs").join(job.to_string())
    }

    /// Where lists and prices are remembered.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn cache(&self) -> Result<PathBuf> {
        let path = self.root.join("cache");
        make_private(&path)?;
        Ok(path)
    }
}

fn default_root() -> Result<PathBuf> {
    use etcetera::BaseStrategy;
    let base = etcetera::choose_base_strategy().map_err(|_| {
        Error::usage("there is no home directory to keep state in").todo("name one with --state-dir DIR")
    })?;
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    Ok(state.join("floe"))
}

fn make_private(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| unwritable(path, &e))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|e| unwritable(path, &e))
}

fn unwritable(path: &Path, cause: &std::io::Error) -> Error {
    let error = Error::io(format!("the state directory {} cannot be written", path.display()), cause);
    match error.is_full_disk() {
        true => error.todo("free some space there, or name another with --state-dir DIR"),
        false => error.todo("name another with --state-dir DIR, or mend its owner and mode"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_private_and_says_when_it_cannot_be_used() -> Result<()> {
        let dir = tempfile::tempdir().map_err(|e| Error::io("temp", &e))?;
        let state = StateDir::open(Some(&dir.path().join("a/b")))?;
        let mode = fs::metadata(state.root()).map_err(|e| Error::io("stat", &e))?.permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(state.sandbox()?.root().starts_with(state.root()));

        fs::write(dir.path().join("file"), b"x").map_err(|e| Error::io("write", &e))?;
        let error = StateDir::open(Some(&dir.path().join("file/state"))).expect_err("a file is no directory");
        assert!(error.todo.is_some_and(|t| t.contains("--state-dir")));
        Ok(())
    }
}
