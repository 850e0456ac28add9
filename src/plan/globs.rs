//! Which objects below a prefix are meant: `--include` and `--exclude`.
//!
//! Matched against what comes after the prefix, whole: `*` is anything (slashes too), `?` one character, `[a-z]` and
//! `[!a-z]` one of a set. With includes only what one of them matches is meant, and never what an exclude matches; the
//! order in which they are written does not count.

/// What the user wrote.
#[derive(Debug, Clone, Default)]
pub struct Globs {
    includes: Vec<Vec<char>>,
    excludes: Vec<Vec<char>>,
}

impl Globs {
    /// Takes the flags as they are.
    #[must_use]
    pub fn new(includes: &[String], excludes: &[String]) -> Self {
        let chars = |all: &[String]| all.iter().map(|text| text.chars().collect()).collect();
        Self { includes: chars(includes), excludes: chars(excludes) }
    }

    /// Whether the object of that name is meant.
    #[must_use]
    pub fn take(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let any = |all: &[Vec<char>]| all.iter().any(|glob| matches(glob, &name));
        (self.includes.is_empty() || any(&self.includes)) && !any(&self.excludes)
    }
}

/// One pass with one place to come back to: never more than the product of the lengths.
fn matches(glob: &[char], text: &[char]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                again = Some((g, t));
                g += 1;
                continue;
            }
            Some('?') => {
                (g, t) = (g + 1, t + 1);
                continue;
            }
            Some('[') => {
                if let Some((fits, end)) = set(&glob[g..], text[t]) {
                    if fits {
                        (g, t) = (g + end, t + 1);
                        continue;
                    }
                } else if text[t] == '[' {
                    (g, t) = (g + 1, t + 1);
                    continue;
                }
            }
            Some(c) if *c == text[t] => {
                (g, t) = (g + 1, t + 1);
                continue;
            }
            _ => {}
        }
        // It does not fit here: the last star takes one more.
        let Some((star, at)) = again else { return false };
        again = Some((star, at + 1));
        (g, t) = (star + 1, at + 1);
    }
    glob[g..].iter().all(|c| *c == '*')
}

/// Whether a set takes `c`, and how long the set is; none when it never ends.
fn set(glob: &[char], c: char) -> Option<(bool, usize)> {
    let not = glob.get(1) == Some(&'!');
    let first = if not { 2 } else { 1 };
    let end = (first + 1..glob.len()).find(|at| glob[*at] == ']')?;
    let inside = &glob[first..end];
    let (mut at, mut found) = (0, false);
    while at < inside.len() {
        if inside.get(at + 1) == Some(&'-') && at + 2 < inside.len() {
            found |= (inside[at]..=inside[at + 2]).contains(&c);
            at += 3;
        } else {
            found |= inside[at] == c;
            at += 1;
        }
    }
    Some((found != not, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_matched_whole_and_stars_cross_slashes() {
        let one = |glob: &str, name: &str| Globs::new(&[glob.to_owned()], &[]).take(name);
        for (glob, yes, no) in [
            ("*.raw", "a/b.raw", "a/b.rawx"),
            ("logs/*", "logs/x/y", "other/logs/x"),
            ("day-?.txt", "day-7.txt", "day-17.txt"),
            ("day-[0-3].txt", "day-2.txt", "day-4.txt"),
            ("day-[!0-3].txt", "day-4.txt", "day-2.txt"),
            ("a*b*c", "aXbYbZc", "aXbYbZ"),
            ("[", "[", "x"),
            ("*", "", "\u{0}never"),
        ] {
            assert!(one(glob, yes), "{glob} takes {yes}");
            assert!(glob == "*" || !one(glob, no), "{glob} does not take {no}");
        }
        let long = "a".repeat(2000);
        assert!(!one("*a*a*a*a*a*a*b", &long), "and that soon");
    }

    #[test]
    fn an_exclude_counts_more_than_an_include() {
        let globs = Globs::new(&["*.log".to_owned()], &["tmp/*".to_owned()]);
        assert!(globs.take("a.log") && !globs.take("tmp/a.log") && !globs.take("a.txt"));
        assert!(Globs::default().take("anything"));
    }
}
