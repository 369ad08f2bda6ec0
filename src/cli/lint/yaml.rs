//! YAML and JSON as kubectl reads them, with the place of every key and value: documents, aliases, merge keys, and
//! everything that stops it or that it silently reads otherwise than it looks.

use crate::cli::lint::diagnostic::{Code, Diagnostic};
use crate::cli::lint::scalar::{self, Scalar};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::ops::Range;

/// How deep maps and lists may nest. No manifest comes near; a file made to do harm does.
const MAX_DEPTH: usize = 100;

/// How many values one document may have, what aliases repeat included.
const MAX_VALUES: usize = 500_000;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub content: Content,
    /// Where it stands in the file, in octets.
    pub span: Range<usize>,
    /// How it is written, for scalars.
    pub style: ScalarStyle,
    /// The word itself, where it stands without quotes.
    pub raw: Option<String>,
}

/// A value.
#[derive(Debug, Clone)]
pub enum Content {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file. No key is there twice.
    Map(Vec<Entry>),
}

/// A member of a map.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key as kubectl reads it.
    pub key: String,
    /// The word itself, where it stands without quotes.
    pub raw: Option<String>,
    /// Where the key stands.
    pub span: Range<usize>,
    /// What it leads to.
    pub value: Node,
}

impl Node {
    /// The member of a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The member of a map, with its key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The members of a map; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Self] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as JSON.
    pub fn to_json(&self) -> Json {
        match &self.content {
            Content::Null => Json::Null,
            Content::Bool(value) => Json::Bool(*value),
            Content::Number(number) => Json::Number(number.clone()),
            Content::Text(text) => Json::String(text.clone()),
            Content::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Content::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    fn count(&self) -> usize {
        let below: usize = match &self.content {
            Content::List(items) => items.iter().map(Self::count).sum(),
            Content::Map(entries) => entries.iter().map(|entry| 1 + entry.value.count()).sum(),
            _ => 0,
        };
        below + 1
    }
}

/// The documents of a file; empty ones are left out.
pub fn read(file: usize, text: &str, found: &mut Vec<Diagnostic>) -> Vec<Node> {
    let text_without_mark = text.strip_prefix('\u{feff}').unwrap_or(text);
    let start = text.len() - text_without_mark.len();
    let mut documents = Vec::new();
    for range in documents_of(text, start, file, found) {
        let Some(source) = text.get(range.clone()) else { continue };
        let mut reader = Reader::new(file, source, range.start);
        match reader.document() {
            Ok(root) => documents.extend(root.filter(|root| !matches!(root.content, Content::Null))),
            Err(problem) => reader.found.push(*problem),
        }
        found.append(&mut reader.found);
    }
    documents
}

/// kubectl cuts a file at lines that start with `---` before anything else is read.
fn documents_of(text: &str, start: usize, file: usize, found: &mut Vec<Diagnostic>) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut begin, mut at) = (start, start);
    for line in text.get(start..).unwrap_or_default().split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix("---") {
            let rest = rest.trim();
            if !rest.is_empty() && !rest.starts_with('#') {
                let message = format!("kubectl takes nothing behind --- on its line, here {rest:?}");
                found.push(
                    Diagnostic::error(Code::YAMLSyntax, file, at..at + line.trim_end().len(), message)
                        .help("put what follows on a line of its own"),
                );
            }
            ranges.push(begin..at);
            begin = at + line.len();
        }
        at += line.len();
    }
    ranges.push(begin..text.len());
    ranges
}

/// A map or list that is being read.
enum Frame {
    List { items: Vec<Node>, start: usize, anchor: usize },
    Map { entries: Vec<Entry>, key: Option<Key>, merged: Vec<Node>, start: usize, anchor: usize },
}

struct Key {
    name: String,
    raw: Option<String>,
    span: Range<usize>,
}

type Stop = Box<Diagnostic>;

