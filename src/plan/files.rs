//! Facts and guards of files at either end of a copy.
//!
//! Everything that would lose something is refused here, before a plan is shown; the engine checks the same
//! identity again when it opens the file.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::address::Address;
use crate::error::{Error, Result};
use crate::plan::model::{
    DestinationKind, DestinationPlan, Finding, Level, OmitZeros, Options, SourceKind, SourcePlan, Strategy,
};
use crate::units::{Bytes, Quantity};

/// Magic bytes of image formats that are not raw, with the command that makes them raw (NixOS/amis#123).
const FORMATS: [(&[u8], &str, &str); 4] = [
    (b"QFI\xfb", "qcow2", "qcow2"),
    (b"conectix", "VHD", "vpc"),
    (b"vhdxfile", "VHDX", "vhdx"),
    (b"KDMV", "VMDK", "vmdk"),
];

/// `~/x` as the shell would have it; everything else as it is; absolute either way.
fn absolute(path: &Path) -> Result<PathBuf> {
    let expanded = match path.strip_prefix("~") {
        Ok(rest) => {
            use etcetera::BaseStrategy;
            let home = etcetera::choose_base_strategy()
                .map_err(|_| Error::usage(format!("`{}`: there is no home directory", path.display())))?;
            home.home_dir().join(rest)
        }
        Err(_) => path.to_owned(),
    };
    std::path::absolute(&expanded).map_err(|e| Error::io(format!("`{}`", path.display()), &e))
}

/// Reads what pins a file as a source.
///
/// # Errors
/// Usage for what is not there, empty, a directory, a device or not a raw image.
pub(super) fn source(path: &Path, options: &Options, findings: &mut Vec<Finding>) -> Result<SourcePlan> {
    let path = absolute(path)?;
    let shown = path.display();
    let meta = fs::metadata(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::usage(format!("`{shown}` does not exist")),
        _ => Error::io(format!("`{shown}` cannot be read"), &e),
    })?;
    if meta.is_dir() {
        return Err(
            Error::usage(format!("`{shown}` is a directory, not a disk image")).todo("name the image file in it")
        );
    }
    if !meta.is_file() {
        return Err(Error::usage(format!("`{shown}` is not a regular file; devices cannot be read yet"))
            .todo("make an image of it first, from a snapshot or a frozen file system"));
    }
    if meta.len() == 0 {
        return Err(Error::usage(format!("`{shown}` is empty")));
    }
    refuse_formats(&path)?;
    findings.push(Finding { level: Level::Passed, text: format!("{shown} is a raw image"), todo: None });
    let blocks = Bytes(meta.len()).blocks();
    let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    Ok(SourcePlan {
        address: Address::Path(path.clone()),
        profile: None,
        region: None,
        account: None,
        kind: SourceKind::File {
            device: meta.dev(),
            inode: meta.ino(),
            length: Bytes(meta.len()),
            mtime_ns: nanos(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: nanos(meta.ctime(), meta.ctime_nsec()),
            path,
        },
        name: None,
        tags: options.tags.clone(),
        volume: Bytes(meta.len()),
        blocks: match options.omit_zeros {
            OmitZeros::Off => Quantity::exact(blocks),
            OmitZeros::Holes | OmitZeros::All => Quantity::at_most(blocks),
        },
    })
}

fn refuse_formats(path: &Path) -> Result<()> {
    let mut head = [0u8; 8];
    let mut file = fs::File::open(path).map_err(|e| Error::io(format!("`{}` cannot be opened", path.display()), &e))?;
    let read = file.read(&mut head).map_err(|e| Error::io(format!("`{}` cannot be read", path.display()), &e))?;
    let Some((_, name, format)) = FORMATS.iter().find(|(magic, ..)| head[..read].starts_with(magic)) else {
        return Ok(());
    };
    let raw = path.with_extension("raw");
    Err(Error::usage(format!("`{}` is a {name} image; a snapshot holds raw blocks", path.display())).todo(format!(
        "qemu-img convert -f {format} -O raw {} {}",
        path.display(),
        raw.display()
    )))
}

