//! Facts and guards of block devices at either end of a copy.
//!
//! Invariants: what is mounted or held by anybody is never written to, and read only when that is allowed; a device
//! with anything in its first or last MiB is replaced only when asked to. The engine looks again, and holds the device
//! exclusively from then on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, SeekFrom, major, minor, seek};

use crate::address::Address;
use crate::error::{Error, Result};
use crate::plan::files::planned;
use crate::plan::model::{DestinationKind, DestinationPlan, Finding, Level, Options, SourceKind, SourcePlan, Strategy};
use crate::units::{Bytes, Digest};

/// How much of either end of a device is looked at for something that would be lost.
const LOOKED_AT: u64 = 1024 * 1024;

/// Which device that is, whatever its name is after the next boot: (device, inode) of [`SourceKind::File`].
///
/// # Errors
/// It cannot be looked at.
pub fn which(file: &File) -> io::Result<(u64, u64)> {
    let number = file.metadata()?.rdev();
    let sys = sys(number);
    let read = |path: &str| fs::read_to_string(sys.join(path)).ok().map(|text| text.trim().to_owned());
    let part = read("partition");
    let whole = if part.is_some() { ".." } else { "." };
    let serial = ["device/serial", "device/wwid", "wwid"].iter().find_map(|name| read(&format!("{whole}/{name}")));
    Ok(match serial.filter(|serial| !serial.is_empty()) {
        Some(serial) => {
            let digest = Digest::of(format!("{serial}/{}", part.unwrap_or_default()).as_bytes());
            (0, digest.0[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        }
        None => (number, read(&format!("{whole}/diskseq")).and_then(|seq| seq.parse().ok()).unwrap_or(0)),
    })
}

/// Its size in bytes.
///
/// # Errors
/// As the system says.
pub fn size(file: &File) -> io::Result<Bytes> {
    Ok(Bytes(seek(file, SeekFrom::End(0))?))
}

/// Opens a device so that nobody mounts or takes it meanwhile; refused when somebody has it already.
///
/// # Errors
/// Refused, naming who has it; or as the system says.
pub fn hold(path: &Path, writes: bool) -> Result<File> {
    let exclusive = i32::try_from(OFlags::EXCL.bits()).unwrap_or_default();
    let shown = path.display();
    OpenOptions::new().read(true).write(writes).custom_flags(exclusive).open(path).map_err(|e| match e.kind() {
        io::ErrorKind::ResourceBusy => held(path, writes),
        io::ErrorKind::PermissionDenied => Error::io(format!("`{shown}` cannot be opened"), &e)
            .todo("devices belong to root: run floe as a user who may open it"),
        _ => Error::io(format!("`{shown}` cannot be opened"), &e),
    })
}

/// Who has it, as far as the system tells.
fn held(path: &Path, writes: bool) -> Error {
    let (shown, holder) = (path.display(), holder(path));
    let never = if writes { ": a device in use is never written to" } else { ": it changes while it is read" };
    match (holder, writes) {
        (Some(Holder::Mount(at)), true) => Error::refused(format!("`{shown}` is mounted at {at}{never}"))
            .todo(format!("umount {at}, if nothing on it is needed")),
        (Some(Holder::Mount(at)), false) => Error::refused(format!("`{shown}` is mounted at {at}{never}"))
            .todo(format!("umount {at}; or --allow-changed copies it as it is, torn perhaps; or snapshot the volume")),
        (Some(Holder::Device(name)), _) => Error::refused(format!("`{shown}` is a part of {name}{never}"))
            .todo(format!("copy {name} itself, or stop it (LVM, RAID, multipath)")),
        (Some(Holder::Swap), _) => {
            Error::refused(format!("`{shown}` is swap space in use{never}")).todo(format!("swapoff {shown}"))
        }
        (None, _) => Error::refused(format!("`{shown}` is held by another program{never}"))
            .todo(format!("lsblk {shown}; fuser -v {shown}")),
    }
}

enum Holder {
    Mount(String),
    Device(String),
    Swap,
}

fn holder(path: &Path) -> Option<Holder> {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let read = |name: &str| fs::read_to_string(name).unwrap_or_default();
    if let Some(at) = used_in(&read("/proc/self/mounts"), &real, |what| fs::canonicalize(what).ok()) {
        return Some(Holder::Mount(at));
    }
    if used_in(&read("/proc/swaps"), &real, |what| fs::canonicalize(what).ok()).is_some() {
        return Some(Holder::Swap);
    }
    let holders = fs::read_dir(sys(fs::metadata(path).ok()?.rdev()).join("holders")).ok()?;
    let name = holders.flatten().next()?.file_name();
    Some(Holder::Device(format!("/dev/{}", name.to_string_lossy())))
}

fn sys(number: u64) -> PathBuf {
    PathBuf::from(format!("/sys/dev/block/{}:{}", major(number), minor(number)))
}

/// Where a device, or a partition of it, is used by a table whose lines begin with the device and a place; `resolve`
/// follows links (`/dev/root`, `/dev/mapper/…`).
fn used_in(table: &str, real: &Path, resolve: impl Fn(&str) -> Option<PathBuf>) -> Option<String> {
    table.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (what, at) = (words.next()?, words.next()?);
        let what = resolve(what)?;
        let partition = what.to_str()?.strip_prefix(real.to_str()?)?;
        let number = partition.strip_prefix('p').unwrap_or(partition);
        (number.is_empty() || number.bytes().all(|b| b.is_ascii_digit())).then(|| at.to_owned())
    })
}

