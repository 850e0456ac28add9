//! Everything that is known of one row, as lines for the panel beside a list or the whole screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::inventory::frees::Why;
use crate::inventory::verdict::{Frees, Sureness};
use crate::inventory::{ImageRow, SnapshotRow, State as Life, Tag, Tier, VolumeRow};
use crate::tui::catalog::Record;
use crate::tui::clock::Now;
use crate::tui::elsewhere::{Origin, copies_of, held, origin_of, place, spot};
use crate::tui::figures::What;
use crate::tui::model::Model;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::table::put;
use crate::units::{Quantity, Usd};

/// One line and its role.
pub type DetailLine = (String, Role);

/// Writes them, one under the other; what is too long for a line goes on in the next.
pub fn draw(lines: &[DetailLine], area: Rect, buf: &mut Buffer, theme: &Theme) {
    let room = usize::from(area.width).saturating_sub(2);
    for (n, (line, role)) in (0u16..area.height).zip(laid(lines, room)) {
        let at = Rect { y: area.y + n, height: 1, ..area };
        put(at.x + 1, &line, theme.style(role), at, buf);
    }
}

/// The lines as they fit a width: a label's text goes on below the text.
pub fn laid(lines: &[DetailLine], width: usize) -> impl Iterator<Item = DetailLine> {
    lines.iter().flat_map(move |(line, role)| {
        let indent = line.len() - line.trim_start().len();
        let label = line.starts_with(|c: char| c.is_ascii_uppercase()) && line.as_bytes().get(10) == Some(&b' ');
        let indent = if label { LABEL } else { indent + 2 };
        text::wrap(line, width, indent).into_iter().map(|line| (line, *role))
    })
}

/// Columns of a label and the blank behind it.
const LABEL: usize = 11;

/// Who makes and removes it, by its tags: the letter of the flag and the word.
#[must_use]
pub fn manager(tags: &[Tag]) -> Option<(char, &'static str)> {
    tags.iter().find_map(|(key, _)| match key.as_str() {
        "aws:backup:source-resource" => Some(('B', "AWS Backup")),
        "aws:dlm:lifecycle-policy-id" | "dlm:managed" => Some(('B', "Data Lifecycle Manager")),
        key if key.starts_with("velero.io/") => Some(('V', "Velero")),
        key if key.starts_with("kubernetes.io/")
            || key.starts_with("CSIVolume")
            || key == "ebs.csi.aws.com/cluster" =>
        {
            Some(('K', "Kubernetes"))
        }
        _ => None,
    })
}

fn labelled(label: &str, value: impl AsRef<str>) -> DetailLine {
    (format!("{label:<10} {}", value.as_ref()), Role::Text)
}

