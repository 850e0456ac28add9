//! What effects do: looks, plans, the engine, files. Every answer comes back as one [`Msg`] over one bounded channel.
//!
//! One look runs at a time, the latest; the engine starts with the first command, or when the state directory
//! already holds jobs, so that they are seen and can go on.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::effect::{Effect, Memory};
use super::errands::{Connector, Errands};
use super::inquiry;
use super::msg::Msg;
use super::removing;
use crate::aws::{Aws, ProfileInfo};
use crate::engine::daemon::{self, Background};
use crate::engine::protocol::{Command, Status};
use crate::engine::{Client, Config, Contact, Engine};
use crate::error::{Error, Result};
use crate::grant::Grant;
use crate::ids::{Profile, Region};
use crate::inventory::relations::{self, Ask, Told};
use crate::inventory::verdict::Policy;
use crate::inventory::{self, Kind, Regions, SnapshotRow, Wanted};
use crate::plan::prices::Spot;
use crate::plan::removal::RemovalPlan;
use crate::plan::{Machine, Operation};
use crate::store::StateDir;
use crate::store::copies::Copies;
use crate::store::routes::Routes;

/// Answers that may wait for the deck: a page each at most.
pub const WAITING: usize = 256;
/// How often a deck without an engine looks whether there is one now.
const LOOK_FOR_ENGINE: Duration = Duration::from_secs(1);
/// A paused engine has this long to write down where it stands.
const SHUTDOWN: Duration = Duration::from_secs(30);

/// The answers to what was asked last, before the deck is closed.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The same of an engine that has not answered for long.
const LAST_WORDS_IN_VAIN: Duration = Duration::from_millis(300);

/// Commands of `on_event` that may run at once.
const HOOKS: usize = 8;

/// A world that can be looked at.
pub struct World {
    /// AWS, or the embedded one.
    pub aws: Aws,
    /// Where its jobs and caches are.
    pub state: StateDir,
    /// Whether it is the embedded AWS.
    pub sandbox: bool,
    /// The config file that a background engine is to read, when it was named.
    pub config: Option<PathBuf>,
    /// Kept as long as the world is: the embedded AWS is served while this lives.
    pub keep: Option<Box<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("state", &self.state).field("sandbox", &self.sandbox).finish_non_exhaustive()
    }
}

/// Opens the embedded AWS; called at most once.
pub type OpenSandbox = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<World>> + Send>> + Send + Sync>;

/// Where what an engine tells can be read.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Its pictures.
    pub status: watch::Receiver<Arc<Status>>,
    /// Whether it answers.
    pub contact: watch::Receiver<Contact>,
}

type Engines = watch::Sender<Option<Heard>>;

/// Everything outside the model.
pub struct Outside {
    world: World,
    open_sandbox: Option<OpenSandbox>,
    machine: Machine,
    answers: mpsc::Sender<Msg>,
    worlds: mpsc::Sender<Result<World>>,
    look: Option<JoinHandle<()>>,
    survey: Option<JoinHandle<()>>,
    plan: Option<JoinHandle<()>>,
    count: Option<JoinHandle<()>>,
    inside: Option<JoinHandle<()>>,
    setup: Option<JoinHandle<()>>,
    freed: Option<JoinHandle<()>>,
    archives: Option<JoinHandle<()>>,
    archive: Option<JoinHandle<()>>,
    /// Cancelled to end the removal that runs after its present item.
    stop: CancellationToken,
    client: Arc<Mutex<Option<Client>>>,
    /// What this world's engine is asked, since the first time.
    errands: Option<Errands>,
    hooks: Arc<Semaphore>,
    /// Where the engine's picture can be read, once there is an engine.
    engines: Engines,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").field("world", &self.world).finish_non_exhaustive()
    }
}

