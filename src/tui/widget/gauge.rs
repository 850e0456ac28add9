//! Bars: how much of something there is, and how far something has come.
//!
//! Pure functions of (figures, width, theme) that give spans of exactly the asked width. A bar is never
//! empty when there is something and never full before the end: people act on the last cell. Used by the
//! plan's gauges, the job list and the engine panel.

use ratatui::text::Span;

use super::super::theme::{Role, Theme};

/// Cells filled of `width`: 0 only for nothing, all only for everything.
#[must_use]
pub fn filled(part: f64, width: usize) -> usize {
    if width == 0 || part.is_nan() || part <= 0.0 {
        return 0;
    }
    if part >= 1.0 {
        return width;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a fraction of a screen's width"
    )]
    let cells = (part * width as f64).round() as usize;
    if width == 1 { 0 } else { cells.clamp(1, width - 1) }
}

/// `part` of `whole`; 0 of nothing.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a gauge shows two digits")]
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A bar with a rest: `████░░░░`.
#[must_use]
pub fn bar(theme: &Theme, part: f64, width: usize, fill: Role) -> Vec<Span<'static>> {
    let full = filled(part, width);
    let (on, off) = if theme.ascii { ("#", ".") } else { ("█", "░") };
    runs([(on.repeat(full), fill), (off.repeat(width - full), Role::Faint)], theme)
}

/// A scale with a mark on it: `████····│······`. `part` and `mark` are shares of the whole scale.
#[must_use]
pub fn scale(theme: &Theme, part: f64, mark: Option<f64>, width: usize, fill: Role) -> Vec<Span<'static>> {
    let full = filled(part, width);
    let (on, off, at) = if theme.ascii { ("#", ".", "|") } else { ("█", "·", "│") };
    let mark = mark.filter(|m| m.is_finite()).map(|m| filled(m, width).min(width.saturating_sub(1)));
    let Some(mark) = mark.filter(|_| width > 0) else {
        return runs([(on.repeat(full), fill), (off.repeat(width - full), Role::Faint)], theme);
    };
    let before = |from: usize, to: usize, limit: usize| to.min(limit).saturating_sub(from);
    let left = before(0, mark, full);
    let right = full.saturating_sub(mark + 1);
    runs(
        [
            (on.repeat(left), fill),
            (off.repeat(mark - left), Role::Faint),
            (at.to_owned(), Role::Accent),
            (on.repeat(right), Role::Warn),
            (off.repeat(width - mark - 1 - right), Role::Faint),
        ],
        theme,
    )
}

/// From a low to a high figure: `██████▒▒▒`; the whole width is the high one.
#[must_use]
pub fn range(theme: &Theme, low: f64, high: f64, width: usize) -> Vec<Span<'static>> {
    let sure = if high > 0.0 { filled(low / high, width) } else { 0 };
    let (on, soft) = if theme.ascii { ("#", "+") } else { ("█", "▒") };
    runs([(on.repeat(sure), Role::Gauge), (soft.repeat(width - sure), Role::GaugeSoft)], theme)
}

/// Names on a scale from nothing to the dearest, this one as `▲`: `·2····5·3···4···▲`. Names that fall
/// together step aside to the left, then to the right; what finds no room is left out.
#[must_use]
pub fn ladder(theme: &Theme, others: &[(char, f64)], own: f64, width: usize) -> Vec<Span<'static>> {
    let top = others.iter().map(|(_, value)| *value).fold(own, f64::max);
    let mut cells: Vec<(char, Role)> = vec![(if theme.ascii { '.' } else { '·' }, Role::Faint); width];
    let mut taken = vec![false; width];
    let place = |value: f64| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a fraction of a screen's width"
        )]
        let at = if top > 0.0 { (value.max(0.0) / top * width.saturating_sub(1) as f64).round() as usize } else { 0 };
        at.min(width.saturating_sub(1))
    };
    let mut put = |at: usize, cell: (char, Role)| {
        let free = (0..width).filter(|n| !taken[*n]).min_by_key(|n| (n.abs_diff(at), *n));
        if let Some(n) = free.filter(|n| n.abs_diff(at) <= 3) {
            taken[n] = true;
            cells[n] = cell;
        }
    };
    if width > 0 {
        put(place(own), (if theme.ascii { '^' } else { '▲' }, Role::Accent));
        for (name, value) in others.iter().filter(|(_, value)| value.is_finite()) {
            put(place(*value), (*name, Role::Text));
        }
    }
    let mut out: Vec<(String, Role)> = Vec::new();
    for (c, role) in cells {
        match out.last_mut() {
            Some((text, last)) if *last == role => text.push(c),
            _ => out.push((c.to_string(), role)),
        }
    }
    runs(out, theme)
}

