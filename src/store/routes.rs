//! What jobs took on a route: how many blocks in how many seconds, and how long a request was on its way.
//!
//! One small file in the state directory, written when a job ends, read when a plan is made: the next job from there to
//! there will be about as fast. Invariants: only whole, uncut runs are kept; of each route the last [`RUNS_MOST`], of
//! all routes the [`ROUTES_MOST`] that were used last; what cannot be read is nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StateDir, atomic};
use crate::error::{Error, Result};
use crate::units::Blocks;

const VERSION: u32 = 1;
/// Runs of one route: the spread of eight says more than that of one, and older ones say less about now.
const RUNS_MOST: usize = 8;
/// Routes that are kept.
const ROUTES_MOST: usize = 256;

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// Blocks moved.
    pub blocks: Blocks,
    /// Seconds of the whole job.
    pub seconds: f64,
    /// Of these, seconds in which blocks moved: the rest is what start and end took. 0 where that was not kept.
    #[serde(default)]
    pub moving: f64,
    /// Whether its user held its lanes back: then its rate says nothing of what the route bears.
    #[serde(default)]
    pub capped: bool,
    /// Median of a read, milliseconds; 0 where nothing was read over a network.
    pub get_ms: f32,
    /// Median of a write.
    pub put_ms: f32,
    /// Lanes at the end.
    pub lanes: u32,
    /// When it ended.
    pub at: Timestamp,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    version: u32,
    routes: BTreeMap<String, Vec<Past>>,
}

/// All routes of one state directory. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    path: PathBuf,
}

impl Routes {
    /// Those of a state directory.
    #[must_use]
    pub fn of(state: &StateDir) -> Self {
        Self::at(state.root())
    }

    /// The same, by where it is.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { path: root.join("routes.json") }
    }

    fn read(&self) -> File {
        let file = std::fs::read(&self.path).ok().and_then(|text| serde_json::from_slice::<File>(&text).ok());
        file.filter(|file| file.version == VERSION).unwrap_or(File { version: VERSION, routes: BTreeMap::new() })
    }

    /// Runs of a route, the newest first.
    #[must_use]
    pub fn past(&self, route: &str) -> Vec<Past> {
        self.read().routes.remove(route).unwrap_or_default()
    }

    /// Keeps one more run. Two engines that end jobs in the same moment may lose one of the two: it is an aid.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, route: &str, run: Past) -> Result<()> {
        let mut file = self.read();
        let runs = file.routes.entry(route.to_owned()).or_default();
        runs.insert(0, run);
        runs.truncate(RUNS_MOST);
        while file.routes.len() > ROUTES_MOST {
            let oldest = file.routes.iter().min_by_key(|(_, runs)| runs.first().map(|run| run.at));
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { break };
            file.routes.remove(&name);
        }
        let text = serde_json::to_vec(&file).map_err(|e| Error::failed(format!("routes cannot be written: {e}")))?;
        atomic::write(&self.path, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_runs_come_first_and_their_number_is_bounded() {
        let dir = tempfile::tempdir().expect("a directory");
        let routes = Routes::at(dir.path());
        assert!(routes.past("a").is_empty());
        for n in 0..12 {
            let at = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(n);
            let blocks = Blocks(u64::try_from(n).expect("a count"));
            let run = Past { blocks, seconds: 1.0, moving: 0.9, capped: false, get_ms: 1.0, put_ms: 1.0, lanes: 1, at };
            routes.keep("a", run).expect("kept");
        }
        let past = routes.past("a");
        assert_eq!((past.len(), past[0].blocks), (RUNS_MOST, Blocks(11)));
        assert!(routes.past("b").is_empty());
        std::fs::write(dir.path().join("routes.json"), b"{}").expect("written");
        assert!(routes.past("a").is_empty());
    }
}
