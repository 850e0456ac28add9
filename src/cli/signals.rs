//! Ctrl-C, SIGTERM and SIGHUP, as the verbs understand them: the first asks, the second ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Result};

/// The three signals that ask a command to end.
#[derive(Debug)]
pub struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Ends {
    /// Listens from now on; the default behaviour (dying on the spot) is off.
    ///
    /// # Errors
    /// The operating system refuses the handler.
    pub fn listen() -> Result<Self> {
        let on = |kind| signal(kind).map_err(|e| Error::io("could not listen for signals", &e));
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> End {
        tokio::select! {
            _ = self.interrupt.recv() => End::Asked,
            _ = self.terminate.recv() => End::Asked,
            _ = self.hangup.recv() => End::Hangup,
        }
    }
}

/// What ends a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Somebody wants it to.
    Asked,
    /// Its terminal went away.
    Hangup,
}

/// Waits for the first one.
///
/// # Errors
/// As [`Ends::listen`].
pub async fn ended() -> Result<()> {
    Ends::listen()?.next().await;
    Ok(())
}