/// Checks that a file can be made there without losing anything.
///
/// # Errors
/// Usage for a directory; refusal for what would be overwritten, and for devices.
pub(super) fn destination(path: &Path, source: &SourcePlan, options: &Options) -> Result<DestinationPlan> {
    let path = absolute(path)?;
    let shown = path.display().to_string();
    if path.is_dir() || shown.ends_with('/') {
        let stem = source.name.clone().unwrap_or_else(|| match &source.kind {
            SourceKind::Snapshot { id, .. } => id.to_string(),
            SourceKind::File { .. } => "disk".to_owned(),
        });
        let stem: String =
            stem.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
        return Err(Error::usage(format!("`{shown}` is a directory")).todo(format!(
            "floe copy {} {}/{stem}.img",
            source.address,
            shown.trim_end_matches('/')
        )));
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    if !parent.is_dir() {
        return Err(Error::usage(format!("`{}` does not exist, so nothing can be made in it", parent.display()))
            .todo(format!("mkdir -p {}", parent.display())));
    }
    let mut replaces = false;
    if let Ok(meta) = fs::metadata(&path) {
        if meta.file_type().is_block_device() || meta.file_type().is_char_device() {
            return Err(device(&path));
        }
        if !meta.is_file() {
            return Err(Error::refused(format!("`{shown}` is neither a file nor a device")));
        }
        if let SourceKind::File { device, inode, .. } = source.kind
            && (device, inode) == (meta.dev(), meta.ino())
        {
            return Err(Error::refused(format!("`{shown}` is the source itself")));
        }
        replaces = meta.len() > 0;
        if replaces && !options.force {
            return Err(Error::refused(format!("`{shown}` exists and holds {}", Bytes(meta.len())))
                .todo("--force replaces it once the copy is complete; or name another file"));
        }
    }
    Ok(DestinationPlan {
        address: Address::Path(path.clone()),
        profile: None,
        region: None,
        account: None,
        kind: DestinationKind::File { path, length: source.volume, replaces },
        strategy: Strategy::Direct,
    })
}

fn device(path: &Path) -> Error {
    let shown = path.display();
    match mounted_at(path) {
        Some(at) => Error::refused(format!("`{shown}` is mounted at {at}: a mounted device is never written to"))
            .todo(format!("umount {at}, if nothing on it is needed")),
        None => Error::refused(format!("`{shown}` is a device; floe writes files and snapshots, devices not yet"))
            .todo("copy to a file; a file can be written to the device with dd"),
    }
}

/// Where a device, or a partition of it, is mounted.
fn mounted_at(device: &Path) -> Option<String> {
    let real = fs::canonicalize(device).unwrap_or_else(|_| device.to_owned());
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounted_in(&mounts, &real, |what| fs::canonicalize(what).ok())
}

/// The same in a given table of mounts; `resolve` follows links (`/dev/root`, `/dev/mapper/…`).
fn mounted_in(mounts: &str, real: &Path, resolve: impl Fn(&str) -> Option<PathBuf>) -> Option<String> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (what, at) = (words.next()?, words.next()?);
        let what = resolve(what)?;
        let partition = what.to_str()?.strip_prefix(real.to_str()?)?;
        let number = partition.strip_prefix('p').unwrap_or(partition);
        (number.is_empty() || number.bytes().all(|b| b.is_ascii_digit())).then(|| at.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("disk.img");
        fs::write(&path, bytes).expect("write");
        (dir, path)
    }

    #[test]
    fn a_mounted_device_is_found_by_itself_and_by_its_partitions() {
        let mounts = "/dev/root / ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/nvme1n1p2 /data xfs rw 0 0\n/dev/sdb /b ext4 rw 0 0\n";
        let resolve = |what: &str| match what {
            "/dev/root" => Some(PathBuf::from("/dev/nvme0n1p1")),
            what if what.starts_with("/dev/") => Some(PathBuf::from(what)),
            _ => None,
        };
        let at = |device: &str| mounted_in(mounts, Path::new(device), resolve);
        assert_eq!(at("/dev/nvme0n1").as_deref(), Some("/"));
        assert_eq!(at("/dev/nvme1n1").as_deref(), Some("/data"));
        assert_eq!(at("/dev/nvme1n1p2").as_deref(), Some("/data"));
        assert_eq!(at("/dev/sdb").as_deref(), Some("/b"));
        assert_eq!(at("/dev/nvme1n1p1"), None);
        assert_eq!(at("/dev/sd"), None, "sdb is no partition of it");
        assert_eq!(at("/dev/nvme2n1"), None);
    }

    #[test]
    fn only_raw_images_are_sources() {
        let (_dir, path) = image(b"QFI\xfb\0\0\0\x03");
        let error = source(&path, &Options::default(), &mut Vec::new()).expect_err("qcow2");
        assert!(error.todo.is_some_and(|t| t.starts_with("qemu-img convert -f qcow2 -O raw ")));
        let (_dir, path) = image(&[7; 5_000]);
        let plan = source(&path, &Options::default(), &mut Vec::new()).expect("raw");
        assert_eq!((plan.volume, plan.blocks.value.0), (Bytes(5_000), 1));
    }

    #[test]
    fn what_pins_a_file_survives_a_frame_to_the_engine() {
        let (_dir, path) = image(&[7; 5_000]);
        let kind = source(&path, &Options::default(), &mut Vec::new()).expect("raw").kind;
        let frame = serde_json::to_string(&kind).expect("json");
        assert_eq!(serde_json::from_str::<SourceKind>(&frame).expect("the same"), kind, "{frame}");
    }

    #[test]
    fn nothing_is_overwritten_by_accident() {
        let (dir, path) = image(b"precious");
        let (_other, from) = image(&[1; 100]);
        let from = source(&from, &Options::default(), &mut Vec::new()).expect("source");
        let refuse = |path: &Path, options: &Options| destination(path, &from, options).expect_err("refused");

        assert_eq!(refuse(&path, &Options::default()).kind.exit_code(), 5);
        let force = Options { force: true, ..Options::default() };
        assert!(destination(&path, &from, &force).is_ok());
        let directory = refuse(dir.path(), &force);
        assert_eq!(directory.kind.exit_code(), 2);
        assert!(directory.todo.is_some_and(|t| t.starts_with("floe copy ")));
        assert_eq!(refuse(&dir.path().join("no/such/disk.img"), &force).kind.exit_code(), 2);
        let itself = source(&path, &Options::default(), &mut Vec::new()).expect("source");
        assert!(destination(&path, &itself, &force).is_err(), "a file onto itself");
    }
}
