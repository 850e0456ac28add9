//! Words and figures cut to a width: the only place that decides how long something may be.

use unicode_width::UnicodeWidthStr;

use super::clock::Now;
use jiff::Timestamp;

/// Columns that a text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// Cuts from the end, with an ellipsis: names, sentences.
#[must_use]
pub fn clip(text: &str, max: usize) -> String {
    if text.width() <= max {
        return text.to_owned();
    }
    if max == 0 {
        return String::new();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if used + w > max - 1 {
            break;
        }
        used += w;
        out.push(c);
    }
    out.push('…');
    out
}

/// The whole words of a sentence that fit, and an ellipsis for the others. Only a word that is too long by itself is
/// cut in its middle; a date stays whole or goes.
#[must_use]
pub fn words(text: &str, max: usize) -> String {
    if width(text) <= max {
        return text.to_owned();
    }
    let fits = |at: &usize| width(text[..*at].trim_end()) + 2 <= max;
    let ends = text.char_indices().filter(|(_, c)| *c == ' ').map(|(at, _)| at).take_while(fits);
    let whole = ends.filter(|&at| !ends_in_a_day(&text[..at])).last().map_or("", |at| text[..at].trim_end());
    if whole.is_empty() { clip(text, max) } else { format!("{whole} …") }
}

/// Whether it ends in a day, or a day and a month: what follows belongs to it.
fn ends_in_a_day(text: &str) -> bool {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let last = text.rsplit(' ').next().unwrap_or_default();
    MONTHS.contains(&last) || last.parse::<u8>().is_ok_and(|day| (1..=31).contains(&day))
}

/// As many of the parts as fit, which two or more blanks set apart: legends, examples.
#[must_use]
pub fn parts(text: &str, max: usize) -> String {
    let mut out = text;
    while width(out) > max {
        let Some(at) = out.rfind("  ") else { return words(out, max) };
        out = out[..at].trim_end();
    }
    out.to_owned()
}

