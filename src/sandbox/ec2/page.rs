//! Pages of the describe actions.
//!
//! Rows are ordered by id and a token holds the last id that was looked at, so a page costs its own length and a row
//! that is added or removed between two pages neither repeats nor hides another. As with EC2, a full page always
//! carries a token, even when nothing follows, and a page of filtered rows may be short or empty and still carry one.

use std::collections::{BTreeMap, btree_map};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use std::str::FromStr;

use super::fault::Fault;
use super::query::Query;
use crate::sandbox::Caller;

/// Rows that one page of a filtered listing looks at: what bounds the time that it holds the model.
const EXAMINED: usize = 10_000;
/// Rows of an answer to a request that asked for no pages; then a token follows, as AWS does to large accounts.
const UNPAGED: usize = 5_000;

/// How a `MaxResults` above the most is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Above {
    /// Taken as the most.
    Clamped,
    /// Refused.
    Refused,
}

/// What an action takes as `MaxResults`.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The least it takes.
    pub min: usize,
    /// The most it gives.
    pub max: usize,
    /// What happens above that.
    pub above: Above,
}

/// Which page is asked for.
#[derive(Debug)]
pub struct Page {
    max: Option<usize>,
    after: Option<String>,
    question: u64,
}

impl Page {
    /// Reads `MaxResults` and `NextToken`. `ids` names the parameter of explicit ids when some came: EC2 gives those
    /// in one answer and refuses to page them.
    ///
    /// # Errors
    /// A number out of range, ids together with pages, a token of another listing.
    pub fn of(query: &Query<'_>, caller: &Caller, limits: Limits, ids: Option<&str>) -> Result<Self, Fault> {
        let question = fingerprint(query, caller);
        let asked = query.number::<i64>("MaxResults")?;
        if let (Some(_), Some(ids)) = (asked, ids) {
            return Err(Fault::combination(ids, "maxResults"));
        }
        let max = asked.map(|asked| limits.check(asked)).transpose()?;
        let after = query.text("NextToken").map(|token| decode(token, question)).transpose()?;
        Ok(Self { max, after, question })
    }

    /// After which id the page starts.
    #[must_use]
    pub fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// Takes the rows of this page from rows that start after [`Page::after`], ascending by id, and the token of the
    /// next one.
    pub fn take<'m, T>(
        &self,
        rows: impl Iterator<Item = (&'m str, T)>,
        mut pass: impl FnMut(&T) -> bool,
    ) -> (Vec<T>, Option<String>) {
        let most = self.max.unwrap_or(UNPAGED);
        let mut found = Vec::new();
        for (seen, (id, row)) in rows.enumerate() {
            if pass(&row) {
                found.push(row);
            }
            if found.len() >= most || (self.max.is_some() && seen + 1 >= EXAMINED) {
                return (found, Some(encode(id, self.question)));
            }
        }
        (found, None)
    }
}

/// The rows of an ordered map whose ids come after `after`.
pub fn following<'m, K, V>(map: &'m BTreeMap<K, V>, after: Option<&str>) -> btree_map::Range<'m, K, V>
where
    K: Ord + Clone + FromStr,
{
    let from = after.and_then(|id| id.parse::<K>().ok()).map_or(Bound::Unbounded, Bound::Excluded);
    map.range((from, Bound::Unbounded))
}

impl Limits {
    fn check(self, asked: i64) -> Result<usize, Fault> {
        let (min, max) = (self.min as i64, self.max as i64);
        if asked < min {
            let expected = format!("Expecting a value greater than {min}.");
            return Err(Fault::value("maxResults", &asked.to_string(), &expected));
        }
        if asked > max && self.above == Above::Refused {
            let expected = format!("Expecting a value less than or equal to {max}.");
            return Err(Fault::value("maxResults", &asked.to_string(), &expected));
        }
        Ok(usize::try_from(asked.min(max)).unwrap_or(self.max))
    }
}

/// Equal for the pages of one listing, different for any other question.
fn fingerprint(query: &Query<'_>, caller: &Caller) -> u64 {
    let mut hasher = DefaultHasher::new();
    caller.account.hash(&mut hasher);
    caller.region.hash(&mut hasher);
    query.question().for_each(|pair| pair.hash(&mut hasher));
    hasher.finish()
}

