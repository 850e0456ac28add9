//! What S3 has of an object: one small sparse file beside the ledger, written and read by position.
//!
//! Invariants: an upload's id is durable before anything is sent to it, and a piece's record before the ledger says that
//! its blocks are done (the keeper syncs this file first); each record has a checksum of its own, so what was never
//! written, or half, is no record.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::aws::Crc64;
use crate::error::{Error, Result};
use crate::plan::{Layout, RECORDS_HEAD, RECORDS_PART, RECORDS_UPLOAD};

const MAGIC: &[u8; 8] = b"floeobj1";
/// The plan says what the file takes on the disk, by these.
const HEADER: u64 = RECORDS_HEAD;
/// Magic, unique, destination, length, piece, gathered, CRC.
const HEAD: usize = 8 + 32 + 4 + 8 + 4 + 4 + 4;
const UPLOAD: usize = RECORDS_UPLOAD as usize;
const PART: usize = RECORDS_PART as usize;
const ETAG_MOST: usize = 72;

/// What the file belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub unique: String,
    pub dest: u32,
    pub layout: Layout,
}

/// An upload: of the object, or of the temporary object that becomes one of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The object.
    Whole,
    /// The part of that number, from 0.
    Part(u32),
}

/// Something that S3 has acknowledged: a piece, or a part that it copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// As S3 gave it.
    pub etag: String,
    pub crc: Crc64,
    /// Blocks of the source that are in it.
    pub blocks: u32,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Records {
    file: File,
    layout: Layout,
}

impl Records {
    /// Opens it, or makes it; says whether nothing was known.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn open(path: &Path, owner: &Owner) -> Result<(Self, bool)> {
        let failed = |e: &std::io::Error| Error::io(format!("could not keep {}", path.display()), e);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(|e| failed(&e))?;
        let known = is_of(&file, owner);
        let records = Self { file, layout: owner.layout };
        if !known {
            records.forget(owner).map_err(|e| failed(&e))?;
        }
        Ok((records, !known))
    }

    /// What an earlier run left, to be removed; none when it left nothing that can be read.
    pub(super) fn look(path: &Path, owner: &Owner) -> Option<Self> {
        let file = OpenOptions::new().read(true).open(path).ok()?;
        is_of(&file, owner).then_some(Self { file, layout: owner.layout })
    }

    fn forget(&self, owner: &Owner) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all_at(&head(owner), 0)?;
        self.file.sync_all()
    }

    /// Forgets everything: the upload that it was about is gone.
    pub(super) fn clear(&self, owner: &Owner) -> Result<()> {
        self.forget(owner).map_err(|e| Error::io("could not write down what S3 has of the object", &e))
    }

    /// The id of an upload that was begun.
    pub(super) fn upload(&self, of: Of) -> Result<Option<String>> {
        let mut bytes = vec![0; UPLOAD];
        if !self.read(&mut bytes, upload_at(of))? {
            return Ok(None);
        }
        let length = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
        let id = bytes.get(2..2 + length).and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default().to_owned();
        let whole = !id.is_empty() && upload_record(&id).is_some_and(|known| known[..] == bytes[..known.len()]);
        Ok(whole.then_some(id))
    }

    /// Writes down an upload, durably; none when it is gone.
    pub(super) fn set_upload(&self, of: Of, id: Option<&str>) -> Result<()> {
        let bytes = match id {
            None => vec![0; UPLOAD],
            Some(id) => upload_record(id)
                .ok_or_else(|| Error::failed("S3 gave an upload a name of more than 1,000 characters"))?,
        };
        self.write(&bytes, upload_at(of))?;
        self.sync()
    }

    /// What is known of a piece.
    pub(super) fn piece(&self, piece: u32) -> Result<Option<Kept>> {
        self.kept(self.piece_at(piece), piece)
    }

    /// Writes down what S3 has of a piece; none when it has nothing.
    pub(super) fn set_piece(&self, piece: u32, kept: Option<&Kept>) -> Result<()> {
        self.set_kept(self.piece_at(piece), piece, kept)
    }

    /// What is known of a part that S3 copied.
    pub(super) fn part(&self, part: u32) -> Result<Option<Kept>> {
        self.kept(self.part_at(part), part)
    }

    /// Writes down what S3 has of a part that it copied.
    pub(super) fn set_part(&self, part: u32, kept: Option<&Kept>) -> Result<()> {
        self.set_kept(self.part_at(part), part, kept)
    }

    /// Makes all that was written durable.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io("could not sync what S3 has of the object", &e))
    }

    fn part_at(&self, part: u32) -> u64 {
        upload_at(Of::Part(self.layout.parts())) + u64::from(part) * PART as u64
    }

    fn piece_at(&self, piece: u32) -> u64 {
        self.part_at(self.layout.parts()) + u64::from(piece) * PART as u64
    }

    fn kept(&self, at: u64, number: u32) -> Result<Option<Kept>> {
        let mut bytes = [0; PART];
        if !self.read(&mut bytes, at)? {
            return Ok(None);
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut crc = [0; 8];
        crc.copy_from_slice(&bytes[8..16]);
        let length = usize::from(bytes[4]).min(ETAG_MOST);
        let etag = std::str::from_utf8(&bytes[16..16 + length]).unwrap_or_default().to_owned();
        let kept = Kept { etag, crc: Crc64(u64::from_le_bytes(crc)), blocks: word(0) };
        Ok(record(number, &kept).filter(|known| known == &bytes).map(|_| kept))
    }

    fn set_kept(&self, at: u64, number: u32, kept: Option<&Kept>) -> Result<()> {
        let bytes = match kept {
            None => [0; PART],
            Some(kept) => record(number, kept)
                .ok_or_else(|| Error::failed(format!("S3 gave a part an ETag of more than {ETAG_MOST} characters")))?,
        };
        self.write(&bytes, at)
    }

    /// Whether there was something to read.
    fn read(&self, bytes: &mut [u8], at: u64) -> Result<bool> {
        match self.file.read_exact_at(bytes, at) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(Error::io("could not read what S3 has of the object", &e)),
        }
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.file.write_all_at(bytes, at).map_err(|e| Error::io("could not write down what S3 has of the object", &e))
    }
}

