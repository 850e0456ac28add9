//! The report as one page: for people who do not open terminals, to be mailed or printed.
//!
//! Nothing is loaded and nothing runs: no script, no link, no font, and a policy in the page says so. Every text that
//! comes from AWS is escaped, because names, tags and descriptions are written by others.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Report;
use super::row::JudgedRow;
use crate::inventory::verdict::{Sureness, Verdict};
use crate::units::{Bytes, grouped};

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:76em;padding:0 1em;color:#1b1f24;background:#fff}\
h1{font-size:1.5em;margin:0 0 .2em}h2{font-size:1.1em;margin:2em 0 .5em}p{margin:.3em 0}.dim{color:#57606a}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3em .6em;border-bottom:1px solid #d8dee4;vertical-align:top}\
th{color:#57606a;font-weight:600}.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}code{font:12px ui-monospace,monospace}\
.b{display:inline-block;height:.8em;background:#2f6f9f;min-width:1px}.v{font-weight:600}details{margin:0}summary{cursor:pointer}\
ul{margin:.3em 0 .3em 1.2em;padding:0}@media print{details>*{display:block}}";

/// Ages of the chart, in days, and what they are called.
const AGES: [(i64, &str); 5] = [
    (30, "under 30 days"),
    (90, "30 to 90 days"),
    (365, "90 days to a year"),
    (1095, "1 to 3 years"),
    (i64::MAX, "over 3 years"),
];

/// Text that a browser shows as it is.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Characters that turn the direction of what follows, or do not show.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => out.push('\u{fffd}'),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A sum of what is freed and saved.
#[derive(Default)]
struct Sum {
    count: usize,
    bytes: u64,
    usd: f64,
    at_most: bool,
    unpriced: usize,
}

impl Sum {
    fn add(&mut self, row: &JudgedRow<'_>) {
        self.count += 1;
        self.bytes += row.judged.frees.bytes.0;
        self.at_most |= row.judged.frees.label == Sureness::UpperBound;
        match row.judged.usd_per_month {
            Some(usd) => self.usd += usd,
            None => self.unpriced += 1,
        }
    }

    fn bytes(&self) -> String {
        format!("{}{}", if self.at_most { "≤ " } else { "= " }, Bytes(self.bytes))
    }

    fn usd(&self) -> String {
        let more = if self.unpriced == 0 { String::new() } else { format!(" + {} without a price", self.unpriced) };
        format!("{}${:.2}{more}", if self.at_most { "≤ " } else { "" }, self.usd)
    }
}

/// The page.
pub(super) fn page(report: &Report<'_>) -> String {
    let mut sums: BTreeMap<&'static str, Sum> = BTreeMap::new();
    let mut places: BTreeMap<String, Sum> = BTreeMap::new();
    let mut ages: Vec<Sum> = AGES.iter().map(|_| Sum::default()).collect();
    let mut rows = String::new();
    for row in report.rows() {
        sums.entry(row.judged.verdict.word()).or_default().add(&row);
        if row.judged.verdict == Verdict::Orphan {
            places.entry(row.judged.origin.region.to_string()).or_default().add(&row);
            let days = row.days();
            let slot = AGES.iter().position(|(limit, _)| days < *limit).unwrap_or(AGES.len() - 1);
            if let Some(sum) = ages.get_mut(slot) {
                sum.add(&row);
            }
        }
        one(&mut rows, &row);
    }
    let mut page = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page += "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">";
    let _ = writeln!(page, "<title>Orphans</title><style>{STYLE}</style></head><body>");
    head(&mut page, report);
    totals(&mut page, report, &sums);
    doubts(&mut page, report);
    let regions: Vec<(String, Sum)> = places.into_iter().collect();
    chart(&mut page, "Orphans by region", regions.iter().map(|(name, sum)| (name.as_str(), sum)));
    chart(&mut page, "Orphans by age", AGES.iter().zip(&ages).map(|((_, name), sum)| (*name, sum)));
    page += "<h2>Each with its evidence</h2>\n<table><thead><tr><th>Thing</th><th>Name</th><th>Region</th><th>Verdict</th>\
             <th class=\"n\">Frees</th><th class=\"n\">A month</th><th class=\"n\">Age</th></tr></thead><tbody>\n";
    page += &rows;
    page += "</tbody></table>\n<p class=\"dim\">Cannot be seen: references in Terraform, scripts, pipelines and other accounts. \
             Figures marked ≤ are at most; a month is at list prices.</p>\n</body></html>\n";
    page
}

fn head(page: &mut String, report: &Report<'_>) {
    let accounts: std::collections::BTreeSet<String> =
        report.regions.iter().map(|region| region.facts.origin.account.grouped()).collect();
    let accounts = accounts.into_iter().collect::<Vec<_>>().join(", ");
    let (regions, at) = (report.regions.len(), report.now.strftime("%-d %b %Y %H:%M UTC"));
    let _ = writeln!(page, "<h1>Snapshots, volumes and images that nothing refers to</h1>");
    let _ = writeln!(page, "<p class=\"dim\">Account {} · {regions} regions · {at}</p>", escape(&accounts));
}

fn totals(page: &mut String, report: &Report<'_>, sums: &BTreeMap<&'static str, Sum>) {
    *page += "<h2>Totals</h2>\n<table><thead><tr><th>Verdict</th><th class=\"n\">In all</th><th class=\"n\">Listed here</th>\
              <th class=\"n\">Frees, summed</th><th class=\"n\">A month</th></tr></thead><tbody>\n";
    let none = Sum::default();
    let counts = report.counts();
    for verdict in Verdict::ALL {
        let all = counts.get(&verdict).copied().unwrap_or(0);
        let sum = sums.get(verdict.word()).unwrap_or(&none);
        let (all, count, word) = (grouped(all as u64), grouped(sum.count as u64), verdict.word());
        let _ = writeln!(
            page,
            "<tr><td class=\"v\">{word}</td><td class=\"n\">{all}</td><td class=\"n\">{count}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            sum.bytes(),
            sum.usd()
        );
    }
    *page += "</tbody></table>\n<p class=\"dim\">Snapshots of one chain share blocks: together they free at most this sum.</p>\n";
}

fn doubts(page: &mut String, report: &Report<'_>) {
    let doubts = report.doubts();
    if doubts.is_empty() {
        return;
    }
    *page += "<h2>Not sure</h2>\n<ul>\n";
    for doubt in doubts {
        let _ = writeln!(page, "<li>{}</li>", escape(&doubt.to_string()));
    }
    *page += "</ul>\n";
}

/// Bars of bytes: a table, so that it reads aloud and prints.
fn chart<'a>(page: &mut String, title: &str, bars: impl Iterator<Item = (&'a str, &'a Sum)>) {
    let bars: Vec<_> = bars.collect();
    let most = bars.iter().map(|(_, sum)| sum.bytes).max().unwrap_or(0).max(1);
    let _ = writeln!(page, "<h2>{title}</h2>\n<table><tbody>");
    for (name, sum) in bars {
        let width = u128::from(sum.bytes) * 1000 / u128::from(most);
        let _ = writeln!(
            page,
            "<tr><td style=\"width:14em\">{}</td><td><span class=\"b\" style=\"width:{}.{}%\"></span></td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(name),
            width / 10,
            width % 10,
            grouped(sum.count as u64),
            sum.bytes(),
            sum.usd()
        );
    }
    *page += "</tbody></table>\n";
}

fn one(page: &mut String, row: &JudgedRow<'_>) {
    let judged = &row.judged;
    let _ = write!(page, "<tr><td><details><summary><code>{}</code></summary><ul>", escape(&judged.id));
    for evidence in &judged.evidence {
        let when = evidence
            .when
            .map_or_else(String::new, |at| format!(" <span class=\"dim\">{}</span>", at.strftime("%H:%M")));
        let _ = write!(
            page,
            "<li><b>{}</b> {}: {}{when}</li>",
            evidence.answer.word(),
            escape(&evidence.rule),
            escape(&evidence.text)
        );
    }
    let _ = writeln!(
        page,
        "</ul></details></td><td>{}</td><td>{}</td><td><span class=\"v\">{}</span> {}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
        escape(&judged.name),
        judged.origin.region,
        judged.verdict.word(),
        escape(&row.because()),
        row.frees(),
        row.usd(),
        row.age()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_others_wrote_becomes_markup() {
        let hostile = "<script>alert('x')</script>\" onmouseover=\"y & \u{202e}gnp.exe\u{0}";
        let text = escape(hostile);
        assert!(!text.contains(['<', '>', '"', '\'']), "{text}");
        assert!(!text.contains('\u{202e}') && !text.contains('\u{0}'));
        assert_eq!(escape("a&b"), "a&amp;b");
    }
}
