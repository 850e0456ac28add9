//! Sparklines: the last minutes of a figure in a handful of cells, and the taller graph behind `t`.
//!
//! A missing sample is drawn as a gap, zero as the lowest bar: "nothing was measured" and "nothing moved"
//! are different news. Newest on the right. Pure functions; used by the engine panel, the segment table and
//! the header.

use ratatui::text::{Line, Span};

use super::super::theme::{Role, Theme};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const PLAIN: [char; 8] = ['_', '.', '-', '~', '=', '+', '*', '#'];

/// What stands where nothing was measured.
pub const GAP: char = ' ';

/// Folds samples into `width` buckets, the newest ending at the right edge; a bucket is the mean of what
/// was measured in it. Fewer samples than cells leave gaps on the left.
#[must_use]
pub fn fold(samples: &[f32], width: usize) -> Vec<Option<f64>> {
    let mut out = vec![None; width];
    if width == 0 || samples.is_empty() {
        return out;
    }
    // Whole buckets from the newest: an old bucket never changes its members while time goes on by one bucket.
    let size = samples.len().div_ceil(width);
    for (back, bucket) in samples.rchunks(size).take(width).enumerate() {
        let known: Vec<f64> = bucket.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v)).collect();
        if !known.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "at most a few hundred samples")]
            let mean = known.iter().sum::<f64>() / known.len() as f64;
            out[width - 1 - back] = Some(mean.max(0.0));
        }
    }
    out
}

/// A sparkline of exactly `width` characters, from 0 to the highest of the samples (or `top`, if higher).
#[must_use]
pub fn text(theme: &Theme, samples: &[f32], width: usize, top: Option<f64>) -> String {
    let cells = fold(samples, width);
    let highest = cells.iter().flatten().copied().fold(top.unwrap_or(0.0), f64::max);
    let bars = if theme.ascii { PLAIN } else { BARS };
    cells.into_iter().map(|cell| cell.map_or(GAP, |value| bars[step(value, highest, 8)])).collect()
}

/// The same as a span.
#[must_use]
pub fn spark(theme: &Theme, samples: &[f32], width: usize, role: Role) -> Span<'static> {
    Span::styled(text(theme, samples, width, None), theme.style(role))
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "steps of a bar: a handful"
)]
fn step(value: f64, top: f64, steps: usize) -> usize {
    if top <= 0.0 { 0 } else { ((value / top * steps as f64).ceil() as usize).clamp(1, steps) - 1 }
}

/// A graph of `height` lines: eight steps per line, so that small changes show.
#[must_use]
pub fn graph(theme: &Theme, samples: &[f32], width: usize, height: usize, role: Role) -> Vec<Line<'static>> {
    let cells = fold(samples, width);
    let top = cells.iter().flatten().copied().fold(0.0, f64::max);
    let bars = if theme.ascii { PLAIN } else { BARS };
    let levels: Vec<Option<usize>> = cells.iter().map(|c| c.map(|v| step(v, top, height * 8) + 1)).collect();
    (0..height)
        .map(|line| {
            let below = (height - 1 - line) * 8;
            let drawn: String = levels
                .iter()
                .map(|level| match level {
                    None => GAP,
                    Some(level) if *level <= below => ' ',
                    Some(level) => bars[(level - below).min(8) - 1],
                })
                .collect();
            Line::styled(drawn, theme.style(role))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_measured_is_a_gap_and_zero_is_a_bar() {
        let theme = Theme::default();
        assert_eq!(text(&theme, &[], 4, None), "    ");
        assert_eq!(text(&theme, &[0.0, 0.0], 4, None), "  ▁▁");
        assert_eq!(text(&theme, &[f32::NAN, 8.0], 2, None), " █");
    }

    #[test]
    fn the_highest_is_full_and_the_newest_is_right() {
        let theme = Theme::default();
        assert_eq!(text(&theme, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 8, None), "▁▂▃▄▅▆▇█");
        assert_eq!(text(&theme, &[8.0], 3, None), "  █");
        assert_eq!(text(&theme, &[8.0], 1, Some(16.0)), "▄");
    }

    #[test]
    fn more_samples_than_cells_are_averaged_from_the_newest() {
        let cells = fold(&[0.0, 10.0, 20.0, 30.0, 40.0], 2);
        assert_eq!(cells, vec![Some(5.0), Some(30.0)]);
        assert_eq!(fold(&[1.0; 120], 10), vec![Some(1.0); 10]);
        assert!(fold(&[1.0; 120], 0).is_empty());
        // 121 samples in 10 cells: buckets of 13, so the oldest cell has fewer but is not lost.
        assert_eq!(fold(&[1.0; 121], 10).iter().flatten().count(), 10);
    }

    #[test]
    fn a_graph_stacks_its_steps() {
        let theme = Theme::default();
        let lines: Vec<String> =
            graph(&theme, &[1.0, 8.0, 16.0], 4, 2, Role::Gauge).iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["   █", " ▁██"]);
        assert!(graph(&theme, &[], 4, 0, Role::Gauge).is_empty());
    }
}
