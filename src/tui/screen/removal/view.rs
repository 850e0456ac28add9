//! The deletion screen, drawn: the head, the items beside their sums, what to know before typing.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{Foot, Stage, account};
use crate::engine::protocol::JobState;
use crate::engine::removal::{Archiving, Outcome, Row};
use crate::ids::AccountId;
use crate::inventory::verdict::Answer;
use crate::plan::removal::{Item, RemovalPlan, Would};
use crate::plan::span;
use crate::tui::clock::Now;
use crate::tui::model::{Mode, Model};
use crate::tui::screen::detail::{self, wrapped};
use crate::tui::text::{clip, left, right, words as sentence, wrap};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::stack::{Want, heights};
use crate::tui::widget::{line, panel};
use crate::units::counted;

/// Columns of `≤ 14.4 TiB`, and of `12 Dec 2026 bin`; what is left of a row is the name's.
const FREES: usize = 10;
const BACK: usize = 15;

/// Columns of the summary beside the items.
const SUMMARY: u16 = 38;

/// Draws the screen.
pub fn view(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let state = &model.removal;
    let Some(plan) = &state.plan else {
        let (title, lines) = match &state.stage {
            Stage::Making => (
                "Deletion plan ◐",
                vec![(Role::Text, "◐ asking AWS what holds each of them. Nothing is changed.".to_owned())],
            ),
            Stage::Failed(error) => {
                let mut lines = vec![(Role::Bad, format!("✗ {}", error.what))];
                lines.extend(error.todo.iter().map(|todo| (Role::Accent, format!("→ {todo}"))));
                ("Deletion plan ✗", lines)
            }
            _ => ("Deletion plan", vec![(Role::Text, "There is no plan: D on marked snapshots makes one.".to_owned())]),
        };
        let inner = panel(title, "esc back", true, area, buf, theme);
        write(inner, &lines, buf, theme);
        return;
    };
    let before = before(model, plan, now);
    let tall = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).saturating_add(2);
    let wants = [
        Want { least: 3, most: 4, worth: 8 },
        Want { least: 5, most: u16::MAX, worth: 7 },
        Want { least: 3, most: tall(before.len()).min(area.height / 2), worth: 9 },
    ];
    let heights = heights(area.height, &wants);
    let head = Rect { height: heights[0], ..area };
    let middle = Rect { y: head.bottom(), height: heights[1], ..area };
    let foot = Rect { y: middle.bottom(), height: heights[2], ..area };
    if head.height > 0 {
        let right = if matches!(state.stage, Stage::Over(_) | Stage::Running | Stage::Stopping) {
            ""
        } else {
            "nothing has been deleted"
        };
        let inner = panel("Deletion plan", right, false, head, buf, theme);
        write(inner, &head_lines(model, plan), buf, theme);
    }
    if middle.height > 0 {
        let beside = if area.width >= 100 { SUMMARY } else { 0 };
        items(model, plan, Rect { width: middle.width - beside, ..middle }, buf, theme);
        if beside > 0 {
            let at = Rect { x: middle.right() - beside, width: beside, ..middle };
            let inner = panel("Summary", "", false, at, buf, theme);
            write(inner, &summary(plan, matches!(state.stage, Stage::Over(_))), buf, theme);
        }
    }
    if foot.height > 0 {
        let (title, right) = match (&state.foot, &state.stage) {
            (Foot::Evidence, _) => ("Evidence", "e closes"),
            (Foot::Compared(_), _) => ("Compared", "c closes"),
            (Foot::Before, Stage::Running | Stage::Stopping) => ("Running", ""),
            (Foot::Before, Stage::Over(_)) => ("What became of it", ""),
            (Foot::Before, _) => ("Before you type", ""),
        };
        let inner = panel(title, right, false, foot, buf, theme);
        write(inner, &before, buf, theme);
    }
}

fn write(inner: Rect, lines: &[(Role, String)], buf: &mut Buffer, theme: &Theme) {
    let room = usize::from(inner.width.saturating_sub(2));
    for (n, (role, text)) in (0..inner.height).zip(lines) {
        let text = Line::from(Span::styled(sentence(text, room), theme.style(*role)));
        line(inner.x + 1, inner.y + n, &text, Rect { width: inner.width.saturating_sub(1), ..inner }, buf);
    }
}

