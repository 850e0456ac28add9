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
        let asked = write!(err, "{} ", for_stderr(prompt)).and_then(|()| err.flush());
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

/// A sentence on stderr, folded for a terminal; there is nobody to tell when that fails.
pub fn stderr(text: &str) {
    lines(&folded(text, columns(&io::stderr())));
}

/// Lines on stderr as they are.
pub fn lines(text: &str) {
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
/// Where a sentence without label or mark goes on.
const HANG: usize = 2;

/// The same text for a terminal of so many columns: what is longer goes on below its own text, broken at a blank.
/// A word that is longer stays whole, so does a command that somebody may copy, and so does all of it where nobody looks.
#[must_use]
pub fn folded(text: &str, columns: Option<usize>) -> String {
    let Some(columns) = columns else { return text.to_owned() };
    text.lines().flat_map(|line| fold(line, columns)).collect::<Vec<_>>().join("\n")
}

/// One line as the lines that it takes.
fn fold(line: &str, columns: usize) -> Vec<String> {
    let indent = lead(line);
    let mut rest: Vec<(char, bool)> = line.chars().zip(breaks(line)).collect();
    let mut out = Vec::new();
    let put = |out: &mut Vec<String>, line: &[(char, bool)]| {
        out.push(line.iter().map(|(c, _)| *c).collect::<String>().trim_end().to_owned());
    };
    while rest.len() > columns {
        let may = |at: &usize| rest[*at].1 && *at > indent;
        let fits = (0..=columns.min(rest.len() - 1)).rev().find(may);
        // What is too long for any line ends where it ends.
        let Some(at) = fits.or_else(|| (columns..rest.len()).find(may)) else { break };
        put(&mut out, &rest[..at]);
        let tail: Vec<(char, bool)> = rest[at..].iter().copied().skip_while(|(c, _)| *c == ' ').collect();
        // An ARN that fits a line of its own without the indent is not broken for it.
        let word = tail.iter().take_while(|(_, may)| !may).count();
        let blanks = if word <= columns && indent + word > columns { 0 } else { indent };
        rest = std::iter::repeat_n((' ', false), blanks).chain(tail).collect();
    }
    put(&mut out, &rest);
    out
}

/// Columns before the words of a line: its blanks with the mark or the label behind them.
fn lead(line: &str) -> usize {
    let blanks = line.chars().take_while(|c| *c == ' ').count();
    let rest = line.get(blanks..).unwrap_or_default();
    if let Some(head) = ["floe: ", "warning: ", "AWS: "].into_iter().find(|head| rest.starts_with(head)) {
        return blanks + head.len();
    }
    let at = |n: usize| line.chars().nth(n);
    let ends_word = blanks + rest.chars().take_while(|c| *c != ' ').count() == LABEL - 1;
    if blanks < LABEL && at(LABEL - 1) == Some(' ') && (at(LABEL - 2) == Some(' ') || ends_word) {
        return LABEL;
    }
    let mut chars = rest.chars();
    match (chars.next(), chars.next()) {
        (Some(mark), Some(' ')) if !mark.is_alphanumeric() => blanks + 2,
        _ if blanks == 0 => HANG,
        _ => blanks,
    }
}

/// Of each character of a line whether it may end there: blanks may, but not those of a command, which would be copied
/// in two halves and carried out as one of them.
fn breaks(line: &str) -> Vec<bool> {
    let mut out = Vec::with_capacity(line.len());
    let (mut quoted, mut command) = (false, false);
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        let rest = &line[at..];
        if c == '`' {
            quoted = !quoted && rest[1..].contains('`');
        }
        command = match command {
            true => ![" · ", " (", "; "].iter().any(|end| rest.starts_with(end)),
            false => before == ' ' && is_command(rest),
        };
        out.push(c == ' ' && !quoted && !command);
        before = c;
    }
    out
}

/// Whether a command begins there.
fn is_command(text: &str) -> bool {
    let verb = text.strip_prefix("floe ").and_then(|rest| rest.split([' ', ',', ';', ':']).next());
    verb.is_some_and(|verb| VERBS.contains(&verb)) || text.starts_with("aws ") || text.starts_with("kill -")
}