/// Breaks a sentence into lines of a width.
pub fn wrapped(words: &str, width: usize, role: Role, out: &mut Vec<DetailLine>) {
    let mut line = String::new();
    for word in words.split_whitespace() {
        if !line.is_empty() && text::width(&line) + 1 + text::width(word) > width {
            out.push((std::mem::take(&mut line), role));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        out.push((line, role));
    }
}

fn state_word(row: &SnapshotRow) -> DetailLine {
    match row.state {
        Life::Completed => ("● completed".to_owned(), Role::Good),
        Life::Pending => {
            (row.progress.map_or_else(|| "◐ pending".to_owned(), |p| format!("◐ pending, {p} %")), Role::Fresh)
        }
        Life::Error => {
            (format!("✗ failed: {}", row.state_message.as_deref().unwrap_or("AWS does not say why")), Role::Bad)
        }
        Life::Recoverable => ("▽ in the Recycle Bin".to_owned(), Role::Warn),
        Life::Recovering => ("◐ coming back from the Recycle Bin".to_owned(), Role::Fresh),
    }
}

/// Of a snapshot.
#[must_use]
pub fn snapshot(model: &Model, row: &SnapshotRow, width: usize, now: Now) -> Vec<DetailLine> {
    let name = row.name.as_deref().unwrap_or("(no name)");
    let mut out = vec![
        (row.id.to_string(), Role::Accent),
        (format!("{name}  {}", row.origin.region), Role::Title),
        state_word(row),
        volume_line(model, row),
        key_line(row, width),
    ];
    if row.tier == Tier::Archive {
        out.push(("▽ archive tier: restore it before reading".to_owned(), Role::Warn));
    }
    out.push((String::new(), Role::Text));
    used_by(model, row, &mut out);
    out.push(labelled("MANAGED", manager(&row.tags).map_or("no", |(_, who)| who)));
    out.push((String::new(), Role::Text));
    lineage(model, row, width, now, &mut out);
    if let Some(Ok(looked)) = model.insides.get(&(row.origin.clone(), row.id.clone())) {
        out.push((String::new(), Role::Text));
        let told = crate::tui::overlay::inside::summary(&looked.inside);
        wrapped(&format!("INSIDE     {told}"), width, Role::Text, &mut out);
    }
    out.push((String::new(), Role::Text));
    out.push(("MONEY".to_owned(), Role::Dim));
    out.push((format!("stored     {} a month", dollars(row.month())), Role::Text));
    out.push((format!("whole read {} (Get)", dollars(read_cost(row))), Role::Text));
    if let Some(frees) = model.freed.alone(row) {
        out.push((format!("its own    {} {}", frees.label.sure().glyph(), text::size(frees.bytes)), Role::Text));
        at_most(&frees, width, &mut out);
    }
    out.push((String::new(), Role::Text));
    elsewhere(model, row, width, now, &mut out);
    out.push((String::new(), Role::Text));
    out.push(labelled("STARTED", row.started.strftime("%Y-%m-%d %H:%M UTC").to_string()));
    out.push(labelled("ACCOUNT", row.origin.account.grouped()));
    if row.owner != row.origin.account {
        out.push(labelled("OWNER", row.owner.grouped()));
    }
    if !row.description.is_empty() {
        wrapped(&format!("TEXT       {}", row.description), width, Role::Text, &mut out);
    }
    tags(&row.tags, &mut out);
    out
}

/// `= 212 GiB`, `≤ 14.4 TiB`, `?`: what a removal frees, in at most ten columns.
#[must_use]
pub fn frees(frees: &Frees) -> String {
    match frees.label {
        Sureness::Exact => format!("= {}", text::size(frees.bytes)),
        Sureness::UpperBound => format!("≤ {}", text::size(frees.bytes)),
        Sureness::Unknown => "?".to_owned(),
    }
}

/// Why what a removal frees is at most, where it is.
pub fn at_most(frees: &Frees, width: usize, out: &mut Vec<DetailLine>) {
    if let Some(why) = frees.why.said() {
        let key = if frees.why.has(Why::NotCounted) || frees.why.has(Why::NotAsked) { " (X asks)" } else { "" };
        wrapped(&format!("≤ {why}{key}"), width, Role::Dim, out);
    }
}

fn volume_line(model: &Model, row: &SnapshotRow) -> DetailLine {
    let size = text::size(row.size);
    let full = row.full.map_or_else(String::new, |f| format!(", {} full", text::size(f)));
    match &row.volume {
        None => (format!("{size}{full}, no volume named"), Role::Text),
        Some(v) if v.is_placeholder() => (format!("{size}{full}, a copy"), Role::Text),
        Some(v) => {
            let there = match model.catalog.volume_exists(&row.origin, v) {
                Some(true) => "",
                Some(false) => " (gone)",
                None => " (?)",
            };
            (format!("{size} of {}{there}", text::tail(v.as_str(), 14)), Role::Text)
        }
    }
}

/// Of a key's id as much as fits: its tail tells it apart.
fn key_line(row: &SnapshotRow, width: usize) -> DetailLine {
    let tail = |key: &str| text::tail(key.rsplit('/').next().unwrap_or(key), width.saturating_sub(4));
    match (&row.kms_key, row.encrypted) {
        (Some(key), _) => (format!("key {}", tail(key)), Role::Text),
        (None, true) => ("encrypted, key not told".to_owned(), Role::Text),
        (None, false) => ("not encrypted".to_owned(), Role::Dim),
    }
}

fn used_by(model: &Model, row: &SnapshotRow, out: &mut Vec<DetailLine>) {
    let mut images = model.catalog.images_of(&row.id);
    match images.next() {
        None if model
            .catalog
            .images
            .of(&row.origin)
            .is_some_and(|s| matches!(s.load, crate::tui::catalog::Load::Done(_))) =>
        {
            out.push(labelled("USED BY", "no AMI of this account"));
        }
        None => out.push(labelled("USED BY", "? (images are still loading)")),
        Some(first) => {
            let more = images.count();
            let more = if more > 0 { format!(" + {more}") } else { String::new() };
            out.push(labelled("USED BY", format!("{} {}{more}", text::tail(first.id.as_str(), 12), first.state)));
            out.push((format!("{:<10} {}", "", first.name), Role::Dim));
        }
    }
}

/// The chain over time: a dot each, the one at hand marked, with what lies before and after.
fn lineage(model: &Model, row: &SnapshotRow, width: usize, now: Now, out: &mut Vec<DetailLine>) {
    let chain = model.catalog.lineage(row);
    if chain.len() < 2 {
        out.push(labelled("LINEAGE", "no other of its volume"));
        return;
    }
    let here = chain.iter().position(|s| s.id == row.id).unwrap_or(0);
    out.push(labelled("LINEAGE", format!("{} of {} known, L opens", ordinal(here + 1), chain.len())));
    let fits = (width / 8).clamp(2, 6);
    let first = here.saturating_sub(fits - 1).min(chain.len().saturating_sub(fits));
    let shown = &chain[first..chain.len().min(first + fits)];
    let (mut ages, mut dots, mut sizes) = (String::new(), String::new(), String::new());
    for (n, one) in shown.iter().enumerate() {
        ages.push_str(&text::left(&text::age(one.started, now), 8));
        let dot = if one.id == row.id { "◉" } else { "●" };
        dots.push_str(dot);
        dots.push_str(if n + 1 < shown.len() { "───────" } else { "" });
        // What a step changed where it was counted, else the full size.
        let step = (first + n).checked_sub(1).and_then(|before| model.figures.count(&What::delta(chain[before], one)));
        let size = match (step, one.full) {
            (Some(counted), _) => format!("+{}", text::size(counted.blocks.bytes())),
            (None, Some(full)) => text::size(full),
            (None, None) => "?".to_owned(),
        };
        sizes.push_str(&text::left(&size.replace("iB", ""), 8));
    }
    out.push((ages, Role::Dim));
    out.push((dots, Role::Accent));
    out.push((sizes, Role::Text));
}

/// Copies that are shown beside a list.
const COPIES: usize = 3;

/// What it is a copy of, and where copies of it are: what is proved first.
fn elsewhere(model: &Model, row: &SnapshotRow, width: usize, now: Now, out: &mut Vec<DetailLine>) {
    let copies = copies_of(model, &held(row));
    let origin = origin_of(model, row);
    if let Some(Origin { copy, is_gone }) = &origin {
        let (glyph, how) = if *is_gone { ('✗', "gone".to_owned()) } else { copy.proof.words() };
        let role = if copy.proof.is_proved() && !is_gone { Role::Good } else { Role::Warn };
        let when = match text::data_age(copy.since, now) {
            now if now == "now" => now,
            age => format!("{age} ago"),
        };
        let said = format!("{glyph} {}, {how}, {when}", spot(&copy.of));
        out.push((format!("{:<10} {}", "COPY OF", text::clauses(&said, width.saturating_sub(11))), role));
    }
    if copies.is_empty() && origin.is_none_or(|origin| origin.is_gone) {
        out.push(labelled("ELSEWHERE", "✗ no copy known"));
    }
    for (n, copy) in copies.iter().take(COPIES).enumerate() {
        let (glyph, how) = copy.proof.words();
        let role = if copy.proof.is_proved() { Role::Good } else { Role::Warn };
        let label = if n == 0 { "ELSEWHERE" } else { "" };
        let room = width.saturating_sub(11);
        let said = text::clauses(&format!("{glyph} {}, {how}", place(copy)), room);
        out.push((format!("{label:<10} {said}"), role));
    }
    if copies.len() > COPIES {
        out.push((format!("{:<10} {} more", "", copies.len() - COPIES), Role::Dim));
    }
}

fn ordinal(n: usize) -> String {
    let end = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{end}")
}

/// Reading every block once: an upper bound, since `full` counts what is stored.
fn read_cost(row: &SnapshotRow) -> Quantity<Usd> {
    let price = crate::plan::Prices::bundled().request(crate::plan::Api::Get, &row.origin.region);
    #[expect(clippy::cast_precision_loss, reason = "a bill needs no more than 52 bits of a block count")]
    let blocks = row.bytes().blocks().0 as f64;
    Quantity { value: Usd(price.value.0 * blocks), sure: crate::units::Sure::AtMost.and(price.sure) }
}

fn dollars(quantity: Quantity<Usd>) -> String {
    match quantity.known() {
        Some(value) => format!("{} {value}", quantity.sure.glyph()),
        None => "? (no price for this region)".to_owned(),
    }
}

fn tags(tags: &[Tag], out: &mut Vec<DetailLine>) {
    if tags.is_empty() {
        return;
    }
    out.push((String::new(), Role::Text));
    out.push((format!("TAGS {}", tags.len()), Role::Dim));
    out.extend(tags.iter().map(|(key, value)| (format!("{key} = {value}"), Role::Text)));
}

/// Of a volume.
#[must_use]
pub fn volume(model: &Model, row: &VolumeRow, now: Now) -> Vec<DetailLine> {
    let mut out = vec![
        (row.id.to_string(), Role::Accent),
        (format!("{}  {}", row.name.as_deref().unwrap_or("(no name)"), row.zone), Role::Title),
        (format!("{} {}, {}", text::size(row.size), row.kind, row.state), Role::Text),
        (if row.encrypted { "encrypted" } else { "not encrypted" }.to_owned(), Role::Text),
        (String::new(), Role::Text),
    ];
    match row.attached_to.as_slice() {
        [] => out.push(("ATTACHED   to nothing".to_owned(), Role::Warn)),
        many => out.extend(many.iter().map(|i| labelled("ATTACHED", i.as_str()))),
    }
    let chain = model.catalog.snapshots_of(&row.origin, &row.id);
    let youngest = chain.iter().max_by_key(|s| s.started);
    out.push(match youngest {
        Some(s) => labelled("SNAPSHOTS", format!("{}, the last {} ago", chain.len(), text::age(s.started, now))),
        None => ("SNAPSHOTS  none known: nothing to restore from".to_owned(), Role::Warn),
    });
    out.push(labelled("MADE FROM", row.snapshot.as_ref().map_or("nothing", |s| s.as_str())));
    if let Some(iops) = row.iops {
        out.push(labelled("IOPS", crate::units::grouped(u64::from(iops))));
    }
    if let Some(mibps) = row.throughput {
        out.push(labelled("MiB/s", crate::units::grouped(u64::from(mibps))));
    }
    out.push((String::new(), Role::Text));
    out.push(labelled("MONEY", format!("{} a month", dollars(row.month()))));
    out.push(labelled("CREATED", row.created.strftime("%Y-%m-%d %H:%M UTC").to_string()));
    tags(&row.tags, &mut out);
    out
}

/// Of a machine image.
#[must_use]
pub fn image(model: &Model, row: &ImageRow, width: usize, now: Now) -> Vec<DetailLine> {
    let mut out = vec![
        (row.id.to_string(), Role::Accent),
        (format!("{}  {}", row.name, row.origin.region), Role::Title),
        (format!("{}, {}, {}", row.state, row.architecture, row.platform), Role::Text),
    ];
    if row.public {
        out.push(("! public: anybody can launch it".to_owned(), Role::Warn));
    }
    if let Some(when) = row.deprecated {
        let word = if when <= now.wall { "deprecated since" } else { "will be deprecated on" };
        out.push((format!("{word} {}", when.strftime("%Y-%m-%d")), Role::Warn));
    }
    out.push((String::new(), Role::Text));
    out.push(labelled(
        "LAUNCHED",
        row.last_launched.map_or("not known".to_owned(), |t| format!("{} ago", text::age(t, now))),
    ));
    let running = model.catalog.instances_of(&row.id);
    out.push(labelled("INSTANCES", if running == 0 { "none known".to_owned() } else { running.to_string() }));
    out.push((String::new(), Role::Text));
    out.push((format!("SNAPSHOTS {}", row.snapshots.len()), Role::Dim));
    for id in &row.snapshots {
        let size =
            model.catalog.snapshots.find(id).and_then(|at| model.catalog.snapshots.get(at)).map(|s| text::size(s.size));
        out.push((format!("{id} {}", size.unwrap_or_else(|| "(not seen)".to_owned())), Role::Text));
    }
    if !row.description.is_empty() {
        wrapped(&format!("TEXT {}", row.description), width, Role::Text, &mut out);
    }
    tags(&row.tags, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::{now, origin};

    #[test]
    fn ordinals_and_managers() {
        assert_eq!(
            [1, 2, 3, 4, 11, 12, 13, 21, 102, 111].map(ordinal),
            ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]
        );
        let tag = |key: &str| vec![(key.to_owned(), String::new())];
        assert_eq!(manager(&tag("aws:dlm:lifecycle-policy-id")).map(|m| m.0), Some('B'));
        assert_eq!(manager(&tag("kubernetes.io/cluster/x")).map(|m| m.0), Some('K'));
        assert_eq!(manager(&tag("Name")), None);
    }

    #[test]
    fn the_volume_of_a_copy_is_not_called_gone() {
        let mut row = crate::tui::testing::snapshot(&origin("us-east-1"), 3);
        row.volume = "vol-ffffffff".parse().ok();
        let (line, _) = volume_line(&Model::default(), &row);
        assert!(line.ends_with(", a copy"), "{line}");
    }

    #[test]
    fn a_snapshot_whose_images_are_not_told_is_not_called_unused() {
        let model = Model::default();
        let row = crate::tui::testing::snapshot(&origin("us-east-1"), 3);
        let lines = snapshot(&model, &row, 36, now());
        assert!(lines.iter().any(|(l, _)| l.starts_with("USED BY") && l.contains('?')), "{lines:?}");
    }
}
