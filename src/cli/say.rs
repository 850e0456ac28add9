//! Where words go: results to stdout, everything else to stderr. The only file that writes to either.
//!
//! A pipe that was closed by its reader (`floe ls | head`) ends the output and is no failure. Control
//! characters in what came from elsewhere (names, tags, file names) never reach a terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::error::{Error, Result};

/// Notes and warnings: how much of them is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Say {
    /// `-q`: neither notes nor progress.
    pub quiet: bool,
}

impl Say {
    /// One line on stderr, unless quiet.
    pub fn note(self, text: &str) {
        if !self.quiet {
            stderr(text);
        }
    }

    /// One warning on stderr, quiet or not: it is not progress.
    pub fn warn(self, text: &str) {
        stderr(&format!("warning: {text}"));
    }

    /// Whether progress may draw over itself.
    #[must_use]
    pub fn can_draw(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Whether somebody may be looking: there is a terminal to answer on.
    #[must_use]
    pub fn is_attended(self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks on stderr, default no. `yes` answers for the user.
    ///
    /// # Errors
    /// Refused (exit 5) when there is no terminal to ask on.
    pub fn confirm(self, question: &str, yes: bool) -> Result<bool> {
        let answer = self.ask(&format!("{question} [y/N]"), question, yes)?;
        Ok(answer.is_none_or(|answer| matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")))
    }

    /// The same, accepted by typing `wanted`: for what must not be answered in passing.
    ///
    /// # Errors
    /// As [`Say::confirm`].
    pub fn typed(self, question: &str, wanted: &str, yes: bool) -> Result<bool> {
        let answer = self.ask(&format!("{question}:"), question, yes)?;
        Ok(answer.is_none_or(|answer| answer == wanted))
    }

    /// The line that was typed; none when `yes` answers for the user.
    fn ask(self, prompt: &str, question: &str, yes: bool) -> Result<Option<String>> {
        if yes {
            return Ok(None);
        }
        if !self.is_attended() {
            return Err(Error::refused(format!("`{question}` needs --yes: there is no terminal to answer on"))
                .todo("look at what is shown above, then add --yes"));
        }
        let mut err = io::stderr().lock();
        let asked = write!(err, "{} ", clean(prompt)).and_then(|()| err.flush());
        asked.map_err(|e| Error::io("could not ask", &e))?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map_err(|e| Error::io("could not read the answer", &e))?;
        Ok(Some(answer.trim().to_owned()))
    }
}

/// Prints an error as every front of the command line does: what, then what to do.
pub fn error(error: &Error) {
    stderr(&format!("floe: {error}"));
    if let Some(aws) = error.aws.as_ref().filter(|aws| !aws.message.is_empty() && !error.what.contains(&aws.message)) {
        stderr(&format!("  AWS: {}", aws.message));
    }
    if let Some(todo) = &error.todo {
        stderr(&format!("  → {todo}"));
    }
}

/// One result on stdout, with a line end.
///
/// # Errors
/// Stdout cannot be written (a full disk behind a redirection); a closed pipe is no error.
pub fn result(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let wrote = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    match wrote {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("could not write the result", &cause)),
        _ => Ok(()),
    }
}

/// The same without a line end of its own, for documents that bring theirs.
///
/// # Errors
/// As [`result`].
pub fn document(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("could not write the result", &cause)),
        _ => Ok(()),
    }
}

/// One line on stderr; there is nobody to tell when that fails.
pub fn stderr(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", clean(text));
}

/// Columns of the terminal behind a stream; `None` where there is none, or one that does not say.
#[must_use]
pub fn columns(stream: &(impl io::IsTerminal + std::os::fd::AsFd)) -> Option<usize> {
    let size = stream.is_terminal().then(|| rustix::termios::tcgetwinsize(stream).ok())??;
    Some(usize::from(size.ws_col)).filter(|columns| *columns >= NARROWEST)
}

/// Nothing is broken to fit less than this.
const NARROWEST: usize = 40;
/// Where the text behind a label stands: `Memory   ≤ 204 MiB`.
const LABEL: usize = 9;

/// The same text for a terminal of so many columns: what is longer goes on below its own text, broken at a blank.
/// A line that has none stays as it is, and so does all of it where nobody looks.
#[must_use]
pub fn folded(text: &str, columns: Option<usize>) -> String {
    let Some(columns) = columns else { return text.to_owned() };
    let mut out = Vec::new();
    for line in text.lines() {
        let blanks = line.chars().take_while(|c| *c == ' ').count();
        let is_labelled = blanks < LABEL && line.chars().nth(LABEL - 1) == Some(' ');
        let indent = if is_labelled { LABEL } else { blanks };
        let mut rest: Vec<char> = line.chars().collect();
        while rest.len() > columns {
            let fits = rest.iter().take(columns + 1).rposition(|c| *c == ' ').filter(|at| *at > indent);
            let Some(at) = fits else { break };
            let (head, tail) = rest.split_at(at);
            out.push(head.iter().collect::<String>().trim_end().to_owned());
            let tail: Vec<char> = tail.iter().copied().skip_while(|c| *c == ' ').collect();
            // An ARN that fits a line of its own without the indent is not broken for it.
            let word = tail.iter().take_while(|c| **c != ' ').count();
            let blanks = if word <= columns && indent + word > columns { 0 } else { indent };
            rest = std::iter::repeat_n(' ', blanks).chain(tail).collect();
        }
        out.push(rest.into_iter().collect());
    }
    out.join("\n")
}

/// Control characters made visible: a snapshot's name must not steer a terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    if !text.contains(|c: char| c.is_control() && c != '\n') {
        return text.to_owned();
    }
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_steer_the_terminal() {
        assert_eq!(clean("web\x1b[2Jroot"), "web\u{fffd}[2Jroot");
        assert_eq!(clean("two\nlines"), "two\nlines");
    }

    #[test]
    fn what_is_longer_than_the_terminal_goes_on_below_its_own_text() {
        let text = "Memory   ≤ 204 MiB with a budget of 256 MiB; machine 23 GiB: fits\n  · floe is taken to run outside\nshort";
        assert_eq!(folded(text, None), text, "whoever reads it through a pipe gets one line of each");
        let lines = "Memory   ≤ 204 MiB with a budget of 256\n         MiB; machine 23 GiB: fits\n  · floe is taken to run outside\nshort";
        assert_eq!(folded(text, Some(40)), lines);
        let word = format!("  to     {}", "x".repeat(80));
        assert_eq!(folded(&word, Some(40)), word, "an address is never broken");
        let key = format!("  to     with {}", "k".repeat(38));
        assert_eq!(folded(&key, Some(40)), format!("  to     with\n{}", "k".repeat(38)), "nor a key that fits");
    }
}