fn head_lines(model: &Model, plan: &RemovalPlan) -> Vec<(Role, String)> {
    let sum = plan.summary();
    let named = |account: &AccountId| match model.alias(account) {
        Some(alias) => format!("{} (alias {alias})", account.grouped()),
        None => account.grouped(),
    };
    let accounts: Vec<String> = sum.accounts.iter().map(named).collect();
    let regions: Vec<&str> = sum.regions.iter().map(crate::ids::Region::as_str).collect();
    let kinds = [(sum.snapshots, "snapshot"), (sum.volumes, "volume"), (sum.images, "AMI")];
    let kinds = kinds.into_iter().filter(|(n, _)| *n > 0);
    let kinds: Vec<String> = kinds.map(|(n, what)| format!("{n} {what}{}", if n == 1 { "" } else { "s" })).collect();
    let of = format!("{} · {} in {}", accounts.join(", "), kinds.join(", "), regions.join(", "));
    let made = format!(
        "plan {}, made {} by {} · {}, limit of one plan {}",
        plan.short_hash().unwrap_or_default(),
        plan.made.strftime("%H:%M UTC"),
        plan.by,
        sum.removed,
        plan.limit
    );
    vec![(Role::Accent, if sum.removed == 0 { "nothing would be removed".to_owned() } else { of }), (Role::Text, made)]
}

fn frees(item: &Item) -> String {
    if item.would.removes() { detail::frees(&item.judged.frees) } else { "–".to_owned() }
}

fn items(model: &Model, plan: &RemovalPlan, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let state = &model.removal;
    let (n, all) = (state.hidden.len(), plan.items.len());
    let (title, how) = match (n, state.only_hidden) {
        (0, _) => (format!("Items {all}"), "! final first"),
        (_, true) => (format!("Items {n} of {all}: those that the filter hides"), "H all"),
        (1, false) => (format!("Items {all} · 1 of them is marked but hidden by the filter"), "H shows it"),
        (_, false) => (format!("Items {all} · {n} of them are marked but hidden by the filter"), "H shows them"),
    };
    let inner = panel(&title, how, true, area, buf, theme);
    if inner.height < 2 {
        return;
    }
    let room = usize::from(inner.width.saturating_sub(2));
    let narrow = room < 74;
    let outcome = |at: usize| state.outcomes.get(at).and_then(Option::as_ref);
    let word =
        |at: usize, item: &Item| outcome(at).map_or_else(|| item.would.word(), |outcome| outcome.word(&item.target));
    // As wide as the longest word that is there or comes: rows do not move while they are carried out.
    let gone = Outcome::Removed { request_id: None, back_until: None, note: None };
    let comes = |item: &Item| if item.would.removes() { gone.word(&item.target) } else { "" };
    let words = plan.items.iter().enumerate();
    let words = words.flat_map(|(at, item)| [word(at, item), comes(item)].map(crate::tui::text::width));
    let words = words.chain([5]).max().unwrap_or(5) + 1;
    // A date keeps its year: where an outcome's word is longer the id gives way.
    let id = if narrow { 12 - words.saturating_sub(7).min(3) } else { 22 };
    // Where all of it is in one region the head says which: names have the room.
    let region = if plan.summary().regions.len() > 1 { 6 } else { 0 };
    let name = room.saturating_sub(2 + words + id + 1 + 1 + region + FREES + 1 + BACK).clamp(4, 24);
    let cells = |would: &str, what: &str, called: &str, at: &str, frees: &str, back: &str| {
        format!(
            "{}{} {} {}{} {}",
            left(would, words),
            left(what, id),
            left(&clip(called, name), name),
            left(at, region),
            right(frees, FREES),
            sentence(back, room.saturating_sub(2 + words + id + name + region + FREES + 3))
        )
    };
    let heads = cells("WOULD", "ID", "NAME", "REG", "FREES", "BACK UNTIL");
    line(inner.x + 1, inner.y, &Line::from(Span::styled(format!("  {heads}"), theme.style(Role::Title))), inner, buf);
    let height = usize::from(inner.height - 1);
    let shown = super::shown(state);
    let cursor = shown.iter().position(|place| *place == state.cursor).unwrap_or(0);
    let top = cursor.saturating_sub(height.saturating_sub(1));
    let rows = shown.iter().skip(top).filter_map(|at| Some((*at, plan.items.get(*at)?)));
    for (n, (place, item)) in (1..inner.height).zip(rows) {
        let (outcome, word) = (outcome(place), word(place, item));
        let (mark, role) = look(item, outcome);
        let back = match (outcome, &item.would) {
            (Some(Outcome::Removed { back_until: Some(until), note: None, .. }), _) => {
                format!("{} bin", until.strftime("%-d %b %Y"))
            }
            (Some(outcome), _) if !outcome.text().is_empty() => outcome.text(),
            (_, Would::Skip(skip)) => format!("{}: {}", skip.word(), skip.text()),
            _ => item.back.text(plan.made),
        };
        let what = crate::tui::text::tail(item.target.id(), id);
        let at = item.judged.origin.region.short();
        let text = format!("{mark} {}", cells(word, &what, &item.judged.name, &at, &frees(item), &back));
        // The bar of the cursor is as long as the row, whatever it says.
        let text = left(&text, room);
        let role = if place == state.cursor { Role::Cursor } else { role };
        let text = Line::from(Span::styled(text, theme.style(role)));
        line(inner.x + 1, inner.y + n, &text, Rect { width: inner.width.saturating_sub(1), ..inner }, buf);
    }
}

