//! The engine's door on this machine: a Unix socket that only its own user can open.
//!
//! Invariants: the directory is 0700 and ours, the socket 0600, and the peer's uid is checked all the same; a
//! state directory whose path is too long for a socket gets one under `/tmp/floe-UID/`.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::error::{Error, Result};
use crate::store::StateDir;
use crate::units::Digest;

/// `sun_path` holds 108 bytes on Linux, 104 elsewhere, with its end mark.
const LONGEST: usize = 100;

/// Where the engine of a state directory listens; what has to be there for that is made, also a second time.
pub(super) fn path(state: &StateDir) -> Result<PathBuf> {
    path_under(state, Path::new(&format!("/tmp/floe-{}", rustix::process::getuid().as_raw())))
}

fn path_under(state: &StateDir, dir: &Path) -> Result<PathBuf> {
    let near = state.root().join("engine.sock");
    if near.as_os_str().as_bytes().len() <= LONGEST {
        return Ok(near);
    }
    private(dir)?;
    let name = Digest::of(state.root().as_os_str().as_bytes()).hex();
    Ok(dir.join(format!("{}.sock", &name[..16])))
}

/// Makes a directory that is ours alone, or refuses the one that is there.
fn private(dir: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(Error::io(format!("could not make {}", dir.display()), &e)),
    }
    let meta = fs::symlink_metadata(dir).map_err(|e| Error::io(format!("could not look at {}", dir.display()), &e))?;
    if meta.is_dir() && meta.uid() == rustix::process::getuid().as_raw() && meta.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(Error::refused(format!("{} is not a private directory of this user", dir.display())).todo(format!(
        "remove it, or name a shorter state directory with --state-dir; its mode must be 0700: {}",
        dir.display()
    )))
}

/// Listens there. Whoever holds the engine's lock may: what lies there is of a dead engine.
pub(super) fn listen(path: &Path) -> Result<UnixListener> {
    let failed = |e: &io::Error| Error::io(format!("could not listen on {}", path.display()), e);
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(&e)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(|e| failed(&e))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|e| failed(&e))?;
    Ok(listener)
}

/// Which file a listener stands behind: another one, or none, means that fronts cannot find it any more.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Whether two paths lead to one file.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    id(a).is_some() && id(a) == id(b)
}

/// Who a front finds behind the path of an engine's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// The process that the lock names; or one that this system does not let us see.
    Engine,
    /// Another process of this user.
    Process(i32),
    /// Another user's: it is told nothing, not even hello.
    User(u32),
}

/// Who listens at the other end of a stream to the engine of process `engine`. Asked before a byte is sent: what
/// follows may be credentials.
pub(super) fn peer(stream: &UnixStream, engine: u32) -> io::Result<Peer> {
    let peer = stream.peer_cred()?;
    let own = rustix::process::getuid().as_raw();
    Ok(peer_of(peer.uid(), own, peer.pid().filter(|pid| *pid > 0), engine, own_number))
}

/// A process in a container is known there by another number than here, which is what its lock says.
fn peer_of(uid: u32, own: u32, pid: Option<i32>, engine: u32, inside: impl Fn(i32) -> Option<i32>) -> Peer {
    let is_engine = |pid: i32| u32::try_from(pid) == Ok(engine);
    match pid {
        _ if uid != own => Peer::User(uid),
        Some(pid) if !is_engine(pid) && !inside(pid).is_some_and(is_engine) => Peer::Process(pid),
        _ => Peer::Engine,
    }
}

/// The number by which a process knows itself.
fn own_number(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_whitespace().next_back()?.parse().ok()
}

/// What lies at a path where an engine should listen, in words.
pub(super) fn what_lies_at(path: &Path) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path).map(|meta| meta.file_type()) {
        Err(_) => "nothing is there",
        Ok(kind) if kind.is_dir() => "a directory is there",
        Ok(kind) if kind.is_symlink() => "a symbolic link is there",
        Ok(kind) if kind.is_socket() => "a socket that does not answer is there",
        Ok(_) => "a file is there",
    }
}

/// Whether the peer is this user; root may look at everybody's anyway.
pub(super) fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| allowed(peer.uid(), rustix::process::getuid().as_raw()))
}

const fn allowed(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_user_and_root_may_speak_to_an_engine() {
        assert!(allowed(1000, 1000) && allowed(0, 1000));
        assert!(!allowed(1001, 1000) && !allowed(1000, 0));
    }

    #[test]
    fn credentials_are_for_the_engine_of_this_user_alone() {
        let unseen = |_: i32| None;
        let of = |uid, own, pid| peer_of(uid, own, pid, 41, unseen);
        assert_eq!(of(1000, 1000, Some(41)), Peer::Engine);
        assert_eq!(of(1000, 1000, Some(42)), Peer::Process(42));
        assert_eq!(of(1000, 1000, None), Peer::Engine, "where a system tells no numbers");
        assert_eq!(of(1001, 1000, Some(41)), Peer::User(1001), "whatever its number");
        assert_eq!(of(0, 1000, Some(41)), Peer::User(0), "root's engine is not this user's");
        assert_eq!(of(1000, 0, Some(41)), Peer::User(1000), "nor does root trust anybody's");
        assert_eq!(peer_of(7, 7, Some(9000), 41, |pid| (pid == 9000).then_some(41)), Peer::Engine, "in a container");
        assert_eq!(
            own_number(i32::try_from(std::process::id()).unwrap_or(0)).map(i32::unsigned_abs),
            Some(std::process::id())
        );
    }

    #[test]
    fn a_long_path_gets_a_short_one_and_a_foreign_directory_is_refused() -> Result<()> {
        let temp = tempfile::tempdir().map_err(|e| Error::io("temp", &e))?;
        let short = StateDir::open(Some(&temp.path().join("s")))?;
        assert_eq!(path(&short)?, short.root().join("engine.sock"));
        let long = StateDir::open(Some(&temp.path().join("d".repeat(120))))?;
        let elsewhere = path(&long)?;
        assert!(elsewhere.as_os_str().len() <= LONGEST && elsewhere.starts_with("/tmp"), "{}", elsewhere.display());
        assert_eq!(path(&long)?, elsewhere);

        // Cleaners of /tmp take whole directories.
        let swept = temp.path().join("floe-7");
        let socket = path_under(&long, &swept)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::io("runtime", &e))?;
        let _listening = runtime.block_on(async { listen(&socket) })?;
        fs::remove_dir_all(&swept).map_err(|e| Error::io("swept", &e))?;
        assert_eq!(path_under(&long, &swept)?, socket);
        let _again = runtime.block_on(async { listen(&socket) })?;
        assert!(identity(&socket).is_some());

        let open = temp.path().join("open");
        fs::create_dir(&open).map_err(|e| Error::io("dir", &e))?;
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).map_err(|e| Error::io("mode", &e))?;
        assert!(private(&open).is_err());
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(short.root(), &link).map_err(|e| Error::io("link", &e))?;
        assert!(private(&link).is_err(), "a link may lead anywhere");
        Ok(())
    }
}
