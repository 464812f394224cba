//! The scenario file as a tree in which every key and value knows where it was written: in the file or by an override.

use std::ops::Range;
use toml::de::{DeInteger, DeTable, DeValue};

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Bytes of the file.
    File(Range<usize>),
    /// The override of this index.
    Override(usize),
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where the value stands; for a table written under a header, the header.
    pub mark: Mark,
    /// The value.
    pub value: Value,
}

/// An entry of a table, in order of appearance in the file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub mark: Mark,
    /// What it holds.
    pub node: Node,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A text; instants count as texts, no key of a scenario holds one.
    Text(String),
    /// A whole number.
    Integer(i128),
    /// A real number; may be NaN or infinite.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(Vec<Entry>),
}

impl Value {
    /// What kind of value this is, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Boolean(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    /// A tree from a parsed document.
    pub(super) fn from_document(table: &DeTable<'_>) -> Self {
        Self { mark: Mark::File(0..0), value: table_value(table, &Mark::File) }
    }

    /// A tree from the value of an override, every part of which is marked with `mark`.
    pub(super) fn from_override(value: &DeValue<'_>, index: usize) -> Self {
        let mark = move |_| Mark::Override(index);
        Self { mark: Mark::Override(index), value: convert(value, &mark) }
    }

    /// The deepest thing written on the way along the dotted `path` (list indices are numbers), and whether the way was followed to its end:
    /// a fault in a default points at the table that lacks it.
    pub(super) fn nearest(&self, path: &str) -> (&Mark, bool) {
        let mut node = self;
        let mut rest = path;
        while !rest.is_empty() {
            let Some((inner, after)) = node.follow(rest) else { return (&node.mark, false) };
            node = inner;
            rest = after;
        }
        (&node.mark, true)
    }

    /// The first step along `path`, and the rest of it. A key may hold dots itself (`p99.9`).
    fn follow<'p>(&self, path: &'p str) -> Option<(&Self, &'p str)> {
        let behind = |key: &str| path.strip_prefix(key).and_then(|rest| if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') });
        match &self.value {
            Value::List(list) => {
                let (index, rest) = path.split_once('.').unwrap_or((path, ""));
                list.get(index.parse::<usize>().ok()?).map(|node| (node, rest))
            }
            Value::Table(entries) => entries.iter().filter_map(|e| Some((&e.node, behind(&e.key)?))).min_by_key(|(_, rest)| rest.len()),
            _ => None,
        }
    }

    /// Takes out what stands at `path`, or its table `depth` keys down, or the list on the way there. Returns the path of what was taken out.
    pub(super) fn remove(&mut self, path: &str, depth: usize) -> Option<String> {
        let Value::Table(entries) = &mut self.value else { return None };
        let behind = |key: &str| path.strip_prefix(key).and_then(|rest| if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') });
        let (index, rest) = entries.iter().enumerate().filter_map(|(i, e)| Some((i, behind(&e.key)?))).min_by_key(|(_, rest)| rest.len())?;
        let entry = entries.get_mut(index)?;
        if depth > 1 && !rest.is_empty() {
            let inner = entry.node.remove(rest, depth - 1);
            if inner.is_some() || matches!(entry.node.value, Value::Table(_)) {
                return inner.map(|inner| format!("{}.{inner}", entry.key));
            }
        }
        Some(entries.remove(index).key)
    }

    /// Puts `node` at the path `keys`, creating tables on the way. Returns the part of the path that is in the way, as its length in keys.
    pub(super) fn insert(&mut self, keys: &[String], node: Self) -> Result<(), usize> {
        let Some((last, way)) = keys.split_last() else { return Ok(()) };
        let mut here = self;
        let mark = node.mark.clone();
        for (depth, key) in way.iter().enumerate() {
            here = here.step(key, &mark).ok_or(depth)?;
        }
        let slot = here.step(last, &mark).ok_or(way.len())?;
        *slot = node;
        Ok(())
    }

    /// The value under `key`, made an empty table if there is none yet; nothing when this value has no keys.
    fn step(&mut self, key: &str, mark: &Mark) -> Option<&mut Self> {
        match &mut self.value {
            Value::List(list) => key.parse::<usize>().ok().and_then(|i| list.get_mut(i)),
            Value::Table(entries) => {
                let index = entries.iter().position(|e| e.key == key).unwrap_or_else(|| {
                    let node = Self { mark: mark.clone(), value: Value::Table(Vec::new()) };
                    entries.push(Entry { key: key.to_owned(), mark: mark.clone(), node });
                    entries.len() - 1
                });
                entries.get_mut(index).map(|e| &mut e.node)
            }
            _ => None,
        }
    }

    /// As JSON, for deserialisation; numbers that JSON cannot hold become null (the walk has refused them before).
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Text(text) => text.as_str().into(),
            Value::Integer(i) => i64::try_from(*i).map(Into::into).or_else(|_| u64::try_from(*i).map(Into::into)).unwrap_or(serde_json::Value::Null),
            Value::Float(f) => serde_json::Number::from_f64(*f).map_or(serde_json::Value::Null, serde_json::Value::Number),
            Value::Boolean(b) => (*b).into(),
            Value::List(list) => list.iter().map(Self::to_json).collect(),
            Value::Table(entries) => entries.iter().map(|e| (e.key.clone(), e.node.to_json())).collect::<serde_json::Map<_, _>>().into(),
        }
    }
}

fn table_value(table: &DeTable<'_>, mark: &impl Fn(Range<usize>) -> Mark) -> Value {
    let mut entries: Vec<(usize, Entry)> = table
        .iter()
        .map(|(key, value)| {
            let entry = Entry {
                key: key.get_ref().clone().into_owned(),
                mark: mark(key.span()),
                node: Node { mark: mark(value.span()), value: convert(value.get_ref(), mark) },
            };
            (key.span().start, entry)
        })
        .collect();
    entries.sort_by_key(|(start, _)| *start);
    Value::Table(entries.into_iter().map(|(_, entry)| entry).collect())
}

/// Recursion is bounded: the parser refuses documents nested deeper than 80.
fn convert(value: &DeValue<'_>, mark: &impl Fn(Range<usize>) -> Mark) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(i) => integer(i),
        // Beyond the range of f64 the parse gives infinity, which the walk refuses.
        DeValue::Float(f) => Value::Float(f.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(b) => Value::Boolean(*b),
        DeValue::Datetime(instant) => Value::Text(instant.to_string()),
        DeValue::Array(list) => Value::List(list.iter().map(|item| Node { mark: mark(item.span()), value: convert(item.get_ref(), mark) }).collect()),
        DeValue::Table(table) => table_value(table, mark),
    }
}

/// An integer too long even for 128 bits is held as a float: out of every range that a key allows.
fn integer(i: &DeInteger<'_>) -> Value {
    match i128::from_str_radix(i.as_str(), i.radix()) {
        Ok(number) => Value::Integer(number),
        Err(_) => Value::Float(f64::INFINITY),
    }
}
