//! `--sandbox` on every verb: the first process serves, later ones join it, and a joiner serves on when it dies.
//!
//! Who holds the lock serves. The address is written beside it and stays the same when another process takes over,
//! so clients see an outage of some milliseconds, which their retries cover. Nothing is handed over: the new server
//! reads the journal and the blocks, in which stands everything that was ever answered.

use std::fs::{File, OpenOptions, TryLockError};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::store::Keep;
use super::{Options, ProfileKeys, Running, Sandbox, profiles, serve_sandbox};
use crate::error::{Error, Result};

/// How long a joiner waits for the server's address to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// A sandbox to be spoken to, served by this process or another one.
#[derive(Debug)]
pub struct Endpoint {
    /// `http://127.0.0.1:PORT`, for as long as this value lives.
    pub url: String,
    /// What to sign with.
    pub profiles: Vec<ProfileKeys>,
    /// Whether this process serves (it may come to later).
    pub serving: bool,
    running: Option<Running>,
    /// Cancelled when the value goes; the waiting thread then lets go of the lock as soon as it gets it.
    gone: CancellationToken,
}

impl Endpoint {
    /// The sandbox itself, where this process served from the start.
    #[must_use]
    pub fn sandbox(&self) -> Option<&Arc<Sandbox>> {
        self.running.as_ref().map(|running| &running.sandbox)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

/// What stands in `endpoint.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    version: u32,
    address: SocketAddr,
    pid: u32,
}

/// Serves the sandbox of a state directory, or joins the process that does. Must run inside a Tokio runtime, which
/// goes on serving in the background.
///
/// # Errors
/// The state directory is not writable, the scenario cannot be read, or the serving process does not answer.
pub async fn join_or_serve(state_dir: &Path, options: &Options) -> Result<Endpoint> {
    let dir = state_dir.join("sandbox");
    let options = Options { keep: Keep::Disk(dir.clone()), ..options.clone() };
    let wrong =
        |cause: &std::io::Error| Error::io(format!("could not use the sandbox's directory {}", dir.display()), cause);
    std::fs::create_dir_all(&dir).map_err(|cause| wrong(&cause))?;
    let path = dir.join("lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(|cause| wrong(&cause))?;
    let gone = CancellationToken::new();
    let started = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => {
                let running = take_over(&dir, &options, lock, read_note(&dir).map(|note| note.address)).await?;
                let (url, profiles) = (running.url(), running.sandbox.profiles());
                return Ok(Endpoint { url, profiles, serving: true, running: Some(running), gone });
            }
            Err(TryLockError::Error(cause)) => return Err(wrong(&cause)),
            Err(TryLockError::WouldBlock) => {}
        }
        if let Some(note) = read_note(&dir).filter(|note| answers(note.address)) {
            let profiles = profiles(&options)?;
            wait_in_line(dir, options, lock, gone.clone())?;
            let url = format!("http://{}", note.address);
            return Ok(Endpoint { url, profiles, serving: false, running: None, gone });
        }
        if started.elapsed() > PATIENCE {
            return Err(Error::failed(format!(
                "another process holds {} and its sandbox does not answer",
                dir.display()
            ))
            .todo("end that floe process, or choose another --state-dir"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Serves with the lock held, at the address of before if that is free, and notes it.
async fn take_over(dir: &Path, options: &Options, lock: File, before: Option<SocketAddr>) -> Result<Running> {
    let own = options.clone();
    let sandbox = tokio::task::spawn_blocking(move || Sandbox::new(&own))
        .await
        .map_err(|cause| Error::failed(format!("the sandbox could not be set up: {cause}")))??;
    let sandbox = Arc::new(sandbox);
    let wanted = before.filter(|_| options.listen.port() == 0).unwrap_or(options.listen);
    let running = match serve_sandbox(Arc::clone(&sandbox), wanted).await {
        Err(_) if wanted != options.listen => serve_sandbox(sandbox, options.listen).await?,
        bound => bound?,
    };
    let note = Note { version: 1, address: running.addr, pid: std::process::id() };
    write_note(dir, &note).map_err(|cause| Error::io(format!("could not write {}", dir.display()), &cause))?;
    running.hold(lock);
    Ok(running)
}

/// A thread that waits until the server is gone, then serves on in this process.
fn wait_in_line(dir: PathBuf, options: Options, lock: File, gone: CancellationToken) -> Result<()> {
    let runtime = Handle::current();
    let wait = move || {
        if let Err(cause) = lock.lock() {
            tracing::warn!(%cause, "sandbox: waiting for the lock failed");
            return;
        }
        if gone.is_cancelled() {
            return;
        }
        let before = read_note(&dir).map(|note| note.address);
        runtime.spawn(async move {
            match take_over(&dir, &options, lock, before).await {
                Ok(running) => {
                    gone.cancelled().await;
                    running.shutdown().await;
                }
                Err(error) => tracing::error!(%error, "sandbox: this process could not serve on"),
            }
        });
    };
    let started = std::thread::Builder::new().name("sandbox-line".into()).spawn(wait);
    started.map(|_| ()).map_err(|cause| Error::io("could not start a thread", &cause))
}

fn read_note(dir: &Path) -> Option<Note> {
    let text = std::fs::read(dir.join("endpoint.json")).ok()?;
    serde_json::from_slice(&text).ok().filter(|note: &Note| note.version == 1)
}

fn write_note(dir: &Path, note: &Note) -> std::io::Result<()> {
    let beside = dir.join("endpoint.json.new");
    std::fs::write(&beside, serde_json::to_vec(note)?)?;
    std::fs::rename(beside, dir.join("endpoint.json"))
}

fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}
