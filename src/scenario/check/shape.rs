//! The walk of a scenario's tree along the JSON Schema: unknown and missing keys, wrong types, names and units, all of them at once.

use super::suggest;
use super::tree::{Entry, Mark, Node, Value};
use crate::base::diag::Fault;
use crate::base::units::{HourlyPrice, Quantity, Rate, Share, TimeSpan, TokenPrice, TokenRate};
use crate::scenario::slo::Percentile;
use serde_json::Value as Schema;
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// A fault and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Marked {
    /// What is wrong.
    pub fault: Fault,
    /// Where.
    pub mark: Mark,
}

/// Every fault of `tree` against `schema`, [`MOST`] at most; `written` gives back the text at a mark.
pub(super) fn walk(tree: &Node, schema: &Schema, written: &dyn Fn(&Mark) -> String) -> Vec<Marked> {
    let mut walker = Walker { root: schema, written, faults: Vec::new(), homes: OnceCell::new() };
    walker.value(tree, &tree.mark, schema, "");
    walker.faults
}

/// Faults collected, at most: a file of megabytes can hold as many faults as bytes.
const MOST: usize = 1000;

/// Follows `$ref`, and `allOf` with one member, to the schema that says something.
pub(super) fn resolve<'a>(root: &'a Schema, mut schema: &'a Schema) -> &'a Schema {
    // A chain longer than this is a circle; the generator makes none.
    for _ in 0..16 {
        schema = if let Some(pointer) = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
            root.pointer(pointer).unwrap_or(&Schema::Null)
        } else if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
            only
        } else {
            return schema;
        };
    }
    schema
}

/// Whether `text` is one of the names that the schema has for the key at the path `keys`.
pub(super) fn is_name(root: &Schema, keys: &[String], text: &str) -> bool {
    let schema = keys.iter().fold(root, |schema, key| &resolve(root, schema)["properties"][key]);
    let mut options = Options::default();
    options.gather(root, schema);
    options.names.contains(&text)
}

struct Walker<'a> {
    root: &'a Schema,
    written: &'a dyn Fn(&Mark) -> String,
    faults: Vec<Marked>,
    homes: OnceCell<BTreeMap<String, Vec<String>>>,
}

impl<'a> Walker<'a> {
    fn is_full(&self) -> bool {
        self.faults.len() >= MOST
    }

    fn add(&mut self, mark: &Mark, fault: Fault) {
        self.faults.push(Marked { fault, mark: mark.clone() });
    }

    /// Checks one value; `key` is where its key stands, for a value that lacks something.
    fn value(&mut self, node: &Node, key: &Mark, schema: &'a Schema, path: &str) {
        if self.is_full() {
            return;
        }
        let schema = resolve(self.root, schema);
        if schema.get("oneOf").or_else(|| schema.get("anyOf")).is_some() {
            return self.choice(node, key, schema, path);
        }
        match (schema["type"].as_str(), &node.value) {
            (Some("object"), Value::Table(entries)) => self.table(entries, key, schema, path),
            (Some("array"), Value::List(list)) => {
                for (i, item) in list.iter().enumerate() {
                    self.value(item, &item.mark, &schema["items"], &join(path, &i.to_string()));
                }
            }
            (Some("string"), Value::Text(text)) => self.text(node, text, schema, path),
            (Some("integer"), Value::Integer(number)) => self.integer(node, *number, schema, path),
            (Some("number"), Value::Integer(_)) | (Some("boolean"), Value::Boolean(_)) => {}
            (Some("number"), Value::Float(number)) => self.finite(node, *number, path),
            (None, _) => self.anything(node, path),
            (Some(wanted), _) => self.wrong_kind(node, wanted, schema, path),
        }
    }

    /// A value that the schema leaves free (`extra_body`): only what JSON cannot hold is refused.
    fn anything(&mut self, node: &Node, path: &str) {
        match &node.value {
            Value::Float(number) => self.finite(node, *number, path),
            Value::Integer(number) if i64::try_from(*number).is_err() && u64::try_from(*number).is_err() => {
                self.add(
                    &node.mark,
                    Fault::new(path, format!("{number} is out of range")).with_found(number.to_string()).with_expected("64 bits at most"),
                );
            }
            Value::List(list) => list.iter().enumerate().for_each(|(i, item)| self.anything(item, &join(path, &i.to_string()))),
            Value::Table(entries) => entries.iter().for_each(|e| self.anything(&e.node, &join(path, &e.key))),
            _ => {}
        }
    }

    fn finite(&mut self, node: &Node, number: f64, path: &str) {
        if !number.is_finite() {
            let found = (self.written)(&node.mark);
            self.add(
                &node.mark,
                Fault::new(path, format!("{found} is not a finite number")).with_found(found).with_expected("a finite number, e.g. 1.5"),
            );
        }
    }

