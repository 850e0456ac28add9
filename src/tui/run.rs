//! The loop: one biased `select!`, then at most one frame. The only place of the deck that awaits.
//!
//! Keys come first, so that nothing that streams in can hold one up; only what a filter was just told to find is found
//! before the key that follows, which is meant for it. Work on long lists is done one slice an iteration. A frame is
//! drawn only when something changed, and at most every 33 ms. One event stream lives as long as the deck: a dropped
//! one loses its wake-up.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::clock::Now;
use super::effect::Effect;
use super::model::{Mode, Model};
use super::msg::Msg;
use super::outside::{Heard, OpenSandbox, Outside, WAITING, World, profiles_of, remembered};
use super::quiet::Quiet;
use super::rules::Rules;
use super::screen::Screen;
use super::terminal::{Guard, on_panic};
use super::theme::{TerminalHints, Theme};
use super::update::{update, wants};
use crate::engine::Contact;
use crate::engine::protocol::Status;
use crate::error::{Error, Result};
use crate::ids::Profile;
use crate::plan::Machine;

/// Least time between two frames: 30 a second.
pub const FRAME: Duration = Duration::from_millis(33);
/// How often the start page looks whether `~/.aws` changed: three `stat` calls.
const PROFILES: Duration = Duration::from_secs(2);

/// After so long without the last answers it is said that they are waited for.
const WAIT_SHOWN: Duration = Duration::from_millis(300);
const WAITS: &str = "waiting for the engine's answer to what was asked last";

/// What the deck is opened with.
pub struct Context {
    /// The world to look at.
    pub world: World,
    /// Opens the sandbox for `s` on the start page; `None` where it is not built in.
    pub open_sandbox: Option<OpenSandbox>,
    /// Opens it at once: `world` is only the door until it is there, so that the first frame waits for nothing.
    pub opening: bool,
    /// Memory, cores, place: what plans are made for.
    pub machine: Machine,
    /// The profile that was named, by flag or environment.
    pub profile: Option<Profile>,
    /// What the config and the machine allow.
    pub rules: Rules,
    /// What the environment says of the terminal.
    pub terminal: TerminalHints,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("world", &self.world).field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What to print below the prompt: jobs that were paused, and how they go on.
    pub farewell: Option<String>,
    /// Frames drawn.
    pub frames: u64,
}