/// Reads what pins a device as a source.
///
/// # Errors
/// Refused while somebody has it, unless that is allowed; or it cannot be read.
pub(super) fn source(path: &Path, options: &Options, findings: &mut Vec<Finding>) -> Result<SourcePlan> {
    let shown = path.display();
    let file = match hold(path, false) {
        Err(error) if error.kind == crate::error::Kind::Refused && options.allow_changed => {
            findings.push(Finding {
                level: Level::Warning,
                text: format!("{}; what is written to it meanwhile may be torn", error.what),
                todo: Some("freeze its file system first (fsfreeze), or copy a snapshot of the volume".to_owned()),
            });
            File::open(path).map_err(|e| Error::io(format!("`{shown}` cannot be opened"), &e))?
        }
        held => {
            findings.push(Finding {
                level: Level::Passed,
                text: format!("{shown} is a device that nobody has mounted"),
                todo: None,
            });
            held?
        }
    };
    let failed = |e: io::Error| Error::io(format!("`{shown}` cannot be looked at"), &e);
    let length = size(&file).map_err(failed)?;
    if length == Bytes::ZERO {
        return Err(Error::usage(format!("`{shown}` has no medium: its size is 0")));
    }
    let (device, inode) = which(&file).map_err(failed)?;
    let kind = SourceKind::File { path: path.to_owned(), device, inode, length, mtime_ns: 0, ctime_ns: 0 };
    Ok(planned(path.to_owned(), kind, length, options))
}

/// Checks that a device can be written to without losing anything that is not meant to go.
///
/// # Errors
/// Refused for what is in use, read-only, or holds something without `--force`; usage when it is too small.
pub(super) fn destination(path: PathBuf, source: &SourcePlan, options: &Options) -> Result<DestinationPlan> {
    let shown = path.display().to_string();
    let file = hold(&path, true)?;
    let failed = |e: io::Error| Error::io(format!("`{shown}` cannot be looked at"), &e);
    let size = size(&file).map_err(failed)?;
    if size < source.volume {
        let text = format!("`{shown}` holds {size}, and {} is {}", source.address, source.volume);
        return Err(Error::usage(text).todo("name a device that is at least as large"));
    }
    let (device, inode) = which(&file).map_err(failed)?;
    if matches!(source.kind, SourceKind::File { device: d, inode: i, .. } if (d, i) == (device, inode)) {
        return Err(Error::refused(format!("`{shown}` is the source itself")));
    }
    if !options.force && holds_something(&file, size).map_err(failed)? {
        return Err(Error::refused(format!("`{shown}` is not empty: there is something at its start or its end"))
            .todo(format!("lsblk -f {shown}; --force overwrites it")));
    }
    let kind = DestinationKind::Device { path: path.clone(), length: source.volume, size, device, inode };
    Ok(DestinationPlan {
        address: Address::Path(path),
        profile: None,
        region: None,
        account: None,
        kind,
        strategy: Strategy::Direct,
    })
}

/// Whether there is anything where partition tables, boot loaders and file systems begin, or where copies of them end.
fn holds_something(file: &File, size: Bytes) -> io::Result<bool> {
    let length = usize::try_from(size.0.min(LOOKED_AT)).unwrap_or_default();
    let mut bytes = vec![0; length];
    for at in [0, size.0 - length as u64] {
        file.read_exact_at(&mut bytes, at)?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_device_is_found_by_itself_and_by_its_partitions() {
        let mounts = "/dev/root / ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/nvme1n1p2 /data xfs rw 0 0\n/dev/sdb /b ext4 rw 0 0\n";
        let resolve = |what: &str| match what {
            "/dev/root" => Some(PathBuf::from("/dev/nvme0n1p1")),
            what if what.starts_with("/dev/") => Some(PathBuf::from(what)),
            _ => None,
        };
        let at = |device: &str| used_in(mounts, Path::new(device), resolve);
        assert_eq!(at("/dev/nvme0n1").as_deref(), Some("/"));
        assert_eq!(at("/dev/nvme1n1").as_deref(), Some("/data"));
        assert_eq!(at("/dev/nvme1n1p2").as_deref(), Some("/data"));
        assert_eq!(at("/dev/sdb").as_deref(), Some("/b"));
        assert_eq!(at("/dev/nvme1n1p1"), None);
        assert_eq!(at("/dev/sd"), None, "sdb is no partition of it");
        assert_eq!(at("/dev/nvme2n1"), None);
    }
}