    fn integer(&mut self, node: &Node, number: i128, schema: &Schema, path: &str) {
        let (max, bits) = match schema["format"].as_str() {
            Some("uint32") => (i128::from(u32::MAX), "4294967295"),
            _ => (i128::from(i64::MAX), "9223372036854775807"),
        };
        if !(0..=max).contains(&number) {
            let fault = Fault::new(path, format!("{number} is out of range")).with_found((self.written)(&node.mark));
            self.add(&node.mark, fault.with_expected(format!("a whole number from 0 to {bits}")));
        }
    }

    fn text(&mut self, node: &Node, text: &str, schema: &Schema, path: &str) {
        let Some((what, expected)) = schema["format"].as_str().and_then(|format| refusal(format, text)) else { return };
        let fault = Fault::new(path, format!("{text:?} is not {what}")).with_found((self.written)(&node.mark)).with_expected(expected);
        let fault = match unit_hint(text) {
            Some(hint) => fault.with_hint(hint),
            None => fault,
        };
        self.add(&node.mark, fault);
    }

    fn wrong_kind(&mut self, node: &Node, wanted: &str, schema: &Schema, path: &str) {
        let found = (self.written)(&node.mark);
        let quantity = schema["format"].as_str().and_then(|format| refusal(format, ""));
        let fault = match (quantity, &node.value) {
            (Some((what, expected)), Value::Integer(_) | Value::Float(_)) => {
                Fault::new(path, format!("{found} is not {what}")).with_expected(expected).with_hint("a quantity is a number and its unit in quotes")
            }
            (Some((what, expected)), Value::Table(entries)) if entries.iter().all(|e| e.key.bytes().all(|b| b.is_ascii_digit())) => {
                // `p99.9 = "2s"` is a table `p99` with a key `9`.
                let last = path.rsplit('.').next().unwrap_or_default();
                let inner = entries.first().map_or("9", |e| &e.key);
                Fault::new(path, format!("a table is not {what}"))
                    .with_expected(expected)
                    .with_hint(format!("a key with a dot is quoted: \"{last}.{inner}\" = …"))
            }
            (Some((what, expected)), _) => Fault::new(path, format!("{} is not {what}", node.value.kind())).with_expected(expected),
            (None, Value::Text(text)) if matches!(wanted, "integer" | "number" | "boolean") && looks_like(wanted, text) => {
                Fault::new(path, format!("{found} is a text")).with_expected(kind_name(wanted)).with_hint(format!("without quotes: {}", text.trim()))
            }
            (None, Value::Integer(_) | Value::Float(_) | Value::Boolean(_)) if wanted == "string" => {
                Fault::new(path, format!("{found} is {}", node.value.kind())).with_expected("a text").with_hint(format!("in quotes: \"{found}\""))
            }
            _ => Fault::new(path, format!("{found} is {}", node.value.kind())).with_expected(kind_name(wanted)),
        };
        self.add(&node.mark, fault.with_found(found));
    }