/// Opens the deck and stays until it is quit. Must be awaited on the thread that entered the runtime
/// (`block_on`), because the terminal is given back when that thread panics.
///
/// # Errors
/// There is no terminal, or it went away in a way that cannot be told from a fault.
pub async fn run(context: Context) -> Result<Ended> {
    let (answers, mut told) = mpsc::channel(WAITING);
    let (worlds, mut opened) = mpsc::channel(1);
    let panics = answers.clone();
    let mut guard = Guard::take()?;
    on_panic(move |text| {
        let _ = panics.try_send(Msg::Failed(Error::failed(format!("a worker of floe failed: {text}"))));
    });
    let mut deck = Deck::new(context, answers, worlds);
    let mut opening = deck.model.start.opening;
    deck.first(&mut guard)?;
    if opening {
        deck.outside.perform(Effect::OpenSandbox);
    } else {
        deck.outside.wake_engine();
    }
    let mut failed = None;
    let mut events = EventStream::new();
    let mut signals = Signals::new()?;
    let mut engines = deck.outside.engines();
    let mut status: Option<watch::Receiver<Arc<Status>>> = None;
    let mut contact: Option<watch::Receiver<Contact>> = None;
    let mut versions = deck.outside.aws().profiles_version();
    let mut look_at = Instant::now() + PROFILES;

    while !deck.ended {
        deck.frame(&mut guard)?;
        let wants = wants(&deck.model, deck.now());
        let wake = wants.wake.map(|at| deck.started + at);
        let start = deck.model.screen == Screen::Start;
        tokio::select! {
            biased;
            () = signals.any() => deck.hear(Msg::Closing, &mut guard),
            event = events.next(), if !wants.keys_wait => match event {
                Some(Ok(event)) => deck.event(event, &mut guard),
                // The end of input is the end of the terminal: staying would spin without a screen.
                Some(Err(_)) | None => deck.hear(Msg::Closing, &mut guard),
            },
            () = tokio::time::sleep_until(deck.next_frame), if deck.dirty => {}
            Some(msg) = told.recv() => deck.hear(msg, &mut guard),
            Some(world) = opened.recv() => match world {
                Ok(world) => {
                    let last = deck.last_words(&mut told, &mut guard, WAITS, std::future::pending()).await;
                    let msg = deck.outside.enter(world).await;
                    deck.hear(msg, &mut guard);
                    for line in last.lines() {
                        deck.hear(Msg::Failed(Error::failed(line)), &mut guard);
                    }
                    deck.outside.wake_engine();
                    opening = false;
                }
                // Without the world that was asked for there is no deck to stay in.
                Err(error) if opening => {
                    failed = Some(error);
                    deck.ended = true;
                }
                Err(error) => deck.hear(Msg::Failed(error), &mut guard),
            },
            Ok(()) = engines.changed() => {
                let heard = engines.borrow_and_update().clone();
                (status, contact) = heard.map(|Heard { status, contact }| (status, contact)).unzip();
                contact.iter_mut().for_each(watch::Receiver::mark_changed);
            }
            Some(picture) = changed(&mut status) => deck.hear(Msg::Status(picture), &mut guard),
            Some(contact) = changed(&mut contact) => {
                let quiet = Quiet::of(contact, deck.started);
                deck.hear(Msg::Contact(quiet), &mut guard);
            }
            () = std::future::ready(()), if wants.work => {}
            () = tokio::time::sleep_until(look_at), if start => {
                look_at = Instant::now() + PROFILES;
                let now = deck.outside.aws().profiles_version();
                if now != versions {
                    versions = now;
                    deck.outside.perform(Effect::LookAtProfiles);
                }
            }
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                deck.hear(Msg::Tick, &mut guard);
            }
        }
        if wants.work {
            deck.work();
        }
    }
    let waits = format!("{WAITS} · ctrl-c waits no longer");
    let last = deck.last_words(&mut told, &mut guard, &waits, enough(&mut events)).await;
    // An engine in this process pauses its jobs now; one of its own has by now done what it was asked.
    if let Some(status) = status.filter(|status| !status.borrow().in_process) {
        let picture = status.borrow().clone();
        deck.hear(Msg::Status(picture), &mut guard);
    }
    let farewell = farewell(deck.model.jobs_that_would_stop(), deck.model.jobs_that_go_on(), &last);
    deck.outside.shutdown().await;
    let frames = guard.frames;
    drop(guard);
    match failed {
        Some(error) => Err(error),
        None => Ok(Ended { farewell, frames }),
    }
}

/// What was asked in the last moment of a world, and did not do what it should.
#[derive(Debug, Default)]
struct LastWords {
    unanswered: Vec<String>,
    refused: Vec<(String, Error)>,
}

impl LastWords {
    fn hear(&mut self, msg: Msg) {
        if let Msg::Answered(command, Err(error)) = msg {
            self.refused.push((command.wish(), error));
        }
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        let refused = self.refused.iter().map(|(wish, error)| format!("the engine was asked {wish}: {error}"));
        let unanswered = self.unanswered.iter();
        refused.chain(unanswered.map(|wish| format!("the engine was asked {wish} and has not answered yet")))
    }
}

/// Ctrl-C: whoever closed the deck waits no longer. A terminal that is gone (its keys end, and a signal follows) says
/// nothing of the kind: what was asked before is still waited for.
async fn enough(events: &mut EventStream) {
    while let Some(Ok(event)) = events.next().await {
        if event == Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)) {
            return;
        }
    }
    std::future::pending().await
}

