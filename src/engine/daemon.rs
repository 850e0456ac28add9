//! The engine in a process of its own: started on demand, found by its lock, spoken to over its socket.
//!
//! Invariants: it outlives every front and every terminal; what it runs when it is told to end goes on when the
//! next one starts; a socket that vanished is made again; with nothing to do and nobody to talk to it ends.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::lock::{Held, Holder, holder};
use super::metrics::Listening;
use super::pipe::{self, Client};
use super::protocol::{Command, JobState, Status};
use super::socket::{self, Peer};
use super::supervisor::{Handle, Supervisor};
use super::told::Told;
use super::worlds::Worlds;
use crate::aws::Aws;
use crate::bandwidth::Bandwidth;
use crate::error::{Error, Result};
use crate::plan::{Machine, RunsIn};
use crate::store::StateDir;
use crate::units::Bytes;

/// What a background engine is started with.
#[derive(Debug, Clone)]
pub struct Background {
    /// Where its jobs are.
    pub state: StateDir,
    /// The budget of all its jobs; the machine's default without one.
    pub budget: Option<Bytes>,
    /// Bytes a second of all its jobs together.
    pub bandwidth: Option<Bandwidth>,
    /// Ends after so long without a job and without a front; never without one.
    pub idle: Option<Duration>,
    /// The user's command for what becomes of jobs.
    pub on_event: Option<String>,
    /// The config file that a started engine is to read, when it is not the default one.
    pub config: Option<PathBuf>,
}

/// An engine that was started because somebody asked ends when nobody has for so long.
pub const IDLE: Duration = Duration::from_secs(600);
/// How often it looks whether its socket is there and whether it has anything to do.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A live engine without a socket has one again within this.
const REMADE: Duration = Duration::from_secs(4);
/// Fronts at once, at most: each costs a task and a picture four times a second.
const FRONTS: usize = 64;
/// A new engine listens within this, or something is wrong.
const START: Duration = Duration::from_secs(15);
/// Commands of `on_event` that run at once.
const TELLERS: usize = 8;
/// The log of an engine starts anew above this.
const LOG_MOST: u64 = 4 * 1024 * 1024;

/// A directory that is held, and the socket on which its engine is reached.
#[derive(Debug)]
pub struct Door {
    lock: Held,
    path: PathBuf,
    listener: UnixListener,
}

impl Door {
    /// Takes the directory and listens.
    ///
    /// # Errors
    /// Another engine holds it, no socket can be made, or there is no room for either ([`Error::is_full_disk`]): then it
    /// may be tried again.
    pub fn open(state: &StateDir) -> Result<Self> {
        let lock = Held::take(state)?;
        state.jobs()?;
        let path = socket::path(state)?;
        let listener = socket::listen(&path)?;
        Ok(Self { lock, path, listener })
    }
}

/// Runs the engine until it is told to end, or has nothing to do for too long. What runs then is put down cleanly
/// and goes on with the next engine. Its figures are read at `metrics`.
///
/// # Errors
/// Its jobs cannot be read, or nobody can be told where it listens.
pub async fn serve(config: Background, door: Door, metrics: Option<Listening>) -> Result<()> {
    let Door { mut lock, path, mut listener } = door;
    let mut identity = socket::identity(&path);
    let budget = config.budget.unwrap_or_else(|| Machine::read(RunsIn::Assumed, None).budget());
    let handle = Supervisor::start(config.state.clone(), Worlds::new(None), budget, config.bandwidth, false, None)?;
    lock.say(Some(&path))?;
    let teller = config.on_event.map(|command| tokio::spawn(tell(handle.status(), command)));
    let reader = metrics.map(|listening| tokio::spawn(listening.serve(handle.status())));
    let fronts = Arc::new(AtomicUsize::new(0));
    let on = |kind| signal(kind).map_err(|e| Error::io("could not listen for signals", &e));
    let (mut terminate, mut interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    // A terminal that goes away is no reason to end.
    let mut hangup = on(SignalKind::hangup())?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut busy = Instant::now();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => greet(stream, &handle, &fronts),
                Err(error) => {
                    tracing::warn!(%error, "a front could not be taken");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            },
            _ = hangup.recv() => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = look.tick() => {
                if !lock.is_there() {
                    tracing::warn!("the state directory was removed");
                    break;
                }
                if socket::identity(&path) != identity {
                    let made = socket::path(&config.state).and_then(|path| {
                        let made = socket::listen(&path)?;
                        lock.say(Some(&path)).map(|()| made)
                    });
                    match made {
                        Ok(made) => (listener, identity) = (made, socket::identity(&path)),
                        // A full disk, say: the jobs go on, and it is tried again at the next look.
                        Err(error) => tracing::warn!(%error, "the socket could not be made again"),
                    }
                }
                if fronts.load(Ordering::Relaxed) > 0 || handle.is_busy() {
                    busy = Instant::now();
                }
                if config.idle.is_some_and(|idle| busy.elapsed() >= idle) {
                    break;
                }
            }
        }
    }
    // First nobody new, then everything put down, then the lock. What another engine may have put there by now stays.
    drop(listener);
    if socket::identity(&path) == identity {
        let _ = std::fs::remove_file(&path);
    }
    handle.command(Command::Shutdown, "the engine", None).await?;
    for task in teller.into_iter().chain(reader) {
        task.abort();
    }
    drop(lock);
    Ok(())
}

