//! Texts that borrow from the document, and the two forms of `content`: one text, or items of text and reasoning.

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A JSON string, borrowed unless it holds escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}

/// `content` of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// One text.
    Text(Text<'a>),
    /// Items, as Databricks sends them for models that reason.
    Items(Vec<Item<'a>>),
}

/// One item of `content`: text, or a list of summaries of reasoning.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Item<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    summary: Option<Vec<Summary<'a>>>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Summary<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
}

impl Item<'_> {
    /// Whether it belongs to the reasoning channel.
    #[must_use]
    pub fn is_reasoning(&self) -> bool {
        self.summary.is_some() || self.kind.as_ref().is_some_and(|kind| matches!(kind.as_str(), "reasoning" | "thinking"))
    }

    /// Its texts that are not empty.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let summaries = self.summary.iter().flatten().filter_map(|summary| summary.text.as_ref());
        self.text.iter().chain(summaries).map(Text::as_str).filter(|text| !text.is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Content<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of content items")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Text(Cow::Borrowed(text))))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Text(Cow::Owned(text.to_owned()))))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(Content::Items(all))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<(bool, Vec<String>)> {
        let content: Content<'_> = serde_json::from_str(text).unwrap();
        let Content::Items(items) = content else { panic!("items") };
        items.iter().map(|item| (item.is_reasoning(), item.texts().map(str::to_owned).collect())).collect()
    }

    #[test]
    fn items_of_text_and_reasoning_are_told_apart() {
        let found = items(
            r#"[{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"},{"type":"summary_text","text":""}]},{"type":"text","text":"yes","x":1}]"#,
        );
        assert_eq!(found, [(true, vec!["hm".to_owned()]), (false, vec!["yes".to_owned()])]);
        assert_eq!(items("[]"), []);
    }

    #[test]
    fn plain_texts_are_borrowed() {
        let Text(plain) = serde_json::from_str(r#""abc""#).unwrap();
        assert!(matches!(plain, Cow::Borrowed("abc")));
        let Text(escaped) = serde_json::from_str(r#""a\nc""#).unwrap();
        assert_eq!(escaped, "a\nc");
    }
}