/// Glyph and colour of a row.
fn look(item: &Item, outcome: Option<&Outcome>) -> (&'static str, Role) {
    match outcome {
        Some(Outcome::Removed { .. }) => ("✓", Role::Good),
        Some(Outcome::Failed { .. }) => ("✗", Role::Bad),
        Some(Outcome::Skipped { .. } | Outcome::NotTried { .. }) => ("·", Role::Dim),
        None if !item.would.removes() => ("✗", Role::Dim),
        None if item.back.is_final() => ("!", Role::Warn),
        None => (" ", Role::Text),
    }
}

fn summary(plan: &RemovalPlan, is_over: bool) -> Vec<(Role, String)> {
    let sum = plan.summary();
    let row = |what: &str, n: u32, more: &str| (Role::Text, format!("{what:<11}{n:>3}  {more}"));
    let plain = sum.removed - sum.archived - sum.copied - sum.images;
    let mut out =
        vec![(Role::Dim, if is_over { "WAS PLANNED" } else { "WOULD HAPPEN" }.to_owned()), row("delete", plain, "")];
    if sum.archived > 0 {
        out.push(row("archive", sum.archived, "proved, then gone"));
    }
    if sum.copied > 0 {
        out.push(row("snapshot", sum.copied, "proved, then gone"));
    }
    if sum.images > 0 {
        out.push(row("deregister", sum.images, "AMI"));
    }
    out.push(row("= removed", sum.removed, ""));
    out.push(row("skip", sum.skipped, "reason in the row"));
    out.push((Role::Text, String::new()));
    for said in [format!("frees   {}", sum.frees.text()), format!("a month {}", sum.frees.money())] {
        out.extend(wrap(&said, usize::from(SUMMARY) - 4, 8).into_iter().map(|line| (Role::Text, line)));
    }
    // Of which lists what was counted is: the note says more to those who have a command line.
    for note in plan.together.iter().flat_map(|one| one.notes.first()) {
        out.push((Role::Dim, note.split(';').next().unwrap_or_default().to_owned()));
    }
    if let Some(until) = sum.billed_until {
        out.push((Role::Dim, format!("from {} (the bin still bills)", until.strftime("%-d %b"))));
    }
    if sum.costs_usd > 0.0 {
        out.push((Role::Text, format!("costs   {} now", crate::units::Usd(sum.costs_usd))));
    }
    if sum.finals > 0 {
        out.push((Role::Warn, format!("FINAL   {} cannot be brought back !", sum.finals)));
    }
    // Why what is at most is: in the words of the lists.
    let mut why = Vec::new();
    if let Some(said) = sum.frees.why.said() {
        wrapped(&format!("≤ {said}"), usize::from(SUMMARY) - 4, Role::Dim, &mut why);
    }
    out.extend(why.into_iter().map(|(said, role)| (role, said)));
    out
}

/// What is to be known before the count is typed; with `e` what the verdict of the item rests on.
fn before(model: &Model, plan: &RemovalPlan, now: Now) -> Vec<(Role, String)> {
    let state = &model.removal;
    let item = plan.items.get(state.cursor);
    if let Foot::Compared(found) = &state.foot {
        return super::compare::lines(found);
    }
    if state.foot == Foot::Evidence {
        let evidence = item.map(|item| item.judged.evidence.as_slice()).unwrap_or_default();
        let word = |answer: Answer| match answer {
            Answer::Yes => ("yes", Role::Warn),
            Answer::No => ("no ", Role::Text),
            Answer::Unknown => ("?  ", Role::Fresh),
            Answer::Hint => ("~  ", Role::Dim),
        };
        let row = |e: &crate::inventory::verdict::Evidence| {
            let (word, role) = word(e.answer);
            (role, format!("{word} {:<18} {}", e.rule, e.text))
        };
        let why = item.and_then(|item| item.judged.frees.why.said()).map(|why| (Role::Dim, format!("≤   frees {why}")));
        return why.into_iter().chain(evidence.iter().map(row)).collect();
    }
    if let Stage::Over(report) = &state.stage {
        return after(report);
    }
    if state.is_running() {
        return running(state, plan);
    }
    let age = crate::tui::text::age(plan.made, now);
    let age = if age == "now" { "just now".to_owned() } else { format!("{age} ago") };
    let mut out = vec![
        (Role::Text, format!("✓ checked {age}; each once more just before its call (r checks all now)")),
        (Role::Text, "  5 a second, no stop at a failure; in the audit log before and after each".to_owned()),
    ];
    if let Some(item) = item.filter(|item| item.back.is_final()) {
        let keep = match item.target {
            crate::plan::removal::Target::Snapshot(_) => "a archives it first",
            crate::plan::removal::Target::Volume(_) => "s snapshots it first",
            crate::plan::removal::Target::Image(_) => "nothing keeps it",
        };
        // The end of the id is enough, its row is above; so the line has room at 80 columns.
        let id = crate::tui::text::tail(item.target.id(), 12);
        out.push((Role::Warn, format!("! {id} cannot be brought back · {keep} · - leaves it")));
    }
    let armed = match (&model.armed, account(model)) {
        _ if model.mode == Mode::ReadOnly => "READ-ONLY: nothing is removed here; w saves the plan".to_owned(),
        (Some(armed), Some(account)) if armed.account == account => {
            format!("armed: D asks for `{}` to be typed", plan.token())
        }
        (_, Some(account)) => format!("! arms the deck for {} (SAFE now), then D", account.grouped()),
        (_, None) => "nothing of one account to remove".to_owned(),
    };
    out.push((Role::Key, armed));
    out
}

