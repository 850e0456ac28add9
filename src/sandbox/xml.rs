//! Answers as XML, written with quick-xml: element names come from the services' models.

use std::fmt::Display;

use jiff::Timestamp;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use crate::sandbox::model::Tags;

/// The version of EC2's API that the shapes follow.
pub const VERSION: &str = "2016-11-15";

/// XML has no way to write most control characters, escaped or not.
fn legal(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\t' | '\n' | '\r') { '\u{fffd}' } else { c }).collect()
}

/// An answer that is being written.
pub struct Xml(Writer<Vec<u8>>);

impl Xml {
    /// A whole answer of EC2: `<ActionResponse xmlns=…><requestId>…</requestId>` around what `inside` writes.
    pub fn answer(action: &str, request_id: &str, inside: impl FnOnce(&mut Self)) -> String {
        let namespace = format!("http://ec2.amazonaws.com/doc/{VERSION}/");
        Self::document(&format!("{action}Response"), &namespace, |xml| {
            xml.text("requestId", request_id);
            inside(xml);
        })
    }

    /// `<name xmlns=…>…</name>` around what `inside` writes.
    pub fn document(name: &str, namespace: &str, inside: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self(Writer::new(Vec::with_capacity(1024)));
        xml.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        xml.event(Event::Start(BytesStart::new(name).with_attributes([("xmlns", namespace)])));
        inside(&mut xml);
        xml.event(Event::End(BytesEnd::new(name)));
        String::from_utf8(xml.0.into_inner()).unwrap_or_default()
    }

    /// `<name xmlns=…>value</name>`.
    pub fn leaf(name: &str, namespace: &str, value: &str) -> String {
        Self::document(name, namespace, |xml| xml.event(Event::Text(BytesText::new(value))))
    }

    /// `<name>value</name>`, escaped.
    pub fn text(&mut self, name: &str, value: impl Display) {
        self.event(Event::Start(BytesStart::new(name)));
        self.event(Event::Text(BytesText::new(&legal(&value.to_string()))));
        self.event(Event::End(BytesEnd::new(name)));
    }

    /// The same where there is a value, and nothing where there is none.
    pub fn maybe(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A time with milliseconds: `2026-11-20T05:41:00.000Z`.
    pub fn time(&mut self, name: &str, at: Timestamp) {
        self.text(name, stamp(at));
    }

    /// `<name>…</name>`.
    pub fn nest(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.event(Event::Start(BytesStart::new(name)));
        inside(self);
        self.event(Event::End(BytesEnd::new(name)));
    }

    /// `<name><item>…</item>…</name>`, also when there is nothing in it: an empty set is `<name/>` to EC2's clients.
    pub fn set<T>(&mut self, name: &str, rows: impl IntoIterator<Item = T>, mut item: impl FnMut(&mut Self, T)) {
        self.nest(name, |xml| {
            for row in rows {
                xml.nest("item", |xml| item(xml, row));
            }
        });
    }

    /// The `tagSet` of a resource; left out when it has none.
    pub fn tags(&mut self, tags: &Tags) {
        if !tags.is_empty() {
            self.set("tagSet", tags.iter(), |xml, (key, value)| {
                xml.text("key", key);
                xml.text("value", value);
            });
        }
    }

    fn event(&mut self, event: Event<'_>) {
        // A Vec takes everything that is written to it.
        let _ = self.0.write_event(event);
    }
}

/// A time as EC2 and S3 write it.
#[must_use]
pub fn stamp(at: Timestamp) -> String {
    format!("{at:.3}")
}

#[cfg(test)]
pub mod reader {
    //! A small reader for tests: XML into paths and texts, by quick-xml's own parser.

    use quick_xml::Reader;
    use quick_xml::events::Event;

    /// Every leaf as (`a/b/c`, text), in order; panics on XML that is not well-formed.
    pub fn leaves(text: &str) -> Vec<(String, String)> {
        let mut reader = Reader::from_str(text);
        let (mut path, mut out, mut content) = (Vec::<String>::new(), Vec::new(), String::new());
        let mut leaf = false;
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => {
                    path.push(start.name().as_ref().to_owned());
                    content.clear();
                    leaf = true;
                }
                Event::Text(text) => content.push_str(&text),
                Event::GeneralRef(name) => {
                    let entity = format!("&{};", &*name);
                    content.push_str(&quick_xml::escape::unescape(&entity).unwrap());
                }
                Event::End(_) => {
                    if leaf {
                        out.push((path.join("/"), content.clone()));
                    }
                    leaf = false;
                    path.pop();
                }
                Event::Eof => return out,
                _ => {}
            }
        }
    }

    /// The texts of all leaves whose path ends in `tail`.
    pub fn all(text: &str, tail: &str) -> Vec<String> {
        leaves(text).into_iter().filter(|(path, _)| path.ends_with(tail)).map(|(_, value)| value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_parses_and_odd_texts_survive() {
        let odd = "a<b>&\"c' é ]]>";
        let text = Xml::answer("DescribeThings", "id-1", |xml| {
            xml.text("name", odd);
            xml.text("bell", "a\u{7}b\u{1b}c\u{0}");
            xml.maybe("nothing", None::<&str>);
            xml.set("things", [1, 2], |xml, n| xml.text("n", n));
            xml.set("none", [0; 0], |xml, n| xml.text("n", n));
        });
        let leaves = reader::leaves(&text);
        let expected = [
            ("DescribeThingsResponse/requestId", "id-1"),
            ("DescribeThingsResponse/name", odd),
            ("DescribeThingsResponse/bell", "a\u{fffd}b\u{fffd}c\u{fffd}"),
            ("DescribeThingsResponse/things/item/n", "1"),
            ("DescribeThingsResponse/things/item/n", "2"),
            ("DescribeThingsResponse/none", ""),
        ];
        assert_eq!(leaves, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert!(text.contains("xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\""), "{text}");
    }

    #[test]
    fn times_have_milliseconds_and_a_z() {
        assert_eq!(stamp(Timestamp::from_second(1_700_000_000).unwrap()), "2023-11-14T22:13:20.000Z");
    }
}
