//! Facts and guards of files at either end of a copy.
//!
//! Everything that would lose something is refused here, before a plan is shown; the engine checks the same
//! identity again when it opens the file.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::address::Address;
use crate::error::{Error, Result};
use crate::plan::devices;
use crate::plan::model::{
    DestinationKind, DestinationPlan, Finding, Level, OmitZeros, Options, SourceKind, SourcePlan, Strategy,
};
use crate::units::{Bytes, Quantity};

/// Magic bytes of image formats that are not raw, with qemu's name of the format (NixOS/amis#123).
const FORMATS: [(&[u8], &str, &str); 6] = [
    (b"QFI\xfb", "qcow2", "qcow2"),
    (VHD, "VHD", "vpc"),
    (b"vhdxfile", "VHDX", "vhdx"),
    (b"KDMV", "VMDK", "vmdk"),
    (b"# Disk DescriptorFile", "VMDK", "vmdk"),
    (b"<<< Oracle VM VirtualBox Disk Image", "VDI", "vdi"),
];
/// A dynamic VHD has it in front, a fixed one only in its last 512 bytes.
const VHD: &[u8] = b"conectix";
/// Compressed files, with the command that makes an image of them.
const COMPRESSED: [(&[u8], &str); 3] =
    [(b"\x1f\x8b\x08", "gunzip"), (b"\xfd7zXZ\0", "unxz"), (b"\x28\xb5\x2f\xfd", "unzstd")];

/// `~/x` as the shell would have it; everything else as it is; absolute either way.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
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
        std::io::ErrorKind::NotFound => Error::usage(format!("`{shown}` does not exist"))
            .todo("look at the path; a snapshot is written REGION:snap-ID, an object s3://bucket/key"),
        _ => Error::io(format!("`{shown}` cannot be read"), &e),
    })?;
    if meta.is_dir() {
        return Err(
            Error::usage(format!("`{shown}` is a directory, not a disk image")).todo("name the image file in it")
        );
    }
    if meta.file_type().is_block_device() {
        return devices::source(&path, options, findings);
    }
    if !meta.is_file() {
        return Err(Error::usage(format!("`{shown}` is neither a file nor a block device")));
    }
    if meta.len() == 0 {
        return Err(Error::usage(format!("`{shown}` is empty")));
    }
    refuse_formats(&path)?;
    unfinished(&path, findings)?;
    findings.push(Finding { level: Level::Passed, text: format!("{shown} is a raw image"), todo: None });
    let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    let kind = SourceKind::File {
        device: meta.dev(),
        inode: meta.ino(),
        length: Bytes(meta.len()),
        mtime_ns: nanos(meta.mtime(), meta.mtime_nsec()),
        ctime_ns: nanos(meta.ctime(), meta.ctime_nsec()),
        path: path.clone(),
    };
    Ok(planned(path, kind, Bytes(meta.len()), options))
}

/// What a job of floe's makes beside the name that it will have: its length is right from the first moment, and its blocks
/// come in any order.
fn unfinished(path: &Path, findings: &mut Vec<Finding>) -> Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !(name.starts_with('.') && name.contains(".floe-") && name.ends_with(".part")) {
        return Ok(());
    }
    let shown = path.display();
    let file = fs::File::open(path).map_err(|e| Error::io(format!("`{shown}` cannot be opened"), &e))?;
    if matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)) {
        return Err(Error::refused(format!("`{shown}` is being written by a job of floe's"))
            .todo("wait until it has its name: floe jobs watch"));
    }
    let text = format!("{shown} is what a job of floe's has not finished: blocks that it lacks read as zeros");
    let todo = Some("floe jobs resume finishes it; then copy it by its name".to_owned());
    findings.push(Finding { level: Level::Warning, text, todo });
    Ok(())
}

/// The plan of what lies on this machine.
pub(super) fn planned(path: PathBuf, kind: SourceKind, length: Bytes, options: &Options) -> SourcePlan {
    SourcePlan {
        address: Address::Path(path),
        profile: None,
        region: None,
        account: None,
        kind,
        name: None,
        tags: options.tags.clone(),
        volume: length,
        class: None,
        blocks: match options.omit_zeros {
            OmitZeros::Off => Quantity::exact(length.blocks()),
            OmitZeros::Holes | OmitZeros::All => Quantity::at_most(length.blocks()),
        },
    }
}

/// What bytes from both ends of something show it to be, when that is no raw image.
pub(super) fn format_of(head: &[u8], last: &[u8]) -> Option<&'static str> {
    if COMPRESSED.iter().any(|(magic, _)| head.starts_with(magic)) {
        return Some("compressed");
    }
    let fixed = last.starts_with(VHD);
    FORMATS.iter().find(|(magic, ..)| head.starts_with(magic) || fixed && *magic == VHD).map(|(_, name, _)| *name)
}