impl Outside {
    /// Around a world. `worlds` gets the sandbox when it was opened; hand it back with [`Outside::enter`].
    #[must_use]
    pub fn new(
        world: World,
        open_sandbox: Option<OpenSandbox>,
        machine: Machine,
        answers: mpsc::Sender<Msg>,
        worlds: mpsc::Sender<Result<World>>,
    ) -> Self {
        let client = Arc::default();
        let engines = watch::channel(None).0;
        Self {
            world,
            open_sandbox,
            machine,
            answers,
            worlds,
            look: None,
            survey: None,
            plan: None,
            count: None,
            inside: None,
            setup: None,
            freed: None,
            archives: None,
            archive: None,
            stop: CancellationToken::new(),
            client,
            errands: None,
            hooks: Arc::new(Semaphore::new(HOOKS)),
            engines,
        }
    }

    /// AWS as it is looked at now.
    #[must_use]
    pub fn aws(&self) -> &Aws {
        &self.world.aws
    }

    /// The state directory of this world.
    #[must_use]
    pub fn state(&self) -> &StateDir {
        &self.world.state
    }

    /// Tells when there is an engine to read pictures of.
    #[must_use]
    pub fn engines(&self) -> watch::Receiver<Option<Heard>> {
        let mut engines = self.engines.subscribe();
        // An engine that was found before anybody looked is news as well.
        engines.mark_changed();
        engines
    }

