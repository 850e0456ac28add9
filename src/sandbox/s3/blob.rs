//! The bytes of objects: pieces in memory, in sparse files, or of a pattern that costs nothing, shared by whatever
//! copies them.
//!
//! Invariant: a blob never changes; a copy of a part of it is a list of the same pieces. A file goes when the last
//! blob that names it does, unless the sandbox itself ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::sandbox::synth::mix;

/// What a pattern consists of: noise, chosen by seed and position.
pub const TILE: u64 = 1 << 20;
const TILES: u64 = 4;
/// Bodies up to this stay in memory until they are kept.
const SMALL: usize = 256 * 1024;
/// What is looked at for being all zeros, and then not written.
const HOLE: usize = 64 * 1024;

static NOISE: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    (0..TILES)
        .map(|seed| {
            let mut tile = vec![0; TILE as usize];
            fastrand::Rng::with_seed(seed + 77).fill(&mut tile);
            Bytes::from(tile)
        })
        .collect()
});
static ZEROS: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; TILE as usize]));

/// Whether these bytes are a whole tile, by where they lie.
pub fn is_tile(chunk: &[u8]) -> bool {
    chunk.len() as u64 == TILE && NOISE.iter().chain([&*ZEROS]).any(|tile| std::ptr::eq(tile.as_ptr(), chunk.as_ptr()))
}

/// A file of the sandbox's own. It is opened when it is read: there may be more objects than descriptors.
#[derive(Debug)]
pub struct DataFile {
    path: PathBuf,
    alive: Weak<()>,
}

impl Drop for DataFile {
    fn drop(&mut self) {
        if self.alive.strong_count() > 0 {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl DataFile {
    /// One that an earlier process wrote.
    ///
    /// # Errors
    /// It is gone.
    pub fn open(dir: &Path, name: &str, alive: &Arc<()>) -> io::Result<Arc<Self>> {
        let path = dir.join(name);
        std::fs::metadata(&path)?;
        Ok(Arc::new(Self { path, alive: Arc::downgrade(alive) }))
    }

    fn create(dir: &Path, alive: &Weak<()>) -> io::Result<(Self, File)> {
        let path = dir.join(uuid::Uuid::new_v4().simple().to_string());
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok((Self { path, alive: alive.clone() }, file))
    }
}

#[derive(Debug, Clone)]
enum Place {
    Memory(Bytes),
    File(Arc<DataFile>),
    Pattern(u64),
    Zeros,
}

#[derive(Debug, Clone)]
struct Piece {
    place: Place,
    from: u64,
    length: u64,
}

/// A piece as it is saved; with neither file nor pattern it is zeros.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedPiece {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pattern: Option<u64>,
    from: u64,
    length: u64,
}

impl SavedPiece {
    /// The name of its file.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}

/// Bytes that do not change.
#[derive(Debug, Clone, Default)]
pub struct Blob {
    pieces: Vec<Piece>,
    length: u64,
}

impl From<Bytes> for Blob {
    fn from(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        Self::piece(Place::Memory(bytes), length)
    }
}

impl Blob {
    fn piece(place: Place, length: u64) -> Self {
        let pieces = if length == 0 { Vec::new() } else { vec![Piece { place, from: 0, length }] };
        Self { pieces, length }
    }

    /// `length` bytes of noise that `seed` names.
    #[must_use]
    pub fn pattern(seed: u64, length: u64) -> Self {
        Self::piece(Place::Pattern(seed), length)
    }

    /// `length` zeros.
    #[must_use]
    pub fn zeros(length: u64) -> Self {
        Self::piece(Place::Zeros, length)
    }

    /// The same with what is in memory in a file of `dir`.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn kept(self, dir: Option<&Path>, alive: &Arc<()>) -> io::Result<Self> {
        let Some(dir) = dir.filter(|_| self.pieces.iter().any(|piece| matches!(piece.place, Place::Memory(_)))) else {
            return Ok(self);
        };
        let mut spool = Spool::new(Some(dir), alive);
        spool.spill()?;
        for chunk in self.chunks() {
            spool.write(&chunk?)?;
        }
        spool.finish()
    }

    /// How long it is.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends another.
    pub fn join(&mut self, other: &Self) {
        for piece in &other.pieces {
            self.push(piece.clone());
        }
    }

    /// Appends a piece; one that goes on where the last ended makes that longer.
    fn push(&mut self, piece: Piece) {
        self.length += piece.length;
        if let Some(last) = self.pieces.last_mut() {
            let goes_on = match (&last.place, &piece.place) {
                (Place::File(a), Place::File(b)) => Arc::ptr_eq(a, b) && last.from + last.length == piece.from,
                (Place::Pattern(a), Place::Pattern(b)) => a == b && last.from + last.length == piece.from,
                (Place::Zeros, Place::Zeros) => true,
                _ => false,
            };
            if goes_on {
                last.length += piece.length;
                return;
            }
        }
        self.pieces.push(piece);
    }

    /// A part of it.
    #[must_use]
    pub fn part(&self, from: u64, length: u64) -> Self {
        let end = from.saturating_add(length).min(self.length);
        let (mut at, mut part) = (0, Self::default());
        for piece in &self.pieces {
            let (start, stop) = (from.max(at), end.min(at + piece.length));
            if start < stop {
                part.push(Piece { from: piece.from + (start - at), length: stop - start, place: piece.place.clone() });
            }
            at += piece.length;
        }
        part
    }

    /// Its bytes, in chunks of at most [`TILE`] that are not copied where they are in memory.
    pub fn chunks(&self) -> impl Iterator<Item = io::Result<Bytes>> + '_ {
        let (mut number, mut at) = (0, 0);
        std::iter::from_fn(move || self.step(&mut number, &mut at))
    }

    /// The same of a blob that is given away.
    pub fn into_chunks(self) -> impl Iterator<Item = io::Result<Bytes>> + Send + Sync + 'static {
        let (mut number, mut at) = (0, 0);
        std::iter::from_fn(move || self.step(&mut number, &mut at))
    }