/// A sentence in lines of a width: clauses apart at ` · ` stay whole where they fit a line, else words do. All lines but
/// the first are indented.
#[must_use]
pub fn wrap(text: &str, max: usize, indent: usize) -> Vec<String> {
    if width(text) <= max {
        return vec![text.to_owned()];
    }
    let indent = if indent * 2 < max { indent } else { 0 };
    let mut out: Vec<String> = Vec::new();
    let mut line = String::new();
    let blank = " ".repeat(indent);
    for clause in text.split(" · ") {
        let joint = if line.trim_start().is_empty() { "" } else { " · " };
        if width(&line) + width(joint) + width(clause) <= max {
            line.push_str(joint);
            line.push_str(clause);
            continue;
        }
        // What fits a line of its own begins one.
        if !joint.is_empty() && indent + width(clause) <= max {
            out.push(std::mem::replace(&mut line, format!("{blank}{clause}")));
            continue;
        }
        if !joint.is_empty() {
            out.push(std::mem::replace(&mut line, blank.clone()));
        }
        for (n, word) in clause.split(' ').enumerate() {
            let gap = usize::from(n > 0);
            if !line.trim_start().is_empty() && width(&line) + gap + width(word) > max {
                // An id that fits a line of its own without the indent is not cut for it.
                let fits = indent + width(word) <= max || width(word) > max;
                out.push(std::mem::replace(&mut line, if fits { blank.clone() } else { String::new() }));
            } else if gap > 0 && line != blank {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    out.push(line);
    out.iter().map(|line| clip(line.trim_end(), max)).collect()
}

/// A blank after the last `/` or `:` of each word that is wider than `max`: so an ARN goes on in the next line instead of
/// losing its end.
#[must_use]
pub fn breakable(text: &str, max: usize) -> String {
    let broken = |word: &str| {
        let ends = |(at, c): (usize, char)| {
            (matches!(c, '/' | ':') && at + 1 < word.len() && width(&word[..=at]) <= max).then_some(at + 1)
        };
        let fits = word.char_indices().filter_map(ends).max();
        match fits.filter(|_| width(word) > max) {
            Some(at) => format!("{} {}", &word[..at], &word[at..]),
            None => word.to_owned(),
        }
    };
    text.split(' ').map(broken).collect::<Vec<_>>().join(" ")
}

/// Leaves out the last clauses until it fits: what is in brackets, after a dot, a colon, a comma. A clause that is too
/// long by itself loses words.
#[must_use]
pub fn clauses(text: &str, max: usize) -> String {
    let mut rest = text;
    while width(rest) > max {
        let bracket = rest.find(" (").filter(|_| rest.ends_with(')'));
        let cut = bracket.or_else(|| [" · ", ": ", ", "].iter().filter_map(|mark| rest.rfind(mark)).max());
        match cut {
            Some(at) => rest = &rest[..at],
            None => return words(rest, max),
        }
    }
    rest.to_owned()
}

/// Cuts from the front: ids, whose tail tells them apart.
#[must_use]
pub fn tail(text: &str, max: usize) -> String {
    if text.width() <= max {
        return text.to_owned();
    }
    if max == 0 {
        return String::new();
    }
    let chars: Vec<char> = text.chars().collect();
    let keep = chars.len().saturating_sub(chars.len().min(max - 1));
    std::iter::once('…').chain(chars[keep..].iter().copied()).collect()
}

/// Pads on the right to a width, cutting when it is too long.
#[must_use]
pub fn left(text: &str, width: usize) -> String {
    let mut out = clip(text, width);
    out.extend(std::iter::repeat_n(' ', width.saturating_sub(out.width())));
    out
}

/// Pads on the left to a width, cutting when it is too long.
#[must_use]
pub fn right(text: &str, width: usize) -> String {
    let cut = clip(text, width);
    let mut out: String = std::iter::repeat_n(' ', width.saturating_sub(cut.width())).collect();
    out.push_str(&cut);
    out
}

/// `now`, `4 s`, `41 m`, `6 h`, `14 d`, `2.1 y`: how long ago, in at most five columns.
#[must_use]
pub fn age(since: Timestamp, now: Now) -> String {
    seconds_short(crate::age::of(since, now.wall).as_secs())
}

/// The same of a number of seconds.
#[must_use]
pub fn seconds_short(seconds: i64) -> String {
    const DAY: i64 = 86_400;
    match seconds {
        ..=0 => "now".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} m", seconds / 60),
        3600..DAY => format!("{} h", seconds / 3600),
        _ if seconds < 730 * DAY => format!("{} d", seconds / DAY),
        _ => {
            let tenths = seconds * 10 / (365 * DAY + DAY / 4);
            format!("{}.{} y", tenths / 10, tenths % 10)
        }
    }
}

/// An age for what is read again and again: nothing finer than a minute, so that a quiet deck draws nothing.
#[must_use]
pub fn data_age(since: Timestamp, now: Now) -> String {
    let seconds = crate::age::of(since, now.wall).as_secs();
    if seconds < 60 { "now".to_owned() } else { seconds_short(seconds) }
}

/// Three significant figures and the unit: `14.9 TiB`, `402 GiB`, `8 GiB`, `0 B`.
#[must_use]
pub fn size(bytes: crate::units::Bytes) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three figures are shown")]
    let mut value = bytes.0 as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if (value - value.round()).abs() < 0.005 || value >= 99.95 {
        format!("{value:.0} {unit}")
    } else if value >= 9.995 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.2} {unit}")
    }
}

/// Dollars without the sign, under a head that names them: `≤ 1,102.75`, `= 655.20`, `?`; nothing is a plain `0.00`.
#[must_use]
pub fn usd(quantity: crate::units::Quantity<crate::units::Usd>) -> String {
    match quantity.known() {
        None => "?".to_owned(),
        Some(value) if value.0.abs() < 0.005 => "0.00".to_owned(),
        Some(value) => format!("{} {}", quantity.sure.glyph(), value.to_string().trim_start_matches('$')),
    }
}

/// The same where there is little room: no cents from a thousand dollars on.
#[must_use]
pub fn usd_short(quantity: crate::units::Quantity<crate::units::Usd>) -> String {
    match quantity.known() {
        Some(value) if value.0 >= 999.995 => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole dollars of a bill")]
            let whole = crate::units::grouped(value.0.round() as u64);
            format!("{} {whole}", quantity.sure.glyph())
        }
        _ => usd(quantity),
    }
}

