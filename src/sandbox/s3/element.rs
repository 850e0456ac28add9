//! A small tree of the XML in a request.

use super::Refusal;

/// An element and what is in it.
#[derive(Debug, Default)]
pub struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// Parses a document; namespaces are dropped.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        use quick_xml::events::Event;
        let text = std::str::from_utf8(bytes).map_err(|_| Refusal::malformed())?;
        let mut reader = quick_xml::Reader::from_str(text);
        let mut open: Vec<Self> = vec![Self::default()];
        loop {
            match reader.read_event().map_err(|_| Refusal::malformed())? {
                Event::Start(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    open.push(Self { name, ..Self::default() });
                }
                Event::Empty(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    let parent = open.last_mut().ok_or_else(Refusal::malformed)?;
                    parent.children.push(Self { name, ..Self::default() });
                }
                Event::Text(text) => {
                    let element = open.last_mut().ok_or_else(Refusal::malformed)?;
                    element.text.push_str(&text);
                }
                Event::GeneralRef(name) => {
                    let entity = format!("&{};", &*name);
                    let text = quick_xml::escape::unescape(&entity).map_err(|_| Refusal::malformed())?;
                    open.last_mut().ok_or_else(Refusal::malformed)?.text.push_str(&text);
                }
                Event::End(_) => {
                    let done = open.pop().ok_or_else(Refusal::malformed)?;
                    open.last_mut().ok_or_else(Refusal::malformed)?.children.push(done);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let root = open.pop().filter(|_| open.is_empty()).ok_or_else(Refusal::malformed)?;
        root.children.into_iter().next().ok_or_else(Refusal::malformed)
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.children.iter().find(|child| child.name == name).map(|child| child.text.as_str())
    }

    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }
}