/// What becomes of the jobs when the deck is closed, and of what was asked in its last moment.
fn farewell(stopped: usize, go_on: usize, last: &LastWords) -> Option<String> {
    let jobs = |n: usize| super::text::count(n as u64, "job");
    let jobs = match (stopped, go_on) {
        (0, 0) => None,
        (0, 1) => Some("1 job goes on · floe jobs watch".to_owned()),
        (0, n) => Some(format!("{} go on · floe jobs watch", jobs(n))),
        (1, _) => Some("1 job is paused · floe jobs resume goes on".to_owned()),
        (n, _) => Some(format!("{} are paused · floe jobs resume goes on", jobs(n))),
    };
    let lines: Vec<String> = last.lines().chain(jobs).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn now(started: Instant) -> Now {
    Now { wall: crate::wall::now(), mono: started.elapsed() }
}

/// The latest of what an engine tells, when it changed; never, while there is no engine.
async fn changed<T: Clone>(told: &mut Option<watch::Receiver<T>>) -> Option<T> {
    match told {
        Some(pictures) => match pictures.changed().await {
            Ok(()) => Some(pictures.borrow_and_update().clone()),
            Err(_) => {
                *told = None;
                None
            }
        },
        None => std::future::pending().await,
    }
}

struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self> {
        let of = |kind| signal(kind).map_err(|e| Error::io("could not listen for signals", &e));
        Ok(Self([of(SignalKind::terminate())?, of(SignalKind::hangup())?, of(SignalKind::interrupt())?]))
    }

    async fn any(&mut self) {
        let [term, hup, int] = &mut self.0;
        tokio::select! {
            _ = term.recv() => {}
            _ = hup.recv() => {}
            _ = int.recv() => {}
        }
    }
}

/// The model, what is outside of it, and when the next frame is due.
struct Deck {
    model: Model,
    outside: Outside,
    started: Instant,
    dirty: bool,
    next_frame: Instant,
    ended: bool,
}

impl Deck {
    fn new(context: Context, answers: mpsc::Sender<Msg>, worlds: mpsc::Sender<Result<World>>) -> Self {
        let Context { world, open_sandbox, opening, machine, profile, rules, terminal } = context;
        let mut memory = remembered(&world.state);
        memory.legend = memory.legend.or(rules.legend);
        let model = Model {
            theme: Theme::detect(&terminal),
            mode: if rules.read_only { Mode::ReadOnly } else { Mode::Safe },
            rules,
            sandbox: world.sandbox,
            memory,
            chosen_profiles: profile.into_iter().collect(),
            start: super::screen::start::State { opening, ..Default::default() },
            ..Model::default()
        };
        let outside = Outside::new(world, open_sandbox, machine, answers, worlds);
        let started = Instant::now();
        Self { model, outside, started, dirty: true, next_frame: started, ended: false }
    }

    fn now(&self) -> Now {
        now(self.started)
    }

    /// The first frame: from files alone. A profile that can be used is opened, else the start page asks.
    fn first(&mut self, guard: &mut Guard) -> Result<()> {
        let size = crossterm::terminal::size().map_err(|e| Error::io("could not ask for the terminal's size", &e))?;
        self.hear(Msg::Resize(size.0, size.1), guard);
        if self.model.start.opening {
            return self.frame(guard);
        }
        let (profiles, looked_at) = profiles_of(self.outside.aws());
        let usable = first_profile(&self.model, &profiles, self.outside.aws().resolve_profile(None));
        self.hear(Msg::Profiles(profiles, looked_at), guard);
        super::update::restore(&mut self.model);
        match usable {
            First::Open(profile) => {
                self.model.screen = Screen::World;
                let effects = super::update::look(&mut self.model, profile.into_iter().collect(), Vec::new());
                self.perform(effects, guard);
            }
            First::Ask(cursor) => self.model.start.cursor = cursor,
        }
        self.frame(guard)
    }