    /// The chunk at offset `at` of piece `number`, and on to the next.
    fn step(&self, number: &mut usize, at: &mut u64) -> Option<io::Result<Bytes>> {
        let piece = self.pieces.get(*number)?;
        let start = piece.from + *at;
        let length = (TILE - start % TILE).min(piece.length - *at);
        let chunk = piece.read(start, length);
        *at += length;
        if *at >= piece.length {
            (*number, *at) = (*number + 1, 0);
        }
        Some(chunk)
    }

    /// All of it, where it is no longer than `most`.
    ///
    /// # Errors
    /// It is longer, or could not be read.
    pub fn whole(&self, most: u64) -> io::Result<Bytes> {
        if self.length > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut all = BytesMut::new();
        for chunk in self.chunks() {
            all.extend_from_slice(&chunk?);
        }
        Ok(all.freeze())
    }

    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.pieces.iter().filter_map(|piece| match &piece.place {
            Place::File(file) => Some(file.path.as_path()),
            _ => None,
        })
    }

    /// As it is saved; `None` when some of it is only in memory.
    #[must_use]
    pub fn saved(&self) -> Option<Vec<SavedPiece>> {
        self.pieces
            .iter()
            .map(|piece| {
                let (file, pattern) = match &piece.place {
                    Place::Memory(_) => return None,
                    Place::File(file) => (Some(file.path.file_name()?.to_str()?.to_owned()), None),
                    Place::Pattern(seed) => (None, Some(*seed)),
                    Place::Zeros => (None, None),
                };
                Some(SavedPiece { file, pattern, from: piece.from, length: piece.length })
            })
            .collect()
    }

    /// A saved one, whose files `open` finds: the same file is opened once.
    ///
    /// # Errors
    /// A file is gone.
    pub fn load(saved: &[SavedPiece], mut open: impl FnMut(&str) -> io::Result<Arc<DataFile>>) -> io::Result<Self> {
        let mut blob = Self::default();
        for piece in saved {
            let place = match (&piece.file, piece.pattern) {
                (Some(name), _) => Place::File(open(name)?),
                (None, Some(seed)) => Place::Pattern(seed),
                (None, None) => Place::Zeros,
            };
            blob.push(Piece { place, from: piece.from, length: piece.length });
        }
        Ok(blob)
    }
}

impl Piece {
    fn read(&self, at: u64, length: u64) -> io::Result<Bytes> {
        let usable = |n: u64| usize::try_from(n).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        match &self.place {
            Place::Memory(bytes) => Ok(bytes.slice(usable(at)?..usable(at + length)?)),
            Place::File(file) => {
                let mut bytes = vec![0; usable(length)?];
                File::open(&file.path)?.read_exact_at(&mut bytes, at)?;
                Ok(Bytes::from(bytes))
            }
            Place::Pattern(seed) => {
                let tile = &NOISE[usable(mix(*seed, at / TILE) % TILES)?];
                let from = usable(at % TILE)?;
                Ok(tile.slice(from..from + usable(length)?))
            }
            Place::Zeros => Ok(ZEROS.slice(..usable(length)?)),
        }
    }
}

/// A blob that is being written: in memory while it is small, then in a file with holes where zeros are.
#[derive(Debug)]
pub struct Spool {
    dir: Option<PathBuf>,
    alive: Weak<()>,
    small: BytesMut,
    file: Option<(DataFile, File)>,
    length: u64,
}