fn refuse_formats(path: &Path) -> Result<()> {
    let shown = path.display();
    let mut head = [0u8; 64];
    let mut file = fs::File::open(path).map_err(|e| Error::io(format!("`{shown}` cannot be opened"), &e))?;
    let failed = |e: std::io::Error| Error::io(format!("`{shown}` cannot be read"), &e);
    let read = file.read(&mut head).map_err(failed)?;
    let head = &head[..read];
    if let Some((_, command)) = COMPRESSED.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(Error::usage(format!("`{shown}` is compressed; a snapshot holds raw blocks"))
            .todo(format!("{command} --keep {shown}")));
    }
    let foot = file.metadata().map_err(failed)?.len().saturating_sub(512);
    let mut last = [0u8; 8];
    let fixed = foot > 0 && file.read_exact_at(&mut last, foot).is_ok() && last == *VHD;
    let format = FORMATS.iter().find(|(magic, ..)| head.starts_with(magic) || fixed && *magic == VHD);
    let Some((_, name, format)) = format else { return Ok(()) };
    let raw = path.with_extension("raw");
    Err(Error::usage(format!("`{shown}` is a {name} image; a snapshot holds raw blocks"))
        .todo(format!("qemu-img convert -f {format} -O raw {shown} {}", raw.display())))
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
            SourceKind::Snapshot { id, .. } | SourceKind::Delta { second: id, .. } => id.to_string(),
            SourceKind::Archive { snapshot: Some(id), .. } => id.to_string(),
            SourceKind::Fsp { snapshot, .. } => snapshot.to_string(),
            SourceKind::Image { id, .. } => id.to_string(),
            SourceKind::File { .. }
            | SourceKind::Archive { .. }
            | SourceKind::Object { .. }
            | SourceKind::Prefix { .. } => "disk".to_owned(),
        });
        let stem: String =
            stem.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
        return Err(Error::usage(format!("`{shown}` is a directory")).todo(format!(
            "floe copy {} {}/{stem}.img",
            source.address,
            shown.trim_end_matches('/')
        )));
    }
    let there = match fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        // A loop of links, a name that is too long, a directory that may not be entered.
        there => Some(there.map_err(|e| Error::usage(format!("`{shown}` cannot be a file: {e}")))?),
    };
    if there.as_ref().is_some_and(|meta| meta.file_type().is_block_device()) {
        return devices::destination(path, source, options);
    }
    let path = behind_links(path);
    let parent = path.parent().unwrap_or(Path::new("/"));
    if !parent.is_dir() {
        return Err(Error::usage(format!("`{}` does not exist, so nothing can be made in it", parent.display()))
            .todo(format!("mkdir -p {}", parent.display())));
    }
    let mut replaces = false;
    if let Some(meta) = there {
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
        kind: DestinationKind::File { path, length: source.volume, replaces, onto: None },
        strategy: Strategy::Direct,
    })
}

/// Links that lead to links: as many as the kernel follows.
const LINKS: usize = 40;

/// Where a file of that name really is. The image is made beside it and takes its place: in the place of the link it would
/// be on another disk than the one that was meant, and what the link leads to would stay as it was.
fn behind_links(path: PathBuf) -> PathBuf {
    let mut real = path.clone();
    for _ in 0..LINKS {
        let Ok(to) = fs::read_link(&real) else { return real };
        real = real.parent().unwrap_or(Path::new("/")).join(to);
    }
    path
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
    fn only_raw_images_are_sources() {
        let (_dir, path) = image(b"QFI\xfb\0\0\0\x03");
        let error = source(&path, &Options::default(), &mut Vec::new()).expect_err("qcow2");
        assert!(error.todo.is_some_and(|t| t.starts_with("qemu-img convert -f qcow2 -O raw ")));
        let fixed = [vec![0; 5_000], [VHD, &[0; 504]].concat()].concat();
        for (bytes, command) in [
            (&b"vhdxfile"[..], "qemu-img convert -f vhdx "),
            (b"conectix\0\0", "qemu-img convert -f vpc "),
            (&fixed, "qemu-img convert -f vpc "),
            (b"KDMV\x01", "qemu-img convert -f vmdk "),
            (b"# Disk DescriptorFile\nversion=1", "qemu-img convert -f vmdk "),
            (b"\x1f\x8b\x08\0\0", "gunzip --keep "),
        ] {
            let (_dir, path) = image(bytes);
            let error = source(&path, &Options::default(), &mut Vec::new()).expect_err("not raw");
            assert!(error.todo.as_deref().is_some_and(|todo| todo.starts_with(command)), "{error:?}");
        }
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
        let ring = dir.path().join("ring");
        std::os::unix::fs::symlink(&ring, &ring).expect("a link onto itself");
        assert_eq!(refuse(&ring, &force).kind.exit_code(), 2);
        assert_eq!(refuse(&dir.path().join("x".repeat(300)), &force).kind.exit_code(), 2);
        let itself = source(&path, &Options::default(), &mut Vec::new()).expect("source");
        assert!(destination(&path, &itself, &force).is_err(), "a file onto itself");
    }
}