    /// Does one effect; those of the terminal itself are the loop's.
    pub fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Look { number, profiles, regions } => self.look(number, profiles, regions),
            Effect::Judge { number, profiles, regions, policy, anew, depth } => {
                let (profiles, regions) = whole(profiles, regions);
                self.judge(number, Ask { profiles, regions, anew, depth, policy: *policy, jobs: Told::Unasked });
            }
            Effect::LivePrices(live) => match self.world.state.cache() {
                Ok(at) => self.machine.prices = live.then(|| Spot::at(&at)),
                Err(error) => drop(self.answer(async { Msg::Failed(error) })),
            },
            Effect::AskSetup(of) => {
                let asked = self.answer(inquiry::setup(self.world.aws.clone(), of));
                if let Some(old) = self.setup.replace(asked) {
                    old.abort();
                }
            }
            Effect::AskBill(profile) => drop(self.answer(inquiry::billed(self.world.aws.clone(), profile))),
            Effect::MakePlan { number, operation, known } => self.make_plan(number, *operation, known),
            Effect::Count { number, of } => {
                let counts = inquiry::counts(self.world.aws.clone(), number, of, self.answers.clone());
                self.stop_counting();
                self.count = Some(tokio::spawn(counts));
            }
            Effect::StopCounting => self.stop_counting(),
            Effect::LookInside(origin, id) => {
                let looked = self.answer(inquiry::inside(self.world.aws.clone(), (origin, id)));
                if let Some(old) = self.inside.replace(looked) {
                    old.abort();
                }
            }
            Effect::StopLooking => {
                if let Some(old) = self.inside.take() {
                    old.abort();
                }
            }
            Effect::AskFreed(of) => {
                let kept = crate::plan::frees::Kept::of(&self.world.state);
                let asked = tokio::spawn(inquiry::freed(self.world.aws.clone(), of, kept, self.answers.clone()));
                if let Some(old) = self.freed.replace(asked) {
                    old.abort();
                }
            }
            Effect::ReadCopies => {
                let copies = inquiry::copies(Copies::of(&self.world.state), self.world.aws.world().text());
                self.answer(copies);
            }
            Effect::ListDirectory { typed, path } => drop(self.answer(inquiry::directory(typed, path))),
            Effect::ListBuckets(profile) => drop(self.answer(inquiry::buckets(self.world.aws.clone(), profile))),
            Effect::ListArchives(prefix) => {
                let listed = self.answer(inquiry::archives(self.world.aws.clone(), prefix));
                if let Some(old) = self.archives.replace(listed) {
                    old.abort();
                }
            }
            Effect::InspectArchive { prefix, row, check } => {
                let looked = self.answer(inquiry::archive(self.world.aws.clone(), prefix, *row, check));
                if let Some(old) = self.archive.replace(looked) {
                    old.abort();
                }
            }
            Effect::PlanRemoval { number, wanted } => {
                let plan = removing::plan(
                    self.world.aws.clone(),
                    self.world.state.clone(),
                    number,
                    *wanted,
                    self.machine.clone(),
                );
                drop(self.answer(plan));
            }
            Effect::Remove { number, plan, grant, policy } => self.remove(number, *plan, *grant, policy),
            Effect::Keep(targets) => {
                let (aws, state) = (self.world.aws.clone(), self.world.state.clone());
                drop(self.answer(removing::keep(aws, state, targets)));
            }
            Effect::AskAlias(profile) => {
                let (alias, answers) = (inquiry::alias(self.world.aws.clone(), profile), self.answers.clone());
                tokio::spawn(async move {
                    if let Some(msg) = alias.await {
                        let _ = answers.send(msg).await;
                    }
                });
            }
            Effect::StopRemoval => self.stop.cancel(),
            Effect::ComparePlan { path, plan } => drop(self.answer(removing::compare(path, *plan))),
            Effect::Restore(targets) => {
                let (aws, state) = (self.world.aws.clone(), self.world.state.clone());
                drop(self.answer(removing::restore(aws, state, targets)));
            }
            Effect::ReadAudit => drop(self.answer(removing::audit(self.world.state.clone()))),
            Effect::Engine(command) => self.engine(*command),
            Effect::Write { path, contents } => self.write(path, contents),
            Effect::Remember(memory) => self.remember(&memory),
            Effect::LookAtProfiles => {
                let aws = self.world.aws.clone();
                self.answer(async move {
                    let found = tokio::task::spawn_blocking(move || profiles_of(&aws)).await;
                    found.map_or_else(|e| Msg::Failed(Error::failed(e.to_string())), |(p, l)| Msg::Profiles(p, l))
                });
            }
            Effect::OpenSandbox => self.sandbox(),
            Effect::Hook(command, event) => self.hook(command, *event),
            Effect::Copy(_) | Effect::Notify(_) | Effect::Quit => {}
        }
    }

    fn answer(&self, what: impl Future<Output = Msg> + Send + 'static) -> JoinHandle<()> {
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let _ = answers.send(what.await).await;
        })
    }

    fn look(&mut self, number: u64, profiles: Vec<Profile>, regions: Vec<Region>) {
        let (profiles, regions) = whole(profiles, regions);
        let wanted = Wanted { profiles, regions, kinds: Kind::ALL.to_vec(), remembered: true };
        let mut told = inventory::look(&self.world.aws, wanted, Some(&self.world.state));
        let answers = self.answers.clone();
        let look = tokio::spawn(async move {
            while let Some(update) = told.recv().await {
                if answers.send(Msg::Inventory(number, update)).await.is_err() {
                    return;
                }
            }
        });
        if let Some(old) = self.look.replace(look) {
            old.abort();
        }
        self.perform(Effect::ReadCopies);
    }

    fn judge(&mut self, number: u64, ask: Ask) {
        let (aws, state, answers) = (self.world.aws.clone(), self.world.state.clone(), self.answers.clone());
        let survey = tokio::spawn(async move {
            let of = state.clone();
            let jobs = tokio::task::spawn_blocking(move || crate::engine::uses(&of)).await;
            let jobs = Told::of(jobs.unwrap_or_else(|e| Err(Error::failed(format!("the jobs cannot be read: {e}")))));
            let mut told = relations::survey(&aws, Ask { jobs, ..ask }, Some(&state));
            while let Some(update) = told.recv().await {
                if answers.send(Msg::Judged(number, Box::new(update))).await.is_err() {
                    return;
                }
            }
        });
        if let Some(old) = self.survey.replace(survey) {
            old.abort();
        }
    }

    fn stop_counting(&mut self) {
        if let Some(old) = self.count.take() {
            old.abort();
        }
    }

    /// Carries a removal plan out; an engine is there only where the plan has archives to make.
    fn remove(&mut self, number: u64, plan: RemovalPlan, grant: Grant, policy: Arc<Policy>) {
        let world = (self.world.aws.clone(), self.world.state.clone(), policy);
        let connected = plan.archive.is_some().then(|| self.connected());
        let answers = self.answers.clone();
        // One flag a run: a late stop of the one before must not end this one.
        self.stop = CancellationToken::new();
        let stop = self.stop.clone();
        self.answer(async move {
            let engine = match connected {
                None => None,
                Some(connected) => match connected.await {
                    Ok(engine) => Some(engine),
                    Err(error) => return Msg::Removed(number, Box::new(Err(error))),
                },
            };
            removing::remove(world, number, plan, grant, (engine, stop), answers).await
        });
    }

    fn make_plan(&mut self, number: u64, operation: Operation, known: Vec<SnapshotRow>) {
        let (copies, routes) = (Some(Copies::of(&self.world.state)), Some(Routes::of(&self.world.state)));
        let (aws, mut machine) = (self.world.aws.clone(), Machine { copies, routes, ..self.machine.clone() });
        let sandbox = self.world.sandbox;
        let answers = self.answers.clone();
        let plan = self.answer(async move {
            // Before anybody is asked, so that whoever does not answer keeps nobody waiting.
            if let Some(early) = crate::plan::preview(&operation, &known, aws.world(), &machine) {
                let _ = answers.send(Msg::Previewed(number, Box::new(early))).await;
            }
            if !sandbox {
                machine.locate(crate::aws::instance().await);
            }
            Msg::Planned(number, crate::plan::make(&aws, operation, &machine).await.map(Box::new))
        });
        if let Some(old) = self.plan.replace(plan) {
            old.abort();
        }
    }

    /// Finds the engine, or starts it when jobs of an earlier run are there: they are to be seen. A background engine
    /// that somebody else starts later, or that ended and was started anew, is found within seconds.
    pub fn wake_engine(&self) {
        let jobs = self.world.state.jobs().ok().and_then(|dir| std::fs::read_dir(dir).ok());
        let some = jobs.is_some_and(|mut dir| dir.next().is_some());
        let (state, sandbox) = (self.world.state.clone(), self.world.sandbox);
        if !some && sandbox {
            return;
        }
        let first = some.then(|| self.connected());
        let (connected, client) = (self.connector(), Arc::clone(&self.client));
        let answers = self.answers.clone();
        tokio::spawn(async move {
            if let Some(Err(error)) = match first {
                Some(first) => Some(first.await),
                None => None,
            } {
                let _ = answers.send(Msg::Failed(error)).await;
            }
            while !sandbox && !answers.is_closed() {
                tokio::time::sleep(LOOK_FOR_ENGINE).await;
                let lost = client.lock().await.as_ref().is_none_or(Client::is_closed);
                if lost && crate::engine::holder(&state).is_some_and(|holder| holder.socket.is_some()) {
                    let _ = connected().await;
                }
            }
        });
    }

    fn connected(&self) -> impl Future<Output = Result<Client>> + Send + 'static {
        self.connector()()
    }

    fn connector(&self) -> Connector {
        let client = Arc::clone(&self.client);
        let engines = self.engines.clone();
        let world = (self.world.state.clone(), self.world.aws.clone(), self.machine.budget, self.world.sandbox);
        let config = self.world.config.clone();
        Box::new(move || {
            let (client, engines) = (Arc::clone(&client), engines.clone());
            let ((state, aws, budget, sandbox), config) = (world.clone(), config.clone());
            Box::pin(async move {
                let mut slot = client.lock().await;
                if let Some(client) = slot.as_ref().filter(|client| !client.is_closed()) {
                    return Ok(client.clone());
                }
                let started = if sandbox {
                    Engine::start(Config { state, aws, budget, bandwidth: None }).await?
                } else {
                    let background =
                        Background { state, budget, bandwidth: None, idle: Some(daemon::IDLE), on_event: None, config };
                    daemon::find_or_start(&background, &daemon::this_front(), Some(aws)).await?
                };
                engines.send_replace(Some(Heard { status: started.status(), contact: started.contact() }));
                *slot = Some(started.clone());
                Ok(started)
            })
        })
    }

    fn engine(&mut self, command: Command) {
        if self.errands.is_none() {
            self.errands = Some(Errands::new(self.connector(), self.answers.clone()));
        }
        if let Some(errands) = &mut self.errands {
            errands.ask(command);
        }
    }

    /// What the engine was asked and has not answered yet.
    pub fn unanswered(&self) -> Vec<String> {
        self.errands.as_ref().map(Errands::unanswered).unwrap_or_default()
    }

    /// Waits, for moments, until the engine has answered what it was asked.
    pub async fn settled(&self) {
        let Some(errands) = &self.errands else { return };
        let heard = self.engines.borrow().as_ref().map(|heard| *heard.contact.borrow());
        // What is asked of an engine that stands still lies in its socket by then, and is done when it goes on.
        let within = if matches!(heard, Some(Contact::Silent(_))) { LAST_WORDS_IN_VAIN } else { LAST_WORDS };
        errands.settled(within).await;
    }

    fn write(&self, path: PathBuf, contents: String) {
        self.answer(async move {
            let name = path.display().to_string();
            let done = tokio::task::spawn_blocking(move || write_new(&path, contents.as_bytes())).await;
            match done {
                Ok(Ok(())) => Msg::Did(format!("wrote {name}")),
                Ok(Err(e)) => Msg::Failed(Error::io(format!("could not write {name}"), &e)),
                Err(e) => Msg::Failed(Error::failed(format!("could not write {name}: {e}"))),
            }
        });
    }

    fn remember(&self, memory: &Memory) {
        let Some(path) = memory_path(&self.world.state) else { return };
        let Ok(text) = serde_json::to_vec_pretty(memory) else { return };
        // What is remembered is a convenience: a disk that is full must not interrupt anyone.
        tokio::task::spawn_blocking(move || crate::store::atomic::write(&path, &text));
    }

    /// Runs the user's command beside everything else; as long as [`HOOKS`] of them have not ended, no more are begun.
    fn hook(&self, command: String, event: crate::store::hook::Event) {
        let Ok(turn) = Arc::clone(&self.hooks).try_acquire_owned() else {
            let error = Error::failed(format!("on_event was not run for job {}: {HOOKS} of it still run", event.job))
                .todo("make the command end by itself");
            self.answer(async move { Msg::Failed(error) });
            return;
        };
        let answers = self.answers.clone();
        // A thread and no task: a command that never ends must not hold up the end of the deck.
        let spawned = std::thread::Builder::new().name("on_event".to_owned()).spawn(move || {
            let outcome = crate::store::hook::run(&command, &event);
            drop(turn);
            if let Err(error) = outcome {
                let _ = answers.blocking_send(Msg::Failed(error));
            }
        });
        if let Err(e) = spawned {
            let error = Error::io("on_event could not be run", &e);
            self.answer(async move { Msg::Failed(error) });
        }
    }

    fn sandbox(&self) {
        let Some(open) = self.open_sandbox.clone() else {
            let error =
                Error::failed("this floe was built without the sandbox").todo("build it with --features sandbox");
            self.answer(async move { Msg::Failed(error) });
            return;
        };
        let worlds = self.worlds.clone();
        tokio::spawn(async move {
            let _ = worlds.send(open().await).await;
        });
    }

    /// Goes to another world; gives the message that tells the deck.
    pub async fn enter(&mut self, world: World) -> Msg {
        self.shutdown().await;
        self.errands = None;
        let looks = [
            &mut self.look,
            &mut self.survey,
            &mut self.inside,
            &mut self.freed,
            &mut self.archives,
            &mut self.archive,
        ];
        for task in looks.into_iter().chain([&mut self.plan, &mut self.count]) {
            if let Some(task) = task.take() {
                task.abort();
            }
        }
        self.engines.send_replace(None);
        self.world = world;
        let aws = &self.world.aws;
        Msg::World {
            profiles: aws.profiles(),
            profile: aws.resolve_profile(None),
            sandbox: self.world.sandbox,
            memory: remembered(&self.world.state),
        }
    }

    /// Pauses what runs in this process and waits until it is written down where it stands; a background engine only
    /// loses a front.
    pub async fn shutdown(&self) {
        // A background engine that is being looked for loses nothing: nobody waits here until it is found.
        let mut slot = match self.client.try_lock() {
            Ok(slot) => slot,
            Err(_) if !self.world.sandbox => return,
            Err(_) => self.client.lock().await,
        };
        if let Some(client) = slot.take().filter(|client| client.status().borrow().in_process) {
            let _ = tokio::time::timeout(SHUTDOWN, client.send(Command::Shutdown)).await;
        }
    }
}