    fn event(&mut self, event: Event, guard: &mut Guard) {
        let msg = match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => Msg::Key(key),
            Event::Mouse(mouse) if mouse.kind != crossterm::event::MouseEventKind::Moved => Msg::Mouse(mouse),
            Event::Paste(text) => Msg::Paste(text),
            Event::Resize(width, height) => Msg::Resize(width, height),
            _ => return,
        };
        self.hear(msg, guard);
    }

    fn hear(&mut self, msg: Msg, guard: &mut Guard) {
        let now = self.now();
        let effects = update(&mut self.model, msg, now);
        self.dirty = true;
        self.perform(effects, guard);
    }

    fn work(&mut self) {
        let now = self.now();
        update(&mut self.model, Msg::Work, now);
        self.dirty = true;
    }

    fn perform(&mut self, effects: Vec<Effect>, guard: &mut Guard) {
        for effect in effects {
            let done = match effect {
                Effect::Copy(text) => guard.copy(&text),
                Effect::Notify(text) => guard.notify(&text),
                Effect::Quit => {
                    self.ended = true;
                    Ok(())
                }
                other => {
                    self.outside.perform(other);
                    Ok(())
                }
            };
            if let Err(e) = done {
                let now = self.now();
                self.model.trouble(now, Error::io("the terminal did not take it", &e));
            }
        }
    }

    /// Draws when something changed and the last frame is long enough ago.
    /// Waits for the answers to what was asked in the last moment, and says so when that takes a while.
    async fn last_words(
        &mut self,
        told: &mut mpsc::Receiver<Msg>,
        guard: &mut Guard,
        waits: &str,
        enough: impl Future<Output = ()>,
    ) -> LastWords {
        let (mut last, started) = (LastWords::default(), self.started);
        let now = || now(started);
        let (mut enough, mut shown) = (std::pin::pin!(enough), std::pin::pin!(tokio::time::sleep(WAIT_SHOWN)));
        let mut is_shown = false;
        {
            let mut settled = std::pin::pin!(self.outside.settled());
            // What else comes in is taken as well, so that no answer waits behind it.
            loop {
                tokio::select! {
                    biased;
                    Some(msg) = told.recv() => last.hear(msg),
                    () = &mut settled => break,
                    () = &mut enough => break,
                    () = &mut shown, if !is_shown => {
                        is_shown = true;
                        self.model.say(now(), waits);
                        // A terminal that is gone is found when it is given back.
                        let _ = guard.draw(&self.model, now());
                    }
                }
            }
        }
        last.unanswered = self.outside.unanswered();
        while let Ok(msg) = told.try_recv() {
            last.hear(msg);
        }
        last
    }

    fn frame(&mut self, guard: &mut Guard) -> Result<()> {
        if self.dirty && Instant::now() >= self.next_frame {
            guard.draw(&self.model, self.now())?;
            self.dirty = false;
            self.next_frame = Instant::now() + FRAME;
        }
        Ok(())
    }
}

/// What the first frame shows.
#[derive(Debug, PartialEq, Eq)]
enum First {
    /// World, with this profile.
    Open(Option<Profile>),
    /// The start page, the cursor on that profile.
    Ask(usize),
}

/// A named profile that can be used, keys in the environment, or `default`; else the page asks.
fn first_profile(model: &Model, profiles: &[crate::aws::ProfileInfo], resolved: Option<Profile>) -> First {
    let place = |wanted: Option<&str>| {
        profiles.iter().position(|info| info.usable && info.name.as_ref().map(Profile::as_str) == wanted)
    };
    let named = model.profile().cloned().or_else(|| resolved.filter(|_| model.sandbox || !profiles.is_empty()));
    if let Some(named) = named {
        return match place(Some(named.as_str())) {
            Some(_) => First::Open(Some(named)),
            None => First::Ask(profiles.iter().position(|i| i.name.as_ref() == Some(&named)).unwrap_or(0)),
        };
    }
    if place(None).is_some() {
        return First::Open(None);
    }
    if place(Some("default")).is_some() {
        return First::Open("default".parse().ok());
    }
    First::Ask(profiles.iter().position(|info| info.usable).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::profiles;

    #[test]
    fn the_first_frame_opens_what_was_named_and_asks_otherwise() {
        let mut model = Model::default();
        let all = profiles();
        assert_eq!(first_profile(&model, &all, None), First::Ask(0));
        model.chosen_profiles = vec!["prod".parse().unwrap()];
        assert_eq!(first_profile(&model, &all, None), First::Open("prod".parse().ok()));
        model.chosen_profiles = vec!["dr".parse().unwrap()];
        assert_eq!(first_profile(&model, &all, None), First::Ask(1), "one that must sign in is asked about");
        model.chosen_profiles.clear();
        let mut keys = all.clone();
        keys[0].name = None;
        assert_eq!(first_profile(&model, &keys, None), First::Open(None));
        assert_eq!(first_profile(&model, &[], None), First::Ask(0));
    }
}
