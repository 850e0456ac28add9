//! The parameters of one EC2 request: `SnapshotId.1`, `Filter.2.Value.1`, `TagSpecification.1.Tag.1.Key`.
//!
//! Every parameter that an action reads is noted, and [`Query::finish`] refuses what is left over, as EC2 does: a
//! client that misspells a parameter must hear of it, not get an answer to another question.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use super::fault::Fault;
use super::filter::Filters;

/// Parameters that belong to the request and not to the action.
const COMMON: [&str; 4] = ["Action", "Version", "AWSAccessKeyId", "Timestamp"];

/// The decoded parameters of one request.
#[derive(Debug)]
pub struct Query<'a> {
    fields: BTreeMap<&'a str, &'a str>,
    read: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Query<'a> {
    /// Takes the fields in the order they came; of a name that came twice the last counts.
    #[must_use]
    pub fn new(params: &'a [(String, String)]) -> Self {
        let fields: BTreeMap<&str, &str> = params.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let common = |name: &&str| COMMON.contains(name) || name.starts_with("X-Amz-") || name.starts_with("Signature");
        let read = fields.keys().copied().filter(common).collect();
        Self { fields, read: RefCell::new(read) }
    }

    /// The value of a parameter, when it came.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let (name, value) = self.fields.get_key_value(name)?;
        self.read.borrow_mut().insert(name);
        Some(value)
    }

    /// The value of a parameter that must come and not be empty.
    ///
    /// # Errors
    /// `MissingParameter`.
    pub fn required(&self, name: &str) -> Result<&'a str, Fault> {
        self.text(name).filter(|value| !value.is_empty()).ok_or_else(|| Fault::missing(name))
    }

    /// A switch; absent is false.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub fn flag(&self, name: &str) -> Result<bool, Fault> {
        match self.text(name) {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
            Some(value) => Err(Fault::value(name, value, "Expected true or false.")),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Fault> {
        let Some(value) = self.text(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| Fault::value(name, value, "Expected a number."))
    }

    /// `name.1`, `name.2`, … in the order of their numbers.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<&'a str> {
        let mut found: Vec<(u32, &str)> = Vec::new();
        for (key, rest, value) in self.under(name) {
            if let Ok(number) = rest.parse() {
                self.read.borrow_mut().insert(key);
                found.push((number, value));
            }
        }
        found.sort_unstable_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, value)| value).collect()
    }

    /// `Filter.N.Name` with its `Filter.N.Value.M`, checked against the names that the action knows.
    ///
    /// # Errors
    /// An unknown filter, one without values, or more values than EC2 takes.
    pub fn filters(&self, known: &'static [&'static str]) -> Result<Filters, Fault> {
        let mut filters = Filters::default();
        for number in self.numbers("Filter") {
            let name = self.required(&format!("Filter.{number}.Name"))?;
            let values = self.list(&format!("Filter.{number}.Value"));
            if values.is_empty() {
                return Err(Fault::missing(&format!("Filter.{number}.Value")));
            }
            filters.add(name, &values, known)?;
        }
        Ok(filters)
    }

    /// `prefix.N.Key` with its `prefix.N.Value`; a tag without a value has an empty one.
    ///
    /// # Errors
    /// A tag without a key.
    pub fn tags(&self, prefix: &str) -> Result<Vec<(&'a str, &'a str)>, Fault> {
        let mut tags = Vec::new();
        for number in self.numbers(prefix) {
            let key = self.required(&format!("{prefix}.{number}.Key"))?;
            tags.push((key, self.text(&format!("{prefix}.{number}.Value")).unwrap_or("")));
        }
        Ok(tags)
    }

    /// Refuses parameters that nobody read.
    ///
    /// # Errors
    /// `UnknownParameter`, naming the first.
    pub fn finish(&self) -> Result<(), Fault> {
        let read = self.read.borrow();
        match self.fields.keys().find(|name| !read.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(Fault::bad("UnknownParameter", format!("The parameter {name} is not recognized"))),
        }
    }

    /// What the question is, but for the page: all parameters that make two requests pages of one listing.
    pub fn question(&self) -> impl Iterator<Item = (&'a str, &'a str)> + '_ {
        let page = |name: &str| matches!(name, "NextToken" | "MaxResults" | "DryRun" | "Timestamp");
        self.fields
            .iter()
            .map(|(name, value)| (*name, *value))
            .filter(move |(name, _)| !page(name) && !name.starts_with("X-Amz-") && !name.starts_with("Signature"))
    }

    /// The different N of `prefix.N.…`, ascending.
    pub fn numbers(&self, prefix: &str) -> BTreeSet<u32> {
        self.under(prefix).filter_map(|(_, rest, _)| rest.split('.').next()?.parse().ok()).collect()
    }

    /// What is named `prefix.…`: the whole name, what follows the dot, the value.
    fn under<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> + 's {
        self.fields
            .iter()
            .filter_map(move |(name, value)| Some((*name, name.strip_prefix(prefix)?.strip_prefix('.')?, *value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &[(&str, &str)]) -> Vec<(String, String)> {
        text.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn lists_come_in_the_order_of_their_numbers_and_not_of_their_text() {
        let given = params(&[("Id.10", "ten"), ("Id.2", "two"), ("Id.1", "one"), ("Idle.1", "no")]);
        let query = Query::new(&given);
        assert_eq!(query.list("Id"), ["one", "two", "ten"]);
        assert!(query.list("Other").is_empty());
    }

    #[test]
    fn what_nobody_read_is_refused_by_name() {
        let given = params(&[("Action", "X"), ("Version", "1"), ("DryRun", "TRUE"), ("SnapshotIds.1", "snap-1")]);
        let query = Query::new(&given);
        assert_eq!(query.flag("DryRun"), Ok(true));
        assert!(query.list("SnapshotId").is_empty());
        let fault = query.finish().unwrap_err();
        assert_eq!(
            (fault.code, fault.message.as_str()),
            ("UnknownParameter", "The parameter SnapshotIds.1 is not recognized")
        );
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        let given = params(&[("DryRun", "yes"), ("MaxResults", "many"), ("Empty", ""), ("Filter.1.Value.1", "x")]);
        let query = Query::new(&given);
        assert_eq!(query.flag("DryRun").unwrap_err().code, "InvalidParameterValue");
        assert_eq!(query.number::<u32>("MaxResults").unwrap_err().code, "InvalidParameterValue");
        assert_eq!(query.required("Empty").unwrap_err().code, "MissingParameter");
        assert_eq!(
            query.filters(&["status"]).unwrap_err().message,
            "The request must contain the parameter Filter.1.Name"
        );
    }

    #[test]
    fn filters_and_tags_are_gathered_by_number() {
        let given = params(&[
            ("Filter.1.Name", "status"),
            ("Filter.1.Value.1", "completed"),
            ("Filter.1.Value.2", "pending"),
            ("Filter.2.Name", "tag:Name"),
            ("Filter.2.Value.1", "web*"),
            ("Tag.1.Key", "a"),
            ("Tag.1.Value", "1"),
            ("Tag.2.Key", "b"),
        ]);
        let query = Query::new(&given);
        assert_eq!(query.filters(&["status"]).map(|f| f.len()), Ok(2));
        assert_eq!(query.tags("Tag"), Ok(vec![("a", "1"), ("b", "")]));
        assert_eq!(query.finish(), Ok(()));
        assert_eq!(query.filters(&["nothing"]).unwrap_err().message, "The filter 'status' is invalid");
    }
}