impl Spool {
    /// An empty one; with no `dir` it stays in memory.
    #[must_use]
    pub fn new(dir: Option<&Path>, alive: &Arc<()>) -> Self {
        let (dir, alive) = (dir.map(Path::to_owned), Arc::downgrade(alive));
        Self { dir, alive, small: BytesMut::new(), file: None, length: 0 }
    }

    /// How much was written.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing was.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Writes on.
    ///
    /// # Errors
    /// The disk failed.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.small.len() + bytes.len() > SMALL {
            self.spill()?;
        }
        match &self.file {
            None => self.small.extend_from_slice(bytes),
            Some((_, file)) => write_sparse(file, bytes, self.length)?,
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Goes on in a file, where there is a directory for it.
    fn spill(&mut self) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let (data, file) = DataFile::create(dir, &self.alive)?;
        write_sparse(&file, &self.small, 0)?;
        self.small = BytesMut::new();
        self.file = Some((data, file));
        Ok(())
    }

    /// What was written.
    ///
    /// # Errors
    /// The disk failed.
    pub fn finish(self) -> io::Result<Blob> {
        match self.file {
            None => Ok(self.small.freeze().into()),
            Some((data, file)) => {
                file.set_len(self.length)?;
                Ok(Blob::piece(Place::File(Arc::new(data)), self.length))
            }
        }
    }
}

fn write_sparse(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    for (number, piece) in bytes.chunks(HOLE).enumerate() {
        if piece != &ZEROS[..piece.len()] {
            file.write_all_at(piece, at + (number * HOLE) as u64)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use proptest::prelude::*;

    use super::*;

    fn bytes(blob: &Blob) -> Vec<u8> {
        blob.chunks().flat_map(|chunk| chunk.unwrap().to_vec()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn cutting_and_joining_is_the_identity(
            cuts in prop::collection::vec(0u64..2_500_000, 0..6), noise in 0u64..1_500_000, zeros in 0u64..1_200_000
        ) {
            let mut whole = Blob::pattern(9, noise);
            whole.join(&Blob::zeros(zeros));
            whole.join(&Blob::from(Bytes::from_static(b"tail")));
            let length = noise + zeros + 4;
            let mut cuts: Vec<u64> = cuts.into_iter().map(|cut| cut.min(length)).chain([0, length]).collect();
            cuts.sort_unstable();
            let mut joined = Blob::default();
            for pair in cuts.windows(2) {
                joined.join(&whole.part(pair[0], pair[1] - pair[0]));
            }
            prop_assert_eq!(joined.len(), length);
            prop_assert!(bytes(&joined) == bytes(&whole));
        }
    }

    #[test]
    fn a_file_goes_with_the_last_blob_that_names_it_and_is_found_again_until_then() {
        let (dir, alive) = (tempfile::tempdir().unwrap(), Arc::new(()));
        let blob = Blob::from(Bytes::from_static(b"hello world")).kept(Some(dir.path()), &alive).unwrap();
        let part = blob.part(6, 100);
        assert_eq!((bytes(&part), part.len()), (b"world".to_vec(), 5));
        let saved = part.saved().unwrap();
        let again = Blob::load(&saved, |name| DataFile::open(dir.path(), name, &Arc::new(()))).unwrap();
        assert_eq!(bytes(&again), b"world");
        drop(again);
        drop(blob);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "the part still needs it");
        drop(part);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_spool_keeps_what_is_small_in_memory_and_zeros_as_holes() {
        let (dir, alive) = (tempfile::tempdir().unwrap(), Arc::new(()));
        let mut spool = Spool::new(Some(dir.path()), &alive);
        spool.write(&[7; 1000]).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "small");
        for _ in 0..128 {
            spool.write(&[0; HOLE]).unwrap();
        }
        spool.write(b"end").unwrap();
        let blob = spool.finish().unwrap();
        let file = blob.files().next().unwrap().metadata().unwrap();
        assert_eq!((file.len(), blob.len()), (1003 + 128 * HOLE as u64, 1003 + 128 * HOLE as u64));
        assert!(file.blocks() * 512 < 1 << 20, "{} blocks of a file that is nearly all holes", file.blocks());
        let all = bytes(&blob);
        assert!(all.starts_with(&[7; 1000]) && all[1000..all.len() - 3].iter().all(|byte| *byte == 0));
        assert!(all.ends_with(b"end"));
        let mut given_up = Spool::new(Some(dir.path()), &alive);
        given_up.write(&vec![1; SMALL + 1]).unwrap();
        drop((given_up, blob));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left of what was given up");
    }
}