/// While it runs: how far it is, and how it ends early.
fn running(state: &super::State, plan: &RemovalPlan) -> Vec<(Role, String)> {
    let done =
        plan.items.iter().zip(&state.outcomes).filter(|(item, outcome)| item.would.removes() && outcome.is_some());
    let (done, all) = (done.count(), plan.removals().count());
    let how = if matches!(state.stage, Stage::Stopping) {
        let when = if state.is_archiving() { "it puts its archives down" } else { "it stops after the item in flight" };
        (Role::Warn, format!("{when}; what was not tried stays as it is"))
    } else {
        (Role::Key, "x stops it after the item in flight; leaving this screen does not".to_owned())
    };
    if state.is_archiving() {
        let archives = "Archives are made and read back first (6 shows them); x puts them down, to go on with.";
        let rest = "Nothing is deleted before that.";
        let how = if matches!(state.stage, Stage::Stopping) { how } else { (Role::Key, archives.to_owned()) };
        let mut out = archiving(&state.archives);
        out.extend([how, (Role::Dim, rest.to_owned())]);
        return out;
    }
    let rest = "Each is checked just before its call, and is in the audit log before and after it.";
    vec![(Role::Fresh, format!("◐ {done} of {all} done")), how, (Role::Dim, rest.to_owned())]
}

/// Characters of the bar of archives.
const BAR: usize = 10;

/// How far the archives are that come first, and which of them do not get on.
fn archiving(archives: &Archiving) -> Vec<(Role, String)> {
    if archives.0.is_empty() {
        return vec![(Role::Fresh, "◐ the engine is asked to make the archives".to_owned())];
    }
    let (percent, (done, all)) = (archives.percent(), archives.blocks());
    let filled = usize::try_from(percent).unwrap_or(0) * BAR / 100;
    let bar = format!("{}{}", "█".repeat(filled), "░".repeat(BAR - filled));
    let left = archives.left().map_or_else(|| "? left".to_owned(), |(low, high)| format!("{} left", span(low, high)));
    let (proved, of) = (archives.proved(), counted(archives.0.len() as u64, "archive"));
    let mut out = vec![
        (Role::Fresh, format!("◐ {proved} of {of} made and proved")),
        (Role::Text, format!("{bar} {percent} % · {done} of {all} blocks · {} · {left}", archives.rate())),
    ];
    let stuck = archives.0.iter().filter(|job| !matches!(job.state, JobState::Done | JobState::Running));
    out.extend(stuck.take(3).map(|job| {
        let why = job.shown_why();
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        (Role::Warn, format!("job {} {}{why}", job.job, job.state.word()))
    }));
    out
}

/// When it is over: what became of it, and what can be done now.
fn after(report: &crate::engine::removal::Report) -> Vec<(Role, String)> {
    let role = if report.failed + report.not_tried > 0 { Role::Warn } else { Role::Accent };
    let mut out = vec![(role, super::heard::counts(report))];
    if report.not_tried > 0 {
        let how = "It was stopped: D goes on with this plan, r makes one of what is left.";
        out.push((Role::Text, how.to_owned()));
    } else if report.failed + report.skipped_since > 0 {
        out.push((Role::Text, "r makes a plan of what is left; the reason is in each row.".to_owned()));
    }
    let keeps = |row: &Row| matches!(row.outcome, Outcome::Removed { back_until: Some(_), .. });
    let back =
        if report.items.iter().any(keeps) { "u brings the item under the cursor back from the bin · " } else { "" };
    out.push((Role::Text, format!("{back}7 then a: the audit log")));
    out
}