/// `1 snapshot`, `3 snapshots`, `1,022 volumes`.
#[must_use]
pub fn count(n: u64, one: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {one}{s}", crate::units::grouped(n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::{now, when};
    use crate::units::{Bytes, Quantity, Usd};

    #[test]
    fn ids_lose_their_head_and_names_their_tail() {
        assert_eq!(tail("snap-01c55a9e07b3d2f48", 6), "…d2f48");
        assert_eq!(clip("jenkins-home", 6), "jenki…");
        for width in 0..30 {
            assert!(self::width(&clip("größe ✓ 界界", width)) <= width);
            assert_eq!(self::width(&left("größe ✓ 界界", width)), width);
            assert_eq!(self::width(&right("größe ✓ 界界", width)), width);
        }
    }

    #[test]
    fn ages_fit_five_columns_and_never_run_backwards() {
        let ages: Vec<_> =
            [0, -4, -2_460, -21_600, -1_209_600, -66_000_000].map(|s| age(when(s), Now::at(when(0)))).into();
        assert_eq!(ages, ["now", "4 s", "41 m", "6 h", "14 d", "2.0 y"]);
        assert_eq!(age(when(90), now()), "now", "a clock that is behind shows no negative age");
        assert!(ages.iter().all(|a| a.len() <= 5));
    }

    #[test]
    fn sizes_have_three_figures() {
        let shown = [0, 512 * 1024, 1_023 * 1024, 8 << 30, 16_419_947_806_720, 500 << 30].map(|b| size(Bytes(b)));
        assert_eq!(shown, ["0 B", "512 KiB", "1 MiB", "8 GiB", "14.9 TiB", "500 GiB"]);
    }

    #[test]
    fn money_carries_its_glyph() {
        assert_eq!(usd(Quantity::at_most(Usd(1102.75))), "≤ 1,102.75");
        assert_eq!(usd(Quantity::exact(Usd(0.0))), "0.00");
        assert_eq!(usd(Quantity::unknown()), "?");
    }

    #[test]
    fn a_sentence_loses_clauses_and_never_half_a_word() {
        let said = "verify at full: same memory, + $93.96, + 8 h 41 m (Put/s per snapshot, 1,000 (L-1774F84A, fixed))";
        assert_eq!(clauses(said, 200), said);
        assert_eq!(clauses(said, 80), "verify at full: same memory, + $93.96, + 8 h 41 m");
        assert_eq!(clauses(said, 60), "verify at full: same memory, + $93.96, + 8 h 41 m");
        assert_eq!(clauses("lanes at 64: same time: the quota binds", 20), "lanes at 64");
        assert_eq!(clauses("unbreakable", 5), "unbr…");
        assert_eq!(words("none known: nothing to restore from", 30), "none known: nothing to …");
        assert_eq!(words("web-root made on 28 Aug 2025 by hand", 27), "web-root made on …");
        for max in 0..40 {
            assert!(width(&words("web-root · 28 Aug 2025 · 界界界 and more", max)) <= max, "{max}");
        }
    }

    #[test]
    fn an_arn_goes_on_in_the_next_line_where_it_names_its_key() {
        let said = "with arn:aws:kms:eu-west-1:111122223333:key/1234abcd";
        assert_eq!(breakable(said, 60), said);
        assert_eq!(breakable(said, 45), "with arn:aws:kms:eu-west-1:111122223333:key/ 1234abcd");
        assert_eq!(breakable("abcdefgh", 5), "abcdefgh");
    }

    #[test]
    fn a_long_line_goes_on_below_its_text_and_breaks_between_clauses_first() {
        assert_eq!(wrap("db-data · 128 GiB · 28 Aug 2025", 24, 2), ["db-data · 128 GiB", "  28 Aug 2025"]);
        let long = wrap("SNAPSHOTS  none known: nothing to restore from", 36, 11);
        assert_eq!(long, ["SNAPSHOTS  none known: nothing to", "           restore from"]);
        assert_eq!(wrap("short", 20, 2), ["short"]);
        assert_eq!(wrap("abcdefghijkl", 5, 2), ["abcd…"]);
        assert_eq!(wrap("key abcdef-ghijkl", 13, 2), ["key", "abcdef-ghijkl"]);
        let said = "one · two words that are long · three";
        for max in 8..40 {
            let lines = wrap(said, max, 2);
            assert!(lines.iter().all(|line| width(line) <= max), "{lines:?}");
            let all: String = lines.join(" ").split_whitespace().filter(|word| *word != "·").collect();
            assert_eq!(all, "onetwowordsthatarelongthree", "{max}");
        }
    }
}