/// No profile is the default one, no region is all of them.
fn whole(profiles: Vec<Profile>, regions: Vec<Region>) -> (Vec<Option<Profile>>, Regions) {
    let profiles = if profiles.is_empty() { vec![None] } else { profiles.into_iter().map(Some).collect() };
    (profiles, if regions.is_empty() { Regions::All } else { Regions::Only(regions) })
}

/// Never over another file.
fn write_new(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    std::fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(contents)
}

fn memory_path(state: &StateDir) -> Option<PathBuf> {
    state.cache().ok().map(|dir| dir.join("deck.json"))
}

/// What was kept between runs; nothing when it cannot be read.
#[must_use]
pub fn remembered(state: &StateDir) -> Memory {
    let text = memory_path(state).and_then(|path| std::fs::read(path).ok());
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// The profiles, and what was looked at for them, in words.
#[must_use]
pub fn profiles_of(aws: &Aws) -> (Vec<ProfileInfo>, Vec<String>) {
    let profiles = aws.profiles();
    let home = std::env::var("HOME").unwrap_or_default();
    let file = |variable: &str, name: &str| -> String {
        let path = std::env::var(variable).unwrap_or_else(|_| format!("{home}/.aws/{name}"));
        let found = if Path::new(&path).is_file() { "read" } else { "not there" };
        format!("{}: {found}", path.replacen(&home, "~", usize::from(!home.is_empty())))
    };
    let keys = if std::env::var_os("AWS_ACCESS_KEY_ID").is_some() { "set" } else { "not set" };
    let looked_at = vec![
        format!("{} · {}", file("AWS_CONFIG_FILE", "config"), file("AWS_SHARED_CREDENTIALS_FILE", "credentials")),
        format!("environment: AWS_ACCESS_KEY_ID {keys}"),
    ];
    (profiles, looked_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.csv");
        write_new(&path, b"a").unwrap();
        assert_eq!(write_new(&path, b"b").unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"a");
    }

    #[test]
    fn what_cannot_be_read_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(dir.path())).unwrap();
        assert_eq!(remembered(&state), Memory::default());
        std::fs::write(memory_path(&state).unwrap(), b"{\"destinations\": 3}").unwrap();
        assert_eq!(remembered(&state), Memory::default());
        let kept = Memory { destinations: vec!["eu-west-1:".to_owned()], ..Memory::default() };
        std::fs::write(memory_path(&state).unwrap(), serde_json::to_vec(&kept).unwrap()).unwrap();
        assert_eq!(remembered(&state), kept);
    }
}