fn encode(id: &str, question: u64) -> String {
    let mut bytes = question.to_be_bytes().to_vec();
    // Not secret, but not to be read either: who builds on what a token says breaks at AWS.
    bytes.extend(id.bytes().zip(question.to_le_bytes().into_iter().cycle()).map(|(a, b)| a ^ b));
    base64_simd::STANDARD.encode_to_string(bytes)
}

fn decode(token: &str, question: u64) -> Result<String, Fault> {
    let wrong = || Fault::value("NextToken", token, "The token is invalid.");
    let bytes = base64_simd::STANDARD.decode_to_vec(token).map_err(|_| wrong())?;
    let (head, rest) = bytes.split_at_checked(8).ok_or_else(wrong)?;
    if head != question.to_be_bytes() || rest.is_empty() {
        return Err(wrong());
    }
    let id = rest.iter().zip(question.to_le_bytes().into_iter().cycle()).map(|(a, b)| a ^ b).collect();
    String::from_utf8(id).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { min: 5, max: 1000, above: Above::Clamped };

    fn caller(region: &str) -> Caller {
        Caller::of("123456789012", region)
    }

    fn page(params: &[(&str, &str)], region: &str, ids: Option<&str>) -> Result<Page, Fault> {
        let params: Vec<_> = params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Page::of(&Query::new(&params), &caller(region), LIMITS, ids)
    }

    fn walk(ids: &[String], max: &str, pass: impl Fn(&usize) -> bool) -> (Vec<usize>, usize) {
        let (mut seen, mut token, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let mut params = vec![("MaxResults", max)];
            params.extend(token.as_deref().map(|t| ("NextToken", t)));
            let page = page(&params, "us-east-1", None).unwrap();
            let rows = ids.iter().enumerate().filter(|(_, id)| page.after().is_none_or(|after| id.as_str() > after));
            let (found, next) = page.take(rows.map(|(n, id)| (id.as_str(), n)), &pass);
            seen.extend(found);
            pages += 1;
            match next {
                Some(next) => token = Some(next),
                None => return (seen, pages),
            }
        }
    }

    #[test]
    fn pages_show_every_row_once_and_a_full_last_page_has_a_token() {
        let ids: Vec<String> = (0..60).map(|n| format!("snap-{n:08x}")).collect();
        assert_eq!(walk(&ids, "7", |_| true), ((0..60).collect(), 9));
        assert_eq!(walk(&ids, "20", |_| true), ((0..60).collect(), 4), "three full pages and an empty one");
    }

    #[test]
    fn a_filtered_page_stops_looking_and_may_be_empty() {
        let ids: Vec<String> = (0..25_000).map(|n| format!("snap-{n:08x}")).collect();
        let (seen, pages) = walk(&ids, "5", |n| *n == 24_999);
        assert_eq!((seen, pages), (vec![24_999], 3));
    }

    #[test]
    fn numbers_and_tokens_out_of_place_are_refused() {
        assert_eq!(page(&[("MaxResults", "4")], "us-east-1", None).unwrap_err().code, "InvalidParameterValue");
        assert_eq!(page(&[("MaxResults", "-1")], "us-east-1", None).unwrap_err().code, "InvalidParameterValue");
        assert_eq!(page(&[("MaxResults", "9999")], "us-east-1", None).unwrap().max, Some(1000));
        let both = page(&[("MaxResults", "10")], "us-east-1", Some("snapshotIds")).unwrap_err();
        assert_eq!(both.code, "InvalidParameterCombination");
        for token in ["", "x", "AAAA", "bm90IGEgdG9rZW4gYXQgYWxs"] {
            let fault = page(&[("NextToken", token)], "us-east-1", None).unwrap_err();
            assert_eq!(fault.code, "InvalidParameterValue", "{token}");
            assert!(fault.message.ends_with("The token is invalid."), "{}", fault.message);
        }
    }

    #[test]
    fn a_token_belongs_to_its_question() {
        let first = page(&[("Owner.1", "self"), ("MaxResults", "5")], "us-east-1", None).unwrap();
        let token = encode("snap-00000005", first.question);
        let ask = |params: &[(&str, &str)], region: &str| {
            let mut params = params.to_vec();
            params.push(("NextToken", &token));
            page(&params, region, None).map(|p| p.after)
        };
        let same = ask(&[("Owner.1", "self"), ("MaxResults", "50")], "us-east-1");
        assert_eq!(same, Ok(Some("snap-00000005".to_owned())));
        assert!(ask(&[("Owner.1", "amazon")], "us-east-1").is_err());
        assert!(ask(&[("Owner.1", "self")], "eu-west-1").is_err());
    }
}
