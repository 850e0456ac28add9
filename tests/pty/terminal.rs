//! A real terminal around the real binary: a pty, an emulator, and waiting for text instead of sleeping.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};

/// How long a screen may take before a test fails; generous, because it is no measurement.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The key; in raw mode it is no signal.
pub const CTRL_C: &str = "\u{3}";
/// A plan must be seen before it is started: its gate ignores keys for 400 ms, and until 200 ms passed without one.
const READING: Duration = Duration::from_millis(700);
/// Between two letters of a hand; a typed token takes nothing that is faster than 30 ms.
const HAND: Duration = Duration::from_millis(60);

pub struct Terminal {
    screen: vt100::Parser,
    output: Receiver<Vec<u8>>,
    input: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: usize,
    raw: Vec<u8>,
}

impl Terminal {
    /// Starts floe with these arguments in a terminal of this size, with a home of its own.
    pub fn floe(home: &Path, args: &[&str], columns: u16, rows: u16) -> Self {
        Self::floe_with(home, args, columns, rows, &[])
    }

    /// The same with further variables.
    pub fn floe_with(home: &Path, args: &[&str], columns: u16, rows: u16, env: &[(&str, &str)]) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).expect("a pty");
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_floe"));
        command.args(args);
        command.env_clear();
        command.env("PATH", std::env::var("PATH").unwrap_or_default());
        command.env("HOME", home);
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        command.env("LANG", "C.UTF-8");
        for (name, value) in env {
            command.env(name, value);
        }
        command.cwd(home);
        let child = pty.slave.spawn_command(command).expect("floe starts");
        drop(pty.slave);
        let mut reader = pty.master.try_clone_reader().expect("its output");
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0u8; 65_536];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if send.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let input = pty.master.take_writer().expect("its input");
        let screen = vt100::Parser::new(cells(rows), cells(columns), 0);
        Self { screen, output, input, child, master: pty.master, keys: 0, raw: Vec::new() }
    }

    /// Types one key (or one burst that a terminal sends for one key).
    pub fn key(&mut self, key: &str) {
        self.keys += 1;
        self.input.write_all(key.as_bytes()).expect("typed");
        self.input.flush().expect("typed");
    }

    /// Types a word, key by key.
    pub fn word(&mut self, word: &str) {
        for letter in word.chars() {
            self.key(&letter.to_string());
        }
    }

    /// Types a word as slowly as a hand does.
    pub fn by_hand(&mut self, word: &str) {
        for (at, letter) in word.char_indices() {
            std::thread::sleep(HAND);
            self.key(&letter.to_string());
            // Seen before the next one: a busy machine would read two at once, which counts as a paste.
            self.wait_for(&[&format!("▏{}_", &word[..at + letter.len_utf8()])]);
        }
        std::thread::sleep(HAND);
    }

    /// Waits until the screen shows the text that names a key, then types it: no key has to be known by heart.
    #[track_caller]
    pub fn shown_key(&mut self, shown: &str, key: &str) {
        self.wait_for(&[shown]);
        self.key(key);
    }

    /// Looks at what is shown for as long as a reader does, and takes what is drawn meanwhile.
    pub fn read(&mut self) {
        self.quiet_for(READING);
    }

    /// Takes what is drawn for this long; gives the bytes of it.
    pub fn quiet_for(&mut self, time: Duration) -> usize {
        let (end, before) = (Instant::now() + time, self.raw.len());
        while let Ok(bytes) = self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.take(&bytes);
        }
        self.raw.len() - before
    }

    /// Waits until nothing was drawn for this long.
    ///
    /// # Panics
    /// When it goes on drawing.
    #[track_caller]
    pub fn wait_for_rest(&mut self, time: Duration) {
        let end = Instant::now() + PATIENCE;
        while self.quiet_for(time) > 0 {
            assert!(Instant::now() < end, "it never rests; the screen is\n{}", self.text());
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw).expect("its id");
        rustix::process::kill_process(pid, signal).expect("signalled");
    }

    /// Keys typed so far.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// What the terminal shows.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// The emulator, for attributes and modes.
    pub fn screen(&self) -> &vt100::Screen {
        self.screen.screen()
    }

    /// Every byte that floe wrote.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Makes the terminal larger or smaller.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).expect("resized");
        self.screen.screen_mut().set_size(cells(rows), cells(columns));
    }

    /// Waits until the screen shows all of these.
    ///
    /// # Panics
    /// When it does not in time; the screen is printed.
    #[track_caller]
    pub fn wait_for(&mut self, texts: &[&str]) {
        self.wait_until(&format!("{texts:?}"), |text| texts.iter().all(|t| text.contains(t)));
    }

    /// Waits until the screen satisfies `right`.
    ///
    /// # Panics
    /// When it does not in time; the screen is printed.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, right: impl Fn(&str) -> bool) {
        self.wait_as_long(what, PATIENCE, right);
    }

    /// The same with a patience of its own, for what is known to be long.
    ///
    /// # Panics
    /// When it does not in time; the screen is printed.
    #[track_caller]
    pub fn wait_as_long(&mut self, what: &str, patience: Duration, right: impl Fn(&str) -> bool) {
        let end = Instant::now() + patience;
        while !right(&self.text()) {
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout) => panic!("waited for {what}, but the screen is\n{}", self.text()),
                Err(RecvTimeoutError::Disconnected) if right(&self.text()) => return,
                Err(RecvTimeoutError::Disconnected) => panic!("floe ended before {what}:\n{}", self.text()),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        self.screen.process(bytes);
    }

    /// Waits until floe ends.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().expect("its end"),
                Err(RecvTimeoutError::Timeout) => panic!("floe did not end; the screen is\n{}", self.text()),
            }
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it runs")
    }
}

fn cells(n: u16) -> NonZero<u16> {
    NonZero::new(n).expect("a terminal has cells")
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