struct Reader<'a> {
    file: usize,
    source: &'a str,
    /// Where the document begins in the file.
    base: usize,
    /// Octets by characters, where these differ.
    octets: Option<Vec<usize>>,
    anchors: HashMap<usize, Node>,
    values: usize,
    found: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    fn new(file: usize, source: &'a str, base: usize) -> Self {
        let octets = (!source.is_ascii()).then(|| source.char_indices().map(|(octet, _)| octet).collect());
        Self { file, source, base, octets, anchors: HashMap::new(), values: 0, found: Vec::new() }
    }

    fn octet(&self, character: usize) -> usize {
        let within = match &self.octets {
            None => character.min(self.source.len()),
            Some(octets) => octets.get(character).copied().unwrap_or(self.source.len()),
        };
        self.base + within
    }

    fn span(&self, span: Span) -> Range<usize> {
        let (start, end) = (self.octet(span.start.index()), self.octet(span.end.index()));
        start..end.max(start)
    }

    fn error(&self, span: Range<usize>, message: impl Into<String>) -> Stop {
        Box::new(Diagnostic::error(Code::YAMLSyntax, self.file, span, message))
    }

    fn syntax(&self, error: &ScanError) -> Stop {
        let mut at = self.octet(error.marker().index());
        let line = self.line_at(at);
        // The scanner stops behind tabs.
        at -= self
            .source
            .get(..at - self.base)
            .unwrap_or_default()
            .bytes()
            .rev()
            .take_while(|b| *b == b'\t')
            .count();
        let mut problem = Diagnostic::error(
            Code::YAMLSyntax,
            self.file,
            at..at,
            format!("the YAML does not parse: {}", error.info()),
        );
        if line.trim_start_matches(' ').starts_with('\t') {
            problem = problem.help("indent with spaces: YAML forbids tabs there");
        } else if line.contains("{{") {
            problem = problem
                .help("a text that begins with {{ must be in quotes, or follow a | on lines of its own");
        } else if line.matches(": ").count() > 1 {
            problem = problem.help("a text that holds a colon and a space must be in quotes");
        }
        Box::new(problem)
    }

    fn line_at(&self, at: usize) -> &'a str {
        let at = self.source.floor_char_boundary(at - self.base);
        let (before, after) = self.source.split_at(at);
        let start = before.rfind('\n').map_or(0, |found| found + 1);
        let end = after.find('\n').map_or(self.source.len(), |found| at + found);
        self.source.get(start..end).unwrap_or_default()
    }

    /// Reads the one document there is.
    fn document(&mut self) -> Result<Option<Node>, Stop> {
        let mut frames: Vec<Frame> = Vec::new();
        let mut root = None;
        for event in Parser::new_from_str(self.source) {
            let (event, span) = event.map_err(|error| self.syntax(&error))?;
            let complete = match event {
                Event::SequenceStart(anchor, _) => {
                    let start = self.octet(span.start.index());
                    self.open(&mut frames, Frame::List { items: Vec::new(), start, anchor })?;
                    continue;
                }
                Event::MappingStart(anchor, _) => {
                    let start = self.octet(span.start.index());
                    let frame =
                        Frame::Map { entries: Vec::new(), key: None, merged: Vec::new(), start, anchor };
                    self.open(&mut frames, frame)?;
                    continue;
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let node = self.scalar(&text, style, tag.as_deref(), self.span(span));
                    self.keep(anchor, &node);
                    node
                }
                Event::Alias(anchor) => self.alias(anchor, span)?,
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(frame) = frames.pop() else { continue };
                    self.close(frame, span)
                }
                Event::DocumentEnd if root.is_some() => break,
                _ => continue,
            };
            self.values += 1;
            if self.values > MAX_VALUES {
                return Err(self.error(complete.span, format!("holds more than {MAX_VALUES} values")));
            }
            if frames.is_empty() {
                root = Some(complete);
            } else {
                self.put(&mut frames, complete)?;
            }
        }
        Ok(root)
    }

    fn open(&self, frames: &mut Vec<Frame>, frame: Frame) -> Result<(), Stop> {
        let start = match &frame {
            Frame::List { start, .. } | Frame::Map { start, .. } => *start,
        };
        if let Some(Frame::Map { key: None, .. }) = frames.last() {
            return Err(self.no_key(start..start + 1));
        }
        if frames.len() >= MAX_DEPTH {
            return Err(self.error(start..start + 1, format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        frames.push(frame);
        Ok(())
    }

    fn no_key(&self, span: Range<usize>) -> Stop {
        let mut problem = self.error(span.clone(), "a key must be a word, not a map or a list");
        if self.line_at(span.start).contains("{{") {
            problem.help = Some(
                "a text that begins with {{ must be in quotes, or follow a | on lines of its own".into(),
            );
        }
        problem
    }

    fn close(&mut self, frame: Frame, span: Span) -> Node {
        let end = self.octet(span.end.index());
        let (content, start, anchor) = match frame {
            Frame::List { items, start, anchor } => (Content::List(items), start, anchor),
            Frame::Map { mut entries, merged, start, anchor, .. } => {
                merge(&mut entries, merged);
                (Content::Map(entries), start, anchor)
            }
        };
        let node = Node { content, span: start..end.max(start), style: ScalarStyle::Plain, raw: None };
        self.keep(anchor, &node);
        node
    }

    fn keep(&mut self, anchor: usize, node: &Node) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<Node, Stop> {
        let span = self.span(span);
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(self.error(span, "an alias leads to something that contains it"));
        };
        self.values += node.count();
        if self.values > MAX_VALUES {
            return Err(self.error(span, format!("aliases make more than {MAX_VALUES} values of it")));
        }
        Ok(node.clone())
    }

    /// Puts a value where it belongs.
    fn put(&mut self, frames: &mut [Frame], node: Node) -> Result<(), Stop> {
        match frames.last_mut() {
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { key: slot @ None, .. }) => *slot = Some(self.key(node)?),
            Some(Frame::Map { entries, key, merged, .. }) => {
                let Some(Key { name: key, raw, span }) = key.take() else { return Ok(()) };
                if key == "<<" && raw.is_some() {
                    merged.push(node);
                    return Ok(());
                }
                if let Some(first) = entries.iter_mut().find(|entry| entry.key == key) {
                    self.found.push(
                        Diagnostic::error(
                            Code::DuplicateKey,
                            self.file,
                            span.clone(),
                            format!("{key} is there twice; kubectl keeps only this one"),
                        )
                        .help("remove one of the two"),
                    );
                    *first = Entry { key, raw, span, value: node };
                } else {
                    entries.push(Entry { key, raw, span, value: node });
                }
            }
            None => {}
        }
        Ok(())
    }

    fn key(&self, node: Node) -> Result<Key, Stop> {
        let key = match node.content {
            Content::Text(text) => text,
            Content::Bool(value) => value.to_string(),
            Content::Number(number) => number.to_string(),
            Content::Null => return Err(self.error(node.span, "a key is empty")),
            Content::List(_) | Content::Map(_) => return Err(self.no_key(node.span)),
        };
        Ok(Key { name: key, raw: node.raw, span: node.span })
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Range<usize>) -> Node {
        let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
        let plain = match (tag, core) {
            (None, _) => style == ScalarStyle::Plain,
            (_, Some("bool" | "int" | "float" | "null")) => true,
            _ => false,
        };
        let content = match if plain { scalar::resolve(text) } else { Scalar::Text } {
            Scalar::Null => Content::Null,
            Scalar::Bool(value) => Content::Bool(value),
            Scalar::Number(number) => Content::Number(number),
            Scalar::Text => Content::Text(text.to_owned()),
            Scalar::NoNumber => {
                let message = format!("kubectl reads {text} as a number that JSON has no form for");
                self.found.push(
                    Diagnostic::error(Code::YAMLWord, self.file, span.clone(), message)
                        .help(format!("put it in quotes: \"{text}\"")),
                );
                Content::Text(text.to_owned())
            }
        };
        let raw = (style == ScalarStyle::Plain).then(|| text.to_owned());
        Node { content, span, style, raw }
    }
}

/// Members that a merge key brings; those that are there already stay.
fn merge(entries: &mut Vec<Entry>, merged: Vec<Node>) {
    for node in merged {
        let maps = match node.content {
            Content::List(items) => items,
            _ => vec![node],
        };
        for map in maps {
            let Content::Map(more) = map.content else { continue };
            for entry in more {
                if !entries.iter().any(|known| known.key == entry.key) {
                    entries.push(entry);
                }
            }
        }
    }
}