/// The verbs of the command line; a test holds them against it.
const VERBS: [&str; 19] = [
    "ls",
    "size",
    "inspect",
    "plan",
    "copy",
    "verify",
    "delete",
    "restore",
    "audit",
    "jobs",
    "orphans",
    "prices",
    "accuracy",
    "engine",
    "sandbox",
    "doctor",
    "iam",
    "completions",
    "man",
];

/// A text as stderr takes it.
#[must_use]
pub fn for_stderr(text: &str) -> String {
    folded(&clean(text), columns(&io::stderr()))
}

/// Words on stdout, folded for a terminal; the tables among them are as wide as they need to be, and JSON is a [`result`].
///
/// # Errors
/// As [`result`].
pub fn page(text: &str) -> Result<()> {
    result(&paged(&clean(text), columns(&io::stdout())))
}

/// A page for a terminal of so many columns. A line is of a table where two blanks stand between its words.
fn paged(text: &str, columns: Option<usize>) -> String {
    let of_table = |line: &str| line.chars().skip(lead(line)).collect::<String>().trim_start().contains("  ");
    let one = |line: &str| if of_table(line) { line.to_owned() } else { folded(line, columns) };
    text.lines().map(one).collect::<Vec<_>>().join("\n")
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
        let after = format!("{word} as eu-west-1 says");
        assert_eq!(folded(&after, Some(40)), format!("{word}\n         as eu-west-1 says"));
    }

    #[test]
    fn what_is_said_goes_on_below_its_words() {
        for (text, lines) in [
            (
                "floe: the engine of another user holds that directory",
                "floe: the engine of another user holds\n      that directory",
            ),
            (
                "warning: four of these regions cannot be read",
                "warning: four of these regions cannot be\n         read",
            ),
            ("  → name another directory: --state-dir DIR", "  → name another directory: --state-dir\n    DIR"),
            ("  AWS: You are not authorized to perform this", "  AWS: You are not authorized to perform\n       this"),
            ("✗ credentials of prod: they ended an hour ago", "✗ credentials of prod: they ended an\n  hour ago"),
            ("not asked, nothing is charged for any of it", "not asked, nothing is charged for any of\n  it"),
            (
                "requests 12 list, 1,500 get, 1,500 put; 3 retries",
                "requests 12 list, 1,500 get, 1,500 put;\n         3 retries",
            ),
        ] {
            assert_eq!(folded(text, Some(40)), lines);
        }
    }

    #[test]
    fn a_page_folds_its_sentences_and_leaves_its_tables() {
        let table =
            format!("SNAPSHOT                 FREES ALONE  FELT\nsnap-{}      402 GiB  at once", "0".repeat(17));
        let text = format!("{table}\n\n! eu-west-1: what is shared with others was not asked");
        let folded = format!("{table}\n\n! eu-west-1: what is shared with others\n  was not asked");
        assert_eq!(paged(&text, Some(40)), folded);
        assert_eq!(paged(&text, None), text);
    }

    #[test]
    fn a_command_is_never_copied_in_two_halves() {
        let text = "  → end it and keep what was made: floe jobs cancel 14 --keep";
        assert_eq!(folded(text, Some(40)), "  → end it and keep what was made:\n    floe jobs cancel 14 --keep");
        let text = "job 14 is paused; floe jobs resume 14 goes on";
        assert_eq!(folded(text, Some(40)), "job 14 is paused;\n  floe jobs resume 14 goes on");
        let text = "  → sign in with `aws sso login --profile dr` and look again";
        assert_eq!(folded(text, Some(40)), "  → sign in with\n    `aws sso login --profile dr` and\n    look again");
        let long = format!("floe copy us-east-1:snap-{} eu-west-1:", "0".repeat(17));
        assert_eq!(
            folded(&format!("  → {long}"), Some(40)),
            format!("  → {long}"),
            "the terminal breaks it, and copies it whole"
        );
        assert_eq!(
            folded("a b ` c d e f g h i j k l m n o p q r s t u", Some(40)).lines().count(),
            2,
            "a mark alone quotes nothing"
        );
        let words = "· floe is taken to run outside AWS: with --runs-in REGION it costs less";
        assert!(folded(words, Some(40)).lines().all(|line| line.chars().count() <= 40), "no verb, no command");
    }

    #[test]
    fn the_verbs_are_those_of_the_command_line() {
        use clap::CommandFactory as _;
        let command = super::super::args::Cli::command();
        let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        assert!(known.iter().all(|verb| VERBS.contains(verb)), "{known:?}");
    }
}