/// Tells the user's command what becomes of jobs; what they were at the start is no news.
async fn tell(mut pictures: watch::Receiver<Arc<Status>>, command: String) {
    let mut told = Told::default();
    told.fresh(&pictures.borrow_and_update().jobs, crate::wall::now());
    let places = Arc::new(Semaphore::new(TELLERS));
    while pictures.changed().await.is_ok() {
        let picture = Arc::clone(&pictures.borrow_and_update());
        for event in told.fresh(&picture.jobs, crate::wall::now()) {
            let (command, places) = (command.clone(), Arc::clone(&places));
            tokio::spawn(async move {
                let _place = places.acquire_owned().await;
                let run = tokio::task::spawn_blocking(move || crate::store::hook::run(&command, &event));
                if let Ok(Err(error)) = run.await {
                    tracing::warn!(%error, "on_event");
                }
            });
        }
    }
}

/// Serves one front in a task of its own, if it is one of ours.
fn greet(stream: UnixStream, handle: &Handle, fronts: &Arc<AtomicUsize>) {
    if !socket::is_ours(&stream) {
        tracing::warn!("a process of another user was refused");
        return;
    }
    if fronts.fetch_add(1, Ordering::Relaxed) >= FRONTS {
        fronts.fetch_sub(1, Ordering::Relaxed);
        tracing::warn!("more than {FRONTS} fronts: one was refused");
        return;
    }
    let (handle, fronts) = (handle.clone(), Arc::clone(fronts));
    tokio::spawn(async move {
        if let Err(error) = pipe::serve(stream, handle).await {
            tracing::info!(%error, "a front was lost");
        }
        fronts.fetch_sub(1, Ordering::Relaxed);
    });
}