fn runs(parts: impl IntoIterator<Item = (String, Role)>, theme: &Theme) -> Vec<Span<'static>> {
    parts
        .into_iter()
        .filter(|(text, _)| !text.is_empty())
        .map(|(text, role)| Span::styled(text, theme.style(role)))
        .collect()
}

/// `38 %`: rounded down, and 100 only when `over`.
#[must_use]
pub fn percent(done: u64, total: u64, over: bool) -> String {
    if over {
        return "100 %".to_owned();
    }
    let whole = if total == 0 { 0 } else { u128::from(done) * 100 / u128::from(total) };
    format!("{} %", whole.min(99))
}

/// `38.0 %`, and at most 99.9 before it is over.
#[must_use]
pub fn percent_exact(done: u64, total: u64, over: bool) -> String {
    if over {
        return "100 %".to_owned();
    }
    let tenths = if total == 0 { 0 } else { u128::from(done) * 1000 / u128::from(total) };
    let tenths = tenths.min(999);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(spans: &[Span<'_>]) -> String {
        spans.iter().map(|s| s.content.as_ref()).collect()
    }

    #[test]
    fn a_bar_is_full_only_at_the_end_and_empty_only_at_the_start() {
        let theme = Theme::default();
        let draw = |part| text(&bar(&theme, part, 10, Role::Gauge));
        assert_eq!(draw(0.0), "░░░░░░░░░░");
        assert_eq!(draw(0.0001), "█░░░░░░░░░");
        assert_eq!(draw(0.38), "████░░░░░░");
        assert_eq!(draw(0.999), "█████████░");
        assert_eq!(draw(1.0), "██████████");
        assert_eq!(draw(7.0), "██████████");
        assert_eq!(draw(f64::NAN), "░░░░░░░░░░");
        assert_eq!(draw(-1.0), "░░░░░░░░░░");
    }

    #[test]
    fn percent_never_says_100_while_it_runs() {
        assert_eq!(percent(0, 0, false), "0 %");
        assert_eq!(percent(999_999, 1_000_000, false), "99 %");
        assert_eq!(percent(5, 5, false), "99 %");
        assert_eq!(percent(5, 5, true), "100 %");
        assert_eq!(percent_exact(11_901_055, 31_318_565, false), "38.0 %");
        assert_eq!(percent_exact(5, 5, false), "99.9 %");
        assert_eq!(percent(u64::MAX, u64::MAX, false), "99 %");
    }

    #[test]
    fn a_scale_keeps_its_width_wherever_the_mark_stands() {
        let theme = Theme::default();
        assert_eq!(
            text(&scale(&theme, 141.0 / 1024.0, Some(0.25), 31, Role::Gauge)),
            "████····│······················"
        );
        for width in 0..40 {
            for (part, mark) in [(0.0, 0.0), (0.5, 0.2), (1.0, 1.0), (0.1, 0.9), (9.0, 9.0)] {
                let drawn = text(&scale(&theme, part, Some(mark), width, Role::Gauge));
                assert_eq!(drawn.chars().count(), width, "{part} {mark} {width}: {drawn}");
            }
        }
    }

    #[test]
    fn prices_stand_where_they_belong_and_step_aside() {
        let theme = Theme::default();
        let others = [('2', 15.83), ('3', 305.85), ('4', 458.77), ('5', 280.41)];
        assert_eq!(text(&ladder(&theme, &others, 587.74, 31)), "·2············5·3······4······▲");
        assert_eq!(text(&ladder(&theme, &[('2', 1.0), ('3', 1.0)], 1.0, 4)), "·32▲");
        assert_eq!(text(&ladder(&theme, &[('2', 0.0)], 0.0, 0)), "");
        assert_eq!(text(&range(&theme, 522.0, 620.0, 31)), "██████████████████████████▒▒▒▒▒");
    }

    #[test]
    fn ascii_draws_the_same_without_blocks() {
        let theme = Theme { ascii: true, ..Theme::default() };
        assert_eq!(text(&bar(&theme, 0.5, 4, Role::Gauge)), "##..");
        assert!(text(&scale(&theme, 0.5, Some(0.75), 8, Role::Gauge)).is_ascii());
    }
}
