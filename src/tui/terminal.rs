//! The terminal, taken and given back: what is enabled is disabled in the opposite order, once, on every way out.
//!
//! Leaving is idempotent, so the panic hook, the signals and the ordinary end may all do it. The hook leaves
//! only when the thread that draws panics: a panicking worker must not throw a live screen out.

use std::io::{self, BufWriter, Stdout, Write};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, SetTitle,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::clock::Now;
use super::model::Model;
use super::view;
use crate::error::{Error, Result};

/// Whether the terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Bytes of one frame at most, roughly: one write a frame instead of one a cell.
const FRAME_BYTES: usize = 64 * 1024;

/// The terminal while it is ours.
#[derive(Debug)]
pub struct Guard {
    terminal: ManuallyDrop<Terminal<CrosstermBackend<BufWriter<Stdout>>>>,
    /// Frames drawn so far: an idle deck draws none.
    pub frames: u64,
    title: String,
    progress: Option<u8>,
}

impl Guard {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It is none, or it refuses.
    pub fn take() -> Result<Self> {
        let failed = |e: io::Error| Error::io("could not take the terminal", &e);
        enable_raw_mode().map_err(failed)?;
        TAKEN.store(true, Ordering::SeqCst);
        // The title that was there is put aside; terminals that cannot ignore it.
        let _ = write!(io::stdout(), "\x1b[22;2t");
        let taken =
            execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste, cursor::Hide);
        let made = taken
            .and_then(|()| Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(FRAME_BYTES, io::stdout()))));
        match made {
            Ok(terminal) => {
                Ok(Self { terminal: ManuallyDrop::new(terminal), frames: 0, title: String::new(), progress: None })
            }
            Err(e) => {
                leave();
                Err(failed(e))
            }
        }
    }

    /// Draws one frame, whole or not at all where the terminal knows synchronised updates.
    ///
    /// # Errors
    /// The terminal went away.
    pub fn draw(&mut self, model: &Model, now: Now) -> Result<()> {
        let failed = |e: io::Error| Error::io("could not draw", &e);
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate).map_err(failed)?;
        let drawn = self.terminal.draw(|frame| {
            let area = frame.area();
            view::view(model, area, frame.buffer_mut(), &model.theme, now);
        });
        drawn.map_err(failed)?;
        self.outside(model).map_err(failed)?;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate).map_err(failed)?;
        self.frames += 1;
        Ok(())
    }

    /// Title and progress, when they changed: the deck is seen in the task bar, too.
    fn outside(&mut self, model: &Model) -> io::Result<()> {
        let (title, progress) = outside(model);
        let out = self.terminal.backend_mut();
        if title != self.title {
            queue!(out, SetTitle(&title))?;
            self.title = title;
        }
        if progress != self.progress {
            match progress {
                Some(percent) => write!(out, "\x1b]9;4;1;{percent}\x1b\\")?,
                None => write!(out, "\x1b]9;4;0;0\x1b\\")?,
            }
            self.progress = progress;
        }
        Ok(())
    }

    /// Puts text on the clipboard of the terminal's own machine.
    ///
    /// # Errors
    /// The terminal went away.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(self.terminal.backend_mut(), crossterm::clipboard::CopyToClipboard::to_clipboard_from(text))
    }

    /// Rings, and notifies where the terminal knows how (OSC 9 and OSC 777).
    ///
    /// # Errors
    /// The terminal went away.
    pub fn notify(&mut self, text: &str) -> io::Result<()> {
        let plain: String = text.chars().filter(|c| !c.is_control() && *c != ';').take(200).collect();
        let out = self.terminal.backend_mut();
        write!(out, "\x07\x1b]9;{plain}\x1b\\\x1b]777;notify;floe;{plain}\x1b\\")?;
        Write::flush(out)
    }
}

impl Drop for Guard {
    /// ratatui's own drop complains on stderr when the cursor cannot be shown, and panics when stderr went away
    /// with the terminal (a hang-up). So it is never run: the process is about to end, or the frames are small.
    fn drop(&mut self) {
        leave();
    }
}

/// The title, and the progress of everything that runs.
#[must_use]
pub fn outside(model: &Model) -> (String, Option<u8>) {
    let running: Vec<_> = model.jobs().iter().filter(|job| job.state.is_active()).collect();
    let total: u64 = running.iter().map(|job| job.blocks_total.value.0).sum();
    let done: u64 = running.iter().map(|job| job.blocks_done.0.min(job.blocks_total.value.0)).sum();
    if running.is_empty() {
        let who = model.profile().map_or_else(|| "floe".to_owned(), |profile| format!("floe · {profile}"));
        return (who, None);
    }
    // 100 is for what is done, not for what is nearly done.
    let percent = u8::try_from((u128::from(done) * 100 / u128::from(total.max(1))).min(99)).unwrap_or(99);
    let jobs = super::text::count(running.len() as u64, "job");
    if model.quiet.is_some() {
        return (format!("floe · {jobs} · the engine does not answer"), Some(percent));
    }
    (format!("floe · {jobs} · {percent} %"), Some(percent))
}

/// Gives the terminal back, if it is ours: paired with [`Guard::take`], in the opposite order.
pub fn leave() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    // Nothing can be done about a terminal that is gone; every step is tried all the same.
    let _ = write!(out, "\x1b]9;4;0;0\x1b\\\x1b[23;2t");
    let _ = execute!(
        out,
        EndSynchronizedUpdate,
        cursor::Show,
        DisableBracketedPaste,
        DisableMouseCapture,
        LeaveAlternateScreen
    );
    let _ = disable_raw_mode();
}

/// Gives the terminal back when this thread panics, before the message is printed. A panic of another thread
/// is told to `worker` and prints nothing, because the screen is still alive.
pub fn on_panic(worker: impl Fn(String) + Send + Sync + 'static) {
    let ui = std::thread::current().id();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == ui || !TAKEN.load(Ordering::SeqCst) {
            leave();
            before(info);
        } else {
            worker(info.to_string());
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_what_is_not_ours_does_nothing() {
        assert!(!TAKEN.load(Ordering::SeqCst));
        leave();
        leave();
        assert!(!TAKEN.load(Ordering::SeqCst));
    }

    #[test]
    fn the_title_says_who_when_nothing_runs() {
        let model = Model { chosen_profiles: vec!["prod".parse().unwrap()], ..Model::default() };
        assert_eq!(outside(&model), ("floe · prod".to_owned(), None));
    }
}