/// Connects to the engine of a state directory, if one listens. `who` is shown to the others; commands that need
/// AWS carry `aws` along.
///
/// # Errors
/// The engine lives in another command's process, is of another version, does not answer, or something else lies or
/// listens where it should: nothing is said to that.
pub async fn find(state: &StateDir, who: &str, aws: Option<Aws>) -> Result<Option<Client>> {
    let until = Instant::now() + REMADE;
    let (stream, pid) = loop {
        let Some(Holder { socket, pid, .. }) = holder(state) else { return Ok(None) };
        let Some(path) = socket else { return Err(in_the_foreground(state, pid)) };
        let there = match UnixStream::connect(&path).await {
            Ok(stream) => match socket::peer(&stream, pid) {
                Ok(Peer::Engine) => break (stream, pid),
                Ok(Peer::Process(other)) => format!("process {other} listens there"),
                Ok(Peer::User(uid)) => format!("a process of another user (uid {uid}) listens there"),
                Err(e) => format!("who listens there is not told: {e}"),
            },
            Err(_) => socket::what_lies_at(&path).to_owned(),
        };
        // It lives, and makes a socket that vanished or was replaced again.
        if Instant::now() >= until {
            return Err(behind_another(&path, pid, &there));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let connected = Client::connect(stream, who, aws).await;
    connected.map(Some).map_err(|error| if error.what == pipe::SILENT { silent(pid) } else { error })
}

/// An engine that was stopped, or hangs in a disk: its jobs are its own, and another is not started beside it.
fn silent(pid: u32) -> Error {
    Error::failed(format!("{}: process {pid} lives and says nothing", pipe::SILENT)).todo(pipe::what_ends_it(pid))
}

/// An engine that lives and cannot be reached: another one must not be started beside it, nor anybody else be spoken to.
fn behind_another(path: &Path, pid: u32, there: &str) -> Error {
    Error::failed(format!("the engine (process {pid}) does not answer on {}: {there}", path.display())).todo(format!(
        "remove what lies there: the engine makes its socket again within seconds; if it does not, look at engine.log \
         beside it and end it with `kill {pid}`: what it runs goes on with the next one"
    ))
}

fn in_the_foreground(state: &StateDir, pid: u32) -> Error {
    Error::refused(format!("process {pid} runs jobs of {} in the foreground", state.root().display()))
        .todo("wait for it, or end it; without --foreground jobs run in the background and are shared")
}

/// The same, starting an engine when there is none.
///
/// # Errors
/// As [`find`]; also when the new engine does not come up, with what it said.
pub async fn find_or_start(config: &Background, who: &str, aws: Option<Aws>) -> Result<Client> {
    let mut child = None;
    let until = Instant::now() + START;
    loop {
        let found = match find(&config.state, who, aws.clone()).await {
            // It has the lock and is about to listen.
            Err(_) if child.is_some() && Instant::now() < until => None,
            found => found?,
        };
        if let Some(client) = found {
            return Ok(client);
        }
        let started: &mut std::process::Child = match &mut child {
            Some(child) => child,
            None => child.insert(start(config)?),
        };
        let gone = started.try_wait().ok().flatten();
        // The loser of two that started at once has ended well: the winner is to be found.
        if let Some(status) = gone.filter(|status| !status.success()) {
            return Err(Error::failed(format!(
                "the background engine ended at once ({status}): {}",
                last_words(config)
            ))
            .todo("try it in this process: --foreground"));
        }
        if Instant::now() >= until {
            // Without room it waits for some, and cannot even say so in its log.
            config.state.has_room().map_err(|error| error.during("the background engine did not come up"))?;
            return Err(Error::failed(format!("the background engine did not come up: {}", last_words(config)))
                .todo("try it in this process: --foreground"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends a background engine home that has nothing to do, so that a command may run its job itself. One that is at
/// work stays, and its lock says so to whoever asks.
pub async fn retire_idle(state: &StateDir) {
    let Ok(Some(client)) = find(state, &this_front(), None).await else { return };
    let pid = holder(state).and_then(|holder| Pid::from_raw(i32::try_from(holder.pid).ok()?));
    let busy = client.status().borrow().jobs.iter().any(|job| job.state.is_active() || job.state == JobState::Queued);
    drop(client);
    let Some(pid) = pid.filter(|_| !busy) else { return };
    let _ = kill_process(pid, Signal::TERM);
    let until = Instant::now() + START;
    while holder(state).is_some() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What of the environment an engine gets: how to find programs, homes and words, nothing of a shell's account. Where a
/// container or an instance has its own keys is the host's word: every process on it is told the same.
const KEPT: [&str; 21] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "FLOE_LOG",
    "RUST_BACKTRACE",
    "DBUS_SESSION_BUS_ADDRESS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
];

fn start(config: &Background) -> Result<std::process::Child> {
    use std::os::unix::process::CommandExt as _;
    let log = log(&config.state)?;
    let failed = |e: std::io::Error| Error::io("could not start the background engine", &e);
    let mut command = std::process::Command::new(this_program()?);
    command.arg0("floe").arg("engine").arg("--started-by-a-front");
    command.arg("--state-dir").arg(config.state.root());
    if let Some(file) = &config.config {
        command.arg("--config").arg(std::path::absolute(file).unwrap_or_else(|_| file.clone()));
    }
    if let Some(budget) = config.budget {
        command.arg("--memory").arg(budget.0.to_string());
    }
    command.env_clear().envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.current_dir("/").stdin(Stdio::null());
    command.stdout(log.try_clone().map_err(failed)?).stderr(log);
    command.spawn().map_err(failed)
}

/// Leaves the session of the terminal that it was started from. A process that leads its group already stays.
pub fn leave_the_terminal() {
    let _ = rustix::process::setsid();
}

/// The running file, by its name; by the system's own link to it when a newer version was put in its place.
fn this_program() -> Result<PathBuf> {
    let named = std::env::current_exe().map_err(|e| Error::io("could not find this program's file", &e))?;
    let link = Path::new("/proc/self/exe");
    if socket::same_file(&named, link) || !link.exists() { Ok(named) } else { Ok(link.to_owned()) }
}

fn log_path(state: &StateDir) -> PathBuf {
    state.root().join("engine.log")
}

fn log(state: &StateDir) -> Result<File> {
    let path = log_path(state);
    let large = std::fs::metadata(&path).is_ok_and(|meta| meta.len() > LOG_MOST);
    OpenOptions::new()
        .create(true)
        .append(!large)
        .write(true)
        .truncate(large)
        .mode(0o600)
        .open(&path)
        .map_err(|e| Error::io(format!("could not open {}", path.display()), &e))
}

/// The last line of the engine's log.
fn last_words(config: &Background) -> String {
    let text = std::fs::read_to_string(log_path(&config.state)).unwrap_or_default();
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}

/// How a front of this process is called where others look: `ops at pts/3`, or its process where it has no terminal.
#[must_use]
pub fn this_front() -> String {
    use std::os::fd::AsFd as _;
    let terminal = rustix::termios::ttyname(std::io::stderr().as_fd(), Vec::new()).ok();
    match terminal.and_then(|name| name.into_string().ok()) {
        Some(name) => format!("{} at {}", user(), name.strip_prefix("/dev/").unwrap_or(&name)),
        None => format!("{}, process {}", user(), std::process::id()),
    }
}

/// Who this process belongs to: the name that the system knows, else the number.
#[must_use]
pub fn user() -> String {
    std::env::var("USER")
        .ok()
        .filter(|user| !user.is_empty())
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