fn upload_at(of: Of) -> u64 {
    let slot = match of {
        Of::Whole => 0,
        Of::Part(part) => u64::from(part) + 1,
    };
    HEADER + slot * UPLOAD as u64
}

fn crc(parts: &[&[u8]]) -> [u8; 4] {
    let mut sum = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32IsoHdlc);
    parts.iter().for_each(|part| sum.update(part));
    u32::try_from(sum.finalize()).unwrap_or_default().to_le_bytes()
}

/// Length, id, CRC.
fn upload_record(id: &str) -> Option<Vec<u8>> {
    let length = u16::try_from(id.len()).ok().filter(|length| usize::from(*length) + 6 <= UPLOAD)?;
    let mut bytes = Vec::with_capacity(UPLOAD);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(id.as_bytes());
    let sum = crc(&[&bytes]);
    bytes.extend_from_slice(&sum);
    bytes.resize(UPLOAD, 0);
    Some(bytes)
}

/// Blocks, length of the ETag, checksum, ETag, CRC over all of it and the number.
fn record(number: u32, kept: &Kept) -> Option<[u8; PART]> {
    let length = u8::try_from(kept.etag.len()).ok().filter(|length| usize::from(*length) <= ETAG_MOST)?;
    let mut bytes = [0; PART];
    bytes[0..4].copy_from_slice(&kept.blocks.to_le_bytes());
    bytes[4] = length;
    bytes[8..16].copy_from_slice(&kept.crc.0.to_le_bytes());
    bytes[16..16 + kept.etag.len()].copy_from_slice(kept.etag.as_bytes());
    let sum = crc(&[&number.to_le_bytes(), &bytes[..PART - 4]]);
    bytes[PART - 4..].copy_from_slice(&sum);
    Some(bytes)
}

fn head(owner: &Owner) -> [u8; HEAD] {
    let mut bytes = [0; HEAD];
    bytes[..8].copy_from_slice(MAGIC);
    let unique = owner.unique.as_bytes();
    let length = unique.len().min(32);
    bytes[8..8 + length].copy_from_slice(&unique[..length]);
    bytes[40..44].copy_from_slice(&owner.dest.to_le_bytes());
    bytes[44..52].copy_from_slice(&owner.layout.length.0.to_le_bytes());
    bytes[52..56].copy_from_slice(&owner.layout.piece.to_le_bytes());
    bytes[56..60].copy_from_slice(&owner.layout.gathered.to_le_bytes());
    let sum = crc(&[&bytes[..60]]);
    bytes[60..].copy_from_slice(&sum);
    bytes
}

fn is_of(file: &File, owner: &Owner) -> bool {
    let mut bytes = [0; HEAD];
    file.read_exact_at(&mut bytes, 0).is_ok() && bytes == head(owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bytes;

    fn owner() -> Owner {
        let layout = Layout { length: Bytes::mib(100), piece: 10, gathered: 4 };
        Owner { unique: "0123456789abcdef".to_owned(), dest: 1, layout }
    }

    fn kept(blocks: u32) -> Kept {
        Kept { etag: "\"9bb58f26192e4ba00f01e2e7b136bbd8\"".to_owned(), crc: Crc64(77), blocks }
    }

    #[test]
    fn what_was_kept_comes_back_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("parts-1");
        let (records, fresh) = Records::open(&path, &owner()).unwrap();
        assert!(fresh);
        records.set_upload(Of::Whole, Some("whole")).unwrap();
        records.set_upload(Of::Part(4), Some(&"x".repeat(900))).unwrap();
        records.set_piece(19, Some(&kept(10))).unwrap();
        records.set_part(4, Some(&kept(0))).unwrap();
        records.sync().unwrap();
        drop(records);
        let (records, fresh) = Records::open(&path, &owner()).unwrap();
        assert!(!fresh);
        assert_eq!(records.upload(Of::Whole).unwrap().as_deref(), Some("whole"));
        assert_eq!(records.upload(Of::Part(4)).unwrap().map(|id| id.len()), Some(900));
        assert_eq!(records.upload(Of::Part(3)).unwrap(), None);
        assert_eq!((records.piece(19).unwrap(), records.piece(18).unwrap()), (Some(kept(10)), None));
        assert_eq!((records.part(4).unwrap(), records.part(0).unwrap()), (Some(kept(0)), None));
        records.set_upload(Of::Whole, None).unwrap();
        records.set_piece(19, None).unwrap();
        assert_eq!((records.upload(Of::Whole).unwrap(), records.piece(19).unwrap()), (None, None));
        assert!(records.set_upload(Of::Whole, Some(&"x".repeat(2000))).is_err());
    }

    #[test]
    fn another_job_and_a_damaged_record_are_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("parts-1");
        let (records, _) = Records::open(&path, &owner()).unwrap();
        records.set_piece(3, Some(&kept(7))).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[1], records.piece_at(3) + 20).unwrap();
        assert_eq!(records.piece(3).unwrap(), None);
        records.set_piece(3, Some(&kept(7))).unwrap();
        let other = Owner { dest: 2, ..owner() };
        assert!(Records::look(&path, &other).is_none() && Records::look(&path, &owner()).is_some());
        let (records, fresh) = Records::open(&path, &other).unwrap();
        assert!(fresh && records.piece(3).unwrap().is_none());
    }
}