    fn table(&mut self, entries: &[Entry], key: &Mark, schema: &'a Schema, path: &str) {
        let mut meant = Vec::new();
        for entry in entries {
            if self.is_full() {
                return;
            }
            let inner_path = join(path, &entry.key);
            if let Some(inner) = schema["properties"].get(&entry.key) {
                self.value(&entry.node, &entry.mark, inner, &inner_path);
            } else if let Some(inner) = schema["patternProperties"].as_object().and_then(|patterns| patterns.values().next()) {
                // The only keys with a pattern are percentiles.
                if let Err(reason) = entry.key.parse::<Percentile>() {
                    let (message, expected) = reason.split_once("; expected ").unwrap_or((&reason, "p50, p95, p99.9"));
                    self.add(&entry.mark, Fault::new(&inner_path, message).with_found(&entry.key).with_expected(expected));
                }
                self.value(&entry.node, &entry.mark, inner, &inner_path);
            } else {
                match &schema["additionalProperties"] {
                    Schema::Bool(false) => meant.extend(self.unknown_key(entry, schema, &inner_path)),
                    Schema::Object(_) => self.value(&entry.node, &entry.mark, &schema["additionalProperties"], &inner_path),
                    _ => self.anything(&entry.node, &inner_path),
                }
            }
        }
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Schema::as_str) {
            // A key that was misspelt is told once.
            if !entries.iter().any(|e| e.key == required) && !meant.contains(&required) {
                let description = first_sentence(self.description(&schema["properties"][required]));
                let fault = Fault::new(join(path, required), format!("missing key `{required}`")).with_expected(description);
                self.faults.push(Marked { fault, mark: key.clone() });
            }
        }
    }

    fn description(&self, schema: &'a Schema) -> &'a str {
        schema["description"].as_str().or_else(|| resolve(self.root, schema)["description"].as_str()).unwrap_or("a value")
    }

    /// Gives back the key that was probably meant.
    fn unknown_key(&mut self, entry: &Entry, schema: &'a Schema, path: &str) -> Option<&'a str> {
        let known: Vec<&'a str> = schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let mut fault = Fault::new(path, format!("unknown key `{}`", entry.key)).with_found(&entry.key);
        fault = fault.with_expected(if known.is_empty() { "no keys here".to_owned() } else { format!("one of {}", known.join(", ")) });
        let near = suggest::nearest(&entry.key, known);
        if let Some(near) = near {
            fault = fault.with_hint(format!("did you mean `{near}`?"));
        } else if let Some(places) = self.other_homes(&entry.key, path) {
            fault = fault.with_hint(format!("`{}` exists as {places}", entry.key));
        }
        self.add(&entry.mark, fault);
        near
    }

    /// Where else `key` may stand, if that is few places: in the same section, or else anywhere.
    fn other_homes(&self, key: &str, path: &str) -> Option<String> {
        let places = self.homes.get_or_init(|| suggest::homes(self.root)).get(key)?;
        let section = path.split('.').next().unwrap_or_default();
        let near: Vec<&str> = places.iter().map(String::as_str).filter(|p| p.split('.').next() == Some(section)).collect();
        let chosen = if near.is_empty() { places.iter().map(String::as_str).collect() } else { near };
        (chosen.len() <= 4).then(|| chosen.join(", "))
    }

    /// One of several: a name, a table with one name as its only key, or (rates) a text of its own format.
    fn choice(&mut self, node: &Node, key: &Mark, schema: &'a Schema, path: &str) {
        let mut options = Options::default();
        options.gather(self.root, schema);
        match &node.value {
            Value::Text(text) => {
                let is_known = options.names.contains(&text.as_str());
                match options.text {
                    Some(format) => self.text(node, text, format, path),
                    None if !is_known => self.unknown_name(node, text, &options, path),
                    None => {}
                }
            }
            Value::Table(entries) if !options.tagged.is_empty() => self.tagged(node, entries, key, &options, path),
            _ => {
                let found = (self.written)(&node.mark);
                let quantity = options.text.and_then(|schema| refusal(schema["format"].as_str()?, ""));
                let fault = match (quantity, &node.value) {
                    (Some((what, _)), Value::Integer(_) | Value::Float(_)) => {
                        Fault::new(path, format!("{found} is not {what}")).with_hint("a quantity is a number and its unit in quotes")
                    }
                    _ => Fault::new(path, format!("{found} is {}", node.value.kind())),
                };
                self.add(&node.mark, fault.with_found(found).with_expected(options.expected()));
            }
        }
    }

    fn unknown_name(&mut self, node: &Node, text: &str, options: &Options<'_>, path: &str) {
        let fault = Fault::new(path, format!("unknown name {text:?}")).with_found((self.written)(&node.mark)).with_expected(options.expected());
        let fault = if let Some((_, inner)) = options.tagged.iter().find(|(tag, _)| *tag == text) {
            let inner = resolve(self.root, inner);
            let value = if inner["type"] == "object" && inner.get("required").is_none() { "{}" } else { "…" };
            fault.with_hint(format!("`{text}` takes a value: {{ {text} = {value} }}"))
        } else if let Some(near) = suggest::nearest(text, options.all()) {
            fault.with_hint(format!("did you mean `{near}`?"))
        } else {
            fault
        };
        self.add(&node.mark, fault);
    }

    fn tagged(&mut self, node: &Node, entries: &[Entry], key: &Mark, options: &Options<'a>, path: &str) {
        let is_known = |e: &&Entry| options.tagged.iter().any(|(tag, _)| *tag == e.key);
        for entry in entries {
            if self.is_full() {
                return;
            }
            let inner_path = join(path, &entry.key);
            if let Some((_, inner)) = options.tagged.iter().find(|(tag, _)| *tag == entry.key) {
                self.value(&entry.node, &entry.mark, inner, &inner_path);
                continue;
            }
            let fault = Fault::new(inner_path, format!("unknown name `{}`", entry.key)).with_found(&entry.key).with_expected(options.expected());
            let fault = if options.names.contains(&entry.key.as_str()) {
                fault.with_hint(format!("`{0}` takes no value: write \"{0}\"", entry.key))
            } else if let Some(near) = suggest::nearest(&entry.key, options.all()) {
                fault.with_hint(format!("did you mean `{near}`?"))
            } else {
                fault
            };
            self.add(&entry.mark, fault);
        }
        if entries.is_empty() {
            let fault = Fault::new(path, "an empty table chooses nothing").with_expected(options.expected());
            self.faults.push(Marked { fault, mark: key.clone() });
        }
        let known: Vec<&Entry> = entries.iter().filter(is_known).collect();
        if let [first, .., last] = known.as_slice() {
            let fault = Fault::new(path, format!("`{}` and `{}` cannot stand together", first.key, last.key)).with_found((self.written)(&node.mark));
            let fault = fault.with_expected(options.expected());
            let fault = match &last.mark {
                Mark::Override(_) => fault.with_hint(format!("replace the whole choice: --set '{path}={{ {} = … }}'", last.key)),
                Mark::File(_) => fault.with_hint("keep one of them"),
            };
            self.add(&last.mark, fault);
        }
    }
}

/// The alternatives of a choice.
#[derive(Default)]
struct Options<'a> {
    /// Names that stand alone.
    names: Vec<&'a str>,
    /// Names with the schema of their value.
    tagged: Vec<(&'a str, &'a Schema)>,
    /// The schema of a text that is no name.
    text: Option<&'a Schema>,
}

