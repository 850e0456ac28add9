//! LVM's own configuration language, as far as metadata uses it: sections, numbers, texts, lists. Depth and count are
//! bounded, and what follows something strange is not read.

/// Sections within sections.
const DEEPEST: usize = 8;
/// Entries of one text.
const MOST: usize = 20_000;

#[derive(Debug, Default)]
pub(super) struct Section {
    entries: Vec<(String, Value)>,
}

#[derive(Debug)]
enum Value {
    Number(u64),
    Text(String),
    List(Vec<String>),
    Section(Section),
}

impl Section {
    fn get(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(super) fn sections(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.entries.iter().filter_map(|(name, value)| match value {
            Value::Section(section) => Some((name.as_str(), section)),
            _ => None,
        })
    }

    pub(super) fn section(&self, name: &str) -> Option<&Self> {
        self.sections().find(|(key, _)| *key == name).map(|(_, section)| section)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self, name: &str) -> Option<&[String]> {
        match self.get(name)? {
            Value::List(list) => Some(list),
            _ => None,
        }
    }
}

/// One piece of the text.
#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Mark(char),
}

struct Reader<'a> {
    text: std::iter::Peekable<std::str::Chars<'a>>,
    left: usize,
}

impl Reader<'_> {
    fn token(&mut self) -> Option<Token> {
        loop {
            match self.text.next()? {
                '#' => while self.text.next().is_some_and(|c| c != '\n') {},
                '"' => return self.quoted(),
                mark @ ('{' | '}' | '[' | ']' | '=' | ',') => return Some(Token::Mark(mark)),
                c if c.is_whitespace() || c == '\0' => {}
                c => {
                    let mut word = String::from(c);
                    while let Some(c) = self.text.next_if(|c| c.is_ascii_alphanumeric() || "_-.+/@:".contains(*c)) {
                        word.push(c);
                    }
                    return Some(Token::Word(word));
                }
            }
        }
    }

    fn quoted(&mut self) -> Option<Token> {
        let mut out = String::new();
        loop {
            match self.text.next()? {
                '"' => return Some(Token::Quoted(out)),
                '\\' => out.push(self.text.next()?),
                c => out.push(if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }),
            }
        }
    }

    /// Entries up to the end of the section; what is strange ends it.
    fn section(&mut self, depth: usize) -> Option<Section> {
        let mut out = Section::default();
        while let Some(token) = self.token() {
            let name = match token {
                Token::Word(name) => name,
                Token::Mark('}') if depth > 0 => return Some(out),
                _ => return None,
            };
            self.left = self.left.checked_sub(1)?;
            let value = match self.token()? {
                Token::Mark('{') if depth < DEEPEST => Value::Section(self.section(depth + 1)?),
                Token::Mark('=') => match self.token()? {
                    Token::Word(word) => word.parse().map_or(Value::Text(word), Value::Number),
                    Token::Quoted(text) => Value::Text(text),
                    Token::Mark('[') => Value::List(self.list()?),
                    Token::Mark(_) => return None,
                },
                _ => return None,
            };
            out.entries.push((name, value));
        }
        (depth == 0).then_some(out)
    }

    fn list(&mut self) -> Option<Vec<String>> {
        let mut out = Vec::new();
        loop {
            match self.token()? {
                Token::Mark(']') => return Some(out),
                Token::Mark(',') => {}
                Token::Word(word) | Token::Quoted(word) => {
                    self.left = self.left.checked_sub(1)?;
                    out.push(word);
                }
                Token::Mark(_) => return None,
            }
        }
    }
}

/// Reads it; none for what is no metadata.
pub(super) fn parse(text: &str) -> Option<Section> {
    Reader { text: text.chars().peekable(), left: MOST }.section(0)
}
