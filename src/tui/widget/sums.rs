//! Rounding that adds up: every sum on a screen equals the figures above it.

/// Whole shares that add up to the whole: the largest remainders are rounded up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "table cells, rounded and non-negative")]
pub fn apportioned(parts: &[f64]) -> Vec<u64> {
    let total = parts.iter().sum::<f64>().round() as u64;
    let mut out: Vec<u64> = parts.iter().map(|p| p.max(0.0).floor() as u64).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|a, b| parts[*b].fract().total_cmp(&parts[*a].fract()).then(a.cmp(b)));
    let missing = total.saturating_sub(out.iter().sum());
    for n in order.into_iter().take(usize::try_from(missing).unwrap_or(usize::MAX)) {
        out[n] += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_rounded_whole() {
        assert_eq!(apportioned(&[0.5, 0.5, 0.5, 0.5]), [1, 1, 0, 0]);
        assert_eq!(apportioned(&[18.6, 64.0, 51.4, 8.0, 34.0]).iter().sum::<u64>(), 176);
        assert_eq!(apportioned(&[]), Vec::<u64>::new());
        for n in 1..50u32 {
            let parts: Vec<f64> = (0..n).map(|k| f64::from(k * 37 % 11) / 7.0).collect();
            let whole = parts.iter().sum::<f64>().round();
            assert!((apportioned(&parts).iter().sum::<u64>() as f64 - whole).abs() < 0.5, "{parts:?}");
        }
    }
}