impl<'a> Options<'a> {
    fn gather(&mut self, root: &'a Schema, schema: &'a Schema) {
        let schema = resolve(root, schema);
        for alternative in ["oneOf", "anyOf"].iter().filter_map(|member| schema[*member].as_array()).flatten() {
            self.gather(root, alternative);
        }
        if let Some(name) = schema["const"].as_str() {
            self.names.push(name);
        } else if let Some(names) = schema["enum"].as_array() {
            self.names.extend(names.iter().filter_map(Schema::as_str));
        } else if schema["type"] == "string" {
            self.text = Some(schema);
        } else if let Some(properties) = schema["properties"].as_object() {
            self.tagged.extend(properties.iter().map(|(tag, inner)| (tag.as_str(), inner)));
        }
    }

    fn all(&self) -> impl Iterator<Item = &'a str> {
        self.names.iter().copied().chain(self.tagged.iter().map(|(tag, _)| *tag))
    }

    fn expected(&self) -> String {
        let names = self.names.iter().map(|name| format!("\"{name}\""));
        let tagged = self.tagged.iter().map(|(tag, _)| format!("{{ {tag} = … }}"));
        let text = self.text.and_then(|schema| refusal(schema["format"].as_str()?, "")).map(|(_, expected)| expected.to_owned());
        let options: Vec<String> = text.into_iter().chain(names).chain(tagged).collect();
        match options.as_slice() {
            [only] => only.clone(),
            several => format!("one of {}", several.join(", ")),
        }
    }
}

/// What and which example, when `text` is not the quantity of `format`; nothing when it is, or when the format is none of ours.
fn refusal(format: &str, text: &str) -> Option<(&'static str, &'static str)> {
    fn parse<Q: Quantity>(text: &str) -> Option<(&'static str, &'static str)> {
        text.parse::<Q>().err().map(|e| (e.what, e.expected))
    }
    match format {
        f if f == TimeSpan::FORMAT => parse::<TimeSpan>(text),
        f if f == Rate::FORMAT => parse::<Rate>(text),
        f if f == TokenRate::FORMAT => parse::<TokenRate>(text),
        f if f == Share::FORMAT => parse::<Share>(text),
        f if f == HourlyPrice::FORMAT => parse::<HourlyPrice>(text),
        f if f == TokenPrice::FORMAT => parse::<TokenPrice>(text),
        _ => None,
    }
}

/// What may be behind a quantity that is none.
fn unit_hint(text: &str) -> Option<String> {
    let text = text.trim();
    if text.starts_with('-') {
        Some("a quantity cannot be negative".to_owned())
    } else if text.parse::<f64>().is_ok_and(f64::is_finite) {
        Some("the unit is missing".to_owned())
    } else if text.contains(',') {
        Some("decimals are written with a point".to_owned())
    } else {
        None
    }
}

fn looks_like(wanted: &str, text: &str) -> bool {
    match wanted {
        "integer" => text.trim().parse::<u64>().is_ok(),
        "number" => text.trim().parse::<f64>().is_ok_and(f64::is_finite),
        _ => matches!(text.trim(), "true" | "false"),
    }
}

fn kind_name(wanted: &str) -> &'static str {
    match wanted {
        "object" => "a table",
        "array" => "a list",
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        _ => "true or false",
    }
}

fn first_sentence(text: &str) -> String {
    let end = text.find(". ").map_or(text.len(), |i| i);
    text[..end].trim_end_matches('.').replace('\n', " ")
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
