//! Filters: `Filter.N` of the describe actions.
//!
//! A row passes when every filter has a value that matches; values take `*` (any text), `?` (one character) and `\`
//! (the next character as it is). Names are checked before any row is looked at.

use super::fault::Fault;
use crate::sandbox::model::Tags;

/// EC2's limit of values in one request.
const MAX_VALUES: usize = 200;

/// All filters of one request.
#[derive(Debug, Default)]
pub struct Filters {
    all: Vec<Filter>,
    values: usize,
}

#[derive(Debug)]
struct Filter {
    on: On,
    values: Vec<Pattern>,
}

#[derive(Debug)]
enum On {
    /// `tag:KEY`: the value of one tag.
    Tag(String),
    /// `tag-key`: the key of any tag.
    TagKey,
    /// `tag-value`: the value of any tag.
    TagValue,
    /// A field of the row.
    Field(&'static str),
}

impl Filters {
    /// Adds one filter.
    ///
    /// # Errors
    /// A name that is neither a tag filter nor in `known`, or too many values.
    pub fn add(&mut self, name: &str, values: &[&str], known: &'static [&'static str]) -> Result<(), Fault> {
        let on =
            match name {
                "tag-key" => On::TagKey,
                "tag-value" => On::TagValue,
                name => match name.strip_prefix("tag:").filter(|key| !key.is_empty()) {
                    Some(key) => On::Tag(key.to_owned()),
                    None => On::Field(known.iter().copied().find(|k| *k == name).ok_or_else(|| {
                        Fault::bad("InvalidParameterValue", format!("The filter '{name}' is invalid"))
                    })?),
                },
            };
        self.values += values.len();
        if self.values > MAX_VALUES {
            let message = format!("The maximum number of filter values specified on a single call is {MAX_VALUES}");
            return Err(Fault::bad("FilterLimitExceeded", message));
        }
        self.all.push(Filter { on, values: values.iter().map(|value| Pattern::new(value)).collect() });
        Ok(())
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether a row passes. `field` calls the test with each value that the row has under a name, until one passes.
    pub fn pass(&self, tags: &Tags, field: impl Fn(&str, &mut dyn FnMut(&str) -> bool) -> bool) -> bool {
        self.all.iter().all(|filter| {
            let mut test = |value: &str| filter.values.iter().any(|pattern| pattern.matches(value));
            match &filter.on {
                On::Tag(key) => tags.get(key).is_some_and(|value| test(value)),
                On::TagKey => tags.keys().any(|key| test(key)),
                On::TagValue => tags.values().any(|value| test(value)),
                On::Field(name) => field(name, &mut test),
            }
        })
    }
}

/// One value of a filter.
#[derive(Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    Glob(Vec<Piece>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    This(char),
    One,
    Any,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let mut pieces = Vec::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            pieces.push(match c {
                '*' => Piece::Any,
                '?' => Piece::One,
                '\\' => Piece::This(chars.next().unwrap_or('\\')),
                c => Piece::This(c),
            });
        }
        let exact: Option<String> =
            pieces.iter().map(|piece| if let Piece::This(c) = piece { Some(*c) } else { None }).collect();
        exact.map_or(Self::Glob(pieces), Self::Exact)
    }

    /// Greedy with one point to go back to, the last `*`: linear for usual patterns, never exponential.
    fn matches(&self, text: &str) -> bool {
        let pieces = match self {
            Self::Exact(exact) => return exact == text,
            Self::Glob(pieces) => pieces,
        };
        let (mut at, mut rest) = (0, text.chars());
        let mut back: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let here = rest.clone();
            match (pieces.get(at), rest.next()) {
                (None, None) => return true,
                (Some(Piece::Any), _) => {
                    at += 1;
                    rest = here;
                    back = Some((at, rest.clone()));
                    continue;
                }
                (Some(Piece::One), Some(_)) => {
                    at += 1;
                    continue;
                }
                (Some(Piece::This(c)), Some(d)) if *c == d => {
                    at += 1;
                    continue;
                }
                _ => {}
            }
            let Some((after, from)) = &mut back else { return false };
            if from.next().is_none() {
                return false;
            }
            at = *after;
            rest = from.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        Arc::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>())
    }

    #[test]
    fn wildcards_match_as_ec2_documents_them() {
        for (pattern, yes, no) in [
            ("web*", "web-root", "my-web"),
            ("*root", "web-root", "roots"),
            ("w?b", "web", "wb"),
            ("*a*b*c*", "xaxbxcx", "xcxbxa"),
            ("a\\*b", "a*b", "aab"),
            ("a\\?", "a?", "ab"),
            ("", "", "x"),
            ("*", "", "\0never"),
            ("?", "é", ""),
            ("2026-11-1*", "2026-11-19T05:41:00.000Z", "2026-12-01T00:00:00.000Z"),
            ("trailing\\", "trailing\\", "trailing"),
        ] {
            assert!(Pattern::new(pattern).matches(yes), "{pattern} should match {yes}");
            if no != "\0never" {
                assert!(!Pattern::new(pattern).matches(no), "{pattern} should not match {no}");
            }
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_quickly_where_it_cannot_match() {
        let pattern = Pattern::new(&"a*".repeat(40));
        assert!(!pattern.matches(&("a".repeat(39) + &"b".repeat(2000))));
        assert!(pattern.matches(&"ab".repeat(40)));
    }

    #[test]
    fn filters_are_anded_and_their_values_are_ored() {
        let mut filters = Filters::default();
        filters.add("tag:Name", &["db-*", "web-*"], &[]).unwrap();
        filters.add("tag-key", &["env"], &[]).unwrap();
        let none = |_: &str, _: &mut dyn FnMut(&str) -> bool| false;
        assert!(filters.pass(&tags(&[("Name", "web-root"), ("env", "prod")]), none));
        assert!(!filters.pass(&tags(&[("Name", "web-root")]), none));
        assert!(!filters.pass(&tags(&[("Name", "nfs"), ("env", "prod")]), none));
        assert!(!filters.pass(&tags(&[("name", "web-root"), ("env", "prod")]), none), "tag keys are case-sensitive");
    }

    #[test]
    fn unknown_names_and_too_many_values_are_refused() {
        let mut filters = Filters::default();
        for wrong in ["colour", "tag:", "Status"] {
            assert_eq!(filters.add(wrong, &["x"], &["status"]).unwrap_err().code, "InvalidParameterValue", "{wrong}");
        }
        filters.add("status", &["x"; 200], &["status"]).unwrap();
        assert_eq!(filters.add("status", &["x"], &["status"]).unwrap_err().code, "FilterLimitExceeded");
    }
}
